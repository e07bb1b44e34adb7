"""The plotted numbers as files: CSV for people and spreadsheets, parquet for what is large."""

from __future__ import annotations

import io

import numpy as np

from dashboard.figures.text import cell, unique

_ENDS = frozenset(',;\t\r\n"')


def csv_bytes(columns: dict) -> bytes:
    """UTF-8 with a header line. Numbers in full precision, NaN as an empty cell; text that a spreadsheet would
    run as a formula gets a leading apostrophe."""
    heads = [_quoted(cell(name)) for name in columns]
    lines = [",".join(row) for row in zip(*(_cells(values) for values in columns.values()), strict=True)]
    if len(heads) == 1:  # an empty line would be no row
        lines = [line or '""' for line in lines]
    return "".join(line + "\n" for line in [",".join(heads), *lines]).encode("utf-8", "replace")


def _quoted(text: str) -> str:
    """In quotes where a reader could see the end of a cell in it: the part behind would begin another."""
    return '"' + text.replace('"', '""') + '"' if _ENDS.intersection(text) else text


def _cells(values) -> list[str]:
    values = np.asarray(values)
    if values.dtype.kind == "f":
        text = values.astype(str)
        return np.where(np.isnan(values), "", text).tolist()
    if values.dtype.kind in "iub":
        return values.astype(str).tolist()
    return [_quoted(cell(v)) for v in values.tolist()]


def parquet_bytes(columns: dict) -> bytes:
    """One table with the columns as they are: numbers with their own type, text as text, NaN kept."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table([_typed(values) for values in columns.values()], names=unique(columns))
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd", version="2.6")
    return out.getvalue()


def _typed(values) -> np.ndarray | list[str]:
    """Texts that UTF-8 cannot hold have a replacement character; of objects, their text."""
    values = np.asarray(values)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64) if values.dtype == np.longdouble else values
    return [str(v).encode("utf-8", "replace").decode("utf-8") for v in values.tolist()]
