"""The weights of the network that a tap was recorded from, read from its checkpoint as arrays.

A store remembers the path and the digest of its checkpoint. The file must still have that digest: a result's key knows
the checkpoint by the store alone. Nothing in a file is run: safetensors are read byte by byte without torch, torch
files with weights only.

A file names layers, not classes. A weight (a, b) is taken as (units, inputs), torch's Linear, unless the biases of this
checkpoint show it the other way round (the Conv1D of GPT-2). Networks of transformers may give a module another name
than the file does (`layers.0.mlp.fc1` for `encoder.layer.0.intermediate.dense`): layers are asked for by the file's.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound

SHOWN = 6  # layers named in a refusal
DUMP = "dump"  # the kind of a store that was imported
LOOKUP = re.compile(r"embed|(^|\.)w[tp]e$")  # tables of vectors, when without a bias
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
READERS = (  # the ends of the names of a layer and of the one that reads it, in common blocks
    ("intermediate.dense", "output.dense"), ("fc1", "fc2"), ("c_fc", "c_proj"), ("lin1", "lin2"),
    ("linear1", "linear2"), ("wi", "wo"), ("dense_h_to_4h", "dense_4h_to_h"), ("conv1", "conv2"), ("conv2", "conv3"),
)  # fmt: skip
SMALL = 1e-5  # torch's epsilon of a BatchNorm, which files do not hold


@dataclass(frozen=True)
class LayerWeights:
    """`weight` (units, inputs) and `bias` (units,) or None, float64, of the layer called `name` in the file.
    `kernel` is the shape of a convolution's, of which `inputs` holds every position."""

    name: str
    weight: np.ndarray
    bias: np.ndarray | None
    kernel: tuple[int, ...] = ()

    def outgoing(self, units: int) -> np.ndarray | None:
        """(units, outputs) what this layer makes of each unit it reads; None for a kernel of several positions, or
        another number of inputs."""
        return self.weight.T if int(np.prod(self.kernel)) == 1 and self.weight.shape[1] == units else None


@dataclass
class NetworkWeights:
    """Weights of one checkpoint: `shapes` by name, in natural order; `activation`, what config.json calls the
    nonlinearity, or ""."""

    path: Path
    kind: str
    digest: str
    shapes: dict[str, tuple[int, ...]]
    activation: str = ""
    _state: dict | None = field(default=None, repr=False)

    @property
    def layers(self) -> list[str]:
        """Names of the layers whose weight has a row (or column) for each unit."""
        names = [k.removesuffix(".weight") for k, s in self.shapes.items() if _is_weight(k, s)]
        return [n for n in names if not self._is_lookup(n)]

    @property
    def lookups(self) -> list[str]:
        """Names of tables of vectors, such as token embeddings: a row for each entry."""
        names = [k.removesuffix(".weight") for k, s in self.shapes.items() if _is_weight(k, s)]
        return [n for n in names if self._is_lookup(n)]

    def _is_lookup(self, name: str) -> bool:
        table = len(self.shapes[f"{name}.weight"]) == 2 and f"{name}.bias" not in self.shapes
        return table and LOOKUP.search(name) is not None

    def layer(self, name: str) -> LayerWeights:
        """Raises NotFound, naming layers that are there; InputError for a transposed convolution."""
        found = self.find(name)
        if found is None:
            raise NotFound(
                f"{self.path.name} has no layer '{name}' with a weight for each unit",
                self.some_layers(name),
                "Name another layer, or leave it empty",
            )
        weight = self.tensor(f"{found}.weight")
        bias = self.tensor(f"{found}.bias") if f"{found}.bias" in self.shapes else None
        if weight.ndim == 2 and self._is_transposed(found):
            weight = weight.T
        if bias is not None and len(bias) != len(weight):
            raise InputError(
                f"'{found}' has a weight of shape {weight.shape} and {len(bias)} biases",
                "a bias for each row, as in Linear and Conv layers",
                "Transposed convolutions are not read; choose another layer",
            )
        return LayerWeights(found, weight.reshape(len(weight), -1), bias, weight.shape[2:])

    def find(self, name: str) -> str | None:
        """The layer of exactly this name, or the only one that differs by a prefix."""
        layers = self.layers
        if name in layers:
            return name
        near = [k for k in layers if k.endswith("." + name) or name.endswith("." + k)]
        return near[0] if len(near) == 1 else None

    def some_layers(self, near: str = "") -> str:
        """A few layers with their units, those that share most of the name `near` first, for a refusal."""
        layers, parts = self.layers, set(near.split("."))
        ordered = sorted(layers, key=lambda k: -len(parts & set(k.split("."))))
        named = [f"{k} ({self.units(k)} units)" for k in ordered[:SHOWN]]
        more = f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else ""
        return "one of " + ", ".join(named) + more if named else "a checkpoint with Linear or Conv layers"

    def twins(self, near: str = "") -> tuple[str, str] | None:
        """Two layers of one shape that stand side by side in a module, as the branches of a star block do, or queries
        and keys; of several pairs the one with most of the name `near`."""
        parts, found = set(near.split(".")), {}
        for layer in self.layers:
            found.setdefault((layer.rpartition(".")[0], self.shapes[f"{layer}.weight"]), []).append(layer)
        pairs = [(names[0], names[1]) for (module, _), names in found.items() if module and len(names) > 1]
        return max(pairs, key=lambda pair: len(parts & set(pair[0].split("."))), default=None)

    def units(self, layer: str) -> int:
        return self.shapes[f"{layer}.weight"][1 - self.input_axis(layer)]

    def inputs(self, layer: str) -> int:
        """Channels that a layer reads."""
        return self.shapes[f"{layer}.weight"][self.input_axis(layer)]

    def input_axis(self, layer: str) -> int:
        """Which axis of the stored weight runs over the channels that the layer reads."""
        return 0 if len(self.shapes[f"{layer}.weight"]) == 2 and self._is_transposed(layer) else 1

    def reader_of(self, layer: str) -> str | None:
        """The layer that reads the units of this one, where names and shapes leave no doubt; else None."""
        layers, units = self.layers, self.units(layer)
        named = [layer[: -len(a)] + b for a, b in READERS if layer == a or layer.endswith("." + a)]
        found = [
            k for k in (*named, *self._next_in_sequence(layer)) if k in layers and self.inputs(k) == units
        ]
        return found[0] if len(found) == 1 else None

    def _next_in_sequence(self, layer: str) -> list[str]:
        """The next of numbered layers; none where all are of one square shape, which may stand side by side."""
        parent, _, last = layer.rpartition(".")
        numbered = {int(k.rpartition(".")[2]): k for k in self.layers
                    if k.rpartition(".")[0] == parent and k.rpartition(".")[2].isdigit()}  # fmt: skip
        shapes = {(self.units(k), self.inputs(k)) for k in numbered.values()}
        if not last.isdigit() or (len(shapes) == 1 and len(set(*shapes)) == 1):
            return []
        return [numbered[min(later)]] if (later := [i for i in numbered if i > int(last)]) else []

    def normalisation_of(self, layer: str) -> str | None:
        """The BatchNorm between a layer and its nonlinearity, where names and shapes leave no doubt."""
        units = self.units(layer)
        norms = [k.removesuffix(".running_mean") for k in self.shapes if k.endswith(".running_mean")]
        norms = [k for k in norms if self.shapes[f"{k}.running_mean"] == (units,)]
        parent, _, last = layer.rpartition(".")
        if last.isdigit():
            return next((k for k in norms if k == f"{parent}.{int(last) + 1}".lstrip(".")), None)
        numbered = re.fullmatch(r"conv(\d*)", last)
        if numbered:
            named = f"{parent}.bn{numbered[1]}".lstrip(".")
            if named in norms:
                return named
        beside = [k for k in norms if k.rpartition(".")[0] == parent]
        alone = [k for k in self.layers if k.rpartition(".")[0] == parent] == [layer]
        return beside[0] if len(beside) == 1 and alone else None

    def folded(self, layer: LayerWeights, norm: str) -> LayerWeights:
        """The layer with its BatchNorm in evaluation folded into it: gain (W x + b - mean) + shift."""
        if f"{norm}.running_var" not in self.shapes:
            found = [k.removesuffix(".running_mean") for k in self.shapes if k.endswith(".running_mean")]
            raise NotFound(
                f"no BatchNorm '{norm}'",
                "one of " + (", ".join(found[:SHOWN]) or "none there"),
                "Name another, or leave it empty",
            )
        mean, variance = (self.tensor(f"{norm}.{k}") for k in ("running_mean", "running_var"))
        ones = np.ones(len(mean))
        gain = self.tensor(f"{norm}.weight") if f"{norm}.weight" in self.shapes else ones
        shift = self.tensor(f"{norm}.bias") if f"{norm}.bias" in self.shapes else 0 * ones
        if len(mean) != len(layer.weight):
            raise InputError(
                f"'{norm}' normalises {len(mean)} units",
                f"{len(layer.weight)}, as '{layer.name}' has",
                "Name the one behind this layer",
            )
        scale = gain / np.sqrt(variance + SMALL)
        bias = (0.0 if layer.bias is None else layer.bias) - mean
        return LayerWeights(layer.name, layer.weight * scale[:, None], scale * bias + shift, layer.kernel)

    def tensor(self, key: str) -> np.ndarray:
        """A tensor of the checkpoint as float64; of an adapter over a base with the adapter in it."""
        if self.kind == "adapted":
            from analysis.sources.adapters.over_base import merged_tensor

            return merged_tensor(self.path, key)
        if self._is_safetensors:
            return _from_safetensors(self._file_of(key), key)
        if self._state is None:
            self._state = self._read()
        return self._state[key].double().numpy()

    def _read(self) -> dict:
        if self.kind == "declared":
            from analysis.sources.declared.description import read_description
            from analysis.sources.declared.network import state_of

            return state_of(read_description(self.path))[0]
        from analysis.sources.state_files import read_state

        return read_state(self.path)[0]

    def rows(self, key: str, start: int, stop: int) -> np.ndarray:
        """Some rows of a tensor as float64; of safetensors no others are read."""
        if self._is_safetensors:
            return _from_safetensors(self._file_of(key), key, (start, stop))
        return self.tensor(key)[start:stop]

    @property
    def _is_safetensors(self) -> bool:
        from analysis.sources.file_magic import magic

        return self.kind == "hugging_face" or (self.kind != "adapted" and magic(self.path) == "safetensors")

    def _file_of(self, key: str) -> Path:
        if self.kind != "hugging_face":
            return self.path
        from analysis.sources.hugging_face_files import weight_files
        from analysis.sources.safetensors_file import headers

        files = weight_files(self.path)
        return files[0] if len(files) == 1 else next(f for f in files if key in headers(f))

    def _is_transposed(self, layer: str) -> bool:
        """(inputs, units)? By the layer's own bias; a square one by those of all other layers."""
        own = self._evidence(layer)
        if own is not None:
            return own
        others = {self._evidence(k.removesuffix(".weight")) for k in self.shapes if k.endswith(".weight")} - {
            None
        }
        return others == {True}

    def _evidence(self, layer: str) -> bool | None:
        weight, bias = (self.shapes.get(f"{layer}.{k}", ()) for k in ("weight", "bias"))
        if len(weight) != 2 or len(bias) != 1 or weight[0] == weight[1]:
            return None
        return bias[0] == weight[1]


def weights_of(activations) -> NetworkWeights:
    """The checkpoint that a stored tap was recorded from, verified to be the same file still.

    Raises
    ------
    InputError
        Not recorded from a file; the file has changed.
    NotFound
        The file is gone or moved.
    """
    store = getattr(activations, "store", None)
    entry = {} if store is None else store.manifest.get("checkpoint") or {}
    path, kind = entry.get("path"), entry.get("kind")
    if not path or kind == DUMP:
        said = {
            "module": "was recorded from a network in memory",
            DUMP: "was imported as numbers of no known network",
        }
        why = said.get(kind, "knows no checkpoint")
        raise InputError(
            f"{activations.name} {why}, so its weights are not known",
            "a tap recorded from weights on disk",
            "Record it from a file; where the tap itself holds weights as a table (a column per unit, a row per "
            "input), say so with 'table'",
        )
    if not os.path.exists(path):
        raise NotFound(
            f"the checkpoint of {activations.name} is not at {path} any more",
            "the files it was recorded from",
            "Put them back, or record again from where they are",
        )
    return _opened(str(path), str(entry.get("digest")), activations.name, _stamp(Path(path)))


@lru_cache(maxsize=4)
def _opened(path: str, digest: str, name: str, stamp: tuple) -> NetworkWeights:
    """`stamp` forgets what was verified as soon as a file has another size or time."""
    from analysis.sources.checkpoint import open_checkpoint

    found = open_checkpoint(path)
    if found.digest != digest:
        raise InputError(
            f"the checkpoint at {path} is not the one that {name} was recorded from (digest {found.digest[:8]}, "
            f"recorded {digest[:8]})",
            "the same weights and settings",
            "Put the old files back, or record again from the new ones",
        )
    return NetworkWeights(Path(path), found.kind, digest, found.shapes, _activation(Path(path)))


def refuse_code(network: NetworkWeights, name: str) -> None:
    """Raises InputError for a network that only its own Python code can run. `name`: of the tap."""
    from analysis.sources.checkpoint import CODELESS, CODELESS_WORDS

    if network.kind not in CODELESS:
        raise InputError(
            f"the network of {name} needs Python code of its own, which is not run here", CODELESS_WORDS,
            "Where it is a plain stack of layers, describe it and record again from the description",
        )  # fmt: skip


def _stamp(path: Path) -> tuple:
    from analysis.sources.adapters.description import adapter_at, read_adapter
    from analysis.sources.declared.description import description_at, read_description

    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if path.is_file() and (adapter := adapter_at(path)) is not None:
        told = read_adapter(adapter)
        return (
            *(_stamp(told.base)),
            *((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in (*files, told.weights)),
        )
    if path.is_file() and description_at(path):
        files.append(read_description(path).weights)
    return tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file())


def _activation(path: Path) -> str:
    from analysis.sources.adapters.description import adapter_at, read_adapter

    adapter = adapter_at(path) if path.is_file() else None
    path = path if adapter is None else read_adapter(adapter).base
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return ""
    named = (config.get(k) for k in ("hidden_act", "activation_function", "hidden_activation", "afn"))
    return next((n for n in named if isinstance(n, str)), "") if isinstance(config, dict) else ""


def _is_weight(key: str, shape: tuple[int, ...]) -> bool:
    return key.endswith(".weight") and len(shape) >= 2 and min(shape[:2]) >= 1


def _from_safetensors(path: Path, key: str, rows: tuple[int, int] | None = None) -> np.ndarray:
    """One tensor, or these rows of it, read from its bytes: the format's NumPy reader knows no bfloat16."""
    from analysis.sources.safetensors_file import opened

    with opened(path):  # its refusals, in words
        pass
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[key]
        begin, end = entry["data_offsets"]
        if entry["dtype"] not in TYPES:
            raise InputError(f"'{key}' in {path} holds {entry['dtype']} values", "one of " + ", ".join(TYPES))
        shape = list(entry["shape"])
        if rows is not None:
            one = (end - begin) // max(shape[0], 1)
            start, stop = (min(max(r, 0), shape[0]) for r in rows)
            shape[0], begin, end = stop - start, begin + start * one, begin + stop * one
        file.seek(8 + length + begin)
        raw = np.frombuffer(file.read(end - begin), dtype=TYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.reshape(shape).astype(np.float64)
