"""Where the rows of a stored tap sit in the output of its module, found by the values that were recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.sources.module_output import RECORDED


@dataclass(frozen=True)
class Places:
    """Rows of an output: of its view (batch, tokens, units), those where `mask` (batch, tokens) is True."""

    axes: tuple[int, ...]
    mask: object

    def view(self, tensor):
        x = tensor.permute(self.axes)
        return x.reshape(x.shape[0], -1, x.shape[-1])

    def take(self, tensor) -> np.ndarray:
        """(m, units) float64."""
        return self.view(tensor.detach())[self.mask].double().numpy()

    def put(self, tensor, rows: np.ndarray):
        """A copy of the output with these rows (m, units)."""
        import torch

        out = tensor.detach().clone()
        moved = out.permute(self.axes)
        flat = moved.reshape(moved.shape[0], -1, moved.shape[-1]).clone()
        flat[self.mask] = torch.from_numpy(np.ascontiguousarray(rows)).to(flat.dtype)
        moved.copy_(flat.reshape(moved.shape))
        return out


def rows_of(tensor, mask, stored: np.ndarray, name: str, pooled: bool) -> Places:
    """The places that hold the `stored` (m, units) numbers, in order. Raises InputError where none does."""
    scale, close = RECORDED * max(float(np.abs(stored).max(initial=0)), 1e-300), None
    for places in _ways(tensor, mask):
        found = places.take(tensor)
        if found.shape == stored.shape:
            known = np.isfinite(stored)
            close = np.abs(found - stored)[known].max(initial=0) <= scale
            if close:
                return places
    if pooled:
        raise InputError(
            f"{name} holds one mean row of each sample, which cannot be put back into the network",
            "a tap recorded token by token",
            "Record it with all tokens",
        )
    raise InputError(
        f"the output {tuple(tensor.shape)} of {name} does not hold the {len(stored):,} recorded rows",
        "the numbers that were recorded",
        "Record the tap again, with all tokens",
    )


def _ways(tensor, mask):
    """Every reading of an output as (batch, tokens, units), and every choice of tokens that a store may hold."""
    import torch

    n = tensor.ndim
    orders = {1: (), 2: ((0, 1),), 3: ((0, 1, 2), (1, 0, 2), (0, 2, 1)), 4: ((0, 2, 3, 1), (0, 1, 2, 3))}
    for axes in orders.get(n, ()):
        size = [tensor.shape[a] for a in axes]
        b, tokens = size[0], int(np.prod(size[1:-1]))
        every = torch.ones((b, tokens), dtype=torch.bool)
        real = every if mask is None or tuple(mask.shape) != (b, tokens) else mask.bool()
        yield Places(axes, real)
        for at in (real.int().argmax(dim=1), tokens - 1 - real.flip(1).int().argmax(dim=1)):
            one = torch.zeros_like(every)
            one[torch.arange(b), at] = True
            yield Places(axes, one)
