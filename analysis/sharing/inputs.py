"""Networks and data that stores were recorded from, as they travel in a pack.

They are taken only where their digests are those that the store remembers. So what arrives is what was recorded, and a
workspace of unknown origin that names other people's files as its data gets none of them packed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError, LoupeError, NotFound
from analysis.sharing.container import name_problem
from analysis.store.reader import Store

FOLDER = "inputs"  # in the workspace
WORDS = {"checkpoint": "network", "data": "data"}


@dataclass(frozen=True)
class Input:
    """A network or data set: `files` by their names below `place` (in the workspace), and what a store calls it there,
    `main`. `root` is where it lies now: a file that it had at root/x is at place/x."""

    place: str
    main: str
    root: Path
    files: dict[str, Path]


def input_of(store: Store, part: str) -> Input:
    """The "checkpoint" or the "data" of a store. Raises LoupeError saying why it cannot travel."""
    entry = store.manifest[part]
    if not entry.get("path"):
        raise InputError(f"the store does not say where its {WORDS[part]} lies")
    if entry.get("kind") == "dump":
        raise InputError("it is a dump of activations: what was imported is in the store")
    path = Path(entry["path"])
    if not path.exists():
        raise NotFound(f"{path.name} is gone")
    try:
        root, files = (_network if part == "checkpoint" else _data)(path, entry)
        names = {file.relative_to(root).as_posix(): file for file in files}
    except LoupeError:
        raise
    except Exception as error:  # whatever a reader makes of files that have become something else
        raise InputError(
            f"{path.name} cannot be read ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from None
    place = f"{FOLDER}/{'networks' if part == 'checkpoint' else 'data'}/{entry['digest'][:8]}/{root.name}"
    for name in names:
        if why := name_problem(f"workspace/{place}/{name}"):
            raise InputError(f"{name}: {why}")
    main = place if path.is_dir() else f"{place}/{path.name}"
    return Input(place, main, root, names)


def _network(path: Path, entry: dict) -> tuple[Path, list[Path]]:
    """The folder and the files that decide what it computes, and what is told about it; no code."""
    from analysis.sources import hugging_face_files as hf
    from analysis.sources.checkpoint import CODELESS, open_checkpoint
    from analysis.sources.declared.description import read_description
    from analysis.sources.declared.network import files_of
    from analysis.sources.digests import file_digest

    if entry["kind"] not in CODELESS:
        _same(file_digest(path), entry, path)
        return path.parent, [path]
    found = open_checkpoint(path, allow_code=False)
    _same(found.digest, entry, path)
    if entry["kind"] == "adapted":
        raise InputError(f"{path.parent.name} is an adapter, whose base lies in a folder of its own")
    if entry["kind"] == "hugging_face":
        files = hf.digest_files(path)
    else:
        files = files_of(read_description(path))
    folder = path if path.is_dir() else path.parent
    files = [folder / Path(f).name for f in files]
    return folder, files + [f for f in [folder / "loupe_manifest.json"] if f.is_file()]


def _data(path: Path, entry: dict) -> tuple[Path, list[Path]]:
    """The files that samples are read from."""
    from analysis.sources.data import open_data

    options = entry.get("options") or {"kind": entry.get("kind")}
    for name, value in options.items():
        if isinstance(value, str) and (os.path.isabs(value) or name == "metadata"):
            raise InputError(f"its {name} lie in a file of their own ({Path(value).name})")
    source = open_data(path, **options)
    _same(source.digest, entry, path)
    if not path.is_dir():
        return path.parent, [path]
    files = [source.media_path(i) for i in range(len(source))]
    if None in files:
        raise InputError(f"it is a folder of {source.kind}s whose files are not known one by one")
    return path, [Path(f) for f in dict.fromkeys(files)]


def _same(digest: str, entry: dict, path: Path) -> None:
    if digest != entry.get("digest"):
        raise InputError(f"{path.name} is not what was recorded any more")


def media_outside(store: Store, root: Path) -> Iterator[str]:
    """The files of samples that the store names outside of `root`. Links are texts here; nothing is opened."""
    if "media_path" in store.samples:
        for text in store.samples["media_path"]:
            if text and not is_inside(str(text), root):
                yield str(text)


def is_inside(path: str | os.PathLike, root: Path) -> bool:
    """Whether a path lies in a folder, by their names."""
    root = os.path.abspath(root)
    return os.path.commonpath([root, os.path.abspath(path)]) == root
