"""Training as such: steps, checkpoints, resuming, memory, logs; it knows no kind of run, network or list of data."""
