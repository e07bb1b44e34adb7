"""Of this one sample, what should be looked at next? Step by step, by what it has shown so far.

Groups are cut from the units as in *What should be looked at next?*; here the order is the sample's own. At each step
the hidden group with the largest expected gain for its cost is revealed:

    gain of i = E_{x_i | x_S} KL(p(y | x_S, x_i) ‖ p(y | x_S))    bits, x_i drawn from Gaussian classes given x_S

with the model fitted to the other half of the samples. Beside what was expected stands what the group then told, the
likeliest class and its probability. Stopping is advised at the first step whose gain is no more than that of a group
whose rows were shuffled before the fit. For a few other samples the same is done with half of all steps: how often the
class is right by then, against one fixed ranking of the groups by what each tells alone.

Null: the group's rows shuffled. Interval: Student's t over the drawn values; Wilson over samples.

When it lies: Gaussian classes miss what no mean, variance or correlation tells, and a model that is sure for no reason
expects nothing more; what is expected is an average over values that might have stood there; greedy is blind to groups
that tell only together.

Cost: groups² draws classes p² for p kept axes, for this sample and each that is followed.

References: I. Covert et al. (2023), "Learning to maximize mutual information for dynamic feature selection"; S. Gadgil,
I. Covert & S.-I. Lee (2024), "Estimating conditional mutual information for dynamic feature selection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.attribution.revealing import MOST, costs_of
from analysis.compute.games.fusion import blocks_of
from analysis.compute.games.reveal import Revealing, fitted
from analysis.compute.games.reveal_one import expected_gains, own_order
from analysis.compute.games.reveal_steps import group_axes
from analysis.compute.machine import machine
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.probe_reader import ProbeReader
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SHUFFLES = 16, 5
HELP = {
    "step": "When it is revealed, from 1.",
    "group": "The group that is revealed.",
    "expected": "Bits that it was expected to tell of the label.",
    "low": "95 % interval of it, Student's t over drawn values.",
    "high": "95 % interval of it.",
    "by chance": "Expected gain of the same group with its rows shuffled before the fit.",
    "told": "Bits that it then told: how far it moved the probabilities of the classes.",
    "runner-up": "The group that would have been next best.",
    "likeliest": "The likeliest class by now.",
    "probability": "Its probability by now.",
    "cost so far": "Sum of the costs of the revealed groups.",
    "worth it": "Whether its expected gain lies above chance; stop before the first that does not.",
}


@dataclass(frozen=True)
class RevealOneParams:
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    groups: int = param(4, "Equal blocks of units, where their names do not tell.", low=2, high=MOST)
    components: int = param(3, "Principal axes that each group is kept as.", low=1, high=20)
    costs: str = param("", "Cost of each group in order, separated by commas; empty: each costs 1.")
    draws: int = param(60, "Values that are drawn for a hidden group.", low=20, high=10_000)
    followed: int = param(24, "Other samples that are followed with half of the steps.", low=8, high=2000)
    column: str | None = param(None, "Labels; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random subset above.", low=FEWEST, high=100_000
    )


def reveal_one(
    activations, params: RevealOneParams = RevealOneParams(), rng=None, progress=no_progress
) -> Table:
    """One sample's own order of groups.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each step, see `HELP`. Estimates: expected gain of the first step, accuracy of own orders and of a
        fixed ranking with half of the groups.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        No labels; no such sample among those with a label; fewer units than groups; too many groups; costs that are no
        positive numbers, one for each.
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
    rows, i = _with_sample(tap, reader, params.sample)
    x, groups = group_axes(rows, own, params.components)
    row, x, classes = x[i], x[: len(reader.of)], len(reader.classes)
    readers = [fitted(x[reader.half != h], reader.of[reader.half != h], classes) for h in (0, 1)]
    half = int(reader.half[i]) if i < len(x) else 0
    steps = own_order(readers[half], row, groups, costs, params.draws, rng, len(groups))
    chance = _by_chance(x, row, reader, half, groups, steps, params.draws, rng)
    columns = _columns(steps, chance, names, costs, [str(c) for c in reader.classes])
    accuracy = _followed(x, reader, readers, groups, costs, params, i, rng, progress)
    progress(1.0, "done")
    truth = (
        str(reader.classes[reader.of[i]]) if i < len(x) else str(sample_column(tap, column)[params.sample])
    )
    return Table(
        title=f"What to look at next of sample {params.sample}, for {column} ({tap.name})",
        reading=_reading(columns, params, truth), estimates=_estimates(steps, chance, accuracy, tap.shape[1]),
        caveats=(*seen.notes, *reader.notes[:-1], f"{len(names)} groups, told apart {how}: {', '.join(names)}.",
                 "What is told is what Gaussian classes can read, fitted to the other half of the samples."),
        columns=columns, index="step", help=HELP,
    )  # fmt: skip


def _with_sample(tap, reader, sample: int) -> tuple[np.ndarray, int]:
    """The rows of the reader's samples, with that of the asked one behind them where it is not among them; its place.
    Raises NotFound."""
    at = np.flatnonzero(reader.samples == sample)
    if len(at):
        return reader.pooled, int(at[0])
    if not 0 <= sample < tap.layout.n_samples:
        raise NotFound(f"sample {sample} of {tap.name}", f"0 … {tap.layout.n_samples - 1}")
    rows = np.asarray(tap.take(np.arange(*tap.layout.offsets[sample : sample + 2])), np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise NotFound(f"finite rows of sample {sample}", "a sample that has some")
    return np.concatenate([reader.pooled, rows.mean(axis=0)[None]]), len(reader.pooled)


def _by_chance(x, row, reader, half: int, groups, steps, draws: int, rng) -> np.ndarray:
    """(steps,) expected gains with the rows of the revealed group shuffled in the half that the model is fitted to."""
    other, out = reader.half != half, []
    seen = np.zeros(0, np.int64)
    for step in steps:
        new, found = groups[step.group], []
        for _ in range(SHUFFLES):
            moved = x[other].copy()
            moved[:, new] = moved[rng.permutation(len(moved))][:, new]
            model = fitted(moved, reader.of[other], len(reader.classes))
            found.append(expected_gains(model, row, seen, new, draws, rng).mean())
        out.append(np.mean(found))
        seen = np.sort(np.concatenate([seen, new]))
    return np.array(out)


def _followed(
    x, reader, readers, groups, costs, params, i: int, rng, progress
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool of other samples: whether half of the groups, in each one's own order, give the class; and the same for
    one ranking of the groups by what each tells alone."""
    game = Revealing(x, reader.of, reader.half, groups, len(reader.classes))
    alone = game.gains([], list(range(len(groups)))).mean(axis=1)
    most = max(1, len(groups) // 2)
    fixed = np.sort(
        np.concatenate([groups[int(g)] for g in np.argsort(-alone / costs, kind="stable")[:most]])
    )
    others = rng.permutation(np.setdiff1d(np.arange(len(x)), i))[: params.followed]
    draws, right = min(params.draws, 40), np.zeros((2, len(others)), bool)
    for k, j in enumerate(others):
        progress(0.4 + 0.6 * k / len(others), "following other samples")
        model = readers[reader.half[j]]
        own = own_order(model, x[j], groups, costs, draws, rng, most)[-1].posterior
        right[0, k] = own.argmax() == reader.of[j]
        right[1, k] = model.log_posteriors(x[j][None], fixed)[0].argmax() == reader.of[j]
    return right[0], right[1]


def _columns(steps, chance, names, costs, classes) -> dict[str, np.ndarray]:
    lines = []
    for k, (step, by_chance) in enumerate(zip(steps, chance, strict=True)):
        mean, ends = float(step.expected.mean()), mean_interval(step.expected, 0.0)
        best = int(step.posterior.argmax())
        lines.append((
            k + 1, names[step.group], mean, ends["low"], ends["high"], float(by_chance), step.told,
            names[step.runner_up] if step.runner_up != step.group else "", classes[best], float(step.posterior[best]),
            float(sum(costs[s.group] for s in steps[: k + 1])), bool(ends["low"] > by_chance),
        ))  # fmt: skip
    return {name: np.array([line[i] for line in lines]) for i, name in enumerate(HELP)}


def _estimates(steps, chance, accuracy, d: int) -> tuple[Estimate, ...]:
    first, (own, fixed) = steps[0].expected, accuracy
    n = len(own)
    return (
        Estimate("expected gain of the first step", float(first.mean()), **mean_interval(first, 0.0),
                 null=float(chance[0]), null_method="the group's rows shuffled", n=len(first), d=d, unit="bits",
                 estimator="mean KL over drawn values, Gaussian classes"),
        Estimate("accuracy of own orders", float(own.mean()), *wilson(int(own.sum()), n),
                 interval="Wilson over samples", null=float(fixed.mean()), n=n, d=d,
                 null_method="one ranking of the groups by what each tells alone",
                 estimator="other samples, with half of the groups"),
    )  # fmt: skip


def _reading(columns, params, truth: str) -> str:
    worth = columns["worth it"]
    stop = int(np.argmin(worth)) if not worth.all() else len(worth)
    if not stop:
        return f"Of sample {params.sample} no group is expected to tell more than chance: stop at once."
    names = ", ".join(columns["group"][:stop].tolist())
    return (
        f"Of sample {params.sample} look at {names}, then stop: {columns['likeliest'][stop - 1]} at "
        f"{columns['probability'][stop - 1]:.2f} (it is {truth}); with everything {columns['likeliest'][-1]} at "
        f"{columns['probability'][-1]:.2f}."
    )


def _cost(shapes, params: RevealOneParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples, kept = min(n, params.maximum_samples), min(d, params.groups * params.components)
    work = params.groups**2 * (params.draws + 40.0 * params.followed) * kept**2 * 30.0
    return Cost(0.3 + m.seconds(flops64=work, moved=8.0 * n * d), 8.0 * samples * (4.0 * d + 10.0 * kept))


def _check() -> tuple[CheckLine, ...]:
    """One group that tells the label, one of noise: the first is revealed first and tells a bit, the other nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(120) % 2
    x = np.column_stack([rng.standard_normal(120), 8.0 * label + 0.5 * rng.standard_normal(120)])
    params = RevealOneParams(groups=2, sample=3, followed=8)
    found = reveal_one(ArrayActivations(x, name="planted", samples={"label": label}), params).columns
    return (
        CheckLine("the telling group comes first", 1.0, float(found["group"][0] == "unit 1"), 0.0),
        CheckLine("bits expected of it", 1.0, float(found["expected"][0]), 0.05),
        CheckLine("bits that it told", 1.0, float(found["told"][0]), 0.05),
        CheckLine("bits left for the other", 0.0, float(found["expected"][1]), 0.05),
    )


METHODS = (
    Method(
        id="reveal_one", family="attribution", title="What to look at next of one sample",
        summary="Step by step, which group of columns to reveal of one sample, by what it has shown so far.",
        version=1, function=reveal_one, params=RevealOneParams, result=Table, check=_check, cost=_cost,
        minimum_rows=FEWEST, invariance="the scale and shift of every unit; the order of groups but for ties",
        papers=("Conditional mutual information for dynamic feature selection",),
    ),
)  # fmt: skip
