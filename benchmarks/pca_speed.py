"""Exact streamed PCA against scikit-learn's IncrementalPCA and full PCA: ratios of time, and how far off each is.

    python benchmarks/pca_speed.py

Every pair is timed in turn in one run on the same data, best of three; only the ratios mean something.
"""

from __future__ import annotations

import time

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.linear.linalg import principal_axes

SHAPES = [(20_000, 256), (50_000, 256), (20_000, 768)]
COMPONENTS = 10


def best_of(action, repeats: int = 3) -> tuple[float, object]:
    """Shortest time in seconds and the last outcome."""
    shortest, outcome = np.inf, None
    for _ in range(repeats):
        started = time.perf_counter()
        outcome = action()
        shortest = min(shortest, time.perf_counter() - started)
    return shortest, outcome


def degrees_off(directions: np.ndarray, truth: np.ndarray) -> float:
    """Largest principal angle between two row spaces, exact for tiny angles."""
    sine = np.linalg.norm(directions - directions @ truth.T @ truth, 2)
    return float(np.degrees(np.arcsin(min(1.0, sine))))


def ours_of(x: np.ndarray) -> np.ndarray:
    return principal_axes(ArrayActivations(x, digest="-"), COMPONENTS).directions


def main() -> None:
    from sklearn.decomposition import PCA, IncrementalPCA

    print(f"{'shape':>14} {'method':>28} {'seconds':>8} {'times ours':>10} {'worst axis off by':>18}")
    for n, d in SHAPES:
        rng = np.random.default_rng(0)
        turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
        # a slowly falling spectrum, as in the spread of a wide layer, and means far from 0
        x = (rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5 @ turn + 3.0).astype(np.float32)
        centred = x - x.mean(axis=0, dtype=np.float64)
        truth = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :COMPONENTS].T
        peers = {
            "streamed covariance (ours)": lambda x=x: ours_of(x),
            "IncrementalPCA, batch 256": lambda x=x: IncrementalPCA(COMPONENTS, batch_size=256).fit(x).components_,
            "IncrementalPCA, batch 1280": lambda x=x: IncrementalPCA(COMPONENTS, batch_size=1280).fit(x).components_,
            "PCA(svd_solver='full')": lambda x=x: PCA(COMPONENTS, svd_solver="full").fit(x).components_,
        }  # fmt: skip
        ours = None
        for name, action in peers.items():
            seconds, directions = best_of(action)
            ours = ours or seconds
            off = degrees_off(np.asarray(directions, np.float64), truth)
            print(f"{n:>8} x {d:<4} {name:>28} {seconds:>8.2f} {seconds / ours:>10.1f} {off:>15.2g} deg")


if __name__ == "__main__":
    main()
