"""How many features does a sample show? A histogram over the samples, against features that know nothing of each other.

A sample shows a feature of the population (`compute.populations.model_features`) when more than half of the models that
have it show it, that is, have the sample among the share of the samples with the largest values.

Null, exact: every feature shown in as many samples as it is, but in samples of its own. The number shown in one sample
is then Poisson-binomial, with mean Σ c_t / n and variance Σ (c_t / n) (1 - c_t / n). The mean is always the same; a
wider histogram than that means that some samples show many features and others none (p by exchanging the samples of
each feature).

When it lies: the share that shows a feature is chosen, not found; principal components are uncorrelated but not
independent, so extreme samples (outliers, large norms) show many at once in any model; the threshold of the matching
decides what a feature is.

Cost: O(n d min(n, d)) for each model and O(n N² + M n T + draws n T).

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.populations.model_features import poisson_binomial, shown
from analysis.compute.populations.model_population import (
    FEWEST,
    PopulationParams,
    population_caveats,
    population_cost,
    population_of,
)
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import NotEnoughData
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 199


@dataclass(frozen=True)
class FeaturesPerSampleParams(PopulationParams):
    share: float = param(
        0.1, "Share of the samples that show a feature: those with its largest values.", low=0.001, high=0.5
    )
    least_models: int = param(
        1, "Only features that at least so many models have.", label="least popularity", low=1, high=100
    )


def features_per_sample(
    *taps, params: FeaturesPerSampleParams = FeaturesPerSampleParams(), rng=None, progress=no_progress
) -> Distribution:
    """Samples by the number of features they show.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one for each model, of the same samples (matched by id).

    Returns
    -------
    Distribution
        One bin for each number from 0; `null` the exact expectation. Estimates: variance of the number over samples,
        and the mean.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than eight common samples; no feature that popular; over
        4,000 components.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    found = population_of(taps, params, rng, progress)
    popularity = found.features.popularity
    keep = popularity >= params.least_models
    if not keep.any():
        raise NotEnoughData(
            f"the most popular feature is in {popularity.max()} model(s)", f"one in {params.least_models}",
            "Lower 'least popularity' or the matching threshold",
        )  # fmt: skip
    progress(0.7, "counting features")
    omega = shown(found.components, found.features, params.share)[:, :, keep]
    sets = 2 * omega.sum(axis=0) > popularity[keep]
    counts = sets.sum(axis=1)
    chance = poisson_binomial(sets.mean(axis=0))
    top = max(int(counts.max()), int(np.flatnonzero(len(counts) * chance > 0.05).max(initial=0))) + 1
    estimates = _estimates(sets, counts, rng, progress)
    return Distribution(
        title=f"Features per sample in {len(taps)} models", reading=_reading(counts, estimates, int(keep.sum())),
        caveats=(
            f"A feature counts as shown where more than half of the models that have it have the sample among the "
            f"{params.share:.0%} with the largest {'values' if params.components == 'units' else '|values|'}.",
            *population_caveats(found, params), *found.notes,
        ),
        estimates=estimates, edges=np.arange(top + 1) - 0.5,
        counts={"samples": np.bincount(counts, minlength=top).astype(np.float64)},
        value_name="features that a sample shows", null=len(counts) * chance[:top],
        markers={"mean": float(counts.mean())},
    )  # fmt: skip


def _estimates(sets: np.ndarray, counts: np.ndarray, rng, progress) -> tuple[Estimate, ...]:
    n, c = len(counts), sets.mean(axis=0)
    variance, null = float(counts.var()), float((c * (1 - c)).sum())
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        if i % 20 == 0:
            progress(0.75 + 0.25 * i / DRAWS, "exchanging samples of each feature")
        drawn[i] = rng.permuted(sets, axis=0).sum(axis=1).var()
    groups = sample_groups(n, rng)
    half = float(jackknife_half(np.array([np.delete(counts, g).var() for g in groups])))
    low, high = np.percentile(drawn, [2.5, 97.5])
    common = {"n": n, "d": sets.shape[1], "estimator": "features shown by more than half of their models"}
    return (
        Estimate("variance of features per sample", variance, max(variance - half, 0.0), variance + half,
                 interval="jackknife over groups of samples, t", null=null, null_low=float(low), null_high=float(high),
                 null_method=f"samples of each feature exchanged: exact mean, {DRAWS} draws",
                 p_value=float(add_one_p(variance, drawn)), **common),
        Estimate("mean features per sample", float(counts.mean()), null=float(c.sum()),
                 null_method="the same by construction", **common),
    )  # fmt: skip


def _reading(counts: np.ndarray, estimates, features: int) -> str:
    variance, mean = estimates
    if variance.value > variance.null_high:
        verdict = "the histogram is wider than that: features come together in some samples"
    elif variance.value < variance.null_low:
        verdict = "the histogram is narrower than that: features avoid each other"
    else:
        verdict = "that is what features would give that know nothing of each other"
    return (
        f"A sample shows {mean.value:.1f} of {features} features on average, between {counts.min()} and "
        f"{counts.max()}. "
        f"Their variance is {variance.value:.2f}, against {variance.null:.2f} for independent features: {verdict}."
    )


def _cost(shapes, params: FeaturesPerSampleParams) -> Cost:
    flops, moved, held = population_cost(shapes, params, 0)
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    total = sum(min(params.number, units) for _, units in shapes)
    moved += n * total * (len(shapes) * 12.0 + DRAWS * 90.0)
    return Cost(machine().seconds(flops64=flops, moved=moved) + 0.05, held + n * total * (len(shapes) + 10.0))


def _check() -> tuple[CheckLine, ...]:
    """Independent units shared by both models: the variance is the exact one. Units of which every second repeats the
    one before: features come in pairs, and the variance doubles."""
    rng = np.random.default_rng(16)
    x = rng.standard_normal((2000, 8))
    params = FeaturesPerSampleParams(components="units", number=8)

    def variance(values) -> Estimate:
        pair = [ArrayActivations(values), ArrayActivations(values[:, ::-1] * 2)]
        return features_per_sample(*pair, params=params).estimates[0]

    alone = variance(x)
    paired = variance(np.repeat(x[:, :4], 2, axis=1) + 0.001 * rng.standard_normal((2000, 8)))
    return (
        CheckLine("independent features: exact variance 8 x 0.1 x 0.9", 0.72, alone.null, 1e-12),
        CheckLine("independent features: variance", 0.72, alone.value, 0.1),
        CheckLine("features in pairs: variance", 1.44, paired.value, 0.2),
        CheckLine("features in pairs: p", 1 / (1 + DRAWS), paired.p_value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="features_per_sample", family="populations", title="Features per sample", version=1,
        function=features_per_sample,
        summary="How many of the features of a population of models a sample shows, against independent features.",
        params=FeaturesPerSampleParams, result=Distribution, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="the order of the models and of samples; rotating a model's units (principal components)",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
