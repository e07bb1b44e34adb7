"""What do coarse tokens still say about the fine ones they were made of? A projector of cells of s x s, for every s.

    information   R² = 1 - Σ |x - x̂|² / Σ |x - m|²: fine tokens predicted linearly from the coarse token of their
                  cell, one map for each place in the cell, on samples that had no part in the fit; tokens less their
                  mean m over samples at their place, so that what place alone tells does not count
    coverage      C_j = Σ_k A_kj, what patch j adds to all coarse tokens; told as exp(entropy of C / Σ C) / T, 1 where
                  every patch counts alike

Three ways to make the coarse token of a cell: the average, attention in the cell (w = softmax(m x_i / √d), m the mean
of the cell and x divided by its root mean square, in place of a trained projector), and one token of the cell alone.
Tokens left are 1/s² of all: s = 2 saves 75 %, s = 3 88.9 %. Patches beyond the last whole cell are covered by none.

Interval: jackknife over groups of samples. Null: the coarse tokens of other samples, made in the same way, at the same
place: R² is near 0, or below by overfitting.

When it lies: a linear map in reach of few samples overfits, and a true projector is trained; what cannot be rebuilt
linearly may still be there; R² counts all variance alike, and answers may hang on the small part; fine tokens of late
layers have already read each other.

Cost: O(n (T/s²) s² d²) for each side and way.

Reference: W. Li, Y. Yuan, J. Liu, D. Tang, S. Wang, J. Qin, J. Zhu & L. Zhang (2024), "TokenPacker: efficient visual
projector for multimodal LLM".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, sample_groups
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.projector import (
    ASKING,
    CENTRE,
    MEAN,
    cells_of,
    cells_on,
    coverage,
    explained,
    share_explained,
    weights_of,
    whole_sets,
)
from analysis.tokens.pooling.token_sets import RUN, token_sets

WAYS, SIDES, FOLDS, FEWEST = (MEAN, ASKING, CENTRE), 6, 3, 6


@dataclass(frozen=True)
class ProjectorCoverageParams:
    side: int = param(2, "Side of the cells that the estimates are of.", low=2, high=16)
    maximum_samples: int = param(100, "Most samples; a seeded random subset above.", low=6, high=5000)


def projector_coverage(
    activations, params: ProjectorCoverageParams = ProjectorCoverageParams(), rng=None, progress=no_progress
) -> Curve:
    """Fine tokens rebuilt from coarse ones, over the side of cells.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens on a grid; tokens without one are a line, and cells runs of s of them. Of a tap of one row a sample,
        runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    Curve
        R² over the side, for each way. Estimates: at the side asked for, R² of each, what attention gains over the
        average, and how evenly it covers patches.

    Raises
    ------
    NotEnoughData
        Fewer than six samples whose tokens are all there.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress, minimum=FEWEST)
    sets, grid, notes = whole_sets(sets, tap.name, FEWEST)
    fold = rng.permutation(np.arange(sets.n) % FOLDS)
    order = rng.permutation(sets.n)
    turned = order[np.argsort(np.roll(order, 1))]  # no sample is its own partner
    sides = [s for s in range(1, SIDES + 1) if cells_on(grid, s) is not None]
    asked = min(params.side, sides[-1])
    found, chance, covered = {w: [] for w in WAYS}, {w: [] for w in WAYS}, None
    for k, side in enumerate(sides):
        tokens = cells_on(grid, side)
        cells = sets.x[:, tokens]
        for j, way in enumerate(WAYS):
            progress(0.3 + 0.65 * (k + j / 4) / len(sides), f"cells of {side}")
            weight = weights_of(way, cells)
            coarse = np.einsum("nks,nksd->nkd", weight, cells)
            found[way].append(explained(cells, coarse, fold)[1])
            if side == asked and way == ASKING:
                covered = coverage(weight, tokens, grid[0] * grid[1])
            chance[way].append(explained(cells, coarse[turned], fold)[1])
    progress(1.0, "done")
    at = sides.index(asked)
    lines = _estimates(
        {w: v[at] for w, v in found.items()},
        {w: v[at] for w, v in chance.items()},
        covered,
        asked,
        tap.shape[1],
    )
    notes = (*sets.notes, *notes, "Attention in cells is not trained: tokens ask by the mean of their cell.")
    return _curve(tap.name, sides, asked, found, chance, lines, grid, notes)


def _interval(errors: np.ndarray) -> float:
    """Half-width of the 95 % interval of R² from squared errors and variances (n, 2)."""
    groups = sample_groups(len(errors), np.random.default_rng(0))
    total = errors.sum(axis=0)
    half = jackknife_half(np.array([share_explained(*(total - errors[g].sum(axis=0))) for g in groups]))
    return 0.0 if half is None else float(half)


def _r2(errors: np.ndarray) -> float:
    return share_explained(errors[:, 0], errors[:, 1])


def _estimates(found, chance, covered, side: int, d: int) -> tuple[Estimate, ...]:
    n = len(chance[MEAN])
    out = [
        Estimate(f"R² of fine tokens, {way}, side {side}", _r2(e), _r2(e) - _interval(e), _r2(e) + _interval(e),
                 interval="jackknife over samples", null=_r2(chance[way]), n=n, d=d,
                 null_method="coarse tokens of other samples", estimator="ridge regression, held out")
        for way, e in found.items()
    ]  # fmt: skip
    share = np.where(found[MEAN][:, 1] > 0, found[MEAN][:, 1], 1.0)
    gain = (found[MEAN][:, 0] - found[ASKING][:, 0]) / share
    half = float(1.96 * np.sqrt(np.square(gain).sum()) / n)  # exactly the spread when signs are exchanged
    even = effective(covered / covered.sum(axis=1, keepdims=True)) / covered.shape[1]
    return (
        *out,
        Estimate("gain of attention over the average", float(gain.mean()), **mean_interval(gain), null=0.0,
                 null_low=-half, null_high=half, null_method="signs of the differences exchanged, normal", n=n, d=d,
                 estimator="share of a sample's variance, mean over samples"),
        Estimate(f"patches that count, attention, side {side}", float(even.mean()), **mean_interval(even, 0.0, 1.0),
                 null=float(np.count_nonzero(covered.sum(axis=0)) / covered.shape[1]),
                 null_method="the average: all patches of whole cells alike", n=n, d=d,
                 estimator="exp of the entropy of contributions, as a share of all patches"),
    )  # fmt: skip


def _curve(name, sides, asked, found, chance, estimates, grid, notes) -> Curve:
    at = sides.index(asked)
    value = {w: np.array([_r2(e) for e in v]) for w, v in found.items()}
    half = {w: np.array([_interval(e) for e in v]) for w, v in found.items()}
    left = len(cells_on(grid, asked))
    reading = (
        f"{left} of {grid[0] * grid[1]} tokens (cells of side {asked}) tell {value[MEAN][at]:.0%} of what "
        f"differs between samples at a place by averages, {value[ASKING][at]:.0%} by attention in cells, "
        f"{value[CENTRE][at]:.0%} by one token of each."
    )
    null = {w: np.array([_r2(e) for e in v]) for w, v in chance.items()}
    return Curve(
        title=f"What coarse tokens tell of fine ones, {name}", reading=reading, caveats=notes, estimates=estimates,
        x=np.array(sides, float), x_name="side of cells", y_name="R² of fine tokens, held out", series=value,
        low={w: value[w] - half[w] for w in value}, high={w: value[w] + half[w] for w in value},
        null=null, controls=(CENTRE,),
    )  # fmt: skip


def _cost(shapes, params: ProjectorCoverageParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    held = 8.0 * rows * d * 8.0
    flops = SIDES * 6 * FOLDS * (4.0 * rows * d * d + 8.0 * d**3)
    return Cost(0.05 + m.seconds(flops64=flops, moved=held * 40), held)


def _check() -> tuple[CheckLine, ...]:
    """4 x 4 grids. Tokens equal in cells of two: all is told at side 2. Independent tokens: the average of four tells a
    quarter, one of them a quarter too, attention as much; averages cover all alike; 5 x 5 leaves nine uncovered."""
    rng = np.random.default_rng(0)

    def found(x, grid=(4, 4)):
        n, t, d = x.shape
        tap = ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(n + 1) * t, grid=grid))
        return projector_coverage(tap, ProjectorCoverageParams())

    equal = np.kron(rng.standard_normal((60, 2, 2, 3)).transpose(0, 3, 1, 2), np.ones((2, 2)))
    same = found(equal.transpose(0, 2, 3, 1).reshape(60, 16, 3))
    apart = found(rng.standard_normal((100, 16, 3)))
    asks = weights_of(ASKING, np.array([[[[1.0], [-1], [1]]]]))[0, 0]
    laid = coverage(weights_of(MEAN, np.ones((1, 4, 4, 1))), cells_of((4, 4), 2), 16)
    odd = found(rng.standard_normal((30, 25, 3)), (5, 5)).estimates[4]
    return (
        CheckLine("side 1 is the identity", 1.0, float(apart.series[MEAN][0]), 1e-3),
        CheckLine("equal tokens in cells: R² at side 2", 1.0, float(same.series[MEAN][1]), 1e-3),
        CheckLine("independent tokens: R² at side 2", 0.25, float(apart.series[MEAN][1]), 0.04),
        CheckLine("one token of each: R² at side 2", 0.25, float(apart.series[CENTRE][1]), 0.04),
        CheckLine("coarse tokens of other samples", 0.0, float(apart.null[MEAN][1]), 0.04),
        CheckLine("tokens 1, -1, 1: attention in a cell", np.exp(2 / 3), asks[0] / asks[1], 1e-12),
        CheckLine("contributions add up to the cells", 4.0, laid.sum(), 1e-12),
        CheckLine("5 x 5 in cells of 2: share covered", 16 / 25, float(odd.null), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="projector_coverage", family="tokens", title="What coarse tokens tell of fine ones", version=2,
        function=projector_coverage, summary="Fine tokens rebuilt from averages, attention in cells, or single tokens.",
        params=ProjectorCoverageParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST * RUN,
        invariance="one scale for all units; the order of samples",
        papers=("TokenPacker: Efficient Visual Projector for Multimodal LLM",),
    ),
)  # fmt: skip
