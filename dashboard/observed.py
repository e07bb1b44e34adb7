"""Runs of pages, to be watched by whoever wants to: nobody on one's own machine, the metrics and the log of a host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

_watch: Callable[[str], AbstractContextManager] = nullcontext


def by(watch: Callable[[str], AbstractContextManager]) -> None:
    """From now on, in this process, every run of a page happens within `watch(name of the page)`."""
    global _watch
    _watch = watch


def run(page: str) -> AbstractContextManager:
    """To be entered around a run of this page."""
    return _watch(page)
