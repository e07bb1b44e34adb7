"""MCTF, multi-criteria token fusion: tokens that are alike, read little and small are merged, seen one step ahead.

The free tokens of a layer alternate between two sets A and B. A pair is judged by

    W = W_sim W_info W_size
    W_sim  = ((cos(x_a, x_b) + 1) / 2) ^ (1/τ_sim)
    W_info = (u_a u_b) ^ (1/τ_info),           u = 1 / attention received, the largest of a sample made 1
    W_size = (1 / (s_a s_b), largest 1) ^ (1/τ_size)

with the attention of the *next* layer on the current tokens (behind the last layer: its own). A temperature of 0 leaves
a criterion out; all left out, every pair ties. Half of the r best pairs go from A into B, the other half, judged anew,
from what is left of B ... into A. Fused tokens are means weighed by size; attention afterwards is weighed by size.
Where the second half is judged, the attention that a fused token receives is the sum over what is inside it.

Class token and the like are in neither set, however many of them there are. At most half of the free tokens go at once.

Cost: two products of (t/2, d) by (d, t/2) a layer, and the next layer's queries and keys once more.

Reference: S. Lee, J. Choi & H. J. Kim (2024), "Multi-criteria token fusion with one-step-ahead attention for efficient
vision transformers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.choosing import bipartite, gathered, then, unit_rows
from analysis.tokens.rule import AFTER, Rule
from analysis.tokens.rules.received_attention import received_mass
from analysis.tokens.rules.tome import halves
from analysis.tokens.state import GONE, Step, after, goes_to, grouped_sums, merged, survivors
from analysis.tokens.view import View

LEAST = 1e-12


@dataclass(frozen=True)
class MctfSettings:
    similarity: float = param(1.0, "Temperature of likeness; 0 leaves it out.", low=0.0, high=100.0)
    information: float = param(
        20.0, "Temperature of how little a token is read; 0 leaves it out.", low=0.0, high=100.0
    )
    size: float = param(40.0, "Temperature of how small a token is; 0 leaves it out.", low=0.0, high=100.0)
    both_ways: bool = param(True, "Half of the pairs from B into A; else all from A into B.")


def power(temperature: float) -> float:
    """1 / temperature, 0 where the criterion is left out."""
    return 0.0 if temperature == 0 else 1 / temperature


def weights(x, received, size, settings: MctfSettings):
    """The function (first, second) -> (B, m, q) W of tokens x (B, t, d), of which `received` (B, t) attention is read
    and inside which `size` (B, t) input tokens are."""
    x = unit_rows(x)
    u = 1 / np.maximum(received, LEAST)
    worth = (u / u.max(axis=1, keepdims=True)) ** power(settings.information)
    small = (1 / np.maximum(size, 1.0)) ** power(settings.size)

    def likeness(a, b):
        alike = gathered(x, a) @ gathered(x, b).transpose(0, 2, 1)
        alike += 1
        alike /= 2
        np.clip(alike, 0, 1, out=alike)
        alike = alike if power(settings.similarity) == 1 else alike ** power(settings.similarity)
        (wa, wb), (za, zb) = (
            tuple(gathered(v[:, :, None], p)[:, :, 0] for p in (a, b)) for v in (worth, small)
        )
        largest = za.max(axis=1) * zb.max(axis=1)  # a power of products is a product of powers
        out = alike * (wa * za / largest[:, None])[:, :, None]
        out *= (wb * zb)[:, None, :]
        return out

    return likeness


def decide(view: View, remove: np.ndarray, settings: MctfSettings, rng) -> Step:
    state, x = view.state, view["hidden"]
    read_by = received_mass(view[view.ahead], state.valid)  # padding reads nothing that counts
    received = np.where(state.valid, read_by / np.maximum(state.counts, 1)[:, None], np.inf)
    first, second = halves(view.free)
    half = -(-remove // 2) if settings.both_ways else remove
    one = bipartite(state, first, second, weights(x, received, state.size, settings), half)
    if not settings.both_ways or not (remove - half).any():
        return one
    left, keep = after(state, one), survivors(one)
    moved = merged(x, state, one)
    read = np.where(
        left.valid, grouped_sums(np.where(state.valid, received, 0), goes_to(one), left.at.shape[1]), np.inf
    )
    two = bipartite(
        left, _still(second, one, keep), _still(first, one, keep), weights(moved, read, left.size, settings),
        remove - half,
    )  # fmt: skip
    return then(one, two)


def _still(places: np.ndarray, step: Step, keep: np.ndarray) -> np.ndarray:
    """(B, m) where those of `places` that stay stand among the survivors, rising, GONE at padding and where gone."""
    there = np.where(places == GONE, False, np.take_along_axis(step.kept, np.maximum(places, 0), axis=1))
    new = np.take_along_axis(np.cumsum(step.kept, axis=1) - 1, np.maximum(places, 0), axis=1)
    return np.where(there, new, GONE)


RULES = (
    Rule(
        id="mctf",
        title="MCTF",
        equation="the r largest ((cos + 1)/2)^(1/τ_sim) (u_a u_b)^(1/τ_info) (s_a s_b)^(-1/τ_size) are merged",
        says="multi-criteria token fusion: merges pairs that are alike, carry little and have not grown large "
        "yet.",
        decide=decide,
        papers=(
            "Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",
        ),
        place=AFTER,
        needs=frozenset({"hidden", "next mean attention"}),
        proportional=True,
        most=0.5,
        settings=MctfSettings,
        merges=True,
        notes=(
            "Attention of the next layer is computed once more on the fused tokens, where the paper merges it.",
        ),
    ),
)
