"""Routers of a network, found by their structure, and the logits they give to every token.

A router is a linear layer of E outputs beside experts: a list of E modules, or one module with weights (E, …, …), whose
name or class says "expert". Its logits are W x (+ b) of what it is given, whatever it makes of them afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.sources.hooked_run import hooked_run


@dataclass(frozen=True)
class Router:
    """`name` of the linear layer, `experts` of the module beside it, how many there are, how many a token goes to
    (0 where nothing tells)."""

    name: str
    experts: str
    count: int
    top: int


def routers_of(model) -> tuple[Router, ...]:
    """In the order in which the network holds them."""
    found = []
    for name, block in model.named_modules():
        for child_name, child in block.named_children():
            count = _experts(child_name, child)
            for beside_name, beside in block.named_children() if count > 1 else ():
                if beside is child:
                    continue
                for inner_name, inner in beside.named_modules():
                    weight = getattr(inner, "weight", None)
                    if getattr(weight, "ndim", 0) == 2 and weight.shape[0] == count:
                        at = ".".join(x for x in (name, beside_name, inner_name) if x)
                        own = ".".join(x for x in (name, child_name) if x)
                        found.append(Router(at, own, count, _top(inner, beside, block, model, count)))
    return tuple(dict.fromkeys(found))


def _experts(name: str, module) -> int:
    """How many experts a module holds; 0 where it holds none."""
    from torch import nn

    if "expert" not in f"{name} {type(module).__name__}".lower():
        return 0
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        return len(module)
    counts = {p.shape[0] for p in module.parameters(recurse=False) if p.ndim == 3}
    if len(counts) == 1:
        return int(next(iter(counts)))
    inside = [c for c in module.children() if isinstance(c, nn.ModuleList)]
    return len(inside[0]) if len(inside) == 1 else 0


def _top(*places) -> int:
    """Experts of a token, by the modules' own word or by config.json; the last of `places` is their count."""
    *modules, count = places
    named = ("top_k", "num_experts_per_tok", "num_experts_per_token", "moe_top_k", "k")
    for holder in (*modules, getattr(modules[-1], "config", None)):
        for word in named:
            value = getattr(holder, word, None)
            if type(value) is int and 0 < value <= count:
                return value
    return 0


def nearest(routers: tuple[Router, ...], module: str) -> Router:
    """The router that shares most of its name with a module: that of the same block."""

    def shared(r: Router) -> int:
        same = [a == b for a, b in zip(r.name.split("."), module.split("."), strict=False)]
        return [*same, False].index(False)

    return max(routers, key=shared)


def seen_by(loaded, router: Router, inputs) -> tuple[np.ndarray, np.ndarray]:
    """((n, d) what the router is given for every token that is not padding, (b,) tokens of each sample)."""
    mask = loaded.token_mask(inputs)
    with hooked_run(loaded.module, catch_inputs=[router.name]) as caught:
        raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
    del raw
    x = caught.into(router.name)
    first = next(iter(inputs.values())) if hasattr(inputs, "values") else inputs
    x = x.reshape(first.shape[0], -1, x.shape[-1])
    if mask is None or tuple(mask.shape) != tuple(x.shape[:2]):
        counts = np.full(len(x), x.shape[1])
        return x.flatten(0, 1).double().cpu().numpy(), counts
    return x[mask].double().cpu().numpy(), mask.sum(dim=1).cpu().numpy()


def weights_of_router(loaded, router: Router) -> tuple[np.ndarray, np.ndarray]:
    """(E, d) weights and (E,) bias."""
    layer = loaded.module.get_submodule(router.name)
    bias = getattr(layer, "bias", None)
    weight = layer.weight.detach().double().cpu().numpy()
    known = bias is not None and tuple(bias.shape) == (router.count,)
    return weight, bias.detach().double().cpu().numpy() if known else np.zeros(router.count)


def expert_weights(loaded, router: Router) -> np.ndarray:
    """(E, p) every weight of each expert, in one order."""
    from torch import nn

    module = loaded.module.get_submodule(router.experts)
    lists = [m for m in (module, *module.children()) if isinstance(m, nn.ModuleList | nn.ModuleDict)]
    if lists:
        each = lists[0].values() if isinstance(lists[0], nn.ModuleDict) else lists[0]
        rows = [[p.detach().double().flatten().numpy() for p in e.parameters()] for e in each]
        return np.stack([np.concatenate(r) for r in rows])
    held = [p.detach().double().flatten(1).numpy() for p in module.parameters(recurse=False) if p.ndim > 1]
    return np.concatenate([h for h in held if len(h) == router.count], axis=1)


def expert_outputs(loaded, router: Router, x: np.ndarray) -> np.ndarray | None:
    """(E, n, d) what each expert makes of each token x (n, d); None where it is not known how it is asked."""
    import torch
    from torch import nn

    module = loaded.module.get_submodule(router.experts)
    kind = next(module.parameters()).dtype
    given, n = torch.as_tensor(x).to(kind), len(x)
    try:
        with torch.no_grad():
            if isinstance(module, nn.ModuleList | nn.ModuleDict):
                each = module.values() if isinstance(module, nn.ModuleDict) else module
                found = [e(given) for e in each]
            else:
                at = torch.zeros((n, 1), dtype=torch.long)
                one = torch.ones((n, 1), dtype=kind)
                found = [module(given, at + e, one) for e in range(router.count)]
        return np.stack([f.double().numpy().reshape(n, -1) for f in found])
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError):
        return None
