"""Writing one tap: write-ahead rows, their gathering into shards, and the running summary."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.store.durable import Appender, made_directory, sync_directory
from analysis.store.gather import Scratch, feature_major
from analysis.store.journal import JournalState
from analysis.store.manifest import TapSpec
from analysis.store.row_map import RowMap
from analysis.store.shards import Shard, ahead_name, read_shard, rows_per_shard, shard_name, write_shard
from analysis.store.summaries import UnitSummary


def shard_of(folder: Path, entry: dict, tap: TapSpec) -> Shard:
    """The shard that a journal or manifest line describes."""
    path = folder / shard_name(entry["number"])
    return Shard(path, entry["first"], entry["rows"], tap.n_units, tap.numpy_dtype, entry["digest"])


class TapWriter:
    """One tap of a store that is being written. `shards`: journal entries of its finished shards."""

    def __init__(self, folder: Path, tap: TapSpec, slug: str, n_classes: int, seed: int) -> None:
        self.folder, self.tap, self.slug = folder, tap, slug
        self.shards: list[dict] = []
        self._pending: list[np.ndarray] = []  # rows in the write-ahead file, as they were appended
        self._ahead: Appender | None = None
        self._direct = (
            Scratch()
        )  # its own: the blocks of one batch are held until all of its taps are journaled
        self.shard_rows = rows_per_shard(tap.n_units, tap.numpy_dtype)
        self._n_classes, self._seed = n_classes, seed
        self._summary: UnitSummary | None = None
        self._summarised = 0  # shards the summary holds
        self._unsynced_name = False  # the folder's entry of the write-ahead file is not on the disk yet
        made_directory(folder)

    @property
    def rows_in_shards(self) -> int:
        return self.shards[-1]["first"] + self.shards[-1]["rows"] if self.shards else 0

    @property
    def pending_rows(self) -> int:
        return sum(len(p) for p in self._pending)

    def _ahead_path(self) -> Path:
        return self.folder / ahead_name(len(self.shards))

    def restore(self, state: JournalState) -> int:
        """Take up what the journal says is finished; returns how many batches are sound.

        Checks the write-ahead rows against their checksums: a batch after a loss of power may not match, and then it
        and everything after it is to be recorded again.
        """
        self.shards = list(state.shards.get(self.slug, ()))
        width = self.tap.n_units * self.tap.numpy_dtype.itemsize
        waiting = state.pending(self.slug)
        sound = state.n_batches - len(waiting)
        self.drop_strays()
        data = self._ahead_path().read_bytes() if self._ahead_path().exists() else b""
        used = 0
        for line in waiting:
            rows = line["rows"][self.slug]
            part = data[used : used + rows * width]
            if len(part) < rows * width or zlib.crc32(part) != line["crc"].get(self.slug):
                break
            if rows:
                values = np.frombuffer(part, self.tap.numpy_dtype).reshape(rows, self.tap.n_units)
                self._pending.append(values)
            used, sound = used + len(part), sound + 1
        return sound

    def keep(self, pending_rows: int) -> None:
        """Cut the write-ahead file (and memory) to its first `pending_rows` rows, a batch border."""
        ends = np.cumsum([len(piece) for piece in self._pending], dtype=np.int64)
        self._pending = self._pending[: int(np.searchsorted(ends, pending_rows, side="right"))]
        if self._ahead_path().exists():
            width = self.tap.n_units * self.tap.numpy_dtype.itemsize
            self._ahead = Appender(self._ahead_path(), self.pending_rows * width)

    def drop_strays(self) -> None:
        """Remove files that no journal line mentions: half-made shards, old write-ahead files."""
        known = {shard_name(s["number"]) for s in self.shards} | {self._ahead_path().name, "index"}
        for path in self.folder.iterdir():
            if path.name not in known and path.is_file():
                path.unlink()

    def goes_directly(self, rows: int) -> bool:
        """A batch that fills (at least half of) a shard by itself is not written twice."""
        return not self._pending and 2 * rows >= self.shard_rows

    def append_ahead(self, values: np.ndarray) -> int:
        """Append rows to the write-ahead file; returns their CRC-32. Raises OSError (disk full)."""
        if not len(values):
            return zlib.crc32(b"")
        if self._ahead is None:
            self._ahead, self._unsynced_name = Appender(self._ahead_path(), 0), True
        size = self._ahead.size
        try:
            self._ahead.append(values.data)
        except BaseException:
            with contextlib.suppress(OSError):
                self._ahead.cut(size)
            raise
        self._pending.append(values.copy())  # the caller may use its buffer again
        return zlib.crc32(values)

    def sync(self) -> None:
        if self._ahead is not None:
            self._ahead.sync()
        if self._unsynced_name:
            sync_directory(self.folder)
            self._unsynced_name = False

    def write_directly(self, values: np.ndarray) -> list[tuple[dict, np.ndarray]]:
        """Write a batch that fills a shard by itself; as `write_shards`, the blocks valid until the next one."""
        return self.write_shards([values], self._direct)

    def write_shards(self, pieces: list[np.ndarray], scratch: Scratch) -> list[tuple[dict, np.ndarray]]:
        """Write `pieces` as shards of about `shard_rows` rows; (entry, block) of each. They count once journaled.

        The blocks lie in `scratch`.
        """
        total = sum(len(p) for p in pieces)
        n = max(1, round(total / self.shard_rows))
        if n > 1 and len(pieces) > 1:
            pieces = [np.concatenate(pieces)]
        edges = np.linspace(0, total, n + 1).astype(int)
        first, number = self.rows_in_shards, len(self.shards)
        made = []
        for k in range(n):
            parts = pieces if n == 1 else [pieces[0][edges[k] : edges[k + 1]]]
            block = feature_major(parts, scratch, k)
            digest = write_shard(self.folder / shard_name(number + k), block)
            entry = {"tap": self.slug, "number": number + k, "first": first + int(edges[k])}
            made.append(({**entry, "rows": block.shape[1], "digest": digest}, block))
        return made

    def gather(self, journal: Callable[[list[dict]], None], rows: RowMap, scratch: Scratch) -> None:
        """Write-ahead rows to shards: shards, then the journal line, then the old file goes."""
        if not self._pending:
            return
        made = self.write_shards(self._pending, scratch)
        journal([entry for entry, _ in made])
        old = self._ahead_path()
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        self._pending = []
        self.accept(made, rows)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)

    def accept(self, made: list[tuple[dict, np.ndarray]], rows: RowMap) -> None:
        """Journaled shards enter the list and, from memory, the summary."""
        summary = self.summary(rows)
        for entry, block in made:
            self.shards.append(entry)
            summary.update(block, rows.rows(entry["first"], entry["rows"]))
            self._summarised += 1

    def summary(self, rows: RowMap) -> UnitSummary:
        """The running summary; after a resume it is made from the finished shards, once."""
        if self._summary is None:
            self._summary = UnitSummary(self.tap.n_units, self._n_classes, self._seed)
        while self._summarised < len(self.shards):
            shard = shard_of(self.folder, self.shards[self._summarised], self.tap)
            self._summary.update(read_shard(shard), rows.rows(shard.first, shard.rows))
            self._summarised += 1
        return self._summary

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
