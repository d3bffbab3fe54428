"""What the headers and tables of a video file say of it, and whether that can be meant as it stands."""
