"""Does each adapter own its own task? Tasks by adapters: how well each embedding tells the classes of each task apart.

One tap for each task's adapter, all on the same samples. In the embedding of one adapter a sample is named by the class
whose mean (prototype, of samples it is not among) has the largest cosine with it.

    own classes     share of a task's samples named rightly among the classes of their task
    all classes     the same among all classes
    confusion       share of a task's samples (rows) named as some class of another task (columns), in one adapter or,
                    for adapter 0, in all embeddings side by side

Prototypes are all true ones; what happens with those made up for old classes is the prototype matrix. How far the
adapters' output subspaces overlap (Σ cos² θ beside its chance value) is asked of the subspace distances.

An adapter whose up-projection is 0 leaves the frozen network as it is: its column is that of the network alone, and
taps of it are equal. Put the network's own tap where an adapter is missing.

Null of a cell: answers exchanged between samples (exact). *Gain of the own adapter*: the share named rightly in the own
adapter less the mean of the others; null: adapters dealt to tasks at random (mean 0 exactly; p over all deals, or 999).
Intervals: Wilson's over samples; Student's t for the gain.

When it lies: with few samples of a class prototypes are noisy in every adapter alike; tasks with fewer classes are
easier; adapters that were trained on these very samples own their task by heart; a task of one class has nothing to
tell apart (hatched).

Cost: O(n C Σ d) in five folds; memory O(n Σ d).

Reference: D.-W. Zhou, H.-L. Sun, H.-J. Ye & D.-C. Zhan (2024), "Expandable subspace ensemble for pre-trained
model-based class-incremental learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.adapter_report import adapter_estimates
from analysis.compute.subspaces.prototypes import (
    FEWEST,
    PARTS,
    Stages,
    StagesParams,
    cosines_to,
    prototypes,
    stages_of,
)
from analysis.errors import ParameterError
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OWN, ALL, CONFUSION = "own classes", "all classes", "confusion"


@dataclass(frozen=True)
class AdapterTasksParams(StagesParams):
    show: str = param(OWN, "Named among the classes of the own task or among all; or which task they are named as.",
                      choices=(OWN, ALL, CONFUSION))  # fmt: skip
    adapter: int = param(
        0,
        "Which adapter's confusion, from 1; 0: all side by side.",
        label="confusion of adapter",
        low=0,
        high=1000,
    )


def adapter_tasks(
    *taps, params: AdapterTasksParams = AdapterTasksParams(), rng=None, progress=no_progress
) -> Matrix:
    """Tasks by adapters, or tasks by tasks in one adapter.

    Parameters
    ----------
    *taps : Activations with the sample column `params.column`, one for each task's adapter, in their order

    Returns
    -------
    Matrix
        `values` (A, A) shares of samples, `null`, `low`, `high`; `few` where a task has one class. Estimates: accuracy
        in the own adapters, in the others, the gain of the own, tasks whose own adapter is the best, and the accuracy
        of all embeddings side by side.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        No such adapter; see `compute.subspaces.prototypes.stages_of`.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if params.adapter > len(taps):
        raise ParameterError(f"adapter {params.adapter}", f"at most {len(taps)}, as many as there are taps")
    data = stages_of(taps, params, rng, progress, (0.0, 0.4))
    answers = []
    for i, x in enumerate((*data.values, np.hstack(data.values))):
        progress(0.4 + 0.6 * i / (len(taps) + 1), "naming samples")
        answers.append(_answers(x, data))
    progress(1.0, "done")
    among_own, among_all = (np.array([a[k] for a in answers]) for k in (0, 1))
    right = (among_own if params.show == OWN else among_all)[:-1] == data.of
    estimates = adapter_estimates(right, among_all[-1], data, params.show == ALL, rng)
    shown = _shown(among_own, among_all, data, params)
    single = np.bincount(data.task, minlength=len(taps)) == 1
    few = np.repeat(single[:, None], len(taps), axis=1) if params.show == OWN else None
    return Matrix(
        title=_title(data, params), values=shown[0], row_names=tuple(f"samples of {t}" for t in data.task_names),
        column_names=data.adapters if params.show != CONFUSION else tuple(f"named as {t}" for t in data.task_names),
        value_name="share of samples", limits=(0.0, 1.0), low=shown[1], high=shown[2], null=shown[3], few=few,
        few_means="a task of one class has nothing to tell apart", estimates=estimates,
        reading=_reading(estimates, data, params), caveats=(*_caveats(data, single), *data.notes),
    )  # fmt: skip


def _answers(x: np.ndarray, data: Stages) -> tuple[np.ndarray, np.ndarray]:
    """Held-out class numbers (n,) in one embedding, among the classes of the sample's task and among all."""
    own, every = np.empty(len(x), np.int64), np.empty(len(x), np.int64)
    for p in range(PARTS):
        out = data.part == p
        cosines = cosines_to(x[out], prototypes(x[~out], data.of[~out], len(data.names)))
        every[out] = cosines.argmax(axis=1)
        other = data.task[data.of[out]][:, None] != data.task
        own[out] = np.where(other, -np.inf, cosines).argmax(axis=1)
    return own, every


def _shown(among_own, among_all, data: Stages, params) -> tuple[np.ndarray, ...]:
    """Values, low, high and null (A, A)."""
    count, tasks = len(data.adapters), data.task[data.of]
    out = np.empty((4, count, count))
    for t in range(count):
        mine = tasks == t
        n, share = int(mine.sum()), np.bincount(data.of[mine], minlength=len(data.names)) / mine.sum()
        for j in range(count):
            if params.show == CONFUSION:
                said = data.task[among_all[params.adapter - 1]]  # adapter 0 is the last: all side by side
                hits, chance = int((said[mine] == j).sum()), float((said == j).mean())
            else:
                answer = (among_own if params.show == OWN else among_all)[j]
                hits = int((answer[mine] == data.of[mine]).sum())
                within = answer[mine] if params.show == OWN else answer
                chance = float(np.bincount(within, minlength=len(share)) / len(within) @ share)
            low, high = wilson(hits, n)
            out[:, t, j] = hits / n, min(low, hits / n), max(high, hits / n), chance
    return tuple(out)


def _title(data: Stages, params) -> str:
    if params.show != CONFUSION:
        return f"Tasks in adapters, named among {params.show}"
    where = data.adapters[params.adapter - 1] if params.adapter else "all adapters side by side"
    return f"Tasks that samples are named as, in {where}"


def _reading(estimates, data: Stages, params) -> str:
    own, others, gain, best, top = estimates
    among = "all classes" if params.show == ALL else "the classes of its task"
    return (
        f"Among {among}, a sample is named rightly with {own.value:.1%} in the adapter of its own task and with "
        f"{others.value:.1%} in the others: {gain.value:+.1%} (p = {gain.p_value:.2g} against adapters dealt at "
        f"random). {round(best.value * best.n)} of {best.n} tasks have their own adapter as the best. All embeddings "
        f"side by side name {top.value:.1%} among all {len(data.names)} classes."
    )


def _caveats(data: Stages, single) -> list[str]:
    notes = [
        "Prototypes are true ones of every class: what is lost by making some up is not in these numbers."
    ]
    smallest = 1 / factorial(len(data.adapters))
    if smallest > 0.05:
        notes.append(f"With {len(data.adapters)} adapters no p can be smaller than {smallest:.2g}.")
    if single.any():
        notes.append("Naming a sample among the one class of its task is always right (hatched).")
    return notes


def _cost(shapes, params: AdapterTasksParams) -> Cost:
    m, d = machine(), sum(s[1] for s in shapes)
    n = min(shapes[0][0], params.maximum_samples)
    return Cost(
        m.seconds(flops64=PARTS * 80.0 * n * d, moved=PARTS * 8.0 * n * d * 8) + 0.05, 8.0 * n * d * 3.5
    )


def _check() -> tuple[CheckLine, ...]:
    """Adapters that each see the classes of their own task only: 1 on the diagonal, chance beside it, gain 1 - 1 / 2.
    Adapters that do nothing (up-projection 0): equal columns, gain 0."""
    rng = np.random.default_rng(4)
    n = 400
    of, noise = np.arange(n) % 4, 0.05 * rng.standard_normal((3, n, 5))
    task, sees = of // 2, 4 * np.eye(5)
    one = sees[np.where(task == 0, of, 4)] + noise[0]  # every class of the second task is the same here
    two = sees[np.where(task == 1, of, 4)] + noise[1]
    taps = [ArrayActivations(x, samples={"label": of, "task": task}) for x in (one, two)]
    found = adapter_tasks(*taps, params=AdapterTasksParams(task="task"))
    frozen = ArrayActivations(sees[of] + 40 * noise[2], samples={"label": of, "task": task})
    still = adapter_tasks(frozen, frozen, params=AdapterTasksParams(task="task"))
    every = adapter_tasks(*taps, params=AdapterTasksParams(task="task", show=CONFUSION))
    return (
        CheckLine("own task in its own adapter", 1.0, float(np.diag(found.values).min()), 0.0),
        CheckLine("in the other: two classes alike", 0.5, float(found.values[0, 1]), 0.12),
        CheckLine("gain of the own adapter", 0.5, found.estimates[2].value, 0.1),
        CheckLine("adapters that do nothing: largest difference", 0.0, float(np.abs(np.diff(still.values)).max()), 0.0),
        CheckLine("and their gain", 0.0, still.estimates[2].value, 0.0),
        CheckLine("tasks told apart side by side", 1.0, float(np.diag(every.values).min()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="adapter_tasks", family="subspaces", title="Tasks in the subspaces of adapters", version=2,
        function=adapter_tasks,
        summary="Whether the adapter trained for a task tells its classes apart better than the other adapters do.",
        params=AdapterTasksParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling each adapter's embedding; shifting it does change cosines",
        papers=("Expandable Subspace Ensemble (EASE)",),
    ),
)  # fmt: skip
