"""Local rank: how many directions of the input a layer answers to around a sample, over the threshold that counts them.

    local rank(ε) = mean over samples of #{i : σ_i > ε σ_1},    σ the singular values of J = ∂h / ∂x at the sample

h is what was recorded of the layer, x the network's input. One threshold would be a choice, so the whole sweep is the
result; the rank by rounding error (exact rank) is given beside it. Dividing by the largest singular value makes a
rescaled layer equal to itself.

The network is run again where its files and data are there, in double precision. Otherwise, and for arrays, a tap *is*
the Jacobians: the rows of a sample are the layer's units, the columns the input's coordinates.

Null: Gaussian matrices of the same shape, what a layer without any structure would answer to. Intervals: over samples.

When it lies: the exact rank cannot rise with depth (rank AB <= min), the rank at any ε > 0 can, for it depends on the
basis of the layer; pooled layers are no chain (the mean over tokens of one is no function of the mean of another), so
their exact rank can rise too; a Jacobian says what happens near a sample and
not between samples; input coordinates of unequal scale (unequally normalised channels) change σ; saturated or dead
units lower the rank without compressing anything that matters.

Cost: one backward pass for each unit and batch of 16, one singular value decomposition a sample; memory of one batch.

References: N. Patel & R. Shwartz-Ziv (2024), "Learning to compress: local rank and information compression in deep
neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.local_spectra import FEWEST, LocalSpectrum, gaussian_jacobians, stored_jacobians
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GRID = np.logspace(-6, 0, 49)[:-1]
DRAWS, SHOWN = 5, 6
PASS = 6e-4  # seconds, of a small network


@dataclass(frozen=True)
class LocalRankParams:
    epsilon: float = param(
        0.01, "Threshold at which numbers are given, over the largest singular value.", low=1e-6, high=0.99
    )
    stored: bool = param(False, "The taps hold Jacobians: do not run a network.", label="taps are Jacobians")
    maximum_samples: int = param(200, "Most samples; a seeded random subset above.", low=3, high=100_000)


def local_rank(*taps, params: LocalRankParams = LocalRankParams(), rng=None, progress=no_progress) -> Curve:
    """Local rank of one or more layers over the threshold.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        Taps of a store, whose network is run; or Jacobians: a row for each unit of the layer and sample.

    Returns
    -------
    Curve
        x = ε; a series for each layer, with bands and null. Estimates at ε and the exact rank, of at most six layers.

    Raises
    ------
    InputError, NotFound, TooLarge
        A network that cannot be run or differentiated here; Jacobians that are all 0.
    NotEnoughData
        Fewer than three samples with finite Jacobians.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names, series, null, low, high = tap_names([t.name for t in taps]), {}, {}, {}, {}
    estimates, notes, layers = [], [], []
    for i, (tap, name) in enumerate(zip(taps, names, strict=True)):
        layer = _layer(tap, params, rng, progress, (i / len(taps), (i + 1) / len(taps)))
        counts = layer.counts(GRID).astype(np.float64)
        ends = [mean_interval(c, 0.0, float(layer.values.shape[1])) for c in counts.T]
        series[name] = counts.mean(axis=0)
        low[name], high[name] = (np.array([e[side] for e in ends]) for side in ("low", "high"))
        chance = gaussian_jacobians(layer, DRAWS, rng)
        null[name] = chance.counts(GRID).mean(axis=0)
        layers.append(layer)
        notes += [f"{name}: {note}" if len(taps) > 1 else note for note in layer.notes]
        if i < SHOWN:
            estimates += _estimates(name, layer, chance, params)
    progress(1.0, "done")
    return Curve(
        title="Local rank of " + (names[0] if len(taps) == 1 else f"{len(taps)} layers"),
        reading=_reading(names, estimates, params), caveats=(*notes, *_caveats(layers)), estimates=tuple(estimates),
        x=GRID, x_name="threshold ε, over the largest singular value", y_name="singular values above", series=series,
        null=null, low=low, high=high, log_x=True,
    )  # fmt: skip


def _layer(tap, params: LocalRankParams, rng, progress, span) -> LocalSpectrum:
    network = getattr(tap, "store", None) is not None and not params.stored
    if network:
        from analysis.sources.jacobians import local_spectra

        found = local_spectra(tap, params.maximum_samples, progress, span, rng)
        notes = (f"Differentiated is {found.how}.", found.note)
        layer = LocalSpectrum(found.values, found.outputs, found.inputs, 2.0**-52, notes)
    else:
        layer = stored_jacobians(tap, params.maximum_samples, rng, progress, span)
    lost = (layer.values[:, 0] > 0).sum()
    if not lost:
        raise InputError(
            f"all Jacobians of {tap.name} are 0", "a layer that depends on the input", "Choose another tap"
        )
    refuse_few(tap.name, len(layer.values), FEWEST, "sample(s) with a Jacobian")
    return layer


def _estimates(name: str, layer: LocalSpectrum, chance: LocalSpectrum, params) -> list[Estimate]:
    exact = max(layer.outputs, layer.inputs) * layer.rounding
    shape = {"n": len(layer.values), "d": layer.outputs, "unit": "directions"}
    how = f"Gaussian matrices of the same shape, {DRAWS} draws"
    out = []
    for said, at in ((f"ε = {params.epsilon:g}", params.epsilon), ("exact, by rounding", exact)):
        counts = layer.counts([at])[:, 0].astype(np.float64)
        out.append(Estimate(
            f"local rank of {name}, {said}", float(counts.mean()),
            **mean_interval(counts, 0.0, float(layer.values.shape[1])), null=float(chance.counts([at]).mean()),
            null_method=how, estimator=f"singular values above {at:.2g} of the largest", **shape,
        ))  # fmt: skip
    return out


def _reading(names, estimates, params) -> str:
    first = estimates[0]
    said = (
        f"Around a sample {names[0]} answers to {first.value:.1f} directions at ε = {params.epsilon:g}; Gaussian "
        f"matrices of its shape have {first.null:.1f}. By rounding error alone its rank is {estimates[1].value:.1f}."
    )
    if len(names) > 1:
        last = estimates[2 * (min(len(names), SHOWN) - 1)]
        said += f" At {names[min(len(names), SHOWN) - 1]} it is {last.value:.1f} at the same ε."
    return said


def _caveats(layers) -> tuple[str, ...]:
    notes = [
        "The count hangs on ε: compare whole curves. Only the exact rank cannot rise with depth, and that only between "
        "layers recorded whole: one pooled layer is no function of another.",
    ]
    dead = sum(int((layer.values[:, 0] == 0).sum()) for layer in layers)
    if dead:
        notes.append(f"{dead} Jacobian(s) are 0 and count as rank 0.")
    if len(layers) > SHOWN:
        notes.append(f"Numbers are listed for the first {SHOWN} layers; the curve shows all.")
    if len({len(layer.values) for layer in layers}) > 1:
        notes.append("Layers have different numbers of samples.")
    return tuple(notes)


def _cost(shapes, params: LocalRankParams) -> Cost:
    m, seconds, memory = machine(), 0.0, 0.0
    for n, d in shapes:
        seconds += m.seconds(
            flops64=4.0 * n * d * min(n, d, 64) + DRAWS * 20.0 * min(n, d) * 400, moved=n * d * 80
        )
        if not params.stored:  # a pass through the network for every unit of every sample
            seconds += min(n, params.maximum_samples) * d * PASS
        memory = max(memory, 8.0 * min(n, params.maximum_samples) * d * 2.2)
    return Cost(seconds + 0.01, memory)


def _as_tap(jacobians) -> ArrayActivations:
    """Of matrices (n, outputs, inputs)."""
    n, outputs, inputs = jacobians.shape
    return ArrayActivations(jacobians.reshape(n * outputs, inputs), layout=Layout(np.arange(n + 1) * outputs))


def _check() -> tuple[CheckLine, ...]:
    """Jacobians of a ReLU network of widths 30-20-8-25-25, written out: the exact rank never rises.
    Equal singular values count all below ε = 1. A rescaled layer is the same."""
    rng = np.random.default_rng(13)
    widths = (30, 20, 8, 25, 25)
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(widths)]
    x, layers = rng.standard_normal((40, 30)), []
    jacobian, h = np.tile(np.eye(30), (40, 1, 1)), x
    for w in weights:
        before = h @ w.T
        jacobian = (before > 0)[:, :, None] * (w @ jacobian)
        h = np.maximum(before, 0)
        layers.append(_as_tap(jacobian))
    found = local_rank(*layers)
    exact = [e.value for e in found.estimates[1::2]]
    flat = np.stack([np.linalg.qr(rng.standard_normal((9, 9)))[0][:6] for _ in range(5)])
    equal, large = local_rank(_as_tap(flat)), local_rank(_as_tap(1e5 * jacobian))
    by_hand = np.mean([np.linalg.matrix_rank(j) for j in jacobian])
    return (
        CheckLine(
            "largest rise of the exact rank with depth", 0.0, float(np.diff(exact).max()), 0.0, "at most"
        ),
        CheckLine("last layer, rank by hand", by_hand, exact[-1], 0.0),
        CheckLine("first layer: half of its units are on", 10.0, exact[0], 1.0),
        CheckLine("six equal singular values", 6.0, float(next(iter(equal.series.values()))[-1]), 0.0),
        CheckLine("a rescaled layer", found.estimates[-2].value, large.estimates[0].value, 0.0),
        CheckLine("Gaussian matrices by rounding", 6.0, equal.estimates[1].null, 0.0),
    )


METHODS = (
    Method(
        id="local_rank", family="rank", title="Local rank of layers", version=2, function=local_rank,
        summary="How many directions of the input a layer answers to around a sample, over every threshold.",
        params=LocalRankParams, result=Curve, check=_check, cost=_cost, more_inputs=True, minimum_rows=FEWEST,
        matches="rows", invariance="rotating input or layer, or scaling the layer; the exact rank, any invertible map",
        papers=("Learning to Compress: Local Rank and Information Compression in Deep Neural Networks",),
    ),
)  # fmt: skip
