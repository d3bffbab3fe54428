"""What is drawn over a picture: labels that grow with it and stay inside it."""

import pytest
import torch
from torch import Tensor

from nonlocalnet.runs.detection.draw import draw
from nonlocalnet.runs.detection.predict import Detected

GREY = 90


def _drawn(height: int, width: int, box: list[float]) -> Tensor:
    picture = torch.full((3, height, width), GREY, dtype=torch.uint8)
    found = {"category_id": 1, "class": "kite", "score": 0.5, "box": box}
    return draw(Detected("a.jpg", picture, [found], None, ""))


def _label_size(drawn: Tensor, box: list[float]) -> tuple[int, int]:
    """Height and width of what is drawn outside the box."""
    changed = (drawn != GREY).any(0)
    x1, y1, x2, y2 = (round(side) for side in box)
    changed[y1 : y2 + 1, x1 : x2 + 1] = False
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def test_a_label_grows_with_the_picture() -> None:
    small = _label_size(_drawn(300, 400, [20, 100, 380, 280]), [20, 100, 380, 280])
    large = _label_size(_drawn(1200, 1600, [80, 400, 1520, 1120]), [80, 400, 1520, 1120])
    assert large[0] >= 2.5 * small[0]
    assert large[1] >= 2.5 * small[1]


@pytest.mark.parametrize("corner", [(0.0, 0.0), (386.0, 0.0), (0.0, 290.0), (386.0, 290.0)])
def test_a_label_is_whole_at_every_edge(corner: tuple[float, float]) -> None:
    """As many pixels of its colour, letters included, as in the middle of the picture."""
    x, y = corner

    def size(box: list[float]) -> tuple[int, int]:
        changed = (_drawn(300, 400, box) != GREY).any(0)
        return int(changed.any(1).sum()), int(changed.any(0).sum())

    whole = _label_size(_drawn(300, 400, [150, 150, 164, 160]), [150, 150, 164, 160])
    height, width = size([x, y, x + 13, y + 9])
    assert height >= whole[0]
    assert width >= whole[1]
