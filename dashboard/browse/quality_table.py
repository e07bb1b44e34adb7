"""How much of the neighbourhoods the map on the screen keeps, at several sizes, with interval and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.maps.map_quality import placement_quality, random_map
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.results import Scatter
from dashboard.browse.kept import Kept
from dashboard.browse.map_identity import identity
from dashboard.browse.map_points import pairs

SIZES = (5, 15, 50, 150)
ANCHORS = 1000  # points that are measured, each against all others
PRODUCTS_A_SECOND = 4e9
WORDS = {
    "trust": ("Trustworthiness", "near here → near in the data"),
    "continuity": ("Continuity", "near in the data → near here"),
    "recall": ("Neighbours kept", "share of the k nearest"),
}
CHANCE = (
    "near by chance",
    "kept by chance",
)  # of the first two measures, which have it in common; of the third
_measured = Kept(24)


@dataclass(frozen=True)
class QualityLine:
    """One measure at one neighbourhood size: value, interval [low, high] and what a random map gives."""

    name: str
    k: int
    value: float
    low: float
    high: float
    null: float


def seconds(result: Scatter, activations: Activations) -> float:
    """About how long measuring takes here."""
    n, d = len(result.rows), activations.shape[1] if result.of == "rows" else activations.shape[1] ** 2 / 100
    return min(n, ANCHORS) * n * (d + 60) / PRODUCTS_A_SECOND


def is_measured(result: Scatter, activations: Activations) -> bool:
    """Whether it has been measured already."""
    return _key(result, activations) in _measured


def _key(result: Scatter, activations: Activations) -> tuple:
    return (identity(result), activations.digest)


def lines(result: Scatter, activations: Activations) -> list[QualityLine]:
    """The measures at every size that the number of points allows; [] for fewer than 12 points."""
    return _measured.get(_key(result, activations), lambda: _measure(result, activations))


def _measure(result: Scatter, activations: Activations) -> list[QualityLine]:
    data, places, _ = pairs(result, activations)
    ks = tuple(k for k in SIZES if len(data) > 2 * k + 1)
    if not ks:
        return []
    rng = np.random.default_rng(0)
    found = placement_quality(data, places, ks, maximum_anchors=ANCHORS, rng=rng)
    chance, made = random_map(found.n, found.k), []
    for word in WORDS:
        values = getattr(found, word)
        low, high = bootstrap_mean(values, rng, draws=500)
        null = np.atleast_1d(chance["recall" if word == "recall" else "trust"])
        for i, k in enumerate(found.k):
            value = float(values[:, i].mean())
            made.append(QualityLine(word, int(k), value, float(low[i]), float(high[i]), float(null[i])))
    return made


def as_rows(found: list[QualityLine]) -> list[dict]:
    """For a table: one row per size, "value [low, high]" of every measure, and chance (one for the first two)."""
    rows = []
    for k in sorted({line.k for line in found}):
        row: dict = {"k nearest": k}
        for line in (line for line in found if line.k == k):
            row[WORDS[line.name][0]] = f"{line.value:.3f} [{line.low:.3f}, {line.high:.3f}]"
            if line.name != "trust":  # chance is the same for trustworthiness and continuity
                row[CHANCE[line.name == "recall"]] = f"{line.null:.3f}"
        rows.append(row)
    return rows


def sentence(found: list[QualityLine]) -> str:
    """What can and what cannot be read off this picture, in words."""
    at = {
        line.name: line for line in found if line.k == (15 if any(o.k == 15 for o in found) else found[0].k)
    }
    k, recall, trust, torn = at["recall"].k, at["recall"], at["trust"], at["continuity"]
    kept = "most" if recall.value >= 0.6 else "about half" if recall.value >= 0.4 else "fewer than half"
    if recall.value < 0.15:
        kept = "few"
    said = (
        f"Of each point's {k} nearest points in the data {recall.value:.0%} are its nearest here too (by chance "
        f"{recall.null:.0%}): {kept} of the neighbours can be believed. "
    )
    gap = trust.value - torn.value
    if abs(gap) > 0.01:
        said += (
            "This map rather tears apart what belongs together than it mixes what does not."
            if gap > 0
            else "This map rather shows false neighbours than it tears true ones apart: points that lie together "
            "here need not be alike."
        )
    return said
