"""Ways that need slopes g (tokens, units) of the explained number at the site, where x stands.

    gradient                 ‖g_u‖
    gradient x what is there Σ_k g_uk x_uk : what scaling token u to nothing would take, along a straight line
    linear approximation     Σ_k g_uk (x - b)_uk : what putting the background there would take, along a straight line
    Grad-CAM                 max(0, Σ_k w_k x_uk) ,  w_k = mean over u of g_uk
    NormGrad                 ‖g_u‖ ‖x_u‖ = ‖g_u x_uᵀ‖_F : what token u gives to the gradient of a 1 x 1 convolution that
                             were the identity, put in at the site
    integrated gradients     Σ_k (x - b)_uk ∫ g_uk along the way from the background; averaged over several background
                             rows they are expected gradients

One pass forward and backward, but for the last one: as many as it has nodes, for each background row, and more where
the sum of a Gauss-Legendre rule misses the difference of answers (`analysis.attribution.path_to_tolerance`).

References: K. Simonyan et al. (2014); R. Selvaraju et al. (2017), "Grad-CAM"; S.-A. Rebuffi et al. (2020), "There and
back again: revisiting backpropagation saliency methods"; M. Sundararajan et al. (2017).
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.path_gradients import slopes_at
from analysis.attribution.path_to_tolerance import tolerant_path_values
from analysis.attribution.players import each_token
from analysis.attribution.saliency.way import Question, SaliencyMap, Way
from analysis.errors import InputError

MOST = {8: 128, 4: 8}  # times as many slopes as are asked for, over all background rows, by bytes of a number


def one_pass(question: Question) -> tuple[np.ndarray, np.ndarray]:
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
    g, _ = one_pass(question)
    return SaliencyMap(np.linalg.norm(g, axis=1), 2)


def gradient_times_input(question: Question) -> SaliencyMap:
    g, x = one_pass(question)
    return SaliencyMap((g * x).sum(axis=1), 2)


def grad_cam(question: Question) -> SaliencyMap:
    g, x = one_pass(question)
    return SaliencyMap(np.maximum(x @ g.mean(axis=0), 0.0), 2)


def norm_grad(question: Question) -> SaliencyMap:
    g, x = one_pass(question)
    return SaliencyMap(np.linalg.norm(g, axis=1) * np.linalg.norm(x, axis=1), 2)


def linear_approximation(question: Question) -> SaliencyMap:
    g, x = one_pass(question)
    away = x - question.background.rows.double().mean(dim=0).numpy()
    return SaliencyMap((g * away).sum(axis=1), 2)


def integrated_gradients(question: Question) -> SaliencyMap:
    run, behind = question.run, question.background
    steps, bytes_each = question.settings.steps, run.clean.element_size()
    most = max(MOST.get(bytes_each, 8) * steps // behind.size, 4 * steps)
    found = tolerant_path_values(
        run, each_token(run.shape[0]), behind, question.target, steps=steps, most=most
    )
    notes = []
    if behind.size > 1:
        notes.append(f"Integrated gradients averaged over {behind.size} background rows: expected gradients.")
    if not found.reached:
        notes.append(
            f"Integrated gradients miss the difference of answers by {abs(found.residual):.2g}, more than the "
            f"{found.tolerance:.2g} asked for, after {found.slopes:,} slopes."
        )
    return SaliencyMap(found.values, found.passes, found.residual, notes=tuple(notes))


def _two(tokens, rows, settings) -> int:
    return 2


WAYS = (
    Way("gradient", "Length of the slope at each token.", gradient, _two, signed=False),
    Way("gradient x input", "Slope times what stands there.", gradient_times_input, _two, signed=True),
    Way(
        "linear approximation",
        "Slope times the difference to the background.",
        linear_approximation,
        _two,
        signed=True,
    ),
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
        lambda tokens, rows, settings: rows * (settings.steps + 2),
        signed=True,
        complete=True,
    ),
)
