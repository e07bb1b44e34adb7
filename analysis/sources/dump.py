"""A dump of activations recorded elsewhere: shapes, labels and metadata in memory, values chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.sources.digests import array_digest, file_digest, text_digest
from analysis.sources.dump_axes import DumpTap

CHUNK_BYTES = 32 << 20
MOST_SAMPLES = 4096  # per chunk


@dataclass(frozen=True)
class DumpChunk:
    """Samples [start, stop): by tap the rows (rows, units), `n_tokens` rows per sample."""

    start: int
    stop: int
    values: dict[str, np.ndarray]


@dataclass
class Dump:
    """Opened, not read: shapes from headers, labels and metadata in memory, values through `chunks`.

    taps : DumpTap by name. ids (n,), labels (n,) int into `classes` (-1 missing) or None, columns (n,).
    """

    name: str
    path: Path
    taps: dict[str, DumpTap]
    ids: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    streams: dict = field(default_factory=dict, repr=False)
    metadata_paths: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_samples(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over the file, labels, ids and how the arrays are read. About 1 s per GB."""
        labels = "" if self.labels is None else array_digest(self.labels)
        # only what is not the default: whoever resumes with tokens="mean" or channels="last" must not go on
        # with a store that was begun without
        read = [
            f"{t.name}:{t.tokens}:{t.channels}{t.said and ':' + t.said}"
            for t in self.taps.values()
            if t.is_read_otherwise
        ]
        return text_digest(
            [file_digest(self.path), labels, *self.classes, array_digest(self.ids), *self.taps, *read]
        )

    def describe(self) -> str:
        """One line: samples, and what each array was taken for."""
        taps = "; ".join(f"'{t.name}': {t.rule}" for t in self.taps.values())
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"{len(self)} samples from {self.path.name}{classes}; {taps}" + "".join(
            f"; {n}" for n in self.notes
        )

    def as_dict(self) -> dict:
        """JSON-ready facts for a store's manifest."""
        return {
            "kind": "dump",
            "name": self.name,
            "path": str(self.path),
            "digest": self.digest,
            "n_samples": len(self),
            "classes": list(self.classes),
            "notes": list(self.notes),
            "rules": {t.name: t.rule for t in self.taps.values()},
        }

    def chunks(self, samples: int | None = None) -> Iterator[DumpChunk]:
        """All taps side by side, in order; `samples` per chunk, by default what fits into 32 MiB.

        Raises InputError or ShapeError where the file turns out damaged.
        """
        per_sample = sum(t.bytes_per_sample for t in self.taps.values())
        samples = samples or int(np.clip(CHUNK_BYTES // max(per_sample, 1), 1, MOST_SAMPLES))
        readers = {name: self.streams[name].blocks(samples) for name in self.taps}
        try:
            for start in range(0, len(self), samples):
                stop = min(start + samples, len(self))
                yield DumpChunk(start, stop, {n: self._rows(n, r, start, stop) for n, r in readers.items()})
        finally:
            for reader in readers.values():
                reader.close()

    def _rows(self, name: str, reader: Iterator[np.ndarray], start: int, stop: int) -> np.ndarray:
        block = next(reader, None)
        if block is None or len(block) != stop - start:
            found = 0 if block is None else len(block)
            raise InputError(
                f"'{name}' of {self.path} gives {found} samples from {start} on", f"{stop - start}"
            )
        return self.taps[name].rows(block)
