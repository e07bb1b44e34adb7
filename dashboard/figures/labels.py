"""Names written at the ends of lines, near their line and clear of each other."""

from __future__ import annotations

import numpy as np


def label_heights(values, span: tuple[float, float], gap: float) -> np.ndarray:
    """Where to write labels (in the order given), as near to `values` as can be with neighbours at least `gap` of
    the span apart: isotonic regression of what is left after taking the gaps out."""
    values = np.asarray(values, float)
    order, step = np.argsort(values, kind="stable"), gap * (span[1] - span[0])
    groups: list[list[float]] = []  # [mean, size] of labels that touch each other
    for k, value in enumerate(values[order]):
        groups.append([value - k * step, 1])
        while len(groups) > 1 and groups[-2][0] >= groups[-1][0]:
            (b, n), (a, m) = groups.pop(), groups.pop()
            groups.append([(a * m + b * n) / (m + n), m + n])
    heights = np.empty(len(values))
    heights[order] = (
        np.repeat([g[0] for g in groups], [int(g[1]) for g in groups]) + np.arange(len(values)) * step
    )
    if len(values) and heights.max() > span[1]:
        heights -= min(heights.max() - span[1], max(heights.min() - span[0], 0))
    if len(values) and heights.min() < span[0]:  # what lies below the axis is not drawn
        heights += min(span[0] - heights.min(), max(span[1] - heights.max(), 0))
    return heights
