"""Maps and neighbours against their peers, and every method's cost estimate against what it took.

    python benchmarks/projection_speed.py [peers] [estimates]

Ratios in one run on one machine; the seconds alone mean little.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from analysis import registry
from analysis.activations import ArrayActivations

SHAPES = [(2_000, 64), (10_000, 256), (20_000, 768)]


def clusters(n: int, d: int) -> np.ndarray:
    """Ten overlapping clusters, float32."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.standard_normal((10, d))
    return (centres[rng.integers(0, 10, n)] + rng.standard_normal((n, d))).astype(np.float32)


def timed(action) -> tuple[float, object]:
    started = time.perf_counter()
    outcome = action()
    return time.perf_counter() - started, outcome


def processor_seconds(action) -> float:
    """Processor time: what an action takes where nothing else runs, up to the number of cores it uses."""
    started = time.process_time()
    action()
    return time.process_time() - started


def peers() -> None:
    """UMAP with exact neighbours and quality against umap-learn's own search; neighbours against scikit-learn."""
    import umap as umap_learn
    from sklearn.neighbors import NearestNeighbors

    from analysis.compute.map_quality import placement_quality
    from analysis.compute.neighbours import nearest
    from analysis.methods.projection.umap import umap

    umap(clusters(500, 16))  # compiles
    umap_learn.UMAP(random_state=0, n_epochs=20).fit_transform(clusters(5000, 16))
    for n, d in SHAPES[:2]:
        x = clusters(n, d)
        ours, result = timed(lambda x=x: umap(x))
        theirs, drawn = timed(lambda x=x: umap_learn.UMAP(random_state=0, n_epochs=200).fit_transform(x))
        own = result.columns["recall"].mean()
        peer = placement_quality(x, drawn, 15, maximum_anchors=2000).recall.mean()
        print(f"{n} x {d}: UMAP with quality {ours:.1f} s, recall@15 {own:.3f};", end=" ")
        print(f"umap-learn seeded {theirs:.1f} s ({theirs / ours:.1f} times), recall@15 {peer:.3f}")
        a, found = timed(lambda x=x: nearest(x, 15))
        b, brute = timed(
            lambda x=x: NearestNeighbors(n_neighbors=16, algorithm="brute").fit(x).kneighbors(x)[1]
        )
        same = (np.sort(found.indices, 1) == np.sort(brute[:, 1:], 1)).mean()
        print(
            f"{n} x {d}: 15 neighbours {a:.2f} s, scikit-learn brute {b:.2f} s ({b / a:.1f} times), same {same:.4f}"
        )


def estimates() -> None:
    """Seconds announced by `cost` against seconds taken."""
    for method in registry.methods().values():
        for n, d in SHAPES:
            label = np.arange(n) % 10
            taps = [ArrayActivations(clusters(n, d), samples={"label": label}) for _ in range(method.inputs)]
            announced = method.cost(((n, d),) * method.inputs, method.params()).seconds
            if n == SHAPES[0][0]:
                method.function(*taps)  # imports and compiled code
            wall = time.perf_counter()
            used = processor_seconds(lambda method=method, taps=taps: method.function(*taps))
            wall = time.perf_counter() - wall
            print(f"{method.id:>20} {n:>6} x {d:<4} announced {announced:7.2f} s, took {wall:7.2f} s, "
                  f"processor {used:7.2f} s, processor / announced {used / announced:5.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    wanted = sys.argv[1:] or ["peers", "estimates"]
    for name in wanted:
        {"peers": peers, "estimates": estimates}[name]()
