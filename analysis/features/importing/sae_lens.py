"""SAELens: a folder with cfg.json and sae_weights.safetensors (W_enc (d, k), W_dec (k, d), b_enc, b_dec)."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.features.importing.declared import Declared


def fits(tensors: dict, config: Mapping) -> bool:
    return "W_dec" in tensors and "d_sae" in config


def read(tensors: dict, config: Mapping) -> Declared:
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
