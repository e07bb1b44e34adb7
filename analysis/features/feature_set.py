"""A feature set: an ordered set of directions of a tap, with what turns activations into codes and back.

    z = s ν(x) - shift,   c = rule(z E + b),   x' = ν⁻¹((c D + centre) / s)

E (d, k) the encoder, b (k,) its bias, D (k, d) the decoder with one direction for each feature, s a number that
activations were multiplied with in training, ν a normalisation of each row by itself (none, most often). PCA is the
linear rule with E = Dᵀ; a sparse autoencoder has a rule of `analysis.features.rules`. An encoder with a hidden layer
has h = leaky(z H + g) in the place of z before E, leaky(p) = max(p, 0.2 p).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.features import rules
from analysis.features.feature_set_checks import refuse_unfit
from analysis.features.nonnegative import nonnegative_codes

ARRAYS = ("encoder", "bias", "decoder", "centre", "shift", "threshold", "gate", "log_scale", "hidden",
          "hidden_bias")  # fmt: skip
LEAK = 0.2


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """k features of a tap with d units.

    Parameters
    ----------
    name : str
    rule : str
        One of `analysis.features.rules.RULES`.
    encoder, decoder : (d, k), (k, d) float32
    bias : (k,) float32
        Added before the rule; of a gated set the bias of the magnitudes.
    centre, shift : (d,) float32
        Added after decoding; subtracted before encoding.
    active : int or None
        k of TopK, steps of matching pursuit.
    threshold : (k,) or None
        Of JumpReLU.
    gate, log_scale : (k,) or None
        Of a gated set.
    hidden, hidden_bias : (d, h), (h,) or None
        Of an encoder with a hidden layer: encoder is then (h, k).
    scale : float
        What activations are multiplied with first.
    normalise : str
        "" for none; "layer norm": each row less its mean, over its deviation; "norm": each row to length √d.
    levels : tuple of int
        Of a Matryoshka set: how many of the first features each level has. Of a residual codebook: the same of its
        stages, each with those before. Empty else.
    transcoder : bool
        It reads one tap and tells another (`about["beside"]`) of e units: encoder (d, k), shift (d,), decoder (k, e),
        centre (e,). `encode` takes rows of the first; `decode`, `reconstruct` and `directions` are of the second.
    about : dict
        Where it comes from: architecture, training, the tap and store it was made for.

    Raises
    ------
    ShapeError, InputError
        Shapes that do not fit; values that are not finite; a rule without what it needs.
    """

    name: str
    rule: str
    encoder: np.ndarray
    decoder: np.ndarray
    bias: np.ndarray
    centre: np.ndarray
    shift: np.ndarray
    active: int | None = None
    threshold: np.ndarray | None = None
    gate: np.ndarray | None = None
    log_scale: np.ndarray | None = None
    hidden: np.ndarray | None = None
    hidden_bias: np.ndarray | None = None
    scale: float = 1.0
    normalise: str = ""
    levels: tuple[int, ...] = ()
    transcoder: bool = False
    about: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ARRAYS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.ascontiguousarray(value, dtype=np.float32))
        refuse_unfit(self, {name: getattr(self, name) for name in ARRAYS})

    # ------------------------------------------------------------------ what it is
    @property
    def n_features(self) -> int:
        return self.decoder.shape[0]

    @property
    def n_units(self) -> int:
        return (self.encoder if self.hidden is None else self.hidden).shape[0]

    @property
    def directions(self) -> np.ndarray:
        """(k, d): the decoder's rows, as long as they are; of a transcoder, directions of the tap it tells."""
        return self.decoder

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What its features stand for where it was made of named things (concepts, values of columns); else ()."""
        parts = self.about.get("components") or {}
        told = self.about.get("concepts") or parts.get("concept") or parts.get("value")
        named = isinstance(told, list) and len(told) == self.n_features
        return tuple(told) if named and all(isinstance(name, str) for name in told) else ()

    @cached_property
    def lengths(self) -> np.ndarray:
        """(k,) of the directions."""
        return np.sqrt((self.decoder.astype(np.float64) ** 2).sum(axis=1)).astype(np.float32)

    @cached_property
    def digest(self) -> str:
        """Of weights, rule and settings; of neither name nor origin."""
        h = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for name in ARRAYS:
            value = getattr(self, name)
            if value is not None:
                h.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return h.hexdigest()[:32]

    @property
    def settings(self) -> dict:
        """What there is beside arrays, name and origin."""
        return {
            "rule": self.rule, "active": self.active, "scale": float(self.scale),
            "normalise": self.normalise, "levels": list(self.levels),
            **({"transcoder": True} if self.transcoder else {}),
        }  # fmt: skip

    # ------------------------------------------------------------------ what it does
    def encode(self, x: np.ndarray) -> np.ndarray:
        """Codes (n, k) float32 of rows `x` (n, d). O(n d k). Raises ShapeError, and InputError for rows that are not
        finite. Where most of them are 0, `analysis.features.nonzero_codes` lists the others in a fraction of the time.
        """
        z = self.encoder_input(x)
        if self.rule == rules.PURSUIT:
            return rules.pursued(z, self.decoder, self.active)
        if self.rule == rules.NEAREST:
            return rules.nearest(z, self.decoder)
        if self.rule == rules.BY_STAGE:
            return rules.nearest_by_stage(z, self.decoder, self.levels)
        if self.rule == rules.NONNEGATIVE:
            return nonnegative_codes(z, self.decoder)
        if self.hidden is not None:
            z = z @ self.hidden + self.hidden_bias
            z = np.maximum(z, np.float32(LEAK) * z)
        products = z @ self.encoder
        if self.rule == rules.GATED:
            return rules.gated(products, self.gate, self.log_scale, self.bias)
        products += self.bias
        if self.rule == rules.RELU:
            return np.maximum(products, 0, out=products)
        if self.rule == rules.TOPK:
            return rules.keep_largest(products, self.active)
        if self.rule == rules.JUMP:
            return rules.jump(products, self.threshold)
        return products

    def encoder_input(self, x: np.ndarray) -> np.ndarray:
        """z (n, d) float32 of rows `x` (n, d), what the encoder multiplies. Raises as `encode`."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.n_units:
            raise ShapeError(
                f"activations of shape {x.shape}", f"(rows, {self.n_units}), as '{self.name}' has units"
            )
        if not np.isfinite(x).all():
            raise InputError("activations hold NaN or infinity", "finite rows")
        return self._normalised(np.asarray(x, np.float32))[0] * np.float32(self.scale) - self.shift

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Activations (n, d) float32 that the codes of rows `x` (n, d) stand for. Raises as `encode`."""
        return self.decode_beside(self.encode(x), x)

    def decode_beside(self, codes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Activations (n, d) float32 that `codes` (n, k; an array or SciPy's sparse array) of rows `x` (n, d) stand
        for: `decode`, with the normalisation of these rows undone."""
        _, mean, size = self._normalised(np.asarray(x, np.float32))
        return (codes @ self.decoder + self.centre) / np.float32(self.scale) * size + mean

    def to_explain(self, x: np.ndarray) -> np.ndarray:
        """(n, d) float64: what codes @ directions is to be for rows `x` (n, d), s ν(x) - centre."""
        return self._normalised(np.asarray(x, np.float32))[0].astype(np.float64) * self.scale - self.centre

    def row_sizes(self, x: np.ndarray) -> np.ndarray:
        """(n, 1) float64: what a code of 1 adds to row i of `x` (n, d) is its direction times this."""
        size = np.broadcast_to(self._normalised(np.asarray(x, np.float32))[2], (len(x), 1))
        return size.astype(np.float64) / self.scale

    def contributions(self, codes, x: np.ndarray):
        """`codes` (n, k; an array or SciPy's sparse array) of rows `x` (n, d) as the lengths, in activations, of what
        each feature adds along its direction: contributions @ directions is `decode_beside` but for constants."""
        return codes * self.row_sizes(x)

    def _normalised(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | float, np.ndarray | float]:
        """ν(x) (n, d), and the mean and size (n, 1) that undo it."""
        if not self.normalise:
            return x, np.float32(0), np.float32(1)
        wide = x.astype(np.float64)
        mean = wide.mean(axis=1, keepdims=True) if self.normalise == "layer norm" else np.zeros((len(x), 1))
        size = np.sqrt(
            ((wide - mean) ** 2).mean(axis=1, keepdims=True)
        )  # divided by this a row has length √d
        size[size == 0] = 1
        return ((wide - mean) / size).astype(np.float32), mean.astype(np.float32), size.astype(np.float32)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Activations (n, d) float32 of `codes` (n, k), as they are after normalisation of rows."""
        codes = np.asarray(codes, np.float32)
        return (codes @ self.decoder + self.centre) / np.float32(self.scale)

    # ------------------------------------------------------------------ to disk and back
    def save(self, directory: Path) -> None:
        """As `analysis.features.feature_set_files.save`."""
        from analysis.features import feature_set_files  # which needs this class

        feature_set_files.save(self, directory)

    @staticmethod
    def open(directory: Path) -> FeatureSet:
        """As `analysis.features.feature_set_files.read`."""
        from analysis.features import feature_set_files

        return feature_set_files.read(directory)
