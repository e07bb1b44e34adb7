"""Raw items to a tensor, for a module that does not say how: by the first layer that has weights.

=========  ==========================================================================================
images     float32 / 255, (b, c, h, w), grey or RGB as the first convolution has 1 or 3 channels
arrays     uint8 (h, w) -> (b, 1, h, w) / 255 before a Conv2d; flattened before a Linear that fits
audio      float32, (b, 1, t) before a Conv1d, else (b, t); shorter clips padded with zeros
rows       float32 (b, columns)
=========  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, ShapeError


def first_layer(module):
    """The first convolution, linear map or embedding in definition order, or None."""
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.LazyLinear)
    return next((m for m in module.modules() if isinstance(m, kinds)), None)


def is_image(item) -> bool:
    """A Pillow image (without importing Pillow)."""
    return hasattr(item, "getbands") and hasattr(item, "convert")


@dataclass(frozen=True)
class Preparer:
    """The default `prepare`. `input_size`: (height, width) that images are resized to, None to keep theirs."""

    module: object
    input_size: tuple[int, int] | None = None

    def __call__(self, items: list):
        import torch

        first = items[0]
        if is_image(first):
            values = self.images(items)
        elif isinstance(first, str):
            raise InputError(
                "the module takes text but does not say how to turn it into numbers",
                "a method prepare(items) on the module, returning token ids",
                "Add it to what the factory returns (and tokens(items) to show the pieces)",
            )
        else:
            values = self.arrays([np.asarray(item) for item in items])
        return torch.from_numpy(np.ascontiguousarray(values))

    def describe(self) -> str:
        """One line for the notes."""
        layer = first_layer(self.module)
        name = type(layer).__name__ if layer is not None else "no known first layer"
        return f"float32 as the first layer takes them ({name}); images and uint8 arrays divided by 255"

    def images(self, items: list) -> np.ndarray:
        """(b, c, h, w) float32 in [0, 1]. Raises ShapeError for mixed sizes."""
        channels = self.channels(items[0])
        if channels not in (1, 3, 4):
            raise InputError(
                f"the first convolution takes {channels} channels",
                "1, 3 or 4 for images",
                "Add prepare(items)",
            )
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        pixels = [image_pixels(item, mode, self.input_size) for item in items]
        shapes = sorted({p.shape for p in pixels})
        if len(shapes) > 1:
            raise ShapeError(
                f"the images have {len(shapes)} sizes, such as {shapes[0][:2]} and {shapes[1][:2]} (height, width)",
                "one size",
                "Give input_size=(height, width), or a prepare(items) method on the module",
            )
        values = np.stack(pixels).astype(np.float32) / 255
        values = values[:, None] if values.ndim == 3 else values.transpose(0, 3, 1, 2)
        return self.fitted(values)

    def channels(self, image) -> int:
        """What the first convolution takes; before a Linear, grey where the image's pixels just fill it."""
        layer = first_layer(self.module)
        width, height = image.size if self.input_size is None else self.input_size[::-1]
        if getattr(layer, "in_features", None) == width * height:
            return 1
        return getattr(layer, "in_channels", 3)

    def arrays(self, items: list[np.ndarray]) -> np.ndarray:
        """Stack equal arrays; clips (1-D) of different lengths are padded with zeros at the end."""
        if items[0].dtype.kind not in "fiub":
            raise InputError(f"the items hold {items[0].dtype} values", "numbers")
        shapes = sorted({i.shape for i in items})
        if len(shapes) > 1:
            if any(len(s) != 1 for s in shapes):
                raise ShapeError(
                    f"the items have {len(shapes)} shapes, such as {shapes[0]} and {shapes[1]}", "one shape"
                )
            longest = max(len(i) for i in items)
            items = [np.pad(i, (0, longest - len(i))) for i in items]
        values = np.stack(items)
        scale = 255 if values.dtype == np.uint8 and values.ndim >= 3 else 1
        return self.fitted(values.astype(np.float32) / np.float32(scale))

    def fitted(self, values: np.ndarray) -> np.ndarray:
        """Add a channel axis or flatten where the first layer's own shape asks for it."""
        layer = first_layer(self.module)
        kind = type(layer).__name__
        if kind == "Conv2d" and values.ndim == 3:
            return values[:, None]
        if kind == "Conv2d" and values.ndim == 4 and values.shape[1] != layer.in_channels == values.shape[3]:
            return values.transpose(0, 3, 1, 2)  # channels last, as image files are
        if kind == "Conv1d" and values.ndim == 2:
            return values[:, None]
        if kind == "Linear" and values.ndim > 2 and values.shape[-1] != layer.in_features:
            flat = values.reshape(len(values), -1)
            return flat if flat.shape[1] == layer.in_features else values
        return values


def image_pixels(image, mode: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (h, w) or (h, w, c). 16-bit and float greys are brought to 0..255 first: Pillow would clip them."""
    image = eight_bit(image)
    image = image if image.mode == mode else image.convert(mode)
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]))
    return np.asarray(image)


def eight_bit(image):
    """The image with 8 bits a channel; 16-bit greys divided by 257, 32-bit ones by their own range."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if image.mode == "I" and values.max(initial=0) > 255 else 255.0
        if image.mode == "F" and values.max(initial=0) <= 1:
            top = 1.0
        return Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8))
    return image
