"""The classes of the samples: what is counted, tested and drawn wherever a page says "class"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard.browse.colour_sources import sample_values
from dashboard.browse.kept import Kept
from dashboard.figures.text import plain

MOST = 200  # more different values are an identifier, not a class
_labels = Kept(16)


@dataclass(frozen=True)
class Labels:
    """`codes` (samples,) into `names`, -1 without a label; `sizes` (names,) samples per class."""

    names: tuple[str, ...]
    codes: np.ndarray
    sizes: np.ndarray


def labels_of(store) -> Labels | None:
    """The classes of a store: recorded ones, else the distinct values of its labels; None without two of them."""
    return _labels.get(store.digest, lambda: _found(store))


def _found(store) -> Labels | None:
    if store.classes and store.class_index is not None:
        return _made([plain(c) for c in store.classes], np.asarray(store.class_index, np.int64))
    if "label" not in store.samples:
        return None
    values = sample_values(store, "label")
    names, codes = np.unique(values.astype(str), return_inverse=True)
    if values.dtype.kind == "f" or len(names) > MOST:
        return None
    codes = np.where(np.char.strip(names)[codes] == "", -1, codes)
    return _made([plain(n) for n in names], codes)


def _made(names: list[str], codes: np.ndarray) -> Labels | None:
    known = codes >= 0
    sizes = np.bincount(codes[known], minlength=len(names))
    return Labels(tuple(names), codes, sizes) if (sizes > 0).sum() > 1 else None
