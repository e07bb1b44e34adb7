"""Dictionaries that were trained elsewhere, as feature sets: which format a folder or file has, and what it declares.

    SAELens                a folder with cfg.json and sae_weights.safetensors (W_enc (d, k), W_dec (k, d), b_enc, b_dec)
    dictionary_learning    a folder with config.json and ae.pt (encoder.weight (k, d), decoder.weight (d, k), …)
    OpenAI                 a torch file with pre_bias, encoder.weight, latent_bias, decoder.weight
    plain                  W_enc, W_dec, b_enc, b_dec, threshold, k in safetensors, npz or pt; a torch file with
                           state_dict and config; without W_enc the encoder is the decoder turned round

What is declared is asserted: the width, that a decoder of unit rows has unit rows, that a JumpReLU has thresholds. What
a file leaves open can be given: architecture and k.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.weights import SUFFIXES, read_tensors

UNIT_TOLERANCE = 1e-2  # of a length that is declared to be 1: bfloat16 keeps three digits
CONFIGS = ("cfg.json", "config.json")
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


def import_feature_set(
    path: str | Path,
    *,
    name: str = "",
    architecture: str = "",
    k: int | None = None,
    scale: float | None = None,
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
    declared = _declared(tensors, config, file)
    _agree(declared, architecture, k, scale, file)
    return _feature_set(declared, name or path.stem, file)


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
            return found[0], config
    return found[0], {}


# ---------------------------------------------------------------------- formats
def _declared(tensors: dict, config: Mapping, file: Path) -> Declared:
    for fits, read in FORMATS:
        if fits(tensors, config):
            return read(tensors, config)
    named = ", ".join(sorted(n for n, v in tensors.items() if isinstance(v, np.ndarray))[:12])
    raise InputError(
        f"{file} holds {named or 'no tensors'}",
        "W_dec (features, units), or encoder.weight and decoder.weight",
        "Save it under these names",
    )


def _sae_lens(tensors: dict, config: Mapping) -> Declared:
    kwargs = config.get("activation_fn_kwargs") or {}
    architecture = config.get("architecture") or "standard"
    if (
        architecture == "standard"
        and (config.get("activation_fn_str") or config.get("activation_fn")) == "topk"
    ):
        architecture = "topk"  # as older versions wrote it
    wanted = config.get("normalize_activations") or "none"
    normalise = {"layer_norm": "layer norm", "constant_norm_rescale": "norm"}.get(wanted, "")
    about = {"format": "SAELens", "hook": (config.get("metadata") or config).get("hook_name", "")}
    found = dict(tensors)
    if "b_mag" in found:
        found |= {"b_enc": found["b_mag"], "gate": found.get("b_gate"), "log_scale": found.get("r_mag")}
    scale = config.get("norm_scaling_factor") or (None if wanted == "expected_average_only_in" else 1.0)
    return Declared(
        found, architecture, config.get("k") or kwargs.get("k"), bool(config.get("apply_b_dec_to_input", True)),
        bool(config.get("rescale_acts_by_decoder_norm", False)), bool(config.get("normalize_sae_decoder", False)),
        scale, normalise, tuple(config.get("matryoshka_widths") or ()), about,
    )  # fmt: skip


def _dictionary_learning(tensors: dict, config: Mapping) -> Declared:
    trainer = config.get("trainer") or {}
    found = _from_modules(tensors)
    architecture = str(trainer.get("dict_class") or trainer.get("trainer_class") or "").removesuffix(
        "Trainer"
    )
    if not architecture:
        architecture = "GatedAutoEncoder" if "gate" in found else "TopK" if "k" in tensors else "AutoEncoder"
    key = architecture.lower().replace("_", "")
    jump = "jumprelu" in key
    if (
        key in ("batchtopk", "batchtopksae", "matryoshkabatchtopksae", "matryoshkabatchtopk")
        and "threshold" in found
    ):
        found["threshold"] = np.full(found["W_dec"].shape[0], float(np.ravel(found["threshold"])[0]))
    if "topk" in key and not key.startswith(("batch", "matryoshka")):
        found.pop("threshold", None)
    k = trainer.get("k") or (int(np.ravel(tensors["k"])[0]) if "k" in tensors else None)
    groups = tensors.get("group_sizes")
    levels = () if groups is None else tuple(int(v) for v in np.cumsum(np.ravel(groups)))
    about = {"format": "dictionary_learning", "hook": trainer.get("submodule_name", "")}
    return Declared(
        found, architecture, k, not jump, jump or "gated" in key or key == "autoencodernew", False, 1.0, "", levels,
        about,
    )  # fmt: skip


def _open_ai(tensors: dict, config: Mapping) -> Declared:
    found = {
        "W_enc": tensors["encoder.weight"].T, "W_dec": tensors["decoder.weight"].T,
        "b_enc": tensors["latent_bias"], "b_dec": tensors["pre_bias"],
    }  # fmt: skip
    architecture = str(tensors.get("activation", "ReLU"))
    k = tensors.get("activation_state_dict.k")
    top = architecture == "TopK"
    about = {"format": "OpenAI", "hook": ""}
    return Declared(
        found, architecture, None if k is None else int(k), normalise="layer norm" if top else "", about=about
    )


def _plain(tensors: dict, config: Mapping) -> Declared:
    found = {n: v for n, v in tensors.items() if isinstance(v, np.ndarray)}
    k = config.get("k") or tensors.get("k")
    architecture = str(config.get("architecture") or "")
    if not architecture:
        architecture = "jumprelu" if "threshold" in found else "topk" if k is not None else "standard"
    return Declared(
        found, architecture, None if k is None else int(np.ravel(k)[0]),
        bool(config.get("apply_b_dec_to_input", True)), bool(config.get("rescale_acts_by_decoder_norm", False)),
        bool(config.get("normalize_sae_decoder", False)), about={"format": "plain", "hook": ""},
    )  # fmt: skip


def _state_and_config(tensors: dict, config: Mapping) -> Declared:
    """A torch file {state_dict, config, mean}: what many training scripts write."""
    inside = {n.removeprefix("config."): v for n, v in tensors.items() if n.startswith("config.")}
    state = {n.removeprefix("state_dict."): v for n, v in tensors.items() if n.startswith("state_dict.")}
    found, k = _from_modules(state), inside.get("k")
    if "mean" in tensors:
        found["mean"] = tensors["mean"]
    architecture = str(inside.get("architecture") or ("topk" if k is not None else "standard"))
    about = {"format": "state and config", "hook": ""}
    return Declared(found, architecture, None if k is None else int(k), about=about)


def _from_modules(tensors: Mapping) -> dict:
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


FORMATS: tuple[tuple[Callable, Callable], ...] = (
    (lambda t, c: "pre_bias" in t and "latent_bias" in t, _open_ai),
    (lambda t, c: "trainer" in c or ("encoder.weight" in t and "decoder.weight" in t), _dictionary_learning),
    (lambda t, c: "state_dict.encoder.weight" in t, _state_and_config),
    (lambda t, c: "W_dec" in t and "d_sae" in c, _sae_lens),
    (lambda t, c: "W_dec" in t, _plain),
)


# ---------------------------------------------------------------------- what is declared
def _agree(declared: Declared, architecture: str, k: int | None, scale: float | None, file: Path) -> None:
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


def _feature_set(declared: Declared, name: str, file: Path) -> FeatureSet:
    found, key = (
        declared.tensors,
        declared.architecture.lower().replace("_", "").replace("-", "").replace(" ", ""),
    )
    if key not in ARCHITECTURES:
        raise InputError(
            f"{file} declares the architecture {declared.architecture!r}",
            "one of " + ", ".join(ARCHITECTURES),
        )
    decoder = found["W_dec"]
    if decoder.ndim != 2:
        raise InputError(f"W_dec of {file} has shape {decoder.shape}", "(features, units)")
    n, d = decoder.shape
    lengths = np.sqrt((decoder.astype(np.float64) ** 2).sum(axis=1))
    off = np.abs(lengths - 1) > UNIT_TOLERANCE
    if declared.unit_rows and off.any():
        raise InputError(
            f"{file} declares decoder rows of length 1; {int(off.sum())} of {n} are not (lengths {lengths.min():.3g} "
            f"to {lengths.max():.3g})",
            "what is declared",
            "Correct the configuration (normalize_sae_decoder), or fold the lengths into the weights",
        )
    rule = ARCHITECTURES[key]
    if rule == rules.PURSUIT:
        decoder = decoder / np.maximum(lengths, 1e-12)[:, None].astype(np.float32)
    centre = _vector(found.get("b_dec"), d)
    shift = centre.copy() if declared.subtracts else np.zeros(d, np.float32)
    if "mean" in found:  # taken off before and put back after
        shift, centre = shift + _vector(found["mean"], d), centre + _vector(found["mean"], d)
    encoder = decoder.T if found.get("W_enc") is None else found["W_enc"]
    bias, threshold = _vector(found.get("b_enc"), n), found.get("threshold") if rule == rules.JUMP else None
    log_scale = found.get("log_scale")
    if declared.by_norm and rule != rules.PURSUIT:
        size = np.maximum(lengths, 1e-12).astype(
            np.float32
        )  # max(p, 0) s where p > θ is max(p s, 0) where p s > θ s
        decoder, bias = decoder / size[:, None], bias * size
        threshold = None if threshold is None else threshold * size
        if rule == rules.GATED:
            log_scale = log_scale + np.log(size)
        else:
            encoder = encoder * size
    about = {
        **declared.about, "architecture": declared.architecture, "file": file.name, "tied": found.get("W_enc") is None
    }  # fmt: skip
    return FeatureSet(
        name, rule, encoder, decoder, bias, centre, shift,
        active=declared.k if rule in (rules.TOPK, rules.PURSUIT) else None, threshold=threshold,
        gate=found.get("gate"), log_scale=log_scale, scale=declared.scale, normalise=declared.normalise,
        levels=declared.levels, about=about,
    )  # fmt: skip


def _vector(values, n: int) -> np.ndarray:
    return np.zeros(n, np.float32) if values is None else np.asarray(values, np.float32).ravel()
