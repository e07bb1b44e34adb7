"""Small PNG pictures of images, arrays and clips."""

from __future__ import annotations

import io

import numpy as np

LONGEST = 96  # pixels
SMALL = 48  # smaller pictures are enlarged by a whole factor, with hard edges, so that their pixels show


def image_thumbnail(image) -> bytes:
    """PNG of a Pillow image, at most 96 pixels on its longer side."""
    from PIL import Image

    from analysis.sources.preparing import eight_bit

    image = eight_bit(image)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    longest = max(image.size)
    if longest < SMALL:
        factor = LONGEST // longest
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    elif longest > LONGEST:
        image = image.copy()
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def array_thumbnail(array: np.ndarray) -> bytes | None:
    """PNG of a (h, w), (c, h, w) or (h, w, c) array with 1 or 3 channels; None for other shapes.

    uint8 is drawn as it is, anything else from its own smallest (black) to largest (white) finite value.
    """
    from PIL import Image

    picture = picture_axes(np.asarray(array))
    if picture is None:
        return None
    if picture.dtype != np.uint8:
        values = picture.astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
        picture = (scaled * 255).round().astype(np.uint8)
    return image_thumbnail(Image.fromarray(np.ascontiguousarray(picture)))


def picture_axes(array: np.ndarray) -> np.ndarray | None:
    """(h, w) or (h, w, 3) view of something that can be drawn, else None."""
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    drawable = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not drawable or array.dtype.kind not in "fiub":
        return None
    low, high = sorted(array.shape[:2])
    return array if low >= 4 and high <= min(4096, 8 * low) else None  # else a signal, not a picture


def clip_thumbnail(clip: np.ndarray) -> bytes:
    """PNG of a waveform: the range of each of 96 stretches of the clip, dark on white."""
    from PIL import Image

    clip = np.asarray(clip, dtype=np.float64)
    picture = np.full((SMALL, LONGEST), 255, dtype=np.uint8)
    top = float(np.abs(clip).max(initial=0)) or 1.0
    for x, part in enumerate(np.array_split(clip, LONGEST)):
        if len(part):
            rows = ((1 - np.array([part.max(), part.min()]) / top) / 2 * (SMALL - 1)).round().astype(int)
            picture[rows[0] : rows[1] + 1, x] = 60
    return image_thumbnail(Image.fromarray(picture))
