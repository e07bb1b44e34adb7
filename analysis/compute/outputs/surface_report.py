"""Two models' disagreement over a grid of sample columns, in numbers and words."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from analysis.compute.outputs.divergences import LN2, UNIT, exchanged_mean
from analysis.compute.outputs.model_outputs import Outputs
from analysis.compute.rows.column_grid import DRAWS, FEWEST, ColumnGrid, GridTest
from analysis.compute.rows.column_places import Places
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate

SHARES = "different top class"
MOST = {SHARES: 1.0, "KL": np.inf, "JS": LN2}
Sides = tuple[Places | None, Places]  # down, across


def cell_ends(values: np.ndarray, grid: ColumnGrid, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Interval of each cell (cells,); the whole range (KL: as far as it is seen) where fewer than two samples give
    none."""
    most = float(values.max()) if measure == "KL" else MOST[measure]
    low, high = np.zeros(len(grid.counts)), np.full(len(grid.counts), most)
    order = np.argsort(grid.cell, kind="stable")
    for at, part in enumerate(np.split(values[order], np.cumsum(grid.counts)[:-1])):
        if len(part) > 1:
            ends = _interval(part, measure)
            low[at], high[at] = ends["low"], ends["high"]
    return low, high


def _interval(each: np.ndarray, measure: str) -> dict:
    return share_interval(each) if measure == SHARES else mean_interval(each, 0.0, MOST[measure])


def _together(part: np.ndarray, measure: str, cells: int) -> dict:
    """95 % interval of the mean of `part` (m,) at the level at which those of `cells` cells hold together (Šidák)."""
    m, mean = len(part), float(part.mean())
    if m < 2:
        return {}
    upper = (1 + 0.95 ** (1 / cells)) / 2
    how = f"at the level at which those of all {cells:,} compared cells hold (Šidák)"
    if measure == SHARES:
        low, high = wilson(mean * m, m, z=float(ndtri(upper)))
        return {"low": min(low, mean), "high": max(high, mean), "interval": f"Wilson, {how}"}
    half = float(stdtrit(m - 1, upper)) * float(part.std(ddof=1)) / np.sqrt(m)
    return {
        "low": max(mean - half, 0.0),
        "high": min(mean + half, MOST[measure]),
        "interval": f"Student's t, {how}",
    }


def surface_estimates(
    data: Outputs, values: np.ndarray, grid: ColumnGrid, test: GridTest, sides: Sides, params, rng
) -> tuple[Estimate, ...]:
    """The mean, what the grid explains, and the highest cell."""
    measure, n, filled = params.measure, len(values), int((grid.counts > 0).sum())
    common, of = {"d": len(data.classes)}, {"estimator": measure, "unit": UNIT[measure]}
    inside = (
        f"places exchanged inside each {params.within}" if params.within else "places exchanged over samples"
    )
    low, high = np.percentile(test.drawn_share, [2.5, 97.5])
    by_chance = float(test.drawn_share.mean()) if params.within else (filled - 1) / (n - 1)
    least, most = np.percentile(test.drawn_highest, [2.5, 97.5])
    here, compared = values[grid.cell == test.highest], int(test.compared.sum())
    return (
        Estimate(f"mean {measure}", float(values.mean()), **_interval(values, measure),
                 null=exchanged_mean(measure, *data.logs, rng), n=n, **common, **of,
                 null_method="samples exchanged" + (", mean of 20 draws" if measure == "JS" else ", exact mean")),
        Estimate("share of the differences that the grid explains (η²)", test.share, null=by_chance,
                 null_low=float(low), null_high=float(high), p_value=test.p_share,
                 null_method=f"{inside}{'' if params.within else ': exact mean'}, {DRAWS} draws", n=n, **common,
                 estimator=f"squares between {filled:,} cells over all"),
        Estimate(f"highest cell, {_where(test.highest, grid, sides, params)}", float(here.mean()),
                 **_together(here, measure, compared), null=float(test.drawn_highest.mean()), null_low=float(least),
                 null_high=float(most), p_value=test.p_highest, n=len(here), **common, **of,
                 null_method=f"highest of {compared:,} cells, {inside}, {DRAWS} draws"),
    )  # fmt: skip


def _where(cell: int, grid: ColumnGrid, sides: Sides, params) -> str:
    row, column = divmod(cell, grid.shape[1])
    down, across = sides
    first = f"at {params.across} = {across.names[column]}"
    return first if down is None else f"{first} and {params.down} = {down.names[row]}"


def surface_reading(estimates: tuple[Estimate, ...], test: GridTest, params) -> str:
    mean, share, highest = estimates
    shape = "not flat" if share.p_value < 0.05 else "not shown to be anything but flat"
    return (
        f"On average {params.measure} is {mean.value:.3g}, and {mean.null:.3g} when samples are exchanged. The grid "
        f"explains {share.value:.1%} of the differences between samples ({share.null:.1%} by chance, "
        f"p = {share.p_value:.2g}): the surface is {shape}. It is highest {highest.name.partition(', ')[2]} "
        f"({highest.value:.3g}, where the highest cell by chance has {highest.null:.3g}, p = {highest.p_value:.2g}); "
        f"{int(test.stands_out.sum()):,} of {int(test.compared.sum()):,} compared cells stand out."
    )


def surface_caveats(grid: ColumnGrid, sides: Sides, params) -> list[str]:
    counts = grid.counts
    notes = [f"Cells hold {counts.min():,} to {counts.max():,} samples."]
    empty, few = int((counts == 0).sum()), int(((counts > 0) & (counts < FEWEST)).sum())
    if empty:
        notes.append(
            f"{empty:,} cell(s) have no sample: they show the mean of all and are marked as too few."
        )
    if few and (counts >= FEWEST).any():
        notes.append(
            f"{few:,} cell(s) with fewer than five samples are marked; they cannot be the highest or stand out."
        )
    elif few:
        notes.append("No cell has five samples: all are compared, and little can be said of any.")
    if (counts < 2).any():
        notes.append("Cells with fewer than two samples have the whole range as their interval.")
    if not params.within:
        notes.append(
            "Samples are exchanged freely: where several were made of one original, choose its column as 'within'."
        )
    notes.append("The highest cell was chosen for being the highest: its p and its interval allow for that.")
    return [*notes, *(note for side in sides if side is not None for note in side.notes)]
