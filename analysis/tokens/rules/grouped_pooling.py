"""Grouped generalised mean: every group of units is pooled over a cell by a power of its own.

    f_cu = (mean over the cell of y_cu^p_g)^(1/p_g),    unit u in group g,

groups being equal runs of units, as heads are. Trained forms learn the p_g by their loss. Powers of one's own can be
given; else they rise from the lowest to the highest by equal factors, which shows what groups would do and is nobody's
optimum (the view Pooling chooses them by labels). y and the score as in `power_pooling`.

Reference: B. Ko, H.-G. Kim, B. Heo, S. Yun, S. Chun, G. Gu & W. Kim (2022), "Group generalized mean pooling for vision
transformer".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError
from analysis.spec import param
from analysis.tokens.grid_cells import NOTE, POOLS
from analysis.tokens.pooling.chosen_powers import groups_of_channels
from analysis.tokens.rule import Rule
from analysis.tokens.rules.power_pooling import CLAMP, SHIFT, pooled
from analysis.tokens.state import Step
from analysis.tokens.view import View

LEAST, MOST = 0.01, 1000.0  # powers


@dataclass(frozen=True)
class GroupedSettings:
    side: int = param(2, "Rows and columns of a cell.", low=1, high=64)
    groups: int = param(4, "Groups of units, equal runs as heads are.", low=1, high=4096)
    lowest: float = param(1.0, "p of the first group: 1 is the mean.", low=LEAST, high=MOST)
    highest: float = param(
        10.0, "p of the last group: a large one is the largest value.", low=LEAST, high=MOST
    )
    powers: str = param("", "p of every group, as 1 3 4.5, in place of these; such as a trained network has.")
    negative: str = param(SHIFT, "What makes values positive.", choices=(SHIFT, CLAMP))


def powers_of(settings: GroupedSettings) -> np.ndarray:
    """(groups,) p. Raises ParameterError of powers that are none."""
    if not settings.powers.strip():
        return np.geomspace(settings.lowest, settings.highest, settings.groups)
    try:
        given = np.array([float(p) for p in settings.powers.split()])
    except ValueError:
        given = np.array([np.nan])
    if not ((given >= LEAST) & (given <= MOST)).all():
        raise ParameterError(
            f"powers {settings.powers!r}", f"numbers from {LEAST:g} to {MOST:g} with spaces between them"
        )
    return given


def decide(view: View, remove: np.ndarray, settings: GroupedSettings, rng) -> Step:
    powers, units = powers_of(settings), view["hidden"].shape[2]
    if len(powers) > units:
        raise ParameterError(f"{len(powers)} groups of {units} units", "no more groups than units")
    return pooled(view, remove, settings, powers[groups_of_channels(units, len(powers))])


RULES = (
    Rule(
        id="grouped_pooling",
        title="Grouped generalised mean",
        equation="(mean y^p)^(1/p) over every cell of b x b tokens, p of each group of units",
        says="one token for each cell: between the mean and the maximum, by a power for each group of units.",
        decide=decide,
        papers=("Group Generalized Mean Pooling for Vision Transformer",),
        needs=frozenset({"hidden"}),
        settings=GroupedSettings,
        trained="Trained powers of the groups are replaced by a ladder from the lowest to the highest, unless they are "
        "given.",
        notes=(NOTE,),
        **POOLS,
    ),
)
