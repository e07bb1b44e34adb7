"""One way in for every kind of data: what it is is read off the path and its content, and said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import InputError, ParameterError
from analysis.sources import array_files, audio_files, image_folder, table, text_files
from analysis.sources.data_source import DataSource
from analysis.sources.file_magic import existing, magic, refuse_empty, refuse_pickle
from analysis.spec import Progress, no_progress

__all__ = ["KINDS", "DataSource", "guess_kind", "open_data"]

KINDS = ("image", "text", "table", "array", "audio")
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
ARRAYS = (".npy", ".npz", ".safetensors")
OPTIONS = {  # which options each kind takes, so that a useless one is refused rather than ignored
    "image": ("label", "metadata", "pattern"),
    "text": ("label", "metadata", "pattern", "split", "encoding"),
    "audio": ("label", "metadata", "pattern", "sampling_rate"),
    "table": ("label", "text", "columns", "id", "labels", "missing", "delimiter", "encoding"),
    "array": ("array", "label", "labels"),
}


def open_data(
    path: str | Path,
    *,
    kind: str | None = None,
    label: str | None = None,
    text: str | None = None,
    array: str | None = None,
    labels: str | Path | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
    metadata: str | Path | None = None,
    pattern: str | None = None,
    split: str | None = None,
    missing: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    sampling_rate: int | None = None,
    progress: Progress = no_progress,
) -> DataSource:
    """Open data of any kind; `describe()` says in one line what it was taken for.

    Parameters
    ----------
    path : path
        A folder of images, texts or clips; a csv, tsv, parquet or json-lines table; an npy, npz or safetensors
        file; a text file; an audio file.
    kind : "image", "text", "table", "array" or "audio", optional
        Where the guess would be wrong.
    label : str, optional
        Tables: the label column. Arrays: the label array in the same file. Folders: "folder" (default),
        "parent", "none", or a metadata column.
    text : str, optional
        Tables: the column that holds the texts.
    array, labels : str, optional
        Arrays: the array of samples; a label file (.npy, .npz, .txt, .csv) or an array's name.
    columns, id, missing, delimiter : optional
        Tables: feature columns in order, id column, "keep" or "drop" rows with missing values, field delimiter.
    metadata, pattern : optional
        Folders: a table with a file_name column; a glob such as "*.py".
    split, encoding : optional
        Texts: "file", "line" or "paragraph"; the encoding where it is not UTF-8.
    sampling_rate : int, optional
        Clips: Hz of the items.

    Raises
    ------
    NotFound, InputError, ShapeError, UnsafeFile, ParameterError
        With what was found, what was expected and what to do.
    """
    given = {"label": label, "text": text, "array": array, "labels": labels, "columns": columns, "id": id,
             "metadata": metadata, "pattern": pattern, "split": split, "missing": missing, "delimiter": delimiter,
             "encoding": encoding, "sampling_rate": sampling_rate}  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    path = existing(path, "data").resolve()
    if kind is not None and kind not in KINDS:
        raise ParameterError(f"kind = {kind!r}", "one of " + ", ".join(KINDS))
    guessed = kind is None
    kind = kind or guess_kind(path)
    useless = sorted(set(given) - set(OPTIONS[kind]))
    if useless:
        raise ParameterError(
            f"{path} is read as {kind}, which takes no '{useless[0]}'", "one of " + ", ".join(OPTIONS[kind]),
            "Give kind= where the guess is wrong",
        )  # fmt: skip
    source = _open(path, kind, given, progress)
    source.options = {"kind": kind, **{name: _plain(value) for name, value in given.items()}}
    if guessed:
        source.notes.insert(0, f"Read as {kind} (kind= changes that)")
    return source


def _plain(value):
    """As JSON keeps it; paths as they can be found from anywhere."""
    if isinstance(value, Path):
        return str(value.resolve())
    return value if isinstance(value, str | int) else list(value)


def _open(path: Path, kind: str, given: dict, progress: Progress) -> DataSource:
    if kind == "image":
        if not path.is_dir():
            raise InputError(
                f"{path} is a single file", "a folder of images", "Give the folder that holds it"
            )
        return image_folder.open_image_folder(path, progress=progress, **given)
    if kind == "audio":
        return audio_files.open_audio(path, **given)
    if kind == "text":
        if path.is_dir():
            return text_files.open_text_folder(path, **given)
        extra = sorted(set(given) - {"split", "encoding"})
        if extra:
            raise ParameterError(f"{path} is one text file, which takes no '{extra[0]}'", "split or encoding")
        return text_files.open_text_file(path, **given)
    if path.is_dir():
        raise InputError(f"{path} is a folder", f"one {kind} file", "Name the file inside it")
    return table.open_table(path, **given) if kind == "table" else array_files.open_array(path, **given)


def guess_kind(path: Path) -> str:
    """The kind of data at a path, by suffixes and first bytes. Raises InputError where nothing fits."""
    if path.is_dir():
        return _guess_folder(path)
    refuse_empty(path)
    suffix = path.suffix.lower()
    for kind, suffixes in (("table", TABLES), ("array", ARRAYS), ("audio", audio_files.SUFFIXES),
                           ("text", text_files.SUFFIXES), ("image", image_folder.SUFFIXES)):  # fmt: skip
        if suffix in suffixes:
            return kind
    refuse_pickle(path, "images, texts, a table, arrays or clips")
    found = magic(path)
    if found in ("npy", "safetensors", "parquet"):
        return "table" if found == "parquet" else "array"
    if found == "zip":
        raise InputError(
            f"{path} is a zip archive", "a folder or an .npz file", "Unpack it and give the folder"
        )
    raise InputError(
        f"{path} is of no known kind (suffix '{suffix}')", "images, texts, a table, arrays or clips",
        "Give kind= (" + ", ".join(KINDS) + ")",
    )  # fmt: skip


def _guess_folder(path: Path) -> str:
    counts: Counter = Counter()
    for file in path.rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            counts[file.suffix.lower()] += 1
    totals = {
        "image": sum(counts[s] for s in image_folder.SUFFIXES),
        "audio": sum(counts[s] for s in audio_files.SUFFIXES),
        "text": sum(counts[s] for s in text_files.SUFFIXES),
    }
    kind = max(totals, key=totals.get)  # a tie goes to the first: pictures before texts about them
    if totals[kind]:
        return kind
    single = [f for f in path.iterdir() if f.suffix.lower() in TABLES + ARRAYS]
    if single:
        raise InputError(
            f"{path} holds no images, clips or texts, but {', '.join(f.name for f in single[:4])}",
            "a folder of samples, or one file",
            f"Give the file, e.g. {single[0]}",
        )
    kinds = ", ".join(sorted(counts)[:6]) if counts else "nothing"
    raise InputError(
        f"{path} holds no images, clips or texts ({kinds})", "a folder of samples", "Check the path"
    )
