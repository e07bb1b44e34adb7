"""Two streams fused by a bilinear form: out = b + w₁ᵀx + w₂ᵀy + xᵀ W y, from a checkpoint or fitted.

Of h heads, W is block diagonal: each head joins its part of x with its part of y. Known are

    w_xy (h · d₁/h · d₂/h, outputs), beside w_x.weight (outputs, d₁) and w_y.weight (outputs, d₂)
    weight (outputs, d₁, d₂), as a bilinear layer has it

Reference: K. Mao, J. Zhu, L. Su, G. Cai, Y. Li & Z. Dong (2023), "FinalMLP: an enhanced two-stream MLP model for CTR
prediction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import ridge_weights


@dataclass(frozen=True)
class Fusion:
    """`matrix` (d1, d2) of one output, `joined` (d1, d2) bool where the heads join, `first` (d1,) and `second` (d2,)
    linear weights, 0 where the checkpoint has none; `outputs` there are."""

    name: str
    matrix: np.ndarray
    joined: np.ndarray
    first: np.ndarray
    second: np.ndarray
    outputs: int

    @property
    def heads(self) -> int:
        """Blocks of the matrix."""
        return max(round(self.joined.size / max(int(self.joined.sum()), 1)), 1)


def fusion_of(weights, d1: int, d2: int, output: int) -> Fusion | None:
    """The first fusion of streams of these widths in a checkpoint with `shapes` and `tensor(name)`; `output` counts
    from 0, the last where there are fewer."""
    for key, shape in weights.shapes.items():
        at, _, last = key.rpartition(".")
        before = f"{at}." if at else ""
        if len(shape) == 3 and last == "weight" and tuple(shape[1:]) == (d1, d2):
            whole = weights.tensor(key)
            o = min(output, len(whole) - 1)
            return Fusion(
                at or key, whole[o], np.ones((d1, d2), bool), np.zeros(d1), np.zeros(d2), len(whole)
            )
        if last == "w_xy" and len(shape) == 2 and _heads(d1, d2, shape[0]):
            o = min(output, shape[1] - 1)
            matrix, joined = blocks(weights.tensor(key), d1, d2, o)
            linear = [
                weights.tensor(f"{before}{n}.weight")[o]
                if weights.shapes.get(f"{before}{n}.weight", ())[1:] == (d,)
                else np.zeros(d)
                for n, d in (("w_x", d1), ("w_y", d2))
            ]
            return Fusion(at or key, matrix, joined, *linear, shape[1])
    return None


def _heads(d1: int, d2: int, rows: int) -> int:
    """Heads of as many rows of w_xy, 0 where they do not fit."""
    heads = d1 * d2 // rows if rows and d1 * d2 % rows == 0 else 0
    return heads if heads and d1 % heads == 0 and d2 % heads == 0 else 0


def blocks(values: np.ndarray, d1: int, d2: int, output: int) -> tuple[np.ndarray, np.ndarray]:
    """((d1, d2) matrix of one output, bool where heads join) from w_xy (rows, outputs): its numbers in order are those
    of (heads, d1 / heads, outputs, d2 / heads)."""
    heads = _heads(d1, d2, len(values))
    a, b = d1 // heads, d2 // heads
    by = values.reshape(heads, a, values.shape[1], b)[:, :, output]
    matrix, joined = np.zeros((d1, d2)), np.zeros((d1, d2), bool)
    for h in range(heads):
        part = np.s_[h * a : (h + 1) * a, h * b : (h + 1) * b]
        matrix[part], joined[part] = by[h], True
    return matrix, joined


def fitted(x: np.ndarray, y: np.ndarray, target: np.ndarray) -> Fusion:
    """Ridge regression of a target (n,) on both streams and their products, each of deviation 1. O(n (d₁ d₂)²)."""
    (n, d1), d2 = x.shape, y.shape[1]
    pairs = (x[:, :, None] * y[:, None, :]).reshape(n, -1)
    wide = np.concatenate([x, y, pairs], axis=1)
    spread = wide.std(axis=0)
    spread = np.where(spread > 1e-12 * (1 + np.abs(wide).max(axis=0)), spread, np.inf)
    weight = ridge_weights(wide / spread, target[:, None])[:, 0] / spread
    matrix = weight[d1 + d2 :].reshape(d1, d2)
    return Fusion("fitted fusion", matrix, np.ones((d1, d2), bool), weight[:d1], weight[d1 : d1 + d2], 1)


def parts(fusion: Fusion, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((n,) of the two linear streams, (n,) of the bilinear form)."""
    return x @ fusion.first + y @ fusion.second, np.einsum("ni,ij,nj->n", x, fusion.matrix, y, optimize=True)


def interaction_share(linear: np.ndarray, product: np.ndarray) -> float:
    """Share of the variance of the sum that the product adds beyond its best line in what the streams give: 0 where it
    goes with them."""
    total = float(np.var(linear + product))
    if total <= 0:
        return 0.0
    a, b = linear - linear.mean(), product - product.mean()
    along = float(a @ b) / float(a @ a) if float(a @ a) > 0 else 0.0
    return float(np.var(b - along * a)) / total
