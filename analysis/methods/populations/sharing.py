"""How much of each network's activation lies in units that another network has too. Taps x taps, row into column.

wMPPC(A -> B) = Σ s_i ρ_i / Σ s_i: ρ_i is the best Pearson correlation of unit i of A with any unit of B, s_i its total
activation Σ |x_i| (`compute.matching.unit_sharing`). 1 of a tap with itself. It is not symmetric: a small network
may be contained in a large one. Taps may be of different networks: samples are matched by id, tokens are pooled.

Null: samples exchanged between the two sides, seeded. It is above 0, since ρ_i is the best of many, and rises with the
units of B and falls with samples: only what exceeds it is shared. Cells are beyond chance where the excess, measured in
deviations of their exchanged values (`compute.statistics.exchange_tests`), passes Benjamini-Hochberg at 5 %. Interval:
jackknife over groups of samples; it is that of wMPPC, maximum included, and not of an unbiased quantity.

When it lies: many units of A may find the same unit of B (matched *once* forbids it); a few units with a large offset
can hold most of the activation (weights "equal" shows it); a feature split over two units, or turned into another
basis, is not found; what all samples have in common, such as brightness, makes every unit correlate.

Cost: (1 + draws) products O(n p q) for each pair of taps; matched once also O(draws d³). Memory O(n Σ d + p q).

References: C. Cornet, R. Besançon & H. Le Borgne (2025), "Explaining how visual, textual and multimodal encoders share
concepts"; Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.unit_sharing import Units, unit_notes, units_of
from analysis.compute.populations.sharing_cells import Counting, sharing_cells
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.exchange_tests import FEWEST, pooled_p
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
UNSURE = 0.1  # half-width of an interval from which on samples are called few


@dataclass(frozen=True)
class SharingParams:
    matching: str = param(
        "best", "Each unit takes its best partner, or each partner serves once (one-to-one).",
        choices=("best", "once"),
    )  # fmt: skip
    weights: str = param(
        "activation", "Units count by their total |activation|, or all the same.",
        choices=("activation", "equal"),
    )  # fmt: skip
    sign: str = param(
        "signed", "A partner must rise with the unit, or may also fall with it (|r|), as units of either sign do.",
        choices=("signed", "either"),
    )  # fmt: skip
    excess: bool = param(False, "Draw what exceeds exchanged samples instead of the value itself.")
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    draws: int = param(20, "Exchanges of samples for the null.", low=FEWEST, high=500)
    maximum_units: int = param(
        2000, "Most units of a tap, those with the largest total activation.", low=2, high=20_000
    )
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def sharing(*taps, params: SharingParams = SharingParams(), rng=None, progress=no_progress) -> Matrix:
    """wMPPC of every tap into every other.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), row into column, 1 on the diagonal (or their excess); `null` of exchanged samples, `low` and
        `high`, `significant`, `few` where the interval is wider than ± 0.1. Estimates: of two taps both directions and
        their difference; of more the mean, the highest and the lowest.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=8, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    groups = sample_groups(len(data.ids), rng)
    sides = [
        units_of(v, groups, name, params.maximum_units) for v, name in zip(data.values, names, strict=True)
    ]
    counting = Counting(params.matching == "once", params.sign == "either", params.weights == "activation")
    values, without, null = sharing_cells(sides, groups, counting, params.draws, rng, progress)
    p = np.where(np.eye(len(taps), dtype=bool), 0.0, 1.0)
    p[p > 0] = pooled_p(values[p > 0], null[:, p > 0])
    sure = _beyond_chance(p)
    half = jackknife_half(without)
    floor = null.mean(axis=0)
    estimates = _estimates(values, without, null, p, names, len(data.ids), sides, params)
    off = floor if params.excess else np.zeros_like(floor)
    return Matrix(
        title=f"Sharing between {names[0]} and {names[1]}" if len(names) == 2 else f"Sharing between {len(names)} taps",
        reading=_reading(estimates, sure, names), caveats=(*_caveats(sides, names, params), *data.notes),
        estimates=estimates, values=values - off, row_names=names, column_names=names,
        value_name="excess of wMPPC (row into column)" if params.excess else "wMPPC (row into column)",
        significant=sure, limits=(0.0, 1.0), null=floor - off, low=np.maximum(values - half, -1.0) - off,
        high=np.minimum(values + half, 1.0) - off, few=half > UNSURE,
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers
def _beyond_chance(p: np.ndarray) -> np.ndarray:
    off = ~np.eye(len(p), dtype=bool)
    sure = ~off
    sure[off] = benjamini_hochberg(p[off]) < LEVEL
    return sure


def _estimates(values, without, null, p, names, n: int, sides, params) -> tuple[Estimate, ...]:
    off = ~np.eye(len(values), dtype=bool)
    units = [s.d for s in sides]
    how = f"weighted mean best correlation, matched {params.matching}"

    def estimate(name: str, of, d: int, **more) -> Estimate:
        value, half, drawn = of(values), jackknife_half(np.array([of(w) for w in without])), of(null)
        low, high = np.percentile(drawn, [2.5, 97.5])
        ends = {} if half is None else {
            "low": float(max(value - half, -1.0)), "high": float(min(value + half, 1.0)),
            "interval": "jackknife over groups of samples, t",
        }  # fmt: skip
        return Estimate(
            name, float(value), **ends, null=float(drawn.mean()), null_low=float(low), null_high=float(high),
            null_method=f"samples exchanged, {params.draws} draws", n=n, d=d, estimator=how, **more,
        )  # fmt: skip

    def cell(word: str, a: int, b: int) -> Estimate:
        chance = {} if word else {"p_value": float(p[a, b])}  # that of a chosen cell would be too small
        return estimate(
            f"{word}{names[a]} into {names[b]}", lambda m: m[..., a, b], max(units[a], units[b]), **chance
        )

    if len(values) == 2:
        gap = estimate(
            "first into second, less second into first", lambda m: m[..., 0, 1] - m[..., 1, 0], max(units)
        )
        return cell("", 0, 1), cell("", 1, 0), gap
    mean = estimate("mean of two different taps", lambda m: m[..., off].mean(axis=-1), max(units))
    ranked = np.where(off, values, np.nan)
    highest = np.unravel_index(np.nanargmax(ranked), values.shape)
    lowest = np.unravel_index(np.nanargmin(ranked), values.shape)
    return mean, cell("highest: ", *highest), cell("lowest: ", *lowest)


# ---------------------------------------------------------------------------- words
def _reading(estimates, sure, names) -> str:
    first, second, third = estimates
    if len(names) == 2:
        verdict = [
            "more than chance" if s else "not shown to be more than chance" for s in (sure[0, 1], sure[1, 0])
        ]
        return (
            f"Weighted by activation, the best partners of the units of {names[0]} in {names[1]} correlate "
            f"{first.value:.2f} with them, where exchanged samples give {first.null:.2f} ({verdict[0]}); the other way "
            f"it is {second.value:.2f} against {second.null:.2f} ({verdict[1]})."
        )
    pairs = sure.size - len(sure)
    return (
        f"On average a tap's units find partners in another tap that correlate {first.value:.2f}; exchanged samples "
        f"give {first.null:.2f}. Most of its activation is shared by {second.name.partition(': ')[2]} "
        f"({second.value:.2f}), least by {third.name.partition(': ')[2]} ({third.value:.2f}). "
        f"{int(sure.sum()) - len(sure)} of {pairs} directions are beyond chance (q < {LEVEL:g})."
    )


def _caveats(sides: list[Units], names, params: SharingParams) -> list[str]:
    notes = unit_notes(sides, names)
    for side, name in zip(sides, names, strict=True):
        top = float(side.activation[0].max() / max(side.activation[0].sum(), 1e-300))
        if params.weights == "activation" and top > 0.2 and side.d > 10:
            notes.append(f"{name}: one unit holds {top:.0%} of the activation and rules the value.")
    if params.matching == "best":
        notes.append("Several units may have the same partner: matched once, the value can only be lower.")
    notes.append("The best of many partners correlates above 0 by chance: compare each cell with its null.")
    return notes


def _cost(shapes, params: SharingParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [min(units, params.maximum_units) for _, units in shapes]
    pairs = list(combinations_with_replacement(d, 2))
    flops = sum((3.0 + params.draws) * 2 * n * p * q for p, q in pairs)
    moved = sum((params.draws + 40.0) * 8 * (4 * p * q + n * q) for p, q in pairs) + 8.0 * n * sum(d) * 40
    if params.matching == "once":
        moved += sum((params.draws + 11.0) * min(p, q) ** 2 * max(p, q) for p, q in pairs)
    width = sum(units for _, units in shapes)
    return Cost(
        m.seconds(flops64=flops, moved=moved) + 0.01,
        8.0 * n * (2.0 * width + max(d) * 1.5) + 32.0 * max(d) ** 2,
    )


def _check() -> tuple[CheckLine, ...]:
    """Units in another order and half of the activation shared: by construction; a small tap inside a large one: 1 one
    way only; unrelated taps: the null."""
    rng = np.random.default_rng(8)
    x, y, z = (rng.standard_normal((600, 30)) for _ in range(3))

    def run(a, b, **more) -> Matrix:
        return sharing(ArrayActivations(a), ArrayActivations(b), params=SharingParams(**more))

    half = run(x, np.hstack([x[:, :15], y[:, :15]]), weights="equal")
    inside = run(x[:, :10], np.hstack([y, x]))
    unrelated = run(x, z)
    twice = run(np.hstack([x[:, :1], x[:, :1]]), x[:, :1], matching="once")
    expected = 0.5 + 0.5 * half.null[0, 1]
    return (
        CheckLine("units in another order, rescaled: wMPPC", 1.0, run(x, 3 * x[:, ::-1] + 2).values[0, 1], 1e-12),
        CheckLine("half of the units shared: half, and half the null", expected, half.values[0, 1], 0.02),
        CheckLine("a small tap inside a large one", 1.0, inside.values[0, 1], 1e-12),
        CheckLine("the large one inside the small", 0.4, inside.values[1, 0], 0.0, "at most"),
        CheckLine("unrelated: wMPPC less its null", 0.0, unrelated.values[0, 1] - unrelated.null[0, 1], 0.02),
        CheckLine("two equal units, one partner, matched once", 0.5, twice.values[0, 1], 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="sharing", family="populations", title="Sharing between networks (wMPPC)", version=1, function=sharing,
        summary="How much of each network's activation lies in units that another network has too.",
        params=SharingParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=8,
        invariance="permuting the units of either side, shifting or rescaling those of the column side",
        papers=("Explaining How Visual, Textual and Multimodal Encoders Share Concepts",),
    ),
)  # fmt: skip
