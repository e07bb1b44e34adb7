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
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import ConceptSamples, all_samples, clicked_axis, concept_samples
from analysis.compute.linear.cross_fitting import cross_fitted, folds_of
from analysis.compute.linear.ranking_axes import (
    difference_axis,
    halves,
    ridge_axis,
    spearman,
    spearman_estimate,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate, Gallery
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
    bare = bool(params.low or params.high) and not (params.inside or params.column in activations.samples)
    if bare:  # two clicks need no attribute
        data = all_samples(activations, minimum=2 * FEWEST, keep=(params.low, params.high), **how)
    else:
        data = concept_samples(activations, params, minimum=FEWEST, as_number=True, **how)
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
    made = "two clicked samples" if clicked is not None else params.axis
    share = _share(x, weights, rng)
    rho = spearman_estimate(
        f"held-out ρ with {data.concept.name}", spearman(placed[judged], y[judged]), int(judged.sum()), x.shape[1],
        f"Spearman, {made}",
    )  # fmt: skip
    return Gallery(
        title=f"{activations.name} along {'an axis' if bare else data.concept.name} ({made})", groups=groups,
        values=values, value_name="position in deviations", estimates=(share,) if bare else (rho, share),
        reading=_bare_reading(share) if bare else _reading(rho, placed, y, data.concept.name),
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


def _share(x: np.ndarray, weights: np.ndarray, rng) -> Estimate:
    """Variance along the axis over that of all units."""
    centred = x - x.mean(axis=0)
    along = (centred @ weights) ** 2 / max(float(weights @ weights), 1e-300)
    low, high = ratio_interval(along, (centred**2).sum(axis=1), rng)
    return Estimate(
        "share of the variance along the axis", float(along.sum() / (centred**2).sum()), low=low, high=high,
        interval="bootstrap over samples", null=1 / x.shape[1], null_method="a random direction, on average: 1 / d",
        n=len(x), d=x.shape[1], estimator="variance of the positions / variance of all units",
    )  # fmt: skip


def _bare_reading(share) -> str:
    return (
        f"Samples are sorted along the line through two of them, which holds {share.value:.1%} of the variance (a "
        f"random direction {share.null:.1%}). Without an attribute nothing says whether the order means anything."
    )


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


def _caveats(activations, clicked, n: int, params) -> list[str]:
    how = (
        "The axis is the line through two samples; those two do not count for ρ."
        if clicked is not None
        else f"Each sample is placed by an axis made from the other {FOLDS - 1} of {FOLDS} folds, at one scale."
    )
    parts = min(params.steps, n)
    notes = [
        how,
        f"Each of {parts} parts holds a like number of samples and shows those nearest to its median.",
    ]
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
        minimum_rows=20, papers=("On the rankability of visual embeddings",),
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation nothing "
        "but rounding; turning the axis round turns the order",
    ),
)  # fmt: skip
