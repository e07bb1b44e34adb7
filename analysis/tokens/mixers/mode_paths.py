"""Which way modes of a state space went while a network was trained.

A checkpoint may hold its modes in any order, and of a pair either one: neither changes the kernel. Modes are folded
onto Im >= 0 and followed from each checkpoint to the next by the assignment with the least total distance; those of the
first one are put in the order of the family that they lie nearest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import ShapeError
from analysis.tokens.mixers import ssm


@dataclass(frozen=True)
class Paths:
    """Of one layer: `at` (S, H, N) its modes along S checkpoints, each in the order of the first; `begun` (H, N) where
    the family that the first lies nearest to has them; the `family`; `name` of the layer; `steps` (S, H) Δ."""

    at: np.ndarray
    begun: np.ndarray
    family: str
    name: str
    steps: np.ndarray


def folded(a: np.ndarray) -> np.ndarray:
    return a.real + 1j * np.abs(a.imag)


def matched(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(N,) for each mode of `here` (N,) the place of its own among `there` (N,), one to one."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(np.abs(here[:, None] - there[None]))[1]


def followed(series: Sequence[np.ndarray]) -> np.ndarray:
    """(S, H, N) modes of S checkpoints (H, N), each put in the order of the one before."""
    out = [folded(np.asarray(series[0], complex))]
    for a in series[1:]:
        now = folded(np.asarray(a, complex))
        out.append(np.stack([row[matched(before, row)] for before, row in zip(out[-1], now, strict=True)]))
    return np.stack(out)


def paths_of(spaces: Sequence[ssm.StateSpace], names: Sequence[str]) -> Paths:
    """Of the same layer of S checkpoints called `names`. Raises ShapeError where channels or modes differ."""
    for space, name in zip(spaces, names, strict=True):
        if space.a.shape != spaces[0].a.shape:
            raise ShapeError(
                f"{space.name} has {space.a.shape} channels and modes in {name}",
                f"{spaces[0].a.shape}, as in {names[0]}: checkpoints of one network",
            )
    first = folded(spaces[0].a)
    family, _ = ssm.nearest_start(first[:: max(len(first) // 16, 1)])
    if first.shape[1] == 1 and len(first) > 1 and not spaces[0].halved and not first.imag.any():
        family, begun = ssm.HEADS, ssm.started_heads(len(first))[:, None]
    else:
        begun = np.broadcast_to(ssm.started(family, first.shape[1]), first.shape)
        first = np.stack([row[matched(begun[0], row)] for row in first])
    at = followed([first, *(s.a for s in spaces[1:])])
    return Paths(at, begun, family, spaces[0].name, np.stack([s.step for s in spaces]))


def random_walk(at: np.ndarray, origin: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws, S, ...) distance from `origin` if every mode of `at` (S, ...) had made its own steps into random
    directions; of modes that never turn, to either side."""
    steps = np.abs(np.diff(at, axis=0))
    real = not at.imag.any()
    start, out = at[0] - origin, np.empty((draws, *at.shape))
    for k in range(draws):
        if real:
            way = rng.choice([-1.0, 1.0], size=steps.shape)
        else:
            way = np.exp(2j * np.pi * rng.random(steps.shape))
        out[k, 0], out[k, 1:] = np.abs(start), np.abs(start + np.cumsum(steps * way, axis=0))
    return out
