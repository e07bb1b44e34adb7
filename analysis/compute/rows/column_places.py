"""A sample column cut into places along an axis, and how much of a quantity those places explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.samples import known_labels
from analysis.errors import NotEnoughData

MOST_PLACES = 200


@dataclass(frozen=True)
class Places:
    """`x` (G,) places along the axis with `names`; `samples` (m,) that have one, and the place `of` (m,) each;
    `numeric` whether x are values of the column; `notes` on what was left out."""

    x: np.ndarray
    names: tuple[str, ...]
    samples: np.ndarray
    of: np.ndarray
    numeric: bool
    notes: tuple[str, ...]


def places_of(column: np.ndarray, bins: int, name: str) -> Places:
    """Of a column (n,): a place for each value, or bins of about equal counts of numbers with more values than `bins`,
    at the mean of each. Missing numbers (NaN) and empty texts are left out; of more than 200 texts the rarest.

    Raises NotEnoughData for fewer than two places.
    """
    numeric, notes = column.dtype.kind in "fiub", []
    known = np.isfinite(column) if numeric else known_labels(column)
    samples = np.flatnonzero(known)
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a value of {name} left out.")
    values = column[samples].astype(np.float64) if numeric else column[samples].astype(str)
    kinds, of = np.unique(values, return_inverse=True)
    of = of.reshape(-1)
    if numeric and len(kinds) > bins:
        edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
        of = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1].reshape(-1)
        kinds = np.bincount(of, values) / np.bincount(of)
        notes.append(f"{name} cut into {len(kinds)} bins of about equal counts, each drawn at its mean.")
    elif len(kinds) > MOST_PLACES:
        stay = np.sort(np.argsort(-np.bincount(of), kind="stable")[:MOST_PLACES])
        notes.append(f"The {MOST_PLACES} most frequent of {len(kinds):,} values of {name} drawn.")
        keep = np.isin(of, stay)
        samples, of, kinds = samples[keep], np.searchsorted(stay, of[keep]), kinds[stay]
    if len(kinds) < 2 or len(samples) < len(kinds) + 1:
        raise NotEnoughData(
            f"column '{name}' has {len(kinds)} value(s) over {len(samples)} samples",
            "two or more values, and samples that share one", "Choose another column, or fewer bins",
        )  # fmt: skip
    names = tuple(f"{v:.4g}" for v in kinds) if numeric else tuple(map(str, kinds))
    x = kinds if numeric else np.arange(len(kinds), dtype=np.float64)
    return Places(x, names, samples, of, numeric, tuple(notes))


def explained(values: np.ndarray, of: np.ndarray) -> float:
    """η²: the share of the squares of `values` (n,) about their mean that lies between places `of` (n,); 0 where all
    values are equal."""
    centred = values - values.mean()
    total = float(centred @ centred)
    if total <= 1e-28 * max(float(values @ values), 1e-300):
        return 0.0
    counts = np.bincount(of)
    sums = np.bincount(of, centred)
    return min(float((sums**2 / counts).sum()) / total, 1.0)


def explained_by_chance(
    values: np.ndarray, of: np.ndarray, within: np.ndarray | None, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(draws,) η² when places are exchanged over the samples, or among those with the same `within` (n,) only."""
    if within is None:
        return np.array([explained(values, rng.permutation(of)) for _ in range(draws)])
    group = np.unique(within.astype(str), return_inverse=True)[1].reshape(-1)
    order = np.argsort(group, kind="stable")
    out = np.empty(draws)
    for i in range(draws):
        turned = np.empty_like(of)
        turned[order] = of[np.lexsort((rng.random(len(of)), group))]
        out[i] = explained(values, turned)
    return out
