"""What of a workspace goes into a pack, what stays behind, and why.

Hidden files (locks, what is half written), jobs and timings stay without a word; unfinished stores, symbolic links and
inputs that were not asked for are told. Databases are copied as they are at one moment, without what was deleted; what
people write travels as a people.db, wherever it is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import LoupeError, ParameterError, StoreDamaged, TooLarge
from analysis.sharing.container import MOST_FILES, ROOT, name_problem
from analysis.sharing.inputs import WORDS, Input, input_of, is_inside
from analysis.sharing.store_links import relinked
from analysis.workspace import Workspace

PARTS = {
    "results": "cache",
    "training": "training",
    "notes": "",
}  # what may be left out, and the folder that it is
LOCAL = ("jobs", "cache/timings.json", "audit", "members.json")  # of this machine only
MAGIC = b"SQLite format 3\0"


@dataclass
class Plan:
    """What a pack will hold: `files` by their name in it, `sizes` in bytes, what was `left_out` and why."""

    name: str
    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    stores: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, path: Path) -> None:
        self.files[ROOT + name], self.sizes[ROOT + name] = path, path.stat().st_size

    @property
    def n_bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def about(self) -> dict:
        """What the manifest says besides the files."""
        results = sum(n.startswith(f"{ROOT}cache/") and n.endswith(".npz") for n in self.files)
        return {"name": self.name, "stores": self.stores, "features": self.features, "results": results,
                "left_out": [list(pair) for pair in self.left_out]}  # fmt: skip


@contextlib.contextmanager
def planned(
    workspace: Workspace, *, networks: bool = False, data: bool = False, without: tuple[str, ...] = ()
) -> Iterator[Plan]:
    """What a pack of this workspace would hold; its rewritten files are there until the end of the `with`.

    Raises ParameterError for an unknown part, StoreDamaged for a database that cannot be read.
    """
    if unknown := set(without) - set(PARTS):
        raise ParameterError(f"without = {min(unknown)!r}", "one of " + ", ".join(PARTS))
    with tempfile.TemporaryDirectory(prefix="loupe-pack-") as folder:
        plan = Plan(_name_of(workspace))
        _add_files(plan, workspace, {PARTS[p] for p in without}, Path(folder))
        _add_stores(
            plan, workspace, [p for p, on in (("checkpoint", networks), ("data", data)) if on], Path(folder)
        )
        shown = {facts.name: facts.digest for facts in workspace.features.facts() if not facts.problem}
        plan.features = {
            n: d for n, d in shown.items() if f"{ROOT}features/{n}/feature_set.json" in plan.files
        }
        if len(plan.files) > MOST_FILES:
            raise TooLarge(f"{len(plan.files):,} files", f"at most {MOST_FILES:,}", "Leave out the data")
        yield plan


def _name_of(workspace: Workspace) -> str:
    return str(json.loads((workspace.path / "workspace.json").read_text()).get("name", ""))


# ---------------------------------------------------------------------------- what lies in the workspace
def _add_files(plan: Plan, workspace: Workspace, without: set[str], folder: Path) -> None:
    """Everything but stores, which are asked first."""
    root, people = workspace.path, workspace.people
    for name, path in _walk(
        root, "", plan.left_out, lambda name: name in (*LOCAL, "stores") or name in without
    ):
        if path == people.path:
            continue  # below: it may be kept elsewhere, and no plain file may be opened while others write it
        if _is_database(path):
            if "/" in name or "" not in without:
                plan.add(name, _snapshot(path, folder / f"database-{len(plan.files)}"))
        elif not _is_companion(path):
            plan.add(name, path)
    written = folder / people.path.name
    if "" not in without and not people.path.is_symlink() and people.export(written):
        plan.add(people.path.name, written)


def _walk(
    folder: Path, prefix: str, left_out: list, skipped: Callable[[str], bool]
) -> Iterator[tuple[str, Path]]:
    """Plain files by name; hidden ones (locks, what is half written) stay, and links are not followed."""
    with os.scandir(folder) as there:
        entries = sorted(there, key=lambda e: e.name)
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith(".") or entry.name.endswith(".tmp") or skipped(name):
            continue
        if why := name_problem(ROOT + name):
            left_out.append((ascii(name)[1:-1], why))
        elif entry.is_symlink():
            left_out.append((name, "a symbolic link: put the files themselves there"))
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{name}/", left_out, skipped)
        elif entry.is_file(follow_symlinks=False):
            yield name, folder / entry.name
        else:
            left_out.append((name, "neither a file nor a folder"))


def _is_database(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _is_companion(path: Path) -> bool:
    """A journal of a database: its snapshot holds it."""
    return any(path.name.endswith(end) and path.with_name(path.name.removesuffix(end)).exists()
               for end in ("-wal", "-shm", "-journal"))  # fmt: skip


def _snapshot(path: Path, out: Path) -> Path:
    """The database at one moment, while others write, in pages that do not tell its history."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as db:
            db.execute("VACUUM INTO ?", (str(out),))
        with contextlib.closing(sqlite3.connect(out)) as db:
            db.execute("PRAGMA schema_version = 1")  # counts how often this was done
            db.commit()
    except sqlite3.Error as error:
        raise StoreDamaged(
            f"{path} cannot be read ({error})", "a sound database", "Restore it, or pack without notes"
        ) from None
    return out


# ---------------------------------------------------------------------------- stores and what they were recorded from
def _add_stores(plan: Plan, workspace: Workspace, parts: list[str], folder: Path) -> None:
    root, known = workspace.path, {}
    for entry in workspace.stores():
        name, path = f"stores/{entry.name}", entry.path
        if entry.store is None or not entry.store.complete or path.is_symlink():
            why = entry.problem or ("its files are elsewhere (a symbolic link)" if path.is_symlink() else
                                    "its recording is not finished: resume it first")  # fmt: skip
            plan.left_out.append((name, why))
            continue
        store, found = entry.store, {}
        for part in WORDS:
            if one := _input(plan, entry.name, store, part, part in parts, root, known):
                found[part] = one
        plan.stores[entry.name] = store.digest
        for kept in _walk(path, f"{name}/", plan.left_out, lambda n: _is_half(root, n)):
            plan.add(*kept)
        made = folder / f"store-{len(plan.stores)}"
        made.mkdir()
        if changed := relinked(store, found, root, made):
            plan.add(f"{name}/{changed.name}", changed)
    for one in {one.place: one for one in known.values() if isinstance(one, Input)}.values():
        for file, at in one.files.items():
            plan.add(f"{one.place}/{file}", at)


def _is_half(root: Path, name: str) -> bool:
    """An encoded tap that somebody is writing."""
    parts = name.split("/")
    if len(parts) != 4 or parts[2] != "features":
        return False
    return (root / name).is_dir() and not (root / name / "manifest.json").exists()


def _input(plan: Plan, name: str, store, part: str, wanted: bool, root: Path, known: dict) -> Input | None:
    """The network or data of a store, read once for all stores of the same; None where it stays, which is told."""
    path = str(store.manifest[part].get("path") or "")
    if path and is_inside(path, root):
        return None  # it is packed as a file of the workspace
    key = (part, path, store.manifest[part].get("digest"))
    if wanted and key not in known:
        try:
            known[key] = input_of(store, part)
        except LoupeError as refusal:
            known[key] = str(refusal)
    found = known.get(key, f"not asked for (--{'networks' if part == 'checkpoint' else 'data'})")
    if isinstance(found, Input):
        return found
    plan.left_out.append((f"{WORDS[part]} of {name}", found))
    return None
