"""Weights that heads pay where softmax would pay others, drawn over what softmax pays."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError
from analysis.results import Curve
from analysis.tokens.attention.dumped_heads import STAND_IN
from analysis.tokens.attention.heads import HeadReader, softmax_over
from analysis.tokens.attention.softmax_distance import of_weights, scores_of
from analysis.tokens.kan.head_maps_told import share_words

SAME = 1e-6  # single precision leaves as much
BINS, SHOWN, FAINT = 24, 12, 1e-4  # bins, heads drawn, below which softmax pays next to nothing


def paid_curve(reader: HeadReader, layer: int, told) -> Curve:
    """Of the heads of a layer (0 first), with their distances from softmax. O(samples x heads x T²). Raises InputError:
    a dump without queries and keys."""
    if STAND_IN in reader.notes:
        raise InputError(
            "a dump without queries and keys",
            "scores that weights can be compared with",
            "Record queries and keys",
        )
    may, heads = reader.allowed(0, reader.tokens), range(min(reader.heads, SHOWN))
    edges, counts, series, null, numbers = np.linspace(np.log(FAINT), 0.0, BINS + 1), [], {}, {}, []
    for h in heads:
        told(h / reader.heads)
        soft = softmax_over(scores_of(reader, layer, h), may)
        own = reader.rows(layer, h) if reader.weights is None else reader.weights[layer][:, h]
        paid, name = np.where(may, np.asarray(own, np.float64), 0.0), f"head {h + 1}"
        at = np.log(np.maximum(soft[may], FAINT))
        of = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, BINS - 1)
        counts.append(np.bincount(of, minlength=BINS))
        for out, w in ((series, paid), (null, soft)):
            mean = np.bincount(of, w[may], BINS) / np.maximum(counts[-1], 1)
            out[name] = np.where(counts[-1] > 0, mean, np.nan)
        numbers += of_weights(name, paid, soft, may)
    seen = np.any(counts, axis=0)
    series, null = ({name: y[seen] for name, y in out.items()} for out in (series, null))
    far = [e for e in numbers if e.name.startswith("away")]
    off = [e for e in numbers if e.name.startswith("row sums")]
    low = [e for e in numbers if e.name.startswith("negative")]
    worst = max(far, key=lambda e: e.value)
    return Curve(
        title=f"Weights that heads of layer {layer + 1} pay over those of softmax, {reader.what}",
        x=((edges[1:] + edges[:-1]) / 2)[seen], x_name="ln of the weight that softmax pays",
        y_name="weight that is paid",
        series=series, null=null, estimates=tuple(numbers), joined=True,
        reading=_reading(worst, max(e.value for e in off), max(e.value for e in low)),
        caveats=(*reader.notes, "Dashed is softmax of the scores.",
                 f"Weights below {FAINT:g} count as the least.",
                 *([f"{len(heads)} of {reader.heads} heads are drawn and told of: the first."]
                   if len(heads) < reader.heads else [])),
    )  # fmt: skip


def _reading(worst, off: float, low: float) -> str:
    if worst.value < SAME and off < SAME:
        return "Heads pay what softmax of their scores would pay, and their rows sum to 1: as softmax attention does."
    return (
        f"{worst.name.split(', ')[1].capitalize()} pays farthest from softmax: {share_words(worst.value)} of its "
        f"weight lies elsewhere. Rows sum to 1 within {off:.2g}, {share_words(low)} of the mass is negative at most."
    )
