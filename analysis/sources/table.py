"""A table: numeric feature columns, or one text column, with a label column and metadata.

Rows with missing feature values are kept as NaN and counted (missing="drop" leaves them out and lists how many),
so that the order and number of rows stay those of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ParameterError
from analysis.sources.data_source import DataSource, as_text, checked_range
from analysis.sources.digests import array_digest, text_digest
from analysis.sources.labels import as_labels, read_label_file
from analysis.sources.table_reading import column_values, is_number, read_table
from analysis.sources.text_files import Texts

LABEL_NAMES = ("label", "labels", "class", "target", "y")
TEXT_NAMES = ("text", "sentence", "content", "document", "review", "question")
MOST_SHOWN_FEATURES = 32  # feature columns also offered as metadata to colour by


class Row(np.ndarray):
    """Numbers (features,) float32 that remember the names of their columns (none for derived arrays)."""

    names: tuple[str, ...] = ()


@dataclass
class TableRows(DataSource):
    """Rows of numbers: items are float32 (features,) arrays with `names`. `values` (n, features) float64."""

    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    feature_names: tuple[str, ...] = ()

    def items(self, start: int, stop: int) -> list[np.ndarray]:
        checked_range(start, stop, len(self))
        rows = [row.view(Row) for row in self.values[start:stop].astype(np.float32)]
        for row in rows:
            row.names = self.feature_names
        return rows

    def content(self) -> str:
        return text_digest([array_digest(self.values), *self.feature_names])


def open_table(
    path: Path,
    *,
    label: str | None = None,
    text: str | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
    labels=None,
    missing: str = "keep",
    delimiter: str | None = None,
    encoding: str | None = None,
) -> DataSource:
    """Open a csv, tsv, json-lines or parquet table.

    Parameters
    ----------
    label : str, optional
        Label column; one called label, class, target or y is found. "none": no label.
    text : str, optional
        Text column: samples are texts. One called text, sentence, … is taken where it holds texts.
    columns : sequence of str, optional
        Feature columns in the order the network takes them; every numeric one otherwise.
    id : str, optional
        Column of unique ids; row numbers (from 0) otherwise.
    labels : path, optional
        A label file instead of a column.
    missing : "keep" or "drop"
        What to do with rows that lack a feature value.

    Raises
    ------
    NotFound
        A named column is not there.
    InputError
        Ragged rows, duplicate ids, no usable column.
    """
    if missing not in ("keep", "drop"):
        raise ParameterError(f"missing = {missing!r}", "keep or drop")
    table = read_table(path, delimiter=delimiter, encoding=encoding)
    require(table, path, label=None if label == "none" else label, text=text, id=id)
    notes: list[str] = []
    if label is None and labels is None:
        label = guessed(table, LABEL_NAMES, "label", notes, "label='none'")
    if text is None and columns is None:
        names = [n for n in TEXT_NAMES if n in table.column_names and not is_number(table, n)]
        text = guessed(table, names, "text", notes, "columns=[…]")
    given = common(table, path, label, labels, id, notes)
    if text is not None:
        return text_source(table, path, text, given, notes)
    return number_source(table, path, columns, {label, id}, missing, given, notes)


def require(table, path: Path, **names) -> None:
    """Raise NotFound for a named column that the table lacks."""
    for role, name in names.items():
        if name is not None and table.schema.get_field_index(name) < 0:
            raise NotFound(
                f"{path} has no {role} column '{name}'",
                "one of " + ", ".join(table.column_names[:30]),
                f"Give {role}= with one of these names",
            )


def guessed(table, names, role: str, notes: list[str], other: str) -> str | None:
    found = next((n for n in names if n in table.column_names), None)
    if found is not None:
        notes.append(f"Column '{found}' taken as the {role} ({other} changes that)")
    return found


def common(table, path: Path, label, labels, id, notes: list[str]) -> dict:
    """ids, labels, classes and metadata columns that every kind of table source has."""
    given: dict = {"columns": {}}
    n = table.num_rows
    given["ids"] = as_text(column_values(table, id)) if id else as_text(range(n))
    values = None
    if labels is not None:
        values = read_label_file(labels, n, "rows")
    elif label not in (None, "none"):
        values = column_values(table, label)
    if values is not None:
        read = as_labels(values, name=label or str(labels))
        given |= {"labels": read.index, "classes": read.classes}
        if read.target is not None:
            given["columns"]["target"] = read.target
            notes.append("The label is continuous: kept as column 'target', without classes")
        if read.index is not None and (read.index < 0).any():
            notes.append(f"{int((read.index < 0).sum())} rows have no label")
    for name in table.column_names:
        if name not in (label, id):
            values = column_values(table, name)
            given["columns"][name] = as_text(values) if values.dtype.kind == "O" else values
    return given


def text_source(table, path: Path, text: str, given: dict, notes: list[str]) -> Texts:
    values = column_values(table, text)
    texts = [str(v) for v in values.tolist()]
    given["columns"].pop(text, None)
    keep = np.array([bool(t.strip()) for t in texts])
    skipped = [f"row {i}: no text in column '{text}'" for i in np.flatnonzero(~keep)]
    kept = select(given, keep)
    texts = [t for t, k in zip(texts, keep, strict=True) if k]
    return Texts("text", path.stem, path, skipped=skipped, notes=notes, texts=texts, **kept)


def number_source(
    table, path: Path, columns, roles: set, missing: str, given: dict, notes: list[str]
) -> TableRows:
    columns = feature_columns(table, path, columns, roles, notes)
    if len(columns) > MOST_SHOWN_FEATURES:
        fed = set(columns)
        given["columns"] = {k: v for k, v in given["columns"].items() if k not in fed}
    values = np.column_stack([column_values(table, n).astype(np.float64) for n in columns])
    bad = ~np.isfinite(values)
    rows = bad.any(axis=1)
    skipped: list[str] = []
    if rows.any() and missing == "drop":
        skipped = [f"row {i}: no value in {columns[int(bad[i].argmax())]}" for i in np.flatnonzero(rows)]
        given, values = select(given, ~rows), values[~rows]
    elif rows.any():
        where = ", ".join(f"{c} ({int(b)})" for c, b in zip(columns, bad.sum(axis=0), strict=True) if b)
        kept = "kept as NaN (missing='drop' leaves them out)"
        notes.append(f"{int(rows.sum())} rows lack a value in {where}: {kept}")
    return TableRows(
        "table", path.stem, path, skipped=skipped, notes=notes, values=values, feature_names=tuple(columns), **given
    )  # fmt: skip


def feature_columns(table, path: Path, columns, roles: set, notes: list[str]) -> list[str]:
    """The columns asked for, or every numeric one without a role. Raises NotFound, InputError."""
    if columns is None:
        numeric = {n for n in table.column_names if is_number(table, n)}
        columns = [n for n in table.column_names if n not in roles and n in numeric]
        left = [n for n in table.column_names if n not in roles and n not in numeric]
        if left:
            notes.append(
                f"Not numeric, kept as metadata: {', '.join(left[:6])}{', …' if len(left) > 6 else ''}"
            )
    for name in columns:
        require(table, path, feature=name)
        if not is_number(table, name):
            raise InputError(f"column '{name}' of {path} holds text", "numbers", "Leave it out of columns")
    if not list(columns):
        raise InputError(
            f"{path} has no numeric column besides its label",
            "numbers, or a text column",
            "Name the text column with text=",
        )
    return list(columns)


def select(given: dict, keep: np.ndarray) -> dict:
    """`given` for the kept rows only."""
    out = dict(given, ids=given["ids"][keep], columns={k: v[keep] for k, v in given["columns"].items()})
    if given.get("labels") is not None:
        out["labels"] = given["labels"][keep]
    return out
