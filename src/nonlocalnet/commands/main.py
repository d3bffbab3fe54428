"""`nonlocalnet COMMAND ...`: finds the command, and turns a user's error into one clear line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Until the signals are heard Ctrl-C is a traceback: whatever else this file needs is imported after that.
from nonlocalnet.system.stops import Stopped, end_by_signals, stoppable

# Command -> what it does. Each lives in the file of its name and is imported only when asked for: torch takes seconds.
COMMANDS = {
    "demo": "train a network with and without non-local blocks on generated data, in minutes",
    "recipes": "list the recipes with their published results",
    "train": "train a recipe",
    "test": "test weights by a recipe's protocol",
    "ensemble": "average the scores of several tests of the same videos",
    "predict": "name the classes of videos",
    "features": "write what a network sees in videos, for other programs",
    "explain": "show where the non-local blocks of a network look, as a page",
    "detect": "find objects, masks and keypoints in images, and draw them",
    "serve": "open a page on this machine: drop a video, see its classes and where the blocks look",
    "inspect": "show the architecture, parameters and FLOPs of a file of weights or a network",
    "convert": "write weights in another program's format",
    "export": "write a network as ONNX or a program of torch.export, compared with itself",
    "weights": "list or fetch the weights that the paper's authors released",
    "data": "generate, check and prepare videos",
}

_NO_MEMORY = (
    "this takes more memory than there is; make it smaller: the clip, the input, the network, or the batch "
    "(--batch-size, or --optim.accumulate for a step in parts)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; None for those of the process.

    Returns:
        The process's exit code: 0 for success, 1 for a run that failed, 2 for an error in what the user gave.
    """
    if argv is None:
        end_by_signals()
    if sys.stdout is None:  # closed by the shell: `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  as long as the process
    try:
        code = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except OSError as error:
        from nonlocalnet.system.errors import reason_of

        # What is left to print goes nowhere: Python would try again as it ends, and print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that has gone (`| head`) is no error to speak of.
        return 1 if isinstance(error, BrokenPipeError) else _fail(f"standard output: {reason_of(error)}", code=1)
    return code


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"nonlocalnet {version('nonlocalnet')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return _fail(f"unknown command {name!r}{hint} (`nonlocalnet --help` lists the commands)", code=2)
    return _run(name, rest)


def _run(name: str, arguments: list[str]) -> int:
    import importlib

    from nonlocalnet.system.errors import is_full, lacks_memory
    from nonlocalnet.system.processes import is_first_process

    _log_to_stderr()
    try:
        with stoppable() as stops:
            stops.speaks = is_first_process()
            command = importlib.import_module(f"nonlocalnet.commands.{name}")
            return command.main(arguments)
    except Stopped as stopped:
        return int(stopped.code or 0)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and is_full(error):
            raise  # of what has no name: standard output
        return _fail(_describe(error), code=2)
    except (RuntimeError, MemoryError) as error:
        if lacks_memory(error):
            return _fail(f"{_NO_MEMORY} ({_first_line(error)})", code=1)
        # Ours only: a run that failed, such as by a loss that is not finite. Others are bugs and keep their traceback.
        if type(error).__module__.startswith("nonlocalnet."):
            return _fail(str(error), code=1)
        raise


def _first_line(error: BaseException) -> str:
    return (str(error) or "no more is known").splitlines()[0]


def _describe(error: ValueError | OSError) -> str:
    from nonlocalnet.system.errors import reason_of

    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {reason_of(error)}"
    return str(error)


def _fail(message: str, *, code: int) -> int:
    from nonlocalnet.system.odd_files import short
    from nonlocalnet.system.visible import visible

    print(visible(short(f"nonlocalnet: error: {message}")), file=sys.stderr)
    return code


def _log_to_stderr() -> None:
    import logging

    from nonlocalnet.system.visible import LogFormatter

    # What our own rooms say (blocks inserted, tensors loaded, videos replaced) goes to stderr; stdout is for results.
    logger = logging.getLogger("nonlocalnet")
    # A new handler each time: sys.stderr may have changed since an earlier command of the same process.
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: nonlocalnet COMMAND ...\n\n"
        "Non-local Neural Networks (Wang, Girshick, Gupta, He; CVPR 2018).\n\n"
        f"commands:\n{rows}\n\n"
        "`nonlocalnet COMMAND --help` shows what a command takes."
    )


if __name__ == "__main__":
    sys.exit(main())
