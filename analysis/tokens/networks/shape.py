"""The sizes of a network that its multiply-adds are counted from, read off its modules."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.view import PATCH, TEXT


def shape_of(network, inputs) -> NetworkShape:
    """Of a TokenNetwork, from one pass of prepared inputs: widths from what its blocks compute, the MLP and everything
    outside the blocks from their weights (a linear layer of n by m costs n m for every token or patch that it reads).
    Of experts those that a token is sent to are counted; of what makes tokens of pictures among words, its weights for
    every one of these, and not its own attention.

    Raises InputError where an MLP has no linear layers.
    """
    run = network.run(inputs, record=("hidden", "queries"))
    width, tokens = run.recorded["hidden"][0].shape[2], run.layout.kinds.shape[1]
    if not network.attends:
        return _of_scans(network, width)
    heads = run.recorded["queries"][0].shape[1] * run.recorded["queries"][0].shape[3]
    block = network.blocks[0]
    keys = _keys_width(block.attention, heads)
    weights, hidden = _mlp(block.mlp, width)
    outside = [p for p in _outside(network) if not _looked_up(network, p)]
    patches = int(run.layout.free[0].sum()) if run.layout.grid else tokens
    words = bool(
        (run.layout.kinds == TEXT).any() and (run.layout.kinds == PATCH).any()
    )  # pictures among words
    readout = _readout(network.loaded.module)
    patch = sum(p.numel() * (patches if p.ndim > 3 or (words and p is not readout) else 1) for p in outside)
    frames = run.layout.frames if block.divided else 0
    places = run.layout.grid[0] * run.layout.grid[1] // frames if frames else 0
    return NetworkShape(
        len(network.blocks),
        width,
        heads,
        keys,
        hidden,
        weights / (width * hidden),
        float(patch),
        frames,
        places,
    )


def _outside(network) -> list:
    """Weights that are not of its blocks."""
    inside = {id(p) for b in network.blocks for p in b.module.parameters()}
    return [p for p in network.loaded.module.parameters() if id(p) not in inside and p.ndim >= 2]


def _readout(module):
    """The weight that words are read out with, where the network says so."""
    find = getattr(module, "get_output_embeddings", None)
    found = find() if find is not None else None
    return getattr(found, "weight", None)


def _of_scans(network, width: int) -> NetworkShape:
    """Everything is linear in the tokens: the projections and the filter, and three multiply-adds for every number of
    the state of every channel (it decays, takes up, and is read)."""
    scan = network.blocks[0].attention
    weights = sum(p.numel() for n, p in scan.named_parameters() if p.ndim >= 2 and n != "A_log")
    channels = scan.out_proj.in_features
    state = getattr(scan, "ssm_state_size", None) or scan.A_log.shape[-1]
    fixed = sum(p.numel() for p in _outside(network) if not _looked_up(network, p))
    return NetworkShape(
        len(network.blocks), width, 0, (weights + 3.0 * channels * state) / (2 * width), 0, 0, float(fixed)
    )


def _keys_width(attention, heads: int) -> int:
    found = getattr(attention, "k_proj", None) or getattr(attention, "key", None)
    return heads if found is None or not hasattr(found, "out_features") else int(found.out_features)


def _mlp(module, width: int) -> tuple[float, int]:
    """(multiply-adds a token, width of the hidden layer)."""
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    experts = [p for p in matrices if p.ndim == 3]
    if experts:
        config = getattr(module, "top_k", None) or getattr(
            getattr(module, "config", None), "num_experts_per_tok", 1
        )
        routed = sum(p.numel() / p.shape[0] for p in experts) * int(config)
        others = sum(p.numel() for p in matrices if p.ndim == 2)
        return routed + others, int(max(np.max(p.shape[1:]) for p in experts)) // (
            2 if len(experts) == 2 else 1
        )
    if not matrices:
        raise InputError(
            f"an MLP of {type(module).__name__} without weights", "linear layers, whose cost can be counted"
        )
    hidden = max(max(p.shape) for p in matrices)
    return float(sum(p.numel() for p in matrices)), int(hidden)


def _looked_up(network, parameter) -> bool:
    """Whether a parameter is a table that rows are taken from (words, positions), which costs no multiply-adds; a
    table that is the readout as well does."""
    import torch

    tables = [m.weight for m in network.loaded.module.modules() if isinstance(m, torch.nn.Embedding)]
    linear = [m.weight for m in network.loaded.module.modules() if isinstance(m, torch.nn.Linear)]
    if any(parameter is t for t in tables):
        return not any(parameter is w for w in linear)
    return parameter.ndim == 3 or (parameter.ndim == 2 and not any(parameter is w for w in linear))
