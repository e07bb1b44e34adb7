"""The image among what a network is given, as a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def picture_of(inputs) -> np.ndarray | None:
    """(height, width[, 3]) uint8: the first image of prepared inputs, from its smallest number to its largest; None
    where they are no image of one or three channels."""
    image = image_of(inputs)
    if image is None:
        return None
    image = image.transpose(1, 2, 0)
    low, high = float(image.min()), float(image.max())
    image = np.round(255 * (image - low) / ((high - low) or 1.0)).astype(np.uint8)
    return image[..., 0] if image.shape[2] == 1 else image


def image_of(inputs) -> np.ndarray | None:
    """(channels, height, width) float64, the same image as the network reads it; None where there is none."""
    for x in inputs.values() if isinstance(inputs, Mapping) else [inputs]:
        if getattr(x, "ndim", 0) == 4 and x.shape[1] in (1, 3) and x.is_floating_point():
            return x[0].detach().double().numpy()
    return None
