"""Selection: a named set of samples, rows or units of one store, and the algebra of such sets."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.errors import ParameterError, StoreDamaged

KINDS = {"samples": "sample", "rows": "token", "units": "unit"}


def _each_once(ids: np.ndarray) -> np.ndarray:
    """Sorted, each once. What is so already is only looked at: `numpy.unique` takes a second for a million texts."""
    if (ids[1:] > ids[:-1]).all():
        return ids
    ids = np.sort(ids, kind="stable")
    return ids[np.concatenate([[True], ids[1:] != ids[:-1]])]


OPERATIONS = {  # of two arrays that are sorted, each id once
    "or": lambda a, b: _each_once(np.concatenate([a, b])),
    "and": lambda a, b: np.intersect1d(a, b, assume_unique=True),
    "minus": lambda a, b: np.setdiff1d(a, b, assume_unique=True),
}


@dataclass(frozen=True, eq=False)
class Selection:
    """A named set, of one store.

    of : "samples" (ids are the samples' own, text), "rows" or "units" (ids are indices at `tap`).
    ids : (n,) array, each once and sorted; any sequence is accepted.
    note : how it came about, for whoever finds it later.

    `a | b`, `a & b` and `a - b` give unnamed selections. Two selections are equal when they hold the same
    points of the same store, whatever they are called.
    """

    name: str
    of: str
    store: str
    tap: str
    ids: np.ndarray
    note: str = ""
    author: str = ""
    made: str = ""

    def __post_init__(self) -> None:
        if self.of not in KINDS:
            raise ParameterError(f"a selection of {self.of!r}", "samples, rows or units")
        object.__setattr__(self, "ids", _sorted(self.of, self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other) -> bool:
        return isinstance(other, Selection) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __or__(self, other: Selection) -> Selection:
        return self.combined("or", other)

    def __and__(self, other: Selection) -> Selection:
        return self.combined("and", other)

    def __sub__(self, other: Selection) -> Selection:
        return self.combined("minus", other)

    @cached_property
    def digest(self) -> str:
        """Of what it holds, not of its name: 32 hexadecimal characters."""
        place = self.tap if self.of != "samples" else ""
        h = hashlib.sha256(f"{self.of}\n{self.store}\n{place}\n".encode())
        h.update(_packed(self.of, self.ids))
        return h.hexdigest()[:32]

    def combined(self, operation: str, other: Selection) -> Selection:
        """The points in either ("or"), in both ("and"), or in this one only ("minus"); unnamed, O(n log n).

        Raises ParameterError where the two hold different things: another store, rows of different taps,
        samples against units. `Workspace.combined` turns rows into their samples first.
        """
        if operation not in OPERATIONS:
            raise ParameterError(f"operation {operation!r}", "one of " + ", ".join(OPERATIONS))
        mine, others = ((s.of, s.store, s.tap if s.of != "samples" else "") for s in (self, other))
        if mine != others:
            raise ParameterError(
                f"{self.described} and {other.described}",
                "two selections of the same kind of thing",
                "Combine selections of one store and, for tokens and units, of one tap",
            )
        note = f"{self.name or 'a selection'} {operation} {other.name or 'a selection'}"
        ids = OPERATIONS[operation](self.ids, other.ids)
        return replace(self, name="", ids=ids, note=note, author="", made="")

    @property
    def described(self) -> str:
        """Such as "37 samples of digits-vit", for messages."""
        word = KINDS[self.of] + ("" if len(self) == 1 else "s")
        place = self.store if self.of == "samples" else f"{self.store}:{self.tap}"
        return f"{len(self):,} {word} of {place}"


def _sorted(of: str, ids) -> np.ndarray:
    if of == "samples":
        return _each_once(np.array(ids, dtype=str).ravel()) if len(ids) else np.empty(0, "<U1")
    whole = np.asarray(ids)
    if len(whole) and whole.dtype.kind not in "iu":
        raise ParameterError(f"{of} ids of type {whole.dtype}", "whole numbers")
    return _each_once(np.array(whole, dtype=np.int64).ravel())


def _packed(of: str, ids: np.ndarray) -> bytes:
    """The same bytes for the same ids on every machine: differences of the indices, or JSON of the texts."""
    if of == "samples":
        return json.dumps(ids.tolist()).encode()
    return np.diff(ids, prepend=np.int64(0)).astype("<i8").tobytes()


def to_bytes(selection: Selection) -> bytes:
    """The ids for storage. 500,000 neighbouring rows take a few kilobytes."""
    return zlib.compress(_packed(selection.of, selection.ids), 1)


LARGEST = 1 << 30  # bytes of ids: whoever made the file chose how far they inflate


def ids_from_bytes(of: str, packed: bytes) -> np.ndarray:
    """The inverse of `to_bytes`. Raises StoreDamaged."""
    try:
        inflating = zlib.decompressobj()
        plain = inflating.decompress(packed, LARGEST)
        if not inflating.eof:
            raise ValueError(f"cut off, or more than {LARGEST:,} bytes")
        if of == "samples":
            return np.asarray(json.loads(plain), dtype=str)
        return np.cumsum(np.frombuffer(plain, "<i8"))
    except (zlib.error, ValueError) as error:
        raise StoreDamaged(
            f"the ids of a selection cannot be read ({error})", "what was saved", "Delete it and make it anew"
        ) from None


# ---------------------------------------------------------------------------- where it lies in a store
def sample_mask(selection: Selection, store) -> np.ndarray | None:
    """(samples,) bool: the samples that a selection covers, by id or by their rows.

    None where it says nothing about them: a selection of units, of another store, or of a tap that is gone.
    Ids that the store does not hold are ignored. O(samples log samples).
    """
    if selection.of == "units" or selection.store != store.path.name:
        return None
    if selection.of == "samples":
        return np.isin(np.asarray(store.samples["id"]).astype(str), selection.ids)
    if selection.tap not in store.taps:
        return None
    layout = store.activations(selection.tap).layout
    mask = np.zeros(store.n_samples, bool)
    mask[layout.sample_of(_within(selection.ids, layout.n_rows))] = True
    return mask


def row_mask(selection: Selection, store, tap: str) -> np.ndarray | None:
    """(rows,) bool: the rows of a tap that a selection covers; None as for `sample_mask`.

    Rows of another tap stand for their samples: tokens of different taps need not be the same positions.
    """
    layout = store.activations(tap).layout
    if selection.of == "rows" and selection.tap == tap and selection.store == store.path.name:
        mask = np.zeros(layout.n_rows, bool)
        mask[_within(selection.ids, layout.n_rows)] = True
        return mask
    samples = sample_mask(selection, store)
    return None if samples is None else np.repeat(samples, np.diff(layout.offsets))


def selection_of_rows(mask: np.ndarray, store, tap: str, note: str = "") -> Selection:
    """The rows of a tap where `mask` (rows,) is true, unnamed: of samples where whole samples are meant, which then
    light up at every tap, otherwise of tokens."""
    layout = store.activations(tap).layout
    rows = np.flatnonzero(mask)
    samples = np.unique(layout.sample_of(rows))
    if layout.is_pooled or np.diff(layout.offsets)[samples].sum() == len(rows):
        ids = np.asarray(store.samples["id"])[samples]
        return Selection("", "samples", store.path.name, tap, ids, note=note)
    return Selection("", "rows", store.path.name, tap, rows, note=note)


def _within(ids: np.ndarray, n: int) -> np.ndarray:
    return ids[(ids >= 0) & (ids < n)]
