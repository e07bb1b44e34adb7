"""What several models say about the same rows: class probabilities from logits or probabilities, and labels.

Rows are samples, matched by id, or the tokens themselves where all taps hold the same tokens of the same samples. A
softmax turns logits into probabilities; values whose rows are non-negative and sum to 1 are taken as probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import Progress

KINDS = ("auto", "logits")
SUM_TOLERANCE = 1e-3  # of a row of probabilities stored in half precision
SMALLEST = 1e-12  # probability below which a stored 0 is read


@dataclass(frozen=True)
class Outputs:
    """`logs`, per model (n, C) natural logarithms of class probabilities; `rows` (n,) of the first tap and the `sample`
    (n,) of each, 0 .. n_samples - 1, at `position` (n_samples,) in the first tap; `classes` (C,); `names`; `notes`."""

    logs: tuple[np.ndarray, ...]
    rows: np.ndarray
    sample: np.ndarray
    position: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        return len(self.position)

    @property
    def top(self) -> np.ndarray:
        """(models, n) class of the largest probability, the first of equals."""
        return np.array([log.argmax(axis=1) for log in self.logs])

    def per_sample(self, values: np.ndarray) -> np.ndarray:
        """(n_samples,) mean over the rows of each sample of `values` (n,)."""
        if self.n_samples == len(self.rows):
            return np.asarray(values, dtype=np.float64)
        return np.bincount(self.sample, values, self.n_samples) / np.bincount(
            self.sample, minlength=self.n_samples
        )


def model_outputs(
    taps: Sequence[Activations],
    kind: str,
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int = 4,
    progress: Progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> Outputs:
    """Read one output tap of each model. At most `maximum` rows, a seeded random subset above. O(n Σ C).

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_samples` and `matched_taps` do; fewer than two classes, or different numbers of classes.
    """
    _refuse_classes(taps)
    values, rows, sample, position, notes = _read(taps, rng, maximum, minimum, progress, span)
    names = tap_names([t.name for t in taps])
    order = [_class_order(taps[0], tap) for tap in taps]
    said, logs = [], []
    for x, name, to in zip(values, names, order, strict=True):
        x = x if to is None else x[:, to]
        logs.append(log_probabilities(x, kind, name, said))
        if to is not None:
            said.append(f"{name}: classes put in the order of {names[0]}, by name.")
    differ = [n for n, t in zip(names, taps, strict=True) if set(t.unit_names) != set(taps[0].unit_names)]
    if differ:
        said.append(f"{', '.join(differ)}: classes are named differently and were matched by their place.")
    tied = sum(int(_tied(log).sum()) for log in logs)
    if tied:
        said.append(
            f"In {tied:,} answer(s) of the models two top classes are equally probable; the first counts."
        )
    if len(position) < len(rows):
        said.append("Each sample counts once, by the mean over its tokens.")
    return Outputs(tuple(logs), rows, sample, position, tuple(taps[0].unit_names), names, (*notes, *said))


def _read(taps, rng, maximum, minimum, progress, span):
    """Values per tap, rows of the first tap, sample of each row, positions of the samples, notes."""
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    pooled = all(t.layout.is_pooled for t in taps)
    if pooled and any(not np.array_equal(ids[0], other) for other in ids[1:]):
        data = common_samples(taps, rng, maximum=maximum, minimum=minimum, progress=progress, span=span)
        by_id = np.argsort(ids[0])
        position = by_id[np.searchsorted(ids[0], data.ids, sorter=by_id)]
        return data.values, position, np.arange(len(position)), position, data.notes
    data = matched_taps(taps, rng, maximum_rows=maximum, minimum=minimum, progress=progress, span=span)
    owner = taps[0].layout.sample_of(data.rows)
    if len(np.unique(owner)) == data.n_samples:
        position, sample = np.unique(owner, return_inverse=True)
    else:  # one sample only, whose rows count as independent
        position, sample = owner, np.arange(len(owner))
    return data.values, data.rows, sample.reshape(-1), position, data.notes


def log_probabilities(x: np.ndarray, kind: str, name: str, said: list[str]) -> np.ndarray:
    """Natural logarithms (n, C) of the class probabilities that `x` (n, C) holds or stands for."""
    if kind == "logits" or not _are_probabilities(x):
        shifted = x - x.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    low = int((x < SMALLEST).sum())
    if low:
        said.append(
            f"{name}: {low:,} probabilities of 0 are read as {SMALLEST:g}, or a divergence could be infinite."
        )
    p = np.maximum(x, SMALLEST)
    return np.log(p / p.sum(axis=1, keepdims=True))


def _are_probabilities(x: np.ndarray) -> bool:
    return bool((x >= 0).all() and (np.abs(x.sum(axis=1) - 1) < SUM_TOLERANCE).all())


def _tied(log: np.ndarray) -> np.ndarray:
    return (log == log.max(axis=1, keepdims=True)).sum(axis=1) > 1


def _refuse_classes(taps: Sequence[Activations]) -> None:
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "the outputs of two or more models")
    refuse_single_class(taps[0])
    for other in taps[1:]:
        if other.shape[1] != taps[0].shape[1]:
            raise InputError(
                f"{taps[0].name} has {taps[0].shape[1]} classes and {other.name} has {other.shape[1]}",
                "models with the same classes", "Choose the outputs of models trained on the same classes",
            )  # fmt: skip


def refuse_single_class(tap: Activations) -> None:
    """Raise InputError where a tap has one unit, so that it cannot be class logits."""
    if tap.shape[1] < 2:
        raise InputError(
            f"{tap.name} has one unit", "an output with a unit for each class", "Choose a tap of logits"
        )


def _class_order(first: Activations, other: Activations) -> np.ndarray | None:
    """Where the classes of `first` are in `other`; None where they stand alike or are named differently."""
    a, b = list(first.unit_names), list(other.unit_names)
    if a == b or sorted(a) != sorted(b) or len(set(a)) < len(a):
        return None
    return np.array([b.index(name) for name in a])


def labels_of(tap: Activations, column: str, classes: Sequence[str], position: np.ndarray) -> np.ndarray:
    """(samples,) right class of the samples at `position` (samples,), -1 where there is no label: by the name of the
    class, or by its number. An empty `column` means "label" where there is such a column and it fits, and otherwise
    gives -1 for all.

    Raises NotFound (no such column) and InputError (labels that name no class) where the column was asked for.
    """
    if not column and "label" not in tap.samples:
        return np.full(len(position), -1)
    labels = sample_column(tap, column or "label")[position]
    known = known_labels(labels)
    of = np.full(len(labels), -1)
    texts, place = labels.astype(str), {name: i for i, name in enumerate(classes)}
    if all(text in place for text in np.unique(texts[known])):
        of[known] = [place[text] for text in texts[known]]
        return of
    numbers = _whole_numbers(labels[known])
    if numbers is not None and (not len(numbers) or numbers.max() < len(classes)):
        of[known] = numbers
        return of
    if not column:
        return of
    strange = next(text for text in texts[known] if text not in place)
    raise InputError(
        f"column '{column}' of {tap.name} holds {str(strange)!r}",
        f"names of the {len(classes)} classes, or their numbers from 0",
        "Choose the column with the right class",
    )


def _whole_numbers(labels: np.ndarray) -> np.ndarray | None:
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        return None
    good = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all() and (numbers >= 0).all()
    return numbers.astype(np.int64) if good else None


def refuse_no_label(found: np.ndarray, column: str, name: str) -> None:
    """Raise NotFound where no sample has a label."""
    if not (found >= 0).any():
        raise NotFound(
            f"no sample of {name} has a class in column '{column}'", "the right class of the samples",
            "Record with labels or choose another column",
        )  # fmt: skip
