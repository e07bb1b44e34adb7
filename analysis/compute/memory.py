"""How much memory there is, is free, and is held: of the machine, of the container, of a process and its children.

A container or a service has a limit of its own, set anywhere above it in the tree of control groups (version 2, and
version 1's memory controller). What a group holds of files that it could drop counts as free.
"""

from __future__ import annotations

import os
from pathlib import Path

UNKNOWN = 4 << 30  # taken for the machine's memory where the system does not say
NO_LIMIT = 1 << 60  # version 1 writes a number like 2⁶³ where there is none
PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Memory that can be taken now without swapping, in bytes: of the machine or its tightest group."""
    free = _of_machine("MemAvailable")
    for limit, held in _groups():
        free = min(free, max(0, limit - held))
    return free


def total_bytes() -> int:
    """Memory of the machine, or the lowest limit of the groups that this process is in."""
    return min([_of_machine("MemTotal"), *(limit for limit, _ in _groups())])


def resident_bytes(pid: int) -> int:
    """Memory that a process and whatever it started hold, in bytes; 0 for one that has ended."""
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident_bytes(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """Processes that a process started and that are still there."""
    found = []
    for thread in _listed(PROC / str(pid) / "task"):
        try:
            found += [int(word) for word in (thread / "children").read_text().split()]
        except (OSError, ValueError):
            continue
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _of_machine(name: str) -> int:
    try:
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return UNKNOWN


def _groups() -> list[tuple[int, int]]:
    """(limit, held) of every group with a limit that this process is in."""
    found = []
    for folder, names in _folders():
        limit, held = _number(folder / names[0]), _number(folder / names[1])
        if limit is not None and held is not None and limit < NO_LIMIT:
            found.append((limit, max(0, held - _droppable(folder, names[2]))))
    return found


def _folders() -> list[tuple[Path, tuple[str, str, str]]]:
    """Each group's folder, from this process's own up to the root; inside a container the root is its own group."""
    second = ("memory.max", "memory.current", "inactive_file")
    first = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    found = []
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in [*lines, "0::/", "0:memory:/"]:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory"):
            continue
        root, names = (GROUPS / "memory", first) if controllers else (GROUPS, second)
        place = Path(path.lstrip("/"))
        found += [(root / step, names) for step in (place, *place.parents) if ".." not in step.parts]
    return list(dict.fromkeys(found))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _droppable(folder: Path, name: str) -> int:
    try:
        for line in (folder / "memory.stat").read_text().splitlines():
            word, _, number = line.partition(" ")
            if word == name:
                return int(number)
    except (OSError, ValueError):
        pass
    return 0
