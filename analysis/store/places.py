"""Paths that a store remembers: of its checkpoint, its data and its media.

They are kept relative to the store where both lie in one project folder, so that a project can be moved, or be
cloned elsewhere, with its links intact; otherwise absolute. Readers get absolute paths either way.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from analysis.store.text import path_from_text, path_to_text

MEDIA_PATH = "media_path"  # the sample column that holds one
_DEEP = 4  # parts of a common folder that make it a project: / home somebody project


def portable(place: str | os.PathLike, store: Path) -> str:
    """How a store at `store` remembers `place`, always as valid Unicode; an empty text stays empty."""
    text = os.fspath(place)
    if not text:
        return ""
    store, there = Path(os.path.abspath(store)), Path(os.path.abspath(text))
    common = Path(os.path.commonpath([store, there])) if store.anchor == there.anchor else Path()
    if len(common.parts) < _DEEP:
        return path_to_text(str(there))
    return path_to_text(Path(os.path.relpath(there, store)).as_posix())


def located(text: str, store: Path) -> str:
    """The absolute path of what `portable` remembered."""
    text = path_from_text(text)
    if not text or Path(text).is_absolute():
        return text
    return os.path.normpath(Path(os.path.abspath(store)) / PurePosixPath(text))


def moved(text: str, media: dict | None) -> str:
    """A remembered path of media whose folder `media["from"]` is `media["to"]` now, where a store has travelled; others
    are forgotten then. As it is without `media`."""
    if media is None or not text:
        return text
    before, after = str(media["from"]), str(media["to"])
    return after + text[len(before) :] if before and after and text.startswith(before + "/") else ""


def with_path(entry: dict, change, store: Path) -> dict:
    """A manifest entry whose "path", where it has one, went through `portable` or `located`."""
    return {**entry, "path": change(str(entry["path"]), store)} if entry.get("path") else dict(entry)
