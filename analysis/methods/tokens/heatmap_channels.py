"""Which channels make up each heat map, and how do channels attend to each other?

A head that reads channels by one 1 x 1 layer makes heat maps as H_p = Σ_c w_pc F_c + b_p. The weights are found again
from the two taps by least squares over all places, and whether H is such a mix is told: R² on samples that were left
out. Where it is, the contributions are exact. Shown is what channel c adds to the peak of landmark p over its mean,

    w_pc (F_c(peak) - mean F_c) / Σ_c' w_pc' (F_c'(peak) - mean F_c')      summed over samples, above and below

so that those of a landmark sum to 1; or the attention of channels, softmax over c' of <f_c, f_c'> / √T of channels
standardised over the places of a sample, mean over samples.

Told as well: the distance of the soft-argmax Σ place softmax(β H / sd) of the rebuilt map from that of the recorded
one, divided by the mean distance of two landmarks (name the eyes), or by the diagonal where there is only one.

Intervals: jackknife over groups of samples, Student's t over samples. Nulls: 0 of a channel that adds nothing; of R²
and distances maps of other samples; of attention the places of each channel in an order of its own, which leaves a
channel most of its own attention.

When it lies: channels that say the same share one weight at will; contributions are of this layer, not of what made the
channels; a soft-argmax of a flat map is its middle; flipped pictures have left and right landmarks exchanged, and a
column of both mixes them up.

Cost: O(n T d (d + L)) for n samples of T places.

Reference: Z. Dang et al. (2024), "Cascaded dual vision transformer for accurate facial landmark detection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.heatmaps import (
    channel_attention,
    held_out,
    mix,
    peak_shares,
    shuffled_places,
    soft_argmax,
)
from analysis.tokens.paired_sets import cells_of, paired_sets
from analysis.tokens.pooling.token_sets import RUN

PARTS, ATTENTION = "channels of each landmark", "attention of channels"
FEWEST = 4
OTHERS = "heat maps of other samples"


@dataclass(frozen=True)
class HeatmapChannelsParams:
    show: str = param(PARTS, "What is drawn.", choices=(PARTS, ATTENTION))
    first: int = param(
        0, "First of the two landmarks whose distance errors are divided by, from 0.", low=0, high=9999
    )
    second: int = param(1, "Second of them, such as the other eye.", low=0, high=9999)
    sharpness: float = param(
        5.0, "β of the soft-argmax, per standard deviation of a map.", low=0.01, high=1000.0
    )
    shown: int = param(24, "Most channels drawn, those that add most.", low=2, high=200)
    maximum_samples: int = param(
        200, "Most samples; a seeded random subset above.", low=4, high=20_000, late=True
    )


def heatmap_channels(
    channels, maps, params: HeatmapChannelsParams = HeatmapChannelsParams(), rng=None, progress=no_progress
) -> Matrix:
    """Heat maps as a mix of channels.

    Parameters
    ----------
    channels, maps : Activations or arrays (rows, units)
        A row for each place of a sample: channels, and heat maps with a unit for each landmark, of the same places.

    Returns
    -------
    Matrix
        Shares of channels in the peaks of landmarks, or the attention of channels. Estimates: R², the distance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        Two landmarks that are one; taps with tokens and without; fewer than four samples.
    """
    taps, rng = [as_activations(t) for t in (channels, maps)], rng or np.random.default_rng(0)
    if params.first == params.second:
        raise ParameterError(f"first and second landmark are both {params.first}", "two landmarks")
    (f, h), notes = paired_sets(taps, params.maximum_samples, rng, progress, minimum=FEWEST)
    if f.x.shape[1] != h.x.shape[1]:
        raise ParameterError(
            f"{f.x.shape[1]} and {h.x.shape[1]} places", "heat maps of the places of the channels"
        )
    there = f.present & h.present
    progress(0.4, "mixing channels")
    found = mix(f.x, h.x, there)
    progress(0.7, "peaks")
    told = _estimates(f, h, there, params, rng)
    values, half, each = peak_shares(f.x, h.x, there, found[0], rng)
    progress(1.0, "done")
    top = np.sort(np.argsort(-np.abs(values).max(axis=0), kind="stable")[: params.shown])
    units = [tuple(map(str, t.unit_names)) for t in taps]
    best = [
        f"channel {units[0][c]} to that of {units[1][p]} ({values[p, c]:.0%})"
        for p, c in enumerate(values.argmax(axis=1))
    ][:3]
    reading = (
        f"{told[0].value:.0%} of the heat maps is a mix of these channels, on samples left out. What adds most to "
        f"the peak of a map: {', '.join(best)}."
    )  # fmt: skip
    common = {
        "estimates": told, "reading": reading, "column_names": tuple(units[0][c] for c in top),
        "caveats": (*notes, *_caveats(told, each, values, top, h)),
    }  # fmt: skip
    if params.show == ATTENTION:
        heat, usual = (channel_attention(v, there) for v in (f.x, shuffled_places(f.x, there, rng)))
        return Matrix(title=f"Attention of channels of {taps[0].name}", values=heat[np.ix_(top, top)],
                      row_names=tuple(units[0][c] for c in top), value_name="attention, mean over samples",
                      null=usual[np.ix_(top, top)], **common)  # fmt: skip
    shares = values[:, top]
    return Matrix(title=f"Channels that make up the heat maps of {taps[1].name}", values=shares, row_names=units[1],
                  value_name="share of the peak", diverging=True, null=np.zeros_like(shares),
                  low=shares - half[:, top], high=shares + half[:, top], **common)  # fmt: skip


def _estimates(f, h, there, params, rng) -> tuple[Estimate, ...]:
    n, d, landmarks = len(f.x), f.x.shape[2], h.x.shape[2]
    held, other, rebuilt = held_out(f.x, h.x, there, rng)
    cells = cells_of(h)
    places, ours = (soft_argmax(v, there, cells, params.sharpness) for v in (h.x, rebuilt))
    if max(params.first, params.second) < landmarks:
        size = float(np.linalg.norm(places[:, params.first] - places[:, params.second], axis=1).mean())
        over = f"over the mean distance of landmarks {params.first} and {params.second}"
    else:
        size, over = 0.0, "over the diagonal"
    size = size if size > 1e-6 else float(np.linalg.norm(np.ptp(cells, axis=0))) or 1.0
    error = np.linalg.norm(ours - places, axis=2).mean(axis=1) / size
    turned = np.linalg.norm(np.roll(places, 1, axis=0) - places, axis=2).mean(axis=1) / size
    facts = {"n": n, "d": d}
    return (
        Estimate("heat maps that are a mix of channels", float(held.mean()), **mean_interval(held),
                 null=float(other.mean()),
                 null_method=OTHERS, estimator="R² on samples left out, each once", **facts),
        Estimate("soft-argmax of the mix from that of the map", float(error.mean()), **mean_interval(error, 0.0),
                 null=float(turned.mean()), null_method=OTHERS, estimator=f"{over}, of samples left out", **facts),
    )  # fmt: skip


def _caveats(told, good, values, top, h) -> list[str]:
    said = [
        "Every unit of the second tap is taken for the heat map of a landmark: of a tap of anything else these "
        "shares mean nothing.",
        "Errors of the maps themselves against targets are those of 'Landmark errors'.",
    ]
    if told[0].value < 0.95:
        said.append("The heat maps are no plain mix of these channels: shares are those of the best mix.")
    if not good.all():
        said.append(f"{int((~good).sum())} landmark(s) have no peak above their mean; their shares are 0.")
    if len(top) < values.shape[1]:
        said.append(f"{len(top)} of {values.shape[1]} channels are drawn; shares of all of them sum to 1.")
    if h.grid is None and not h.gathered:
        said.append("Places have no grid: they are taken to lie in a line.")
    return said


def _cost(shapes, params: HeatmapChannelsParams, tokens: float = RUN) -> Cost:
    rows, d = min(shapes[0][0], params.maximum_samples * tokens), shapes[0][1] + shapes[1][1]
    samples, both = rows / tokens, shapes[0][1] * shapes[1][1]
    held = 8.0 * rows * d * 4.0 + 8.0 * both * (2.2 * samples + 12.0)
    flops = 14.0 * rows * shapes[0][1] * d
    work = machine().seconds(flops64=flops, moved=sum(8.0 * a * b for a, b in shapes) + 10 * held)
    return Cost(0.05 + work, held)


def _check() -> tuple[CheckLine, ...]:
    """Two maps of three channels: shares sum to 1 and are those of the weights; a soft-argmax of a peak is its place; a
    flipped map has its mirror image; maps of noise are no mix."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(31) * 16, (4, 4))
    x = rng.standard_normal((480, 3))
    weight = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    maps, noise = x @ weight + 3.0, rng.standard_normal((480, 2))

    def found(y):
        return heatmap_channels(
            ArrayActivations(x, "channels", layout=layout), ArrayActivations(y, "maps", layout=layout)
        )

    mixed, lost = found(maps), found(noise)
    cells = np.stack(np.divmod(np.arange(16), 4)[::-1], axis=1).astype(float)
    peak, all_ = np.zeros((1, 16, 1)), np.ones((1, 16), bool)
    peak[0, 6] = 1
    flipped = peak.reshape(1, 4, 4, 1)[:, :, ::-1].reshape(1, 16, 1)
    at, mirror = (soft_argmax(p, all_, cells, 50.0)[0, 0] for p in (peak, flipped))
    return (
        CheckLine("the first landmark is the first channel", 1.0, float(mixed.values[0, 0]), 1e-9),
        CheckLine("second is the second", 1.0, float(mixed.values[1, 1]), 1e-9),
        CheckLine("a mix: R² on samples left out", 1.0, mixed.estimates[0].value, 1e-9),
        CheckLine("noise: R²", 0.0, lost.estimates[0].value, 0.05),
        CheckLine("shares sum to 1", 1.0, float(lost.values[0].sum()), 1e-9),
        CheckLine("soft-argmax of a peak", 2.0, float(at[0]), 1e-9),
        CheckLine("of its mirror image", 1.0, float(mirror[0]), 1e-9),
        CheckLine("attention of channels sums to 1", 1.0,
                  float(channel_attention(x.reshape(30, 16, 3), np.ones((30, 16), bool))[0].sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="heatmap_channels", family="tokens", by_tokens=True, title="Heat maps as a mix of channels", version=3,
        function=heatmap_channels,
        summary="Which channels add most to each landmark's peak, and how channels attend to each other.",
        params=HeatmapChannelsParams, result=Matrix, check=_check, cost=_cost, inputs=2,
        roles=("channels", "heat maps"), minimum_rows=FEWEST * RUN,
        invariance="the order of samples; a scale of each channel and of each heat map",
        papers=("Cascaded Dual Vision Transformer for Accurate Facial Landmark Detection",),
    ),
)  # fmt: skip
