"""The parts of one sample's number: by slopes, by Shapley values, by Owen values of a hierarchy; and their null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.attribution.backgrounds import Background
from analysis.attribution.exchanged_slopes import exchanged_parts, slopes_of
from analysis.attribution.exchanged_values import budget_of_a_draw, exchanged_values
from analysis.attribution.path_gradients import PathValues, path_values
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.attribution.targets import Target
from analysis.compute.games.owen import owen_values
from analysis.compute.games.shapley import shapley_values
from analysis.compute.statistics.draw_ends import against_largest, band, tail
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate
from analysis.spec import Progress

EXACT = "for this sample and background nothing about them is drawn at random"
ROUNDING = 1e-6  # of the largest part: parts are not held apart from their null by less


@dataclass(frozen=True)
class Parts:
    """`values`, `low`, `high` (players,), None without an interval; `ends` the number on the background and on the
    sample; `said` what it took, in a sentence; `why` there is no interval, where there is none."""

    values: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    ends: tuple[float, float]
    said: str
    why: str = EXACT

    @property
    def notes(self) -> tuple[str, ...]:
        none = f"Parts have no interval: {self.why}."
        return (self.said,) if self.low is not None else (self.said, none)


def by_slopes(
    run: SampleRun,
    who: Players,
    behind: Background,
    target: Target,
    steps: int,
    less: Sequence[Background] = (),
) -> Parts:
    """`less`: the background with groups of its samples left out, for the interval where it is a mean of them."""
    found = path_values(run, who, behind, target, steps=steps)
    low, high = _over_backgrounds(found)
    each = [path_values(run, who, b, target, steps=steps) for b in less]
    half = jackknife_half(np.array([one.values for one in each])) if low is None and each else None
    if half is not None:
        low, high = found.values - half, found.values + half
    rows = found.rows + sum(one.rows for one in each)
    said = f"{rows:,} passes, {steps} slopes along the way." + (
        "" if low is None else " Intervals say how far parts hang on which samples make the background."
    )
    return Parts(found.values, low, high, (found.empty, found.full), said)


def by_values(
    run: SampleRun, who: Players, behind: Background, target: Target, budget: int, rng: np.random.Generator,
    progress: Progress, tree: list | None = None,
) -> Parts:  # fmt: skip
    """Shapley values; Owen values where there is a `tree` of the players."""
    inner = lambda f, doing="": progress(0.2 + 0.5 * f, doing)  # noqa: E731
    game = split_game(run, who, behind, target, progress=inner)
    found = shapley_values(game, budget, rng) if tree is None else owen_values(game, tree, rng, budget)
    low, high = (v[:, 0] for v in found.interval())
    if found.pairs == 0 or not np.isfinite(low).all():
        low = high = None
    said = f"{found.evaluations:,} coalitions, {found.model_rows:,} passes: {found.method}."
    why = EXACT if found.pairs == 0 else "coalitions were drawn once, and a larger budget would repeat that"
    return Parts(found.values[:, 0], low, high, (float(found.empty[0]), float(found.full[0])), said, why)


@dataclass(frozen=True)
class Null:
    """`draws` (n, players) parts by `way` when something else is asked, `of` what; `changed` (players,) bool, whose
    part can be anything but 0: the sample is not as the background there; `notes` what it took."""

    draws: np.ndarray
    changed: np.ndarray
    of: str
    way: str
    notes: tuple[str, ...] = ()

    @property
    def ends(self) -> np.ndarray:
        """(2, players): between which parts lie, but for the outermost draws."""
        return band(self.draws)

    @property
    def by_chance(self) -> float:
        """The share of parts that lie outside the ends when nothing is there."""
        return 2 * tail(len(self.draws)) / (len(self.draws) + 1)

    def beyond(self, values: np.ndarray) -> int:
        """How many parts (players,) lie outside the ends, of those that changed."""
        low, high = self.ends
        slack = ROUNDING * max(float(np.abs(values).max(initial=0)), 1e-300)
        return int((self.changed & ((values < low - slack) | (values > high + slack))).sum())


def null_parts(
    run: SampleRun, chosen, behind: Background, asked, params, slopes: bool, rng: np.random.Generator,
    progress: Progress, span,
) -> Null:  # fmt: skip
    """The parts of the `chosen` players when something else is `asked` for, by the way that the parts themselves were
    found by: `slopes`, or values. `params`: steps, budget, null_samples."""
    who, tree = chosen.who, chosen.tree
    pairs = asked.exchanged(run, lambda f: progress(span[0] + (span[1] - span[0]) * f, "parts of the null"))
    changed = np.any([who.changed(run.clean, b) for b in behind.rows], axis=0)
    if slopes:
        found = [slopes_of(own, behind.rows, target, params.steps) for own, target in pairs]
        return Null(exchanged_parts(run.clean, who, behind, found), changed, asked.of, "slopes")
    each = budget_of_a_draw(params.budget, params.null_samples, len(who.names))
    found = exchanged_values(run, who, behind, pairs, tree, each, rng)
    said = (f"Each of the {len(found):,} draws of the null took at most {each:,} coalitions.",)
    return Null(found, changed, asked.of, "Shapley values" if tree is None else "Owen values", said)


def parts_estimates(parts: Parts, null: Null, names, d: int) -> tuple[Estimate, ...]:
    """Shares are of the parts that changed; the largest part is held against the largest of as many by chance."""
    values, ends, m = parts.values, parts.ends, max(int(null.changed.sum()), 1)
    count, best = null.beyond(values), int(np.abs(values).argmax())
    what = f"{null.way} of {len(null.draws)} {null.of}"
    residual = abs(ends[1] - ends[0] - float(values.sum())) / max(abs(ends[1] - ends[0]), 1e-300)
    own = {"interval": f"none: {parts.why}"} if parts.low is None else {
        "low": float(parts.low[best]), "high": float(parts.high[best]), "interval": "Student's t, of this one part"
    }  # fmt: skip
    return (
        Estimate("parts beyond the null", count / m, *wilson(count, m), interval="Wilson over parts",
                 null=null.by_chance, null_method=f"{what}, exact", n=m, d=d,
                 estimator=f"outside what {null.way} of {null.of} give, of the parts that changed"),
        Estimate(f"largest part: {names[best]}", float(values[best]), **own,
                 **against_largest(values[best], np.abs(null.draws).max(axis=1)), n=m, d=d,
                 null_method=f"largest of all parts, {what}", estimator="the part of largest size"),
        Estimate("residual", float(residual), n=m, d=d,
                 null=0.0, null_method="parts that add up, exactly", interval="none: one sum of one sample",
                 estimator="|answer - background - sum of parts| / |answer - background|"),
    )  # fmt: skip


def _over_backgrounds(found: PathValues):
    n = len(found.each)
    if n < 3:
        return None, None
    half = stdtrit(n - 1, 0.975) * found.each.std(axis=0, ddof=1) / np.sqrt(n)
    return found.values - half, found.values + half
