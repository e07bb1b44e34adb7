"""Encoding with a sparse dictionary against the matrix product that it cannot do without.

    python benchmarks/encoding_speed.py [--units 768] [--latents 24576] [--rows 4096] [--repeats 5] [--tap-rows 16384]

First the codes alone: rows (float32) to a list of what is not 0, by `NonzeroCodes`, for TopK, ReLU, JumpReLU (a
threshold of its own for each latent) and BatchTopK (one threshold for all), in batches of several sizes. Then all of
it: `Workspace.encode` of a tap on disk, with reading, checksums, writing of the sparse rows and their index of cards.
The product is NumPy's rows @ encoder in float32 in the same batches into memory that is there already, with the same
number of threads. Both are timed in turn; printed are the ratios of the fastest and of the median repeats, of wall time
and of the processor time of the process, which other work on the machine disturbs less. Limit: 1.5.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from threadpoolctl import threadpool_info

from analysis.features import rules
from analysis.features.encoding import BLOCK_BYTES
from analysis.features.feature_set import FeatureSet
from analysis.features.nonzero_codes import NonzeroCodes
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

LIMIT, ACTIVE, SAMPLE = 1.5, 32, 64  # rows of a sample of the tap


def sets(units: int, latents: int) -> dict[str, FeatureSet]:
    """Dictionaries of random directions in which about `ACTIVE` latents are active in a row of N(0, 1)."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((latents, units), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    none, zero = np.zeros(units), np.zeros(latents)
    level = float(np.sqrt(2) * _inverse_tail(ACTIVE / latents))
    own = level * (1 + 0.02 * rng.standard_normal(latents))

    def made(name: str, rule: str, **more) -> FeatureSet:
        more = {"bias": zero, **more}
        return FeatureSet(name, rule, directions.T, directions, centre=none, shift=none, **more)

    return {
        "TopK": made("TopK", rules.TOPK, active=ACTIVE),
        "ReLU": made("ReLU", rules.RELU, bias=zero - level),
        "JumpReLU": made("JumpReLU", rules.JUMP, threshold=own),
        "BatchTopK": made("BatchTopK", rules.JUMP, threshold=zero + level),
    }


def _inverse_tail(share: float) -> float:
    """t with erfc(t) = 2 share: a product of length 1 exceeds √2 t in that share of the rows."""
    from scipy.special import erfcinv

    return float(erfcinv(2 * share))


def timed(act) -> tuple[float, float]:
    wall, busy = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - busy


def product(x: np.ndarray, encoder: np.ndarray, batch: int, out: np.ndarray) -> None:
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        np.matmul(part, encoder, out=out[: len(part)])


def compared(what: str, ours, peer, repeats: int) -> None:
    """Both in turn, and a line of ratios."""
    ours(), peer()  # compiled, and memory in place
    times = np.array(
        [[timed(ours), timed(peer)] for _ in range(repeats)]
    )  # (repeats, ours | peer, wall | busy)
    least, middle = times.min(axis=0), np.median(times, axis=0)
    ratios = [f"{v[0, k] / v[1, k]:9.2f}" for k in (0, 1) for v in (least, middle)]
    print(f"{what:<34}{least[0, 0]:8.2f}{least[1, 0]:10.2f}  {''.join(ratios)}", flush=True)


def whole_tap(made: FeatureSet, x: np.ndarray, out: np.ndarray, batch: int, repeats: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="encoding-speed-"))
    try:
        space = Workspace.create(folder / "w")
        write_store(space.new_store_path("s"), name="s", taps={"m": x.reshape(-1, SAMPLE, x.shape[1])})
        space.features.add(made)
        number = iter(range(1000))
        compared(
            f"{made.name}, tap on disk to cards", lambda: space.encode("s:m", made.name, f"m@{next(number)}"),
            lambda: product(x, made.encoder, batch, out), repeats,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("units", 768),
        ("latents", 24_576),
        ("rows", 4096),
        ("repeats", 5),
        ("tap-rows", 16_384),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    threads = {i["internal_api"]: i["num_threads"] for i in threadpool_info()}
    print(
        f"{asked.units} units, {asked.latents} latents, about {ACTIVE} active; threads of the product {threads}"
    )
    print(" " * 34 + "  ours s product s     wall: least  median  busy: least median   (limit 1.5)")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((asked.rows, asked.units), dtype=np.float32)
    made = sets(asked.units, asked.latents)
    own = max(16, BLOCK_BYTES // (4 * asked.latents))  # rows at a time that `encode` takes
    out = np.empty((max(own, 1024), asked.latents), np.float32)
    for name, one in made.items():
        codes = NonzeroCodes(one)
        for batch in (64, 256, 1024):

            def ours(codes=codes, batch=batch) -> None:
                for start in range(0, len(x), batch):
                    codes.of(x[start : start + batch])

            compared(
                f"{name}, batches of {batch}", ours, lambda one=one, b=batch: product(x, one.encoder, b, out),
                asked.repeats,
            )  # fmt: skip
    long = np.resize(x, (asked.tap_rows // SAMPLE * SAMPLE, asked.units))
    for one in made.values():
        whole_tap(one, long, out, own, max(1, asked.repeats // 2))


if __name__ == "__main__":
    main()
