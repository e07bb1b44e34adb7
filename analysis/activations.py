"""Activations: what a tap gave, as lazy rows x units with the names of both.

A **row** is one token of one sample; a pooled tap has exactly one row per sample. Implementations: the
in-memory `ArrayActivations` here and `StoredActivations` in `analysis.store.reader`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from analysis.arrays import as_matrix, finite_rows
from analysis.errors import NotEnoughData, NotFound, ShapeError, TooLarge

CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Layout:
    """How rows map to (sample, token).

    `offsets` (n_samples + 1,) int64: rows of sample i are offsets[i]:offsets[i + 1].
    `grid` is (height, width) when the tokens of a sample are image positions, `leading` how many tokens
    (class token, registers) come before the grid.
    """

    offsets: np.ndarray
    grid: tuple[int, int] | None = None
    leading: int = 0

    @staticmethod
    def pooled(n: int) -> Layout:
        return Layout(np.arange(n + 1, dtype=np.int64))

    @property
    def n_samples(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_rows(self) -> int:
        return int(self.offsets[-1]) if len(self.offsets) else 0

    @cached_property
    def is_pooled(self) -> bool:
        return self.n_rows == self.n_samples and bool((np.diff(self.offsets) == 1).all())

    @cached_property
    def _tokens(self) -> int:
        """Tokens of every sample where all have as many, else 0."""
        counts = np.diff(self.offsets)
        same = len(counts) and self.offsets[0] == 0 and (counts == counts[0]).all()
        return int(counts[0]) if same else 0

    def sample_of(self, rows) -> np.ndarray:
        """Sample (same shape as `rows`) of each row index."""
        if self._tokens:
            return np.asarray(rows) // self._tokens
        return np.searchsorted(self.offsets, np.asarray(rows), side="right") - 1

    def token_of(self, rows) -> np.ndarray:
        """Token position inside its sample of each row index."""
        rows = np.asarray(rows)
        return rows - self.offsets[self.sample_of(rows)]


@runtime_checkable
class Activations(Protocol):
    """Lazy activations of one tap: (rows, units), with samples, tokens and an origin digest."""

    name: str  # "store:tap", or whatever the user called the array
    digest: str  # content digest: equal digests mean equal numbers
    unit_names: tuple[str, ...]
    layout: Layout
    samples: Mapping[str, np.ndarray]  # per-sample columns, "id" always among them

    @property
    def shape(self) -> tuple[int, int]: ...

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float32 or float64 block (<= rows, units)) in row order."""
        ...

    def unit(self, j: int) -> np.ndarray:
        """One unit over all rows, (rows,), without reading the others where storage allows."""
        ...

    def take(self, rows) -> np.ndarray:
        """The given rows, (len(rows), units)."""
        ...


@dataclass(frozen=True)
class ArrayActivations:
    """Activations held in memory; the digest is taken from the values, samples, layout and unit names."""

    values: np.ndarray
    name: str = "array"
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)
    layout: Layout | None = None
    unit_names: tuple[str, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        x = as_matrix(self.values, self.name)
        put = object.__setattr__
        put(self, "values", x)
        put(self, "layout", self.layout or Layout.pooled(len(x)))
        if self.layout.n_rows != len(x):
            raise ShapeError(f"{self.name} has {len(x)} rows", f"{self.layout.n_rows} by its layout")
        put(self, "unit_names", tuple(self.unit_names) or tuple(str(j) for j in range(x.shape[1])))
        columns = {k: np.asarray(v) for k, v in self.samples.items()}
        columns.setdefault("id", np.array([str(i) for i in range(self.layout.n_samples)]))
        for key, column in columns.items():
            if len(column) != self.layout.n_samples:
                raise ShapeError(
                    f"column '{key}' of {self.name} has {len(column)} entries",
                    f"one per sample ({self.layout.n_samples})",
                )
        put(self, "samples", columns)
        if not self.digest:
            put(self, "digest", self._content())

    def _content(self) -> str:
        """Digest of everything that can change a method's result."""
        x, layout = self.values, self.layout
        h = hashlib.sha256(np.ascontiguousarray(x).data)
        h.update(repr((x.shape, x.dtype.str, layout.grid, layout.leading, self.unit_names)).encode())
        h.update(np.asarray(layout.offsets, np.int64).tobytes())
        for key in sorted(self.samples):
            h.update(repr((key, self.samples[key].dtype.kind, self.samples[key].tolist())).encode())
        return h.hexdigest()[:32]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self.values), rows):
            yield start, self.values[start : start + rows]

    def unit(self, j: int) -> np.ndarray:
        return self.values[:, j]

    def take(self, rows) -> np.ndarray:
        return self.values[np.asarray(rows)]


def as_activations(x, name: str = "array", labels=None) -> Activations:
    """Accept Activations or an array (rows, units); `labels` (rows,) become the column "label"."""
    if isinstance(x, Activations):
        return x
    samples = {} if labels is None else {"label": np.asarray(labels)}
    return ArrayActivations(np.asarray(x), name=name, samples=samples)


def row_column(activations: Activations, column: str) -> np.ndarray:
    """A per-sample column repeated for every row, (rows,).

    Raises NotFound, listing what there is, when the samples have no such column.
    """
    values = sample_column(activations, column)
    if activations.layout.is_pooled:
        return values
    return np.repeat(values, np.diff(activations.layout.offsets))


def sample_column(activations: Activations, column: str) -> np.ndarray:
    """A per-sample column, (n_samples,). Raises NotFound, listing what there is."""
    if column not in activations.samples:
        raise NotFound(
            f"{activations.name} has no sample column '{column}'",
            "one of " + ", ".join(sorted(activations.samples)),
            "Record with labels or choose another column",
        )
    return np.asarray(activations.samples[column])


@dataclass(frozen=True)
class LoadedMatrix:
    """Finite rows in memory: `values` (n, d), their row indices `rows` (n,), and what was left out."""

    values: np.ndarray
    rows: np.ndarray
    n_nonfinite: int
    n_total: int

    @property
    def is_sampled(self) -> bool:
        return len(self.rows) + self.n_nonfinite < self.n_total

    @property
    def note(self) -> str:
        """A sentence to print beside any number made from this matrix; empty when nothing was left out."""
        parts = []
        if self.n_nonfinite:
            parts.append(f"{self.n_nonfinite} row(s) with NaN or infinity left out")
        if self.is_sampled:
            parts.append(f"a random {len(self.rows):,} of {self.n_total:,} rows used")
        return "; ".join(parts)


def load_matrix(
    activations: Activations,
    *,
    maximum_rows: int | None = None,
    minimum_rows: int = 1,
    rng: np.random.Generator | None = None,
    maximum_bytes: int = 8 << 30,
) -> LoadedMatrix:
    """Read the finite rows into one array, all of them or a seeded random subset.

    Raises
    ------
    NotEnoughData
        Fewer than `minimum_rows` finite rows.
    TooLarge
        The array would exceed `maximum_bytes`.
    """
    n, d = activations.shape
    chosen = None
    if maximum_rows is not None and n > maximum_rows:
        rng = rng or np.random.default_rng(0)
        chosen = np.sort(rng.choice(n, size=maximum_rows, replace=False))
    size = (n if chosen is None else len(chosen)) * d * 4
    if size > maximum_bytes:
        raise TooLarge(
            f"{activations.name} needs {size / 2**30:.1f} GiB in memory",
            f"at most {maximum_bytes / 2**30:.1f} GiB",
            "Use fewer rows (the method's 'maximum rows') or a pooled tap",
        )
    if chosen is not None:
        values, rows = activations.take(chosen), chosen
    else:
        values, rows = _whole(activations), np.arange(n)
    good = finite_rows(values)
    if not good.all():
        values, rows = values[good], rows[good]
    if len(rows) < minimum_rows:
        raise NotEnoughData(
            f"{activations.name} has {len(rows)} finite row(s)",
            f"at least {minimum_rows}",
            "Record more samples, or look at the non-finite counts of this tap",
        )
    return LoadedMatrix(values, rows, int((~good).sum()), n)


def _whole(activations: Activations) -> np.ndarray:
    """Every row, (n, d), written into one array: a list of blocks joined at the end would hold them twice."""
    values = None
    for start, block in activations.chunks():
        if values is None:
            values = np.empty(activations.shape, np.asarray(block).dtype)
        values[start : start + len(block)] = block
    return np.empty((0, activations.shape[1]), np.float32) if values is None else values
