"""The baskets of a workspace: a folder each, changed by one person at a time, whoever else has the page open.

    baskets/NAME/basket.json    the basket, replaced whole
    baskets/NAME/kept/          results that no recipe makes, by the digest of their numbers

A change is a function of the basket as it is at that moment, under a lock: two people who move and rename different
panels both have their way. A text that somebody else has changed since it was read is not written over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from analysis import access, results
from analysis.errors import Busy, InputError, NotFound, ParameterError
from analysis.results import Result
from analysis.sharing.baskets.basket import FILE, KEPT, Basket, Panel, read_basket
from analysis.store.durable import room_for, write_file
from analysis.workspace import NAME

FOLDER = "baskets"
LARGEST = 8 << 20  # bytes of a basket file


class Baskets:
    """The baskets below a workspace."""

    def __init__(self, workspace: Path) -> None:
        self.folder = Path(workspace) / FOLDER

    def names(self) -> list[str]:
        """In alphabetical order."""
        found = [path.parent.name for path in self.folder.glob(f"*/{FILE}")]
        return sorted(name for name in found if NAME.fullmatch(name))

    def path(self, name: str) -> Path:
        """The folder of a basket. Raises ParameterError for a name that none can have."""
        if not isinstance(name, str) or not NAME.fullmatch(name) or ".." in name:
            raise ParameterError(
                f"{str(name)[:60]!r} cannot name a basket",
                "letters, digits, space and . _ = + - (at most 100, a letter or digit first)",
            )
        return self.folder / name

    def open(self, name: str) -> Basket:
        """One basket. Raises NotFound, InputError."""
        path = self.path(name)
        if not (path / FILE).is_file():
            raise NotFound(f"no basket {name!r}", "one of " + (", ".join(self.names()) or "none yet"))
        return open_basket(path)

    def create(self, name: str) -> Basket:
        """A new empty basket; one that is there is opened."""
        access.require("editor", "make a basket")
        path = self.path(name)
        with _locked(path):
            if not (path / FILE).exists():
                _write(path, Basket(name))
        return self.open(name)

    def change(self, name: str, edit: Callable[[Basket], Basket], doing: str = "change a basket") -> Basket:
        """Write what `edit` makes of the basket as it is now. Raises Forbidden, NotFound, ParameterError, Busy."""
        access.require("editor", doing)
        path = self.path(name)
        if not path.is_dir():
            self.open(name)
        with _locked(path):
            now = self.open(name)
            new = edit(now).checked()
            if new == now:
                return now
            new = dataclasses.replace(new, name=name, revision=now.revision + 1)
            _write(path, new)
            return new

    def add(self, name: str, result: Result, options: dict, recipe: dict | None, keep: bool) -> Panel:
        """Put a figure at the end of a basket, made where it is not there; `keep`: its numbers too, as no recipe makes
        them. Raises Forbidden, ParameterError."""
        person = access.require("editor", "add a figure to a basket")
        self.create(name)
        digest, kept = digest_of(result), ""
        if keep:
            kept = f"{digest}.npz"
            with room_for(self.folder, "a result"):
                results.save(result, self.path(name) / KEPT / kept)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        panel = Panel(secrets.token_hex(4), recipe, kept, options, digest, by=person.name, at=at)
        self.change(name, lambda now: dataclasses.replace(now, panels=(*now.panels, panel)))
        return panel

    def remove(self, name: str) -> None:
        """Remove a basket with the results that it keeps. Raises Forbidden, NotFound."""
        access.require("editor", "remove a basket")
        path = self.path(name)
        self.open(name)
        with _locked(path):
            shutil.rmtree(path)


def rewritten(field: str, was, now, id: str = "") -> Callable[[Basket], Basket]:
    """An edit that replaces a text or number of the basket (of the panel `id`), if it still is what was read.

    Raises Busy where somebody else has changed it meanwhile, saying to what."""

    def edit(basket: Basket) -> Basket:
        owner = basket.panel(id) if id else basket
        there = getattr(owner, field)
        if there not in (was, now):
            raise Busy(
                f"somebody else has changed the {field} meanwhile, to {str(there)[:200]!r}",
                "the text that you saw",
                "Nothing was written over: read it, and write yours again",
            )
        changed = dataclasses.replace(owner, **{field: now})
        return basket.with_panel(changed) if id else changed

    return edit


def open_basket(folder: Path) -> Basket:
    """The basket in a folder, wherever that is; its name is the folder's. Raises NotFound, InputError."""
    file = Path(folder) / FILE
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"{file} has {file.stat().st_size:,} bytes", f"at most {LARGEST:,}")
        data = file.read_bytes()
    except OSError as error:
        raise NotFound(f"{file} cannot be read ({error.strerror})", "a basket") from None
    return read_basket(data, str(file))


def kept_result(folder: Path, panel: Panel) -> Result:
    """The result that a basket keeps for a panel. Raises StoreDamaged, NotFound."""
    path = Path(folder) / KEPT / panel.kept
    if not path.is_file() or path.is_symlink():
        raise NotFound(
            f"{path} is not there", "the numbers of the panel", "Take the panel out and add it again"
        )
    return results.load(path)


def digest_of(result: Result) -> str:
    """32 hexadecimal characters of what a result holds: everything but how and when it was made."""
    header, arrays = results.to_parts(dataclasses.replace(result, origin=None))
    found = hashlib.sha256(json.dumps(header, sort_keys=True, default=_plain).encode("utf-8", "replace"))
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]


def _plain(value):
    return value.item() if isinstance(value, np.generic) else np.asarray(value).tolist()


def _write(path: Path, basket: Basket) -> None:
    with room_for(path, "a basket"):
        write_file(path / FILE, basket.as_json())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time; the kernel lets go of the lock of a process that died."""
    path.mkdir(parents=True, exist_ok=True)
    with open(path / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
