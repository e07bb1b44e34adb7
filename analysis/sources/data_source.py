"""DataSource: samples in a fixed order, with ids, labels, metadata and pictures. Items are read on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError
from analysis.sources.digests import text_digest


@dataclass
class DataSource:
    """What every kind of data offers; subclasses read the items.

    kind : "image", "text", "table", "array" or "audio".
    ids : (n,) str, unique and stable: relative path, row number or the values of an id column.
    labels : (n,) int64 index into `classes`, -1 where missing; None without classes.
    columns : per-sample metadata (n,), numeric or text; "target" holds a continuous label.
    skipped : what could not be used, one sentence each.
    notes : what was guessed or decided, one sentence each.
    options : what it was opened with beyond the path, as plain values: `open_data` with them opens the same.
    """

    kind: str
    name: str
    path: Path
    ids: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = as_text(self.ids)
        if len(self.ids) == 0:
            why = f"; {len(self.skipped)} skipped, the first: {self.skipped[0]}" if self.skipped else ""
            raise InputError(
                f"{self.path} holds no usable sample{why}", "at least one", "Check the path and the kind"
            )
        refuse_duplicates(self.ids, str(self.path))
        for name, column in [*self.columns.items(), ("labels", self.labels)]:
            if column is not None and len(column) != len(self.ids):
                raise ShapeError(
                    f"'{name}' of {self.path} has {len(column)} entries", f"one per sample ({len(self)})"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def items(self, start: int, stop: int) -> list:
        """Raw items [start, stop): Pillow images, str, or float arrays. Raises InputError naming what broke."""
        raise NotImplementedError

    def thumbnails(self, start: int, stop: int) -> list[bytes] | None:
        """PNG bytes per item, at most 96 pixels wide or high; None where there is nothing to see."""
        return None

    def media_path(self, i: int) -> str | None:
        """The file of sample i, None where samples have no file of their own."""
        return None

    def media_digest(self, i: int) -> str | None:
        """Content digest of that file."""
        return None

    def content(self) -> str:
        """Digest of the items themselves; part of `digest`."""
        raise NotImplementedError

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over the items, ids and labels, in order."""
        labels = "" if self.labels is None else ",".join(map(str, self.labels.tolist()))
        return text_digest([self.kind, self.content(), *self.ids.tolist(), labels, *self.classes])

    def describe(self) -> str:
        """One line: what this was taken for, how many samples, and what to pass if that is wrong."""
        parts = [f"{len(self)} {PLURAL[self.kind]} from {self.path.name}"]
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return ", ".join(parts) + "".join(f"; {note}" for note in self.notes)

    def as_dict(self) -> dict:
        """JSON-ready facts for a store's manifest."""
        return {
            "kind": self.kind,
            "name": self.name,
            "path": str(self.path),
            "digest": self.digest,
            "options": dict(self.options),
            "n_samples": len(self),
            "classes": list(self.classes),
            "skipped": len(self.skipped),
            "notes": list(self.notes),
        }


PLURAL = {"image": "images", "text": "texts", "table": "rows", "array": "arrays", "audio": "clips"}


def as_text(values) -> np.ndarray:
    """(n,) str array; an object array where one long text would make a rectangular one huge, or where a text ends in
    NUL, which a rectangular one drops."""
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    texts = [v if isinstance(v, str) else ("" if v is None else str(v)) for v in values]
    longest = max(map(len, texts), default=0)
    odd = longest > 256 or any(t.endswith("\0") for t in texts)
    return np.array(texts, dtype=object if odd else str)


def refuse_duplicates(
    ids: Sequence[str], name: str, remedy: str = "Choose another id column, or none (row numbers)"
):
    """Raise InputError naming the first ids that occur twice, and how many do."""
    if len(set(ids.tolist() if isinstance(ids, np.ndarray) else ids)) == len(ids):
        return
    twice = [str(i) for i, count in Counter(ids).items() if count > 1]
    raise InputError(
        f"{name} has {len(twice)} ids more than once ({', '.join(map(repr, twice[:5]))})",
        "unique ids",
        remedy,
    )


def checked_range(start: int, stop: int, n: int) -> range:
    """The positions [start, stop) inside [0, n). Raises NotFound outside."""
    if not 0 <= start <= stop <= n:
        raise NotFound(f"samples {start} to {stop}", f"positions from 0 to {n}")
    return range(start, stop)
