"""From what a file declares to a feature set: assertions, and lengths and means folded into the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.importing.declared import ARCHITECTURES, Declared

UNIT_TOLERANCE = 1e-2  # of a length that is declared to be 1: bfloat16 keeps three digits


def folded(declared: Declared, name: str, file: Path) -> FeatureSet:
    found = declared.tensors
    key = declared.architecture.lower().replace("_", "").replace("-", "").replace(" ", "")
    if key not in ARCHITECTURES:
        raise InputError(
            f"{file} declares the architecture {declared.architecture!r}",
            "one of " + ", ".join(ARCHITECTURES),
        )
    decoder, lengths = _decoder(declared, file)
    (n, d), rule = decoder.shape, ARCHITECTURES[key]
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
        size = np.maximum(lengths, 1e-12).astype(np.float32)
        # max(p, 0) s where p > θ is max(p s, 0) where p s > θ s
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


def _decoder(declared: Declared, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The decoder (n, d) and the lengths (n,) of its rows. Raises InputError where these are not as declared."""
    decoder = declared.tensors["W_dec"]
    if decoder.ndim != 2:
        raise InputError(f"W_dec of {file} has shape {decoder.shape}", "(features, units)")
    lengths = np.sqrt((decoder.astype(np.float64) ** 2).sum(axis=1))
    off = np.abs(lengths - 1) > UNIT_TOLERANCE
    if declared.unit_rows and off.any():
        raise InputError(
            f"{file} declares decoder rows of length 1; {int(off.sum())} of {len(off)} are not (lengths "
            f"{lengths.min():.3g} to {lengths.max():.3g})",
            "what is declared",
            "Correct the configuration (normalize_sae_decoder), or fold the lengths into the weights",
        )
    return decoder, lengths


def _vector(values, n: int) -> np.ndarray:
    return np.zeros(n, np.float32) if values is None else np.asarray(values, np.float32).ravel()
