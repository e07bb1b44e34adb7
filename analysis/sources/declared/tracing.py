"""Reading a network's layers off one run of it: which known layers ran, in what order, on what.

What happens between two layers (an activation called as a function, a reshape) is found by trying: the first known
layer, or two of them, that makes the very bits. Only a stack can be read: each layer takes what the one before it gave.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from analysis.errors import InputError
from analysis.sources.declared.layers import ARGUMENTS, GLOBAL_MEAN, NEEDED, SEQUENTIAL, Layer, build
from analysis.sources.loaded_model import FORWARD_FAILURES

IRRELEVANT = ("inplace", "device", "dtype", "momentum", "init")  # to a network that is only run
REMEDY = "A network that is no stack of such layers needs its own code: `loupe record --model`"
TRIED = (
    (), ("Flatten",), ("ReLU",), (GLOBAL_MEAN,), ("ReLU", "Flatten"), ("ReLU", GLOBAL_MEAN), ("GELU",), ("SiLU",),
    ("Tanh",), ("Sigmoid",), ("ELU",), ("LeakyReLU",), ("Softplus",), ("MaxPool1d",), ("MaxPool2d",),
    ("ReLU", "MaxPool1d"), ("ReLU", "MaxPool2d"), ("MaxPool1d", "ReLU"), ("MaxPool2d", "ReLU"), ("AvgPool2d",),
    ("ReLU", "AvgPool2d"), ("ReLU", "MaxPool2d", "Flatten"), ("MaxPool2d", "ReLU", "Flatten"),
    ("MaxPool2d", "Flatten"), ("LogSoftmax",),
)  # fmt: skip
TRIED_ARGUMENTS = {**{f"{k}Pool{n}d": {"kernel_size": 2} for k in ("Max", "Avg") for n in (1, 2)},
                   "LogSoftmax": {"dim": 1}}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One leaf that ran: `given` and `made` copies of its tensors."""

    name: str
    module: object
    given: object
    made: object


def trace(module, x) -> tuple[list[dict], dict[str, str]]:
    """(layers as a description says them, prefixes of the keys that are called otherwise) of `module` run on `x`.

    Raises InputError naming what is no known layer, runs twice with its weights, or cannot be found between two.
    """
    steps, out = _run(module, x)
    found: list[tuple[str, str, dict]] = []  # dotted name, type, args
    taken: set[str] = set()
    renamed: dict[str, str] = {}
    now, before = x, ""
    for step in steps:
        _between(found, taken, now, step.given, before, step.name)
        known = _is_known(step.module)
        if not known and any(True for _ in step.module.state_dict()):
            raise InputError(
                f"'{step.name}' is a {type(step.module).__name__}", "one of " + ", ".join(ARGUMENTS), REMEDY
            )
        if known:
            name = _free(step.name, taken)
            if name != step.name and any(True for _ in step.module.state_dict()):
                raise InputError(f"'{step.name}' runs twice with the same weights", "each layer once", REMEDY)
            found.append((name, type(step.module).__name__, arguments_of(step.module, step.name)))
        else:
            _between(found, taken, step.given, step.made, step.name, step.name)
        now, before = step.made, step.name
    _between(found, taken, now, out, before, "")
    if not found:
        raise InputError(f"no layer of {type(module).__name__} ran", "a stack of torch's layers", REMEDY)
    return _nested(found, renamed), renamed


def _run(module, x) -> tuple[list[Step], object]:
    import torch

    steps: list[Step] = []
    kept: dict[int, object] = {}  # what a layer takes, before an in-place one overwrites it

    def before(layer, given) -> None:
        if not given or not isinstance(given[0], torch.Tensor):
            raise InputError(f"a {type(layer).__name__} takes no tensor", "a stack of layers", REMEDY)
        kept[id(layer)] = given[0].clone()

    def after(name):
        def look(layer, _given, made) -> None:
            if not isinstance(made, torch.Tensor):
                raise InputError(f"'{name}' gives a {type(made).__name__}", "one tensor", REMEDY)
            steps.append(Step(name, layer, kept[id(layer)], made.clone()))

        return look

    leaves = [(n, m) for n, m in module.named_modules() if n and not any(True for _ in m.children())]
    handles = [m.register_forward_pre_hook(before) for _, m in leaves]
    handles += [m.register_forward_hook(after(n)) for n, m in leaves]
    try:
        with torch.no_grad():
            out = module(x.clone())
    except FORWARD_FAILURES as error:
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise InputError(
            f"{type(module).__name__} failed on an item of shape {tuple(x.shape[1:])} ({type(error).__name__}: {said})",
            "the shape that it takes",
            "Say it with --input-size, --channels, --shape or --columns",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(out, torch.Tensor):
        raise InputError(f"{type(module).__name__} gives a {type(out).__name__}", "one tensor", REMEDY)
    return steps, out


def _is_known(module) -> bool:
    from torch import nn

    kind = type(module).__name__
    return kind in ARGUMENTS and type(module) is getattr(nn, kind, None)


def _free(name: str, taken: set[str]) -> str:
    free, k = name, 1
    while free in taken:
        k += 1
        free = f"{name}_{k}"
    taken.add(free)
    return free


def _between(found: list, taken: set[str], now, wanted, before: str, after: str) -> None:
    """Add the layers that make `wanted` of `now`; they stand where both neighbours stand."""
    import torch

    for kinds in TRIED:
        layers = tuple(Layer(f"l{i}", k, TRIED_ARGUMENTS.get(k, {})) for i, k in enumerate(kinds))
        try:
            made = now if not layers else build(layers, "tried")(now)
        except (RuntimeError, ValueError, IndexError):
            continue
        if made.shape == wanted.shape and torch.equal(made, wanted):
            break
    else:
        where = (
            f"between '{before or 'the input'}' and '{after or 'the output'}'"
            if before != after
            else f"in '{after}'"
        )
        raise InputError(
            f"what happens {where} is not one of the layers that can be described "
            f"({tuple(now.shape[1:])} becomes {tuple(wanted.shape[1:])})",
            "a stack, where each layer takes what the one before it gave", REMEDY,
        )  # fmt: skip
    holder = _common(before, after)
    for layer in layers:
        alone = before == after and len(layers) == 1
        name = _free(before if alone else f"{holder}{layer.type.lower()}", taken)
        found.append((name, layer.type, dict(layer.args)))


def _common(a: str, b: str) -> str:
    """The beginning that both dotted names share, with its dot; "" for none."""
    shared = []
    for x, y in zip(a.split(".")[:-1], b.split(".")[:-1], strict=False):
        if x != y:
            break
        shared.append(x)
    return "".join(f"{part}." for part in shared)


def arguments_of(module, name: str) -> dict:
    """What the layer was built with, where it differs from torch's default. Raises InputError for what no description
    can say."""
    kind, found = type(module).__name__, {}
    known = inspect.signature(type(module).__init__).parameters
    for key, parameter in known.items():
        if key in ("self", *IRRELEVANT) or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            continue
        value = getattr(module, key, parameter.default)
        if key == "bias":
            value = getattr(module, "bias", None) is not None
            if kind == "LayerNorm" and not module.elementwise_affine:
                value = True
        needed = key in NEEDED.get(kind, ())
        value = list(value) if key == "normalized_shape" else _plain(value)
        if not needed and (value == _plain(parameter.default) or _is_usual(module, key, value)):
            continue
        if key not in ARGUMENTS[kind]:
            raise InputError(
                f"'{name}' ({kind}) has {key} = {value!r}", f"torch's default, {parameter.default!r}", REMEDY
            )
        found[key] = value
    return found


def _is_usual(module, key: str, value) -> bool:
    """Whether an attribute is what torch makes of a default: the stride of a pool is its kernel."""
    return key == "stride" and "Pool" in type(module).__name__ and value == _plain(module.kernel_size)


def _plain(value):
    """As JSON says it; one number for equal ones."""
    if isinstance(value, tuple | list):
        values = list(value)
        return values[0] if len(set(values)) == 1 else values
    return value


def _nested(
    found: list[tuple[str, str, dict]], renamed: dict[str, str], prefix: str = "", own: str = ""
) -> list[dict]:
    """Layers by dotted names as nested lists. `prefix` of the names here, `own` of those in the network."""
    layers: list[dict] = []
    groups: list[tuple[str, list]] = []
    for name, kind, args in found:
        head, dot, rest = name.partition(".")
        if dot and groups and groups[-1][0] == head:
            groups[-1][1].append((rest, kind, args))
        elif dot:
            groups.append((head, [(rest, kind, args)]))
        else:
            groups.append((f"\0{head}", [(head, kind, args)]))
    taken: set[str] = set()
    for head, inner in groups:
        plain = head.startswith("\0")
        name = _free(head.removeprefix("\0"), taken)
        if plain:
            layers.append(
                {"name": name, "type": inner[0][1], **({"args": inner[0][2]} if inner[0][2] else {})}
            )
            if f"{own}{name}" != f"{prefix}{inner[0][0]}":
                renamed[f"{own}{name}."] = f"{prefix}{inner[0][0]}."
            continue
        held = _nested(inner, renamed, f"{prefix}{head}.", f"{own}{name}.")
        layers.append({"name": name, "type": SEQUENTIAL, "layers": held})
    return layers
