"""What every neuron of a network's MLP blocks reads and writes, from its checkpoint, and the unembedding by rows.

    reads    γ_b ∘ up row, γ_b ∘ gate row     γ_b the gain of the normalisation before that block
    writes   γ ∘ down column                  γ the gain of the last normalisation

Names and shapes say which layers these are: an up layer that reads the residual stream, the down layer beside it that
reads its units and writes as wide as the stream; a gate where there is one. Where the normalisation centres,
vectors are centred over the stream.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.compute.networks.vocabulary import Blocks
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotFound
from analysis.features.logit_weights import config_of, last_norm, output_key, output_names
from analysis.sources.weights import SHOWN, NetworkWeights, weights_of

PAIRS = (
    ("up_proj", "down_proj"), ("c_fc", "c_proj"), ("fc1", "fc2"), ("dense_h_to_4h", "dense_4h_to_h"),
    ("intermediate.dense", "output.dense"), ("fc_in", "fc_out"), ("lin1", "lin2"), ("linear1", "linear2"),
    ("w3", "w2"),
)  # fmt: skip
GATES = {"up_proj": "gate_proj", "w3": "w1"}
BESIDE = ("vision", "visual", "image", "audio", "encoder")  # parts that hand over to the one that answers
NORMS = ("ln_2", "post_attention_layernorm", "pre_feedforward_layernorm", "ffn_norm", "layernorm_after",
         "final_layer_norm", "layer_norm2", "norm2")  # fmt: skip
ONE_MORE = {"gemma", "gemma2", "gemma3", "gemma3_text"}
READS, GATE, WRITES = "reads", "gate", "writes"
ROWS = 4096  # of the unembedding at a time


@dataclass(frozen=True)
class NeuronLayer:
    """`name` of the block; vectors by what they are, (neurons, d) float64: `READS`, `WRITES`, and `GATE` where there is
    one; `plain`: the up and gate rows as in the file, and the down column before the gain of the last normalisation,
    as it goes into the stream."""

    name: str
    vectors: dict[str, np.ndarray]
    plain: dict[str, np.ndarray]


@dataclass(frozen=True)
class Neurons:
    """`blocks` by name (up, down, gate or ""); the `unembedding` by rows; `names` of its outputs; `notes`."""

    network: NetworkWeights
    blocks: dict[str, tuple[str, str, str]]
    unembedding: Blocks
    names: tuple[str, ...]
    notes: tuple[str, ...]
    is_network = True

    @property
    def called(self) -> str:
        return self.network.path.name

    def layer(self, name: str) -> NeuronLayer:
        """Reads its weights."""
        up, down, gate = self.blocks[name]
        plain = {READS: self.network.layer(up).weight}
        if gate:
            plain[GATE] = self.network.layer(gate).weight
        d = plain[READS].shape[1]
        gain, centred = _block_norm(self.network, up, d)
        vectors = {k: _seen(w * gain, centred) for k, w in plain.items()}
        _, last, centres = last_norm(self.network, d)
        written = self.network.layer(down).weight.T
        vectors[WRITES] = _seen(written * _one_more(self.network, last), centres)
        plain[WRITES] = _seen(written, centres)
        return NeuronLayer(name, vectors, plain)


@dataclass(frozen=True)
class PlainNeurons:
    """The same of an array (tokens, units): each unit writes along its own axis."""

    called: str
    units: tuple[str, ...]
    unembedding: Blocks
    names: tuple[str, ...]
    notes: tuple[str, ...]
    is_network = False

    @property
    def blocks(self) -> dict[str, tuple[str, str, str]]:
        return {self.called: ("", "", "")}

    def layer(self, name: str) -> NeuronLayer:
        return NeuronLayer(name, {WRITES: np.eye(len(self.units))}, {})


def plain_neurons(tap, seen: Pass) -> PlainNeurons:
    """Of an array. `seen` counts rows with NaN, which are left out."""
    for _ in finite_blocks(tap, seen, as_stored=True):
        pass

    def rows() -> Iterator[tuple[int, np.ndarray]]:
        for start, block in tap.chunks():
            yield start, np.asarray(block, np.float64)

    note = f"{tap.name} is no network: it is read as an unembedding whose rows are tokens and whose units are neurons."
    return PlainNeurons(tap.name, tap.unit_names, rows, tuple(str(i) for i in range(tap.shape[0])), (note,))


def neurons_of(tap, layers: str = "") -> Neurons:
    """Of the checkpoint that a tap was recorded from. `layers`: names or patterns, with commas between; empty: all.

    Raises
    ------
    InputError, NotFound
        No checkpoint on disk; no MLP blocks of a known form, or none of these names; no unembedding of their width.
    """
    network = weights_of(tap)
    found, beside = _that_answer(dict(_blocks(network)))
    if not found:
        raise NotFound(
            f"{network.path.name} has no MLP blocks of a known form",
            "layers named as in GPT-2, Llama, Mixtral, OPT, GPT-NeoX, BERT or ViT",
            "Its layers are " + network.some_layers()[7:],
        )
    asked = [p.strip() for p in layers.split(",") if p.strip()]
    chosen = {k: v for k, v in found.items() if not asked or any(_matches(k, p) for p in asked)}
    if not chosen:
        raise NotFound(f"no MLP block of {network.path.name} is called {layers}",
                       "one of " + ", ".join(list(found)[:SHOWN]), "Name another, or leave it empty")  # fmt: skip
    d = network.inputs(next(iter(chosen.values()))[0])
    layer, key = output_key(network, d, tap.name)
    count = network.shapes[key][0]
    notes = [f"Vectors go through {layer} of {network.path.name}, with {count:,} outputs."]
    if beside:
        notes.append(f"Blocks of {beside} do not write what the outputs read: they are left out.")
    if any(".experts." in name for name in chosen):
        notes.append("A neuron of an expert reads and writes only for tokens that the router sends there.")
    if not last_norm(network, d)[0]:
        notes.append("No last normalisation was found: its gain is taken to be 1.")
    if any(_norm_name(network, up, d) is None for up, _, _ in chosen.values()):
        notes.append("Of some blocks no normalisation was found: its gain is taken to be 1.")
    names = output_names(
        network.path, count, tuple(getattr(getattr(tap, "store", None), "classes", ()) or ())
    )

    def rows() -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, count, ROWS):
            yield start, network.rows(key, start, start + ROWS)

    return Neurons(network, chosen, rows, names, tuple(notes))


def _blocks(network: NetworkWeights) -> Iterator[tuple[str, tuple[str, str, str]]]:
    known = set(network.layers)
    for layer in network.layers:
        for up, down in PAIRS:
            if not (layer == up or layer.endswith("." + up)):
                continue
            stem = layer[: -len(up)]
            other, gate = stem + down, stem + GATES.get(up, "")
            fits = other in known and network.inputs(other) == network.units(layer)
            if fits and network.units(other) == network.inputs(layer):
                name = stem.rstrip(".") or layer
                yield name, (layer, other, gate if up in GATES and gate in known else "")
                break


def _that_answer(blocks: dict) -> tuple[dict, str]:
    """(the blocks of the part of a network that answers, what the other parts are called or "")."""
    parts: dict[str, dict] = {}
    for name, layers in blocks.items():
        parts.setdefault(re.split(r"\d", name, maxsplit=1)[0].rstrip("."), {})[name] = layers
    said = {stem: own for stem, own in parts.items() if not any(word in stem.lower() for word in BESIDE)}
    if not said or len(said) == len(parts):
        return blocks, ""
    return {k: v for own in said.values() for k, v in own.items()}, ", ".join(
        s for s in parts if s not in said
    )


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(pattern + ".") or fnmatch.fnmatchcase(name, pattern)


def _norm_name(network: NetworkWeights, up: str, d: int) -> str | None:
    """The normalisation before a block: in the same numbered part of the network, by its name and width."""
    numbered = re.match(r"(.*?\.?\d+\.)", up)
    stem = numbered[1] if numbered else ""
    for norm in NORMS:
        for key, shape in network.shapes.items():
            if key.startswith(stem) and key.endswith(f"{norm}.weight") and shape == (d,):
                return key.removesuffix(".weight")
    return None


def _block_norm(network: NetworkWeights, up: str, d: int) -> tuple[np.ndarray, bool]:
    name = _norm_name(network, up, d)
    if name is None:
        return np.ones(d), False
    return _one_more(network, network.tensor(f"{name}.weight")), f"{name}.bias" in network.shapes


def _one_more(network: NetworkWeights, gain: np.ndarray) -> np.ndarray:
    """The gain of a normalisation; the files of some networks hold it less 1."""
    return gain + 1.0 if config_of(network.path).get("model_type") in ONE_MORE else gain


def _seen(vectors: np.ndarray, centred: bool) -> np.ndarray:
    return vectors - vectors.mean(axis=1, keepdims=True) if centred else vectors
