"""Held-out CCA: do directions that two representations share on some samples correlate on others? Taps x taps.

Five times, canonical directions with a ridge are found on four fifths of the samples; the scores of the remaining
fifth along the first k pairs of directions are correlated within it. The value is the mean over k and folds.
In-sample, the same directions always look better: that mean is given beside it, and the difference is what was fitted
to chance.

Null: 0, exactly: directions that know nothing of a fold's samples correlate with either sign. The deviation given is
the largest that folds which help to fit each other can have, and p-values are by Cantelli's bound, so that neither
assumes anything of the data; a pair counts as alike where this passes Benjamini-Hochberg at 5 %. Intervals hold the
directions fixed.

When it lies: k decides: what two networks share may lie in fewer directions, and the others dilute it (compare
several k; `canonical_spectrum` shows them one by one), or in more. A large ridge favours directions of large
variance, a tiny one fits chance with few samples: both only lower the value. It is no share of anything: two taps
that share one direction of hundreds have the value 1 at k = 1. Samples that are copies of each other (frames of a
clip) make held-out samples known.

Cost: for each tap a QR factorisation O(n d²) and five Cholesky factors; for each pair O(n p q + 5 p q (p + q)).
Memory O(n Σ d + 5 Σ r²).

References: H. Vinod (1976), "Canonical ridge and econometrics of joint production"; M. Raghu et al. (2017), "SVCCA";
Y. Bengio & Y. Grandvalet (2004), "No unbiased estimator of the variance of k-fold cross-validation".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.heldout_canonical import (
    FEWEST,
    FOLDS,
    HeldOut,
    folds_and_groups,
    held_out,
    ridge_sides,
)
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, Pair, arranged, compared
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class HeldoutCcaParams:
    components: int = param(10, "Pairs of directions whose correlations are averaged.", low=1, high=500)
    ridge: float = param(
        0.1, "Ridge, in units of the mean variance of a tap's independent directions.", low=1e-6, high=100.0
    )
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def heldout_cca(
    *taps, params: HeldoutCcaParams = HeldoutCcaParams(), rng=None, progress=no_progress
) -> Matrix:
    """Held-out canonical correlation of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal (or the first network's taps by the others'), negative where
        chance has it so; `null` 0, `low` and `high` of each cell; `significant` beyond chance (false-discovery rate 5
        % over pairs); `few` where the interval is wider than ± 0.1. The last estimate is the in-sample mean.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; nothing varies; fewer than 30 common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    fold, group = folds_and_groups(len(data.ids), rng)
    sides = ridge_sides(data.values, names, fold, ridge=params.ridge, progress=progress)
    in_sample: list[HeldOut] = []

    def compare(a, b) -> Pair:
        found = held_out(a, b, params.components, group)
        in_sample.append(found)
        return Pair.with_moments(found.series.mean(axis=1), 0.0, found.deviation)

    grid = compared(
        sides, compare, rows, columns, n=len(data.ids), units=[s.rank for s in sides], progress=progress,
        span=(0.5, 1.0),
    )  # fmt: skip
    words = Words(
        "held-out CCA", f"mean held-out ρ of {params.components} components, {FOLDS} folds, ridge {params.ridge:g}",
        "samples exchanged, exact mean; deviation at most that of one fold; p by Cantelli's bound",
        interval="jackknife over groups of held-out samples, t, directions fixed",
    )  # fmt: skip
    notes = (*_notes(in_sample, sides, params), *data.notes)
    found = similarity_matrix(grid, words, names, notes)
    made = _in_sample(in_sample, len(data.ids), max(grid.units))
    return replace(
        found, estimates=(*found.estimates, made),
        reading=f"{found.reading} On the samples that made the directions the mean is {made.value:.2f}.",
    )  # fmt: skip


def _in_sample(found: list[HeldOut], n: int, d: int) -> Estimate:
    return Estimate(
        "in-sample mean of the same directions", float(np.mean([f.in_sample.mean() for f in found])), n=n, d=d,
        estimator="mean ρ of the samples that made the directions, inflated by fitting",
    )  # fmt: skip


def _notes(found: list[HeldOut], sides, params: HeldoutCcaParams) -> list[str]:
    fewer = [len(f.in_sample) for f in found if len(f.in_sample) < params.components]
    notes = []
    if fewer:
        notes.append(
            f"{len(fewer)} of {len(found)} pairs have fewer than {params.components} components ({min(fewer)} at "
            "least): their mean is over what there is."
        )
    constant = sum(s.span.constant for s in sides)
    if constant:
        notes.append(f"{constant} constant unit(s) left out.")
    notes.append("Units are set to deviation 1, so that the ridge treats them alike.")
    return notes


def _cost(shapes, params: HeldoutCcaParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    ranks = [min(units, n - 1) for _, units in shapes]
    flops = sum(8.0 * n * units * r + 40.0 * r**3 for (_, units), r in zip(shapes, ranks, strict=True))
    for i, p in enumerate(ranks):
        flops += sum(
            2.0 * n * p * q + FOLDS * (2.0 * p * q * (p + q) + 6.0 * min(p, q) ** 3) for q in ranks[:i]
        )
    widest = max(units for _, units in shapes)
    held = sum(8.0 * (n * units + 2 * n * r + 7 * r * r) for (_, units), r in zip(shapes, ranks, strict=True))
    held += 8.0 * (3 * n * widest + 4 * min(n, widest) ** 2)
    return Cost(machine().seconds(flops64=flops, moved=20 * held) + 0.02 * len(ranks) ** 2, held)


def _check() -> tuple[CheckLine, ...]:
    """Two shared directions with correlations 0.9 and 0.6 among 20 units a side: found on samples held out. Unrelated
    data, more units than samples: 0 held out and nearly 1 in-sample."""
    rng = np.random.default_rng(9)
    z, e = rng.standard_normal((2, 4000, 2))
    rest = rng.standard_normal((2, 4000, 18))
    x, y = np.hstack([z, rest[0]]), np.hstack([z * [0.9, 0.6] + e * np.sqrt([1 - 0.81, 1 - 0.36]), rest[1]])
    x, y = x @ rng.standard_normal((20, 20)), y @ rng.standard_normal((20, 20))
    far = rng.standard_normal((2, 200, 150))

    def found(a, b, **more) -> Matrix:
        return heldout_cca(ArrayActivations(a), ArrayActivations(b), params=HeldoutCcaParams(**more))

    copied = float(found(z[:500], z[:500], components=2).values[0, 1])
    planted, nothing = found(x, y, components=2, ridge=1e-4), found(*far, components=5, ridge=1e-3)
    return (
        CheckLine("planted ρ of 0.9 and 0.6: held-out mean", 0.75, float(planted.values[0, 1]), 0.03),
        CheckLine("unrelated, 150 units, n = 200: held-out", 0.0, float(nothing.values[0, 1]), 0.15),
        CheckLine("the same in-sample", 0.95, nothing.estimates[-1].value, 0.0, "at least"),
        CheckLine("a tap against its own copy: 1", 1.0, copied, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="heldout_cca", family="similarity", title="Held-out CCA", version=2, function=heldout_cca,
        summary="Whether directions that two or more layers or networks share on some samples correlate on others.",
        params=HeldoutCcaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, papers=("SVCCA",),
        invariance="shifting or scaling any single unit changes nothing; other invertible maps only by the ridge",
    ),
)  # fmt: skip
