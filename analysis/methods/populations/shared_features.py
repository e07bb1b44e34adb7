"""The features that several models have in common: which model has which, and how sure that is.

Each model's leading principal components (or its units) on the same samples are correlated with those of all other
models and put together by complete linkage: in one feature every two components correlate at least `threshold`, and a
model has at most one component in it (`compute.populations.model_features`). One line for each feature; its popularity
is the number of models that have it.

Null: the samples of each model exchanged, its components kept together. p of a feature is the chance that *any* two
components of different models then correlate as much as the least alike two of the feature, so it holds for all
features together. Intervals of the counts: samples drawn again, components fixed.

When it lies: components of nearly equal variance mix differently in every model, so that a shared plane looks like two
unshared features; the threshold decides how many features there are (`feature_popularity` shows how); models that are
copies or checkpoints of one run share everything and prove nothing; what the data force on every model (brightness,
class frequencies) is shared, too.

Cost: O(n d min(n, d)) for each model, then 80 matchings O(n N² + N² ln N) of the N components of all models.

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
    Chance,
    Population,
    PopulationParams,
    chance_of,
    population_caveats,
    population_cost,
    population_of,
    shared_estimates,
)
from analysis.compute.populations.planted_models import planted_models
from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress


@dataclass(frozen=True)
class SharedFeaturesParams(PopulationParams):
    pass


HELP = {
    "models": "Popularity: how many models have the feature.",
    "in": "The models that have it.",
    "lacking": "The models that do not.",
    "least r": "Correlation of its two least alike components (|r| of principal components).",
    "mean r": "Mean correlation of two of its components.",
    "variance": "Share of a model's variance in its component, mean over the models that have it.",
    "components": "Number of the component in each model that has it, from 0.",
    "p": "Chance that any two components of different models correlate as much as its least alike two when samples are "
    "exchanged.",
}  # fmt: skip


def shared_features(
    *taps, params: SharedFeaturesParams = SharedFeaturesParams(), rng=None, progress=no_progress
) -> Table:
    """Features of two or more models.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one for each model, of the same samples (matched by id).

    Returns
    -------
    Table
        One row per feature, the most popular first: "models", "in", "lacking", "least r", "mean r", "variance",
        "components", "p". Estimates: how many features two or more, and all, models have.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; over 4,000 components.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    found = population_of(taps, params, rng, progress)
    chance = chance_of(found, np.array([params.threshold]), rng, progress)
    estimates = shared_estimates(found, chance, params.threshold)
    return Table(
        title=f"Features of {len(taps)} models", reading=_reading(found, estimates),
        caveats=(*population_caveats(found, params), *found.notes), estimates=estimates,
        columns=_columns(found, chance), index="feature", sort="models", help=HELP,
    )  # fmt: skip


def _columns(found: Population, chance: Chance) -> dict[str, np.ndarray]:
    features, components = found.features, found.components
    has, names = features.has >= 0, np.array(found.names)
    variance = np.where(has, components.share[np.maximum(features.has, 0)], 0.0)
    number = components.number[np.maximum(features.has, 0)]
    least = features.least
    p = np.where(
        features.popularity > 1, add_one_p(least, np.tile(chance.strongest[:, None], len(least))), 1.0
    )
    return {
        "feature": np.array(found.feature_names), "models": features.popularity,
        "in": np.array([", ".join(names[h]) for h in has.T]),
        "lacking": np.array([", ".join(names[~h]) for h in has.T]),
        "least r": least, "mean r": features.mean, "variance": variance.sum(axis=0) / has.sum(axis=0),
        "components": np.array([", ".join(map(str, n[h])) for n, h in zip(number.T, has.T, strict=True)]), "p": p,
    }  # fmt: skip


def _reading(found: Population, estimates) -> str:
    popularity, models = found.features.popularity, len(found.names)
    shared, everywhere = estimates[0], estimates[-1]
    if models == 2:
        return (
            f"The two models have {len(popularity)} features between them and share {shared.value:.0f}; with exchanged "
            f"samples they would share {shared.null:.2g}."
        )
    return (
        f"The {models} models have {len(popularity)} features between them. {shared.value:.0f} are found "
        f"in two or more "
        f"models ({shared.null:.2g} when samples are exchanged), {everywhere.value:.0f} in all of them "
        f"({everywhere.null:.2g}), and {int((popularity == 1).sum())} in one model only."
    )


def _cost(shapes, params: SharedFeaturesParams) -> Cost:
    flops, moved, held = population_cost(shapes, params, DRAWS + RESAMPLES)
    return Cost(machine().seconds(flops64=flops, moved=moved) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Three planted features, one lacking in one model: popularities 4, 4, 3 and the rest 1. The same model twice: all
    shared. Unrelated models: none."""
    rng = np.random.default_rng(12)
    taps = planted_models(rng)
    columns = shared_features(*map(ArrayActivations, taps), params=SharedFeaturesParams(number=4)).columns
    twice = shared_features(
        *map(ArrayActivations, [taps[0], taps[0][:, ::-1]]), params=SharedFeaturesParams(number=4)
    )
    noise = [ArrayActivations(rng.standard_normal((500, 12))) for _ in range(3)]
    return (
        CheckLine("features of four models", 2, float((columns["models"] == 4).sum()), 0),
        CheckLine("features of three", 1, float((columns["models"] == 3).sum()), 0),
        CheckLine("features of one", 5, float((columns["models"] == 1).sum()), 0),
        CheckLine("the model that lacks the third", 1.0, float(columns["lacking"][2] == "array (4)"), 0),
        CheckLine("the same model twice: shared features", 4, twice.estimates[0].value, 0),
        CheckLine("unrelated models: shared features", 0, shared_features(*noise).estimates[0].value, 0),
        CheckLine("variance of the first: 64 of 85.1", 64 / 85.1, float(columns["variance"][0]), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="shared_features", family="populations", title="Features of a population of models", version=1,
        function=shared_features, summary="Which features several models have in common, and which model lacks which.",
        params=SharedFeaturesParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="the order of the models and of samples; rotating a model's units (principal components)",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
