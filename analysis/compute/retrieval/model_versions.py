"""Several versions of an embedding of the same samples, ready to be searched with one another: queries by one version,
the gallery by another.

Versions are compared as they are, narrower ones padded with zeros, or after an orthogonal map that was fitted on
samples which are neither queries nor gallery: R = U Vᵀ of Aᵀ B = U S Vᵀ for hold-out lines A of one version and B of
another (Schönemann 1966). An orthogonal map changes no cosine, no distance and so no neighbour within a version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.clusters.coding_rate import unit_rows
from analysis.compute.linear.procrustes import residual_share, rotation_onto
from analysis.compute.neighbours.neighbours import near_one
from analysis.compute.retrieval.gallery_search import Task
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress

FEWEST = 5  # queries with a right answer
EVERY, SPLIT = "every sample asks all others", "some samples ask the rest"
ASKING = (EVERY, SPLIT)
AS_THEY_ARE, ORTHOGONAL = "none", "orthogonal (Procrustes, fitted on a hold-out)"
ALIGNMENTS = (AS_THEY_ARE, ORTHOGONAL)


@dataclass(frozen=True)
class Versions:
    """`points`, one (n, D) array a version, D the largest of the `widths`; the retrieval `task`; the samples that
    maps are fitted on, `hold_out` (h,), none where nothing is aligned; `names`, `classes`, `ids` (n,); `notes`."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    points: tuple[np.ndarray, ...]
    task: Task
    hold_out: np.ndarray
    cosine: bool
    classes: tuple[str, ...]
    ids: np.ndarray
    notes: tuple[str, ...]

    @property
    def is_aligned(self) -> bool:
        return len(self.hold_out) > 0

    def placed(self, t: int, rotation: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
        """All samples (n, D) by version t, turned into the space of version k, and by version k."""
        a, b = self.points[t], self.points[k]
        if rotation is None:
            return a, b
        a, b = self._centred(a), self._centred(b)
        return a @ rotation, b

    def _centred(self, x: np.ndarray) -> np.ndarray:
        """Distances may be moved as well as turned; cosines may not."""
        return x if self.cosine else x - x[self.hold_out].mean(axis=0)

    def rotation(self, t: int, k: int) -> np.ndarray | None:
        """The orthogonal map (D, D) of version t into the space of k; None for none. O(h D² + D³)."""
        if t == k or not self.is_aligned:
            return None
        a, b = (self._centred(self.points[i])[self.hold_out] for i in (t, k))
        return rotation_onto(a, b)


def rotations(v: Versions, progress: Progress = no_progress, span=(0.3, 0.4)) -> dict:
    """The map of each ordered pair (t, k); that of (k, t) is its transpose."""
    count, found = len(v.names), {}
    pairs = [(t, k) for t in range(count) for k in range(t)]
    for i, (t, k) in enumerate(pairs):
        progress(span[0] + (span[1] - span[0]) * i / len(pairs), "aligning versions")
        found[t, k] = v.rotation(t, k)
        found[k, t] = None if found[t, k] is None else found[t, k].T
    return found | {(t, t): None for t in range(count)}


def versions_of(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    column: str,
    metric: str,
    asking: str,
    query_share: float,
    alignment: str,
    hold_out: float,
    maximum: int,
    progress: Progress = no_progress,
) -> Versions:
    """The samples that all taps have (matched by id, tokens pooled by their mean) and that have a label in `column`.

    Raises
    ------
    NotFound, ParameterError
        No such column; fewer than two taps.
    InputError
        A sample with different labels in two taps, or under an id that is not its own; a tap without variation.
    NotEnoughData
        Fewer than five queries with a right answer; a hold-out of fewer samples than units.
    """
    sample_column(taps[0], column)
    data = common_samples(taps, rng, maximum=maximum, minimum=FEWEST, progress=progress)
    labels = _labels(taps, data.ids, column)
    known, notes = known_labels(labels), list(data.notes)
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a label left out.")
    names, of = np.unique(labels[known], return_inverse=True)
    if len(names) < 2:
        raise NotEnoughData(
            f"{len(names)} class(es) in '{column}'", "at least two", "Choose another column or samples"
        )
    held = np.zeros(len(of), bool)
    if alignment == ORTHOGONAL:
        held = in_share(of, hold_out, rng)
        _refuse_few(int(held.sum()), max(x.shape[1] for x in data.values))
        notes.append(f"{int(held.sum())} samples fit the maps and are neither queries nor gallery.")
    task = _task(of, held, asking, query_share, rng, notes)
    points = _points([x[known] for x in data.values], metric, notes)
    return Versions(
        version_names([t.name for t in taps]), tuple(x.shape[1] for x in data.values), points, task,
        np.flatnonzero(held), metric == "cosine", tuple(str(c) for c in names), data.ids[known], tuple(notes),
    )  # fmt: skip


def in_share(of: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: a random `share` of the samples of each class (n,), rounded."""
    order = np.lexsort((rng.random(len(of)), of))
    counts = np.bincount(of)
    place = np.empty(len(of))
    place[order] = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place + 0.5 < share * counts[of]


def residuals(v: Versions, t: int, k: int, rotation: np.ndarray) -> tuple[float, float, float]:
    """|a R - b|² over |a|² + |b|², 0 for equal versions: of the samples that fitted the map, of those that did not, and
    of the latter on average when they are exchanged on one side (the two means are then all that is alike)."""
    a, b = v.placed(t, rotation, k)
    rest = np.union1d(v.task.query, v.task.gallery)
    free = residual_share(a[rest], b[rest])
    whole = float((a[rest] ** 2).sum() + (b[rest] ** 2).sum())
    alike = len(rest) * float(a[rest].mean(axis=0) @ b[rest].mean(axis=0))
    return residual_share(a[v.hold_out], b[v.hold_out]), free, 1 - 2 * alike / whole if whole else 0.0


def version_names(names: Sequence[str]) -> tuple[str, ...]:
    """Stores where all taps are of one name ("v1:head", "v2:head"), else as `tap_names`."""
    stores, taps = zip(*(name.rpartition(":")[::2] for name in names), strict=True)
    if len(set(taps)) == 1 and len(set(stores)) == len(stores) and all(stores):
        return tuple(stores)
    return tap_names(names)


def width_notes(v: Versions) -> list[str]:
    """What is to be said where versions of different widths meet."""
    if len(set(v.widths)) == 1:
        return []
    widths = ", ".join(f"{n} {w}" for n, w in zip(v.names, v.widths, strict=True))
    if v.is_aligned:
        return [f"Widths differ ({widths}): narrower versions are padded with zeros before they are turned."]
    return [
        f"Widths differ ({widths}) and nothing aligns: narrower versions are padded with zeros, so that unit i meets "
        "unit i, which says little. Choose the orthogonal alignment."
    ]


def _labels(taps, ids: np.ndarray, column: str) -> np.ndarray:
    """The label (n,) of each sample, the same in every tap that has the column."""
    found = None
    for tap in taps:
        if column not in tap.samples:
            continue
        values = np.asarray(tap.samples[column])
        kinds, first, which = np.unique(
            np.asarray(tap.samples["id"]).astype(str), return_index=True, return_inverse=True
        )
        mine = values[first]
        if not _same(values, mine[which.reshape(-1)]):
            raise InputError(
                f"{tap.name} has several samples under one id with different '{column}'",
                "an id of its own for each sample",
                "Record again with unique ids",
            )
        mine = mine[np.searchsorted(kinds, ids)]
        if found is not None and not _same(found, mine):
            raise InputError(
                f"{tap.name} and {taps[0].name} give the same samples different '{column}'",
                "one label for each sample",
                "Record the versions on the same data",
            )
        found = mine if found is None else found
    return found


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind == b.dtype.kind == "f":
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool((a.astype(str) == b.astype(str)).all())


def _task(of, held, asking: str, query_share: float, rng, notes: list[str]) -> Task:
    free = np.flatnonzero(~held)
    if asking == EVERY:
        whole = Task(free, free, of)
    else:
        asks = in_share(of[free], query_share, rng)
        whole = Task(free[asks], free[~asks], of)
        notes.append(f"{int(asks.sum())} samples ask a gallery of {int((~asks).sum())}.")
    task = whole.answerable() if len(whole.query) and len(whole.gallery) else whole
    if len(task.query) < len(whole.query):
        notes.append(
            f"{len(whole.query) - len(task.query)} sample(s) without another one of their class in the gallery "
            "ask nothing."
        )
    if len(task.query) < FEWEST or not len(task.gallery):
        raise NotEnoughData(
            f"{len(task.query)} quer(ies) with an answer of their own class",
            f"at least {FEWEST}",
            "Record more samples of each class, or choose another column",
        )
    return task


def _refuse_few(samples: int, units: int) -> None:
    if samples < units:
        raise NotEnoughData(
            f"a hold-out of {samples} samples for {units} units, whose rotation would fit noise",
            f"at least {units} samples to fit it on",
            "Record more samples, raise the share of the hold-out, or align nothing",
        )


def _points(values: list[np.ndarray], metric: str, notes: list[str]) -> tuple[np.ndarray, ...]:
    """Points (n, D) whose halved squared distances rank: unit vectors, or the values about one common centre."""
    widest = max(x.shape[1] for x in values)
    if metric == "cosine":
        zeros = sum(int((~x.any(axis=1)).sum()) for x in values)
        if zeros:
            notes.append(f"{zeros} vector(s) of zeros have no direction for the cosine and lie at 0 to all.")
        return tuple(np.pad(unit_rows(x, False), ((0, 0), (0, widest - x.shape[1]))) for x in values)
    padded = [np.pad(x, ((0, 0), (0, widest - x.shape[1]))) for x in values]
    largest = max(np.abs(x).max() for x in padded)
    scale = near_one(np.array([[largest]]))[1]
    padded = [x / scale for x in padded]
    centre = np.mean([x.mean(axis=0) for x in padded], axis=0)
    return tuple(x - centre for x in padded)
