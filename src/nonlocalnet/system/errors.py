"""Why a run stops: each is one line for the user."""


class NonFiniteError(RuntimeError):
    """A loss, weight or score is not a finite number."""


class OutputError(ValueError):
    """A file or folder of the run cannot be written."""


class ProcessError(RuntimeError):
    """One of several processes died."""
