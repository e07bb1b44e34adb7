"""Rate against quality of one tap, for any part of its samples: counts of whole numbers and errors, group by group.

Rows are coded at steps that halve; of each step the counts of every unit's (or axis's) whole numbers and the squared
error are kept for each group of samples. The curve of some groups follows from their sums, so that intervals and nulls
code nothing again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.cache.rates import rising
from analysis.tokens.cache.recoding import Coder


@dataclass(frozen=True)
class Counted:
    """Of S steps and G groups: `counts` S times (units, values, G), padded with 0, `error` (S, G) sums of squares,
    `size` (G,) sums of squares of the centred rows, `rows` (G,), `nats` (S, G) sums of losses of the answer with
    `answered` (G,) samples, or None."""

    counts: list[np.ndarray]
    error: np.ndarray
    size: np.ndarray
    rows: np.ndarray
    nats: np.ndarray | None = None
    answered: np.ndarray | None = None

    def curve(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bits of a number, quality in dB) of the chosen groups (G,) bool, rising: signal over noise, or 1 nat over
        the mean loss of the answer."""
        rate = np.array([_entropies(c @ groups.astype(np.float64)).mean() for c in self.counts])
        if self.nats is None:
            loss = self.error[:, groups].sum(axis=1) / max(self.size[groups].sum(), 1e-300)
        else:
            loss = self.nats[:, groups].sum(axis=1) / max(self.answered[groups].sum(), 1)
        good = (loss > 0) & ((loss < 1) | (self.nats is not None))
        return rising(rate[good], -10 * np.log10(loss[good]))


def _entropies(counts: np.ndarray) -> np.ndarray:
    """(units,) bits of counts (units, values)."""
    p = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=1) + 0.0


def counted(
    coder: Coder, x: np.ndarray, rows: np.ndarray, group: np.ndarray, groups: int, steps, turned: bool, told
) -> Counted:
    """Of rows x (m, d), their numbers `rows` in the tap and `group` (m,) of `groups`; `steps` in `coder.size`. Steps so
    fine that a unit has more values than a tenth of the rows are left out, after the first four."""
    counts, error = [], []
    size = np.bincount(group, np.square(x - coder.mean[coder.half[coder.owner[rows]]]).sum(axis=1), groups)
    for k, step in enumerate(steps):
        told(k / len(steps))
        codes = coder.codes(x, rows, step * coder.size, turned)
        if k > 3 and np.ptp(codes, axis=0).mean() > len(x) / 10:
            break
        made = coder.coded(x, rows, step * coder.size, turned)
        counts.append(_counts(codes, group, groups))
        error.append(np.bincount(group, np.square(made - x).sum(axis=1), groups))
    return Counted(counts, np.array(error), size, np.bincount(group, minlength=groups))


def _counts(codes: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """(units, values, groups)"""
    of = [np.unique(c, return_inverse=True)[1].reshape(-1) for c in codes.T]
    out = np.zeros((len(of), max(int(o.max()) for o in of) + 1, groups), np.float32)
    for unit, place in enumerate(of):
        np.add.at(out[unit], (place, group), 1)
    return out
