"""The drawing order of a map's units by something known of each unit: its variance, mean, zeros or class."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.correlation.drawing_order import DrawingOrder, order_by
from analysis.compute.groups.class_means import class_means
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.moments import unit_moments_of
from analysis.spec import Progress, no_progress

BY_COLUMN = ("variance", "mean", "share of zeros", "class")
MOST_VALUES = 1 << 28  # of the samples that the order by class is made from
MOST_SAMPLES = 20_000


def order_by_column(
    tap: Activations,
    units: np.ndarray,
    rule: str,
    column: str,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> DrawingOrder:
    """The `units` (p,) of a tap by falling variance, mean or share of exact zeros over all its rows, or by the class
    that moves each most and how far it does ("class"). One pass, O(n d).

    Raises NotFound, NotEnoughData for an order by class where there are no two classes.
    """
    if rule == "class":
        return _by_class(tap, units, column, rng, progress, span)
    known = unit_moments_of(tap, None, progress, span)
    keys = {"variance": known.variance, "mean": known.mean, "share of zeros": -known.nonzero / known.n}[rule]
    return order_by(keys[units])


def _by_class(tap, units, column: str, rng, progress, span) -> DrawingOrder:
    most = int(np.clip(MOST_VALUES // tap.shape[1], 64, MOST_SAMPLES))
    data = labelled_matrix(tap, column, "mean", maximum_samples=most, rng=rng, progress=progress, span=span)
    x, k = data.values, len(data.names)
    spread = x.std(axis=0)
    apart = class_means(x - x.mean(axis=0), data.of, k)
    z = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)[:, units]
    best = np.abs(z).argmax(axis=0)
    size = np.take_along_axis(z, best[None], axis=0)[0]
    order = np.lexsort((np.arange(len(units)), -size, best)).astype(np.int64)
    counts = np.bincount(best, minlength=k)
    said = ", ".join(f"{name} ({count})" for name, count in zip(data.names, counts, strict=True) if count)
    return DrawingOrder(
        order,
        note=f"Units of {tap.name} stand by the class that moves them most, strongest first: {_short(said)}.",
    )


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: text.rindex(",", 0, most)] + " and so on"
