"""Class prototypes in the subspaces of adapters that were trained one task after another, and those made up for classes
whose data are gone when a later adapter comes.

A prototype P_a[c] is the mean of class c in the embedding of adapter a. When adapter a comes, only data of its own task
are there. For a class i of an earlier task t, the similarity of i to the new classes j is taken where both were seen,
in the embedding of adapter t, and carried over:

    w_ij = exp(cos(P_t[i], P_t[j]) / T) / Σ_j …        P̂_a[i] = Σ_j w_ij P_a[j]        (D.-W. Zhou et al. 2024, T = 1)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress, param

SMALLEST, FEWEST = 5, 20  # samples of a class, of all
PARTS = 5  # a class has five samples or more: one for each part
NO_COLUMN = (
    "Classes, in their order, were cut into as many tasks as there are taps; name a column with the tasks."
)


@dataclass(frozen=True)
class StagesParams:
    """What every view of adapters and their tasks asks."""

    column: str = param("label", "The sample column that holds the classes.", column=True)
    task: str = param("", "Sample column with the task of each class, one for each tap; empty: classes in order.",
                      column=True)  # fmt: skip
    pooling: str = param(
        "mean", "How the tokens of a sample become one value.", choices=("mean", "max"), late=True
    )
    maximum_samples: int = param(
        10_000, "Most samples; a seeded random subset above.", low=50, high=200_000, late=True
    )


@dataclass(frozen=True)
class Stages:
    """`values`, one (n, d_a) array for each adapter; `of` (n,) class number; `names` (C,) of classes; `task` (C,) of
    each class; `task_names` and `adapters` (A,); `part` (n,) of five, classes spread over all; `notes`."""

    values: tuple[np.ndarray, ...]
    of: np.ndarray
    names: tuple[str, ...]
    task: np.ndarray
    task_names: tuple[str, ...]
    adapters: tuple[str, ...]
    part: np.ndarray
    notes: tuple[str, ...]


def stages_of(
    taps: Sequence[Activations],
    params: StagesParams,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> Stages:
    """Common samples of the taps, one for each task's adapter in the order in which they came, with classes and tasks.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        Fewer than two taps; no such column; a class in two tasks; another number of tasks than of taps; fewer classes
        than taps or than two with five samples; fewer than twenty samples; over 4 GiB.
    """
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "one for each task's adapter, two or more")
    data = common_samples(
        taps,
        rng,
        maximum=params.maximum_samples,
        minimum=FEWEST,
        pooling=params.pooling,
        progress=progress,
        span=span,
    )
    column, task = params.column, params.task
    classes = class_codes(column_by_id(taps[0], data.ids, column), column, SMALLEST)
    notes, stay, of = [*data.notes, *classes.notes], classes.stay, classes.codes
    if task:
        number, names = _by_column(column_by_id(taps[0], data.ids, task)[stay], of, classes.names, task)
    else:
        number, names = _in_order(len(classes.names), len(taps))
        notes.append(NO_COLUMN)
    if len(names) != len(taps):
        raise InputError(
            f"{len(names)} tasks in '{task}' and {len(taps)} taps", "a tap for each task's adapter, in their order",
            "Choose as many taps as there are tasks",
        )  # fmt: skip
    values = tuple(v[stay] for v in data.values)
    part, adapters = folds_of(of, PARTS, rng), tap_names([t.name for t in taps])
    return Stages(values, of, classes.names, number, names, adapters, part, tuple(notes))


def _in_order(classes: int, tasks: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if classes < tasks:
        raise NotEnoughData(
            f"{classes} classes for {tasks} taps", "a class or more for each task", "Choose fewer taps"
        )
    parts = np.array_split(np.arange(classes), tasks)
    return np.repeat(np.arange(tasks), [len(p) for p in parts]), tuple(f"task {i + 1}" for i in range(tasks))


def _by_column(labels: np.ndarray, of: np.ndarray, names, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Task (C,) of each class, tasks in natural order, and their names."""
    text = np.where(known_labels(labels), labels.astype(str), "")
    found = sorted(set(text), key=_natural)
    number = np.empty(len(names), np.int64)
    for c, name in enumerate(names):
        mine = sorted(set(text[of == c]), key=_natural)
        if len(mine) != 1 or not mine[0]:
            said = ", ".join(t or "none" for t in mine[:4])
            raise InputError(
                f"class {name} has samples of {len(mine)} tasks in '{column}' ({said})", "one task for each class"
            )  # fmt: skip
        number[c] = found.index(mine[0])
    return number, tuple(t if not t.isdigit() else f"task {t}" for t in found)


def _natural(text: str) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def prototypes(x: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    """(C, d) class means of `x` (n, d). O(n (d + C))."""
    return np.array([x[of == c].mean(axis=0) for c in range(classes)])


def unit_length(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def complemented(known: Sequence[np.ndarray], task: np.ndarray, temperature: float = 1.0) -> list[np.ndarray]:
    """The prototypes that a learner without old data would have: `known`, one (C, d_a) for each adapter, with those of
    classes of earlier tasks made up. O(A C² d)."""
    out = []
    for a, found in enumerate(known):
        made, new = found.copy(), np.flatnonzero(task == a)
        for t in range(a):
            old, turned = np.flatnonzero(task == t), unit_length(known[t])
            like = turned[old] @ turned[new].T / temperature
            weight = np.exp(like - like.max(axis=1, keepdims=True))
            made[old] = weight / weight.sum(axis=1, keepdims=True) @ found[new]
        out.append(made)
    return out


def cosines_to(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, C) cosines of rows of `x` (n, d) with those of `centres` (C, d); 0 with a row of zeros."""
    return unit_length(x) @ unit_length(centres).T
