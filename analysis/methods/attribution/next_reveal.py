"""If columns cost something to measure, which group should be looked at next, and when to stop?

Groups are cut from the units (by their names up to a ':', else equal blocks), each kept as a few principal axes. Step
by step the group with the largest gain for its cost is revealed:

    gain of i given S = I(y; x_i | x_S) = E KL(p(y | x_S, x_i) ‖ p(y | x_S))    in bits of the label y

by Gaussian classes that are asked with the other columns hidden (`analysis.compute.games.reveal`), on samples that
their fit did not see. Gains add up to all that the groups tell. Beside each step: the runner-up and whether the two are
a tie, the best pair of groups together, accuracy so far, and accuracy of a fixed ranking by what each group tells
alone. Stopping is advised at the first step whose gain is no more than that of the same group with its rows shuffled.

Greedy is blind to groups that tell only together: of an exclusive or both gains are 0, a tie, and the second is a whole
bit. The column of the best pair shows what one step does not see.

Null: the group's rows shuffled among samples, refitted. Interval: Student's t over samples.

When it lies: Gaussian classes miss what no mean, variance or correlation tells; gains are lower bounds where the model
is wrong and may be below 0; with many units per group and few samples the fit is drawn to equal classes; the order is
one for all samples, not what is best for each.

Cost: O(groups² n classes p²) for p kept axes in all, and as much for each of `draws` shuffles a step.

References: Y. He et al. (2022) and I. Covert et al. (2023), "Learning to maximize mutual information for dynamic
feature selection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.revealing import MOST, costs_of
from analysis.compute.games.fusion import blocks_of
from analysis.compute.games.reveal import Revealing
from analysis.compute.games.reveal_steps import group_axes, reveal_steps
from analysis.compute.machine import machine
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.probe_reader import ProbeReader
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 16  # samples
HELP = {
    "step": "When it is revealed, from 1.",
    "group": "The group that is revealed.",
    "gain": "Bits that it tells of the label beyond those before it.",
    "low": "95 % interval of it, Student's t over samples.",
    "high": "95 % interval of it.",
    "by chance": "Mean gain with its rows shuffled.",
    "by chance, high": "97.5 % of shuffles stay below.",
    "runner-up": "The group that would come next best at this step.",
    "tie": "Whether the two differ by no more than their 95 % interval.",
    "best pair": "Bits that the best two groups would tell together at this step.",
    "told so far": "Bits of the label told by all revealed groups.",
    "accuracy": "Share of samples whose likeliest class is right by now.",
    "accuracy, fixed ranking": "The same for as many groups ranked by what each tells alone.",
    "cost so far": "Sum of the costs of the revealed groups.",
    "worth it": "Whether its gain lies above chance; stop before the first that is not.",
}


@dataclass(frozen=True)
class NextRevealParams:
    groups: int = param(4, "Equal blocks of units, where their names do not tell.", low=2, high=MOST)
    components: int = param(3, "Principal axes that each group is kept as.", low=1, high=20)
    costs: str = param("", "Cost of each group in order, separated by commas; empty: each costs 1.")
    draws: int = param(20, "Shuffles at each step.", low=10, high=2000)
    column: str | None = param(None, "Labels; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random subset above.", low=FEWEST, high=100_000
    )


def next_reveal(
    activations, params: NextRevealParams = NextRevealParams(), rng=None, progress=no_progress
) -> Table:
    """The greedy order of groups with what each tells.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each step, see `HELP`. Estimates: what all groups tell, the gain of the first step, what the best
        pair tells beyond its two groups alone.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        No labels; fewer units than groups; too many groups; costs that are no positive numbers, one for each.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    column = label_column(tap, params.column)
    if column is None:
        raise NotFound(f"{tap.name} has no labels", "a column of classes", "Name one")
    own, names, how = blocks_of(tap.unit_names, tap.shape[1], params.groups)
    if not 2 <= len(own) <= MOST:
        raise InputError(f"{len(own)} groups {how}", f"2 … {MOST}", "Join some of them")
    costs = costs_of(params.costs, names)
    reader = ProbeReader(tap, column, params.maximum_samples, rng, progress, (0.05, 0.3))
    x, groups = group_axes(reader.pooled, own, params.components)
    game = Revealing(x, reader.of, reader.half, groups, len(reader.classes))
    columns, gains = reveal_steps(game, names, costs, params.draws, rng, progress, (0.3, 1.0))
    progress(1.0, "done")
    return Table(
        title=f"What to look at next for {column} ({tap.name})", reading=_reading(columns, game, column),
        caveats=(*seen.notes, *reader.notes[:-1], *_caveats(names, how, params, own)),
        estimates=_estimates(game, columns, gains, tap.shape[1]), columns=columns, index="step", help=HELP,
    )  # fmt: skip


def _estimates(game: Revealing, columns, gains, d: int) -> tuple[Estimate, ...]:
    whole = np.sum(gains, axis=0)
    first, n = gains[0], len(whole)
    together = float(columns["best pair"][0] - columns["gain"][0])
    ends = mean_interval(first)
    return (
        Estimate("told by all groups", float(whole.mean()), **mean_interval(whole), null=0.0,
                 null_method="groups that tell nothing", n=n, d=d, unit="bits",
                 estimator="mean log2 p(y | all) - log2 p(y), on samples that the fit did not see"),
        Estimate("gain of the first step", float(first.mean()), **ends, null=float(columns["by chance"][0]),
                 null_high=float(columns["by chance, high"][0]), null_method="the group's rows shuffled", n=n, d=d,
                 unit="bits", estimator="conditional mutual information by Gaussian classes"),
        Estimate("best pair beyond the first step", together, n=n, d=d, unit="bits",
                 interval="none: the best of all pairs, on the samples it was chosen by, so rather too large",
                 null_method="none: it is 0 where greedy is not blind, and grows with the number of pairs",
                 estimator="bits of the best two groups less those of the first step: large where greedy is blind"),
    )  # fmt: skip


def _reading(columns, game: Revealing, column: str) -> str:
    worth, m = columns["worth it"], len(columns["step"])
    stop = int(np.argmin(worth)) if not worth.all() else m
    told = columns["told so far"]
    tie = " The first step is a tie." if columns["tie"][0] else ""
    if not stop:
        return (
            f"No first step tells more of '{column}' than chance: stop at once, unless two groups tell together "
            f"({columns['best pair'][0]:.2f} bits for the best pair).{tie}"
        )
    names = ", ".join(columns["group"][:stop].tolist())
    return (
        f"Reveal {names}, then stop: {told[stop - 1]:.2f} of {told[-1]:.2f} bits of '{column}', accuracy "
        f"{columns['accuracy'][stop - 1]:.2f} of {columns['accuracy'][-1]:.2f}.{tie}"
    )


def _caveats(names, how: str, params, own) -> list[str]:
    said = [f"{len(names)} groups, told apart {how}: {', '.join(names)}."]
    if max(len(o) for o in own) > params.components:
        said.append(f"Of each group {params.components} principal axes are kept.")
    said.append("What is told is what Gaussian classes can read; the order is one for all samples.")
    return said


def _cost(shapes, params: NextRevealParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples, kept = min(n, params.maximum_samples), min(d, params.groups * params.components)
    work = samples * kept**2 * (params.groups**3 + params.groups * params.draws) * 10.0
    held = 8.0 * samples * (4.0 * d + 8.0 * kept + 4.0 * params.groups**2)
    fits = params.groups * params.draws + params.groups**3 / 6
    return Cost(0.2 + m.seconds(flops64=work, moved=8.0 * n * d, calls=600.0 * fits), held)


def _check() -> tuple[CheckLine, ...]:
    """An exclusive or: the first step tells nothing, a tie, the second a bit. A copy tells nothing after its twin."""
    rng = np.random.default_rng(0)
    signs = np.tile([[1, 1], [1, -1], [-1, 1], [-1, -1]], (50, 1))
    label = (signs[:, 0] * signs[:, 1] > 0).astype(int)
    x = signs + 0.05 * rng.standard_normal(signs.shape)
    blind = next_reveal(_planted(x, label), NextRevealParams(groups=2, draws=10)).columns
    clear = label[:, None] * 2.0 + 0.3 * rng.standard_normal((200, 1))
    twin = np.concatenate([clear, clear, rng.standard_normal((200, 1))], axis=1)
    copy = next_reveal(_planted(twin, label), NextRevealParams(groups=3, draws=10))
    gains = dict(zip(copy.columns["group"], copy.columns["gain"], strict=True))
    return (
        CheckLine("exclusive or: first step", 0.0, blind["gain"][0], 0.05),
        CheckLine("it is a tie", 1.0, float(blind["tie"][0]), 0.0),
        CheckLine("second step, bits", 1.0, blind["gain"][1], 0.1),
        CheckLine("the copy of what is told", 0.0, min(gains["unit 0"], gains["unit 1"]), 0.05),
        CheckLine(
            "gains add up", float(copy.columns["told so far"][-1]), float(copy.columns["gain"].sum()), 1e-12
        ),
    )


def _planted(x, label) -> ArrayActivations:
    return ArrayActivations(x, name="planted", samples={"label": label})


METHODS = (
    Method(
        id="next_reveal", family="attribution", title="What to look at next",
        summary="Which group of columns tells most of the label given those already seen, and when to stop.",
        version=1, function=next_reveal, params=NextRevealParams, result=Table, check=_check, cost=_cost,
        minimum_rows=FEWEST, invariance="the scale and shift of every unit; the order of groups but for ties",
        papers=("Conditional mutual information for dynamic feature selection",),
    ),
)  # fmt: skip
