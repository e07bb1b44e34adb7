"""What stands in the cells of a table on a page: the browser saves them as CSV just as they are, so that a name which a
spreadsheet would run as a formula is given its apostrophe here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashboard.figures.text import cell


def safe(table):
    """`table` with harmless texts: rows as dicts, or columns by name (arrays or lists); anything else as it is."""
    if isinstance(table, Mapping):
        return {_one(name): _column(column) for name, column in table.items()}
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        return [{_one(name): _one(value) for name, value in row.items()} for row in table]
    return table


def _column(column):
    """The column itself where nothing in it is to be changed."""
    kind = getattr(getattr(column, "dtype", None), "kind", "O")
    if kind not in "OUT":
        return column
    found = [_one(value) for value in column]
    return column if all(a == b for a, b in zip(found, column, strict=True) if isinstance(a, str)) else found


def _one(value):
    return cell(value) if isinstance(value, str) and len(value) > 1 and not value[0].isalnum() else value
