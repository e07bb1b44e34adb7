"""What classical dictionaries share: how one describes itself, and what its fit gives.

A fit sees the rows of a tap but for those of the samples that are held out, in float64, as a stream or, where the kind
cannot do without, as a seeded subset in memory. It gives the arrays of a `FeatureSet`, whose equation it is bound to:

    z = x - centre,   c = rule(z E + b),   x' = c D + centre
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import NotEnoughData
from analysis.features import rules


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit found: `decoder` (k, d) and `centre` (d,); `encoder` (d, k), the decoder's transpose where None;
    `bias` (k,), 0 where None; `active` where the rule has a number of steps, `levels` where it has
    stages. `components`: numbers for each feature by
    what they are, each (k,); `facts` more to keep beside it; `caveats` in words."""

    decoder: np.ndarray
    centre: np.ndarray
    rule: str = rules.LINEAR
    encoder: np.ndarray | None = None
    bias: np.ndarray | None = None
    active: int | None = None
    levels: tuple[int, ...] = ()
    components: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classical:
    """One kind of dictionary. `make` : (rows: FitRows, params, rng, progress) -> Fitted. `papers` : what it is from."""

    name: str
    title: str
    summary: str
    params: type
    papers: tuple[str, ...]
    make: Callable[..., Fitted]


def refuse_more_than(asked: int, there: int, what: str, name: str) -> None:
    """Raise NotEnoughData where more components are asked for than there are rows of `what` to tell them apart."""
    if asked > there:
        raise NotEnoughData(
            f"{asked} components from {there} {what} of {name}", f"at most {there}",
            "Ask for fewer components, or record more samples",
        )  # fmt: skip
