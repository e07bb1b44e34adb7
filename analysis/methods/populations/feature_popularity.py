"""How popular are the features of a population of models, and how much does the matching threshold decide?

Along *popularity*: how many features at least 1, 2, … of the models have. Along the *threshold*: how many features
there are, how many two or more models have, and how many all have, for thresholds from 0.1 to 0.95. Features are cuts
of one complete-linkage tree (`compute.populations.model_features`), so that their number never falls as the threshold
rises.

Null (dashed): the samples of each model exchanged, its components kept together. Bands: samples drawn again, the
components kept as they are, widened to hold the value.

When it lies: components of nearly equal variance mix differently in every model and look unshared; models that are
copies or checkpoints of one run share everything; a popularity among few models says little about the next one; samples
drawn again have correlations that vary more than those of the samples themselves, so that bands lean to more shared
features at low thresholds and to fewer at high ones.

Cost: O(n d min(n, d)) for each model, then 80 matchings O(n N² + N² ln N) of the N components of all models.

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.populations.model_features import cut, popularity_counts
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
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

THRESHOLDS = np.round(np.arange(0.1, 0.951, 0.05), 2)


@dataclass(frozen=True)
class FeaturePopularityParams(PopulationParams):
    along: str = param(
        "popularity", "The axis: how many models have a feature, or the threshold from which components match.",
        choices=("popularity", "threshold"),
    )  # fmt: skip


def feature_popularity(
    *taps, params: FeaturePopularityParams = FeaturePopularityParams(), rng=None, progress=no_progress
) -> Curve:
    """Features of two or more models counted by popularity or threshold.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one for each model, of the same samples (matched by id).

    Returns
    -------
    Curve
        x = number of models, or threshold; each series with band and null. Estimates: how many features two or more,
        and all, models have at `threshold`.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; over 4,000 components.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    found = population_of(taps, params, rng, progress)
    thresholds = (
        np.append(THRESHOLDS, params.threshold)
        if params.along == "threshold"
        else np.array([params.threshold])
    )
    chance = chance_of(found, thresholds, rng, progress)
    at = len(thresholds) - 1
    counts = np.array([popularity_counts(cut(found.tree, t), len(taps)) for t in thresholds])
    estimates = shared_estimates(found, chance, params.threshold, at)
    drawn = (
        _by_threshold(counts, chance, len(taps))
        if params.along == "threshold"
        else _by_popularity(counts[at], chance)
    )
    return Curve(
        title=f"Popularity of the features of {len(taps)} models",
        reading=_reading(found, counts[at], estimates, params.threshold),
        caveats=(*population_caveats(found, params), *found.notes), estimates=estimates, **drawn,
    )  # fmt: skip


def _by_popularity(counts: np.ndarray, chance: Chance) -> dict:
    name = "features"
    low, high = np.percentile(chance.resampled[:, -1], [2.5, 97.5], axis=0)
    return {
        "x": np.arange(1, len(counts) + 1), "x_name": "at least so many models", "y_name": "features they have",
        "series": {name: counts.astype(np.float64)}, "low": {name: np.minimum(low, counts)},
        "high": {name: np.maximum(high, counts)}, "null": {name: chance.exchanged[:, -1].mean(axis=0)},
    }  # fmt: skip


def _by_threshold(counts: np.ndarray, chance: Chance, models: int) -> dict:
    """All thresholds but the last, which is the chosen one."""
    series, low, high, null = {}, {}, {}, {}
    wanted = {"all features": 0, "in two or more": 1, "in all models": models - 1}
    if models == 2:
        del wanted["in all models"]
    for name, place in wanted.items():
        series[name] = counts[:-1, place].astype(np.float64)
        ends = np.percentile(chance.resampled[:, :-1, place], [2.5, 97.5], axis=0)
        low[name], high[name] = np.minimum(ends[0], series[name]), np.maximum(ends[1], series[name])
        null[name] = chance.exchanged[:, :-1, place].mean(axis=0)
    return {"x": THRESHOLDS, "x_name": "matching threshold", "y_name": "features", "series": series, "low": low,
            "high": high, "null": null}  # fmt: skip


def _reading(found: Population, counts: np.ndarray, estimates, threshold: float) -> str:
    models, shared, everywhere = len(counts), estimates[0], estimates[-1]
    more = "" if models == 2 else f", {everywhere.value:.0f} in all ({everywhere.null:.2g})"
    return (
        f"At a threshold of {threshold:g} the {models} models have {counts[0]} features between them; "
        f"{shared.value:.0f} are in two or more ({shared.null:.2g} when samples are exchanged){more}. A curve that "
        "stays high to its right end means that every model finds the same features."
    )


def _cost(shapes, params: FeaturePopularityParams) -> Cost:
    draws = (DRAWS + RESAMPLES) * (1.5 if params.along == "threshold" else 1.0)
    flops, moved, held = population_cost(shapes, params, draws)
    return Cost(machine().seconds(flops64=flops, moved=moved) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Three planted features of 4, 4 and 3 models and one of each model's own: 8, 3, 3, 2. Unrelated models: nothing is
    shared. T never falls as the threshold rises."""
    rng = np.random.default_rng(14)
    taps = [ArrayActivations(x) for x in planted_models(rng)]
    by = feature_popularity(*taps, params=FeaturePopularityParams(number=4))
    along = feature_popularity(*taps, params=FeaturePopularityParams(number=4, along="threshold"))
    noise = feature_popularity(*[ArrayActivations(rng.standard_normal((400, 9))) for _ in range(3)])
    wanted = (8, 3, 3, 2)
    return (
        *(CheckLine(f"features of at least {k + 1}", w, float(by.series["features"][k]), 0)
          for k, w in enumerate(wanted)),
        CheckLine("unrelated models: features of two or more", 0, float(noise.series["features"][1]), 0),
        CheckLine("largest fall of T along the threshold", 0, float(-np.diff(along.series["all features"]).min()), 0,
                  "at most"),
        CheckLine("features of all models at threshold 0.95", 2, float(along.series["in all models"][-1]), 0),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_popularity", family="populations", title="Popularity of features over models", version=1,
        function=feature_popularity,
        summary="How many features one, several or all models have, and how the matching threshold changes that.",
        params=FeaturePopularityParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="the order of the models and of samples; rotating a model's units (principal components)",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
