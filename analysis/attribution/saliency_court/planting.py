"""A patch of one colour in samples: in the rows of a tap, before a probe is fitted to it, or in the input of a network.

In rows of a tap it stands in a share of the samples of one class, and is a shortcut by which a probe can tell the
class. In the input of a trained network it is a foreign thing that the network has never been taught.
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.sample_run import INPUT, SampleRun, input_key
from analysis.errors import InputError

LOOKED = 4096  # rows whose spread says how bright a patch is


class PlantedTap:
    """`tap` with a patch in `planted` samples (their numbers): of a sample with several tokens in the rows `tokens`, in
    all units; of a sample with one token in the units `tokens`. `level`: its height in standard deviations."""

    def __init__(self, tap: Activations, planted: np.ndarray, tokens: np.ndarray, level: float) -> None:
        self._tap, self._pooled = tap, tap.layout.is_pooled
        self._planted, self._tokens = np.asarray(planted), np.asarray(tokens)
        x = np.asarray(tap.take(np.arange(min(tap.shape[0], LOOKED))), np.float64)
        x = x[finite_rows(x)]
        spread = x.std(axis=0) if len(x) else np.ones(tap.shape[1])
        spread = np.where(spread > 0, spread, spread.max() or 1.0)
        mean = x.mean(axis=0) if len(x) else 0.0
        sign = 1.0 if self._pooled else 1.0 - 2.0 * (np.arange(tap.shape[1]) % 2)
        self._colour = mean + level * spread * sign
        self.samples = ChainMap({}, dict(tap.samples))

    def __getattr__(self, name: str):
        return getattr(self._tap, name)

    def take(self, rows) -> np.ndarray:
        rows, layout = np.asarray(rows), self._tap.layout
        x = np.array(self._tap.take(rows), np.float64)
        here = np.isin(layout.sample_of(rows), self._planted) & finite_rows(x)
        if self._pooled:
            x[np.ix_(here, self._tokens)] = self._colour[self._tokens]
        else:
            x[here & np.isin(layout.token_of(rows), self._tokens)] = self._colour
        return x


def refuse_without_place(run: SampleRun, grid: tuple[int, int] | None) -> None:
    """Raises InputError where a region of the site is no region of the input: units of a hidden layer, or tokens in a
    row that an image was made into."""
    if run.site == INPUT:
        return
    key = input_key(run.inputs)
    x = run.inputs if key is None else run.inputs[key]
    if isinstance(run, ByUnit) or x.ndim == 2 or (x.ndim == 4 and grid is None):
        places = "units" if isinstance(run, ByUnit) else "tokens in a row"
        raise InputError(
            f"{run.shape[0]:,} {places} of {run.site}, which lie nowhere in the input: a patch cannot be planted there",
            "maps of the network's input, or a site whose tokens are places of it",
            "Take maps of the network's input, or a shortcut that the data have",
        )  # fmt: skip


def painted(run: SampleRun, grid: tuple[int, int] | None, inside: np.ndarray, level: float) -> SampleRun:
    """The same sample with a patch in the input, where the region `inside` (places,) of the site lies: of an image in
    every channel `level` standard deviations above its mean. Raises InputError where the input is no image or row."""
    import torch

    key = input_key(run.inputs)
    x = (run.inputs if key is None else run.inputs[key]).clone()
    if not x.is_floating_point() or x.ndim not in (2, 3, 4):
        raise InputError(
            f"an input of {tuple(x.shape)} that takes no patch", "an image, or rows of numbers",
            "Name a region that is in the data, such as words",
        )  # fmt: skip
    spread = max(float(x.double().std()), 1e-12)
    colour = float(x.double().mean()) + level * spread
    if x.ndim == 4:
        rows, columns = grid or (1, len(inside))
        where = torch.as_tensor(inside.reshape(rows, columns))[None, None].double()
        where = torch.nn.functional.interpolate(where, size=tuple(x.shape[-2:]), mode="nearest")[0, 0].bool()
        x[:, :, where] = colour
    else:
        where = np.floor(np.arange(x.shape[1]) * len(inside) / x.shape[1]).astype(np.int64)
        x[:, torch.as_tensor(inside[where])] = colour
    put = x if key is None else {**run.inputs, key: x}
    return SampleRun(dataclasses.replace(run.loaded, preparer=lambda _items: put), run, run.site)
