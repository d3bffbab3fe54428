"""Generated videos and images whose labels need a relation far apart."""
