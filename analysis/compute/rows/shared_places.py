"""Several taps at the same places (tokens) of the same samples: rows side by side, samples matched by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.rows.grid_resampling import bilinear
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class SharedPlaces:
    """`values`, one (R, d_i) float64 array per tap; the `sample` (R,), rising, and the `token` (R,) of each row;
    `positions` (S,) of the samples in the first tap; its `grid` and `leading`; `notes` on what was left out."""

    values: tuple[np.ndarray, ...]
    sample: np.ndarray
    token: np.ndarray
    positions: np.ndarray
    grid: tuple[int, int] | None
    leading: int
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        return len(self.positions)

    def by_place(self, values: np.ndarray) -> np.ndarray:
        """`values` (R,) as (S, tokens), NaN where a sample has no such token."""
        out = np.full((self.n_samples, int(self.token.max()) + 1), np.nan)
        out[self.sample, self.token] = values
        return out

    def per_sample(self, values: np.ndarray) -> np.ndarray:
        """(S,) mean of `values` (R,) over the rows of each sample."""
        return np.bincount(self.sample, values) / np.bincount(self.sample)

    def exchanged(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`x` (R, d) with the samples exchanged and every token kept at its place; rolled by whole samples where these
        have different numbers of tokens."""
        lengths = np.bincount(self.sample)
        if (lengths == lengths[0]).all():
            order = rng.permutation(self.n_samples)
            return x.reshape(self.n_samples, lengths[0], -1)[order].reshape(x.shape)
        return np.roll(x, int(np.cumsum(lengths)[rng.integers(self.n_samples - 1)]), axis=0)


def shared_places(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int,
    progress: Progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> SharedPlaces:
    """At most `maximum` samples (a seeded random subset), in the order of the first tap. Image grids of another size
    are carried to the first tap's by bilinear interpolation, leading tokens left out; samples with a value that is not
    finite in some tap are left out. O(R Σ d).

    Raises
    ------
    InputError
        An id twice; different numbers of tokens without grids.
    NotEnoughData, TooLarge
        Fewer than `minimum` samples; over 4 GiB.
    """
    at, said = _common(taps, minimum)
    chosen, more = random_part(at.shape[1], maximum, rng)
    at, said = at[:, chosen], [*said, *more]
    resampled, first = _resampled(taps, at), taps[0].layout
    if resampled:
        said.append("Image grids of different size: others are carried to the first tap's by interpolation.")
        said += ["Leading tokens left out."] * any(t.layout.leading for t in taps)
    lengths = first.offsets[at[0] + 1] - first.offsets[at[0]]
    size = 8 * int(lengths.sum()) * sum(t.shape[1] for t in taps)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(taps)} taps need {size / 2**30:.1f} GiB", "at most 4 GiB", "Lower 'maximum samples'"
        )
    values = []
    for i, (tap, positions) in enumerate(zip(taps, at, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / len(taps), f"reading {tap.name}")
        values.append(_rows(tap, positions, first if resampled else None))
    if resampled:
        lengths = np.full(len(lengths), first.grid[0] * first.grid[1])
    return _finite(taps[0], values, at[0], lengths, 0 if resampled else first.leading, minimum, said)


def _common(taps, minimum: int) -> tuple[np.ndarray, list[str]]:
    """Positions (taps, S) of the common samples in the order of the first tap; notes."""
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    if all(np.array_equal(ids[0], other) for other in ids[1:]):
        return np.tile(np.arange(len(ids[0])), (len(taps), 1)), row_number_notes(taps)
    if any(len(np.unique(i)) < len(i) for i in ids):
        raise InputError("two samples have the same id", "an id of its own for each sample")
    kept = np.logical_and.reduce([np.isin(ids[0], other) for other in ids[1:]])
    if kept.sum() < minimum:
        raise NotEnoughData(
            f"{int(kept.sum())} sample(s) with the same id in all taps", f"at least {minimum}",
            "Record all on the same data",
        )  # fmt: skip
    places = [np.argsort(i)[np.searchsorted(np.sort(i), ids[0][kept])] for i in ids]
    notes = row_number_notes(taps, np.array(places))
    return np.array(places), [f"{int(kept.sum()):,} samples matched by id.", *notes]


def _resampled(taps, at: np.ndarray) -> bool:
    """Whether grids must be brought together; raises InputError where tokens differ and there are none."""
    lengths = [t.layout.offsets[p + 1] - t.layout.offsets[p] for t, p in zip(taps, at, strict=True)]
    layouts = [t.layout for t in taps]
    if all(np.array_equal(lengths[0], other) for other in lengths[1:]):
        grids = {(o.grid, o.leading) for o in layouts if o.grid is not None}
        if len(grids) < 2:
            return False
    if all(
        o.grid is not None and (n == o.leading + o.grid[0] * o.grid[1]).all()
        for o, n in zip(layouts, lengths, strict=True)
    ):
        return True
    raise InputError(
        " and ".join(f"{t.name} ({n[0] if len(n) else 0} tokens)" for t, n in zip(taps, lengths, strict=True))
        + " have different places in some sample",
        "the same tokens of the same samples, or image grids in all", "Record all on the same inputs",
    )  # fmt: skip


def _rows(tap: Activations, positions: np.ndarray, to) -> np.ndarray:
    """The rows (R, d) of the samples at `positions`, on the grid of the layout `to` if there is one."""
    layout = tap.layout
    spans = zip(layout.offsets[positions], layout.offsets[positions + 1], strict=True)
    rows = np.concatenate([np.arange(a, b) for a, b in spans])
    x = np.asarray(tap.take(rows), dtype=np.float64)
    if to is None:
        return x
    maps = x.reshape(len(positions), -1, x.shape[1])[:, layout.leading :]
    if layout.grid != to.grid:
        maps = bilinear(layout.grid, to.grid) @ maps
    return maps.reshape(-1, x.shape[1])


def _finite(tap, values, positions, lengths, leading, minimum: int, said: list[str]) -> SharedPlaces:
    sample = np.repeat(np.arange(len(positions)), lengths)
    token = np.arange(len(sample)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    bad = np.logical_or.reduce([~finite_rows(x) for x in values])
    good = (np.bincount(sample, bad, len(positions)) == 0) & (lengths > 0)
    if not good.all():
        said.append(f"{int((~good).sum())} sample(s) with NaN or infinity, or without a token, left out.")
        stay = good[sample]
        values, token = [x[stay] for x in values], token[stay]
        sample = (np.cumsum(good) - 1)[sample[stay]]
    if good.sum() < minimum:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) are finite in all taps",
            f"at least {minimum}",
            "Record more samples",
        )
    return SharedPlaces(tuple(values), sample, token, positions[good], tap.layout.grid, leading, tuple(said))
