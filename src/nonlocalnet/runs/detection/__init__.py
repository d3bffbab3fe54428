"""Runs on images: training, testing and use of detectors."""
