"""Writing a store: batches in, one pass over the data, resumable after a kill at any point.

Order of one batch: rows to the write-ahead files (or, when a batch fills a shard by itself, to shards), sample
line and blobs, then the journal line: now it is finished. When enough rows wait, they become a shard: shard file
synced and renamed, journal line, old write-ahead file removed. A kill (SIGKILL too) loses no journaled batch,
because the bytes are in the kernel's page cache. Files are synced before every shard line and at least every two
seconds, so a loss of power costs at most the last two seconds, which checksums notice and resume records again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import InputError, LoupeError, NotEnoughData, StoreDamaged
from analysis.store import journal, manifest
from analysis.store import samples as sample_files
from analysis.store.batch_files import BatchFiles, sound_batches
from analysis.store.batches import Batch, TapBlock, prepare
from analysis.store.closing import finish_store
from analysis.store.durable import WriterLock, room_for, sync_directory
from analysis.store.gather import Scratch
from analysis.store.manifest import TapSpec
from analysis.store.places import MEDIA_PATH, portable, with_path
from analysis.store.tap_writer import RowMap, TapWriter

if TYPE_CHECKING:
    from analysis.store.reader import Store

__all__ = ["StoreWriter", "TapBlock"]

_SYNC_SECONDS = 2.0


class StoreWriter:
    """Writes one store. Use `create` or `resume`; as a context manager it closes without finishing.

    `finished_batches`, `finished_samples`: what is safely kept; go on from there after `resume`.
    """

    def __init__(self, path: Path, about: dict, lock: WriterLock) -> None:
        self.path, self._about, self._lock = path, about, lock
        self.taps = {entry["name"]: manifest.tap_of(entry) for entry in about["taps"]}
        self._slugs = {entry["name"]: entry["slug"] for entry in about["taps"]}
        seed, n_classes = int(about["settings"].get("seed") or 0), len(about["classes"])
        self._writers = {
            name: TapWriter(path / "taps" / self._slugs[name], tap, self._slugs[name], n_classes, seed)
            for name, tap in self.taps.items()
        }
        self._counts: dict[str, list[np.ndarray]] = {name: [] for name in self.taps}
        self._classes: list[np.ndarray] = []
        self._state = journal.JournalState()
        self._files: BatchFiles | None = None
        self._scratch = Scratch()
        self._synced = time.monotonic()
        self._failed = False

    # -- opening -----------------------------------------------------------------------------------------

    @staticmethod
    def create(
        directory: str | os.PathLike,
        *,
        name: str,
        taps: Sequence[TapSpec],
        checkpoint: dict | None = None,
        data: dict | None = None,
        settings: dict | None = None,
        classes: Sequence[str] = (),
        n_expected: int | None = None,
    ) -> StoreWriter:
        """Start a new store.

        Raises
        ------
        Busy
            Another process is writing there.
        InputError
            There is a store already, or no tap was given.
        """
        path = Path(directory)
        if not taps:
            raise InputError(f"store '{name}' has no tap", "at least one", "Choose a tap to record")
        with room_for(path, "a new store"):
            path.mkdir(parents=True, exist_ok=True)
            lock = WriterLock(path)
            try:
                if (path / manifest.FILE).exists():
                    raise InputError(
                        f"{path} already holds a store",
                        "a new directory",
                        "Resume it, delete it, or choose a name",
                    )
                slugs = manifest.slugs(taps)
                about = {
                    "schema": manifest.SCHEMA, "name": str(name), "complete": False,
                    "made": datetime.now(UTC).isoformat(timespec="seconds"), "n_samples": 0,
                    "n_expected": n_expected, "classes": [str(c) for c in classes],
                    "checkpoint": with_path(checkpoint or {}, portable, path),
                    "data": with_path(data or {}, portable, path),
                    "settings": dict(settings or {}), "versions": manifest.versions(),
                    "taps": [manifest.tap_entry(tap, slugs[tap.name]) for tap in taps],
                }  # fmt: skip
                writer = StoreWriter(path, about, lock)
                writer._files = BatchFiles(path, writer._state)
                manifest.write(path, about)
            except BaseException:
                lock.release()
                raise
        return writer

    @staticmethod
    def resume(directory: str | os.PathLike) -> StoreWriter:
        """Go on with an unfinished store: what the journal names is kept, everything beyond it is cut off.

        Raises NotFound, NewerSchema, StoreDamaged, Busy; InputError when the store is complete.
        """
        path = Path(directory)
        about = manifest.read(path)
        lock = WriterLock(path)
        try:
            if manifest.read(path)["complete"]:
                raise InputError(
                    f"{path} is complete", "an unfinished store", "Open it, or record under another name"
                )
            with room_for(path, "the repaired store"):
                writer = StoreWriter(path, about, lock)
                writer._restore()
        except BaseException:
            lock.release()
            raise
        return writer

    def _restore(self) -> None:
        state = journal.read(self.path)
        sound = len(state.batches)
        for name, tap_writer in self._writers.items():
            shards = state.shards.get(self._slugs[name], [])
            sound = min(sound, tap_writer.restore(shards, state.batches))
        sound = min(sound, sound_batches(self.path, state.batches))
        if sound < state.settled:
            what = f"batch {sound} of the unfinished store at {self.path} does not match its checksum"
            raise StoreDamaged(what, "what was written", "Delete the store and record it again")
        if sound < len(state.batches):  # the tail did not survive a loss of power: record it again
            os.truncate(self.path / journal.FILE, state.starts[sound])
            state = journal.read(self.path)
        self._state = state
        self._files = BatchFiles(self.path, state)
        for line in sample_files.read_lines(self.path / sample_files.LINES):
            self._remember(line["counts"], line["classes"], len(line["columns"]["id"]))
        for name, tap_writer in self._writers.items():
            tap_writer.keep(state.rows.get(self._slugs[name], 0) - tap_writer.rows_in_shards)
            self._gather_if_due(name)

    # -- batches -----------------------------------------------------------------------------------------

    @property
    def finished_batches(self) -> int:
        return len(self._state.batches)

    @property
    def finished_samples(self) -> int:
        return self._state.n_samples

    def append(
        self,
        samples: Mapping[str, Sequence],
        taps: Mapping[str, TapBlock],
        *,
        class_index: np.ndarray | None = None,
        thumbnails: Sequence[bytes | None] | None = None,
        tokens: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Add one batch; it is finished when this returns.

        Parameters
        ----------
        samples : columns of length b ("id" is made where missing): text, numbers, booleans, None.
        taps : a TapBlock for every tap of the store. Values are converted to the stored dtype.
        class_index : (b,) integers into `classes`, -1 for none.
        thumbnails : b PNGs or None. tokens : b lists of token texts.

        Raises
        ------
        InputError, ShapeError
            Before anything is written.
        LoupeError
            The disk is full. The writer is closed; resume it once there is room.
        """
        self._usable()
        if MEDIA_PATH in samples:
            samples = {**samples, MEDIA_PATH: [portable(p or "", self.path) for p in samples[MEDIA_PATH]]}
        batch = prepare(
            self.taps, len(self._about["classes"]), self.finished_samples,
            samples, taps, class_index=class_index, thumbnails=thumbnails, tokens=tokens,
        )  # fmt: skip
        try:
            with room_for(self.path, f"batch {self.finished_batches}"):
                self._write_batch(batch)
        except BaseException:
            self._failed = True
            self.close()
            raise

    def _write_batch(self, batch: Batch) -> None:
        ends, crc = self._files.append(batch)
        direct = {name: v for name, v in batch.values.items() if self._writers[name].goes_directly(len(v))}
        made = {name: self._writers[name].write_shards([v]) for name, v in direct.items()}
        for name, v in batch.values.items():
            if name not in direct:
                crc[self._slugs[name]] = self._writers[name].append_ahead(v)
        line = {
            "batch": self.finished_batches, "samples": batch.n, "ends": ends, "crc": crc,
            "rows": {self._slugs[name]: len(v) for name, v in batch.values.items()},
            "overflow": {self._slugs[name]: k for name, k in batch.overflow.items() if k},
        }  # fmt: skip
        if made:
            line["shards"] = [entry for parts in made.values() for entry, _ in parts]
        self._journal(line, sync=bool(made))
        self._remember({name: c.tolist() for name, c in batch.counts.items()}, batch.classes, batch.n)
        for name, parts in made.items():
            self._writers[name].accept(parts, self._row_map(name))
        for name in batch.values:
            self._gather_if_due(name)

    def note_problem(self, text: str) -> None:
        """Keep a sentence for `Store.problems`: skipped items and the like."""
        self._usable()
        with room_for(self.path, "a note"):
            self._journal({"problem": str(text)})

    def _journal(self, line: dict, sync: bool = False) -> None:
        """Append one line. With `sync`, everything it rests on reaches the disk before it."""
        due = sync or time.monotonic() - self._synced > _SYNC_SECONDS
        self._files.log(line, self._sync_taps if due else None)
        if due:
            self._synced = time.monotonic()

    def _sync_taps(self) -> None:
        for tap_writer in self._writers.values():
            tap_writer.sync()

    def _gather_if_due(self, name: str, *, all_rows: bool = False) -> None:
        tap_writer = self._writers[name]
        if tap_writer.pending_rows >= (1 if all_rows else tap_writer.shard_rows):
            tap_writer.gather(
                lambda entries: self._journal({"gathered": entries}, sync=True),
                self._row_map(name),
                self._scratch,
            )

    # -- checks and bookkeeping --------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._failed or self._files is None:
            raise LoupeError(
                f"the writer of {self.path} is closed", "an open one", "Call StoreWriter.resume first"
            )

    def _remember(self, counts: dict, classes: list[int] | None, n: int) -> None:
        for name, c in counts.items():
            self._counts[name].append(np.full(n, c) if isinstance(c, int) else np.asarray(c, dtype=np.int64))
        if classes is not None:
            self._classes.append(np.asarray(classes, dtype=np.int32))

    def _row_map(self, name: str) -> RowMap:
        parts = self._counts[name]
        if len(parts) > 1:
            self._counts[name] = parts = [np.concatenate(parts)]
        if len(self._classes) > 1:
            self._classes = [np.concatenate(self._classes)]
        counts = parts[0] if parts else np.empty(0, np.int64)
        return RowMap(counts, self._classes[0] if self._about["classes"] and self._classes else None)

    # -- closing -----------------------------------------------------------------------------------------

    def finish(self) -> Store:
        """Gather what waits, write samples, index and manifest; returns the opened Store.

        Raises NotEnoughData when no sample was appended; LoupeError when the disk is full (then resume).
        """
        from analysis.store.reader import Store

        self._usable()
        if not self.finished_samples:
            raise NotEnoughData(
                f"store '{self._about['name']}' has no sample", "at least one", "Append a batch first"
            )
        try:
            with room_for(self.path, "the finished store"):
                for name in self._writers:
                    self._gather_if_due(name, all_rows=True)
                rows = {name: self._row_map(name) for name in self._writers}
                finish_store(self.path, self._about, self._state, self._writers, rows)
        except BaseException:
            self._failed = True
            self.close()
            raise
        self.close()
        return Store.open(self.path)

    def close(self) -> None:
        """Release files and lock; an unfinished store can be resumed."""
        if self._files is not None:
            self._files.close()
        for tap_writer in self._writers.values():
            tap_writer.close()
        self._files = None
        with contextlib.suppress(OSError):
            sync_directory(self.path)
        self._lock.release()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()
