"""Which sample shows which feature, in how many models: the interaction tensor Ω[model, sample, feature], summed over
the models.

Ω is 1 where model m has feature t and sample n is among the share of the samples with its largest values of it
(`compute.populations.model_features`). A cell counts the models.

Null of a cell, exact: models that have the feature and show it in as many samples as they do, but in samples of their
own; the count is then Poisson-binomial with chances c_mt / n. A cell is marked where even Benjamini-Hochberg over all
cells of shared features leaves it below 5 %. Beside the picture: how far the models agree on the samples of a feature
that they share, |A ∩ B| / min(|A|, |B|), whose mean over exchanged samples is max(|A|, |B|) / n exactly.

When it lies: the share that counts as showing a feature is chosen, not found; a principal component is shown at both
of its ends, which may mean opposite things; that models agree on the samples follows in part from their being matched
on the same samples.

Cost: O(n d min(n, d)) for each model and O(n N² + M n T).

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.populations.model_features import Features, poisson_binomial, shown
from analysis.compute.populations.model_population import (
    FEWEST,
    Population,
    PopulationParams,
    pairs_by_chance,
    population_caveats,
    population_cost,
    population_of,
)
from analysis.compute.populations.planted_models import planted_models
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05


@dataclass(frozen=True)
class InteractionParams(PopulationParams):
    share: float = param(
        0.1, "Share of the samples that show a feature: those with its largest values.", low=0.001, high=0.5
    )
    shared_only: bool = param(False, "Draw only features of two or more models.")
    order: str = param(
        "features shown", "Samples that show most features first, or in the order of the recording.",
        choices=("features shown", "recorded"),
    )  # fmt: skip


def interaction_tensor(
    *taps, params: InteractionParams = InteractionParams(), rng=None, progress=no_progress
) -> Matrix:
    """Samples by features, counted over models.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one for each model, of the same samples (matched by id).

    Returns
    -------
    Matrix
        `values` (n, T), how many models show feature t in sample n; `null` the mean by chance; `significant` beyond it.
        Estimates: how far models agree on the samples of a shared feature; how many cells are beyond chance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; over 4,000 components.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    found = population_of(taps, params, rng, progress)
    progress(0.8, "counting models")
    omega = shown(found.components, found.features, params.share)
    popular = found.features.popularity > 1
    keep = np.flatnonzero(popular) if params.shared_only and popular.any() else np.arange(len(popular))
    counts = omega.sum(axis=0)
    p, null = _by_chance(omega, counts)
    q = np.ones(p.shape)
    q[:, popular] = benjamini_hochberg(p[:, popular])
    progress(0.95, "how far models agree")
    estimates = _estimates(found, omega, q[:, popular], sample_groups(len(counts), rng), params)
    # were all models to show a feature in the same samples, share ** (models - 1) would be the q-value of each
    resolved = bool(popular.any()) and params.share ** (found.features.popularity.max() - 1) < LEVEL
    by_shown = np.argsort(-counts.sum(axis=1), kind="stable")
    return Matrix(
        title=f"Samples x features of {len(taps)} models", reading=_reading(found, estimates, params),
        caveats=(*population_caveats(found, params), *_caveats(found, params, popular, resolved), *found.notes),
        estimates=estimates, values=counts[:, keep].astype(np.float64), row_names=tuple(map(str, found.data.ids)),
        column_names=tuple(found.feature_names[t] for t in keep), value_name="models that show it",
        row_order=by_shown if params.order == "features shown" else None,
        significant=(q < LEVEL)[:, keep] if resolved else None,
        null=np.tile(null[keep], (len(counts), 1)), limits=(0.0, float(len(taps))),
    )  # fmt: skip


def _by_chance(omega: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p (n, T) of at least so many models by chance, and the mean (T,)."""
    chances = omega.mean(axis=1)
    p = np.empty(counts.shape)
    for t in range(counts.shape[1]):
        tail = poisson_binomial(chances[:, t])[::-1].cumsum()[::-1]
        p[:, t] = np.minimum(tail, 1.0)[counts[:, t]]
    return p, chances.sum(axis=0)


def overlap(omega: np.ndarray, features: Features) -> tuple[float, float] | None:
    """Mean of |A ∩ B| / min(|A|, |B|) over pairs of models that have a feature, over features that pairs share; and its
    exact mean over exchanged samples. None where no two models share a feature that both show."""
    n, values, chance = omega.shape[1], [], []
    for t in np.flatnonzero(features.popularity > 1):
        sets = omega[features.has[:, t] >= 0, :, t].astype(np.float64)
        sizes = sets.sum(axis=1)
        i, j = np.triu_indices(len(sets), 1)
        both, least = (sets @ sets.T)[i, j], np.minimum(sizes[i], sizes[j])
        good = least > 0
        if good.any():
            values.append((both[good] / least[good]).mean())
            chance.append((np.maximum(sizes[i], sizes[j])[good] / n).mean())
    return (float(np.mean(values)), float(np.mean(chance))) if values else None


def _estimates(found: Population, omega, q, groups, params) -> tuple[Estimate, ...]:
    n, popularity = omega.shape[1], found.features.popularity
    common = {"n": n, "d": len(popularity)}
    value = overlap(omega, found.features)
    if value is None:
        return (Estimate(
            "features of two or more "
            "models", float((popularity > 1).sum()), null=pairs_by_chance(found, params.threshold),
            null_method="pairs of unrelated Gaussian components at the threshold", estimator="complete linkage",
            **common,
        ),)  # fmt: skip
    without = [overlap(np.delete(omega, g, axis=1), found.features) for g in groups]
    half = None if any(w is None for w in without) else jackknife_half(np.array([w[0] for w in without]))
    ends = {} if half is None else {
        "low": max(value[0] - float(half), 0.0), "high": min(value[0] + float(half), 1.0),
        "interval": "jackknife over groups of samples, t",
    }  # fmt: skip
    return (
        Estimate("agreement of models on the samples of a shared feature", value[0], **ends, null=value[1],
                 null_method="samples exchanged, exact mean", estimator="overlap of two sets by the smaller", **common),
        Estimate("share of cells of shared features beyond chance", float((q < LEVEL).mean()), null=0.0,
                 null_method="false-discovery control", estimator="Poisson-binomial, exact", **common),
    )  # fmt: skip


def _reading(found: Population, estimates, params) -> str:
    popularity, first = found.features.popularity, estimates[0]
    start = f"{len(popularity)} features of {len(found.names)} models, {int((popularity > 1).sum())} of them shared. "
    if len(estimates) == 1:
        return start + "No two models share a feature at this threshold, so there is no sample to agree on."
    return start + (
        f"Where two models share a feature, {first.value:.0%} of the samples that show it in one show it in the other "
        f"({first.null:.0%} by chance). A row full of high counts is a sample that shows many features in many models."
    )


def _caveats(found: Population, params: InteractionParams, popular: np.ndarray, resolved: bool) -> list[str]:
    notes = [f"A feature counts as shown in the {params.share:.0%} of the samples with its largest "
             f"{'values' if params.components == 'units' else '|values|'}; ties at the limit are left "
             f"out."]  # fmt: skip
    if params.components != "units":
        notes.append(
            "Both ends of a principal component count as showing it, though they may mean opposite things."
        )
    if popular.any() and not resolved:
        notes.append("So few models have a feature in common that no single cell could be told from chance; none is "
                     "marked.")  # fmt: skip
    if params.shared_only and not popular.any():
        notes.append("No feature is shared by two models: all features are drawn.")
    elif params.shared_only:
        notes.append(f"{int((~popular).sum())} features of one model only are not drawn.")
    return notes


def _cost(shapes, params: InteractionParams) -> Cost:
    flops, moved, held = population_cost(shapes, params, 0)
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    total = sum(min(params.number, units) for _, units in shapes)
    moved += n * total * (len(shapes) * 12.0 + 200.0)
    return Cost(machine().seconds(flops64=flops, moved=moved) + 0.02, held + n * total * (len(shapes) + 40.0))


def _check() -> tuple[CheckLine, ...]:
    """The same model in four bases: every shown feature is shown by all four, and nothing else is. Planted features:
    models agree. The exact mean by chance: the share."""
    rng = np.random.default_rng(15)
    x = planted_models(rng, models=1)[0]
    same = [ArrayActivations(x @ np.linalg.qr(rng.standard_normal((12, 12)))[0]) for _ in range(4)]
    found = interaction_tensor(*same, params=InteractionParams(number=3))
    planted = interaction_tensor(
        *map(ArrayActivations, planted_models(rng)), params=InteractionParams(number=4)
    )
    return (
        CheckLine("one model in four bases: cells neither 0 nor 4", 0, float(((found.values % 4) != 0).sum()), 0),
        CheckLine("samples that show a feature: a tenth of 500", 50, float((found.values[:, 0] == 4).sum()), 0),
        CheckLine("agreement by chance is the share", 0.1, found.estimates[0].null, 1e-12),
        CheckLine("cells shown by all four and marked", 150, float(found.significant.sum()), 0),
        CheckLine("planted features: agreement of the models", 0.8, planted.estimates[0].value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="interaction_tensor", family="populations", title="Samples x features over models", version=1,
        function=interaction_tensor, summary="In how many models each sample shows each feature.",
        params=InteractionParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="the order of the models; rotating a model's units (principal components); samples carry their rows",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
