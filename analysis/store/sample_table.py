"""The table of all samples: `samples.parquet`, and its columns as NumPy arrays.

A column takes the narrowest of these types that holds all of its values: bool, int64, uint64, float64, text. Text it
becomes where kinds are mixed, and for whole numbers beyond 64 bits, which would lose digits as float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import StoreDamaged
from analysis.store.durable import write_file
from analysis.store.places import MEDIA_PATH
from analysis.store.text import path_to_text, readable

PARQUET = "samples.parquet"
_WIDE = 64 << 20  # bytes above which a text column is kept with variable width
_GROUP = 65_536  # samples per row group: so many are in memory at once


@dataclass
class ColumnKind:
    """The type of a column, gathered batch by batch. `kinds`: of its values; low, high: of its whole numbers."""

    kinds: set[type] = field(default_factory=set)
    low: int = 0
    high: int = 0

    def see(self, values: Sequence) -> None:
        """Values as JSON has them: text, bool, int, float, None."""
        found = set(map(type, values))
        self.kinds |= found - {type(None)}
        if int in found:
            whole = [v for v in values if type(v) is int]
            self.low, self.high = min(self.low, min(whole)), max(self.high, max(whole))

    @property
    def word(self) -> str:
        """ "null", "bool", "int64", "uint64", "float64" or "text"."""
        if len(self.kinds) <= 1:
            alone = next(iter(self.kinds), None)
            names = {None: "null", bool: "bool", float: "float64", int: self._whole()}
            return names.get(alone, "text")
        return "float64" if self.kinds == {int, float} and self._whole() != "text" else "text"

    def _whole(self) -> str:
        if self.low >= -(2**63) and self.high < 2**63:
            return "int64"
        return "uint64" if self.low >= 0 and self.high < 2**64 else "text"


def kind_of(values: Sequence) -> ColumnKind:
    kind = ColumnKind()
    kind.see(values)
    return kind


def as_column(values: list) -> np.ndarray:
    """A NumPy column: text (missing: ""), bool, int64, uint64, or float64 (missing: NaN)."""
    word = kind_of(values).word
    if word == "text":
        text = ["" if v is None else str(v) for v in values]
        wide = max((len(v) for v in text), default=1) * 4 * len(text) > _WIDE
        return np.array([readable(v) for v in text], np.dtypes.StringDType()) if wide else np.array(text)
    if word in ("bool", "int64", "uint64") and None not in values:
        return np.array(values, dtype=word)
    return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)


def joined_columns(lines: Sequence[dict]) -> dict[str, list]:
    """Columns over all batches; a column missing in some batch is empty (None) there."""
    names = list(dict.fromkeys(name for line in lines for name in line["columns"]))
    return {name: [v for line in lines for v in part_of(line["columns"], name)] for name in names}


def part_of(columns: dict[str, list], name: str) -> list:
    """One column of one batch, empty where the batch lacks it."""
    return columns.get(name) or [None] * len(columns["id"])


def write_samples(directory: Path, kinds: dict[str, ColumnKind], batches: Iterable[dict[str, list]]) -> None:
    """Write `samples.parquet` from the columns of each batch; `kinds` of all columns is known beforehand. Memory:
    65,536 samples, and the compressed file. Raises OSError (disk full)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "null": pa.null(), "bool": pa.bool_(), "int64": pa.int64(), "uint64": pa.uint64(), "float64": pa.float64(),
        "text": pa.string(),
    }  # fmt: skip
    schema = pa.schema([(name, types[kind.word]) for name, kind in kinds.items()])
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(list(kinds), batches):
            arrays = [
                pa.array(_fitted(name, kinds[name].word, v), schema.field(name).type) for name, v in group
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    write_file(directory / PARQUET, sink.getvalue())


def _groups(names: list[str], batches: Iterable[dict[str, list]]) -> Iterator[list[tuple[str, list]]]:
    """Whole batches together, each group as (name, values)."""
    held: dict[str, list] = {name: [] for name in names}
    for columns in batches:
        for name in names:
            held[name] += part_of(columns, name)
        if len(held["id"]) >= _GROUP:
            yield list(held.items())
            held = {name: [] for name in names}
    if held["id"]:
        yield list(held.items())


def _fitted(name: str, word: str, values: list) -> list:
    """Values of one column as its type takes them. Lines of older versions may hold surrogates."""
    if word == "float64":
        return [None if v is None else float(v) for v in values]
    if word != "text":
        return values
    valid = _valid_path if name == MEDIA_PATH else readable
    return [None if v is None else valid(str(v)) for v in values]


def _valid_path(text: str) -> str:
    return text if readable(text) == text else path_to_text(text)


def read_column(directory: Path, name: str) -> np.ndarray:
    """One column of `samples.parquet`. Raises StoreDamaged."""
    import pyarrow.parquet as pq

    path = directory / PARQUET
    try:
        with pq.ParquetFile(
            path
        ) as file:  # `read_table` would import pandas: half a second before the picture
            values = file.read(columns=[name], use_threads=False).column(name).to_pylist()
    except Exception as error:
        raise StoreDamaged(f"{path} cannot be read ({error})", "", "Restore it from a copy") from None
    return as_column(values)
