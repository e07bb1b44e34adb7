"""What stands behind the last layer, as a linear map: with the scale of its norm held fast.

A norm divides a state by its size, so that what layers add does not add up in the answer. Of a readout that is a norm
and a linear map, z(h) = z₀ + W h / s(h), with s the deviation of the units (layer norm) or their root mean square,

    frozen:   z₀ + (z(h_l) - z₀) s(h_l) / s(h_L)

divides every layer's state by the size of the last: now the differences between layers add up to the answer, and the
last layer's answer is what it was. Whether a readout is of this kind is asked of it: frozen answers of h and g have to
add up to that of h + g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.stream_cost import AT_ONCE

OWN, FROZEN = "each layer's own", "the last layer's (frozen)"
NORMS = (OWN, FROZEN)
SAME, ASKED = 2e-3, 8  # of the largest answer; states that are asked
NOT_LINEAR = (
    "The norm is not frozen: what stands behind the last layer is not a norm of one token and a linear map."
)


@dataclass(frozen=True)
class Linear:
    """`zero` (C,) the answer to a state of 0; `centred`: the norm takes the mean off."""

    zero: np.ndarray
    centred: bool

    def scale(self, rows: np.ndarray) -> np.ndarray:
        """(…) of states (…, d)."""
        x = rows - rows.mean(axis=-1, keepdims=True) if self.centred else rows
        return np.sqrt(np.square(x).mean(axis=-1))

    def frozen(self, z: np.ndarray, rows: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Answers z (…, C) of states `rows` (…, d) at the scale of `last` (…, d)."""
        size = self.scale(last)
        times = self.scale(rows) / np.where(size > 0, size, 1.0)
        return self.zero + (z - self.zero) * times[..., None]


def linear(read, one: np.ndarray, other: np.ndarray) -> Linear | None:
    """Of `read` (rows (m, d) -> (m, C)), asked about states `one` and `other` (m, d); None where it is another."""
    one, other = one[:ASKED], other[:ASKED]
    both, m = one + other, len(one)
    z = read(np.concatenate([one, other, both, np.zeros((1, one.shape[1]))]))
    parts, zero = (z[:m], z[m : 2 * m], z[2 * m : 3 * m]), z[-1]
    for centred in (True, False):
        found = Linear(zero, centred)
        a, b, c = (
            found.scale(x)[:, None] * (y - zero) for x, y in zip((one, other, both), parts, strict=True)
        )
        if np.abs(a + b - c).max() <= SAME * max(float(np.abs(c).max()), 1e-300):
            return found
    return None


def frozen_answers(who, z: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(Answers (L + 1, n, C) of a stream with the norm frozen, what is to be said); as they are where it cannot be."""
    p = who.passed(who.alone(0))
    there = np.flatnonzero(p.present[0])
    place = next((k for k in (0, -1) if np.allclose(who.read(0, p.states[-1][0, there[[k]]]), p.answer, rtol=SAME,
                                                    atol=SAME * np.abs(p.answer).max())), None)  # fmt: skip
    found = None
    if place is not None:
        found = linear(lambda rows: who.read(0, rows), p.states[0][0, there], p.states[-1][0, there])
    if found is None:
        return z, (NOT_LINEAR,)
    out = np.empty_like(z)
    for part, given in who.batches(AT_ONCE):
        p = who.passed(given)
        order = np.arange(p.present.shape[1])
        at = np.where(p.present, order, order[-1] if place == 0 else -1)
        at = at.min(axis=1) if place == 0 else at.max(axis=1)
        rows = np.stack([x[np.arange(len(x)), at] for x in p.states])
        out[:, part] = found.frozen(z[:, part], rows, rows[-1])
    return out, ()
