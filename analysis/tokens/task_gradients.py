"""Gradients of a network's own loss on two tasks, layer by layer and group of samples by group, with what each layer is
given: nothing of a single sample is held, so that groups can be left out and exchanged afterwards.

    G_g = Σ_{i in g} ∂ loss_i / ∂ W  (outputs, inputs),     S_g = Σ x x' of what it is given on these samples

Layers are Linear ones, transformers' Conv1D and convolutions (their inputs are the patches that a kernel sees). The
loss is that of the store's classes, or of the next token. Without a network: a linear head of zeros on the rows of the
tap, whose gradient is Σ (p - y) x' with p alike for all classes. torch is imported when a network is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.compute.rows.two_groups import TwoGroups, two_groups
from analysis.compute.statistics.sample_groups import groups_of
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.tokens.subject import ROWS

BATCH, WIDEST, MOST_BYTES = 32, 4096, 2 << 30
CALLED = ("the old task", "the new task")


@dataclass
class Layer:
    """One layer of d inputs: `moments` and `gradients` by (task, group), task 0 the old one."""

    name: str
    d: int
    moments: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    gradients: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def add(self, key: tuple[int, int], moment: np.ndarray, gradient: np.ndarray) -> None:
        for held, value in ((self.moments, moment), (self.gradients, gradient)):
            held[key] = held[key] + value if key in held else value


@dataclass(frozen=True)
class TaskGradients:
    """`layers` in the order of the network; `sizes` samples by (task, group); `names` of the new task's classes; what
    was differentiated, in words; `notes`."""

    layers: list[Layer]
    sizes: dict[tuple[int, int], int]
    names: tuple[str, ...]
    what: str
    notes: tuple[str, ...]


def task_gradients_of(
    tap, column: str, new: str, maximum: int, most: int, source: str, rng, progress
) -> TaskGradients:
    """Of at most `maximum` samples and `most` layers, evenly spread. Raises NotFound, ParameterError, NotEnoughData."""
    why = ()
    if source != ROWS:
        try:
            return _of_network(tap, column, new, maximum, most, rng, progress)
        except (InputError, NotFound) as error:
            why = (f"The network is not differentiated: {str(error).split('. ')[0]}.",)
    return _of_rows(tap, column, new, maximum, rng, progress, why)


def grouped(tasks: TwoGroups, rng) -> tuple[np.ndarray, np.ndarray]:
    """((n,) task, (n,) group in its task) of the samples that have a class."""
    task = tasks.second.astype(int)
    group = np.zeros(len(task), int)
    for t in (0, 1):
        group[task == t] = groups_of(int((task == t).sum()), rng)
    return task, group


# ---------------------------------------------------------------------------- a network
def _of_network(tap, column, new, maximum, most, rng, progress) -> TaskGradients:
    from analysis.sources.rerun import rerun

    own = getattr(tap, "source", None)
    source = tap if own is None else own()
    run = rerun(source, maximum, partial=True, rng=rng)
    tasks = two_groups(source, column, new, run.samples, CALLED)
    at = np.flatnonzero(tasks.stay)
    task, group = grouped(tasks, rng)
    modules, notes = _layers(run.loaded.module, most, len(set(zip(task, group, strict=True))))
    layers, sizes = {name: Layer(name, 0) for name in modules}, {}
    keys = sorted(set(zip(task.tolist(), group.tolist(), strict=True)))
    for k, key in enumerate(keys):
        progress(0.05 + 0.7 * k / len(keys), f"differentiating the loss of {CALLED[key[0]]}")
        mine = at[(task == key[0]) & (group == key[1])]
        sizes[key] = len(mine)
        for start in range(0, len(mine), BATCH):
            for name, moment, gradient in _gradients(run, modules, mine[start : start + BATCH]):
                layers[name].d = moment.shape[0]
                layers[name].add(key, moment, gradient)
    kept = [
        layer
        for layer in layers.values()
        if layer.gradients and any(g.any() for g in layer.gradients.values())
    ]
    if not kept:
        raise InputError(f"no layer of {type(run.loaded.module).__name__} that the loss depends on", "one")
    return TaskGradients(
        kept, sizes, tasks.names, f"{type(run.loaded.module).__name__}", (run.note, *tasks.notes, *notes)
    )


def _layers(module, most: int, groups: int) -> tuple[dict, tuple[str, ...]]:
    """Layers by name that are read, evenly spread where there are more. Raises InputError."""
    found = {n: m for n, m in module.named_modules() if _kind(m)}
    tied = shared_weights(module, found)
    found = {n: m for n, m in found.items() if n not in tied}
    wide = [n for n, m in found.items() if _width(m) > WIDEST]
    names = [n for n in found if n not in wide]
    if not names:
        raise InputError(
            f"{type(module).__name__} has no layer of at most {WIDEST:,} inputs", "Linear or Conv2d layers"
        )
    some = [
        names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(len(names), most)).round().astype(int))
    ]
    notes = [f"{', '.join(tied)} has the weights of another part, whose gradient is in its own: left out."] if tied \
        else []  # fmt: skip
    notes += [f"{len(wide)} layer(s) of more than {WIDEST:,} inputs are left out."] if wide else []
    size = [
        8 * groups * _width(found[n]) * (_width(found[n]) + found[n].weight.numel() // _width(found[n]))
        for n in some
    ]
    while sum(size) > MOST_BYTES and len(some) > 1:
        k = int(np.argmax(size))
        notes.append(f"{some[k]} is left out: its gradients would not fit in 2 GiB.")
        del some[k], size[k]
    if len(some) < len(names):
        notes.append(f"{len(some)} of {len(names)} layers are read.")
    return {n: found[n] for n in some}, tuple(notes)


def shared_weights(module, layers: dict) -> list[str]:
    """Names of the layers whose weight another part of the network uses too, such as a head tied to the embeddings."""
    owners: dict[int, int] = {}
    for part in module.modules():
        for p in part._parameters.values():
            owners[id(p)] = owners.get(id(p), 0) + 1
    return [name for name, m in layers.items() if owners[id(m.weight)] > 1]


def _kind(m) -> str:
    from torch import nn

    if (
        isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"
    ):  # transformers', with its weight turned round
        return "linear"
    return (
        "convolution" if isinstance(m, nn.Conv2d) and m.groups == 1 and not isinstance(m.padding, str) else ""
    )


def _width(m) -> int:
    if type(m).__name__ == "Conv1D":
        return int(m.weight.shape[0])
    return int(m.weight[0].numel())


def _gradients(run, modules: dict, at: np.ndarray):
    """(name, (d, d), (outputs, d)) of each layer on the samples at these places of `run`."""
    import torch

    from analysis.sources.hooked_run import hooked_run

    loaded = run.loaded
    inputs = loaded.prepare([run.data.items(int(i), int(i) + 1)[0] for i in at])
    mask = loaded.token_mask(inputs)
    weights = [m.weight for m in modules.values()]
    frozen = [w for w in weights if not w.requires_grad]
    with hooked_run(loaded.module, catch_inputs=list(modules), gradients=True) as caught:
        try:
            for w in frozen:
                w.requires_grad_(True)
            raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
            loss = summed_loss(loaded, raw, inputs, None if run.labels is None else run.labels[at])
            found = torch.autograd.grad(loss, weights, allow_unused=True)
        finally:
            for w in frozen:
                w.requires_grad_(False)
    for (name, m), gradient in zip(modules.items(), found, strict=True):
        if gradient is None or name not in caught.given:
            continue
        x = _rows(m, caught.given[name].detach(), mask)
        g = gradient.detach().double()
        g = g.T if type(m).__name__ == "Conv1D" else g.reshape(len(g), -1)
        yield name, (x.T @ x).numpy(), g.numpy()


def _rows(m, x, mask):
    """(rows, d) of what a layer is given, padding left out."""
    import torch

    if _kind(m) == "convolution":
        patches = torch.nn.functional.unfold(x.double(), m.kernel_size, m.dilation, m.padding, m.stride)
        return patches.transpose(1, 2).reshape(-1, patches.shape[1])
    if mask is not None and x.ndim == 3 and tuple(mask.shape) == tuple(x.shape[:2]):
        return x[mask].double()
    return x.reshape(-1, x.shape[-1]).double()


def summed_loss(loaded, raw, inputs, labels):
    """Σ over samples of the loss that the network was trained by, as a tensor: cross entropy of classes, or the mean
    over the tokens of a sample of the next one's. Raises InputError where it is not known."""
    import torch

    from analysis.sources.loaded_model import logits_of

    logits = logits_of(raw)
    if logits is not None and loaded.causal and logits.ndim == 3:
        ids, mask = inputs["input_ids"], loaded.token_mask(inputs)
        each = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        there = torch.ones_like(ids[:, 1:], dtype=each.dtype) if mask is None else mask[:, 1:].to(each.dtype)
        return ((each.reshape(there.shape) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)).sum()
    if labels is None or logits is None or logits.ndim != 2 or logits.shape[1] < 2 or not loaded.classifies:
        raise InputError(
            f"{type(loaded.module).__name__} has no loss that is known here",
            "classes with labels, or a language model",
        )
    known = torch.as_tensor((labels >= 0) & (labels < logits.shape[1]))
    if not known.any():
        return logits.sum() * 0
    return torch.nn.functional.cross_entropy(
        logits[known], torch.as_tensor(labels)[known].long(), reduction="sum"
    )


# ---------------------------------------------------------------------------- rows
def _of_rows(tap, column, new, maximum, rng, progress, why) -> TaskGradients:
    from analysis.compute.rows.random_part import random_part
    from analysis.compute.rows.samples import pooled_samples

    chosen, notes = random_part(tap.layout.n_samples, maximum, rng)
    x, kept, said = pooled_samples(tap, "mean", chosen, progress, (0.0, 0.6))
    at = np.asarray(chosen)[kept]
    tasks = two_groups(tap, column, new, at, CALLED)
    x, labels = x[tasks.stay], np.asarray(tap.samples[column])[at][tasks.stay]
    if not x.any():
        raise NotEnoughData(f"{tap.name} is zero everywhere", "rows that are not all 0", "Choose another tap")
    _, of = np.unique(labels.astype(str), return_inverse=True)
    y = np.eye(of.max() + 1)[of]
    away = 1 / y.shape[1] - y
    task, group = grouped(tasks, rng)
    layer, sizes = Layer(tap.name, x.shape[1]), {}
    for key in sorted(set(zip(task.tolist(), group.tolist(), strict=True))):
        mine = (task == key[0]) & (group == key[1])
        sizes[key] = int(mine.sum())
        layer.add(key, x[mine].T @ x[mine], away[mine].T @ x[mine])
    head = (
        "No network was run: gradients are those of a linear head of zeros on the rows, one for each sample."
    )
    return TaskGradients([layer], sizes, tasks.names, f"a linear head on {tap.name}",
                         (*why, *notes, *said, *tasks.notes, head))  # fmt: skip
