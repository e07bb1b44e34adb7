"""Rows of a tap at few bits and back: a uniform quantiser of all numbers at one step, around the mean of each unit.

    x̂ = μ + Δ round((x - μ) A / Δ) A',    A the identity, or principal axes

Means and axes for one half of the samples are those of the other, so that no row is coded by axes that were fitted to
it. Bits of a number are the empirical entropy of the whole numbers of each unit or axis, mean over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.cache.rates import entropy


@dataclass(frozen=True)
class Coder:
    """`mean` (2, d), `axes` (2, d, d) for the rows of either half, `half` (n samples,) 0 or 1, `owner` the sample of
    each row of the tap, `size` root mean square of a centred number."""

    mean: np.ndarray
    axes: np.ndarray
    half: np.ndarray
    owner: np.ndarray
    size: float

    def codes(self, x: np.ndarray, rows: np.ndarray, step: float, turned: bool) -> np.ndarray:
        """(m, d) whole numbers of rows x (m, d), `rows` (m,) their numbers in the tap."""
        return np.round(self._turn(x - self.mean[self._of(rows)], rows, turned, False) / step)

    def coded(self, x: np.ndarray, rows: np.ndarray, step: float, turned: bool) -> np.ndarray:
        """(m, d) what is made of rows again."""
        codes = self.codes(x, rows, step, turned)
        return self.mean[self._of(rows)] + self._turn(step * codes, rows, turned, True)

    def _of(self, rows: np.ndarray) -> np.ndarray:
        return self.half[self.owner[rows]]

    def _turn(self, y: np.ndarray, rows: np.ndarray, turned: bool, back: bool) -> np.ndarray:
        if not turned:
            return y
        out, of = np.empty_like(y), self._of(rows)
        for h in (0, 1):
            axes = self.axes[h]
            out[of == h] = y[of == h] @ (axes.T if back else axes)
        return out


def coder_of(x: np.ndarray, rows: np.ndarray, owner: np.ndarray, rng: np.random.Generator) -> Coder:
    """From finite rows x (m, d), their numbers `rows` in the tap, and the sample of every row of it."""
    samples = int(owner.max()) + 1
    half = np.zeros(samples, np.int64)
    half[rng.permutation(np.unique(owner[rows]))[::2]] = 1
    mean, axes = [], []
    for h in (0, 1):
        other = x[half[owner[rows]] != h]
        other = x if len(other) < 2 else other
        mean.append(other.mean(axis=0))
        y = other - mean[-1]
        axes.append(np.linalg.eigh(y.T @ y / len(y))[1][:, ::-1])
    mean = np.stack(mean)
    size = float(np.sqrt(np.square(x - mean[half[owner[rows]]]).mean()))
    return Coder(mean, np.stack(axes), half, owner, size)


def rate_and_error(
    coder: Coder, x: np.ndarray, rows: np.ndarray, step: float, turned: bool
) -> tuple[float, float]:
    """(bits of a number, mean squared error) of rows x (m, d)."""
    codes = coder.codes(x, rows, step, turned)
    bits = float(np.mean([entropy(c) for c in codes.T]))
    return bits, float(np.square(coder.coded(x, rows, step, turned) - x).mean())


def bits_for(rate: np.ndarray, loss: np.ndarray, most: float) -> float:
    """The least rate from which on no loss is above `most`, on lines between points (rates rise); the last where the
    loss never stays below."""
    above = np.flatnonzero(loss > most)
    if not len(above):
        return float(rate[0])
    i = int(above[-1])
    if i + 1 >= len(rate):
        return float(rate[-1])
    part = (loss[i] - most) / max(loss[i] - loss[i + 1], 1e-300)
    return float(rate[i] + part * (rate[i + 1] - rate[i]))


def beyond_tried(name: str, loss: np.ndarray, most: float) -> list[str]:
    """What is to be said of a line (rates rise) whose bits for a loss of `most` nats are but an end of those tried."""
    if loss[-1] > most:
        return [
            f"{name}: more than {most:g} nats are lost at all bits that were tried; those told are too few."
        ]
    if (loss <= most).all():
        return [
            f"{name}: less than {most:g} nats are lost at the fewest bits that were tried; fewer would do."
        ]
    return []
