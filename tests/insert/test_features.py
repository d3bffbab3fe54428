"""How channels and dimensions are found: by the layers, by what the caller says, by running an example."""

import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from insert.nets import SmallNet, clip
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks


class Around(nn.Module):
    """A network whose only layer is `layer`, called by name."""

    def __init__(self, layer, *, other=None):
        super().__init__()
        self.layer = layer
        self.other = other

    def forward(self, x):
        return self.layer(x)


def found(layer, *, other=None, **arguments):
    model = insert_nonlocal(Around(copy.deepcopy(layer), other=other), **arguments)
    (block,) = (block for path, block in nonlocal_blocks(model).items() if path != "layer")
    return block.channels, block.ndim


@pytest.mark.parametrize(
    ("layer", "after", "before"),
    [
        (nn.Conv1d(3, 5, 1), (5, 1), (3, 1)),
        (nn.Conv2d(3, 5, 1), (5, 2), (3, 2)),
        (nn.ConvTranspose3d(3, 5, 1), (5, 3), (3, 3)),
        (nn.BatchNorm2d(4), (4, 2), (4, 2)),
        (nn.BatchNorm3d(4), (4, 3), (4, 3)),
        (nn.InstanceNorm2d(4), (4, 2), (4, 2)),
        (FrozenBatchNorm2d(4), (4, 2), (4, 2)),
        (NonLocalBlock(4, ndim=1), (4, 1), (4, 1)),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU()), (5, 2), (3, 2)),
        (nn.Sequential(nn.ReLU(), nn.Conv1d(3, 5, 1), nn.GroupNorm(1, 5), nn.Dropout()), (5, 1), (3, 1)),
        (nn.Sequential(nn.BatchNorm1d(3), nn.Conv1d(3, 5, 1)), (5, 1), (3, 1)),
        (
            nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 1)), nn.Sequential(nn.Conv2d(5, 6, 1), nn.ReLU())),
            (6, 2),
            (3, 2),
        ),
    ],
)
def test_layers_that_say_it(layer, after, before):
    assert found(layer, after=["layer"]) == after
    assert found(layer, before=["layer"]) == before


def test_normalisations_of_any_dimension_take_the_convolutions_word():
    assert found(nn.GroupNorm(1, 4), other=nn.Conv1d(1, 1, 1), after=["layer"]) == (4, 1)
    with pytest.raises(ValueError, match=r"whether its features are 1-D, 2-D or 3-D is not certain .* pass ndim="):
        found(nn.GroupNorm(1, 4), other=nn.Sequential(nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 1)), after=["layer"])
    assert found(nn.GroupNorm(1, 4), after=["layer"], ndim=3) == (4, 3)
    assert found(nn.GroupNorm(1, 4), after=["layer"], example_input=torch.zeros(1, 4, 2, 2)) == (4, 2)


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(3, 5, 1), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 5, 1), nn.PixelShuffle(1)),
    ],
)
def test_layers_that_do_not_say_it_are_asked_about(layer):
    with pytest.raises(
        ValueError, match=r"how many channels .* is not certain .*; pass channels=\.\.\., or example_input="
    ):
        found(layer, other=nn.Conv2d(3, 3, 1), after=["layer"])
    assert found(layer, other=nn.Conv2d(3, 3, 1), after=["layer"], channels=3) == (3, 2)


def test_lazy_layers_are_asked_about():
    with pytest.raises(ValueError, match=r"before='layer' \(LazyConv2d\): how many channels"):
        found(nn.LazyConv2d(5, 1), before=["layer"])
    assert found(nn.LazyConv2d(5, 1), after=["layer"]) == (5, 2)


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(3, 3), nn.LayerNorm(3), nn.MultiheadAttention(4, 2), nn.LSTM(3, 3), nn.Embedding(3, 3), nn.Flatten(2)],
)
@pytest.mark.parametrize("side", ["after", "before"])
def test_channels_last_layers_are_refused_by_name(layer, side):
    name = type(layer).__name__
    with pytest.raises(
        ValueError, match=rf"{side}='layer' \({name}\) has channels-last or token features \(its {name} "
    ):
        found(layer, **{side: ["layer"]}, channels=3)


def test_transformer_layers_are_refused_by_name():
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    with pytest.raises(ValueError, match=r"\(TransformerEncoderLayer\) has channels-last or token features"):
        found(layer, after=["layer"], example_input=torch.zeros(2, 3, 4))


class Recorder(nn.Module):
    """Counts its calls in a buffer, even in eval mode, and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x + 0 * torch.rand(())


def test_the_example_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), Recorder(), nn.Dropout(), nn.Conv2d(4, 5, 1))
    model[1].eval()
    training = [module.training for module in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="inner_channels must be"):
        insert_nonlocal(model, after=["2"], before=["2"], example_input=torch.randn(2, 3, 4, 4), inner_channels=0)
    # The random state, too: `randn` above is drawn before the call.
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    torch.randn(2, 3, 4, 4)
    assert torch.equal(torch.get_rng_state(), after)
    assert [module.training for module in model.modules()] == training
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_example_that_fails_leaves_the_model_as_it_was():
    model = SmallNet()
    with pytest.raises(RuntimeError, match="expected input"):
        insert_nonlocal(model, after=["middle"], example_input=torch.zeros(1, 7, 2, 2, 2))
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert not nonlocal_blocks(model)


class Odd(nn.Module):
    """Layers that are called in ways a block cannot follow."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.pair = nn.Identity()
        self.unused = nn.Conv2d(4, 4, 1)
        self.shared = nn.Identity()
        self.pooled = nn.Identity()
        self.branch = Around(nn.Conv2d(4, 4, 1))

    def forward(self, x, scale=1.0):
        x = self.shared(self.conv(self.shared(x))) * scale
        self.pair((x, x))
        self.pooled(x.mean(dim=(2, 3)))
        return self.branch(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"after": ["unused"]}, r"after='unused' \(Conv2d\) is not called when the model \(in eval mode\) runs"),
        ({"after": ["pair"]}, r"after='pair' \(Identity\) gives a tuple on example_input, not one feature map"),
        ({"before": ["pair"]}, r"before='pair' \(Identity\) is given a tuple on example_input"),
        ({"after": ["pooled"]}, r"after='pooled' \(Identity\) gives torch.float32 of shape \(2, 4\) on example_input"),
        ({"after": ["shared"]}, r"is called 2 times on different features, \(channels, ndim\) \[\(3, 2\), \(4, 2\)\]"),
        ({"after": ["branch"], "channels": 5}, r"after='branch' \(Around\): channels=5 was given, but .* channels=4"),
        ({"after": ["branch"], "ndim": 3}, r"after='branch' \(Around\): ndim=3 was given, but .* ndim=2"),
    ],
)
def test_what_an_example_shows_to_be_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        insert_nonlocal(Odd(), example_input=torch.zeros(2, 3, 4, 4), **arguments)


def test_an_example_of_several_arguments():
    model = insert_nonlocal(Odd(), after=["branch"], example_input=(torch.zeros(2, 3, 4, 4), 2.0))
    assert (model.branch.nonlocal_after.channels, model.branch.nonlocal_after.ndim) == (4, 2)


def test_the_example_works_in_three_dimensions():
    model = insert_nonlocal(SmallNet(), before=["last"], example_input=clip())
    assert (model.last.nonlocal_before.channels, model.last.nonlocal_before.ndim) == (4, 3)
