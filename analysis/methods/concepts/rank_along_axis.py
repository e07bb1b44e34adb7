"""All samples sorted along an axis, as a strip of percentiles: the same few at each tenth of the way, with examples.

The axis is the ridge direction of an attribute (classes as two groups), the difference of two groups, or of two clicked
samples. Where samples made the axis they are placed by axes made without them (folds), turned and scaled onto the axis
of all; positions are in deviations from the mean. Groups of the gallery are the tenths of the order, lowest first, each
with the samples nearest to its middle; of a tap with tokens the row shown is the token furthest along the axis.

Spearman's ρ with the attribute is that of samples placed by an axis they did not make. Null: exchanged samples, mean 0,
variance 1 / (n - 1); interval by Fisher's z.

When it lies: any axis sorts; what the strip shows beside the attribute goes with it in these samples, which is not the
same as being it; the middle of the strip holds what the axis says nothing about.

Cost: a singular value decomposition O(n d min(n, d)) for each fold. Memory O(n d).

References: A. Sonthalia et al. (2025), "On the rankability of visual embeddings"; B. Kim et al. (2018), TCAV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams, ConceptSamples, clicked_axis, concept_samples
from analysis.compute.linear.cross_fitting import cross_fitted, folds_of
from analysis.compute.linear.ranking_axes import (
    difference_axis,
    halves,
    ridge_axis,
    spearman,
    spearman_estimate,
)
from analysis.compute.machine import machine
from analysis.results import Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS = 10, 5
RIDGE, MEANS = "ridge", "difference of groups"


@dataclass(frozen=True)
class RankAlongAxisParams(ConceptParams):
    axis: str = param(RIDGE, "How the axis is made, unless two samples are clicked.", choices=(RIDGE, MEANS))
    low: str = param("", "Id of a sample that stands low, as clicked; with `high` it makes the axis.")
    high: str = param("", "Id of a sample that stands high.")
    steps: int = param(10, "Parts of the strip, of equal numbers of samples.", low=2, high=50)
    examples: int = param(8, "Samples shown of each part.", low=1, high=50)
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=40, high=50_000)


def rank_along_axis(
    activations, params: RankAlongAxisParams = RankAlongAxisParams(), rng=None, progress=no_progress
) -> Gallery:
    """Samples along one axis.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Gallery
        `groups` the parts of the order from low to high with rows, `values` their positions in deviations. Estimate:
        Spearman's ρ with the attribute, held out.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        As for rankability.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations, params, minimum=FEWEST, maximum=params.maximum_samples, as_number=True, rng=rng,
        progress=progress, span=(0.0, 0.3),
    )  # fmt: skip
    x, y = data.x, data.concept.values
    clicked = clicked_axis(activations, params.low, params.high, data)
    judged = np.ones(len(y), bool)
    if clicked is not None:
        weights, judged[list(clicked[1])] = clicked[0], False
        placed = (x - x.mean(axis=0)) @ weights
    else:
        fold = folds_of(np.unique(y, return_inverse=True)[1].reshape(-1), FOLDS, rng)
        placed, weights = _held_out(x, y, fold, params.axis, progress)
    spread = float(placed.std())
    placed = (placed - placed.mean()) / (spread if spread > 0 else 1.0)
    progress(0.9, "choosing examples")
    groups, values = _strip(activations, data, placed, weights, params)
    how = "two clicked samples" if clicked is not None else params.axis
    e = spearman_estimate(
        f"held-out ρ with {data.concept.name}", spearman(placed[judged], y[judged]), int(judged.sum()), x.shape[1],
        f"Spearman, {how}",
    )  # fmt: skip
    return Gallery(
        title=f"{activations.name} along {data.concept.name} ({how})", groups=groups, values=values,
        value_name="position in deviations", reading=_reading(e, placed, y, data.concept.name), estimates=(e,),
        caveats=(*_caveats(activations, clicked, len(y), params), *data.notes),
    )  # fmt: skip


def _held_out(x, y, fold, axis: str, progress) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,) by axes made without the sample, and the axis (d,) of all."""

    def fit(f: int) -> tuple[np.ndarray, np.ndarray]:
        own = fold != f
        if axis == MEANS:
            low, high = halves(y[own])
            w = difference_axis(x[own], high, low)
        else:
            w = ridge_axis(x[own], y[own])
        spread = float((x[own] @ w).std())
        return x[own].mean(axis=0), (w / spread if spread > 0 else w)[:, None]

    made = cross_fitted(x, fold, fit, progress, (0.3, 0.9))
    return made.held_out(x, np.arange(len(x)))[:, 0], made.weights[:, 0]


def _strip(activations: Activations, data: ConceptSamples, placed, weights, params):
    """Rows and positions by part, lowest part first; in each the samples nearest to its median position."""
    order = np.argsort(placed, kind="stable")
    groups, values = {}, {}
    for i, part in enumerate(np.array_split(order, min(params.steps, len(order)))):
        near = np.argsort(np.abs(placed[part] - np.median(placed[part])), kind="stable")[: params.examples]
        chosen = part[np.sort(near)]
        low, high = (100 * b / min(params.steps, len(order)) for b in (i, i + 1))
        name = f"{low:.0f} to {high:.0f} %"
        groups[name] = np.array([_row(activations, data, int(s), weights) for s in chosen], np.int64)
        values[name] = placed[chosen]
    return groups, values


def _row(activations: Activations, data: ConceptSamples, place: int, weights) -> int:
    """The row that stands for a sample: its only one, or the finite token furthest along the axis."""
    start, stop = (int(v) for v in activations.layout.offsets[data.samples[place] : data.samples[place] + 2])
    if stop - start == 1:
        return start
    tokens = np.asarray(activations.take(np.arange(start, stop)), dtype=np.float64)[:, data.units] @ weights
    return start + int(np.argmax(np.where(np.isfinite(tokens), tokens, -np.inf)))


def _reading(e, placed, y, name: str) -> str:
    fifth = max(1, len(y) // 5)
    order = np.argsort(placed, kind="stable")
    low, high = float(y[order[:fifth]].mean()), float(y[order[-fifth:]].mean())
    if e.low <= 0:
        return (
            f"The order says nothing about {name} beyond chance: ρ = {e.value:.2f} [{e.low:.2f}, {e.high:.2f}] for samples "
            "placed by an axis they did not make."
        )
    return (
        f"Samples placed by an axis they did not make are ordered by {name} with ρ = {e.value:.2f} [{e.low:.2f}, "
        f"{e.high:.2f}]: its mean is {low:.3g} in the lowest fifth and {high:.3g} in the highest."
    )


def _caveats(activations, clicked, n: int, params) -> list[str]:
    how = (
        "The axis is the line through two samples; those two do not count for ρ."
        if clicked is not None
        else f"Each sample is placed by an axis made from the other {FOLDS - 1} of {FOLDS} folds, scaled to one deviation."
    )
    notes = [how, f"Each of {min(params.steps, n)} parts holds a like number of samples and shows those nearest to its median."]
    if not activations.layout.is_pooled:
        notes.append("Samples are sorted by the mean of their tokens; the token shown is the one furthest along the axis.")
    return notes


def _cost(shapes, params: RankAlongAxisParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops = (FOLDS + 1) * 30.0 * n * d * min(n, d)
    return Cost(m.seconds(flops64=flops, calls=5e3) + 0.02, 8.0 * n * d * 5.0)


def _check() -> tuple[CheckLine, ...]:
    """A number along one unit at signal 3: ρ as theory says, parts in order; two clicked extremes on the same data order
    it as well; noise has ρ 0 although the axis has as many units as it likes."""
    rng = np.random.default_rng(6)
    y = rng.standard_normal(2000)
    x = rng.standard_normal((2000, 20))
    luck = rank_along_axis(ArrayActivations(x[:60], samples={"label": y[:60]})).estimates[0]
    x[:, 2] += 3 * y
    data = ArrayActivations(x + 7, samples={"label": y})
    found = rank_along_axis(data)
    two = rank_along_axis(data, RankAlongAxisParams(low=str(int(y.argmin())), high=str(int(y.argmax()))))
    means = [float(y[rows].mean()) for rows in found.groups.values()]
    rho = 6 / np.pi * np.arcsin(3 / np.sqrt(10) / 2)
    return (
        CheckLine("ρ held out", rho, found.estimates[0].value, 0.02),
        CheckLine("parts of the strip in order of the attribute", 0.9, spearman(np.arange(10.0), np.array(means)), 0.0,
                  "at least"),
        CheckLine("ρ of two clicked extremes", 0.8, two.estimates[0].value, 0.0, "at least"),
        CheckLine("noise, 60 samples: ρ", 0.0, abs(luck.value), 0.35, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="rank_along_axis", family="concepts", title="Samples sorted along an axis", version=1,
        function=rank_along_axis, params=RankAlongAxisParams, result=Gallery, check=_check, cost=_cost,
        summary="All samples in their order along a concept axis, with examples of every part of the way.",
        minimum_rows=20, papers=("On the rankability of visual embeddings",),
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation nothing "
        "but rounding; turning the axis round turns the order",
    ),
)  # fmt: skip
