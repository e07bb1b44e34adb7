"""One to many, unit by unit: which few units of another layer tell each unit, how well, and how many it takes.

The list behind the curve of `sparse_prediction`: with the same seed the same folds, paths and null. R² is held out
(1 - squared error / squares about the mean, both on samples that had no part in the fit); a unit needs the fewest
units that come to a given share of its largest R². The named units are those of the path on all samples.

Null: samples moved, everything made again, units taken together; q by Benjamini-Hochberg over units.

When it lies: as the curve does; the largest R² over m is chosen, by the null too; among near copies the named unit is
arbitrary, and the first named need not be the most important once others have joined.

Cost: O(n q (p draws + q)) for the products, O(p q m) per fold and draw; memory O(q² + p q draws).

References: Y. Li et al. (2016), "Convergent learning"; S. Chen et al. (1989); Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

import numpy as np

from analysis.activations import as_activations
from analysis.compute.matching.sparse_prediction import FOLDS
from analysis.compute.matching.told_units import (
    DEFAULTS,
    LEVEL,
    PredictionParams,
    ToldUnits,
    prediction_cost,
    told_units,
)
from analysis.compute.matching.unit_sides import FEWEST
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress

HELP = {
    "unit": "number of the unit in the tap whose units are predicted",
    "name": "its name",
    "R² by one": "held-out share of its variance that one unit of the other tap tells",
    "R²": "the largest held-out share, over the number of units that tell it",
    "at": "the number of units with which it is reached",
    "units needed": "fewest units that come to the asked share of the largest R²; 0 where nothing is told",
    "gain": "R² less R² by one: what a single partner misses",
    "told by": "the units needed, by name, in the order in which they are chosen on all samples",
    "first": "number of the first of them in its tap, -1 where nothing is told",
    "R² fitted": "share told on the very samples that were fitted, at the same number of units",
    "p": "chance of such an R² after samples were moved, all units taken together",
    "q": "false-discovery rate over the units",
}


def sparse_prediction_units(
    a, b, params: PredictionParams = DEFAULTS, rng=None, progress=no_progress
) -> Table:
    """The units of one tap, each with the few units of the other that tell it.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Table
        A line for each predicted unit, best told first; see `HELP`. Estimates: mean of the largest R², share of units
        told beyond chance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; fewer than eight common samples; no unit that varies; over 4 GiB.
    """
    found = told_units(
        [as_activations(a), as_activations(b)], params, rng or np.random.default_rng(0), progress
    )
    columns, estimates = _columns(found, params), _estimates(found)
    mean = estimates[0]
    few = columns["units needed"][columns["q"] < LEVEL]
    counts = f", {int((few == 1).sum())} of them by a single unit" if len(few) else ""
    return Table(
        title=f"Units of {found.taps[0]}, each with the units of {found.taps[1]} that tell it",
        reading=f"{len(few)} of {len(found.p)} units of {found.taps[0]} are told beyond chance (q < {LEVEL:g}) by "
                f"{found.steps} or fewer units of {found.taps[1]}{counts}. The largest held-out R² of a unit is "
                f"{mean.value:.2f} on average, {mean.null:.2f} for unrelated units.",
        caveats=found.notes, estimates=estimates, columns=columns, index="unit", sort="R²", help=HELP,
    )  # fmt: skip


def _columns(found: ToldUnits, params: PredictionParams) -> dict[str, np.ndarray]:
    r2, needed = found.told.held_out, found.needed(params.enough)
    order, at, every = np.argsort(-r2.max(axis=1), kind="stable"), r2.argmax(axis=1), np.arange(len(r2))
    chosen, names = found.told.chosen, found.names[1]
    told = [" + ".join(names[c[:k][c[:k] >= 0]]) for c, k in zip(chosen, needed, strict=True)]
    columns = {
        "unit": found.units[0], "name": found.names[0], "R² by one": r2[:, 0], "R²": r2[every, at], "at": at + 1,
        "units needed": needed, "gain": r2[every, at] - r2[:, 0], "told by": np.array(told, dtype=str),
        "first": np.where(needed > 0, found.units[1][np.maximum(chosen[:, 0], 0)], -1),
        "R² fitted": found.told.fitted[every, at], "p": found.p, "q": found.q,
    }  # fmt: skip
    return {name: column[order] for name, column in columns.items()}


def _estimates(found: ToldUnits) -> tuple[Estimate, ...]:
    told, p = found.told, len(found.p)
    series = np.array([told.without(f).max(axis=1).mean() for f in range(FOLDS)])
    value, half, share = (
        float(told.held_out.max(axis=1).mean()),
        float(jackknife_half(series)),
        found.q < LEVEL,
    )
    common = {"n": found.n_samples, "d": p, "estimator": f"forward selection, {FOLDS} folds"}
    low, high = wilson(float(share.sum()), p)
    return (
        Estimate("mean of the units' largest held-out R²", value, value - half, min(value + half, 1.0),
                 interval="jackknife over the folds, t", **against(value, told.null.max(axis=2).mean(axis=1)),
                 null_method=f"samples of one side moved, {len(told.null)} times", **common),
        Estimate(f"share of units told beyond chance (q < {LEVEL:g})", float(share.mean()), low, high, null=0.0,
                 interval="Wilson, units as draws", null_method="false-discovery control", **common),
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """The planted parts of each unit are named, all of them and no other; noise is told by none."""
    rng = np.random.default_rng(9)
    y = rng.standard_normal((1500, 30))
    parts = [[4], [7, 11], [1, 2, 3], [5, 9, 20, 21]]
    x = np.stack([y[:, p].sum(axis=1) for p in parts] + list(rng.standard_normal((4, 1500))), axis=1)
    found = sparse_prediction_units(x, y, PredictionParams(enough=0.95, units=6)).columns
    unit = list(found["unit"])
    named = [
        set(found["told by"][unit.index(i)].split(" + ")) == set(map(str, p)) for i, p in enumerate(parts)
    ]
    told = [unit.index(i) for i in range(4)]
    return (
        CheckLine("units whose planted parts are named", 4.0, float(sum(named)), 0.0),
        CheckLine("smallest R² of a planted unit", 1.0, float(found["R²"][told].min()), 1e-9),
        CheckLine("R² by one of the sum of four", 0.25, float(found["R² by one"][unit.index(3)]), 0.08),
        CheckLine("planted units beyond chance", 4.0, float((found["q"][told] < LEVEL).sum()), 0.0),
        CheckLine("noise beyond chance", 0.0, float((found["q"] < LEVEL).sum() - 4), 0.0),
        CheckLine("noise: largest R² at most", 0.02, float(found["R²"][found["unit"] >= 4].max()), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="sparse_prediction_units", family="matching", title="Sparse prediction, unit by unit", version=1,
        function=sparse_prediction_units,
        summary="Which few units of one network tell each unit of another, how well, and how many it takes.",
        params=PredictionParams, result=Table, check=_check, cost=prediction_cost, inputs=2, minimum_rows=FEWEST,
        invariance="permuting, flipping, shifting or rescaling units of either side changes nothing; rotating does",
        papers=(
            "Convergent Learning: Do different neural networks learn the same representations?", "Convergent Learning",
        ),
    ),
)  # fmt: skip
