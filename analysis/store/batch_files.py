"""The files that every batch appends to: sample lines, thumbnails, token texts, and the journal after them."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from pathlib import Path

from analysis.store import journal
from analysis.store import samples as sample_files
from analysis.store.batches import Batch
from analysis.store.durable import Appender, read_at

_NAMES = (sample_files.LINES, *(f"{kind}.bin" for kind in sample_files.BLOBS))


class BatchFiles:
    """Opens the files at the ends that the journal's state names; what lies beyond is cut off."""

    def __init__(self, path: Path, state: journal.JournalState) -> None:
        self._state = state
        self._data: dict[str, Appender] = {}
        try:
            for name in _NAMES:
                self._data[name] = Appender(path / name, state.ends.get(name, 0))
            self._log = Appender(path / journal.FILE, state.end)
        except BaseException:
            for file in self._data.values():
                file.close()
            raise

    def append(self, batch: Batch) -> tuple[dict[str, int], dict[str, int]]:
        """Append sample line and blobs; where each file ends now, and checksums of what was appended."""
        payload = {f"{kind}.bin": b"".join(parts) for kind, parts in batch.blobs.items()}
        payload[sample_files.LINES] = batch.line()
        ends = {name: self._data[name].append(data) for name, data in payload.items()}
        return ends, {name: zlib.crc32(data) for name, data in payload.items()}

    def log(self, line: dict, sync: Callable[[], None] | None) -> None:
        """Append a journal line. With `sync`, everything it rests on (and what `sync` syncs) reaches the disk first."""
        if sync is not None:
            for file in self._data.values():
                file.sync()
            sync()
            self._log.sync()
        start, data = self._log.size, journal.encode(line)
        try:
            self._log.append(data)
        except BaseException:  # a torn line must not stand before the next one
            with contextlib.suppress(OSError):
                self._log.cut(start)
            raise
        if sync is not None:
            self._log.sync()
        self._state.add(line, start, start + len(data))

    def close(self) -> None:
        for file in (*self._data.values(), self._log):
            with contextlib.suppress(OSError):
                file.sync()
            file.close()


def sound_batches(path: Path, batches: list[dict]) -> int:
    """How many batches, from the first, have their sample line and blobs whole on disk."""
    at = dict.fromkeys(_NAMES, 0)
    with contextlib.ExitStack() as stack:
        files = {n: stack.enter_context(open(path / n, "rb")) for n in _NAMES if (path / n).exists()}
        for k, line in enumerate(batches):
            for name, start in at.items():
                end = line["ends"][name]
                part = read_at(files[name].fileno(), end - start, start) if name in files else b""
                if len(part) != end - start or zlib.crc32(part) != line["crc"][name]:
                    return k
                at[name] = end
    return len(batches)
