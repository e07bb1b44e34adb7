"""Which units of a network are shared with every network of one group and with none of another?

The first tap is the network asked about; the next `members` taps are the group G, all further ones the group H. With
ρ_it the best correlation of unit i with any unit of tap t (0 where the best is negative) and s_i its total activation,

    Δ_i = s_i (min over G of ρ_it² - max over H of ρ_it²)

(`compute.populations.comparative`). Taps may be of different networks: samples are matched by id, tokens are pooled.

Two things must be more than chance for a unit to count, each after Benjamini-Hochberg over the units: that it is shared
with *every* tap of G (exchanged samples; the largest p over G, an intersection-union test), and that the difference of
the two ρ² is above 0 and above what exchanged samples give (jackknife over groups of samples, one-sided t). Exchanged
samples alone would not do for the second: a unit that all networks share has a difference that varies far more than
that of unrelated units.

When it lies: a unit that H holds in two halves, or in another basis, counts as lacking there; groups of unequal size or
width are not on a par (a minimum over more is smaller, a maximum over more is larger); correlation needs samples in
which the feature occurs.

Cost: (1 + draws) products O(n p q) for each further tap; memory O(n Σ d + p q).

References: C. Cornet, R. Besançon & H. Le Borgne (2025), "Explaining how visual, textual and multimodal encoders share
concepts"; R. Berger (1982) for intersection-union tests; Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.unit_sharing import unit_notes, units_of
from analysis.compute.populations.comparative import Sharedness, sharedness
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.exchange_tests import FEWEST
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups, share_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
CAVEAT = "A feature that a network holds in another basis, or split over units, counts as lacking there."


@dataclass(frozen=True)
class ComparativeParams:
    members: int = param(
        1, "How many taps after the first form the group that shares; all further ones are the others.",
        label="taps in the sharing group", low=1, high=100,
    )  # fmt: skip
    sign: str = param(
        "signed", "A partner must rise with the unit, or may also fall with it (|r|), as units of either sign do.",
        choices=("signed", "either"),
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    draws: int = param(20, "Exchanges of samples for the null.", low=FEWEST, high=500)
    maximum_units: int = param(
        2000, "Most units of a tap, those with the largest total activation.", low=2, high=20_000
    )
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def comparative_sharedness(
    *taps, params: ComparativeParams = ComparativeParams(), rng=None, progress=no_progress
) -> Table:
    """The units of the first tap, by how much better they are shared with all of G than with any of H.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples: the network, then G, then H.

    Returns
    -------
    Table
        One row per unit that varies, sorted by Δ: "Δ", both ρ², their "difference" with "low" and "high" and its
        "null", "q shared" and "q difference", "stands out" where both are below 5 %, and the partner in each tap.

    Raises
    ------
    ParameterError
        Fewer than three taps, or none left for H.
    InputError, NotEnoughData, TooLarge
        An id twice; equal samples; fewer than eight common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    if len(taps) < params.members + 2:
        raise ParameterError(
            f"{len(taps)} tap(s) with a sharing group of {params.members}",
            f"at least {params.members + 2}: the network, the group, and one other",
        )
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=8, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    groups = sample_groups(len(data.ids), rng)
    sides = [
        units_of(v, groups, name, params.maximum_units) for v, name in zip(data.values, names, strict=True)
    ]
    found = sharedness(sides, params.members, params.sign == "either", groups, params.draws, rng, progress)
    stands = (found.q_shared < LEVEL) & (found.q_difference < LEVEL)
    estimates = _estimates(found, stands, len(data.ids), params.draws)
    inside, outside = names[1 : 1 + params.members], names[1 + params.members :]
    return Table(
        title=f"Units of {names[0]} that {_listed(inside)} {'shares' if len(inside) == 1 else 'share'} "
        f"and {_listed(outside)} {'lacks' if len(outside) == 1 else 'lack'}",
        reading=_reading(found, estimates, stands, inside, outside),
        caveats=(*unit_notes(sides, names), CAVEAT, *data.notes),
        estimates=estimates, columns=_columns(found, stands, taps, sides, names), index="unit", sort="Δ", help=HELP,
    )  # fmt: skip


HELP = {
    "unit": "Unit of the first tap.",
    "Δ": "Total activation times the difference.",
    "activation": "Sum of |activation| over the samples.",
    "least ρ² in G": "Squared correlation with the best partner in that tap of the sharing group where it is worst.",
    "most ρ² in H": "Squared correlation with the best partner in any tap of the others.",
    "difference": "The first less the second.",
    "null": "What the difference is on average when samples are exchanged.",
    "q shared": "False-discovery rate of being shared with every tap of the group.",
    "q difference": "False-discovery rate of a difference above 0 and above its null.",
    "stands out": "Both rates are below 5 %.",
}


def _columns(found: Sharedness, stands, taps, sides, names) -> dict[str, np.ndarray]:
    half = jackknife_half(found.without)
    columns = {
        "unit": np.array([str(taps[0].unit_names[j]) for j in sides[0].numbers]),
        "Δ": found.activation * found.difference, "activation": found.activation,
        "least ρ² in G": found.inside, "most ρ² in H": found.outside, "difference": found.difference,
        "low": np.maximum(found.difference - half, -1.0), "high": np.minimum(found.difference + half, 1.0),
        "null": found.null, "q shared": found.q_shared, "q difference": found.q_difference, "stands out": stands,
    }  # fmt: skip
    for t, name in enumerate(names[1:]):
        tap, side = taps[t + 1], sides[t + 1]
        columns[f"partner in {name}"] = np.array(
            [str(tap.unit_names[side.numbers[j]]) for j in found.partner[t]]
        )
        columns[f"r in {name}"] = found.r[t]
    return columns


def _estimates(found: Sharedness, stands, n: int, draws: int) -> tuple[Estimate, ...]:
    common = {"n": n, "d": len(stands), "estimator": "least ρ² in G less most ρ² in H"}
    weight = found.activation / max(found.activation.sum(), 1e-300)
    mean, half = float(weight @ found.difference), jackknife_half(found.without @ weight)
    null = found.exchanged @ weight
    low, high = np.percentile(null, [2.5, 97.5])
    return (
        Estimate("share of units that stand out", float(stands.mean()), **{**share_interval(stands.astype(float)),
                 "interval": "Wilson, units as draws"}, null=0.0, null_method="false-discovery control", **common),
        Estimate("mean difference, weighted by activation", mean, float(mean - half), float(mean + half),
                 interval="jackknife over groups of samples, t", null=float(null.mean()), null_low=float(low),
                 null_high=float(high), null_method=f"samples exchanged, {draws} draws", **common),
    )  # fmt: skip


def _reading(found: Sharedness, estimates, stands, inside, outside) -> str:
    mean = estimates[1]
    shared = found.q_shared < LEVEL
    return (
        f"{int(stands.sum())} of {len(stands)} units are shared with {_listed(inside, 'every one of ')} and clearly "
        f"better than with {_listed(outside, 'any of ')} (q < {LEVEL:g} for both); {int(shared.sum())} are shared with "
        f"the group at all. Weighted by activation the difference of ρ² is {mean.value:.2f} on average, "
        f"where exchanged "
        f"samples give {mean.null:.2f}."
    )


def _listed(names, before: str = "") -> str:
    return names[0] if len(names) == 1 else before + ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _cost(shapes, params: ComparativeParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [min(units, params.maximum_units) for _, units in shapes]
    flops = sum((3.0 + params.draws) * 2 * n * d[0] * q for q in d[1:])
    moved = sum((params.draws + 40.0) * 8 * (3 * d[0] * q + n * q) for q in d[1:]) + 8.0 * n * sum(d) * 40
    width = sum(units for _, units in shapes)
    held = 8.0 * n * (2.0 * width + max(d) * 1.5) + 32.0 * max(d) ** 2 + 8.0 * params.draws * d[0] * len(d)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.01, held)


def _check() -> tuple[CheckLine, ...]:
    """Ten units shared with both of G only, ten with all, five with one of G, five with none: exactly the first stand
    out. Swapped groups: none of them, and Δ is negative. An exact copy: ρ² = 1."""
    rng = np.random.default_rng(9)
    x = rng.standard_normal((800, 30))
    near = lambda units, width: np.hstack([  # noqa: E731
        units + 0.5 * rng.standard_normal(units.shape), rng.standard_normal((800, width))
    ])  # fmt: skip
    taps = [x, near(x[:, :20], 10), near(x[:, :25], 10), near(x[:, 10:20], 20)]

    def run(*values, members: int = 1) -> dict[str, np.ndarray]:
        params = ComparativeParams(members=members)
        return comparative_sharedness(*map(ArrayActivations, values), params=params).columns

    found, other, copy = run(*taps, members=2), run(taps[0], taps[3], taps[1]), run(x, 2 * x, taps[3])
    inside = float(found["least ρ² in G"][:20].mean())
    return (
        CheckLine("units of the group only that stand out", 10, float(found["stands out"][:10].sum()), 0.5),
        CheckLine("others that stand out", 0, float(found["stands out"][10:].sum()), 1.0),
        CheckLine("ρ² of a unit and its copy with noise of variance 1/4", 0.8, inside, 0.04),
        CheckLine("ρ² of an exact copy", 1.0, float(copy["least ρ² in G"].min()), 1e-12),
        CheckLine("least ρ² of units that one tap of the group lacks", 0.1,
                  float(found["least ρ² in G"][20:25].max()), 0.0, "at most"),
        CheckLine("swapped groups: units that stand out", 0, float(other["stands out"].sum()), 1.0),
        CheckLine("swapped: Δ of units of the group only", 0, float(other["Δ"][:10].max()), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="comparative_sharedness", family="populations", title="Shared with these, not with those", version=1,
        function=comparative_sharedness,
        summary="Which units of a network every network of one group shares, and none of another.",
        params=ComparativeParams, result=Table, check=_check, cost=_cost, inputs=3, more_inputs=True, minimum_rows=8,
        invariance="permuting, shifting or rescaling the units of the other taps; the order of taps inside a group",
        papers=("Explaining How Visual, Textual and Multimodal Encoders Share Concepts",),
    ),
)  # fmt: skip
