"""Sample columns as what axes are made from: a number for each number, 0 and 1 for each class."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.known_factors import NOT_FACTORS, factors_of
from analysis.compute.rows.random_part import random_part
from analysis.errors import NotEnoughData, TooLarge

MOST_AXES = 60


def column_targets(
    activations: Activations, column: str, others: str, maximum: int, rng: np.random.Generator, alone: bool
) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Names of the axes, values (n, axes) with NaN where there is none, notes, and the samples' positions: at most
    `maximum`, a seeded random subset. `alone`: one axis is enough. Raises NotFound, NotEnoughData, TooLarge."""
    at, notes = random_part(activations.layout.n_samples, maximum, rng)
    asked = [c.strip() for c in others.split(",") if c.strip()]
    rest = asked or [c for c in activations.samples if c not in NOT_FACTORS]
    wanted = [column, *(c for c in rest if c != column)]
    ids = np.asarray(activations.samples["id"]).astype(str)[at]
    factors, more = factors_of([activations], ids, ",".join(wanted))
    names, columns = [], []
    for f in factors:
        groups = [] if f.is_number else ([1] if len(f.classes) == 2 else range(len(f.classes)))
        if f.is_number:
            names.append(f.name)
            columns.append(
                np.where(f.known, (f.values - f.values[f.known].mean()) / f.values[f.known].std(), np.nan)
            )
        for c in groups:
            names.append(f"{f.name} {f.classes[c]}")
            columns.append(np.where(f.known, (f.of == c).astype(float), np.nan))
    if len(names) + alone < 2:
        raise NotEnoughData(
            f"{len(names)} axis ({', '.join(names)})", "at least two", "Add a column, or name others"
        )
    if len(names) > MOST_AXES:
        raise TooLarge(f"{len(names)} axes", f"at most {MOST_AXES}", "Name fewer columns in 'others'")
    return names, np.column_stack(columns), [*notes, *more], at
