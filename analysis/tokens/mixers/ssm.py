"""Diagonal state spaces: h' = A h + B u, y = 2 Re(C h) + D u, in steps of length Δ.

    zero-order hold    Ā = exp(Δ A)                       B̄ = (Ā - 1) B / A
    bilinear           Ā = (1 + Δ A / 2) / (1 - Δ A / 2)   B̄ = Δ B / (1 - Δ A / 2)
    kernel             K[l] = f Re Σ_n C_n B̄_n Ā_n^l,      f = 2 where half of conjugate pairs is kept, else 1
    half-life          ln 2 / (-Δ Re A) steps

Families that A starts from (N modes): S4D-Lin -1/2 + iπn, S4D-Inv -1/2 + i N/π (N / (2n + 1) - 1), real -(n + 1), and
the normal part of HiPPO-LegS, whose eigenvalues all have the real part -1/2.

References: A. Gu, A. Gupta, K. Goel & C. Ré (2022), "On the parameterization and initialization of diagonal state
space models"; A. Gu & T. Dao (2023), "Mamba".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, ShapeError

ZOH, BILINEAR = "zero-order hold", "bilinear"
WAYS = (ZOH, BILINEAR)
LIN, INV, LEGS, REAL = "S4D-Lin", "S4D-Inv", "S4D-LegS", "real"
FAMILIES = (LIN, INV, LEGS, REAL)
HEADS = "real, one rate a head"


@dataclass(frozen=True)
class StateSpace:
    """`a`, `b`, `c` (H, N) complex of H channels with N kept modes, `step` (H,) Δ, `skip` (H,) D. `halved`: of each
    conjugate pair one is kept. `name`: of the layer."""

    name: str
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    step: np.ndarray
    skip: np.ndarray
    halved: bool = True

    @property
    def factor(self) -> float:
        return 2.0 if self.halved else 1.0


def discrete(space: StateSpace, way: str = ZOH) -> tuple[np.ndarray, np.ndarray]:
    """(Ā, B̄), each (H, N)."""
    x = space.step[:, None] * space.a
    if way == BILINEAR:
        return (1 + x / 2) / (1 - x / 2), space.step[:, None] * space.b / (1 - x / 2)
    # (exp(x) - 1) / x is 1 where x is 0
    ratio = np.where(np.abs(x) > 1e-12, np.expm1(x) / np.where(x == 0, 1, x), 1.0)
    return np.exp(x), ratio * space.step[:, None] * space.b


def kernel(space: StateSpace, length: int, way: str = ZOH) -> np.ndarray:
    """(H, length) impulse response without the skip, by a Vandermonde product: O(H N length)."""
    turn, into = discrete(space, way)
    out, power = np.empty((len(turn), length)), np.ones_like(turn)
    for lag in range(length):
        out[:, lag] = space.factor * (space.c * into * power).sum(axis=1).real
        power = power * turn
    return out


def recurrence(space: StateSpace, u: np.ndarray, way: str = ZOH) -> np.ndarray:
    """(T, H) output of u (T, H), step by step, with the skip."""
    turn, into = discrete(space, way)
    state, out = np.zeros_like(turn), np.empty(u.shape)
    for t, now in enumerate(u):
        state = turn * state + into * now[:, None]
        out[t] = space.factor * (space.c * state).sum(axis=1).real + space.skip * now
    return out


def half_lives(space: StateSpace) -> np.ndarray:
    """(H, N) steps until a mode has lost half of its size; infinite where it never does."""
    rate = -space.step[:, None] * space.a.real
    return np.where(rate > 0, np.log(2) / np.where(rate > 0, rate, 1), np.inf)


def started(family: str, modes: int) -> np.ndarray:
    """(modes,) complex eigenvalues that a family starts from; of pairs the one with Im >= 0, rising."""
    n = np.arange(modes)
    if family == LIN:
        return -0.5 + 1j * np.pi * n
    if family == INV:  # N of the formula counts both of a pair
        return np.sort_complex(-0.5 + 1j * (2 * modes / np.pi) * (2 * modes / (2 * n + 1) - 1))
    if family == LEGS:
        found = np.linalg.eigvals(normal_legs(2 * modes))
        return found[found.imag > 0][np.argsort(found[found.imag > 0].imag)][:modes]
    if family == REAL:
        return -(n + 1.0) + 0j
    raise InputError(f"a family '{family}'", "one of " + ", ".join(FAMILIES))


def started_heads(heads: int) -> np.ndarray:
    """(heads,) the one rate of each head of Mamba2: -1, -2, …"""
    return -(np.arange(heads) + 1.0) + 0j


def legs(size: int) -> np.ndarray:
    """(N, N) HiPPO-LegS: -√(2n+1)√(2k+1) below the diagonal, -(n + 1) on it, 0 above."""
    root = np.sqrt(2 * np.arange(size) + 1.0)
    return -np.tril(np.outer(root, root), -1) - np.diag(np.arange(size) + 1.0)


def normal_legs(size: int) -> np.ndarray:
    """(N, N) normal part of HiPPO-LegS: A + P Pᵀ with P = √(n + 1/2); -1/2 plus a skew matrix."""
    p = np.sqrt(np.arange(size) + 0.5)
    return legs(size) + np.outer(p, p)


def nearest_start(a: np.ndarray, families: tuple[str, ...] = FAMILIES) -> tuple[str, np.ndarray]:
    """(family, (H, N) drift): the family whose modes lie nearest on average, and how far each mode is from its own.

    A mode may be conjugated and modes be permuted without a change of the kernel: they are matched one to one first.
    Of channels with one real rate each (heads of Mamba2) it is the distance from 1, 2, … in the order of heads.
    """
    if a.shape[1] == 1 and len(a) > 1 and families == FAMILIES and not a.imag.any():
        return HEADS, np.abs(a - started_heads(len(a))[:, None])
    folded, best = a.real + 1j * np.abs(a.imag), None
    for family in families:
        start = started(family, a.shape[1])
        drift = np.stack([_matched(row, start) for row in folded])
        if best is None or drift.mean() < best[1].mean():
            best = family, drift
    return best


def _matched(row: np.ndarray, start: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    distance = np.abs(row[:, None] - start[None])
    at, other = linear_sum_assignment(distance)
    out = np.empty(len(row))
    out[at] = distance[at, other]
    return out


def from_weights(name: str, given: dict[str, np.ndarray]) -> StateSpace:
    """A layer with the keys log_dt (H,), log_A_real, A_imag (H, N), C (H, N) complex or (H, N, 2), D (H,) or without.

    Also A_log (H, N) or (H,) with the bias of Δ: there B and C depend on the input, and every mode counts 1 / N.
    Raises InputError, ShapeError.
    """
    if "A_log" in given:
        log = np.asarray(given["A_log"], np.float64)
        a = -np.exp(log if log.ndim == 2 else log[:, None]) + 0j
        bias = np.asarray(given["bias"], np.float64)
        same = np.ones_like(a)
        return StateSpace(
            name, a, same, same / a.shape[1], np.logaddexp(0, bias), np.asarray(given["D"], float), False
        )
    missing = [k for k in ("log_dt", "log_A_real", "C") if k not in given]
    if missing:
        raise InputError(f"{name} without {', '.join(missing)}", "log_dt, log_A_real, A_imag, C and D")
    real = -np.exp(np.asarray(given["log_A_real"], np.float64))
    turning = "A_imag" in given
    a = real + 1j * np.asarray(given["A_imag"], np.float64) if turning else real + 0j
    c = np.asarray(given["C"])
    c = c[..., 0] + 1j * c[..., 1] if c.shape == (*a.shape, 2) else c
    c = c.reshape(c.shape[-2:]) if c.ndim == 3 and c.shape[0] == 1 else c
    step = np.exp(np.asarray(given["log_dt"], np.float64).reshape(-1))
    if c.shape != a.shape or len(step) != len(a):
        raise ShapeError(f"{name}: A {a.shape}, C {c.shape}, log_dt {step.shape}", "(H, N), (H, N) and (H,)")
    skip = np.asarray(given.get("D", np.zeros(len(a))), np.float64).reshape(-1)
    return StateSpace(name, a, np.ones_like(a), c.astype(complex), step, skip, turning)
