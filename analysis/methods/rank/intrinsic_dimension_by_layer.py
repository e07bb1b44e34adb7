"""Intrinsic dimension layer by layer, of the same samples at every tap: where a network spreads its data out and where
it folds them together.

At each tap TwoNN and the MLE (and the spanning tree, if asked) of the same n samples, because every reading depends on
n. Tokens are pooled. Samples that lie exactly on another one at some tap are left out at all of them. Bands come from
random halves of the samples, the same halves at every tap, so that two taps are compared in pairs.

Null (dashed): Gaussian points of the same number, of independent units with the tap's variances, or with its whole
covariance: the latter falls with the linear dimension, so the distance to it is what is bent or clustered.

When it lies: all readings are too small beyond about ten dimensions, so that a hump over layers is flatter than the
truth; classes that draw together lower the reading as a lower dimension does (look at the dimension of classes); taps
of a ReLU have exact zeros and may have equal points, which are dropped; whether networks that generalise have lower
readings is disputed, and no value is good or bad in itself.

Cost: O(n² d) a tap, some seven times with intervals and null; memory O(n d).

References: A. Ansuini et al. (2019), "Intrinsic dimension of data representations in deep neural networks"; E. Facco
et al. (2017); E. Levina & P. Bickel (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.dimension_estimators import apart
from analysis.compute.neighbours.dimension_readings import (
    COVARIANCE,
    FEWEST,
    HOW,
    INDEPENDENT,
    NULLS,
    TWO_NN,
    Readings,
    bytes_of,
    calibration,
    decimated,
    gaussian_like,
    half_width,
    null_range,
)
from analysis.compute.neighbours.dimension_report import calibration_note, dimension_estimates
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 2  # of the null, for each tap


@dataclass(frozen=True)
class DimensionByLayerParams:
    k: int = param(20, "Neighbours of the MLE.", label="neighbours", low=3, high=100)
    null: str = param(
        COVARIANCE,
        "Gaussian points of which kind are read for comparison.",
        choices=(COVARIANCE, INDEPENDENT),
    )
    tree: bool = param(False, "Read the spanning tree too, which takes longest.", label="spanning tree")
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=FEWEST, high=20_000)


def intrinsic_dimension_by_layer(
    *taps, params: DimensionByLayerParams = DimensionByLayerParams(), rng=None, progress=no_progress
) -> Curve:
    """Dimension of each of several taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), in the order to be drawn.

    Returns
    -------
    Curve
        x = tap 1, 2, …; a series for each estimator with band and null. Estimates: TwoNN at each tap, and the highest
        less the last.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice, or equal samples; fewer than 50 samples (or three times the neighbours) that
        differ at every tap; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    least = max(FEWEST, 3 * params.k)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=least, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    values, dropped = _different(data.values, least)
    seed, found, null = int(rng.integers(2**31)), [], []
    for i, x in enumerate(values):
        at = [0.3 + 0.6 * (i + share) / len(values) for share in (0.0, 0.7, 1.0)]
        own = np.random.default_rng(seed)  # the same halves at every tap
        found.append(_read(x, params, own, True, progress, (at[0], at[1])))
        draws = [_read(gaussian_like(x, params.null, rng), params, rng, False, progress, (at[1], at[2]))
                 for _ in range(DRAWS)]  # fmt: skip
        null.append({name: np.array([r.values[name][-1] for r in draws]) for name in draws[0].values})
    known = calibration(len(values[0]), params.k, params.tree, progress, (0.9, 1.0))
    estimates = _estimates(names, found, null, values, params)
    line = {name: np.array([r.values[name][-1] for r in found]) for name in found[0].values}
    half = {name: np.array([h[-1] for r in found if (h := r.half(name)) is not None]) for name in line}
    half = {name: h for name, h in half.items() if len(h) == len(found)}
    notes = [
        calibration_note(known, len(values[0])),
        "Bands hold for one tap at a time, not for the whole curve.",
    ]
    if dropped:
        notes.append(
            f"{dropped:,} sample(s) that lie exactly on another one at some tap left out at all taps."
        )
    return Curve(
        title=f"Intrinsic dimension over {len(taps)} taps", reading=_reading(names, estimates, line[TWO_NN], params),
        caveats=(*notes, *data.notes), estimates=estimates, x=np.arange(1, len(taps) + 1), x_name="tap",
        x_labels=names, y_name="dimension", series=line,
        low={name: np.maximum(line[name] - h, 0.0) for name, h in half.items()},
        high={name: line[name] + h for name, h in half.items()},
        null={name: np.array([n[name].mean() for n in null]) for name in line},
    )  # fmt: skip


def _different(values, least: int) -> tuple[list[np.ndarray], int]:
    """The samples that differ from all others at every tap, and how many do not."""
    n = len(values[0])
    kept = reduce(np.intersect1d, [apart(x, np.arange(n), 1).kept for x in values])
    if len(kept) < least:
        raise NotEnoughData(
            f"{len(kept)} of {n} samples differ from all others at every tap", f"at least {least}",
            "Record more samples, or leave out the taps where they are equal",
        )  # fmt: skip
    return [apart(x[kept], np.arange(len(kept)), 1).points for x in values], n - len(kept)


def _read(x, params, rng, intervals, progress, span) -> Readings:
    return decimated(
        x, np.arange(len(x)), params.k, rng, tree=params.tree, levels=0, intervals=intervals, progress=progress,
        span=span, shared=intervals,
    )  # fmt: skip


def _estimates(names, found, null, values, params) -> tuple[Estimate, ...]:
    made = []
    for name, r, chance, x in zip(names, found, null, values, strict=True):
        one = Readings(r.x, {TWO_NN: r.values[TWO_NN]}, r.halves)
        e = dimension_estimates(one, {TWO_NN: null_range(chance[TWO_NN], params.null)}, *x.shape, params.k)[0]
        made.append(Estimate(**{**e.__dict__, "name": f"TwoNN dimension of {name}"}))
    top = int(np.argmax([r.values[TWO_NN][-1] for r in found]))
    gap = float(found[top].values[TWO_NN][-1] - found[-1].values[TWO_NN][-1])
    half, ends = half_width(found[top].halves[TWO_NN] - found[-1].halves[TWO_NN]), {}
    if half is not None:
        low, high = gap - float(half[-1]), gap + float(half[-1])
        ends = {"low": low, "high": high, "interval": f"{HOW}; the same halves at both taps"}
    made.append(
        Estimate(
            "TwoNN, highest less last",
            gap,
            **ends,
            n=len(values[0]),
            estimator=f"{names[top]} less {names[-1]}",
        )
    )
    return tuple(made)


def _reading(names, estimates, line, params) -> str:
    top, low, gap = int(line.argmax()), int(line.argmin()), estimates[-1]
    e = estimates[top]
    said = (
        f"TwoNN is highest at {names[top]} ({e.value:.1f}; {e.null:.1f} of a {NULLS[params.null]}) and lowest at "
        f"{names[low]} ({line[low]:.1f}; null {estimates[low].null:.1f}). "
    )
    if top == len(line) - 1:
        return said + "It does not fall after its highest value."
    sure = gap.low is not None and gap.low > 0
    return said + (
        f"From there to {names[-1]} it falls by {gap.value:.1f}"
        + (f" ({gap.low:.1f} to {gap.high:.1f})." if sure else ", which the interval does not tell from 0.")
    )


def _cost(shapes, params: DimensionByLayerParams) -> Cost:
    n, m = min(min(rows for rows, _ in shapes), params.maximum_samples), machine()
    whole, trees = sum(d for _, d in shapes), params.tree * (len(shapes) * 8 + 36)
    seconds = m.seconds(flops32=2.0 * n * n * (whole * 6 + 500), moved=n * n * 60.0 * len(shapes))
    seconds += trees * (m.seconds(flops64=2.0 * n * n * whole / len(shapes), moved=n * n * 40.0) + n * 1.5e-5)
    widest = max(d for _, d in shapes)
    return Cost(seconds + 0.1, 8.0 * n * whole * 2 + bytes_of(n, widest, params.k, params.tree))


def _check() -> tuple[CheckLine, ...]:
    """Sets of 2, 6 and 3 dimensions in 12 units, one bent: the order and the fall are found; a rotated copy reads the
    same."""
    rng = np.random.default_rng(2)
    x = rng.random((800, 6))
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    sheet = np.column_stack([np.cos(4 * x[:, 0]), np.sin(4 * x[:, 0]), x[:, 1]])
    taps = [
        ArrayActivations(v @ turn[: v.shape[1]], name=f"n:{i}") for i, v in enumerate((sheet, x, x[:, :3]))
    ]
    found = intrinsic_dimension_by_layer(*taps)
    same = intrinsic_dimension_by_layer(taps[1], ArrayActivations(5 * taps[1].values @ turn - 2, name="n:3"))
    return (
        CheckLine("sheet of 2 dimensions, rolled", 2.0, found.series[TWO_NN][0], 0.25),
        CheckLine("6 dimensions read less, 5.2", 5.2, found.series[TWO_NN][1], 0.7),
        CheckLine("3 dimensions", 2.9, found.series[TWO_NN][2], 0.4),
        CheckLine("its fall is beyond 0", 0.0, found.estimates[-1].low, 0.0, "at least"),
        CheckLine("a rotated copy reads the same", same.series[TWO_NN][0], same.series[TWO_NN][1], 1e-4),
        CheckLine("and differs by", 0.0, same.estimates[-1].value, 1e-4),
    )


METHODS = (
    Method(
        id="intrinsic_dimension_by_layer", family="rank", title="Intrinsic dimension by layer", version=2,
        function=intrinsic_dimension_by_layer, params=DimensionByLayerParams, result=Curve, check=_check, cost=_cost,
        summary="How the dimension of the same samples changes over taps, against Gaussians of the same covariance.",
        inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, shifting or rescaling a tap; the null with independent units changes with a rotation",
        papers=(
            "T-REGS: minimum-spanning-tree regularisation",
            "Geometric Properties of Neural Multivariate Regression",
        ),
    ),
)  # fmt: skip
