"""All principal angles between many subspaces, against the matrix products that they need.

    python benchmarks/subspace_speed.py [--subspaces 240] [--dimension 32] [--units 768] [--repeats 3] [--shared 0]

Ours: `all_angles` of N random subspaces of k dimensions in d units, float64, from bases to the rising angles of every
pair; `--shared` axes are common to all, so that small angles, which are found anew from sines, are among them where
asked. The products: AᵀB (k, k) of every pair, one after the other, and all of them as one product of the stacked bases
with itself. The peer: `scipy.linalg.subspace_angles` of some pairs, times their number; its angles are compared with
ours. Every side is timed in turn in one run, best of the repeats; only the ratios mean something. Limit: 3 times the
products of the pairs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scipy.linalg import subspace_angles

from analysis.compute.subspaces.angles import all_angles

LIMIT = 3.0
PEERS = 200  # pairs of the peer


def random_bases(count: int, k: int, d: int, shared: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`count` bases (d, k), the first `shared` columns of each spanning the same."""
    common = rng.standard_normal((d, shared))
    return [np.linalg.qr(np.hstack([common, rng.standard_normal((d, k - shared))]))[0] for _ in range(count)]


def products_by_pair(bases: list[np.ndarray]) -> float:
    """Every AᵀB, none kept."""
    total = 0.0
    for i, a in enumerate(bases):
        turned = np.ascontiguousarray(a.T)
        for b in bases[i + 1 :]:
            total += float((turned @ b)[0, 0])
    return total


def products_as_one(bases: list[np.ndarray]) -> float:
    """All at once, both halves: (N k, d) with its transpose."""
    stacked = np.hstack(bases)
    return float((stacked.T @ stacked)[0, -1])


def peer(bases: list[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    return np.array([np.sort(subspace_angles(bases[i], bases[j])) for i, j in pairs])


def timed(act) -> tuple[float, object]:
    started = time.perf_counter()
    outcome = act()
    return time.perf_counter() - started, outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("subspaces", 240),
        ("dimension", 32),
        ("units", 768),
        ("repeats", 3),
        ("shared", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    bases = random_bases(asked.subspaces, asked.dimension, asked.units, asked.shared, rng)
    pairs, _ = all_angles(bases[:3])
    best = dict.fromkeys(("ours", "pairs", "one"), np.inf)
    for _ in range(asked.repeats):
        seconds, (pairs, angles) = timed(lambda: all_angles(bases))
        best["ours"] = min(best["ours"], seconds)
        best["pairs"] = min(best["pairs"], timed(lambda: products_by_pair(bases))[0])
        best["one"] = min(best["one"], timed(lambda: products_as_one(bases))[0])
    some = rng.choice(len(pairs), size=min(PEERS, len(pairs)), replace=False)
    seconds, known = timed(lambda: peer(bases, pairs[some]))
    seconds *= len(pairs) / len(some)
    print(f"{asked.subspaces} subspaces of {asked.dimension} in {asked.units}: {len(pairs):,} pairs")
    print(f"ours, all angles                      {best['ours']:8.3f} s")
    ratio = best["ours"] / best["pairs"]
    print(f"products, pair by pair                {best['pairs']:8.3f} s   ours / this {ratio:6.2f}")
    print(
        f"products, as one                      {best['one']:8.3f} s   ours / this {best['ours'] / best['one']:6.2f}"
    )
    print(
        f"scipy.linalg.subspace_angles          {seconds:8.3f} s   this / ours {seconds / best['ours']:6.2f}"
    )
    print(f"largest difference to SciPy's angles  {np.abs(known - angles[some]).max():8.1e}")
    print(f"limit {LIMIT:g} times the products of the pairs: {'kept' if ratio <= LIMIT else 'NOT kept'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
