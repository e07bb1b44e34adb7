"""Which units go together: candidates from a random sketch, Pearson's r from the data.

Each unit's values over samples are projected on 1,024 buckets with a random sign per sample (CountSketch; Charikar,
Chen, Farach-Colton 2002): the cosine of two centred sketches estimates r with a standard error of about
1 / sqrt(1024) = 0.03. The best candidates' columns are then read and r is exact.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from analysis.store import sampling
from analysis.store.index_files import EXACT_VALUES, FOLDER, ArrayFile
from analysis.store.sparse_activations import SparseActivations

if TYPE_CHECKING:
    from analysis.store.reader import Store

_CANDIDATES = 3  # times k are read and computed exactly, of sketches
_SPARE = 5  # beyond k where all units were compared: in single precision their order is nearly right
_LONG = 2_000_000  # rows of a column above which only the k best guesses are read
_MINIMUM = 4  # samples: below, Fisher's interval does not exist
_KEPT_BYTES = 512 << 20
_kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
_lock = threading.Lock()


def correlated(store: Store, tap: str, unit: int, k: int) -> list[tuple[str, int, float, float, float, int]]:
    """See FeatureIndex.correlated. Cost: of small stores a pass over their values in memory; else a pass over the
    sketches (4 kB per unit) and 3 k columns, k of taps beyond two million rows; two columns are in memory at a time."""
    own = sample_means(store, tap, unit)
    if k < 1 or np.isfinite(own).sum() < _MINIMUM or np.nanmax(own) == np.nanmin(own):
        return []
    guesses: list[tuple[float, str, int]] = []
    most = k + _SPARE if all(_is_small(store, name) for name in store.taps) else _CANDIDATES * k
    for name in store.taps:
        score = _scores(store, name, own)
        if name == tap:
            score[unit] = 0
        wanted = min(len(score), most)
        best = np.argpartition(-score, wanted - 1)[:wanted]
        guesses += [(-float(score[j]), name, int(j)) for j in best if score[j] > 0]
    found, to_own = [], Pearson(own)
    for rank, (_, name, j) in enumerate(sorted(guesses)[:most]):
        if to_own.is_whole and _is_held(store, name, j):
            r, n = to_own.with_unit_length(_standardised(store, name)[j])
        elif rank >= k and store.activations(name).shape[0] > _LONG:
            continue
        else:
            r, n = to_own.with_(_by_sample(store, name, j))
        if np.isfinite(r):
            found.append((name, j, r, *fisher_interval(r, n), n))
    found.sort(key=lambda line: (-abs(line[2]), line[0], line[1]))
    return found[:k]


class Pearson:
    """Pearson's r of one column `own` (n_samples,) with many others: of the pairs that are finite on both sides, in
    float64, centred first. Memory is used again from one to the next: fresh pages cost more than the sums."""

    def __init__(self, own: np.ndarray) -> None:
        self._own, self._finite = own.astype(np.float64, copy=False), np.isfinite(own)
        self._space = np.empty(len(own))
        self._centred = self._own - self._own.mean() if self._finite.all() else None

    def with_(self, other: np.ndarray) -> tuple[float, int]:
        """(r, pairs); r is NaN below four pairs, and where one side does not vary."""
        both = self._finite & np.isfinite(other)
        n = int(np.count_nonzero(both))
        if n < _MINIMUM:
            return np.nan, n
        if n == len(both):
            x, y = self._centred, other
        else:
            x, y = self._own[both], other[both]
            x = x - x.mean()
        y = np.subtract(y, y.mean(dtype=np.float64), out=self._space[:n], dtype=np.float64)
        scale = np.sqrt(_dot(x, x) * _dot(y, y))
        return (float(np.clip(_dot(x, y) / scale, -1, 1)) if scale > 0 else np.nan), n

    @property
    def is_whole(self) -> bool:
        """Whether every sample has a finite value here."""
        return self._centred is not None

    def with_unit_length(self, other: np.ndarray) -> tuple[float, int]:
        """The same with a column (n_samples,) that has no gaps and was centred and scaled in float64, then rounded to
        float32: r is right to 1e-7."""
        n = len(other)
        y = np.subtract(other, 0.0, out=self._space, dtype=np.float64)
        scale = np.sqrt(_dot(self._centred, self._centred) * _dot(y, y))
        if n < _MINIMUM or not scale > 0:
            return np.nan, n
        return float(np.clip(_dot(self._centred, y) / scale, -1, 1)), n


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    """x . y in this thread: a threaded BLAS waits for its helpers, milliseconds on a busy server."""
    return float(np.einsum("i,i->", x, y))


def fisher_interval(r: float, n: int) -> tuple[float, float]:
    """95 % interval of r by Fisher's z; n independent samples."""
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    half = 1.959963984540054 / np.sqrt(max(n - 3, 1))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def sample_means(store: Store, tap: str, unit: int) -> np.ndarray:
    """Each sample's mean over its tokens, (n_samples,) float64; NaN where a token is not finite or there is none."""
    return _by_sample(store, tap, unit).astype(np.float64, copy=False)


def _by_sample(store: Store, tap: str, unit: int) -> np.ndarray:
    """The same, float32 where each sample has one row."""
    activations = store.activations(tap)
    layout = activations.layout
    if isinstance(activations, SparseActivations) and not layout.is_pooled:
        return _sums_of_entries(activations, unit)
    values = activations.unit(unit)
    values[~np.isfinite(values)] = np.nan
    if layout.is_pooled:
        return values
    counts = np.diff(layout.offsets)
    out = np.full(len(counts), np.nan)
    has = np.flatnonzero(counts)
    if len(has):
        out[has] = np.add.reduceat(values, layout.offsets[:-1][has], dtype=np.float64) / counts[has]
    return out


def _sums_of_entries(activations: SparseActivations, unit: int) -> np.ndarray:
    """The same from what is not 0, of which there is little."""
    layout, (rows, values) = activations.layout, activations.entries_of(unit)
    counts = np.diff(layout.offsets)
    out = np.bincount(layout.sample_of(rows), values, len(counts)).astype(
        np.float64
    )  # whole numbers of no rows
    out[layout.sample_of(activations.gaps)] = np.nan
    return np.divide(out, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def _is_small(store: Store, name: str) -> bool:
    """Whether all its units are compared, not sketches of them."""
    return store.n_samples * store.taps[name].n_units <= EXACT_VALUES


def _is_held(store: Store, name: str, unit: int) -> bool:
    """Whether the unit's values over samples are in memory without gaps, see `_standardised`."""
    if not _is_small(store, name) or store.index(name).table()["nonfinite"][unit]:
        return False
    return bool(np.diff(store.activations(name).layout.offsets).min() > 0)


def _scores(store: Store, name: str, own: np.ndarray) -> np.ndarray:
    """|r|, exact or estimated, of every unit of tap `name` with the values `own` (n_samples,)."""
    centred = np.where(np.isfinite(own), own - np.nanmean(own), 0.0)
    centred /= np.sqrt(_dot(centred, centred))
    if _is_small(store, name):
        return np.abs(_standardised(store, name) @ centred.astype(np.float32))
    seed = int(store.manifest["settings"].get("seed") or 0)
    at = np.arange(len(centred))
    sketch = _sketch(store, name)
    buckets = sketch.shape[1]
    query = np.bincount(at % buckets, weights=centred * sampling.signs_of(at, seed), minlength=buckets)
    query = (query / max(np.sqrt(_dot(query, query)), 1e-300)).astype(np.float32)
    return np.abs(np.einsum("ij,j->i", sketch, query))  # in this thread, see _dot


def _remembered(key: tuple[str, str], make) -> np.ndarray:
    """Small matrices shared by all cards of a process, least recently used out first."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    value = make()
    with _lock:
        _kept[key] = value
        while len(_kept) > 1 and sum(v.nbytes for v in _kept.values()) > _KEPT_BYTES:
            _kept.popitem(last=False)
    return value


def _sketch(store: Store, tap: str) -> np.ndarray:
    """The tap's sketch (units, buckets) float32, each row of length 1 (or 0): 4 kB of memory per unit, kept."""

    def make() -> np.ndarray:
        out = ArrayFile(store.folder(tap) / FOLDER / "sketch.npy").whole().astype(np.float32)
        for start in range(0, len(out), 512):
            part = out[start : start + 512]
            size = np.sqrt(np.einsum("ij,ij->i", part, part))
            part /= np.where(size > 0, size, 1)[:, None]
        return out

    return _remembered(("sketch", store.activations(tap).digest), make)


def _standardised(store: Store, tap: str) -> np.ndarray:
    """(units, n_samples) float32, each row centred to unit length (NaN as 0): r is a product of two rows."""

    def make() -> np.ndarray:
        activations = store.activations(tap)
        out = np.zeros((store.taps[tap].n_units, store.n_samples), np.float32)
        sums = _sparse_sums if isinstance(activations, SparseActivations) else _dense_sums
        sums(activations, out)
        out /= np.maximum(np.diff(activations.layout.offsets), 1)
        for u in range(0, len(out), 256):
            out[u : u + 256] = _unit_length(out[u : u + 256].astype(np.float64))
        return out

    return _remembered(("exact", store.activations(tap).digest), make)


def _dense_sums(activations, out: np.ndarray) -> None:
    """Sums over each sample's tokens to `out` (units, n_samples) of zeros."""
    for first, block in activations.blocks():
        sample = activations.layout.sample_of(np.arange(first, first + block.shape[1]))
        starts = np.flatnonzero(np.diff(sample, prepend=-1))
        for u in range(0, len(out), 256):  # a sample may go on in the next shard: add
            sums = np.add.reduceat(block[u : u + 256].astype(np.float64), starts, axis=1)
            out[u : u + 256, sample[starts]] += sums


def _sparse_sums(activations: SparseActivations, out: np.ndarray) -> None:
    """The same from what is not 0: 10 ns an entry instead of 10 ns a row and unit."""
    n = out.shape[1]
    sample = np.repeat(np.arange(n), np.diff(activations.layout.offsets))
    for u in range(0, len(out), 256):
        block = out[u : u + 256]
        entries = activations.entries(u, u + len(block))
        own = np.repeat(np.arange(len(block)) * n, np.diff(entries.starts))
        block[:] = np.bincount(own + sample[entries.rows], entries.values, block.size).reshape(block.shape)
    out[:, sample[activations.gaps]] = np.nan


def _unit_length(x: np.ndarray) -> np.ndarray:
    """Rows centred over their finite entries and scaled to length 1; what is not finite becomes 0."""
    finite = np.isfinite(x)
    mean = np.where(finite, x, 0).sum(axis=1, keepdims=True) / np.maximum(
        finite.sum(axis=1, keepdims=True), 1
    )
    x = np.where(finite, x - mean, 0.0)
    size = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return np.divide(x, size, out=np.zeros_like(x), where=size > 0)
