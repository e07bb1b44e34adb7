"""A described network on made-up items, once, when it is opened: layers that do not fit, that would fill the memory or
that mix the items of a batch are named."""

from __future__ import annotations

import math

from analysis.errors import InputError
from analysis.sources.loaded_model import FORWARD_FAILURES

MOST_NUMBERS = 1 << 25  # that one layer makes of one item
UNFOLDED = 8  # times as many that a convolution may lay out to make them
ITEMS = 3
APART = 1e-3  # of the largest output, between an item alone and among others: far above rounding


def outputs_of(module, shape: tuple[int, ...], dtype: str, where: str) -> int:
    """How many numbers the network gives for an item. Raises InputError naming the layer that cannot take what it
    gets, and for outputs that are no vector or depend on the other items."""
    import torch

    draw = torch.Generator().manual_seed(0)
    x = torch.randn((ITEMS, *shape), dtype=getattr(torch, dtype), generator=draw)
    together, alone = (_run(module, given, shape, where) for given in (x, x[:1]))
    if together.ndim != 2:
        raise InputError(
            f"{where}: the last layer gives {tuple(together.shape[1:])} for an item", "a vector",
            "Add a Flatten or a GlobalMean",
        )  # fmt: skip
    apart, size = (together[:1] - alone).abs().max(), together.abs().max()
    if together.shape[0] != ITEMS or apart > APART * size:
        raise InputError(
            f"{where}: what an item gives depends on the items beside it", "layers that keep them apart"
        )
    return int(together.shape[1])


def _run(module, x, shape: tuple[int, ...], where: str):
    import torch

    last: list = ["", "", shape]
    named = {m: name for name, m in module.named_modules() if not any(True for _ in m.children())}

    def before(layer, given) -> None:
        last[:] = [named[layer], type(layer).__name__, tuple(given[0].shape[1:])]
        refuse_axes(layer, last[2])
        made = numbers_of(layer, last[2])
        if made > MOST_NUMBERS:
            raise ValueError(f"it would make {made:,} numbers of one item, more than {MOST_NUMBERS:,}")

    handles = [m.register_forward_pre_hook(before) for m in named]
    try:
        with torch.no_grad():
            return module(x)
    except FORWARD_FAILURES as error:
        name, kind, given = last
        said = (str(error).strip().splitlines() or [""])[0][:160]
        raise InputError(
            f"{where}: layer '{name}' ({kind}) cannot take an item of shape {given}, or what follows what it gives "
            f"({said})",
            f"layers whose sizes fit, beginning with an item of shape {shape}",
            "Compare the sizes with the input",
        ) from None
    finally:
        for handle in handles:
            handle.remove()


def _axes(layer) -> int:
    """Of positions, for a convolution, a pool or a BatchNorm2d; 0 for others."""
    kind = type(layer).__name__
    return int(kind[-2]) if kind.endswith("d") and kind[-2:-1].isdigit() and kind != "BatchNorm1d" else 0


def refuse_axes(layer, shape: tuple[int, ...]) -> None:
    """torch would take a batch of another number of axes for one item."""
    axes = _axes(layer)
    if axes and "Dropout" not in type(layer).__name__ and len(shape) != axes + 1:
        raise ValueError(f"it takes channels and {axes} axes of positions")


def numbers_of(layer, shape: tuple[int, ...]) -> int:
    """At most how many numbers a layer makes of an item of this shape, or pads it to."""
    kind, axes = type(layer).__name__, _axes(layer)
    if kind == "Linear":
        return math.prod(shape[:-1]) * layer.out_features
    if kind.startswith("Adaptive"):
        return shape[0] * math.prod(_each(layer.output_size, axes))
    if not kind.startswith(("Conv", "MaxPool", "AvgPool")):
        return math.prod(shape)
    padding = layer.padding
    if padding == "same":  # half of what the kernel reaches over, on both sides
        reach = zip(_each(layer.dilation, axes), _each(layer.kernel_size, axes), strict=True)
        padding = tuple(-(-d * (k - 1) // 2) for d, k in reach)
    padding = 0 if isinstance(padding, str) else padding
    padded = [n + 2 * p for n, p in zip(shape[1:], _each(padding, axes), strict=True)]
    strides = _each(layer.stride, axes)
    made = [n // s + 2 for n, s in zip(padded, strides, strict=True)]
    channels = getattr(layer, "out_channels", shape[0])
    kernel = math.prod(_each(layer.kernel_size, axes)) if kind.startswith("Conv") else 1
    unfolded = (
        shape[0] // getattr(layer, "groups", 1) * kernel * math.prod(made)
    )  # as float64 convolutions are made
    return max(shape[0] * math.prod(padded), channels * math.prod(made), unfolded // UNFOLDED)


def _each(value, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes
