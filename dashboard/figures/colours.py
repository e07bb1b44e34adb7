"""Which colour a point gets: the values of a column as categories or as a quantity, and what is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import ShapeError
from dashboard.figures.style import MOST_CATEGORIES
from dashboard.figures.text import number, plain

_MISSING = ("", "nan", "NaN", "None", "none", "NA", "N/A", "null", "<NA>")


@dataclass(frozen=True)
class Colouring:
    """Values ready to be drawn.

    kind : "none", "category" or "value". codes : (n,) int32 into `labels`, -1 where missing. values : (n,)
    float32, NaN where missing, drawn from `low` to `high`. note : what was cut, gathered or missing.
    """

    kind: str
    name: str = ""
    codes: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    values: np.ndarray | None = None
    low: float = 0.0
    high: float = 1.0
    diverging: bool = False
    gathers: bool = False  # the last label stands for all values beyond the most frequent
    note: str = ""
    missing: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))


def colouring(values, name: str = "", *, categorical: bool | None = None, n: int | None = None) -> Colouring:
    """Decide how to colour by `values` (n,): text, truth values and up to 20 whole numbers are categories.

    Raises ShapeError when there is not one value per point.
    """
    if values is None:
        return Colouring("none")
    values = np.asarray(values)
    if values.ndim != 1 or (n is not None and len(values) != n):
        raise ShapeError(f"{len(np.atleast_1d(values))} colour values for '{name}'", f"one per point ({n})")
    if categorical is None:
        categorical = _looks_categorical(values)
    return _categories(values, name) if categorical else _quantity(values, name)


def _looks_categorical(values: np.ndarray) -> bool:
    if values.dtype.kind in "iu":
        return len(values) > 0 and len(np.unique(values)) <= MOST_CATEGORIES
    return values.dtype.kind not in "fc"


def _factorised(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Codes (n,) and the distinct labels as text, missing ones as ''."""
    if values.dtype.kind in "OSM":
        values = np.array([str(v.decode("utf-8", "replace") if isinstance(v, bytes) else v) for v in values])
    found = np.unique(values)  # by hashing; with the inverse asked for it would sort all values
    codes = np.searchsorted(found, values)
    if values.dtype.kind == "f":
        labels = ["" if np.isnan(v) else f"{v:g}" for v in found]
    else:
        labels = ["" if str(v).strip() in _MISSING else str(v) for v in found]
    return codes.astype(np.int32).reshape(-1), labels


def _natural(label: str) -> list:
    """Sorting key under which 'block 2' comes before 'block 10'."""
    parts = re.split(r"(\d+)", label)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p]


def _categories(values: np.ndarray, name: str) -> Colouring:
    codes, labels = _factorised(values)
    counts = np.bincount(codes, minlength=len(labels))
    real = [i for i, label in enumerate(labels) if label]
    kept, note = real, ""
    if len(real) > MOST_CATEGORIES:  # the most frequent keep their colour; ties by name, so that it is stable
        kept = sorted(real, key=lambda i: (-counts[i], _natural(labels[i])))[: MOST_CATEGORIES - 1]
    kept = sorted(kept, key=lambda i: _natural(labels[i]))
    turn = np.full(len(labels), -1, np.int32)
    turn[kept] = np.arange(len(kept), dtype=np.int32)
    names = [plain(labels[i]) for i in kept]
    totals = [int(counts[i]) for i in kept]
    if len(kept) < len(real):
        rest = [i for i in real if turn[i] < 0]
        turn[rest] = len(kept)
        names.append(f"other ({len(rest):,} values)")
        totals.append(int(counts[rest].sum()))
        note = (
            f"{len(real):,} values of {name or 'the colour'}: the {len(kept)} most frequent are in the legend"
        )
    codes = turn[codes] if len(codes) else codes
    missing = codes < 0
    return Colouring(
        "category",
        name,
        codes,
        tuple(names),
        tuple(totals),
        gathers=len(names) > len(kept),
        note=note,
        missing=missing,
    )


def _quantity(values: np.ndarray, name: str) -> Colouring:
    values = _as_numbers(values)
    finite = np.isfinite(values)
    if not finite.any():
        note = f"no value of {name or 'the colour'} is a number" if len(values) else ""
        return Colouring(
            "value", name, values=np.full(len(values), np.nan, np.float32), note=note, missing=~finite
        )
    good = values[finite]
    low, high, note = *_extremes(good), ""
    inner = np.quantile(good, [0.002, 0.998])
    if high - low > 3 * (inner[1] - inner[0]) > 0:  # a few outliers must not flatten everything else
        low, high = float(inner[0]), float(inner[1])
        note = f"colours end at {number(low)} and {number(high)}; a few values lie beyond"
    diverging = low < 0 < high and min(-low, high) > 0.1 * max(-low, high)
    if diverging:
        high = max(-low, high)
        low = -high
    if low == high:
        low, high = low - 0.5, high + 0.5
    if not finite.all():
        lost = f"{int((~finite).sum()):,} without a value in grey"
        note = f"{note}; {lost}" if note else lost
    return Colouring(
        "value",
        name,
        values=np.where(finite, values, np.nan).astype(np.float32),
        low=low,
        high=high,
        diverging=bool(diverging),
        note=note,
        missing=~finite,
    )


def _extremes(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _as_numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)

    def one(v) -> float:
        try:
            return float(v)
        except (TypeError, ValueError):
            return np.nan

    return np.array([one(v) for v in values], dtype=np.float64)
