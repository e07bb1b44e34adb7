"""Samples for a training that runs the network: which are held out, and batches of samples in shuffled order.

A batch is as many whole samples as have the asked number of rows on average, at least one. Order follows from seed and
epoch alone, so that a training resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.activations import Activations
from analysis.errors import NotEnoughData
from analysis.features.row_stream import START, Place, RowStream
from analysis.spec import Progress, no_progress

HELD_SAMPLES = 256  # judged by at most: each costs two runs of the network


class SampleStream(RowStream):
    """As RowStream, with `batches` of sample numbers (int64); `held` has the rows of `held_at`, the held-out samples
    that are judged by."""

    def __init__(
        self, activations: Activations, held_out: float, seed: int, progress: Progress = no_progress
    ) -> None:
        super().__init__(activations, held_out, seed, progress)
        offsets = activations.layout.offsets
        full = np.flatnonzero(np.diff(offsets) > 0)
        held = self._held_rows[offsets[full]]
        some = np.random.default_rng([seed, 5]).permutation(full[held])[:HELD_SAMPLES]
        self.held_at, self.trained_on = np.sort(some), full[~held]
        if not len(self.trained_on) or not len(self.held_at):
            raise NotEnoughData(f"{activations.name} has {len(full)} samples with rows", "at least 2")
        rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in self.held_at])
        self.held = np.asarray(activations.take(rows), np.float32)
        self.held_samples = len(self.held_at)
        self.rows_each = float(np.diff(offsets)[full].mean())

    def _many(self, size: int) -> int:
        return max(1, round(size / self.rows_each))

    def held_parts(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self.held_at), self._many(size)):
            yield self.held_at[start : start + self._many(size)]

    def batches(self, size: int, place: Place = START) -> Iterator[tuple[Place, np.ndarray]]:
        epoch, skip, many = place.epoch, place.batch, min(self._many(size), len(self.trained_on))
        while True:
            order = np.random.default_rng([self.seed, 2, epoch]).permutation(self.trained_on)
            for batch in range(skip, len(order) // many):
                yield Place(epoch, 0, batch + 1), order[batch * many : (batch + 1) * many]
            epoch, skip = epoch + 1, 0
