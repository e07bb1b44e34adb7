"""What can be laid over the points of a map: ellipses of its distortion, and the tree that spans the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.maps.local_expansion import ellipses, grid_rows, local_surrogates
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.spanning_tree import SMALL, spanning_tree
from analysis.compute.rows.metric_space import squared_distances
from analysis.results import Scatter
from dashboard.browse import map_points
from dashboard.browse.kept import Kept
from dashboard.browse.map_identity import identity
from dashboard.browse.map_state import part
from dashboard.browse.picture import Column, Overlay
from dashboard.figures.style import theme_named

NEIGHBOURS, FEWEST = 15, 12
MOST_MEASURED = 20_000  # points among which neighbours are looked for: quick enough for a page at any size
ELLIPSES_ARE = (
    "what the map makes of equal small balls of the data: large where it stretches, small where it squeezes"
)
TREE_IS = "the shortest that join all points in the data: where one crosses the picture, the picture has torn"
ELLIPSE_NOTE = "large: stretched; small: squeezed"
TREE_WORDS = {"label": "Tree: length in the data", "button": "Tree", "note": "short ones join what is alike"}
_distortions, _trees = Kept(24), Kept(12)


@dataclass(frozen=True)
class Distortion:
    """`rows` (m,) of the tap, `shapes` (m, 3) half axes, angle; `measured` points: where neighbours were looked for."""

    rows: np.ndarray
    shapes: np.ndarray
    measured: int


@dataclass(frozen=True)
class Tree:
    """`edges` (m, 2) pairs of rows of the tap with their `lengths` (m,) in the data."""

    edges: np.ndarray
    lengths: np.ndarray


def has_ellipses(result: Scatter) -> bool:
    """Whether small balls of the data have an image here: plane maps of one tap, one placing."""
    one = result.origin is not None and len(result.origin.inputs) == 1
    return one and result.frames is None and np.asarray(result.positions).shape[1] == 2


def distortion(result: Scatter, activations: Activations) -> Distortion:
    """The ellipses of a whole map, kept by content. About 200 points are measured against at most 20,000 others."""
    return _distortions.get((identity(result), activations.digest), lambda: _distortion(result, activations))


def _distortion(result: Scatter, activations: Activations) -> Distortion:
    n = len(result.rows)
    if n > MOST_MEASURED:
        result = part(result, np.sort(np.random.default_rng(0).choice(n, MOST_MEASURED, replace=False)))
    data, places, good = map_points.pairs(result, activations)
    if len(good) < FEWEST:
        return Distortion(np.zeros(0, np.int64), np.zeros((0, 3), np.float32), len(good))
    points = near_one(as_points(data, _metric(result))[0])[0]
    anchors, side = grid_rows(places, np.arange(len(good)))
    away = squared_distances(points[anchors], points)
    away[np.arange(len(anchors)), anchors] = np.inf
    k = min(NEIGHBOURS, (len(good) - 1) // 2)
    near = np.argpartition(away, k - 1, axis=1)[:, :k]
    local = local_surrogates(points, places, anchors, near)
    drawn = (local.area > 0) & np.isfinite(local.area)
    shapes = ellipses(places, local, side)[:, 2:]
    return Distortion(np.asarray(result.rows)[good[anchors[drawn]]], shapes, len(good))


def _metric(result: Scatter) -> str:
    asked = result.origin.params.get("metric") if result.origin else None
    return asked if asked in ("euclidean", "cosine") else "euclidean"


def ellipses_on(found: Distortion, drawn: Scatter) -> Overlay | None:
    """As the map draws them, over the points that are on it; None where there are none."""
    place = places_of(found.rows, drawn)
    there = place >= 0
    if not there.any():
        return None
    column = np.column_stack([place[there], found.shapes[there]]).astype(np.float32)
    among = f"; measured among {found.measured:,} of the points" if found.measured == MOST_MEASURED else ""
    said = {"label": "Distortion", "button": "Ellipses", "note": ELLIPSE_NOTE + among}
    return Overlay(Column(column.tobytes()), said)


def tree_at_once(result: Scatter, activations: Activations) -> Tree | None:
    """The minimum spanning tree of the points of a small map, in the original space; None above 3,000 points."""
    if len(result.rows) > SMALL:
        return None
    return _trees.get((identity(result), activations.digest), lambda: _tree(result, activations))


def _tree(result: Scatter, activations: Activations) -> Tree:
    data, _, good = map_points.pairs(result, activations)
    if len(good) < 2:
        return Tree(np.zeros((0, 2), np.int64), np.zeros(0))
    points, scale = near_one(as_points(data, _metric(result))[0])
    edges, lengths = spanning_tree(points, 1)
    return Tree(np.asarray(result.rows)[good][edges], lengths * scale)


def tree_of(result: Scatter) -> Tree:
    """The tree of a result that has edges (places of its own points), by the rows of the tap."""
    if result.edges is None:
        return Tree(np.zeros((0, 2), np.int64), np.zeros(0))
    lengths = np.zeros(len(result.edges)) if result.edge_values is None else np.asarray(result.edge_values)
    return Tree(np.asarray(result.rows)[np.asarray(result.edges)], lengths)


def own_lines(result: Scatter, drawn: Scatter, theme: str = "light") -> Overlay | None:
    """The lines that a result brings itself, such as the sides between exemplars; None where it has none."""
    name = result.edge_name or "length"
    return tree_on(tree_of(result), drawn, theme, {"label": f"Lines: {name}", "button": "Lines", "note": ""})


def tree_on(tree: Tree, drawn: Scatter, theme: str = "light", words: dict = TREE_WORDS) -> Overlay | None:
    """As the map draws it: the edges with both ends on it; None where there are none. `words` are for its legend."""
    if not len(tree.edges):
        return None
    ends = places_of(tree.edges.ravel(), drawn).reshape(-1, 2)
    there = (ends >= 0).all(axis=1) & np.isfinite(tree.lengths)
    if not there.any():
        return None
    lengths = np.asarray(tree.lengths, np.float32)[there]
    low, high = float(lengths.min()), float(lengths.max())
    high = high if high > low else low + 1.0
    said = {**words, "low": low, "high": high, "stops": list(theme_named(theme).sequential)}
    return Overlay(Column(ends[there].astype(np.int32).tobytes()), said, Column(lengths.tobytes()))


def places_of(rows: np.ndarray, drawn: Scatter) -> np.ndarray:
    """(m,) places of rows of the tap among the points of a map, -1 for those that are not on it. O((n + m) log n)."""
    there = np.asarray(drawn.rows)
    if not len(there):
        return np.full(len(rows), -1)
    order = np.argsort(there, kind="stable")
    at = np.minimum(np.searchsorted(there[order], rows), len(there) - 1)
    return np.where(there[order][at] == rows, order[at], -1)
