"""The strongest of all pairs of units, however many: blocks of correlations come and go, only the strongest stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.correlation.unit_relations import LINES, lines_of, panels
from analysis.compute.rows.tap_rows import TapRows, refuse_few_samples
from analysis.compute.streaming import Pass, refuse_few
from analysis.spec import Progress, no_progress

SIGNS = ("both", "positive", "negative")


class Strongest:
    """Keeps the `pairs` strongest of the blocks it is given: by |r|, or among one `sign` only; ties to the lower unit
    numbers. Memory: some blocks."""

    def __init__(self, pairs: int, sign: str) -> None:
        self.pairs, self.sign, self.cut = pairs, sign, np.nextafter(0.0, 1.0)
        self.a, self.b, self.r = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)

    def add(self, left: np.ndarray, right: np.ndarray, r: np.ndarray) -> None:
        """A block `r` (p, q) of the units `left` (p,) and `right` (q,); NaN is passed over."""
        score = {"both": np.abs(r), "positive": r, "negative": -r}[self.sign].ravel()
        with np.errstate(invalid="ignore"):
            flat = np.flatnonzero(score >= self.cut)
        if len(flat) > self.pairs:
            found = score[flat]
            cut = np.partition(found, len(found) - self.pairs)[len(found) - self.pairs]
            # all above the cut, and of the many that may tie with it only as many as could be listed
            flat = np.append(flat[found > cut], flat[found == cut][: self.pairs])
        rows, columns = np.divmod(flat, r.shape[1])
        self.a, self.b = np.append(self.a, left[rows]), np.append(self.b, right[columns])
        self.r = np.append(self.r, r.ravel()[flat])
        if len(self.r) > 2 * self.pairs:
            self._shorten()

    def _shorten(self) -> None:
        order = np.lexsort((self.b, self.a, -np.abs(self.r)))[: self.pairs]
        self.a, self.b, self.r = self.a[order], self.b[order], self.r[order]
        if len(self.r) == self.pairs:
            self.cut = abs(self.r[-1])

    def found(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Units of the first side, of the second, and r, the strongest first."""
        self._shorten()
        return self.a, self.b, self.r


@dataclass(frozen=True)
class StrongestFound:
    """Unit numbers `a`, `b` of the taps and `r` of the strongest pairs, falling by |r|; `units` of either side that
    vary; `n` rows; `samples` that count as independent; the largest known `error` of an r; `notes` on what was left
    out."""

    a: np.ndarray
    b: np.ndarray
    r: np.ndarray
    units: tuple[int, int]
    n: int
    samples: int
    error: float
    notes: tuple[str, ...]


def strongest(
    rows: TapRows,
    pairs: int,
    sign: str,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> StrongestFound:
    """The strongest pairs of all units of one tap, each pair once, or of two taps.

    A pass for every panel of units (`unit_relations.panels`), up to 4,096 units one in all; O(n p q), memory about a
    gigabyte beside the chunks, whatever the width. Raises NotEnoughData below four samples or two units that vary.
    """
    best, seen, error = Strongest(pairs, sign), Pass(), 0.0
    left, right = (np.arange(width) for width in rows.shape)
    varies, n = (np.zeros(len(left), bool), np.zeros(len(right), bool)), 0
    for start, first, sums in panels(rows, left, right, rows.is_one, progress, span, seen):
        if start == 0:
            samples, n = refuse_few_samples(rows, seen), sums.n
        for whole, at, part in zip(varies, (start, first), sums.varies(), strict=True):
            whole[at : at + len(part)] = part
        error = max(error, sums.error)
        for line in range(0, len(sums.mean_x), LINES):
            skip = line if rows.is_one else 0
            r = lines_of(sums, slice(line, line + LINES)).correlation()[:, skip:]
            if rows.is_one:  # each pair once, no unit with itself
                r[np.tril_indices(len(r), 0, r.shape[1])] = np.nan
            best.add(left[start + line : start + line + len(r)], right[first + skip :], r)
    units = tuple(int(v.sum()) for v in varies)
    for tap, count in zip(rows.taps, units, strict=False):
        refuse_few(tap.name, count, 2 if rows.is_one else 1, "unit(s) that vary")
    return StrongestFound(*best.found(), units, n, samples, error, seen.notes)
