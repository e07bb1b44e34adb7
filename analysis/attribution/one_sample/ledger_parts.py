"""The parts of one sample's number: by slopes, by Shapley values, by Owen values of a hierarchy; and their null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.attribution.backgrounds import Background
from analysis.attribution.exchanged_slopes import exchanged_parts
from analysis.attribution.path_gradients import PathValues, path_values
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.attribution.targets import Target
from analysis.compute.games.owen import owen_values
from analysis.compute.games.shapley import shapley_values
from analysis.compute.statistics.draw_ends import band, tail
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate
from analysis.spec import Progress


@dataclass(frozen=True)
class Parts:
    """`values`, `low`, `high` (players,), None without an interval; `ends` the number on the background and on the
    sample; `said` what it took, in a sentence."""

    values: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    ends: tuple[float, float]
    said: str


def by_slopes(run: SampleRun, who: Players, behind: Background, target: Target, steps: int) -> Parts:
    found = path_values(run, who, behind, target, steps=steps)
    low, high = _over_backgrounds(found)
    said = f"{found.rows:,} passes, {steps} slopes along the way."
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
    return Parts(found.values[:, 0], low, high, (float(found.empty[0]), float(found.full[0])), said)


def null_ends(x, who: Players, behind: Background, slopes: list) -> np.ndarray:
    """(2, players): between which parts with these slopes lie, but for the outermost of them."""
    return band(exchanged_parts(x, who, behind, slopes))


def parts_estimates(parts: Parts, null: np.ndarray, draws: int, of: str, d: int) -> tuple[Estimate, ...]:
    """Of the parts that are not 0 whatever the slopes: their players are not as on the background. `of`: what the null
    is drawn from."""
    values, ends = parts.values, parts.ends
    changed = null[0] < null[1]
    count, m = beyond(values, null), max(int(changed.sum()), 1)
    residual = abs(ends[1] - ends[0] - float(values.sum())) / max(abs(ends[1] - ends[0]), 1e-300)
    return (
        Estimate("parts beyond the null", count / m, *wilson(count, m), interval="Wilson over parts",
                 null=2 * tail(draws) / (draws + 1), null_method=f"slopes of {draws} {of}, exact", n=m, d=d,
                 estimator=f"outside what slopes of {of} give, of the parts that changed"),
        Estimate("residual", float(residual), n=m, d=d,
                 estimator="|answer - background - sum of parts| / |answer - background|"),
    )  # fmt: skip


def beyond(values: np.ndarray, null: np.ndarray) -> int:
    """How many parts (players,) lie outside the null's ends (2, players)."""
    return int((((values < null[0]) | (values > null[1])) & (null[0] < null[1])).sum())


def _over_backgrounds(found: PathValues):
    n = len(found.each)
    if n < 3:
        return None, None
    half = stdtrit(n - 1, 0.975) * found.each.std(axis=0, ddof=1) / np.sqrt(n)
    return found.values - half, found.values + half
