"""The isotropic share of W = W_Q W_K' read from the weights of a network, no data in it:

    tr(W)² / (d |W|²_F),    tr(W) = Σ W_Q ∘ W_K,   |W|²_F = Σ (W_Q' W_Q) ∘ (W_K' W_K)

W_Q, W_K (d, e) act on tokens behind the norm, whose own scales are left out. W = I gives 1, a head at most e/d.
Independent Gaussian weights give 1/d² on average, the share being chi-squared (1) / d² (p-values). Whether W_Q, W_K are
the head's is tried on one sample: from tokens behind the norm they have to give the recorded queries and keys, before
rotary positions.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, chdtri

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.attention.isotropic import MEANING
from analysis.tokens.attention.paid_weights import inputs_of

OF_WEIGHTS = "isotropic share of the weights"
SAME, Q = 1e-3, 0.05  # of the largest query; false discoveries
QUERY, KEY = ("q_proj", "query", "q_lin", "wq", "q"), ("k_proj", "key", "k_lin", "wk", "k")
JOINT = ("c_attn", "qkv", "to_qkv", "query_key_value", "qkv_proj")
NULL = "independent Gaussian weights: 1/d², chi-squared"


def share_of_heads(w_q: np.ndarray, w_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((H,) shares, (H,) tr(W)) of weights (H, d, e)."""
    trace = (w_q * w_k).sum(axis=(1, 2))
    size = (np.einsum("hde,hdf->hef", w_q, w_q) * np.einsum("hde,hdf->hef", w_k, w_k)).sum(axis=(1, 2))
    return np.where(size > 0, trace**2 / (w_q.shape[1] * np.where(size > 0, size, 1)), 0.0), trace


def shares_in_weights(reader: HeadReader) -> Matrix:
    """Layers by heads. Raises InputError: weights that cannot be read, or do not give the queries and keys."""
    if getattr(reader.who, "is_network", False):
        found = [share_of_heads(*both) for both in head_weights(reader)]
        notes = reader.notes
    else:
        found = [(np.ones(1), np.ones(1))]
        notes = (*reader.notes, "Rows are queries and keys themselves, so that W is the identity.")
    return _matrix(reader, np.array([s for s, _ in found]), np.array([t for _, t in found]), notes)


def head_weights(reader: HeadReader) -> list[tuple[np.ndarray, np.ndarray]]:
    """By layer (W_Q, W_K), each (H, d, e). One pass of one sample."""
    import torch

    network = reader.who.opened.network
    run = network.run(
        inputs_of(reader.who, reader.places[:1]), record=("hidden", "plain queries", "plain keys")
    )
    there, found = run.layout.present[0], []
    for layer, block in enumerate(network.blocks):
        with torch.inference_mode():
            x = block.norm1(torch.from_numpy(run.recorded["hidden"][layer]))
            both = [
                (
                    _heads(made(torch.eye(x.shape[2])) - made(torch.zeros(1, x.shape[2])), seen),
                    _heads(made(x)[0], seen),
                    seen,
                )
                for made, seen in zip(
                    _makers(block),
                    (run.recorded[name][layer][0] for name in ("plain queries", "plain keys")),
                    strict=True,
                )
            ]
        for _, ours, seen in both:
            if not np.abs(ours - seen)[:, there].max() <= SAME * max(np.abs(seen).max(), 1e-6):
                raise _unknown(block, "weights that do not give the queries and keys of the network")
        found.append((both[0][0], both[1][0]))
    return found


def _heads(x, like: np.ndarray) -> np.ndarray:
    """(H, m, e) of (m, H e) in the heads of queries or keys `like` (H, T, e), shared keys repeated."""
    x = x.double().numpy().reshape(len(x), -1, like.shape[2]).transpose(1, 0, 2)
    return np.repeat(x, len(like) // len(x), axis=0)


def _makers(block):
    """What makes queries, and what makes keys, of tokens."""
    parts = {name.split(".")[-1]: module for name, module in block.attention.named_modules() if name}
    q, k = (next((parts[n] for n in names if n in parts), None) for names in (QUERY, KEY))
    if q is not None and k is not None:
        return q, k
    joint = next((parts[n] for n in JOINT if n in parts), None)
    if joint is None:
        raise _unknown(block, "no projection to queries and keys that is known by name")
    return (
        lambda x: joint(x).chunk(3, dim=-1)[0],
        lambda x: joint(x).chunk(3, dim=-1)[1],
    )


def _unknown(block, found: str) -> InputError:
    return InputError(
        f"{found}, in {block.name} ({type(block.attention).__name__})",
        "one linear map to queries and one to keys, such as " + ", ".join((*QUERY[:2], *JOINT[:2])),
        "Choose the isotropic share of QK, which is taken from queries and keys as they run",
    )


def _matrix(reader: HeadReader, value: np.ndarray, trace: np.ndarray, notes) -> Matrix:
    d = reader.width
    more = benjamini_hochberg(chdtrc(1, d**2 * value)) <= Q
    band = tuple(float(chdtri(1, p)) / d**2 for p in (0.975, 0.025))
    low, high = (np.unravel_index(f(value), value.shape) for f in (np.argmin, np.argmax))
    away = int((more & (trace < 0)).sum())
    shared = more.reshape(-1).astype(np.float64)
    names = [f"layer {i + 1}, head {h + 1}" for i, h in (low, high)]
    return Matrix(
        title=f"{OF_WEIGHTS[0].upper()}{OF_WEIGHTS[1:]}, head by head, of {reader.what}",
        reading=f"{OF_WEIGHTS[0].upper()}{OF_WEIGHTS[1:]} is {MEANING}. It runs from {value[low]:.2g} "
        f"({names[0]}) to {value[high]:.2g} ({names[1]}); independent weights give 1/d² = {1 / d**2:.2g}. "
        f"{int(more.sum())} of {more.size} heads go beyond that, {away} of them with a negative trace: they look away "
        "from what is alike.",
        caveats=(*notes, "Weights act on tokens behind the norm, whose scales and shift are left out; biases and "
                 "positions are no part of it.", f"A head {reader.queries[0].shape[3]} wide can have at most "
                 f"{min(reader.queries[0].shape[3] / d, 1):.2g}."),
        estimates=(
            Estimate(f"{OF_WEIGHTS}, mean over heads", float(value.mean()), interval="none: weights are no sample",
                     null=1 / d**2, null_method=NULL, n=value.size, d=d, estimator="mean over heads"),
            Estimate("heads beyond independent weights", float(shared.mean()), null=0.0,
                     interval="none: these are all heads",
                     null_method="independent weights, at 5 % false discoveries", n=value.size, d=d,
                     estimator="share of heads, Benjamini-Hochberg"),
        ),
        values=value, null=np.full(value.shape, 1 / d**2), null_band=band, significant=more,
        row_names=tuple(f"layer {i + 1}" for i in range(len(value))),
        column_names=tuple(f"head {h + 1}" for h in range(value.shape[1])), value_name=OF_WEIGHTS,
    )  # fmt: skip
