"""The classes of a long video over time: a window of it scored after the other, as files and as a picture."""
