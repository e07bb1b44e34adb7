"""All samples sorted along an axis, as a strip of percentiles: the same few at each tenth of the way, with examples.

The axis is the ridge direction of an attribute (classes as two groups), the difference of two groups, or one that is
given (`compute.groups.concept_axis`): the line through two clicked samples, a unit, a principal axis, a probe of
another column, a row of weights, any vector. Samples that a fit learned from are placed by axes made without them
(folds), turned and scaled onto the axis of all; positions are in deviations from the mean. Groups of the gallery are
the tenths of the order, lowest first, each with the samples nearest to its middle; of a tap with tokens the row shown
is the token furthest along the axis.

Spearman's ρ with the attribute is that of samples placed by an axis they did not make. Null: exchanged samples, mean 0,
variance 1 / (n - 1); interval by Fisher's z. A given axis is judged by more than two classes through η².

When it lies: any axis sorts; what the strip shows beside the attribute goes with it in these samples, which is not the
same as being it; the middle of the strip holds what the axis says nothing about; along a row of a decoder lie
projections, not the activations of its latent.

Cost: a singular value decomposition O(n d min(n, d)) for each fold. Memory O(n d).

References: A. Sonthalia et al. (2025), "On the rankability of visual embeddings"; B. Kim et al. (2018), TCAV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.axis_judged import judged
from analysis.compute.groups.axis_strip import share_along, strip
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_axis import AxisParams, GivenAxis, given_axis
from analysis.compute.groups.concept_samples import ConceptSamples, all_samples, concept_samples
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
from analysis.sources.weight_directions import weight_direction
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FEW, FOLDS = 10, 4, 5
RIDGE, MEANS = "ridge", "difference of groups"
HELD_OUT = f"Each sample is placed by an axis made from the other {FOLDS - 1} of {FOLDS} folds, at one scale."


@dataclass(frozen=True)
class RankAlongAxisParams(AxisParams, ConceptParams):
    axis: str = param(
        RIDGE, "How the axis is made of the attribute.", label="axis made by", choices=(RIDGE, MEANS)
    )
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
        `groups` the parts of the order from low to high with rows, `values` their positions in deviations. Estimates:
        Spearman's ρ with the attribute, held out (two clicks need no attribute), and the axis's share of the variance.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        As for rankability.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    how = {"maximum": params.maximum_samples, "rng": rng, "progress": progress, "span": (0.0, 0.3)}
    if params.gives_axis:
        fewest = (
            2 * FEWEST if params.direction.startswith("probe") else FEW
        )  # nothing else is fitted to an attribute
        data = all_samples(activations, minimum=fewest, keep=params.clicked, **how)
        return _along_given(activations, data, params, rng, progress)
    data = concept_samples(activations, params, minimum=FEWEST, as_number=True, **how)
    x, y, name = data.x, data.concept.values, data.concept.name
    fold = folds_of(np.unique(y, return_inverse=True)[1].reshape(-1), FOLDS, rng)
    placed, weights = _held_out(x, fold, lambda own: _fitted(x, y, own, params.axis), progress)
    rho = spearman_estimate(
        f"held-out ρ with {name}", spearman(placed, y), len(y), x.shape[1], f"Spearman, {params.axis}"
    )
    placed = _standardised(placed)
    return _gallery(
        activations, data, placed, weights, params, (rho, share_along(x, weights, rng)), _reading(rho, placed, y, name),
        f"{name} ({params.axis})", [HELD_OUT],
    )  # fmt: skip


def _along_given(activations, data: ConceptSamples, params, rng, progress) -> Gallery:
    given = given_axis(activations, params, data.x, data.samples, data.units, weight_direction)
    x, counts = data.x, np.ones(len(data.x), bool)
    counts[list(given.ends)] = False
    if given.fitted:
        fold = folds_of(np.zeros(len(x)), FOLDS, rng)
        placed, weights = _held_out(x, fold, lambda own: given.along(x, own), progress)
    else:
        weights = given.along(x)
        placed = (x - x.mean(axis=0)) @ weights
    placed = _standardised(placed)
    share = share_along(x, weights, rng)
    found = judged(activations, params, data.samples, placed, counts, (given.label, x.shape[1]), rng)
    return _gallery(
        activations, data, placed, weights, params, (*([found.estimate] if found.estimate else []), share),
        f"{_bare_reading(given, share)} {found.words}".strip(), given.label, [*_given_words(given), *found.notes],
    )  # fmt: skip


def _gallery(activations, data, placed, weights, params, estimates, reading, label, words) -> Gallery:
    groups, values = strip(
        activations, data.samples, data.units, placed, weights, params.steps, params.examples
    )
    return Gallery(
        title=f"{activations.name} along {label}", groups=groups, values=values, value_name="position in deviations",
        estimates=estimates, reading=reading,
        caveats=(*words, *_caveats(activations, len(placed), params), *data.notes),
    )  # fmt: skip


def _standardised(placed: np.ndarray) -> np.ndarray:
    return (placed - placed.mean()) / (float(placed.std()) or 1.0)


def _fitted(x, y, own, axis: str) -> np.ndarray:
    if axis == MEANS:
        low, high = halves(y[own])
        return difference_axis(x[own], high, low)
    return ridge_axis(x[own], y[own])


def _held_out(x, fold, made_of, progress) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,) by axes made without the sample, and the axis (d,) of all. `made_of`: axis by a mask."""

    def fit(f: int) -> tuple[np.ndarray, np.ndarray]:
        own = fold != f
        w = made_of(own)
        spread = float((x[own] @ w).std())
        return x[own].mean(axis=0), (w / spread if spread > 0 else w)[:, None]

    made = cross_fitted(x, fold, fit, progress, (0.3, 0.9))
    return made.held_out(x, np.arange(len(x)))[:, 0], made.weights[:, 0]


def _bare_reading(given: GivenAxis, share) -> str:
    return (
        f"Samples are sorted along {given.label}, which holds {share.value:.1%} of the variance (a random direction "
        f"{share.null:.1%})."
    )


def _given_words(given: GivenAxis) -> list[str]:
    words = list(given.notes)
    if given.ends:
        words.append(
            "The axis is the line through two samples; those two do not count when the order is judged."
        )
    if given.fitted:
        words.append(HELD_OUT)
    return words


def _reading(e, placed, y, name: str) -> str:
    fifth = max(1, len(y) // 5)
    order = np.argsort(placed, kind="stable")
    low, high = float(y[order[:fifth]].mean()), float(y[order[-fifth:]].mean())
    if e.low <= 0:
        return (
            f"The order says nothing about {name} beyond chance: ρ = {e.value:.2f} [{e.low:.2f}, {e.high:.2f}] for "
            "samples placed by an axis they did not make."
        )
    return (
        f"Samples placed by an axis they did not make are ordered by {name} with ρ = {e.value:.2f} [{e.low:.2f}, "
        f"{e.high:.2f}]: its mean is {low:.3g} in the lowest fifth and {high:.3g} in the highest."
    )


def _caveats(activations, n: int, params) -> list[str]:
    parts = min(params.steps, n)
    notes = [f"Each of {parts} parts holds a like number of samples and shows those nearest to its median."]
    if not activations.layout.is_pooled:
        notes.append(
            "Samples are sorted by the mean of their tokens; shown is the token furthest along the axis."
        )
    return notes


def _cost(shapes, params: RankAlongAxisParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops = (FOLDS + 1) * 30.0 * n * d * min(n, d)
    return Cost(m.seconds(flops64=flops, calls=5e3) + 0.02, 8.0 * n * d * 5.0)


def _check() -> tuple[CheckLine, ...]:
    """A number along one unit at signal 3: ρ as theory says, parts in order; two clicked extremes on the same data
    order
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
        minimum_rows=FEW, papers=("On the rankability of visual embeddings",),
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation nothing "
        "but rounding; turning the axis round turns the order",
    ),
)  # fmt: skip
