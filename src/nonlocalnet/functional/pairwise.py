"""The names of the paper's four pairwise functions."""

from typing import Literal, get_args

Pairwise = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]

PAIRWISE: tuple[str, ...] = get_args(Pairwise)


def check_pairwise(pairwise: str) -> None:
    """Refuse a name that is none of `PAIRWISE`.

    Raises:
        ValueError: for any other name.
    """
    if pairwise not in PAIRWISE:
        raise ValueError(f"pairwise must be one of {', '.join(PAIRWISE)}; received {pairwise!r}")
