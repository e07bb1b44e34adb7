"""Samples of the groups to tell apart, and which of them come later than those that make the projection."""

from __future__ import annotations

import numpy as np

from analysis.activations import sample_column
from analysis.compute.rows.samples import LabelledMatrix
from analysis.errors import InputError, NotEnoughData

FEWEST = 6  # samples of a group


def chosen_groups(data: LabelledMatrix, params):
    """Rows of the wanted groups, their numbers and names, and notes."""
    wanted = [name.strip() for name in params.groups.split(",") if name.strip()]
    missing = [name for name in wanted if name not in data.names]
    if missing:
        raise NotEnoughData(
            f"'{missing[0]}' is no group with {FEWEST} samples or more",
            "some of " + ", ".join(data.names[:8]),
            "Name others, or record more samples of it",
        )
    order = np.argsort(-data.counts, kind="stable")
    chosen = [data.names.index(name) for name in wanted] if wanted else sorted(order[: params.most_groups])
    notes = (
        []
        if wanted or len(chosen) == len(data.names)
        else [f"{len(chosen)} of {len(data.names)} groups used."]
    )
    if len(set(chosen)) < 2:
        raise NotEnoughData("one group", "two or more to tell apart", "Name other groups")
    stay = np.isin(data.of, chosen)
    place = np.full(len(data.names), -1)
    place[chosen] = np.arange(len(chosen))
    return data.values[stay], place[data.of], tuple(data.names[i] for i in chosen), notes


def later_part(activations, x, of, names, data: LabelledMatrix, params, rng):
    """Rows, groups, names, `later` (n,) bool, notes; groups without two earlier and two later ones are left out."""
    stay = of >= 0
    of, said = of[stay], []
    if params.time:
        when = np.asarray(sample_column(activations, params.time))[data.samples][stay]
        if when.dtype.kind not in "biuf" or not np.isfinite(when.astype(float)).all():
            raise InputError(
                f"column '{params.time}' does not hold a number for every sample",
                "times or frames",
                "Choose a column of numbers without gaps, or leave the time empty",
            )
        cut = np.quantile(when.astype(float), params.history)
        later = when > cut  # one moment for all: nothing of the future is known
    else:
        later = _random_part(of, params.history, rng)
        said.append("Halves are random, not in time: neighbours in time make later samples easier to tell.")
    counts = [np.bincount(of[part], minlength=len(names)) for part in (~later, later)]
    good = (counts[0] >= 2) & (counts[1] >= 2)
    if good.sum() < 2:
        raise NotEnoughData(
            f"{int(good.sum())} group(s) have two samples before and two after the cut", "two or more",
            "Choose another share of history, or another column of time",
        )  # fmt: skip
    if not good.all():
        said.append(f"{int((~good).sum())} group(s) without two samples on each side of the cut left out.")
    keep = good[of]
    left = tuple(name for name, g in zip(names, good, strict=True) if g)
    return x[keep], (np.cumsum(good) - 1)[of[keep]], left, later[keep], said


def _random_part(of: np.ndarray, history: float, rng) -> np.ndarray:
    """(n,) bool: of each group a random share of 1 - `history`, never less than two nor all but one."""
    order, counts = np.lexsort((rng.random(len(of)), of)), np.bincount(of)
    rank = np.empty(len(of), np.int64)
    rank[order] = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank >= np.clip(np.round(history * counts), 2, np.maximum(counts - 2, 2))[of]
