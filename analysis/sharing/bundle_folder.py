"""A folder that is published: plain files, each with its checksum, written beside its place and renamed when whole.

    manifest.json    kind, schema, digest, what was asked for, and of every other file its SHA-256 and size

The digest is that of the lines "SHA-256, two spaces, name" in the order of the names, as `sha256sum` writes them. A
folder is only ever replaced where it is one of these and holds nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import InputError, UnsafeFile
from analysis.sharing.beside import beside, put_folder
from analysis.sharing.inputs import is_inside
from analysis.store.durable import room_for

MANIFEST = "manifest.json"
KIND, SCHEMA = "Feature Loupe bundle", 1
NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*/){0,6}[A-Za-z0-9_][A-Za-z0-9._-]*")


class BundleFolder:
    """The files of a bundle as they are written; `files` has (SHA-256, bytes) by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, tuple[str, int]] = {}
        self._folded: set[str] = set()

    def add(self, name: str, data: bytes) -> None:
        """Write one file. Raises UnsafeFile for a name that is not plain, or that differs from another by case only."""
        if not NAME.fullmatch(name) or name == MANIFEST or name.casefold() in self._folded:
            raise UnsafeFile(f"a file called {name[:100]!r}", "a plain name, each once")
        self._folded.add(name.casefold())
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.files[name] = (hashlib.sha256(data).hexdigest(), len(data))

    @property
    def n_bytes(self) -> int:
        """Of all files so far."""
        return sum(size for _, size in self.files.values())

    def finish(self, about: dict) -> str:
        """Write the manifest with `about`; returns the digest."""
        files = {
            name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted(self.files.items())
        }
        whole = {"kind": KIND, "schema": SCHEMA, "digest": digest_of(files), **about, "files": files}
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        (self.root / MANIFEST).write_bytes(text.encode("utf-8", "replace"))
        return whole["digest"]


def digest_of(files: dict[str, dict]) -> str:
    """SHA-256 of what a manifest says of its files."""
    lines = "".join(f"{about['sha256']}  {name}\n" for name, about in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def new_bundle(out: Path, workspace: Path, *, replace: bool = False) -> Iterator[BundleFolder]:
    """A folder to fill; it becomes `out` at the end of the `with`, once it has a manifest.

    Raises InputError where `out` is something else or lies in the workspace, DiskFull.
    """
    out = Path(os.path.abspath(out))
    refuse_place(out, workspace, replace)
    with room_for(out.parent, "the bundle"), beside(out, folder=True) as made:
        yield BundleFolder(made)
        if not (made / MANIFEST).is_file():
            return
        os.sync()
        refuse_place(out, workspace, replace)
        put_folder(made, out)


def refuse_place(out: Path, workspace: Path, replace: bool) -> None:
    """InputError where a bundle may not be put. A bundle that is there is replaced where it holds nothing else."""
    real, inside = os.path.realpath(out), os.path.realpath(workspace)
    if is_inside(real, Path(inside)) or is_inside(inside, Path(real)):
        raise InputError(f"{out} lies in the workspace or around it", "a place outside of it")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out} is not a folder", "a new one, or a bundle to replace")
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {out.parent}", "one that is there", "Make it first")
    if not out.exists() or not any(out.iterdir()):
        return
    if strange := foreign(out):
        raise InputError(f"{out} holds other things ({strange})", "a new folder", "Choose another one")
    if not replace:
        raise InputError(
            f"there is a bundle in {out}", "a new folder", "Choose another one, or replace it (--replace)"
        )


def foreign(out: Path) -> str:
    """Something in a folder that no bundle of ours put there; "" where it is one of ours and nothing else."""
    try:
        about = json.loads((out / MANIFEST).read_bytes())
        known = {*about["files"], MANIFEST} if about["kind"] == KIND else set()
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    if not known:
        return min(entry.name for entry in out.iterdir())[:100]
    found = (p for p in out.rglob("*") if p.is_symlink() or not p.is_dir())
    return next(
        (str(p.relative_to(out))[:100] for p in found if p.relative_to(out).as_posix() not in known), ""
    )


def damaged(folder: Path) -> list[str]:
    """What is not as its manifest says, as lines; [] for a sound bundle. Raises InputError for anything else."""
    try:
        about = json.loads((folder / MANIFEST).read_bytes())
        files = {str(name): (one["sha256"], one["bytes"]) for name, one in about["files"].items()}
        sound = about["kind"] == KIND and about["digest"] == digest_of(about["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{folder} is not a bundle", f"a folder with a {MANIFEST}") from None
    found = [] if sound else [f"{MANIFEST}: its digest is not that of its files"]
    for name, (digest, size) in files.items():
        path = folder / name
        if not NAME.fullmatch(name) or not path.is_file():
            found.append(f"{name[:100]}: not there")
        elif path.stat().st_size != size or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.append(f"{name}: other bytes than were published")
    return found
