"""Quality of every point of a large map against the time of the projection itself, in one run.

    python benchmarks/map_quality_speed.py [--points N] [--units D] [--neighbors K] [--without-umap] [--repeat R]

Trustworthiness, continuity and recall of all points, from the neighbour graph that the projection made, must take less
than a tenth of the projection: of LocalMAP (graph and layout, from nothing) and of umap-learn with its defaults. One
warm process; compiled code is made before. Ratios of wall time and of processor time; the exit code is 1 on a miss.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import numpy as np

LIMIT = 0.1


def clusters(n: int, d: int) -> np.ndarray:
    """Twenty clusters, each on eight directions of its own, with a little noise; float32."""
    rng = np.random.default_rng(0)
    label, centres = rng.integers(0, 20, n), rng.standard_normal((20, d))
    x = 0.1 * rng.standard_normal((n, d)).astype(np.float32)
    for c in range(20):
        spread = rng.standard_normal((8, d))
        x[label == c] += centres[c] + rng.standard_normal(((label == c).sum(), 8)) @ spread
    return x


def timed(action) -> tuple[float, float, object]:
    """Wall and processor seconds, and what came out."""
    wall, used = time.perf_counter(), time.process_time()
    found = action()
    return time.perf_counter() - wall, time.process_time() - used, found


def localmap(x: np.ndarray):
    """Graph and layout as the method makes them, from nothing: positions and the graph."""
    from analysis.compute import kept
    from analysis.compute.maps.pair_layout import REACH, laid_out
    from analysis.compute.neighbours.neighbour_graph import neighbour_graph

    kept.forget()
    graph = neighbour_graph(x, 15)
    rng = np.random.default_rng(0)
    return laid_out(x, graph, components=2, n_neighbors=10, reach=REACH, rng=rng), graph


def umap_learn(x: np.ndarray):
    import umap

    return umap.UMAP().fit_transform(x)


def quality(x: np.ndarray, drawn: np.ndarray, graph, k: int):
    from analysis.compute.maps.map_quality import placement_quality

    return placement_quality(x, drawn, k, graph=graph, rng=np.random.default_rng(0))


def line(name: str, wall: float, used: float, of: tuple[float, float, object] | None = None) -> bool:
    """One row of the table; whether the limit is kept."""
    text, good = f"{name:>40} {wall:8.2f} {used:8.2f}", True
    if of is not None:
        ratio, good = wall / of[0], wall / of[0] < LIMIT
        text += f" {ratio:8.3f} {used / of[1]:8.3f}   < {LIMIT}   {'pass' if good else 'MISS'}"
    print(text, flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--neighbors", type=int, default=15)
    parser.add_argument("--without-umap", action="store_true")
    parser.add_argument("--repeat", type=int, default=2, help="of the measurement; the best counts")
    given = parser.parse_args()
    small = clusters(6000, 16)
    placed, graph = localmap(small)
    quality(small, placed, graph, given.neighbors)
    x = clusters(given.points, given.units)
    print(f"{given.points:,} x {given.units}, k = {given.neighbors}")
    print(f"{'':>40} {'wall s':>8} {'cpu s':>8} {'ratio':>8} {'cpu':>8}   limit")
    own = timed(lambda: localmap(x))
    placed, graph = own[2]
    line("LocalMAP, graph and layout", *own[:2])
    measured = [timed(lambda: quality(x, placed, graph, given.neighbors)) for _ in range(given.repeat)]
    best = min(measured, key=lambda t: t[0])
    good = line("quality of every point, over LocalMAP", *best[:2], own)
    if not given.without_umap:
        umap_learn(small)
        theirs = timed(lambda: umap_learn(x))
        line("umap-learn, defaults", *theirs[:2])
        other = min((timed(lambda: quality(x, theirs[2], graph, given.neighbors)) for _ in range(given.repeat)),
                    key=lambda t: t[0])  # fmt: skip
        good &= line("quality of every point, over umap-learn", *other[:2], theirs)
    found = best[2]
    print(
        f"trust {found.trust.mean():.4f}, continuity {found.continuity.mean():.4f}, recall {found.recall.mean():.4f}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
