"""Which modules are the blocks of a network: the repeated ones that people mean by "layer 3".

A candidate is a module with children of its own that stands in a ModuleList or Sequential, where its class
occurs at least twice. Stages (candidates that merely hold candidates: named so, or plain Sequentials) are looked
through, and of what remains the outermost counts: the residual blocks of a ResNet, neither its stages nor the
convolution-norm-activation triples inside. A chain of sub-layers that hold residual sums, such as
`layers.3.0` and `layers.3.1` where `layers.3` is never called itself, counts as blocks one by one.
"""

from __future__ import annotations

from collections import Counter


def block_names(module, ran: set[str]) -> set[str]:
    """Names of the blocks of `module` among those that `ran` in a forward pass."""
    from torch import nn

    modules = dict(module.named_modules())
    candidates = {}
    for name, child in modules.items():
        parent = modules.get(name.rpartition(".")[0]) if name else None
        if (
            name in ran
            and isinstance(parent, (nn.ModuleList, nn.Sequential))
            and any(True for _ in child.children())
        ):
            candidates[name] = type(child)
    often = Counter(candidates.values())
    candidates = {name: kind for name, kind in candidates.items() if often[kind] > 1}
    kept = {n for n, kind in candidates.items() if not (_is_stage(kind) and _holds(n, candidates))}
    return {n for n in kept if not any(n.startswith(other + ".") for other in kept if other != n)}


def activation_names(module, ran: set[str]) -> set[str]:
    """Names of the non-linearities that ran: the natural taps of a network without blocks.

    Where there are none (activations called as functions), the linear maps and convolutions.
    """
    from torch import nn
    from torch.nn.modules import activation, conv

    named = [(n, m) for n, m in module.named_modules() if n in ran]
    elementwise = tuple(
        kind for kind in vars(activation).values()
        if isinstance(kind, type) and issubclass(kind, nn.Module)
        and kind not in (nn.Module, nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax)
    )  # fmt: skip
    found = {n for n, m in named if isinstance(m, elementwise)}
    return found or {n for n, m in named if isinstance(m, (nn.Linear, conv._ConvNd))}


def _is_stage(kind: type) -> bool:
    from torch import nn

    return issubclass(kind, nn.Sequential) or "stage" in kind.__name__.lower()


def _holds(name: str, candidates) -> bool:
    return any(other.startswith(name + ".") for other in candidates)
