"""Model evaluations that sampled Shapley values need for a given error, against the explainers of `shap`.

    python benchmarks/shapley_evaluations.py [--game products|cancer|images|attention] [--players 30] [--order 4]
        [--real FOLDER]

The games: `products`, a sum of 5 random products per player, each of 1 to ORDER players and all of like size, whose
Shapley values are known in closed form: the hardest for a smooth surrogate; `cancer`, scikit-learn's breast cancer data
(30 columns), an MLP trained on the spot, absent columns averaged over 100 rows of background, all of them; `images`
(100 or 196 players, needs FOLDER with fashion/), a trained CNN's logit of a Fashion-MNIST picture, absent patches
replaced by the mean picture; `attention`, two random layers of attention over as many tokens. Where there is no closed
form the truth comes from the adjusted regression with many more evaluations, and its own error is printed.

The peers: `PermutationExplainer` and `KernelExplainer(l1_reg=False)` on the same game as a function of which players
are there, so that one row is one coalition. Each is run at 4, 8 and 16 times 2 x players evaluations, mean squared
error over players and seeds; the smaller of both is the target. Evaluations that `auto` needs for it are read off its
own curve, and then run with other seeds: `error there`. Limit for the ratio of evaluations: 1/2. Seconds are of the
processor and hold the game's own evaluations; set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.compute.games.game import Game
from analysis.compute.games.regression_adjusted import adjusted_values
from analysis.compute.games.shapley import chosen, shapley_values

TIMES = (4, 8, 16)  # budgets of the peers in units of 2 x players
OURS = (1, 2, 3, 4, 6, 8, 12, 16)
PEERS = ("Kernel", "Permutation")
WAYS = ("permutations", "paired regression", "adjusted regression")
Value = Callable[[np.ndarray], np.ndarray]


def products(players: int, real: Path | None, order: int) -> tuple[Value, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, order + 1, 5 * players)
    inside = np.zeros((len(sizes), players), dtype=np.float32)
    for row, size in zip(inside, sizes, strict=True):
        row[rng.choice(players, size, replace=False)] = 1
    worth = rng.standard_normal(len(sizes))
    known = inside.T @ (worth / sizes)
    return lambda c: (c.astype(np.float32) @ inside.T == sizes) @ worth, known


def cancer(players: int, real: Path | None, order: int) -> tuple[Value, None]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.neural_network import MLPClassifier

    data = load_breast_cancer()
    x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    net = MLPClassifier((64, 32), max_iter=100, random_state=0).fit(x[100:], data.target[100:])
    background, row = x[100:200], x[3]

    def value(c: np.ndarray) -> np.ndarray:
        answers = []
        for some in np.array_split(c, -(-len(c) // 128)):
            h = np.where(some[:, None], row, background).reshape(-1, 30)
            for w, b in zip(net.coefs_[:-1], net.intercepts_[:-1], strict=True):
                h = np.maximum(h @ w + b, 0)
            answers.append((h @ net.coefs_[-1] + net.intercepts_[-1]).reshape(len(some), -1).mean(axis=1))
        return np.concatenate(answers)

    return value, None


def images(players: int, real: Path | None, order: int) -> tuple[Value, None]:
    import torch
    from torch import nn

    if real is None:
        raise SystemExit("images: name the folder that holds fashion/ with --real")
    net = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    weights = torch.load(real / "fashion" / "fashion_mnist.pth", weights_only=True, map_location="cpu")
    net.load_state_dict(weights)
    pictures = np.load(real / "fashion" / "fashion_mnist_test.npz")["images"].astype(np.float32) / 255
    x, mean = torch.tensor(pictures[1234]), torch.tensor(pictures[::10].mean(axis=0))
    side = round(players**0.5)
    along = np.arange(28) * side // 28
    patch = torch.tensor(along[:, None] * side + along)
    with torch.no_grad():
        label = int(net(x[None, None]).argmax())

    @torch.no_grad()
    def value(c: np.ndarray) -> np.ndarray:
        parts = (torch.where(some[:, patch], x, mean)[:, None] for some in torch.tensor(c).split(512))
        return np.concatenate([net(part)[:, label].double().numpy() for part in parts])

    return value, None


def attention(players: int, real: Path | None, order: int) -> tuple[Value, None]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0, norm_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    tokens, places, head = torch.randn(players, 16) * 1.5, torch.randn(players, 16) / 2, torch.randn(16)
    for weight in net.parameters():
        weight.requires_grad_(False).mul_(2 if weight.ndim > 1 else 1)

    @torch.no_grad()
    def value(c: np.ndarray) -> np.ndarray:
        parts = torch.tensor(c)[:, :, None].float().split(128)
        return np.concatenate(
            [(net(tokens * part + places).mean(1) @ head).double().numpy() for part in parts]
        )

    return value, None


GAMES = {"products": products, "cancer": cancer, "images": images, "attention": attention}


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
    found = explainer(there, max_evals=max(budget, 2 * players + 1), silent=True)
    return np.ravel(found.values), asked[0]


def repeated(act: Callable[[int], tuple[np.ndarray, int]], known: np.ndarray, seeds: int) -> np.ndarray:
    """Mean squared error, evaluations and seconds, means over seeds."""
    rows = []
    for seed in range(seeds):
        started = time.process_time()
        values, asked = act(seed)
        rows.append((((values - known) ** 2).mean(), asked, time.process_time() - started))
    return np.mean(rows, axis=0)


def ours(value: Value, players: int, way: str, budget: int, seed: int) -> tuple[np.ndarray, int]:
    found = shapley_values(Game(value, players, batch=4096), budget, np.random.default_rng(seed), way)
    return found.values[:, 0], found.evaluations


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


def truth(value: Value, players: int, seconds: float) -> tuple[np.ndarray, float]:
    """Values from as many evaluations as take so long, and their mean squared standard error."""
    some = np.random.default_rng(1).random((512, players)) < 0.5
    value(some)
    started = time.process_time()
    value(some)
    budget = int(512 * seconds / (time.process_time() - started))
    found = adjusted_values(
        Game(value, players, batch=4096), min(budget, 200_000), np.random.default_rng(10**6)
    )
    return found.values[:, 0], float((found.errors**2).mean())


def compare(name: str, players: int, real: Path | None, order: int, seeds: int, seconds: float) -> None:
    value, known = GAMES[name](players, real, order)
    unsure = 0.0
    if known is None:
        known, unsure = truth(value, players, seconds)
    unit = 2 * players
    title = f"{name} of up to {order}" if name == "products" else name
    print(f"{title}, {players} players: mean square of the values {np.mean(known**2):.2e}, "
          f"squared error of the truth {unsure:.1e}, {seeds} seeds")  # fmt: skip
    curves = {}
    for name in PEERS:
        peer(value, players, name, 2 * unit, 0)  # compiles
        curves[name] = [
            repeated(lambda s, p=name, b=t * unit + 2: peer(value, players, p, b, s), known, seeds)
            for t in TIMES
        ]
        print(f"  shap {name:15s}", shown(curves[name]), flush=True)
    least = min(curve[-1][0] for curve in curves.values())
    for way in WAYS:
        curves[way] = []
        for budget in (int(t * unit) + 2 for t in OURS if t >= 2 or way == "permutations"):
            curves[way].append(
                repeated(lambda s, w=way, b=budget: ours(value, players, w, b, s), known, seeds)
            )
            if curves[way][-1][0] <= least:
                break
        print(f"  {way:20s}", shown(curves[way]), flush=True)
    few = [c for c in curves["permutations"] if chosen(players, int(c[1]) + 2) == "permutations"]
    curves["auto"] = few + curves["adjusted regression"]
    for k in range(len(TIMES)):
        best = min(PEERS, key=lambda p: curves[p][k][0])
        error, cost, spent = curves[best][k]
        enough = needed(curves["auto"], error)
        line = f"  as good as shap {best} at {cost:5.0f} ({error:.1e}):"
        others = ", ".join(f"{w} {needed(curves[w], error) / cost:.2f}" for w in WAYS)
        if not np.isfinite(enough):
            print(f"{line} not reached; {others}")
            continue
        run = repeated(lambda s, b=int(enough): ours(value, players, "auto", b, s + 100), known, seeds)
        verdict = "kept" if run[1] / cost <= 0.5 else "MISSED"
        print(f"{line} ours {run[1]:5.0f}, ratio {run[1] / cost:.2f} (limit 0.50 {verdict}), error there {run[0]:.1e}, "
              f"seconds {run[2]:.2f} against {spent:.2f}, ratio {run[2] / spent:.1f}; by way: {others}",
              flush=True)  # fmt: skip


def main() -> None:
    """Print curves and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--game", choices=GAMES, default="products")
    parser.add_argument("--players", type=int, default=30)
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--real", type=Path, default=None)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--truth-seconds", type=float, default=30.0)
    asked = parser.parse_args()
    logging.getLogger("shap").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    players = 30 if asked.game == "cancer" else asked.players
    compare(asked.game, players, asked.real, asked.order, asked.seeds, asked.truth_seconds)


if __name__ == "__main__":
    main()
