"""PiToMe, spectrum-preserving token merging: only tokens of crowded regions are merged, isolated ones are protected.

    E_i = mean over other free tokens j of f(cos(k_i, k_j))
    written   f(x) = x                    above the margin m,   α (e^(x - m) - 1) below it
    elu       f(x) = x - m                above the margin m,   α (e^(x - m) - 1) below it

The text of the paper has the first, the code that came with it the second, and they do not choose the same tokens: the
first jumps by m at the margin. m falls with depth, m = margin (1 - layer / layers). Of the 2 r tokens of largest
energy, in that order, the odd ones go each into its most alike even one; means weighed by size, and attention
afterwards is weighed by size. All others are protected. No more than half of the free tokens can go at once: 2 r of
them are needed.

Cost: t² d for the cosines.

Reference: H.-C. Tran, D. M. H. Nguyen, D. M. Nguyen, T.-T. Nguyen, N. Le, P. Xie, D. Sonntag, J. Y. Zou, B. T. Nguyen
& M. Niepert (2024), "Accelerating transformers with spectrum-preserving token merging".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import bipartite, gathered, rank_among, unit_rows
from analysis.tokens.rule import Rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import View

WRITTEN, ELU = "written", "elu"


@dataclass(frozen=True)
class PitomeSettings:
    energy: str = param(WRITTEN, "f as the paper writes it, or as its code has it.", choices=(WRITTEN, ELU))
    margin: float = param(0.9, "m of the first layer; it falls to 0 with depth.", low=-1.0, high=1.0)
    below: float = param(1.0, "α, the depth of f below the margin.", low=0.0, high=10.0)


def energies(cosines: np.ndarray, free: np.ndarray, margin: float, below: float, variant: str) -> np.ndarray:
    """(B, t) E of free tokens (B, t) bool with cosines (B, t, t); NaN of others."""
    over = cosines - margin
    value = np.minimum(over, 0)
    np.exp(value, out=value)  # many times faster than expm1, and cosines have the same error
    value -= 1
    value *= below
    np.copyto(value, cosines if variant == WRITTEN else over, where=over > 0)
    every = np.arange(free.shape[1])
    value[:, every, every] = 0  # a token is not its own neighbour
    mean = (value @ free.astype(value.dtype)[:, :, None])[:, :, 0] / np.maximum(
        free.sum(axis=1, keepdims=True) - 1, 1
    )
    return np.where(free, mean, np.nan)


def decide(view: View, remove: np.ndarray, settings: PitomeSettings, rng) -> Step:
    keys, free = unit_rows(view["mean keys"]), view.free
    remove = np.minimum(remove, free.sum(axis=1) // 2)  # the order goes on with tokens that may not be merged
    margin = settings.margin * (1 - view.layer / view.layers)
    energy = energies(keys @ keys.transpose(0, 2, 1), free, margin, settings.below, settings.energy)
    rank = rank_among(np.where(free, energy, -np.inf), free)
    order = np.argsort(rank, axis=1)
    place = np.arange(free.shape[1])
    in_use = place < 2 * remove[:, None]
    first, second = (np.where(in_use & (place % 2 == odd), order, GONE) for odd in (0, 1))
    step = bipartite(
        view.state,
        first,
        second,
        lambda a, b: gathered(keys, a) @ gathered(keys, b).transpose(0, 2, 1),
        remove,
    )
    return Step(step.into, -energy)


RULES = (
    Rule(
        id="pitome",
        title="PiToMe",
        equation="of the 2 r largest E_i = mean_j f(cos_ij) every other is merged into its most alike",
        says="protects tokens that stand alone and merges those with many alike (an energy score).",
        decide=decide,
        papers=("Accelerating Transformers with Spectrum-Preserving Token Merging",),
        needs=frozenset({"mean keys"}),
        proportional=True,
        most=0.5,
        settings=PitomeSettings,
        merges=True,
    ),
)
