"""What an edit along the axis of one attribute does to the read-outs of all: fitted on one half of the samples, read
by probes of the other, both ways round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.attribute_axes import attribute_axes, outside
from analysis.compute.subspaces.probe_r2 import Held, held_errors, joined
from analysis.spec import Progress, no_progress

FOLDS = 5
MOVES = 999


@dataclass(frozen=True)
class Effects:
    """`values` (m, m): deviations that the read-out of j moves when attribute i is raised by one deviation, with `low`
    and `high`; `null_deviation` (m, m) of the same along random moves of the step's length, and `p` (m, m),
    two-sided."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null_deviation: np.ndarray
    p: np.ndarray


def halves_of(keys: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Two random halves, positions rising, each with as many of every key (n,) as can be."""
    half = folds_of(keys, 2, rng)
    return [np.flatnonzero(half == i) for i in (0, 1)]


def steps_of(x: np.ndarray, y: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(m, d) what raising each attribute by one deviation adds to z: its axis times Cov(coordinate, y) / Var(y)."""
    y = (y - y.mean(axis=0)) / np.maximum(y.std(axis=0), 1e-300)
    along = ((x - x.mean(axis=0)) @ axes.T * y).mean(axis=0)
    return along[:, None] * axes


def edit_effects(
    x: np.ndarray,
    y: np.ndarray,
    halves: list[np.ndarray],
    fit: str,
    group: np.ndarray,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Effects:
    """Of values `x` (n, d) and standardised attributes `y` (n, m). Two fits of each kind for every `group` (n,) left
    out: O(10 n d min(n, d)). Random moves go from one sample towards another: along any direction of the space
    instead, read-outs would move by much, since their weights are large where the data have no variance."""
    count = int(group.max()) + 1
    values = _effects(x, y, halves, fit)
    without = []
    for g in range(count):
        progress(span[0] + (span[1] - span[0]) * g / count, "leaving samples out")
        without.append(_effects(x, y, [h[group[h] != g] for h in halves], fit))
    half = jackknife_half(np.array(without))
    moves = np.abs(_random_effects(x, y, halves, fit, rng))
    return Effects(
        values,
        values - half,
        values + half,
        np.sqrt((moves**2).mean(axis=0)),
        add_one_p(np.abs(values), moves),
    )


def real_directions(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, d) of unit length: from one random sample of `x` (n, d) to another."""
    out = np.empty((0, x.shape[1]))
    while len(out) < count:
        a = rng.integers(len(x), size=count)
        step = x[(a + rng.integers(1, len(x), size=count)) % len(x)] - x[a]
        length = np.linalg.norm(step, axis=1)
        out = np.vstack([out, step[length > 0] / length[length > 0, None]])
    return out[:count]


def _fits(x, y, halves, fit) -> list[tuple[np.ndarray, np.ndarray]]:
    """(steps (m, d), weights (d, m)) both ways round: steps of one half, weights of the other."""
    steps = [steps_of(x[h], y[h], attribute_axes(x[h], y[h], fit)) for h in halves]
    weights = [ridge_weights(x[h], y[h]) for h in halves]
    return [(steps[0], weights[1]), (steps[1], weights[0])]


def _effects(x, y, halves, fit) -> np.ndarray:
    """Mean effects (m, m) over both ways round."""
    return np.mean([steps @ weights for steps, weights in _fits(x, y, halves, fit)], axis=0)


def _random_effects(x, y, halves, fit, rng) -> np.ndarray:
    """(MOVES, m, m) the same for random moves as long as the steps."""
    directions = real_directions(x, MOVES, rng)
    fits = _fits(x, y, halves, fit)
    return np.mean(
        [np.linalg.norm(steps, axis=1)[:, None] * (directions @ weights)[:, None] for steps, weights in fits],
        axis=0,
    )


def read_in_and_out(
    x: np.ndarray,
    y: np.ndarray,
    halves: list[np.ndarray],
    fit: str,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Held]:
    """Errors of cross-validated probes on all units ("all"), on the coordinates along the axes ("inside") and on what
    is left without them ("outside"). Axes come from the other half: on the samples that made them, what is left has no
    covariance with the attributes, and a probe fitted there would find nothing whatever remains."""
    parts: dict[str, list] = {"all": [], "inside": [], "outside": []}
    for i, (fitted, read) in enumerate([(halves[0], halves[1]), (halves[1], halves[0])]):
        axes = attribute_axes(x[fitted], y[fitted], fit)
        fold = folds_of(np.zeros(len(read)), FOLDS, rng)
        moves = np.array([rng.permutation(len(read)) for _ in range(draws)])
        seen = {"all": x[read], "inside": x[read] @ axes.T, "outside": outside(x[read], axes)}
        for j, (name, values) in enumerate(seen.items()):
            at = tuple(span[0] + (span[1] - span[0]) * (i * 3 + j + k) / 6 for k in (0, 1))
            parts[name].append((read, held_errors(values, y[read], fold, moves, progress, at)))
    return {name: joined(found, len(x)) for name, found in parts.items()}
