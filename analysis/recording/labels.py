"""Matching the classes of the data with the outputs of the network."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_GENERIC = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class ClassMap:
    """`names` by class number as stored; `outputs`, names of the network's outputs ("" unknown); `of_label`
    (classes of the data,) turns a label of the data into a class number; `note` says if it was guessed."""

    names: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    of_label: np.ndarray | None = None
    note: str = ""

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """Class numbers (n,) of labels (n,); -1 where there is none."""
        labels = np.asarray(labels, dtype=np.int64)
        if self.of_label is None:
            return labels
        known = (labels >= 0) & (labels < len(self.of_label))
        return np.where(known, self.of_label[np.clip(labels, 0, len(self.of_label) - 1)], -1)

    def words(self, classes: np.ndarray) -> np.ndarray:
        """Names of class numbers; the number itself where no name is known, "" for -1."""
        names = dict(enumerate(self.names))
        return np.array(["" if c < 0 else names.get(int(c), str(int(c))) for c in classes], dtype=str)


def class_map(loaded, data) -> ClassMap:
    """Match by name where both sides have names (a folder sorts its classes, a network has its own order), by
    position otherwise.

    Language models have no classes among their outputs: the data's are kept.
    """
    theirs = () if loaded.causal else tuple(loaded.class_names or ())
    if theirs and all(_GENERIC.fullmatch(name) for name in theirs):
        theirs = ()
    ours = _names_of(data)
    if not ours or not theirs:
        return ClassMap(ours or theirs, theirs or (() if loaded.causal else ours))
    place = {name: i for i, name in enumerate(theirs)}
    if all(name in place for name in ours):
        return ClassMap(theirs, theirs, np.array([place[name] for name in ours], dtype=np.int64))
    if len(ours) == len(theirs):
        note = f"class names of network and data differ ('{theirs[0]}', '{ours[0]}'): matched by position"
        return ClassMap(ours, theirs, note=note)
    note = (
        f"the network's {len(theirs)} classes are not the data's {len(ours)}: labels are compared by number"
    )
    return ClassMap(ours, theirs, note=note)


def _names_of(data) -> tuple[str, ...]:
    """The data's class names; numbers for labels without names."""
    if data.labels is None:
        return ()
    named = tuple(str(c) for c in data.classes or ())
    most = int(np.max(data.labels, initial=-1)) + 1
    return named + tuple(str(c) for c in range(len(named), most))
