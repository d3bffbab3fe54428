"""Runs on sequences: training, testing and use of networks for sounds, texts, tags and numbers."""
