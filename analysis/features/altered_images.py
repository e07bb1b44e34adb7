"""Images with another hue, saturation, intensity or texture, run through the network of a recorded tap.

    hue          turned by a share of the colour circle; grey pixels stay as they are
    saturation   each pixel part of the way to the grey of its luminance
    intensity    darker by a share
    texture      blurred, Gaussian with a deviation in pixels

Pixels are 8 bit before and after. What the network is given unaltered must make the rows that were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.features.prototype_evidence import codes_of
from analysis.features.tap_dictionary import TapDictionary
from analysis.features.tap_places import rows_of
from analysis.sources.module_output import first_tensor
from analysis.sources.rerun import BATCH, rerun

HUE, SATURATION, INTENSITY, TEXTURE = "hue", "saturation", "intensity", "texture"
KINDS = (HUE, SATURATION, INTENSITY, TEXTURE)
LUMINANCE = np.array([0.299, 0.587, 0.114])


def altered(pixels: np.ndarray, kind: str, strength: float) -> np.ndarray:
    """uint8 pixels (h, w) or (h, w, 3), altered; the same array where nothing changes."""
    x = pixels.astype(np.float64)
    if kind == INTENSITY:
        x = x * (1 - strength)
    elif kind == TEXTURE:
        from scipy.ndimage import gaussian_filter

        x = gaussian_filter(x, (strength, strength, 0)[: x.ndim])
    elif x.ndim == 2:
        return pixels
    elif kind == SATURATION:
        x = x + strength * ((x @ LUMINANCE)[..., None] - x)
    else:
        x = _turned(x, strength)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _turned(x: np.ndarray, share: float) -> np.ndarray:
    """RGB (h, w, 3) with its hue turned by a share of the circle: value and chroma stay."""
    value, chroma = x.max(axis=2), np.ptp(x, axis=2)
    r, g, b = np.moveaxis(x, 2, 0)
    c = np.where(chroma > 0, chroma, 1)
    side = np.select([value == r, value == g], [((g - b) / c) % 6, (b - r) / c + 2], (r - g) / c + 4)
    side = (side + 6 * share)[..., None]
    k = (np.array([5, 3, 1]) + side) % 6
    return value[..., None] - chroma[..., None] * np.clip(np.minimum(k, 4 - k), 0, 1)


@dataclass(frozen=True)
class AlteredScores:
    """`clean` (n, k) largest codes over the rows of the samples, `altered` the same by kind, `note` in words."""

    clean: np.ndarray
    altered: dict[str, np.ndarray]
    note: str


def scores_of_altered(
    made: TapDictionary, strengths: dict[str, float], maximum: int, progress, span
) -> AlteredScores:
    """Run the network of the tap on the first `maximum` images and on each of them altered.

    Raises
    ------
    InputError, NotFound
        The network or its images are not there, or need code of their own; the tap is not of whole outputs of a module.
    """
    run, name = rerun(made.source, maximum, partial=True), made.source.name.partition(":")[2]
    modules = dict(run.loaded.module.named_modules())
    if run.loaded.modality != "image":
        raise InputError(
            f"the network of {made.source.name} reads {run.loaded.modality or 'no known data'}", "images"
        )
    if name not in modules:
        raise NotFound(f"the network has no module '{name}'", "the tap of a module")
    parts: dict[str, list] = {"": [], **{kind: [] for kind in strengths}}
    for start in range(0, run.n, BATCH):
        progress(span[0] + (span[1] - span[0]) * start / run.n, "running the network on altered images")
        stop = min(start + BATCH, run.n)
        images, places = [_pixels(item) for item in run.data.items(start, stop)], None
        rows = np.arange(made.source.layout.offsets[start], made.source.layout.offsets[stop])
        stored = np.asarray(made.source.take(rows), np.float64)
        cuts = made.source.layout.offsets[start:stop] - made.source.layout.offsets[start]
        for kind in parts:
            given = [altered(i, kind, strengths[kind]) for i in images] if kind else images
            tensor = _output(run.loaded, modules[name], name, given)
            if places is None:
                places = rows_of(tensor, None, stored, made.source.name, made.source.layout.is_pooled)
            parts[kind].append(np.maximum.reduceat(codes_of(made, places.take(tensor)), cuts, axis=0))
    joined = {kind: np.concatenate(found) for kind, found in parts.items()}
    return AlteredScores(joined.pop(""), joined, run.note)


def _pixels(item) -> np.ndarray:
    from analysis.sources.hugging_face_inputs import as_image

    image = as_image(item)
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16", "I", "F") else "RGB"))


def _output(loaded, module, name: str, images: list[np.ndarray]):
    """What the module gives for these images, a tensor."""
    caught = []
    handle = module.register_forward_hook(
        lambda _m, _i, out: caught.append(first_tensor(out, name).detach().clone())
    )
    try:
        loaded.forward(loaded.prepare(images))
    finally:
        handle.remove()
    if not caught:
        raise InputError(f"module '{name}' does not run in a forward pass", "a tap that the network passes")
    return caught[-1]
