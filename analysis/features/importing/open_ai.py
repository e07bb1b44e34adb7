"""OpenAI: a torch file with pre_bias, encoder.weight, latent_bias, decoder.weight."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.features.importing.declared import Declared


def fits(tensors: dict, config: Mapping) -> bool:
    return "pre_bias" in tensors and "latent_bias" in tensors


def read(tensors: dict, config: Mapping) -> Declared:
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
