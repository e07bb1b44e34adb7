"""All ways by name. A new one is a file beside this one with its equation, and a line here."""

from __future__ import annotations

from analysis.attribution.saliency import (
    controls,
    module_rules,
    norm_grad,
    occlusion,
    one_step,
    random_masks,
    relevance,
    shapley,
    slopes,
)
from analysis.attribution.saliency.way import Way

_FILES = (slopes, norm_grad, one_step, occlusion, random_masks, shapley, module_rules, relevance, controls)
WAYS: dict[str, Way] = {way.name: way for file in _FILES for way in file.WAYS}
EXPLAINING = tuple(name for name, way in WAYS.items() if not way.control)
CONTROLS = tuple(name for name, way in WAYS.items() if way.control)
OF_PLACES = (
    "Grad-CAM",
    "guided Grad-CAM",
    "NormGrad, 3 x 3",
)  # means over places, or neighbours: not of units
