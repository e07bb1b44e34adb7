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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import InputError, LoupeError, NotEnoughData
from analysis.store import manifest
from analysis.store.batches import TapBlock, prepare
from analysis.store.durable import RESUME, WriterLock, made_directory, room_for, sync_directory
from analysis.store.manifest import TapSpec
from analysis.store.open_files import OpenFiles
from analysis.store.places import MEDIA_PATH, portable
from analysis.store.text import readable

if TYPE_CHECKING:
    from analysis.store.reader import Store

__all__ = ["StoreWriter", "TapBlock"]


class StoreWriter:
    """Writes one store. Use `create` or `resume`; as a context manager it closes without finishing.

    `finished_batches`, `finished_samples`: what is safely kept; go on from there after `resume`.
    """

    def __init__(self, path: Path, about: dict, lock: WriterLock) -> None:
        self.path, self._lock = path, lock
        self.taps = {entry["name"]: manifest.tap_of(entry) for entry in about["taps"]}
        self._about = about
        self._files = OpenFiles(path, about)
        self._closed = False

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

        def about() -> dict:
            if (path / manifest.FILE).exists():
                raise InputError(
                    f"{path} already holds a store",
                    "a new directory",
                    "Resume it, delete it, or choose a name",
                )
            return manifest.begun(
                path, name=name, taps=taps, checkpoint=checkpoint, data=data, settings=settings, classes=classes,
                n_expected=n_expected,
            )  # fmt: skip

        with room_for(path, "a new store"):
            made_directory(path)
            return StoreWriter._opened(path, about, OpenFiles.begin)

    @staticmethod
    def resume(directory: str | os.PathLike) -> StoreWriter:
        """Go on with an unfinished store: what the journal names is kept, everything beyond it is cut off.

        Raises NotFound, NewerSchema, StoreDamaged, Busy; InputError when the store is complete.
        """
        path = Path(directory)
        manifest.read(path)  # no lock file where there is no store

        def about() -> dict:
            kept = manifest.read(path)  # under the lock: who held it may have finished
            if kept["complete"]:
                raise InputError(
                    f"{path} is complete", "an unfinished store", "Open it, or record under another name"
                )
            return kept

        with room_for(path, "the repaired store"):
            return StoreWriter._opened(path, about, OpenFiles.restore)

    @staticmethod
    def _opened(path: Path, about: Callable[[], dict], start: Callable[[OpenFiles], None]) -> StoreWriter:
        """A writer under its lock; lock and files are given back if anything fails."""
        lock, writer = WriterLock(path), None
        try:
            writer = StoreWriter(path, about(), lock)
            start(writer._files)
        except BaseException:
            (writer or lock).close()
            raise
        return writer

    # -- batches -----------------------------------------------------------------------------------------

    @property
    def finished_batches(self) -> int:
        return self._files.state.n_batches

    @property
    def finished_samples(self) -> int:
        return self._files.state.n_samples

    @property
    def problems(self) -> tuple[str, ...]:
        """What `note_problem` was told, before a resume too."""
        return tuple(self._files.state.problems)

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
        with self._closed_by_failure(f"batch {self.finished_batches}"):
            self._files.append(batch)

    def note_problem(self, text: str) -> None:
        """Keep a sentence for `Store.problems`: skipped items and the like.

        Raises LoupeError when the disk is full; the writer is then closed.
        """
        self._usable()
        with self._closed_by_failure("a note"):
            self._files.journal({"problem": readable(str(text))})

    def _usable(self) -> None:
        if self._closed:
            raise LoupeError(
                f"the writer of {self.path} is closed", "an open one", "Call StoreWriter.resume first"
            )

    @contextlib.contextmanager
    def _closed_by_failure(self, what: str) -> Iterator[None]:
        """Whatever fails while writing closes the writer: only `resume` finds out what reached the disk."""
        try:
            with room_for(self.path, what, RESUME):
                yield
        except BaseException:
            self.close()
            raise

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
        with self._closed_by_failure("the finished store"):
            self._files.finish()
        self.close()
        return Store.open(self.path)

    def close(self) -> None:
        """Release files and lock; an unfinished store can be resumed."""
        if self._closed:
            return
        self._closed = True
        try:
            self._files.close()
            with contextlib.suppress(OSError):
                sync_directory(self.path)
        finally:
            self._lock.close()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()
