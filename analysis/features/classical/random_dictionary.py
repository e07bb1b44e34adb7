"""Random directions: what a dictionary explains that nothing was learned for.

    rows of D uniform on the sphere;   least squares: c = (x - mean) D⁺   |   matching pursuit   |   TopK of products

The null beside which a dictionary of as many features and the same rule is read. By least squares k random directions
explain k / d of the variance on average, whatever its spectrum; a pursuit picks the best of many and explains far more,
which is why a sparse dictionary should be compared with this one and not with nothing. Costs nothing to make.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.coherence import random_directions
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param

LEAST_SQUARES = "least squares"


@dataclass(frozen=True)
class RandomParams:
    components: int = param(256, "How many directions", low=1, high=1 << 18)
    codes: str = param(
        rules.PURSUIT,
        "How rows are written in them",
        choices=(rules.PURSUIT, rules.TOPK, LEAST_SQUARES),
    )
    active: int = param(
        16, "Steps of the pursuit, or k of TopK: at most so many are active in a row", low=1, high=1 << 18
    )


def make(rows: FitRows, params: RandomParams, rng, progress) -> Fitted:
    """One pass for the mean."""
    total, n = np.zeros(rows.units), 0
    for _, block in rows.blocks(progress, (0.0, 0.9)):
        total, n = total + block.sum(axis=0), n + len(block)
    rows.refuse_few(n)
    decoder = random_directions(params.components, rows.units, rng)
    if params.codes == LEAST_SQUARES:
        return Fitted(decoder, total / n, encoder=np.linalg.pinv(decoder.astype(np.float64)))
    said = ()
    if params.active > params.components:
        said = (f"There are only {params.components} directions: at most so many are active.",)
    return Fitted(
        decoder, total / n, params.codes, active=min(params.active, params.components), caveats=said
    )


CLASSICAL = Classical(
    "random", "Random directions", "The null: what a dictionary explains that learned nothing", RandomParams,
    (), make,
)  # fmt: skip
