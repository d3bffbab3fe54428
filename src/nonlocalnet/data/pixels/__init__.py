"""Pictures as bytes: read from image files, resized, cropped, and at the very end turned into floats."""
