"""Rows of a tap for training: which samples are held out, what the rows look like, and batches in shuffled order.

An epoch visits blocks of neighbouring rows in random order, a few blocks at a time (a window); the rows of a window
are shuffled and dealt into batches. Window and batch follow from seed and epoch alone, so that a training resumes where
it stopped by reading one window. Memory: one window, BUFFER_BYTES, twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.statistics.moments import UnitMoments
from analysis.errors import InputError, NotEnoughData
from analysis.features.beside import Beside
from analysis.spec import Progress, no_progress

BUFFER_BYTES = 256 << 20
BLOCK_ROWS = 8192  # as many as a shard has
HELD_ROWS = 16384  # held out at most: they stay in memory
MINIMUM_ROWS = 64


@dataclass(frozen=True)
class Place:
    """How far a stream is: batches before `batch` of this window of this epoch are over."""

    epoch: int = 0
    window: int = 0
    batch: int = 0


START = Place()


class RowStream:
    """Finite rows of `activations`, centred and scaled so that a row has length 1 on average.

    Parameters
    ----------
    activations : Activations
    held_out : float
        Share of the samples (not of the rows) that training never sees; as many of them, at random, as have 16,384 rows
        are judged by.
    seed : int
    progress : called during the pass over the tap that finds mean and scale.
    beside : Beside, optional
        A second tap: its rows stand to the right of those of the first in every batch.

    Attributes
    ----------
    mean : (d,) float64 of the rows that are trained on. scale : float.
    n_rows, n_nonfinite : rows that are trained on; rows of these samples that were left out.
    held : (m, d) float32, the rows that are judged by, as they are in the tap. held_samples : how many samples they are
    of.

    Raises
    ------
    NotEnoughData
        One sample only, or fewer than 64 finite rows to train on, or none held out.
    InputError
        Rows that do not vary.
    """

    def __init__(
        self,
        activations: Activations,
        held_out: float,
        seed: int,
        progress: Progress = no_progress,
        beside: Beside | None = None,
    ) -> None:
        self.activations, self.seed, self.beside = activations, seed, beside
        if beside is not None:
            beside.refuse_other_rows(activations)
        total, d = activations.shape
        self.block_rows = int(np.clip(BUFFER_BYTES // (16 * d), 16, BLOCK_ROWS))
        self.window_blocks = max(1, BUFFER_BYTES // (4 * d * self.block_rows))
        self._starts = np.arange(0, total, self.block_rows)
        self._held_rows, _ = held_out_rows(activations, held_out, seed)
        self._judged_rows, self.held_samples = judged_rows(activations, self._held_rows, seed)
        self._look(progress)

    def _look(self, progress: Progress) -> None:
        """One pass: mean, scale, counts, and the rows that are judged by."""
        found, kept, n_held, self.n_nonfinite = None, [], 0, 0
        total = max(1, len(self._held_rows))
        for start, block in self.activations.chunks():
            progress(start / total, "mean and scale")
            own, good = self._held_rows[start : start + len(block)], finite_rows(block)
            other = self._other(start, len(block))
            good = good if other is None else good & finite_rows(other)
            self.n_nonfinite += int((~good & ~own).sum())
            judged = self._judged_rows[start : start + len(block)] & good
            if judged.any() and n_held < HELD_ROWS:
                kept.append(np.array(block[judged][: HELD_ROWS - n_held], np.float32))
                if other is not None:
                    self.beside.look(other[:0], other[judged][: HELD_ROWS - n_held])
                n_held += len(kept[-1])
            if (good & ~own).any():
                part = UnitMoments.of(block[good & ~own])
                found = part if found is None else found.merge(part)
                if other is not None:
                    self.beside.look(other[good & ~own], other[:0])
        self.n_rows = 0 if found is None else found.n
        if self.n_rows < MINIMUM_ROWS or not kept:
            raise NotEnoughData(
                f"{self.activations.name} has {self.n_rows} finite rows to train on and {n_held} held out",
                f"at least {MINIMUM_ROWS} and 1", "Record more samples",
            )  # fmt: skip
        self.held, self.mean = np.concatenate(kept), found.mean
        variance = float(found.m2.sum() / found.n)
        if not found.varies().any() or not np.isfinite(variance):
            raise InputError(f"the rows of {self.activations.name} do not vary", "rows that differ")
        self.scale = float(1 / np.sqrt(variance))
        if self.beside is not None:
            self.beside.settle()

    def _other(self, start: int, n: int) -> np.ndarray | None:
        """The same rows of the tap beside."""
        return None if self.beside is None else self.beside.activations.take(np.arange(start, start + n))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """z = s (x - mean) in float32, centred in float64."""
        return ((np.asarray(x, np.float64) - self.mean) * self.scale).astype(np.float32)

    def _joined(self, x: np.ndarray, other: np.ndarray | None) -> np.ndarray:
        return self.scaled(x) if other is None else np.hstack([self.scaled(x), self.beside.scaled(other)])

    def held_parts(self, size: int) -> Iterator[np.ndarray]:
        """The held-out rows as `batches` gives those that are trained on."""
        for start in range(0, len(self.held), size):
            part = slice(start, start + size)
            yield self._joined(self.held[part], None if self.beside is None else self.beside.held[part])

    # ------------------------------------------------------------------ batches
    def batches(self, size: int, place: Place = START) -> Iterator[tuple[Place, np.ndarray]]:
        """Yield (place after this batch, z (size, d)) for ever. A window's last rows, too few for a batch, wait for
        another epoch, in which the windows are others; a window of fewer rows than a batch is a batch."""
        epoch, first_window, skip = place.epoch, place.window, place.batch
        while True:
            windows = self._windows(epoch)
            for number in range(first_window, len(windows)):
                z = self._window(windows[number], np.random.default_rng([self.seed, 2, epoch, number]))
                n = max(1, len(z) // size) if len(z) else 0
                for batch in range(skip, n):
                    yield Place(epoch, number, batch + 1), z[batch * size : (batch + 1) * size]
                skip = 0
            epoch, first_window = epoch + 1, 0

    scaled_rows = batches  # also where the batches of the training are of something else

    def _windows(self, epoch: int) -> list[np.ndarray]:
        order = np.random.default_rng([self.seed, 3, epoch]).permutation(len(self._starts))
        return np.array_split(self._starts[order], -(-len(order) // self.window_blocks))

    def _window(self, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        parts = []
        for start in starts:
            stop = min(start + self.block_rows, len(self._held_rows))
            if self._held_rows[start:stop].all():
                continue
            block, other = self.activations.take(np.arange(start, stop)), self._other(start, stop - start)
            good = finite_rows(block) & ~self._held_rows[start:stop]
            good = good if other is None else good & finite_rows(other)
            parts.append(self._joined(block[good], None if other is None else other[good]))
        width = self.activations.shape[1] + (0 if self.beside is None else self.beside.n_units)
        z = np.concatenate(parts) if parts else np.zeros((0, width), np.float32)
        return z[rng.permutation(len(z))]


def held_out_rows(activations: Activations, share: float, seed: int) -> tuple[np.ndarray, int]:
    """(rows,) bool: rows of the samples that are held out; and how many samples these are. Whatever is fitted with this
    seed holds out the same ones. Raises NotEnoughData where there is one sample only."""
    n = activations.layout.n_samples
    if n < 2:
        raise NotEnoughData(
            f"{activations.name} has {n} sample", "at least 2: some are held out to judge by",
            "Record more samples, or cut the one into several",
        )  # fmt: skip
    order = np.random.default_rng([seed, 1]).permutation(n)
    chosen = order[: min(n - 1, max(1, round(share * n)))]
    sample = np.zeros(n, bool)
    sample[chosen] = True
    return np.repeat(sample, np.diff(activations.layout.offsets)), len(chosen)


def judged_rows(activations: Activations, held_out: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """(rows,) bool: of the rows `held_out` (rows,) bool those of as many whole samples, drawn at random, as have
    `HELD_ROWS` rows, all where there are no more; and how many samples these are."""
    offsets = np.asarray(activations.layout.offsets)
    sizes = np.diff(offsets)
    there = np.flatnonzero(sizes > 0)
    there = there[held_out[offsets[there]]]
    order = np.random.default_rng([seed, 5]).permutation(there)
    fit = max(1, int((np.cumsum(sizes[order]) <= HELD_ROWS).sum()))
    sample = np.zeros(len(sizes), bool)
    sample[order[:fit]] = True
    return np.repeat(sample, sizes), int(sample.sum())


def geometric_median(z: np.ndarray, steps: int = 100) -> np.ndarray:
    """(d,) float64: the point with the least sum of distances to rows `z` (n, d), by Weiszfeld's iteration."""
    z = np.asarray(z, np.float64)
    at = z.mean(axis=0)
    for _ in range(steps):
        weight = 1 / np.maximum(np.sqrt(((z - at) ** 2).sum(axis=1)), 1e-12)
        new = weight @ z / weight.sum()
        if np.abs(new - at).max() < 1e-9:
            break
        at = new
    return at
