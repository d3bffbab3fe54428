"""Real networks of torchvision and timm: where blocks go in, where they are refused, and that nothing else changes."""

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torchvision.models import vgg
from torchvision.models.vision_transformer import VisionTransformer

from insert.nets import trained
from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks

IMAGE = (1, 3, 64, 64)
EXAMPLE = torch.zeros(IMAGE)
SHAPES = {"r3d": (1, 3, 4, 32, 32), "r2plus1d": (1, 3, 4, 32, 32), "vit": (1, 3, 32, 32)}


def small_vit():
    model = VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5)
    nn.init.normal_(model.heads.head.weight)  # zero as built: nothing before it could be seen
    return model


NETWORKS = {
    "resnet18": lambda: tv.resnet18(),
    "mobilenet_v2": lambda: tv.mobilenet_v2(),
    "mobilenet_v3": lambda: tv.mobilenet_v3_small(),
    "convnext": lambda: tv.convnext_tiny(),
    "efficientnet": lambda: tv.efficientnet_b0(),
    "regnet": lambda: tv.regnet_y_400mf(),
    "vgg11": lambda: vgg.make_layers(vgg.cfgs["A"]),
    "densenet": lambda: tv.densenet121(),
    "googlenet": lambda: tv.googlenet(init_weights=False, aux_logits=False),
    "swin": lambda: tv.swin_t(),
    "vit": small_vit,
    "r3d": lambda: tv.video.r3d_18(),
    "r2plus1d": lambda: tv.video.r2plus1d_18(),
    "timm resnet": lambda: timm.create_model("resnet50d"),
    "timm regnet": lambda: timm.create_model("regnety_002"),
    "timm convnext": lambda: timm.create_model("convnext_atto"),
    "timm vit": lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=5),
    "timm swin": lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=64),
}

# network, paths and what else is said -> {path of the block: (channels, ndim)}
INSERTED = [
    (
        "resnet18",
        {"after": ["layer3.1", "layer2.0.conv1", "layer1"], "before": ["layer4", "layer2.1"]},
        {
            "layer1.1_nonlocal": (64, 2),
            "layer2.0.conv1.nonlocal_after": (128, 2),
            "layer2.1_nonlocal_before": (128, 2),
            "layer3.1_nonlocal": (256, 2),
            "layer4.0_nonlocal_before": (256, 2),
        },
    ),
    ("resnet18", {"after": ["maxpool"], "channels": 64}, {"maxpool.nonlocal_after": (64, 2)}),
    ("resnet18", {"before": ["maxpool"], "example_input": EXAMPLE}, {"maxpool.nonlocal_before": (64, 2)}),
    ("mobilenet_v2", {"after": ["features.5"]}, {"features.5_nonlocal": (32, 2)}),
    ("mobilenet_v2", {"after": ["features.3.conv.0"]}, {"features.3.conv.0_nonlocal": (144, 2)}),
    ("mobilenet_v3", {"after": ["features.5"]}, {"features.5_nonlocal": (40, 2)}),
    (
        "convnext",
        {"after": ["features.1.0", "features.2"]},
        {"features.1.0_nonlocal": (96, 2), "features.2_nonlocal": (192, 2)},
    ),
    ("efficientnet", {"after": ["features.3.1"]}, {"features.3.1_nonlocal": (40, 2)}),
    ("regnet", {"after": ["trunk_output.block2"]}, {"trunk_output.block2_nonlocal": (104, 2)}),
    ("vgg11", {"after": ["1"], "before": ["4"]}, {"1_nonlocal": (64, 2), "4_nonlocal_before": (128, 2)}),
    ("densenet", {"after": ["features.denseblock1"], "channels": 256}, {"features.denseblock1_nonlocal": (256, 2)}),
    (
        "densenet",
        {"after": ["features.denseblock1", "features.denseblock1.denselayer2"], "example_input": EXAMPLE},
        {"features.denseblock1.denselayer2.nonlocal_after": (32, 2), "features.denseblock1_nonlocal": (256, 2)},
    ),
    (
        "googlenet",
        {"after": ["inception3a", "conv1"], "example_input": EXAMPLE},
        {"conv1.nonlocal_after": (64, 2), "inception3a.nonlocal_after": (256, 2)},
    ),
    ("googlenet", {"after": ["conv2"]}, {"conv2.nonlocal_after": (64, 2)}),
    ("vit", {"after": ["conv_proj"]}, {"conv_proj.nonlocal_after": (16, 2)}),
    (
        "r3d",
        {"after": ["layer2.0", "layer1.1.conv1"], "before": ["layer3"]},
        {"layer1.1.conv1.2_nonlocal": (64, 3), "layer2.0_nonlocal": (128, 3), "layer3.0_nonlocal_before": (128, 3)},
    ),
    ("r2plus1d", {"after": ["layer2.0"]}, {"layer2.0_nonlocal": (128, 3)}),
    ("timm resnet", {"after": ["layer3.1"]}, {"layer3.1_nonlocal": (1024, 2)}),
    ("timm regnet", {"after": ["s3"], "channels": 152}, {"s3_nonlocal": (152, 2)}),
    ("timm convnext", {"after": ["stages.1"], "example_input": EXAMPLE}, {"stages.1_nonlocal": (80, 2)}),
]


@pytest.mark.parametrize(("network", "arguments", "expected"), INSERTED)
def test_inserted(network, arguments, expected):
    model, x = NETWORKS[network]().eval(), torch.randn(SHAPES.get(network, IMAGE))
    with torch.no_grad():
        y, keys = model(x), list(model.state_dict())
        assert insert_nonlocal(model, **arguments) is model
        assert torch.equal(model(x), y)
        assert [key for key in model.state_dict() if key in set(keys)] == keys
        blocks = nonlocal_blocks(model)
        assert {path: (block.channels, block.ndim) for path, block in blocks.items()} == expected
        # Every block really runs, and once; and the comparison above can fail.
        calls = [[] for _ in blocks]
        for block, seen in zip(blocks.values(), calls, strict=True):
            block.register_forward_hook(lambda *call, seen=seen: seen.append(call))
        assert not torch.equal(trained(model)(x), y)
        assert [len(seen) for seen in calls] == [1] * len(blocks)


REFUSED = [
    (
        "resnet18",
        {"after": ["maxpool"]},
        r"after='maxpool' \(MaxPool2d\): how many channels .*pass channels=.*example_input=",
    ),
    ("vgg11", {"after": ["2"]}, r"after='2' \(MaxPool2d\): how many channels"),
    ("densenet", {"after": ["features.denseblock1"]}, r"\(_DenseBlock\): how many channels"),
    ("googlenet", {"after": ["inception3a"]}, r"after='inception3a' \(Inception\): how many channels"),
    ("timm regnet", {"after": ["s3"]}, r"after='s3' \(RegStage\): how many channels"),
    ("resnet18", {"after": ["fc"], "channels": 1000}, r"after='fc' \(Linear\) has channels-last or token features"),
    ("convnext", {"after": ["features.1.0.block.2"]}, r"\(LayerNorm\) has channels-last or token features"),
    ("convnext", {"after": ["features.1.0.block.4"]}, r"\(GELU\) has channels-last .* \(its Linear works on"),
    ("convnext", {"after": ["features.1.0.block.1"], "channels": 96}, r"\(Permute\) has channels-last"),
    ("swin", {"after": ["features.1"], "channels": 96}, r"\(its SwinTransformerBlock works on the last axis\)"),
    ("swin", {"after": ["features.0"], "channels": 96}, r"'features.0' \(Sequential\) has .* \(its LayerNorm works"),
    ("swin", {"before": ["features.2"], "example_input": EXAMPLE}, r"\(PatchMerging\) has channels-last or token"),
    (
        "vit",
        {"after": ["encoder.layers.encoder_layer_1"], "channels": 16},
        r"\(EncoderBlock\) has channels-last or token",
    ),
    ("timm vit", {"after": ["blocks.3"], "channels": 192}, r"'blocks.3' \(Block\) has channels-last or token features"),
    ("timm vit", {"after": ["blocks.0.mlp.act"], "example_input": EXAMPLE}, r"\(GELU\) has .* \(its Mlp works"),
    ("timm vit", {"after": ["patch_embed"], "example_input": EXAMPLE}, r"\(1, 16, 192\) .* channels-last or tokens"),
    (
        "timm swin",
        {"after": ["patch_embed"], "example_input": EXAMPLE},
        r"\(1, 16, 16, 96\) .* channels-last or tokens",
    ),
    ("timm swin", {"after": ["layers.1"], "channels": 192}, r"\(SwinTransformerStage\) has channels-last or token"),
]


@pytest.mark.parametrize(("network", "arguments", "message"), REFUSED)
def test_refused(network, arguments, message):
    model = NETWORKS[network]()
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        insert_nonlocal(model, **arguments)
    assert list(model.state_dict()) == keys


def test_training_loss_stays_the_same():
    """In train mode too, BatchNorm and all; and the existing statistics move as they would have."""
    torch.manual_seed(1)
    plain, x = tv.resnet18(), torch.randn(2, 3, 64, 64)
    model = tv.resnet18()
    model.load_state_dict(plain.state_dict())
    insert_nonlocal(model, after=["layer3.0"], before=["layer2.1"])
    assert torch.equal(model(x), plain(x))
    state = model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in plain.state_dict().items())


@pytest.mark.parametrize("place", ["features.3", "features.3.0", "features.5"])
def test_convnext_blocks_end_channels_first_by_example_too(place):
    model = insert_nonlocal(tv.convnext_tiny(), after=[place], example_input=EXAMPLE)
    (block,) = nonlocal_blocks(model).values()
    assert block.channels == (192 if place.startswith("features.3") else 384)


def test_the_inside_of_a_convnext_block_is_still_refused_by_example():
    with pytest.raises(ValueError, match="channels-last"):
        insert_nonlocal(tv.convnext_tiny(), after=["features.3.0.block.3"], example_input=EXAMPLE)
