"""A map of units by any of five measures: what is measured, on which rows and units, against which null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.correlation.binned_information import bins_for, information
from analysis.compute.correlation.distance_correlation import distance_correlations, signed_root
from analysis.compute.correlation.map_tests import (
    MapNull,
    correlation_null,
    cosine_null,
    distance_null,
    information_null,
    information_tested,
)
from analysis.compute.correlation.unit_relations import Panels, Whole, correlated
from analysis.compute.rows.loaded_rows import LoadedRows, loaded_rows, ranked
from analysis.compute.rows.tap_rows import TapRows, tap_rows
from analysis.compute.statistics.moments import unit_moments_of
from analysis.spec import Progress

SLOW_UNITS = 512  # of distances and bins, a side
OPERATIONS = 4e12  # of a map of distances


@dataclass(frozen=True)
class Measure:
    """What a measure is called in a title and at the scale."""

    title: str
    name: str


MEASURES = {
    "pearson": Measure("Pearson correlation", "Pearson r"),
    "spearman": Measure("Spearman correlation", "Spearman r"),
    "cosine": Measure("Cosine", "cosine"),
    "distance correlation": Measure("Distance correlation", "distance correlation"),
    "mutual information": Measure("Mutual information", "mutual information (nats)"),
}


@dataclass(frozen=True)
class Measured:
    """The relation of the units, their numbers in the taps, its null, the colour `limits`, the `largest` magnitude that
    a value can have, and `notes` on what was left out."""

    relation: Whole | Panels
    units: tuple[np.ndarray, np.ndarray]
    null: MapNull
    limits: tuple[float, float]
    largest: float
    notes: tuple[str, ...]


def measured(taps, params, rng: np.random.Generator, progress: Progress, span) -> Measured:
    """One tap or two by `params.measure`, with `maximum_units`, `maximum_rows`, `pooling` and `bins`.

    Raises as `tap_rows` and `loaded_rows` do.
    """
    low, high = span
    middle = low + 0.2 * (high - low)
    rows = tap_rows(
        taps, rng, maximum=params.maximum_rows, pooling=params.pooling, progress=progress, span=(low, middle)
    )
    notes = list(rows.notes)
    slow = params.measure in ("distance correlation", "mutual information")
    most = min(params.maximum_units, SLOW_UNITS) if slow else params.maximum_units
    kept = tuple(_widest(tap, most, notes, progress, (middle, middle)) for tap in rows.taps)
    if params.measure in ("pearson", "cosine"):
        relation = correlated(rows, kept, params.measure == "cosine", notes, progress, (middle, high))
        null = (
            correlation_null(relation.samples) if params.measure == "pearson"
            else cosine_null(relation.moments, relation.n, relation.samples, rng)
        )  # fmt: skip
        return Measured(relation, relation.units, null, (-1.0, 1.0), 1.0, tuple(notes))
    made = {"spearman": _spearman, "distance correlation": _distances, "mutual information": _information}
    return made[params.measure](rows, kept, params, rng, notes, progress, (middle, high))


def _widest(tap: Activations, most: int, notes: list[str], progress, span) -> np.ndarray | None:
    """The `most` units with the largest variance, rising; None where the tap has no more."""
    d = tap.shape[1]
    if d <= most:
        return None
    found = unit_moments_of(tap, None, progress, span)
    if found is None:
        return np.arange(most)
    notes.append(f"The {most:,} units of {tap.name} with the largest variance of {d:,} are drawn.")
    return np.sort(np.argsort(-found.variance, kind="stable")[:most])


def _spearman(rows: TapRows, kept, params, rng, notes, progress, span) -> Measured:
    data = loaded_rows(rows, kept, rng, params.maximum_rows, progress, _part(span, 0, 0.3))
    notes += data.notes
    ranks = ranked(data, progress, _part(span, 0.3, 0.5))
    relation = correlated(ranks, (None,) * len(rows.taps), False, notes, progress, _part(span, 0.5, 1))
    units = tuple(data.units[i][u] for i, u in zip((0, -1), relation.units, strict=True))
    return Measured(relation, units, correlation_null(relation.samples), (-1.0, 1.0), 1.0, tuple(notes))


def _distances(rows: TapRows, kept, params, rng, notes, progress, span) -> Measured:
    widths = [tap.shape[1] if k is None else len(k) for tap, k in zip(rows.taps, kept, strict=True)]
    most = min(params.maximum_rows, int(np.sqrt(OPERATIONS / (widths[0] * widths[-1]))))
    data = loaded_rows(rows, kept, rng, most, progress, _part(span, 0, 0.2))
    notes += data.notes
    other = None if rows.is_one else data.values[1]
    values = signed_root(distance_correlations(data.values[0], other, progress, _part(span, 0.2, 1)))
    notes.append("Distance correlation has no sign: it says how strong a relation is, not which way it goes.")
    relation = _whole(values, data, rows.is_one, np.maximum(values, 0.0))  # below 0 speaks for nothing
    return Measured(relation, relation.units, distance_null(data.samples), (0.0, 1.0), 1.0, tuple(notes))


def _information(rows: TapRows, kept, params, rng, notes, progress, span) -> Measured:
    data = loaded_rows(rows, kept, rng, params.maximum_rows, progress, _part(span, 0, 0.3))
    notes += data.notes
    other = None if rows.is_one else data.values[1]
    n = len(data.values[0])
    bins = bins_for(n, params.bins)
    found = information(data.values[0], other, bins, data.samples, progress, _part(span, 0.3, 1))
    notes.append(
        f"Units are cut into at most {bins} bins of equal mass, so that a cell is a lower bound and never above "
        f"{np.log(bins):.2f} nats; on the diagonal it is the entropy of the binned unit."
    )
    relation = _whole(found.value, data, rows.is_one, information_tested(found.p))
    apart = ~np.eye(len(found.value), dtype=bool) if rows.is_one else slice(None)
    null = information_null(found.freedom[apart].ravel(), n, data.samples)
    limits = (0.0, float(np.log(bins)))
    return Measured(relation, relation.units, null, limits, limits[1] * 1.1, tuple(notes))


def _whole(values: np.ndarray, data: LoadedRows, symmetric: bool, tested=None) -> Whole:
    units = (data.units[0], data.units[-1])
    return Whole(values, units, data.samples, len(data.values[0]), symmetric, tested)


def _part(span: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    return span[0] + low * (span[1] - span[0]), span[0] + high * (span[1] - span[0])
