"""Generated videos, images, sounds and sequences whose answers need a relation far apart."""
