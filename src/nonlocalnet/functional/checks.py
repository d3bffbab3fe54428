"""What the four functions ask of their tensors, refused by argument name.

    theta, phi, g    (B, N, C), (B, M, C), (B, M, D): floating, one device, one dtype (any floating mix under autocast)
    key_mask         (B, M) bool
    w_f              (2C,): theta's half, then phi's half

B = 0 and N = 0 are allowed and give an empty result (a detector hands over batches of no regions); a sum over M = 0
positions has no value, and C = 0 or D = 0 is a caller's slip.
"""

import math

import torch
from torch import Tensor

from nonlocalnet.functional.precision import autocast_is_on


def check_operands(
    queries: tuple[str, Tensor], keys: tuple[str, Tensor], g: Tensor, *, key_mask: Tensor | None, least_keys: int = 1
) -> None:
    """Check all that a sum takes, each side given as (argument name, tensor); `least_keys` is 0 where M may be.

    Raises:
        ValueError: naming the argument, what was given and what was expected.
    """
    check_queries_and_keys(queries, keys, least_keys=least_keys)
    check_values(keys, g)
    check_key_mask(keys, key_mask)


def check_queries_and_keys(queries: tuple[str, Tensor], keys: tuple[str, Tensor], *, least_keys: int = 1) -> None:
    """Check the two sides of a pairwise function, each given as (argument name, tensor); `least_keys` as above.

    Raises:
        ValueError: naming the argument, what was given and what was expected.
    """
    for name, tensor in (queries, keys):
        _check_three_dims(name, tensor)
    (query_name, query), (key_name, key) = queries, keys
    if query.shape[0] != key.shape[0]:
        raise ValueError(f"{query_name} and {key_name} must have the same batch size; got {_shapes(queries, keys)}")
    if query.shape[2] != key.shape[2]:
        raise ValueError(
            f"{query_name} and {key_name} must have the same number of channels C (last dimension); "
            f"got {_shapes(queries, keys)}"
        )
    if query.shape[2] == 0:
        raise ValueError(f"{query_name} and {key_name} must have at least one channel; got {_shapes(queries, keys)}")
    if key.shape[1] < least_keys:
        raise ValueError(f"{key_name} must have at least one position to sum over; got {_shapes(keys)}")
    _check_same_kind(queries, keys)


def check_values(keys: tuple[str, Tensor], g: Tensor) -> None:
    """Check `g` against the positions it is summed over.

    Raises:
        ValueError: naming the argument, what was given and what was expected.
    """
    _check_three_dims("g", g)
    name, key = keys
    if g.shape[0] != key.shape[0] or g.shape[1] != key.shape[1]:
        raise ValueError(f"g must have {name}'s batch size and number of positions M; got {_shapes(keys, ('g', g))}")
    if g.shape[2] == 0:
        raise ValueError(f"g must have at least one channel; got {_shapes(('g', g))}")
    _check_same_kind(keys, ("g", g))


def check_key_mask(keys: tuple[str, Tensor], key_mask: Tensor | None) -> None:
    """Check that `key_mask` is (B, M) bool beside the keys.

    Raises:
        ValueError: naming what was given and what was expected.
    """
    if key_mask is None:
        return
    require_tensor("key_mask", key_mask)
    name, key = keys
    if key_mask.dtype != torch.bool:
        raise ValueError(f"key_mask must be bool (True: summed over); got {key_mask.dtype}: use key_mask.bool()")
    if key_mask.ndim != 2 or key_mask.shape[0] != key.shape[0] or key_mask.shape[1] != key.shape[1]:
        raise ValueError(f"key_mask must be (B, M) beside {name}; got {_shapes(('key_mask', key_mask), keys)}")
    _check_device(keys, ("key_mask", key_mask))


def check_w_f(keys: tuple[str, Tensor], w_f: Tensor) -> None:
    """Check that `w_f` is (2C,): theta's half, then phi's.

    Raises:
        ValueError: naming what was given and what was expected.
    """
    require_tensor("w_f", w_f)
    channels = keys[1].shape[2]
    if w_f.ndim != 1 or w_f.shape[0] != 2 * channels:
        raise ValueError(
            f"w_f must be (2C,): {2 * channels} numbers, theta's {channels} and then phi's {channels}; "
            f"got {_shapes(('w_f', w_f))}"
        )
    _check_same_kind(keys, ("w_f", w_f))


def check_at_least(name: str, value: int, least: int, *, meaning: str = "") -> None:
    """Check that `value` is an integer of at least `least`.

    Raises:
        ValueError: naming it, and in brackets what it means.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        what = f" ({meaning})" if meaning else ""
        raise ValueError(f"{name} must be an integer of at least {least}{what}; got {value!r}")


def check_scale(scale: float) -> None:
    """Check that `scale` is a finite number.

    Raises:
        ValueError: for infinity and NaN.
    """
    # In a form that torch.compile traces; numbers of NumPy and tensors of one count as numbers.
    if not hasattr(scale, "__float__") or not -math.inf < scale < math.inf:
        raise ValueError(f"scale must be a finite number; got {scale!r}")


def checked_seen(seen_N: Tensor | None, queries: int, keys: int, device: torch.device) -> Tensor:
    """How many of the first keys each query has seen, (N,) int64; i + 1 where it is not given.

    Raises:
        ValueError: For a wrong shape, dtype or range, where it decreases, or is left out though N and M differ.
    """
    if seen_N is None:
        if queries != keys:
            raise ValueError(
                f"seen_N must say what each query has seen where N and M differ; got N={queries}, M={keys}"
            )
        return torch.arange(1, queries + 1, device=device)
    require_tensor("seen_N", seen_N)
    if seen_N.shape != (queries,) or seen_N.dtype != torch.int64:
        raise ValueError(f"seen_N must be (N,) = ({queries},) int64; got {tuple(seen_N.shape)} {seen_N.dtype}")
    seen_N = seen_N.to(device)
    # Its values cannot be asked for while a graph is traced, nor on "meta".
    if not torch.compiler.is_compiling() and not seen_N.is_meta and queries > 0:
        if int(seen_N.min()) < 0 or int(seen_N.max()) > keys:
            raise ValueError(f"seen_N must be from 0 to M = {keys}; got {int(seen_N.min())} to {int(seen_N.max())}")
        if queries > 1 and bool((seen_N[1:] < seen_N[:-1]).any()):
            raise ValueError("seen_N must never decrease from one query to the next")
    return seen_N


def require_tensor(name: str, value: object) -> None:
    """Refuse a list, an array or None where a tensor belongs.

    Raises:
        ValueError: Naming it and its type.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor; got a {type(value).__name__}: use torch.as_tensor")


def _check_three_dims(name: str, tensor: Tensor) -> None:
    require_tensor(name, tensor)
    if tensor.ndim != 3:
        raise ValueError(
            f"{name} must have 3 dimensions (batch, positions, channels); got {_shapes((name, tensor))}: "
            "flatten space and time into one positions dimension"
        )
    if not tensor.is_floating_point():
        raise ValueError(f"{name} must be floating point; got {tensor.dtype}")


def _check_same_kind(first: tuple[str, Tensor], second: tuple[str, Tensor]) -> None:
    _check_device(first, second)
    (first_name, one), (second_name, other) = first, second
    if one.dtype != other.dtype and not autocast_is_on(one):
        raise ValueError(
            f"{first_name} and {second_name} must have the same dtype outside autocast; "
            f"got {one.dtype} and {other.dtype}"
        )


def _check_device(first: tuple[str, Tensor], second: tuple[str, Tensor]) -> None:
    (first_name, one), (second_name, other) = first, second
    if one.device != other.device:
        raise ValueError(
            f"{first_name} and {second_name} must be on the same device; got {one.device} and {other.device}"
        )


def _shapes(*named: tuple[str, Tensor]) -> str:
    return " and ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in named)
