"""The greedy order of groups, step by step, each beside chance, its runner-up and the best pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.games.reveal import Revealing
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.spec import Progress


def group_axes(x: np.ndarray, own, components: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rows (n, kept) of every group's principal axes on standardised units, and the columns of each group."""
    kept, groups, at = [], [], 0
    for units in own:
        part = x[:, units] - x[:, units].mean(axis=0)
        size = part.std(axis=0)
        part = np.divide(
            part, size, out=np.zeros_like(part), where=size > 1e-9 * max(float(size.max()), 1e-300)
        )
        left, values, _ = np.linalg.svd(part, full_matrices=False)
        some = left[:, :components] * values[:components]
        kept.append(some)
        groups.append(np.arange(at, at + some.shape[1]))
        at += some.shape[1]
    return np.concatenate(kept, axis=1), groups


def reveal_steps(game: Revealing, names, costs, draws: int, rng, progress: Progress, span):
    """The columns (steps,) by name, and the gains (n,) of every step."""
    left, revealed, lines, all_gains = list(range(len(names))), [], [], []
    alone = game.gains([], left).mean(axis=1)
    ranking = [int(g) for g in np.argsort(-alone / costs, kind="stable")]
    while left:
        share = len(revealed) / len(names)
        progress(span[0] + (span[1] - span[0]) * share, f"step {len(revealed) + 1} of {len(names)}")
        gains = game.gains(revealed, left)
        order = np.argsort(-gains.mean(axis=1) / costs[left], kind="stable")
        first, second = order[0], order[min(1, len(order) - 1)]
        pairs = [
            game.loss(revealed).mean() - game.loss([*revealed, *p]).mean() for p in combinations(left, 2)
        ]
        chance = game.shuffled(revealed, left[first], draws, rng)
        rate = gains / costs[left][:, None]
        apart = mean_interval(rate[first] - rate[second])
        lines.append(_line(len(lines) + 1, gains[first], chance, names, left, first, second, apart, pairs))
        all_gains.append(gains[first])
        revealed.append(left.pop(first))
        k = len(revealed)
        lines[-1] |= {
            "told so far": float(np.mean(game.loss([]) - game.loss(revealed))), "accuracy": game.accuracy(revealed),
            "accuracy, fixed ranking": game.accuracy(ranking[:k]), "cost so far": float(costs[revealed].sum()),
        }  # fmt: skip
    columns = {name: np.array([line[name] for line in lines]) for name in lines[0]}
    return columns, all_gains


def _line(step: int, gain, chance, names, left, first: int, second: int, apart: dict, pairs) -> dict:
    mean, n = float(gain.mean()), len(gain)
    half = float(stdtrit(n - 1, 0.975) * gain.std(ddof=1) / np.sqrt(n))
    top = float(np.percentile(chance, 97.5))
    alone = first == second
    return {
        "step": step, "group": names[left[first]], "gain": mean, "low": mean - half, "high": mean + half,
        "by chance": float(chance.mean()), "by chance, high": top, "runner-up": "" if alone else names[left[second]],
        "tie": bool(not alone and apart["low"] <= 0), "best pair": float(max(pairs)) if pairs else mean,
        "worth it": bool(mean > top and mean - half > 0),
    }  # fmt: skip
