"""What a layer reads, in two halves of the samples: one to weigh errors of its weights with, one to tell them on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations, load_matrix
from analysis.errors import InputError, NotEnoughData

FEWEST = 16  # rows


def input_halves(
    taps: Sequence[Activations], weight: np.ndarray, name: str, maximum_rows: int, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None, list[str]]:
    """Rows for the root and rows for errors, the sample of each of these, and notes; None without a tap.

    Raises InputError for a tap of another width than the `weight` (units, inputs) of the layer `name`, NotEnoughData
    for fewer than 16 finite rows or a half of zeros.
    """
    if not taps:
        return None, None, None, [
            "No tap of the inputs was given: errors are those of the weights, and intervals take the neurons as drawn. "
            "A second tap of what the layer reads weighs them by what its inputs make of them."
        ]  # fmt: skip
    tap = taps[0]
    if tap.shape[1] != weight.shape[1]:
        raise InputError(
            f"{tap.name} has {tap.shape[1]} units", f"the {weight.shape[1]} inputs of {name}",
            "Choose a tap of what this layer reads, or leave it out",
        )  # fmt: skip
    loaded = load_matrix(tap, maximum_rows=maximum_rows, minimum_rows=FEWEST, rng=rng)
    x = np.asarray(loaded.values, np.float64)
    of = np.unique(tap.layout.sample_of(loaded.rows), return_inverse=True)[1].reshape(-1)
    of = of if of.max() > 0 else np.arange(len(x))
    held = (rng.permutation(of.max() + 1) % 2 == 0)[of]
    if not x[held].any() or not x[~held].any():
        raise NotEnoughData(
            f"{tap.name} is 0 in half of its samples", "inputs that are not", "Choose another tap"
        )
    said = [f"Inputs: {loaded.note}."] if loaded.note else []
    said.append(f"{tap.name} is taken to be what {name} reads; only its width was checked.")
    return x[~held], x[held], np.unique(of[held], return_inverse=True)[1].reshape(-1), said
