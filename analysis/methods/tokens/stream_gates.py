"""Which field does each of two streams let through? Mean gate by field and stream.

The taps are the gates of two streams on the same flattened embeddings (feature selection of FinalMLP: twice a sigmoid,
so that 1 leaves a unit as it is). A cell is the mean over samples and over the units of a field; units called name:0,
name:1, … are one field, others as many in a row as is asked for.

Null of a cell: all fields alike, the mean gate of the stream. Interval: Student's t over samples. Cells and fields
count after Benjamini-Hochberg at 5 % over paired t tests. Of the streams' difference: fields of one exchanged, which is
how far apart streams are that have nothing to do with each other; less is alike, so that no p is told.

When it lies: a gate of 2 on embeddings of length 1 is a gate of 1 on length 2, so that gates alone say nothing of what
a field adds; gates without a context are the same for every sample, and then every difference counts; mean gates hide
fields that are let through for some samples only.

Cost: O(samples units).

Reference: K. Mao, J. Zhu, L. Su, G. Cai, Y. Li & Z. Dong (2023), "FinalMLP: an enhanced two-stream MLP model for CTR
prediction".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.rows.two_streams import two_streams
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FIELD, LEVEL = re.compile(r"^(.*?)[:._ \[/-]+\d+\]?$"), 0.05
PAPER = "FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction"


@dataclass(frozen=True)
class StreamGatesParams:
    width: int = param(
        1, "Units of a field, where their names do not say (name:0, name:1, …).", low=1, high=4096
    )
    shown: int = param(40, "Most fields drawn, those that leave the mean most.", low=2, high=500)
    draws: int = param(200, "Exchanges of the fields.", low=19, high=5000, late=True)
    maximum_samples: int = param(
        5000, "Most samples; a seeded random part above.", low=10, high=1_000_000, late=True
    )


def stream_gates(
    *taps, params: StreamGatesParams = StreamGatesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Fields by streams.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units)
        Gates of the first and of the second stream.

    Returns
    -------
    Matrix
        Mean gates with intervals. Estimates: how much the streams differ, and on how many fields.

    Raises
    ------
    InputError, NotEnoughData
        Gates of different widths; fewer than ten common samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    if taps[0].shape[1] != taps[1].shape[1]:
        raise InputError(
            f"{names[0]} has {taps[0].shape[1]} units and {names[1]} {taps[1].shape[1]}",
            "gates on the same fields",
        )
    data = two_streams(taps, params.maximum_samples, 10, rng, progress)
    fields = fields_of(tuple(taps[0].unit_names), taps[0].shape[1], params.width)
    each = np.array([[v[:, at].mean(axis=1) for v in (data.first, data.second)] for at in fields.values()])
    n, value = each.shape[2], each.mean(axis=2)  # each (F, 2, n)
    half = stdtrit(n - 1, 0.975) * each.std(axis=2, ddof=1) / np.sqrt(n)
    null = np.broadcast_to(value.mean(axis=0), value.shape)
    sure = benjamini_hochberg(_paired(each - each.mean(axis=0)).ravel()).reshape(value.shape) < LEVEL
    progress(0.6, "fields exchanged")
    told = _estimates(each, value, params.draws, rng)
    progress(1.0, "done")
    order = np.sort(np.argsort(-np.abs(value - null).max(axis=1), kind="stable")[: params.shown])
    label = list(fields)
    few = () if len(order) == len(label) else (f"{len(order)} of {len(label)} fields are drawn.",)
    most = label[int(np.abs(value[:, 0] - value[:, 1]).argmax())]
    return Matrix(
        title=f"Gates by field: {names[0]} and {names[1]}", values=value[order], null=null[order].copy(),
        low=(value - half)[order], high=(value + half)[order], significant=sure[order], column_names=names,
        row_names=tuple(label[i] for i in order), value_name="mean gate", estimates=told,
        caveats=(*data.notes, *few, "A gate counts beside the length of what it weighs, which is not seen here."),
        reading=f"The streams differ most on {most}; over {len(label)} fields by {told[0].value:.3g} on average, with "
        f"fields exchanged by {told[0].null:.3g}. {told[1].value:.0%} of the fields are weighed differently.",
    )  # fmt: skip


def fields_of(names: tuple[str, ...], units: int, width: int) -> dict[str, np.ndarray]:
    """Units of each field, by name."""
    found = [FIELD.match(str(n)) for n in names]
    out: dict[str, list[int]] = {}
    if width == 1 and len(found) == units and all(m and m[1] for m in found):
        for j, m in enumerate(found):
            out.setdefault(m[1], []).append(j)
    else:
        for j in range(units):
            own = str(names[j]) if width == 1 and len(names) == units else f"field {j // width}"
            out.setdefault(own, []).append(j)
    return {name: np.array(at) for name, at in out.items()}


def _estimates(each: np.ndarray, value: np.ndarray, draws: int, rng) -> tuple[Estimate, ...]:
    gap = np.abs(each[:, 0] - each[:, 1]).mean(axis=0)
    apart = benjamini_hochberg(_paired(each[:, 0] - each[:, 1])) < LEVEL
    chance = np.array([np.abs(each[:, 0] - each[rng.permutation(len(each)), 1]).mean() for _ in range(draws)])
    common = {"n": each.shape[2], "d": len(each)}
    return (
        Estimate("mean difference of the streams' gates", float(gap.mean()), **mean_interval(gap, 0.0),
                 **null_spread(chance), null_method=f"fields of one stream exchanged, {draws} draws",
                 estimator="mean over fields of the absolute difference", **common),
        Estimate("fields that the streams weigh differently", float(apart.mean()),
                 interval="none: a decision at 5 % false discoveries", null=0.0,
                 null_method="equal gates, after Benjamini-Hochberg", estimator="share of fields", **common),
    )  # fmt: skip


def _paired(values: np.ndarray) -> np.ndarray:
    """Two-sided p of means over the last axis."""
    n = values.shape[-1]
    mean, error = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(n)
    varies = error > 1e-12 * (1 + np.abs(mean))
    t = np.where(varies, mean / np.where(varies, error, 1), np.where(np.abs(mean) > 1e-9, 1e9, 0.0))
    return 2 * stdtr(n - 1, -np.abs(t))


def _cost(shapes, params: StreamGatesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    return Cost(0.02 + m.seconds(moved=some * d * 16.0 * (params.draws + 10)), some * d * 8.0 * 9 + 5e4)


def _check() -> tuple[CheckLine, ...]:
    """Gates without a context: two fields of two units, the second stream turns them round."""
    one = np.tile([2.0, 2.0, 0.5, 1.5], (20, 1))
    names = ("user:0", "user:1", "item:0", "item:1")
    first = ArrayActivations(one, "first", unit_names=names)
    second = ArrayActivations(one[:, [2, 3, 0, 1]], "second", unit_names=names)
    found, same = stream_gates(first, second), stream_gates(first, first)
    return (
        CheckLine("fields by their names", 2.0, float(len(found.row_names)), 0.0),
        CheckLine("gate of the second field", 1.0, float(found.values[1, 0]), 1e-12),
        CheckLine("difference of the streams", 1.0, found.estimates[0].value, 1e-12),
        CheckLine("a stream and itself", 0.0, same.estimates[0].value + same.estimates[1].value, 1e-12),
    )


METHODS = (
    Method(
        id="stream_gates", family="tokens", title="Gates by field and stream", version=2, function=stream_gates,
        summary="The mean gate of each field in each of two streams, and the fields that they weigh differently.",
        params=StreamGatesParams, result=Matrix, check=_check, cost=_cost, inputs=2, same_units=True, minimum_rows=10,
        roles=("gates of the first stream", "gates of the second stream"),
        invariance="the order of samples, of fields and of the units inside a field", papers=(PAPER,),
    ),
)  # fmt: skip
