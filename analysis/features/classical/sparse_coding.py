"""Sparse coding by K-SVD: features such that a few of them at a time, none of them negative, make up a row.

    codes by matching pursuit, at most a positive steps;   then feature by feature, with E what the others leave over of
    the rows that it is active in:   d ← cᵀ E / |cᵀ E|,   c ← max(E d, 0)

Aharon, Elad & Bruckstein 2006, with the cheap step of Rubinstein, Zibulevsky & Elad 2008 and codes of 0 and above. The
best a dictionary does here is not bound to an encoder, so it is the yardstick for a sparse autoencoder of the same size
and sparsity; it needs a pursuit for each row in return. An unused feature is set to the row that is explained worst.
Local optima, and features that split or absorb each other, as in any sparse dictionary.
Time O(a n k d) for each of at most 30 rounds; the rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.atom_learning import ROUNDS, learned_atoms, some_rows
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param


@dataclass(frozen=True)
class SparseCodingParams:
    components: int = param(64, "How many features", low=1, high=8192)
    active: int = param(4, "Steps of the pursuit: at most so many features are active", low=1, high=1024)
    maximum_rows: int = param(
        10_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 20
    )


def make(rows: FitRows, params: SparseCodingParams, rng, progress) -> Fitted:
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.05))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    centre = x.mean(axis=0)
    x -= centre
    if not x.any():
        raise InputError(f"the rows of {rows.name} do not vary", "rows that differ")
    steps = min(params.active, params.components)
    atoms, codes, settled = learned(
        x, params.components, steps, rng, lambda share: progress(0.05 + 0.9 * share, "learning features")
    )
    if not settled:
        said += (f"Not settled after {ROUNDS} rounds: more features or another seed may explain more.",)
    energy = (codes**2).sum(axis=0)
    order = np.argsort(-energy, kind="stable")
    return Fitted(
        atoms[order], centre, rules.PURSUIT, active=steps, caveats=said,
        components={"share of the codes": energy[order] / energy.sum(),
                    "active": (codes[:, order] > 0).mean(axis=0)},
    )  # fmt: skip


def learned(x, k: int, steps: int, rng: np.random.Generator, tick=lambda share: None):
    """Atoms (k, d), codes (n, k) and whether they settled, for centred rows `x` (n, d)."""
    return learned_atoms(
        x, some_rows(x, k, rng), lambda rows, atoms: rules.pursued(rows, atoms, steps), tick=tick
    )


CLASSICAL = Classical(
    "sparse_coding", "Sparse coding (K-SVD)", "A few features at a time, without an encoder to learn",
    SparseCodingParams,
    ("M. Aharon, M. Elad & A. Bruckstein (2006), K-SVD: An algorithm for designing overcomplete dictionaries for "
     "sparse representation",), make,
)  # fmt: skip
