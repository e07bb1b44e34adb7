"""Matrices of mixers on the cells of a grid: means over heads, scans along routes, and what lies how far in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.tokens.mixers.reading import Mixing, decaying_scan
from analysis.tokens.mixers.routes import folded, several

ALL, WEIGHED = "all routes", "all routes, weighted"
HEADS, SOME = 16, 6  # heads or channels that a mean is of; samples


def on_cells(own: Mixing, layer: int, cells: int) -> np.ndarray:
    """(cells, cells) mean of |M| over heads; tokens without a cell left out, zeros where a cell has no token."""
    m = np.abs(own.give(layer, own.some(layer, HEADS))).mean(axis=0)
    cell = own.lies(layer)[0]
    out, there = np.zeros((cells, cells)), cell >= 0
    if len(m) == len(cell):
        out[np.ix_(cell[there], cell[there])] = m[np.ix_(there, there)]
    return out


def along(x: np.ndarray, order: np.ndarray, forgets: float) -> np.ndarray:
    """(T, T) on the cells: the decaying scan of rows x (T, d) in an order."""
    return folded(decaying_scan(x[order], x[order], forgets), order)


def along_routes(x: np.ndarray, grid, forgets: float, shares: dict[str, float]) -> tuple[dict, dict]:
    """((cells, cells) decaying scans of rows x by name, all routes first; of each what its order lets a token read).
    `shares` by route: of these routes alone, the sum weighted by them."""
    orders = several(grid)
    of = {name: share for name, share in shares.items() if name in orders} or dict.fromkeys(orders, 1.0)
    found = {_called(name, shares): along(x, orders[name], forgets) for name in of}
    may = {_called(name, shares): folded(np.tri(len(x)), orders[name]) for name in of}
    whole = WEIGHED if shares else ALL
    first = {whole: sum(w * m for w, m in zip(of.values(), found.values(), strict=True))}
    return {**first, **found}, {**may, whole: sum(may.values())}


def _called(name: str, shares: dict[str, float]) -> str:
    return f"{name}: {shares[name]:.0%}" if shares else name


def each_token(weight: np.ndarray, of, down, along) -> np.ndarray:
    """Of each token that reads (another, for a share) the mean distance, or the share of it along rows."""
    top, low = (weight * of, weight) if of is not None else (weight * along, weight * (down + along))
    top, low = top.sum(axis=1), low.sum(axis=1)
    return top[low > 0] / low[low > 0]


def placed(x: np.ndarray, cell: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(cells, d) rows x (t, d) where they lie, 0 where none does."""
    out = np.zeros((grid[0] * grid[1], x.shape[1]))
    out[cell[cell >= 0]] = x[cell >= 0]
    return out


def distances_of_samples(rows, grid: tuple[int, int], forgets: float) -> np.ndarray:
    """(at most six,) mean distance on the grid that tokens of a sample read from along all routes together."""
    i, j = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    far, found = np.hypot(i[:, None] - i[None], j[:, None] - j[None]), []
    for b in np.unique(np.linspace(0, len(rows.x) - 1, min(len(rows.x), SOME)).round().astype(int)):
        if rows.cell[b].max() >= len(far):
            continue
        x = placed(rows.x[b], rows.cell[b], grid)
        each = each_token(
            np.abs(sum(along(x, order, forgets) for order in several(grid).values())), far, None, None
        )
        if len(each):
            found.append(each.mean())
    return np.array(found)


def over_samples(rows, grid, forgets: float, name: str, told) -> list[Estimate]:
    """The distance that `told` has of one sample, over samples; nothing where it has none."""
    each = distances_of_samples(rows, grid, forgets)
    own = next((e for e in told if e.name == f"distance read from, {name}"), None)
    if own is None or not len(each):
        return []
    ends = mean_interval(each, 0.0) or {"interval": "none: one sample"}
    return [replace(own, name=f"{own.name}, over samples", value=float(each.mean()), n=len(each),
                    estimator="mean over samples, evenly spread", **ends)]  # fmt: skip
