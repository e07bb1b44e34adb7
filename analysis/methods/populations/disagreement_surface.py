"""Where in a family of transforms do two models disagree? Their divergence over the grid of two sample columns.

The columns are the parameters of a transform (shift in x and y, angle and scale) that made the samples, or anything
else known of them; numbers with more values than bins are cut into bins of about equal counts. A cell is the mean of
KL(first || second), of the Jensen-Shannon divergence (at most ln 2) or of "different top class" over its samples
(`compute.outputs.divergences`). A pair that is equally (in)variant has a flat surface, one model twice a surface of 0;
a cell that rises shows transforms that only one of the two has learned to ignore. Without a second column there is one
row.

Null of a cell: the places exchanged over the samples, mean exact. With `within`, the column that names the original of
each transformed sample, they are exchanged inside each original only. Flatness: the share of the differences between
samples that the cells explain (η²), exact mean (G - 1)/(n - 1) for G filled cells, p of 999 exchanges. The highest cell
was chosen because it is the highest: its p is against the highest cell of each exchange, and its interval holds for all
compared cells together (Šidák). Cells stand out in full colour where they differ from their null by more than the
largest difference anywhere in 95 % of the exchanges (`compute.rows.column_grid`).

When it lies: a column that goes with difficulty explains disagreement without causing it; few samples in a cell, or a
few large KL in one, make peaks; columns that go together leave cells empty; the grid searches where samples are, so
that worse transforms may lie between or outside; samples made of one original are not independent (give `within`).

Cost: O(n C + 999 (n + cells)).

References: A. Nix, M. Burg & F. Sinz (2023), "HARD: Hard augmentations for robust distillation"; J. Lin (1991) for JS;
P. Westfall & S. Young (1993), "Resampling-based multiple testing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import BY_ROW, LN2, MEASURES, UNIT
from analysis.compute.outputs.model_outputs import KINDS, model_outputs
from analysis.compute.outputs.surface_report import (
    cell_ends,
    surface_caveats,
    surface_estimates,
    surface_reading,
)
from analysis.compute.rows.column_grid import DRAWS, FEWEST, ColumnGrid, cell_means, grid_of, grid_test
from analysis.compute.rows.column_places import places_of
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_CELLS = 3600


@dataclass(frozen=True)
class DisagreementSurfaceParams:
    across: str = param("label", "Sample column whose values are the columns of the grid.", column=True)
    down: str = param("", "Sample column whose values are the rows; empty: one row.", column=True)
    measure: str = param("JS", "How disagreement is measured.", choices=MEASURES)
    bins: int = param(12, "Places for a numeric column with more values than that.", low=2, high=60)
    within: str = param(
        "", "Sample column that names the original of each transformed sample; exchanges stay inside it.",
        column=True,
    )  # fmt: skip
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def disagreement_surface(
    first, second, params: DisagreementSurfaceParams = DisagreementSurfaceParams(), rng=None,
    progress=no_progress,
) -> Matrix:  # fmt: skip
    """Disagreement of two models over the grid of two columns of the first tap's samples.

    Parameters
    ----------
    first, second : Activations or arrays (rows, classes), outputs of two models on the same samples.

    Returns
    -------
    Matrix
        Mean divergence of each cell, with `low`, `high`, `null`, `significant`, and `few` where a cell has fewer than
        five samples; an empty cell shows the mean of all. Estimates: the mean, η² (flatness) and the highest cell.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData, TooLarge
        No such column, or one column twice; different or single classes; different tokens; no two samples of one
        original; fewer than four samples, or fewer than two places, filled cells, or samples that share one; more than
        3,600 cells.
    """
    if params.down == params.across:
        raise ParameterError(f"down = across = '{params.across}'", "two columns, or an empty 'down'")
    taps = [as_activations(first), as_activations(second)]
    rng = rng or np.random.default_rng(0)
    asked = {c: sample_column(taps[0], c) for c in (params.across, params.down, params.within) if c}
    data = model_outputs(taps, params.outputs, rng, maximum=params.maximum_samples, progress=progress)
    progress(0.4, "measuring disagreement")
    each = data.per_sample(BY_ROW[params.measure](*data.logs))
    across, down = (places_of(asked[c][data.position], params.bins, c) if c else None
                    for c in (params.across, params.down))  # fmt: skip
    grid = grid_of(down, across, data.n_samples)
    within = asked[params.within][data.position][grid.samples] if params.within else None
    _refuse(grid, within, params)
    values = each[grid.samples]
    test = grid_test(values, grid, within, rng, progress, (0.5, 0.95))
    estimates = surface_estimates(data, values, grid, test, (down, across), params, rng)
    mean = float(values.mean())
    low, high = cell_ends(values, grid, params.measure)
    empty = grid.counts == 0
    shaped = lambda cells: cells.reshape(grid.shape)  # noqa: E731
    return Matrix(
        title=f"Disagreement of {data.names[0]} and {data.names[1]} by {params.across} (columns)"
        + (f" and {params.down} (rows)" if down is not None else ""),
        reading=surface_reading(estimates, test, params),
        caveats=(*surface_caveats(grid, (down, across), params), *data.notes),
        estimates=estimates, values=shaped(cell_means(values, grid, mean)), column_names=across.names,
        row_names=("all",) if down is None else down.names, low=shaped(low), high=shaped(high),
        null=shaped(np.where(empty, mean, test.expected)), few=shaped(grid.counts < FEWEST),
        significant=shaped(test.stands_out),
        value_name="share with a different top class" if params.measure == MEASURES[0] else
        f"mean {params.measure} ({UNIT[params.measure]})",
    )  # fmt: skip


def _refuse(grid: ColumnGrid, within: np.ndarray | None, params) -> None:
    filled = int((grid.counts > 0).sum())
    if len(grid.counts) > MOST_CELLS:
        raise TooLarge(
            f"a grid of {grid.shape[0]:,} x {grid.shape[1]:,} cells", f"at most {MOST_CELLS:,} cells",
            "Choose columns of numbers, or texts with fewer values",
        )  # fmt: skip
    if within is not None and len(np.unique(within.astype(str))) == len(within):
        raise InputError(
            f"no two samples have the same '{params.within}'", "several samples made of each original",
            "Choose the column that names the original, or leave 'within' empty",
        )  # fmt: skip
    if filled < 2 or len(grid.samples) <= filled:
        raise NotEnoughData(
            f"{len(grid.samples)} sample(s) with both columns lie in {filled} cell(s)",
            "two cells or more, and samples that share one", "Choose fewer bins or other columns",
        )  # fmt: skip


def _cost(shapes, params: DisagreementSurfaceParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    classes, passes = max(units for _, units in shapes), 1000.0 if params.measure == "JS" else 150.0
    cells = min(params.bins ** (2 if params.down else 1), n)
    seconds = machine().seconds(moved=8.0 * n * classes * passes + 8.0 * DRAWS * (12 * n + 6 * cells))
    return Cost(seconds + 0.02, 8.0 * n * classes * 9.0 + 8.0 * DRAWS * cells * 3)


def _check() -> tuple[CheckLine, ...]:
    """Answers that part with both shifts: every cell by the sum of its KL, all explained by the grid. A peak planted in
    one corner: found there, with the least p. One model twice: 0 everywhere. Disagreement that knows no shift: the
    exchanges allow it. Opposite answers: JS is ln 2."""
    rng = np.random.default_rng(39)
    one, other = (np.tile(np.repeat(np.arange(4.0), k), 320 // (4 * k)) for k in (1, 4))
    samples = {"x": one, "y": other}
    tap = lambda z: ArrayActivations(z + rng.standard_normal((320, 1)), samples=samples)  # noqa: E731

    def run(a, b, measure="JS") -> Matrix:
        return disagreement_surface(a, b, DisagreementSurfaceParams(across="x", down="y", measure=measure))

    tilt = np.stack([one + 2 * other, 0 * one], axis=1)
    logit = np.arange(4.0) + 2 * np.arange(4.0)[:, None]
    along = run(tap(np.zeros((320, 2))), tap(tilt), "KL")
    base, noise = rng.standard_normal((2, 320, 3))
    corner = (one == 3) & (other == 3)
    peak = run(tap(base), tap(base + (0.3 + 3 * corner)[:, None] * noise))
    flat, same = run(tap(base), tap(noise)), run(*[tap(base)] * 2)
    sure = 60 * np.eye(2)[rng.integers(2, size=320)]
    opposite = run(tap(sure), tap(sure[:, ::-1]))
    exact = np.log((1 + np.exp(logit)) / 2) - logit / 2
    return (
        CheckLine("KL of each cell: ln((1 + e^s) / 2) - s / 2", 0.0, float(np.abs(along.values - exact).max()), 1e-9),
        CheckLine("all explained by the grid", 1.0, along.estimates[1].value, 1e-9),
        CheckLine("planted corner: the highest cell", 15, int(peak.values.argmax()), 0),
        CheckLine("planted corner: p of the highest", 1 / (1 + DRAWS), peak.estimates[2].p_value, 1e-12),
        CheckLine("planted corner stands out", 1, int(peak.significant[3, 3]), 0),
        CheckLine("one model twice: highest", 0.0, float(same.values.max()), 0.0),
        CheckLine("no dependence: p of flatness", 0.01, flat.estimates[1].p_value, 0.0, "at least"),
        CheckLine("no dependence: exact mean of η²", 15 / 319, flat.estimates[1].null, 1e-12),
        CheckLine("opposite answers: JS is ln 2", LN2, float(opposite.values.min()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="disagreement_surface", family="populations", title="Disagreement over two columns", version=1,
        function=disagreement_surface,
        summary="How far two models disagree over the grid of two sample columns, such as a transform's parameters.",
        params=DisagreementSurfaceParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=4,
        invariance="adding a number to all logits of a sample; the order of samples and of classes",
        papers=("HARD: Hard Augmentations for Robust Distillation",),
    ),
)  # fmt: skip
