"""Clusters on a map: the names at their place, coarse to fine, and each point's cluster as a colour."""

from __future__ import annotations

import numpy as np

from analysis.results import Partition, Scatter

NONE = ""  # the colouring draws an empty text as "no cluster"


def codes_of_points(partition: Partition, points: Scatter, level: int = -1) -> np.ndarray:
    """(points,) int32 group of each point of a map at a level, -1 for none and for rows that were not clustered."""
    codes, order = partition.codes_at(level), np.argsort(partition.rows, kind="stable")
    rows, asked = partition.rows[order], np.asarray(points.rows)
    if not len(rows):
        return np.full(len(asked), -1, np.int32)
    at = np.minimum(np.searchsorted(rows, asked), len(rows) - 1)
    return np.where(rows[at] == asked, codes[order][at], -1).astype(np.int32)


def names_of_points(partition: Partition, points: Scatter, level: int = -1) -> np.ndarray:
    """(points,) text: the name of each point's group, "" for none: a column to colour the map by."""
    codes = codes_of_points(partition, points, level)
    return np.append(_group_names(partition, level), NONE)[codes]


def cluster_labels(partition: Partition, points: Scatter) -> tuple[dict, ...]:
    """{text, x, y, z, size, level} of every group, level 0 the coarsest: what `MapPicture.labels` takes.

    A label stands on the point nearest to the middle (median) of its group's points on the map, so that it lies in the
    group where the map has torn it apart. A coarse group of one cluster is named once, at its coarsest level.
    """
    if not partition.n_clusters or points.of != "rows":
        return ()
    places, said, found = np.asarray(points.positions, np.float64), set(), []
    for level in range(len(partition.levels)):
        codes, names = codes_of_points(partition, points, level), _group_names(partition, level)
        members = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[members], np.arange(len(names) + 1))
        for g, name in enumerate(names):
            mine = members[starts[g] : starts[g + 1]]
            clusters = tuple(np.flatnonzero(partition.levels[level] == g))
            if not len(mine) or clusters in said:
                continue
            said.add(clusters)
            place = places[mine]
            near = place[((place - np.median(place, axis=0)) ** 2).sum(axis=1).argmin()]
            label = {"text": str(name), "size": len(mine), "level": level}
            found.append({**label, **{axis: float(v) for axis, v in zip("xyz", near, strict=False)}})
    return tuple(found)


def _group_names(partition: Partition, level: int) -> np.ndarray:
    """The name of each group at a level, by number."""
    _, first = np.unique(partition.levels[level], return_index=True)
    return np.asarray(partition.level_names[level])[first]
