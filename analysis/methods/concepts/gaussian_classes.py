"""Do two modalities put the same classes at the same place? Classes as diagonal Gaussians in two taps of one width.

    W₂² = |μ_1 - μ_2|² + |σ_1 - σ_2|²                           for each two classes, one of each tap

With images in the first tap and class attributes in the second, both encoded into one latent space, the diagonal
should be small. *Confusion*: which class of the second tap has its mean nearest to each sample of the first; its
diagonal is the accuracy of classifying by attributes alone. Given the unseen classes' names, accuracies of seen and
unseen classes (means over classes, all classes competing) and their harmonic mean are given, as in generalised
zero-shot learning.

Taps need not hold the same samples: classes are matched by name. A tap may hold samples, or the means and
log-variances of a variational encoder side by side; then a class has the moments of its samples' mixture, so that
posterior variance counts.

Null: the second tap's classes exchanged: the mean of the row for a distance, 1 / classes for an accuracy, exactly; p
of the mean distance by 999 exchanges. Intervals: distances by leaving groups of samples out, accuracies from Jeffreys'
posterior.

When it lies: classes are not Gaussian nor diagonal (rotating both taps changes W₂); with few samples two equal classes
are apart by sampling alone, about sqrt(d (1/n + 1/m)) deviations; a shift or scale common to all classes makes every
distance large (see whether the diagonal is small for its row); frequencies of classes play no part.

Cost: O(n d) for Gaussians, O(n C d) for neighbours, 10 times for intervals; memory O(n d + n C).

References: E. Schönfeld et al. (2019), "Generalized zero- and few-shot learning via aligned variational autoencoders";
D. Dowson & B. Landau (1982); Y. Xian et al. (2018) for the accuracies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.gaussian_classes import wasserstein
from analysis.compute.subspaces.gaussian_report import accuracies, mean_distance, unseen_of
from analysis.compute.subspaces.gaussian_sides import (
    FEWEST,
    POSTERIORS,
    GaussianParams,
    nearest_mean,
    two_sides,
)
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DISTANCE, CONFUSION = "2-Wasserstein distance", "nearest-attribute confusion"


@dataclass(frozen=True)
class GaussianClassesParams(GaussianParams):
    show: str = param(DISTANCE, "What the cells are.", choices=(DISTANCE, CONFUSION))


def gaussian_classes(
    images,
    attributes,
    params: GaussianClassesParams = GaussianClassesParams(),
    rng=None,
    progress=no_progress,
) -> Matrix:
    """Classes of one tap by classes of another.

    Parameters
    ----------
    images, attributes : Activations with the class column, of one width

    Returns
    -------
    Matrix
        `values` (C, C): distances, or shares of the row's samples nearest to the column's class.

    Raises
    ------
    InputError, ParameterError, NotFound, NotEnoughData, TooLarge
        Different or odd widths; an unseen class that is not there; fewer than two common classes of five samples.
    """
    taps, rng = [as_activations(t) for t in (images, attributes)], rng or np.random.default_rng(0)
    data = two_sides(taps, params, rng, progress, 0.4)
    sides, names, c = data.sides, data.names, len(data.names)
    unseen = unseen_of(params.unseen, names)
    whole = data.gaussians()
    distance = wasserstein(*whole)
    groups, without = [folds_of(s.of, GROUPS, rng) for s in sides], []
    for g in range(GROUPS):
        progress(0.4 + 0.05 * g, "leaving samples out")
        without.append(wasserstein(*data.gaussians([group != g for group in groups])))
    half = jackknife_half(np.array(without))
    progress(0.9, "looking for the nearest class")
    near = nearest_mean(sides[0].x, whole[1].means)
    counts = data.counts(near)
    share = counts / counts.sum(axis=1, keepdims=True)
    progress(1.0, "done")
    estimates = (
        mean_distance(distance, np.array(without), sides, rng),
        *accuracies(counts, unseen, sides, rng),
    )
    shown = params.show == DISTANCE
    low, high = (np.maximum(distance - half, 0.0), distance + half) if shown else (None, None)
    return Matrix(
        title=f"Classes of {taps[0].name} and {taps[1].name}", reading=_reading(distance, estimates, names),
        caveats=(*data.notes, *_caveats(sides, params), *data.read),
        estimates=estimates, values=distance if shown else share, row_names=tuple(f"{n} (first)" for n in names),
        column_names=tuple(f"{n} (second)" for n in names), value_name=params.show,
        null=np.tile((distance if shown else share).mean(axis=1)[:, None], (1, c)), low=low, high=high,
        limits=None if shown else (0.0, 1.0),
    )  # fmt: skip


def _reading(distance, estimates, names) -> str:
    own, accuracy = estimates[:2]
    first = int((distance.argmin(axis=1) == np.arange(len(names))).sum())
    text = (
        f"A class lies {own.value:.3g} from itself in the other tap, {own.null:.3g} from any class; {first} of "
        f"{len(names)} classes are nearest to themselves. The nearest class is right for {accuracy.value:.0%} of "
        f"samples ({accuracy.null:.0%} by chance), averaged over classes."
    )
    if len(estimates) > 2:
        text += " Seen {:.0%}, unseen {:.0%}, harmonic mean {:.0%}.".format(
            *(e.value for e in estimates[2:5])
        )
    return text


def _caveats(sides, params: GaussianClassesParams) -> list[str]:
    notes = ["Classes are matched by name; samples that are in both taps are not matched."]
    few = min(int(np.bincount(s.of).min()) for s in sides)
    if few < 20:
        notes.append(f"The smallest class has {few} samples: two equal classes are apart by sampling alone.")
    if not params.unseen.strip():
        notes.append("Without the names of unseen classes there is no harmonic mean.")
    return notes


def _cost(shapes, params: GaussianClassesParams) -> Cost:
    m, d = machine(), shapes[0][1]
    n = sum(min(rows, params.maximum_samples) for rows, _ in shapes)
    return Cost(
        m.seconds(flops64=12 * 2.0 * n * d * 10, moved=12 * 8.0 * n * d * 4) + 0.02, 8.0 * n * d * 3.0
    )


def _check() -> tuple[CheckLine, ...]:
    """W₂ by its formula; the same Gaussians: 0; aligned classes find themselves; harmonic mean at most twice the
    smaller."""
    rng = np.random.default_rng(6)
    n, d, c = 3000, 4, 3
    label = np.arange(n) % c
    centres, spreads = 6 * rng.standard_normal((c, d)), rng.uniform(0.5, 1.5, (c, d))
    draw = rng.standard_normal((n, d))
    x, same = (
        ArrayActivations(centres[label] + spreads[label] * z, samples={"label": label})
        for z in (draw, draw[::-1])
    )
    moved = ArrayActivations(x.values * 1.0 + np.array([3.0, 0, 0, 0]), samples={"label": label})
    found, apart = gaussian_classes(x, same, GaussianClassesParams(unseen="2")), gaussian_classes(x, moved)
    expected = np.sqrt(((centres[0] - centres[1]) ** 2).sum() + ((spreads[0] - spreads[1]) ** 2).sum())
    posterior = ArrayActivations(
        np.hstack([centres[label], np.log(spreads[label] ** 2)]), samples={"label": label}
    )
    exact = gaussian_classes(posterior, posterior, GaussianClassesParams(holds=POSTERIORS))
    seen, unseen, both = (e.value for e in found.estimates[2:5])
    return (
        CheckLine("two classes: W₂ by the formula", float(expected), float(exact.values[0, 1]), 1e-9),
        CheckLine("a class and itself", 0.0, float(np.abs(np.diag(exact.values)).max()), 1e-12),
        CheckLine("from samples", float(expected), float(found.values[0, 1]), 0.2),
        CheckLine("shifted by 3: every class is 3 from itself", 3.0, float(np.diag(apart.values).max()), 1e-9),
        CheckLine("accuracy of aligned classes", 1.0, found.estimates[1].value, 0.05),
        CheckLine("harmonic mean over twice the smaller", 2 * min(seen, unseen), both, 0.0, "at most"),
        CheckLine("harmonic mean by its formula", 2 * seen * unseen / (seen + unseen), both, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="gaussian_classes", family="concepts", title="Classes as Gaussians in two taps", version=1,
        function=gaussian_classes,
        summary="Whether classes lie at the same place in two taps of one space, such as images and class attributes.",
        params=GaussianClassesParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="the same shift or scale of both taps, or a permutation of both taps' units, changes no verdict",
        papers=("Generalized Zero- and Few-Shot Learning via Aligned Variational Autoencoders",),
    ),
)  # fmt: skip
