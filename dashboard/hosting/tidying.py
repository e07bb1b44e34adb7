"""Keeps the caches of a host's workspaces within their bound (LOUPE_CACHE_SIZE), every few minutes: pages compute
results too, not only the workers, which look after each job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import LoupeError

EVERY = 300.0  # seconds
log = logging.getLogger("loupe.hosting")


def begin(workspaces: Sequence[tuple[str, Path]], every: float = EVERY) -> threading.Event:
    """Begin in a thread of its own; it ends when the event is set."""
    ended = threading.Event()
    threading.Thread(target=_go_on, args=(workspaces, every, ended), name="tidying", daemon=True).start()
    return ended


def _go_on(workspaces: Sequence[tuple[str, Path]], every: float, ended: threading.Event) -> None:
    while not ended.wait(every):
        for name, path in workspaces:
            once(name, path)


def once(name: str, path: Path) -> None:
    """One look; whatever goes wrong is in the log, and nothing is removed then."""
    from analysis.jobs.cache_bound import bound

    try:
        found = bound(path)
    except (LoupeError, OSError) as error:
        log.warning("the cache of %s was left as it is: %s", name, error)
        return
    if found is not None and found.removed:
        log.info(
            "the cache of %s: %d bytes were %d, %d things went",
            name,
            found.after,
            found.before,
            found.removed,
        )
