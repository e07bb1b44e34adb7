"""How wrong are the prototypes that a class-incremental learner makes up for its old classes? Classes by adapters.

One tap for each task's adapter, in the order in which they were trained, all on the same samples, old classes among
them. A prototype is the mean of a class. When adapter a is trained, only classes of its own task have data: earlier
classes get a prototype made up of the new ones, weighted by a softmax of the cosines that both have in the adapter of
the old class (`compute.subspaces.prototypes`). Where the data of old classes can be had after all, as here,

    cell (class, adapter) = cos(prototype that the learner has, true prototype)

which is 1 wherever nothing was made up; made-up cells are hatched. Beside: whether a made-up prototype is nearest to
its own class, and what making up costs the classifier (cosine to prototypes of all embeddings side by side; every
sample held out of the prototypes it is compared with).

Null: made-up prototypes of one adapter exchanged between its old classes (exact mean; p by 999 exchanges). It is high
where embeddings share a large mean, or where the softmax is so even that all old classes get nearly the same
prototype: cosines differ by 2 at most, so at a temperature of 1 no new class has a weight over e² = 7.4 times
another's. Intervals: groups of samples left out of everything; Wilson's for shares.

When it lies: a high cosine beside a high null says nothing of the class; with one old class there is nothing to
exchange; made-up prototypes depend on which classes happen to be new; prototypes are those of the samples given, not of
the training set; taps in another order than training's make other cells up.

Cost: O(n Σ d) for prototypes, 10 times for intervals, 5 times O(n C Σ d) for the classifier; memory O(n Σ d).

Reference: D.-W. Zhou, H.-L. Sun, H.-J. Ye & D.-C. Zhan (2024), "Expandable subspace ensemble for pre-trained
model-based class-incremental learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.prototype_report import cells_of, made_up_estimates, null_of
from analysis.compute.subspaces.prototypes import (
    FEWEST,
    PARTS,
    Stages,
    StagesParams,
    complemented,
    cosines_to,
    prototypes,
    stages_of,
    unit_length,
)
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MADE_UP = "made up from other classes, not computed from data"


@dataclass(frozen=True)
class PrototypeMatrixParams(StagesParams):
    temperature: float = param(
        1.0, "T of the softmax of similarities; the paper's is 1.", low=0.001, high=100.0
    )


def prototype_matrix(
    *taps, params: PrototypeMatrixParams = PrototypeMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """Classes by adapters: the prototype that the learner has against the true one.

    Parameters
    ----------
    *taps : Activations with the sample column `params.column`, one for each task's adapter, in their order

    Returns
    -------
    Matrix
        `values` (C, A) cosines, classes in the order of their tasks; `few` the made-up cells; `null`, `low`, `high`.
        Estimates: mean cosine of made-up prototypes, share nearest to their own class, accuracies with true and with
        made-up prototypes, and their difference.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        See `compute.subspaces.prototypes.stages_of`.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    data = stages_of(taps, params, rng, progress, (0.0, 0.4))
    classes = len(data.names)
    true = [prototypes(x, data.of, classes) for x in data.values]
    made = complemented(true, data.task, params.temperature)
    without, right = [], []
    for p in range(PARTS):
        progress(0.4 + 0.55 * p / PARTS, "leaving samples out")
        cells, told = _left_out(data, data.part == p, params.temperature)
        without.append(cells)
        right.append(told)
    progress(1.0, "done")
    cosine = [cosines_to(m, t) for m, t in zip(made, true, strict=True)]
    values, stay = cells_of(cosine, data.task)
    half = np.where(stay, 0.0, jackknife_half(np.array(without)))
    estimates = made_up_estimates(data, cosine, without, np.concatenate(right, axis=1), rng)
    order = np.argsort(data.task, kind="stable")
    return Matrix(
        title=f"Prototypes of {classes} classes in {len(taps)} adapters", values=values,
        row_names=tuple(f"{n} ({data.task_names[t]})" for n, t in zip(data.names, data.task, strict=True)),
        column_names=data.adapters, value_name="cosine with the true prototype", row_order=order,
        null=null_of(cosine, data.task), low=np.maximum(values - half, -1.0), high=np.minimum(values + half, 1.0),
        few=~stay, few_means=MADE_UP, limits=(min(0.0, float(values.min())), 1.0), estimates=estimates,
        reading=_reading(estimates), caveats=(*_caveats(data, made), *data.notes),
    )  # fmt: skip


def _left_out(data: Stages, out: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Without the samples `out` (n,): the cells (C, A), and (3, m) which of those samples the classifier names rightly
    with true prototypes, with made-up ones, and what an answer by chance would be."""
    classes = len(data.names)
    true = [prototypes(x[~out], data.of[~out], classes) for x in data.values]
    made = complemented(true, data.task, temperature)
    cells = cells_of([cosines_to(m, t) for m, t in zip(made, true, strict=True)], data.task)[0]
    x, of = np.hstack([v[out] for v in data.values]), data.of[out]
    share, told = np.bincount(data.of, minlength=classes) / len(data.of), []
    for known in (true, made):
        answer = cosines_to(x, np.hstack(known)).argmax(axis=1)
        told += [answer == of, share[answer]]
    return cells, np.array([told[0], told[2], told[1], told[3], data.task[of] < len(true) - 1], float)


def _reading(estimates) -> str:
    cosine, own, true, made, _, old = estimates
    return (
        f"A made-up prototype has a cosine of {cosine.value:.3f} with the true one; with that of any old class it has "
        f"{cosine.null:.3f} (p = {cosine.p_value:.2g}). {own.value:.0%} of them are nearest to their own class "
        f"({own.null:.0%} by chance). The classifier names {true.value:.1%} of samples with true prototypes and "
        f"{made.value:.1%} with those the learner has; of old classes it loses {old.value:.1%}."
    )


def _caveats(data: Stages, made) -> list[str]:
    notes = [
        "Hatched cells were made up; all others were computed from data and are 1 whatever the data are."
    ]
    for a in range(1, len(made)):
        old = unit_length(made[a][data.task < a])
        if len(old) < 2:
            notes.append(f"{data.adapters[a]} has one old class: there is nothing to exchange it with.")
        elif (data.task == a).sum() > 1 and (old @ old.T).min() > 0.999:
            notes.append(
                f"{data.adapters[a]}: all made-up prototypes are nearly the same; the softmax is too even to tell old "
                "classes apart (lower the temperature to see)."
            )
    return notes


def _cost(shapes, params: PrototypeMatrixParams) -> Cost:
    m, d = machine(), sum(s[1] for s in shapes)
    n = min(shapes[0][0], params.maximum_samples)
    return Cost(
        m.seconds(flops64=PARTS * 60.0 * n * d, moved=PARTS * 8.0 * n * d * 8) + 0.05, 8.0 * n * d * 2.5
    )


def _check() -> tuple[CheckLine, ...]:
    """Old classes made of new ones exactly as the softmax says: cosine 1. One new class stands for every old one."""
    rng = np.random.default_rng(2)
    of = np.arange(480) % 6
    first = np.vstack([3 * np.eye(3), np.eye(3) * 2 + 1])  # old 0, 1, 2; new 3, 4, 5
    like = unit_length(first[:3]) @ unit_length(first[3:]).T
    weight = np.exp(like) / np.exp(like).sum(axis=1, keepdims=True)
    new = 5 * rng.standard_normal((3, 8))
    second = np.vstack([weight @ new, new])
    noise = rng.standard_normal((80, 11)).repeat(6, axis=0)  # the same for each class of a round
    noise -= noise.mean(axis=0)

    def asked(late, classes=6, **how) -> Matrix:
        mine, centres = of < classes, (first, late)
        taps = [ArrayActivations((c[of] + e)[mine], samples={"label": of[mine], "task": (of >= 3)[mine].astype(int)})
                for c, e in zip(centres, (noise[:, :3], noise[:, 3:]), strict=True)]  # fmt: skip
        return prototype_matrix(*taps, params=PrototypeMatrixParams(task="task", **how))

    exact, one = asked(second), asked(second, classes=4)
    expected = [float(cosines_to(second[[3]], second[[i]])[0, 0]) for i in range(3)]
    other = float(asked(second, temperature=0.05).estimates[0].value)
    return (
        CheckLine("made of new classes as the softmax says", 1.0, float(exact.values[:3, 1].min()), 1e-12),
        CheckLine("nothing made up for its own adapter", 1.0, float(exact.values[~exact.few].min()), 0.0),
        CheckLine("made-up cells", 3.0, float(exact.few.sum()), 0.0),
        CheckLine("one new class stands for all", 0.0, float(np.abs(one.values[:3, 1] - expected).max()), 1e-12),
        CheckLine("another temperature", 0.999, other, 0.0, "at most"),
        CheckLine("accuracy with true prototypes", 0.9, exact.estimates[2].value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="prototype_matrix", family="subspaces", title="Prototypes of old classes in new adapters", version=1,
        function=prototype_matrix,
        summary="How wrong prototypes are that a class-incremental learner makes up for classes whose data are gone.",
        params=PrototypeMatrixParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating or scaling each adapter's embedding; shifting it does change cosines",
        papers=("Expandable Subspace Ensemble (EASE)",),
    ),
)  # fmt: skip
