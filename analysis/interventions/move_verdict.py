"""Does a change of activations work by a way that the network takes? The verdict on anything that was put at sites.

A claim is what some interventions do to the answer: x stands where h stood, y(x) - y(h). Looked at, with samples of
other folds for ranges and slopes:

    connected part      the change projected on the span of the slopes of the answer in natural samples, run alone; what
                        is left of it, run alone; as a null random spans of as many directions
    held in range       the change, but no unit leaves the range that it has by nature (or that h already left)
    dormancy            natural variance along the connected change, against random directions
    off the range       share of the squared change in units, or along its own main directions, that leave their natural
                        range; as a null natural samples exchanged whole; the same behind, where the changed run arrives

Words and thresholds are those of `patch_verdict`. A site that is exchanged whole with what it has in another sample
takes a value that is natural there: nothing that never moves is moved, so that none of this speaks against it (slopes
that miss some of its effect then say that the network is not straight, and a range that it leaves was too short). What
is left to doubt is where it meets the rest of the run, which is the other sample's: behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.patches.patch_verdict import (
    FAITHFUL,
    HALF,
    ILLUSORY,
    MOST,
    NOTHING,
    OUTSIDE,
    SUSPICIOUS,
)
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.interventions.interventions import Cell

GIVEN, CONNECTED, LEFT, HELD = "given", "connected", "left", "held"


@dataclass(frozen=True)
class Claim:
    """`cells` by run; `whole`: sites are exchanged whole with what they have in natural samples; `sized`: what is
    claimed is the size of the effect and not its direction, which may be another in each sample."""

    name: str
    cells: tuple[Cell, ...]
    whole: bool = False
    sized: bool = False


@dataclass(frozen=True)
class MoveVerdict:
    """`effects` (n,) by part, `random` (draws, n); `rank` of the span among `d` units; `variance` with
    `random_variance` (200,); `off`, `off_natural`, (n,) shares; `behind`, `behind_natural` the same, or None."""

    claim: Claim
    effects: dict[str, np.ndarray]
    random: np.ndarray
    rank: int
    d: int
    variance: float
    random_variance: np.ndarray
    off: np.ndarray
    off_natural: np.ndarray
    behind: np.ndarray | None
    behind_natural: np.ndarray | None

    def share(self, part: str) -> float:
        below = float(self.effects[GIVEN].mean())
        return float(self.effects[part].mean()) / below if below else 0.0

    def judged(self) -> tuple[str, tuple[str, ...]]:
        """The word, and what speaks against the claim."""
        given = self.effects[GIVEN]
        ends = mean_interval(given)
        if not given.any() or (ends and ends["low"] <= 0 <= ends["high"]):
            return NOTHING, (f"its effect of {given.mean():.3g} cannot be told from 0",)
        bad, doubtful, whole = [], [], self.claim.whole
        asked = [(CONNECTED, "its connected part alone has")]
        asked += [(HELD, "with every unit held in its natural range it keeps")]
        for part, said in [] if whole else asked:
            share = self.share(part)
            (bad if share < HALF else doubtful if share < MOST else []).append(
                f"{said} {share:.0%} of the effect"
            )
        if self.dormant and not whole:
            doubtful.append("its connected part hardly varies by nature")
        for off, natural, where in (
            (None if whole else self.off, self.off_natural, "of it"),
            (self.behind, self.behind_natural, "of what it changes behind"),
        ):
            if off is not None and off.mean() > natural.mean() + OUTSIDE:
                doubtful.append(
                    f"{off.mean():.0%} {where} is off the natural range ({natural.mean():.0%} of exchanged samples)"
                )
        return (ILLUSORY if bad else SUSPICIOUS if doubtful else FAITHFUL), (*bad, *doubtful)

    @property
    def dormant(self) -> bool:
        return self.variance < float(np.percentile(self.random_variance, 5)) * (1 - 1e-9)
