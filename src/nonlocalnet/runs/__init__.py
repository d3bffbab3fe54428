"""The kinds of run, one folder each with the same file names: `video` classifies clips, `detection` finds objects."""
