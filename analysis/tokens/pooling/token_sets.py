"""The tokens of samples as one array: what every pooling starts from.

A tap of one row a sample has no tokens. Then rows stand for them: four of one label at random, as if they were views of
one thing, or 16 neighbours where no label is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.arrays import chosen_samples, finite_rows
from analysis.compute.rows.samples import known_labels
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import TooLarge
from analysis.spec import Progress, no_progress

RUN, VIEWS, MOST_BYTES = 16, 4, 2 << 30


@dataclass(frozen=True)
class TokenSets:
    """`x` (n, T, d) float64, 0 where not `present` (n, T); `first` (n, d) the class token or None; `samples` (n,) in
    the tap (or numbers of sets, where `gathered`); `labels` (n,) or None; `grid` of the T tokens or None; `leading`
    how many tokens were left out before them."""

    x: np.ndarray
    present: np.ndarray
    first: np.ndarray | None
    samples: np.ndarray
    labels: np.ndarray | None
    grid: tuple[int, int] | None
    leading: int
    gathered: bool
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.x)

    def only(self, stay: np.ndarray) -> TokenSets:
        """Those samples alone, `stay` (n,) bool."""
        first, labels = (None if v is None else v[stay] for v in (self.first, self.labels))
        return replace(
            self,
            x=self.x[stay],
            present=self.present[stay],
            first=first,
            samples=self.samples[stay],
            labels=labels,
        )

    @property
    def mean(self) -> np.ndarray:
        """(n, d) of the tokens that are present."""
        return self.x.sum(axis=1) / self.present.sum(axis=1)[:, None]


def token_sets(
    tap: Activations,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    column: str | None = None,
    minimum: int = 2,
    span: tuple[float, float] = (0.0, 0.3),
    only: np.ndarray | None = None,
) -> TokenSets:
    """Of at most `maximum` samples, or of `only` these. Tokens with NaN or infinity are left out, and samples that
    keep fewer than two.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than `minimum` samples of two tokens; more than 2 GiB.
    """
    labels = None if column is None else sample_column(tap, column)
    members, leading = _members(tap, labels, rng)
    total = len(members)
    chosen = chosen_samples(len(members), maximum, rng) if only is None else only
    members = [members[i] for i in chosen]
    refuse_few(tap.name, len(members), minimum, "sample(s) of two tokens or more")
    longest, d = max(max(map(len, members)) - leading, 1), tap.shape[1]
    if 8.0 * len(members) * longest * d > MOST_BYTES:
        raise TooLarge(
            f"{len(members):,} samples of {longest} tokens take "
            f"{8.0 * len(members) * longest * d / 2**30:.1f} GiB",
            "at most 2 GiB", "Choose fewer samples",
        )  # fmt: skip
    x, present, first, seen = _read(tap, members, leading, (longest, d), progress, span)
    good = (present.sum(axis=1) > 1) & np.isfinite(first).all(axis=1)
    refuse_few(tap.name, int(good.sum()), minimum, "sample(s) of two tokens or more")
    kept = chosen[good]
    if labels is not None:
        labels = labels[[rows[0] for rows, g in zip(members, good, strict=True) if g]] if tap.layout.is_pooled \
            else labels[kept]  # fmt: skip
    grid = tap.layout.grid
    fits = grid is not None and not tap.layout.is_pooled and grid[0] * grid[1] == longest
    whole = good.all()
    return TokenSets(
        x if whole else x[good], present if whole else present[good], first[good] if leading else None, kept, labels,
        tuple(grid) if fits else None, leading, tap.layout.is_pooled, _notes(tap, seen, good, column, total),
    )  # fmt: skip


def _members(tap: Activations, labels, rng) -> tuple[list[np.ndarray], int]:
    """Rows of each set, and how many of the first are no tokens."""
    layout = tap.layout
    if not layout.is_pooled:
        return [
            np.arange(a, b) for a, b in zip(layout.offsets[:-1], layout.offsets[1:], strict=True)
        ], layout.leading
    n = layout.n_rows
    if labels is None:
        return [np.arange(i, i + RUN) for i in range(0, n - RUN + 1, RUN)], 0
    known, found = known_labels(labels), []
    for value in np.unique(labels[known]):
        rows = rng.permutation(np.flatnonzero(known & (labels == value)))
        found += [rows[i : i + VIEWS] for i in range(0, len(rows) - VIEWS + 1, VIEWS)]
    return found, 0


def _read(tap, members, leading: int, shape, progress, span):
    longest, d = shape
    x, present = np.zeros((len(members), longest, d)), np.zeros((len(members), longest), bool)
    first, seen = np.zeros((len(members), d)), Pass()
    for k, rows in enumerate(members):
        if k % 64 == 0:
            progress(span[0] + (span[1] - span[0]) * k / len(members), "reading")
        block = np.asarray(tap.take(rows), np.float64)
        good = finite_rows(block)
        seen.n_rows += len(block)
        seen.n_nonfinite += int(len(block) - good.sum())
        seen.n_samples += 1
        at = np.flatnonzero(good[leading:])
        x[k, at], present[k, at] = block[leading:][at], True
        if leading and len(block):
            first[k] = block[0]
    return x, present, first, seen


def _notes(tap, seen: Pass, good: np.ndarray, column, total: int) -> tuple[str, ...]:
    said = list(seen.notes)
    if len(good) < total:
        said.append(f"{len(good):,} of {total:,} samples were read, at random.")
    if tap.layout.is_pooled:
        what = f"{RUN} neighbours" if column is None else f"{VIEWS} rows of one label at random"
        said.append(f"{tap.name} holds one row of each sample: {what} are read as the tokens of one sample.")
    if not good.all():
        said.append(f"{int((~good).sum())} sample(s) without two finite tokens were left out.")
    return tuple(said)
