"""A pack back into a workspace: checked in a folder beside, so that the workspace is there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import Busy, InputError, LoupeError, NotFound, StoreDamaged, TooLarge, UnsafeFile
from analysis.sharing.beside import beside, is_held, put_folder
from analysis.sharing.container import MANIFEST, ROOT
from analysis.sharing.inputs import WORDS, is_inside, media_outside
from analysis.sharing.pack_reader import PackReader
from analysis.spec import Progress, no_progress
from analysis.store.durable import room_for
from analysis.store.reader import Store
from analysis.workspace import Workspace

MAGIC = b"SQLite format 3\0"
SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]*")


@dataclass(frozen=True)
class Unpacked:
    """What is there now. `about` is the pack's manifest without its files; `links` says of each store's network and
    data whether they are "inside", "found" or "missing", and where."""

    path: Path
    digest: str
    n_files: int
    n_bytes: int
    about: dict
    links: tuple[tuple[str, str, str], ...]


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[PackReader]:
    """A pack for reading. Raises NotFound, InputError, and as `PackReader`."""
    path = Path(path)
    if not path.exists():
        raise NotFound(f"{path} does not exist", "a file that `loupe pack` wrote")
    if not path.is_file():
        raise InputError(f"{path} is not a plain file", "a file that `loupe pack` wrote")
    with open(path, "rb") as file:
        yield PackReader(file, path.name)


def unpack(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    digest: str = "",
    replace: bool = False,
    progress: Progress = no_progress,
) -> Unpacked:
    """Make the pack at `path` the workspace `out`.

    digest : refuse another content than this. replace : put it in the place of a workspace that is there, with all
    its notes.

    Raises
    ------
    StoreDamaged, UnsafeFile, InputError, NewerSchema
        See `container`; nothing is left of it then. TooLarge, DiskFull: no room. Busy: somebody works in `out`.
    """
    out = Path(os.path.abspath(out))
    with opened(path) as reader:
        if digest and digest.lower() != reader.manifest["digest"]:
            raise StoreDamaged(f"{reader.name} has the digest {reader.manifest['digest']}", digest,
                               "Ask again for the file, or for its digest")  # fmt: skip
        _refuse_place(out, replace)
        with room_for(out.parent, "the workspace"), beside(out, folder=True) as made:
            _refuse_size(reader, made)
            _extract(reader, made, progress)
            links = tuple(_checked(made, reader.manifest))
            (made / "stores").mkdir(exist_ok=True)
            os.sync()
            _refuse_place(out, replace)
            put_folder(made, out)
            about = {k: v for k, v in reader.manifest.items() if k != "files"}
            n_bytes = sum(m.size for m in reader.members[:-1])
            return Unpacked(out, about["digest"], len(reader.files), n_bytes, about, links)


def _refuse_place(out: Path, replace: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out} is not a folder", "a new one, or a workspace to replace")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "workspace.json").is_file():
        raise InputError(f"{out} holds other things", "a new folder", "Choose another one")
    if not replace:
        raise InputError(f"there is a workspace at {out}", "a new folder",
                         "Choose another one, or replace it with all its notes (--replace)")  # fmt: skip
    for lock in (
        *out.glob("stores/*/.lock"),
        *out.glob("stores/*/features/*/.lock"),
        *out.glob("jobs/*.lock"),
    ):
        if is_held(lock):
            raise Busy(
                f"somebody works in {out} ({lock.relative_to(out)})", "a workspace at rest", "Stop it first"
            )


def _refuse_size(reader: PackReader, made: Path) -> None:
    there, need = os.statvfs(made), sum(m.size for m in reader.members)
    if need > there.f_bavail * there.f_frsize or (there.f_files and len(reader.members) > there.f_favail):
        raise TooLarge(
            f"{reader.name} holds {len(reader.members):,} files of {need:,} bytes",
            f"as much room in {made.parent}",
            "Free some space, or unpack elsewhere",
        )


def _extract(reader: PackReader, made: Path, progress: Progress) -> None:
    """Every file by its bytes alone: no times, owners, modes or links of the archive are used."""
    done, total = 0, max(sum(m.size for m in reader.members), 1)
    for member in reader.members[:-1]:
        path = made / member.name.removeprefix(ROOT)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except FileExistsError:  # here names may differ by their case only
            raise UnsafeFile(
                f"{reader.name} holds two things of the name {member.name}", "each once"
            ) from None
        with os.fdopen(fd, "wb") as file:
            for block in reader.pieces(member):
                file.write(block)
                done += len(block)
                progress(done / total, f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB, {path.name}")


# ---------------------------------------------------------------------------- is it a workspace that may be opened?
def _checked(root: Path, about: dict) -> Iterator[tuple[str, str, str]]:
    """(store, "network" or "data", where it is) of a workspace in which every digest is the one that was packed.

    Raises StoreDamaged, UnsafeFile.
    """
    try:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                _refuse_database(path)
        workspace = Workspace.open(root)
        workspace.people.refuse_unsound()
        features = {f.name: f.digest for f in workspace.features.facts() if not f.problem}
        stores = {entry.name: entry for entry in workspace.stores()}
        found = {name: _sound(entry, root).digest for name, entry in stores.items()}
        for kind, there, packed in (
            ("stores", found, about["stores"]),
            ("feature sets", features, about["features"]),
        ):
            if there != packed:
                raise StoreDamaged(
                    f"the {kind} of this pack are not those of its {MANIFEST}", ", ".join(packed)
                )
        for name, entry in stores.items():
            for part, word in WORDS.items():
                where = str(entry.store.manifest[part].get("path") or "")
                inside = is_inside(where, root) if where else False
                state = "inside" if inside else "found" if where and os.path.exists(where) else "missing"
                yield name, word, state if inside or not where else f"{state}: {where}"
    except LoupeError:
        raise
    except Exception as error:  # whatever files that were made to mislead bring about
        raise StoreDamaged(
            f"the workspace in this pack cannot be opened ({error!r})", "", "Ask for it again"
        ) from None


def _sound(entry, root: Path) -> Store:
    """The store, where it names no file outside of `root` that would be opened unchecked."""
    if entry.store is None or not entry.store.complete:
        raise StoreDamaged(f"store {entry.name}: {entry.problem or 'unfinished'}", "a finished store")
    about = json.loads((entry.path / "manifest.json").read_text())
    slugs = [tap["slug"] for tap in about["taps"]] + [
        entry.store.entry(tap)["slug"] for tap in entry.store.taps
    ]
    outside = [s for s in slugs if not SLUG.fullmatch(str(s))]
    outside += [name for name in about.get("files", {}) if not is_inside(entry.path / name, entry.path)]
    outside += [text for text, _ in zip(media_outside(entry.store, root), range(1), strict=False)]
    if outside:
        raise UnsafeFile(f"store {entry.name} names {outside[0][:200]!r}, which is not in the workspace",
                         "files of the pack only", "Do not open it")  # fmt: skip
    return entry.store


def _refuse_database(path: Path) -> None:
    """One that does more than hold tables: triggers and views would run when somebody writes a note."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
    asked = (
        "SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%'"
    )
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            odd = db.execute(asked).fetchall()
    except sqlite3.Error as error:
        raise StoreDamaged(f"{path.name} cannot be read ({error})", "a sound database") from None
    if odd:
        raise UnsafeFile(
            f"the database {path.name} holds {str(odd[0][0])[:100]!r}, which acts by itself", "tables only"
        )
