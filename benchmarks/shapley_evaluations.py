"""Model evaluations that sampled Shapley values need for a given error, against the explainers of `shap`.

    python benchmarks/shapley_evaluations.py [--game california] [--players 100] [--real FOLDER] [--times 4 8 16]
        [--every-way] [--keep FOLDER]

The games are those of `shapley_games`; FOLDER holds the real networks and data. Trained: `cancer` (30 columns),
`california` (100 hidden units, or groups of them), `images` (100 or 196 patches for a CNN), `vit` (49 patches, or 196
blocks of pixels), `digits` (16 patches or 64 pixels for a ViT), `stories` (tokens for a language model). Not trained:
`attention`, `products`, and `noise`, where no estimator can keep the limit (see `BOUND`). Where there is no closed form
the truth comes from the adjusted regression with many more evaluations, and its own error is printed.

The peers: `PermutationExplainer` and `KernelExplainer(l1_reg=False)` on the same game as a function of which players
are there, so that one row is one coalition. Each is run at TIMES x 2 x players evaluations, mean squared error over
players and seeds; the smaller of both is the target. Evaluations that `auto` needs for it are read off its own curve,
and then run with other seeds: `error there`. Limit for the ratio of evaluations: 1/2. Limit for the ratio of seconds,
of the processor and with the game's own evaluations: 1, where an evaluation takes 0.1 ms or more. `inside` is the share
of true values within our 95 % intervals. Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shapley_games import GAMES, Value

from analysis.compute.games.exact import MOST_PLAYERS, exact_values
from analysis.compute.games.game import Game
from analysis.compute.games.regression_adjusted import adjusted_values
from analysis.compute.games.shapley import shapley_values

OURS = (1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16)
PEERS = ("Kernel", "Permutation")
WAYS = ("permutations", "paired regression", "adjusted regression")
SLOW = 1e-4  # seconds of an evaluation from which ours must not take longer
BOUND = """\
    Why not here: where the value of a coalition says nothing of another's, an unbiased estimate from n pairs has a mean
    squared error of at least (Σ_s 1 / √(s (M - s)))² σ² / (n M): as many pairs of size s as 1 / √(s (M - s)) asks. The
    Kernel explainer's is (M - 1) Σ_s 1 / (s (M - s)) σ² / ((n - M) M). So no estimator needs less of its evaluations
    than about"""


def peer(value: Value, players: int, name: str, budget: int, seed: int) -> tuple[np.ndarray, int]:
    """Values and rows asked for of one of shap's explainers."""
    import shap

    asked = [0]

    def counted(z: np.ndarray) -> np.ndarray:
        asked[0] += len(z)
        return value(np.asarray(z) > 0.5)

    there, absent = np.ones((1, players)), np.zeros((1, players))
    if name == "Kernel":
        np.random.seed(seed)  # noqa: NPY002  (it draws from the global generator)
        explainer = shap.KernelExplainer(counted, absent)
        return np.ravel(explainer.shap_values(there, nsamples=budget - 2, l1_reg=False, silent=True)), asked[
            0
        ]
    explainer = shap.PermutationExplainer(counted, absent, seed=seed)
    found = explainer(there, max_evals=max(budget, 2 * players + 1), batch_size=4096, silent=True)
    return np.ravel(found.values), asked[0]


def repeated(act: Callable[[int], tuple[np.ndarray, int]], known: np.ndarray, seeds: int) -> np.ndarray:
    """Mean squared error, evaluations and seconds, means over seeds."""
    rows = []
    for seed in range(seeds):
        started = time.process_time()
        values, asked = act(seed)
        rows.append((((values - known) ** 2).mean(), asked, time.process_time() - started))
    return np.mean(rows, axis=0)


def ours(
    value: Value, players: int, way: str, budget: int, seed: int, inside: list | None = None, known=None
):
    """Values and evaluations of ours; `inside` gains the share of `known` within the intervals."""
    found = shapley_values(Game(value, players, batch=4096), budget, np.random.default_rng(seed), way)
    if inside is not None:
        low, high = found.interval()
        inside.append(((low[:, 0] <= known) & (known <= high[:, 0])).mean())
    return found.values[:, 0], found.evaluations


def bound(players: int, times: float) -> float:
    """The least ratio of evaluations on a game without structure when the Kernel explainer has `times` 2 M."""
    sizes = [s * (players - s) for s in range(1, players)]
    least = sum(1 / sqrt(s) for s in sizes) ** 2 / ((players - 1) * sum(1 / s for s in sizes))
    return least * (1 - 1 / times)


def shown(curve: list[np.ndarray]) -> str:
    return "  ".join(f"{c[1]:.0f}: {c[0]:.1e}" for c in curve)


def needed(curve: list[np.ndarray], target: float) -> float:
    """Evaluations at which a curve of (error, evaluations, seconds) first reaches the target, on logarithmic axes."""
    error, cost = np.log([c[0] for c in curve]), np.log([c[1] for c in curve])
    for k, reached in enumerate(error <= np.log(target)):
        if reached:
            if k == 0:
                return float(np.exp(cost[0]))
            share = (error[k - 1] - np.log(target)) / (error[k - 1] - error[k])
            return float(np.exp(cost[k - 1] + share * (cost[k] - cost[k - 1])))
    return float("inf")


def truth(
    value: Value, players: int, each: float, seconds: float, kept: Path | None
) -> tuple[np.ndarray, float]:
    """Values from as many evaluations as take so long, and their mean squared standard error."""
    game = Game(value, players, batch=4096)
    if players <= MOST_PLAYERS:
        return exact_values(game).values[:, 0], 0.0
    if kept is not None and kept.exists():
        values, errors = np.load(kept)
    else:
        found = adjusted_values(game, min(int(seconds / each), 200_000), np.random.default_rng(10**6))
        values, errors = found.values[:, 0], found.errors[:, 0]
    if kept is not None:
        np.save(kept, [values, errors])
    return values, float((errors**2).mean())


def seconds_each(value: Value, players: int) -> float:
    """Of the processor for one evaluation, in a batch."""
    some = np.random.default_rng(1).random((256, players)) < 0.5
    value(some)
    started = time.process_time()
    value(some)
    return (time.process_time() - started) / len(some)


def compare(name: str, players: int, asked: argparse.Namespace) -> None:
    value, known = GAMES[name](players, asked.real)
    seeds, ways = asked.seeds, WAYS if asked.every_way else WAYS[-1:]
    each, unsure = seconds_each(value, players), 0.0
    if known is None:
        known, unsure = truth(
            value, players, each, asked.truth_seconds, asked.keep and asked.keep / f"{name}-{players}.npy"
        )
    unit = 2 * players
    print(f"{name}, {players} players: {1e3 * each:.2f} ms an evaluation, mean square of the values "
          f"{np.mean(known**2):.2e}, squared error of the truth {unsure:.1e}, {seeds} seeds")  # fmt: skip
    curves = {}
    for peers in PEERS:
        peer(value, players, peers, 2 * unit, 0)  # compiles
        curves[peers] = [
            repeated(lambda s, p=peers, b=t * unit + 2: peer(value, players, p, b, s), known, seeds)
            for t in asked.times
        ]
        print(f"  shap {peers:15s}", shown(curves[peers]), flush=True)
    least = min(curve[-1][0] for curve in (curves[p] for p in PEERS))
    for way in ways:
        curves[way] = []
        for budget in (int(t * unit) + 2 for t in OURS if t > 1 or way == "permutations"):
            if way == "permutations" and budget > 4 * unit + 2:
                break
            curves[way].append(
                repeated(lambda s, w=way, b=budget: ours(value, players, w, b, s), known, seeds)
            )
            if curves[way][-1][0] <= least:
                break
        print(f"  {way:20s}", shown(curves[way]), flush=True)
    for k in range(len(asked.times)):
        verdict(value, known, players, curves, k, seeds, each)
    if name == "noise":
        print(BOUND, ", ".join(f"{bound(players, t):.2f}" for t in asked.times))


def verdict(
    value: Value, known: np.ndarray, players: int, curves: dict, k: int, seeds: int, each: float
) -> None:
    """One line: as good as the better of both peers at the k-th of their budgets."""
    best = min(PEERS, key=lambda p: curves[p][k][0])
    error, cost, spent = curves[best][k]
    enough, inside = needed(curves["adjusted regression"], error), []
    line = f"  as good as shap {best} at {cost:5.0f} ({error:.1e}):"
    others = ", ".join(f"{w} {needed(curves[w], error) / cost:.2f}" for w in WAYS if w in curves)
    if not np.isfinite(enough):
        print(f"{line} not reached; {others}")
        return
    act = lambda s: ours(value, players, "auto", round(enough), s + 100, inside, known)  # noqa: E731
    run = repeated(act, known, seeds)
    kept = "kept" if run[1] / cost <= 0.5 else "MISSED"
    slow = "no limit" if each < SLOW else "kept" if run[2] <= spent else "MISSED"
    print(f"{line} ours {run[1]:5.0f}, ratio {run[1] / cost:.2f} (limit 0.50 {kept}), error there {run[0]:.1e}, "
          f"inside {np.mean(inside):.2f}, seconds {run[2]:.2f} against {spent:.2f}, ratio "
          f"{run[2] / spent:.2f} ({slow}); by way: {others}", flush=True)  # fmt: skip


def main() -> None:
    """Print curves and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--game", choices=GAMES, default="california")
    parser.add_argument("--players", type=int, default=100)
    parser.add_argument("--real", type=Path, default=None)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--times", type=int, nargs="+", default=[4, 8, 16], help="budgets of the peers / 2 M")
    parser.add_argument(
        "--every-way", action="store_true", help="curves of the ways that auto does not take too"
    )
    parser.add_argument("--keep", type=Path, default=None, help="folder for values that took long to find")
    parser.add_argument("--truth-seconds", type=float, default=30.0)
    asked = parser.parse_args()
    logging.getLogger("shap").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    players = 30 if asked.game == "cancer" else asked.players
    compare(asked.game, players, asked)


if __name__ == "__main__":
    main()
