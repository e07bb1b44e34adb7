"""Do layers of two networks belong together at the same relative depth? The diagonal of a map of layers by layers.

    row i of p lies at the column i (q - 1) / (p - 1) of q, between two of them where it is not whole

and is beyond the other layers by the mean of the map along that line less its mean over all cells. Columns in another
order have 0 on average, exactly.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.similarity.similarity_grid import Grid
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate

FEWEST, ORDERS = 3, 999
SAME = "same relative depth"


def line(p: int, q: int) -> np.ndarray:
    """(p,) place among q columns of the same relative depth as each of p rows."""
    return np.linspace(0, q - 1, p) if p > 1 else np.zeros(p)


def along(values: np.ndarray) -> np.ndarray:
    """(…, p) values (…, p, q) on that line, straight between columns."""
    p, q = values.shape[-2:]
    at = line(p, q)
    left = np.minimum(at.astype(int), max(q - 2, 0))
    rows, right = np.arange(p), np.minimum(left + 1, q - 1)
    part = at - left
    return (1 - part) * values[..., rows, left] + part * values[..., rows, right]


def beyond(values: np.ndarray) -> np.ndarray:
    """(…) mean along the line less the mean of all cells."""
    return along(values).mean(axis=-1) - values.mean(axis=(-2, -1))


def of_two_networks(grid: Grid, names) -> bool:
    """Whether rows are layers of one network and columns those of another, three or more of each."""
    stores = [{names[k].partition(":")[0] for k in side} for side in (grid.rows, grid.columns)]
    return all(len(s) == 1 for s in stores) and stores[0] != stores[1] and min(grid.values.shape) >= FEWEST


def estimate(grid: Grid, what: str, rng: np.random.Generator) -> Estimate:
    """How much more `what` there is at the same relative depth than elsewhere; null: orders of the columns."""
    series = beyond(grid.series)
    value, half = float(series[0]), float(jackknife_half(series))
    orders = np.array([beyond(grid.values[:, rng.permutation(grid.values.shape[1])]) for _ in range(ORDERS)])
    ends = {"low": value - half, "high": value + half} if np.isfinite(half) else {}
    return Estimate(
        f"{what} at the same relative depth, beyond all layers", value, **ends, **against(value, orders), n=grid.n,
        interval="jackknife over groups of samples" if ends else "none: too few samples", d=max(grid.units),
        null_method=f"columns in {ORDERS} other orders", estimator="mean along the line less mean of all cells",
    )  # fmt: skip
