"""One writer thread behind the forward passes, with a short queue: memory stays a few batches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Behind:
    """Calls `write(item)` for each item put, in order, in one thread; a `with` block waits for the last.

    An error in the thread is raised in the caller at its next `put` or at the end; what follows a failed item
    is dropped, since a store without a hole cannot take it.
    """

    def __init__(self, write: Callable[[object], None], waiting: int = 1) -> None:
        self._write = write
        self._queue: queue.Queue = queue.Queue(maxsize=waiting)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recording-writer", daemon=True)

    def __enter__(self) -> Behind:
        self._thread.start()
        return self

    def put(self, item) -> None:
        """Hand over one item; waits while the queue is full."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __exit__(self, kind, value, traceback) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and value is None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue  # keep emptying: the caller must never wait for ever
            try:
                self._write(item)
            except BaseException as error:
                self._error = error
            del item  # free the batch before waiting for the next
