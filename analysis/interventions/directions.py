"""Directions of a tap that an intervention goes along: those of features, and between the samples of two answers."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.interventions.bench import Bench
from analysis.interventions.many_targets import many_targets
from analysis.interventions.pairs import likeliest


def feature_direction(bench: Bench, feature: int) -> tuple[np.ndarray, str]:
    """Unit vector (units,) and name of a feature of the tap, or of a unit. Raises NotFound, InputError."""
    made = bench.made
    if feature >= made.features.n_features:
        raise NotFound(f"feature {feature} of {bench.tap.name}", f"0 … {made.features.n_features - 1}")
    name = made.called[feature]
    return _unit(np.asarray(made.features.decoder[feature], np.float64), name), name


def between_answers(
    bench: Bench, number: str, answer: int | None, against: int | None, rows: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, str]:
    """The same from the mean activations of the samples that are answered `against` to those answered `answer`, the
    most frequent ones without; what is looked at becomes the `number` of these two. `rows`, `owner` as `Bench.rows`."""
    answers = np.concatenate([likeliest(run) for run in bench.runs])
    kinds, counts = np.unique(answers, return_counts=True)
    ranked = [int(a) for a in kinds[np.argsort(-counts, kind="stable")]]
    a = ranked[0] if answer is None else answer
    b = next((x for x in ranked if x != a), None) if against is None else against
    for asked in (a, b):
        if asked not in ranked or a == b:
            raise NotFound(
                f"no sample is answered {'otherwise' if asked is None or a == b else asked}",
                "two answers that samples have: " + ", ".join(map(str, ranked[:8])),
            )
    bench.targets[:] = [many_targets(run, number, a, b) for run in bench.runs]
    own, other = ((answers == x) for x in (a, b))
    bench.notes.append(f"{own.sum()} samples are answered one way and {other.sum()} the other.")
    means = _means(rows, owner, len(answers))
    name = f"{bench.samples.word(a)} less {bench.samples.word(b)}"
    return _unit(means[own].mean(axis=0) - means[other].mean(axis=0), name), name


def _means(rows: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    sums = np.zeros((n, rows.shape[1]))
    np.add.at(sums, owner, rows)
    return sums / np.maximum(np.bincount(owner, minlength=n), 1)[:, None]


def _unit(way: np.ndarray, name: str) -> np.ndarray:
    size = np.linalg.norm(way)
    if not size > 0:
        raise InputError(f"{name} has no direction", "one that is not zero", "Choose another")
    return way / size
