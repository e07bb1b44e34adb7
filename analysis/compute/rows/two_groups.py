"""Samples of two groups of classes: base and novel ones, an old task and a new one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import sample_column
from analysis.compute.rows.class_codes import class_codes
from analysis.errors import NotEnoughData, ParameterError

SMALLEST = 3  # samples of a group


@dataclass(frozen=True)
class TwoGroups:
    """`stay` (n,) which of the samples have a class, `second` which of those are of the second group, `names` of its
    classes, `notes`."""

    stay: np.ndarray
    second: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]


def two_groups(tap, column: str, asked: str, samples: np.ndarray, called=("base", "novel")) -> TwoGroups:
    """Of the samples at the places `samples` (n,) of a tap by a column of classes. `asked`: classes of the second group
    with commas between; empty: the later half of all in order.

    Raises NotFound, ParameterError, NotEnoughData: no such column or class; fewer than three samples of a group.
    """
    labels = np.asarray(sample_column(tap, column))[samples]
    codes = class_codes(labels, column, 1)
    at = _places(codes.names, asked)
    second = np.isin(codes.codes, at)
    if min(second.sum(), (~second).sum()) < SMALLEST:
        raise NotEnoughData(
            f"{int(second.sum())} samples of {called[1]} and {int((~second).sum())} of {called[0]} classes",
            f"at least {SMALLEST} of each", "Name other classes, or use more samples",
        )  # fmt: skip
    return TwoGroups(codes.stay, second, tuple(codes.names[i] for i in at), codes.notes)


def _places(names: tuple[str, ...], asked: str) -> list[int]:
    if not asked.strip():
        return list(range((len(names) + 1) // 2, len(names)))
    wanted = [part.strip() for part in asked.split(",") if part.strip()]
    for one in wanted:
        if one not in names:
            raise ParameterError(
                f"no class '{one}' among the samples read", "some of " + ", ".join(names[:20])
            )
    return [names.index(one) for one in wanted]
