"""From a video to clips: which frames, which crops, and the data sets of both."""
