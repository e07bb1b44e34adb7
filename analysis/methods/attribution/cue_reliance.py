"""Where two cues disagree, which one decides? Predictivity, availability and reliance of a core cue and a shortcut.

    predictivity    share of samples whose label the cue says (each of its values says the label it goes with most)
    availability    share of samples of which a linear probe, fitted to other samples, reads the cue's value at a tap;
                    also of a probe that is fitted to a tenth of them
    reliance        share of the conflicts (samples whose cues say different labels) that the answer decides by the cue
    bias            reliance less that of the optimal reader: Fisher's discriminant of the label on what probes read of
                    both cues, the direction Σ⁻¹ μ for two Gaussian cues

A bias of the shortcut above 0 says that the answer follows it more often than it deserves by what it tells and how well
it can be read. For two labels the bias of the core is the same with the sign turned. Where no shortcut is named, one is
planted in units of its own, and the question is what a reader of both would do.

Null: of reliance, the answers of other conflicts; of bias, 0, the optimal reader itself; of availability, the most
frequent value. Intervals: Wilson's over conflicts, Newcombe's of paired shares for the bias.

When it lies: availability is linear and of a mean over tokens; probes see conflicts in training as often as they are in
the data; a value's label is the one it goes with in these very samples; a third cue that goes with one of the two is
counted as that one; reliance as a share of conflicts is an operational stand-in for the definition of the paper.

Cost: for each tap 25 softmax regressions, O(n d classes) for each of their steps; memory O(n d).

References: K. Hermann et al. (2024), "On the foundations of shortcut learning"; R. Fisher (1936); R. Newcombe (1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.cue_conflict import CORE, CUES, SHORTCUT
from analysis.compute.machine import machine
from analysis.compute.subspaces.cue_lines import (
    FEWEST,
    CueParams,
    bias_estimate,
    cue_lines,
    reliance_estimate,
)
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress

MOST_ESTIMATED = 6
HELP = {
    "tap": "Where availability is read; the network's answer is the same for all.",
    "cue": "Which of the two.",
    "column": "Its sample column.",
    "predictivity": "Share of samples whose label it says.",
    "availability": "Share of samples of which a held-out linear probe reads its value.",
    "availability, few": "The same with a tenth of the samples to learn from: low beside the former: hard to find.",
    "availability by chance": "Share of its most frequent value.",
    "reliance": "Share of conflicts that are decided by it.",
    "low": "95 % interval of it.",
    "high": "95 % interval of it.",
    "reliance by chance": "The same with the answers of other conflicts.",
    "optimal reader": "Share of conflicts that the best weighing of both would decide by it.",
    "bias": "Reliance less that of the optimal reader.",
    "bias, low": "95 % interval of it.",
    "bias, high": "95 % interval of it.",
}  # fmt: skip


@dataclass(frozen=True)
class CueRelianceParams(CueParams):
    """Asks no more."""


def cue_reliance(
    *taps, params: CueRelianceParams = CueRelianceParams(), rng=None, progress=no_progress
) -> Table:
    """Two cues at one or more taps.

    Parameters
    ----------
    *taps : Activations with the label and, but for a planted shortcut, both cues as sample columns; matched by id.

    Returns
    -------
    Table
        A line for each tap and cue, see `HELP`. Estimates: bias and reliance.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such column, one column as both cues; fewer than 60 samples, ten of a class or 30 conflicts.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = cue_lines(taps, params, rng, progress)
    lines = [found.line(i, cue) for i in range(len(taps)) for cue in CUES]
    few = range(min(len(taps), MOST_ESTIMATED))
    estimates = (
        *(bias_estimate(found, i) for i in few), *(reliance_estimate(found, i, cue) for i in few for cue in CUES),
    )  # fmt: skip
    progress(1.0, "done")
    return Table(
        title=f"What decides where '{found.cues.called[CORE]}' and '{found.cues.called[SHORTCUT]}' disagree",
        reading=_reading(found, lines), caveats=found.notes, estimates=estimates,
        columns={name: np.array([one[name] for one in lines]) for name in HELP}, index="cue", help=HELP,
    )  # fmt: skip


def _reading(found, lines) -> str:
    core, shortcut = lines[:2]
    said = (
        f"Of {int(found.cues.conflict.sum()):,} conflicts {found.who} decides {core['reliance']:.0%} by the core cue "
        f"and {shortcut['reliance']:.0%} by the shortcut; the optimal reader would decide "
        f"{shortcut['optimal reader']:.0%} by it. "
    )
    if shortcut["bias, low"] > 0:
        return said + "The answer leans on the shortcut more than it deserves."
    if shortcut["bias, high"] < 0:
        return said + "The answer leans on the shortcut less than an optimal reader would."
    return said + "These do not differ beyond their interval."


def _cost(shapes, params: CueRelianceParams) -> Cost:
    m, n = machine(), min(min(r for r, _ in shapes), params.maximum_samples)
    d = sum(u + 4 for _, u in shapes)
    seconds = m.seconds(flops64=25 * 150 * 12.0 * n * d, moved=30.0 * n * d)
    return Cost(seconds + 0.05 * len(shapes), 8.0 * n * d * 7 + 600.0 * n)


def _check() -> tuple[CheckLine, ...]:
    """Two Gaussian cues: the reader Σ⁻¹ μ in closed form, on the same samples; swapped names turn the sign; a network
    that reads the shortcut alone."""
    rng = np.random.default_rng(3)
    y = np.arange(1200) % 2
    mean, spread = np.array([0.9, 0.6]), np.array([[1.0, 0.3], [0.3, 1.0]])
    z = np.outer(2 * y - 1, mean) + rng.multivariate_normal(np.zeros(2), spread, len(y))
    columns = {"label": y, "a": (z[:, 0] > 0).astype(int), "b": (z[:, 1] > 0).astype(int)}
    columns["greedy"] = columns["b"]
    tap = ArrayActivations(z, samples=columns)
    plain = cue_reliance(tap, params=CueRelianceParams(core="a", shortcut="b")).columns
    other = cue_reliance(tap, params=CueRelianceParams(core="b", shortcut="a")).columns
    greedy = cue_reliance(tap, params=CueRelianceParams(core="a", shortcut="b", answers="greedy")).columns
    best = (z @ np.linalg.solve(spread, mean) > 0).astype(int)
    apart = columns["a"] != columns["b"]
    share = float((best == columns["b"])[apart].mean())
    return (
        CheckLine("the optimal reader, by the closed form", share, float(plain["optimal reader"][1]), 0.03),
        CheckLine("bias of a linear reader", 0.0, float(plain["bias"][1]), 0.03),
        CheckLine("swapped names turn the sign", 0.0, float(plain["bias"][1] + other["bias"][1]), 0.03),
        CheckLine("biases of both cues of two labels", 0.0, float(plain["bias"].sum()), 1e-12),
        CheckLine("answers that are the shortcut", 1.0, float(greedy["reliance"][1]), 0.0),
        CheckLine("and their bias", 1 - share, float(greedy["bias"][1]), 0.03),
    )


METHODS = (
    Method(
        id="cue_reliance", family="attribution", title="Cue conflict: what decides?", version=1, function=cue_reliance,
        summary="Core cue against shortcut: what each tells, how well it is read, and which decides where they differ.",
        params=CueRelianceParams, result=Table, check=_check, cost=_cost, inputs=1,
        more_inputs=True, minimum_rows=FEWEST,
        invariance="shifting or scaling units; naming the labels otherwise; of two labels, swapping cues turns signs",
        papers=("On the Foundations of Shortcut Learning",),
    ),
)  # fmt: skip
