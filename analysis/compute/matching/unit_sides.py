"""The units of two taps on the same rows, each standardised: the correlation of two units is then an inner product.

Rows are samples, matched by id with tokens pooled, or the tokens themselves where both taps hold the same ones. What
repeats (moves, halves, groups) does so by whole samples, since the tokens of one depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

FEWEST = 8  # samples: below, a half has fewer than four


@dataclass(frozen=True)
class UnitSides:
    """`x` (p, n) and `y` (q, n) float64, a line for each unit that varies: mean 0, squares summing to 1. `units` and
    `names`, of each side, the units' numbers in their taps and their names; `taps` the names of the two; `sample` (n,)
    the sample of each column, rising from 0 to `n_samples` - 1; `notes` on what was left out."""

    x: np.ndarray
    y: np.ndarray
    units: tuple[np.ndarray, np.ndarray]
    names: tuple[np.ndarray, np.ndarray]
    taps: tuple[str, str]
    sample: np.ndarray
    n_samples: int
    notes: tuple[str, ...]


def unit_sides(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    rows: str = "samples",
    pooling: str = "mean",
    maximum: int,
    most_units: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.2),
) -> UnitSides:
    """Read two taps. At most `maximum` samples (or rows, with `rows` = "tokens"), a seeded random subset above; at most
    `most_units` units a side, those of largest variance. Time O(n (p + q)), memory twice 8 n (p + q) bytes.

    Raises
    ------
    ParameterError, InputError, TooLarge
        As `common_samples` and `matched_taps` do.
    NotEnoughData
        Fewer than eight samples in common, or a tap none of whose units varies.
    """
    values, sample, n_samples, notes = _rows(taps, rng, rows, pooling, maximum, progress, span)
    labels, kept, units = tap_names([t.name for t in taps]), [], []
    for tap, label in zip(taps, labels, strict=True):
        varying, numbers, said = _standardised(values.pop(0), most_units, label)
        kept.append(varying)
        units.append(numbers)
        notes += said
        if not len(numbers):
            raise NotEnoughData(f"no unit of {tap.name} varies", "at least one", "Choose another tap")
    names = tuple(np.array(t.unit_names, dtype=str)[u] for t, u in zip(taps, units, strict=True))
    return UnitSides(*kept, tuple(units), names, (labels[0], labels[1]), sample, n_samples, tuple(notes))


def moved_order(sample: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Columns (n,) in an order that moves whole samples, the tokens of each staying together and in order."""
    return np.argsort(rng.permutation(n_samples)[sample], kind="stable")


def column_groups(sides: UnitSides, rng: np.random.Generator) -> np.ndarray:
    """Group (n,) of each column, by samples: ten random groups, or each sample alone below 20. Even groups are one half
    of the samples, odd ones the other."""
    of = np.empty(sides.n_samples, dtype=np.int64)
    for number, members in enumerate(sample_groups(sides.n_samples, rng)):
        of[members] = number
    return of[sides.sample]


def unit_norm(x: np.ndarray) -> np.ndarray:
    """Lines of `x` (d, n) with mean 0 and squares summing to 1; zeros where nothing varies. A new array."""
    before = np.einsum("ij,ij->i", x, x)
    x = x - x.mean(axis=1, keepdims=True)
    norm = np.einsum("ij,ij->i", x, x)
    x *= np.where(norm > 1e-26 * before, 1 / np.sqrt(np.where(norm > 0, norm, 1.0)), 0.0)[:, None]
    return x


def _rows(taps, rng, rows: str, pooling: str, maximum: int, progress, span):
    """Values (list of (n, d)), sample (n,), their number, notes."""
    if rows == "tokens":
        found = matched_taps(taps, rng, maximum_rows=maximum, minimum=FEWEST, progress=progress, span=span)
        _refuse_few(found.n_samples)
        notes = list(found.notes)
        if found.n_samples < len(found.rows):
            notes.append(
                f"Tokens of one sample depend on each other: nulls, intervals and halves count "
                f"{found.n_samples:,} samples, not {len(found.rows):,} rows. Moves keep the order of tokens, so that "
                "what units share through their position alone belongs to the null."
            )
        return list(found.values), found.sample, found.n_samples, notes
    data = common_samples(
        taps, rng, maximum=maximum, minimum=FEWEST, pooling=pooling, progress=progress, span=span
    )
    n = len(data.ids)
    return list(data.values), np.arange(n), n, list(data.notes)


def _refuse_few(n: int) -> None:
    if n < FEWEST:
        raise NotEnoughData(
            f"the rows come from {n} sample(s)", f"at least {FEWEST} samples", "Record more samples"
        )


def _standardised(x: np.ndarray, most: int | None, label: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """From (n, d) to lines (k, n) of the units kept, their numbers (k,), notes."""
    x, notes = np.ascontiguousarray(x.T), []
    largest = np.maximum(x.max(axis=1), -x.min(axis=1))  # squares of what is huge or tiny would not fit
    x /= np.where(largest > 0, largest, 1.0)[:, None]
    mean, spread = x.mean(axis=1), x.std(axis=1)
    units = np.flatnonzero(is_varying(spread**2, mean))
    if len(units) < len(x):
        notes.append(f"{label}: {len(x) - len(units)} constant unit(s) have no correlation and are left out.")
    if most is not None and len(units) > most:
        notes.append(f"{label}: the {most:,} units of largest variance of {len(units):,} used.")
        by_spread = np.argsort(-(spread * largest)[units], kind="stable")
        units = np.sort(units[by_spread[:most]])
    return unit_norm(x if len(units) == len(x) else x[units]), units.astype(np.int64), notes
