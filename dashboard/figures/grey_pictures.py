"""Pictures without colour: how light each pixel is."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def without_colour(picture: np.ndarray) -> tuple[np.ndarray, dict]:
    """(height, width) float64 and the ends of its scale for Matplotlib: 255 of whole numbers, 1 of others. Pictures
    that have no colour stay as they are."""
    picture = np.asarray(picture)
    if picture.ndim != 3:
        return picture, {}
    return picture[..., :3] @ LUMA, {"vmin": 0, "vmax": 255 if picture.dtype.kind in "iu" else 1}
