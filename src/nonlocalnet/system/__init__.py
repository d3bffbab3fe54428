"""What every room needs and no room is about: processes and their end, whole files, progress, errors."""
