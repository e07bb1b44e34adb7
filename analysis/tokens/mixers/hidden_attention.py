"""The T x T matrix of a selective scan: h_t = Ā_t h_{t-1} + B̄_t u_t, y_t = C_t · h_t + D u_t is y = M u + D u with

    M[t, s] = Σ_n C_t[n] (Π_{k=s+1..t} Ā_k[n]) B̄_s[n]  for s <= t,  0 above.

Products of Ā = exp(Δ A) are exp of sums, so that nothing is divided and long products underflow to 0. Every block
below the diagonal has rank <= N (semiseparable); with constant Δ, B, C the matrix is Toeplitz.

References: A. Ali, I. Zimerman & L. Wolf (2024), "The hidden attention of Mamba models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Selective:
    """One scan of T tokens over H channels: `u`, `step` (T, H) input and Δ, `a` (H, N) or (H, 1), real and below 0,
    `b`, `c` (T, N) or (T, H, N), `skip` (H,). B̄ = Δ B, as Mamba has it."""

    u: np.ndarray
    step: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    skip: np.ndarray

    @property
    def channels(self) -> int:
        return self.u.shape[1]

    def of_channel(self, x: np.ndarray, h: int) -> np.ndarray:
        return x if x.ndim == 2 else x[:, h]


def hidden_attention(scan: Selective, channels: np.ndarray) -> np.ndarray:
    """(len(channels), T, T) without the skip. O(T² N) each."""
    t = len(scan.u)
    out = np.zeros((len(channels), t, t))
    below = np.tril(np.ones((t, t), bool))
    for k, h in enumerate(channels):
        run = np.cumsum(scan.step[:, h])
        gap = np.where(below, run[:, None] - run[None], 0.0)  # Σ Δ from s + 1 to t
        b = scan.step[:, h, None] * scan.of_channel(scan.b, h)
        c = scan.of_channel(scan.c, h)
        if scan.a.shape[1] == 1:
            out[k] = np.exp(gap * scan.a[h, 0]) * (c @ b.T)
        else:
            for n, rate in enumerate(scan.a[h]):
                out[k] += np.exp(gap * rate) * np.outer(c[:, n], b[:, n])
        out[k] *= below
    return out


def scanned(scan: Selective, skip: bool = True) -> np.ndarray:
    """(T, H) output, step by step."""
    width = scan.b.shape[-1]
    state, out = np.zeros((scan.channels, width)), np.empty(scan.u.shape)
    for t, u in enumerate(scan.u):
        step = scan.step[t][:, None]
        b = scan.b[t] if scan.b.ndim == 3 else scan.b[t][None]
        c = scan.c[t] if scan.c.ndim == 3 else scan.c[t][None]
        state = np.exp(step * scan.a) * state + step * b * u[:, None]
        out[t] = (state * c).sum(axis=1)
    return out + scan.skip * scan.u if skip else out
