"""Some samples of a tap, read chunk by chunk; as many samples of each of several taps, the same where ids agree.

Numbers that grow with the number of samples are compared at equal n only. A view reads the chunks of its tap and gives
the rows of the chosen samples, so that nothing is held but one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import CHUNK_ROWS, Activations, ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress

EVERY, MEAN = "every token is a row", "mean over the tokens of a sample"
TOKENS = (MEAN, EVERY)


@dataclass(frozen=True)
class SomeSamples:
    """The rows of the samples `positions` (m,), rising, of the tap `whole`, as Activations of their own."""

    whole: Activations
    positions: np.ndarray
    name: str
    digest: str
    unit_names: tuple[str, ...]
    layout: Layout
    samples: Mapping[str, np.ndarray]

    @staticmethod
    def of(tap: Activations, positions: np.ndarray) -> SomeSamples:
        counts = np.diff(tap.layout.offsets)[positions]
        layout = Layout(np.concatenate([[0], np.cumsum(counts)]), tap.layout.grid, tap.layout.leading)
        made_of = {"tap": tap.digest, "samples": kept.content_digest(positions)}
        columns = {name: np.asarray(column)[positions] for name, column in tap.samples.items()}
        key = kept.key_of("some samples", made_of)
        return SomeSamples(tap, positions, tap.name, key, tap.unit_names, layout, columns)

    @property
    def shape(self) -> tuple[int, int]:
        return self.layout.n_rows, self.whole.shape[1]

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        chosen = np.zeros(self.whole.layout.n_samples, bool)
        chosen[self.positions] = True
        given = 0
        for start, block in self.whole.chunks(rows):
            stay = chosen[self.whole.layout.sample_of(np.arange(start, start + len(block)))]
            if stay.any():
                yield given, block if stay.all() else block[stay]
                given += int(stay.sum())

    def unit(self, j: int) -> np.ndarray:
        return self.whole.unit(j)[self._rows(np.arange(self.shape[0]))]

    def take(self, rows) -> np.ndarray:
        return self.whole.take(self._rows(np.asarray(rows)))

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows of the whole tap."""
        of = self.layout.sample_of(rows)
        return self.whole.layout.offsets[self.positions[of]] + rows - self.layout.offsets[of]


def some_samples(
    tap: Activations,
    positions: np.ndarray | None,
    tokens: str = EVERY,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
) -> tuple[Activations, tuple[str, ...]]:
    """Activations of the samples `positions` (m,), put in rising order (None: all), and notes.

    `tokens`: EVERY keeps the rows; MEAN gives one row for each sample that has a finite one, which takes 8 bytes per
    sample and unit where there are tokens. O(rows d).

    Raises
    ------
    NotEnoughData, TooLarge
        No sample has a finite row; pooled samples above 4 GiB.
    """
    whole = positions is None or len(positions) == tap.layout.n_samples
    at = np.arange(tap.layout.n_samples) if whole else np.sort(positions)
    if tokens == EVERY or tap.layout.is_pooled:
        return (tap if whole else SomeSamples.of(tap, at)), ()
    values, good, notes = pooled_samples(tap, "mean", at, progress, span)
    if not good.any():
        raise NotEnoughData(f"{tap.name} has no finite row", "finite activations", "Choose another tap")
    made_of = {"tap": tap.digest, "samples": kept.content_digest(at), "pooling": "mean"}
    columns = {name: np.asarray(column)[at[good]] for name, column in tap.samples.items()}
    key = kept.key_of("pooled samples", made_of)
    return ArrayActivations(values, tap.name, columns, None, tap.unit_names, key), tuple(notes)


@dataclass(frozen=True)
class EqualSamples:
    """`positions`, an array (n,) for each tap, in one order where the samples are the `same`; `notes`."""

    positions: tuple[np.ndarray, ...]
    same: bool
    notes: tuple[str, ...]


def equal_samples(
    taps: Sequence[Activations], maximum: int, minimum: int, rng: np.random.Generator
) -> EqualSamples:
    """As many samples of each tap: those that all have by id; where these are fewer than `minimum`, ids repeat, or row
    numbers match samples with other labels, a random n of each tap's own, n being the smallest tap's number. At most
    `maximum`, a random subset above.

    Raises NotEnoughData where the smallest tap has fewer than `minimum` samples.
    """
    ids = [np.asarray(tap.samples["id"]).astype(str) for tap in taps]
    smallest = min(len(i) for i in ids)
    if smallest < minimum:
        least = taps[int(np.argmin([len(i) for i in ids]))]
        raise NotEnoughData(
            f"{least.name} has {smallest} sample(s)", f"at least {minimum}", "Record more samples"
        )
    found, notes = _shared(ids, minimum), []
    if found is not None and len(taps) > 1:
        try:
            notes = row_number_notes(taps, np.array(found))
        except InputError:
            found = None
    same = found is not None
    if found is None:
        every = [np.arange(len(i)) for i in ids]
        found = [at if len(at) == smallest else rng.choice(at, smallest, replace=False) for at in every]
        notes = [
            f"The taps do not share their samples by id: each has {smallest:,} of its own, so that the networks and "
            "the data differ at once."
        ]
    n = len(found[0])
    if n > maximum:
        chosen = rng.choice(n, maximum, replace=False)
        found = [at[chosen] for at in found]
        notes.append(f"A random {maximum:,} of {n:,} samples used.")
    elif len({len(i) for i in ids}) > 1:
        notes.append(f"{n:,} samples of each tap used, so that n is equal.")
    return EqualSamples(tuple(found), same, tuple(notes))


def _shared(ids: list[np.ndarray], minimum: int) -> list[np.ndarray] | None:
    """Positions of the samples that all have, in the first one's order; None where there are too few."""
    if all(np.array_equal(ids[0], other) for other in ids[1:]):
        return [np.arange(len(ids[0]))] * len(ids)
    if any(len(np.unique(i)) < len(i) for i in ids):
        return None
    common = ids[0]
    for other in ids[1:]:
        common = common[np.isin(common, other)]
    if len(common) < minimum:
        return None
    order = [np.argsort(i) for i in ids]
    return [o[np.searchsorted(i, common, sorter=o)] for i, o in zip(ids, order, strict=True)]
