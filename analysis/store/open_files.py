"""The files of a store that is being written: one batch into all of them, in the order that survives a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analysis.store import journal, manifest
from analysis.store import samples as sample_files
from analysis.store.batch_files import BatchFiles
from analysis.store.batches import Batch
from analysis.store.closing import finish_store
from analysis.store.gather import Scratch
from analysis.store.restoring import restored
from analysis.store.row_map import SampleLog
from analysis.store.summaries import THREADS
from analysis.store.tap_writer import TapWriter

_SYNC_SECONDS = 2.0


class OpenFiles:
    """Tap files, sample files and journal of the store at `path` with the manifest `about`.

    `state`: what is finished. Where anything fails while writing, only `restore` in a new one finds out what reached
    the disk.
    """

    def __init__(self, path: Path, about: dict) -> None:
        self.path, self.about = path, about
        self.state = journal.JournalState(keeps_lines=False)
        self._slugs = {entry["name"]: entry["slug"] for entry in about["taps"]}
        seed, n_classes = int(about["settings"].get("seed") or 0), len(about["classes"])
        self._taps = {
            entry["name"]: TapWriter(
                path / "taps" / entry["slug"], manifest.tap_of(entry), entry["slug"], n_classes, seed
            )
            for entry in about["taps"]
        }
        self._samples = SampleLog(self._taps, bool(about["classes"]))
        self._batches: BatchFiles | None = None
        self._scratch = Scratch()
        self._synced = time.monotonic()

    def begin(self) -> None:
        """Open the files of a new store. Raises OSError (disk full)."""
        self._batches = BatchFiles(self.path, self.state)
        manifest.write(self.path, self.about)

    def restore(self) -> None:
        """Open the files of an unfinished store, cut to what its journal says. Raises StoreDamaged, OSError."""
        self.state = restored(self.path, self._taps)
        self._batches = BatchFiles(self.path, self.state)
        for line in sample_files.read_lines(self.path / sample_files.LINES):
            self._samples.add(line["counts"], line["classes"], len(line["columns"]["id"]))
        for name in self._taps:
            self._gather_if_due(name)

    def append(self, batch: Batch) -> None:
        """Add a checked batch; it is finished when this returns. Raises OSError (disk full)."""
        ends, crc = self._batches.append(batch)
        direct = {name: v for name, v in batch.values.items() if self._taps[name].goes_directly(len(v))}
        with ThreadPoolExecutor(THREADS) as pool:  # one waits for the disk while the other works
            written = pool.map(lambda name: self._taps[name].write_directly(direct[name]), direct)
            made = dict(zip(direct, written, strict=True))
        for name, v in batch.values.items():
            if name not in direct:
                crc[self._slugs[name]] = self._taps[name].append_ahead(v)
        line = {
            "batch": self.state.n_batches, "samples": batch.n, "ends": ends, "crc": crc,
            "rows": {self._slugs[name]: len(v) for name, v in batch.values.items()}, **dict(self._lost(batch)),
        }  # fmt: skip
        if made:
            line["shards"] = [entry for parts in made.values() for entry, _ in parts]
        self.journal(line, sync=bool(made))
        self._samples.add(batch.counts, batch.classes, batch.n)
        for name, parts in made.items():
            self._taps[name].accept(parts, self._samples.row_map(name))
        for name in batch.values:
            self._gather_if_due(name)

    def _lost(self, batch: Batch) -> Iterator[tuple[str, dict[str, int]]]:
        """Values that the stored dtype could not hold, by kind and slug, where there are any."""
        for kind, counts in batch.lost.items():
            if any(counts.values()):
                yield kind, {self._slugs[name]: n for name, n in counts.items() if n}

    def journal(self, line: dict, sync: bool = False) -> None:
        """Append one line. With `sync`, everything it rests on reaches the disk before it."""
        due = sync or time.monotonic() - self._synced > _SYNC_SECONDS
        self._batches.log(line, self._sync_taps if due else None)
        if due:
            self._synced = time.monotonic()

    def _sync_taps(self) -> None:
        for tap in self._taps.values():
            tap.sync()

    def _gather_if_due(self, name: str, *, all_rows: bool = False) -> None:
        tap = self._taps[name]
        if tap.pending_rows >= (1 if all_rows else tap.shard_rows):
            tap.gather(
                lambda entries: self.journal({"gathered": entries}, sync=True),
                self._samples.row_map(name),
                self._scratch,
            )

    def finish(self) -> None:
        """Gather what waits; write samples, index and the complete manifest. Raises OSError (disk full)."""
        for name in self._taps:
            self._gather_if_due(name, all_rows=True)
        rows = {name: self._samples.row_map(name) for name in self._taps}
        finish_store(self.path, self.about, self.state, self._taps, rows)

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None
        for tap in self._taps.values():
            tap.close()
