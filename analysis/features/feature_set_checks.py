"""What arrays and settings of a feature set must be, and the words in which others are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.features import rules

if TYPE_CHECKING:
    from analysis.features.feature_set import FeatureSet

NORMALISATIONS = ("", "layer norm", "norm")


def refuse_unfit(features: FeatureSet, arrays: Mapping[str, np.ndarray | None]) -> None:
    """Raises ShapeError or InputError where the `arrays` of `features`, by name, or its settings cannot be."""
    there = {name: value for name, value in arrays.items() if value is not None}
    for name, value in there.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} of '{features.name}' holds NaN or infinity", "finite weights")
    if (features.hidden is None) != (features.hidden_bias is None):
        raise InputError(f"'{features.name}' has one of hidden and hidden_bias", "both or none")
    if features.rule not in rules.RULES:
        raise InputError(f"rule {features.rule!r}", "one of " + ", ".join(rules.RULES))
    _refuse_shapes(features, there)
    _refuse_rule(features)
    _refuse_scaling(features)


def _refuse_shapes(features: FeatureSet, arrays: Mapping[str, np.ndarray]) -> None:
    encoder, decoder = features.encoder, features.decoder
    k, e = decoder.shape if decoder.ndim == 2 else (-1, -1)
    d = encoder.shape[0] if features.transcoder and encoder.ndim == 2 else e
    h = d if features.hidden is None else features.hidden.shape[-1]
    shapes = {
        "encoder": (h, k), "hidden": (d, h), "hidden_bias": (h,), "bias": (k,), "centre": (e,), "shift": (d,),
        "threshold": (k,), "gate": (k,), "log_scale": (k,),
    }  # fmt: skip
    for name, expected in shapes.items():
        if name in arrays and arrays[name].shape != expected:
            raise ShapeError(
                f"{name} of '{features.name}' has shape {arrays[name].shape}",
                f"{expected}, as the decoder has {decoder.shape} (features, units)",
            )


def _refuse_rule(features: FeatureSet) -> None:
    """A rule without what it needs."""
    name, rule, k = features.name, features.rule, len(features.decoder)
    if rule in (rules.TOPK, rules.PURSUIT) and not 1 <= (features.active or 0) <= k:
        raise InputError(
            f"{rule} of '{name}' with k = {features.active}", f"k between 1 and its {k} features"
        )
    needed = {rules.JUMP: ("threshold",), rules.GATED: ("gate", "log_scale")}.get(rule, ())
    for missing in needed:
        if getattr(features, missing) is None:
            raise InputError(
                f"'{name}' is declared {rule} and has no {missing}", f"{missing} ({k},)",
                "Import it with the file that holds it, or declare another architecture",
            )  # fmt: skip
    levels = features.levels
    rising = all(a < b for a, b in zip((0, *levels), levels, strict=False))
    if rule == rules.BY_STAGE and not (rising and levels and levels[-1] == k):
        raise InputError(
            f"'{name}' is declared {rule} with the levels {list(levels)}",
            f"the number of features up to each stage, rising, the last {k}",
        )


def _refuse_scaling(features: FeatureSet) -> None:
    if features.normalise not in NORMALISATIONS:
        raise InputError(
            f"normalisation {features.normalise!r}", "one of " + ", ".join(map(repr, NORMALISATIONS))
        )
    encoded_by_decoder = features.rule in (rules.PURSUIT, rules.NEAREST, rules.BY_STAGE)
    if features.transcoder and (features.normalise or encoded_by_decoder):
        raise InputError(
            f"'{features.name}' is a transcoder with {features.normalise or features.rule}",
            "a rule with an encoder of its own and no normalisation of rows, which could not be undone",
        )
    if not np.isfinite(features.scale) or features.scale <= 0:
        raise InputError(f"scale {features.scale} of '{features.name}'", "a positive number")
