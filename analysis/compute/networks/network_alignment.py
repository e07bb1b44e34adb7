"""A transformer's units reordered to match another's, without any change of what it computes.

The residual stream is written and read by every layer, so it has one permutation for the whole network. The hidden
units of each MLP have one of their own; heads are exchanged as a whole, and inside a head the channels of queries and
keys go together, and those of values and of what reads them. Each is chosen by assignment on cosines of the weights
that touch it, the residual stream having been aligned first. So aligned, two networks can be averaged weight by weight.

Known are parameters named as transformers names those of ViT and GPT-2; any other parameter is refused.

References: S. Ainsworth, J. Hayase & S. Srinivasa (2023), "Git re-basin"; M. Imfeld et al. (2024), "Transformer fusion
with optimal transport".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from analysis.compute.matching.transport import exact_transport
from analysis.errors import InputError

Weights = Mapping[str, np.ndarray]
STREAM, NONE = "stream", ""
HIDDEN, VALUES, QUERIES, ALL_THREE = "hidden", "values", "queries", "queries, keys, values"
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (  # end of the name, what each axis runs over
    (r"embeddings\.(cls_token|mask_token|position_embeddings)", (NONE, NONE, STREAM)),
    (r"patch_embeddings\.projection\.weight", (STREAM, NONE, NONE, NONE)),
    (r"patch_embeddings\.projection\.bias", (STREAM,)),
    (r"attention\.[qk]_proj\.weight", (QUERIES, STREAM)), (r"attention\.[qk]_proj\.bias", (QUERIES,)),
    (r"attention\.v_proj\.weight", (VALUES, STREAM)), (r"attention\.v_proj\.bias", (VALUES,)),
    (r"attention\.o_proj\.weight", (STREAM, VALUES)), (r"attention\.o_proj\.bias", (STREAM,)),
    (r"mlp\.fc1\.weight", (HIDDEN, STREAM)), (r"mlp\.fc1\.bias", (HIDDEN,)),
    (r"mlp\.fc2\.weight", (STREAM, HIDDEN)), (r"mlp\.fc2\.bias", (STREAM,)),
    (r"layernorm(_before|_after)?\.(weight|bias)", (STREAM,)),
    (r"classifier\.weight", (NONE, STREAM)), (r"classifier\.bias", (NONE,)),
    (r"(wte|wpe|lm_head)\.weight", (NONE, STREAM)), (r"ln_(1|2|f)\.(weight|bias)", (STREAM,)),
    (r"attn\.c_attn\.weight", (STREAM, ALL_THREE)), (r"attn\.c_attn\.bias", (ALL_THREE,)),
    (r"attn\.c_proj\.weight", (VALUES, STREAM)), (r"attn\.c_proj\.bias", (STREAM,)),
    (r"mlp\.c_fc\.weight", (STREAM, HIDDEN)), (r"mlp\.c_fc\.bias", (HIDDEN,)),
    (r"mlp\.c_proj\.weight", (HIDDEN, STREAM)), (r"mlp\.c_proj\.bias", (STREAM,)),
)  # fmt: skip


def axes_of(name: str) -> tuple[str, ...]:
    """What each axis of a parameter runs over. Raises InputError for a parameter of an unknown kind."""
    for pattern, axes in RULES:
        if re.search(rf"(^|\.){pattern}$", name):
            return axes
    raise InputError(
        f"'{name}' is a parameter of a kind that cannot be aligned here",
        "a ViT or GPT-2 as transformers builds them",
    )


def aligned_network(one: Weights, other: Weights, stream: np.ndarray, heads: int) -> dict[str, np.ndarray]:
    """The parameters of `other` with its units in the order of those of `one`.

    `stream` (d,) says which channel of the other's residual stream stands for each of this one's. Raises InputError for
    other parameters or shapes. O(layers units³).
    """
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        raise InputError(
            "the two networks have other parameters or shapes", "two networks of one architecture"
        )
    width = next(iter(_sizes(one, STREAM).values()))
    if len(stream) != width:
        raise InputError(f"a tap of {len(stream)} units", f"one of the residual stream, which has {width}")
    if heads < 1:
        raise InputError("config.json does not say how many attention heads there are", "their number")
    out = _reordered(other, STREAM, "", stream)
    for block in sorted({_block(name) for name in one if HIDDEN in axes_of(name)}):
        order = _assigned(_profiles(one, block, HIDDEN), _profiles(out, block, HIDDEN))
        out = _reordered(out, HIDDEN, block, order)
    for block in sorted({_block(name) for name in one if VALUES in axes_of(name)}):
        out = _heads_aligned(one, out, block, heads)
    return out


def shuffled_network(weights: Weights, heads: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The same network with all its units in a random order: what aligning is to do better than."""
    roles = {role: _sizes(weights, role) for role in (STREAM, HIDDEN, QUERIES, VALUES)}
    out = _reordered(weights, STREAM, "", rng.permutation(next(iter(roles[STREAM].values()))))
    for block, size in roles[HIDDEN].items():
        out = _reordered(out, HIDDEN, block, rng.permutation(size))
    for block in roles[VALUES]:
        order = rng.permutation(heads)
        for what in (QUERIES, VALUES):
            size = roles[what][block] // heads
            inside = np.concatenate([h * size + rng.permutation(size) for h in order])
            out = _reordered(out, what, block, inside)
    return out


def _sizes(weights: Weights, what: str) -> dict[str, int]:
    """Units of a kind in each block that has them."""
    found = {}
    for name, value in weights.items():
        for axis, role in enumerate(axes_of(name)):
            if role == what or (role == ALL_THREE and what in (QUERIES, VALUES)):
                found[_block(name)] = value.shape[axis] // (3 if role == ALL_THREE else 1)
    return found


def average(one: Weights, other: Weights, t: float) -> dict[str, np.ndarray]:
    """(1 - t) of one network and t of the other."""
    return {k: ((1 - t) * v.astype(np.float64) + t * other[k]).astype(v.dtype) for k, v in one.items()}


def _block(name: str) -> str:
    """The block that a parameter belongs to: what stands before its attention or MLP."""
    return re.split(r"\.(?:attention|attn|mlp)\.", name)[0]


def _reordered(weights: Weights, what: str, block: str, order: np.ndarray) -> dict[str, np.ndarray]:
    """Every axis over `what` (in `block`, the whole network where it is "") in a new order."""
    out = {}
    for name, value in weights.items():
        if not block or _block(name) == block:
            for axis, role in enumerate(axes_of(name)):
                if role == what:
                    value = np.take(value, order, axis=axis)
                elif role == ALL_THREE and what in (QUERIES, VALUES):
                    value = _three(value, axis, what, order)
        out[name] = value
    return out


def _three(value: np.ndarray, axis: int, what: str, order: np.ndarray) -> np.ndarray:
    """Queries, keys and values stored behind each other, of which one kind is put into a new order."""
    parts = np.split(value, 3, axis=axis)
    moved = (0, 1) if what == QUERIES else (2,)
    return np.concatenate(
        [np.take(p, order, axis=axis) if i in moved else p for i, p in enumerate(parts)], axis=axis
    )


def _profiles(weights: Weights, block: str, what: str) -> np.ndarray:
    """(units, everything) all weights of the block that touch each unit of `what`, side by side."""
    parts = []
    for name in sorted(n for n in weights if _block(n) == block):
        value = np.asarray(weights[name], dtype=np.float64)
        for axis, role in enumerate(axes_of(name)):
            if role == what:
                parts.append(np.moveaxis(value, axis, 0))
            elif role == ALL_THREE and what in (QUERIES, VALUES):
                three = np.split(np.moveaxis(value, axis, 0), 3)
                parts += three[:2] if what == QUERIES else three[2:]
    return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)


def _assigned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(k,) for each row of `a` (k, f) its row of `b` (k, f), the sum of cosines being largest."""
    unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300) for x in (a, b)]
    return exact_transport(-unit[0] @ unit[1].T).argmax(axis=1)


def _heads_aligned(one: Weights, other: Weights, block: str, heads: int) -> dict[str, np.ndarray]:
    """Heads exchanged by what they do (queries times keys, values times outputs), then channels inside each head."""
    order = exact_transport(-_alike_heads(one, other, block, heads)).argmax(axis=1)
    for what in (QUERIES, VALUES):
        size = len(_profiles(other, block, what)) // heads
        other = _reordered(other, what, block, (order[:, None] * size + np.arange(size)).ravel())
        a, b = (_profiles(w, block, what).reshape(heads, size, -1) for w in (one, other))
        inside = [h * size + _assigned(a[h], b[h]) for h in range(heads)]
        other = _reordered(other, what, block, np.concatenate(inside))
    return other


def _alike_heads(one: Weights, other: Weights, block: str, heads: int) -> np.ndarray:
    """(heads, heads) how alike heads are whatever the order of their channels: with the weights X (channels, ·) that
    touch a head's queries and keys, the cosine of XᵀX and YᵀY, plus the same of its values and outputs."""
    found = np.zeros((heads, heads))
    for what in (QUERIES, VALUES):
        x, y = (_profiles(w, block, what) for w in (one, other))
        x, y = (v.reshape(heads, len(v) // heads, -1) for v in (x, y))
        inner = np.array([[((u @ v.T) ** 2).sum() for v in y] for u in x])
        own = [np.sqrt([((u @ u.T) ** 2).sum() for u in z]) for z in (x, y)]
        found += inner / np.maximum(own[0][:, None] * own[1], 1e-300)
    return found
