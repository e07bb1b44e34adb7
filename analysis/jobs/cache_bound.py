"""Keeps what is kept to be quick within a size: the least recently used goes first, never what somebody refers to.

What may go can be computed again: results of methods, what several of them share (neighbour graphs, the cells of heat
maps), and what rules looked at. What stays, however old and however full:

- results that somebody wrote about, starred, tagged or answered; that a short link showed (the stops of a tour are
  such); that a panel of a basket draws; with the cells that they tell
- results that a waiting or running job makes, and everything that was used since the first of the running ones began
- what was used within the last `RECENT` seconds, and selections that only an address names

Any number of processes may do this at once: one does, the others pass. A reader finds a thing whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis import results
from analysis.errors import LoupeError
from analysis.jobs import queue, turns
from analysis.jobs.files import read_json
from analysis.jobs.limits import limits
from analysis.people.figure_things import key_of_recipe
from analysis.sharing.baskets.shelf import Baskets
from analysis.store.cache import KEY
from analysis.workspace import Workspace

LOCK, GONE = ".bound.lock", ".gone-"
RECENT = 600.0  # seconds: what a page shows that is open now
SPARE = 0.1  # of the bound is made free beyond it, so that this is not done at every job
log = logging.getLogger("loupe.cache")


@dataclass(frozen=True)
class Kept:
    """One thing in the cache: a file, or a folder with all that is in it. `used`: when last, as seconds since 1970."""

    path: Path
    n_bytes: int
    used: float


@dataclass(frozen=True)
class Freed:
    """`before`, `after`: bytes. `removed`: how many things. `held`: bytes of what is referred to or in use and would
    else have gone; then `after` may be beyond the bound."""

    before: int
    after: int
    removed: int = 0
    held: int = 0


def bound(workspace: str | os.PathLike, limit: int | None = None) -> Freed | None:
    """Bring the cache of a workspace within `limit` bytes (what `LOUPE_CACHE_SIZE` says); None where there is no bound,
    or another process does it now. Cost: a look at every file of the cache; one read of each that is to go.

    Raises LoupeError where it cannot be said what is referred to: then nothing is removed.
    """
    limit = limits().cache if limit is None else limit
    folder = Path(workspace) / "cache"
    if limit is None or not folder.is_dir():
        return None
    with _alone(folder) as alone:
        if not alone:
            return None
        _clear(folder)
        things = sorted(kept(folder), key=lambda thing: thing.used)
        before = sum(thing.n_bytes for thing in things)
        if before <= limit:
            return Freed(before, before)
        return _free(Workspace.open(workspace), things, before, int(limit * (1 - SPARE)))


def bound_after_a_job(workspace: Path) -> None:
    """The same for a worker, whose job has ended well whatever comes of it."""
    try:
        bound(workspace)
    except (LoupeError, OSError) as error:
        log.warning("the cache of %s was left as it is: %s", workspace, error)


def _free(workspace: Workspace, things: list[Kept], before: int, wanted: int) -> Freed:
    keys = referred(workspace)
    stays = keys | _cells(workspace, keys)
    since = _in_use_since(workspace.path)
    after = before
    removed = held = 0
    for thing in things:
        if after <= wanted:
            break
        if thing.used >= since or _is_referred(thing.path, stays):
            held += thing.n_bytes
        elif _remove(thing):
            after, removed = after - thing.n_bytes, removed + 1
    log.info("cache of %s: %s of %s bytes, %s things removed", workspace.path, after, before, removed)
    return Freed(before, after, removed, held)


# ---------------------------------------------------------------------------- what there is
def kept(folder: Path) -> Iterator[Kept]:
    """Everything in the cache that can be computed again."""
    for entry in _entries(folder):
        shared = entry.name.startswith("shared-")
        if entry.is_dir(follow_symlinks=False):
            if shared:
                yield _seen(entry, sum(e.stat().st_size for e in _entries(Path(entry.path))))
            elif entry.name == "tokens":
                yield from (_seen(e, e.stat().st_size) for e in _entries(Path(entry.path)))
        elif entry.name.endswith(".npz") and (shared or KEY.fullmatch(entry.name.removesuffix(".npz"))):
            yield _seen(entry, entry.stat().st_size)


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    with os.scandir(folder) as found:
        yield from (e for e in found if not e.name.startswith(".") and not e.is_symlink())


def _seen(entry: os.DirEntry, n_bytes: int) -> Kept:
    return Kept(Path(entry.path), n_bytes, entry.stat().st_mtime)


# ---------------------------------------------------------------------------- what stays
def referred(workspace: Workspace) -> set[str]:
    """Keys of results that people, baskets or jobs name. Raises LoupeError where one of these cannot be read."""
    found = workspace.people.figure_keys()
    baskets = Baskets(workspace.path)
    for name in baskets.names():
        found |= {key_of_recipe(panel.recipe) for panel in baskets.open(name).panels if panel.recipe}
    for job in _jobs(workspace.path):
        found |= _made_by(workspace, job)
    return found


def _jobs(workspace: Path) -> Iterator[dict]:
    running = [found["job"] for found in turns.at_work(workspace / "jobs")]
    for id in (*queue.waiting(workspace), *running):
        yield read_json(workspace / "jobs" / id / "job.json") or {}


def _made_by(workspace: Workspace, job: dict) -> set[str]:
    if job.get("kind") != "method":
        return set()
    given = job["arguments"]
    with contextlib.suppress(
        LoupeError, KeyError, TypeError, ValueError
    ):  # it refuses itself when its turn comes
        return {
            workspace.key(
                given["method"], given["inputs"], given.get("params"), seed=int(given.get("seed", 0))
            )
        }
    return set()


def _cells(workspace: Workspace, keys: set[str]) -> set[str]:
    """Keys of the folders with the cells of the results under `keys`."""
    found = set()
    for thing in kept(workspace.cache.directory):
        if thing.path.suffix == ".npz" and KEY.fullmatch(thing.path.stem) and _is_referred(thing.path, keys):
            found.add(str(_fields(thing.path).get("tiles") or ""))
    return found - {""}


def _is_referred(path: Path, keys: set[str]) -> bool:
    """Whether `keys` name it: by its own key, or by what its recipe says."""
    if not keys:
        return False
    key = path.name.removesuffix(".npz").removeprefix("shared-")
    if key in keys:
        return True
    origin = _fields(path).get("origin") if KEY.fullmatch(path.name.removesuffix(".npz")) else None
    return bool(origin) and key_of_recipe(origin) in keys


def _fields(path: Path) -> dict:
    try:
        return results.plain_fields(path)
    except LoupeError:  # damaged: nobody can be shown it
        return {}


def _in_use_since(workspace: Path) -> float:
    """What was used after this moment may be in use."""
    began = [time.time() - RECENT]
    for found in turns.at_work(workspace / "jobs"):
        with contextlib.suppress(OSError):
            began.append((workspace / "jobs" / found["job"] / "taken").stat().st_mtime)
    return min(began)


# ---------------------------------------------------------------------------- removing
@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    with open(folder / LOCK, "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _remove(thing: Kept) -> bool:
    """Whether it is gone; what was used or made anew since it was looked at stays."""
    try:
        if thing.path.stat().st_mtime != thing.used:
            return False
        if thing.path.is_dir():
            beside = thing.path.with_name(f"{GONE}{secrets.token_hex(6)}")
            os.replace(thing.path, beside)  # whole or not at all; who has opened it reads on
            shutil.rmtree(beside, ignore_errors=True)
        else:
            thing.path.unlink()
    except OSError:
        return False
    return True


def _clear(folder: Path) -> None:
    """What another process was killed over."""
    for left in folder.glob(f"{GONE}*"):
        shutil.rmtree(left, ignore_errors=True)
