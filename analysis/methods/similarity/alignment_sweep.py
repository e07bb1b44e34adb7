"""Cross-modal alignment: do two representations find each other's samples, and how many shared directions does it
take?

Canonical directions are found on training samples (each side first cut down to 99 % of its variance); test samples
are placed along the first k of them. For each k: matching accuracy (the one-to-one assignment of largest total
similarity), recall at 1 and 5 (is a sample's mate among the most similar?), and unbiased CKA of the two sets of
scores. As constant lines the full space: the least-squares map of all of x onto all of y, and CKA of the test samples
as they are.

Null: mates exchanged. Matching and recall at 1 are then 1 / m for m test samples, recall at 5 is 5 / m, and CKA 0,
all exactly; the best k of several is held against the best k after each exchange. Only held-out samples are shown:
in-sample, canonical correlation finds pairs in noise.

When it lies: one split; test samples that resemble training samples (frames of a clip, copies) are found by memory;
recall falls as test samples grow in number, compare at equal m. Cosine ignores how far a sample is from the mean, and
at k = 1 knows two values only. The gap between means says nothing where two recordings have no common unit of
measurement.

Cost: O(n (p min(n, p) + q min(n, q))) for the fit, O(m³) at worst for each k. Memory O(n (p + q) + m²).

References: S. Hadgi et al. (2025), "Escaping Plato's Cave: towards the alignment of 3D and text latent spaces"; W.
Liang et al. (2022), "Mind the gap: understanding the modality gap in multi-modal contrastive representation
learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.aligned_split import Aligned, aligned
from analysis.compute.similarity.alignment_steps import FULL, MEASURES, SIMILARITIES, Steps, steps_of
from analysis.compute.similarity.modality_gap import gap_estimates, mate_angle
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 40
DRAWS = 199


@dataclass(frozen=True)
class AlignmentSweepParams:
    variance: float = param(
        0.99, "Share of each side's variance that is kept before; 1 keeps all.", low=0.01, high=1.0
    )
    similarity: str = param(
        "cosine", "Of two samples along the shared directions: cosine, or the nearer the more similar.",
        choices=tuple(SIMILARITIES),
    )  # fmt: skip
    largest: int = param(512, "Most shared directions that are tried; doubled from 1 on.", low=1, high=10_000)
    test_samples: int = param(500, "Most samples held out; at most three tenths of all.", low=12, high=2000)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def alignment_sweep(
    x, y, params: AlignmentSweepParams = AlignmentSweepParams(), rng=None, progress=no_progress
) -> Curve:
    """Held-out matching, retrieval and CKA of two taps against the number of shared directions.

    Parameters
    ----------
    x, y : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Curve
        `x` numbers of directions; four series with intervals and nulls, and four constant ones for the full space.
        Estimates: the best k, all k and the full space, the angle between mates, and for sides of as many units the
        gap between their means.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        An id twice; nothing varies; fewer than 40 common samples; over 4 GiB.
    """
    taps, rng = [as_activations(x), as_activations(y)], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n = len(data.ids)
    test = np.zeros(n, bool)
    test[rng.choice(n, size=min(params.test_samples, int(0.3 * n)), replace=False)] = True
    progress(0.3, "fitting shared directions")
    found = aligned(*data.values, test, None if params.variance >= 1 else params.variance, names)
    sweep = steps_of(found, params.similarity, params.largest, rng, progress)
    best, angle, gaps = sweep.best(DRAWS, rng), mate_angle(found.x, found.y, DRAWS, rng), ()
    if data.values[0].shape[1] == data.values[1].shape[1]:
        gaps = gap_estimates(*data.values, groups_of(n, rng), DRAWS, rng)
    ends = (*sweep.named(f"k = {sweep.k[-1]}", sweep.steps[-1]), *sweep.named("full space", sweep.full))
    return Curve(
        title=f"Alignment of {names[0]} and {names[1]}", reading=_reading(names, sweep, best),
        caveats=(*_notes(found, names, n, sweep), *data.notes), estimates=(*best, *ends, angle, *gaps),
        x=sweep.k.astype(np.float64), x_name="shared directions", y_name="held-out share, or CKA", log_x=True,
        **sweep.lines(),
    )  # fmt: skip


def _reading(names, sweep: Steps, best) -> str:
    matching, recall = best
    full = sweep.full.search.matching
    beyond = "beyond chance" if matching.p_value <= 0.05 or recall.p_value <= 0.05 else "no more than chance"
    return (
        f"Along shared directions of {names[0]} and {names[1]}, found on other samples, {matching.value:.0%} of "
        f"{sweep.m} test samples are matched to their mate at best, and {recall.value:.0%} retrieve it first (chance: "
        f"{1 / sweep.m:.1%}): {beyond}. The full space, mapped by least squares, matches {full:.0%}."
    )


def _notes(found: Aligned, names, n: int, sweep: Steps) -> list[str]:
    notes = [
        f"{sweep.m} samples were held out, {n - sweep.m:,} made the directions; another split gives other numbers.",
        f"Kept dimensions: {names[0]} {found.ranks[0]}, {names[1]} {found.ranks[1]}.",
        "The best k was chosen on the test samples: its value is a little too high, its null is of the best k as well.",
    ]
    if found.plain.shape[1] == found.target.shape[1]:
        notes.append("The gap between the means has a meaning only where both sides have the same units.")
    if sum(found.ranks) > n - sweep.m - 1:
        notes.append(
            "More kept dimensions than training samples: some directions fit them exactly and say nothing of others."
        )
    return notes


def _cost(shapes, params: AlignmentSweepParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    m = max(1, min(params.test_samples, int(0.3 * n)))
    units = [d for _, d in shapes]
    flops = (
        sum(12.0 * n * d * min(n, d) + 50.0 * min(n, d) ** 3 for d in units) + 2.0 * n * units[0] * units[1]
    )
    steps = np.log2(min(*units, params.largest)) + 3
    moved = steps * m * m * 8.0 * 150
    held = (
        sum(8.0 * n * d for d in units)
        + 8.0 * (3 * n * max(units) + 4 * min(n, max(units)) ** 2)
        + 60.0 * m * m
    )
    return Cost(machine().seconds(flops64=flops, moved=moved) + steps * (m / 1000) ** 3 + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """A rotated copy: every sample is found, and CKA is 1. The same with its pairs shuffled: chance. Five directions
    shared among noise: fewer directions than all find more."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((400, 24))
    q = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    z = rng.standard_normal((600, 5))
    a, b = (
        np.hstack([z + 0.1 * rng.standard_normal((600, 5)), rng.standard_normal((600, 60))]) for _ in range(2)
    )

    def series(one, other) -> dict[str, np.ndarray]:
        return alignment_sweep(
            ArrayActivations(one), ArrayActivations(other), AlignmentSweepParams(variance=1.0)
        ).series

    same, shuffled, part = series(x, x @ q), series(x, (x @ q)[rng.permutation(400)]), series(a, b)
    return (
        CheckLine("rotated copy: matching along all directions", 1.0, float(same[MEASURES[0]][-1]), 0.0),
        CheckLine("rotated copy: CKA along all directions", 1.0, float(same["CKA"][-1]), 1e-9),
        CheckLine("rotated copy: full space", 1.0, float(same[FULL + "recall at 1"][0]), 0.0),
        CheckLine("rotated copy: full-space CKA", 1.0, float(same[FULL + "CKA"][0]), 1e-9),
        CheckLine("shuffled pairs: recall at 1 is 1 / m", 1 / 120, float(shuffled["recall at 1"].mean()), 0.02),
        CheckLine("shuffled pairs: matching is 1 / m", 1 / 120, float(shuffled["matching accuracy"].mean()), 0.02),
        CheckLine("five shared directions: matching at k = 4 or 8 beyond all by", 0.2,
                  float(part[MEASURES[0]][2:4].max() - part[MEASURES[0]][-1]), 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="alignment_sweep", family="similarity", title="Alignment of two spaces", version=1,
        function=alignment_sweep,
        summary="Whether two networks or modalities find each other's samples, and how many directions it takes.",
        params=AlignmentSweepParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting either side changes nothing but the gap between the means",
        papers=("Escaping Plato's Cave: aligning 3D and text latent spaces", "SVCCA"),
    ),
)  # fmt: skip
