"""One line per sample: the tokens of a tap pooled, with the samples' classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress

MOST_BYTES = 4 << 30
SHOWN = 5  # classes named in a refusal or a note


@dataclass(frozen=True)
class LabelledMatrix:
    """`values` (n, units) float64, one line per sample; `samples` (n,) their positions; `of` (n,) class number;
    `names` (C,) and `counts` (C,) of the classes; `notes` on what was left out."""

    values: np.ndarray
    samples: np.ndarray
    of: np.ndarray
    names: tuple[str, ...]
    counts: np.ndarray
    notes: tuple[str, ...]


def labelled_matrix(
    activations: Activations,
    column: str = "label",
    pooling: str = "max",
    *,
    minimum: int = 5,
    maximum_samples: int | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> LabelledMatrix:
    """One pooled line per labelled sample, of the classes that have at least `minimum` samples.

    Samples without a label (negative number, NaN, empty text) or without a finite row are left out; above
    `maximum_samples` a seeded random subset is taken. Time O(n d), memory 8 bytes per sample and unit.

    Raises
    ------
    NotFound
        No such column.
    NotEnoughData
        Fewer than two classes with enough samples; what there is, is named.
    TooLarge
        The pooled matrix would exceed 4 GiB.
    """
    samples, notes = _labelled(activations, column, maximum_samples, rng)
    values, kept, left_out = pooled_samples(activations, pooling, samples, progress, span)
    samples = samples[kept]
    found, of = np.unique(np.asarray(activations.samples[column])[samples], return_inverse=True)
    counts = np.bincount(of, minlength=len(found))
    good = counts >= minimum
    if good.sum() < 2:
        raise NotEnoughData(
            f"{activations.name}: {too_few(found, counts, column, minimum)}",
            "at least two such classes",
            "Record more samples of the small classes, or choose another column",
        )
    if not good.all():
        few = listed(found[~good], counts[~good])
        notes.append(f"{int((~good).sum())} class(es) with fewer than {minimum} samples left out: {few}.")
        stay = good[of]
        samples, values, of = samples[stay], values[stay], (np.cumsum(good) - 1)[of[stay]]
    names = tuple(str(v) for v in found[good])
    notes += copies_note(values)
    return LabelledMatrix(values, samples, of, names, counts[good], (*left_out, *notes))


def known_labels(labels: np.ndarray) -> np.ndarray:
    """Boolean (n,): which labels (n,) there are; negative numbers, NaN and empty texts are missing."""
    if labels.dtype.kind in "fiu":
        return np.isfinite(labels) & (labels >= 0)
    return labels.astype(str) != ""


def too_few(names: np.ndarray, counts: np.ndarray, column: str, minimum: int) -> str:
    """Why the classes of a column will not do, for a refusal."""
    if names.dtype.kind == "f" and len(names) > counts.sum() / 2:
        return f"'{column}' holds {len(names):,} different numbers: no class has {minimum} samples or more"
    if len(names) > SHOWN and counts.max() == 1:
        return (
            f"'{column}' has another value for each of {len(names):,} samples: no class has {minimum} or more"
        )
    return (
        f"{int((counts >= minimum).sum())} of {len(names)} class(es) of '{column}' have {minimum} samples or more "
        f"(samples per class: {listed(names, counts)})"
    )


def listed(names: np.ndarray, counts: np.ndarray) -> str:
    """The largest classes with their samples, and how many more there are."""
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    shown = ", ".join(f"{names[i]} ({counts[i]})" for i in order) or "none"
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _labelled(activations, column, maximum, rng) -> tuple[np.ndarray, list[str]]:
    """Positions (rising) of the samples that have a label, at most `maximum` of them, and notes."""
    known = known_labels(sample_column(activations, column))
    samples, notes = np.flatnonzero(known), []
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a label left out.")
    if maximum is None:
        return samples, notes
    samples, said = random_part(samples, maximum, rng or np.random.default_rng(0), "labelled samples")
    return samples, [*notes, *said]


def pooled_samples(
    activations: Activations,
    pooling: str,
    samples: np.ndarray,
    progress: Progress,
    span: tuple[float, float],
    *,
    as_stored: bool = False,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Maximum ("max") or mean ("mean") over the finite rows of each of the `samples` (n,), positions in any order:
    values (kept, d) in that order, float64 (`as_stored`: those of a tap without tokens as they are), kept (n,) boolean,
    notes. Time O(rows d). Raises TooLarge above 4 GiB."""
    d, layout = activations.shape[1], activations.layout
    size = len(samples) * d * 8
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(samples):,} samples x {d:,} units need {size / 2**30:.1f} GiB",
            f"at most {MOST_BYTES / 2**30:.0f} GiB",
            "Lower 'maximum samples'",
        )
    position = np.full(layout.n_samples, -1)
    position[samples] = np.arange(len(samples))
    shape, blank = (len(samples), d), -np.inf if pooling == "max" else 0.0
    values, stored = None, as_stored and layout.is_pooled
    rows_of, seen = np.zeros(len(samples)), Pass()
    combine = np.maximum if pooling == "max" else np.add
    for rows, block in finite_blocks(
        activations, seen, progress, "pooling samples", span, as_stored=layout.is_pooled
    ):
        if values is None:
            kind = block.dtype if stored else np.float64
            values = np.empty(shape, kind) if layout.is_pooled else np.full(shape, blank, kind)
        owner = position[layout.sample_of(rows)]
        if not (owner >= 0).all():
            block, owner = block[owner >= 0], owner[owner >= 0]
        if layout.is_pooled:
            values[_place(owner)], rows_of[owner] = block, 1
        elif len(owner):
            cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
            values[owner[cuts]] = combine(values[owner[cuts]], combine.reduceat(block, cuts, axis=0))
            rows_of[owner[cuts]] += np.diff(np.append(cuts, len(owner)))
    if values is None:
        values = np.full(shape, blank)
    kept = rows_of > 0
    if pooling == "mean" and not layout.is_pooled:
        values[kept] /= rows_of[kept, None]
    notes = list(seen.notes)
    if not layout.is_pooled:
        notes.append(f"Each sample counts once, by the {pooling} over its tokens.")
    # float64 stays: in float32 a unit with a large mean would get ties that are not in the data
    return (values if kept.all() else values[kept]), kept, notes


def pooled_means(
    activations: Activations, seen: Pass, progress: Progress, span: tuple[float, float]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (samples (m,), rising, mean over the finite rows of each (m, d) float64), chunk by chunk: whole samples,
    also where a sample lies in two chunks. Memory: a chunk."""
    layout = activations.layout
    left = None  # of the sample that may go on: its number, its sum, its rows
    for rows, block in finite_blocks(activations, seen, progress, "pooling samples", span):
        owner = layout.sample_of(rows)
        if layout.is_pooled:
            yield owner, block
            continue
        cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
        sums, counts = np.add.reduceat(block, cuts, axis=0), np.diff(np.append(cuts, len(owner)))
        samples = owner[cuts]
        if left is not None and left[0] == samples[0]:
            sums[0] += left[1]
            counts[0] += left[2]
        elif left is not None:
            yield np.array([left[0]]), left[1][None] / left[2]
        left = int(samples[-1]), sums[-1].copy(), int(counts[-1])
        if len(samples) > 1:
            yield samples[:-1], sums[:-1] / counts[:-1, None]
    if left is not None:
        yield np.array([left[0]]), left[1][None] / left[2]


def _place(rows: np.ndarray) -> np.ndarray | slice:
    """Row numbers as a slice where they follow each other, which is written three times as fast."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
