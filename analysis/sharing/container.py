"""The file that a workspace travels in: a plain zip that any program opens.

    workspace/...    every file as it is, uncompressed, sorted by name, without times
    manifest.json    the last: size and SHA-256 of every other, `digest` over all of them, what was left out and why

The same content gives the same bytes. `digest` is the SHA-256 of the lines that `sha256sum` prints of the files, sorted
by name. Only this narrow form is read: members one behind the other without gaps, nothing compressed, nothing but plain
files below workspace/; so what is unpacked is never larger than the file, and no byte of it is outside the checksums
but the unused fields of zip's own headers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from analysis.errors import InputError

FORMAT, VERSION, MANIFEST, ROOT = "feature-loupe-pack", 1, "manifest.json", "workspace/"
MOST_FILES, MOST_MANIFEST, DEEPEST, LONGEST = 500_000, 1 << 27, 40, 1000
BLOCK = 1 << 20


def name_problem(name: str) -> str:
    """Why no file of a pack may be called that; "" where it may."""
    parts = name.split("/")
    if "\\" in name or name.startswith("/") or ".." in parts or name[1:2] == ":":
        return "it leads out of the folder"
    if any(unicodedata.category(c)[0] == "C" for c in name):
        return "control characters or invalid text in its name"
    if any(not part or part.startswith(".") for part in parts):
        return "a hidden name, or an empty one"
    if len(parts) > DEEPEST or len(name.encode()) > LONGEST or any(len(p.encode()) > 255 for p in parts):
        return "its name is too long, or too deep"
    return ""


def digest_of(files: dict[str, list]) -> str:
    """Of the content of a pack, {name: [size, sha256]}."""
    lines = (f"{sha}  {name}\n" for name, (_, sha) in sorted(files.items(), key=lambda f: f[0].encode()))
    return _sha(*(line.encode() for line in lines))


def _sha(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def checksum_of(manifest: dict) -> str:
    """Of a manifest itself."""
    return _sha(json.dumps({k: v for k, v in manifest.items() if k != "checksum"}, sort_keys=True).encode())


class PackWriter:
    """Writes members in the order that they come; `finish` writes the manifest. Memory: a block, and the names."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip, self.files = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True), {}

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(OSError, ValueError):  # after a failure the file is thrown away
            self._zip.close()

    def add(self, name: str, path: Path, size: int, told: Callable[[int], None] = lambda n: None) -> None:
        """The file at `path` as `name`. Raises InputError where it is not `size` bytes long any more."""
        sha, done = hashlib.sha256(), 0
        with open(path, "rb") as source, self._zip.open(_info(name, size), "w") as target:
            while block := source.read(min(BLOCK, size + 1 - done)):
                done += len(block)
                if done > size:
                    break
                sha.update(block)
                target.write(block)
                told(len(block))
        if done != size:
            raise InputError(
                f"{path} changed while it was packed", "files that nobody writes", "Pack it again"
            )
        self.files[name] = [size, sha.hexdigest()]

    def finish(self, about: dict) -> dict:
        """The manifest that was written, with `about` in it."""
        made = {
            "format": FORMAT,
            "version": VERSION,
            **about,
            "digest": digest_of(self.files),
            "files": self.files,
        }
        made["checksum"] = checksum_of(made)
        self._zip.writestr(_info(MANIFEST, 0), json.dumps(made, indent=1, sort_keys=True).encode())
        self._zip.close()
        return made


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr, info.file_size = 3, (stat.S_IFREG | 0o644) << 16, size
    return info
