"""The small pictures of samples that a store keeps, as arrays of one size."""

from __future__ import annotations

import numpy as np

from analysis.sources.pictures import thumbnail

SIDE = 64
ALIKE = 0.04  # of height over width, as thumbnails are of whole pixels
BELOW = "Below lie the pictures as the store keeps them: of a network that crops, colours lie a little off."


def pictures_below(tap, samples: np.ndarray, grid: tuple[int, int] | None) -> np.ndarray | None:
    """`stored_pictures` of samples whose tokens lie on `grid`, without the margins that make them square; None where
    there is no grid, or their shape is another than the grid's, so that no cell would lie where its token looks."""
    store = getattr(tap, "store", None)
    if store is None or grid is None or len(samples) == 0:
        return None
    pngs = [store.thumbnail(int(s)) for s in samples]
    if pngs[0] is None:
        return None
    shapes = {thumbnail(png).size if png else (0, 1) for png in pngs}
    if len(shapes) > 1:
        return None
    wide, high = shapes.pop()
    if not high or abs(high / wide / (grid[0] / grid[1]) - 1) > ALIKE:
        return None
    found, scale = stored_pictures(tap, samples), SIDE / max(wide, high)
    wide, high = max(1, round(wide * scale)), max(1, round(high * scale))
    top, left = (SIDE - high) // 2, (SIDE - wide) // 2
    return found[:, top : top + high, left : left + wide]


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
