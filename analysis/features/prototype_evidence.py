"""What each feature of a tap says for each class: its largest value over the rows of a sample, times a weight.

Of prototypes the weights are the network's own last layer; of any other feature set a ridge read-out of the classes is
fitted in its place, and said to be.

    logit_c = b_c + Σ_p W_cp max over rows of c_p
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.rows.samples import known_labels
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotEnoughData, NotFound, TooLarge
from analysis.features import rules
from analysis.features.tap_dictionary import TapDictionary

MOST_BYTES = 4 << 30
RIDGE = 1e-2  # of the fitted read-out, as a share of the samples
FITTED = (
    "The features are no prototypes with a last layer of their own: the weights are a ridge read-out of '{column}' "
    "fitted here to the same samples, so they speak for the labels, not for the network."
)


@dataclass(frozen=True)
class Largest:
    """`values` (n, k) float64, the largest code of each feature in each of the `samples` (n,); `best` (k,) and `row`
    (k,) the largest of all rows read and where; `notes`."""

    values: np.ndarray
    samples: np.ndarray
    best: np.ndarray
    row: np.ndarray
    notes: tuple[str, ...]


def largest_of(made: TapDictionary, samples: np.ndarray, progress, span) -> Largest:
    """Over the finite rows of the `samples` (n,), rising; the best row of each feature over all rows. One pass.

    Raises TooLarge above 4 GiB, NotEnoughData where no row is finite."""
    k, layout = made.codes.shape[1], made.codes.layout
    if len(samples) * k * 8 > MOST_BYTES:
        raise TooLarge(
            f"{len(samples):,} samples x {k:,} features need {len(samples) * k * 8 / 2**30:.1f} GiB",
            "at most 4 GiB", "Lower 'maximum samples'",
        )  # fmt: skip
    position = np.full(layout.n_samples, -1)
    position[samples] = np.arange(len(samples))
    values, seen = np.full((len(samples), k), -np.inf), Pass()
    best, row = np.full(k, -np.inf), np.zeros(k, np.int64)
    for rows, codes in code_blocks(made, seen, progress, span):
        at = codes.argmax(axis=0)
        higher = codes[at, np.arange(k)] > best
        best[higher], row[higher] = codes[at, np.arange(k)][higher], rows[at[higher]]
        owner = position[layout.sample_of(rows)]
        codes, owner = codes[owner >= 0], owner[owner >= 0]
        if len(owner):
            cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
            values[owner[cuts]] = np.maximum(values[owner[cuts]], np.maximum.reduceat(codes, cuts, axis=0))
    kept = np.isfinite(values).all(axis=1)
    if not kept.any():
        raise NotEnoughData(f"{made.codes.name} has no finite row", "some", "Record it again")
    return Largest(values[kept], np.asarray(samples)[kept], best, row, seen.notes)


def codes_of(made: TapDictionary, x: np.ndarray) -> np.ndarray:
    """(n, k) float64 codes of rows `x` (n, d)."""
    features = made.features
    return features.similarities(x) if features.epsilon is not None else features.encode(x).astype(np.float64)


def code_blocks(made: TapDictionary, seen: Pass, progress, span):
    """Yield (rows (m,), codes (m, k) float64): of prototypes computed anew, before they are rounded to be stored."""
    if made.features.rule != rules.PROTOTYPE:
        yield from finite_blocks(made.codes, seen, progress, "reading codes", span)
        return
    for rows, x in finite_blocks(made.source, seen, progress, "comparing with prototypes", span):
        yield rows, made.features.similarities(x)


@dataclass(frozen=True)
class ReadOut:
    """`weights` (C, k) and `bias` (C,) of the classes `names`; `owner` (k,) the class of each feature, -1 for none;
    `of` (n,) the class of each sample, -1 where not known; `fitted` here, not the network's; `notes`."""

    weights: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]
    owner: np.ndarray
    of: np.ndarray
    fitted: bool
    notes: tuple[str, ...]

    def logits(self, values: np.ndarray) -> np.ndarray:
        """(n, C) of largest values (n, k), the bias in them."""
        return values @ self.weights.T + self.bias


def read_out(made: TapDictionary, tap: Activations, found: Largest, column: str | None) -> ReadOut:
    """The last layer of a set of prototypes, else a fitted one. `column`: of classes; None for 'label'.

    Raises NotFound without classes, NotEnoughData with fewer than two."""
    features, column = made.features, label_column(tap, column)
    labels = None if column is None else np.asarray(sample_column(tap, column))[found.samples]
    if features.connections is None:
        return _fitted(tap, found, labels, column)
    names, of, notes = _named(made, labels, len(features.connections), column)
    owner = np.asarray(features.about.get("prototype_classes") or features.connections.argmax(axis=0))
    bias = np.asarray(features.about.get("output_bias") or np.zeros(len(names)), np.float64)
    return ReadOut(features.connections.astype(np.float64), bias, names, owner, of, False, notes)


def _named(made: TapDictionary, labels, classes: int, column: str | None):
    """Names of the last layer's classes, the class of each sample, notes."""
    known = tuple(getattr(getattr(made.source, "store", None), "classes", ()))
    if labels is None:
        names = known if len(known) == classes else tuple(str(c) for c in range(classes))
        return names, np.zeros(0, np.int64), ("The samples have no classes to compare with.",)
    text, have = labels.astype(str), known_labels(labels)
    found = tuple(str(v) for v in np.unique(labels[have]))
    names = next((n for n in (known, found) if len(n) == classes), ())
    if not names or not set(found) <= set(names):
        numbers = tuple(str(c) for c in range(classes))
        if set(found) <= set(numbers):
            names = names or numbers
            return (
                names,
                np.array([numbers.index(t) if h else -1 for t, h in zip(text, have, strict=True)]),
                (),
            )
        return numbers, np.zeros(0, np.int64), (
            f"The last layer has {classes} classes and '{column}' has {len(found)}: which is which is not known, so "
            "classes are numbered and samples are not compared with their own.",
        )  # fmt: skip
    of = np.array([names.index(t) if h else -1 for t, h in zip(text, have, strict=True)])
    listed = ", ".join(names[:6]) + (f" and {classes - 6} more" if classes > 6 else "")
    return names, of, (f"The classes of the last layer are taken in the order {listed}.",)


def _fitted(tap, found: Largest, labels, column: str | None) -> ReadOut:
    if labels is None:
        raise NotFound(
            f"{tap.name} has neither prototypes with a last layer nor a column 'label'", "classes to speak for",
            "Import prototypes and encode the tap with them, or name a column",
        )  # fmt: skip
    have = known_labels(labels)
    names, codes = np.unique(labels[have], return_inverse=True)
    if len(names) < 2 or have.sum() < 2 * len(names):
        raise NotEnoughData(
            f"'{column}' has {len(names)} class(es) over {int(have.sum())} samples", "two or more, of two samples each",
            "Record more samples, or choose another column",
        )  # fmt: skip
    of = np.full(len(labels), -1)
    of[have] = codes.reshape(-1)
    x, hot = found.values[have], np.eye(len(names))[of[have]]
    mean, size = x.mean(axis=0), x.std(axis=0)
    still = size <= 1e-9 * max(float(size.max()), 1e-300)
    z = np.where(still, 0.0, x - mean) / np.where(still, 1.0, size)
    target = hot - hot.mean(axis=0)
    gram, penalty = (z @ z.T if len(z) < z.shape[1] else z.T @ z), RIDGE * len(z)
    gram[np.diag_indices(len(gram))] += penalty
    w = z.T @ np.linalg.solve(gram, target) if len(z) < z.shape[1] else np.linalg.solve(gram, z.T @ target)
    weights = (w / np.where(still, 1.0, size)[:, None]).T
    bias = hot.mean(axis=0) - weights @ mean
    owner = np.where(np.ptp(weights, axis=0) > 0, weights.argmax(axis=0), -1)
    notes = (FITTED.format(column=column),)
    return ReadOut(weights, bias, tuple(str(n) for n in names), owner, of, True, notes)


def place(tap: Activations, row: int) -> str:
    """ "img_31, patch (3, 4)" of a row: its sample's id and where in it."""
    name = str(tap.samples["id"][int(tap.layout.sample_of(row))])
    return name if tap.layout.is_pooled else f"{name}, {place_inside(tap, row)}"


def place_inside(tap: Activations, row: int) -> str:
    """ "patch (3, 4)" on a grid, "token 5" elsewhere, "the whole" where a sample is one row."""
    layout = tap.layout
    token = int(layout.token_of(row))
    if layout.is_pooled:
        return "the whole"
    if layout.grid is None or token < layout.leading:
        return f"token {token}"
    down, along = divmod(token - layout.leading, layout.grid[1])
    return f"patch ({down + 1}, {along + 1})"


def class_codes_of(made: TapDictionary, samples: np.ndarray, column: str | None):
    """Names of the classes, the class of each of the `samples` (n,), -1 where not known, the class of each prototype,
    None for features that have none of their own, and notes. Raises NotFound."""
    tap = made.codes
    column = label_column(tap, column)
    labels = None if column is None else np.asarray(sample_column(tap, column))[samples]
    features = made.features
    if features.connections is not None:
        names, of, notes = _named(made, labels, len(features.connections), column)
        owner = np.asarray(features.about.get("prototype_classes") or features.connections.argmax(axis=0))
        return names, of if len(of) else np.full(len(samples), -1), owner, notes
    if labels is None:
        raise NotFound(
            f"{tap.name} has no column 'label'", "classes to compare with", "Name a column of classes"
        )
    have = known_labels(labels)
    names, codes = np.unique(labels[have], return_inverse=True)
    of = np.full(len(labels), -1)
    of[have] = codes.reshape(-1)
    return tuple(str(n) for n in names), of, None, ()


def sample_at(tap: Activations, asked: str, among: np.ndarray, otherwise: int) -> int:
    """Position in `among` of the sample with the id `asked`, `otherwise` where that is empty. Raises NotFound,
    InputError where it has no finite row."""
    if not asked:
        return otherwise
    ids = np.asarray(tap.samples["id"]).astype(str)
    at = np.flatnonzero(ids == asked)
    if not len(at):
        raise NotFound(f"no sample with the id {asked!r}", "one of " + ", ".join(ids[:6]) + " …")
    place_of = np.flatnonzero(among == at[0])
    if not len(place_of):
        raise InputError(f"sample {asked!r} has no finite row", "one that has")
    return int(place_of[0])
