"""One batch on its way into a store: checked whole before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.store import samples as sample_files
from analysis.store.gather import stored
from analysis.store.manifest import TapSpec


@dataclass
class TapBlock:
    """One batch of one tap: `values` (rows, units) of any float dtype; `counts` (samples,) rows per sample, None
    for rows / samples each."""

    values: np.ndarray
    counts: np.ndarray | None = None


@dataclass
class Batch:
    """A checked batch of `n` samples. values : per tap, in the stored dtype. lost : per kind and tap, values that the
    stored dtype made infinite ("overflow") or 0 ("underflow"). columns, classes : JSON-ready. blobs : bytes per
    sample."""

    n: int
    values: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    lost: dict[str, dict[str, int]]
    columns: dict[str, list]
    classes: list[int] | None
    blobs: dict[str, list[bytes]]

    def line(self) -> bytes:
        """Its line in `samples.jsonl`."""
        counts = {name: _short(c) for name, c in self.counts.items()}
        lengths = {
            kind: [len(p) for p in parts] if any(parts) else None for kind, parts in self.blobs.items()
        }
        return sample_files.encode_line(self.columns, self.classes, counts, lengths)


def prepare(
    specs: Mapping[str, TapSpec],
    n_classes: int,
    first_sample: int,
    samples: Mapping[str, Sequence],
    taps: Mapping[str, TapBlock],
    *,
    class_index=None,
    thumbnails=None,
    tokens=None,
) -> Batch:
    """Check and convert the arguments of StoreWriter.append. Raises InputError, ShapeError."""
    n = _batch_size(samples, taps, class_index)
    if set(taps) != set(specs):
        raise InputError(f"a batch has taps {sorted(taps)}", f"exactly {sorted(specs)}")
    values, counts, lost = {}, {}, {"overflow": {}, "underflow": {}}
    for name, block in taps.items():
        x = np.asarray(block.values)
        if x.ndim != 2 or x.shape[1] != specs[name].n_units:
            raise ShapeError(f"tap '{name}' gives shape {x.shape}", f"(rows, {specs[name].n_units})")
        if x.dtype.kind not in "fiub":
            raise InputError(f"tap '{name}' gives {x.dtype} values", "numbers")
        counts[name] = _counts(name, x, block.counts, n)
        values[name], lost["overflow"][name], lost["underflow"][name] = stored(x, specs[name].numpy_dtype)
    columns = sample_files.plain_columns(samples, n, first_sample)
    classes = _checked_classes(class_index, n, n_classes)
    return Batch(n, values, counts, lost, columns, classes, _blobs(n, thumbnails, tokens))


def _checked_classes(class_index, n: int, n_classes: int) -> list[int] | None:
    if class_index is None:
        return [-1] * n if n_classes else None
    index = np.asarray(class_index)
    if index.dtype.kind not in "iu" or index.shape != (n,):
        raise ShapeError(f"class_index is {index.dtype} of shape {index.shape}", f"({n},) integers")
    if n and (index.min() < -1 or index.max() >= n_classes):
        raise InputError(
            f"class_index holds {index.min()} … {index.max()}",
            f"-1 … {n_classes - 1} ({n_classes} class names)",
        )
    return index.tolist()


def _blobs(n: int, thumbnails, tokens) -> dict[str, list[bytes]]:
    """Bytes of each sample's thumbnail and token texts; empty where it has none."""
    blobs = {
        "thumbnails": [b""] * n if thumbnails is None else [bytes(t or b"") for t in thumbnails],
        "tokens": [b""] * n if tokens is None else [sample_files.encode_tokens(t) for t in tokens],
    }
    for kind, parts in blobs.items():
        if len(parts) != n:
            raise ShapeError(f"{len(parts)} {kind} for {n} samples", "one per sample")
    return blobs


def _short(counts: np.ndarray) -> int | list[int]:
    """Rows per sample as one number where all are equal."""
    return int(counts[0]) if len(counts) and (counts == counts[0]).all() else counts.tolist()


def _counts(name: str, x: np.ndarray, counts, n: int) -> np.ndarray:
    if counts is None:
        if n == 0 or len(x) % n:
            raise ShapeError(
                f"tap '{name}' gives {len(x)} rows for {n} samples", "a multiple, or counts per sample"
            )
        return np.full(n, len(x) // n, dtype=np.int64)
    counts = np.asarray(counts, dtype=np.int64)
    if counts.shape != (n,) or counts.sum() != len(x) or (n and counts.min() < 0):
        raise ShapeError(
            f"tap '{name}' has counts summing to {counts.sum()}", f"{len(x)} rows over {n} samples"
        )
    return counts


def _batch_size(samples: Mapping, taps: Mapping[str, TapBlock], class_index) -> int:
    for values in samples.values():
        return len(values)
    if class_index is not None:
        return len(class_index)
    for block in taps.values():
        return len(np.asarray(block.values)) if block.counts is None else len(block.counts)
    return 0
