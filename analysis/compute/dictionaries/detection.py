"""How well attributes of rows and active features tell each other: counts of both, F1, and detection AUROC.

A detector is a feature above a level: not 0, above the median of its values that are not 0, among their upper tenth. Of
a tap that is dense, "not 0" is the upper tenth of its values and the others are as much of that.

With a rows of the attribute, p rows where the detector says yes and t of both, of n:

    F1 = 2 t / (a + p),   AUROC of the attribute as the detector's announcement = ½ (1 + t / p - (a - t) / (n - p))

Intervals come from sums over samples (linearised ratios), since tokens of one sample are not independent. Where no row
contradicts a pair, or none agrees, the sums do not vary: m rows without an exception leave a rate of up to 3 / m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows

if TYPE_CHECKING:
    from scipy.sparse import csc_array

LEVELS = (0.0, 0.5, 0.9)  # share of a feature's values that are not 0 below the level
LEVEL_WORDS = ("active", "above its median", "in its upper tenth")
DENSE_SHARE = 0.1
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Detectors:
    """`yes` (rows, k L) bool, sparse: feature j at level l is column l k + j; `thresholds` (L, k)."""

    yes: csc_array
    thresholds: np.ndarray

    @property
    def n_features(self) -> int:
        return self.thresholds.shape[1]


def detectors(activations: Activations, rows: np.ndarray) -> Detectors:
    """Of `rows` (m,), rising and finite. O(values that are not 0), or O(rows k log rows)."""
    from scipy.sparse import csc_array, hstack

    values = _sparse(activations, rows) if hasattr(activations, "entries_of") else _dense(activations, rows)
    values.sort_indices()
    k, parts, cuts = values.shape[1], [], np.zeros((len(LEVELS), values.shape[1]))
    feature = np.repeat(np.arange(k), np.diff(values.indptr))
    order = np.lexsort((values.data, feature))
    rank = np.empty(len(order))
    counts = np.diff(values.indptr)
    rank[order] = np.arange(len(order)) - values.indptr[:-1][feature[order]]
    for level, share in enumerate(LEVELS):
        keep = rank >= np.floor(share * counts)[feature]
        least = np.full(k, np.inf)
        np.minimum.at(least, feature[keep], values.data[keep])
        cuts[level] = least
        starts = np.r_[0, np.cumsum(np.bincount(feature[keep], minlength=k))]
        parts.append(csc_array((np.ones(int(keep.sum())), values.indices[keep], starts), shape=values.shape))
    return Detectors(hstack(parts).tocsc(), cuts)


def _sparse(activations, rows: np.ndarray) -> csc_array:
    from scipy.sparse import csc_array

    found = activations.entries(0, activations.shape[1])
    codes = csc_array((found.values, found.rows, found.starts), shape=activations.shape)
    if len(rows) < activations.shape[0]:
        codes = codes.tocsr()[rows].tocsc()
    codes.data[~(codes.data > 0)] = 0
    codes.eliminate_zeros()
    return codes


def _dense(activations: Activations, rows: np.ndarray) -> csc_array:
    """The upper tenth of each unit's values, unit by unit."""
    from scipy.sparse import csc_array

    above, places, starts = [], [], [0]
    for j in range(activations.shape[1]):
        x = np.asarray(activations.unit(j), np.float64)[rows]
        least = np.quantile(x, 1 - DENSE_SHARE)
        at = np.flatnonzero(x > least)
        above.append(x[at] - least)
        places.append(at)
        starts.append(starts[-1] + len(at))
    return csc_array(
        (np.concatenate(above), np.concatenate(places), starts), shape=(len(rows), activations.shape[1])
    )


def finite_of(activations: Activations, rows: np.ndarray) -> np.ndarray:
    """(m,) bool: which of `rows` are finite in every unit. One pass over a dense tap."""
    if hasattr(activations, "gaps"):
        return ~np.isin(rows, activations.gaps)
    good = np.concatenate([finite_rows(block) for _, block in activations.chunks()])
    return good[rows]


def both(found: Detectors, hot: csc_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(t (k L, C), p (k L,), a (C,)): rows of both, of each detector, of each attribute."""
    t = (found.yes.T @ hot).toarray()
    return t, np.diff(found.yes.indptr).astype(float), np.asarray(hot.sum(axis=0)).ravel()


def f1_of(t: np.ndarray, p: np.ndarray, a: np.ndarray) -> np.ndarray:
    """(k L, C)."""
    return 2 * t / np.maximum(p[:, None] + a, 1)


def auroc_of(t: np.ndarray, p: np.ndarray, a: np.ndarray, n: int) -> np.ndarray:
    """Elementwise; NaN where the detector says yes everywhere or nowhere."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 0.5 * (1 + t / p - (a - t) / (n - p))


@dataclass(frozen=True)
class Judged:
    """Of pairs of a detector and an attribute on some rows: rows of both, of the detector, of the attribute, F1 and
    AUROC with the ends of their 95 % intervals, (pairs,) each."""

    t: np.ndarray
    p: np.ndarray
    a: np.ndarray
    f1: np.ndarray
    f1_error: np.ndarray
    auroc: np.ndarray
    auroc_error: np.ndarray


def judged_pairs(
    found: Detectors, hot: csc_array, detector: np.ndarray, attribute: np.ndarray, sample: np.ndarray
) -> Judged:
    """`detector`, `attribute` (pairs,) columns; `sample` (rows,) of each row. O(samples) for each pair."""
    n, of = len(sample), np.unique(sample, return_inverse=True)[1]
    size = np.bincount(of).astype(float)
    parts = np.zeros((len(detector), 7))
    for i, (d, c) in enumerate(zip(detector, attribute, strict=True)):
        yes = found.yes.indices[found.yes.indptr[d] : found.yes.indptr[d + 1]]
        has = hot.indices[hot.indptr[c] : hot.indptr[c + 1]]
        parts[i] = _one(np.bincount(of[yes], minlength=len(size)), np.bincount(of[has], minlength=len(size)),
                        np.bincount(of[np.intersect1d(yes, has)], minlength=len(size)), size, n)  # fmt: skip
    return Judged(*parts.T)


def _one(p, a, t, size, n) -> tuple[float, ...]:
    """Sums and errors of one pair from (samples,) counts."""
    top, bottom = 2 * t.sum(), max(p.sum() + a.sum(), 1)
    f1 = top / bottom
    f1_error = np.sqrt(((2 * t - f1 * (p + a)) ** 2).sum()) / bottom or 3 / Z95 / max(a.sum(), 1)
    if not 0 < p.sum() < n:
        return t.sum(), p.sum(), a.sum(), f1, f1_error, np.nan, np.nan
    hit, alarm = t.sum() / p.sum(), (a - t).sum() / (n - p.sum())
    change = (t - hit * p) / p.sum() - ((a - t) - alarm * (size - p)) / (n - p.sum())
    error = np.sqrt((change**2).sum()) or 3 / Z95 / p.sum()
    return t.sum(), p.sum(), a.sum(), f1, f1_error, 0.5 * (1 + hit - alarm), 0.5 * error
