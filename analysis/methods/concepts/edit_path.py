"""One sample, edited step by step: the nearest real samples along the axis of an attribute, to look at.

z'(t) = z + t s u, as in `edit_neighbours`, of one sample (of two that were clicked, from the first to the second); each
group of the gallery holds the real samples nearest to z' at one step, with their distances. What changes from group
to group is what the axis stands for in the data; where all distances are long, z' is off the data and the samples shown
say little.

Null: the same sample moved as far along random directions. The numbers beside are those of this one sample: the share
of the target among its neighbours at the end, and how far off the data it ended.

When it lies: one sample is an example, not evidence (`edit_neighbours` has many); the nearest samples of a far place
are near to nothing; near in all units together is not alike to the eye.

Cost: that of `edit_neighbours` for one sample; memory O(n d).

References: X. Li et al. (2020), "Latent space factorisation and manipulation via matrix subspace projection".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.subspaces.edit_path import (
    FEWEST,
    EditParams,
    EditPath,
    along,
    asked_path,
)
from analysis.errors import ParameterError
from analysis.results import Estimate, Gallery
from analysis.sources.weight_directions import weight_direction
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 100


@dataclass(frozen=True)
class EditPathParams(EditParams):
    number: int = param(0, "Which of the movable samples, from the most typical of its group (0) on.", low=0)
    steps: int = param(5, "Places along the path, the start among them.", low=2, high=12)
    neighbours: int = param(10, "How many nearest real samples are shown at each.", low=1, high=50)


def edit_path_of_one(
    activations, params: EditPathParams = EditPathParams(), rng=None, progress=no_progress
) -> Gallery:
    """The nearest real samples of one moved sample.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Gallery
        A group for the sample and one for each step; values are distances. Rows are those of the tap (the first of a
        sample with tokens).

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As `edit_neighbours`; no movable sample of that number.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    path = asked_path(tap, params, params.maximum_samples, weight_direction, rng, progress)
    one = _chosen(path, params.number)
    progress(0.5, "moving")
    steps = np.linspace(0.0, params.strength, params.steps)
    first_row = tap.layout.offsets[:-1]
    start = "the sample itself"
    groups = {start: first_row[one.moved_samples]}
    values = {start: np.zeros(1)}
    for step in steps:
        at, away = one.nearest(0, step, params.neighbours)
        name = "not moved" if step == 0 else f"{step:.3g} deviations"
        groups[name], values[name] = first_row[path.reference_samples[at]], away
    estimates = _estimates(one, steps, params, rng)
    progress(1.0, "done")
    return Gallery(
        title=f"One sample moved {along(path)} in {tap.name}",
        reading=_reading(one, estimates),
        caveats=(
            "One sample is an example, not evidence.",
            path.made_words,
            *_reach(path),
            *path.notes,
        ),
        estimates=estimates, groups=groups, values=values, value_name="distance from the moved sample",
    )  # fmt: skip


def _chosen(path: EditPath, number: int) -> EditPath:
    """The path of one sample: the low one of two that were clicked, else a movable one by number."""
    if len(path.clicked_samples):
        return replace(path, moved=path.clicked[:1], moved_samples=path.clicked_samples[:1])
    if number >= len(path.moved):
        raise ParameterError(f"movable sample {number}", f"a number up to {len(path.moved) - 1}")
    typical = np.argsort(((path.moved - path.moved.mean(axis=0)) ** 2).sum(axis=1), kind="stable")
    at = typical[[number]]
    return replace(path, moved=path.moved[at], moved_samples=path.moved_samples[at])


def _reach(path: EditPath) -> list[str]:
    """How far the other clicked sample is, in the steps of the path."""
    if not len(path.clicked_samples):
        return []
    away = float(np.linalg.norm(path.clicked[1] - path.clicked[0])) / path.deviation
    return [f"The other clicked sample lies {away:.1f} deviations along; it is not among the samples shown."]


def _estimates(one: EditPath, steps, params: EditPathParams, rng) -> tuple[Estimate, ...]:
    share, off = (part[0, -1] for part in one.landed(steps[-1:], one.axis[None], params.neighbours))
    many = replace(one, moved=np.repeat(one.moved, DRAWS, axis=0))
    chance = many.landed(steps[-1:], many.random_directions(params.random, rng), params.neighbours)
    made = {
        "n": len(one.references),
        "d": len(one.axis),
        "null_method": f"moved as far {params.random}, {DRAWS} times",
    }
    hits = round(float(share) * params.neighbours)
    low, high = wilson(hits, params.neighbours)
    return (
        Estimate("neighbours with the target attribute at the end", float(share), min(low, float(share)),
                 max(high, float(share)), interval="Wilson, neighbours as draws",
                 **against(float(share), chance[0][:, 0]),
                 **made, estimator=f"{params.neighbours} nearest references"),
        Estimate("real samples that are nearer to the data at the end", float(off),
            **against(float(off), chance[1][:, 0]),
                 **made, estimator="distance to the nearest reference"),
    )  # fmt: skip


def _reading(one: EditPath, estimates) -> str:
    target, off = estimates
    return (
        f"At the end of the path {target.value:.0%} of the nearest real samples are {one.names[0]} (after a random "
        f"move {target.null:.0%}, of all {one.is_target.mean():.0%}), and {off.value:.0%} of real samples are nearer "
        "to the data than the moved one."
    )


def _cost(shapes, params: EditPathParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    held = 8.0 * (n * d * 3.0 + 1.3 * n * n / 4.5 + 5.0 * DRAWS * n / 3)
    return Cost(
        m.seconds(flops64=2.0 * n * n / 4.5 * d, moved=24.0 * rows * d + 8.0 * DRAWS * n * 6) + 0.02, held
    )


def _check() -> tuple[CheckLine, ...]:
    """Two far groups: the path starts among the one and ends among the other, at real places; the first of the
    references at each step is the nearest by brute force."""
    rng = np.random.default_rng(4)
    n, d = 400, 6
    label = np.arange(n) % 2
    z = rng.standard_normal((n, d)) + 12 * label[:, None] * np.eye(d)[0]
    tap = ArrayActivations(z, samples={"label": label})
    made = EditPathParams(target="1", source="0", strength=12 / float(z[:, 0].std()), steps=3)
    found = edit_path_of_one(tap, made)
    groups = list(found.groups.values())
    start, end = z[groups[0][0]], found.values[list(found.values)[-1]]
    first = np.linalg.norm(z[groups[1]] - start, axis=1)
    return (
        CheckLine("the sample itself is of the source", 0.0, float(label[groups[0]].mean()), 0.0),
        CheckLine("not moved: neighbours of the target", 0.0, float(label[groups[1]].mean()), 0.0),
        CheckLine("moved: neighbours of the target", 1.0, float(label[groups[-1]].mean()), 0.0),
        CheckLine("distances are those of the rows", 0.0, float(np.abs(first - found.values["not moved"]).max()), 1e-9),
        CheckLine("distances rise", 0.0, float(np.diff(end).min()), 0.0, "at least"),
        CheckLine("moved: nearest is as near as real samples", 4.0, float(end[0]), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="edit_path", family="concepts", title="One sample edited step by step", version=1, function=edit_path_of_one,
        summary="The real samples nearest to one sample as it is moved along the axis of an attribute, to look at.",
        params=EditPathParams, result=Gallery, check=_check, cost=_cost, minimum_rows=6 * FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing; rescaling single units does",
        papers=("Matrix Subspace Projection (latent factorisation)",),
    ),
)  # fmt: skip
