"""Tokens: rules on a dump against re-runs of the network, source tracing, time really saved, slider to picture.

    python benchmarks/tokens.py [--images 16] [--reruns 8] [--shares 9] [--repeats 7] [--width 192] [--only 1]

A vision transformer with random weights in the shape of DeiT: 197 tokens, 12 layers, WIDTH units (192 is T, 384 S). In
one run and one thread, seconds of the processor (wall time beside, where a person waits):

    1  ten rules at nine shares on a dump of IMAGES images, against the network run with each of them on RERUNS images,
       scaled to as many; both then to 1,000 images. Limit: 20 times faster
    2  following which input tokens are inside which (states and source matrices), over the pass with ToMe that it
       follows. Limit: 10 % of the pass
    3  ToMe down to half of the tokens, tokens really removed, batch of 8, against the network as it is: ratio of times
       beside the ratio of multiply-adds. Limit: below 1
    4  slider to picture: a rule on the kept dump of one sample, its film and its figure. Limit: 150 ms

The load of the machine is printed, since other work on it spoils ratios too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy: a second thread that waits counts as processor time
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.sources.loaded_model import LoadedModel
from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.dump import needed, record, simulate
from analysis.tokens.kept_dump import KeptDump, keep
from analysis.tokens.networks.shape import shape_of
from analysis.tokens.networks.token_network import TokenNetwork
from analysis.tokens.rule import rule, rules
from analysis.tokens.schedule import schedule
from analysis.tokens.state import TokenState, after

RULES = ("tome", "pitome", "mctf", "evit", "class_attention", "dynamicvit", "fastv", "pyramid_drop",
         "received_attention", "random")  # fmt: skip
BATCH, THOUSAND = 8, 1000


def network(width: int) -> TokenNetwork:
    import torch
    import transformers

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = transformers.ViTConfig(hidden_size=width, num_hidden_layers=12, num_attention_heads=width // 64,
                                    intermediate_size=4 * width, num_labels=1000)  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()

    def prepare(items):
        return {"pixel_values": torch.from_numpy(np.stack(items)).float()}

    return TokenNetwork(LoadedModel(model, "image", prepare), pictures(1))


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 3, 224, 224)).astype(np.float32)


def seconds(way: Callable, repeats: int = 1, clock=time.process_time) -> float:
    """The least of some repeats."""
    found = []
    for _ in range(repeats):
        start = clock()
        way()
        found.append(clock() - start)
    return min(found)


def plan(one, share: float, layers: int):
    return lambda n: schedule(one.schedule, share, layers, n)


def simulating(net: TokenNetwork, images: int, reruns: int, shares: int) -> None:
    chosen, layers = [rule(name) for name in RULES], net.layers
    points = np.linspace(0.9, 0.1, shares)
    items = pictures(images)
    start = time.process_time()
    dump = record(net, items, needed(chosen))
    recording = time.process_time() - start
    inputs = net.loaded.prepare(list(items[:reruns]))
    simulated, ran = {}, {}
    for one in chosen:
        for share in points:
            key = one.id, float(share)
            simulated[key] = seconds(lambda o=one, s=share: [
                simulate(part, o, plan(o, s, layers)) for _, part in dump.blocks()]) / images  # fmt: skip
            ran[key] = seconds(lambda o=one, s=share: [
                net.run({"pixel_values": x}, o, plan(o, s, layers)) for x in inputs["pixel_values"].split(BATCH)
            ]) / reruns  # fmt: skip
    for one in chosen:
        a, b = (sum(v for (name, _), v in found.items() if name == one.id) for found in (ran, simulated))
        print(f"  {one.title}: {a / b:.1f} times ({1e3 * b / shares:.2f} ms an image and share on the dump)")
    a, b = sum(ran.values()), sum(simulated.values())
    print(f"  {len(chosen)} rules at {shares} shares of {THOUSAND:,} images: {b * THOUSAND:.0f} s on the dump, "
          f"{a * THOUSAND:.0f} s in the network (timed on {images} and {reruns} images, scaled): "
          f"{a / b:.1f} times as fast, limit 20; with the recording of the dump, {recording / images * THOUSAND:.0f} "
          f"s, {a / (b + recording / images):.1f}")  # fmt: skip


def tracing(net: TokenNetwork, repeats: int) -> None:
    inputs, one = net.loaded.prepare(list(pictures(BATCH))), rule("tome")
    half = plan(one, 0.5, net.layers)
    run = net.run(inputs, one, half)
    whole = seconds(lambda: net.run(inputs, one, half), repeats)

    def followed():
        state = TokenState.start(run.layout.present)
        for step in run.steps:
            state = after(state, step)
        state.sources()

    follow = seconds(followed, repeats)
    print(f"  states of 12 layers and sources: {1e3 * follow:.1f} ms of {1e3 * whole:.0f} ms, {follow / whole:.1%} of "
          "the pass, limit 10 %")  # fmt: skip


def removing(net: TokenNetwork, repeats: int) -> None:
    inputs, one = net.loaded.prepare(list(pictures(BATCH))), rule("tome")
    half = plan(one, 0.5, net.layers)
    whole, less = [], []
    for clock in (time.process_time, time.perf_counter):
        pairs = [
            (
                seconds(lambda: net.run(inputs), 1, clock),
                seconds(lambda: net.run(inputs, one, half), 1, clock),
            )
            for _ in range(repeats + 1)
        ][1:]
        whole.append(np.median([w for w, _ in pairs]))
        less.append(np.median([x / w for w, x in pairs]))
    run = net.run(inputs, one, half)
    shape, counts = shape_of(net, inputs), [float(s.counts[0]) for s in run.states]
    work = multiply_adds(shape, counts).total / multiply_adds(shape, [counts[0]] * len(counts)).total
    alone = {"pixel_values": inputs["pixel_values"]}
    own = seconds(lambda: net.loaded.module(**alone), repeats)
    print(
        f"  ToMe at {counts[-1]:.0f} of {counts[0]:.0f} tokens, batch of {BATCH}: {less[0]:.2f} of the processor time "
        f"and {less[1]:.2f} of the wall time of the network as it is, {work:.2f} of its multiply-adds; limit below 1"
    )
    print(f"  as it is {1e3 * whole[0]:.0f} ms block by block, {1e3 * own:.0f} ms by itself; of the pass with ToMe "
          f"{1e3 * run.deciding:.0f} ms are for deciding")  # fmt: skip


def sliding(net: TokenNetwork, repeats: int) -> None:
    from dashboard import figures
    from dashboard.browse import token_rules
    from dashboard.figures.style import LIGHT

    inputs = net.loaded.prepare(list(pictures(1)))
    run = net.run(inputs, record=needed(list(rules().values())))
    picture = np.zeros((224, 224, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        from analysis.tokens.dump import TokenDump

        path = Path(folder) / "dump.npz"
        keep(KeptDump(TokenDump(run.layout, run.recorded), shape_of(net, inputs), picture, (), ()), path)
        token_rules.opened(str(path))
        found = {}
        for name in rules():

            def once(name=name):
                made = token_rules.shown.__wrapped__(str(path), name, 0.5, 0)
                figures.on_screen(made.film, theme=LIGHT, show="tokens", title=False).to_json()

            once()
            found[name] = (seconds(once, repeats), seconds(once, repeats, time.perf_counter))
    worst = max(found, key=lambda n: found[n][0])
    middle = np.median([f[0] for f in found.values()])
    print(f"  one sample of 197 tokens, {len(found)} rules: {1e3 * middle:.0f} ms in the middle, slowest "
          f"{rule(worst).title} {1e3 * found[worst][0]:.0f} ms of the processor ({1e3 * found[worst][1]:.0f} ms wall), "
          "limit 150 ms")  # fmt: skip
    for name, (own, _) in sorted(found.items(), key=lambda item: -item[1][0])[:5]:
        print(f"    {rule(name).title}: {1e3 * own:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("images", 16), ("reruns", 8), ("shares", 9), ("repeats", 7), ("width", 192)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", type=int, choices=(1, 2, 3, 4))
    asked = parser.parse_args()
    print(f"{asked.width} units, 12 layers, 197 tokens; load {os.getloadavg()[0]:.1f}")
    net = network(asked.width)
    parts = {
        1: lambda: simulating(net, asked.images, asked.reruns, asked.shares),
        2: lambda: tracing(net, asked.repeats),
        3: lambda: removing(net, asked.repeats),
        4: lambda: sliding(net, asked.repeats),
    }
    for number, part in parts.items():
        if asked.only in (None, number):
            print(
                ("", "rules on a dump", "source tracing", "tokens really removed", "slider to picture")[
                    number
                ]
            )
            part()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
