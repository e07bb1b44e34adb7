"""Does a projection made for just these groups tell their later samples apart better? Similarity before and after.

For tracks (or any groups): Fisher's discriminants of the groups' history, with a shrunk covariance, and the cosines of
later samples with each group's mean of history, before and after the projection (`compute.subspaces.told_apart`). Later
means a larger value of a column such as the frame; without one, a random half of each group stands for it.

Null: groups exchanged over all samples, projection made anew. The margin on the history itself is shown with the one
that exchanged groups have there, which is large for nothing: with as many units as samples any groups are apart.

When it lies: a random half is not the future: samples next to each other in time are alike, so use the column; a group
with no earlier or later sample is left out; the smallest and largest of many cells (the margin) are pulled by the
noisiest groups; cosines after the projection live in at most K - 1 dimensions and spread wider for that alone.

Cost: one eigenproblem, O(n d min(n, d)), for the value, each exchange and each of ten parts left out; memory O(n d).

References: R. Gao et al. (2025), "History-aware transformation of ReID features for multiple object
tracking"; R. Fisher (1936); O. Ledoit & M. Wolf (2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.sample_groups import GROUPS
from analysis.compute.subspaces.history_parts import FEWEST, chosen_groups, later_part
from analysis.compute.subspaces.told_apart import (
    group_similarity,
    told_apart,
)
from analysis.compute.subspaces.told_apart_report import NAMES, estimates_of, margin_errors, numbers_of
from analysis.errors import InputError
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class ContextDiscriminantParams:
    column: str = param("label", "The sample column that holds the groups, such as the track.", column=True)
    time: str = param(
        "", "Column that orders the samples, such as the frame; empty: halves at random.", column=True
    )
    history: float = param(0.5, "Share of each group's samples that are its history.", low=0.2, high=0.8)
    groups: str = param("", "Values of the groups to tell apart, with commas between; empty: all.")
    most_groups: int = param(40, "Most groups, those with most samples.", low=2, high=200)
    show: str = param("after", "Which similarities are drawn.", choices=("after", "before", "change"))
    permutations: int = param(39, "Exchanges of the groups for the null.", low=19, high=2000)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def context_discriminant(
    activations,
    params: ContextDiscriminantParams = ContextDiscriminantParams(),
    rng=None,
    progress=no_progress,
) -> Matrix:
    """Groups told apart by a projection of their own.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        Groups x groups: mean cosine of a group's later samples (rows) with each group's history (columns). Estimates:
        margins before and after, on later samples and on the history; the share nearest to their own group; λ.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two groups with six samples; a time that is no number; equal samples; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    x, of, names, notes = chosen_groups(data, params)
    x, of, names, later, said = later_part(activations, x, of, names, data, params, rng)
    if not np.ptp(x, axis=0).any():
        raise InputError(
            f"all samples of {activations.name} are equal", "samples that differ", "Choose another tap"
        )
    scaled = x / np.abs(x - x.mean(axis=0)).max()
    found = told_apart(scaled, of, later, len(names))
    null = np.empty((params.permutations, len(NAMES)))
    for i in range(params.permutations):
        progress(0.3 + 0.5 * i / params.permutations, "exchanging groups")
        turned = of.copy()  # within each part, so that every group keeps its size in both
        for part in (later, ~later):
            turned[part] = rng.permutation(of[part])
        null[i] = numbers_of(told_apart(scaled, turned, later, len(names)))
    half = margin_errors(scaled, of, later, len(names), rng, progress)
    estimates = estimates_of(found, half, null, len(x), x.shape[1])
    before, after = (group_similarity(v, found.of) for v in (found.before, found.after))
    values = {"after": after, "before": before, "change": after - before}[params.show]
    return Matrix(
        title=f"Groups of {activations.name} told apart ({params.column}), {params.show}", values=values,
        row_names=names, column_names=names,
        value_name="cosine" if params.show != "change" else "change of the cosine",
        limits=(-1.0, 1.0) if params.show != "change" else None, diverging=True, estimates=estimates,
        reading=_reading(estimates, after, before, names),
        caveats=(*_caveats(x, later), *said, *notes, *data.notes),
    )  # fmt: skip


def _reading(e, after, before, names) -> str:
    off = after.copy()
    np.fill_diagonal(off, -np.inf)
    a, b = np.unravel_index(off.argmax(), off.shape)
    gain = e[4]
    what = "helps" if gain.low > 0 else "hurts" if gain.high < 0 else "does not change"
    return (
        f"A projection made for these {len(names)} groups {what} telling their later samples apart: {e[2].value:.1%} "
        f"are nearest to their own history after it, {e[3].value:.1%} before (exchanged groups: {e[2].null:.1%}); the "
        f"margin of groups goes from {e[1].value:.2f} to {e[0].value:.2f}. Most easily confused: {names[a]} for "
        f"{names[b]} (cosine {off[a, b]:.2f}, before {before[a, b]:.2f})."
    )


def _caveats(x, later) -> list[str]:
    past, d = int((~later).sum()), x.shape[1]
    notes = [f"{past} samples of history made the projection, {int(later.sum())} later ones judge it."]
    if past <= d:
        notes.append(
            f"{d} units and {past} samples of history: without shrinkage any groups would be apart there."
        )
    return notes


def _cost(shapes, params: ContextDiscriminantParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    fits, r = params.permutations + GROUPS + 1, min(n // 2, d)
    flops = fits * (4.0 * n * d * r + 20.0 * r**3)
    return Cost(m.seconds(flops64=flops, moved=fits * n * d * 60.0) + 0.05, n * d * 8 * 5.5 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Five groups under noise along two directions that cross theirs: told apart after, not before; labels that mean
    nothing are at chance; at most K - 1 ratios, which no invertible map changes without shrinkage."""
    rng = np.random.default_rng(1)
    of, crossing = np.arange(500) % 5, rng.standard_normal((2, 30))
    x = (
        3 * np.eye(5, 30)[of]
        + 6 * rng.standard_normal((500, 2)) @ crossing
        + 0.5 * rng.standard_normal((500, 30))
    )
    ask = ContextDiscriminantParams(permutations=19)
    e = context_discriminant(
        ArrayActivations(x, samples={"label": of}), ask, np.random.default_rng(0)
    ).estimates
    noise = ArrayActivations(rng.standard_normal((100, 200)), samples={"label": np.arange(100) % 5})
    luck = context_discriminant(noise, ask, np.random.default_rng(0)).estimates
    later = np.arange(500) >= 250
    ratios = told_apart(x, of, later, 5, 0.0).ratios
    mapped = told_apart(x @ rng.standard_normal((30, 30)), of, later, 5, 0.0).ratios
    return (
        CheckLine("nearest to their group, after", 1.0, e[2].value, 0.04),
        CheckLine("and before, at most", 0.6, e[3].value, 0.0, "at most"),
        CheckLine("noise: nearest to their group, after", 0.2, luck[2].value, 0.17),
        CheckLine("noise: margin on the history, at least", 0.5, luck[5].value, 0.0, "at least"),
        CheckLine("noise: margin on later samples, at most", 0.0, luck[0].value, 0.0, "at most"),
        CheckLine("ratios of five groups", 4.0, float(len(ratios)), 0.0),
        CheckLine(
            "an invertible map, largest relative change", 0.0, float(np.abs(mapped / ratios - 1).max()), 1e-7
        ),
    )


METHODS = (
    Method(
        id="context_discriminant", family="subspaces", version=1,
        title="Groups told apart by a projection of their own", function=context_discriminant,
        summary="Later samples against each group's history, before and after a projection for just these groups.",
        params=ContextDiscriminantParams, result=Matrix, check=_check, cost=_cost, minimum_rows=12,
        invariance="rotating, shifting or scaling all activations together; without shrinkage the ratios ignore any "
        "invertible linear map",
        papers=("History-Aware Transformation of ReID Features for Multiple Object Tracking",),
    ),
)  # fmt: skip
