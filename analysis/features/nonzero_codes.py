"""Codes as a list of those that are not 0: what `FeatureSet.encode` gives, without the dense block in between.

Of ReLU, TopK and thresholds the codes are chosen from the products by compiled loops (`analysis.features.selecting`);
of any other rule the dense codes are made and looked through.
"""

from __future__ import annotations

import numpy as np

from analysis.features import rules
from analysis.features.feature_set import FeatureSet

Codes = tuple[np.ndarray, np.ndarray, np.ndarray]
LISTED = (rules.RELU, rules.TOPK, rules.JUMP)


class NonzeroCodes:
    """Lists the codes of block after block. The products of a block are written over those of the one before: fresh
    memory of that size would cost a tenth of the product itself."""

    def __init__(self, features: FeatureSet) -> None:
        self.features = features
        self._products = np.empty((0, features.n_features), np.float32)
        silent = np.float32(0) if features.threshold is None else np.maximum(features.threshold, 0)
        self._threshold = np.broadcast_to(silent, features.n_features).astype(np.float32)

    def of(self, x: np.ndarray) -> Codes:
        """(counts (n,), units, values): how many codes of each row of `x` (n, d) are not 0, and which they are, row by
        row and units rising. O(n d k). Raises as `FeatureSet.encode`."""
        made = self.features
        if made.rule not in LISTED or made.hidden is not None:
            return _listed(made.encode(x))
        from analysis.features.selecting import codes_above, largest_codes

        z = made.encoder_input(x)
        if len(self._products) < len(z):
            self._products = np.empty((len(z), made.n_features), np.float32)
        products = np.matmul(z, made.encoder, out=self._products[: len(z)])
        if made.rule == rules.TOPK:
            return largest_codes(products, made.bias, made.active)
        return codes_above(products, made.bias, self._threshold)


def _listed(codes: np.ndarray) -> Codes:
    row, units = np.nonzero(codes)
    return np.bincount(row, minlength=len(codes)), units, codes[row, units]
