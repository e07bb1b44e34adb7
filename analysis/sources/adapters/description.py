"""Which network an adapter was trained on top of, and with which settings: a small JSON file beside its weights.

    adapter_config.json     as PEFT writes it: "base_model_name_or_path", "r", "lora_alpha", "use_rslora",
                            "alpha_pattern"; the weights lie in adapter_model.safetensors (or .bin)
    adapter.json            {"format": "feature-loupe-adapter", "version": 1, "base": "../vit", "weights":
                            "adapter.safetensors"}, and where wanted "alpha" (of low-rank pairs; without it the rank,
                            which is a scale of 1), "scale" and "activation" (of bottlenecks), "at" (modules behind
                            which a shared bottleneck stands)

The base is a path, from the JSON file's folder or whole; a name that PEFT took from a hub is looked for as a folder of
that name beside the adapter's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import InputError, NewerSchema, NotFound

FORMAT, VERSION, NAME, PEFT = "feature-loupe-adapter", 1, "adapter.json", "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter.safetensors", "adapter.pt")
KEYS = ("format", "version", "base", "weights", "alpha", "scale", "activation", "at")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh", "identity")
LORA = ("LORA", "ADALORA")
MOST_BYTES = 1 << 20
REMEDY = "Say where it is: `loupe adapt ADAPTER --base FOLDER` writes adapter.json beside the weights"


@dataclass(frozen=True)
class AdapterDescription:
    """`path` of the JSON file, `weights` the adapter's file, `base` the network's folder or description. `alpha` over
    the rank (its root, where `rooted`) is the scale of low-rank pairs, `alphas` by the end of a module's name;
    `scale` and `activation` are of bottlenecks, `at` the modules of one that is shared."""

    path: Path
    weights: Path
    base: Path
    alpha: float | None = None
    rooted: bool = False
    alphas: dict[str, float] = field(default_factory=dict)
    scale: float = 1.0
    activation: str = "relu"
    at: tuple[str, ...] = ()


def adapter_at(path: Path) -> Path | None:
    """The JSON file of an adapter: `path` itself, or that of a folder or of weights beside it; None where `path` is no
    adapter."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.suffix == ".json":
        return path if path.name == PEFT or _read(path).get("format") == FORMAT else None
    for name in (NAME, PEFT):
        file = folder / name
        if file.is_file() and (path.is_dir() or _weights(file, _read(file)) == path):
            if path.is_dir() and (folder / "config.json").exists():
                return None  # a whole network with an adapter beside it
            return file
    return None


def read_adapter(path: Path) -> AdapterDescription:
    """Raises InputError, NotFound, NewerSchema."""
    told = _read(path)
    found = _of_peft(path, told) if path.name == PEFT else _of_ours(path, told)
    if not found.weights.is_file():
        raise NotFound(
            f"{found.weights} is not there", "the weights of the adapter", "Put them beside " + path.name
        )
    return found


def write_adapter(weights: Path, base: Path, **settings) -> Path:
    """Write adapter.json beside `weights`, with what else is set. Raises InputError where there is another already."""
    import os

    file = weights.parent / NAME
    told = {
        "format": FORMAT,
        "version": VERSION,
        "base": os.path.relpath(base, weights.parent),
        "weights": weights.name,
    }
    told |= {k: v for k, v in settings.items() if v not in (None, (), [])}
    if file.exists() and _read(file) != told:
        raise InputError(f"{file} is there already and says something else", "no such file, or the same",
                         "Take it away, or change it by hand")  # fmt: skip
    file.write_text(json.dumps(told, indent=1) + "\n")
    return file


def _of_ours(path: Path, told: dict) -> AdapterDescription:
    unknown = sorted(set(told) - set(KEYS))
    if unknown or not isinstance(told.get("base"), str):
        raise InputError(
            f"{path} has " + (f"'{unknown[0]}'" if unknown else "no base"), "keys among " + ", ".join(KEYS)
        )
    if told.get("version") != VERSION:
        raise NewerSchema(
            f"{path} has version {told.get('version')!r}", str(VERSION), "Install a newer Feature Loupe"
        )
    at, activation = told.get("at", []), told.get("activation", "relu")
    if activation not in ACTIVATIONS:
        raise InputError(f"{path}: activation {activation!r}", "one of " + ", ".join(ACTIVATIONS))
    if not isinstance(at, list) or not all(isinstance(a, str) for a in at):
        raise InputError(f"{path}: 'at' is {at!r}"[:200], "a list of module names")
    return AdapterDescription(
        path, _weights(path, told), _base(path, told["base"]), _number(path, told, "alpha"),
        scale=_number(path, told, "scale") or 1.0, activation=activation, at=tuple(at),
    )  # fmt: skip


def _of_peft(path: Path, told: dict) -> AdapterDescription:
    kind = str(told.get("peft_type", "")).upper()
    if kind not in LORA:
        raise InputError(f"{path} is of type {kind or 'none'}", "LORA: low-rank pairs and tensors trained whole",
                         "Other kinds need code of their own; record the adapted network from a notebook")  # fmt: skip
    beside = path.parent / NAME
    own = _read(beside).get("base") if beside.is_file() else None
    base = own if isinstance(own, str) else told.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise NotFound(f"{path} names no base", "the network that the adapter was trained on", REMEDY)
    patterns = told.get("alpha_pattern") or {}
    return AdapterDescription(
        path, _weights(path, told), _base(path, base), _number(path, told, "lora_alpha"),
        bool(told.get("use_rslora")), {str(k): float(v) for k, v in patterns.items() if isinstance(v, (int, float))},
    )  # fmt: skip


def _weights(path: Path, told: dict) -> Path:
    named = told.get("weights")
    if isinstance(named, str):
        if Path(named).name != named:
            raise InputError(f"{path} names weights in another folder ({named[:80]})", "a file beside it")
        return path.parent / named
    return next((path.parent / n for n in WEIGHTS if (path.parent / n).is_file()), path.parent / WEIGHTS[0])


def _base(path: Path, named: str) -> Path:
    """Raises NotFound, naming where was looked."""
    tried = [path.parent / named, path.parent.parent / Path(named).name]
    for place in tried:
        if place.exists() and place.resolve() != path.parent.resolve():
            return place.resolve()
    raise NotFound(
        f"the base network '{named[:120]}' of {path} is at none of " + ", ".join(str(p) for p in tried),
        "a folder of a network on this machine; nothing is fetched", REMEDY,
    )  # fmt: skip


def _number(path: Path, told: dict, key: str) -> float | None:
    value = told.get(key)
    if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
        raise InputError(f"{path}: {key} is {value!r}"[:200], "a number")
    return None if value is None else float(value)


def _read(path: Path) -> dict:
    from analysis.sources.hugging_face_files import read_json

    if path.stat().st_size > MOST_BYTES:
        return {}
    try:
        return read_json(path)
    except InputError:
        if path.name in (NAME, PEFT):
            raise
        return {}
