"""Correlation-guided compression: a crop keeps as many tokens as it has information, those that are read most.

    density of a crop = 1 - share of its free tokens with another of cosine above the threshold
    kept              = ⌈density x tokens⌉ of largest a_i = mean over heads of softmax(q_class k_i / √d)

The number is the rule's own: a blank crop keeps one token, a crop of orthogonal tokens all of them, and at threshold 1
nothing goes. A crop is one frame of the grid, or the sample where there is one picture. In text the last token reads.

Reference: R. Zhang, Y. Lyu, R. Shao, G. Chen, W. Guan & L. Nie (2024), "Token-level correlation-guided compression for
efficient multimodal document understanding".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import drop, unit_rows
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.state import GONE, Step
from analysis.tokens.view import View

ROUNDING = 1e-9  # the cosine of copies may be a little above 1


@dataclass(frozen=True)
class CorrelationSettings:
    threshold: float = param(0.9, "Cosine above which a token has a near-duplicate.", low=0.0, high=1.0)


def density(x: np.ndarray, threshold: float) -> float:
    """1 - share of rows of x (n, d) with a cosine above the threshold to another; 1 of a single row."""
    if len(x) < 2:
        return 1.0
    unit = unit_rows(x.astype(np.float64))
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    return 1 - float((alike.max(axis=1) > threshold + ROUNDING).mean())


def crops(view: View) -> np.ndarray:
    """(B, t) the crop of each free token, GONE of others."""
    if view.layout.grid is None:
        return np.where(view.free, 0, GONE)
    rows, columns = view.layout.grid
    area = columns * max(rows // max(view.layout.frames, 1), 1)
    return np.where(view.free, np.maximum(view.cell, 0) // area, GONE)


def gone_of(x: np.ndarray, read: np.ndarray, crop: np.ndarray, threshold: float) -> tuple[np.ndarray, dict]:
    """((t,) bool which tokens of one sample go, {crop: density}) of tokens x (t, d) that are `read` (t,) and lie in
    `crop` (t,), GONE for those that stay whatever happens."""
    gone, found = np.zeros(len(x), bool), {}
    for c in np.unique(crop[crop != GONE]):
        places = np.flatnonzero(crop == c)
        found[int(c)] = share = density(x[places], threshold)
        keep = max(int(np.ceil(share * len(places) - 1e-9)), 1)
        gone[places[np.argsort(-read[places], kind="stable")[keep:]]] = True
    return gone, found


def decide(view: View, remove: np.ndarray, settings: CorrelationSettings, rng) -> Step:
    crop, read, x = crops(view), view.answering_attention(), view["hidden"]
    gone = np.zeros(read.shape, bool)
    for b in np.flatnonzero(np.asarray(remove) > 0):
        gone[b] = gone_of(x[b], read[b], crop[b], settings.threshold)[0]
    return drop(view.state, read, gone)


RULES = (
    Rule(
        id="correlation_guided",
        title="Correlation-guided",
        equation="⌈(1 - share with a cosine above τ) n⌉ tokens of largest softmax(q_class k_i / √d) are kept",
        says="the more tokens repeat each other, the fewer stay; which, the class token's attention says.",
        decide=decide,
        papers=(
            "Token-level Correlation-guided Compression for Efficient Multimodal Document Understanding",
        ),
        place=AFTER,
        schedule="second",
        needs=frozenset({"hidden", "mean attention"}),
        settings=CorrelationSettings,
        own_count=True,
        notes=(
            "The number of tokens is the rule's own: the threshold sets it, not the share that is asked for.",
        ),
    ),
)
