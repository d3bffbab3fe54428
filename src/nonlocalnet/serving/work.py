"""What the working process does with a file."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from nonlocalnet.engine.devices import choose_device
from nonlocalnet.explanation.page import default_limit, page_of
from nonlocalnet.formats import open_file
from nonlocalnet.runs.kinds import ServedNetwork, kind_of_file
from nonlocalnet.serving.worker import Answer, said_of


def open_work(parsed: Namespace) -> NetworkWork:
    """Load the network.

    Args:
        parsed: What `nonlocalnet serve` takes.

    Raises:
        FileNotFoundError: There is no such file of weights.
        ValueError: It cannot be read, or an option does not fit it.
    """
    opened = open_file(parsed.weights)
    served = kind_of_file(opened).serve.open_served(opened, parsed, device=choose_device(parsed.device))
    return NetworkWork(served)


class NetworkWork:
    """Predicts a file and explains it; `Work` in `worker` says what for.

    Args:
        served: The network.
    """

    def __init__(self, served: ServedNetwork) -> None:
        self._served = served
        self.about = {"network": served.name, "takes": served.takes}

    def __call__(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        """What is in a file, with its page."""
        doing("reading and predicting")
        told, drawn = self._served.predict(path)
        told = {"file": name, "network": self._served.name, **told}
        page = b""
        if not self._served.has_blocks:
            told["page_error"] = "this network has no non-local blocks, so there is no page of where they look"
        else:
            doing("following where the blocks look")
            try:
                page = self._page(path, name)
            except ValueError as error:  # the prediction stands
                told["page_error"] = said_of(error, path, name)
        return Answer(told, page, b"" if drawn is None else _png(drawn))

    def _page(self, path: Path, name: str) -> bytes:
        explained = replace(self._served.explain(path), title=name)
        return page_of(explained, most_bytes=default_limit(len(explained.pictures))).encode()


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()
