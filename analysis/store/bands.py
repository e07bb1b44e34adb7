"""Activation bands: what a unit responds to below its strongest rows.

Eight bands of equal width lie between the 64th strongest value and the 64th weakest one (so that one outlier does
not swallow the range; the lowest band reaches on to the minimum). A unit that is never negative and exactly 0 in
at least a tenth of its rows has seven bands above zero and one of its silent rows. Edges are moved to edges of the
sampling slots where that changes no band much; then the number of rows is exact and the rows shown are a uniform
sample. Otherwise (all values close together, far from zero) the number is estimated from the row sample. In a
short tap all rows are looked at, so both always hold there.

Slots while recording: the sign, the exponent within 12 octaves of the strongest magnitude and two bits of the
mantissa; each keeps the 8 rows with the smallest sampling keys. See `sampling`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.store import sampling, sketch

N_BANDS = 8
PER_BAND = 8
_SILENT = 0.1


@dataclass(frozen=True)
class Band:
    """Rows with values between low and high (the silent band: low = high = 0), strongest band first.

    A value on a border belongs to the band further from zero, as in the quantile sketch.

    n : rows in the band, without the 64 strongest. rows, values : up to 8 of them, drawn uniformly with a seed,
    falling by value.
    """

    low: float
    high: float
    n: int
    rows: np.ndarray
    values: np.ndarray


def make_bands(
    counts: np.ndarray,
    minimum: float,
    zeros: int,
    top_rows: np.ndarray,
    top_values: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    complete: bool,
    sample: np.ndarray,
    seed: int,
) -> list[Band]:
    """Bands of one unit.

    counts : (N_BUCKETS,) quantile sketch. zeros : rows that are exactly 0. rows, values : sampled rows, from slots
    and from the uniform row sample (may repeat); or, where `complete`, all rows, and then every number is exact.
    sample : values of the uniform row sample.
    """
    n = int(counts.sum())
    if n <= len(top_rows) or len(top_rows) == 0:
        return []
    rows, first = np.unique(rows, return_index=True)
    values = values[first].astype(np.float64)
    below = ~np.isin(rows, top_rows)
    rows, values = rows[below], values[below]
    high = float(top_values[-1])
    silent = minimum == 0 and zeros >= _SILENT * n
    if silent:
        edges = _edges(0.0, 0.0, high, N_BANDS - 1) if high > 0 else np.array([])
    else:
        low = float(
            sketch.quantiles(counts[None], 64 / n, np.array([minimum]), np.array([high]), sample[None])[0, 0]
        )
        edges = _edges(minimum, min(low, high), high, N_BANDS)
    bands = []
    for k in range(len(edges) - 1, 0, -1):
        a, b = edges[k - 1], edges[k]
        inside = _inside(values, edges, k) & ~(silent & (values == 0))
        if complete:
            own = int(inside.sum())
        else:
            own = _count(counts, edges, k, top_values, sample, zeros * silent)
        bands.append(_band(a, b, rows, values, inside, own, seed))
    if silent:
        quiet = int(zeros - (top_values == 0).sum())
        bands.append(_band(0.0, 0.0, rows, values, values == 0, quiet, seed))
    return bands


def _inside(values: np.ndarray, edges: np.ndarray, k: int) -> np.ndarray:
    """Which values lie in band `k`. An edge belongs to the band away from 0; the outermost belong to theirs."""
    a, b = edges[k - 1], edges[k]
    upper = values <= b if k == len(edges) - 1 or b < 0 else values < b
    lower = values >= a if k == 1 or a >= 0 else values > a
    return upper & lower


def _count(counts, edges, k, top_values, sample, zeros: int) -> int:
    """Rows of band k that are not among the strongest."""
    n = int(counts.sum())
    down = 0 if k == 1 else int(sketch.counts_below(counts, edges[[k - 1]], sample)[0])
    up = (
        n - len(top_values)
        if k == len(edges) - 1
        else int(sketch.counts_below(counts, edges[[k]], sample)[0])
    )
    silent = int(zeros - (top_values == 0).sum()) if k == 1 and zeros else 0
    return max(min(up, n - len(top_values)) - down - silent, 0)


def _band(low, high, rows, values, inside, n: int, seed: int) -> Band:
    own, own_values = rows[inside], values[inside]
    kept = np.argsort(sampling.keys_of(own, seed), kind="stable")[:PER_BAND]
    kept = kept[np.argsort(-own_values[kept], kind="stable")]
    return Band(float(low), float(high), max(int(n), len(kept)), own[kept], own_values[kept])


def _edges(minimum: float, low: float, high: float, n: int) -> np.ndarray:
    """n + 1 rising edges from `minimum` to `high`, equally wide from `low` on; on slot edges where near enough."""
    if not high > minimum:
        return np.array([minimum, high])
    plain = np.linspace(low, high, n + 1)
    inner = plain[1:-1]
    positive = sketch.LOW[sketch.ZERO + 1 :: 4]
    slots = np.concatenate([-positive[::-1], positive])
    nearest = slots[np.abs(slots[None, :] - inner[:, None]).argmin(axis=1)]
    width = (high - low) / n
    fits = (np.abs(nearest - inner) <= 0.4 * width).all() and len(np.unique(nearest)) == len(inner)
    edges = np.concatenate([[minimum], nearest if fits else inner, [high]])
    return edges[np.concatenate([[True], np.diff(edges) > 0])]
