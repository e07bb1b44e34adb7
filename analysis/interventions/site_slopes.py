"""Slopes of the numbers of many samples in what stands at sites, from one backward pass."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.attribution.sample_run import as_site, as_tokens, input_key, repeated
from analysis.errors import InputError
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import INPUT, Site
from analysis.interventions.many_targets import ManyTargets
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import logits_of


def site_slopes(run: BatchRun, sites: Sequence[Site], target: ManyTargets) -> dict[Site, object]:
    """(n, tokens, units) tensors by site: slope of each sample's number in what stands there, 0 where it does not hang
    on it. Nothing of the samples' own inputs is written to. Raises
    as `hooked_run`, and InputError for a network that cannot be derived."""
    import torch

    leaves, loaded = {}, run.loaded

    def leaf(site):
        def change(tensor):
            tokens = as_tokens(tensor)
            leaves[site] = torch.zeros_like(tokens, requires_grad=True)
            return tensor + as_site(leaves[site], tuple(tensor.shape))

        return change

    inputs = repeated(run.inputs, 1)  # a copy: the network may work in place
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
