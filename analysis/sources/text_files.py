"""Text files: one sample per file of a folder, or per line or paragraph of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import InputError, ParameterError
from analysis.sources.data_source import DataSource, as_text, checked_range
from analysis.sources.digests import bytes_digest, text_digest
from analysis.sources.file_magic import refuse_empty
from analysis.sources.folders import list_folder
from analysis.sources.text_reading import decode

SUFFIXES = (
    ".txt",
    ".md",
    ".rst",
    ".text",
    ".tex",
    ".log",
    ".py",
    ".c",
    ".h",
    ".cpp",
    ".js",
    ".java",
    ".html",
    ".xml",
)
SPLITS = ("file", "line", "paragraph")


@dataclass
class Texts(DataSource):
    """Texts held in memory."""

    texts: list[str] = field(default_factory=list)
    files: list[Path] | None = None  # one per sample, where a sample is a whole file

    def items(self, start: int, stop: int) -> list[str]:
        checked_range(start, stop, len(self))
        return self.texts[start:stop]

    def media_path(self, i: int) -> str | None:
        return None if self.files is None else str(self.files[i])

    def media_digest(self, i: int) -> str | None:
        return None if self.files is None else bytes_digest(self.texts[i].encode("utf-8", "surrogatepass"))

    def content(self) -> str:
        return text_digest(self.texts)


def cut(text: str, split: str) -> list[tuple[int, str]]:
    """(number of the first line, from 1; the text) of each non-empty piece."""
    if split == "file":
        return [(1, text)] if text.strip() else []
    if split == "line":
        return [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    pieces, line = [], 1
    for piece in re.split(r"(\n[ \t]*\n\s*)", text.replace("\r\n", "\n")):
        if piece.strip():
            pieces.append((line, piece.strip("\n")))
        line += piece.count("\n")
    return pieces


def open_text_folder(
    root: Path,
    *,
    label=None,
    metadata=None,
    pattern=None,
    split: str | None = None,
    encoding: str | None = None,
) -> Texts:
    """One sample per file by default. Files that are empty or not UTF-8 are skipped and listed."""
    split = checked_split(split or "file")
    listing = list_folder(root, SUFFIXES, label=label, metadata=metadata, pattern=pattern)
    texts, keep, lines, skipped = [], [], [], list(listing.skipped)
    for i, path in enumerate(listing.paths):
        name = path.relative_to(root).as_posix()
        try:
            pieces = cut(decode(path.read_bytes(), name, encoding), split)
        except InputError as error:
            skipped.append(str(error))
            continue
        except OSError as error:
            skipped.append(f"{name}: unreadable ({error.strerror})")
            continue
        if not pieces:
            skipped.append(f"{name}: no text in it")
        for line, piece in pieces:
            texts.append(piece)
            keep.append(i)
            lines.append(line)
    ids = listing.ids(keep)
    if split != "file":
        ids = as_text([f"{name}:{line}" for name, line in zip(ids.tolist(), lines, strict=True)])
    files = [listing.paths[i] for i in keep] if split == "file" else None
    return Texts(
        "text", root.name, root, ids, skipped=skipped, notes=listing.notes, texts=texts, files=files,
        **listing.labels(keep),
    )  # fmt: skip


def open_text_file(path: Path, *, split: str | None = None, encoding: str | None = None) -> Texts:
    """One sample per non-empty line by default. Raises InputError where it is not text."""
    refuse_empty(path)
    guessed = split is None
    split = checked_split(split or "line")
    data = path.read_bytes()
    if b"\x00" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} holds binary data", "a text file")
    pieces = cut(decode(data, str(path), encoding), split)
    note = [f"One sample per {split} (split='paragraph' or 'file' changes that)"] if guessed else []
    return Texts(
        "text", path.stem, path, as_text([f"{path.name}:{line}" for line, _ in pieces]), notes=note,
        texts=[text for _, text in pieces],
    )  # fmt: skip


def checked_split(split: str) -> str:
    if split not in SPLITS:
        raise ParameterError(f"split = {split!r}", "one of " + ", ".join(SPLITS))
    return split
