"""How all units of one tap, or of two, go together: measured whole, or panel by panel where the map is too large.

Both sorts give the same things: which units, how many independent samples, a drawing order by their groups, and the
cells in that order, block by block. A block carries what its test is made of, where that is not its values.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from analysis.compute.correlation.correlations import grouped_moments
from analysis.compute.correlation.drawing_order import (
    EXACT,
    DrawingOrder,
    order_by_features,
    order_by_similarity,
)
from analysis.compute.correlation.pair_sums import PRECISE, PairSums, pair_sums
from analysis.compute.correlation.unit_sketch import profiles, unit_sketches
from analysis.compute.rows.tap_rows import TapRows, refuse_few_samples
from analysis.compute.statistics.moments import Moments
from analysis.compute.streaming import Pass, refuse_few
from analysis.spec import Progress, no_progress

GROUPS = 10  # of samples, for the jackknife
LINES = 256  # of a block
PANEL_BYTES = 1 << 30
SKETCHED = "1,024 random projections"
Block = tuple[int, int, np.ndarray, np.ndarray | None]
Orders = tuple[DrawingOrder, DrawingOrder]


@dataclass(frozen=True)
class Whole:
    """All `values` (p, q) between `units` (p,) and (q,) of the taps; `tested` (p, q), in [-1, 1], what the test is made
    of where that is not the values; `samples` count as independent, of `n` rows; `half`-width of the interval of the
    mean magnitude, and `error` of a value, where known; `moments`, of either side the units' means and sums of squares
    about them, where the null needs them."""

    values: np.ndarray
    units: tuple[np.ndarray, np.ndarray]
    samples: int
    n: int
    symmetric: bool
    tested: np.ndarray | None = None
    half: float | None = None
    error: float = 0.0
    moments: tuple | None = None

    def by_groups(self, signed: bool, _rng: np.random.Generator) -> Orders:
        """Of one tap by the values (or their magnitudes); of two by the cosine of whole rows, and of columns."""
        values = self.values if signed else np.abs(self.values)
        if self.symmetric:
            order = order_by_similarity(values / max(np.abs(values).max(), 1e-300))
            return order, order
        return order_by_similarity(_alike(values)), order_by_similarity(_alike(values.T))

    def blocks(self, orders: Orders, progress: Progress = no_progress, span=(0.0, 1.0)) -> Iterator[Block]:
        """Yield (first line, first column, values, tested); of one tap the blocks from the diagonal on."""
        rows, columns = (o.order for o in orders)
        for start in range(0, len(rows), LINES):
            progress(span[0] + (span[1] - span[0]) * start / len(rows), "drawing cells")
            first = start if self.symmetric else 0
            part = np.ix_(rows[start : start + LINES], columns[first:])
            yield start, first, self.values[part], None if self.tested is None else self.tested[part]


@dataclass
class Panels:
    """Pearson's r (or the `cosine`) of more units than fit whole: a pass over the rows for every panel of units.
    `error` is known once the blocks have been made."""

    rows: TapRows
    units: tuple[np.ndarray, np.ndarray]
    sketches: tuple
    samples: int
    n: int
    symmetric: bool
    cosine: bool
    moments: tuple
    half: float | None = None
    error: float = 0.0

    def by_groups(self, signed: bool, rng: np.random.Generator) -> Orders:
        """Of one tap by estimated correlations; of two by estimated cosines of whole rows, and of columns."""
        if self.symmetric:
            order = _by_sketch(self.sketches[0].lines[self.units[0]], signed, rng)
            return order, order
        one, other = (replace(s, lines=s.lines[u]) for s, u in zip(self.sketches, self.units, strict=True))
        return _by_sketch(profiles(one, other), signed, rng), _by_sketch(profiles(other, one), signed, rng)

    def blocks(self, orders: Orders, progress: Progress = no_progress, span=(0.0, 1.0)) -> Iterator[Block]:
        """As those of `Whole`; O(n p q), memory a gigabyte beside the chunks, whatever the size."""
        rows, columns = (units[o.order] for units, o in zip(self.units, orders, strict=True))
        found = panels(self.rows, rows, columns, self.symmetric, progress, span)
        for start, first, sums in found:
            self.error = max(self.error, sums.error)
            for line in range(0, len(sums.mean_x), LINES):
                part = lines_of(sums, slice(line, line + LINES))
                skip = line if self.symmetric else 0  # what lies left of the diagonal is there already
                r = part.correlation()[:, skip:]
                shown = part.cosine()[:, skip:] if self.cosine else r
                if self.symmetric:
                    np.fill_diagonal(r, 1.0)
                    np.fill_diagonal(shown, 1.0)
                yield start + line, first + skip, shown, r if self.cosine else None


def _by_sketch(lines: np.ndarray, signed: bool, rng: np.random.Generator) -> DrawingOrder:
    order = order_by_features(lines, signed, rng, SKETCHED)
    if order.note or len(lines) < 3:
        return order
    return replace(order, note=f"{len(lines):,} lines are ordered by average linkage, from {SKETCHED}.")


def lines_of(sums: PairSums, part: slice) -> PairSums:
    """The sums of some units of the first side."""
    return replace(sums, mean_x=sums.mean_x[part], square_x=sums.square_x[part], cross=sums.cross[part])


def panels(
    rows: TapRows,
    left: np.ndarray,
    right: np.ndarray,
    symmetric: bool,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    seen: Pass | None = None,
) -> Iterator[tuple[int, int, PairSums]]:
    """Yield (first of `left`, first of `right`, sums): panels of units of the one side against all of the other (where
    `symmetric`, against themselves and all that follow). A pass each, of which `seen` counts the first; memory about
    a gigabyte and some chunks."""
    height = int(np.clip(PANEL_BYTES // (12 * len(right)), LINES, EXACT))
    starts = range(0, len(left), height)
    for k, start in enumerate(starts):
        first = start if symmetric else 0
        part = tuple(span[0] + (span[1] - span[0]) * (k + i) / len(starts) for i in (0, 1))
        mine, others = left[start : start + height], right[first:]
        if symmetric and len(mine) == len(others):
            others = mine
        yield start, first, pair_sums(rows, mine, others, progress, part, seen if k == 0 else None)


def correlated(
    rows: TapRows,
    kept: Sequence[np.ndarray | None],
    cosine: bool,
    notes: list[str],
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Whole | Panels:
    """Pearson's r (or the cosine) of the units `kept` (all where None) that vary. Up to 1,024 units in all float64
    moments by groups of samples; up to 4,096 a side one pass; beyond, panels."""
    seen = Pass()
    widths = [d if k is None else len(k) for d, k in zip(rows.shape, _both(kept), strict=True)]
    if (widths[0] if rows.is_one else sum(widths)) <= PRECISE:
        found = _by_moments(rows, kept, cosine, progress, span, seen)
    elif max(widths) <= EXACT:
        found = _by_sums(rows, kept, cosine, progress, span, seen)
    else:
        found = _by_panels(rows, kept, cosine, progress, span, seen)
    notes += seen.notes
    left_out = [w - len(u) for w, u in zip(widths, found.units, strict=True)][: len(rows.taps)]
    for tap, missing in zip(rows.taps, left_out, strict=True):
        if missing:
            notes.append(f"{missing} constant unit(s) of {tap.name} have no correlation and are left out.")
    return found


def _by_moments(rows: TapRows, kept, cosine: bool, progress, span, seen: Pass) -> Whole:
    def joined() -> Iterator:
        for at, blocks in rows.blocks(progress, "correlating", span, seen):
            parts = [b if k is None else b[:, k] for b, k in zip(blocks, kept, strict=True)]
            yield at, np.hstack([np.asarray(part, np.float64) for part in parts])

    groups = grouped_moments(joined(), rows.taps[0].layout, GROUPS)
    samples = refuse_few_samples(rows, seen)
    whole = functools.reduce(Moments.merge, groups)
    p = rows.shape[0] if kept[0] is None else len(kept[0])
    sides = (slice(0, p),) * 2 if rows.is_one else (slice(0, p), slice(p, None))
    varies = [np.flatnonzero(whole.varies()[side]) for side in sides]
    part = np.ix_(varies[0], varies[1] + (0 if rows.is_one else p))
    _refuse(rows, varies)

    def values_of(m: Moments) -> np.ndarray:
        return (_cosines(m) if cosine else m.correlation())[part]

    half = None
    if len(groups) == GROUPS:
        sizes = [_mean_size(values_of(functools.reduce(Moments.merge, groups[:g] + groups[g + 1 :])), rows.is_one)
                 for g in range(GROUPS)]  # fmt: skip
        half = float(stdtrit(GROUPS - 1, 0.975) * np.sqrt((GROUPS - 1) * np.var(sizes)))
    square = np.diag(whole.scatter)
    found = values_of(whole)
    if rows.is_one:
        np.fill_diagonal(found, 1.0)
    moments = tuple((whole.mean[side][v], square[side][v]) for side, v in zip(sides, varies, strict=True))
    return Whole(
        found, _named(varies, kept), samples, whole.n, rows.is_one,
        whole.correlation()[part] if cosine else None, half, moments=moments,
    )  # fmt: skip


def _by_sums(rows: TapRows, kept, cosine: bool, progress, span, seen: Pass) -> Whole:
    sums = pair_sums(rows, *_both(kept), progress, span, seen)
    samples = refuse_few_samples(rows, seen)
    varies = [np.flatnonzero(v) for v in sums.varies()]
    _refuse(rows, varies)
    moments = tuple(
        (mean[v], square[v])
        for mean, square, v in zip(
            (sums.mean_x, sums.mean_y), (sums.square_x, sums.square_y), varies, strict=True
        )
    )
    r = sums.correlation() if cosine else sums.correlation(sums.cross)
    shown, tested = (sums.cosine(sums.cross), r) if cosine else (r, None)
    if sum(map(len, varies)) < sum(shown.shape):
        shown, tested = (None if m is None else m[np.ix_(*varies)] for m in (shown, tested))
    if rows.is_one:
        np.fill_diagonal(shown, 1.0)
    return Whole(shown, _named(varies, kept), samples, sums.n, rows.is_one, tested, None, sums.error, moments)


def _by_panels(rows: TapRows, kept, cosine: bool, progress, span, seen: Pass) -> Panels:
    found = unit_sketches(rows, 0, progress, span, seen)
    samples = refuse_few_samples(rows, seen)
    sketches = found * (2 if rows.is_one else 1)
    units = [np.flatnonzero(s.varies) for s in sketches]
    units = [u if k is None else np.intersect1d(u, k) for u, k in zip(units, _both(kept), strict=True)]
    _refuse(rows, units)
    moments = tuple((s.mean[u], s.square[u]) for s, u in zip(sketches, units, strict=True))
    return Panels(rows, tuple(units), sketches, samples, sketches[0].n, rows.is_one, cosine, moments)


def _both(kept: Sequence) -> tuple:
    return (kept[0], kept[-1])


def _named(varies, kept) -> tuple[np.ndarray, ...]:
    """Unit numbers in the taps from places among those kept."""
    return tuple(v if k is None else k[v] for v, k in zip(varies, _both(kept), strict=True))


def _refuse(rows: TapRows, varies) -> None:
    fewest = 2 if rows.is_one else 1
    for tap, units in zip(rows.taps, varies, strict=False):
        refuse_few(tap.name, len(units), fewest, "unit(s) that vary")


def _cosines(m: Moments) -> np.ndarray:
    raw = m.scatter + m.n * np.outer(m.mean, m.mean)
    length = np.sqrt(np.diag(raw))
    raw /= np.where(length > 0, length, 1.0)
    raw /= np.where(length > 0, length, 1.0)[:, None]
    return np.clip(raw, -1.0, 1.0)


def _mean_size(values: np.ndarray, symmetric: bool) -> float:
    """Mean magnitude of the pairs; a unit with itself is no pair."""
    if not symmetric:
        return float(np.abs(values).mean())
    d = len(values)
    return float((np.abs(values).sum() - np.abs(np.diag(values)).sum()) / (d * (d - 1)))


def _alike(values: np.ndarray) -> np.ndarray:
    """Cosine of the rows of `values` (p, q)."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    lines = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
    return lines @ lines.T
