"""Representational similarity analysis: do two representations find the same samples alike? Taps x taps.

Each tap becomes its dissimilarities of all pairs of samples (Euclidean, cosine or correlation distance); two taps are
compared by the agreement of these: Spearman's or Pearson's correlation, Kendall's τ-a (no ties broken: for models
with few levels) or the cosine. 1 when all dissimilarities agree.

Null: samples exchanged between two taps (pairs of samples are not independent: shuffling the dissimilarities
themselves would make everything significant). Mean and deviation are exact, for τ-a 2/3 of that of Spearman's ρ-a
(asymptotic); a pair counts as alike where Cantelli's bound on chance passes Benjamini-Hochberg at 5 %.

Noise ceiling, from three taps of one name on: if the taps are repeats of one thing, such as seeds, how well could any
single geometry agree with them? Lower bound: each with the mean of the others; upper bound: with the mean of all. A
single network has no measurement noise, so no ceiling comes from splitting it.

When it lies: few classes make most pairs of samples far or near, and any two networks that tell them apart agree;
cosine and correlation distance depend on the mean activation, which may be common to all samples (remove it to see);
correlation distance depends on the choice of axes; n samples are far fewer than their n (n - 1) / 2 pairs.

Cost: for a tap O(n² d); for all pairs of k taps eleven products O(k² n²), for τ-a O(n² log n) each; memory 18 to 28
bytes for each pair of samples and tap.

References: N. Kriegeskorte, M. Mur & P. Bandettini (2008), "Representational similarity analysis"; H. Nili et al.
(2014), "A toolbox for representational similarity analysis"; N. Mantel (1967), "The detection of disease clustering
and a generalized regression approach"; F. Cantelli (1928).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.dissimilarity import (
    CORRELATION,
    EUCLIDEAN,
    KINDS,
    dissimilarities,
    pair_count,
)
from analysis.compute.similarity.dissimilarity_agreement import (
    AGREEMENTS,
    KENDALL,
    PEARSON,
    SPEARMAN,
    Vectors,
    bytes_needed,
    ceilings,
    chance_moments,
    kendall_a,
    refuse_large,
)
from analysis.compute.similarity.similarity_grid import (
    ALL,
    ARRANGEMENTS,
    Grid,
    Pair,
    arranged,
    compared,
    groups_of,
)
from analysis.compute.similarity.similarity_report import Words, jackknife_half, similarity_matrix
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 5


@dataclass(frozen=True)
class RsaParams:
    distance: str = param(EUCLIDEAN, "How far two samples lie from each other in a tap.", choices=KINDS)
    agreement: str = param(
        SPEARMAN, "How two taps' dissimilarities are compared; τ-a is slow.", choices=AGREEMENTS
    )
    mean_pattern: str = param(
        "kept", "The mean activation over samples, which cosine and correlation distances depend on.",
        choices=("kept", "removed"),
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(
        2000,
        "Most samples; a seeded random subset above (memory grows with its square).",
        low=50,
        high=10_000,
    )


def rsa(*taps, params: RsaParams = RsaParams(), rng=None, progress=no_progress) -> Matrix:
    """Agreement of the dissimilarities of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal, or the first network's taps by the others'; `null`, `low` and
        `high` of each cell; `few` where the interval is wider than ± 0.1. Estimates of three taps or more end with
        the lower and upper noise ceiling over all taps, where these have one name (repeats).

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than five common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n = len(data.ids)
    refuse_large(len(taps), n, params.agreement)
    found, notes = _dissimilarities(data.values, names, params, progress)
    vectors = Vectors(found, groups_of(n, rng), params.agreement)
    del found
    units = [x.shape[1] for x in data.values]
    grid, bounds = _compared(vectors, rows, columns, units, progress)
    words = Words(
        f"RSA ({params.agreement})", f"{params.distance} distances, {params.agreement}",
        "samples exchanged, " + ("asymptotic deviation" if params.agreement == KENDALL else "exact moments")
        + "; p by Cantelli's bound",
    )  # fmt: skip
    if params.mean_pattern == "removed":
        notes.append("The mean activation over the samples was taken off each tap first.")
    matrix = similarity_matrix(grid, words, names, [*notes, *data.notes])
    repeats = len({name.partition(":")[2] for name in names}) == 1  # other layers of a network are none
    return (
        matrix
        if bounds is None or not repeats
        else _with_ceiling(matrix, bounds, vectors, n, max(units), words)
    )


def _dissimilarities(values, names, params: RsaParams, progress) -> tuple[list[np.ndarray], list[str]]:
    found, notes = [], []
    for i, (x, name) in enumerate(zip(values, names, strict=True)):
        progress(0.3 + 0.2 * i / len(names), "measuring distances")
        vector, n_zero = dissimilarities(
            x - x.mean(axis=0) if params.mean_pattern == "removed" else x, params.distance
        )
        found.append(vector)
        if n_zero:
            what = "the same value in all units" if params.distance == CORRELATION else "0 in all units"
            notes.append(
                f"{name}: {n_zero} sample(s) have {what}, so no direction; they lie at 1 from all others."
            )
        if np.ptp(vector) <= 1e-10 * vector.max():
            notes.append(
                f"{name}: all samples are equally far from each other, so nothing can be like it (0)."
            )
    return found, notes


def _compared(vectors: Vectors, rows, columns, units, progress) -> tuple[Grid, np.ndarray | None]:
    """The grid, and lower and upper noise ceiling (2, 1 + G), None for fewer than three taps."""
    slow, bounds, k = vectors.how == KENDALL, None, len(units)
    products = None if slow else vectors.products(progress, (0.5, 0.9))
    if k > 2:
        bounds = _rank_ceilings(vectors) if slow else ceilings(products)
    spreads = vectors.spreads()

    def pair(a: int, b: int) -> Pair:
        series = vectors.kendall(a, b) if slow else products[:, a, b]
        return Pair.with_moments(series, *chance_moments(spreads[a], spreads[b], vectors.how))

    grid = compared(
        range(k), pair, rows, columns, n=vectors.n, units=units, progress=progress,
        span=(0.5 if slow else 0.9, 1.0),
    )  # fmt: skip
    return grid, bounds


def _rank_ceilings(vectors: Vectors) -> np.ndarray:
    """τ-a (2, 1) of each tap with the mean ranks of the others, and of all."""
    from scipy.stats import rankdata

    ranks = [rankdata(v) for v in vectors.values]
    whole = np.sum(ranks, axis=0)
    lower = np.mean([kendall_a(v, whole - r) for v, r in zip(vectors.values, ranks, strict=True)])
    return np.array([[lower], [np.mean([kendall_a(v, whole) for v in vectors.values])]])


def _with_ceiling(
    matrix: Matrix, bounds: np.ndarray, vectors: Vectors, n: int, d: int, words: Words
) -> Matrix:
    k = vectors.count
    nulls = ceilings(np.eye(k)) if vectors.how in (PEARSON, SPEARMAN) else (None, None)
    made = []
    for word, series, null in zip(("lower", "upper"), bounds, nulls, strict=True):
        value, half = float(series[0]), float(jackknife_half(series))
        ends = {"low": max(value - half, -1.0), "high": min(value + half, 1.0), "interval": words.interval}
        of = (
            {"null": float(null), "null_method": "unrelated taps (exact in the limit)"}
            if null is not None
            else {}
        )
        made.append(
            Estimate(f"noise ceiling of {k} repeats, {word} bound", value, **(ends if np.isfinite(half) else {}), **of,
                     n=n, d=d, estimator=f"{words.name} with the mean of {'the others' if word == 'lower' else 'all'}")
        )  # fmt: skip
    reading = (
        f"{matrix.reading} If all {k} taps are repeats of one thing, no single geometry agrees with them by more than "
        f"{made[1].value:.2f} on average, and one that is right reaches {made[0].value:.2f}."
    )
    return replace(matrix, estimates=(*matrix.estimates, *made), reading=reading)


def _cost(shapes, params: RsaParams) -> Cost:
    m, n, k = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples), len(shapes)
    whole, pairs = sum(units for _, units in shapes), pair_count(n)
    moved = 8.0 * pairs * k * 12 * {SPEARMAN: 60.0, KENDALL: 4.0}.get(params.agreement, 8.0)
    moved += 8.0 * n * whole * 10
    if params.agreement == KENDALL:
        moved += 11 * k * (k - 1) / 2 * pairs * 180.0 * np.log2(pairs + 2)
    flops = 2.0 * n * n * whole + 11 * 2.0 * k * k * pairs
    return Cost(
        m.seconds(flops64=flops, moved=moved) + 0.02,
        8.0 * n * whole * 2 + bytes_needed(k, n, params.agreement),
    )


def _check() -> tuple[CheckLine, ...]:
    """Rotated: every Euclidean and cosine dissimilarity stays. Half of the units shared: Pearson's r of squared
    distances is 1/2, and of distances nearly. Unrelated: 0. Three noisy repeats of one geometry."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 300, 60))
    q = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    half = np.hstack([x[:, :30], y[:, :30]])

    def value(a, b, **more) -> float:
        return float(rsa(a, b, params=RsaParams(**more)).values[0, 1])

    spread = rsa(x, y, params=RsaParams()).estimates[0]
    three = [x + 0.5 * rng.standard_normal((300, 60)) for _ in range(3)]
    ceiling = rsa(*three, params=RsaParams(agreement=PEARSON)).estimates
    pair = float(np.mean([value(three[i], three[j], agreement=PEARSON) for i, j in ((0, 1), (0, 2), (1, 2))]))
    return (
        CheckLine("rotated, scaled and shifted: Euclidean, Spearman", 1.0, value(x, 7 * x @ q - 30), 1e-9),
        CheckLine("rotated: cosine, τ-a", 1.0, value(x, 7 * x @ q, distance="cosine", agreement=KENDALL), 1e-9),
        CheckLine("each sample scaled: correlation, Pearson", 1.0,
                  value(x, x * rng.uniform(1, 9, (300, 1)) + 4, distance=CORRELATION, agreement=PEARSON), 1e-9),
        CheckLine("half of the units shared: Pearson", 0.5, value(x, half, agreement=PEARSON), 0.03),
        CheckLine("unrelated: Spearman", 0.0, spread.value, 4 * (spread.null_high - spread.null) / 1.96),
        CheckLine("three repeats of agreement r: upper ceiling √((1 + 2 r) / 3)", np.sqrt((1 + 2 * pair) / 3),
                  ceiling[-1].value, 0.001),
        CheckLine("lower ceiling r √(2 / (1 + r))", pair * np.sqrt(2 / (1 + pair)), ceiling[-2].value, 0.001),
    )  # fmt: skip


METHODS = (
    Method(
        id="rsa", family="similarity", title="RSA (representational similarity analysis)", version=2, function=rsa,
        summary="Whether two or more layers or networks find the same samples alike, with a noise ceiling.",
        params=RsaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="Euclidean: rotating, scaling or shifting a side; cosine: rotating it or scaling each sample; "
        "correlation: scaling or shifting each sample, not rotating",
        papers=("SAEs Reveal Universal Feature Spaces Across LLMs",),
    ),
)  # fmt: skip
