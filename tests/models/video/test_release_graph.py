"""Networks against an independent statement of the released and of the paper's graph, written from the specification.

Nothing of the library is called here but the network under test; its tensors are read by name.
"""

import pytest
import torch
import torch.nn.functional as F

from models.video.helpers import tiny
from nonlocalnet import models

# stride of conv1; kernel, stride and padding of pool1 and of pool2
GRAPHS = {
    ("release", "8x8"): ((1, 2, 2), ((1, 3, 3), (1, 2, 2), 0), ((2, 1, 1), (2, 1, 1), 0)),
    ("release", "32x2"): ((2, 2, 2), ((2, 3, 3), (2, 2, 2), 0), ((2, 1, 1), (2, 1, 1), 0)),
    ("paper", "32x2"): ((2, 2, 2), ((3, 3, 3), (2, 2, 2), 1), ((3, 1, 1), (2, 1, 1), (1, 0, 0))),
}
NUM_BLOCKS = {50: {"res2": 3, "res3": 4, "res4": 6, "res5": 3}, 101: {"res2": 3, "res3": 4, "res4": 23, "res5": 3}}
FOLLOWED = {50: {"res3": (1, 3), "res4": (1, 3, 5)}, 101: {"res3": (1, 3), "res4": (6, 13, 20)}}


def convolve(tensors, name, x, stride=(1, 1, 1)):
    kernel = tensors[f"{name}.weight"]
    padding = [size // 2 for size in kernel.shape[2:]]
    return F.conv3d(x, kernel, tensors.get(f"{name}.bias"), stride=stride, padding=padding)


def normalise(tensors, name, x):
    scale, shift, mean, variance = (
        tensors[f"{name}.{part}"].view(-1, 1, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def residual(tensors, path, x, stride):
    out = F.relu(normalise(tensors, f"{path}.norm1", convolve(tensors, f"{path}.conv1", x)))
    out = F.relu(normalise(tensors, f"{path}.norm2", convolve(tensors, f"{path}.conv2", out, (1, stride, stride))))
    out = normalise(tensors, f"{path}.norm3", convolve(tensors, f"{path}.conv3", out))
    if f"{path}.downsample.conv.weight" in tensors:
        x = convolve(tensors, f"{path}.downsample.conv", x, (1, stride, stride))
        x = normalise(tensors, f"{path}.downsample.norm", x)
    return F.relu(out + x)


def nonlocal_sum(tensors, path, x, variant):
    def pool(maps):
        return F.max_pool3d(maps, (1, 2, 2))

    theta = convolve(tensors, f"{path}.theta", x).flatten(2)
    if variant == "release":
        phi, g = (convolve(tensors, f"{path}.{name}", pool(x)).flatten(2) for name in ("phi", "g"))
        scale = theta.shape[1] ** -0.5
    else:
        phi, g = (pool(convolve(tensors, f"{path}.{name}", x)).flatten(2) for name in ("phi", "g"))
        scale = 1.0
    weights = (torch.einsum("bcn,bcm->bnm", theta, phi) * scale).softmax(-1)
    y = torch.einsum("bnm,bcm->bcn", weights, g).reshape(x.shape[0], -1, *x.shape[2:])
    return x + normalise(tensors, f"{path}.norm", convolve(tensors, f"{path}.out", y))


def logits(tensors, x, *, depth, variant, clip, with_blocks):
    conv1_stride, pool1, pool2 = GRAPHS[variant, clip]
    x = F.relu(normalise(tensors, "stem.norm", convolve(tensors, "stem.conv", x, conv1_stride)))
    x = F.max_pool3d(x, *pool1)
    for stage, num_blocks in NUM_BLOCKS[depth].items():
        for index in range(num_blocks):
            x = residual(tensors, f"{stage}.{index}", x, 2 if index == 0 and stage != "res2" else 1)
            if with_blocks and index in FOLLOWED[depth].get(stage, ()):
                x = nonlocal_sum(tensors, f"{stage}.{index}_nonlocal", x, variant)
        if stage == "res2":
            x = F.max_pool3d(x, *pool2)
    return F.linear(x.mean((2, 3, 4)), tensors["head.projection.weight"], tensors["head.projection.bias"])


@pytest.mark.parametrize(("variant", "clip"), GRAPHS)
@pytest.mark.parametrize("with_blocks", [False, True])
@pytest.mark.parametrize("name", ["c2d_resnet50", "i3d_resnet50", "c2d_resnet101", "i3d_resnet101"])
def test_network_equals_the_specified_graph(name, with_blocks, variant, clip):
    model = tiny(getattr(models, name), nonlocal_blocks=5 if with_blocks else 0, variant=variant, clip=clip).double()
    for key, parameter in model.named_parameters():
        if "_nonlocal." in key and "norm" not in key:
            torch.nn.init.normal_(parameter, std=0.3)  # so that the softmax is far from uniform
    x = torch.randn(2, 3, 8, 61, 67, dtype=torch.float64)
    depth = int(name.removeprefix("c2d_resnet").removeprefix("i3d_resnet"))
    with torch.no_grad():
        expected = logits(model.state_dict(), x, depth=depth, variant=variant, clip=clip, with_blocks=with_blocks)
        torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
