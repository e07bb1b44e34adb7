"""The small pictures of samples that a store keeps, as arrays of one size."""

from __future__ import annotations

import numpy as np

from analysis.sources.pictures import thumbnail

SIDE = 64


def stored_pictures(tap, samples: np.ndarray) -> np.ndarray | None:
    """(n, 64, 64, 3) uint8, centred on a square, of `samples` (n,); None where a tap has no store or one has none."""
    store = getattr(tap, "store", None)
    found = [] if store is None else [store.thumbnail(int(s)) for s in samples]
    if not found or any(png is None for png in found):
        return None
    from PIL import Image

    out = np.full((len(found), SIDE, SIDE, 3), 255, np.uint8)
    for k, png in enumerate(found):
        image = thumbnail(png)
        scale = SIDE / max(image.size)
        size = tuple(max(1, round(s * scale)) for s in image.size)
        image = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
        top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
        out[k, top : top + size[1], left : left + size[0]] = np.asarray(image)
    return out
