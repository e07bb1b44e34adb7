"""Which units separate two classes, or on which the two coincide: a gate in [0, 1] for every unit.

*Separate*: gate_j = |w_j| / max |w| of a logistic regression with an l1 penalty on standardised units. The penalty is
the largest whose cross-validated loss lies within one standard error of the least, so that a gate may be empty.
*Coincide*: gate_j = 1 - |g_j| / margin for the units whose Hedges' g is shown to lie inside ±margin (two one-sided
tests, Benjamini-Hochberg at 5 %). Not to be found different is not to be shown alike.

The gate is made on a random half of the samples. The other half gives everything that is said about it: the
difference of each unit with interval and q, and the AUROC of a discriminant on the units inside the gate, outside it,
and on all. With as many units as samples any two groups are perfectly apart where the rule was made, so the null
repeats everything (penalty, gate, rule) under exchanged labels.

When it lies: of units that say the same, the regression keeps one and may keep another on other samples, so "outside
the gate" can separate as well; a unit that is silent for both classes coincides, too; units that differ in spread but
not in mean count as alike; groups drawn on a map of these same activations must differ, whatever p says.

Cost: about 15 sparse fits of O(n d) a sweep for each exchange of labels, and one eigenproblem. Memory O(n d).

References: J. Wu et al. (2024), "Rethinking Positive Pairs in Contrastive Learning" (gates over units for pairs of
classes); R. Tibshirani (1996); D. Schuirmann (1987) for the two one-sided tests; B. Phipson & G. Smyth (2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.class_pairs import PairParams, asked_pair
from analysis.compute.groups.gated_pair import LEVEL, Gate, Pair, gate_estimates, gated, halved
from analysis.compute.groups.group_effects import GroupEffects, group_effects
from analysis.compute.groups.two_groups import pooled, read_groups, relabelled
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "unit": "number of the unit in the tap",
    "name": "name of the unit",
    "gate": "weight of the unit in the gate, 1 the largest; made on one half of the samples",
    "difference": "Hedges' g on the other half: mean of the first group minus mean of the second, in deviations",
    "low": "lower end of the 95 % interval of g",
    "high": "upper end of the 95 % interval of g",
    "q": "Benjamini-Hochberg q on the other half over the gate's units: of no difference, or of one beyond the margin",
    "confirmed": "q < 0.05",
    "mean of the first": "mean activation in the first group, on the other half",
    "mean of the second": "mean activation in the second group, on the other half",
}


@dataclass(frozen=True)
class PairGateParams(PairParams):
    goal: str = param(
        "separate", "Units that separate the two, or units on which they coincide.",
        choices=("separate", "coincide"),
    )  # fmt: skip
    margin: float = param(
        0.5,
        "Coincide: the largest difference that counts as none, in standard deviations.",
        low=0.05,
        high=5.0,
    )
    permutations: int = param(39, "Exchanges of the labels, each with its own gate.", low=19, high=2000)
    penalty: float | None = param(
        None, "Separate: λ. A unit alone enters when its means differ by more than 4 λ deviations; empty: by "
        "cross-validation.", low=0.001, high=10.0,
    )  # fmt: skip
    maximum_rows: int = param(
        4000, "Most rows of the two groups; a seeded random subset above.", low=50, high=50_000
    )


def pair_gate(
    activations, params: PairGateParams = PairGateParams(), rng=None, progress=no_progress
) -> Table:
    """The gate of one pair of classes.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        The units with a gate above 0, largest first, see `HELP`. Tokens count once per sample, by their mean; a unit
        that never changes has gate 0. Estimates: AUROC inside the gate, outside it and on all units (held out), and
        the share of units in the gate.

    Raises
    ------
    NotFound, ParameterError
        No such column or value; a membership of another length.
    NotEnoughData, InputError
        A group with fewer than eight samples; no unit varies.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    side, names = asked_pair(activations, params, rng)
    groups = read_groups(activations, side, names, params.maximum_rows, rng, progress)
    e = pooled(groups)
    pair = halved(e, rng)
    progress(0.1, "choosing the gate")
    how = (params.goal, params.penalty, params.margin)
    found, null = gated(pair, e.first, *how), []
    for i, labels in enumerate(relabelled(e, pair.fold, params.permutations, rng)):
        progress(0.15 + 0.8 * i / params.permutations, "choosing again with exchanged labels")
        null.append(gated(pair, labels, *how))
    progress(0.95, "measuring the gate's units")
    held = pair.fold < 0
    effects = group_effects(e.values[held], e.first[held][None])
    columns = _columns(activations, found, effects, params)
    estimates = gate_estimates(pair, found, null, e.first)
    return Table(
        title=f"Units {_aim(params.goal, names)} in {activations.name}", columns=columns, sort="gate", help=HELP,
        reading=_reading(params, names, columns, estimates, len(found.gate)), estimates=estimates,
        caveats=(*_caveats(params, found, pair, estimates), *groups.notes),
    )  # fmt: skip


def _aim(goal: str, names: tuple[str, str]) -> str:
    if goal == "separate":
        return f"that separate {names[0]} from {names[1]}"
    return f"on which {names[0]} and {names[1]} coincide"


def _columns(activations, found: Gate, effects: GroupEffects, params) -> dict[str, np.ndarray]:
    units = np.flatnonzero(found.gate)
    units = units[np.argsort(-found.gate[units], kind="stable")]
    g, half = effects.g[0, units], 1.959964 * effects.error[0, units]
    p = effects.p if params.goal == "separate" else effects.alike_p(params.margin)
    q = benjamini_hochberg(p[0, units])
    return {
        "unit": units, "name": np.array(activations.unit_names, dtype=str)[units], "gate": found.gate[units],
        "difference": g, "low": g - half, "high": g + half, "q": q, "confirmed": q < LEVEL,
        "mean of the first": effects.inside[0, units], "mean of the second": effects.outside[0, units],
    }  # fmt: skip


def _reading(params, names, columns, estimates, d: int) -> str:
    inside, outside, whole, _ = estimates
    k, sure = len(columns["unit"]), int(columns["confirmed"].sum())
    everything = (
        f"all units {whole.value:.2f} [{whole.low:.2f}, {whole.high:.2f}] (exchanged labels: up to "
        f"{whole.null_high:.2f})"
    )
    if not k:
        what = "no unit separates" if params.goal == "separate" else "no unit is shown to be alike for"
        return (
            f"The gate is empty: {what} {names[0]} and {names[1]}, as far as half of the samples can tell. AUROC on "
            f"the other half: {everything}."
        )
    luck = params.goal == "separate" and (inside.p_value > LEVEL or not sure)
    kind = "differ" if params.goal == "separate" else f"stay within ±{params.margin:g} deviations"
    return (
        f"The gate holds {k} of {d} units; {sure} of them {kind} also on the other half (q < {LEVEL:g}). There the "
        f"two are told apart with an AUROC of {inside.value:.2f} [{inside.low:.2f}, {inside.high:.2f}] inside the "
        f"gate (exchanged labels: up to {inside.null_high:.2f}), {outside.value:.2f} outside it, {everything}."
        + (" Labels that mean nothing give such a gate as well: do not read it." if luck else "")
    )


def _caveats(params, found: Gate, pair: Pair, estimates) -> list[str]:
    notes, constant = [], int((~pair.varies).sum())
    if params.goal == "separate":
        by = "chosen by cross-validation" if params.penalty is None else "given"
        notes.append(
            f"Penalty λ = {found.penalty:.3g}, {by}: a unit enters alone from {4 * found.penalty:.2g} deviations."
        )
        if found.gate.any() and found.auroc[1] > 0.5 and found.auroc[1] > found.auroc[0] - 0.05:
            notes.append(
                "The units outside tell the two apart about as well: what is in the gate is one choice of many."
            )
    else:
        least = 3.3 / np.sqrt(len(pair.fit))  # 1.65 errors 2 / √n
        notes.append(
            f"With {len(pair.fit)} samples in the choosing half, no margin below about {least:.2g} deviations can be "
            "shown; a unit that is silent for both coincides, too."
        )
        if found.gate.any() and estimates[0].p_value <= LEVEL:
            notes.append("Alike one by one is not alike together: inside the gate, small differences add up.")
    if constant:
        notes.append(f"{constant} constant unit(s) have gate 0.")
    if params.inside:
        notes.append(
            "Groups drawn on a map of these activations must differ: their p-values then say nothing."
        )
    return notes


def _cost(shapes, params: PairGateParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    half, r = n / 2, min(n / 2, d)
    fits = 75 + 12 * params.permutations  # under exchanged labels the path ends early
    fits *= params.goal == "separate"
    flops = (3 + params.permutations) * (4.0 * half * d * r + 20.0 * r**3)
    return Cost(
        m.seconds(flops64=flops, moved=fits * half * d * 160.0) + fits * 0.7e-3 + 0.05, n * d * 8 * 4.0 + 1e6
    )


def _check() -> tuple[CheckLine, ...]:
    """Three of 20 independent units differ by 1.2: AUROC Φ(1.2 √3 / √2) inside, 0.5 outside; the other 17 coincide. One
    class cut in two has an empty gate. Meaningless labels with d = 4 n are at chance on the other half."""
    rng = np.random.default_rng(3)
    label, planted = np.arange(1200) % 2, [2, 7, 11]
    x = rng.standard_normal((1200, 20))
    x[np.ix_(label == 1, planted)] += 1.2
    data = ArrayActivations(x + 50.0, samples={"label": label})
    apart = pair_gate(data, PairGateParams(permutations=3))
    alike = pair_gate(data, PairGateParams(goal="coincide", permutations=3)).columns
    same = pair_gate(data, PairGateParams(first="1", second="1", permutations=3))
    noise = ArrayActivations(rng.standard_normal((60, 240)), samples={"label": np.arange(60) % 2})
    luck = pair_gate(noise, PairGateParams(permutations=19)).estimates
    sure = apart.columns["unit"][apart.columns["confirmed"]]
    hits = len(set(planted) & set(sure.tolist())) - len(set(sure.tolist()) - set(planted))
    rest = sorted(alike["unit"][alike["confirmed"]].tolist()) == sorted(set(range(20)) - set(planted))
    return (
        CheckLine("planted units confirmed, less others", 3.0, float(hits), 0.0),
        CheckLine("their difference", -1.2, float(apart.columns["difference"][:3].mean()), 0.15),
        CheckLine("AUROC inside the gate", 0.929, apart.estimates[0].value, 0.03),
        CheckLine("AUROC outside the gate", 0.5, apart.estimates[1].value, 0.07),
        CheckLine("the other units coincide", 1.0, float(rest), 0.0),
        CheckLine("one class cut in two: units in the gate", 0.0, float(len(same.columns["unit"])), 0.0),
        CheckLine("one class cut in two: AUROC on all units", 0.5, same.estimates[2].value, 0.1),
        CheckLine("meaningless labels, d = 4 n: p of the AUROC", 0.05, luck[2].p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="pair_gate", family="units", title="Units that separate two classes", version=1, function=pair_gate,
        summary="The few units on which two classes differ, or those on which they coincide, judged on other samples.",
        params=PairGateParams, result=Table, check=_check, cost=_cost, minimum_rows=16,
        invariance="shifting or rescaling a unit (by a positive factor) changes nothing; permuting units permutes the "
        "gate; which class is named first matters for the sign of the differences only",
        papers=(
            "Rethinking Positive Pairs in Contrastive Learning",
            "Rethinking Positive Pairs in Contrastive Learning (Hydra)",
        ),
        libraries=("scikit-learn",),
    ),
)  # fmt: skip
