"""A population of models read and put in order, with what chance and resampling make of it: see `model_features`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.correlation.correlations import correlation_p
from analysis.compute.populations.model_features import (
    Components,
    Features,
    components_of,
    cut,
    features_of,
    popularity_counts,
    tree_of,
)
from analysis.compute.rows.common_samples import CommonSamples, common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.results import Estimate
from analysis.spec import Progress, param

FEWEST = 8  # samples
DRAWS, RESAMPLES = 40, 40


@dataclass(frozen=True)
class PopulationParams:
    components: str = param(
        "principal components", "What a model's features are made of: its main directions, or its units as they are.",
        choices=("principal components", "units"),
    )  # fmt: skip
    number: int = param(
        12, "How many of each model: the leading directions, or the units of largest variance.",
        label="components of each model", low=1, high=1000,
    )  # fmt: skip
    threshold: float = param(
        0.5, "Components of different models are one feature where every two correlate at least this much.",
        label="matching threshold", low=0.05, high=0.99,
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=50_000)


@dataclass(frozen=True)
class Population:
    """Models by `names`, their `components`, correlations `r` (N, N), `tree` and `features`; `data` the samples."""

    names: tuple[str, ...]
    components: Components
    r: np.ndarray
    tree: np.ndarray
    features: Features
    data: CommonSamples

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"feature {t + 1}" for t in range(self.features.has.shape[1]))

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.components.notes, *self.data.notes)


def population_of(
    taps: Sequence[Activations], params: PopulationParams, rng: np.random.Generator, progress: Progress
) -> Population:
    """Read one tap of each model and match its components. O(n Σ d min(n, d) + n N²).

    Raises as `common_samples` and `components_of` do; at least eight common samples.
    """
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    progress(0.35, "finding components")
    components = components_of(data.values, names, params.components, params.number)
    progress(0.5, "matching components")
    r = components.correlations()
    tree = tree_of(r, components.model)
    features = features_of(r, components.model, tree, params.threshold)
    return Population(names, components, r, tree, features, data)


@dataclass(frozen=True)
class Chance:
    """`exchanged` (draws, thresholds, M): how many features at least 1 … M models have when each model's samples are
    exchanged; `strongest` (draws,), the largest r of two models' components then; `resampled` (draws, thresholds, M),
    over samples drawn with replacement."""

    exchanged: np.ndarray
    strongest: np.ndarray
    resampled: np.ndarray


def chance_of(
    found: Population, thresholds: np.ndarray, rng: np.random.Generator, progress: Progress
) -> Chance:
    """Components are kept as they were found; only their matching is done again. O(draws (n N² + N² ln N))."""
    c, counts, strongest = found.components, ([], []), []
    apart = c.model[:, None] != c.model

    def counted(r: np.ndarray) -> np.ndarray:
        tree = tree_of(r, c.model)
        return np.array([popularity_counts(cut(tree, t), c.n_models) for t in thresholds])

    for draw in range(DRAWS):
        progress(0.5 + 0.25 * draw / DRAWS, "exchanging samples")
        r = c.exchanged(rng)
        strongest.append(r[apart].max())
        counts[0].append(counted(r))
    for draw in range(RESAMPLES):
        progress(0.75 + 0.25 * draw / RESAMPLES, "drawing samples again")
        counts[1].append(counted(c.resampled(rng)))
    return Chance(np.array(counts[0]), np.array(strongest), np.array(counts[1]))


def shared_estimates(
    found: Population, chance: Chance, threshold: float, at: int = 0
) -> tuple[Estimate, ...]:
    """How many features two or more models, and all of them, have; `at`, the place of `threshold` among those that
    `chance` was worked out for."""
    c, n = found.components, len(found.data.ids)
    popularity = found.features.popularity
    size = "r" if c.signed else "|r|"
    common = {"n": n, "d": len(c.model), "estimator": f"complete linkage, {size} >= {threshold:g}"}
    out = []
    for least, name in ((2, "features of two or more models"), (c.n_models, "features of all models")):
        if out and c.n_models == 2:
            break
        value = float((popularity >= least).sum())
        drawn, again = chance.exchanged[:, at, least - 1], chance.resampled[:, at, least - 1]
        low, high = np.percentile(again, [2.5, 97.5])
        ends = np.percentile(drawn, [2.5, 97.5])
        p = (1 + (drawn >= value).sum()) / (1 + len(drawn))
        out.append(Estimate(
            name, value, float(min(low, value)), float(max(high, value)),
            interval="bootstrap over samples, components fixed, widened to hold the value",
            null=float(drawn.mean()), null_low=float(ends[0]), null_high=float(ends[1]),
            null_method=f"each model's samples exchanged, {len(drawn)} draws", p_value=float(p), **common,
        ))  # fmt: skip
    return tuple(out)


def pairs_by_chance(found: Population, threshold: float) -> float:
    """Expected number of pairs of unrelated Gaussian components of different models at or above the threshold."""
    c, n = found.components, len(found.data.ids)
    pairs = float((c.model[:, None] < c.model).sum())
    return pairs * float(correlation_p(np.array(threshold), n)) * (0.5 if c.signed else 1.0)


def population_caveats(found: Population, params: PopulationParams) -> list[str]:
    notes = []
    if params.components != "units":
        notes.append(
            "Directions of nearly equal variance are mixed differently in every model: such a shared subspace looks "
            "like features that are not shared."
        )
    lucky = pairs_by_chance(found, params.threshold)
    if lucky > 0.05:
        notes.append(
            f"At this threshold about {lucky:.2g} pairs of unrelated components would be matched by chance "
            f"({len(found.data.ids):,} samples are few for it)."
        )
    notes.append(
        "Another matching threshold gives other features: see feature popularity along the threshold."
    )
    return notes


def population_cost(shapes, params: PopulationParams, draws: float) -> tuple[float, float, float]:
    """(operations of matrix products, bytes passed over, bytes held) of reading and matching `draws` times."""
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [units for _, units in shapes]
    each = [min(params.number, units) for units in d]
    total = sum(each)
    flops = sum(2.0 * n * u * min(n, u) + 12.0 * min(n, u) ** 3 for u in d) + (1 + draws) * 2.0 * n * total**2
    moved = 8.0 * n * sum(d) * 14 + (1 + draws) * (8.0 * n * total * 4 + 600.0 * total**2)
    held = 8.0 * n * (2.0 * sum(d) + max(d)) + 8.0 * n * total * 5 + 40.0 * total**2
    return flops, moved, held
