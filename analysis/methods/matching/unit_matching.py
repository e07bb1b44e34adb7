"""Which unit of one layer is which unit of another: one-to-one matching, unit by unit, against what chance matches.

Pairs maximise the sum of |r| (or of r) over all one-to-one matchings of the units of A to those of B: the Hungarian
method up to 4,096 units a side, greedy on the strongest free pairs above. A signed permutation of the units gives 1
everywhere; a rotation of the space keeps what is represented and leaves about 0.9 sqrt(2 ln d / d). That is why the
matching tells the *same units* from the *same subspace in another basis*, which CKA and CCA do not.

Null: the samples of B are moved against those of A and the whole matching is made again, because the best of many
partners is far from 0 for unrelated units: 0.109 at 64 units and 500 samples. A unit's p-value compares its pair with
all such pairs together; q is Benjamini-Hochberg over the pairs. Free of the choice are held-out values: pairs made on
one half of the samples, scored on the other, both ways, 0 for unrelated units. "Split", "merged" and the other verdicts
are defined in the column's help (`compute.matching.unit_verdicts`); parts are sought among a unit's 16 strongest
partners.

When it lies: units that are rarely active correlate through a few samples, and a null of all pairs together is too
narrow for them; classes that both networks tell apart correlate everything with everything; r sees straight lines only;
pooling hides where things are; units with twins may go to either twin (small margin) without loss.

Cost: O(n p q) for each of about ten products, O(max(p, q)³) at worst for each matching, O(n (p + q) 16²) for parts;
memory 32 p q + 28 n (p + q) bytes up to 4,096 units.

References: Y. Li et al. (2016), "Convergent learning"; H. Kuhn (1955); R. A. Fisher (1915); Y. Benjamini & Y. Hochberg
(1995); S. Chen et al. (1989) for the parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.matched_units import Matched, matched_units
from analysis.compute.matching.pairing_tests import GroupedPairs, jackknifed, moves
from analysis.compute.matching.told_together import CANDIDATES
from analysis.compute.matching.unit_pairing import is_exact
from analysis.compute.matching.unit_sides import FEWEST, UnitSides, column_groups, unit_sides
from analysis.compute.matching.unit_verdicts import HELP, VERDICTS, verdict_columns
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class UnitMatchingParams:
    sign: str = param("absolute", "Match on |r| (absolute), or on r, so that opposite units do not match (signed).",
                      choices=("absolute", "signed"))  # fmt: skip
    rows: str = param("samples", "Correlate over samples, matched by id with tokens pooled, or over the tokens "
                      "themselves, where both taps hold the same ones.", choices=("samples", "tokens"))  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    level: float = param(0.05, "False-discovery rate of pairs beyond chance.", low=1e-4, high=0.5)
    least: float = param(0.5, "Least |r| of a unit that counts as matched.", low=0.0, high=1.0)
    parts: int = param(4, "Most units that may tell one unit together; 1 for no search.", low=1, high=8)
    gain: float = param(
        0.1, "Least share of a unit's variance by which a part must lower the held-out error.", low=0.01, high=0.5
    )  # fmt: skip
    maximum_samples: int = param(
        10_000, "Most samples (or tokens); a seeded random subset above.", low=50, high=200_000
    )


def unit_matching(
    a, b, params: UnitMatchingParams = UnitMatchingParams(), rng=None, progress=no_progress
) -> Table:
    """One-to-one matching of the units of two taps.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Table
        A line for each unit of `a` that varies, then one for each unit of `b` without a partner; see `HELP`. Estimates:
        mean matched |r|, the same held out, mean |r| of the best partners, shares of pairs beyond chance and of pairs
        made alike by both halves.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; fewer than eight common samples; no unit that varies; over 4 GiB.
    """
    rng = rng or np.random.default_rng(0)
    sides = unit_sides(
        [as_activations(a), as_activations(b)], rng, rows=params.rows, pooling=params.pooling,
        maximum=params.maximum_samples, progress=progress, span=(0.0, 0.15),
    )  # fmt: skip
    group = column_groups(sides, rng)
    found = matched_units(
        sides, group, signed=params.sign == "signed", most_parts=params.parts, gain=params.gain, level=params.level,
        rng=rng, progress=progress, span=(0.15, 1.0),
    )  # fmt: skip
    columns = verdict_columns(found, sides, params.level, params.least)
    estimates = _estimates(found, sides, group, params)
    return Table(
        title=f"Units of {sides.taps[0]} matched to units of {sides.taps[1]}",
        reading=_reading(columns, estimates, sides, params), caveats=_caveats(found, sides, params),
        estimates=estimates, columns=columns, index="pair", sort="|r|", help=HELP,
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers
def _estimates(found: Matched, sides: UnitSides, group, params) -> tuple[Estimate, ...]:
    i = found.paired
    what, draws = ("r" if found.signed else "|r|"), len(found.null.matched)
    p, q = len(sides.x), len(sides.y)
    common = {"n": sides.n_samples, "d": max(p, q), "estimator": "Pearson, " + _way(p, q)}
    moved = f"samples of one side moved, matched again, {draws} times: mean, 95 %"
    count = int(group.max()) + 1
    pairs = GroupedPairs.of(sides.x, sides.y, i, found.partner[i], group, count)
    mean, apart = jackknifed(pairs, found.signed), found.halves.series
    first = GroupedPairs.of(sides.x, sides.y, np.arange(p), found.top.of_x[:, 0], group, count)
    best, beyond = jackknifed(first, found.signed), found.q[i] < params.level
    jack, share = "jackknife over groups of samples, t", float(beyond.mean())
    kept = float(found.halves.kept[i].mean())
    return (
        Estimate(f"mean matched {what}", float(mean[0]), **_ends(mean, 0.0 if what == "|r|" else -1.0),
                 interval=jack + ", pairs held", null_method=moved,
                 **against(float(mean[0]), found.null.matched.mean(axis=1)), **common),
        Estimate("mean matched r on held-out samples", float(apart[0]), **_ends(apart, -1.0), interval=jack, null=0.0,
                 null_method="unrelated units, exact mean", **common),
        Estimate(f"mean {what} of the best partner", float(best[0]), **_ends(best, 0.0 if what == "|r|" else -1.0),
                 interval=jack + ", partners held", null_method=moved,
                 **against(float(best[0]), found.null.best_x.mean(axis=1)), **common),
        Estimate(f"share of pairs with q < {params.level:g}", share,
                 **dict(zip(("low", "high"), wilson(share * len(i), len(i)), strict=True)),
                 interval="Wilson, pairs as draws", null=0.0, null_method="false-discovery control", **common),
        Estimate("share of pairs that keep their partner in both halves", kept,
                 **dict(zip(("low", "high"), wilson(kept * len(i), len(i)), strict=True)),
                 interval="Wilson, pairs as draws", null=1 / max(p, q), null_method="unrelated matchings", **common),
    )  # fmt: skip


def _ends(series: np.ndarray, floor: float) -> dict:
    half, value = jackknife_half(series[1:]), float(series[0])
    return (
        {}
        if half is None
        else {"low": max(value - float(half), floor), "high": min(value + float(half), 1.0)}
    )


def _way(p: int, q: int) -> str:
    return "Hungarian" if is_exact(p, q) else "greedy"


def _reading(columns, estimates, sides: UnitSides, params) -> str:
    mean, apart, best, share, _ = estimates
    counts = [int((columns["verdict"][columns["unit a"] >= 0] == v).sum()) for v in VERDICTS]
    free = int((columns["unit a"] < 0).sum())
    rest = f" {free} unit(s) of {sides.taps[1]} have no partner." if free else ""
    return (
        f"Of {len(sides.x)} units of {sides.taps[0]}, {counts[0]} are matched in {sides.taps[1]}, {counts[1]} split, "
        f"{counts[2]} merged and {counts[3]} unmatched. {share.value:.0%} of the pairs are beyond chance "
        f"(q < {params.level:g}). The {mean.name} is {mean.value:.3f}, where unrelated units reach {mean.null:.3f}, "
        f"and {apart.value:.3f} on samples that had no part in the matching; best partners, each used as often as one "
        f"likes, reach {best.value:.3f} (unrelated {best.null:.3f}).{rest}"
    )


def _caveats(found: Matched, sides: UnitSides, params) -> tuple[str, ...]:
    notes, draws = list(sides.notes), found.null.matched
    if not is_exact(len(sides.x), len(sides.y)):
        notes.append("Above 4,096 units pairs are greedy (the strongest free pair first): the sum may be below the "
                     "largest.")  # fmt: skip
    notes.append(
        f"The null is one for all pairs together ({len(draws)} moves, {draws.size:,} pairs; no p below "
        f"{1 / (1 + draws.size):.1e}): for rarely active units a few shared samples make a large r."
    )
    if params.parts > 1:
        notes.append(
            f"Parts are sought among the {min(CANDIDATES, len(sides.y))} strongest partners of a unit."
        )
    if found.halves.constant:
        notes.append(
            f"{found.halves.constant} unit(s) do not vary in one half of the samples; they have r = 0 there."
        )
    return tuple(notes)


def _cost(shapes, params: UnitMatchingParams) -> Cost:
    (n, p), (m, q) = shapes
    n, speed = min(n, m, params.maximum_samples), machine()
    draws, k = moves(p, q), min(CANDIDATES, p, q)
    flops = 2.0 * n * p * q * (draws + 2) + 8.0 * n * (p + q) * k * k
    matchings = (draws + 3) * 2.5e-7 * max(p, q) ** 1.9
    moved = 8.0 * n * (p + q) * (20 + 6 * k) + draws * 8.0 * (6.0 * n * q + 10.0 * p * q)
    memory = 8.0 * (min(p, 4096) * min(q, 4096) * 4 + 3.5 * n * (p + q)) + min(48e6, 160.0 * n * (p + q))
    return Cost(speed.seconds(flops64=flops, moved=moved) + matchings + 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """A signed permutation is found whole; a rotation matches as theory says; independent units reach 0.109 ± 0.002 one
    to one and 0.116 ± 0.002 (in closed form) with any partner, and nothing held out; a unit made of two is split, its
    parts are merged."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((500, 64)), rng.standard_normal((500, 64))
    order, sign = rng.permutation(64), rng.choice([-1.0, 1.0], 64)
    turn = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    sums = np.hstack([(y[:, :1] + y[:, 1:2]), y[:, 2:8]])

    def run(one, other):
        return unit_matching(ArrayActivations(one), ArrayActivations(other))

    same, turned, noise, split = (
        run(x, x[:, order] * sign * 3 + 9),
        run(x, x @ turn),
        run(x, y),
        run(sums, y[:, :8]),
    )
    back = order[same.columns["unit b"]] == same.columns["unit a"]
    verdict, merged = split.columns["verdict"], run(y[:, :8], sums).columns
    return (
        CheckLine("signed permutation: mean matched |r|", 1.0, same.estimates[0].value, 1e-12),
        CheckLine("its held-out r", 1.0, same.estimates[1].value, 1e-12),
        CheckLine("units found again", 64.0, float(back.sum()), 0.0),
        CheckLine("rotation: mean |r| about 0.9 √(2 ln d / d)", 0.9 * np.sqrt(2 * np.log(64) / 64),
                  turned.estimates[0].value, 0.03),
        CheckLine("independent: mean matched |r|", 0.109, noise.estimates[0].value, 0.008),
        CheckLine("its null", 0.109, noise.estimates[0].null, 0.001),
        CheckLine("independent: mean |r| of the best partner", 0.116, noise.estimates[2].value, 0.008),
        CheckLine("independent: on held-out samples", 0.0, noise.estimates[1].value, 0.02),
        CheckLine("a unit that is the sum of two: split, others matched", 7.0,
                  float((verdict[split.columns["unit a"] == 0] == "split").sum() + (verdict == "matched").sum()), 0.0),
        CheckLine("the two: merged", 2.0,
                  float((merged["verdict"][np.isin(merged["unit a"], (0, 1))] == "merged").sum()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="unit_matching", family="matching", title="Unit matching (one to one)", version=2, function=unit_matching,
        summary="Which unit of one network is which unit of another, and which have no partner, are split or merged.",
        params=UnitMatchingParams, result=Table, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="permuting, shifting or rescaling units of either side changes nothing (with |r| flipping signs "
                   "neither); rotating a side does",
        papers=(
            "Convergent Learning: Do different neural networks learn the same representations?", "Convergent Learning",
            "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks",
            "Explaining How Visual, Textual and Multimodal Encoders Share Concepts",
        ),
    ),
)  # fmt: skip
