"""The queries of a place-recognition task: one point per sample that has a position, with sequence and heading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.retrieval.places import Places, places
from analysis.compute.retrieval.recall_at import Ranked
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.samples import known_labels
from analysis.errors import NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

FEWEST = 5  # queries with a right answer


@dataclass(frozen=True)
class Queries:
    """`points` (n, d) whose Euclidean distances rank, their `places`, `sequence` (n,) and `heading` (n,) in degrees or
    None, `ids` (n,); `notes` on what was left out."""

    points: np.ndarray
    places: Places
    sequence: np.ndarray | None
    heading: np.ndarray | None
    ids: np.ndarray
    notes: tuple[str, ...]


def queries_of(
    activations: Activations,
    columns: tuple[str, ...],
    rng: np.random.Generator,
    *,
    degrees: bool,
    threshold: float | None,
    sequence: str,
    heading: str,
    metric: str,
    maximum_rows: int,
    progress: Progress = no_progress,
) -> Queries:
    """Read the points and what is known of them; `sequence` and `heading` are columns, "" for none. O(n d).

    Raises as `cloud.point_cloud` and `places.places`; ParameterError for headings that are text.
    """
    for column in (*columns, *filter(None, (sequence, heading))):
        sample_column(activations, column)
    cloud = point_cloud(activations, rng, maximum_rows=maximum_rows, minimum=FEWEST, progress=progress)
    found = places(activations, cloud.sample_numbers, columns, degrees, threshold, rng)
    points, zero = as_points(cloud.sample_means()[found.known], metric)
    samples = cloud.sample_numbers[found.known]
    notes = list(cloud.notes)
    if not found.known.all():
        notes.append(f"{int((~found.known).sum())} sample(s) without a position left out.")
    if cloud.n_samples < len(cloud.x):
        notes.append("Each sample counts once, by the mean over its tokens.")
    if zero:
        notes.append(f"{zero} sample(s) of zeros have no direction for the cosine.")
    if threshold is None and not found.names:
        notes.append(_threshold_note(found))
    if threshold is not None and found.names:
        notes.append("Places are told apart by their names: the threshold is not used.")
    return Queries(
        near_one(points)[0],
        found,
        _sequences(activations, samples, sequence) if sequence else None,
        _headings(activations, samples, heading) if heading else None,
        np.asarray(activations.samples["id"])[samples].astype(str),
        tuple(notes),
    )


def _threshold_note(found: Places) -> str:
    if found.threshold == 0:
        return "Threshold by itself 0: many samples share their position exactly."
    return f"Threshold by itself {found.threshold:.3g} {found.unit}: the closest tenth of all distances."


def _sequences(activations: Activations, samples: np.ndarray, column: str) -> np.ndarray:
    """Sequence number of each sample; one without a name is a sequence of its own."""
    values = sample_column(activations, column)[samples]
    known = known_labels(values)
    out = -1 - np.arange(len(values))
    out[known] = np.unique(values[known].astype(str), return_inverse=True)[1]
    return out


def _headings(activations: Activations, samples: np.ndarray, column: str) -> np.ndarray:
    values = sample_column(activations, column)[samples]
    if values.dtype.kind not in "fiub":
        raise ParameterError(f"heading column '{column}' holds text", "degrees", "Name another column")
    values = values.astype(np.float64)
    if np.isfinite(values).sum() < 2:
        raise NotEnoughData(f"fewer than two headings in '{column}'", "headings in degrees")
    return np.where(np.isfinite(values), values, np.nan)


def refuse_few(found: Ranked, asked: Queries) -> None:
    """Raises NotEnoughData below five queries with a right answer."""
    if len(found.answerable) < FEWEST:
        raise NotEnoughData(
            f"{len(found.answerable)} of {len(asked.points):,} samples have another one that {asked.places.words()}"
            + (" outside their own sequence" if asked.sequence is not None else ""),
            f"at least {FEWEST}",
            "Raise the threshold, or record places more than once",
        )
