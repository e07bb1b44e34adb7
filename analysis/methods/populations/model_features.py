"""Which model has which feature: models x features, the most popular features first.

A feature is a set of components of different models of which every two correlate at least `threshold`
(`compute.populations.model_features`); a model has it or lacks it. A cell is 1 or 0, or the share of the model's
variance that its component holds. Lone components are features of one model, drawn faint.

Null and intervals are those of the counts beside the picture: each model's samples exchanged, and samples drawn again.
Models are drawn in the order of how many features they share.

When it lies: components of nearly equal variance mix differently in every model; the threshold decides (see
`feature_popularity`); models that are copies of each other share everything; a missing cell means that no component of
that model correlated enough with *all* others, not that the model ignores what the feature says.

Cost: as `shared_features`.

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.populations.model_population import (
    DRAWS,
    FEWEST,
    RESAMPLES,
    PopulationParams,
    chance_of,
    population_caveats,
    population_cost,
    population_of,
    shared_estimates,
)
from analysis.compute.populations.planted_models import planted_models
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05


@dataclass(frozen=True)
class ModelFeaturesParams(PopulationParams):
    cell: str = param(
        "has it", "What a cell says: whether the model has the feature, or how much of its variance it holds.",
        choices=("has it", "share of variance"),
    )  # fmt: skip


def model_features(
    *taps, params: ModelFeaturesParams = ModelFeaturesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Features of two or more models, by model.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one for each model, of the same samples (matched by id).

    Returns
    -------
    Matrix
        `values` (models, features), `significant` where the model has a feature that it shares beyond chance (p < 5 %
        over all features together). Estimates: how many features two or more, and all, models have.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; over 4,000 components.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    found = population_of(taps, params, rng, progress)
    chance = chance_of(found, np.array([params.threshold]), rng, progress)
    estimates, features = shared_estimates(found, chance, params.threshold), found.features
    has = features.has >= 0
    shared = has & (features.popularity > 1)
    p = add_one_p(features.least, np.tile(chance.strongest[:, None], has.shape[1]))
    share = np.where(has, found.components.share[np.maximum(features.has, 0)], 0.0)
    return Matrix(
        title=f"Models x features of {len(taps)} models", reading=_reading(found.names, shared, features.popularity),
        caveats=(*population_caveats(found, params), *found.notes), estimates=estimates,
        values=has.astype(np.float64) if params.cell == "has it" else share,
        row_names=found.names, column_names=found.feature_names, value_name=params.cell,
        row_order=np.argsort(-shared.sum(axis=1), kind="stable"), significant=shared & (p < LEVEL), limits=(0.0, 1.0),
    )  # fmt: skip


def _reading(names, shared: np.ndarray, popularity: np.ndarray) -> str:
    counts = shared.sum(axis=1)
    most, least = int(counts.argmax()), int(counts.argmin())
    everywhere = int((popularity == len(names)).sum())
    spread = (
        f"every model shares {counts[0]} features with others"
        if counts[most] == counts[least]
        else f"{names[most]} shares most with others ({counts[most]} features), {names[least]} least ({counts[least]})"
    )
    return (
        f"Of {len(popularity)} features {everywhere} are in all {len(names)} models and {int((popularity == 1).sum())} "
        f"in one only; {spread}."
    )


def _cost(shapes, params: ModelFeaturesParams) -> Cost:
    flops, moved, held = population_cost(shapes, params, DRAWS + RESAMPLES)
    return Cost(machine().seconds(flops64=flops, moved=moved) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Three planted features, the third lacking in the last model: exactly those cells. Models in another order: the
    same rows in that order."""
    rng = np.random.default_rng(13)
    taps = [ArrayActivations(x, name=f"m{i}") for i, x in enumerate(planted_models(rng))]
    params = ModelFeaturesParams(number=4)
    found, turned = model_features(*taps, params=params), model_features(*taps[::-1], params=params)
    shared = found.values[:, :3]
    wanted = np.ones((4, 3))
    wanted[3, 2] = 0
    share = model_features(*taps, params=ModelFeaturesParams(number=4, cell="share of variance"))
    return (
        CheckLine("cells of the planted features that differ", 0, float((shared != wanted).sum()), 0),
        CheckLine("own features: in one model each", 5, float(found.values[:, 3:].sum()), 0),
        CheckLine("models turned round: cells that differ", 0, float((turned.values[::-1, :3] != wanted).sum()), 0),
        CheckLine("shares of variance of a model add up to nearly 1", 1.0, float(share.values[0].sum()), 0.01),
        CheckLine("cells of shared features marked", 11, float(found.significant.sum()), 0),
        CheckLine("own features marked as shared", 0, float(found.significant[:, 3:].sum()), 0),
    )  # fmt: skip


METHODS = (
    Method(
        id="model_features", family="populations", title="Models x features", version=1, function=model_features,
        summary="Which model of a population has which feature, the most popular first.", params=ModelFeaturesParams,
        result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="the order of the models (rows follow it) and of samples; rotating a model's units (principal "
        "components)",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
