"""The command line: one file per command, `main` finds the right one."""
