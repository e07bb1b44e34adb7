"""What does an encoder lose when this place is hidden? Occlusion without classes, at any tap.

The sample under a few augmentations gives vectors at the tap, whose first k directions span a subspace S₀. Each place
is hidden in turn, the same augmentations give S_m, and the place is as hot as the subspace has turned:

    heat = 1 - (1 / k) Σ_i cos² θ_i(S₀, S_m)

0 for the same subspace, 1 - k / d for unrelated ones of d units, 1 for orthogonal ones; with one vector and no
augmentation it is 1 - cos² of the two. Augmentations (of images shifts, mirroring, brightness and noise, of words and
columns noise) are drawn once and are the same for every mask. Two fills are shown, the mean of other samples and the
blurred sample (of a table, whose columns cannot be blurred, another sample): heat that only one of them shows is heat
of the fill. Where the network cannot be run, the tokens of the tap itself are hidden and their mean is read; this is
said.

Null: the heat of two random subspaces, exactly, and that of other samples under the same augmentations (with its
interval over them): a place as hot as another sample has lost everything. Of the fills' agreement, exchanged places.

When it lies: the fill is seen too; a subspace may turn along directions that nothing reads; many dimensions fill up
with what the augmentations themselves do, so that all heats fall; activations that share a large mean hardly turn
(centre them); parts that can stand in for each other show nothing.

Cost: (2 masks + samples + 1) augmentations forward passes, told while it starts and in the caveats.

Reference: P. Valois, K. Niinuma & K. Fukui (2024), "Occlusion sensitivity analysis with augmentation subspace
perturbation in deep feature space".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.hidden_places import ACROSS
from analysis.attribution.turned_subspaces import FEWEST, OccludedParams, caveats_of, turned_subspaces
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.occluded_subspaces import floor
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress


@dataclass(frozen=True)
class AugmentationOcclusionParams(OccludedParams):
    """As all that turns subspaces."""


def augmentation_occlusion(
    activations,
    params: AugmentationOcclusionParams = AugmentationOcclusionParams(),
    rng=None,
    progress=no_progress,
) -> TokenMap:
    """Heat of every place of one sample, for two fills.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    TokenMap
        (2, places): filled with the mean, and blurred. Estimates: the largest heat of each, that of other samples, the
        agreement of the fills.

    Raises
    ------
    NotFound, NotEnoughData, InputError, ParameterError, TooLarge
        No such sample; fewer than eight samples; the network does not give what the tap recorded; as many dimensions
        as versions.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = turned_subspaces(tap, params, rng, progress)
    heats, apart, fills, places = found.heats, found.apart, found.fills, found.places
    estimates = _estimates(heats, fills, apart, found.k, tap.shape[1], rng)
    progress(1.0, "done")
    return TokenMap(
        title=f"What hiding a place of sample {params.sample} does to {tap.name}",
        reading=_reading(heats, fills, apart, places.players.names, estimates, params),
        caveats=(*found.notes, *caveats_of(found)), estimates=estimates,
        samples=np.full(2, params.sample), values=heats, value_name="heat", grid=places.grid, leading=places.leading,
        names=fills,
    )  # fmt: skip


def _estimates(heats, fills, apart, k: int, d: int, rng) -> tuple[Estimate, ...]:
    by_chance = {
        "null": floor(k, d),
        "null_method": f"two random subspaces of {k} of {d} dimensions, exactly",
    }
    made = [
        Estimate(f"largest heat, {name}", float(heat.max()), **by_chance, n=heats.shape[1], d=d,
                 interval="none: one sample under one set of augmentations",
                 estimator="1 - mean cos² of the principal angles")
        for name, heat in zip(fills, heats, strict=True)
    ]  # fmt: skip
    made.append(Estimate(
        "heat of another sample", float(apart.mean()), **mean_interval(apart, 0.0, 1.0), **by_chance, n=len(apart), d=d,
        estimator="the same of other samples under the same augmentations, mean",
    ))  # fmt: skip
    if heats.shape[1] > 2 and (np.ptp(heats, axis=1) > 0).all():
        from scipy.stats import rankdata

        a, b = rankdata(heats, axis=1)
        null = np.array([np.corrcoef(a, rng.permutation(b))[0, 1] for _ in range(200)])
        agree = float(np.corrcoef(a, b)[0, 1])
        made.append(Estimate(
            "agreement of the two fills", agree, **against(agree, null), null_method="places exchanged, 200 times",
            n=len(a), d=d, interval="none: places of one sample, which hang together",
            estimator="Spearman's correlation over places",
        ))  # fmt: skip
    return tuple(made)


def _reading(heats, fills, apart, names, estimates, params) -> str:
    best = [names[int(h.argmax())] for h in heats]
    said = (
        f"{best[0]} is hottest with either fill"
        if best[0] == best[1]
        else f"{best[0]} is hottest with the fill '{fills[0]}', {best[1]} with '{fills[1]}'"
    )
    return (
        f"In sample {params.sample} {said}: hiding it turns the subspace by {heats[0].max():.3g} and "
        f"{heats[1].max():.3g}, as another sample does by {apart.mean():.3g} and a random subspace by "
        f"{estimates[0].null:.3g}."
    )


def _cost(shapes, params: AugmentationOcclusionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    passes = params.augmentations * (2 * ACROSS**2 + params.others + 1)
    held = 24.0 * min(n, max(4 * params.others, 50)) * d + 120.0 * params.augmentations * d + 1.5e5
    return Cost(5.0 + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """At a tap itself, without augmentation: 1 - cos² of the means; what is hidden by itself leaves no heat."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((12, 4, 9))
    x[5, 3] = x[np.arange(12) != 5, 3].mean(axis=0)
    tap = ArrayActivations(x.reshape(-1, 9), layout=Layout(np.arange(13, dtype=np.int64) * 4))
    found = augmentation_occlusion(
        tap, AugmentationOcclusionParams(sample=5, augmentations=1, dimensions=1, others=11)
    )
    gone = x[5].copy()
    gone[0] = x[np.arange(12) != 5, 0].mean(axis=0)
    f, g = x[5].mean(axis=0), gone.mean(axis=0)
    cosine = float(f @ g / np.linalg.norm(f) / np.linalg.norm(g))
    return (
        CheckLine("one vector: 1 - cos²", 1 - cosine**2, float(found.values[0, 0]), 1e-9),
        CheckLine("hidden by what stands there", 0.0, float(found.values[0, 3]), 0.0),
        CheckLine("random subspaces of 3 in 12", 1 - 3 / 12, floor(3, 12), 1e-15),
    )


METHODS = (
    Method(
        id="augmentation_occlusion",
        family="attribution",
        title="What hiding a place does",
        summary="How far a sample's subspace of augmented features turns when a place is hidden, for two fills.",
        version=2,
        function=augmentation_occlusion,
        params=AugmentationOcclusionParams,
        result=TokenMap,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating or rescaling all units of the tap together (not centred)",
        papers=("Occlusion sensitivity with augmentation subspaces (OSA-DAS)",),
        libraries=("torch",),
    ),
)
