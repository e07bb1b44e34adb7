"""Sparse canonical pairs to look at: only the units that have a weight, in the order of pairs and sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.correlation.correlations import correlation_p, fisher_interval
from analysis.compute.similarity.sparse_canonical_fit import SparseFit
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.results import Matrix

LEVEL = 0.05


def heat_map(
    fit: SparseFit, names: Sequence[str], units: Sequence[Sequence[str]], most: int, *, caveats=(), **rest
) -> Matrix:
    """Correlations, on held-out samples, of the chosen units of one side with those of the other."""
    rows, columns, more = _chosen(fit, most)
    x, y = fit.units_x[:, rows], fit.units_y[:, columns]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0))[:, None] * np.sqrt((y**2).sum(axis=0))
    m = fit.n_test
    values = np.clip((x.T @ y) / np.where(scale > 1e-300, scale, np.inf), -1.0, 1.0)
    low, high = fisher_interval(values, m)
    band = 1.959964 / float(np.sqrt(m - 1))
    said = (
        f"Correlations are of the {m:,} held-out samples, with half-widths up to {float((high - low).max()) / 2:.2f}.",
        *more,
    )
    sure = benjamini_hochberg(correlation_p(values, m)) < LEVEL
    return Matrix(
        caveats=(*caveats, *said), values=values, value_name="correlation", limits=(-1.0, 1.0), diverging=True,
        row_names=_labels(fit.pairs.u, rows, units[0]), column_names=_labels(fit.pairs.v, columns, units[1]),
        null_band=(-band, band), null=np.zeros(values.shape), low=np.minimum(low, values),
        high=np.maximum(high, values), significant=sure, **rest,
    )  # fmt: skip


def weight_map(
    fit: SparseFit, names: Sequence[str], units: Sequence[Sequence[str]], most: int, *, caveats=(), **rest
) -> Matrix:
    """Weights (chosen units of both sides, pairs) of units at deviation 1 in scores of deviation 1."""
    rows, columns, more = _chosen(fit, most)
    values = np.vstack([fit.pairs.u[rows], fit.pairs.v[columns]])
    labels = [
        f"{name} {unit[j]}"
        for name, unit, chosen in zip(names, units, (rows, columns), strict=True)
        for j in chosen
    ]
    largest = float(np.abs(values).max())
    return Matrix(
        caveats=(*caveats, *more), values=values, row_names=tuple(labels), value_name="weight", diverging=True,
        column_names=tuple(f"pair {i + 1}" for i in range(values.shape[1])),
        limits=(-largest, largest) if largest > 0 else (-1.0, 1.0), **rest,
    )  # fmt: skip


def _chosen(fit: SparseFit, most: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Units of each side by pair and size of weight, at most `most`."""
    out, notes = [], []
    for w, side in ((fit.pairs.u, "first"), (fit.pairs.v, "second")):
        size = np.abs(w)
        at = np.flatnonzero(size.any(axis=1))
        if len(at) > most:
            notes.append(
                f"{most} of {len(at)} chosen units of the {side} tap drawn, those of largest weight."
            )
            at = at[np.argsort(-size[at].max(axis=1), kind="stable")[:most]]
        out.append(at[np.lexsort((-size[at].max(axis=1), size[at].argmax(axis=1)))])
    return out[0], out[1], notes


def _labels(weights: np.ndarray, chosen: np.ndarray, units: Sequence[str]) -> tuple[str, ...]:
    """12 (pair 1: +0.53) for each chosen unit, by the pair in which its weight is largest."""
    best = np.abs(weights[chosen]).argmax(axis=1)
    return tuple(
        f"{units[j]} (pair {b + 1}: {weights[j, b]:+.2g})" for j, b in zip(chosen, best, strict=True)
    )
