"""Opening dumps: npy, npz, safetensors, parquet, projector tsv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError
from analysis.sources.data_source import as_text, refuse_duplicates
from analysis.sources.dump import Dump
from analysis.sources.dump_axes import as_tap
from analysis.sources.dump_streams import streams
from analysis.sources.dump_tables import LABEL_NAMES, parquet_streams, projector_metadata, tsv_stream
from analysis.sources.file_magic import existing, magic, refuse_empty, refuse_pickle
from analysis.sources.inflated import refuse_large_table
from analysis.sources.labels import as_labels, read_label_file
from analysis.sources.token_types import token_types

TYPES = "token_types"


def open_dump(
    path,
    *,
    arrays: Sequence[str] | None = None,
    labels=None,
    metadata=None,
    id: str | None = None,
    units: Sequence[str] | None = None,
    tokens: str = "all",
    channels: str = "first",
    types: str = "",
    name: str | None = None,
) -> Dump:
    """Open a dump of activations.

    Parameters
    ----------
    path : path
        .npy, .npz, .safetensors, .parquet, a projector's tensors.tsv or the folder that holds it.
    arrays : sequence of str, optional
        Arrays (or list columns) to take as taps; by default all numeric ones with two to four axes.
    labels : path or str, optional
        A label file, or the name of an array or column in the dump; one called label, labels, … is found.
    metadata : path, optional
        A table (csv, tsv, parquet, json lines) with one row per sample, in the same order.
    id : str, optional
        A metadata column of unique ids; row numbers otherwise.
    units : sequence of str, optional
        Parquet: the columns that are units.
    tokens, channels : see `analysis.sources.dump_axes`.
    types : str, optional
        What the tokens are, "class:1+patch:4x4+head:4", of every array of as many; by default what a text called
        token_types in an npz says.

    Raises
    ------
    ParameterError
        Token types of another form, or of which no array has as many tokens.
    ShapeError
        Lengths disagree (several arrays, labels, metadata), or an array has other than two to four axes.
    InputError, NotFound, UnsafeFile
        Empty, damaged, object arrays, unknown names, duplicate ids.
    """
    path = existing(path, "dump").resolve()
    if path.is_dir():
        path = projector_file(path)
    refuse_empty(path)
    refuse_pickle(path, "plain arrays (npy, npz, safetensors, parquet, tsv)")
    notes: list[str] = []
    found, columns = read_streams(path, arrays, units, notes)
    types = types or declared_types(path)
    taps = {
        n: as_tap(n, s.shape, s.dtype, tokens=tokens, channels=channels, unit_names=named(s), types=types)
        for n, s in found.items()
    }
    if types and not any(t.types for t in taps.values()):
        token_types(types, next((s.shape[1] for s in found.values() if len(s.shape) == 3), 0))
    n = common_length(path, found)
    if metadata is not None:
        columns |= metadata_columns(Path(metadata), n)
    wrong = next((k for k, v in columns.items() if len(v) != n), None)
    if wrong is not None:
        raise ShapeError(
            f"metadata '{wrong}' of {path} has {len(columns[wrong])} entries for {n} samples", "one per sample",
            "Check that the files belong together",
        )  # fmt: skip
    given = sample_facts(path, columns, labels, id, n, notes)
    return Dump(name or path.stem, path, taps, notes=notes, streams=found, **given)


def declared_types(path: Path) -> str:
    """The token-type map that an npz itself says; "" where it says none."""
    declared = streams(path).get(TYPES) if magic(path) == "zip" and path.suffix == ".npz" else None
    if declared is None or declared.kind != "U" or declared.shape:
        return ""
    with np.load(path, allow_pickle=False) as data:
        return str(data[TYPES])


def named(stream) -> tuple[str, ...]:
    """Unit names where the dump has them."""
    return stream.columns if getattr(stream, "is_list", True) is False else ()


def projector_file(folder: Path) -> Path:
    """tensors.tsv of a projector folder. Raises NotFound."""
    found = folder / "tensors.tsv"
    if not found.exists():
        raise NotFound(
            f"{folder} has no tensors.tsv",
            "a TensorBoard projector folder, or one file",
            "Give the file of the dump",
        )
    return found


def read_streams(path: Path, arrays, units, notes: list[str]) -> tuple[dict, dict]:
    """Streams of the taps by name, and metadata columns that the file itself brings."""
    kind = magic(path)
    if kind == "parquet" or path.suffix == ".parquet":
        from analysis.sources.table_reading import column_values

        found, rest, said = parquet_streams(path, units or arrays)
        notes += said
        return found, {name: column_values(_columns(path, rest), name) for name in rest}
    if path.suffix in (".tsv", ".txt"):
        side = path.with_name("metadata.tsv")
        return {path.stem: tsv_stream(path)}, projector_metadata(side) if side.exists() else {}
    if kind in ("npy", "zip", "safetensors") or path.suffix in (".npy", ".npz", ".safetensors"):
        return array_streams(path, arrays, notes)
    raise InputError(f"{path} is of no known dump format", "npy, npz, safetensors, parquet or tensors.tsv")


def _columns(path: Path, names: list[str]):
    from pyarrow import parquet

    refuse_large_table(path, parquet.read_metadata(path).num_rows, len(names))
    return parquet.read_table(path, columns=names)


def array_streams(path: Path, arrays, notes: list[str]) -> tuple[dict, dict]:
    """Arrays with two to four axes are taps; vectors of their length are metadata."""
    from analysis.sources.array_files import load_named

    found = streams(path)
    unknown = [a for a in arrays or () if a not in found]
    if unknown:
        raise NotFound(f"{path} has no array '{unknown[0]}'", "one of " + ", ".join(list(found)[:20]))
    taps = {
        n: s for n, s in found.items() if (n in arrays if arrays else s.kind in "fiub" and len(s.shape) >= 2)
    }
    if not taps:
        listed = ", ".join(f"{n} {s.shape}" for n, s in list(found.items())[:8]) or "nothing"
        raise ShapeError(
            f"{path} holds {listed}", "an array (samples, units), (samples, tokens, units) or 4-D"
        )
    n = next(iter(taps.values())).shape[0]
    columns, left = {}, []
    for name, stream in found.items():
        if name in taps or name == TYPES:
            continue
        if len(stream.shape) == 1 and (stream.shape[0] == n or name in LABEL_NAMES):
            columns[name] = load_named(path, stream.name)
        else:
            left.append(f"{name} {stream.shape}")
    if left:
        notes.append(f"Not used: {', '.join(left[:6])}{', …' if len(left) > 6 else ''}")
    return taps, columns


def common_length(path: Path, found: dict) -> int:
    """The number of samples, equal for all taps. Raises ShapeError listing them otherwise."""
    lengths = {name: (s.shape[0] if s.shape else 0) for name, s in found.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in list(lengths.items())[:8])
        raise ShapeError(
            f"the arrays of {path} have different lengths: {listed}", "one length, the number of samples",
            "Name those that belong together with arrays=",
        )  # fmt: skip
    return next(iter(lengths.values()))


def metadata_columns(path: Path, n: int) -> dict[str, np.ndarray]:
    """Columns of a table beside the dump. Raises ShapeError when it has another number of rows."""
    from analysis.sources.table_reading import column_values, read_table

    if path.suffix == ".tsv":
        return projector_metadata(existing(path, "metadata file"))
    table = read_table(path)
    if table.num_rows != n:
        raise ShapeError(f"{path} has {table.num_rows} rows for {n} samples", "one row per sample")
    return {name: column_values(table, name) for name in table.column_names}


def sample_facts(path: Path, columns: dict, labels, id: str | None, n: int, notes: list[str]) -> dict:
    """ids, labels, classes and the remaining columns."""
    columns = dict(columns)
    if id is not None and id not in columns:
        raise NotFound(
            f"{path} has no metadata column '{id}'", "one of " + ", ".join(columns) if columns else "none"
        )
    ids = as_text(columns.pop(id)) if id else as_text(range(n))
    refuse_duplicates(ids, str(path))
    chosen = None
    if labels is not None and str(labels) not in columns:
        values = read_label_file(labels, n, "samples")
    else:
        chosen = str(labels) if labels is not None else next((c for c in LABEL_NAMES if c in columns), None)
        values = None if chosen is None else columns.pop(chosen)
    if labels is None and chosen is not None:
        notes.append(f"'{chosen}' taken as the label (labels= changes that)")
    texts = {k: as_text(v) if v.dtype.kind in "OUS" else v for k, v in columns.items()}
    given = {"ids": ids, "columns": texts}
    if values is None:
        return given
    read = as_labels(values, name=chosen or str(labels))
    if read.target is not None:
        texts["target"] = read.target
    return given | {"labels": read.index, "classes": read.classes}
