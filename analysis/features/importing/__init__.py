"""Dictionaries that were trained elsewhere, as feature sets: which format a folder or file has, and what it declares.

    SAELens                a folder with cfg.json and sae_weights.safetensors (W_enc (d, k), W_dec (k, d), b_enc, b_dec)
    dictionary_learning    a folder with config.json and ae.pt (encoder.weight (k, d), decoder.weight (d, k), …)
    OpenAI                 a torch file with pre_bias, encoder.weight, latent_bias, decoder.weight
    plain                  W_enc, W_dec, b_enc, b_dec, threshold, k in safetensors, npz or pt; a torch file with
                           state_dict and config; without W_enc the encoder is the decoder turned round
    prototypes             prototype_vectors (P, D, 1, 1) and last_layer.weight (classes, P) of a ProtoPNet

One file each, with `fits` (is it this one?) and `read`. What is declared is asserted: the width, that a decoder of unit
rows has unit rows, that a JumpReLU has thresholds. What a file leaves open can be given: architecture and k.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.features.feature_set import FeatureSet
from analysis.features.importing import (
    dictionary_learning,
    open_ai,
    plain,
    prototypes,
    sae_lens,
    state_and_config,
)
from analysis.features.importing.declared import Declared, agree
from analysis.features.importing.folding import folded
from analysis.features.weights import SUFFIXES, read_tensors

CONFIGS = ("cfg.json", "config.json")
LAYOUTS = (open_ai, dictionary_learning, state_and_config, sae_lens, plain)  # the first that fits


def import_feature_set(
    path: str | Path,
    *,
    name: str = "",
    architecture: str = "",
    k: int | None = None,
    scale: float | None = None,
    epsilon: float | None = None,
) -> FeatureSet:
    """The dictionary in a folder or file.

    Parameters
    ----------
    path : folder or file
    name : str
        Of the set; that of the folder or file where empty.
    architecture, k : what the file does not say; what it does say must agree.
    scale : float, optional
        What activations were multiplied with in training, where that is declared and not kept.
    epsilon : float, optional
        ε of the similarity of prototypes; 1e-4 where neither this nor the file says it.

    Raises
    ------
    NotFound
        Nothing there, or no weights in the folder.
    UnsafeFile
        A file that could run code.
    InputError, ShapeError
        Several dictionaries in the folder; tensors missing, or of shapes that do not fit; what is declared is not so.
    """
    path = Path(path)
    if not path.exists():
        raise NotFound(f"nothing at {path}", "a folder or file with dictionary weights")
    file, config = _in_folder(path) if path.is_dir() else (path, {})
    tensors = read_tensors(file)
    if prototypes.fits(tensors):
        prototypes.refuse_settings(architecture, k, scale, file)
        return prototypes.read(tensors, name or path.stem, file, epsilon)
    if epsilon is not None:
        raise InputError(
            f"{file} holds no prototypes, and ε = {epsilon:g} is asked for", "none for other sets"
        )
    try:
        declared = _declared(tensors, config, file)
        agree(declared, architecture, k, scale, file)
        return folded(declared, name or path.stem, file)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # a text where a number belongs
        raise InputError(
            f"what is declared beside {file} cannot be understood ({error})",
            "numbers, texts and lists where the program that trained it writes them",
            "Correct the configuration, or import the file of weights alone and say architecture and k",
        ) from error


def _in_folder(path: Path) -> tuple[Path, dict]:
    """The weights of a folder and its configuration. Raises NotFound, InputError for several."""
    found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and "sparsity" not in p.name)
    if not found:
        inside = sorted(str(p.parent.relative_to(path)) for s in SUFFIXES for p in path.rglob(f"*{s}"))
        raise NotFound(
            f"no dictionary weights in {path}",
            "one of " + ", ".join(f"*{s}" for s in SUFFIXES),
            f"Name one of its folders: {', '.join(dict.fromkeys(inside))}" if inside else "",
        )
    if len(found) > 1:
        raise InputError(
            f"{path} holds {len(found)} dictionaries: {', '.join(p.name for p in found)}", "one",
            "Name one of these files",
        )  # fmt: skip
    for name in CONFIGS:
        if (path / name).exists():
            try:
                config = json.loads((path / name).read_text())
            except ValueError as error:
                raise InputError(f"{path / name} is no JSON ({error})", "the file as it was saved") from None
            if not isinstance(config, Mapping):
                raise InputError(
                    f"{path / name} holds {type(config).__name__}",
                    "settings by name",
                    "Restore it, or take it away",
                )
            return found[0], config
    return found[0], {}


def _declared(tensors: dict, config: Mapping, file: Path) -> Declared:
    for layout in LAYOUTS:
        if layout.fits(tensors, config):
            return layout.read(tensors, config)
    named = ", ".join(sorted(n for n, v in tensors.items() if isinstance(v, np.ndarray))[:12])
    raise InputError(
        f"{file} holds {named or 'no tensors'}",
        "W_dec (features, units), encoder.weight and decoder.weight, or prototype_vectors and last_layer.weight",
        "Save it under these names",
    )
