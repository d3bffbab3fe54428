"""What a network sees in videos: its features, and the folder that holds those of many."""
