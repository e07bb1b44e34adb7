"""Multiply-adds of a network block by block, as it runs: products of weights with tokens, products of tokens with
tokens, and what these would be if every token were a key.

    linear       every product with a weight (projections, MLP, filters)
    attention    lines x heads x queries x keys x (width of keys + width of values)
    full         the same with all T tokens as keys of each: attention x T / keys

Counted off the operations of one pass (torch's own counter of them), so that whatever a network does is counted; scans
go token by token without products and are not. torch is imported when a network is run.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import numpy as np

from analysis.tokens.mixers.attention_calls import ROUTERS, Call, watched

BLOCK = re.compile(r"^(.*\.\d+|\d+)(?:\.|$)")


@dataclass(frozen=True)
class Work:
    """Of B blocks with attention: `names`, `linear`, `attention`, `full` (B,) multiply-adds of one sample, `tokens` and
    `keys` (B,), `seconds` (repeats, B), and `outside` all others of the network."""

    names: tuple[str, ...]
    linear: np.ndarray
    attention: np.ndarray
    full: np.ndarray
    tokens: np.ndarray
    keys: np.ndarray
    outside: float = 0.0
    seconds: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def crossover(self) -> float:
        """Tokens at which ordinary attention costs what all else in the blocks does: T Σ linear / Σ full, with the
        tokens of the first block."""
        return float(self.tokens[0] * self.linear.sum() / max(self.full.sum(), 1e-300))


def plain_block(tokens: float, width: int, name: str = "a block") -> Work:
    """Of a usual transformer block: 12 D² T and 2 D T²."""
    one = np.array([2.0 * width * tokens**2])
    t = np.array([tokens])
    return Work((name,), np.array([12.0 * width**2 * tokens]), one, one, t, t)


def work_of(loaded, given, repeats: int = 0) -> Work | None:
    """Of prepared inputs of one sample; None where there is no attention."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    def run():
        return loaded.call(loaded.module, given) if loaded.call else loaded.run(given)

    with watched(loaded.module) as calls:
        run()
    calls = [c for c in calls if c.name.rpartition(".")[2] not in ROUTERS]
    if not calls:
        return None
    counter = FlopCounterMode(display=False)
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        counter,
    ):  # the fused kernel is taken apart to be counted
        run()
    counts = {_own_name(k): _split(v) for k, v in counter.get_flop_counts().items()}
    blocks = list(dict.fromkeys(_block(c.name) for c in calls))
    linear, attention = (np.array([counts.get(b, (0.0, 0.0))[i] for b in blocks]) for i in (0, 1))
    sizes = [_sizes([c for c in calls if _block(c.name) == b]) for b in blocks]
    tokens, keys, grow = (np.array(x) for x in zip(*sizes, strict=True))
    outside = sum(counts.get("", (0.0, 0.0))) - linear.sum() - attention.sum()
    return Work(tuple(blocks), linear, attention, attention * grow, tokens, keys, max(float(outside), 0.0),
                _timed(loaded.module, blocks, run, repeats))  # fmt: skip


def _block(name: str) -> str:
    found = BLOCK.match(name)
    return found.group(1) if found else name


def _own_name(name: str) -> str:
    """Without the name of the class that the counter puts first."""
    return "" if name == "Global" else name.partition(".")[2]


def _split(operations: dict) -> tuple[float, float]:
    of_tokens = sum(v for k, v in operations.items() if "bmm" in str(k) or "dot_product" in str(k))
    return (sum(operations.values()) - of_tokens) / 2, of_tokens / 2


def _sizes(calls: list[Call]) -> tuple[float, float, float]:
    """(tokens, keys, how many times the products of a block would grow) of its attentions."""
    pairs, full, most, keys = 0.0, 0.0, 0.0, 0.0
    for c in calls:
        lines, tokens, each = len(c.weights), int(np.prod(c.weights.shape[2:-1])), c.weights.shape[-1]
        t = float(lines * tokens)
        pairs, full = pairs + t * each, full + t * t
        most, keys = max(most, t), max(keys, float(each))
    return most, keys, full / pairs


def _timed(module, blocks: list[str], run, repeats: int) -> np.ndarray:
    """(repeats, B) seconds inside each block; the first pass warms up."""
    import torch

    known, spent, since, handles = dict(module.named_modules()), dict.fromkeys(blocks, 0.0), {}, []

    def begin(name):
        return lambda *_: since.__setitem__(name, time.perf_counter())

    def end(name):
        return lambda *_: spent.__setitem__(name, spent[name] + time.perf_counter() - since[name])

    found = []
    try:
        for name in blocks if repeats else ():
            handles += [known[name].register_forward_pre_hook(begin(name)),
                        known[name].register_forward_hook(end(name))]  # fmt: skip
        for k in range(repeats + 1 if repeats else 0):
            spent.update(dict.fromkeys(blocks, 0.0))
            with torch.no_grad():
                run()
            if k:
                found.append([spent[name] for name in blocks])
    finally:
        for handle in handles:
            handle.remove()
    return np.array(found).reshape(len(found), len(blocks))
