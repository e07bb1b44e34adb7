"""CKA of 12 x 12 layers: against the matrix products it needs, and against a Gram matrix for every pair.

    python benchmarks/similarity_speed.py [--samples 10000] [--units 768] [--layers 12]

Two networks of 12 layers, activations of float32. Ours: `cka` from arrays to the finished result, unbiased, in float64,
with exact nulls, p-values and jackknife intervals of every cell. The products it needs: one float64 XᵀY for each pair,
one XᵀX for each layer. The peers are what is commonly run, per pair two n x n Gram matrices, timed on a few pairs and
multiplied: U-centred, with three inner products of them (the original notebook's way), in float32 as activations come
and in float64, which is as exact as ours; and with HSIC as the trace of a matrix product, three for each pair (the way
of the common package for PyTorch), in float32. Last a third network is added in a workspace that keeps
what it finds: its own layers alone are passed over, its own pairs alone are made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis import pipeline
from analysis.activations import ArrayActivations
from analysis.compute.similarity import cka_grid, hsic
from analysis.compute.similarity.similarity_grid import NETWORKS
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.store.cache import ResultCache


def layers(n: int, d: int, count: int, seed: int) -> list[np.ndarray]:
    """A random walk, each layer adding to the one before."""
    rng = np.random.default_rng(seed)
    found = [np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)]
    for _ in range(count - 1):
        found.append(found[-1] + rng.standard_normal((n, d)).astype(np.float32))
    return found


def centred(gram: np.ndarray) -> np.ndarray:
    """U-centred in place."""
    n = len(gram)
    np.fill_diagonal(gram, 0)
    rows = gram.sum(axis=0) / (n - 2)
    rows -= rows.sum() / (2 * (n - 1))
    gram -= rows[:, None]
    gram -= rows
    np.fill_diagonal(gram, 0)
    return gram


def by_grams(x: np.ndarray, y: np.ndarray) -> float:
    """CKA of one pair by two Gram matrices."""
    k, l = centred(x @ x.T).ravel(), centred(y @ y.T).ravel()  # noqa: E741
    return float((k @ l) / np.sqrt((k @ k) * (l @ l)))


def by_traces(x: np.ndarray, y: np.ndarray) -> float:
    """The same with each HSIC as the trace of K L."""
    n, one = len(x), np.ones((len(x), 1), x.dtype)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        found = np.trace(a @ b) + (one.T @ a @ one * (one.T @ b @ one)).item() / ((n - 1) * (n - 2))
        return float(found - 2 / (n - 2) * (one.T @ a @ (b @ one)).item())

    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def timed(action) -> tuple[float, object]:
    """Seconds and what it gave."""
    started = time.perf_counter()
    found = action()
    return time.perf_counter() - started, found


def added(taps: list[ArrayActivations], count: int) -> None:
    """Print what a third network costs, by passes, by pairs and in seconds."""
    done = {"passes": 0, "pairs": 0}

    def counted(what, real):
        def call(*args):
            done[what] += 1
            return real(*args)

        return call

    hsic._with_itself = counted("passes", hsic._with_itself)
    cka_grid.inner = counted("pairs", cka_grid.inner)
    print(f"{count} x {count} layers, then another network of {count} layers beside them:")
    with tempfile.TemporaryDirectory() as folder:
        cache, before = ResultCache(Path(folder)), None
        for k in (2 * count, 3 * count):
            done.update(passes=0, pairs=0)
            seconds, _ = timed(
                lambda k=k: pipeline.run("cka", taps[:k], {"arrangement": NETWORKS}, cache=cache)
            )
            ratio = "" if before is None else f", {seconds / before:.2f} times the first"
            print(f"  {k} layers: {done['passes']} passes, {done['pairs']} pairs, {seconds:.1f} s{ratio}")
            before = seconds


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    asked = parser.parse_args()
    n, d, count = asked.samples, asked.units, asked.layers
    one, other, third = (layers(n, d, count, seed) for seed in (1, 2, 3))
    pairs = count * count
    a, b = one[0].astype(np.float64), other[1].astype(np.float64)
    a.T @ b
    product = min(timed(lambda: a.T @ b)[0] for _ in range(5))
    itself = min(timed(lambda: a.T @ a)[0] for _ in range(5))
    needed = pairs * product + 2 * count * itself
    taps = [
        ArrayActivations(x, name=f"{name}:{i}", digest=f"{name}{i}")
        for name, xs in (("one", one), ("other", other), ("third", third))
        for i, x in enumerate(xs)
    ]
    ours, result = timed(lambda: cka(*taps[: 2 * count], params=CkaParams(arrangement=NETWORKS)))
    print(f"{count} x {count} layers, {n:,} samples, {d} units: ours {ours:.1f} s")
    print(f"  float64 products it needs {needed:.1f} s: {ours / needed:.2f} times as long (limit 2)")
    every = ((0, 1), (1, count // 2), (count - 1, count - 1))
    for name, way, kind, some in (
        ("Gram matrices, inner products, float32", by_grams, np.float32, every),
        ("Gram matrices, inner products, float64", by_grams, np.float64, every),
        ("Gram matrices, traces of products, float32", by_traces, np.float32, every[:1]),
    ):
        peers, gaps = [], []
        for i, j in some:
            x, y = one[i].astype(kind), other[j].astype(kind)
            seconds, value = timed(lambda x=x, y=y, way=way: way(x - x.mean(axis=0), y - y.mean(axis=0)))
            peers.append(seconds)
            gaps.append(abs(value - result.values[i, j]))
        whole = np.median(peers) * pairs
        print(
            f"  {name}: {whole:.0f} s, {whole / ours:.1f} times ours (limit 20); largest difference {max(gaps):.1e}"
        )
    added(taps, count)


if __name__ == "__main__":
    main()
