"""A folder of files as samples: which files, in which order, with which class and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.sources.data_source import as_text, refuse_duplicates
from analysis.sources.labels import as_labels

METADATA_NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet", "labels.csv")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "name", "id")


@dataclass
class FolderListing:
    """Files in natural order with what is known of each."""

    root: Path
    paths: list[Path]
    label_names: list[str] | None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def ids(self, keep: list[int]) -> np.ndarray:
        """Relative paths with forward slashes."""
        return as_text([self.paths[i].relative_to(self.root).as_posix() for i in keep])

    def labels(self, keep: list[int]) -> dict:
        """Keyword arguments `labels`, `classes` and `columns` of a DataSource for the kept files."""
        columns = {name: values[keep] for name, values in self.columns.items()}
        if self.label_names is None:
            return {"columns": columns}
        read = as_labels(np.array(self.label_names, dtype=object)[keep])
        return {"labels": read.index, "classes": read.classes, "columns": columns}


def list_folder(
    root: Path, suffixes: tuple[str, ...], *, label: str | None, metadata=None, pattern=None
) -> FolderListing:
    """Find the files and their labels.

    Parameters
    ----------
    root : Path
    suffixes : tuple of str
        Lower-case endings that count.
    label : str, optional
        "folder" (the first folder below root, the default), "parent" (the file's own folder), "none", or a
        column of the metadata file.
    metadata : path, optional
        Table with one row per file; metadata.csv and the like in the root are found without being named.
    pattern : str, optional
        A glob such as "*.py" instead of `suffixes`.

    Raises NotFound for a folder without such files.
    """
    files = [p for p in root.rglob(pattern or "*") if p.is_file() and not _hidden(p, root)]
    found = next((root / n for n in METADATA_NAMES if (root / n).exists()), None)
    metadata = Path(metadata) if metadata is not None else found
    wanted = [p for p in files if (pattern or p.suffix.lower() in suffixes) and p.name not in METADATA_NAMES]
    if not wanted:
        kinds = sorted({p.suffix.lower() or "no suffix" for p in files})
        raise NotFound(
            f"{root} holds no {' '.join(suffixes[:4])} file"
            + (f" (but {', '.join(kinds[:6])})" if kinds else " (it is empty)"),
            "files of that kind, in sub-folders named by class or with a metadata.csv",
            "Check the path, or name another kind",
        )
    wanted.sort(key=lambda p: _natural(p.relative_to(root).as_posix()))
    listing = FolderListing(root, wanted, None)
    if metadata is not None:
        add_metadata(listing, metadata, label)
    if listing.label_names is None and label in (None, "folder", "parent"):
        add_folder_labels(listing, label or "folder")
    elif listing.label_names is None and label != "none":
        raise NotFound(
            f"{root} has no metadata with a column '{label}'",
            "'folder', 'parent', 'none' or a metadata column",
        )
    return listing


def add_folder_labels(listing: FolderListing, which: str) -> None:
    """Class = the first (or last) folder between the root and the file; none where all lie in the root."""
    parts = [p.relative_to(listing.root).parts[:-1] for p in listing.paths]
    if not any(parts):
        return
    listing.label_names = [(p[0] if which == "folder" else p[-1]) if p else "" for p in parts]
    if max(map(len, parts)) > 1:
        other = "parent" if which == "folder" else "folder"
        listing.notes.append(f"Classes are the {which} names (label='{other}' takes the other level)")
        listing.columns["folder"] = as_text(["/".join(p) for p in parts])


def add_metadata(listing: FolderListing, path: Path, label: str | None) -> None:
    """Join a table on its file name column. Files without a row keep empty values, and that is said."""
    from analysis.sources.table_reading import column_values, read_table

    table = read_table(path)
    key = next((n for n in FILE_COLUMNS if n in table.column_names), None)
    if key is None:
        raise InputError(
            f"{path} has the columns {', '.join(table.column_names[:10])}",
            "one called file_name, relative to the folder",
        )
    names = [str(n).replace("\\", "/") for n in column_values(table, key).tolist()]
    refuse_duplicates(names, str(path), "Keep one row per file")
    row_of = {n: i for i, n in enumerate(names)}
    known = [p.relative_to(listing.root).as_posix() for p in listing.paths]
    rows = [row_of.get(n, row_of.get(n.rsplit("/", 1)[-1], -1)) for n in known]
    absent = set(range(len(names))) - set(rows)
    listing.skipped += [
        f"{names[i]}: named in {path.name}, but there is no such file" for i in sorted(absent)
    ]
    if rows.count(-1):
        listing.notes.append(f"{rows.count(-1)} files have no row in {path.name}")
    for name in table.column_names:
        if name != key:
            listing.columns[name] = _placed(column_values(table, name), rows)
    chosen = (
        label
        if label in listing.columns
        else ("label" if label is None and "label" in listing.columns else None)
    )
    if chosen is not None:
        listing.columns.pop(chosen)
        values = column_values(table, chosen).tolist()  # as they are: a gap would make class 3 a "3.0"
        listing.label_names = [str(values[r]) if r >= 0 else "" for r in rows]


def _placed(values: np.ndarray, rows: list[int]) -> np.ndarray:
    missing = -1 in rows
    if values.dtype.kind == "O":
        return as_text([values[r] if r >= 0 else "" for r in rows])
    if missing and values.dtype.kind in "iu":
        values = values.astype(np.float64)
    placed = values[rows].copy()
    if missing:
        placed[np.array(rows) < 0] = np.nan
    return placed


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _natural(text: str) -> list:
    """0/9.png before 0/10.png."""
    import re

    return [(0, int(t), "") if t.isdigit() else (1, 0, t) for t in re.split(r"(\d+)", text) if t]
