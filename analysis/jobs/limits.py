"""What one person may ask of the workers, and what one job may take: from the environment, nothing by default.

    LOUPE_JOBS_RUNNING      jobs of one person that run at once
    LOUPE_JOBS_QUEUED       jobs of one person that wait
    LOUPE_JOB_HOURS         hours of work that one person may take in a day
    LOUPE_JOB_MEMORY        memory of one job, as "4G" (there is always the limit of what is free)
    LOUPE_WORKSPACE_SIZE    disk that the workspace may take, as "200G"
    LOUPE_CACHE_SIZE        disk that kept results may take, as "20G", or "none"; a host has a bound of 20G by itself
    LOUPE_STOP_SECONDS      how long a running job may go on when the server is told to stop

The workers inherit the environment of the server that starts them.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis import access
from analysis.errors import Busy, ParameterError
from analysis.store.durable import DiskFull

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
HOSTED_CACHE = 20 << 30  # bytes of kept results of a workspace, where the operator says nothing
LEAST_FREE = 64 << 20  # bytes of disk without which no job is begun: its own files would be cut off
MEASURED_FOR = 60.0  # seconds that a workspace's size stays known: a large one takes a while to walk


@dataclass(frozen=True)
class Limits:
    """`running`, `queued` : jobs of one person. `seconds` : of work of one person in a day. `memory`, `disk` : bytes of
    one job, of the workspace. `cache` : bytes of kept results, beyond which the oldest go. `stop` : seconds that jobs
    may go on when the server stops. None: no limit."""

    running: int | None = None
    queued: int | None = None
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None
    cache: int | None = None
    stop: float = 20.0


def limits(environment: Mapping[str, str] | None = None) -> Limits:
    """As the environment says now. Raises ParameterError, which names the variable."""
    given = os.environ if environment is None else environment
    hours = _number(given, "LOUPE_JOB_HOURS", float)
    stop = _number(given, "LOUPE_STOP_SECONDS", float)
    return Limits(
        running=_number(given, "LOUPE_JOBS_RUNNING", int),
        queued=_number(given, "LOUPE_JOBS_QUEUED", int),
        seconds=None if hours is None else 3600.0 * hours,
        memory=_size(given, "LOUPE_JOB_MEMORY"),
        disk=_size(given, "LOUPE_WORKSPACE_SIZE"),
        cache=_cache(given),
        stop=Limits.stop if stop is None else stop,
    )


def refuse_beyond(found: Limits, waiting: int, seconds: float) -> None:
    """Raises Busy where a person has as many jobs waiting, or has taken as much time today, as she may."""
    if found.queued is not None and waiting >= found.queued:
        raise Busy(
            f"{waiting} of your jobs are waiting already",
            f"at most {found.queued} at a time, so that others have their turn",
            "Wait for one to begin, or cancel one",
        )
    if found.seconds is not None and seconds >= found.seconds:
        raise Busy(
            f"your jobs of today took {seconds / 3600:.1f} hours",
            f"at most {found.seconds / 3600:g} hours a day, so that others have their turn",
            "Go on tomorrow, or ask the operator for more",
        )


def refuse_full(workspace: Path, found: Limits) -> None:
    """Raises DiskFull where a job could not write what it makes."""
    free = shutil.disk_usage(workspace).free
    if free < LEAST_FREE:
        raise DiskFull(
            f"the disk of {workspace} has {in_words(free)} left",
            f"at least {in_words(LEAST_FREE)} before work begins",
            "Free some space, then start again",
        )
    if found.disk is None or (held := size_of(workspace)) < found.disk:
        return
    raise DiskFull(
        f"the workspace takes {in_words(held)}",
        f"at most {in_words(found.disk)} (LOUPE_WORKSPACE_SIZE)",
        "Remove stores or kept results that nobody needs, or ask the operator for more",
    )


_sizes: dict[Path, tuple[float, int]] = {}


def size_of(folder: Path) -> int:
    """Bytes of all files under `folder`; walked at most once a minute."""
    now = time.monotonic()
    then, size = _sizes.get(folder, (-math.inf, 0))
    if now - then > MEASURED_FOR:
        size = sum(_bytes(entry) for entry in _files(folder))
        _sizes[folder] = now, size
    return size


def in_words(number: float) -> str:
    """ "3.2 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _files(folder: str | os.PathLike):
    try:
        entries = list(os.scandir(folder))
    except OSError:  # removed meanwhile
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry)
        elif entry.is_file(follow_symlinks=False):
            yield entry


def _bytes(entry: os.DirEntry) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _number(given: Mapping[str, str], name: str, kind: type):
    text = given.get(name, "").strip()
    if not text:
        return None
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ParameterError(f"{name} = {text!r}", "a number from 0 on")
    return value


def _cache(given: Mapping[str, str]) -> int | None:
    text = given.get("LOUPE_CACHE_SIZE", "").strip().lower()
    if text == "none":
        return None
    if not text:
        return HOSTED_CACHE if given.get(access.HOSTED) == "1" else None
    return _size(given, "LOUPE_CACHE_SIZE")


def _size(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name, "").strip().upper().removesuffix("B").removesuffix("I")
    if not text:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "")
    try:
        value = float(number) * UNITS[unit]
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ParameterError(f"{name} = {given[name]!r}", 'a size, as "4G" or "500M"')
    return int(value)
