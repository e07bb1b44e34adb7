"""A torch file {state_dict, config, mean}: what many training scripts write."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.features.importing.declared import Declared, from_modules


def fits(tensors: dict, config: Mapping) -> bool:
    return "state_dict.encoder.weight" in tensors


def read(tensors: dict, config: Mapping) -> Declared:
    inside = {n.removeprefix("config."): v for n, v in tensors.items() if n.startswith("config.")}
    state = {n.removeprefix("state_dict."): v for n, v in tensors.items() if n.startswith("state_dict.")}
    found, k = from_modules(state), inside.get("k")
    if "mean" in tensors:
        found["mean"] = tensors["mean"]
    architecture = str(inside.get("architecture") or ("topk" if k is not None else "standard"))
    about = {"format": "state and config", "hook": ""}
    return Declared(found, architecture, None if k is None else int(k), about=about)
