"""Attention over time and over space in turn, as TimeSformer divides it, computed on the tokens that are left.

    x ← x + D attention_time(norm_t x)      a patch reads those at its place in all frames; the class token is not there
    x ← x + attention_space(norm₁ x)        a patch reads those of its frame and the class token; the class token reads
                                            each frame by itself, and takes the mean over frames

A token that is gone is missing among those at its place and among those of its frame; a frame without any patch left is
not read by the class token. What is merged stands at the place and in the frame of the token that names it, since time
and space are read along the grid: a token of two frames would have to be read in both. The weights over space are told
as one matrix (t, t), 0 between frames, so that rows sum to 1; the class token's row is the mean over its frames.

Cost: of each group its tokens squared, padded to the largest group; with the weights told, t² a head.

Reference: G. Bertasius, H. Wang & L. Torresani (2021), "Is space-time attention all you need for video understanding?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.tokens.networks.attending import FAR, Attended
from analysis.tokens.state import TokenState
from analysis.tokens.view import CLASS, TokenLayout

NOTE = (
    "Frames and places are read in turn: a token that is gone is missing in its frame and at its place in time, what "
    "is merged stands where the token that names it stood, and the class token cannot go, as in space it is all that "
    "reads several frames."
)


@dataclass(frozen=True)
class Groups:
    """`members` (G, m) tokens of B samples counted through, b t + i, -1 at padding; `sample` (G,) of each group."""

    members: np.ndarray
    sample: np.ndarray


@dataclass(frozen=True)
class Crossing:
    """The current tokens `over_time` at each place, and `over_space` in each frame behind the class token."""

    over_time: Groups
    over_space: Groups


def crossing(layout: TokenLayout, state: TokenState) -> Crossing:
    """How the current tokens of B samples meet.

    Raises InputError where it is not known which frame and place a token is of, or there is no class token.
    """
    if layout.grid is None or layout.frames < 2 or layout.class_at is None:
        raise InputError(
            "tokens whose frames and places are not known", "a class token and patches of two frames or more",
            "Look at the number of frames that the network's config and the clips have",
        )  # fmt: skip
    at = np.maximum(state.at, 0)
    kinds, cell = (np.take_along_axis(v, at, axis=1) for v in (layout.kinds, layout.cell))
    places = layout.grid[0] * layout.grid[1] // layout.frames
    flat = np.arange(state.at.size).reshape(state.at.shape)
    patch = state.valid & (cell >= 0)
    first = flat[np.arange(len(flat)), (state.valid & (kinds == CLASS)).argmax(axis=1)]
    sample = np.broadcast_to(np.arange(len(flat))[:, None], flat.shape)[patch]
    time = _grouped(flat[patch], sample, cell[patch] % places)
    space = _grouped(flat[patch], sample, cell[patch] // places)
    alone = np.setdiff1d(np.arange(len(flat)), space.sample)  # without any patch the class token reads itself
    members = np.concatenate([space.members, np.full((len(alone), space.members.shape[1]), -1)])
    whose = np.concatenate([space.sample, alone])
    return Crossing(time, Groups(np.concatenate([first[whose][:, None], members], axis=1), whose))


def _grouped(tokens: np.ndarray, sample: np.ndarray, part: np.ndarray) -> Groups:
    """Those of one sample and part together, in their order."""
    if not len(tokens):
        return Groups(np.full((0, 0), -1), np.zeros(0, int))
    keys = sample * (part.max() + 1) + part
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    rank = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    members, whose = np.full((len(counts), counts.max()), -1), np.zeros(len(counts), int)
    members[group[order], rank], whose[group] = tokens[order], sample
    return Groups(members, whose)


def divided(
    block, x, meets: Crossing, sizes: np.ndarray, wanted: bool, change=None
) -> tuple[object, Attended]:
    """(what a block adds to x (B, t, d) by attention over time and then space, what was attended over space). `sizes`
    (B, t) is added to the logits of each key; `wanted` : the weights are made; `change(keys, values)` of those over
    space (B, heads, t, e)."""
    import torch

    norm, around, dense = block.over_time
    added = torch.zeros_like(x).reshape(-1, x.shape[2])
    if len(meets.over_time.members):
        query, key, value, scale = _projected(around.attention, norm(x))
        out, _ = _among(meets.over_time, query, key, value, sizes, scale, False)
        made = around.output.dense(_flat(out)[torch.from_numpy(_mask(meets.over_time))])
        added[torch.from_numpy(_there(meets.over_time))] = dense(made)
    added = added.view_as(x)
    query, key, value, scale = _projected(block.attention, block.norm1(x + added))
    key, value = (key, value) if change is None else change(key, value)
    out, weights = _among(meets.over_space, query, key, value, sizes, scale, wanted)
    taken = _scattered(meets.over_space, _flat(out), x.shape)
    told = None if weights is None else _matrix(meets.over_space, weights, x.shape[1], len(x))
    return added + block.called.output.dense(taken), Attended(query, key, value, told, scale)


def _projected(module, x):
    """Queries, keys, values (B, heads, t, e) and the scale of logits."""
    b, t = x.shape[:2]
    three = module.qkv(x).reshape(b, t, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    return *three, float(module.scale)


def _among(groups: Groups, query, key, value, sizes: np.ndarray, scale: float, wanted: bool):
    """((G, m, heads, e) means of values in each group, (G, heads, m, m) weights or None)."""
    import torch

    at = torch.from_numpy(np.maximum(groups.members, 0))
    q, k, v = (y.transpose(1, 2).reshape(-1, *y.shape[1::2])[at].transpose(1, 2) for y in (query, key, value))
    own = np.where(groups.members < 0, FAR, sizes.ravel()[np.maximum(groups.members, 0)])
    bias = torch.from_numpy(own)[:, None, None].to(q.dtype) if own.any() else None
    if not wanted:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        return out.transpose(1, 2), None
    logits = (q @ k.transpose(2, 3)) * scale
    weights = torch.softmax((logits if bias is None else logits + bias).float(), dim=-1).to(q.dtype)
    return (weights @ v).transpose(1, 2), weights


def _mask(groups: Groups) -> np.ndarray:
    """(G m,) bool: no padding."""
    return groups.members.ravel() >= 0


def _there(groups: Groups) -> np.ndarray:
    return groups.members.ravel()[_mask(groups)]


def _flat(out):
    """(G m, d) of (G, m, heads, e)."""
    return out.reshape(out.shape[0] * out.shape[1], -1)


def _part(groups: Groups) -> np.ndarray:
    """(G, m) what each row of a group counts in its token: the class token, which is in several, takes their mean."""
    many = np.bincount(groups.sample)
    out = np.ones(groups.members.shape)
    out[:, 0] = 1 / many[groups.sample]
    return out


def _scattered(groups: Groups, values, shape):
    """(B, t, d) of rows (G m, d)."""
    import torch

    out = values.new_zeros(shape[0] * shape[1], values.shape[1])
    mask = torch.from_numpy(_mask(groups))
    part = torch.from_numpy(_part(groups).ravel())[mask, None].to(values.dtype)
    return out.index_add_(0, torch.from_numpy(_there(groups)), values[mask] * part).reshape(*shape[:2], -1)


def _matrix(groups: Groups, weights, t: int, b: int):
    """(B, heads, t, t) of weights (G, heads, m, m) in groups."""
    import torch

    m = groups.members
    pairs = (m[:, :, None] >= 0) & (m[:, None] >= 0)
    cells = (m[:, :, None] * t + m[:, None] % t)[pairs]
    part = torch.from_numpy(_part(groups)).to(weights.dtype)[:, None, :, None]
    rows = (weights * part).permute(0, 2, 3, 1)[torch.from_numpy(pairs)]
    out = weights.new_zeros(b * t * t, weights.shape[1])
    out.index_add_(0, torch.from_numpy(cells), rows)
    return out.reshape(b, t, t, -1).permute(0, 3, 1, 2)
