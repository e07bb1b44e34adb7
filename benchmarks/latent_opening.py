"""Opening any latent of a large dictionary on disk: 100,000 latents on ten million tokens, 32 active in each.

    python benchmarks/latent_opening.py [--tokens 10000000] [--latents 100000] [--cards 100] [--directory DIR]

Writes a store of so many tokens (100 to a sample, ten classes) and, by the product's own writer, an encoded tap whose
latents have frequencies like those of trained ones: 1 / rank^0.7, so that the first fires in about every fifth token
(about 2.5 GB; removed afterwards). Then opens different latents as their card does (`latent_card.py`: sentences,
strongest examples, density, histogram and means by class), among them the most frequent ones. Cold: every file of the
tap is dropped from the page cache before each card (posix_fadvise; a virtual disk may cache once more underneath,
which is not in our hands). Warm: the same latents again. Printed: median, p95 and largest milliseconds, wall and
processor time, and the one that took longest. Apart: the weaker examples, which are read when asked for, and the most
correlated latents. Limit: 50 ms.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from latent_card import bands, card, correlated

from analysis.store.encoded import EncodedWriter
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

LIMIT, ACTIVE, TOKENS, CLASSES, BATCH = 50, 32, 100, 10, 8000  # tokens of a sample; tokens written at a time


def write(path: Path, tokens: int, latents: int) -> float:
    """Seconds of the writer of the encoded tap."""
    rng, samples = np.random.default_rng(0), tokens // TOKENS
    names = [f"class {c}" for c in range(CLASSES)]
    with StoreWriter.create(
        path, name="s", taps=[TapSpec("m", 1, "float16", "all")], classes=names
    ) as writer:
        for first in range(0, samples, 1000):
            n = min(1000, samples - first)
            block = TapBlock(np.zeros((n * TOKENS, 1), np.float16), np.full(n, TOKENS))
            ids = [f"s{first + i}" for i in range(n)]
            writer.append({"id": ids}, {"m": block}, class_index=rng.integers(0, CLASSES, n))
        writer.finish()
    often = np.cumsum(1 / np.arange(1, latents + 1) ** 0.7)
    started = time.perf_counter()
    spec = TapSpec("m@set", latents, "float32", "all")
    with EncodedWriter(Store.open(path), "m", spec, {"name": "set", "digest": "none"}) as writer:
        for first in range(0, samples * TOKENS, BATCH):
            n = min(BATCH, samples * TOKENS - first)
            units = np.sort(np.searchsorted(often, rng.random((n, ACTIVE)) * often[-1]), axis=1).astype(
                np.int32
            )
            kept = np.diff(units, axis=1, prepend=-1) > 0  # drawn twice: once
            values = rng.standard_exponential(kept.sum(), np.float32) + np.float32(0.05)
            writer.append(kept.sum(axis=1), units[kept], values)
        writer.finish()
    return time.perf_counter() - started


def drop(folder: Path) -> None:
    """Take the tap's files out of the page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            fd = os.open(file, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def timed(path: Path, latents: np.ndarray, act, *, cold: bool) -> np.ndarray:
    """(latents, 2) milliseconds, wall and processor; what a running server holds is there."""
    store, times = Store.open(path), []
    act(store, "s:m@set", int(latents[-1]))
    for j in latents:
        if cold:
            drop(store.folder("m@set"))
        wall, busy = time.perf_counter(), time.process_time()
        act(store, "s:m@set", int(j))
        times.append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - busy)))
    return np.array(times)


def line(what: str, latents: np.ndarray, times: np.ndarray) -> None:
    wall, busy = times.T
    shown = [f(v) for v in (wall, busy) for f in (np.median, lambda v: np.percentile(v, 95), np.max)]
    print(
        f"{what:<26}" + "".join(f"{v:9.1f}" for v in shown) + f"   latent {latents[wall.argmax()]}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("tokens", 10_000_000), ("latents", 100_000), ("cards", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--directory", help="where to write (default: the temporary directory)")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=asked.directory, prefix="latent-opening-"))
    path = folder / "s"
    try:
        seconds = write(path, asked.tokens, asked.latents)
        measured(path, asked, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(path: Path, asked, seconds: float) -> None:
    store = Store.open(path)
    tap = store.activations("m@set")
    size = sum(f.stat().st_size for f in store.folder("m@set").rglob("*") if f.is_file()) / 1e9
    print(
        f"{asked.latents:,} latents, {tap.shape[0]:,} tokens, {tap.n_entries / 1e6:.0f} million codes, {size:.2f} GB; ",
        end="",
    )
    print(f"drawn, written and indexed in {seconds:.0f} s")
    number = store.index("m@set").table()["fraction_nonzero"] * tap.shape[0]
    rng, most = np.random.default_rng(1), np.argsort(-number)
    some = rng.choice(asked.latents, asked.cards, replace=False)
    few, first = some[:20], most[:10]
    print(f"entries of the random latents: median {np.median(number[some]):,.0f}, ", end="")
    print(
        f"of the most frequent {number[most[0]]:,.0f}, 10th {number[first[-1]]:,.0f}, 1000th {number[most[999]]:,.0f}"
    )
    print(" " * 26 + "  wall ms: median, p95, largest; processor ms: median, p95, largest; longest")
    for cold in (True, False):
        how = "cold" if cold else "warm"
        for what, which in ((f"random, {how}", some), (f"10 most frequent, {how}", first)):
            line(what, which, timed(path, which, card, cold=cold))
    line("weaker examples, cold", few, timed(path, few, bands, cold=True))
    line("  10 most frequent", first, timed(path, first, bands, cold=True))
    line("correlated, warm", few, timed(path, few, correlated, cold=False))
    print(f"(limit {LIMIT} ms for any latent)")


if __name__ == "__main__":
    main()
