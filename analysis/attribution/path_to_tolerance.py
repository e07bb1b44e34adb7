"""Slopes along the straight way, as many as it takes until the parts add up.

The way from the background to the sample is first covered by one Gauss-Legendre rule. Where its parts miss the
difference of the answers by more than the tolerance, the way is cut into pieces with three nodes each; of a piece
[a, c] the answers at both ends are known, so its own error is, too:

    r = h Σ_j w_j d_j - (y(c) - y(a)) ,   d_j = <∇y(node j), x - b> ,   h = c - a

Pieces that carry the error are cut again: at the point where a straight line from each end with the slope next to it
meet (of a network of ReLUs with one kink in the piece that is the kink, and both parts are exact), else in the middle.
A rule of any order meets kinks with an error of 1 / nodes; cut there, it has none.

Reference: M. Sundararajan, A. Taly & Q. Yan (2017), "Axiomatic attribution for deep networks".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.path_gradients import slopes_at
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun, fitting_rows
from analysis.attribution.targets import Target

PIECES, NODES, EDGE = 8, 3, 0.02
TOLERANCES = {8: 1e-6, 4: 1e-3}  # of the larger of both answers, by bytes of the network's numbers


@dataclass(frozen=True)
class TolerantValues:
    """`values` (players,); `residual` their sum less target(x) - mean target of the background, `tolerance` what was
    asked for; `reached`; `full`, `empty` both answers; `slopes`, `passes` that it took."""

    values: np.ndarray
    residual: float
    tolerance: float
    full: float
    empty: float
    slopes: int
    passes: int

    @property
    def reached(self) -> bool:
        return abs(self.residual) <= self.tolerance


def tolerant_path_values(
    run: SampleRun, players: Players, background: Background, target: Target, *, steps: int = 32,
    tolerance: float | None = None, most: int = 4096,
) -> TolerantValues:  # fmt: skip
    """`steps` of the first rule; `tolerance` of the residual, as a share of the larger of both answers (automatic:
    1e-6 of a network in double precision, 1e-3 in single); `most` slopes for a background row.

    Raises InputError as `analysis.attribution.path_gradients.path_values`.
    """
    x = run.clean
    share = TOLERANCES.get(x.element_size(), 1e-2) if tolerance is None else tolerance
    values, ends, residuals, slopes, passes = [], [], [], 0, 0
    for base in background.rows:
        way = _Way(run, players, base, target)
        allowed = share * max(float(np.abs(way.ends).max()), 1e-300)
        found, residual = way.whole(steps)
        if abs(residual) > allowed:
            found, residual = way.pieced(allowed, most)
        values.append(found)
        ends.append(way.ends)
        residuals.append(residual)
        slopes, passes = slopes + way.slopes, passes + way.slopes + way.answers
    empty, full = np.mean(ends, axis=0)
    allowed = share * max(float(np.abs(ends).max()), 1e-300)
    return TolerantValues(
        np.mean(values, axis=0), float(np.mean(residuals)), allowed, float(full), float(empty), slopes, passes
    )


class _Way:
    """From one background row to the sample; counts its `slopes` and `answers`."""

    def __init__(self, run: SampleRun, players: Players, base, target: Target) -> None:
        self._run, self._players, self._base, self._target = run, players, base, target
        self.slopes, self.answers, self._rows = 0, 0, fitting_rows(run)
        self.ends = self._answers(np.array([0.0, 1.0]))

    def whole(self, steps: int) -> tuple[np.ndarray, float]:
        """Parts (players,) and their residual by one rule."""
        import torch

        nodes, weights = np.polynomial.legendre.leggauss(steps)
        mean, shares = 0.0, torch.as_tensor(weights / 2)
        for share, found in zip(shares.split(self._rows), self._slopes((nodes + 1) / 2), strict=True):
            mean = mean + torch.einsum("m,mtk->tk", share, found)
        values = self._players.inner(mean, self._run.clean, self._base).numpy()
        return values, float(values.sum() - (self.ends[1] - self.ends[0]))

    def pieced(self, allowed: float, most: int) -> tuple[np.ndarray, float]:
        """The same from pieces that are cut until the residual is allowed, or `most` slopes are spent."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        nodes, weights = (nodes + 1) / 2, weights / 2
        cuts = np.linspace(0, 1, PIECES + 1)
        left, right, y = cuts[:-1], cuts[1:], self._answers(cuts)
        at_left, at_right = y[:-1], y[1:]
        done, missed = 0.0, 0.0
        while True:
            width = right - left
            parts, along = self._parts((left[:, None] + width[:, None] * nodes).ravel())
            values = np.einsum("j,ijk->ik", weights, parts.reshape(len(left), NODES, -1)) * width[:, None]
            along = along.reshape(len(left), NODES)
            error = width * (along @ weights) - (at_right - at_left)
            total = missed + float(error.sum())
            bad = np.abs(error) > allowed / (4 * len(left))
            if abs(total) <= allowed / 2 or not bad.any() or self.slopes + 2 * NODES * bad.sum() > most:
                return done + values.sum(axis=0), total
            done, missed = done + values[~bad].sum(axis=0), missed + float(error[~bad].sum())
            left, right, at_left, at_right = left[bad], right[bad], at_left[bad], at_right[bad]
            middle = _cuts(left, right, at_left, at_right, along[bad])
            between = self._answers(middle)
            left, right = np.r_[left, middle], np.r_[middle, right]
            at_left, at_right = np.r_[at_left, between], np.r_[between, at_right]

    def _at(self, places: np.ndarray):
        import torch

        share = torch.as_tensor(places).to(self._base.dtype)[:, None, None]
        return self._base + share * (self._run.clean - self._base)

    def _answers(self, places: np.ndarray) -> np.ndarray:
        import torch

        self.answers += len(places)
        found = [self._run.values(part, self._target).double() for part in self._at(places).split(self._rows)]
        return torch.cat(found).numpy()

    def _slopes(self, places: np.ndarray) -> Iterator:
        """(m, tokens, units) tensors of slopes at the places, in turn."""
        self.slopes += len(places)
        for some in self._at(places).split(self._rows):
            yield slopes_at(self._run, some, self._target).double()

    def _parts(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each place the parts (m, players) and their sums (m,)."""
        x, base, parts = self._run.clean, self._base, []
        for found in self._slopes(places):
            parts += [self._players.inner(one, x, base).numpy() for one in found]
        parts = np.array(parts)
        return parts, parts.sum(axis=1)


def _cuts(left, right, at_left, at_right, along) -> np.ndarray:
    """Where the straight lines from both ends meet, in the middle where they do not inside the piece."""
    width, apart = right - left, along[:, 0] - along[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (at_right - at_left - along[:, -1] * width) / (apart * width)
    inside = np.isfinite(share) & (share > EDGE / 1e6) & (share < 1 - EDGE / 1e6)
    return left + width * np.where(inside, share, 0.5)
