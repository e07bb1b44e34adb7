"""How many bits do keys, values and tokens need? Signal over noise against bits, three ways to hold them.

Each token of each head is held at b bits: 2^b levels at equal distance Δ between its least and its largest number, so
that numbers that lie evenly are off by Δ² / 12 in the mean square and each bit is worth 6.02 dB.

    as it is   in the coordinates that the network has
    rotated    after a random rotation, which spreads a channel that is far larger than the others
    mixed      on principal axes, the first eighth of them at twice the bits (4 and 8: 4.5 on average)

Signal over noise, 10 log10 Σ x² / Σ (x - x̂)², of keys, of values, of tokens behind each layer, or of what the heads
give with both at b bits; mean over layers. Principal axes are those of the other half of the samples. Everything is
centred over tokens first.

Interval: Student's over samples. Null: Gaussian rows with the same second moments, held the same way.

When it lies: the two ends of each row are held, too, and not counted; noise is not what the answer loses; axes that
hold for these samples may not for others (how far the halves agree is told); rounding in a network's own 16 bits is in
the signal.

Cost: one pass; attention again for each way and number of bits where the heads are asked for.

References: U. Saxena et al. (2024), "ResQ: mixed-precision quantization of large language models with low-rank
residuals".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.noise import (
    KEYS,
    OUTPUT,
    PARTS,
    basis_overlap,
    noise_of_layer,
    rows_of,
    structureless,
)
from analysis.tokens.cache.quantisers import DECIBEL, MIXED, PLAIN, ROTATED, WAYS, mean_bits, quantised
from analysis.tokens.cache.reading import read_cache
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, BITS, TOLD, LISTED = 6.0, (2, 3, 4, 5, 6, 8), 4, 24


@dataclass(frozen=True)
class CacheQuantisationParams:
    of: str = param(OUTPUT, "What the noise is in.", choices=PARTS)
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose keys: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def cache_quantisation(
    activations, params: CacheQuantisationParams = CacheQuantisationParams(), rng=None, progress=no_progress
) -> Curve:
    """Signal over noise against bits.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are queries, keys, values and tokens.

    Returns
    -------
    Curve
        x = mean bits of a number, a line for each way to hold them, with bands. Estimates: decibels at 4 bits by way
        and of each layer as it is, what rotation gains, and how far halves of the samples agree on the axes.

    Raises
    ------
    InputError, NotEnoughData
        Attention that cannot be taken apart; rows that do not vary; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = read_cache(tap, params.maximum_samples, rng, params.source, progress, hidden=True)
    layers = cache.shape[0]
    if not any(np.square(r).sum() for i in range(layers) for r in rows_of(cache, _part(params), i)):
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    each = {way: np.zeros((layers, cache.n, len(BITS))) for way in WAYS}
    for i in range(layers):
        progress(0.5 + 0.45 * i / layers, "quantising")
        for way in WAYS:
            each[way][i] = noise_of_layer(cache, params.of, way, BITS, i, rng)
    progress(0.95, "quantising Gaussian rows")
    gaussian = structureless(cache, rng)
    null = {w: np.array([noise_of_layer(gaussian, params.of, w, BITS, i, rng).mean(axis=0) for i in range(layers)])
            for w in WAYS}  # fmt: skip
    width = rows_of(cache, _part(params), 0)[0].shape[2]
    told = _estimates(cache, each, null, params, tap.shape[1])
    progress(1.0, "done")
    return Curve(
        title=f"Bits of {params.of} of {cache.who.what}", x_name="bits of a number on average",
        y_name="signal over noise (dB)", joined=True, estimates=told, reading=_reading(told, params),
        caveats=(*cache.notes, *_caveats(cache, width)), **_drawn(each, null, width),
    )  # fmt: skip


def _part(params) -> str:
    return KEYS if params.of == OUTPUT else params.of


def _drawn(each, null, width: int) -> dict:
    places = {w: np.array([mean_bits(b, w, width) for b in BITS]) for w in WAYS}
    x = np.unique(np.concatenate(list(places.values())))
    out = {k: {} for k in ("series", "low", "high", "null")}
    for way, values in each.items():
        found = values.mean(axis=0)
        ends = [mean_interval(found[:, j]) for j in range(len(BITS))]
        at = np.searchsorted(x, places[way])
        for key, numbers in (("series", found.mean(axis=0)), ("low", [e["low"] for e in ends]),
                             ("high", [e["high"] for e in ends]), ("null", null[way].mean(axis=0))):  # fmt: skip
            out[key][way] = np.full(len(x), np.nan)
            out[key][way][at] = numbers
    return {"x": x, **out}


def _estimates(cache, each, null, params, d: int) -> tuple[Estimate, ...]:
    at = BITS.index(TOLD)
    facts = {"n": cache.n, "d": d, "unit": "dB"}

    def gaussian(way: str, layer=slice(None)) -> dict:
        how = "Gaussian rows with the same second moments, held the same way"
        return {"null": float(null[way][layer, at].mean()), "null_method": how}

    found = []
    for way in WAYS:
        x = each[way][:, :, at].mean(axis=0)
        name = f"{TOLD} bits, {way}" if way != MIXED else f"{TOLD} and {2 * TOLD} bits, {way}"
        found.append(
            Estimate(
                name,
                float(x.mean()),
                **mean_interval(x),
                **gaussian(way),
                estimator="mean over layers",
                **facts,
            )
        )
    gain = (each[ROTATED] - each[PLAIN])[:, :, at].mean(axis=0)
    found.append(Estimate("gained by rotation", float(gain.mean()), **mean_interval(gain), null=0.0,
                          null_method="rows without a direction", estimator="paired by sample", **facts))  # fmt: skip
    step = (each[PLAIN][:, :, -1] - each[PLAIN][:, :, at]).mean(axis=0) / (BITS[-1] - TOLD)
    found.append(Estimate("worth of a bit", float(step.mean()), **mean_interval(step), null=DECIBEL,
                          null_method="numbers even in a step", estimator="from 4 to 8 bits", **facts))  # fmt: skip
    overlaps = np.array([basis_overlap(cache, params.of, i) for i in range(len(each[PLAIN]))])
    found.append(Estimate(
        "agreement of halves on the first axes", float(overlaps[:, 0].mean()), null=float(overlaps[0, 1]),
        null_method="random axes", n=cache.n, d=d, interval="none: two halves", estimator="mean squared cosine",
    ))  # fmt: skip
    names = cache.names[0]
    for i in range(min(len(names), LISTED) if len(names) > 1 else 0):
        x = each[PLAIN][i, :, at]
        found.append(Estimate(f"{TOLD} bits as it is, {names[i]}", float(x.mean()), **mean_interval(x),
                              **gaussian(PLAIN, i), estimator="mean over samples", **facts))  # fmt: skip
    return tuple(found)


def _reading(told, params) -> str:
    plain, rotated, mixed = told[:3]
    layers = [e for e in told if e.name.startswith(f"{TOLD} bits as it is")]
    worst = f"; least in {min(layers, key=lambda e: e.value).name.split(', ')[1]}" if layers else ""
    return (
        f"At {TOLD} bits signal over noise of {params.of} is {plain.value:.1f} dB as it is, {rotated.value:.1f} dB "
        f"rotated and {mixed.value:.1f} dB with an eighth of the axes at {2 * TOLD} bits{worst}."
    )


def _caveats(cache, width: int) -> list[str]:
    mean = mean_bits(TOLD, MIXED, width)
    return [
        f"Rows are {width} numbers; mixed with {TOLD} bits they take {mean:.2f} on average, so compare at equal bits.",
        "The ends of each row are held as well and not counted.",
    ]


def _cost(shapes, params: CacheQuantisationParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    held = 8.0 * samples * (RUN + 1) * (7.0 * d + 2 * RUN) + 1e5
    return Cost(
        OPENING + m.seconds(flops64=2e5 * d * samples, moved=8.0 * n * d),
        held,
        min(n, params.maximum_samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """One unit twenty times as large as the others: rotating helps, so do more bits for it; a bit is worth 6.02 dB of
    evenly spread numbers."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((192, 64))
    x[:, ::16] *= 20
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 193, 24)))
    found = {e.name: e.value for e in cache_quantisation(tap, CacheQuantisationParams(of=KEYS)).estimates}
    even = rng.uniform(-1, 1, (4000, 64))
    even[:, 0], even[:, 1] = -1, 1
    worst = np.square(quantised(even, 5) - even)[:, 2:].mean()
    return (
        CheckLine("error of even numbers over its formula", 1.0, worst / ((2 / 32) ** 2 / 12), 0.02),
        CheckLine("worth of a bit (dB)", DECIBEL, found["worth of a bit"], 0.4),
        CheckLine("mean bits of 4 and 8", 4.5, mean_bits(4, MIXED, 64), 1e-12),
        CheckLine("gained by mixing", 0.5, found["4 and 8 bits, mixed"] - found["4 bits, as it is"], 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="cache_quantisation", family="tokens", network="attention",
        title="Bits of keys, values and tokens", version=2,
        function=cache_quantisation,
        summary="Signal over noise of the cache at few bits: as it is, rotated, or with more bits for the first axes.",
        params=CacheQuantisationParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="a factor and a constant of all keys or all values",
        papers=("ResQ: mixed-precision quantisation with low-rank residuals",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
