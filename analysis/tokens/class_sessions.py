"""Classes that come session by session, and the rows of the classifier of each session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.class_codes import class_codes
from analysis.errors import LoupeError, ParameterError
from analysis.sources.classifier_head import head_of
from analysis.sources.weights import weights_of

NO_HEAD = "none"


@dataclass(frozen=True)
class ClassSessions:
    """`stay` (n,) samples with a class that comes in a session; `codes` (m,) of those, numbers of `names`; `session`
    (C,), in which each class comes, 0 for the base; `notes`."""

    stay: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    session: np.ndarray
    notes: tuple[str, ...]


def class_sessions(labels: np.ndarray, column: str, asked: str, sessions: int) -> ClassSessions:
    """Of labels (n,). `asked`: classes with commas, sessions with semicolons; empty: the earlier half of all in order
    is the base, the others come evenly.

    Raises ParameterError, NotEnoughData: no such class, one twice, more sessions than checkpoints; one class only.
    """
    found = class_codes(labels, column, 1)
    if not asked.strip():
        base = (len(found.names) + 1) // 2
        later = np.array_split(np.arange(base, len(found.names)), sessions - 1)
        session = np.zeros(len(found.names), int)
        for s, classes in enumerate(later):
            session[classes] = s + 1
        return ClassSessions(found.stay, found.codes, found.names, session, found.notes)
    groups = [[c.strip() for c in part.split(",") if c.strip()] for part in asked.split(";")]
    named = [c for group in groups for c in group]
    for one in named:
        if one not in found.names:
            raise ParameterError(
                f"no class '{one}' among the samples", "some of " + ", ".join(found.names[:20])
            )
        if named.count(one) > 1:
            raise ParameterError(f"class '{one}' twice", "each class in one session")
    if not groups[0] or not 2 <= len(groups) <= sessions:
        raise ParameterError(
            f"{len(groups)} session(s) for {sessions} checkpoints, {len(groups[0])} base class(es)",
            f"a base and 1 to {sessions - 1} more, with semicolons between",
        )
    order = [found.names.index(c) for c in named]
    place = np.full(len(found.names), -1)
    place[order] = np.arange(len(order))
    codes = place[found.codes]
    stay = found.stay.copy()
    stay[np.flatnonzero(found.stay)[codes < 0]] = False
    session = np.concatenate([np.full(len(g), s) for s, g in enumerate(groups)])
    left = [f"{len(found.names) - len(named)} class(es) that come in no session are left out."] \
        if len(named) < len(found.names) else []  # fmt: skip
    return ClassSessions(stay, codes[codes >= 0], tuple(named), session, (*found.notes, *left))


@dataclass(frozen=True)
class Classifier:
    """`rows` (C_s, d) of the classes seen by a session; of the `k` classes that it has in all `middle` (d,), their
    mean."""

    rows: np.ndarray
    k: int
    middle: np.ndarray


def classifiers(
    taps, values, found: ClassSessions, head: str
) -> tuple[list[Classifier], bool, tuple[str, ...]]:
    """(one for each session, whether they are weights, notes). Where no head is found, class means of `values` (n, d),
    less the mean of them all, stand for its rows. Raises what `head_of` does where a head is named."""
    seen = [np.flatnonzero(found.session <= s) for s in range(len(taps))]
    if head.strip() == NO_HEAD:
        return _means(values, found, seen), False, ("Class means stand for the classifier, as was asked.",)
    try:
        made = [_weights(tap, found.names, at, head) for tap, at in zip(taps, seen, strict=True)]
    except LoupeError as why:
        if head:
            raise
        note = f"Class means stand for the classifier, whose weights are not known: {why.found}."
        return _means(values, found, seen), False, (note,)
    names = ", ".join(dict.fromkeys(name for _, name in made))
    return [m for m, _ in made], True, (f"The classifier is the weight of '{names}' in each checkpoint.",)


def _weights(tap, names: tuple[str, ...], seen: np.ndarray, layer: str) -> tuple[Classifier, str]:
    """Rows of the classes seen, of a classifier that has rows for all classes from the beginning or that grows."""
    try:
        head = head_of(tap, names, layer)
        rows = head.weight[seen]
    except LoupeError:
        head = head_of(tap, [names[c] for c in seen], layer)
        rows = head.weight
    every = weights_of(tap).layer(head.name).weight
    return Classifier(rows, len(every), every.mean(axis=0)), head.name


def _means(values, found: ClassSessions, seen) -> list[Classifier]:
    member = (found.codes == np.arange(len(found.names))[:, None]).astype(float)
    member /= np.maximum(member.sum(axis=1, keepdims=True), 1)
    means = [(member @ x)[at] for x, at in zip(values, seen, strict=True)]
    return [Classifier(m, len(m), m.mean(axis=0)) for m in means]
