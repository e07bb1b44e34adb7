"""Probes of the same held-out samples: linear, nearest neighbours, and trained against themselves.

Features are centred by the training samples and of unit length. All probes of a fold start from the same order of
batches, so that a step of ε = 0 is the linear probe exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.adversarial_features import train, unit_rows
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress

FOLDS = 5
FEWEST, SMALLEST = 50, 5  # samples, and of a class
NEAREST = "nearest neighbours"


@dataclass(frozen=True)
class Training:
    """How probes are trained: `epsilon` the length of a step against them, `neighbours` that vote."""

    epsilon: float
    batch: int
    epochs: int
    rate: float
    neighbours: int = 10


def probe_samples(tap: Activations, column: str, params, rng, progress: Progress, span) -> LabelledMatrix:
    """The labelled samples that probes are trained on. Raises NotFound, NotEnoughData (fewer than 50, or than two
    classes of five), InputError (all equal), TooLarge."""
    data = labelled_matrix(
        tap, column, params.pooling, minimum=SMALLEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=span,
    )  # fmt: skip
    if len(data.values) < FEWEST:
        raise NotEnoughData(
            f"{len(data.values)} labelled sample(s) of {tap.name}",
            f"at least {FEWEST}",
            "Record more samples",
        )
    if (data.values == data.values[0]).all():
        raise InputError(f"all samples of {tap.name} are equal", "features that differ", "Choose another tap")
    return data


def right_by_probe(
    x: np.ndarray,
    of: np.ndarray,
    classes: int,
    kinds: dict[str, str],
    how: Training,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> dict[str, np.ndarray]:
    """(n,) bool by probe, of samples that it did not see: `kinds` gives the name of each kind of training, and nearest
    neighbours by the cosine come last."""
    fold = folds_of(of, FOLDS, rng)
    out = {name: np.zeros(len(x), bool) for name in (*kinds.values(), NEAREST)}
    for f in range(FOLDS):
        stay, test = fold != f, fold == f
        middle = x[stay].mean(axis=0)
        known, new = unit_rows(x[stay] - middle), unit_rows(x[test] - middle)
        seed = int(rng.integers(2**31))
        for i, (kind, name) in enumerate(kinds.items()):
            done = (f + i / len(kinds)) / FOLDS
            progress(span[0] + (span[1] - span[0]) * done, f"training: {name}")
            weights, bias = train(
                known, of[stay], classes, kind, how.epsilon, epochs=how.epochs, batch=how.batch, rate=how.rate,
                seed=seed,
            )  # fmt: skip
            out[name][test] = (new @ weights + bias).argmax(axis=1) == of[test]
        near = np.argsort(-(new @ known.T), axis=1, kind="stable")[:, : how.neighbours]
        votes = (of[stay][near][:, :, None] == np.arange(classes)).sum(axis=1)
        out[NEAREST][test] = votes.argmax(axis=1) == of[test]
    return out


def accuracy_interval(right: np.ndarray) -> tuple[float, float]:
    """Wilson's, which holds the accuracy itself also where rounding would put it outside."""
    low, high = wilson(int(right.sum()), len(right))
    return min(low, float(right.mean())), max(high, float(right.mean()))


def probes_cost(n: int, d: int, how: Training, kinds: int) -> tuple[float, float, float]:
    """Operations in products, small calls, and bytes held. A step is two hundred small calls, and its small
    decompositions reach half of what products do: counted on runs, not on theory."""
    half = min(how.batch / 2, d)
    steps = FOLDS * kinds * how.epochs * (0.8 * n / how.batch + 1)
    flops = steps * (how.batch * d * 10 * 8.0 + 2 * 16.0 * d * half**2)
    held = 8.0 * (n * d * 3.5 + 0.2 * n * 0.8 * n * 3.5 + 10 * how.batch * d)
    return flops, steps * 200, held
