"""Paths, places and names: what is found, what is refused, and that a refused call changes nothing."""

import logging

import pytest
import torch
from torch import nn

from insert.nets import SmallNet, clip
from nonlocalnet import models
from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks


def chain():
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 5, 1), nn.ReLU(), nn.Conv2d(5, 6, 1)), nn.Conv2d(6, 7, 1)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"after": ["body.3"]},
            r"after='body.3' names no module of SmallNet; the nearest names are 'body.\d'.*'body' has 0, 1, 2",
        ),
        ({"before": ["midle"]}, r"before='midle' names no module of SmallNet; the nearest names are 'middle'"),
        ({"after": ["body.2.weight"]}, r"names no module of SmallNet;.*'body.2' has no children"),
        ({"after": [""]}, r"after must name modules inside the model by dotted paths, got ''"),
        (
            {"after": "middle"},
            r"after must be a list of dotted paths, got the string 'middle': write after=\['middle'\]",
        ),
        ({}, r"after and before name no module: give dotted paths"),
        ({"after": [], "before": []}, r"after and before name no module: give dotted paths"),
        (
            {"after": ["middle", "middle"]},
            r"after='middle' \(Conv3d\) and after='middle' \(Conv3d\) are the same place",
        ),
        ({"after": ["middle"], "subsample": (1, 2)}, r"subsample must be"),
        ({"after": ["body.2", "middle"], "inner_channels": 0}, r"inner_channels must be a positive integer"),
        (
            {"after": ["body.2", "middle"], "channels": 6},
            r"after='middle' \(Conv3d\): channels=6 was given, but .* channels=4",
        ),
        ({"after": ["body.2"], "ndim": 2}, r"after='body.2' \(Conv3d\): ndim=2 was given, but .* ndim=3"),
        ({"after": ["body.2", "nowhere"]}, r"after='nowhere' names no module"),
    ],
)
def test_nothing_is_inserted_when_anything_is_wrong(arguments, message):
    model = SmallNet()
    modules, hooks = dict(model.named_modules()), [len(m._forward_hooks) for m in model.modules()]
    with pytest.raises(ValueError, match=message):
        insert_nonlocal(model, **arguments)
    assert dict(model.named_modules()) == modules
    assert [len(m._forward_hooks) for m in model.modules()] == hooks


@pytest.mark.parametrize(
    "twice",
    [
        {"after": ["0", "0"]},
        {"after": ["0"], "before": ["1"]},
        {"after": ["0"], "before": ["1.0"]},
        {"after": ["1", "1.2"]},
        {"after": ["1.2"], "before": ["2"]},
        {"before": ["1", "1.0"]},
    ],
)
def test_the_same_place_twice_is_refused(twice):
    """In one call and over two, whichever names it is given."""
    with pytest.raises(ValueError, match="are the same place: give it once"):
        insert_nonlocal(chain(), **twice)
    calls = [{side: [path]} for side, paths in twice.items() for path in paths]
    for first, second in (calls, calls[::-1]):
        model = insert_nonlocal(chain(), **first)
        with pytest.raises(ValueError, match=r"there is a non-local block already, '.*_nonlocal(_before)?'; to stack"):
            insert_nonlocal(model, **second)
        assert len(nonlocal_blocks(model)) == 1


@pytest.mark.parametrize("side", ["after", "before"])
def test_the_same_hooked_path_twice_is_refused(side):
    model = insert_nonlocal(SmallNet(), **{side: ["middle"]})
    with pytest.raises(ValueError, match=rf"{side}='middle' .* already, 'middle.nonlocal_{side}'"):
        insert_nonlocal(model, **{side: ["middle"]})
    assert len(nonlocal_blocks(model)) == 1


def test_both_sides_of_one_module_and_of_a_chain():
    model = insert_nonlocal(SmallNet(), after=["middle", "body.0", "body.2"], before=["middle", "body.0"])
    assert list(nonlocal_blocks(model)) == [
        "body.0_nonlocal_before",
        "body.0_nonlocal",
        "body.2_nonlocal",
        "middle.nonlocal_after",
        "middle.nonlocal_before",
    ]


def test_blocks_stack_by_the_path_of_the_first():
    model = insert_nonlocal(chain(), after=["0"])
    insert_nonlocal(model, after=["0_nonlocal"])
    assert list(model._modules) == ["0", "0_nonlocal", "0_nonlocal_nonlocal", "1", "2"]


def test_siblings_keep_names_and_order():
    model, x = chain(), torch.randn(2, 3, 4, 4)
    y = model(x)
    insert_nonlocal(model, after=["0", "1.0"], before=["1.2", "0"])
    assert list(model._modules) == ["0_nonlocal_before", "0", "0_nonlocal", "1", "2"]
    assert list(model[3]._modules) == ["0", "0_nonlocal", "1", "2_nonlocal_before", "2"]
    assert [block.channels for block in nonlocal_blocks(model).values()] == [3, 4, 5, 5]
    assert torch.equal(model(x), y)


def test_order_of_a_sequential_that_repeats_a_module():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(3, 4, 1), relu, nn.Conv2d(4, 4, 1), relu)
    insert_nonlocal(model, after=["1", "3"])
    assert list(model._modules) == ["0", "1", "1_nonlocal", "2", "3", "3_nonlocal"]


class Looping(nn.Module):
    """Runs whatever children it has, as timm's RegStage does."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        for child in self.children():
            x = child(x)
        return x


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stage = Looping()

    def forward(self, x):
        return self.stage(x)


def test_a_module_that_runs_its_children_gets_its_block_above():
    model = insert_nonlocal(Outer(), after=["stage", "stage.one"], before=["stage"], channels=3)
    assert list(nonlocal_blocks(model)) == ["stage.one.nonlocal_after", "stage_nonlocal", "stage_nonlocal_before"]
    calls = []
    for block in nonlocal_blocks(model).values():
        block.register_forward_hook(lambda *call: calls.append(call))
    model(torch.randn(1, 3, 4, 4))
    assert len(calls) == 3
    with pytest.raises(ValueError, match="there is a non-local block already, 'stage_nonlocal'"):
        insert_nonlocal(model, after=["stage"], channels=3)


def test_a_module_that_cannot_have_a_block_is_refused():
    class Everything(Looping):
        def __init__(self):
            super().__init__()
            self.inner = Looping()

    with pytest.raises(ValueError, match="runs whatever children it has, and so does every module above it"):
        insert_nonlocal(Everything(), after=["inner"], channels=3)
    model = nn.Module()
    model.layers = nn.ModuleList([nn.Conv2d(3, 3, 1)])
    with pytest.raises(ValueError, match=r"after='layers' is a ModuleList, which is never called: name one of its"):
        insert_nonlocal(model, after=["layers"])
    scripted = nn.Module()
    scripted.inner = torch.jit.ScriptModule()
    with pytest.raises(ValueError, match="takes no new children: insert before scripting"):
        insert_nonlocal(scripted, after=["inner"], channels=3)


def test_a_taken_name_is_refused():
    model = chain()
    model.add_module("2_nonlocal", nn.Identity())
    with pytest.raises(ValueError, match="'2_nonlocal' exists already and is no non-local block"):
        insert_nonlocal(model, after=["2"])


def test_keyword_calls_of_a_hooked_module_are_refused_when_they_happen():
    model = insert_nonlocal(SmallNet(), before=["middle"])
    with pytest.raises(ValueError, match="before Conv3d takes its first positional argument"):
        model.middle(input=torch.zeros(1, 6, 2, 2, 2))


def test_a_module_called_several_times_runs_its_block_each_time():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(self.conv(x))

    model = insert_nonlocal(Twice(), after=["conv"])
    calls = []
    model.conv.nonlocal_after.register_forward_hook(lambda *call: calls.append(call))
    model(torch.randn(1, 3, 4, 4))
    assert len(calls) == 2


def test_one_line_of_log(caplog):
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        insert_nonlocal(SmallNet(), after=["body.2"], before=["last"])
    assert caplog.messages == [
        "inserted 2 non-local blocks: body.2_nonlocal (6 channels), last.nonlocal_before (4 channels)"
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="nonlocalnet"):
        insert_nonlocal(SmallNet(), after=["body.2"])
    assert caplog.messages == ["inserted 1 non-local block: body.2_nonlocal (6 channels)"]


def test_blocks_take_device_dtype_and_mode_of_their_target():
    model = SmallNet().to(torch.float64)
    model.middle.to(torch.bfloat16).eval()
    insert_nonlocal(model, after=["body.1", "middle"])
    after_relu, after_middle = nonlocal_blocks(model).values()
    assert after_relu.out.weight.dtype == torch.float64  # of the Sequential around the ReLU, which has no parameters
    assert after_middle.norm.running_mean.dtype == torch.bfloat16
    assert (after_relu.training, after_middle.training) == (True, False)
    with torch.device("meta"):
        on_meta = SmallNet()
    assert insert_nonlocal(on_meta, after=["middle"]).middle.nonlocal_after.out.weight.is_meta


def test_options_reach_the_blocks():
    options = {
        "inner_channels": 3,
        "pairwise": "gaussian",
        "scale": "rsqrt",
        "subsample": (2, 1, 1),
        "subsample_first": True,
        "domain": "time",
        "temporal_group_frames": 2,
        "zero_init": False,
    }
    block = insert_nonlocal(SmallNet(), after=["middle"], norm=None, **options).middle.nonlocal_after
    assert {name: getattr(block, name) for name in options} == options
    assert block.norm is None
    assert not torch.equal(block(torch.ones(clip().shape[0], 4, 4, 5, 6)), torch.ones(2, 4, 4, 5, 6))


def test_networks_built_with_their_blocks_say_nothing(caplog):
    caplog.set_level(logging.INFO, logger="nonlocalnet")
    models.i3d_resnet50(width=4, nonlocal_blocks=5)
    models.detection.keypointrcnn_slim_fpn()
    assert caplog.messages == []
    models.detection.add_nonlocal(models.detection.maskrcnn_slim_fpn(nonlocal_backbone=False))
    assert caplog.messages == ["inserted 1 non-local block: backbone.body.layer3.1_nonlocal_before (128 channels)"]
