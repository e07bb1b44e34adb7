"""Generalised mean: cells of neighbouring tokens become one token each, every unit by a mean of its own kind.

    f_c = (mean over the cell of y_c^p)^(1/p)

p = 1 is the mean, p → 0 the geometric mean, p → ∞ the largest value, from below by a factor of at least n^(-1/p) of n
tokens; f rises with p. y has to be positive and tokens of transformers are not: `shift` takes from every unit of a
sample its smallest value and gives it back afterwards; `clamp` takes y = max(x, ε), which drops what is below 0. In one
p for all units (`grouped_pooling` has one for each group of units).

Weights y^p / Σ y^p say which token carries a unit; the score is their mean over units. Only what stands at the place
where the rule acts is pooled so; keys and attention of merged tokens are means.

Reference: B. Ko, H.-G. Kim, B. Heo, S. Yun, S. Chun, G. Gu & W. Kim (2022), "Group generalized mean pooling for vision
transformer".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, alike, blocks, cells
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View

SHIFT, CLAMP = "shift", "clamp"
LEAST = 1e-6  # ε, of the largest value


@dataclass(frozen=True)
class PowerSettings:
    side: int = param(2, "Rows and columns of a cell.", low=1, high=64)
    power: float = param(3.0, "p: 1 is the mean, a large one the largest value.", low=0.01, high=1000.0)
    negative: str = param(SHIFT, "What makes values positive.", choices=(SHIFT, CLAMP))


def power_mean(y: np.ndarray, power) -> np.ndarray:
    """(..., d) of y (..., n, d) > 0; `power` one number, or (d,) one for each unit."""
    top = y.max(axis=-2, keepdims=True)
    return top[..., 0, :] * np.mean((y / top) ** power, axis=-2) ** (1 / power)


def decide(view: View, remove: np.ndarray, settings: PowerSettings, rng) -> Step:
    return pooled(view, remove, settings, settings.power)


def pooled(view: View, remove: np.ndarray, settings, power) -> Step:
    """The step of cells of `settings.side`, made positive by `settings.negative`; `power` as in `power_mean`."""
    group = cells(view, blocks(settings.side), remove)
    x = np.asarray(view["hidden"], np.float64)
    values, score = x.copy(), np.full(group.shape, np.nan)
    for samples, inside, each in alike(group):
        here = x[np.ix_(samples, inside)]
        low = here.min(axis=1, keepdims=True) if settings.negative == SHIFT else 0.0
        floor = LEAST * np.maximum(np.abs(here).max(axis=(1, 2), keepdims=True), 1e-300)
        for places in each:
            at = np.ix_(samples, places)
            y = np.maximum(x[at] - low, floor)
            values[at] = power_mean(y, power)[:, None] + low
            share = (y / y.max(axis=1, keepdims=True)) ** power
            score[at] = (share / share.sum(axis=1, keepdims=True)).mean(axis=2)
    step = merge_groups(view.state, group, np.zeros(group.shape), score)
    return Step(step.into, step.score, values=values)


RULES = (
    Rule(
        id="power_pooling",
        title="Generalised mean",
        equation="(mean y^p)^(1/p) of every unit over every cell of b x b tokens",
        says="one token for each cell: between the mean of the cell and its maximum, by the power p.",
        decide=decide,
        papers=("Group Generalized Mean Pooling for Vision Transformer",),
        needs=frozenset({"hidden"}),
        settings=PowerSettings,
        notes=(NOTE, "One p for all units; of groups with a p of their own see grouped generalised mean."),
        **POOLS,
    ),
)
