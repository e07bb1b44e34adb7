"""Tokens that lose a share of what they are, in three ways: on a random subspace, on its complement, whole tokens gone.

    P x = Q Qᵀ x,     P⊥ x = x - P x,     masked: x of a random share k / d of the tokens of a sample, none of others

and what a linear map that was fitted on other samples rebuilds of the rest from it: of the projected their own
coordinates, of a masked token the mean of those of its sample that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions

KEPT, REST, MASKED = "P", "its complement", "whole tokens masked"
WAYS = (KEPT, REST, MASKED)


@dataclass(frozen=True)
class Rebuilt:
    """By way: `errors` (N,) squared error of each token; `spread` (N,) its squared distance from the mean of all."""

    errors: dict[str, np.ndarray]
    spread: np.ndarray


def left_of(counts: Sequence[int], share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """(t,) bool for each sample of so many tokens: those that masking leaves, at least one."""
    out = []
    for t in counts:
        some = np.zeros(t, bool)
        some[rng.permutation(t)[: max(round(share * t), 1)]] = True
        out.append(some)
    return out


def rebuilt(
    x: np.ndarray, sample: np.ndarray, q: np.ndarray, left: np.ndarray, folds: int, rng: np.random.Generator
) -> Rebuilt:
    """Of tokens x (N, d) of `sample` (N,), numbered from 0; `q` (d, k) orthonormal; `left` (N,) bool.

    Cost: three ridge fits of every fold, O(N d²)."""
    x = x - x.mean(axis=0)
    of = rng.permutation(int(sample.max()) + 1) % folds
    fold, one = of[sample], np.zeros(x.shape[1], np.int64)
    inside = x @ q
    whole = inside @ q.T
    errors = {}
    for way, known, rest, told in ((KEPT, whole, x - whole, inside), (REST, x - whole, whole, x - whole)):
        found = held_out_predictions(told, rest, one, fold) if np.abs(rest).max() > 0 else rest
        found = found @ q @ q.T if way == REST else found - found @ q @ q.T
        errors[way] = np.square(x - known - found).sum(axis=1)
    means = np.zeros((len(of), x.shape[1]))
    np.add.at(means, sample[left], x[left])
    means /= np.maximum(np.bincount(sample[left], minlength=len(of)), 1)[:, None]
    errors[MASKED] = np.zeros(len(x))
    gone = ~left
    if gone.any():
        errors[MASKED][gone] = np.square(_from(means[sample], x, gone, fold) - x[gone]).sum(axis=1)
    return Rebuilt(errors, np.square(x).sum(axis=1))


def _from(told: np.ndarray, x: np.ndarray, gone: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Masked tokens from the mean of those left."""
    of = np.unique(fold[gone], return_inverse=True)[1]
    if of.max() == 0:
        return np.zeros_like(x[gone])
    return held_out_predictions(told[gone], x[gone], np.zeros(x.shape[1], np.int64), of)


def changes(q: np.ndarray, left: np.ndarray, free: np.ndarray, middle: np.ndarray) -> dict:
    """Functions of what stands before and behind a layer (1, T, d) that say what stands there instead: by P, by the
    complement, and with masked free tokens at `middle` (d,)."""
    p = q @ q.T

    def masked(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
        out = np.array(behind)
        out[0, free & ~left] = middle
        return out

    return {
        KEPT: lambda before, behind: behind @ p,
        REST: lambda before, behind: behind - behind @ p,
        MASKED: masked,
    }
