"""Frames of clips, or views of objects, in a tap: which rows they are.

    a column names the clip      samples with one value of it are its frames, in the order of the column of frames
    a sample is a clip           its tokens are so many frames of as many patches each, frame by frame
    tokens without a grid        every token of a sample is one frame of one patch
    neither                      16 samples in a row stand for a clip, which is said

Tokens before the grid are left out; so are tokens with NaN or infinity, and frames of which nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.arrays import finite_rows
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotEnoughData, NotFound, ParameterError, TooLarge

RUN, FEWEST, MOST_BYTES = 16, 2, 2 << 30
CLIP_COLUMNS, FRAME_COLUMNS = ("clip", "video", "object"), ("frame", "view", "time")
CLIP_HELP = (
    "Samples with one value are the frames of one clip; automatic: 'clip', 'video' or 'object', if there."
)
FRAME_HELP = "Orders the frames of a clip; automatic: 'frame', 'view' or 'time', if there, else as stored."
FRAMES_HELP = (
    "Of samples that are clips: frames of a sample; automatic: each token is one, of grids each sample."
)


@dataclass(frozen=True)
class Clip:
    """`x` (F, P, d) float64, 0 where not `present` (F, P); `frames` (F,) their numbers; `samples` (F,) of the store
    that they are of; `grid` of the P patches or None."""

    name: str
    x: np.ndarray
    present: np.ndarray
    frames: np.ndarray
    samples: np.ndarray
    grid: tuple[int, int] | None
    at: np.ndarray | None = None  # (F,) places in the clip as stored, frames that were left out counted

    def ages(self, at: int, held: np.ndarray) -> np.ndarray:
        """(M,) frames from each of the frames `held` to frame `at`; one that was left out is a frame, too."""
        return at - held if self.at is None else self.at[at] - self.at[held]

    @property
    def n(self) -> int:
        return len(self.x)

    @property
    def patches(self) -> int:
        return self.x.shape[1]

    @property
    def means(self) -> np.ndarray:
        """(F, d) over the patches of each frame."""
        return self.x.sum(axis=1) / self.present.sum(axis=1)[:, None]

    def frame_name(self, f: int) -> str:
        return f"frame {self.frames[f]:g}"


def clip_column(tap: Activations, clip: str | None, frames: int | None) -> str | None:
    """The column that says which samples are the frames of one clip; None where samples are clips themselves."""
    return clip or next((c for c in CLIP_COLUMNS if c in tap.samples and frames is None), None)


class Clips:
    """All clips of a tap; rows are read when a clip is.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such column; tokens that make no such number of frames; no clip of two frames.
    """

    def __init__(
        self, tap: Activations, clip: str | None, frame: str | None, frames: int | None,
        samples_are_frames: bool = False,
    ) -> None:  # fmt: skip
        self.tap, self.frames, self.seen, self._said = tap, frames, Pass(), []
        layout = tap.layout
        column = clip_column(tap, clip, frames)
        self.order = frame or next((c for c in FRAME_COLUMNS if c in tap.samples), None)
        self.whole = self.runs = False  # a sample is a clip; samples in a row are
        if column is not None:
            self.names, self.members = self._by_column(column)
        elif not (samples_are_frames or layout.is_pooled) and (frames is not None or layout.grid is None):
            self.whole, count = True, np.diff(layout.offsets)
            self.members = [np.array([i]) for i in np.flatnonzero(count > 0)]
            self.names = [f"sample {int(m[0])}" for m in self.members]
        else:
            n, self.runs = layout.n_samples, True
            if n < RUN:
                raise NotEnoughData(
                    f"{n} sample(s) of {tap.name}, of which nothing names clips",
                    f"at least {RUN} in a row, which stand for the frames of one",
                    "Say how many frames a sample has if each is a clip, or name a column of clips",
                )
            self.members = [np.arange(i, i + RUN) for i in range(0, n - RUN + 1, RUN)]
            self.names = [f"samples {m[0]} to {m[-1]}" for m in self.members]
            self._said.append(
                f"{tap.name} has no column that names clips: {RUN} samples in a row are read as the frames of one."
            )
        refuse_few(tap.name, len(self.members), 1, "clip(s)")

    @property
    def n(self) -> int:
        return len(self.members)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.seen.notes, *self._said)))

    def at(self, sample: int) -> tuple[int, int | None]:
        """(clip, place of the sample among its frames), None where the sample is the clip. Raises NotFound."""
        for k, m in enumerate(self.members):
            found = np.flatnonzero(m == sample)
            if len(found):
                return k, None if self.whole else int(found[0])
        if sample >= self.tap.layout.n_samples:
            raise NotFound(f"sample {sample} of {self.tap.name}", f"0 to {self.tap.layout.n_samples - 1:,}")
        if self.runs:
            return self.n - 1, None  # the last few that make no whole run
        raise NotFound(
            f"sample {sample} of {self.tap.name} belongs to no clip", "a frame of a clip of two or more"
        )

    def read(self, k: int) -> Clip | None:
        """The k-th clip; None where fewer than two frames have a finite token. Raises TooLarge."""
        tap, layout, samples = self.tap, self.tap.layout, self.members[k]
        lead = 0 if layout.is_pooled else layout.leading
        rows = [
            np.arange(min(layout.offsets[i] + lead, layout.offsets[i + 1]), layout.offsets[i + 1])
            for i in samples
        ]
        if self.whole:
            rows = self._cut(rows[0], int(samples[0]))
            samples = np.full(len(rows), samples[0])
        longest, d = max(max(map(len, rows)), 1), tap.shape[1]
        if 8.0 * len(rows) * longest * d > MOST_BYTES:
            raise TooLarge(
                f"{self.names[k]} takes {8.0 * len(rows) * longest * d / 2**30:.1f} GiB", "at most 2 GiB"
            )
        x, present = np.zeros((len(rows), longest, d)), np.zeros((len(rows), longest), bool)
        lengths = np.array([len(r) for r in rows])
        block = np.asarray(tap.take(np.concatenate(rows)), np.float64)
        good, there = finite_rows(block), np.arange(longest) < lengths[:, None]
        self._count(block, good)
        x[there], present[there] = np.where(good[:, None], block, 0.0), good
        kept = present.any(axis=1)
        if kept.sum() < FEWEST:
            return None
        numbers = self._numbers(self.members[k], len(rows))
        return Clip(
            self.names[k],
            x[kept],
            present[kept],
            numbers[kept],
            samples[kept],
            self._grid(longest, len(rows)),
            np.flatnonzero(kept),
        )

    def read_all(self, maximum: int, rng: np.random.Generator) -> list[Clip]:
        """At most `maximum` clips, at random. Raises NotEnoughData without one of two frames."""
        chosen = np.sort(rng.permutation(self.n)[:maximum])
        if len(chosen) < self.n:
            self._said.append(f"A random {len(chosen)} of {self.n:,} clips were read.")
        found = [c for c in (self.read(int(k)) for k in chosen) if c is not None]
        refuse_few(self.tap.name, len(found), 1, f"clip(s) of {FEWEST} frames with finite tokens")
        return found

    def read_one(self, sample: int) -> tuple[Clip, int | None]:
        """The clip that a sample of the store is or belongs to, and which of its frames. Raises NotFound,
        NotEnoughData."""
        k, at = self.at(sample)
        clip = self.read(k)
        refuse_few(self.names[k], 0 if clip is None else clip.n, FEWEST, "frame(s) with a finite token")
        found = np.flatnonzero(clip.samples == sample)
        return clip, None if at is None or not len(found) else int(found[0])

    def _by_column(self, column: str):
        values = sample_column(self.tap, column)
        known = values.astype(str) != ""
        names = np.unique(values[known].astype(str))
        members = [np.flatnonzero(known & (values.astype(str) == v)) for v in names]
        if self.order is not None:
            order = sample_column(self.tap, self.order)
            if order.dtype.kind not in "biuf":
                self._said.append(f"'{self.order}' holds no numbers: frames are taken as stored.")
                self.order = None
            else:
                members = [m[np.argsort(order[m], kind="stable")] for m in members]
        both = [
            (v if v.startswith(column) else f"{column} {v}", m)
            for v, m in zip(names, members, strict=True)
            if len(m) >= FEWEST
        ]
        refuse_few(self.tap.name, len(both), 1, f"value(s) of '{column}' with {FEWEST} samples or more")
        return [b[0] for b in both], [b[1] for b in both]

    def _numbers(self, samples: np.ndarray, count: int) -> np.ndarray:
        if self.whole or self.order is None:
            return np.arange(count, dtype=np.float64)
        order = np.asarray(self.tap.samples[self.order])
        return order[samples].astype(np.float64) if order.dtype.kind in "biuf" else np.arange(count) * 1.0

    def _cut(self, rows: np.ndarray, sample: int) -> list[np.ndarray]:
        frames = len(rows) if self.frames is None else self.frames
        if not len(rows) or len(rows) % frames:
            raise ParameterError(
                f"{frames} frames of the {len(rows)} tokens of sample {sample}", "a number that divides the tokens",
                "Set how many frames a sample has",
            )  # fmt: skip
        return list(rows.reshape(frames, -1))

    def _grid(self, patches: int, frames: int) -> tuple[int, int] | None:
        grid = self.tap.layout.grid
        if grid is not None and not self.tap.layout.is_pooled:
            high, wide = grid
            if not self.whole and high * wide == patches:
                return int(high), int(wide)
            if self.whole and high % frames == 0 and high // frames * wide == patches:
                return int(high) // frames, int(wide)
        side = isqrt(patches)
        return (side, side) if side * side == patches and patches > 1 else None

    def _count(self, block, good) -> None:
        self.seen.n_rows += len(block)
        self.seen.n_nonfinite += int(len(block) - good.sum())
