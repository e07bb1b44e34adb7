"""A cloud of points whose samples carry a class or a number: what target-aware projections start from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.samples import known_labels, listed
from analysis.errors import NotEnoughData, ParameterError, TooLarge

MOST_CLASSES = 300


@dataclass(frozen=True)
class Response:
    """`cloud`, only the points whose sample has a response; `of` (samples,) class numbers with their `names`, or
    `values` (samples,) float64 when the response is a number; `notes` on what was left out."""

    cloud: Cloud
    of: np.ndarray | None
    names: tuple[str, ...]
    values: np.ndarray | None
    notes: tuple[str, ...]

    def only(self, names: list[str]) -> Response:
        """The samples of the named classes, numbered in this order."""
        number = np.full(len(self.names), -1)
        number[[self.names.index(name) for name in names]] = np.arange(len(names))
        of = number[self.of]
        lost = int((of < 0).sum())
        notes = (
            (*self.notes, f"{lost} sample(s) of classes that were not named left out.")
            if lost
            else self.notes
        )
        keep = np.flatnonzero(of >= 0)
        return Response(_only(self.cloud, keep), of[keep], tuple(names), None, notes)


def with_classes(activations: Activations, cloud: Cloud, column: str, minimum: int) -> Response:
    """Keep the samples of classes with at least `minimum` samples (a negative number, NaN or an empty text is no
    class). Raises NotFound; NotEnoughData below two such classes, listing what there is; TooLarge above 300."""
    values = sample_column(activations, column)[cloud.sample_numbers]
    known = known_labels(values)
    names, of = np.unique(values[known], return_inverse=True)
    counts = np.bincount(of, minlength=len(names))
    good = counts >= minimum
    if good.sum() < 2:
        raise NotEnoughData(
            f"{activations.name}: {int(good.sum())} of {len(names)} class(es) of '{column}' have {minimum} samples or "
            f"more (samples per class: {listed(names, counts)})",
            "at least two such classes",
            "Record more samples of the small classes, or choose another column",
        )
    if good.sum() > MOST_CLASSES:
        raise TooLarge(
            f"column '{column}' has {int(good.sum()):,} classes",
            f"at most {MOST_CLASSES}",
            "Choose a coarser column",
        )
    notes = []
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a label left out.")
    if not good.all():
        few = listed(names[~good], counts[~good])
        notes.append(f"{int((~good).sum())} class(es) with fewer than {minimum} samples left out: {few}.")
    keep = np.flatnonzero(known)[good[of]]
    of = (np.cumsum(good) - 1)[of[good[of]]]
    return Response(_only(cloud, keep), of, tuple(str(v) for v in names[good]), None, tuple(notes))


def with_numbers(activations: Activations, cloud: Cloud, column: str, minimum: int) -> Response:
    """Keep the samples with a finite number. Raises NotFound, ParameterError (not numbers, or one value only) and
    NotEnoughData."""
    values = sample_column(activations, column)[cloud.sample_numbers]
    if values.dtype.kind not in "fiub":
        raise ParameterError(f"column '{column}' holds text", "numbers", "Treat it as classes")
    values = values.astype(np.float64)
    keep = np.flatnonzero(np.isfinite(values))
    if len(keep) < minimum:
        raise NotEnoughData(
            f"{len(keep)} sample(s) with a number in '{column}'",
            f"at least {minimum}",
            "Choose another column, or record more samples",
        )
    values = values[keep]
    if (values == values[0]).all():
        raise ParameterError(
            f"column '{column}' holds one value only", "numbers that differ", "Choose another column"
        )
    lost = cloud.n_samples - len(keep)
    notes = (f"{lost} sample(s) without a finite number in '{column}' left out.",) if lost else ()
    return Response(_only(cloud, keep), None, (), values, notes)


def _only(cloud: Cloud, samples: np.ndarray) -> Cloud:
    """The points of the given samples (rising numbers)."""
    if len(samples) == cloud.n_samples:
        return cloud
    number = np.full(cloud.n_samples, -1)
    number[samples] = np.arange(len(samples))
    mine = number[cloud.sample] >= 0
    return replace(
        cloud, x=cloud.x[mine], rows=cloud.rows[mine], sample=number[cloud.sample[mine]],
        sample_numbers=cloud.sample_numbers[samples],
    )  # fmt: skip
