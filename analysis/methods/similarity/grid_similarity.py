"""Are two maps alike place by place? Unbiased CKA over positions of taps with tokens on a grid: CNN maps, ViT patches,
levels of a feature pyramid, all averaged to one grid.

Maps of different height and width are averaged over areas to the finest grid that all taps have; then positions x
samples are the rows that linear CKA compares. Pairs of positions of one sample are left out and every position is
centred over the samples (`compute.grids.position_hsic`), so that what two networks share because both know the *place*
does not count, only what varies with the picture.

*Whole* compares the maps, *DC* their means over space (as CKA of pooled taps does), *AC* what is left of the maps
without these: what is alike beyond the average.

Null: samples exchanged between the two sides, the positions of a sample staying together: mean exactly 0, deviation at
most sqrt(2 / (n (n - 3))) for n samples, however many positions. A pair counts as alike where even Cantelli's bound on
chance passes Benjamini-Hochberg at 5 %.

When it lies: averaging to a coarse grid hides what is fine; positions are matched by area, so that a network that
shifts or crops its input is compared with the wrong place; directions of large variance rule, as in every CKA; in the
AC part high frequencies count little where their energy is small.

Cost: O(n P p q) for each pair and O(n P² d) for each tap, P positions; memory O(n P (P + Σ d)).

References: S. Kornblith et al. (2019), "Similarity of neural network representations revisited"; L. Song et al. (2012);
J. Zhu et al. (2023), "A good student is cooperative and reliable: CNN-transformer collaborative learning for semantic
segmentation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.common_maps import AC, DC, PARTS, WHOLE, common_maps
from analysis.compute.grids.position_hsic import position_grid
from analysis.compute.machine import machine
from analysis.compute.similarity.hsic import FEWEST, null_deviation
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, arranged
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class GridSimilarityParams:
    part: str = param(
        WHOLE, "The maps, their means over space, or what is left without these.", choices=PARTS
    )
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    side: int = param(8, "Most positions of the common grid in height and in width.", low=1, high=64)
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=50, high=50_000)


def grid_similarity(
    *taps, params: GridSimilarityParams = GridSimilarityParams(), rng=None, progress=no_progress
) -> Matrix:
    """CKA over positions of two or more taps with tokens.

    Parameters
    ----------
    *taps : Activations with tokens on a grid (rows of tokens without a grid are matched by place; a pooled tap is one
        position), of the same samples (matched by id).

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal (or the first network's taps by the others'); `null`, `low` and
        `high` of each cell; `significant`; `few`. Estimates: of two taps their CKA; of more the mean, the highest and
        the lowest.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_maps`.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    rows, columns = arranged([t.name for t in taps], params.arrangement)
    maps = common_maps(taps, rng, side=params.side, maximum=params.maximum_samples, progress=progress)
    grid, lengths = position_grid(maps.part(params.part), rows, columns, rng, progress=progress)
    notes = [
        f"{t.name}: nothing of this part differs between samples, so nothing can be like it (CKA 0)."
        for t, length in zip(taps, lengths, strict=True)
        if length <= 0
    ]
    notes.append(
        "Every position is centred over the samples: what depends on the place alone does not count."
    )
    what = {WHOLE: "CKA over positions", DC: "DC CKA", AC: "AC CKA over positions"}
    words = Words(
        what[params.part], "unbiased (U-statistic over samples), linear",
        ("samples exchanged, positions kept; deviation an upper bound" if maps.grid != (1, 1) and params.part != DC
         else "samples exchanged, exact moments") + "; p by Cantelli's bound",
    )  # fmt: skip
    return similarity_matrix(grid, words, [t.name for t in taps], (*notes, *maps.notes))


def _cost(shapes, params: GridSimilarityParams) -> Cost:
    """Rows may be tokens or samples: as many positions as rows allow are reckoned with."""
    m = machine()
    positions = params.side**2
    n = min(min(rows for rows, _ in shapes), params.maximum_samples * positions)
    whole, k = sum(units for _, units in shapes), len(shapes)
    flops = 2.0 * n * (whole**2 / 2 + positions * whole)
    read = sum(8.0 * rows * units for rows, units in shapes)
    held = sum(8.0 * n * units * 1.5 for _, units in shapes) + 8.0 * n * k * 2
    widest = max(units for _, units in shapes)
    return Cost(
        m.seconds(flops64=flops, moved=4 * read + 8.0 * n * whole * 6) + 0.02,
        held + 8.0 * 14 * widest**2 + 8.0 * widest * 4096,
    )


def _check() -> tuple[CheckLine, ...]:
    """Rotated units: 1. Unrelated maps: 0. Half of the units shared: 1/2; half of them alone: sqrt(1/2). Twice the
    resolution: 1 after averaging. Shared means and unrelated rests: 1 for DC, 0 for AC."""
    rng = np.random.default_rng(7)
    n, h, w, d = 300, 4, 4, 6
    x, y = rng.standard_normal((2, n, h, w, d))
    turned = 5 * x @ np.linalg.qr(rng.standard_normal((d, d)))[0] + rng.standard_normal((h, w, d))
    half = np.concatenate([x[..., :3], y[..., 3:]], axis=-1)
    fine = x.repeat(2, axis=1).repeat(2, axis=2)
    means = rng.standard_normal((n, 1, 1, d))
    mixed = [means + m - m.mean(axis=(1, 2), keepdims=True) for m in (x, y)]

    wide = np.broadcast_to(rng.standard_normal((2, 50, 1, 1, 80)), (2, 50, 2, 2, 80))

    def value(a, b, part=WHOLE) -> float:
        taps = []
        for m in (a, b):
            grid = m.shape[1:3]
            layout = Layout(np.arange(len(m) + 1) * grid[0] * grid[1], grid=grid)
            taps.append(ArrayActivations(m.reshape(-1, m.shape[3]), layout=layout))
        return float(grid_similarity(*taps, params=GridSimilarityParams(part=part)).values[0, 1])

    few = 4 * null_deviation(n)
    return (
        CheckLine("rotated, scaled, each position shifted: CKA", 1.0, value(x, turned), 1e-10),
        CheckLine("unrelated maps: CKA", 0.0, value(x, y), few),
        CheckLine("half of the units shared: CKA", 0.5, value(x, half), 0.02),
        CheckLine("half of the units alone: CKA", 0.5**0.5, value(x, x[..., :3]), 0.02),
        CheckLine("unrelated, more units than samples: CKA", 0.0, value(*wide), 4 * null_deviation(50)),
        CheckLine("twice the resolution, averaged back: CKA", 1.0, value(x, fine), 1e-10),
        CheckLine("means shared, rests unrelated: CKA of DC", 1.0, value(*mixed, DC), 1e-10),
        CheckLine("the same: CKA of AC", 0.0, value(*mixed, AC), few),
        CheckLine("samples exchanged: CKA", 0.0, value(x, turned[rng.permutation(n)]), few),
    )  # fmt: skip


METHODS = (
    Method(
        id="grid_similarity", family="similarity", title="Similarity place by place", version=2,
        function=grid_similarity,
        summary="Whether the maps of two or more layers or networks are alike position by position, on a common grid.",
        params=GridSimilarityParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling the units of either side or shifting any position changes nothing; stretching "
        "one direction or moving the maps does",
        papers=(
            "A Good Student is Cooperative and Reliable: CNN-Transformer Collaborative Learning for Semantic "
            "Segmentation",
            "RCNet: Reverse Feature Pyramid and Cross-scale Shift Network for Object Detection",
            "ScaleKD: Strong Vision Transformers Could Be Excellent Teachers",
        ),
    ),
)  # fmt: skip
