"""At which layer do the classes collapse? The numbers of neural collapse tap by tap, all 0 where it is complete.

    within      share of the variance that lies within classes: tr Σ_W / (tr Σ_W + tr Σ_B)         (NC1)
    lengths     sd / mean of the lengths of the centred class means                                (NC2)
    angles      mean distance of their cosines from -1 / (C - 1)                                   (NC2)
    errors      share of samples that do not lie nearest to the mean of their own class, held out  (NC4, for the labels)

The first three are without what sampling adds to class means (`compute.subspaces.neural_collapse`); where some class
mean of a tap is not told from the mean of all, its lengths and angles are as they are and this is said. Dashed:
classes exchanged (within: 1, exactly), for lengths and angles as they are, which is what sampling alone makes.

When it lies: taps of many units make class means of equal length at equal angles by noise alone, as the dashed line
shows; two classes are always opposite; on training samples classes collapse further than on others; taps of different
networks are put in the order in which they are chosen.

Cost: for each tap O(n d C) for 21 fits and each exchange; memory O(n d) of one tap.

References: V. Papyan, X. Han & D. Donoho (2020), "Prevalence of neural collapse during the terminal phase of deep
learning training"; H. He & W. Su (2023), "A law of data separation in deep learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.collapse_report import FEWEST, Collapse, measured
from analysis.compute.subspaces.neural_collapse import NAMES
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SERIES = ("within", "lengths", "angles", "errors")
SHARE, LENGTHS, ANGLES = 2, 3, 5  # in NAMES
SHOWN = 12  # taps with estimates of their own


@dataclass(frozen=True)
class CollapseByLayerParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    permutations: int = param(19, "Exchanges of the classes for the null.", low=19, high=2000)
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=500_000)


def neural_collapse_by_layer(
    *taps, params: CollapseByLayerParams = CollapseByLayerParams(), rng=None, progress=no_progress
) -> Curve:
    """Neural collapse of several taps, in their order.

    Parameters
    ----------
    *taps : Activations with the sample column `params.column`

    Returns
    -------
    Curve
        x = tap 1, 2, …; the series of `SERIES` with bands and nulls. Estimates: NC1 and "within" of each tap (the first
        twelve).

    Raises
    ------
    ParameterError, NotFound, NotEnoughData, InputError, TooLarge
        Fewer than two taps; no such column; fewer than two classes with four samples; equal class means; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two or more", "Choose more layers")
    rng = rng or np.random.default_rng(0)
    names, found, notes, wrong = tap_names([t.name for t in taps]), [], [], []
    for i, (tap, name) in enumerate(zip(taps, names, strict=True)):
        start, step = i / len(taps), 1 / len(taps)
        data = labelled_matrix(
            tap, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
            progress=progress, span=(start, start + 0.3 * step),
        )  # fmt: skip
        found.append(measured(data.values, data.of, len(data.names), params.permutations, rng, tap.name, progress,
                              (start + 0.3 * step, start + step)))  # fmt: skip
        shares = np.bincount(data.of) / len(data.of)
        wrong.append((float((found[-1].nearest != data.of).mean()), _chance(found[-1].nearest, shares)))
        notes += [f"{name}: {note}" for note in data.notes]
        if not found[-1].resolved:
            notes.append(
                f"{name}: a class mean is not told from the mean of all; its lengths and angles are noise's."
            )
    series, low, high, null = _series(found, wrong)
    notes.append(
        "Lengths and angles are without what sampling adds; their dashed lines are what it makes alone."
    )
    return Curve(
        title=f"Neural collapse by layer ({params.column})", reading=_reading(series, null, names),
        caveats=tuple(dict.fromkeys(notes)), estimates=_estimates(found, names), x=np.arange(1, len(taps) + 1),
        x_name="tap", x_labels=names, y_name="0: collapsed", series=series, low=low, high=high, null=null,
    )  # fmt: skip


def _chance(nearest: np.ndarray, shares: np.ndarray) -> float:
    """Share of errors expected where the answers are exchanged between samples."""
    return 1 - float(np.bincount(nearest, minlength=len(shares)) / len(nearest) @ shares)


def _series(found: list[Collapse], wrong) -> tuple[dict, dict, dict, dict]:
    """Values, low, high and null of each series, a number for each tap."""
    out: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for name, i in zip(SERIES, (SHARE, LENGTHS, ANGLES), strict=False):
        lines = [_line(f, i) for f in found]
        for kind, line in zip(out, np.array(lines).T, strict=True):
            kind[name] = line
    ends = [wilson(w * f.n, f.n) for (w, _), f in zip(wrong, found, strict=True)]
    columns = ([w for w, _ in wrong], *zip(*ends, strict=True), [c for _, c in wrong])
    for kind, line in zip(out, columns, strict=True):
        kind["errors"] = np.array(line)
    return out


def _line(f: Collapse, i: int) -> tuple[float, float, float, float]:
    row = 1 if np.isfinite(f.values[1, i]) else 0
    value, low, high = f.values[row, i], f.low[row, i], f.high[row, i]
    low, high = np.where(np.isfinite([low, high]), [low, high], value)
    if i == SHARE:
        return 1 - value, max(1 - high, 0.0), 1 - low, 1.0
    return value, min(low, value), max(high, value), float(f.null[:, i].mean())


def _estimates(found: list[Collapse], names) -> tuple[Estimate, ...]:
    made = []
    for f, name in list(zip(found, names, strict=True))[:SHOWN]:
        value, low, high, _ = _line(f, SHARE)
        common = {"n": f.n, "d": f.d, "interval": "jackknife over groups of samples, t"}
        made.append(Estimate(f"{name}: share of the variance within classes", value, min(low, value), max(high, value),
                             null=1.0, null_method="expected for classes without a difference",
                             estimator="without what sampling adds", **common))  # fmt: skip
        chance = f.null[:, 0]
        made.append(Estimate(f"{name}: {NAMES[0]}", float(f.values[0, 0]), float(f.low[0, 0]), float(f.high[0, 0]),
                             null=float(chance.mean()), null_low=float(chance.min()), null_high=float(chance.max()),
                             null_method=f"classes exchanged, {len(chance)} times: mean, least, most",
                             estimator="plug-in", **common))  # fmt: skip
    return tuple(made)


def _reading(series, null, names) -> str:
    within, errors = series["within"], series["errors"]
    best = int(within.argmin())
    return (
        f"From {names[0]} to {names[-1]} the share of the variance within classes goes from {within[0]:.0%} to "
        f"{within[-1]:.0%} (least at {names[best]}: {within[best]:.0%}), and the samples that do not lie nearest to "
        f"their own class mean from {errors[0]:.0%} to {errors[-1]:.0%}. At the last, class means differ in length by "
        f"{series['lengths'][-1]:.0%} and lie {series['angles'][-1]:.2f} from the angles of a simplex (exchanged "
        f"classes: {null['lengths'][-1]:.0%} and {null['angles'][-1]:.2f})."
    )


def _cost(shapes, params: CollapseByLayerParams) -> Cost:
    m, fits = machine(), params.permutations + 22
    seconds, largest = 0.02, 0.0
    for rows, d in shapes:
        n = min(rows, params.maximum_samples)
        seconds += m.seconds(flops64=fits * 40.0 * n * d, moved=fits * n * d * 40.0, calls=fits * 200)
        largest = max(largest, n * d * 8 * 4.5)
    return Cost(seconds, largest + 1e5)


def _check() -> tuple[CheckLine, ...]:
    """Classes of unit variance in d units whose means are a simplex of length a: tr Σ_B = a², so the share within is
    d / (d + a²); noise has share 1 and chance errors; a simplex has equal lengths and angles."""
    rng = np.random.default_rng(5)
    of, d = np.arange(900) % 6, 30
    simplex = np.linalg.qr(rng.standard_normal((d, d)))[0][:6] * np.sqrt(6 / 5)
    simplex -= simplex.mean(axis=0)
    taps = [
        ArrayActivations(a * simplex[of] + rng.standard_normal((900, d)), name=str(a), samples={"label": of})
        for a in (0.0, 4.0, 20.0)
    ]
    shown = neural_collapse_by_layer(*taps, rng=np.random.default_rng(0)).series
    return (
        CheckLine("noise: share within", 1.0, shown["within"][0], 0.01),
        CheckLine("noise: errors", 5 / 6, shown["errors"][0], 0.05),
        CheckLine("length 4 in 30 units: share within = 30 / 46", 30 / 46, shown["within"][1], 0.02),
        CheckLine("length 20: share within = 30 / 430", 30 / 430, shown["within"][2], 0.005),
        CheckLine("length 20: lengths", 0.0, shown["lengths"][2], 0.02),
        CheckLine("length 20: angles", 0.0, shown["angles"][2], 0.02),
        CheckLine("length 20: errors", 0.0, shown["errors"][2], 0.0),
    )


METHODS = (
    Method(
        id="neural_collapse_by_layer", family="subspaces", title="Neural collapse by layer", version=2,
        function=neural_collapse_by_layer, inputs=2, more_inputs=True,
        summary="From which layer on the classes are points at equal angles, and how far each layer is from it.",
        params=CollapseByLayerParams, result=Curve, check=_check, cost=_cost, minimum_rows=8,
        invariance="rotating, shifting or scaling all activations of a tap together changes nothing",
        papers=("FedLoGe: Joint Local and Generic Federated Learning under Long-tailed Data",),
    ),
)  # fmt: skip
