"""Predicted units: which units of one tap are a linear function of another tap, and which are its own?

Ridge regression from all units of the first tap predicts each unit of the second, on held-out samples (five folds, a
penalty for each unit, chosen on the training part by generalised cross-validation). A line for each unit:
R² = 1 - Σ (y - ŷ)² / Σ (y - ȳ)² with its interval, the chance of as much and its false-discovery rate, and its share of
the tap's variance. Their mean weighted by that share is, but for the penalty, the cell of
`linear_predictivity`.

Null: 0 on average or a little less, since nothing is in-sample; the samples of the second tap are also exchanged once
and all is fitted anew, and the estimate says what came out. The p-value of a unit is that of its correlation with its
prediction in each fold (Student's t), twice the mean over the folds: on the cautious side, but not for units with a few
very large activations.

When it lies: a rare unit may have all of its activity in one fold; what is there but curved is not seen; a unit that is
predicted need not be there as a unit (others may make it up together); the interval takes the fits as they are, and is
a little too narrow.

Cost: five singular value decompositions of the first tap O(n p min(n, p)), and products O(n p q).

References: D. Yamins et al. (2014); A. Hoerl & R. Kennard (1970), "Ridge regression"; G. Golub, M. Heath & G. Wahba
(1979), "Generalized cross-validation as a method for choosing a good ridge parameter"; E. Pitman (1937); V. Vovk & R.
Wang (2020), "Combining p-values via averaging".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.cross_prediction import (
    Predictor,
    combined,
    predicted,
    predictor,
    reduced,
    unit_chances,
)
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.constant_units import varies
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS, LEVEL = 20, 5, 0.05
HELP = {
    "unit": "Number of the unit in the second tap.",
    "name": "Its name.",
    "R²": "Share of its variance that the first tap explains on held-out samples.",
    "low": "Lower end of the 95 % interval (jackknife over groups of held-out samples, fits kept).",
    "high": "Upper end of it.",
    "share of variance": "Of the second tap.",
    "p": "Chance of as much of an unrelated unit (Student's t in each fold, folds combined).",
    "q": "False-discovery rate over the units (Benjamini-Hochberg).",
}


@dataclass(frozen=True)
class PredictedUnitsParams:
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def predicted_units(
    source, target, params: PredictedUnitsParams = PredictedUnitsParams(), rng=None, progress=no_progress
) -> Table:
    """Held-out R² of each unit of `target` predicted linearly from `source`.

    Parameters
    ----------
    source, target : Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Table
        A line for each unit of the target that varies (see `HELP`), sorted by R². Estimates: R² of all units together,
        the share of units beyond chance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; equal samples; fewer than twenty common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in (source, target)]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n, y = len(data.ids), data.values[1]
    units, notes = np.flatnonzero(varies(y)), list(data.notes)
    if not len(units):
        raise InputError(f"no unit of {taps[1].name} varies", "units that differ between samples")
    if len(units) < y.shape[1]:
        notes.append(f"{y.shape[1] - len(units)} constant unit(s) of {taps[1].name} left out.")
    y = y[:, units] - y[:, units].mean(axis=0)
    y /= np.abs(y).max()  # R² does not change, but squares of the very large overflow
    group, fold = groups_of(n, rng), rng.permutation(np.arange(n) % FOLDS)
    progress(0.4, "decomposing")
    one = predictor(reduced(data.values[0]), fold)
    progress(0.6, "predicting")
    errors, totals, p = _held_out(one, y, group)
    progress(0.8, "predicting exchanged samples")
    null = _overall(*_held_out(one, y[rng.permutation(n)], group)[:2])[0]
    q = benjamini_hochberg(p)
    if any(len(fit.singular) >= fit.n - 1 for fit in one.fits):
        notes.append(
            f"{taps[0].name} has more directions than there are training samples: low values mean little."
        )
    notes.append("The intervals take the fits as they are.")
    columns = _columns(errors, totals, p, q, units, np.array(taps[1].unit_names, dtype=str)[units])
    estimates = _estimates(errors, totals, null, q, n)
    return Table(
        title=f"Units of {taps[1].name} predicted from {taps[0].name}", reading=_reading(estimates, columns, taps),
        caveats=tuple(dict.fromkeys(notes)), estimates=estimates, columns=columns, index="unit", sort="R²", help=HELP,
    )  # fmt: skip


def _held_out(one: Predictor, y: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared errors and squares (1 + G, q), of all samples and without each group, and chances (q,)."""
    cross, groups = one.rows.T @ y, int(group.max()) + 1
    sums, chances = np.zeros((2, groups, y.shape[1])), []
    for fit in one.fits:
        true, made = predicted(one, y, fit, cross, each=True)
        for kind, squares in enumerate(((true - made) ** 2, true**2)):
            np.add.at(sums[kind], group[fit.out], squares)
        chances.append(unit_chances(true, made))
    whole = sums.sum(axis=1, keepdims=True)
    errors, totals = np.concatenate([whole, whole - sums], axis=1)
    return errors, totals, combined(np.array(chances))


def _overall(errors: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """R² (1 + G,) of all units together."""
    return 1 - errors.sum(axis=1) / totals.sum(axis=1)


def _columns(errors, totals, p, q, units, names) -> dict[str, np.ndarray]:
    r2 = 1 - errors / np.where(totals > 0, totals, np.inf)
    r2 = np.where(totals > 0, r2, r2[:1])  # a unit may vary in one group of samples only
    half = jackknife_half(r2)
    columns = {
        "unit": units, "name": names, "R²": r2[0], "low": r2[0] - half, "high": np.minimum(r2[0] + half, 1.0),
        "share of variance": totals[0] / totals[0].sum(), "p": p, "q": q,
    }  # fmt: skip
    order = np.argsort(-r2[0], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def _estimates(errors, totals, null: float, q, n: int) -> tuple[Estimate, ...]:
    series, d = _overall(errors, totals), errors.shape[1]
    value, half = float(series[0]), float(jackknife_half(series))
    share = float((q < LEVEL).mean())
    low, high = wilson(share * d, d)
    common = {"n": n, "d": d, "estimator": f"ridge, {FOLDS} folds"}
    return (
        Estimate("held-out R² of all units", value, value - half, min(value + half, 1.0), null=float(null),
                 interval="jackknife over groups of held-out samples, fits kept",
                 null_method="samples exchanged and fitted anew, once", **common),
        Estimate(f"share of units with q < {LEVEL:g}", share, low, high, interval="Wilson, units as draws", null=0.0,
                 null_method="false-discovery control", **common),
    )  # fmt: skip


def _reading(estimates, columns, taps) -> str:
    whole, share = estimates
    best, worst = columns["name"][0], columns["name"][-1]
    return (
        f"{taps[0].name} explains {whole.value:.0%} of the variance of {taps[1].name} on held-out samples (exchanged "
        f"samples: {whole.null:.3f}). {share.value:.0%} of its {whole.d} units are predicted beyond chance, best "
        f"{best} ({columns['R²'][0]:.2f}), worst {worst} ({columns['R²'][-1]:.2f})."
    )


def _cost(shapes, params: PredictedUnitsParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    p, q = shapes[0][1], shapes[1][1]
    r = min(p, n)
    flops = 12.0 * FOLDS * n * r * min(n, r) + 4.0 * n * p * r * (p > n) + 2 * 6.0 * n * r * q
    moved = 8.0 * n * (p * 10 + q * 60)
    held = 8.0 * (n * (p + 2 * q + 3 * r) + FOLDS * r * r) + 8.0 * (22 * q + n / FOLDS * q * 5)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Units that are a linear function of the source, half of one, and none of it."""
    rng = np.random.default_rng(5)
    x, noise = rng.standard_normal((2000, 20)), rng.standard_normal((2000, 3))
    of = x @ rng.standard_normal(20)
    of /= of.std()
    y = np.column_stack([5 * of - 3, of + noise[:, 0], 0.1 * noise[:, 1], np.full(2000, 7.0)])
    columns = predicted_units(x, y).columns
    by = dict(zip(columns["unit"].tolist(), columns["R²"].tolist(), strict=True))
    sure = {int(u) for u, q in zip(columns["unit"], columns["q"], strict=True) if q < LEVEL}
    return (
        CheckLine("a linear function", 1.0, by[0], 1e-9),
        CheckLine("noise as large as the signal", 0.5, by[1], 0.04),
        CheckLine("noise alone", 0.0, by[2], 0.02),
        CheckLine("constant unit left out", 3.0, float(len(by)), 0.0),
        CheckLine("beyond chance are the first two", 1.0, float(sure == {0, 1}), 0.0),
    )


METHODS = (
    Method(
        id="predicted_units", family="similarity", title="Predicted units", version=1, function=predicted_units,
        summary="Which units of the second tap are a linear function of the first, and which are its own.",
        params=PredictedUnitsParams, result=Table, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting the first tap; scaling or shifting the whole second one",
    ),
)  # fmt: skip
