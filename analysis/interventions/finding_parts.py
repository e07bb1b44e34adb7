"""Finding the parts of a network by how it runs and not by what its modules are called.

blocks     the children of the list of equal modules that holds most of the weights and gives (samples, tokens, width)
attention  of a block the first linear map that reads something else than the first one does: queries, keys and values
           read the same, the projection behind the heads does not; what it gives is what attention adds
heads      equal slices of what goes INTO that projection, as many as the configuration says (of queries, where keys
           are shared)
MLP        of a block the last linear map that gives its width; its inputs are the units of the MLP
layer      attention and MLP of a block together; of a network without such blocks what each of its weighted layers
           gives

Holds for Hugging Face's ViT, GPT-2, Llama and BERT and whatever is built like them; what is not found is refused in
words. torch is imported when a network is run.
"""

from __future__ import annotations

from analysis.errors import InputError
from analysis.interventions.components import NetworkParts
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel, logits_of


def network_parts(loaded: LoadedModel, inputs) -> NetworkParts:
    """The parts of a network, from one forward pass of a few prepared `inputs`. Raises InputError where nothing in it
    can be told."""
    seen = _watch(loaded, inputs)
    embedding = _embedding(loaded.module, seen)
    blocks = _blocks(loaded.module, seen)
    if not blocks:
        layers = _layers(loaded.module, seen)
        if not layers:
            raise InputError(
                f"{type(loaded.module).__name__} has no layers that can be told apart by how it runs",
                "a list of blocks, or layers with weights of their own", "Name a module as the site",
            )  # fmt: skip
        why = f"{type(loaded.module).__name__} has no attention whose heads could be told"
        return NetworkParts(layers=layers, embedding=embedding, no_heads=why)
    attention = tuple(_projection(b, seen) for b in blocks)
    mlps = tuple(_last_map(b, a, seen) for b, a in zip(blocks, attention, strict=True))
    heads, width, why = _heads(loaded.module, attention, seen)
    norm, read_out = _ends(loaded.module, blocks[-1], seen)
    readers = tuple(_readers(b, a, seen) for b, a in zip(blocks, attention, strict=True))
    return NetworkParts(blocks, attention, mlps, heads, width, embedding, (), why, norm, read_out, readers)


def _readers(block: str, projection: str | None, seen: _Seen) -> tuple[tuple[str, int], ...]:
    maps = seen.inside(block, seen.read)
    return tuple((n, seen.gave[n][-1]) for n in maps[: maps.index(projection)]) if projection else ()


def _ends(model, last: str, seen: _Seen) -> tuple[str | None, str | None]:
    """The module behind the last block that has one weight for each unit, of every token or of one for a sample, and
    the last linear map."""
    later = seen.order[seen.order.index(last) + 1 :]
    modules, whole = dict(model.named_modules()), seen.gave[last]
    norms = [n for n in later if getattr(getattr(modules[n], "weight", None), "ndim", 0) == 1
             and seen.gave.get(n) in (whole, (whole[0], whole[-1]))]  # fmt: skip
    maps = [n for n in later if n in seen.read]
    return norms[0] if norms else None, maps[-1] if maps else None


class _Seen:
    """Of the modules that ran: `order` of their ends, `given` and `gave` shapes, the tensors that linear maps `read`,
    the shape of the network's `answer`, and the modules that are or hold torch's own `fused` attention."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.given: dict[str, tuple] = {}
        self.gave: dict[str, tuple] = {}
        self.read: dict[str, object] = {}
        self.answer: tuple | None = None
        self.fused: set[str] = set()

    def inside(self, block: str, names) -> list[str]:
        return [n for n in self.order if n.startswith(block + ".") and n in names]


def _watch(loaded: LoadedModel, inputs) -> _Seen:
    import torch

    seen, handles = _Seen(), []
    fused = [n for n, m in loaded.module.named_modules() if isinstance(m, torch.nn.MultiheadAttention)]
    seen.fused = {".".join(n.split(".")[:k]) for n in fused for k in range(n.count(".") + 2)}

    def watch(name, linear):
        def hook(_module, given, output):
            while isinstance(output, (tuple, list)) and len(output):
                output = output[0]
            seen.order.append(name)
            if isinstance(output, torch.Tensor):
                seen.gave[name] = tuple(output.shape)
            if given and isinstance(given[0], torch.Tensor):
                seen.given[name] = tuple(given[0].shape)
                if linear:
                    seen.read[name] = given[0].detach().clone()

        return hook

    with hooked_run(loaded.module):
        try:
            for name, module in loaded.module.named_modules():
                handles.append(module.register_forward_hook(watch(name, _is_linear(module))))
            raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
            logits = logits_of(raw)
            seen.answer = None if logits is None else tuple(logits.shape)
        finally:
            for handle in handles:
                handle.remove()
    return seen


def _is_linear(module) -> bool:
    """A map of units to units: a matrix of weights, and no module inside."""
    import torch

    weight = getattr(module, "weight", None)
    if isinstance(module, torch.nn.Embedding) or any(True for _ in module.children()):
        return False
    return isinstance(weight, torch.Tensor) and weight.ndim == 2


def _embedding(model, seen: _Seen) -> str | None:
    """The first table of words that ran on the words themselves."""
    import torch

    tables = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Embedding)}
    return next((n for n in seen.order if n in tables), None)


def _weight(module) -> int:
    return sum(p.numel() for p in module.parameters())


def _blocks(model, seen: _Seen) -> tuple[str, ...]:
    import torch

    best, most = (), 0
    for name, module in model.named_modules():
        children = [f"{name}.{n}" if name else n for n, _ in module.named_children()]
        if not isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) or not children:
            continue
        shapes = {seen.gave.get(c) for c in children}
        alike = len({type(c) for c in module.children()}) == 1
        if not alike or len(shapes) != 1 or len(next(iter(shapes)) or ()) != 3:
            continue
        if (
            all(seen.order.count(c) == 1 and _projection(c, seen) for c in children)
            and _weight(module) > most
        ):
            best, most = tuple(sorted(children, key=seen.order.index)), _weight(module)
    return best


def _projection(block: str, seen: _Seen) -> str | None:
    """The first linear map of a block that reads something else than the first one, and gives the block's width."""
    import torch

    maps = seen.inside(block, seen.read)
    if block in seen.fused or (len(maps) == 2 and seen.gave[maps[0]][-1] != 3 * seen.gave[block][-1]):
        return None  # attention whose projection is no module of its own, or an MLP alone
    for name in maps[1:]:
        same = seen.given[name] == seen.given[maps[0]] and torch.equal(seen.read[name], seen.read[maps[0]])
        if not same:
            return name if seen.gave[name] == seen.gave[block] else None
    return None


def _last_map(block: str, attention: str | None, seen: _Seen) -> str | None:
    last = seen.inside(block, seen.read)[-1:]
    return last[0] if last and last[0] != attention and seen.gave[last[0]] == seen.gave[block] else None


def _heads(model, attention, seen: _Seen) -> tuple[int, int, str]:
    """Heads, their width, and why there are none."""
    config = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    heads = getattr(config, "num_attention_heads", None) or getattr(config, "n_head", None)
    if not isinstance(heads, int):
        return (
            0,
            0,
            f"the configuration of {type(model).__name__} does not say how many attention heads it has",
        )
    widths = {seen.given[a][-1] for a in attention if a}
    told = getattr(config, "head_dim", None)
    width = next(iter(widths), 0)
    if len(widths) != 1 or width % heads or (isinstance(told, int) and told * heads != width):
        return 0, 0, (
            f"{heads} heads as the configuration says do not fit what goes into the projections behind attention "
            f"({', '.join(map(str, sorted(widths)))} units)"
        )  # fmt: skip
    return heads, width // heads, ""


def _before_the_answer(own: list[str], seen: _Seen) -> tuple[str, ...]:
    """In their order, without a last one that gives the answer itself: to exchange that says nothing."""
    ordered = sorted(own, key=seen.order.index)
    return tuple(ordered[:-1] if len(ordered) > 1 and seen.gave[ordered[-1]] == seen.answer else ordered)


def _layers(model, seen: _Seen) -> tuple[str, ...]:
    """Weighted children of the first list of at least two that ran, looking from outside in; else of the model."""
    import torch

    queue, fallback = [("", model)], ()
    while queue:
        name, module = queue.pop(0)
        children = [(f"{name}.{n}" if name else n, c) for n, c in module.named_children()]
        own = [n for n, c in children if n in seen.gave and len(seen.gave[n]) >= 2 and _weight(c)]
        if isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) and len(own) >= 2:
            return _before_the_answer(own, seen)
        fallback = fallback or (_before_the_answer(own, seen) if len(own) >= 2 else ())
        queue += children
    return fallback
