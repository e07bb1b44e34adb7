"""Correlation maps against their limits, in one run: time against one BLAS product, peak memory, overview and zoom.

    python benchmarks/correlation_speed.py [--rows 100000] [--units 4096] [--wide 16384] [--pairs 10000]

Limits: all correlations of 4,096 units over 100,000 rows in 1.5 times one float32 product of that size; the strongest
10,000 pairs of 16,384 units over 100,000 rows in 3 GB; the first overview of a kept map of 16,384 units in 1 s; a zoom
in 200 ms; never more than 3 MB to the browser. The product is NumPy's x.T @ x, which makes half of it and mirrors it
(BLAS syrk): the faster of the two that could be meant; the general product (gemm) is printed beside it. Both are timed
in turn, the best of three; the load of the machine is printed, since other work on it spoils ratios too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis import pipeline, registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.correlation.unit_relations import correlated
from analysis.compute.rows.tap_rows import TapRows
from analysis.spec import make_params
from analysis.store.cache import ResultCache
from analysis.store.tiles import Tiles

STEP = 256  # rows that are drawn with one seed
TWINS = 20  # planted pairs


class Generated:
    """Activations that nobody keeps: every chunk is drawn anew from its seed. Groups of units share a source; the last
    units are noisy copies of the first."""

    name, digest, samples = "generated:tap", "generated", {}

    def __init__(self, rows: int, units: int) -> None:
        self.shape, self.layout = (rows, units), Layout.pooled(rows)
        self.digest = f"generated {rows} x {units}"
        self.samples = {"id": np.arange(rows)}
        self.unit_names = tuple(map(str, range(units)))
        self._group = np.random.default_rng(0).integers(0, 100, units)

    def chunks(self, rows: int = 4096):
        rows = max(STEP, rows - rows % STEP)
        for start in range(0, self.shape[0], rows):
            out = np.empty((min(rows, self.shape[0] - start), self.shape[1]), np.float32)
            for first in range(0, len(out), STEP):
                self._draw(out[first : first + STEP], start + first)
            yield start, out

    def _draw(self, part: np.ndarray, first: int) -> None:
        rng = np.random.default_rng(first)
        rng.standard_normal(dtype=np.float32, out=part)
        part += 0.3 * rng.standard_normal((len(part), 100), dtype=np.float32)[:, self._group]
        part[:, -TWINS:] = part[:, :TWINS] + 0.1 * part[:, -TWINS:]

    def unit(self, j: int) -> np.ndarray:
        return np.concatenate([block[:, j] for _, block in self.chunks()])

    def take(self, rows) -> np.ndarray:
        return np.concatenate([block for _, block in self.chunks()])[np.asarray(rows)]


def seconds(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def against_blas(rows: int, units: int, repeats: int) -> None:
    """Ratio of all correlations of a tap in memory to one product of its size."""
    x = np.concatenate([block for _, block in Generated(rows, units).chunks()])
    tap, found = ArrayActivations(x, digest="x"), {}
    other = np.ascontiguousarray(x[:, ::-1])
    actions = {
        "x.T @ x in float32 (syrk)": lambda: x.T @ x,
        "x.T @ y in float32 (gemm)": lambda: x.T @ other,
        "all correlations": lambda: found.update(r=correlated(TapRows((tap,)), (None,), False, [])),
    }
    best = dict.fromkeys(actions, (np.inf, np.inf))
    for _ in range(repeats):
        for name, action in actions.items():
            busy = time.process_time()
            took = seconds(action)
            best[name] = min(best[name][0], took), min(best[name][1], time.process_time() - busy)
    print(f"{units:,} units x {rows:,} rows")
    for name, (took, busy) in best.items():
        print(f"  {name:<28} {took:8.2f} s, {busy:.2f} s of processor time")
    (one, busy), (general, _), (ours, our_busy) = best.values()
    print(
        f"  ratio to syrk {ours / one:.2f}, to gemm {ours / general:.2f} (limit 1.5); of processor time to syrk ",
        end="",
    )
    print(f"{our_busy / busy:.2f}")
    part = np.sort(np.random.default_rng(1).choice(units, min(units, 200), replace=False))
    gap = np.abs(found["r"].values[np.ix_(part, part)] - np.corrcoef(x[:, part].T.astype(np.float64))).max()
    print(
        f"  largest difference of {len(part)} units from numpy.corrcoef in float64 {gap:.1e}, known to the pass ",
        end="",
    )
    print(f"{found['r'].error:.1e}")


def memory(rows: int, units: int, pairs: int) -> None:
    """In a process of its own: peak resident memory of the whole of it."""
    tap, before, found = Generated(rows, units), highest(), {}
    took = seconds(lambda: found.update(r=pipeline.run("strongest_pairs", [tap], {"pairs": pairs})))
    columns, peak = found["r"].columns, highest()
    twins = {(i, units - TWINS + i) for i in range(TWINS)}
    first = set(zip(columns["unit a"][:TWINS].tolist(), columns["unit b"][:TWINS].tolist(), strict=True))
    said = pipeline.cost("strongest_pairs", [tap.shape], {"pairs": pairs})
    print(json.dumps({
        "seconds": took, "peak": peak, "before": before, "pairs": len(columns["r"]), "planted": len(twins & first),
        "estimated": said.bytes, "estimated seconds": said.seconds,
    }))  # fmt: skip


def highest() -> int:
    """The most memory that this process has had resident, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_memory(rows: int, units: int, pairs: int) -> None:
    command = [sys.executable, __file__, "--memory", str(rows), str(units), str(pairs)]
    done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    first = f"{done['planted']} of {TWINS} planted first"
    print(f"{units:,} units x {rows:,} rows, strongest {done['pairs']:,} pairs ({first})")
    print(
        f"  {done['seconds']:.0f} s (estimated {done['estimated seconds']:.0f}), peak memory of the process "
        f"{done['peak'] / 1e9:.2f} GB (limit 3), {done['before'] / 1e9:.2f} GB of it before the method; estimated "
        f"{done['estimated'] / 1e9:.2f} GB"
    )


def kept_map(units: int) -> None:
    """Overview and zoom of a map that was kept, as the page makes them."""
    from dashboard.browse.heat_picture import answer, picture

    with tempfile.TemporaryDirectory() as place:
        cache, tap = ResultCache(place), Generated(1024, units)
        took = seconds(lambda: pipeline.run("correlation_map", [tap], cache=cache))
        method = registry.method("correlation_map")
        key = pipeline.key(method, [tap.digest], make_params(method.params, {}), 0)
        drawn = {}

        def overview() -> None:
            result = cache.get(key)
            drawn["result"] = result
            drawn["picture"] = picture(result, theme="light", titles=("a", "b"), label="", help="")

        first = seconds(overview)
        sent = drawn["picture"]
        columns = [sent.cells, *sent.names, *(tree.column for tree in sent.trees if tree is not None)]
        folder = cache.folder(drawn["result"].tiles)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        print(f"kept map of {units:,} x {units:,} (made in {took:.0f} s, {size:,.0f} MiB on disk)")
        print(
            f"  first overview {first * 1e3:.0f} ms (limit 1,000), {sum(map(_bytes, columns)) / 1e6:.2f} MB (limit 3)"
        )
        rng, times, largest = np.random.default_rng(0), [], 0
        for side in (300, 512, 900, 2000, 5000, units):
            for _ in range(20):
                side = min(side, units)
                r, c = rng.integers(0, units - side + 1, 2).tolist()

                def zoom(box=(r, r + side, c, c + side)) -> None:
                    drawn["block"] = answer(Tiles.open(folder), box, 512)

                times.append(seconds(zoom))
                largest = max(largest, _bytes(drawn["block"]))
        print(
            f"  zoom: median {np.median(times) * 1e3:.1f} ms, slowest of {len(times)} {max(times) * 1e3:.1f} ms (limit "
            f"200), at most {largest / 1e6:.2f} MB (limit 3)"
        )


def _bytes(column) -> int:
    return len(column.data)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=4096)
    parser.add_argument("--wide", type=int, default=16_384)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        memory(*given.memory)
        return
    print(f"load before {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    kept_map(given.wide)
    against_blas(given.rows, given.units, given.repeats)
    peak_memory(given.rows, given.wide, given.pairs)
    print(f"load after {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
