"""Runs on videos: training, testing and prediction of networks that classify clips."""
