"""Training a TopK dictionary: rows a second, against the loop of overcomplete and a plain one of PyTorch.

    python benchmarks/training_speed.py [--units 256] [--latents 4096] [--steps 100] [--batch 1024] [--repeats 3]
                                        [--python PEER]

Ours: `analysis.features.training.train` on a store on disk, the whole call: the pass that finds mean and scale, rows in
shuffled order, held-out samples looked at every 100 steps, dead latents counted, and the finished set judged. The steps
alone are printed too. The peers get the same rows as batches that lie shuffled in memory: `overcomplete.sae.train_sae`
with its TopKSAE (its normal monitoring, and none) in an environment of its own (made in the temporary directory by pip,
or PEER), and a plain loop of the same equations with torch.optim.Adam. float32, as many threads on each side, each in a
process of its own, in turn; the best and the median of the repeats. Limit: at least 1 x.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ACTIVE, SAMPLE = 32, 64
PEERS = ("overcomplete", "overcomplete, unmonitored", "plain loop")


def rows(n: int, units: int) -> np.ndarray:
    """Sparse sums of random directions, and noise."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4 * units, units), dtype=np.float32) / np.sqrt(units)
    x = 0.05 * rng.standard_normal((n, units), dtype=np.float32)
    for _ in range(8):
        x += rng.exponential(size=(n, 1)).astype(np.float32) * directions[rng.integers(0, len(directions), n)]
    return x


def ours(folder: Path, asked) -> dict:
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from analysis.features.training import train
    from analysis.store.reader import Store

    torch.set_num_threads(asked.threads)
    store, at = Store.open(folder / "s"), []

    def watched(share: float, doing: str = "") -> None:
        if "rows" in doing:
            at.append((time.perf_counter(), time.process_time()))

    how = {"tokens": asked.steps * asked.batch, "batch": asked.batch, "patience": 0}
    wall, busy = time.perf_counter(), time.process_time()
    train(store, "m", "topk", {"latents": asked.latents, "k": ACTIVE}, how, progress=watched)
    whole = time.perf_counter() - wall, time.process_time() - busy
    share = (len(at) - 1) / len(at)  # from the end of the first step
    return {"whole": whole, "steps": [(at[-1][i] - at[0][i]) / share for i in (0, 1)]}


def batches(folder: Path, asked) -> list:
    import torch

    x = torch.from_numpy(np.load(folder / "rows.npy"))
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    parts = [p for p in x.split(asked.batch) if len(p) == asked.batch]
    return [parts[i % len(parts)] for i in range(asked.steps)]


def overcomplete(folder: Path, asked, monitoring: int) -> dict:
    import types

    for name in (
        "overcomplete.models",
        "overcomplete.visualization",
    ):  # they need torchvision, training does not
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__getattr__ = lambda name: None
    import torch
    from overcomplete.sae import TopKSAE, train_sae

    torch.set_num_threads(asked.threads)
    model = TopKSAE(asked.units, nb_concepts=asked.latents, top_k=ACTIVE, device="cpu")
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def loss(x, rebuilt, before, codes, dictionary):
        return (x - rebuilt).square().sum(dim=1).mean()

    given = batches(folder, asked)
    train_sae(model, given[:2], loss, adam, nb_epochs=1, monitoring=0)
    return timed(lambda: train_sae(model, given, loss, adam, nb_epochs=1, monitoring=monitoring))


def plain(folder: Path, asked) -> dict:
    import torch

    torch.set_num_threads(asked.threads)
    decoder = torch.nn.functional.normalize(torch.randn(asked.latents, asked.units), dim=1)
    weights = [decoder.T.clone(), torch.zeros(asked.latents), decoder, torch.zeros(asked.units)]
    encoder, bias, decoder, centre = (torch.nn.Parameter(w.contiguous()) for w in weights)
    adam = torch.optim.Adam([encoder, bias, decoder, centre], lr=1e-3)

    def go(given) -> None:
        for x in given:
            p = (x - centre) @ encoder + bias
            values, at = p.topk(ACTIVE, dim=1)
            codes = torch.zeros_like(p).scatter(1, at, values.relu())
            loss = (x - codes @ decoder - centre).square().sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                decoder.div_(decoder.norm(dim=1, keepdim=True))
            loss.item()

    given = batches(folder, asked)
    go(given[:2])
    return timed(lambda: go(given))


def timed(act) -> dict:
    wall, busy = time.perf_counter(), time.process_time()
    act()
    return {"steps": [time.perf_counter() - wall, time.process_time() - busy]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"units": 256, "latents": 4096, "steps": 100, "batch": 1024, "repeats": 3, "threads": 2}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--python", help="interpreter of an environment with overcomplete")
    for hidden in ("--side", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        act = {"ours": ours, "plain loop": plain}.get(asked.side)
        level = 0 if "unmonitored" in asked.side else 1
        found = act(Path(asked.folder), asked) if act else overcomplete(Path(asked.folder), asked, level)
        print("\n" + json.dumps(found))
        return
    compared(asked, {name: getattr(asked, name) for name in defaults})


def compared(asked, sizes: dict) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from peer_environment import last_line, peer_python

    from analysis.store.from_arrays import write_store

    peer = peer_python(asked.python, "overcomplete-environment", ["torch==2.13.0", "overcomplete"])
    folder, found = Path(tempfile.mkdtemp(prefix="training-speed-")), {}
    try:
        n = min(asked.steps * asked.batch, 200_000) // SAMPLE * SAMPLE
        x = rows(n, asked.units)
        np.save(folder / "rows.npy", x)
        write_store(folder / "s", name="s", taps={"m": x.reshape(-1, SAMPLE, asked.units)})
        for _ in range(asked.repeats):
            for side in ("ours", *PEERS):
                given = [f"--{k}={v}" for k, v in sizes.items()] + [f"--side={side}", f"--folder={folder}"]
                python = peer if side.startswith("over") else sys.executable
                done = json.loads(last_line(python, __file__, given, asked.threads))
                for kind, times in done.items():
                    found.setdefault(f"{side}, whole call" if kind == "whole" else side, []).append(times)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seen = asked.steps * asked.batch
    print(f"{asked.latents} latents of {asked.units} units, k = {ACTIVE}, ", end="")
    print(f"{asked.steps} steps of {asked.batch} rows, {asked.threads} thread(s)")
    print(
        f"{'':28}rows a second: best  median  processor s   ours (steps) over it: best, median, processor (>= 1)"
    )
    mine = np.array(found["ours"])
    for side, times in found.items():
        t = np.array(times)
        ratios = (
            np.min(t, 0)[0] / np.min(mine, 0)[0],
            np.median(t[:, 0]) / np.median(mine[:, 0]),
            t[:, 1].min() / mine[:, 1].min(),
        )
        rates = f"{seen / t[:, 0].min():19,.0f} {seen / np.median(t[:, 0]):7,.0f} {t[:, 1].min():12.1f}"
        print(f"{side:28}{rates}            " + "".join(f"{r:8.2f}" for r in ratios))


if __name__ == "__main__":
    main()
