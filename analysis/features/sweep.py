"""A sweep over sparsity: the same dictionary at several sparsities, and which of them no other one beats.

A dictionary is on the Pareto front where none of the others is at least as sparse (L0) and explains at least as much of
the held-out variance, one of the two truly better. The front says what sparsity costs; it does not say which
dictionary has the better features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import ParameterError
from analysis.features.architectures import architecture as find_architecture
from analysis.features.feature_set import FeatureSet
from analysis.features.training import train
from analysis.features.training_settings import Training
from analysis.spec import Progress, make_params, no_progress
from analysis.store.reader import Store


@dataclass(frozen=True)
class SweepPoint:
    """One dictionary of a sweep: `value` of the parameter that says how sparse, and what the set does on the held-out
    samples by its own rule."""

    value: float
    l0: float
    explained_variance: float
    dead: float
    on_front: bool
    features: FeatureSet


def sweep(
    store: Store,
    tap: str,
    architecture: str,
    values: Sequence[float],
    params: dict | None = None,
    training: dict | Training | None = None,
    *,
    name: str = "",
    seed: int = 0,
    directory: Path | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
) -> tuple[SweepPoint, ...]:
    """Train one dictionary for each of `values` of the architecture's sparsity (`k`, or `penalty`), by rising L0.

    Arguments and errors as of `train`; with `directory` each has a folder there. All are judged on the same held-out
    samples. Time: that of as many trainings.
    """
    kind = find_architecture(architecture)
    if not len(values) or len(set(values)) < len(values):
        raise ParameterError(f"{kind.sparsity} = {list(values)}", "values that differ, at least one")
    given = [{**(params or {}), kind.sparsity: value} for value in values]
    for one in given:  # a value out of range is refused before an hour of training
        make_params(kind.params, one)
    made = []
    for i, (value, one) in enumerate(zip(values, given, strict=True)):
        label = f"{kind.sparsity}={value:g}"

        def part(share: float, doing: str = "", i: int = i, label: str = label) -> None:
            progress((i + share) / len(values), f"{label}: {doing}")

        made.append(
            train(
                store, tap, architecture, one, training, name=f"{name or f'{kind.name} {tap}'} {label}", seed=seed,
                directory=None if directory is None else Path(directory) / label, resume=resume, progress=part,
            )
        )  # fmt: skip
    found = [(f.about["held_out"]["l0"], f.about["held_out"]["explained_variance"]) for f in made]
    points = (
        SweepPoint(float(value), *at, f.about["dead"]["share"], on, f)
        for value, at, on, f in zip(values, found, pareto(found), made, strict=True)
    )
    return tuple(sorted(points, key=lambda point: point.l0))


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (L0, explained variance) no other one beats."""
    return [
        not any((b[0] <= a[0] and b[1] >= a[1]) and (b[0] < a[0] or b[1] > a[1]) for b in points)
        for a in points
    ]
