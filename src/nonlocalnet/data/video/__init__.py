"""From a video file to frames: which lie where, which are decoded, which are believed."""
