"""Rows of several taps side by side: one for each sample that they share, or every token of these samples.

Tokens of one sample depend on each other. So what repeats (intervals, samples drawn again) takes whole samples, and n
is their number, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout
from analysis.arrays import finite_rows
from analysis.compute.rows.common_samples import MOST_BYTES, common_samples, shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.rows.some_samples import EVERY, MEAN
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress

LARGEST = "largest over the tokens of a sample"
TOKENS_OF_ALL = (MEAN, LARGEST, EVERY)
TOKENS_HELP = "What a row is, where the taps have tokens: for 'every token' all must have the same ones."
MOST_HELP = "Most samples, or rows where every token is one; a seeded random subset above."
FEWEST_SAMPLES = 8  # whose tokens are rows


@dataclass(frozen=True)
class CommonRows:
    """`values`, one (n, d_i) float64 array per tap; the `sample` (n,) of each row, rising from 0, and its `place` (n,)
    among the tokens of it; `ids` (S,) of the samples; `notes` on what was left out."""

    values: tuple[np.ndarray, ...]
    sample: np.ndarray
    place: np.ndarray
    ids: np.ndarray
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        return len(self.ids)

    @property
    def has_tokens(self) -> bool:
        """Whether a sample has several rows."""
        return len(self.sample) > len(self.ids)

    def tap(self, k: int, name: str) -> ArrayActivations:
        """One of the taps as Activations that know which rows belong together."""
        layout = Layout(np.searchsorted(self.sample, np.arange(self.n_samples + 1)).astype(np.int64))
        return ArrayActivations(self.values[k], name=name, layout=layout, digest="held")

    def groups(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Row numbers of each group of samples to be left out."""
        return [np.flatnonzero(np.isin(self.sample, g)) for g in sample_groups(self.n_samples, rng)]

    def per_sample(self, of_rows: np.ndarray) -> np.ndarray:
        """(S,) mean over the rows of each sample."""
        return np.bincount(self.sample, of_rows) / np.bincount(self.sample)

    def only(self, rows: np.ndarray) -> CommonRows:
        """With those of the `rows` (n,) boolean."""
        kept, sample = np.unique(self.sample[rows], return_inverse=True)
        values = tuple(x[rows] for x in self.values)
        return replace(
            self, values=values, sample=sample.reshape(-1), place=self.place[rows], ids=self.ids[kept]
        )


def common_rows(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    tokens: str,
    maximum: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> CommonRows:
    """`common_samples`, or with `tokens` EVERY all their tokens. At most `maximum` rows, a
    seeded random subset above. O(n Σ d).

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_samples`, which names EVERY where that would help; different tokens in some sample; fewer than eight
        samples whose tokens are rows.
    """
    if tokens == EVERY and not all(t.layout.is_pooled for t in taps):
        return _tokens(taps, rng, maximum, progress, span)
    with naming_tokens(taps, tokens):
        found = common_samples(
            taps, rng, maximum=maximum, minimum=minimum, pooling="max" if tokens == LARGEST else "mean",
            progress=progress, span=span,
        )  # fmt: skip
    n = len(found.ids)
    return CommonRows(found.values, np.arange(n), np.zeros(n, np.int64), found.ids, found.notes)


def rows_of_one(
    tap: Activations,
    rng: np.random.Generator,
    *,
    tokens: str,
    maximum: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.2),
) -> CommonRows:
    """The same of one tap. Raises NotEnoughData and TooLarge as above."""
    if tokens == EVERY and not tap.layout.is_pooled:
        return _tokens([tap], rng, maximum, progress, span)
    chosen, notes = random_part(tap.layout.n_samples, maximum, rng)
    x, good, said = pooled_samples(tap, "max" if tokens == LARGEST else "mean", chosen, progress, span)
    with naming_tokens([tap], tokens):
        refuse_few(tap.name, len(x), minimum, "finite sample(s)")
    ids = np.asarray(tap.samples["id"]).astype(str)[chosen[good]]
    return CommonRows((x,), np.arange(len(x)), np.zeros(len(x), np.int64), ids, (*notes, *said))


@contextmanager
def naming_tokens(taps: Sequence[Activations], tokens: str) -> Iterator[None]:
    """A refusal for want of samples also names the choice of every token as a row, where taps have the same ones."""
    try:
        yield
    except NotEnoughData as refusal:
        same = len({t.shape for t in taps}) == 1 and not any(t.layout.is_pooled for t in taps)
        if tokens == EVERY or not same:
            raise
        remedy = f"{refusal.remedy.rstrip('.')}, or set 'tokens' to '{EVERY}'"
        raise NotEnoughData(refusal.found, refusal.expected, remedy) from None


def _tokens(taps, rng, maximum: int, progress: Progress, span) -> CommonRows:
    at, said = shared_positions(taps, FEWEST_SAMPLES)
    lengths = _lengths(taps, at)
    sample = np.repeat(np.arange(at.shape[1]), lengths)
    place = np.arange(len(sample)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    chosen, more = random_part(len(sample), maximum, rng, "tokens")
    sample, place, said = sample[chosen], place[chosen], [*said, *more]
    size = 8 * len(sample) * sum(t.shape[1] for t in taps)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(taps)} taps need {size / 2**30:.1f} GiB", "at most 4 GiB", "Lower 'maximum samples'"
        )
    values = []
    for i, (tap, positions) in enumerate(zip(taps, at, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / len(taps), f"reading {tap.name}")
        rows = tap.layout.offsets[positions][sample] + place
        values.append(np.asarray(tap.take(rows), dtype=np.float64))
    ids = np.asarray(taps[0].samples["id"]).astype(str)[at[0]]
    found = CommonRows(tuple(values), sample, place, ids, tuple(said))
    return _usable(found, taps)


def _lengths(taps, at: np.ndarray) -> np.ndarray:
    """Tokens (S,) of each sample. Raises InputError where they are not the same in all taps."""
    every = [t.layout.offsets[p + 1] - t.layout.offsets[p] for t, p in zip(taps, at, strict=True)]
    odd = next((k for k, lengths in enumerate(every) if not np.array_equal(lengths, every[0])), None)
    if odd is not None:
        raise InputError(
            f"{taps[0].name} ({taps[0].shape[0]:,} rows) and {taps[odd].name} ({taps[odd].shape[0]:,}) have different "
            "tokens in some sample",
            "the same tokens of the same samples, to take every token as a row",
            f"Set 'tokens' to '{MEAN}', or choose taps of one recording",
        )  # fmt: skip
    return every[0]


def _usable(found: CommonRows, taps) -> CommonRows:
    """Without rows that are not finite in some tap; with what is to be said of tokens."""
    good, said = np.logical_and.reduce([finite_rows(x) for x in found.values]), list(found.notes)
    if not good.all():
        said.append(f"{int((~good).sum())} token(s) with NaN or infinity in some tap left out.")
    found = found.only(good)
    if found.n_samples < FEWEST_SAMPLES:
        raise NotEnoughData(
            f"the tokens come from {found.n_samples} sample(s)", f"at least {FEWEST_SAMPLES} samples",
            "Record more samples",
        )  # fmt: skip
    for tap, x in zip(taps, found.values, strict=True):
        if (x == x[0]).all():
            raise InputError(f"all rows of {tap.name} are equal", "rows that differ", "Choose another tap")
    said.append(
        f"Every token is a row, {len(found.sample):,} in all. Tokens of one sample depend on each other: n is the "
        f"{found.n_samples:,} samples, and intervals and tests leave out or draw whole samples."
    )
    return replace(found, notes=tuple(said))
