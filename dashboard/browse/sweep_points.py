"""The sets of a sweep as points: what sparsity costs, each point named, the front dashed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.features.sweep import PointFacts
from analysis.results import Scatter


def front(points: Sequence[PointFacts], title: str) -> tuple[Scatter, np.ndarray]:
    """The figure's data, and which points (n,) another one beats."""
    points = sorted(points, key=lambda p: p.l0)
    places = np.array([(p.l0, p.explained_variance) for p in points], float).reshape(-1, 2)
    on = np.array([p.on_front for p in points], bool)
    guides, last = {}, None
    for point, place in zip(points, places, strict=True):
        guides[point.label] = np.array([place if last is None or not point.on_front else last, place])
        last = place if point.on_front else last
    found = Scatter(
        title=title, positions=places, rows=np.arange(len(points)), of="sets",
        axes=("L0: features active in a row", "explained variance of held-out samples"),
        columns={"set": np.array([p.name for p in points]), "value": np.array([p.value for p in points]),
                 "dead": np.array([p.dead for p in points]), "on the front": np.where(on, "yes", "no")},
        guides=guides,
    )  # fmt: skip
    return found, ~on


def in_words(points: Sequence[PointFacts]) -> str:
    """What the points say together."""
    beaten = [p.label for p in sorted(points, key=lambda p: p.l0) if not p.on_front]
    best = [p for p in points if p.on_front]
    if len(points) < 2:
        return "One set is finished; a front needs several."
    low, high = min(best, key=lambda p: p.l0), max(best, key=lambda p: p.l0)
    said = (
        f"From {low.label} to {high.label} L0 goes from {low.l0:.3g} to {high.l0:.3g} and the explained variance from "
        f"{low.explained_variance:.1%} to {high.explained_variance:.1%}."
    )
    if beaten:
        said += (
            f" {', '.join(beaten)}: another set is at least as sparse and explains at least as much (dimmed)."
        )
    return said + " This says what sparsity costs, and not which set has the better features."
