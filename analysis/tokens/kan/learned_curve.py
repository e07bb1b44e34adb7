"""Learned functions of the heads of a layer, drawn over their scores beside the exponential that fits best."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from analysis.tokens.kan.head_maps import HeadMaps
from analysis.tokens.kan.head_maps_told import best_exponential, of_head, share_words

PLACES, SHOWN, DENSITY = 120, 12, "density of scores"


def learned_curve(maps: HeadMaps, scores, draws: int, rng, why) -> Curve:
    """Of the heads of a layer over their `scores` (m,), or over a period or grid where these are None; `why` so."""
    low, high = maps.span() if scores is None else np.quantile(scores, [0.005, 0.995])
    x, points = np.linspace(low, high, PLACES), np.linspace(low, high, 256) if scores is None else scores
    some = np.unique(np.linspace(0, maps.heads - 1, min(maps.heads, SHOWN)).round().astype(int))
    series, null, ends, told = {}, {}, ({}, {}), []
    others = [maps.exchanged(rng) for _ in range(draws)]
    for h in some:
        name, each = f"head {h + 1}", maps.functions(h, x)
        series[name] = each.mean(axis=0)
        if len(each) > 1:
            for end, q in zip(ends, (0.05, 0.95), strict=True):
                end[name] = np.quantile(each, q, axis=0)
        there = maps.functions(h, points)
        null[name] = best_exponential(points, there.mean(axis=0)) * np.exp(x)
        told += of_head(name, points, there, [o.functions(h, points) for o in others])
    controls = ()
    if scores is not None:
        heights, edges = np.histogram(scores, bins=40, range=(low, high))
        top = max(float(np.abs(y).max()) for y in series.values())
        series[DENSITY] = (
            0.5 * top * np.interp(x, (edges[1:] + edges[:-1]) / 2, heights / max(heights.max(), 1))
        )
        controls = (DENSITY,)
    count = maps.coefficients.shape[1]
    return Curve(
        title=f"Functions of heads in {maps.name}, learned", x=x, x_name="score of a query and a key", y_name="φ",
        series=series, null=null, low=ends[0], high=ends[1], controls=controls, estimates=tuple(told),
        reading=learned_reading(told),
        caveats=(*why, f"{maps.family} functions of the checkpoint, {count:,} for each head"
                 + (": their mean, and where nine of ten lie." if count > 1 else "."),
                 *(["Scores are not known: functions count over a period, or the grid of the splines."]
                   if scores is None else []),
                 *([f"{len(some)} of {maps.heads} heads are drawn and told of."] if len(some) < maps.heads else []),
                 "Dashed is the exponential that fits best, which is what softmax applies up to a factor."),
    )  # fmt: skip


def learned_reading(told) -> str:
    """In words, of the estimates of all heads."""
    like = [e for e in told if e.name.startswith("explained")]
    below = [e for e in told if e.name.startswith("below")]
    most, least = max(like, key=lambda e: e.value), min(like, key=lambda e: e.value)
    worst = max(below, key=lambda e: e.value)
    ends = [share_words(e.value) for e in (least, most)]
    how_much = ends[0] if ends[0] == ends[1] else " to ".join(ends)
    text = f"An exponential explains {how_much} of the functions of heads"
    if worst.value == 0:
        return f"{text}; none is below 0."
    return (
        f"{text}. Up to {share_words(worst.value)} lies below 0: unless the network makes them so afterwards, rows "
        "are no shares of 1, and a rollout does not hold."
    )
