"""Samples as sets of tokens: the finite rows of some samples of a tap, sample by sample, with the places they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotEnoughData, NotFound, TooLarge
from analysis.spec import Progress, no_progress

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class TokenSets:
    """`values` (rows, d) float64 of the `samples` (n,), rising: rows offsets[i]:offsets[i + 1] are the i-th one's, each
    token number `tokens` (rows,) of it. `grid`, `leading` of the tap; `notes` on what was left out."""

    values: np.ndarray
    offsets: np.ndarray
    samples: np.ndarray
    tokens: np.ndarray
    grid: tuple[int, int] | None
    leading: int
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def counts(self) -> np.ndarray:
        """(n,) tokens of each."""
        return np.diff(self.offsets)

    def of(self, i: int) -> np.ndarray:
        """(tokens, d) of the i-th sample."""
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    def tokens_of(self, i: int) -> np.ndarray:
        """(tokens,) their numbers in the sample."""
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def place(self, sample: int) -> int:
        """Which of the samples it is. Raises NotFound."""
        at = np.flatnonzero(self.samples == sample)
        if not len(at):
            raise NotFound(f"sample {sample}", f"one of the {self.n:,} samples with finite rows")
        return int(at[0])

    def means(self) -> np.ndarray:
        """(n, d) mean over the tokens of each."""
        return np.add.reduceat(self.values, self.offsets[:-1], axis=0) / self.counts[:, None]

    def token(self, number: int) -> np.ndarray:
        """(n, d) token `number` of each, from the end where it is negative. Raises NotFound."""
        if not -int(self.counts.min()) <= number < int(self.counts.min()):
            raise NotFound(
                f"token {number} of samples of {int(self.counts.min())} token(s)",
                f"0 … {int(self.counts.min()) - 1}",
            )
        return self.values[(self.offsets[:-1] if number >= 0 else self.offsets[1:]) + number]


def token_sets(
    tap: Activations, rng: np.random.Generator, *, maximum: int, minimum: int, wanted: Sequence[int] = (),
    progress: Progress = no_progress, span: tuple[float, float] = (0.0, 0.3),
) -> TokenSets:  # fmt: skip
    """At most `maximum` samples, a random part above, the `wanted` ones among them. Memory 8 bytes a number.

    Raises NotFound (a wanted sample), NotEnoughData (below `minimum`), InputError (all rows equal), TooLarge.
    """
    total, wanted = tap.layout.n_samples, np.unique(np.asarray(wanted, np.int64))
    if len(wanted) and not (wanted[0] >= 0 and wanted[-1] < total):
        raise NotFound(f"sample {int(wanted[-1])} of {tap.name}", f"0 … {total - 1}")
    others, notes = random_part(np.setdiff1d(np.arange(total), wanted), max(maximum - len(wanted), 0), rng)
    chosen = np.zeros(total, bool)
    chosen[others], chosen[wanted] = True, True
    size = 8 * int(np.diff(tap.layout.offsets)[chosen].sum()) * tap.shape[1]
    if size > MOST_BYTES:
        raise TooLarge(
            f"{size / 2**30:.1f} GiB of tokens of {tap.name}", "at most 4 GiB", "Choose fewer samples"
        )
    seen, values, rows = Pass(), [], []
    for at, block in finite_blocks(tap, seen, progress, "reading", span, as_stored=True):
        mine = chosen[tap.layout.sample_of(at)]
        if mine.any():
            values.append(np.asarray(block[mine], np.float64))
            rows.append(at[mine])
    samples, counts = np.unique(
        tap.layout.sample_of(np.concatenate(rows or [np.zeros(0, np.int64)])), return_counts=True
    )
    if len(samples) < minimum:
        raise NotEnoughData(
            f"{tap.name} has {len(samples)} sample(s) with finite rows",
            f"at least {minimum}",
            "Record more samples",
        )
    x = np.concatenate(values)
    if (x == x[0]).all():
        raise InputError(f"all rows of {tap.name} are equal", "rows that differ", "Choose another tap")
    found = TokenSets(
        x, np.concatenate([[0], np.cumsum(counts)]), samples, tap.layout.token_of(np.concatenate(rows)),
        tap.layout.grid, tap.layout.leading, (*seen.notes, *notes),
    )  # fmt: skip
    for sample in wanted:
        found.place(int(sample))  # its refusal
    return found
