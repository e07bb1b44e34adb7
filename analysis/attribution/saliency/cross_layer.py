"""Maps of several layers in one.

Each map v is made a distribution of sizes, p = |v| / Σ |v|, and carried to the finest of the grids by bilinear
interpolation; then

    average   mean over layers of p_u
    product   Π_layers p_u / Σ_u Π_layers p_u

Layers weigh the same. A product keeps what every layer points at, and is 0 wherever one of them is.

Reference: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation saliency
methods".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.grid_resampling import bilinear
from analysis.errors import InputError, ParameterError

PRODUCT, AVERAGE = "product", "average"
KINDS = (PRODUCT, AVERAGE)


@dataclass(frozen=True)
class Placed:
    """`values` (tokens,) over `grid` after `leading` tokens; None: tokens in a row."""

    values: np.ndarray
    grid: tuple[int, int] | None = None
    leading: int = 0


def shares(placed: Placed, grid: tuple[int, int] | None) -> np.ndarray:
    """(places,) sizes that sum to 1, on `grid`. Raises InputError: a map of nothing but zeros, or without any grid."""
    values = np.abs(np.asarray(placed.values, np.float64))
    if grid is not None:
        if placed.grid is None:
            raise InputError("a map without a grid among others that have one", "grids in all layers")
        values = bilinear(placed.grid, grid) @ values[placed.leading :]
    if not (np.isfinite(values).all() and values.any()):
        raise InputError("a map that is 0 or not finite everywhere", "a map that points somewhere")
    return values / values.sum()


def finest(maps: Sequence[Placed]) -> tuple[int, int] | None:
    """The largest of the grids; None where no map has one. Raises InputError: rows of tokens of other lengths."""
    grids = [m.grid for m in maps if m.grid is not None]
    if not grids and len({len(m.values) for m in maps}) > 1:
        raise InputError(
            f"maps of {sorted({len(m.values) for m in maps})} tokens",
            "the same tokens, or image grids in all",
        )
    return max(grids, key=lambda g: g[0] * g[1]) if grids else None


def combined(maps: Sequence[Placed], kind: str = PRODUCT) -> np.ndarray:
    """(places,) on the finest grid, summing to 1.

    Raises InputError: layers that point at nothing together; ParameterError: no such kind.
    """
    if kind not in KINDS:
        raise ParameterError(f"maps combined by {kind!r}", "one of " + ", ".join(KINDS))
    if not maps:
        raise InputError("no map to combine", "at least one")
    grid = finest(maps)
    each = np.stack([shares(m, grid) for m in maps])
    if kind == AVERAGE:
        return each.mean(axis=0)
    with np.errstate(divide="ignore"):
        logs = np.log(each).sum(axis=0)  # of many layers the product itself has no floating number
    if not np.isfinite(logs).any():
        raise InputError(
            "layers that have no place in common", "a place where none of them is 0", "Take the average"
        )
    found = np.exp(logs - logs.max())
    return found / found.sum()
