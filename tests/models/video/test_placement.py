"""Where 1, 5 and 10 blocks go, and what a list may say."""

import pytest

from nonlocalnet.models.video.placement import nonlocal_paths


def paths(stage, indices):
    return tuple(f"{stage}.{i}" for i in indices)


@pytest.mark.parametrize(
    ("number", "depth", "expected"),
    [
        (0, 50, ()),
        (1, 50, ("res4.4",)),
        (1, 101, ("res4.21",)),
        (5, 50, paths("res3", [1, 3]) + paths("res4", [1, 3, 5])),
        (5, 101, paths("res3", [1, 3]) + paths("res4", [6, 13, 20])),
        (10, 50, paths("res3", range(4)) + paths("res4", range(6))),
        (10, 101, paths("res3", range(4)) + paths("res4", [2, 6, 10, 14, 18, 22])),
    ],
)
def test_the_papers_placements(number, depth, expected):
    assert nonlocal_paths(number, depth=depth) == expected


def test_a_list_is_put_in_the_networks_order():
    assert nonlocal_paths(["res4.10", "res5.0", "res4.9"], depth=101) == ("res4.9", "res4.10", "res5.0")


@pytest.mark.parametrize("number", [2, -1, True])
def test_another_number_is_refused(number):
    with pytest.raises(ValueError, match=rf"must be 0, 1, 5, 10 or a list .* got {number}"):
        nonlocal_paths(number, depth=50)


@pytest.mark.parametrize("path", ["res6.0", "res4", "res4.x", "res4.04", "layer3.4", "res4.4.conv1", ""])
def test_a_path_of_no_residual_block_is_refused(path):
    with pytest.raises(ValueError, match=f"names '{path}', which is no residual block"):
        nonlocal_paths([path], depth=50)


def test_a_block_the_stage_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"names 'res4\.6', but res4 of ResNet-50 ends with res4\.5"):
        nonlocal_paths(["res4.6"], depth=50)
    assert nonlocal_paths(["res4.6"], depth=101) == ("res4.6",)


def test_the_same_path_twice_is_refused():
    with pytest.raises(ValueError, match=r"names res4\.4 more than once"):
        nonlocal_paths(["res4.4", "res3.0", "res4.4"], depth=50)


@pytest.mark.parametrize("wrong", [None, 1.5, 1e30])
def test_what_is_neither_a_number_of_blocks_nor_a_list_is_refused(wrong):
    with pytest.raises(ValueError, match=r"nonlocal_blocks must be 0, 1, 5, 10 or a list of residual blocks"):
        nonlocal_paths(wrong, depth=50)


def test_a_bare_path_is_refused_with_the_list_to_write():
    with pytest.raises(ValueError, match=r"write \['res4\.4'\]"):
        nonlocal_paths("res4.4", depth=50)
