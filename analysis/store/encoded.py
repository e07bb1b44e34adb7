"""Encoded taps: what the features of a set do on a tap of a store, kept beside the store's own taps.

    features/<slug>/manifest.json     name, the tap and its digest, the feature set, shards, checksums; written last
    features/<slug>/NNNNNN.codes      sparse shards (`analysis.store.sparse_shards`)
    features/<slug>/gaps.npy          rows of which nothing is known
    features/<slug>/set/*             the feature set itself, so that methods reach its directions
    features/<slug>/index/*.npy       table, sampled rows, rows of each class, correlation sketch

A store is never changed by them: its manifest, its checksums and its digest are those of what was recorded. Rows and
samples are those of the tap that was encoded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from analysis import access
from analysis.errors import InputError, ShapeError, StoreDamaged
from analysis.spec import no_progress
from analysis.store import manifest
from analysis.store.durable import file_crc, made_directory, room_for, write_file
from analysis.store.encoded_folders import FILE, alone, new_folder, remove_folder
from analysis.store.index_files import EXACT_VALUES, FOLDER, ArrayFile, write_npy
from analysis.store.manifest import TapSpec
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import (
    SHARD_ENTRIES,
    SHARD_ROWS,
    SparseShard,
    by_unit,
    shard_name,
    write_sparse_shard,
)

PLACE = "features"
SCHEMA = 1
STORED_AS = ("unit", "entry")
GAPS, SET = "gaps", "set"


def encoded_entries(store_path: Path) -> list[dict]:
    """What each encoded tap of the store says of itself, by name. An unreadable one is left out here; opening it by
    name says what is wrong with it."""
    found = []
    for path in sorted((Path(store_path) / PLACE).glob(f"*/{FILE}")):
        try:
            found.append(read_entry(path))
        except StoreDamaged:
            continue
    return sorted(found, key=lambda e: e["name"])


def encoded_at(store_path: Path) -> int:
    """When an encoded tap last came or went, in nanoseconds; 0 where there was none."""
    try:
        return os.stat(os.path.join(store_path, PLACE)).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0


def read_entry(path: Path) -> dict:
    """Raises StoreDamaged where the file is no JSON or has changed."""
    try:
        about = json.loads(path.read_text())
        known = about.pop("checksum")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        known, about = "", {}
    if known != _checksum(about):
        raise StoreDamaged(f"{path} has changed or is no JSON", "the file as it was written", "Encode again")
    return about


def activations_of(store, entry: dict) -> SparseActivations:
    """The encoded tap of an entry of `encoded_entries`; `store` is an `analysis.store.reader.Store`."""
    folder, spec = store.path / PLACE / entry["slug"], manifest.tap_of(entry)
    # the set as well: two sets may have the same codes and different directions
    made_by = (entry.get("feature_set") or {}).get("digest", "")
    h = hashlib.sha256(json.dumps([entry["of_digest"], entry["n_rows"], spec.n_units, made_by]).encode())
    h.update("".join(s["digest"] for s in entry["shards"]).encode())
    return SparseActivations(
        f"{store.name}:{entry['name']}", spec, store.layout(entry["of"]), shards_of(store.path, entry),
        ArrayFile(folder / f"{GAPS}.npy").whole(), h.hexdigest()[:32], store.samples, store.tokens,
        source=lambda: store.activations(entry["of"]), set_folder=folder / SET,
    )  # fmt: skip


def shards_of(store_path: Path, entry: dict) -> list[SparseShard]:
    folder, spec = Path(store_path) / PLACE / entry["slug"], manifest.tap_of(entry)
    return [
        SparseShard(
            folder / shard_name(s["number"]), s["first"], s["rows"], spec.n_units, s["entries"],
            spec.numpy_dtype, s["digest"],
        )
        for s in entry["shards"]
    ]  # fmt: skip


def remove_encoded(store, tap: str) -> None:
    """Delete an encoded tap from the disk. Raises NotFound, InputError for a recorded one, Forbidden."""
    access.require("owner", f"remove the encoded tap {store.name}:{tap}")
    entry = store.entry(tap)
    if not is_encoded(entry):
        raise InputError(f"'{tap}' was recorded", "a tap that was encoded by a feature set")
    remove_folder(store.path / PLACE / entry["slug"])


def is_encoded(entry: Mapping) -> bool:
    return tuple(entry.get("stored_as", ())) == STORED_AS


@dataclass
class _Gathered:
    """Rows that are not in a shard yet."""

    counts: list[np.ndarray]
    units: list[np.ndarray]
    values: list[np.ndarray]
    rows: int = 0
    entries: int = 0


class EncodedWriter:
    """Writes an encoded tap row by row; nothing is there before `finish`, and `abort` leaves nothing behind. What
    a writer leaves that was killed is removed by the next one of the store.

    Parameters
    ----------
    store : Store
        Finished.
    of : str
        The recorded tap that is encoded.
    spec : TapSpec
        Name, units and type of the new tap; "tokens", grid and leading rows are those of `of`.
    about : dict
        The feature set: its name, digest, architecture.

    Raises
    ------
    InputError
        The store is unfinished, or has a tap of that name (said by `finish` where another process was faster).
    """

    def __init__(self, store, of: str, spec: TapSpec, about: dict) -> None:
        if not store.complete:
            raise InputError(f"store '{store.name}' is unfinished", "a finished one", "Resume it first")
        if is_encoded(store.entry(of)):
            raise InputError(f"'{of}' is encoded itself", "a recorded tap: " + ", ".join(store.recorded))
        self.store, self.of, self._about, self.spec = store, of, about, spec
        self._refuse_taken()
        source = store.taps[of]
        self.spec = dataclasses.replace(spec, tokens=source.tokens, grid=source.grid, leading=source.leading)
        slug = manifest.slugs([self.spec])[self.spec.name]
        self.folder, self._lock = new_folder(store.path / PLACE, slug)
        self.slug = self.folder.name
        self.set_folder = self.folder / SET  # for the feature set, before `finish`
        self._gathered, self._shards, self._n_rows = _Gathered([], [], []), [], 0
        self._gaps: list[np.ndarray] = []
        self._active = np.zeros(1, np.int64)  # rows by how many units are not 0 in them

    def append(self, counts: np.ndarray, units: np.ndarray, values: np.ndarray, gaps=()) -> None:
        """The next rows: `counts` (m,) how many units are not 0 in each, `units` and `values` (sum of counts,) row by
        row; `gaps` those of the m rows (0 … m - 1) of which nothing is known, without units.

        Raises ShapeError, InputError (a unit that there is not, a value that is not finite).
        """
        counts, units = np.asarray(counts, np.int64), np.asarray(units)
        if len(units) != len(values) or counts.sum() != len(units):
            raise ShapeError(f"{counts.sum()} counted, {len(units)} units, {len(values)} values", "as many")
        if len(units) and not (units.min() >= 0 and units.max() < self.spec.n_units):
            raise InputError(f"unit {units.max()}", f"0 … {self.spec.n_units - 1}")
        stored = np.asarray(values).astype(self.spec.numpy_dtype)
        if not np.isfinite(stored).all():
            raise InputError(f"values that are not finite as {self.spec.dtype}", "finite values")
        held = self._gathered
        self._gaps.append(self._n_rows + held.rows + np.asarray(gaps, np.int64))
        known = np.delete(counts, np.asarray(gaps, np.int64))
        self._active = _added(self._active, np.bincount(known, minlength=1))
        held.counts.append(counts)
        held.units.append(units.astype(np.int32))
        held.values.append(stored)
        held.rows, held.entries = held.rows + len(counts), held.entries + len(units)
        if held.rows >= SHARD_ROWS or held.entries >= SHARD_ENTRIES:
            self._write_shard()

    def _write_shard(self) -> None:
        held, self._gathered = self._gathered, _Gathered([], [], [])
        if not held.rows:
            return
        indptr = np.r_[0, np.cumsum(np.concatenate(held.counts))]
        entries = by_unit(indptr, np.concatenate(held.units), np.concatenate(held.values), self.spec.n_units)
        number = len(self._shards)
        with room_for(self.folder, "activations of features"):
            digest = write_sparse_shard(self.folder / shard_name(number), entries)
        self._shards.append(
            {"number": number, "first": self._n_rows, "rows": held.rows, "entries": len(entries.rows),
             "digest": digest}
        )  # fmt: skip
        self._n_rows += held.rows

    def finish(self, progress=no_progress) -> None:
        """Write the index and, last, the manifest. Raises ShapeError where rows are missing."""
        from analysis.store.sparse_index import RowFacts, sparse_index

        self._write_shard()
        layout, store = self.store.layout(self.of), self.store
        if self._n_rows != layout.n_rows:
            raise ShapeError(f"{self._n_rows} rows encoded", f"{layout.n_rows}, as '{self.of}' has")
        gaps = np.concatenate(self._gaps) if self._gaps else np.zeros(0, np.int64)
        entry = {
            **manifest.tap_entry(self.spec, self.slug), "stored_as": list(STORED_AS), "schema": SCHEMA,
            "of": self.of, "of_digest": store.activations(self.of).digest, "n_rows": self._n_rows,
            "feature_set": self._about, "active": active_facts(self._active), "shards": self._shards,
            "versions": manifest.versions(),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        with room_for(self.folder, "the index of features"):
            files = [write_npy(self.folder / f"{GAPS}.npy", gaps), *sorted(self.set_folder.glob("*"))]
            tap = activations_of(store, entry)
            seed = int(store.manifest["settings"].get("seed") or 0)
            facts = RowFacts(tap, store.class_index, len(store.classes), seed)
            small = store.n_samples * self.spec.n_units <= EXACT_VALUES
            folder = made_directory(self.folder / FOLDER)
            for name, array in sparse_index(tap, facts, not small, progress).items():
                files.append(write_npy(folder / f"{name}.npy", array, sync_folder=False))
            entry["files"] = {str(f.relative_to(self.folder)): [f.stat().st_size, file_crc(f)] for f in files}
            plain = json.loads(json.dumps(entry, default=str))
            with alone(self.folder.parent):
                self._refuse_taken()  # by another process meanwhile
                about = json.dumps({**plain, "checksum": _checksum(plain)}, indent=1)
                write_file(self.folder / FILE, about.encode())
        self._lock.close()
        os.utime(self.folder.parent)  # see `encoded_at`

    def _refuse_taken(self) -> None:
        taken = {*self.store.taps, *(e["name"] for e in encoded_entries(self.store.path))}
        if self.spec.name in taken:
            raise InputError(
                f"store '{self.store.name}' has a tap '{self.spec.name}' already", "a name that is free",
                "Choose another name",
            )  # fmt: skip

    def abort(self) -> None:
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> EncodedWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None or not (self.folder / FILE).exists():
            self.abort()


def active_facts(rows: np.ndarray) -> dict:
    """How many units are not 0 in a row: mean, sd, quantiles by name; empty without rows. `rows` (most + 1,) are the
    rows by that number."""
    n, number = int(rows.sum()), np.arange(len(rows))
    if not n:
        return {}
    mean = float(rows @ number) / n
    sd = float(np.sqrt(rows @ (number - mean) ** 2 / (n - 1))) if n > 1 else 0.0
    passed = np.cumsum(rows)
    ranks = {
        "minimum": 1, "q05": np.ceil(0.05 * n), "median": np.ceil(0.5 * n), "q95": np.ceil(0.95 * n), "maximum": n,
    }  # fmt: skip
    return {"rows": n, "mean": mean, "sd": sd} | {
        k: int(np.searchsorted(passed, v)) for k, v in ranks.items()
    }


def _added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two histograms of whole numbers, of whatever lengths, together."""
    short, long = sorted((a, b), key=len)
    out = long.astype(np.int64)
    out[: len(short)] += short
    return out


def _checksum(about: dict) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
