"""Items of a data source to the tensor that a described network takes, as its "input" says."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError
from analysis.sources.clips import resampled
from analysis.sources.declared.inputs import MODES, RESAMPLE, InputRules
from analysis.sources.preparing import eight_bit, is_image


class Prepare:
    """Items of a data source to one tensor (b, *shape) of `dtype` ("float32" or "float64")."""

    def __init__(self, rules: InputRules, dtype: str) -> None:
        self.rules, self.dtype = rules, np.dtype(dtype)

    def __call__(self, items: list):
        import torch

        one = {"image": self._image, "table": self._row, "array": self._array, "audio": self._clip}
        made = np.stack([one[self.rules.modality](item) for item in items])
        return torch.from_numpy(np.ascontiguousarray(made, dtype=self.dtype))

    def _image(self, item) -> np.ndarray:
        """(channels, height, width) of a Pillow image or an array of pixels."""
        if isinstance(item, str):
            raise InputError("the network takes images", "a folder of images or an array of pixels")
        channels, height, width = self.rules.shape
        if not is_image(item):
            item = _picture(np.asarray(item), self.rules.shape)
        if is_image(item):
            image = eight_bit(item)
            image = image if image.mode == MODES[channels] else image.convert(MODES[channels])
            if image.size != (width, height):
                image = image.resize((width, height), RESAMPLE[self.rules.given.get("resample", "bilinear")])
            item = np.asarray(image)
            item = item[None] if item.ndim == 2 else item.transpose(2, 0, 1)
        x = item.astype(self.dtype)
        if self.rules.given.get("range") == "min-max":
            low, high = x.min(), x.max()
            x = (x - low) / (high - low if high > low else 1)
        else:
            x = x / self.dtype.type(self.rules.given.get("scale", 255))
        return self._normal(x)

    def _row(self, item) -> np.ndarray:
        names = getattr(item, "names", ())
        if not names:
            raise InputError(
                f"the network takes columns by their names ({', '.join(self.rules.names[:4])} …), and the data have "
                "none", "a table",
            )  # fmt: skip
        x, place = np.asarray(item, dtype=np.float64), {name: i for i, name in enumerate(names)}
        missing = [n for c in self.rules.columns for n in c.of if n not in place]
        if missing:
            raise NotFound(
                f"the table has no number column '{missing[0]}', which the network takes",
                "all of " + ", ".join(dict.fromkeys(n for c in self.rules.columns for n in c.of)),
                "Give a table with these columns; one that is the label is not fed to the network",
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            made = [
                x[place[c.of[0]]] / (x[place[c.of[1]]] if len(c.of) > 1 else 1.0) for c in self.rules.columns
            ]
        made = np.where(np.isfinite(made), made, np.nan).astype(self.dtype)
        for name, change in (("mean", np.subtract), ("scale", np.divide)):
            if name in self.rules.given:
                made = change(made, np.asarray(self.rules.given[name], self.dtype))
        return made

    def _array(self, item) -> np.ndarray:
        x = np.asarray(item) if not isinstance(item, str) and not is_image(item) else None
        shape = self.rules.shape
        if (
            x is None
            or x.dtype.kind not in "fiub"
            or tuple(d for d in x.shape if d > 1) != tuple(d for d in shape if d > 1)
        ):
            found = type(item).__name__ if x is None else f"{x.dtype} of shape {x.shape}"
            raise ShapeError(f"an item is {found}", f"an array of shape {shape}")
        return self._normal(
            x.reshape(shape).astype(self.dtype) / self.dtype.type(self.rules.given.get("scale", 1))
        )

    def _clip(self, item) -> np.ndarray:
        if isinstance(item, str) or is_image(item) or np.ndim(item) != 1:
            raise InputError("the network takes sound", "mono clips")
        x = np.asarray(resampled(item, self.rules.given["sampling_rate"]), self.dtype)
        n = self.rules.given["samples"]
        return np.pad(x[:n], (0, max(n - len(x), 0))).reshape(self.rules.shape)

    def _normal(self, x: np.ndarray) -> np.ndarray:
        along = (-1, *[1] * (x.ndim - 1))
        for name, change in (("mean", np.subtract), ("std", np.divide)):
            if name in self.rules.given:
                x = change(x, np.asarray(self.rules.given[name], self.dtype).reshape(along))
        return x


def _picture(x: np.ndarray, shape):
    """(c, h, w) where the sizes fit; of 8-bit pixels of another size a Pillow image, which can be brought to it."""
    channels, height, width = shape
    if x.shape == shape:
        return x
    if x.shape in ((height, width), (height, width, 1)) and channels == 1:
        return x.reshape(shape)
    if x.shape == (height, width, channels):
        return x.transpose(2, 0, 1)
    if x.dtype == np.uint8 and (x.ndim == 2 or (x.ndim == 3 and x.shape[2] in MODES)):
        from PIL import Image

        return Image.fromarray(x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x)
    raise ShapeError(
        f"an item is {x.dtype} of shape {x.shape}",
        f"an image, or pixels of {height} x {width} with {channels} channels",
    )
