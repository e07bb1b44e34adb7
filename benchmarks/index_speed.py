"""How long the feature index takes, as ratios in one run on this machine.

    python benchmarks/index_speed.py [--small]

Against (a) one float32 matrix product of the same array with a (units, 256) matrix, (b) looping over units with
torch.topk, np.histogram and np.quantile. The index is timed from row-major blocks as a network gives them:
transposing, all summaries, and finishing. Compiling (once per installation) is left out.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analysis.store.gather import Scratch, feature_major
from analysis.store.shards import SHARD_ROWS
from analysis.store.summaries import Rows, UnitSummary

BLOCK = SHARD_ROWS


def _blocks(rng, rows: int, units: int, kind: str, dtype: str) -> list[np.ndarray]:
    made = []
    for start in range(0, rows, BLOCK):
        x = rng.standard_normal((min(BLOCK, rows - start), units), dtype=np.float32)
        made.append((np.maximum(x - 1, 0) if kind == "rectified" else x).astype(dtype))
    return made


def index_seconds(blocks: list[np.ndarray], labels: np.ndarray, n_classes: int) -> float:
    start = time.perf_counter()
    summary = UnitSummary(blocks[0].shape[1], n_classes)
    at, scratch = 0, Scratch()
    for block in blocks:
        summary.update(
            feature_major([block], scratch), Rows.pooled(at, len(block), labels[at : at + len(block)])
        )
        at += len(block)
    summary.finish()
    return time.perf_counter() - start


def product_seconds(blocks: list[np.ndarray]) -> float:
    import torch

    torch.set_num_threads(2)
    x = torch.from_numpy(np.concatenate(blocks).astype(np.float32, copy=False))
    w = torch.randn(x.shape[1], 256)
    x[:BLOCK] @ w
    start = time.perf_counter()
    x @ w
    return time.perf_counter() - start


def loop_seconds(blocks: list[np.ndarray], units: int) -> float:
    """The plain way, on `units` units, scaled to all of them."""
    import torch

    x = np.ascontiguousarray(np.concatenate([b[:, :units] for b in blocks]).T).astype(np.float32)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    start = time.perf_counter()
    for column in x:
        torch.topk(torch.from_numpy(column), min(64, len(column)))
        np.histogram(column, bins=64)
        np.quantile(column, levels)
    return (time.perf_counter() - start) * blocks[0].shape[1] / units


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="10,000 x 512 instead of 100,000 x 4,096")
    small = parser.parse_args().small
    rows, units = (10_000, 512) if small else (100_000, 4096)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, rows)
    for dtype in ("float16", "float32"):  # compile
        index_seconds(_blocks(rng, 100, 8, "signed", dtype), labels, 100)
    print(f"{rows} rows x {units} units, 100 classes, 2 threads")
    print("kind       dtype     index s  product s  index/product (<= 3)  loop s  loop/index (>= 4)")
    for kind in ("signed", "rectified"):
        for dtype in ("float16", "float32"):
            blocks = _blocks(rng, rows, units, kind, dtype)
            rounds = [  # taken in turn, the best of three: other programs disturb them alike
                (
                    index_seconds(blocks, labels, 100),
                    product_seconds(blocks),
                    loop_seconds(blocks, min(units, 32)),
                )
                for _ in range(3)
            ]
            index, product, loop = (min(times) for times in zip(*rounds, strict=True))
            print(
                f"{kind:10s} {dtype:8s} {index:8.2f} {product:10.2f} {index / product:21.2f} {loop:7.1f}"
                f" {loop / index:18.1f}"
            )


if __name__ == "__main__":
    main()
