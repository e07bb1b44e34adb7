"""What two aligned representations find of each other along 1, 2, 4 ... shared directions, and in the full space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.retrieval.mate_search import (
    MateSearch,
    cosine,
    exchanged_hits,
    mate_search,
    nearness,
    share_ends,
    small_cka,
)
from analysis.compute.similarity.aligned_split import Aligned
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

MEASURES = ("matching accuracy", "recall at 1", "recall at 5", "CKA")
FULL = "full space: "
SIMILARITIES = {"cosine": cosine, "distance": nearness}
SHARE, CKA = "Wilson, test samples as independent", "jackknife over groups of samples, t"


@dataclass(frozen=True)
class Step:
    """One set of directions: the `search` for mates and the `cka` (1 + G,)."""

    search: MateSearch
    cka: np.ndarray

    def values(self) -> np.ndarray:
        """(4,) as MEASURES."""
        return np.array([self.search.matching, self.search.recall(1), self.search.recall(5), self.cka[0]])

    def ends(self) -> np.ndarray:
        """(2, 4) low and high."""
        shares = [share_ends(float(v), self.search.n) for v in self.values()[:3]]
        half = float(np.nan_to_num(jackknife_half(self.cka)))
        return np.array([*shares, (max(self.cka[0] - half, -1.0), min(self.cka[0] + half, 1.0))]).T


@dataclass(frozen=True)
class Steps:
    """`k` (s,) numbers of directions, a step for each, and the `full` space; m test samples, `d` kept dimensions."""

    k: np.ndarray
    steps: tuple[Step, ...]
    full: Step
    d: int

    @property
    def m(self) -> int:
        return self.full.search.n

    @property
    def nulls(self) -> np.ndarray:
        """(4,) exact means when mates are exchanged."""
        return np.array([1 / self.m, 1 / self.m, min(5 / self.m, 1.0), 0.0])

    def lines(self) -> dict[str, dict[str, np.ndarray]]:
        """`series`, `low`, `high` and `null` of a curve over k."""
        parts = [("", self.steps), (FULL, (self.full,) * len(self.k))]
        out: dict[str, dict[str, np.ndarray]] = {"series": {}, "low": {}, "high": {}, "null": {}}
        for prefix, steps in parts:
            values, ends = np.array([s.values() for s in steps]), np.array([s.ends() for s in steps])
            for j, name in enumerate(MEASURES):
                out["series"][prefix + name] = values[:, j]
                out["low"][prefix + name], out["high"][prefix + name] = ends[:, 0, j], ends[:, 1, j]
                out["null"][prefix + name] = np.full(len(self.k), self.nulls[j])
        return out

    def best(self, draws: int, rng: np.random.Generator) -> tuple[Estimate, Estimate]:
        """Matching and recall at 1 along the best k, against the best k after each exchange of mates."""
        out = []
        for j, name in enumerate(MEASURES[:2]):
            values = np.array([s.values()[j] for s in self.steps])
            value, at = float(values.max()), int(values.argmax())
            guesses = np.array([s.search.matched if j == 0 else s.search.nearest for s in self.steps])
            drawn = exchanged_hits(guesses, draws, rng).max(axis=1)
            out.append(
                Estimate(f"{name}, best of {len(self.k)} (k = {self.k[at]})", value, *share_ends(value, self.m),
                         interval=SHARE, **against(value, drawn), n=self.m, d=self.d, estimator="share of test samples",
                         null_method=f"mates exchanged {draws} times, best k each time")
            )  # fmt: skip
        return tuple(out)

    def named(self, where: str, step: Step) -> tuple[Estimate, ...]:
        """All four measures of one step."""
        low, high = step.ends()
        how = {True: (CKA, "unbiased linear CKA"), False: (SHARE, "share of test samples")}
        return tuple(
            Estimate(f"{name}, {where}", float(v), float(low[j]), float(high[j]), interval=how[name == "CKA"][0],
                     null=float(self.nulls[j]), null_method="mates exchanged, exact mean", n=self.m, d=self.d,
                     estimator=how[name == "CKA"][1])
            for j, (name, v) in enumerate(zip(MEASURES, step.values(), strict=True))
        )  # fmt: skip


def steps_of(
    found: Aligned,
    similarity: str,
    largest: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.5, 0.9),
) -> Steps:
    """k doubled from 1 to all shared directions, `largest` at most. Time O(m³) at worst for each k."""
    most, like = min(len(found.rho), largest), SIMILARITIES[similarity]
    k = np.unique(np.append(2 ** np.arange(int(np.log2(most)) + 1), most))
    group, steps = groups_of(len(found.x), rng), []

    def step(one: np.ndarray, other: np.ndarray, *, mapped: np.ndarray | None = None) -> Step:
        guessed = one if mapped is None else mapped
        return Step(mate_search(like(guessed, other), rng), small_cka(one, other, group))

    for i, take in enumerate(k):
        progress(span[0] + (span[1] - span[0]) * i / len(k), f"matching along {take} directions")
        steps.append(step(found.x[:, :take], found.y[:, :take]))
    progress(span[1], "matching in the full space")
    return Steps(k, tuple(steps), step(found.plain, found.target, mapped=found.mapped), max(found.ranks))
