"""The pixels that deep positions stand for, against gradients and by hand."""

import itertools

import pytest
import torch
from torch import nn

from nonlocalnet.explanation import explain
from nonlocalnet.explanation.cells import Cells, CellsByLayers
from nonlocalnet.insert import insert_nonlocal
from nonlocalnet.models import c2d_resnet50, i3d_resnet50


def cells_after(layers, size):
    tracer = CellsByLayers((size,))
    x = torch.zeros(1, 1, size)
    for layer in layers:
        y = layer(x)
        tracer.note(layer, (x,), y)
        x = y
    return tracer.of(tuple(x.shape[2:]))[0]


LAYERS = {
    "padded": lambda: [nn.Conv1d(1, 1, 3, padding=1)],
    "stem": lambda: [nn.Conv1d(1, 1, 7, stride=2, padding=3)],
    "release": lambda: [nn.Conv1d(1, 1, 7, stride=2, padding=3), nn.MaxPool1d(3, 2)],
    "paper": lambda: [
        nn.Conv1d(1, 1, 7, stride=2, padding=3),
        nn.MaxPool1d(3, 2, padding=1),
        nn.Conv1d(1, 1, 3, 2, 1),
    ],
    "thirds": lambda: [nn.Conv1d(1, 1, 3, stride=3), nn.AvgPool1d(2)],
    "dilated": lambda: [nn.Conv1d(1, 1, 3, dilation=2), nn.Conv1d(1, 1, 5, stride=2)],
    "pad layer": lambda: [nn.ConstantPad1d((3, 0), 0.0), nn.Conv1d(1, 1, 4, stride=2)],
    "same": lambda: [nn.Conv1d(1, 1, 5, padding="same"), nn.MaxPool1d(2)],
}


@pytest.mark.parametrize("size", [32, 33, 37, 50])
@pytest.mark.parametrize("name", LAYERS)
def test_a_centre_is_the_middle_of_what_a_position_depends_on(name, size):
    """With equal positive weights the gradient of a position is symmetric around its centre."""
    layers = LAYERS[name]()
    cells = cells_after(layers, size)
    smooth = nn.Sequential(*layers).double()
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool1d):
            smooth[index] = nn.AvgPool1d(layer.kernel_size, layer.stride, layer.padding)
        for parameter in layer.parameters():
            nn.init.constant_(parameter, 1.0)
    for position in range(1, cells.count - 1):
        x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(smooth(x)[0, 0, position], x)
        seen = gradient[0, 0].nonzero().flatten()
        if seen[0] == 0 or seen[-1] == size - 1:
            continue  # cut by the border: no longer symmetric
        assert cells.centre(position) == pytest.approx((int(seen[0]) + int(seen[-1]) + 1) / 2)
    assert cells.measured


def test_cells_touch_and_stay_inside():
    cells = cells_after(LAYERS["paper"](), 37)
    spans = [cells.span(position) for position in range(cells.count)]
    assert all(0 <= start <= end <= 37 for start, end in spans)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert cells.span(1, positions=2) == (spans[1][0], spans[2][1])
    assert all(cells.nearest(cells.centre(position)) == position for position in range(cells.count))
    assert (cells.nearest(-50), cells.nearest(500)) == (0, cells.count - 1)


def test_what_no_layer_explains_is_equal_shares():
    tracer = CellsByLayers((40,))
    assert tracer.of((5,)) == (Cells.equal_shares(5, length=40),)
    assert not tracer.of((5,))[0].measured
    assert [Cells.equal_shares(5, length=40).span(i) for i in (0, 4)] == [(0, 8), (32, 40)]


def test_the_video_networks_strides_by_hand():
    """Release, 32x2 at 112 pixels: conv1 halves, pool1 (2x3x3, no padding) and res3 (3x3, padded) halve again."""
    model = c2d_resnet50(clip="32x2", variant="release", width=4, nonlocal_blocks=5, num_classes=3)
    blocks = {block.name: block for block in explain(model, torch.randn(1, 3, 32, 112, 112)).blocks}
    t, y, x = blocks["res3.1_nonlocal"].cells
    # time: conv1 takes frames 0, 2, 4, ...; pool1 pairs of those; pool2 pairs of pairs
    assert (t.stride, t.first, t.count) == (8, 0.5 + 1 + 2, 4)
    assert (y.stride, y.first, y.count) == (8, 0.5 + 2, 14)
    assert y == x
    assert blocks["res4.1_nonlocal"].cells[1].stride == 16
    model = i3d_resnet50(clip="8x8", variant="release", width=4, nonlocal_blocks=5, num_classes=3)
    assert explain(model, torch.randn(1, 3, 8, 64, 64)).blocks[0].cells[0].stride == 2


def test_other_networks_are_followed_too():
    model = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3), nn.ReLU(), nn.AvgPool2d(2))
    insert_nonlocal(model, after=["2"], channels=8)
    y, x = explain(model, torch.randn(1, 3, 41, 32)).blocks[0].cells[1:]
    assert (y.stride, y.first, y.length) == (6, 0.5 + 2 + 1.5, 41)
    assert (x.stride, x.first, x.length) == (6, 0.5 + 2 + 1.5, 32)
