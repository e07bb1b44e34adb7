"""How long one feature card takes on the server, with the unit's bytes out of the page cache.

    python benchmarks/card_speed.py [--small] [--directory DIR]

Writes a store of 100,000 samples x 16,384 units (float16, 3.3 GB; removed afterwards), then opens cards of random
units: table row, top, bands, histogram (the unit's column), class means; and, apart and with the rest, its correlated
units. Before each card every file that it reads is dropped from the page cache. Also: writing with the index, and the
table of all units. Limit: p95 of 100 ms for the whole card.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock


def write(path: Path, rows: int, units: int) -> float:
    """A store of rectified and signed units with planted neighbours; seconds spent in the writer."""
    rng = np.random.default_rng(0)
    spent = 0.0
    pool = rng.standard_normal((4096, units), dtype=np.float32).astype(np.float16)
    pool[:, ::2] = np.maximum(pool[:, ::2], 0)
    pool[:, 1::16] = pool[:, 3::16][:, : pool[:, 1::16].shape[1]] * np.float16(0.9) + pool[
        :, 1::16
    ] * np.float16(0.4)
    start = time.perf_counter()
    taps = [TapSpec("m", units, "float16")]
    with StoreWriter.create(path, name="s", taps=taps, classes=[str(c) for c in range(100)]) as writer:
        spent += time.perf_counter() - start
        for first in range(0, rows, 4096):
            n = min(4096, rows - first)
            values = pool[rng.permutation(4096)[:n]]  # other rows each time would cost minutes to draw
            labels = rng.integers(0, 100, n)
            start = time.perf_counter()
            ids = [f"s{first + i}" for i in range(n)]
            writer.append({"id": ids}, {"m": TapBlock(values)}, class_index=labels)
            spent += time.perf_counter() - start
        start = time.perf_counter()
        writer.finish()
    return spent + time.perf_counter() - start


def drop(path: Path) -> None:
    """Take the store's files out of the page cache."""
    for file in path.rglob("*"):
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def card(store: Store, unit: int) -> None:
    index = store.index("m")
    index.row(unit)
    index.top(unit)
    index.bands(unit)
    index.histogram(unit)
    index.classes(unit)


def timed(path: Path, units: np.ndarray, act, *, cold: bool) -> str:
    store, times = Store.open(path), []
    act(store, 0)  # what a running server has: headers, the sketch
    for unit in units:
        if cold:
            drop(path)
        start = time.perf_counter()
        act(store, int(unit))
        times.append(1000 * (time.perf_counter() - start))
    return f"{np.median(times):8.1f} {np.percentile(times, 95):8.1f} {max(times):8.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="20,000 x 2,048 instead of 100,000 x 16,384")
    parser.add_argument("--directory", help="where to write (default: the temporary directory)")
    arguments = parser.parse_args()
    rows, units = (20_000, 2048) if arguments.small else (100_000, 16_384)
    folder = Path(tempfile.mkdtemp(dir=arguments.directory, prefix="card-speed-"))
    path = folder / "s"
    try:
        print(f"{rows} samples x {units} units, float16")
        print(
            f"written with index in {write(path, rows, units):.1f} s, {Store.open(path).n_bytes / 2**30:.2f} GiB"
        )
        chosen = np.random.default_rng(1).integers(0, units, 60)
        drop(path)
        start = time.perf_counter()
        store = Store.open(path)
        opened = time.perf_counter()
        store.index("m").table()
        print(
            f"open {1000 * (opened - start):.1f} ms, table {1000 * (time.perf_counter() - opened):.1f} ms, both cold"
        )
        print("                          median      p95      max   ms")
        print(f"card, cold             {timed(path, chosen, card, cold=True)}")
        print(f"card, warm             {timed(path, chosen, card, cold=False)}")
        column = lambda s, u: s.activations("m").unit(u)  # noqa: E731
        print(f"one unit, cold         {timed(path, chosen, column, cold=True)}")
        print(f"one unit, warm         {timed(path, chosen, column, cold=False)}")
        related = lambda s, u: s.index("m").correlated(u)  # noqa: E731
        print(f"correlated, cold       {timed(path, chosen[:20], related, cold=True)}")
        print(f"correlated, warm       {timed(path, chosen[:20], related, cold=False)}")
        both = lambda s, u: (card(s, u), related(s, u))  # noqa: E731
        print(f"whole card, cold       {timed(path, chosen, both, cold=True)}   (p95 <= 100)")
        start = time.perf_counter()
        for _ in store.activations("m").chunks():
            pass
        print(f"one streamed pass in sample order {time.perf_counter() - start:.1f} s, checksums included")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
