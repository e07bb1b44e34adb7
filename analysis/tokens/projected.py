"""Tokens that lose a share of what they are: on a random subspace, on its complement, whole tokens gone, random ones or
those of a block.

    P x = Q Qᵀ x,     P⊥ x = x - P x,     masked: x of a random share k / d of the tokens of a sample, none of others

and what a linear map that was fitted on other samples rebuilds of the rest from it: of the projected their own
coordinates, of a masked token the mean of those of its sample that are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions

KEPT, REST, MASKED, BLOCK = "P", "its complement", "random tokens masked", "a block of tokens masked"
WAYS, MASKS = (KEPT, REST, MASKED, BLOCK), (MASKED, BLOCK)


@dataclass(frozen=True)
class Rebuilt:
    """By way: `errors` (N,) squared error of each token; `spread` (N,) its squared distance from the mean of all."""

    errors: dict[str, np.ndarray]
    spread: np.ndarray


def rebuilt(
    x: np.ndarray, sample: np.ndarray, q: np.ndarray, left: Mapping[str, np.ndarray], folds: int,
    rng: np.random.Generator,
) -> Rebuilt:  # fmt: skip
    """Of tokens x (N, d) of `sample` (N,), numbered from 0; `q` (d, k) orthonormal; `left` (N,) bool by way of masking.

    Cost: two ridge fits and one for each way of masking, of every fold, O(N d²)."""
    x = x - x.mean(axis=0)
    of = rng.permutation(int(sample.max()) + 1) % folds
    fold, one = of[sample], np.zeros(x.shape[1], np.int64)
    inside = x @ q
    whole = inside @ q.T
    errors = {}
    for way, known, rest, told in ((KEPT, whole, x - whole, inside), (REST, x - whole, whole, x - whole)):
        found = held_out_predictions(told, rest, one, fold) if np.abs(rest).max() > 0 else rest
        errors[way] = np.square(x - known - found).sum(axis=1)
    for way, stays in left.items():
        errors[way], gone = np.zeros(len(x)), ~stays
        if gone.any():
            told = means_left(x, sample, stays)[sample]
            errors[way][gone] = np.square(_from(told, x, gone, fold) - x[gone]).sum(axis=1)
    return Rebuilt(errors, np.square(x).sum(axis=1))


def means_left(x: np.ndarray, sample: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(n, d) mean of the tokens left of each sample; 0 where none is."""
    means = np.zeros((int(sample.max()) + 1, x.shape[1]))
    np.add.at(means, sample[left], x[left])
    return means / np.maximum(np.bincount(sample[left], minlength=len(means)), 1)[:, None]


def _from(told: np.ndarray, x: np.ndarray, gone: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Masked tokens from the mean of those left."""
    of = np.unique(fold[gone], return_inverse=True)[1]
    if of.max() == 0:
        return np.zeros_like(x[gone])
    return held_out_predictions(told[gone], x[gone], np.zeros(x.shape[1], np.int64), of)


def changes(q: np.ndarray, left: Mapping[str, np.ndarray], free: np.ndarray, middle: np.ndarray) -> dict:
    """Functions of what stands before and behind a layer (1, T, d) that say what stands there instead: by P, by the
    complement, and for each way of masking with masked free tokens at `middle` (d,)."""
    p = q @ q.T

    def masking(stays: np.ndarray):
        def masked(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
            out = np.array(behind)
            out[0, free & ~stays] = middle
            return out

        return masked

    return {
        KEPT: lambda before, behind: behind @ p,
        REST: lambda before, behind: behind - behind @ p,
    } | {way: masking(stays) for way, stays in left.items()}
