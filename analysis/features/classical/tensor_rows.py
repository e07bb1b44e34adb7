"""The rows of a tap with tokens as samples × positions × units, for kinds that need whole samples."""

from __future__ import annotations

import numpy as np

from analysis.compute.tensors.blocks import ALL, EACH, Block, centred, token_block
from analysis.errors import InputError, NotEnoughData
from analysis.features.classical.fit_rows import FitRows


def about_centre(values: np.ndarray, about: str) -> tuple[np.ndarray, np.ndarray]:
    """The block less its mean at each position, over all rows, or as it is; and the one centre (d,) of the set, which
    knows no positions: the mean of all rows, or 0."""
    x, _ = centred(values, about)
    return x, centred(values, ALL if about == EACH else about)[1]


def fitted_block(rows: FitRows, lengths: str, maximum: int, rng: np.random.Generator, progress) -> Block:
    """The block of the samples that a fit may see. Raises NotEnoughData for a tap of one row for each sample."""
    layout = rows.activations.layout
    if layout.is_pooled:
        raise NotEnoughData(
            f"{rows.name} has one row for each sample: a table, whose factors are any rotation of each other",
            "a tap with tokens", "Use PCA, ICA or NMF, or record the tokens of this tap",
        )  # fmt: skip
    full = np.diff(layout.offsets) > 0
    among = np.zeros(layout.n_samples, bool)
    among[full] = rows.fitted[layout.offsets[:-1][full]]
    block = token_block(
        [rows.activations], rng, maximum=maximum, lengths=lengths, among=among, progress=progress
    )
    rows.n_seen, rows.n_nonfinite = block.n_rows, block.n_nonfinite
    if block.is_table:
        raise NotEnoughData(
            f"{rows.name} has {block.values.shape[1]} position(s) of {block.values.shape[2]} unit(s)",
            "at least 2 of both", "Choose another tap",
        )  # fmt: skip
    if not np.ptp(block.values, axis=(0, 1)).any():
        raise InputError(f"the rows of {rows.name} do not vary", "rows that differ")
    return block
