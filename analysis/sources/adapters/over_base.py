"""An adapter over its base: opened as one network, its weights put where they belong.

Low-rank pairs and whole tensors are merged into the weights, so that everything which reads weights or runs the network
sees the adapted one; a bottleneck stands behind its module and is run with it. An adapter that is zero leaves the base
as it is, to the bit.

A module is the one of exactly the adapter's name; else the only one whose name ends so, in memory or in the base's
file, from which transformers may have renamed it (then the one that holds the file's values). What has no place in the
base is refused: it would not be the network that was trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.sources.adapters.description import AdapterDescription, read_adapter
from analysis.sources.adapters.parts import AdapterParts, Bottleneck, parts_of

SHOWN = 5


def adapter_state(told: AdapterDescription) -> dict[str, np.ndarray]:
    """Tensors of the adapter's file by name, float64."""
    from analysis.sources.state_files import read_state

    state, _ = read_state(told.weights)
    return {k: v.detach().double().numpy() for k, v in state.items() if hasattr(v, "detach")}


def base_of(told: AdapterDescription, **options):
    """The base, opened. Raises InputError where it cannot be run without code of its own."""
    from analysis.sources.checkpoint import CODELESS, CODELESS_WORDS, open_checkpoint

    found = open_checkpoint(told.base, **options)
    if found.kind not in CODELESS or found.kind == "adapted":
        raise InputError(
            f"the base of {told.path} at {told.base} is a {found.kind.replace('_', ' ')}", CODELESS_WORDS
        )
    return found


def load(path: Path, attention: str | None = None):
    """The base with the adapter in it. Raises InputError, NotFound."""
    import torch

    told = read_adapter(path)
    base = base_of(told, **({"attention": attention} if attention else {}))
    loaded, parts = base.load(), parts_of(adapter_state(told), told)
    module = loaded.module
    state = module.state_dict()
    place = Places(state, dict(module.named_modules()), base)
    for name, one in parts.low_rank.items():
        key = place.tensor(f"{name}.weight")
        own = state[key]
        made = one.merged(own.double().numpy(), _turned(place.modules.get(key.removesuffix(".weight"))))
        with torch.no_grad():
            own.copy_(torch.from_numpy(made))
    for name, value in parts.whole.items():
        own = state[place.tensor(name)]
        if tuple(own.shape) != value.shape:
            raise InputError(f"'{name}' is {value.shape} in {told.weights.name} and {tuple(own.shape)} in the base",
                             "the base that the adapter was trained on")  # fmt: skip
        with torch.no_grad():
            own.copy_(torch.from_numpy(value))
    for neck in parts.bottlenecks:
        _stand_behind(place.module(neck.at), neck, told)
    module.eval().requires_grad_(False)
    loaded.notes.append(said(told, parts, base.n_parameters))
    return loaded


def said(told: AdapterDescription, parts: AdapterParts, numbers: int) -> str:
    """What was put where, in a sentence."""
    kinds = ((len(parts.low_rank), "low-rank pair(s)"), (len(parts.bottlenecks), "bottleneck(s)"),
             (len(parts.whole), "whole tensor(s)"))  # fmt: skip
    what = ", ".join(f"{n} {kind}" for n, kind in kinds if n)
    return (f"Adapter {told.weights.name} over {told.base.name}: {what}; its {parts.numbers:,} numbers are "
            f"{parts.numbers / max(numbers, 1):.2%} of the base's")  # fmt: skip


class Places:
    """Which tensor or module of a network in memory an adapter's name means."""

    def __init__(self, state: dict, modules: dict, base) -> None:
        self.state, self.modules, self.base, self._file = state, modules, base, None

    def tensor(self, name: str) -> str:
        found = self._named(name, self.state)
        return self._by_values(name) if found is None else found

    def module(self, name: str):
        found = self._named(name, self.modules)
        if found is None:
            self._refuse(name, self.modules)
        return self.modules[found]

    def _named(self, name: str, known) -> str | None:
        if name in known:
            return name
        near = [k for k in known if k.endswith("." + name) or (k and name.endswith("." + k) and "." in k)]
        return near[0] if len(near) == 1 else None

    def _by_values(self, name: str) -> str:
        """The tensor in memory that holds what the file has under this name."""
        from analysis.sources.weights import NetworkWeights

        key = self._named(name, self.base.shapes)
        if key is None:
            self._refuse(name, self.state)
        value = NetworkWeights(self.base.path, self.base.kind, "", self.base.shapes).tensor(key)
        same = [k for k, v in self.state.items() if tuple(v.shape) == value.shape and np.array_equal(
            v.double().numpy(), value.astype(np.float32).astype(np.float64))]  # fmt: skip
        if len(same) != 1:
            self._refuse(name, self.state)
        return same[0]

    def _refuse(self, name: str, known) -> None:
        from difflib import get_close_matches

        near = get_close_matches(name, [k for k in known if k], SHOWN, 0.5)
        raise InputError(
            f"'{name}' of the adapter has no place in {self.base.name}",
            "names of the base" + (f" (near: {', '.join(near)})" if near else ""),
            "Check that this is the base; prompts and other parts with code of their own are not opened",
        )  # fmt: skip


def _turned(module) -> bool:
    """Whether a module keeps its weight as (in, out): transformers' Conv1D."""
    return type(module).__name__ == "Conv1D"


def _stand_behind(module, neck: Bottleneck, told: AdapterDescription) -> None:
    import torch

    act = _activation(told.activation)
    kind = next((p.dtype for p in module.parameters()), torch.float32)
    down, up, below, above = (None if v is None else torch.from_numpy(v).to(kind)
                              for v in (neck.down, neck.up, neck.down_bias, neck.up_bias))  # fmt: skip

    def added(x):
        if x.shape[-1] != down.shape[1] or up.shape != (x.shape[-1], len(down)):
            raise InputError(f"a bottleneck of {tuple(down.shape)} and {tuple(up.shape)} behind '{neck.at}', which "
                             f"gives {x.shape[-1]} units", "the base that the adapter was trained on")  # fmt: skip
        linear = torch.nn.functional.linear
        return x + told.scale * linear(act(linear(x, down, below)), up, above)

    def hook(_module, _given, out):
        return (added(out[0]), *out[1:]) if isinstance(out, tuple) else added(out)

    module.register_forward_hook(hook)


def _activation(name: str) -> Callable:
    import torch

    return (
        (lambda x: x)
        if name == "identity"
        else getattr(torch, name, None) or getattr(torch.nn.functional, name)
    )


def merged_tensor(path: Path, key: str) -> np.ndarray:
    """A tensor of the base, by its name in the base's file, with the adapter in it; float64. Raises InputError where
    the adapter names modules otherwise than the file does and they cannot be told apart."""
    told = read_adapter(path)
    base = base_of(told)
    from analysis.sources.weights import NetworkWeights

    own = NetworkWeights(base.path, base.kind, "", base.shapes)
    value, parts = own.tensor(key), parts_of(adapter_state(told), told)
    wanted = {f"{n}.weight": one for n, one in parts.low_rank.items()}
    names = {n: _file_name(n, base) for n in (*wanted, *parts.whole)}
    for name, where in names.items():
        if where == key:
            value = parts.whole[name] if name in parts.whole else wanted[name].merged(
                value, own._is_transposed(key.removesuffix(".weight")))  # fmt: skip
    return value


def _file_name(name: str, base) -> str:
    """Of an adapter's tensor that of the base's file; by the values of the network in memory where it was renamed."""
    place = Places(base.shapes, {}, base)
    found = place._named(name, base.shapes)
    if found is not None:
        return found
    state = base.load().module.state_dict()
    inside = Places(state, {}, base)._named(name, state)
    if inside is None:
        place._refuse(name, base.shapes)
    from analysis.sources.weights import NetworkWeights

    own, value = NetworkWeights(base.path, base.kind, "", base.shapes), state[inside].double().numpy()
    same = [k for k, s in base.shapes.items() if tuple(s) == value.shape and np.array_equal(
        own.tensor(k).astype(np.float32), value.astype(np.float32))]  # fmt: skip
    if len(same) != 1:
        place._refuse(name, base.shapes)
    return same[0]
