"""Features and targets of the same samples: targets from sample columns, or from a second tap.

A column of numbers is one target; a column of texts has classes, each of which becomes a target of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

OF_A_CLASS, MOST_CLASSES = 5, 500  # samples, and how many classes a column may have


def features_and_targets(
    taps: Sequence[Activations],
    columns: str,
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int,
    pooling: str = "mean",
    standardised: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features (n, d) of the first tap and targets (n, m), float64, of the samples that have both; notes.

    `columns`: names of sample columns with commas between; of no account where there is a second tap. Targets that do
    not vary are left out; `standardised`: each has deviation 1. At most `maximum` samples, a seeded random part above.

    Raises
    ------
    NotFound, ParameterError
        No such column; none named; a column of more than 500 classes.
    NotEnoughData, InputError, TooLarge
        Fewer than two classes with five samples; fewer than `minimum` samples with both; features or targets that do
        not vary; over 4 GiB.
    """
    if len(taps) == 2:
        data = common_samples(
            taps, rng, maximum=maximum, minimum=minimum, pooling=pooling, progress=progress, span=span
        )
        (h, y), notes = data.values, [*data.notes, f"Targets are the tap {taps[1].name}."]
    else:
        h, y, notes = _with_columns(taps[0], columns, rng, maximum, pooling, progress, span)
    if len(h) < minimum:
        raise NotEnoughData(
            f"{len(h)} sample(s) of {taps[0].name} have targets", f"at least {minimum}", "Record more"
        )
    spread = y.std(axis=0)
    varies = spread > 1e-12 * np.abs(y).max(axis=0)
    if not varies.any() or (h == h[0]).all():
        raise InputError("the targets or the features do not vary", "numbers that differ", "Choose others")
    if not varies.all():
        notes.append(f"{int((~varies).sum())} target(s) that do not vary left out.")
    return h, y[:, varies] / (spread[varies] if standardised else 1.0), [*notes, *copies_note(h)]


def _with_columns(tap, columns: str, rng, maximum: int, pooling: str, progress, span):
    names, notes = [name.strip() for name in columns.split(",") if name.strip()], []
    if not names:
        raise ParameterError(
            "no target column",
            "a sample column of numbers or of classes, or a second tap",
            "Name a column, or add the tap that holds the targets",
        )
    wanted = np.column_stack([_targets(tap, name, notes) for name in names])
    samples = np.flatnonzero(np.isfinite(wanted).all(axis=1))
    if len(samples) < len(wanted):
        notes.append(f"{len(wanted) - len(samples)} sample(s) without a finite target left out.")
    samples, said = random_part(samples, maximum, rng)
    h, good, more = pooled_samples(tap, pooling, samples, progress, span)
    return h, wanted[samples[good]], [*notes, *said, *more]


def _targets(tap: Activations, name: str, notes: list[str]) -> np.ndarray:
    """(n,) numbers, or (n, C) of 0 and 1 for classes, NaN where a sample has none; `notes` is told of classes."""
    values = sample_column(tap, name)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    classes = class_codes(values, name, OF_A_CLASS)
    if len(classes.names) > MOST_CLASSES:
        raise ParameterError(
            f"column '{name}' has {len(classes.names):,} classes",
            f"at most {MOST_CLASSES}",
            "Choose a column of numbers, or of fewer classes",
        )
    notes += [
        f"'{name}' holds {len(classes.names)} classes: each is a target of 0 and 1, {len(classes.names) - 1} "
        "directions in all.",
        *classes.notes,
    ]
    out = np.full((len(values), len(classes.names)), np.nan)
    out[classes.stay] = classes.one_hot()
    return out
