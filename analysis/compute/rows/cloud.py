"""The points a map is made from: finite rows (or units) in memory, and which sample each belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, LoadedMatrix, load_matrix
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.points import PointSet, point_set
from analysis.errors import InputError
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class Cloud:
    """`x` (n, d) float64 finite points; `rows` (n,) their numbers in the tap (rows or units); `sample` (n,) the
    sample of each point as 0 .. n_samples - 1, rising; `sample_numbers` (n_samples,) positions in the tap's
    sample columns; `notes` on what was left out."""

    x: np.ndarray
    rows: np.ndarray
    sample: np.ndarray
    sample_numbers: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        return len(self.sample_numbers)

    @property
    def offsets(self) -> np.ndarray:
        """(n_samples + 1,): the points of sample i are offsets[i] … offsets[i + 1] - 1."""
        return np.searchsorted(self.sample, np.arange(self.n_samples + 1))

    def sample_means(self) -> np.ndarray:
        """(n_samples, d) mean over the points of each sample. O(n d)."""
        if self.n_samples == len(self.x):
            return self.x
        return np.add.reduceat(self.x, self.offsets[:-1], axis=0) / np.diff(self.offsets)[:, None]


def point_cloud(
    activations: Activations,
    rng: np.random.Generator,
    *,
    maximum_rows: int,
    minimum: int = 4,
    of: str = "rows",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
) -> Cloud:
    """Load the finite points, at most `maximum_rows` of them (a seeded random subset above).

    Time and memory O(n d); for units as points, one streamed pass over all rows.

    Raises
    ------
    NotEnoughData
        Fewer than `minimum` finite points.
    InputError
        All points are equal.
    TooLarge
        More than 8 GiB of rows, or more than 8,192 units as points.
    """
    points = point_set(activations, of, progress, span)
    progress(span[1], "reading")
    loaded = load_matrix(points.points, maximum_rows=maximum_rows, minimum_rows=minimum, rng=rng)
    x = np.array(loaded.values, dtype=np.float64)
    if (x == x[0]).all():
        raise InputError(
            f"all rows of {activations.name} are equal", "rows that differ", "Choose another tap"
        )
    owner = points.points.layout.sample_of(loaded.rows)
    numbers, sample = np.unique(owner, return_inverse=True)
    notes = (*_notes(points, loaded), *copies_note(x, "rows" if of == "rows" else "units"))
    if len(numbers) == 1:
        numbers, sample = owner, np.arange(len(x))
        notes += ("There is one sample only: its rows are taken as independent.",)
    return Cloud(x, points.numbers(loaded.rows), sample.reshape(-1), numbers, notes)


def _notes(points: PointSet, loaded: LoadedMatrix) -> tuple[str, ...]:
    notes = []
    if loaded.note:
        notes.append(loaded.note[0].upper() + loaded.note[1:] + ".")
    if points.of == "rows" and not points.points.layout.is_pooled:
        notes.append(
            "Tokens of one sample resemble each other: clusters may be samples rather than features."
        )
    return (*notes, *points.notes)
