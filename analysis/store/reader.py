"""Reading a store: samples, activations and index, each when first asked for.

Opening reads the manifest only (of an unfinished store the journal too) and imports neither Numba, torch nor
pandas; pyarrow is imported when a sample column is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.activations import Layout
from analysis.errors import InputError, NotFound, StoreDamaged
from analysis.spec import no_progress
from analysis.store import encoded, journal, manifest
from analysis.store import samples as sample_files
from analysis.store.index_files import ArrayFile
from analysis.store.manifest import TapSpec
from analysis.store.pending import has_grown, read_pending
from analysis.store.places import MEDIA_PATH, located, moved, with_path
from analysis.store.sample_table import as_column, joined_columns, read_column
from analysis.store.shards import Shard, read_checksums, shard_name
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import SparseShard, read_tables
from analysis.store.stored_activations import StoredActivations

__all__ = ["Store", "StoredActivations"]


class Store:
    """One store, opened for reading. Use `Store.open`.

    path, name, manifest, n_samples, classes, complete, problems : as the manifest says. recorded : its taps by name.
    taps : those and the encoded ones, which feature sets made of them (`analysis.store.encoded`).
    digest : content digest of everything recorded. n_bytes : on disk.
    """

    def __init__(self, path: Path, about: dict, state: journal.JournalState | None) -> None:
        self.path, self._state = Path(path), state
        remembered = {
            part: with_path(about.get(part) or {}, located, path) for part in ("checkpoint", "data")
        }
        self.manifest: dict = {**about, **remembered}
        self.name: str = about["name"]
        self.complete: bool = bool(about["complete"])
        self.classes: tuple[str, ...] = tuple(about["classes"])
        self.recorded: dict[str, TapSpec] = {e["name"]: manifest.tap_of(e) for e in about["taps"]}
        self._encoded = {e["name"]: e for e in (encoded.encoded_entries(path) if self.complete else ())}
        self.taps = self.recorded | {name: manifest.tap_of(e) for name, e in self._encoded.items()}
        self.n_samples: int = int(about["n_samples"]) if state is None else state.n_samples
        self.problems: list[str] = list(about.get("problems", ()) if state is None else state.problems)
        if state is not None:
            expected = f" of {about['n_expected']}" if about.get("n_expected") else ""
            self.problems.insert(0, f"Recording is not finished: {self.n_samples}{expected} samples so far.")
        self._activations: dict[str, StoredActivations | SparseActivations] = {}
        self._indexes: dict[str, object] = {}

    @staticmethod
    def open(directory: str | os.PathLike) -> Store:
        """Open the store at `directory`, finished or not.

        Raises NotFound, NewerSchema, StoreDamaged.
        """
        path = Path(directory)
        about = manifest.read(path)
        try:
            return Store(path, about, None if about["complete"] else journal.read(path))
        except (KeyError, TypeError) as error:
            raise StoreDamaged(
                f"the manifest of {path} lacks {error}", "", "Restore it or record again"
            ) from None

    def __repr__(self) -> str:
        return f"Store({self.name!r}, {self.n_samples} samples, taps {list(self.taps)})"

    def entry(self, tap: str) -> dict:
        """The manifest's entry of a tap. Raises NotFound listing the taps there are."""
        for entry in self.manifest["taps"]:
            if entry["name"] == tap:
                return entry
        if tap in self._encoded:
            return self._encoded[tap]
        raise NotFound(f"store '{self.name}' has no tap '{tap}'", "one of " + ", ".join(self.taps))

    def folder(self, tap: str) -> Path:
        return self.path / (encoded.PLACE if tap in self._encoded else "taps") / self.entry(tap)["slug"]

    def shards(self, tap: str) -> list[Shard] | list[SparseShard]:
        """The tap's finished shards, in row order."""
        if tap in self._encoded:
            return encoded.shards_of(self.path, self._encoded[tap])
        entry, folder, spec = self.entry(tap), self.folder(tap), self.taps[tap]
        lines = entry["shards"] if self._state is None else self._state.shards.get(entry["slug"], [])
        return [
            Shard(
                folder / shard_name(s["number"]),
                s["first"],
                s["rows"],
                spec.n_units,
                spec.numpy_dtype,
                s["digest"],
            )
            for s in lines
        ]

    @cached_property
    def digest(self) -> str:
        parts = [self.activations(tap).digest for tap in self.recorded]
        return hashlib.sha256("\n".join([*self.recorded, *parts]).encode()).hexdigest()[:32]

    @property
    def n_bytes(self) -> int:
        total = 0
        for f in self.path.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a writer may rename or remove it meanwhile
                total += f.stat().st_size if f.is_file() else 0
        return total

    @cached_property
    def _lines(self) -> list[dict]:
        """Sample lines of an unfinished store. Raises NotFound where it has been finished meanwhile."""
        ends = self._state.ends.get(sample_files.LINES, 0)
        lines = list(sample_files.read_lines(self.path / sample_files.LINES, ends))
        if len(lines) != self._state.n_batches:
            raise has_grown(self.path)
        return lines

    @cached_property
    def samples(self) -> sample_files.SampleColumns:
        """Sample columns by name; "id" is always among them."""
        if self._state is None:
            read: Callable = lambda name: self._located(name, read_column(self.path, name))  # noqa: E731
            return sample_files.SampleColumns(self.manifest["columns"], read)
        columns = joined_columns(self._lines) or {"id": []}
        made: Callable = lambda name: self._located(name, as_column(columns[name]))  # noqa: E731
        return sample_files.SampleColumns(list(columns), made)

    def _located(self, name: str, column: np.ndarray) -> np.ndarray:
        if name != MEDIA_PATH:
            return column
        media = self.manifest.get("media")
        return np.array([located(moved(str(text), media), self.path) for text in column], dtype=str)

    @cached_property
    def class_index(self) -> np.ndarray | None:
        """Class of every sample (n_samples,) int32, -1 for none; None in a store without classes."""
        if not self.classes:
            return None
        if self._state is None:
            return ArrayFile(self.path / sample_files.CLASS_INDEX).whole()
        return np.array([c for line in self._lines for c in line["classes"]], np.int32)

    def layout(self, tap: str) -> Layout:
        """Rows of the tap by sample and token."""
        if tap in self._encoded:
            return self.layout(self._encoded[tap]["of"])
        entry, spec = self.entry(tap), self.taps[tap]
        if self._state is not None:
            counts = [line["counts"][tap] for line in self._lines]
            sizes = [len(line["columns"]["id"]) for line in self._lines]
            parts = [
                np.full(n, c) if isinstance(c, int) else np.asarray(c)
                for c, n in zip(counts, sizes, strict=True)
            ]
            offsets = np.concatenate([[0], np.cumsum(np.concatenate(parts))]) if parts else np.zeros(1)
        elif entry["tokens_per_sample"] is not None:
            offsets = np.arange(self.n_samples + 1) * entry["tokens_per_sample"]
        else:
            offsets = ArrayFile(self.folder(tap) / "offsets.npy").whole()
        return Layout(offsets.astype(np.int64), spec.grid, spec.leading)

    def pending(self, tap: str) -> np.ndarray | None:
        """Rows of an unfinished store that are not in a shard yet, (rows, units)."""
        if self._state is None:
            return None
        return read_pending(self.folder(tap), self.entry(tap)["slug"], self.taps[tap], self._state)

    def activations(self, tap: str) -> StoredActivations | SparseActivations:
        """The tap's activations (lazy; `analysis.activations.Activations`). Raises NotFound."""
        if tap not in self._activations:
            known = self._encoded.get(tap)
            self._activations[tap] = (
                StoredActivations(self, tap) if known is None else encoded.activations_of(self, known)
            )
        return self._activations[tap]

    def index(self, tap: str):
        """The tap's FeatureIndex. Raises NotFound for an unknown tap or an unfinished store."""
        if tap not in self._indexes:
            from analysis.store.index import FeatureIndex

            self.entry(tap)
            if not self.complete:
                raise NotFound(
                    f"store '{self.name}' is unfinished: it has no feature index yet",
                    "a finished store",
                    f"Resume the recording ({self.n_samples} samples so far are kept)",
                )
            self._indexes[tap] = FeatureIndex(self, tap)
        return self._indexes[tap]

    @cached_property
    def _offsets(self) -> dict[str, np.ndarray]:
        found = {}
        for kind in sample_files.BLOBS:
            if self._state is None:
                path = self.path / f"{kind}.idx"
                if path.exists():
                    found[kind] = ArrayFile(path).whole()
            elif any(line["lengths"][kind] for line in self._lines):
                lengths = [
                    n for x in self._lines for n in x["lengths"][kind] or [0] * len(x["columns"]["id"])
                ]
                found[kind] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return found

    def _blob(self, kind: str, sample: int) -> bytes | None:
        if not 0 <= sample < self.n_samples:
            raise NotFound(f"store '{self.name}' has no sample {sample}", f"0 … {self.n_samples - 1}")
        if kind not in self._offsets:
            return None
        return sample_files.read_blob(self.path, kind, sample, self._offsets[kind])

    def tokens(self, sample: int) -> list[str] | None:
        """Token texts of one sample; None where there are none."""
        data = self._blob("tokens", int(sample))
        return None if data is None else sample_files.decode_tokens(data)

    def thumbnail(self, sample: int) -> bytes | None:
        """PNG thumbnail of one sample; None where there is none."""
        return self._blob("thumbnails", int(sample))

    def look_at(self, tap: str) -> None:
        """Raises StoreDamaged naming the chunk where a file of the tap is missing, too short or too long, or has other
        checksums than were written. Reads the checksums only."""
        for shard in self.shards(tap):
            (read_tables if isinstance(shard, SparseShard) else read_checksums)(shard)

    def verify(self, progress=no_progress) -> list[str]:
        """Read every byte and compare checksums; the damaged chunks in words, [] when all is well."""
        from analysis.store.checking import damage

        return damage(self, self._state, progress)

    def tap_position(self, tap: str, unit: int) -> int:
        """`unit` as a checked integer. Raises NotFound."""
        n = self.taps[tap].n_units
        try:
            position = int(unit)
        except (TypeError, ValueError):
            raise InputError(f"unit {unit!r}", f"a number 0 … {n - 1}") from None
        if not 0 <= position < n:
            raise NotFound(f"tap '{tap}' has no unit {unit}", f"0 … {n - 1}")
        return position
