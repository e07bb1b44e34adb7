"""What can and what cannot be read off a map, in plain sentences, from what was measured on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.maps.map_quality import PlacementQuality, random_map
from analysis.results import Estimate

KINDS = {
    "linear": (
        "Its axes are directions in the data and can be read; what lies across them is not seen, so points that fall "
        "together may be far apart."
    ),
    "neighbours": (
        "Axes, cluster sizes, densities and the distances between clusters cannot be read off it."
    ),
    "supervised": "Its axes were chosen to separate or to predict: that they do is no finding.",
}  # fmt: skip


@dataclass(frozen=True)
class Misplaced:
    """`share` of the measured points that lie among points no nearer to them in the data than points drawn at random
    would be (their trust is below the upper 97.5 % point of a random place); `null`, the share on a random map."""

    share: float
    null: float
    k: int


def misplaced(quality: PlacementQuality, column: int = 0) -> Misplaced:
    """Which points of the map are placed no better than at random, by their trust at one k."""
    k = int(quality.k[column])
    chance = random_map(quality.n, k)
    limit = chance["trust"] + 1.96 * chance["trust sd"]
    return Misplaced(float(np.mean(quality.trust[:, column] < limit)), 0.975, k)


def map_reading(
    trust: Estimate,
    recall: Estimate,
    lost: Misplaced,
    *,
    drawn: str = "",
    distances: Estimate | None = None,
    stability: Estimate | None = None,
) -> str:
    """Sentences for under the map.

    trust, recall : estimates at the same k, with the null of a random map. drawn : a key of `KINDS`, or "" when the
    method itself says what its axes mean. distances : rank correlation of distances. stability : neighbour overlap
    between runs.
    """
    parts = [_neighbourhoods(trust, recall, lost.k), _badly_placed(lost)]
    if drawn:
        parts.append(KINDS[drawn])
    if distances is not None:
        parts.append(_distances(distances))
    if stability is not None:
        parts.append(_stability(stability))
    return " ".join(parts)


def _neighbourhoods(trust: Estimate, recall: Estimate, k: int) -> str:
    numbers = (
        f"{recall.value:.0%} of each point's {k} nearest neighbours are still its nearest here (random map: "
        f"{recall.null:.1%}), trustworthiness {trust.value:.3f} (random map: {trust.null:.2f})"
    )
    if trust.low is not None and trust.low <= trust.null:
        return f"Nothing can be read off this map, not even who is near whom: {numbers}."
    if recall.value >= 0.5:
        return f"Who is near whom can be read: {numbers}."
    if trust.value >= 0.9:
        return f"Points that are near here are near in the data, though seldom its very nearest: {numbers}."
    if trust.value >= 0.75:
        return f"Who is near whom can be read in the rough only: {numbers}."
    return f"Who is near whom can hardly be read: {numbers}."


def _badly_placed(lost: Misplaced) -> str:
    if lost.share == 0:
        return "No point lies among strangers."
    share = f"{lost.share:.1%}" if lost.share >= 0.001 else "Less than 0.1%"
    return (
        f"{share} of the points lie among strangers, no nearer to them in the data than points drawn at random (random "
        f"map: {lost.null:.1%}); colour by trust to see which."
    )


def _distances(e: Estimate) -> str:
    known = f"rank correlation of distances {e.value:.2f}, {e.low:.2f} to {e.high:.2f}"
    if e.low <= (e.null_high or 0.0):
        return f"How far apart two points lie says nothing ({known})."
    if e.value >= 0.9:
        return f"Far and near can be compared across the whole map ({known})."
    if e.value >= 0.6:
        return f"Far and near can be compared roughly ({known})."
    return f"Distances across the map should not be compared ({known})."


def _stability(e: Estimate) -> str:
    known = f"{e.value:.0%} of a point's neighbours here stay in another run, {e.null:.1%} by chance"
    if e.value >= 0.6:
        return f"Another run would show much the same neighbourhoods ({known})."
    return f"Another run would draw other neighbourhoods ({known}): believe only what stays."
