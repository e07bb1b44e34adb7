"""At which layer do two networks begin to see the samples differently on which their answers differ most?

Taps: the layers of the first network in their order, its outputs last; then as many of the second. For each pair of
layers and each sample the divergence is 1 less the alignment of the sample, the correlation of its similarities to all
other samples in the two networks (`compute.similarity.sample_alignment`): 0 where it lies in the same place among the
others, 1 where there is no relation. Drawn are the mean over the samples whose answers differ most (Jensen-Shannon
divergence of the class probabilities) and over the rest. The first layer where the former exceeds the latter beyond
chance (Welch's test, one-sided, Benjamini-Hochberg over the layers) is where the two part.

Null (dashed): the second network's samples exchanged, mean of five draws. Bands: Student's t over samples.

When it lies: samples share the others they are compared with, so the bands are a little too narrow; layers of two
architectures are paired by their order, which is a choice; samples on which answers differ are often hard or rare ones,
which lie at the edge in every network; a layer that is only rotated or scaled does not count as different.

Cost: O(n² Σ d), memory O(n Σ d + n²).

References: A. Nix, M. Burg & F. Sinz (2023), "HARD: Hard augmentations for robust distillation"; N. Kriegeskorte et al.
(2008) for similarities as a common language.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import js
from analysis.compute.outputs.model_outputs import KINDS, log_probabilities, refuse_single_class
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.sample_alignment import alignment_of_each, gram, larger_p
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL, DRAWS, FEWEST = 0.05, 5, 20
MOST, REST = "answers differ most", "other samples"


@dataclass(frozen=True)
class DivergenceParams:
    share: float = param(
        0.1, "Share of the samples that count as those whose answers differ most.", low=0.01, high=0.5
    )
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=10_000)


def divergence_by_layer(
    *taps, params: DivergenceParams = DivergenceParams(), rng=None, progress=no_progress
) -> Curve:
    """Divergence of two networks layer by layer.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units): layers and, last, outputs of the first network; the same of the second.

    Returns
    -------
    Curve
        x = layer 1, 2, …; the series "answers differ most" and "other samples", with bands and nulls. Estimates: the
        difference of the two at each layer (at most eight), and the mean divergence.

    Raises
    ------
    ParameterError
        An odd number of taps, or fewer than four.
    InputError, NotEnoughData, TooLarge
        Outputs of different classes; an id twice; equal samples; fewer than twenty common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    half = _half(taps)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names, said = tap_names([t.name for t in taps]), []
    answers = [log_probabilities(data.values[i], params.outputs, names[i], said) for i in (half - 1, -1)]
    apart = js(*answers)
    worst = np.zeros(len(apart), bool)
    worst[np.argsort(-apart, kind="stable")[: max(2, round(params.share * len(apart)))]] = True
    found, null = _divergences(data.values, half, rng, progress)
    p = np.array([larger_p(d[worst], d[~worst]) for d in found])
    first = np.flatnonzero(benjamini_hochberg(p) < LEVEL)
    pairs = [f"{names[i]} and {names[half + i]}" for i in range(half - 1)]
    estimates = _estimates(found, null, worst, p, pairs)
    series = {MOST: found[:, worst].mean(axis=1), REST: found[:, ~worst].mean(axis=1)}
    ends = {k: [mean_interval(d[m], 0.0, 2.0) for d in found] for k, m in ((MOST, worst), (REST, ~worst))}
    return Curve(
        title=f"Where {names[half - 1]} and {names[-1]} part, layer by layer",
        reading=_reading(found, null, worst, pairs, first), caveats=(*_caveats(apart, worst), *said, *data.notes),
        estimates=estimates, x=np.arange(1, half), x_name="layer",
        x_labels=tap_names([t.name for t in taps[: half - 1]]), y_name="divergence (1 - alignment)", series=series,
        low={k: np.array([e["low"] for e in v]) for k, v in ends.items()},
        high={k: np.array([e["high"] for e in v]) for k, v in ends.items()}, null={k: null for k in series},
    )  # fmt: skip


def _half(taps) -> int:
    if len(taps) < 4 or len(taps) % 2:
        raise ParameterError(
            f"{len(taps)} tap(s)",
            "layers and outputs of one network, and as many of the other: four taps, six, …",
        )
    half = len(taps) // 2
    one, other = taps[half - 1], taps[-1]
    for tap in (one, other):
        refuse_single_class(tap)
    if one.shape[1] != other.shape[1]:
        raise InputError(
            f"{one.name} has {one.shape[1]} classes and {other.name} has {other.shape[1]}",
            "outputs of the same classes as the last tap of each half", "Put the outputs last in each half",
        )  # fmt: skip
    return half


def _divergences(values, half: int, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """(layers, n) divergence of each sample, and (layers,) its mean with samples exchanged."""
    n, layers = len(values[0]), half - 1
    found, null = np.empty((layers, n)), np.empty(layers)
    for i in range(layers):
        progress(0.3 + 0.7 * i / layers, f"comparing layer {i + 1}")
        one, other = gram(values[i]), gram(values[half + i])
        found[i] = 1 - alignment_of_each(one, other)
        turned = [rng.permutation(n) for _ in range(DRAWS)]
        null[i] = np.mean([1 - alignment_of_each(one, other[np.ix_(o, o)]).mean() for o in turned])
    found[np.abs(found) < 1e-12] = 0.0
    return found, null


def _estimates(found, null, worst, p, pairs) -> tuple[Estimate, ...]:
    n = len(worst)
    out = [
        Estimate("mean divergence over layers", float(found.mean()), **mean_interval(found.mean(axis=0), 0.0, 2.0),
                 null=float(null.mean()), null_method=f"samples exchanged, {DRAWS} draws", n=n, d=len(found),
                 estimator="1 - correlation of similarities to other samples"),
    ]  # fmt: skip
    for i in range(min(len(found), 8)):
        a, b = found[i, worst], found[i, ~worst]
        error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        gap = float(a.mean() - b.mean())
        out.append(Estimate(
            f"layer {i + 1}, {pairs[i]}: excess where answers differ most", gap, gap - 1.959964 * error,
            gap + 1.959964 * error, interval="normal, over samples", null=0.0,
            null_method="no difference (Welch's test)", p_value=float(p[i]), n=n, d=len(found),
            estimator="difference of two means",
        ))  # fmt: skip
    return tuple(out)


def _reading(found, null, worst, pairs, first: np.ndarray) -> str:
    start = (
        f"On average a sample's place among the others differs by {found.mean():.2f} between the two networks "
        f"({null.mean():.2f} for exchanged samples). "
    )
    if not len(first):
        return (
            start
            + "At no layer do the samples whose answers differ most lie more differently than the others."
        )
    i = int(first[0])
    return start + (
        f"Those whose answers differ most part from the others first at layer {i + 1}, {pairs[i]}: "
        f"{found[i, worst].mean():.2f} against {found[i, ~worst].mean():.2f}."
    )


def _caveats(apart, worst) -> list[str]:
    notes = [f"{int(worst.sum())} samples count as those whose answers differ most (Jensen-Shannon divergence of at "
             f"least {apart[worst].min():.2g} nats).",
             "Layers are paired by their order; with different architectures that is a choice."]  # fmt: skip
    if not apart.any():
        notes.insert(0, "The answers of the two never differ: the samples set apart are just the first ones.")
    return notes


def _cost(shapes, params: DivergenceParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    whole, layers = sum(units for _, units in shapes), len(shapes) // 2 - 1
    flops = 2.0 * n * n * whole
    moved = layers * (DRAWS + 1) * 8.0 * n * n * 14 + 8.0 * n * whole * 12
    rows = min(rows for rows, _ in shapes)
    return Cost(
        m.seconds(flops64=flops, moved=moved + 8.0 * rows * whole) + 0.02,
        8.0 * n * whole * 2 + 8.0 * n * n * 5.5,
    )


def _check() -> tuple[CheckLine, ...]:
    """Two networks alike up to rotation at the first layer, that part at the second for thirty samples, on which they
    answer differently. One network twice: 0 at every layer."""
    rng = np.random.default_rng(24)
    x = rng.standard_normal((300, 12))
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    moved = x.copy()
    moved[:30] = rng.standard_normal((30, 12))
    answers = 5 * np.eye(4)[rng.integers(4, size=300)]
    other = answers.copy()
    other[:30] = np.roll(answers[:30], 1, axis=1)
    taps = [ArrayActivations(v) for v in (x, x, answers, 3 * x @ turn, moved, other)]
    found, same = divergence_by_layer(*taps), divergence_by_layer(*taps[:3], *taps[:3])
    return (
        CheckLine("layer 1, rotated: divergence", 0.0, float(found.series[MOST][0]), 1e-9),
        CheckLine("layer 2: samples that moved", 1.0, float(found.series[MOST][1]), 0.1),
        CheckLine("layer 2: the others", 0.35, float(found.series[REST][1]), 0.0, "at most"),
        CheckLine("the layer where they part", 1.0, float("first at layer 2" in found.reading), 0.0),
        CheckLine("one network twice: largest divergence", 0.0, float(np.max(same.series[REST])), 1e-9),
        CheckLine("exchanged samples", 1.0, float(found.null[MOST].mean()), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="divergence_by_layer", family="populations", title="Layer at which two networks part", version=2,
        function=divergence_by_layer,
        summary="At which layer two networks see those samples differently on which their answers differ most.",
        params=DivergenceParams, result=Curve, check=_check, cost=_cost, inputs=4, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling any layer; the order of samples; adding a number to all logits",
        papers=("HARD: Hard Augmentations for Robust Distillation",),
    ),
)  # fmt: skip
