"""Where a class becomes visible: how well each layer tells each class's logit. Layers x classes; the last tap is the
logits.

A cell is the squared multiple correlation R² of one logit with a layer (the canonical correlation of a layer with one
unit, squared), for the directions of the layer with 99 % of its variance. Held out: every sample is predicted by the
fit to all others, exactly and without refitting (PRESS); 0 is no better than the mean, and worse than the mean is
negative. In-sample is what is mostly published, and rises with the kept dimensions.

Null: the logit's samples exchanged; held out a little below 0, in-sample r / (n - 1) for r kept dimensions, both with
exact deviations for any data. A cell counts as visible where Cantelli's bound passes Benjamini-Hochberg at 5 %.

When it lies: linear: what a later layer computes from an earlier one is in the earlier one too, but need not be
linear there; a logit is high for look-alikes, so that a class may be visible by what it shares with others; pooled
tokens or positions hide where things are; what is read out is not thereby used.

Cost: for each layer a QR factorisation O(n d²) and O(n r (r + classes)). Memory O(n Σ d + layers · classes).

References: M. Raghu et al. (2017), "SVCCA" (layers against logits); G. Alain & Y. Bengio (2016), "Understanding
intermediate layers using linear classifier probes"; D. Allen (1974) for the left-out errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.canonical import Side, side_of, span_of
from analysis.compute.similarity.left_out_fit import (
    Explained,
    held_out_shares,
    in_sample_shares,
    without_lonely,
)
from analysis.compute.similarity.similarity_grid import Grid, groups_of
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotEnoughData
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20
ENOUGH = 10  # samples for each kept dimension
HELD, MADE = "held out", "in-sample"


@dataclass(frozen=True)
class ClassVisibilityParams:
    estimate: str = param(
        HELD, "Held out, sample by sample; or in-sample, as published.", choices=(HELD, MADE)
    )
    variance: float = param(0.99, "Share of a layer's variance that is kept.", low=0.01, high=1.0)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def class_visibility(
    *taps, params: ClassVisibilityParams = ClassVisibilityParams(), rng=None, progress=no_progress
) -> Matrix:
    """R² of each class's logit from each layer.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id): layers, then the logits.

    Returns
    -------
    Matrix
        `values` (layers, classes), at most 1; `null`, `low` and `high` of each cell; `significant` beyond chance
        (false-discovery rate 5 % over cells); `few` below 10 samples for each kept dimension or where the interval is
        wider than ± 0.1.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; a layer or all logits constant; fewer than 20 common samples, or no more
        than kept dimensions; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    logits, names = data.values[-1], tap_names([t.name for t in taps])
    seen = is_varying(logits.var(axis=0), logits.mean(axis=0))
    if not seen.any():
        raise InputError(
            f"every unit of {names[-1]} is constant", "logits that vary", "Choose the logits as last tap"
        )
    group, found, lost = groups_of(len(logits), rng), [], {}
    variance = None if params.variance >= 1 else params.variance
    for i, (x, name) in enumerate(zip(data.values[:-1], names, strict=False)):
        progress(0.3 + 0.7 * i / (len(taps) - 1), f"fitting {name}")
        side = side_of(span_of(x, name, variance=variance), group)
        explained, lost[name] = _explained(side, logits[:, seen], group, params.estimate, name)
        found.append((side.rank, explained))
    classes = [taps[-1].unit_names[j] for j in np.flatnonzero(seen)]
    return _matrix(found, names, classes, params, lost, int((~seen).sum()), len(logits), data.notes)


def _explained(side: Side, logits, group, estimate: str, name: str) -> tuple[Explained, int]:
    n, r = side.n, side.rank
    if r >= n - 1:
        raise NotEnoughData(
            f"{n:,} samples for {r} kept dimensions of {name}", "more samples than dimensions",
            "Record more samples, or keep less of the variance",
        )  # fmt: skip
    if estimate == MADE:
        return in_sample_shares(side, logits, group), 0
    basis, lost = without_lonely(side.span.basis)
    return held_out_shares(basis, logits, group), lost


def _matrix(found, names, classes, params, lost, constant: int, n: int, data_notes) -> Matrix:
    layers, c = len(found), len(classes)
    parts = ("series", "null", "deviation")
    series, null, deviation = (np.stack([getattr(e, k) for _, e in found], axis=-2) for k in parts)
    ranks = [r for r, _ in found]
    grid = Grid(
        np.arange(layers), layers + np.arange(c), series, null, deviation, cantelli_p(series[0], null, deviation),
        np.repeat(n < ENOUGH * np.array(ranks)[:, None], c, axis=1), n, (*ranks, *[1] * c), symmetric=False,
    )  # fmt: skip
    words = Words(
        f"{params.estimate} R²", f"{params.estimate} R² of least squares on {params.variance:.3g} of the variance",
        "the logit's samples exchanged, exact moments; p by Cantelli's bound", bounds=(-np.inf, 1.0),
        arrow="{1} from {0}",
        interval="jackknife over groups of samples, t" + (", fits fixed" if params.estimate == HELD else ""),
    )  # fmt: skip
    notes = ["Kept dimensions: " + ", ".join(f"{m} {r}" for m, r in zip(names, ranks, strict=False)) + "."]
    if constant:
        notes.append(f"{constant} class(es) whose logit is constant left out.")
    notes += [
        f"{name}: {k} direction(s) that one sample makes alone left out." for name, k in lost.items() if k
    ]
    if params.estimate == MADE:
        notes.append(
            "In-sample values rise with kept dimensions per sample: compare with the null, never with 0."
        )
    drawn = similarity_matrix(grid, words, [*names[:-1], *classes], (*notes, *data_notes))
    plain = tuple(replace(e, name=_renamed(e.name)) for e in drawn.estimates)
    return replace(
        drawn, title=f"{params.estimate.capitalize()} R² of {names[-1]} from {layers} layer(s)", estimates=plain,
        reading=_reading(drawn, names, params.estimate),
    )  # fmt: skip


def _renamed(name: str) -> str:
    """The report speaks of taps that are alike."""
    plain = {
        "most alike: ": "highest: ",
        "least alike: ": "lowest: ",
        " of two taps": " of a logit from a layer",
    }
    for said, instead in plain.items():
        name = name.replace(said, instead)
    return name


def _reading(drawn: Matrix, names, estimate: str) -> str:
    best = drawn.values.max(axis=0)
    told = drawn.significant.any(axis=0)
    share = f"{int(told.sum())} of {len(best)} logits are told beyond chance by some layer (q < 0.05)"
    if not told.any():
        return f"{share}."
    layers, mean = drawn.row_names, drawn.values.mean(axis=1)
    said = f"{share}. The mean {estimate} R² over classes is {mean[0]:.2f} in {layers[0]}"
    if len(mean) == 1:
        return f"{said}."
    classes = np.flatnonzero(told)
    first = np.argmax(drawn.values >= best / 2, axis=0)[classes]
    early, late = (
        f"logit {drawn.column_names[classes[i]]} ({layers[first[i]]})"
        for i in (first.argmin(), first.argmax())
    )
    order = (
        f"All reach half of their highest R² in {layers[first[0]]}."
        if first.min() == first.max()
        else f"Half of its highest R² is reached earliest by {early}, latest by {late}."
    )
    return f"{said} and highest in {layers[int(mean.argmax())]} ({mean.max():.2f}). {order}"


def _cost(shapes, params: ClassVisibilityParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    *layers, (_, c) = shapes
    flops = sum(
        8.0 * n * d * min(n, d) + 25.0 * min(n, d) ** 3 + 6.0 * n * min(n, d) * (min(n, d) + c)
        for _, d in layers
    )
    held, widest = sum(8.0 * n * d for _, d in shapes), max(d for _, d in layers)
    held += 8.0 * (4 * n * widest + 14 * min(n, widest) ** 2 + 5 * n * c)
    return Cost(machine().seconds(flops64=flops, moved=20 * held) + 0.01, held)


def _check() -> tuple[CheckLine, ...]:
    """A logit that is three units of a layer and noise, R² 0.75; one that the layer knows nothing of: 0 held out, the
    floor r / (n - 1) in-sample; one that is a combination of units: 1. Leaving one out agrees with doing it."""
    rng = np.random.default_rng(14)
    x = rng.standard_normal((600, 60))
    known = x[:, :3].sum(axis=1) + rng.standard_normal(600)
    y = np.column_stack([known, rng.standard_normal(600), x @ rng.standard_normal(60)])

    def values(**more) -> np.ndarray:
        params = ClassVisibilityParams(variance=1.0, **more)
        return class_visibility(ArrayActivations(x), ArrayActivations(y), params=params).values[0]

    held, made = values(), values(estimate=MADE)
    few, target, errors = x[:80, :10], y[:80], []
    for i in range(80):
        stay = np.arange(80) != i
        mean, middle = few[stay].mean(axis=0), target[stay].mean(axis=0)
        weights = np.linalg.lstsq(few[stay] - mean, target[stay] - middle, rcond=None)[0]
        errors.append([target[i] - middle - (few[i] - mean) @ weights, target[i] - middle])
    errors = (np.array(errors) ** 2).sum(axis=0)
    quick = class_visibility(
        ArrayActivations(few), ArrayActivations(target), params=ClassVisibilityParams(variance=1.0)
    )
    apart = float(np.abs(quick.values[0] - (1 - errors[0] / errors[1])).max())
    return (
        CheckLine("three units and noise: held out", 1 - 0.25 * 600 / 539, float(held[0]), 0.06),
        CheckLine("nothing: not above 0 held out", 0.0, float(held[1]), 0.03, "at most"),
        CheckLine("nothing: in-sample r / (n - 1)", 60 / 599, float(made[1]), 0.05),
        CheckLine("a combination of units: held out", 1.0, float(held[2]), 1e-9),
        CheckLine("a combination of units: in-sample", 1.0, float(made[2]), 1e-9),
        CheckLine("largest difference from leaving out for real", 0.0, apart, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="class_visibility", family="similarity", title="Where a class becomes visible", version=2,
        function=class_visibility, params=ClassVisibilityParams, result=Matrix, check=_check, cost=_cost, inputs=2,
        summary="How well each layer tells each class's logit; the last tap is the logits.", more_inputs=True,
        minimum_rows=FEWEST, papers=("SVCCA",),
        invariance="rotating, scaling or shifting a layer changes nothing, nor does scaling or shifting a logit",
    ),
)  # fmt: skip
