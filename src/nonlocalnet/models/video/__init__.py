"""The video networks of the paper, C2D and I3D, and their blocks."""
