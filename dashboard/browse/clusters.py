"""Which clusters can be named on a map, and what is said about them beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis import registry
from analysis.results import Partition, Scatter
from dashboard.browse.kept import Kept
from dashboard.browse.map_identity import identity

METHODS = {"hdbscan": "Dense groups (HDBSCAN)", "kmeans": "Groups around centres (k-means)"}
SHORT = {"hdbscan": "HDBSCAN", "kmeans": "k-means"}
BY_LABEL = "by:"  # the URL's word for a column: "by:label"
MOST_NAMES, COARSE = 300, 24  # names that are sent; of these, how many are there before anybody zooms
FEW = 12  # names that may all be different
_named = Kept(12)


def methods(result: Scatter) -> dict[str, str]:
    """The clusterings of the points in their original space that are installed; they cluster rows of one tap."""
    return {id: title for id, title in METHODS.items() if registry.find(id)} if result.of == "rows" else {}


def column_labels(values: Callable[[], np.ndarray], points: Scatter, key: tuple) -> tuple[dict, ...]:
    """{text, x, y, z, size, level} of the groups that a column of the points (n,) makes, the largest first.

    A name stands on the point nearest to the median of its group. The largest groups are there at once, others with
    the zoom; beyond `MOST_NAMES` groups the smallest have no name on the map. () where nearly every point has a value
    of its own. `values` is asked only once; `key` tells the column, and the part of the map, apart.
    """
    return _named.get((identity(points), key), lambda: _column_labels(values(), points))


def _column_labels(values: np.ndarray, points: Scatter) -> tuple[dict, ...]:
    places = np.asarray(points.positions, np.float64)
    text = np.asarray(values).astype(str)
    names, codes, sizes = np.unique(text, return_inverse=True, return_counts=True)
    if len(names) > max(FEW, len(text) // 2):
        return ()
    sizes = np.where((names == "") | (names == "nan"), 0, sizes)
    largest = [g for g in np.argsort(-sizes, kind="stable")[:MOST_NAMES] if sizes[g]]
    members = np.argsort(codes.reshape(-1), kind="stable")
    starts = np.searchsorted(codes.reshape(-1)[members], np.arange(len(names) + 1))
    found = []
    for rank, g in enumerate(largest):
        place = places[members[starts[g] : starts[g + 1]]]
        place = place[np.isfinite(place).all(axis=1)]
        if not len(place):
            continue
        near = place[((place - np.median(place, axis=0)) ** 2).sum(axis=1).argmin()]
        level = 0 if rank < COARSE else int(np.log2(rank / COARSE)) + 1
        label = {"text": str(names[g])[:80], "size": int(sizes[g]), "level": level}
        found.append({**label, **{axis: float(v) for axis, v in zip("xyz", near, strict=False)}})
    return tuple(found)


def summary(found: Partition) -> dict[str, list]:
    """A small table, one line per cluster: name, size, and how much of it comes back."""
    c = found.columns
    table: dict[str, list] = {"Cluster": [str(n) for n in c["name"]], "Size": [int(s) for s in c["size"]]}
    if "stability" in c:
        ends = zip(c["stability"], c["stability low"], c["stability high"], strict=True)
        table["Comes back"] = [f"{v:.2f} [{low:.2f}, {high:.2f}]" for v, low, high in ends]
    return table


def chance(found: Partition) -> str:
    """How much of a cluster comes back on data that have none, in words; "" where that was not measured."""
    values = np.asarray(found.columns.get("chance", np.zeros(0)), float)
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    ends = sorted({f"{values.min():.2f}", f"{values.max():.2f}"})
    return f"By chance, on data of this shape without clusters, {' to '.join(ends)} of it would come back."


def left_out(found: Partition) -> int:
    """Points in no cluster."""
    return int((np.asarray(found.codes) < 0).sum())
