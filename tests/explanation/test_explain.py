"""`explain` on networks of every kind; the model is left as it was; bad questions are refused."""

import pytest
import torch
import torchvision
from torch import nn

from nonlocalnet import explain as public_explain
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.explanation import explain
from nonlocalnet.insert import insert_nonlocal
from nonlocalnet.models import c2d_resnet50
from nonlocalnet.models.detection import add_nonlocal
from nonlocalnet.system.errors import NonFiniteError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return c2d_resnet50(clip="32x2", variant="release", width=4, nonlocal_blocks=5, num_classes=6).eval()


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return torch.randn(1, 3, 16, 64, 64)


def test_all_blocks_predictions_and_pictures(network, clip):
    explained = public_explain(network, clip, title="a clip", class_names=list("abcdef"))
    assert [block.name for block in explained.blocks] == [f"res3.{i}_nonlocal" for i in (1, 3)] + [
        f"res4.{i}_nonlocal" for i in (1, 3, 5)
    ]
    with torch.no_grad():
        probabilities = network(clip)[0].softmax(0)
    best = probabilities.topk(5)
    assert [name for name, _ in explained.predictions] == ["abcdef"[i] for i in best.indices]
    assert [share for _, share in explained.predictions] == pytest.approx(best.values.tolist())
    assert explained.pictures.shape == (16, 64, 64, 3)
    assert explained.pictures.dtype == torch.uint8
    assert explained.figure(block="res3.1_nonlocal", at=(0, 0, 0)).axes


def test_some_blocks_only(network, clip):
    explained = explain(network, clip, blocks=["res4.1_nonlocal", "res3.3_nonlocal"])
    assert [block.name for block in explained.blocks] == ["res3.3_nonlocal", "res4.1_nonlocal"]
    with pytest.raises(ValueError, match=r"'res3.1_nonlocal' was not explained; res3.3_nonlocal, res4.1_nonlocal were"):
        explained.look(block="res3.1_nonlocal")


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_what_is_not_finite_is_refused_by_the_blocks_name(pairwise, value):
    """A page of it ended in an error of linear algebra."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 8, 3), NonLocalBlock(8, ndim=1, norm=None, pairwise=pairwise))
    signal = torch.randn(1, 2, 400)
    signal[0, 0, 5] = value
    with pytest.raises(
        NonFiniteError, match="block 1: what it compares is not finite: the weights or the input may be"
    ):
        explain(net, signal.mul(1e9))


def state_of(model):
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    hooks = [
        (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._forward_hooks_with_kwargs))
        for module in model.modules()
    ]
    return tensors, flags, hooks


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_random_state_are_left_as_they_were(network, clip, fails, monkeypatch):
    network.train()
    before, randoms = state_of(network), torch.random.get_rng_state()
    if fails:
        monkeypatch.setattr(network.res5, "forward", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            explain(network, clip)
        monkeypatch.undo()
    else:
        explain(network, clip)
    after = state_of(network)
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1:] == after[1:]
    assert torch.equal(randoms, torch.random.get_rng_state())
    network.eval()
    with torch.no_grad():
        first = network(clip)
        explain(network, clip)
        assert torch.equal(network(clip), first)


def test_later_layers_that_write_into_the_blocks_input_change_nothing():
    class WritesBack(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = NonLocalBlock(4, ndim=2, pairwise="gaussian")

        def forward(self, x):
            features = x * 1
            z = self.block(features)
            features.zero_()
            return z

    x = torch.randn(1, 4, 6, 6)
    explained = explain(WritesBack().eval(), x)
    row = torch.softmax(x[0, :, 3, 3] @ x[0].flatten(1), 0)
    torch.testing.assert_close(explained.look(at=(0, 0.5, 0.5)).weights_THW.flatten(), row)


def test_images_and_signals():
    image_net = insert_nonlocal(torchvision.models.resnet18(num_classes=4), after=["layer2.0"]).eval()
    explained = explain(image_net, torch.randn(1, 3, 70, 50))
    assert explained.axes == 2
    assert explained.blocks[0].grid == (1, 9, 7)
    assert explained.pictures.shape == (1, 70, 50, 3)
    assert len(explained.predictions) == 4
    signal_net = nn.Sequential(nn.Conv1d(2, 8, 9, stride=4), NonLocalBlock(8, ndim=1, subsample=2))
    explained = explain(signal_net, torch.randn(1, 2, 200))
    assert (explained.axes, explained.blocks[0].grid, explained.blocks[0].key_grid) == (1, (1, 1, 48), (1, 1, 24))
    assert explained.pictures.shape[0] == 1
    assert explained.pictures.shape[2] == 200
    assert explain(signal_net, torch.randn(1, 2, 30_001)).pictures.shape[2] < 2000  # WebP ends at 16383 pixels
    assert explained.predictions == ()
    many = explain(NonLocalBlock(12, ndim=1), torch.randn(1, 12, 90)).pictures  # channels as rows of grey
    assert many.shape == (1, 156, 90, 3)


def test_a_detectors_backbone_with_its_padding_left_out():
    torch.manual_seed(0)
    detector = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=100, box_detections_per_img=5
    )
    add_nonlocal(detector, subsample=None).eval()
    explained = explain(detector, [torch.rand(3, 60, 70)])
    block = explained.blocks[0]
    assert explained.input_size == (1, 64, 96)  # 64 x 75, padded
    assert block.affinities.kept_BM is not None
    held = block.survey.strongest >= 0
    kept = block.affinities.kept_BM[0]
    assert not kept.all()
    assert kept[block.survey.strongest[held]].all()


def test_blocks_on_regions_are_left_out_and_refused_by_name():
    class PerRegion(nn.Module):
        def __init__(self):
            super().__init__()
            self.whole, self.region = NonLocalBlock(3, ndim=2), NonLocalBlock(3, ndim=2)

        def forward(self, x):
            return self.region(self.whole(x).expand(4, -1, -1, -1))

    model, x = PerRegion().eval(), torch.randn(1, 3, 5, 5)
    assert [block.name for block in explain(model, x).blocks] == ["whole"]
    with pytest.raises(ValueError, match="'region' works on the regions of an image, not on the image"):
        explain(model, x, blocks=["region"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"blocks": ["res9"]}, "block 'res9' is not in the model; its non-local blocks are res3.1_nonlocal, "),
        ({"top": 0}, "top must be at least 1, got 0"),
    ],
)
def test_bad_questions_are_refused(network, clip, arguments, words):
    with pytest.raises(ValueError, match=words):
        explain(network, clip, **arguments)


def test_bad_inputs_are_refused(network, clip):
    with pytest.raises(ValueError, match=r"\(1, C, L\) for a signal, got \(2, 3, 16, 64, 64\)"):
        explain(network, clip.expand(2, -1, -1, -1, -1))
    with pytest.raises(ValueError, match="one tensor, or a list with one image"):
        explain(network, "video.mp4")
    with pytest.raises(ValueError, match="no non-local blocks"):
        explain(nn.Conv2d(3, 3, 1), torch.randn(1, 3, 4, 4))
    explained = explain(network, clip, blocks=["res4.1_nonlocal"])
    with pytest.raises(ValueError, match=r"fractions \(t, y, x\)"):
        explained.look(at=(0, 2, 0))
    with pytest.raises(ValueError, match="inside the grid"):
        explained.block().look((99, 0, 0))
