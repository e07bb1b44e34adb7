"""What is known of the samples: columns, tokens, thumbnails.

While recording, each batch appends one JSON line to `samples.jsonl` (columns, class indices, rows per sample) and
its thumbnails and token texts to two blob files. Finishing writes `samples.parquet` (see `sample_table`), the blobs'
offset tables and `class_index.npy`. Token texts are a blob (JSON per sample) rather than parquet, because a feature
card needs those of 64 scattered samples at once and a parquet row group costs milliseconds each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.errors import InputError, StoreDamaged
from analysis.store.durable import read_at
from analysis.store.text import readable

LINES = "samples.jsonl"
CLASS_INDEX = "class_index.npy"
BLOBS = ("thumbnails", "tokens")
_MOST_BITS = 14_000  # Python writes whole numbers of at most 4,300 digits


def plain_columns(samples: Mapping[str, Sequence], n: int, first: int) -> dict[str, list]:
    """Columns as JSON-ready lists of length n; an "id" column is made where there is none."""
    columns = {}
    for name, values in samples.items():
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(values) != n:
            raise InputError(f"sample column '{name}' has {len(values)} entries", f"{n}, one per sample")
        columns[readable(str(name))] = [_plain(v, name) for v in values]
    columns.setdefault("id", [str(first + i) for i in range(n)])
    columns["id"] = [str(v) for v in columns["id"]]
    return columns


def _plain(value, name: str):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise InputError(
            f"sample column '{name}' holds a whole number of {value.bit_length():,} bits",
            f"at most {_MOST_BITS:,}",
            "Keep it as text",
        )
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise InputError(f"sample column '{name}' holds {type(value).__name__}", "text, numbers or booleans")


def encode_line(
    columns: dict, classes: list[int] | None, counts: dict[str, list[int]], lengths: dict
) -> bytes:
    """One batch as a line. `lengths`: bytes of each sample's blob, for "thumbnails" and "tokens"."""
    line = {"columns": columns, "classes": classes, "counts": counts, "lengths": lengths}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def encode_tokens(tokens: Sequence[str]) -> bytes:
    """Token texts of one sample, as the blob keeps them."""
    return json.dumps([readable(str(t)) for t in tokens], ensure_ascii=False).encode()


def decode_tokens(data: bytes) -> list[str]:
    """What `encode_tokens` wrote; older stores may hold surrogates."""
    return json.loads(data.decode("utf-8", "surrogatepass"))


def read_lines(path: Path, size: int | None = None) -> Iterator[dict]:
    """The batches in `samples.jsonl`, up to `size` bytes."""
    if not path.exists():
        return
    with open(path, "rb") as f:
        at = 0
        for line in f:
            at += len(line)
            if size is not None and at > size:
                return
            try:
                yield json.loads(line)
            except ValueError:
                raise StoreDamaged(f"{path} has an unreadable line ending at byte {at}") from None


def read_blob(directory: Path, kind: str, sample: int, offsets: np.ndarray) -> bytes | None:
    """The bytes of one sample's thumbnail or tokens; None where it has none."""
    start, stop = int(offsets[sample]), int(offsets[sample + 1])
    if start == stop:
        return None
    with open(directory / f"{kind}.bin", "rb") as f:
        data = read_at(f.fileno(), stop - start, start)
    if len(data) != stop - start:
        raise StoreDamaged(f"{directory / kind}.bin ends before sample {sample}", f"{stop} bytes")
    return data


class SampleColumns(Mapping[str, np.ndarray]):
    """Sample columns by name, each read when first asked for."""

    def __init__(self, names: Sequence[str], read) -> None:
        self._names, self._read = tuple(names), read
        self._kept: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._kept:
            column = self._read(name)
            column.flags.writeable = False
            self._kept[name] = column
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
