"""Training and testing: handed a model and loaders, it never says which network or which videos."""
