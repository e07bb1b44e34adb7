"""A teacher's class probabilities for the crops of images, with what is known of each crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.outputs.model_outputs import (
    SUM_TOLERANCE,
    labels_of,
    log_probabilities,
    refuse_no_label,
    refuse_single_class,
)
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress

FEWEST = 4


@dataclass(frozen=True)
class Crops:
    """`p` (n, C) the teacher's probabilities, rows that sum to 1; the true `label` (n,) as a class number; `area` (n,)
    in (0, 1] or None; `image` (n,) text and its number `of` (n,), 0 .. images - 1, of its own for each crop where there
    is no image column (`grouped` False); `rows` (n,) of the tap, or samples where it has tokens, as `indexed` says."""

    p: np.ndarray
    label: np.ndarray
    area: np.ndarray | None
    image: np.ndarray
    of: np.ndarray
    grouped: bool
    rows: np.ndarray
    indexed: str
    classes: tuple[str, ...]
    name: str
    notes: tuple[str, ...]

    @property
    def of_label(self) -> np.ndarray:
        """(n,) probability of the true class."""
        return self.p[np.arange(len(self.p)), self.label]

    @property
    def n_images(self) -> int:
        return int(self.of.max()) + 1


def read_crops(tap: Activations, params, rng: np.random.Generator, progress: Progress) -> Crops:
    """`params` name the columns `image`, `area` and `label`, and hold `outputs` and `maximum_samples`. Crops without a
    value of one of the columns, or without a finite output, are left out and counted. O(n C).

    Raises NotFound, InputError and NotEnoughData.
    """
    refuse_single_class(tap)
    said: list[str] = []
    label = labels_of(tap, params.label, tap.unit_names, np.arange(tap.layout.n_samples))
    refuse_no_label(label, params.label, tap.name)
    area = _areas(tap, _named(tap, params.area, "area"))
    image, grouped = _images(tap, params.image, _named(tap, params.image, "image"), said)
    known = (label >= 0) & known_labels(image) & (np.isfinite(area) if area is not None else True)
    if not known.all():
        said.append(f"{int((~known).sum())} crop(s) without a label, an image or an area left out.")
    chosen = _whole_images(image, np.flatnonzero(known), params.maximum_samples, rng, said)
    x, kept, notes = pooled_samples(tap, "mean", chosen, progress, (0.0, 0.5))
    chosen = chosen[kept]
    if len(chosen) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(chosen)} crop(s) with all that is needed", f"at least {FEWEST}", "Record more crops"
        )  # fmt: skip
    _refuse_sums(x, params.outputs, tap.name)
    name = tap_names([tap.name])[0]
    p = np.exp(log_probabilities(x, params.outputs, name, said))
    of = np.unique(image[chosen], return_inverse=True)[1].reshape(-1) if grouped else np.arange(len(chosen))
    return Crops(
        p, label[chosen], None if area is None else area[chosen], image[chosen], of, grouped, chosen.astype(np.int64),
        "rows" if tap.layout.is_pooled else "samples", tuple(tap.unit_names), name, (*notes, *said),
    )  # fmt: skip


def _named(tap: Activations, column: str, otherwise: str) -> str:
    """The column asked for, or the usual one where there is one, or ""."""
    return column or (otherwise if otherwise in tap.samples else "")


def _areas(tap: Activations, column: str) -> np.ndarray | None:
    if not column:
        return None
    values = sample_column(tap, column)
    if values.dtype.kind not in "fiu":
        raise InputError(
            f"column '{column}' of {tap.name} holds {str(values[0])!r}", "the share of the image that a crop covers",
            "Choose a column of numbers",
        )  # fmt: skip
    values = values.astype(np.float64)
    wrong = np.flatnonzero(~np.isnan(values) & ~((values > 0) & (values <= 1)))
    if len(wrong):
        raise InputError(
            f"column '{column}' of {tap.name} holds {values[wrong[0]]:.6g} ({len(wrong):,} value(s) outside)",
            "areas as shares of the image, above 0 and at most 1", "Divide by the area of the image",
        )  # fmt: skip
    return values


def _images(tap: Activations, asked: str, column: str, said: list[str]) -> tuple[np.ndarray, bool]:
    """Image of each crop as text, and whether images have several crops."""
    if not column:
        said.append("No column names the image of a crop: crops count as independent.")
        return np.asarray(tap.samples["id"]).astype(str), False
    values = sample_column(tap, column)
    known = known_labels(values)
    text = np.where(known, values.astype(str), "")
    names = text[known]
    if len(np.unique(names)) < len(names):
        return text, True
    if asked:
        raise InputError(
            f"no two crops of {tap.name} are of one image by column '{column}'", "several crops of an image",
            "Choose the column that names the image, or leave it empty",
        )  # fmt: skip
    said.append(f"Each crop is of an image of its own by column '{column}': crops count as independent.")
    return text, False


def _whole_images(image: np.ndarray, known: np.ndarray, maximum: int, rng, said: list[str]) -> np.ndarray:
    """`known` positions of at most `maximum` crops, whole images at random (one image is taken in any case)."""
    if len(known) <= maximum:
        return known
    of, size = np.unique(image[known], return_inverse=True, return_counts=True)[1:]
    order = rng.permutation(len(size))
    taken = order[: max(1, int(np.searchsorted(np.cumsum(size[order]), maximum, side="right")))]
    chosen = known[np.isin(of.reshape(-1), taken)]
    said.append(
        f"A random {len(taken):,} of {len(size):,} images used, {len(chosen):,} of {len(known):,} crops."
    )
    return chosen


def _refuse_sums(x: np.ndarray, outputs: str, name: str) -> None:
    """Values from 0 to 1 that do not sum to 1 are neither probabilities nor, by themselves, logits."""
    sums = x.sum(axis=1)
    inside = x.min() >= -SUM_TOLERANCE and x.max() <= 1 + SUM_TOLERANCE
    if outputs == "auto" and inside and np.abs(sums - 1).max() >= SUM_TOLERANCE:
        raise InputError(
            f"{name} holds values from 0 to 1 whose rows sum from {sums.min():.4g} to {sums.max():.4g}",
            "soft labels that sum to 1, or logits",
            "Add what was cut off the stored labels, or set outputs to 'logits' if that is what they are",
        )  # fmt: skip
