"""Canonical correlations of all pairs of several representations in one number each: a `Grid` beside its null.

mean ρ²   its mean and variance under exchanged samples are exact; no singular value decomposition for a pair
mean ρ    the null is that of random subspaces; whether a pair is beyond chance is decided by its mean ρ²
weighted  Σ w_i ρ_i / Σ w_i with w_i = Σ_j |<h_i, x_j>|, the canonical variates h_i of one side against its own units
          (PWCCA). In random subspaces the variates are turned at random and know nothing of ρ, so that the mean is
          that of mean ρ, and the variance larger by var(w) Σ (ρ_i - mean ρ)² k / (k - 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.compute.similarity.canonical import (
    Side,
    cross_products,
    forced,
    mean_correlation,
    mean_squared,
    side_of,
    span_of,
    whole_series,
)
from analysis.compute.similarity.canonical_null import null_correlations
from analysis.compute.similarity.canonical_weighing import both_ways, weighing
from analysis.compute.similarity.similarity_grid import Grid, Pair, compared, groups_of
from analysis.compute.statistics.exchange_moments import cantelli_p, centred_moments
from analysis.errors import NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress

SQUARED, PLAIN = "mean ρ²", "mean ρ"
NULL_METHODS = {
    SQUARED: "samples exchanged, exact moments; p by Cantelli's bound",
    PLAIN: "random subspaces of as many dimensions; p of mean ρ² under exchanged samples, by Cantelli's bound",
}
ENOUGH = 10  # samples for each dimension of the larger side
DRAWN = 4000  # correlations drawn for a null, at most 400 times and at least 16
ROUNDING = 1e-9  # of mean ρ², when its deviation under exchange is smaller still
MOST_BYTES = 4 << 30


def canonical_sides(
    values: Sequence[np.ndarray],
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    tolerance: float,
    variance: float | None = None,
    weighted: bool = False,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 0.5),
) -> list[Side]:
    """One side for each of `values` (n, d), cut into the same groups of samples; `tolerance` and `variance` as
    `span_of` has them. Time O(n d min(n, d)) for each. Raises InputError (nothing varies) and TooLarge."""
    n, sides = len(values[0]), []
    group = groups_of(n, rng)
    order = np.argsort(group, kind="stable")
    for i, (x, name) in enumerate(zip(values, names, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / len(values), f"preparing {name}")
        side = side_of(span_of(x, name, tolerance=tolerance, variance=variance), group)
        sides.append(replace(side, extra=weighing(side, x, order, rng)) if weighted else side)
        _refuse_large(sides)
    return sides


def _refuse_large(sides: Sequence[Side]) -> None:
    needed = sum(8.0 * s.rank * (s.n + len(s.parts) * s.rank * (2 if s.extra else 1)) for s in sides)
    if needed > MOST_BYTES:
        raise TooLarge(
            f"{len(sides)} taps of up to {max(s.rank for s in sides):,} directions need {needed / 2**30:.1f} GiB",
            "at most 4 GiB", "Choose fewer taps, or keep less of the variance",
        )  # fmt: skip


def canonical_grid(
    sides: Sequence[Side],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    measure: str,
    weighted: bool = False,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.5, 1.0),
) -> Grid:
    """`measure` SQUARED or PLAIN; `weighted` by each side's `extra`, a `Weighing` (then row a, column b has a's
    weights).

    Time O(n p q + G p q (p + q)) for each pair, and G + 1 singular value decompositions unless SQUARED. Raises
    NotEnoughData where two taps only are compared and p + q > n - 1.
    """
    n = sides[0].n
    if len(sides) == 2:
        refuse_forced(sides, n)
    of, nulls = _weighted_pairs() if weighted else _plain_pairs(measure), _Nulls(n, rng)

    def compare(a: Side, b: Side) -> Pair:
        k = min(a.rank, b.rank)
        series, squared = of(a, b)
        mean, variance = centred_moments(a.gram, b.gram)
        few = n < ENOUGH * max(a.rank, b.rank)
        mean, deviation = mean / k, np.sqrt(variance) / k
        p = float(cantelli_p(squared, mean, max(deviation, ROUNDING)))
        if weighted or measure == PLAIN:
            mean, deviation = nulls(a.rank, b.rank, a.extra.variation if weighted else 0.0)
        return Pair(series, mean, deviation, p, few)

    return compared(
        sides, compare, rows, columns, n=n, units=[s.rank for s in sides], symmetric=not weighted,
        progress=progress, span=span,
    )  # fmt: skip


def _plain_pairs(measure: str) -> Callable:
    summary = mean_squared if measure == SQUARED else mean_correlation

    def of(a: Side, b: Side) -> tuple[np.ndarray, float]:
        whole, rest = cross_products(a, b)
        return whole_series([summary(c) for c in (whole, *rest)]), mean_squared(whole)

    return of


def _weighted_pairs() -> Callable:
    """Both directions of a pair come from the same decompositions: the second is remembered until it is asked for."""
    waiting: dict[tuple[int, int], tuple[np.ndarray, float]] = {}

    def of(a: Side, b: Side) -> tuple[np.ndarray, float]:
        if (id(a), id(b)) in waiting:
            return waiting.pop((id(a), id(b)))
        whole, rest = cross_products(a, b)
        both = [both_ways(whole, a.extra.coordinates, b.extra.coordinates)]
        for g, cross in enumerate(rest):
            x, y = (s.extra.returns[g] @ s.extra.coordinates for s in (a, b))
            both.append(both_ways(cross, x, y))
        there, back = (whole_series([pair[i] for pair in both]) for i in (0, 1))
        squared = mean_squared(whole)
        waiting[id(b), id(a)] = back, squared
        return there, squared

    return of


class _Nulls:
    """Mean and deviation of mean ρ in random subspaces, drawn once for each pair of dimensions."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng, self.known = n, rng, {}

    def __call__(self, p: int, q: int, variation: float) -> tuple[float, float]:
        key, k = (min(p, q), max(p, q)), min(p, q)
        if key not in self.known:
            drawn = null_correlations(p, q, self.n, int(np.clip(DRAWN // k, 16, 400)), self.rng)
            means = drawn.mean(axis=1)
            within = float(((drawn - means[:, None]) ** 2).sum(axis=1).mean())
            self.known[key] = float(means.mean()), float(means.var()), within
        mean, variance, within = self.known[key]
        more = variation / k**2 * within * k / (k - 1) if k > 1 else 0.0
        return mean, float(np.sqrt(variance + more))


def refuse_forced(sides: Sequence[Side], n: int) -> None:
    """Raises NotEnoughData where any data would give correlations of 1."""
    p, q = (s.rank for s in sides)
    ones = forced(p, q, n)
    if ones:
        raise NotEnoughData(
            f"{n:,} samples for {p} and {q} independent directions: {ones} of their {min(p, q)} correlations are 1 "
            "whatever the data",
            f"at least {p + q + 1:,} samples, better {ENOUGH * max(p, q):,}",
            "Record more samples, or use SVCCA, held-out CCA or CKA",
        )


def side_notes(names: Sequence[str], sides: Sequence[Side], grid: Grid, tolerance: float) -> list[str]:
    """What was left out of each side, and which pairs have correlations that any data would have."""
    notes = []
    for name, side in zip(names, sides, strict=True):
        if side.span.constant:
            notes.append(
                f"{name}: {side.span.constant} of {side.span.units} units are constant and left out."
            )
        if side.span.rounding:
            notes.append(
                f"{name}: {side.span.rounding} direction(s) are combinations of the others to within {tolerance:g} of "
                "the largest, and left out."
            )
    i, j = grid.different()
    ones = [
        forced(grid.units[grid.rows[a]], grid.units[grid.columns[b]], grid.n)
        for a, b in zip(i, j, strict=True)
    ]
    if any(ones):
        notes.append(
            f"{sum(f > 0 for f in ones)} of {len(ones)} pairs have more directions than {grid.n:,} samples can tell "
            f"apart: up to {max(ones)} of their correlations are 1 whatever the data (hatched)."
        )
    return notes


def rank_note(names: Sequence[str], sides: Sequence[Side]) -> str:
    """How many dimensions each side has."""
    return "Dimensions: " + ", ".join(f"{name} {s.rank}" for name, s in zip(names, sides, strict=True)) + "."


def canonical_flops(shapes: Sequence[tuple[int, int]], n: int, *, decomposed: bool) -> tuple[float, float]:
    """Operations and bytes of sides of (units, rank) and all their pairs; `decomposed`: singular values of each."""
    flops = sum(
        8.0 * n * d * min(n, d) + 25.0 * min(n, d) ** 3 + 4.0 * n * r * r + 10 * 2.0 * r**3 for d, r in shapes
    )
    for i, (_, p) in enumerate(shapes):
        for _, q in shapes[:i]:
            flops += 2.0 * n * p * q + 10 * 2.0 * p * q * (p + q)
            flops += 11 * (20.0 if decomposed else 0.0) * max(p, q) * min(p, q) ** 2
    held = sum(8.0 * (n * d + 2 * n * r + 12 * r * r) for d, r in shapes)
    widest = max(d for d, _ in shapes)
    return flops, held + 8.0 * (3 * n * widest + 4 * min(n, widest) ** 2)
