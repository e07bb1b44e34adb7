"""What the points of a map can be coloured by, and the values of each source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.results import Partition, Scatter
from dashboard.browse import cluster_labels, clusters
from dashboard.browse.group_colours import group_values
from dashboard.browse.unit_words import word_of

HIDDEN = ("id", "text", "media_path", "media_digest")
WORDS = {
    "label": "Label",
    "predicted": "Prediction",
    "correct": "Right or wrong",
    "loss": "Error (loss)",
    "confidence": "Confidence",
}
FIRST = tuple(WORDS)
PLACEMENT = {  # what a placement column means, for the legend
    "distance to plane": "0: the picture shows this point fully; 1: what sets it apart is not in the picture",
    "distance from mean": "length of the point's deviation from the mean of all points",
    "trust": "1: its neighbours here are its neighbours in the data; low: false neighbours",
    "continuity": "1: its neighbours in the data are near it here; low: it was torn from them",
    "recall": "share of its nearest neighbours in the data that are its nearest here",
}
STATISTICS = {  # of a unit, where the points are units
    "top_class": "Class of its strongest examples",
    "top_class_share": "Share of that class",
    "fraction_positive": "Share of rows above 0",
    "mean": "Mean",
    "sd": "Spread (sd)",
    "kurtosis": "Excess kurtosis",
}
UNIT, PLAIN, OF_MAP, CHOSEN, SELECTED = "unit", "none", "map:", "selections", "selection"
CLUSTERS = "cluster:"  # and the method that made them


@dataclass(frozen=True)
class Source:
    """`id` is the URL's word for it; `group` is "sample", "placement", "statistic", "unit", "selection", "cluster" or
    "none"."""

    id: str
    name: str
    group: str


def sources(store, result: Scatter) -> list[Source]:
    """Label, prediction, error and metadata of the samples (statistics, where the points are units); how well
    each point is placed; any unit; nothing. Points that are neither rows nor units have their own columns only."""
    found = []
    if result.of == "units" and store.complete:
        named = {c: name for c, name in STATISTICS.items() if store.classes or not c.startswith("top_class")}
        found += [Source(c, name, "statistic") for c, name in named.items()]
    if result.of == "rows":
        columns = [c for c in store.samples if c not in HIDDEN]
        columns.sort(key=lambda c: (FIRST.index(c) if c in FIRST else len(FIRST), c))
        found += [Source(c, WORDS.get(c, c), "sample") for c in columns]
        found.append(Source(UNIT, "A unit's activation", "unit"))
    found += [Source(OF_MAP + c, c, "placement") for c in result.columns]
    return [*found, Source(PLAIN, "One colour", "none")]


def of_selections(named: int, chosen: bool) -> list[Source]:
    """Colouring by selections, where there are some: the present one against the rest, and the named ones."""
    found = [Source(SELECTED, "Inside the selection", "selection")] if chosen else []
    return found + ([Source(CHOSEN, "Named selections", "selection")] if named else [])


def of_clusters(result: Scatter) -> list[Source]:
    """Colouring by the clusters of the original space, where a method for them is installed."""
    return [
        Source(CLUSTERS + id, f"Clusters ({clusters.SHORT[id]})", "cluster")
        for id in clusters.methods(result)
    ]


def default_source(known: list[Source]) -> str:
    """Labels where there are some, else the first column."""
    ids = [s.id for s in known]
    return next((c for c in ("label", "predicted", "top_class") if c in ids), ids[0])


def placement(known: list[Source]) -> Source | None:
    """The column that says how badly points are placed; None where the method gives none."""
    return next((s for s in known if s.group == "placement"), None)


def values_of(
    source: Source,
    store,
    result: Scatter,
    activations: Activations,
    unit: int = 0,
    groups=(),
    found: Partition | None = None,
):
    """(values per point or None, name, categorical or None) of a source.

    `groups`: the selections that colour; `found`: the clusters that do (None: not computed yet, one colour).
    """
    rows = np.asarray(result.rows)
    if source.group == "cluster":
        names = None if found is None else cluster_labels.names_of_points(found, result)
        return names, source.name, True
    if source.group == "selection":
        tap = activations.name.partition(":")[2]
        alone = source.id == SELECTED
        return group_values(groups, result, activations.layout, store, tap, alone=alone), source.name, True
    if source.group == "placement":
        return np.asarray(result.columns[source.id.removeprefix(OF_MAP)]), source.name, None
    if source.group == "unit":
        tap = activations.name.partition(":")[2]
        name = activations.unit_names[unit] if activations.unit_names else str(unit)
        return (
            np.asarray(activations.unit(unit), np.float32)[rows],
            f"{word_of(store, tap).capitalize()} {name}",
            False,
        )
    if source.group == "none":
        return None, "", None
    if source.group == "statistic":
        table = store.index(activations.name.partition(":")[2]).table()
        return _statistic(source.id, store, table)[rows], source.name, None
    values = sample_values(store, source.id)[activations.layout.sample_of(rows)]
    return values, source.name, None


def _statistic(name: str, store, table: dict) -> np.ndarray:
    values = np.asarray(table[name])
    if name != "top_class":
        return values
    names = np.array([*store.classes, ""])
    return names[np.where((values >= 0) & (values < len(store.classes)), values, len(store.classes))]


def sample_values(store, column: str) -> np.ndarray:
    """A sample column as a person reads it: class names for labels, words for right and wrong."""
    values = np.asarray(store.samples[column])
    if column in ("label", "predicted") and values.dtype.kind in "iu" and store.classes:
        names = np.array([*store.classes, ""])
        return names[np.where((values >= 0) & (values < len(store.classes)), values, len(store.classes))]
    if column == "correct":
        return right_or_wrong(values)
    return values


def right_or_wrong(values: np.ndarray) -> np.ndarray:
    """Truth values (or 1, 0 and -1 or NaN for unknown) as words."""
    if values.dtype.kind not in "biuf":
        return values
    known = np.isfinite(values) if values.dtype.kind == "f" else values >= 0
    return np.where(known, np.where(values > 0, "right", "wrong"), "")
