"""Which units moved: the part of every unit in one step of the subspace movie.

The difference subspace between S_{t-1} and S_t (or between S_t and the point half-way between its neighbours) has
orthonormal directions d_i with sizes m_i = (2 sin θ_i/2)². Unit j adds

    Σ_i m_i d_ij²

to the movement, and all units together add up to it. `projection` is Σ_i d_ij², how much of the unit's axis lies in the
difference subspace, whatever the sizes.

Null: a difference of the same sizes in random directions: movement / units, exactly. A unit counts as moved where its
part exceeds that by more than its spread over groups of samples (Student's t, Benjamini-Hochberg at 5 %).

When it lies: units with a large scale carry the axes, and so their turns; a unit may keep its values while the others
turn around it, and the other way round; only directions of large variance are followed; taps must share their units.

Cost: as the subspace movie without its null: O(12 n d min(n, d)) for each tap; memory O(n Σ d).

References: K. Fukui et al. (2024), "Second-order difference subspace"; K. Fukui & A. Maki (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.subspaces.moved import chosen_step, coordinate_parts, step_words
from analysis.compute.subspaces.series import FEWEST, UNITS, SeriesParams, asked_series
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
HELP = {
    "unit": "Unit of the taps.",
    "part": "What the unit adds to the movement; all units add up to it.",
    "low": "Lower end of its 95 % interval.",
    "high": "Upper end of it.",
    "share": "Its share of the movement.",
    "projection": "How much of the unit's own axis lies in the difference subspace: 0 to 1.",
    "moved": f"More than random directions give, false-discovery rate {LEVEL:.0%}.",
}


@dataclass(frozen=True)
class MovedUnitsParams(SeriesParams):
    space: str = param(UNITS, "Units have a part in the space of units only.", choices=(UNITS,))
    step: int = param(
        0,
        "Place in the series of the tap that the step leads to, from 1; 0: the largest.",
        low=0,
        high=10_000,
    )


def moved_units(
    *taps, params: MovedUnitsParams = MovedUnitsParams(), rng=None, progress=no_progress
) -> Table:
    """Parts of all units in one step, or bend, of a series of subspaces.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units), of the same units and samples (matched by id).

    Returns
    -------
    Table
        One row per unit, the largest part first. Estimates: that part, and the share of units that moved.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        No such step; nothing moves; other widths; no taps with a held cut; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params, data, series = asked_series(taps, params, rng, 0, progress)
    names = series.names
    progress(0.95, "finding what moved")
    step = chosen_step(series, params.order, params.measure, params.step)
    found = coordinate_parts(series, step, params.measure)
    whole, where = found.values.sum(), step_words(series, step, params.order)
    order, moved = np.argsort(-found.values, kind="stable"), found.q < LEVEL
    units = np.asarray(taps[step.taps[0]].unit_names)
    columns = {
        "unit": units, "part": found.values, "low": found.low, "high": found.high, "share": found.values / whole,
        "projection": (step.difference.directions**2).sum(axis=1), "moved": moved,
    }  # fmt: skip
    top = int(order[0])
    common = {
        "n": series.n,
        "d": series.d,
        "estimator": params.measure,
    }
    estimates = (
        Estimate(f"largest part, unit {units[top]}", float(found.values[top]), float(found.low[top]),
                 float(found.high[top]), interval="jackknife over groups of samples, t", **found.against_largest(),
                 **common),
        Estimate("units that moved", float(moved.sum()), null=0.0, null_method="false-discovery control", **common),
    )  # fmt: skip
    progress(1.0, "done")
    half = int(np.searchsorted(np.cumsum(np.sort(found.values)[::-1]), whole / 2)) + 1
    return Table(
        title=f"Units that moved {where}",
        reading=f"The {params.order} {where} is {whole:.3g}; {half} of {series.d} units make up half of it, the most "
        f"unit {units[top]} ({found.values[top] / whole:.1%}; random directions give {1 / series.d:.2%} on average, "
        f"the largest of them {found.largest[0] / whole:.1%}). {int(moved.sum())} unit(s) have more than that average "
        "beyond their spread.",
        caveats=(
            f"The difference subspace has {int(step.difference.moved.sum())} dimension(s).",
            "The largest part was picked because it is the largest: its interval is that of a unit chosen beforehand.",
            *constant_notes(names, data.values), *data.notes,
        ),
        estimates=estimates, columns={k: v[order] for k, v in columns.items()}, index="unit", sort="part", help=HELP,
    )  # fmt: skip


def _cost(shapes, params: MovedUnitsParams) -> Cost:
    m, n = machine(), min(min(s[0] for s in shapes), params.maximum_samples)
    flops = sum(13 * (2.0 * n * d * min(n, d) + 4.0 * min(n, d) ** 3) for _, d in shapes)
    widest, held = max(d for _, d in shapes), 8.0 * 2.2 * n * sum(d for _, d in shapes)
    block = min(n, 4096) * widest * 8.0 * 9 + 4.0 * 8 * min(n, widest) ** 2
    return Cost(m.seconds(flops64=flops, moved=held * 20) + 0.05, held + block)


def _check() -> tuple[CheckLine, ...]:
    """Units 0 and 2 turn into each other: they share the movement (2 sin 0.15)², and no other unit has a part."""
    rng = np.random.default_rng(7)
    x = np.linalg.qr(rng.standard_normal((300, 6)))[0]
    x = np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt([40, 25, 1, 1, 1, 1])
    turn = np.eye(6)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(0.3), -np.sin(0.3), np.sin(0.3), np.cos(0.3)
    found = moved_units(x, x, x @ turn.T, params=MovedUnitsParams(dimension=2))
    parts = dict(zip(found.columns["unit"].tolist(), found.columns["part"].tolist(), strict=True))
    size, half = (2 * np.sin(0.15)) ** 2, 0.15
    return (
        CheckLine("parts add up to the movement", size, sum(parts.values()), 1e-10),
        CheckLine("part of unit 0", size * np.sin(half) ** 2, parts["0"], 1e-10),
        CheckLine("part of unit 2", size * np.cos(half) ** 2, parts["2"], 1e-10),
        CheckLine("part of the others", 0.0, sum(parts[k] for k in "1345"), 1e-10),
        CheckLine("units that moved", 1.0, found.estimates[1].value, 0.0),
    )


METHODS = (
    Method(
        id="moved_units", family="subspaces", title="Units that moved", version=4, function=moved_units,
        summary="Which units make up a step, or a bend, in the path of the main subspace.",
        params=MovedUnitsParams, result=Table, check=_check, cost=_cost, inputs=3, same_units=True, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="any basis of a subspace; shifting and scaling a tap as a whole; reordering samples",
        papers=("Second-order difference subspace",),
    ),
)  # fmt: skip
