"""Intrinsic dimension of objective landscapes from recorded runs: performance against the dimension trained in.

A table of runs, one sample each: how many random directions of its parameters a network was trained in
(θ = θ0 + P θ_d), and the performance it reached. Runs in all parameters are full training: those without a dimension,
with "full" there, or with as many dimensions as parameters. d_int90 is the smallest recorded d whose mean performance
is 90 % of that of full training; networks (architectures) are curves of their own, so that they can be compared. d
numbers and the seed of P then describe the trained network: an upper bound of its description length.

Null of d_int: the number of parameters, where a column tells it. Null of the curve: the runs at d = 0, nothing trained.
Null of its rise (Spearman's correlation of d and performance): performances exchanged between the runs.

When it lies: d_int depends on the optimiser, the length of training, the threshold and on which dimensions were tried,
none of which is in its interval; without full training the largest d stands for it, and d_int may then be far too
small; a single run at each d says nothing of chance; deviations of repeats are taken to be alike at every d; where
the curve falls again, the first d that suffices may be luck (the interval then reaches to the d from which on all do);
columns of P must have length 1 for dimensions to mean the same everywhere.

Cost: O(runs) and some thousand draws of the means.

Reference: C. Li, H. Farkhoor, R. Liu & J. Yosinski (2018), "Measuring the intrinsic dimension of objective landscapes".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.subspaces.landscape import OF_FULL, OF_WAY
from analysis.compute.subspaces.recorded_runs import Reached, Runs, d_int, dimensions_in, runs_of
from analysis.compute.subspaces.runs_report import runs_caveats, runs_curve, runs_estimates, runs_reading
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HIGHER, LOWER = "higher is better", "lower is better"


@dataclass(frozen=True)
class DimensionRunsParams:
    dimension: str = param("label", "Sample column with the dimensions trained in.", column=True)
    performance: str = param("", "Unit or sample column with the performance; empty: the mean of all units.")
    architecture: str = param("", "Sample column that names the network; empty: all are one.", column=True)
    parameters: str = param(
        "", "Sample column with the number of all parameters; empty: not known.", column=True
    )
    share: float = param(0.9, "Share of the performance that counts as reached.", low=0.5, high=1.0)
    counted: str = param(
        OF_FULL, "Share of full training's performance, or of what it gains over the smallest d.",
        choices=(OF_FULL, OF_WAY),
    )  # fmt: skip
    better: str = param(HIGHER, "Accuracy, or a loss.", label="performance is", choices=(HIGHER, LOWER))


def dimension_runs(
    runs, params: DimensionRunsParams = DimensionRunsParams(), rng=None, progress=no_progress
) -> Curve:
    """Performance against dimension from a table of runs.

    Parameters
    ----------
    runs : Activations or array (runs, units), a sample for each run, with the columns that `params` names.

    Returns
    -------
    Curve
        x = dimensions; mean performance of each network with its band, d_int marked. Estimates of each: d_int, how many
        numbers describe it, full performance, and whether performance rises with d at all.

    Raises
    ------
    NotFound, ParameterError
        No such column or unit; one that holds other texts.
    InputError, NotEnoughData
        Dimensions that are no whole numbers, a share of a negative performance; no network with two dimensions.
    """
    tap, rng = as_activations(runs), rng or np.random.default_rng(0)
    progress(0.0, "reading runs")
    d = dimensions_in(sample_column(tap, params.dimension), params.dimension)
    y, notes = _performance(tap, params.performance, progress)
    sign = -1.0 if params.better == LOWER else 1.0
    groups, few = _networks(tap, d, sign * y, params)
    of_way = params.counted == OF_WAY or params.better == LOWER
    if not of_way and any(r.full < 0 for r, _, _ in groups):
        raise InputError(
            f"full training of {groups[0][0].name} has a performance of {groups[0][0].full:.4g}",
            "a table of runs: a sample for each, with its dimension and a performance that is not negative",
            f"Choose a tap that is such a table, count '{OF_WAY}', or say that lower is better",
        )  # fmt: skip
    found: list[tuple[Runs, Reached]] = []
    for i, (one, _, _) in enumerate(groups):
        progress(0.5 + 0.4 * i / len(groups), f"finding the dimension of {one.name}")
        found.append((one, d_int(one, params.share, of_way, rng)))
    estimates, rises = runs_estimates(found, groups, params.share, of_way, sign, rng)
    progress(1.0, "done")
    return runs_curve(
        found, estimates, sign, name=params.performance or f"mean of the {tap.shape[1]} units of {tap.name}",
        mark_name=f"d_int{round(100 * params.share)}", reading=runs_reading(found, rises, params.share, of_way),
        caveats=(*runs_caveats(found, rises, params.share, of_way), *few, *notes),
    )  # fmt: skip


def _performance(tap, name: str, progress) -> tuple[np.ndarray, list[str]]:
    """(n,) by sample, NaN where there is none."""
    if name in tap.samples:
        column = np.asarray(tap.samples[name])
        if column.dtype.kind not in "fiub":
            raise NotFound(f"column '{name}' holds text", "a column of numbers", "Choose another")
        return column.astype(np.float64), []
    n = tap.layout.n_samples
    if not name:
        values, kept, notes = pooled_samples(tap, "mean", np.arange(n), progress, (0.0, 0.5))
        out = np.full(n, np.nan)
        out[kept] = values.mean(axis=1)
        return out, list(notes)
    if name not in tap.unit_names:
        raise NotFound(
            f"{tap.name} has no unit or sample column '{name}'",
            "one of " + ", ".join([*tap.samples, *tap.unit_names][:30]),
        )
    rows = np.asarray(tap.unit(tap.unit_names.index(name)), dtype=np.float64)
    each = np.maximum(np.diff(tap.layout.offsets), 1)
    return np.bincount(tap.layout.sample_of(np.arange(len(rows))), rows, n) / each, []


def _networks(tap, d: np.ndarray, y: np.ndarray, params) -> tuple[list[tuple], list[str]]:
    """(Runs, d, performance) of each network with two dimensions, in the order of their names, and notes."""
    good = np.isfinite(y)
    notes = [] if good.all() else [f"{int((~good).sum())} run(s) without a finite performance left out."]
    name = (
        sample_column(tap, params.architecture).astype(str)
        if params.architecture
        else np.full(len(y), tap.name)
    )
    size = np.zeros(len(y)) if not params.parameters else dimensions_in(
        sample_column(tap, params.parameters), params.parameters
    )  # fmt: skip
    found, few = [], []
    for one in np.unique(name[good]):
        own = good & (name == one)
        sizes = np.unique(size[own][np.isfinite(size[own])])
        if len(sizes) > 1:
            raise InputError(
                f"runs of {one} have {sizes[0]:,.0f} and {sizes[-1]:,.0f} parameters", "one number"
            )
        whole = int(sizes[0]) if len(sizes) else 0
        if whole and np.nanmax(d[own], initial=0) > whole:
            raise InputError(
                f"a run of {one} in {np.nanmax(d[own]):,.0f} dimensions", f"at most its {whole:,} parameters"
            )
        made = runs_of(str(one), d[own], y[own], whole)
        if made is None:
            few.append(str(one))
        else:
            found.append((made, d[own], y[own]))
    if not found:
        raise NotEnoughData(
            f"no network has runs in two dimensions ({', '.join(few[:5]) or 'no finite performance'})",
            "runs in several dimensions", "Record more runs, or choose other columns",
        )  # fmt: skip
    if few:
        notes.append(f"{len(few)} network(s) with fewer than two dimensions left out: {', '.join(few[:5])}.")
    return found, notes


def _cost(shapes, params: DimensionRunsParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    read = 8.0 * rows * (units if not params.performance else 1)
    return Cost(m.seconds(moved=4 * read + 2000 * 24.0 * rows, calls=2e3) + 0.02, read * 1.3 + 200.0 * rows)


def planted_runs(rng, noise: float = 0.0, repeats: int = 1) -> ArrayActivations:
    """Two networks whose accuracy is 1 - exp(-d / 50) and 1 - exp(-d / 200) of 0.98, with full training."""
    tried = np.array([1, 3, 10, 30, 100, 115, 116, 300, 460, 461, 1000])
    lines = [(name, d, size, 0.98 * (1 - np.exp(-d / scale)))
             for name, scale, size in (("narrow", 50.0, 20_000), ("wide", 200.0, 40_000))
             for d in (*tried, size) for _ in range(repeats)]  # fmt: skip
    name, d, size, y = (np.array(column) for column in zip(*lines, strict=True))
    y = y + noise * rng.standard_normal(len(y))
    return ArrayActivations(
        y[:, None], "runs", {"d": d, "network": name, "D": size}, unit_names=("accuracy",)
    )


def _check() -> tuple[CheckLine, ...]:
    """Curves in closed form: d_int90 = the first d with 1 - exp(-d / s) >= 0.9, d >= s ln 10 = 115.1 and 460.5."""
    names = {"dimension": "d", "performance": "accuracy", "architecture": "network", "parameters": "D"}
    found = dimension_runs(planted_runs(np.random.default_rng(0)), DimensionRunsParams(**names))
    by_name = {e.name: e for e in found.estimates}
    narrow, wide = by_name["narrow: d_int90"], by_name["wide: d_int90"]
    half = dimension_runs(planted_runs(np.random.default_rng(0)), DimensionRunsParams(**names, share=0.5))
    line = found.series["narrow"]
    noise = np.random.default_rng(3).standard_normal((60, 1))
    flat = dimension_runs(ArrayActivations(5 + noise, samples={"label": np.arange(60) % 6}))
    return (
        CheckLine("50 ln 10 = 115.1: d_int90", 116, narrow.value, 0.0),
        CheckLine("200 ln 10 = 460.5: d_int90", 461, wide.value, 0.0),
        CheckLine("lower end: just above the last that fails", 116, narrow.low, 0.0),
        CheckLine("of 20,000 parameters", 20_000, narrow.null or 0.0, 0.0),
        CheckLine("numbers that describe it: d and a seed", 117, by_name["narrow: numbers to store"].value, 0.0),
        CheckLine("50 ln 2 = 34.7, next recorded", 100, half.estimates[0].value, 0.0),
        CheckLine("d = D is full training", 0.98, float(line[np.isfinite(line)][-1]), 1e-9),
        CheckLine("no rise in noise: p", 0.01, flat.estimates[-1].p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="dimension_runs", family="rank", title="Intrinsic dimension from recorded runs", version=1,
        function=dimension_runs,
        summary="From a table of runs in random subspaces: performance against dimension, and where it suffices.",
        params=DimensionRunsParams, result=Curve, check=_check, cost=_cost, minimum_rows=3,
        invariance="the order of the runs; one factor for all performances",
        papers=("Measuring the Intrinsic Dimension of Objective Landscapes",),
    ),
)  # fmt: skip
