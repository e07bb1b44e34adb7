"""Does a name tell held-out examples apart? Detection as in Bills et al. (2023) and Paulo et al. (2024).

The model is shown a active and s silent examples without marks, in a random order, and says which fit the name: h of
the active ones, f of the silent ones. As for `feature_names`, the AUROC of such a yes or no, its balanced accuracy, is

    A = ½ (1 + h / a - f / s)

The interval is Newcombe's of a difference of two shares (each by Wilson). By chance, with h + f examples drawn without
looking, h is hypergeometric: A is ½ on average, and its distribution is exact. It says that the name is some use to
this model on these examples, not that it is the only or the best one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate

LEVEL = 0.05


@dataclass(frozen=True)
class Detection:
    """`active` and `silent` examples were shown, of which `hits` and `alarms` were said to fit."""

    active: int
    silent: int
    hits: int
    alarms: int

    @property
    def auroc(self) -> float:
        return 0.5 * (1 + self.hits / self.active - self.alarms / self.silent)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        p, q = self.hits / self.active, self.alarms / self.silent
        (p_low, p_high), (q_low, q_high) = wilson(self.hits, self.active), wilson(self.alarms, self.silent)
        low = p - q - math.hypot(p - p_low, q_high - q)
        high = p - q + math.hypot(p_high - p, q - q_low)
        return 0.5 * (1 + low), 0.5 * (1 + high)

    def by_chance(self) -> list[tuple[float, float]]:
        """(AUROC, probability) of every number of hits that as many answers without looking could have."""
        said, a, s = self.hits + self.alarms, self.active, self.silent
        every = math.comb(a + s, said)
        found = []
        for h in range(max(0, said - s), min(a, said) + 1):
            found.append(
                (0.5 * (1 + h / a - (said - h) / s), math.comb(a, h) * math.comb(s, said - h) / every)
            )
        return found

    @property
    def p_value(self) -> float:
        """How often answers without looking reach as much."""
        return min(1.0, sum(p for value, p in self.by_chance() if value >= self.auroc - 1e-12))

    @property
    def chance_high(self) -> float:
        """What 95 % of answers without looking do not exceed."""
        total = 0.0
        for value, p in self.by_chance():
            total += p
            if total >= 1 - LEVEL - 1e-12:
                return value
        return 1.0

    @property
    def beyond_chance(self) -> bool:
        return self.p_value <= LEVEL and self.interval[0] > 0.5

    @property
    def estimate(self) -> Estimate:
        low, high = self.interval
        return Estimate(
            "detection AUROC", self.auroc, low, high, interval="Newcombe", null=0.5, null_high=self.chance_high,
            null_method="as many answers without looking, exact", p_value=self.p_value, n=self.active + self.silent,
            estimator="a language model on held-out examples",
        )  # fmt: skip
