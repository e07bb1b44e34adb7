"""csv, tsv, parquet and json-lines tables by pyarrow.

pyarrow rather than `datasets`: it names the ragged row, converts types the same way, starts at once and writes
nothing to disk (`datasets` copies every table into a cache directory first).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.sources.file_magic import existing, magic, refuse_empty
from analysis.sources.inflated import refuse_large_table
from analysis.sources.text_reading import decode

SNIFFED = 1 << 16
DELIMITERS = ",;\t|"


def read_table(path: str | Path, *, delimiter: str | None = None, encoding: str | None = None):
    """The whole table as a pyarrow.Table.

    Raises
    ------
    InputError
        Empty, ragged (naming the row), repeated column names, or not a table.
    """
    path = existing(path, "table")
    refuse_empty(path)
    if magic(path) == "parquet" or path.suffix == ".parquet":
        table = _read_parquet(path)
    elif path.suffix in (".jsonl", ".ndjson"):
        table = _read_json_lines(path)
    else:
        table = _read_csv(path, delimiter, encoding)
    names = table.column_names
    twice = sorted(n for n, k in Counter(names).items() if k > 1)
    if twice:
        raise InputError(
            f"{path} has the column {twice[0]!r} more than once", "unique column names", "Rename one"
        )
    if table.num_rows == 0:
        raise InputError(f"{path} has a header but no row", "at least one row")
    return table


def _read_parquet(path: Path):
    import pyarrow as pa
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(path)
        refuse_large_table(path, about.num_rows, about.num_columns)
        return parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{path} is not a whole parquet file ({error})", "a parquet table", "Copy it again"
        ) from None


def _read_json_lines(path: Path):
    import pyarrow as pa
    from pyarrow import json

    try:
        return json.read_json(path)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{path} is not a table of JSON lines ({error})", "one JSON object per line"
        ) from None


def _read_csv(path: Path, delimiter: str | None, encoding: str | None):
    import pyarrow as pa
    from pyarrow import csv

    with open(path, "rb") as file:
        head = file.read(SNIFFED)
    if b"\x00" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} holds binary data", "a csv or parquet table")
    text = decode_head(head, path, encoding)
    delimiter = delimiter or sniff_delimiter(text)
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = encoding or ("utf16" if wide else "utf8")
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    convert = csv.ConvertOptions(strings_can_be_null=False)
    for threads in (True, False):  # pyarrow counts rows on one thread only: read again to name the row
        try:
            options = csv.ReadOptions(encoding=encoding, use_threads=threads)
            with pa.OSFile(
                str(path)
            ) as plain:  # given a name that ends in .gz it would inflate what is in it
                return csv.read_csv(plain, read_options=options, parse_options=parse, convert_options=convert)
        except (pa.ArrowInvalid, UnicodeDecodeError, pa.ArrowKeyError) as error:
            problem = error
    raise _not_a_table(path, problem) from None


def _not_a_table(path: Path, error: Exception) -> InputError:
    text = str(error).splitlines()[0][:240]
    if isinstance(error, UnicodeDecodeError) or "UTF8" in text:
        return InputError(
            f"{path} is not UTF-8 ({text})", "UTF-8", "Give its encoding, e.g. encoding='latin-1'"
        )
    return InputError(
        f"{path} is not a table: {text}",
        "the same number of fields in every row",
        "Quote fields that hold the delimiter, or give delimiter=",
    )


def decode_head(head: bytes, path: Path, encoding: str | None) -> str:
    """The first bytes as text, less the character that the cut may have split."""
    if len(head) == SNIFFED:
        cut = max(head.rfind(b"\n"), 1)
        head = head[: cut + (2 if head.startswith(b"\xff\xfe") else 1)]
    return decode(head, str(path), encoding)


def sniff_delimiter(text: str) -> str:
    """The one of , ; tab | that cuts the first lines into the same number (> 1) of fields; comma otherwise."""
    import csv

    lines = text.splitlines()[:20]
    best, fields = ",", 1
    for delimiter in DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        agree = sum(c == counts[0] for c in counts) >= 0.8 * len(counts) if counts else False
        if agree and counts[0] > fields:
            best, fields = delimiter, counts[0]
    return best


def column_values(table, name: str) -> np.ndarray:
    """One column (n,): numbers as they are (missing ones NaN), anything else as text ("" for missing).

    Raises NotFound listing the columns.
    """
    import pyarrow as pa

    place = table.schema.get_field_index(name)
    if place < 0:
        raise NotFound(f"there is no column '{name}'", "one of " + ", ".join(table.column_names[:30]))
    column = table.column(place)
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        column = (
            column.cast(pa.float64())
            if column.null_count or pa.types.is_decimal(kind)
            else column.cast(pa.int8())
        )
    elif pa.types.is_null(kind):
        return np.full(table.num_rows, np.nan)
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.array(["" if v is None else str(v) for v in column.to_pylist()], dtype=object)
    if column.null_count and pa.types.is_integer(column.type):
        column = column.cast(pa.float64())
    return column.to_numpy()


def is_number(table, name: str) -> bool:
    """Whether the column holds numbers (integers, floats, booleans, decimals)."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(test(kind) for test in tests)
