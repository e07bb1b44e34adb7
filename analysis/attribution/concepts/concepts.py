"""Concepts of a tap as directions: the groups of a column of labels, or features of a dictionary.

A group's direction is the mean of its samples less that of the others, of samples given for it; a feature's is that of
the dictionary. All have length 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.rows.samples import known_labels
from analysis.errors import NotEnoughData
from analysis.features.tap_dictionary import TapDictionary

GROUPS, FEATURES = "groups of samples", "features"
KINDS = (GROUPS, FEATURES)
FEWEST = 3  # samples of a group


@dataclass(frozen=True)
class Concepts:
    """`names` (k,); `directions` (k, d) of length 1; `members` (k,) samples behind each, 0 for a feature; `numbers`
    (k,) of the features, -1 for a group; `notes`."""

    names: tuple[str, ...]
    directions: np.ndarray
    members: np.ndarray
    numbers: np.ndarray
    notes: tuple[str, ...]


def group_concepts(pooled: np.ndarray, labels: np.ndarray, most: int) -> Concepts:
    """The `most` largest groups among `labels` (n,) text ("": none) of mean rows `pooled` (n, d).

    Raises NotEnoughData where fewer than two groups have three samples and differ from the others.
    """
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    large = np.argsort(-counts, kind="stable")
    large = [g for g in large if counts[g] >= FEWEST and counts[g] < len(labels)][:most]
    found, scale = [], max(float(np.abs(pooled).max(initial=0)), 1e-300)
    for g in sorted(large):
        own = labels == names[g]
        apart = pooled[own].mean(axis=0) - pooled[~own].mean(axis=0)
        length = float(np.linalg.norm(apart))
        if length > 1e-12 * scale:
            found.append((str(names[g]), apart / length, int(counts[g])))
    if len(found) < 2:
        raise NotEnoughData(
            f"{len(found)} group(s) of samples that differ from the others",
            f"at least two with {FEWEST} samples each",
            "Choose another column, or features as concepts",
        )
    names, directions, members = zip(*found, strict=True)
    return Concepts(names, np.array(directions), np.array(members), np.full(len(found), -1), ())


def feature_concepts(made: TapDictionary, pooled: np.ndarray, most: int) -> Concepts:
    """The `most` features along whose directions the mean rows `pooled` (n, d) vary most."""
    d = made.features.decoder.astype(np.float64)
    length = np.linalg.norm(d, axis=1)
    d = d / np.maximum(length, 1e-300)[:, None]
    spread = (pooled @ d.T).std(axis=0) * (length > 0)
    best = np.sort(np.argsort(-spread, kind="stable")[:most])
    best = best[spread[best] > 0]
    if not len(best):
        raise NotEnoughData("no feature along which samples differ", "one that varies", "Choose another tap")
    names = made.called
    told = tuple(names[j] for j in best)
    note = (f"The {len(best)} of {len(d):,} features along which samples vary most are looked at.",)
    return Concepts(told, d[best], np.zeros(len(best), np.int64), best, note if len(best) < len(d) else ())


def labels_of(tap: Activations, samples: np.ndarray, column: str | None) -> np.ndarray | None:
    """(n,) text of these samples, "" where unknown; None where there is no such column."""
    column = label_column(tap, column)
    if column is None:
        return None
    given = np.asarray(tap.samples[column])[samples]
    return np.where(known_labels(given), given.astype(str), "")
