"""A Matrix made ready to draw: in its drawing order, gathered into blocks where it is too large, with limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Matrix
from dashboard.figures.rounded_cells import ROUNDED, known_size, only_rounding, without_rounding
from dashboard.figures.text import number, plain

ZERO_TO_ONE = (0.0, 1.0)
MOST_CELLS = 1_000  # along one side
MOST_NAMES = 60
MOST_BRANCHES = 400
MOST_BESIDE = 40_000  # cells whose null and interval go to the browser


@dataclass(frozen=True)
class Cells:
    """values (p, q) float32 in drawing order; sure and few (p, q) bool or None; beside (p, q, 3) null and ends of the
    interval of each cell, None where the result has none or cells were gathered; names of rows and columns; colour
    limits low, high; value_name; diverging; notes; gathered is the (rows, columns) of one block, (1, 1) when nothing
    was gathered."""

    values: np.ndarray
    sure: np.ndarray | None
    few: np.ndarray | None
    beside: np.ndarray | None
    row_names: list[str]
    column_names: list[str]
    low: float
    high: float
    value_name: str
    diverging: bool
    gathered: tuple[int, int]
    notes: tuple[str, ...]
    few_means: str = ""
    path: np.ndarray | None = None


def order_of(order, n: int) -> np.ndarray:
    """The drawing order as indices; anything that is not a permutation of n is ignored."""
    if order is None:
        return np.arange(n)
    order = np.asarray(order).astype(np.int64).ravel()
    return order if len(order) == n and np.array_equal(np.sort(order), np.arange(n)) else np.arange(n)


def names_of(names, n: int) -> list[str]:
    """One name per line; numbers where the result has none."""
    return [plain(name) for name in names] if len(names) == n else [str(i) for i in range(n)]


def cells_of(result: Matrix, *, aggregate: str = "auto", show: str = "value") -> Cells:
    """`aggregate`: "max" keeps the strongest |value| of a block with its sign, "mean" the mean; "auto" takes
    "max" for signed values and "mean" otherwise. `show`: "value", or "excess" over the null of each cell (where the
    result has one)."""
    excess = show == "excess" and result.null is not None
    values = np.asarray(result.values, dtype=np.float64)
    rows, columns = (
        order_of(result.row_order, values.shape[0]),
        order_of(result.column_order, values.shape[1]),
    )
    ordered = np.ix_(rows, columns)
    values = (values - np.asarray(result.null) if excess else values)[ordered]
    sure, few = (
        None if m is None else np.asarray(m, bool)[ordered] for m in (result.significant, result.few)
    )
    row_names, column_names = (
        names_of(result.row_names, len(rows)),
        names_of(result.column_names, len(columns)),
    )
    row_names, column_names = [row_names[i] for i in rows], [column_names[j] for j in columns]
    floor = None if result.rounding is None else np.asarray(result.rounding, np.float64)[ordered]
    rounded = only_rounding(values, known_size(result), floor)
    values = without_rounding(values, rounded)
    low, high = _symmetric(values) if excess else colour_limits(result, values)
    diverging = result.diverging or excess
    how = aggregate if aggregate != "auto" else ("max" if diverging else "mean")
    block = tuple(-(-side // MOST_CELLS) for side in values.shape)
    notes, whole = [], _notes(result, values, sure, few, excess)  # counted before cells are gathered
    whole = [ROUNDED[rounded], *whole] if rounded else whole
    beside = _beside(result, ordered, excess)
    if block != (1, 1):
        beside = None
        values = gathered(values, block, how)
        sure, few = (None if m is None else gathered(m.astype(float), block, "max") > 0 for m in (sure, few))
        row_names, column_names = block_names(row_names, block[0]), block_names(column_names, block[1])
        word = "the strongest |value|" if how == "max" else "the mean"
        notes.append(
            f"each cell shows {word} of {block[0]} × {block[1]} cells "
            f"({result.values.shape[0]:,} × {result.values.shape[1]:,} in all)"
        )
        if sure is not None:
            notes.append("a gathered cell is faded where none of its cells is significant")
    notes += whole
    path = _path(result, rows, columns) if block == (1, 1) else None
    if path is not None:
        notes.append(f"dashed: {plain(result.path_name) or 'a line through the cells'}")
    name = f"{result.value_name or 'value'} − null" if excess else result.value_name or "value"
    return Cells(
        values.astype(np.float32), sure, few, beside, row_names, column_names, low, high, name, diverging, block,
        tuple(notes), plain(result.few_means), path,
    )  # fmt: skip


def _path(result: Matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
    """Place among the columns of the line at each row; None where lines stand in another order."""
    path = None if result.path is None else np.asarray(result.path, dtype=np.float64).ravel()
    moved = (np.diff(rows) != 1).any() or (np.diff(columns) != 1).any()
    return None if path is None or moved or len(path) != len(rows) or not np.isfinite(path).all() else path


def _beside(result: Matrix, ordered, excess: bool) -> np.ndarray | None:
    """Null and ends of the interval of each cell (p, q, 3), NaN for what the result does not have."""
    parts = [result.null, result.low, result.high]
    if all(part is None for part in parts) or result.values.size > MOST_BESIDE:
        return None
    blank = np.full(result.values.shape, np.nan)
    null, low, high = (blank if m is None else np.asarray(m, float) for m in parts)
    if excess:
        low, high = low - null, high - null
    return np.stack([m[ordered] for m in (null, low, high)], axis=2)


def itself_on_the_diagonal(result: Matrix) -> bool:
    """Whether rows and columns are the same things. Two networks of one architecture have the same names and are not:
    then every cell has a null."""
    p, q = np.asarray(result.values).shape
    if p != q or tuple(result.row_names) != tuple(result.column_names):
        return False
    return result.null is None or bool(np.isnan(np.diag(result.null)).all())


def counted(result: Matrix) -> tuple[int, int]:
    """How many cells are significant, and how many were tested: where rows and columns are the same things, pairs of
    two different ones."""
    sure = np.asarray(result.significant, bool)
    if not itself_on_the_diagonal(result):
        return int(sure.sum()), sure.size
    n, off = len(sure), ~np.eye(len(sure), dtype=bool)
    if np.array_equal(sure, sure.T) and np.array_equal(
        result.values, np.asarray(result.values).T, equal_nan=True
    ):
        return int(sure[off].sum()) // 2, n * (n - 1) // 2
    return int(sure[off].sum()), n * (n - 1)


def _notes(result: Matrix, values: np.ndarray, sure, few, excess: bool) -> list[str]:
    notes = []
    if excess:
        notes.append("what is beyond the null of each cell: 0 is what unrelated data gives")
    elif result.null_band is not None:
        ends = " to ".join(number(v) for v in result.null_band)
        notes.append(f"grey bar at the scale: what structureless data gives, {ends}")
    if sure is not None:
        found, tested = counted(result)
        what = "cells" if tested == sure.size else "pairs"
        notes.append(
            f"{found:,} of {tested:,} {what} significant" + "; the others are faded" * (found < tested)
        )
    if few is not None and few.any():
        notes.append(
            f"hatched: {plain(result.few_means) or 'samples are too few to read much into the value'}"
        )
    lost = int((~np.isfinite(values)).sum())
    if lost:
        notes.append(f"{lost:,} cells without a value are left blank")
    return notes


def _symmetric(values: np.ndarray) -> tuple[float, float]:
    finite = np.abs(values[np.isfinite(values)])
    high = float(finite.max(initial=0.0)) or 0.5
    return -high, high


def colour_limits(result: Matrix, values: np.ndarray) -> tuple[float, float]:
    """The result's own limits, or those of the finite values; symmetric about zero when diverging."""
    if result.limits is not None:
        low, high = map(float, result.limits)
    else:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        if low == high == 0.0 and not result.diverging:
            return ZERO_TO_ONE  # 0 at the pale end
    if result.diverging:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def gathered(values: np.ndarray, block: tuple[int, int], how: str) -> np.ndarray:
    """Blocks of `values`: their mean, or the entry of largest magnitude with its sign. NaN is left out."""
    (p, q), (a, b) = values.shape, block
    padded = np.full((-(-p // a) * a, -(-q // b) * b), np.nan)
    padded[:p, :q] = values
    split = (
        padded.reshape(-1, a, padded.shape[1] // b, b).swapaxes(1, 2).reshape(-1, padded.shape[1] // b, a * b)
    )
    if how == "max":
        best = np.where(np.isfinite(split), np.abs(split), -1).argmax(axis=2)
        return np.take_along_axis(split, best[..., None], axis=2)[..., 0]
    good = np.isfinite(split)
    with np.errstate(invalid="ignore"):
        return np.where(good, split, 0).sum(axis=2) / np.where(good.any(axis=2), good.sum(axis=2), np.nan)


def block_names(names: list[str], size: int) -> list[str]:
    """The first and the last name of each block."""
    if size == 1:
        return names
    parts = [names[i : i + size] for i in range(0, len(names), size)]
    return [part[0] if len(part) == 1 else f"{part[0]} … {part[-1]}" for part in parts]


def nothing(values: np.ndarray, one: str, whole: str) -> str:
    """Why a rectangle of values cannot be drawn, or ""; `one` and `whole` are what a page calls its parts."""
    if values.ndim != 2 or values.size == 0:
        return f"There is no {one} to draw: the {whole} shape {' × '.join(map(str, values.shape))}."
    if not np.isfinite(values).any():
        return f"None of the {values.size:,} {one}s has a finite value."
    return ""


def branches(result: Matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """The tree beside the rows as one broken line: (height, place), NaN between branches; None without a tree.

    A branch joins two groups at the height of their merge; leaves stand at their place in the drawing order.
    """
    p = len(result.values)
    linkage = None if result.linkage is None else np.asarray(result.linkage, dtype=np.float64)
    if linkage is None or linkage.shape != (p - 1, 4) or not 1 < p <= MOST_BRANCHES:
        return None
    place, height = np.empty(2 * p - 1), np.zeros(2 * p - 1)
    place[order_of(result.row_order, p)] = np.arange(p)
    line_h, line_p = [], []
    for k, (a, b, distance, _) in enumerate(linkage):
        a, b = int(a), int(b)
        line_h += [height[a], distance, distance, height[b], np.nan]
        line_p += [place[a], place[a], place[b], place[b], np.nan]
        place[p + k], height[p + k] = (place[a] + place[b]) / 2, distance
    return np.array(line_h, np.float32), np.array(line_p, np.float32)
