"""A column of labels to classes, or to a continuous target; label files beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, ShapeError

MOST_NUMERIC_CLASSES = 100  # a float column with more distinct values is a target, not classes
MISSING = ("", "nan", "none", "null", "na", "n/a")


@dataclass(frozen=True)
class Labels:
    """`index` (n,) int64 into `classes`, -1 where missing; or `target` (n,) float64 and no classes."""

    index: np.ndarray | None
    classes: tuple[str, ...] = ()
    target: np.ndarray | None = None


def as_labels(values, classes=(), name: str = "label") -> Labels:
    """Read labels: texts and whole numbers are classes, other floats a continuous target.

    Whole numbers keep their order; with `classes` given they index it. Texts are sorted.

    Raises
    ------
    InputError
        A number outside the given class names, or a column of something else.
    """
    values = np.asarray(values)
    if values.ndim != 1:
        raise ShapeError(f"'{name}' has shape {values.shape}", "one label per sample, (n,)")
    if values.dtype.kind in "OUS":
        return _from_text([_text(v) for v in values.tolist()], classes)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuf":
        raise InputError(f"'{name}' holds {values.dtype} values", "texts or numbers")
    known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
    whole = bool((values[known] == np.round(values[known])).all())
    distinct = np.unique(values[known])
    if values.dtype.kind == "f" and (not whole or len(distinct) > MOST_NUMERIC_CLASSES):
        return Labels(None, (), values.astype(np.float64))
    return _from_numbers(values, known, distinct.astype(np.int64), tuple(map(str, classes)), name)


def _from_numbers(values, known, distinct, classes: tuple[str, ...], name: str) -> Labels:
    index = np.full(len(values), -1, dtype=np.int64)
    if classes:
        wrong = distinct[(distinct < -1) | (distinct >= len(classes))]
        if len(wrong):
            raise InputError(
                f"'{name}' holds the class number {wrong[0]}",
                f"numbers from 0 to {len(classes) - 1} (-1 for missing)",
            )
        index[known] = values[known].astype(np.int64)
        return Labels(index, classes)
    distinct = distinct[distinct != -1] if distinct[:1].tolist() == [-1] and len(distinct) > 1 else distinct
    if len(distinct) and distinct[0] >= 0 and distinct[-1] < 2 * len(distinct) + 10:
        names = tuple(
            str(i) for i in range(int(distinct[-1]) + 1)
        )  # class 3 stays index 3 although 2 is absent
        index[known] = values[known].astype(np.int64)
        index[index < 0] = -1
        return Labels(index, names)
    place = {int(v): i for i, v in enumerate(distinct)}
    index[known] = [place.get(int(v), -1) for v in values[known]]
    return Labels(index, tuple(str(v) for v in distinct))


def _from_text(values: list[str], classes=()) -> Labels:
    present = {v for v in values if v.lower() not in MISSING}
    names = [str(c) for c in classes]
    names += sorted(present - set(names), key=_natural)
    place = {name: i for i, name in enumerate(names)}
    return Labels(np.array([place.get(v, -1) for v in values], dtype=np.int64), tuple(names))


def _natural(text: str) -> tuple:
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def _text(value) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_label_file(path: str | Path, n: int, what: str) -> np.ndarray:
    """Labels of n samples, in their order, from a .npy, .npz, .txt (one a line), .csv or .parquet file.

    Raises ShapeError when the lengths disagree, InputError where it is not clear which column is meant.
    """
    from analysis.sources.file_magic import existing, refuse_empty

    path = existing(path, "labels file")
    refuse_empty(path)
    if path.suffix in (".npy", ".npz"):
        values = _from_arrays(path)
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        values = _from_table(path)
    else:
        from analysis.sources.text_reading import read_text

        values = np.array(read_text(path).splitlines())
    if len(values) != n:
        raise ShapeError(
            f"{path} has {len(values)} labels for {n} {what}", "one label per sample, in the same order",
            "Check that both files belong together",
        )  # fmt: skip
    return values


def _from_arrays(path: Path) -> np.ndarray:
    from analysis.sources.numpy_files import member_names, read_array

    if path.suffix == ".npy":
        return read_array(path)
    names = member_names(path)
    chosen = next(
        (n for n in ("labels", "label", "y", "targets") if n in names), names[0] if len(names) == 1 else None
    )
    if chosen is None:
        raise InputError(f"{path} holds {', '.join(names)}", "one array, or one called 'labels'")
    return read_array(path, chosen)


def _from_table(path: Path) -> np.ndarray:
    from analysis.sources.table_reading import column_values, read_table

    table = read_table(path)
    names = table.column_names
    chosen = next((n for n in ("label", "labels", "class", "target", "y") if n in names), None)
    if chosen is None and len(names) == 1:
        chosen = names[0]
    if chosen is None:
        raise InputError(
            f"{path} has the columns {', '.join(names[:12])}", "one column, or one called 'label'"
        )
    return column_values(table, chosen)
