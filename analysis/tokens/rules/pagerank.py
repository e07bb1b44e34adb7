"""PageRank: the tokens that get the least mass when it walks along attention are dropped.

    p ← (1 - δ) p A + δ / t,    K steps from the uniform p,    A = softmax(log a / τ) row by row, a the attention

for every head, and p_i is the root mean square over heads; the smallest go. Published: K = 5, δ = 0, τ = 0.1.

With a causal mask and δ = 0 the first token is the only absorbing state. Over 20 tokens it has 0.18, 0.82 and 0.99999
of the mass after 1, 5 and 20 steps of uniform attention; of attention with standard normal logits (τ = 1) in the median
of draws 0.18, 0.79 and 0.9996, whatever is in the tokens. `corrected` divides p by what uniform attention over the same
tokens gives.

The second half of AIM (`aim`) by itself.

Reference: Y. Zhong, Z. Liu, Y. Li & L. Wang (2025), "AIM: adaptive inference of multi-modal LLMs via token merging and
pruning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import drop, lowest
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View

LEAST = 1e-30
PAPER = ("AIM: Adaptive Inference of Multi-Modal LLMs via Token Merging and Pruning",)


@dataclass(frozen=True)
class PagerankSettings:
    iterations: int = param(5, "Steps K from the uniform distribution.", low=1, high=200)
    damping: float = param(0.0, "Share δ that starts anew at any token in every step.", low=0.0, high=1.0)
    temperature: float = param(0.1, "τ of the softmax over the logits of attention.", low=0.01, high=10.0)
    corrected: bool = param(False, "Divide by what uniform attention gives the same place.")


def pagerank(attention: np.ndarray, valid: np.ndarray, iterations: int, damping: float = 0.0) -> np.ndarray:
    """(B, H, t) mass of tokens `valid` (B, t) after some steps along the rows of attention (B, H, t, t)."""
    start = (valid / np.maximum(valid.sum(axis=1, keepdims=True), 1))[:, None, :]
    mass = np.broadcast_to(start, attention.shape[:3]).astype(np.float64)
    for _ in range(iterations):
        mass = (1 - damping) * (mass[:, :, None, :] @ attention)[:, :, 0] + damping * start
    return mass


def sharpened(attention: np.ndarray, temperature: float) -> np.ndarray:
    """Attention (..., t, t) as it would be with its logits divided by a temperature."""
    weight = raised(attention / np.maximum(attention.max(axis=-1, keepdims=True), LEAST), 1 / temperature)
    return weight / np.maximum(weight.sum(axis=-1, keepdims=True, dtype=np.float64), LEAST)


def raised(x: np.ndarray, power: float) -> np.ndarray:
    """x >= 0 to a power; of a whole one by squaring, which is many times faster."""
    whole = round(power)
    if abs(power - whole) > 1e-9 or not 1 <= whole <= 64:
        return x**power
    out = None
    while whole:
        if whole % 2:
            out = x if out is None else out * x
        whole //= 2
        x = x * x if whole else x
    return out


def importance(view: View, settings: PagerankSettings) -> np.ndarray:
    """(B, t) root mean square over heads."""
    attention, valid = view["attention"], view.state.valid
    mass = pagerank(sharpened(attention, settings.temperature), valid, settings.iterations, settings.damping)
    score = np.sqrt(np.square(mass).mean(axis=1))
    if not settings.corrected:
        return score
    even = np.broadcast_to(valid[:, None, :], attention.shape[:1] + attention.shape[2:]) * 1.0
    even = np.tril(even) if view.layout.causal else even
    even = even / np.maximum(even.sum(axis=-1, keepdims=True), 1)
    null = pagerank(even[:, None], valid, settings.iterations, settings.damping)[:, 0]
    return score / np.maximum(null, LEAST)


def decide(view: View, remove: np.ndarray, settings: PagerankSettings, rng) -> Step:
    score = importance(view, settings)
    return drop(view.state, score, lowest(score, view.free, remove))


RULES = (
    Rule(
        id="pagerank",
        title="PageRank",
        equation="the smallest p of p ← (1 - δ) p softmax(log a / τ) + δ / t go",
        says="drops what few other tokens lead to when attention is walked along (the second half of AIM).",
        decide=decide,
        papers=PAPER,
        place=AFTER,
        schedule="falling",
        needs=frozenset({"attention"}),
        settings=PagerankSettings,
        notes=("The second half of AIM by itself.",),
    ),
)
