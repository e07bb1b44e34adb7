"""Every softmax over the last axis of three axes or more that a network takes in one pass, and torch's fused kernel:
its attention, whatever its shape (square or not, in windows, along one axis), by the module that asks for it.

    (lines, heads, queries, keys)    `lines` is the batch, times the rows, columns or windows that attend apart

Meanwhile attention of one module may be exchanged: each token reads itself only (of fewer keys: the key whose cells it
lies in), or all that it may read alike. A router over experts has two or three axes and the name of one, and is not
among them; a softmax over channels (some linear attention) cannot be told apart and is read as one over keys. torch is
imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock

ITSELF, ALIKE = "each token reads itself only", "each token reads all alike"
ROUTERS = ("router", "gate", "gating")


@dataclass
class Call:
    """`weights` (lines, heads, queries, keys) float64 of the module `name`; of a neighbourhood (lines, heads, H, W,
    keys)."""

    name: str
    weights: np.ndarray


@contextmanager
def watched(module, keep: bool = True, alter: tuple[str, str] | None = None) -> Iterator[list[Call]]:
    """Forward passes of `module`, in eval mode and without gradients, inside the block. `keep`: whether weights are
    kept, otherwise calls have none. `alter`: (name of a module, ITSELF or ALIKE).

    Raises InputError where a token has no key of its own.
    """
    import torch

    calls: list[Call] = []
    inside: list[str] = []
    handles = []

    def enter(name):
        return lambda *_: inside.append(name)

    def leave(*_):
        inside.pop()

    def seen(weights):
        name = inside[-1] if inside else ""
        calls.append(Call(name, _four(weights) if keep else np.zeros(tuple(weights.shape)[:0])))
        return alter[1] if alter is not None and alter[0] == name else None

    with model_lock(module):
        training = [m for m in module.modules() if m.training]
        try:
            for name, part in module.named_modules():
                if next(part.children(), None) is not None or next(part.parameters(False), None) is not None:
                    handles.append(part.register_forward_pre_hook(enter(name)))
                    handles.append(part.register_forward_hook(leave))
            module.eval()
            with torch.no_grad(), _watching(seen):
                yield calls
        finally:
            for handle in handles:
                handle.remove()
            for part in training:
                part.training = True


def _watching(seen):
    import torch

    from analysis.attribution.attention_maps import weights_of_kernel

    fused = torch.nn.functional.scaled_dot_product_attention
    plain = (torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax)

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            named = kwargs or {}
            if function is fused:
                with torch._C.DisableTorchFunction():
                    weights = weights_of_kernel(*args, **named)
                    way = seen(weights)
                    if way is not None:
                        value = args[2] if len(args) > 2 else named["value"]
                        groups = weights.shape[-3] // value.shape[-3]
                        value = value.repeat_interleave(groups, dim=-3) if groups > 1 else value
                        return exchanged(weights, way).to(value.dtype) @ value
            out = function(*args, **named)
            if function in plain and out.ndim >= 3 and _last(args, named, out.ndim):
                with torch._C.DisableTorchFunction():
                    way = seen(out)
                    out = out if way is None else exchanged(out, way)
            return out

    return Watching()


def _last(args, named, axes: int) -> bool:
    axis = named.get("dim", args[1] if len(args) > 1 else None)
    return axis in (-1, axes - 1)


def _four(weights) -> np.ndarray:
    x = weights.detach().double().cpu().numpy()
    return x[:, None] if x.ndim == 3 else x


def exchanged(weights, way: str):
    """Weights (…, queries, keys) of the same shape. Raises InputError."""
    import torch

    if way == ALIKE:
        there = (weights > 0).to(weights.dtype)
        return there / there.sum(dim=-1, keepdim=True).clamp(min=1)
    own = torch.from_numpy(own_keys(tuple(weights.shape[-2:])))
    return torch.nn.functional.one_hot(own, weights.shape[-1]).to(weights.dtype).expand(weights.shape)


def own_keys(shape: tuple[int, int]) -> np.ndarray:
    """(queries,) the key that each token lies in. Raises InputError."""
    from analysis.tokens.mixers.linear_attention import strip_cells
    from analysis.tokens.mixers.own_grids import key_grid, square

    queries, keys = shape
    if queries == keys:
        return np.arange(queries)
    grid = square(queries)
    found = None if grid is None else key_grid(grid, keys)
    if found is None:
        raise InputError(
            f"attention of {queries} tokens over {keys} keys", "as many keys, or keys that tile a square grid of them",
            f"Ask for '{ALIKE}'",
        )  # fmt: skip
    return strip_cells(grid, found)


def paid(loaded, inputs) -> list[Call]:
    """The attention of prepared inputs, in the order in which it is computed. Raises InputError where there is none."""
    with watched(loaded.module) as calls:
        loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
    found = [c for c in calls if c.name.rpartition(".")[2] not in ROUTERS]
    if not found:
        raise InputError(
            f"{type(loaded.module).__name__} takes no softmax over tokens", "a network with attention"
        )
    return found
