"""Cards of a large TopK dictionary on many tokens: one pass over the activations, against the product that it needs.

    python benchmarks/dictionary_cards.py [--tokens 1000000] [--latents 24576] [--units 768] [--directory DIR]

Writes a store of synthetic tokens batch by batch (float16, samples of 100 tokens, ten classes; removed afterwards),
then, in a process of its own: `Workspace.encode`, which encodes, writes the inverted index and the index of cards;
what features fire together (method "co_activation", once for all latents); and cards of random latents as they open
(`latent_card.py`), with nearest directions, scaled to all latents. The product, rows @ encoder in float32 with as many
threads, is timed on a few thousand rows spread over the run, in between, and scaled to all tokens; its seconds are not
among ours. Printed: wall and processor seconds, how often a row of the activations was read, the highest memory of the
process. Limit: encoding 1.5 times the product; one pass.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from latent_card import card, decoder_neighbours

from analysis import pipeline
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.store.manifest import TapSpec
from analysis.store.stored_activations import StoredActivations
from analysis.store.writer import StoreWriter, TapBlock
from analysis.workspace import Workspace

TOKENS, ACTIVE, CLASSES, CARDS = 100, 32, 10, 300  # tokens of a sample; cards that are opened
PART, TIMES = 512, 24  # rows of the product, and how often it is timed


def dictionary(units: int, latents: int) -> FeatureSet:
    """Random directions; biases that make some latents frequent and others rare."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((latents, units), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bias, none = 0.3 * rng.standard_normal(latents), np.zeros(units)
    return FeatureSet("large", rules.TOPK, directions.T, directions, bias, none, none, active=ACTIVE)


def write(path: Path, tokens: int, units: int) -> None:
    """Tokens of N(0, 1) about the mean of their sample's class; never more than a batch of them in memory."""
    rng, samples = np.random.default_rng(1), tokens // TOKENS
    means = rng.standard_normal((CLASSES, units), dtype=np.float32) * 0.3
    with StoreWriter.create(
        path, name="s", taps=[TapSpec("m", units, "float16", "all")], classes=[f"class {c}" for c in range(CLASSES)],
        n_expected=samples,
    ) as writer:  # fmt: skip
        for first in range(0, samples, 80):
            n = min(80, samples - first)
            label = rng.integers(0, CLASSES, n)
            x = rng.standard_normal((n, TOKENS, units), dtype=np.float32) + means[label][:, None]
            ids = [f"s{first + i}" for i in range(n)]
            counts = np.full(n, TOKENS)
            block = TapBlock(x.reshape(-1, units).astype(np.float16), counts)
            writer.append({"id": ids}, {"m": block}, class_index=label)
        writer.finish()


class Rival:
    """The product alone, timed now and then while the encoding goes on."""

    def __init__(self, features: FeatureSet) -> None:
        self.encoder, self.next, self.wall, self.busy = features.encoder, 0.0, [], []
        self.x = np.random.default_rng(2).standard_normal((PART, features.n_units), dtype=np.float32)
        self.out = np.empty((PART, features.n_features), np.float32)
        np.matmul(self.x, self.encoder, out=self.out)

    def __call__(self, share: float, doing: str = "") -> None:
        if share < self.next or len(self.wall) == TIMES:
            return
        self.next += 0.9 / TIMES
        wall, busy = time.perf_counter(), time.process_time()
        np.matmul(self.x, self.encoder, out=self.out)
        self.wall.append(time.perf_counter() - wall)
        self.busy.append(time.process_time() - busy)


def counted(read: list[int]) -> None:
    """Every row that a pass over a tap gives is counted in `read`."""
    given = StoredActivations.chunks

    def chunks(self, *asked):
        for first, block in given(self, *asked):
            read[0] += len(block)
            yield first, block

    StoredActivations.chunks = chunks


def highest() -> int:
    """The most memory that this process has had resident, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000)


def build(folder: Path) -> dict:
    space = Workspace.open(folder)
    rival, read, before = Rival(space.features.open("large")), [0], highest()
    counted(read)
    wall, busy = time.perf_counter(), time.process_time()
    reference = space.encode("s:m", "large", progress=rival)
    took = np.array(
        [time.perf_counter() - wall - sum(rival.wall), time.process_time() - busy - sum(rival.busy)]
    )
    passes, memory = read[0] / space.activations("s:m").shape[0], highest()
    wall = time.perf_counter()
    pipeline.run("co_activation", [space.activations(reference)])
    together, store = time.perf_counter() - wall, space.store("s")
    latents = np.random.default_rng(3).integers(0, space.activations(reference).shape[1], CARDS)
    decoder_neighbours(space, store, reference, 0)
    times = []
    for j in latents:
        wall = time.perf_counter()
        card(store, reference, int(j))
        decoder_neighbours(space, store, reference, int(j))
        times.append(time.perf_counter() - wall)
    n = space.activations("s:m").shape[0] / PART
    return {
        "ours": took.tolist(), "product": [n * float(np.mean(rival.wall)), n * float(np.mean(rival.busy))],
        "passes": passes, "before": before, "memory": memory, "memory with cards": highest(), "together": together,
        "card": float(np.median(times)), "entries": space.activations(reference).n_entries,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("tokens", 1_000_000), ("latents", 24_576), ("units", 768)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--directory", help="where to write (default: the temporary directory)")
    parser.add_argument("--build", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.build:
        print(json.dumps(build(Path(asked.build))))
        return
    folder = Path(tempfile.mkdtemp(dir=asked.directory, prefix="dictionary-cards-"))
    try:
        space = Workspace.create(folder)
        space.features.add(dictionary(asked.units, asked.latents))
        write(space.new_store_path("s"), asked.tokens, asked.units)
        command = [sys.executable, __file__, "--build", str(folder)]
        done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    said(done, asked)


def said(done: dict, asked) -> None:
    (wall, busy), (product, product_busy) = done["ours"], done["product"]
    cards, entries = done["card"] * asked.latents, done["entries"] / 1e6
    print(
        f"{asked.latents:,} latents, {asked.tokens:,} tokens of {asked.units} units, {entries:.1f} million codes"
    )
    print(f"  encoded, written, indexed  {wall:8.1f} s, processor {busy:.1f} s; passes {done['passes']:.2f}")
    print(
        f"  the product (scaled from {TIMES} x {PART} rows) {product:.1f} s, processor {product_busy:.1f} s"
    )
    print(f"  ratio {wall / product:.2f}, of processor time {busy / product_busy:.2f}   (limit 1.5)")
    print(
        f"  highest memory {done['memory']} MB, {done['before']} before; {done['memory with cards']} with cards"
    )
    print(
        f"  fires together, for all {done['together']:.1f} s; a card {1000 * done['card']:.1f} ms (median of {CARDS})"
    )
    whole = wall + done["together"] + cards
    print(
        f"  every card read once (scaled) {cards:.0f} s: {60 * asked.latents / whole:,.0f} cards a minute in all"
    )


if __name__ == "__main__":
    main()
