"""The layers that a described network may be made of, with the arguments each takes; nothing else is built.

Two of them hold layers: Sequential, and Residual, which adds to its input what its layers make of it (or, with a
`shortcut`, to what that makes of it). GlobalMean is the mean over all positions of (samples, units, positions …).
torch is imported when a network is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from analysis.errors import InputError
from analysis.sources.declared.arguments import Rule, each, flag, last_axis, number, one_of, several, whole

SEQUENTIAL, RESIDUAL, GLOBAL_MEAN, SHORTCUT = "Sequential", "Residual", "GlobalMean", "shortcut"
HOLDERS = (SEQUENTIAL, RESIDUAL)
EPS = {"eps": number(0, 1)}


def _conv(axes: int) -> dict[str, Rule]:
    return {
        "in_channels": whole(), "out_channels": whole(), "kernel_size": each(axes), "stride": each(axes),
        "padding": each(axes, 0, words=("same", "valid")), "dilation": each(axes), "groups": whole(), "bias": flag,
        "padding_mode": one_of("zeros", "reflect", "replicate", "circular"),
    }  # fmt: skip


def _pool(axes: int, **more: Rule) -> dict[str, Rule]:
    return {
        "kernel_size": each(axes),
        "stride": each(axes),
        "padding": each(axes, 0),
        "ceil_mode": flag,
        **more,
    }


_batch_norm = {"num_features": whole(), **EPS, "momentum": number(0, 1), "affine": flag}

ARGUMENTS: dict[str, dict[str, Rule]] = {
    "Linear": {"in_features": whole(), "out_features": whole(), "bias": flag},
    "Conv1d": _conv(1),
    "Conv2d": _conv(2),
    "ReLU": {}, "ReLU6": {}, "SiLU": {}, "Mish": {}, "Hardswish": {}, "SELU": {}, "Tanh": {}, "Sigmoid": {},
    "GELU": {"approximate": one_of("none", "tanh")},
    "LeakyReLU": {"negative_slope": number()},
    "PReLU": {"num_parameters": whole()},
    "ELU": {"alpha": number()},
    "Softplus": {"beta": number(1e-6), "threshold": number()},
    "LogSoftmax": {"dim": last_axis},
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": {"normalized_shape": several(4), **EPS, "elementwise_affine": flag, "bias": flag},
    "GroupNorm": {"num_groups": whole(), "num_channels": whole(), **EPS, "affine": flag},
    "MaxPool1d": _pool(1, dilation=each(1)),
    "MaxPool2d": _pool(2, dilation=each(2)),
    "AvgPool1d": _pool(1, count_include_pad=flag),
    "AvgPool2d": _pool(2, count_include_pad=flag),
    "AdaptiveAvgPool1d": {"output_size": each(1)},
    "AdaptiveAvgPool2d": {"output_size": each(2)},
    "AdaptiveMaxPool1d": {"output_size": each(1)},
    "AdaptiveMaxPool2d": {"output_size": each(2)},
    "Flatten": {"start_dim": whole(1, 8), "end_dim": whole(-8, 8)},
    "Dropout": {"p": number(0, 1)},
    "Dropout1d": {"p": number(0, 1)},
    "Dropout2d": {"p": number(0, 1)},
    "Identity": {},
    GLOBAL_MEAN: {},
}  # fmt: skip

NEEDED = {
    "Linear": ("in_features", "out_features"),
    "BatchNorm1d": ("num_features",), "BatchNorm2d": ("num_features",),
    "LayerNorm": ("normalized_shape",), "GroupNorm": ("num_groups", "num_channels"),
    **{f"Conv{n}d": ("in_channels", "out_channels", "kernel_size") for n in (1, 2)},
    **{f"{kind}Pool{n}d": ("kernel_size",) for kind in ("Max", "Avg") for n in (1, 2)},
    **{f"Adaptive{kind}Pool{n}d": ("output_size",) for kind in ("Max", "Avg") for n in (1, 2)},
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """`args` as torch takes them; `layers` of a Sequential or Residual, `shortcut` of a Residual."""

    name: str
    type: str
    args: dict = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    shortcut: tuple[Layer, ...] = ()


def build(layers: tuple[Layer, ...], where: str):
    """The network on torch's "meta" device: its shapes without its numbers, whatever sizes are declared. Raises
    InputError naming the layer that torch will not build."""
    import torch

    with torch.device("meta"):
        root = _classes()[0]()
        _fill(root, layers, where, "")
    return root.eval()


def _fill(holder, layers: tuple[Layer, ...], where: str, prefix: str) -> None:
    for layer in layers:
        name = f"{prefix}{layer.name}"
        made = _made(layer, where, name)
        try:
            holder.add_module(layer.name, made)
        except KeyError:
            raise InputError(
                f"{where}: a layer is named '{name}', which torch uses itself", "another name"
            ) from None


def _made(layer: Layer, where: str, name: str):
    from torch import nn

    _, residual, mean = _classes()
    if layer.type == GLOBAL_MEAN:
        return mean()
    if layer.type in HOLDERS:
        holder = nn.Sequential() if layer.type == SEQUENTIAL else residual()
        _fill(holder, layer.layers, where, f"{name}.")
        if layer.shortcut:
            side = nn.Sequential()
            _fill(side, layer.shortcut, where, f"{name}.{SHORTCUT}.")
            holder.add_module(SHORTCUT, side)
        return holder
    try:
        return getattr(nn, layer.type)(**layer.args)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{where}: torch will not build layer '{name}' ({layer.type}): {str(error).splitlines()[0]}",
            "arguments that go together",
        ) from error


@lru_cache(maxsize=1)
def _classes():
    import torch
    from torch import nn

    class DeclaredNetwork(nn.Sequential):
        """Layers one after the other, as a description names them."""

    class Residual(nn.Module):
        """x or shortcut(x), and what the layers make of x."""

        def forward(self, x):
            made = x
            for name, layer in self._modules.items():
                if name != SHORTCUT:
                    made = layer(made)
            side = self._modules.get(SHORTCUT)
            beside = x if side is None else side(x)
            if made.shape != beside.shape:
                raise ValueError(f"a sum of {tuple(made.shape[1:])} and {tuple(beside.shape[1:])}")
            return beside + made

    class GlobalMean(nn.Module):
        """(samples, units, positions …) to (samples, units)."""

        def forward(self, x):
            return torch.mean(x, dim=tuple(range(2, x.ndim))) if x.ndim > 2 else x

    return DeclaredNetwork, Residual, GlobalMean
