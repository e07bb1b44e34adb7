"""What a direction does to the outputs if it goes straight there: its product with the unembedding.

    w = C U diag(γ) P d_j      U the last layer's weight, γ the gain of the normalisation before it, P and C centring

Directions act through later layers too, which this leaves out; the normalisation divides by a size that differs from
row to row, so that only the order and relative sizes mean something. Logits are centred over the outputs: a softmax
does not see a constant.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import NotFound
from analysis.sources.weights import NetworkWeights, weights_of

HEADS = re.compile(
    r"(^|\.)(lm_head|embed_out|output_projection|classifier|classifier\.\d|head|heads\.head|fc|score)$"
)
TABLES = re.compile(r"(^|\.)(wte|embed_tokens|word_embeddings|tok_embeddings|embed_in)$")
NORMS = re.compile(r"(^|\.)(ln_f|final_layer_norm|final_layernorm|layernorm|norm|layer_norm)$")
BLOCK = re.compile(r"\.\d+\.")
DRAWS = 200  # random directions behind the chance line


@dataclass(frozen=True)
class Unembedding:
    """`weight` (outputs, d) float64, with gain and centring in it; `names` of the outputs; `largest`, what the largest
    |logit weight| of a random direction of length 1 stays below in 95 % of cases; where it is from, in words."""

    weight: np.ndarray
    names: tuple[str, ...]
    largest: float
    said: str

    def of(self, direction: np.ndarray) -> np.ndarray:
        """(outputs,) of a direction (d,)."""
        return self.weight @ np.asarray(direction, np.float64)


def unembedding_of(activations, classes: tuple[str, ...] = ()) -> Unembedding:
    """The unembedding of the network of a recorded tap, for directions of its width.

    Raises
    ------
    InputError, NotFound
        No checkpoint on disk, or another one than recorded; no output layer that reads as many units.
    """
    network, d = weights_of(activations), activations.shape[1]
    layer, key = output_key(network, d, activations.name)
    weight = network.layer(layer).weight if key == f"{layer}.weight" else network.tensor(key)
    norm, gain, centred = last_norm(network, d)
    weight = weight * gain
    if centred:
        weight = weight - weight.mean(axis=1, keepdims=True)
    weight = weight - weight.mean(axis=0)
    unit = np.random.default_rng(0).standard_normal((d, DRAWS))
    unit /= np.linalg.norm(unit, axis=0)
    largest = float(np.quantile(np.abs(weight @ unit).max(axis=0), 0.95))
    said = f"{layer} of {network.path.name}" + (f", with the gain of {norm}" if norm else "")
    return Unembedding(weight, output_names(network.path, len(weight), classes), largest, said)


def output_key(network: NetworkWeights, d: int, name: str) -> tuple[str, str]:
    """What the last layer is called, and the tensor that holds its weight, a row for each output. Raises NotFound."""
    fit = [k for k in network.layers if HEADS.search(k) and network.inputs(k) == d]
    if fit:
        return fit[-1], f"{fit[-1]}.weight"
    tables = [k.removesuffix(".weight") for k, s in network.shapes.items() if len(s) == 2 and s[1] == d]
    tied = [k for k in tables if TABLES.search(k)]
    if tied and _is_language_model(network.path):
        return f"{tied[0]} (tied)", f"{tied[0]}.weight"
    raise NotFound(
        f"no output layer of {network.path.name} reads the {d} units of {name}",
        "a classifier or unembedding of that width", "Only directions in the width of the last layer reach it straight",
    )  # fmt: skip


def last_norm(network: NetworkWeights, d: int) -> tuple[str, np.ndarray, bool]:
    """Name, gain (d,), and whether it centres, of the normalisation behind all blocks; 1 without one."""
    found = [
        k.removesuffix(".weight") for k, s in network.shapes.items()
        if k.endswith(".weight") and s == (d,) and NORMS.search(k.removesuffix(".weight")) and not BLOCK.search(k)
    ]  # fmt: skip
    if not found:
        return "", np.ones(d), False
    gain = np.asarray(network.tensor(f"{found[-1]}.weight"), np.float64)
    return found[-1], gain, f"{found[-1]}.bias" in network.shapes


def config_of(folder: Path) -> dict:
    try:
        found = json.loads((folder / "config.json").read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _is_language_model(folder: Path) -> bool:
    config = config_of(folder)
    names = " ".join(str(a) for a in config.get("architectures") or ())
    return ("CausalLM" in names or "LMHead" in names) and config.get("tie_word_embeddings", True) is not False


def output_names(folder: Path, n: int, classes: tuple[str, ...]) -> tuple[str, ...]:
    """What the outputs are called: tokens, labels of the config, `classes`, or numbers."""
    tokens = _tokens(str(folder), n)
    if tokens:
        return tokens
    labels = config_of(folder).get("id2label") or {}
    if isinstance(labels, dict) and all(str(i) in labels for i in range(n)):
        named = tuple(str(labels[str(i)]) for i in range(n))
        if not all(re.fullmatch(r"LABEL_\d+", name) for name in named):
            return named
    return classes if len(classes) == n else tuple(str(i) for i in range(n))


@functools.lru_cache(maxsize=4)
def _tokens(folder: str, n: int) -> tuple[str, ...]:
    """Texts of the tokens of tokenizer.json, where there is one; "" entries are shown by number."""
    try:
        model = json.loads((Path(folder) / "tokenizer.json").read_bytes())
        vocabulary = model["model"]["vocab"]
        pairs = (
            vocabulary.items()
            if isinstance(vocabulary, dict)
            else ((v[0], i) for i, v in enumerate(vocabulary))
        )
        out = [str(i) for i in range(n)]
        level = "ByteLevel" in json.dumps([model.get("decoder"), model.get("pre_tokenizer")])
        for text, i in pairs:
            if 0 <= int(i) < n:
                out[int(i)] = _shown(str(text), level)
        return tuple(out)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ()


def _shown(text: str, byte_level: bool) -> str:
    """A token as a person reads it: blanks and line ends visible, single bytes by number."""
    if byte_level:
        raw = bytes(_BYTES[c] for c in text if c in _BYTES)
        text = raw.decode("utf-8", errors="replace")
        if "\ufffd" in text:
            return "".join(f"\\x{b:02x}" for b in raw)
    text = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _byte_letters() -> dict[str, int]:
    """The letter that byte-level tokenizers write for each byte: itself where it prints, else one from 256 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(rest)}


_BYTES = _byte_letters()
