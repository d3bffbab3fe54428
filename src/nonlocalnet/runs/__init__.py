"""Runs: training, testing and prediction; one folder a kind, and `kinds` names them all."""
