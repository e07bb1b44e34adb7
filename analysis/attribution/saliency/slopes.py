"""Ways that need slopes g (tokens, units) of the explained number at the site, where x stands.

    gradient                 ‖g_u‖
    gradient x what is there Σ_k g_uk x_uk : the straight-line approximation of the answer at the site
    Grad-CAM                 max(0, Σ_k w_k x_uk) ,  w_k = mean over u of g_uk
    NormGrad                 ‖g_u‖ ‖x_u‖ = ‖g_u x_uᵀ‖_F : what token u gives to the gradient of a 1 x 1 convolution that
                             were the identity, put in at the site
    integrated gradients     Σ_k (x - b)_uk ∫ g_uk along the way from the background

One pass forward and backward, but for the last one: as many as it has nodes, for each background row.

References: K. Simonyan et al. (2014); R. Selvaraju et al. (2017), "Grad-CAM"; S.-A. Rebuffi et al. (2020), "There and
back again: revisiting backpropagation saliency methods"; M. Sundararajan et al. (2017).
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.path_gradients import path_values, slopes_at
from analysis.attribution.players import each_token
from analysis.attribution.saliency.way import Question, SaliencyMap, Way
from analysis.errors import InputError


def _one_pass(question: Question) -> tuple[np.ndarray, np.ndarray]:
    """g and x, (tokens, units) float64 each. Raises InputError where g is 0 everywhere."""
    run = question.run
    g = slopes_at(run, run.clean[None], question.target)[0].double().numpy()
    if not g.any():
        raise InputError(
            f"slopes at {run.site} that are 0 everywhere: the answer is saturated, or does not depend on it there",
            "a slope somewhere", "Explain a logit instead of a probability, or take another site",
        )  # fmt: skip
    return g, run.clean.double().numpy()


def gradient(question: Question) -> SaliencyMap:
    g, _ = _one_pass(question)
    return SaliencyMap(np.linalg.norm(g, axis=1), 2)


def gradient_times_input(question: Question) -> SaliencyMap:
    g, x = _one_pass(question)
    return SaliencyMap((g * x).sum(axis=1), 2)


def grad_cam(question: Question) -> SaliencyMap:
    g, x = _one_pass(question)
    return SaliencyMap(np.maximum(x @ g.mean(axis=0), 0.0), 2)


def norm_grad(question: Question) -> SaliencyMap:
    g, x = _one_pass(question)
    return SaliencyMap(np.linalg.norm(g, axis=1) * np.linalg.norm(x, axis=1), 2)


def integrated_gradients(question: Question) -> SaliencyMap:
    run, steps = question.run, question.settings.steps
    found = path_values(run, each_token(run.shape[0]), question.background, question.target, steps=steps)
    return SaliencyMap(found.values, found.rows, found.residual)


def _two(tokens, rows, settings) -> int:
    return 2


WAYS = (
    Way("gradient", "Length of the slope at each token.", gradient, _two, signed=False),
    Way("gradient x input", "Slope times what stands there.", gradient_times_input, _two, signed=True),
    Way("Grad-CAM", "Units weighed by their mean slope.", grad_cam, _two, signed=False, paper="Grad-CAM"),
    Way(
        "NormGrad",
        "Length of the slope times length of what stands there.",
        norm_grad,
        _two,
        signed=False,
        paper="There and Back Again: Revisiting Backpropagation Saliency Methods",
    ),
    Way(
        "integrated gradients",
        "Slopes along the straight way from the background.",
        integrated_gradients,
        lambda tokens, rows, settings: rows * (settings.steps + 1) + 1,
        signed=True,
        complete=True,
    ),
)
