"""NormGrad with other virtual layers: what token u gives to the gradient of a layer's weights, were the layer put in at
the site without changing what it passes on.

    1 x 1 convolution   ‖g_u‖ ‖x_u‖           (slopes.py)
    3 x 3 convolution   ‖g_u x_N(u)ᵀ‖_F = ‖g_u‖ ‖x_N(u)‖ ,   N(u) the token and its neighbours, zeros beyond the edge
    scaling             ‖g_u ⊙ x_u‖
    bias                ‖g_u‖                 ("gradient" in slopes.py)

Lengths, so without a sign and not in units of the answer.

Reference: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation saliency
methods".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.saliency.slopes import one_pass
from analysis.attribution.saliency.way import Question, SaliencyMap, Way

SIDE = 3
PAPER = "There and Back Again: Revisiting Backpropagation Saliency Methods"


def scaling(question: Question) -> SaliencyMap:
    g, x = one_pass(question)
    return SaliencyMap(np.linalg.norm(g * x, axis=1), 2)


def convolution(question: Question) -> SaliencyMap:
    """Of tokens in a row the neighbours are those before and behind."""
    g, x = one_pass(question)
    run = question.run
    near = (x**2).sum(axis=1)
    near[run.leading :] = around(near[run.leading :], run.grid)
    return SaliencyMap(np.linalg.norm(g, axis=1) * np.sqrt(near), 2)


def around(values: np.ndarray, grid: tuple[int, int] | None) -> np.ndarray:
    """(tokens,) sums over each token and its neighbours, nothing beyond the edge."""
    from scipy.ndimage import convolve

    shape = (len(values),) if grid is None else grid
    return convolve(values.reshape(shape), np.ones((SIDE,) * len(shape)), mode="constant").ravel()


def _two(tokens, rows, settings) -> int:
    return 2


WAYS = (
    Way("NormGrad, scaling", "Length of slope times what stands there, unit by unit.", scaling, _two, signed=False,
        paper=PAPER),
    Way("NormGrad, 3 x 3", "Length of the slope times length of what stands there and around it.", convolution, _two,
        signed=False, paper=PAPER),
)  # fmt: skip
