"""Slopes of the numbers of many samples in what stands at sites: one backward pass, of as many samples at once as
memory allows, since everything between a site and the answer is held for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.attribution.sample_run import as_site, as_tokens, input_key, repeated
from analysis.errors import InputError
from analysis.interventions.batch_run import COPIES, BatchRun
from analysis.interventions.components import INPUT, Site
from analysis.interventions.many_targets import ManyTargets
from analysis.interventions.pairs import taken
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import logits_of

MEMORY, LAYERS, LOGITS = (
    1e9,
    4,
    6,
)  # bytes of one backward pass; of a network without known blocks; copies of logits


def site_slopes(run: BatchRun, sites: Sequence[Site], target: ManyTargets) -> dict[Site, object]:
    """(n, tokens, units) tensors by site: slope of each sample's number in what stands there, 0 where it does not hang
    on it. Nothing of the samples' own inputs is written to. Raises as `hooked_run`, and InputError for a network that
    cannot be derived."""
    import torch

    parts = [_slopes(run, sites, target, np.arange(1))]
    wide = max((g.numel() * g.element_size() for g in parts[0].values()), default=0)
    held = COPIES * max(len(run.blocks), LAYERS) * wide + LOGITS * run.logit_bytes
    most = max(1, int(MEMORY / max(held, 1)))
    parts += [_slopes(run, sites, target, np.arange(k, min(k + most, run.n))) for k in range(1, run.n, most)]
    return {s: torch.cat([p[s] for p in parts]) for s in sites}


def _slopes(run: BatchRun, sites: Sequence[Site], target: ManyTargets, at: np.ndarray) -> dict[Site, object]:
    """The same of the samples `at` these places."""
    import torch

    leaves, loaded, target = {}, run.loaded, target.some(at)

    def leaf(site):
        def change(tensor):
            tokens = as_tokens(tensor)
            leaves[site] = torch.zeros_like(tokens, requires_grad=True)
            return tensor + as_site(leaves[site], tuple(tensor.shape))

        return change

    inputs = repeated(taken(run.inputs, at), 1)  # a copy: the network may work in place
    inside = [s for s in sites if s.module != INPUT]
    with hooked_run(
        loaded.module, (), {s.module: leaf(s) for s in inside if s.side != INPUT}, gradients=True,
        replace_inputs={s.module: leaf(s) for s in inside if s.side == INPUT},
    ):  # fmt: skip
        if len(inside) < len(sites):
            key = input_key(inputs)
            x = leaf(Site(INPUT))(inputs if key is None else inputs[key])
            inputs = x if key is None else {**inputs, key: x}
        raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
        y = target.of(logits_of(raw)).sum()
        if not y.requires_grad:
            raise InputError(
                f"an answer of {type(loaded.module).__name__} that has no slope",
                "a network that can be derived",
            )
        found = torch.autograd.grad(y, [leaves[s] for s in sites], allow_unused=True)
    return {s: torch.zeros_like(leaves[s]) if g is None else g for s, g in zip(sites, found, strict=True)}
