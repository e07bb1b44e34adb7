"""What one token reads of the input through all layers, attention and shortcut together.

    rollout      r_l = r_(l+1) Ã_l from the readout's one-hot on top,  Ã = (mean over heads of A + 1) / 2
    weighted     the same with the mean over heads of (A * dy/dA)+ in the place of A, and Ã = rows of (W + 1) made whole
    flow         largest flow from an input token to the readout through layers of edges with capacity Ã_ij

(S. Abnar & W. Zuidema 2020; H. Chefer, S. Gur & L. Wolf 2021). Rows of every Ã sum to 1 (each is divided by its own
sum, kept as a column), so r does. Rollout is a flow that fits the capacities: the largest flow is nowhere less.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.tokens.attention.heads import HELD, HeadReader

WHOLE = 10**6  # capacities are whole numbers of 1 / WHOLE


def with_shortcut(weights: np.ndarray) -> np.ndarray:
    """(..., T, T) weights and the shortcut, rows made whole; rows of nothing stay with the token itself."""
    both = weights + np.eye(weights.shape[-1])
    return both / both.sum(axis=-1, keepdims=True)


def rolled(mixing: np.ndarray, readout: int) -> np.ndarray:
    """(T,) what the readout reads through layers of `mixing` (L, T, T), lowest first."""
    row = np.zeros(mixing.shape[-1])
    row[readout] = 1
    for layer in mixing[::-1]:
        row = row @ layer
    return row


def rollouts(reader: HeadReader, readouts: np.ndarray, progress, held: int = HELD) -> np.ndarray:
    """(n, T) rollout of every sample, a block of queries at a time."""
    row = np.zeros((reader.n, reader.tokens))
    row[np.arange(reader.n), readouts] = 1
    for done, layer in enumerate(range(reader.layers - 1, -1, -1)):
        progress(done / reader.layers, "rolling out")
        below = 0.5 * row
        for start, stop in reader.parts(held):
            for head in range(reader.heads):
                part = row[:, None, start:stop] @ reader.rows(layer, head, start, stop)
                below += 0.5 * part[:, 0] / reader.heads
        row = below
    return row


def largest_flow(mixing: np.ndarray, readout: int) -> np.ndarray:
    """(T,) the largest flow from each input token to the readout. T maximum flows through L T² edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import maximum_flow

    layers, t, _ = mixing.shape
    reader, read = np.nonzero(np.ones((t, t)))
    rows = np.concatenate([layer * t + read for layer in range(layers)])
    columns = np.concatenate([(layer + 1) * t + reader for layer in range(layers)])
    capacity = np.round(mixing.reshape(-1) * WHOLE).astype(np.int32)
    size = (layers + 1) * t
    graph = coo_array((capacity, (rows, columns)), shape=(size, size)).tocsr()
    graph.eliminate_zeros()
    top = layers * t + readout
    return np.array([maximum_flow(graph, j, top).flow_value / WHOLE for j in range(t)])


def weighted_by_slope(loaded, inputs) -> tuple[np.ndarray, str] | None:
    """((L, T, T) mean over heads of (A * dy/dA)+, what y is) of one sample, y its likeliest answer; None where the
    network does not hand out its weights."""
    import torch

    from analysis.sources.hooked_run import model_lock
    from analysis.sources.loaded_model import logits_of

    module = loaded.module
    if not hasattr(module, "set_attn_implementation"):
        return None
    with model_lock(module), torch.enable_grad():
        training = [m for m in module.modules() if m.training]
        way = getattr(module.config, "_attn_implementation", None)
        frozen = [p for p in module.parameters() if not p.requires_grad and p.is_floating_point()]
        module.eval()
        try:
            for p in frozen:  # weights of attention have slopes only behind something that has
                p.requires_grad = True
            module.set_attn_implementation("eager")
            given = inputs if isinstance(inputs, Mapping) else None
            out = module(**given, output_attentions=True) if given else module(inputs, output_attentions=True)
            paid = [a for a in (getattr(out, "attentions", None) or ()) if a is not None and a.requires_grad]
            logits = logits_of(out)
            if not paid or logits is None or any(a.ndim != 4 for a in paid):
                return None
            last = logits[0] if logits.ndim == 2 else logits[0, -1]
            slopes = torch.autograd.grad(last.max(), paid, allow_unused=True)
        finally:
            for p in frozen:
                p.requires_grad = False
            for part in training:
                part.training = True
            if way:
                module.set_attn_implementation(way)
    found = [
        np.zeros(a.shape[2:]) if g is None else (a * g).clamp(min=0)[0].mean(dim=0).detach().double().numpy()
        for a, g in zip(paid, slopes, strict=True)
    ]  # fmt: skip
    return np.stack(found), str(int(last.argmax()))
