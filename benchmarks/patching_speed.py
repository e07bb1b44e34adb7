"""A patching sweep with cells stacked along the batch against one call of the network for each cell.

    python benchmarks/patching_speed.py [--layers 4] [--width 64] [--heads 4] [--tokens 32] [--pairs 8] [--repeats 3]

A GPT-2 of random weights; the residual stream after each layer at each token is patched from a clean run into a
corrupted one, layers x tokens cells for every pair. Three ways give the same numbers (checked to 1e-5): all cells of
all pairs through `BatchRun.answers`, which runs many at once and each of them only from the patched block on; the same
one cell at a time with all pairs in a batch; and one whole call for every cell of every pair, which is what a loop over
prompts and sites does. All hook, clone and read the logits by the same code. Printed are ratios of the fastest repeats,
in seconds of the processor. Limit: at least 5 of the third over the first.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.attribution import targets
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import RESIDUALS
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.interventions import patched
from analysis.interventions.many_targets import many_targets
from analysis.sources.loaded_model import LoadedModel

LIMIT = 5.0


def model_of(options) -> LoadedModel:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=options.width, n_layer=options.layers, n_head=options.heads, vocab_size=256,
                        n_positions=options.tokens)  # fmt: skip
    return LoadedModel(GPT2LMHeadModel(config).eval(), "text", None, causal=True)


def cells_of(clean: BatchRun, layers, tokens: int) -> list:
    source = clean.caught([s for c in layers for s in c.sites])
    return [patched(c, source, np.arange(tokens) == t) for c in layers for t in range(tokens)]


def stacked(clean, corrupted, layers, tokens, target) -> np.ndarray:
    return corrupted.answers(cells_of(clean, layers, tokens), target.of)


def cell_by_cell(clean, corrupted, layers, tokens, target) -> np.ndarray:
    return np.concatenate([corrupted.answers([c], target.of) for c in cells_of(clean, layers, tokens)])


def call_by_call(clean, corrupted, layers, tokens, target) -> np.ndarray:
    found = []
    for i in range(clean.n):
        one, other = (
            BatchRun(r.loaded, {k: v[i : i + 1] for k, v in r.inputs.items()}) for r in (clean, corrupted)
        )
        own = many_targets(other, target.kind, int(target.answer[i]))
        found.append(cell_by_cell(one, other, layers, tokens, own))
    return np.concatenate(found, axis=1)


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("layers", 4),
        ("width", 64),
        ("heads", 4),
        ("tokens", 32),
        ("pairs", 8),
        ("repeats", 3),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    loaded, shape = model_of(options), (options.pairs, options.tokens)
    draw = np.random.default_rng(0)
    clean, corrupted = (
        BatchRun(loaded, {"input_ids": torch.as_tensor(draw.integers(256, size=shape))}) for _ in "ab"
    )
    target = many_targets(clean, targets.LOGIT)
    known = network_parts(loaded, clean.inputs)
    layers, corrupted.blocks = known.components(RESIDUALS), known.blocks
    ways = {"stacked": stacked, "cell by cell": cell_by_cell, "call by call": call_by_call}
    fastest, answers = dict.fromkeys(ways, np.inf), {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            begun = time.process_time()
            answers[name] = way(clean, corrupted, layers, options.tokens, target)
            fastest[name] = min(fastest[name], time.process_time() - begun)
    for name in ways:
        np.testing.assert_allclose(answers[name], answers["stacked"], atol=1e-5)
    cells = len(layers) * options.tokens
    print(f"{cells} cells x {options.pairs} pairs, {torch.get_num_threads()} thread(s)")
    for name, seconds in fastest.items():
        print(f"  {name:<14}{seconds:8.3f} s   {seconds / fastest['stacked']:6.2f} x")
    ratio = fastest["call by call"] / fastest["stacked"]
    print(f"ratio {ratio:.2f}, at least {LIMIT:g} asked: {'kept' if ratio >= LIMIT else 'NOT KEPT'}")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
