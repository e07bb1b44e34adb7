"""Dumps as tables: parquet with one column per unit or one list column, and the TensorBoard projector's tsv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError
from analysis.sources.file_magic import refuse_empty

LABEL_NAMES = ("label", "labels", "class", "target", "y")


@dataclass(frozen=True)
class ParquetStream:
    """Unit columns of a parquet file, read in batches of rows."""

    path: Path
    columns: tuple[str, ...]
    is_list: bool
    shape: tuple[int, int]
    dtype: str

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """(<= samples, units), missing numbers of single columns as NaN.

        Raises InputError for missing values in lists, ShapeError for lists of other lengths.
        """
        start = 0
        with opened_parquet(self.path) as file:
            for batch in file.iter_batches(batch_size=samples, columns=list(self.columns)):
                yield self._matrix(batch, start)
                start += batch.num_rows

    def _matrix(self, batch, start: int) -> np.ndarray:
        if not self.is_list:
            columns = [batch.column(i) for i in range(batch.num_columns)]
            order = [batch.schema.get_field_index(name) for name in self.columns]
            return np.column_stack([columns[i].to_numpy(zero_copy_only=False) for i in order])
        column = batch.column(0)
        lengths = np.array([-1 if n is None else n for n in column.value_lengths().to_pylist()])
        wrong = np.flatnonzero(lengths != self.shape[1])
        if len(wrong):
            n = lengths[wrong[0]]
            found = "no list" if n < 0 else f"{n} values"
            raise ShapeError(
                f"row {start + wrong[0]} of {self.path} has {found} in '{self.columns[0]}'",
                f"{self.shape[1]} values in every row",
            )
        flat = column.flatten()
        if flat.null_count:
            raise InputError(f"'{self.columns[0]}' of {self.path} holds empty values", "a number everywhere")
        return flat.to_numpy(zero_copy_only=False).reshape(batch.num_rows, self.shape[1])


def opened_parquet(path: Path):
    """The file as pyarrow.parquet.ParquetFile. Raises InputError."""
    import pyarrow as pa
    from pyarrow import parquet

    refuse_empty(path)
    try:
        return parquet.ParquetFile(path, pre_buffer=False)  # which would read all row groups ahead
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a whole parquet file ({error})", "a parquet table", "Copy it again"
        ) from None


def parquet_streams(path: Path, units: Sequence[str] | None) -> tuple[dict, list[str], list[str]]:
    """Streams by tap name, the metadata columns, and notes.

    List columns of numbers are taps of their own. Otherwise the floating columns are the units of one tap (the
    whole-number ones where there is no floating one), and all others are metadata. `units` names them instead.
    """
    import pyarrow as pa

    with opened_parquet(path) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
        lists = [f.name for f in schema if _is_list(f.type) and (units is None or f.name in units)]
        widths = {name: _width(file, schema, name) for name in lists} if n else {}
    if n == 0:
        raise InputError(f"{path} has no row", "at least one sample")
    missing = [u for u in units or () if u not in schema.names]
    if missing:
        raise NotFound(f"{path} has no column '{missing[0]}'", "one of " + ", ".join(schema.names[:20]))
    if lists:
        streams = {
            name: ParquetStream(path, (name,), True, (n, widths[name]), _item(schema, name)) for name in lists
        }
        return streams, [f.name for f in schema if not _is_list(f.type)], []
    floats = [f.name for f in schema if pa.types.is_floating(f.type)]
    whole = [f.name for f in schema if pa.types.is_integer(f.type) and f.name not in (*LABEL_NAMES, "id")]
    chosen = list(units or floats or whole)
    if not chosen:
        raise InputError(
            f"{path} has no numeric column ({', '.join(schema.names[:8])})",
            "one column per unit, or one list column",
        )
    refuse_text(path, schema, chosen)
    dtype = _common_dtype({str(schema.field(c).type) for c in chosen})
    note = (
        []
        if units
        else [
            f"{len(chosen)} numeric columns taken as units ('{chosen[0]}' to '{chosen[-1]}'; units= changes that)"
        ]
    )
    stream = ParquetStream(path, tuple(chosen), False, (n, len(chosen)), dtype)
    return {path.stem: stream}, [name for name in schema.names if name not in chosen], note


def _common_dtype(types: set[str]) -> str:
    """The NumPy type in which columns of these Arrow types stand side by side."""
    if len(types) > 1:
        return "float64"
    return {"halffloat": "float16", "double": "float64"}.get(next(iter(types)), "float32")


def refuse_text(path: Path, schema, names: Sequence[str]) -> None:
    """Raise InputError for a column among the units that holds no numbers."""
    import pyarrow as pa

    tests = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
    for name in names:
        kind = schema.field(name).type
        if not any(test(kind) for test in tests):
            raise InputError(
                f"column '{name}' of {path} holds {kind} values", "numbers", "Leave it out of units="
            )


def _is_list(kind) -> bool:
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    return is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _item(schema, name: str) -> str:
    return {"halffloat": "float16", "double": "float64"}.get(
        str(schema.field(name).type.value_type), "float32"
    )


def _width(file, schema, name: str) -> int:
    import pyarrow as pa

    kind = schema.field(name).type
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size
    first = next(file.iter_batches(batch_size=1, columns=[name])).column(0)[0].as_py()
    if not first:
        raise InputError(f"row 0 of column '{name}' is empty", "a list of numbers")
    return len(first)


@dataclass(frozen=True)
class TsvStream:
    """Rows of a projector's tensors.tsv: numbers separated by tabs, no header."""

    path: Path
    shape: tuple[int, int]
    dtype: str = "float32"

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """(<= samples, units). Raises ShapeError naming the line that is ragged, InputError for text."""
        rows: list[np.ndarray] = []
        with open(self.path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(self._row(line, number))
                if len(rows) == samples:
                    yield np.stack(rows)
                    rows = []
        if rows:
            yield np.stack(rows)

    def _row(self, line: str, number: int) -> np.ndarray:
        fields = line.rstrip("\r\n").rstrip("\t").split("\t")
        if len(fields) != self.shape[1]:
            raise ShapeError(
                f"line {number} of {self.path} has {len(fields)} numbers",
                f"{self.shape[1]}, as in the first line",
            )
        try:
            return np.array(fields, dtype=np.float32)
        except ValueError:
            raise InputError(
                f"line {number} of {self.path} holds text ({line[:40].strip()!r})", "numbers only"
            ) from None


def tsv_stream(path: Path) -> TsvStream:
    """Count lines and units in one pass (about 1 s per GB)."""
    refuse_empty(path)
    n, units = 0, 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                if line.strip():
                    n += 1
                    units = units or len(line.rstrip("\r\n").rstrip("\t").split("\t"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text", "tab-separated numbers") from None
    if n == 0:
        raise InputError(f"{path} holds no line", "one line of numbers per sample")
    return TsvStream(path, (n, units))


def projector_metadata(path: Path) -> dict[str, np.ndarray]:
    """Columns of a metadata.tsv: with a header where it has several columns, a lone column is the label."""
    from analysis.sources.text_reading import read_text

    lines = read_text(path).split("\n")
    lines = [line.rstrip("\r") for line in (lines[:-1] if lines and not lines[-1] else lines)]
    if not lines:
        return {}
    if "\t" not in lines[0]:
        return {"label": np.array(lines, dtype=object)}
    names = lines[0].split("\t")
    rows = [line.split("\t") for line in lines[1:]]
    ragged = next((i for i, row in enumerate(rows, 2) if len(row) != len(names)), None)
    if ragged is not None:
        raise ShapeError(
            f"line {ragged} of {path} has {len(rows[ragged - 2])} fields", f"{len(names)}, as in its header"
        )
    return {name: np.array([row[j] for row in rows], dtype=object) for j, name in enumerate(names)}
