"""Why a run stops: each is one line for the user."""


class NonFiniteError(RuntimeError):
    """A loss, weight or score is not a finite number."""


class OutputError(ValueError):
    """A file or folder of the run cannot be written."""


class FileProblem(ValueError):  # noqa: N818  a problem of the user's file, not of this program
    """A file of the data cannot be used; a subclass says what it should have been."""


class ProcessError(RuntimeError):
    """One of several processes died."""
