"""Conditions on numbers, truths and classes: samples that a column's values pick."""

from __future__ import annotations

import operator

import numpy as np

from analysis.compute.rows.samples import known_labels
from analysis.errors import ParameterError
from analysis.search.query import Compare

OPERATIONS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
              ">=": operator.ge}  # fmt: skip
CLASSES = ("label", "predicted")  # columns of class numbers, where the store names its classes
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def has_classes(column: str, values: np.ndarray, classes: tuple[str, ...]) -> bool:
    """Whether a column's numbers are numbers of classes that have names."""
    return column in CLASSES and bool(classes) and values.dtype.kind in "iuf"


def of_classes(wanted: list[bool], values: np.ndarray) -> np.ndarray:
    """(samples,) bool: class number among the `wanted` ones (one bool per class)."""
    known = known_labels(values) & (values < len(wanted))
    return known & np.array([*wanted, False])[np.where(known, values, 0).astype(np.int64)]


def by_number(node: Compare, column: str, values: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """(samples,) bool for a column of numbers, truths or classes; `:` asks for the same value.

    Raises ParameterError for a value of another sort.
    """
    how = "=" if node.operator == ":" else node.operator
    classed = has_classes(column, values, classes)
    if classed:
        wanted = [name.casefold() == node.value.casefold() for name in classes]
        if any(wanted) and how in ("=", "!="):
            return of_classes(wanted if how == "=" else [not w for w in wanted], values)
    number = _number(node.value)
    if values.dtype.kind == "b":
        number = TRUTH.get(node.value.casefold(), number)
    if number is None:
        kinds = "true or false" if values.dtype.kind == "b" else "a number"
        if classed:
            kinds = "a class number or one of " + ", ".join(classes[:12])
        raise ParameterError(f"{node.shown}: column '{column}' holds numbers, not {node.value!r}", kinds)
    known = known_labels(values) if classed else ~np.isnan(values.astype(np.float64))
    return OPERATIONS[how](values, number) & known


def by_unit_value(node: Compare, values: np.ndarray) -> np.ndarray:
    """(rows,) bool for one unit's stored values, compared as float64: 0.1 is not float32(0.1)."""
    with np.errstate(invalid="ignore"):
        return OPERATIONS[node.operator](values.astype(np.float64), np.float64(node.value)) & ~np.isnan(
            values
        )


def _number(text: str) -> int | float | None:
    """A whole number stays whole: the largest ids are no floats."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if "_" in text or value != value:
            return None
        return value if kind is float or abs(value) < 2**63 else float(value)
    return None
