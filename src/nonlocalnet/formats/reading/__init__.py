"""Files of weights read safely: nothing in them is run, nothing grows beyond the file, damage is found."""
