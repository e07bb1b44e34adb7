"""Does an edit lead to where the data are? Samples of one group moved towards another, and the real samples near them.

    z'(t) = z + t s u        u the unit axis from the source's mean to the target's (or Cov(z, number)), what a probe of
                             the two reads, or one that is given (`compute.groups.concept_axis`), s the deviation along
                             it, t = 0 … strength

At each step: the share of the k nearest real samples of z' that have the target attribute, and how far z' is off the
data: the share of other real samples that lie nearer to their own nearest neighbour than z' does to its. A third of
the samples makes the axis, a third is looked for, and samples of the last third are moved. It needs no decoder.

Null: the same samples moved as far along random directions: differences of two real samples, or any direction, which
leaves the data sooner. The share of targets among all references is the prevalence. Intervals resample moved samples.

When it lies: nearest samples are near in all units together: a z' far off the data has neighbours too, and their
attribute then says little (look at both curves); in many dimensions all distances are alike; a target that is much
more frequent or compact than the rest attracts neighbours; near the data does not mean that a decoder would draw the
target.

Cost: O(q r (d + steps)) for q moved and r reference samples, for each of 20 random moves; memory O(n d + q r).

References: X. Li et al. (2020), "Latent space factorisation and manipulation via matrix subspace projection"; H. Tan &
D. Herremans (2020), "Music FaderNets".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, bootstrap_mean
from analysis.compute.subspaces.edit_path import (
    FEWEST,
    EditParams,
    EditPath,
    along,
    asked_path,
)
from analysis.results import Curve, Estimate
from analysis.sources.weight_directions import weight_direction
from analysis.spec import CheckLine, Cost, Method, no_progress, param

TARGET, OFF = "neighbours in the target", "real samples lying nearer"
DRAWS, STEPS = 40, 9


@dataclass(frozen=True)
class EditNeighboursParams(EditParams):
    maximum_moved: int = param(200, "Most samples that are moved.", low=10, high=2000, late=True)


def edit_neighbours(
    activations, params: EditNeighboursParams = EditNeighboursParams(), rng=None, progress=no_progress
) -> Curve:
    """Neighbours of moved samples along the path.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Curve
        Over the steps, in deviations: the share of neighbours with the target attribute and the share of real samples
        that are nearer to the data, each with its interval and its null along random directions.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such column or class; fewer than six samples of a group in a third; fewer references than neighbours;
        groups with the same mean.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    path = asked_path(tap, params, params.maximum_moved, weight_direction, rng, progress)
    steps = np.linspace(0.0, params.strength, STEPS)
    found = path.landed(steps, np.tile(path.axis, (len(path.moved), 1)), params.neighbours)
    chance = []
    for i in range(DRAWS):
        progress(0.3 + 0.7 * i / DRAWS, "moving at random")
        directions = path.random_directions(params.random, rng)
        chance.append([part.mean(axis=0) for part in path.landed(steps, directions, params.neighbours)])
    chance = np.array(chance)  # (draws, 2, steps)
    progress(1.0, "done")
    bands = [bootstrap_mean(part, rng) for part in found]
    values = [part.mean(axis=0) for part in found]
    estimates = _estimates(path, values, bands, chance, params)
    prevalence = float(path.is_target.mean())
    return Curve(
        title=f"Moved {along(path)} in {tap.name}",
        reading=_reading(path, estimates, prevalence),
        caveats=(*_caveats(path, prevalence, params), *path.notes), estimates=estimates, x=steps,
        x_name="deviations moved along the axis", y_name="share", series=dict(zip((TARGET, OFF), values, strict=True)),
        low={name: band[0] for name, band in zip((TARGET, OFF), bands, strict=True)},
        high={name: band[1] for name, band in zip((TARGET, OFF), bands, strict=True)},
        null={TARGET: chance[:, 0].mean(axis=0), OFF: chance[:, 1].mean(axis=0)},
    )  # fmt: skip


def _estimates(path: EditPath, values, bands, chance, params) -> tuple[Estimate, ...]:
    made = {"n": len(path.moved), "d": len(path.axis), "interval": "bootstrap over moved samples",
            "null_method": f"moved as far {params.random}, {DRAWS} times"}  # fmt: skip
    ends = [
        Estimate(
            f"{name}, at {params.strength:g} deviations", float(value[-1]), min(float(band[0][-1]), float(value[-1])),
            max(float(band[1][-1]), float(value[-1])), **against(float(value[-1]), chance[:, i, -1]), **made,
            estimator=f"{params.neighbours} nearest of {len(path.references):,} references",
        )
        for i, (name, value, band) in enumerate(zip((TARGET, OFF), values, bands, strict=True))
    ]  # fmt: skip
    start = float(values[0][0])
    return (
        *ends,
        Estimate(f"{TARGET}, before the move", start, null=float(path.is_target.mean()),
                 null_method="share of the target among all references", n=len(path.moved), d=len(path.axis),
                 estimator="nearest real samples"),
        Estimate("distance of the two means along the axis", path.apart, n=len(path.references), d=len(path.axis),
                 unit="deviations", estimator="on the references; the axis is from other samples"),
    )  # fmt: skip


def _reading(path: EditPath, estimates, prevalence: float) -> str:
    target, off, start, apart = estimates
    where = (
        "as near to the data as real samples are" if off.value < 0.75
        else "farther from the data than most real samples" if off.value < 0.95
        else "off the data: farther than nearly all real samples, so that their neighbours say little"
    )  # fmt: skip
    return (
        f"Moved all the way, {target.value:.0%} of the nearest real samples are {path.names[0]} ({start.value:.0%} "
        f"before the move, {target.null:.0%} after a random one, {prevalence:.0%} of all); moved samples end {where} "
        f"({off.value:.0%} of other real samples are nearer, {off.null:.0%} after a random move). The means of the "
        f"two groups lie {apart.value:.1f} deviations apart."
    )


def _caveats(path: EditPath, prevalence: float, params) -> list[str]:
    return [
        f"Prevalence of the target among the {len(path.references):,} references: {prevalence:.1%}.",
        path.made_words,
    ]


def _cost(shapes, params: EditNeighboursParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    moved, references = min(params.maximum_moved, n / 6), n / 3
    flops = 2.0 * references**2 * d + DRAWS * 4.0 * moved * references * d
    held = 8.0 * (n * d * 3.5 + 2.0 * references**2 + 5.0 * moved * references)
    seconds = m.seconds(flops64=flops, moved=24.0 * rows * d + DRAWS * STEPS * 8.0 * moved * references * 12)
    return Cost(seconds + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Two far groups: the path ends in the target and on the data; twice as far it leaves the data. An attribute
    without any relation: neighbours as prevalent as ever."""
    rng = np.random.default_rng(3)
    n, d = 600, 8
    label = np.arange(n) % 2
    z = rng.standard_normal((n, d)) + 12 * label[:, None] * np.eye(d)[0]
    tap = ArrayActivations(z, samples={"label": label, "none": rng.integers(2, size=n)})
    deviation = float(z[:, 0].std())

    def values(strength, column="label", **more):
        made = EditNeighboursParams(column=column, strength=strength, target="1", source="0", **more)
        return edit_neighbours(tap, made).series

    there, beyond, none = values(12 / deviation), values(30 / deviation), values(0.2, "none")
    return (
        CheckLine("before the move: targets among neighbours", 0.0, float(there[TARGET][0]), 0.01),
        CheckLine("moved onto the target: targets among neighbours", 1.0, float(there[TARGET][-1]), 0.01),
        CheckLine("before the move: nearer real samples", 0.5, float(there[OFF][0]), 0.08),
        CheckLine("moved onto the target: nearer real samples", 0.5, float(there[OFF][-1]), 0.1),
        CheckLine("moved beyond the target: nearer real samples", 1.0, float(beyond[OFF][-1]), 0.01),
        CheckLine("unrelated attribute: targets among neighbours", 0.5, float(none[TARGET][-1]), 0.08),
    )  # fmt: skip


METHODS = (
    Method(
        id="edit_neighbours", family="concepts", title="Where an edit leads", version=1, function=edit_neighbours,
        summary="Samples moved along the axis of an attribute: what real samples they land near, how far off the data.",
        params=EditNeighboursParams, result=Curve, check=_check, cost=_cost, minimum_rows=6 * FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing; rescaling single units does",
        papers=(
            "Matrix Subspace Projection (latent factorisation)",
            "Music FaderNets: Controllable Music Generation Based On High-Level Features via Low-Level Feature "
            "Modelling",
        ),
    ),
)  # fmt: skip
