"""The rank dossier of many taps: from kept second moments, against the singular values of the data of every tap.

    python benchmarks/rank_speed.py [--samples 10000] [--units 768] [--taps 12] [--checkpoints 20] [--timed 2]

Ours: `rank_dossier` through the pipeline in a workspace that has the moments of each tap, all numbers with interval and
null; a few taps are timed and multiplied. *First time* is the dossier of a tap that nobody has looked at (two passes
and null draws), *from moments* the same when its moments are on disk and in no process's memory, with other parameters,
so that no kept result answers; *all numbers* leaves nulls and intervals out, from the moments in their own axes or from
the d x d scatter, whose eigenvalues are then made anew. The peer is what is commonly
run: centre the float64 data and take its singular values, once for the centred numbers and once for RankMe (and once
only, for who wants one of the two). Peak memory is that of a first time, beside that of the data in float64.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis import pipeline
from analysis.activations import ArrayActivations
from analysis.compute import kept
from analysis.compute.linear.tap_spectrum import kept_moments, tap_spectrum
from analysis.compute.streaming import Pass
from analysis.compute.subspaces.rank_notions import NOTIONS, Settings, Shape, number
from analysis.store.cache import ResultCache


def layer(n: int, d: int, seed: int) -> ArrayActivations:
    """Units of falling variance, turned, with a mean."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * np.linspace(1, 0.05, d) ** 2
    x = x @ np.linalg.qr(rng.standard_normal((d, d)))[0] + rng.standard_normal(d)
    return ArrayActivations(x.astype(np.float32), f"step{seed}:layer", digest=f"layer {seed}")


def seconds(action, times: int = 1) -> float:
    """The shortest of several."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return min(found)


def singular_values(x: np.ndarray, both: bool) -> None:
    """What the peer does for a tap."""
    x = x.astype(np.float64)
    np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    if both:
        np.linalg.svd(x, compute_uv=False)


def from_moments(tap: ArrayActivations, cache: ResultCache, epsilon: float) -> None:
    """A dossier that no kept result answers, as another process would make it."""
    kept.forget()
    pipeline.run("rank_dossier", [tap], {"epsilon": epsilon}, cache=cache)


def from_scatter(tap: ArrayActivations, cache: ResultCache) -> None:
    """All numbers from the kept d x d scatter, eigenvalues anew; no intervals, no nulls."""
    kept.forget()
    with kept.keeping(cache):
        moments = kept_moments(tap, Pass())
    lam = np.linalg.eigvalsh(moments.covariance)[::-1]
    raw = np.linalg.eigvalsh(moments.scatter / moments.n + np.outer(moments.mean, moments.mean))[::-1]
    at = Shape(moments.n, len(lam), len(lam))
    for notion in NOTIONS:
        notion.of(np.maximum(raw if notion.raw else lam, 0.0), at, Settings())


def numbers_alone(tap: ArrayActivations, cache: ResultCache) -> None:
    kept.forget()
    with kept.keeping(cache):
        spectrum = tap_spectrum(tap)
    for notion in NOTIONS:
        number(notion, spectrum.raw if notion.raw else spectrum.values, spectrum, Settings())


def main() -> None:
    """Print the times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (
        ("samples", 10_000),
        ("units", 768),
        ("taps", 12),
        ("checkpoints", 20),
        ("timed", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    n, d, every = asked.samples, asked.units, asked.taps * asked.checkpoints
    taps = [layer(n, d, i) for i in range(asked.timed)]
    pipeline.run("rank_dossier", [layer(100, 8, -1 % 97)])  # imports
    once, both = (
        np.mean([seconds(lambda t=t, b=b: singular_values(t.values, b)) for t in taps]) for b in (False, True)
    )
    with tempfile.TemporaryDirectory() as folder:
        cache = ResultCache(Path(folder))
        first = np.mean([seconds(lambda t=t: pipeline.run("rank_dossier", [t], cache=cache)) for t in taps])
        again = np.mean(
            [seconds(lambda t=t, i=i: from_moments(t, cache, 0.6 + 0.01 * i)) for i, t in enumerate(taps)]
        )
        scatter = np.mean([seconds(lambda t=t: from_scatter(t, cache), 3) for t in taps])
        alone = np.mean([seconds(lambda t=t: numbers_alone(t, cache), 3) for t in taps])
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / len(taps)
    kept.forget()
    tracemalloc.start()
    tap_spectrum(taps[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{asked.taps} taps x {asked.checkpoints} checkpoints, {n:,} samples of {d} units, {len(taps)} tap(s) timed"
    )
    print(f"  singular values of the data: {both * every:.0f} s centred and not, {once * every:.0f} s of one")
    for name, took in (
        ("first time", first), ("dossier from moments", again), ("all numbers from the scatter", scatter),
        ("all numbers from moments", alone),
    ):  # fmt: skip
        print(f"  {name}: {took * every:.1f} s, {both / took:.1f} and {once / took:.1f} times as fast")
    print("  limit: 10 times, from moments")
    print(
        f"  kept for each tap {size / 1e6:.1f} MB; memory {peak / 1e6:.0f} MB, float64 data {n * d * 8 / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
