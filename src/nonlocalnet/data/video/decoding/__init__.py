"""From packets to upright RGB: which decoder, which frames are believed, how they are turned and collected."""
