"""Single non-local blocks of five libraries: random states under their names, and what each computes.

Where each fact stands:
- AlexHex7/Non-local_pytorch, lib/non_local_{embedded_gaussian,gaussian,dot_product,concatenation}.py: no scale in any
  mode; g and phi are pooled after their convolution (the Gaussian's phi is the pool of x alone, theta is x itself);
  bias everywhere but in `concat_project`, a 2-D convolution (1, 2d, 1, 1) in every dimension; `W` a convolution, or a
  sequence of it and a BatchNorm.
- open-mmlab/mmcv, mmcv/cnn/bricks/non_local.py: the same, in ConvModules (`.conv`, `.bn`); `use_scale` (the default)
  divides the embedded Gaussian's logits alone by sqrt(d), never the Gaussian's; `conv_out` loses its bias where a norm
  follows (ConvModule's bias="auto"); reduction gives d = max(C // reduction, 1).
- facebookresearch/SlowFast, slowfast/models/nonlocal_helper.py: see `slowfast`.
- facebookresearch/pytorchvideo, pytorchvideo/layers/nonlocal_net.py: SlowFast's block with its BatchNorm called `norm`,
  absent where norm=None; `create_nonlocal` pools nothing (1, 1, 1) and takes the softmax unless told otherwise.
- dmlc/gluon-cv, gluoncv/torch/model_zoo/action_recognition/non_local.py: only nonlocal_type="gaussian" computes (the
  others raise): the embedded Gaussian with d^-0.5, no pooling (its subsampling calls MaxPool with an argument that
  does not exist); `W` and `bn` are stored a second time as `W_bn.0` and `W_bn.1`; the BatchNorm's momentum is 0.9.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from . import slowfast
from .draws import Draws
from .layers import attend, convolution, pool_space

State = dict[str, Tensor]
MODES = ("gaussian", "embedded_gaussian", "dot_product", "concatenation")


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array)


def _norm(draws: Draws, prefix: str, channels: int) -> State:
    return {
        f"{prefix}.weight": _tensor(draws.scale(channels, last=True)),
        f"{prefix}.bias": _tensor(draws.shift(channels)),
        f"{prefix}.running_mean": _tensor(draws.mean(channels)),
        f"{prefix}.running_var": _tensor(draws.var(channels, small=True)),
        f"{prefix}.num_batches_tracked": torch.tensor(1000),
    }


def _convolution(
    draws: Draws, prefix: str, out: int, into: int, ndim: int, *, output: bool = False, bias: bool = True
) -> State:
    shape = (out, into) + (1,) * ndim
    state = {f"{prefix}.weight": _tensor(draws.output(shape) if output else draws.embedding(shape))}
    return state | ({f"{prefix}.bias": _tensor(draws.shift(out))} if bias else {})


def _embeddings(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, tuple[Tensor, Tensor]]:
    present = {key: name for key, name in names.items() if f"{name}.weight" in state}
    return {key: (state[f"{name}.weight"], state[f"{name}.bias"]) for key, name in present.items()}


def _four_modes(
    x: Tensor,
    *,
    mode: str,
    embed: Mapping[str, tuple[Tensor, Tensor]],
    sub_sample: bool,
    scaled: bool,
    w_f: Tensor | None,
    pool_first: bool = False,
) -> Tensor:
    """y (B, d, ...) of the two libraries that have every mode; embed holds theta, phi and g's weights and biases."""
    pooled = pool_space(x) if sub_sample and pool_first else x

    def keys(name: str) -> Tensor:
        value = convolution(pooled, *embed[name]) if name in embed else pooled
        return pool_space(value) if sub_sample and not pool_first else value

    theta = convolution(x, *embed["theta"]) if "theta" in embed else x
    phi, g = keys("phi"), keys("g")
    scale = theta.shape[1] ** -0.5 if scaled and mode == "embedded_gaussian" else 1.0
    pairwise = "gaussian" if mode.endswith("gaussian") else mode
    y = attend(theta.flatten(2), phi.flatten(2), g.flatten(2), pairwise=pairwise, scale=scale, w_f=w_f)
    return y.view(x.shape[0], g.shape[1], *x.shape[2:])


def make_alexhex7(
    *,
    ndim: int = 3,
    mode: str = "embedded_gaussian",
    channels: int = 8,
    inner: int | None = None,
    sub_sample: bool = True,
    bn_layer: bool = True,
    seed: int = 0,
) -> State:
    """The state of NONLocalBlock{1,2,3}D."""
    draws, inner = Draws(seed), inner or channels // 2
    pooled = ".0" if sub_sample else ""
    state = _convolution(draws, f"g{pooled}", inner, channels, ndim)
    state |= _convolution(draws, "W.0" if bn_layer else "W", channels, inner, ndim, output=True)
    if bn_layer:
        state |= _norm(draws, "W.1", channels)
    if mode != "gaussian":
        state |= _convolution(draws, "theta", inner, channels, ndim)
        state |= _convolution(draws, f"phi{pooled}", inner, channels, ndim)
    if mode == "concatenation":
        state["concat_project.0.weight"] = _tensor(draws.normal((1, 2 * inner, 1, 1), inner**-0.5))
    return state


def alexhex7(
    state: Mapping[str, Tensor], x: Tensor, *, mode: str, sub_sample: bool = True, pool_first: bool = False
) -> Tensor:
    """NONLocalBlock{1,2,3}D on x (B, C, ...), with one to three dimensions of positions."""
    pooled = ".0" if sub_sample else ""
    names = {"theta": "theta", "phi": f"phi{pooled}", "g": f"g{pooled}"}
    embed = {
        key: (state[f"{name}.weight"], state[f"{name}.bias"])
        for key, name in names.items()
        if f"{name}.weight" in state
    }
    w_f = state.get("concat_project.0.weight")
    y = _four_modes(x, mode=mode, embed=embed, sub_sample=sub_sample, scaled=False, w_f=w_f, pool_first=pool_first)
    if "W.weight" in state:
        return x + convolution(y, state["W.weight"], state["W.bias"])
    out = convolution(y, state["W.0.weight"], state["W.0.bias"])
    return x + slowfast.norm_layer(state, out, "W.1")


def make_mmcv(
    *,
    ndim: int = 3,
    mode: str = "embedded_gaussian",
    channels: int = 8,
    reduction: int = 2,
    sub_sample: bool = False,
    norm: bool = True,
    prefix: str = "",
    draws: Draws | None = None,
    seed: int = 0,
) -> State:
    """The state of NonLocal{1,2,3}d under `prefix`; norm is a norm_cfg of BatchNorm, whose module is called `bn`."""
    draws, inner = draws or Draws(seed), max(channels // reduction, 1)
    pooled = ".0" if sub_sample else ""
    state = _convolution(draws, f"{prefix}g{pooled}.conv", inner, channels, ndim)
    state |= _convolution(draws, f"{prefix}conv_out.conv", channels, inner, ndim, output=True, bias=not norm)
    if norm:
        state |= _norm(draws, f"{prefix}conv_out.bn", channels)
    if mode != "gaussian":
        state |= _convolution(draws, f"{prefix}theta.conv", inner, channels, ndim)
        state |= _convolution(draws, f"{prefix}phi{pooled}.conv", inner, channels, ndim)
    if mode == "concatenation":
        weight = draws.normal((1, 2 * inner, 1, 1), inner**-0.5)
        state[f"{prefix}concat_project.conv.weight"] = _tensor(weight)
    return state


def mmcv(
    state: Mapping[str, Tensor],
    x: Tensor,
    *,
    mode: str,
    sub_sample: bool = False,
    use_scale: bool = True,
    prefix: str = "",
    eps: float = 1e-5,
    pool_first: bool = False,
) -> Tensor:
    """NonLocal{1,2,3}d on x (B, C, ...); sub_sample and use_scale have mmcv's defaults."""
    pooled = ".0" if sub_sample else ""
    names = {"theta": f"{prefix}theta.conv", "phi": f"{prefix}phi{pooled}.conv", "g": f"{prefix}g{pooled}.conv"}
    embed = {
        key: (state[f"{name}.weight"], state[f"{name}.bias"])
        for key, name in names.items()
        if f"{name}.weight" in state
    }
    w_f = state.get(f"{prefix}concat_project.conv.weight")
    y = _four_modes(x, mode=mode, embed=embed, sub_sample=sub_sample, scaled=use_scale, w_f=w_f, pool_first=pool_first)
    out = convolution(y, state[f"{prefix}conv_out.conv.weight"], state.get(f"{prefix}conv_out.conv.bias"))
    if f"{prefix}conv_out.bn.weight" in state:
        out = slowfast.norm_layer(state, out, f"{prefix}conv_out.bn", eps=eps)
    return x + out


def make_slowfast(*, channels: int = 8, inner: int | None = None, seed: int = 0) -> State:
    """The state of SlowFast's Nonlocal: conv_theta, conv_phi, conv_g, conv_out, bn."""
    return slowfast.draw_state(slowfast.nonlocal_shapes(channels, inner or channels // 2), seed=seed)


def slowfast_block(
    state: Mapping[str, Tensor], x: Tensor, *, instantiation: str, pool: tuple[int, int, int] | None = (1, 2, 2)
) -> Tensor:
    """SlowFast's Nonlocal on x (B, C, T, H, W); instantiation "softmax" or "dot_product"."""
    return slowfast.nonlocal_block(state, x, instantiation=instantiation, pool=pool)


def make_pytorchvideo(*, channels: int = 8, inner: int | None = None, norm: bool = True, seed: int = 0) -> State:
    """The state of create_nonlocal(dim_in=channels, dim_inner=inner): conv_theta, conv_phi, conv_g, conv_out, norm."""
    wanted = slowfast.nonlocal_shapes(channels, inner or channels // 2, norm="norm" if norm else None)
    return slowfast.draw_state(wanted, seed=seed)


def pytorchvideo(
    state: Mapping[str, Tensor], x: Tensor, *, instantiation: str = "softmax", pool: tuple[int, int, int] | None = None
) -> Tensor:
    """PyTorchVideo's NonLocal on x (B, C, T, H, W), with create_nonlocal's defaults."""
    norm = "norm" if "norm.weight" in state else None
    return slowfast.nonlocal_block(state, x, instantiation=instantiation, pool=pool, norm=norm)


def make_gluoncv(
    *, ndim: int = 3, channels: int = 8, inner: int | None = None, use_bn: bool = True, prefix: str = "", seed: int = 0
) -> State:
    """The state of NonLocal(nonlocal_type="gaussian", embed=True); prefix e.g. "res_layers.1.1.nonlocal_block."."""
    draws, inner = Draws(seed), inner or channels // 2
    state: State = {}
    for name in ("theta", "phi", "g"):
        state |= _convolution(draws, f"{prefix}{name}", inner, channels, ndim)
    last = _convolution(draws, f"{prefix}W", channels, inner, ndim, output=True)
    if not use_bn:
        return state | last
    norm = _norm(draws, f"{prefix}bn", channels)
    again = {key.replace(f"{prefix}W.", f"{prefix}W_bn.0."): value for key, value in last.items()}
    again |= {key.replace(f"{prefix}bn.", f"{prefix}W_bn.1."): value for key, value in norm.items()}
    return state | last | norm | again


def gluoncv(state: Mapping[str, Tensor], x: Tensor, *, prefix: str = "", scaled: bool = True) -> Tensor:
    """GluonCV's NonLocal on x (B, C, ...), with two or three dimensions of positions."""

    def embed(name: str, value: Tensor) -> Tensor:
        return convolution(value, state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"])

    theta, phi, g = embed("theta", x), embed("phi", x), embed("g", x)
    scale = theta.shape[1] ** -0.5 if scaled else 1.0
    y = attend(theta.flatten(2), phi.flatten(2), g.flatten(2), pairwise="gaussian", scale=scale)
    out = embed("W", y.view_as(theta))
    return x + (slowfast.norm_layer(state, out, f"{prefix}bn") if f"{prefix}bn.weight" in state else out)
