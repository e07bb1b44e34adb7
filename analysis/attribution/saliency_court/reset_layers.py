"""Layers with weights drawn anew, from the output downwards, and put back.

The parameters of a layer are exchanged for others, not written to: what comes back afterwards are the very tensors that
were there, bit for bit, also after an exception. A layer that shares its weights with another one gets its own
meanwhile. The lock of the model is held as long as weights are not its own.

    drawn anew   normal, with the mean and the standard deviation of each parameter
    shuffled     the parameter's own values, in another order

A parameter with the same value everywhere (a fresh normalisation) stays as it is, and so do running means and
variances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import Target
from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock

DRAWN, SHUFFLED = "drawn anew", "shuffled"
KINDS = (DRAWN, SHUFFLED)


def order_of_modules(run: SampleRun, target: Target) -> list[str]:
    """Names of all modules by their last run for the sample, first to last; the whole is ""."""
    module, ended = run.loaded.module, []
    with model_lock(module):
        handles = [
            part.register_forward_hook(lambda *_given, name=name: ended.append(name))
            for name, part in module.named_modules()
        ]
        try:
            run.values(run.clean[None], target)
        finally:
            for handle in handles:
                handle.remove()
    return list(reversed(dict.fromkeys(reversed(ended))))


def layers_behind(run: SampleRun, target: Target) -> tuple[list[str], list[str]]:
    """Modules with parameters of their own that run behind the site, the last one first; and those that never run by
    themselves and whose parent is not behind the site or is the whole network: they cannot be placed.

    A layer that does not run by itself (its parent reads its weights) has the place of its parent.
    """
    order, module = order_of_modules(run, target), run.loaded.module
    place, site = {name: i for i, name in enumerate(order)}, -1
    if run.site != INPUT:
        site = place[run.site]
    behind, lost = {}, []
    for name, part in module.named_modules():
        if not any(p is not None and p.is_floating_point() for p in part._parameters.values()):
            continue
        at = name
        while at and at not in place:
            at = at.rpartition(".")[0]
        if not at and name:
            lost.append(name)
        elif place.get(at, -1) > site:
            behind[name] = place[at]
    return sorted(behind, key=lambda name: -behind[name]), lost


def stages_of(layers: Sequence[str], most: int) -> list[list[str]]:
    """Neighbours together, at most so many groups, from the output downwards."""
    parts = np.array_split(np.arange(len(layers)), min(most, len(layers)))
    return [[layers[int(i)] for i in part] for part in parts]


def short_name(layer: str) -> str:
    """Its numbers and the beginning of its last word: what tells layers apart on an axis."""
    parts = layer.split(".")
    words, numbers = [p for p in parts if not p.isdecimal()], [p for p in parts if p.isdecimal()]
    return " ".join(part for part in (".".join(numbers), *(w[:8] for w in words[-1:])) if part) or "the whole"


@contextmanager
def reset_weights(module, kind: str, rng: np.random.Generator) -> Iterator[Callable[[Sequence[str]], None]]:
    """A function that gives layers of these names other weights, one call after the other. All are put back in the end.

    Raises InputError for a kind that is none."""
    if kind not in KINDS:
        raise InputError(f"weights {kind!r}", "one of " + ", ".join(KINDS))
    known, kept = dict(module.named_modules()), []

    def reset(names: Sequence[str]) -> None:
        for name in names:
            for key, own in list(known[name]._parameters.items()):
                if own is not None and own.is_floating_point():
                    kept.append((known[name], key, own))
                    setattr(known[name], key, _other(own, kind, rng))

    with model_lock(module):
        try:
            yield reset
        finally:
            for part, key, own in reversed(kept):
                setattr(part, key, own)


def _other(own, kind: str, rng: np.random.Generator):
    import torch

    values = own.detach().double()
    if kind == SHUFFLED:
        new = values.flatten()[torch.as_tensor(rng.permutation(values.numel()))].reshape(values.shape)
    else:
        spread = values.std(correction=0)
        new = values.mean() + spread * torch.as_tensor(rng.standard_normal(tuple(values.shape)))
    return torch.nn.Parameter(new.to(own.dtype), requires_grad=own.requires_grad)
