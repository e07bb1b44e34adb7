"""Few pages are drawn at once, the others wait for their turn: each then ends after its own work, and not all together
after everybody's.

Python runs one thread at a time. Twenty pages that take turns every five milliseconds are all done at the end of the
twentieth, and the thread that sends what is ready waits among them. A page that computes for long keeps nobody waiting
beyond PATIENCE.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = 3  # pages; more than one, because a page may wait for a disk or compute without Python's lock
PATIENCE = 1.0  # seconds
_places = threading.BoundedSemaphore(AT_ONCE)


@contextmanager
def turn() -> Iterator[None]:
    """Around a run of a page."""
    has_place = _places.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if has_place:
            _places.release()
