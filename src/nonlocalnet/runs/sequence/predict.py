"""Classes and tags of the sounds and texts of a user."""
