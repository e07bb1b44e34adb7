"""Shapley values: what a token adds, averaged over all orders in which tokens can come.

    φ_k = Σ_S |S|! (M - |S| - 1)! / M! ( v(S + k) - v(S) ) ,   v(S) = mean over b of y(x where S, b elsewhere)

Exact where 2^M coalitions are within the budget, else the estimator of `analysis.compute.games.shapley` with its
standard errors. Above `PLAYERS` tokens neighbours play together, and each has an even part of what they are owed.

Cost: min(budget, 2^M) coalitions x background rows.

Reference: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.players import Coordinates, each_token, grouped, patches
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.compute.games.shapley import shapley_values

PLAYERS = 196


def token_players(run: SampleRun, most: int = PLAYERS) -> Coordinates:
    """Tokens, or neighbours of them together, so that there are at most so many."""
    tokens = run.shape[0]
    if tokens <= most:
        return each_token(tokens)
    size = 2
    while _players(tokens, run.grid, run.leading, size) > most:
        size += 1
    if run.grid is not None:
        return patches(run.grid, size, run.leading)
    runs = np.split(np.arange(tokens), np.arange(size, tokens, size))
    return grouped(runs, [f"tokens {r[0]} to {r[-1]}" for r in runs], tokens)


def _players(tokens: int, grid, leading: int, size: int) -> int:
    if grid is None:
        return -(-tokens // size)
    return leading + -(-grid[0] // size) * -(-grid[1] // size)


def shapley(question: Question) -> SaliencyMap:
    run, who = question.run, token_players(question.run)
    game = split_game(run, who, question.background, question.target)
    budget = max(question.settings.budget, 2 * len(who.names) + 2)
    found = shapley_values(game, budget, question.rng)
    owner = np.broadcast_to(who.owner, (run.shape[0], 1))[:, 0]
    size = np.bincount(owner)[owner]
    notes = [f"Shapley values: {found.method}, {found.evaluations:,} coalitions."]
    if size.max() > 1:
        notes.append(f"Up to {size.max()} neighbouring tokens play together: {len(who.names)} players.")
    errors = found.errors[owner, 0] / size
    return SaliencyMap(
        found.values[owner, 0] / size, found.model_rows, float(found.residual[0]), errors, tuple(notes)
    )


def _passes(tokens: int, rows: int, settings: Settings) -> int:
    players = min(tokens, PLAYERS)
    most = max(settings.budget, 2 * players + 2)
    return rows * (min(2**players, most) if players <= 20 else most)


def _held(tokens: int, settings: Settings) -> float:
    players = min(tokens, PLAYERS)
    return 25.0 * players * min(max(settings.budget, 2 * players + 2), 2.0 ** min(players, 60))


WAYS = (
    Way(
        "Shapley values", "What a token adds, over all orders.", shapley, _passes, signed=True, complete=True,
        paper="SHAP: a unified approach", held=_held,
    ),
)  # fmt: skip
