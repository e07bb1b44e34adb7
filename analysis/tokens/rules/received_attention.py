"""Received attention: the tokens that are read most are kept (heavy hitters), in text with the most recent ones.

    h_j = Σ over queries i of mean over heads of softmax(q_i k_j / √d)

In text a share of the tokens kept are the last free ones, the others those of largest h. Early tokens are read by more
queries: under uniform causal attention over N tokens token j gets Σ_{i >= j} 1 / (i + 1), 72 times as much for the
first of 20 as for the last. `corrected` takes the mean over those queries that can read a token instead, divided by
what uniform attention would give it.

Reference: Z. Zhang, Y. Sheng, T. Zhou, T. Chen, L. Zheng, R. Cai, Z. Song, Y. Tian, C. Ré, C. Barrett, Z. Wang & B.
Chen (2023), "H2O: heavy-hitter oracle for efficient generative inference of large language models".
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


@dataclass(frozen=True)
class ReceivedSettings:
    recent: float = param(
        0.5, "Share of the tokens kept that are the last free ones; in text only.", low=0.0, high=1.0
    )
    corrected: bool = param(False, "Divide by what uniform attention gives the same place.")


def received_mass(attention: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(B, t) Σ over valid queries of attention (B, t, t)."""
    return (valid.astype(attention.dtype)[:, None, :] @ attention)[:, 0]


def uniform_attention(valid: np.ndarray, causal: bool) -> np.ndarray:
    """(B, t, t) rows that read all valid tokens they may alike."""
    even = np.broadcast_to(valid[:, None, :], (*valid.shape, valid.shape[1])) * 1.0
    even = np.tril(even) if causal else even
    return even / np.maximum(even.sum(axis=2, keepdims=True), 1)


def decide(view: View, remove: np.ndarray, settings: ReceivedSettings, rng) -> Step:
    valid, free = view.state.valid, view.free
    score = received_mass(view["mean attention"], valid)
    if settings.corrected:
        score = score / np.maximum(received_mass(uniform_attention(valid, view.layout.causal), valid), LEAST)
    safe = np.zeros(free.shape, bool)
    if view.layout.causal and (remove > 0).any():
        keep = np.maximum(free.sum(axis=1) - remove, 0)
        from_end = np.cumsum(free[:, ::-1], axis=1)[:, ::-1]
        safe = free & (from_end <= np.floor(settings.recent * keep)[:, None])
    return drop(view.state, score, lowest(np.where(safe, np.inf, score), free, remove))


RULES = (
    Rule(
        id="received_attention",
        title="Received attention",
        equation="the largest Σ_i softmax(q_i k_j / √d) are kept; in text with the most recent tokens",
        says="keeps what all tokens look at most (heavy hitters); of text also the latest.",
        decide=decide,
        place=AFTER,
        schedule="even",
        needs=frozenset({"mean attention"}),
        settings=ReceivedSettings,
    ),
)
