"""Plain: W_enc, W_dec, b_enc, b_dec, threshold, k in safetensors, npz or pt.

Without W_enc the encoder is the decoder turned round.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.features.importing.declared import Declared


def fits(tensors: dict, config: Mapping) -> bool:
    return "W_dec" in tensors


def read(tensors: dict, config: Mapping) -> Declared:
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
