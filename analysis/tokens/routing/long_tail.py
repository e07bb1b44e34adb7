"""Classes of a long tail: many, medium or few samples to learn from.

By counts of training samples where a column has them: more than 100 many, fewer than 20 few, as is usual (Z. Liu et al.
2019, "Large-scale long-tailed recognition in an open world"). Otherwise thirds of the classes by their samples here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.errors import InputError, NotEnoughData

MANY, MEDIUM, FEW = "many", "medium", "few"
GROUPS = (MANY, MEDIUM, FEW)


@dataclass(frozen=True)
class LongTail:
    """`order` (K,) classes that occur, those with the most to learn from first; their `group` (K,) 0, 1 or 2, `learnt`
    (K,) samples to learn from and `here` (K,) samples in these data; `notes`."""

    order: np.ndarray
    group: np.ndarray
    learnt: np.ndarray
    here: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """`logs` by expert (n, C), `label` (n,), the classes' `tail`, `names` of experts and `classes`."""

    logs: tuple[np.ndarray, ...]
    label: np.ndarray
    tail: LongTail
    names: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def group(self) -> np.ndarray:
        """(n,) group of each sample's class."""
        of = np.zeros(len(self.classes), int)
        of[self.tail.order] = self.tail.group
        return of[self.label]

    def together(self) -> np.ndarray:
        return np.logaddexp.reduce(self.logs) - np.log(len(self.logs))

    def parts(self) -> dict[str, np.ndarray]:
        """Samples (n,) bool of all and of each group of classes that has some."""
        group = self.group
        out = {"all": np.ones(len(group), bool)} | {
            f"{name} samples": group == g for g, name in enumerate(GROUPS)
        }
        return {name: part for name, part in out.items() if part.sum() > 1}


def long_tail(
    tap: Activations,
    label: np.ndarray,
    position: np.ndarray,
    classes: int,
    column: str,
    ends: tuple[int, int],
) -> LongTail:
    """Of classes `label` (n,) >= 0 of the samples at `position` (n,); `column` of training counts or ""; `ends`: many
    above the first, few below the second. Raises NotFound, InputError, NotEnoughData (one class)."""
    here = np.bincount(label, minlength=classes)
    there = np.flatnonzero(here)
    if len(there) < 2:
        raise NotEnoughData(f"samples of {len(there)} class(es)", "at least two classes")
    learnt, notes = here, []
    if column:
        learnt = _counts(sample_column(tap, column)[position], label, classes, column)
    order = there[np.argsort(-learnt[there], kind="stable")]
    if column:
        n = learnt[order]
        group = np.where(n > ends[0], 0, np.where(n < ends[1], 2, 1))
    else:
        group = np.minimum(np.arange(len(order)) * 3 // len(order), 2)
        notes.append("Samples that each class was learnt from are not known: groups are thirds of the classes by their "
                     "samples in these data.")  # fmt: skip
        if here[order].max() < 1.5 * here[order].min():
            notes.append(
                "All classes have about as many samples here, so that many, medium and few mean little."
            )
    return LongTail(order, group, learnt[order], here[order], tuple(notes))


def _counts(values: np.ndarray, label: np.ndarray, classes: int, column: str) -> np.ndarray:
    try:
        values = np.asarray(values).astype(np.float64)
    except ValueError:
        raise InputError(
            f"column '{column}' holds words", "training samples of each sample's class"
        ) from None
    out = np.zeros(classes)
    for c in np.unique(label):
        own = np.unique(values[label == c])
        if len(own) != 1 or not np.isfinite(own[0]):
            raise InputError(
                f"column '{column}' has {len(own)} different values for one class",
                "how many training samples the class has, the same for all of its samples",
            )
        out[c] = own[0]
    return out
