"""What a file of dictionary weights says of itself, whatever its layout, and what is asserted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.features import rules

ARCHITECTURES = {  # as they are declared, in lower case without separators -> rule
    "standard": rules.RELU, "relu": rules.RELU, "vanilla": rules.RELU, "autoencoder": rules.RELU,
    "standardsae": rules.RELU, "autoencodernew": rules.RELU,
    "topk": rules.TOPK, "autoencodertopk": rules.TOPK, "topksae": rules.TOPK,
    "jumprelu": rules.JUMP, "jumpreluautoencoder": rules.JUMP, "jumprelusae": rules.JUMP,
    "batchtopk": rules.JUMP, "batchtopksae": rules.JUMP, "matryoshkabatchtopk": rules.JUMP,
    "matryoshkabatchtopksae": rules.JUMP,
    "gated": rules.GATED, "gatedautoencoder": rules.GATED, "gatedsae": rules.GATED,
    "matchingpursuit": rules.PURSUIT, "mp": rules.PURSUIT,
}  # fmt: skip


@dataclass
class Declared:
    """What a folder says of itself, and its tensors under the names W_enc (d, k), W_dec (k, d), b_enc, b_dec, …"""

    tensors: dict
    architecture: str = ""
    k: int | None = None
    subtracts: bool = True  # b_dec from the activations before encoding
    by_norm: bool = False  # codes in units of the decoder's lengths: these are folded into the weights
    unit_rows: bool = False
    scale: float = 1.0
    normalise: str = ""
    levels: tuple[int, ...] = ()
    about: dict = field(default_factory=dict)


def agree(declared: Declared, architecture: str, k: int | None, scale: float | None, file: Path) -> None:
    """What is given joins what is declared. Raises InputError where they contradict each other."""
    if k is not None and declared.k is not None and k != declared.k:
        raise InputError(f"{file} declares k = {declared.k}, and k = {k} is asked for", "one of them")
    declared.k = k if declared.k is None else declared.k
    declared.architecture = architecture or declared.architecture
    if scale is not None:
        declared.scale = scale
    if declared.scale is None:
        raise InputError(
            f"{file} says that activations were scaled to an expected norm, and not by how much", "that number",
            "Give scale, or fold it into the weights before saving",
        )  # fmt: skip


def from_modules(tensors: Mapping) -> dict:
    """encoder.weight (k, d) and decoder.weight (d, k) of linear modules, and what stands beside them."""
    names = {
        "encoder.bias": "b_enc", "bias": "b_dec", "decoder_bias": "b_dec", "decoder.bias": "b_dec",
        "gate_bias": "gate", "r_mag": "log_scale", "mag_bias": "b_enc",
    }  # fmt: skip
    found = {names.get(n, n): v for n, v in tensors.items() if isinstance(v, np.ndarray)}
    for ours, theirs in (("W_enc", "encoder.weight"), ("W_dec", "decoder.weight")):
        if theirs in tensors:
            found[ours] = tensors[theirs].T
    return found
