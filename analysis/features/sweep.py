"""A sweep over sparsity: the same dictionary at several sparsities, and which of them no other one beats.

A dictionary is on the Pareto front where none of the others is at least as sparse (L0) and explains at least as much of
the held-out variance, one of the two truly better. The front says what sparsity costs; it does not say which
dictionary has the better features.

    <directory>/<label>/*        checkpoint and curve of each training, then `set/`, the finished set
    <directory>/points.json      what the finished ones do, so that a page can show them while others are trained
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.errors import ParameterError
from analysis.features.asking import asked
from analysis.features.checkpoints import drop_checkpoint
from analysis.features.feature_set import FeatureSet
from analysis.features.feature_set_files import ABOUT
from analysis.features.training import train
from analysis.features.training_settings import Training
from analysis.features.unfinished import POINTS
from analysis.spec import Progress, no_progress
from analysis.store.durable import made_directory, write_file
from analysis.store.reader import Store

SET = "set"
# of a set that need not be made again
SAME = ("tap", "store_digest", "architecture", "parameters", "training", "seed")


@dataclass(frozen=True)
class PointFacts:
    """One dictionary of a sweep without its weights: `value` of the parameter that says how sparse, and what the set
    does on the held-out samples by its own rule. `label` is its folder, `name` what it is called on the shelf."""

    value: float
    l0: float
    explained_variance: float
    dead: float
    on_front: bool
    label: str
    name: str


@dataclass(frozen=True)
class SweepPoint(PointFacts):
    """One dictionary of a sweep, with its weights."""

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

    Arguments and errors as of `train`; with `directory` each has a folder there, in which it stays when finished, and
    `resume` trains only those that are not. All are judged on the same held-out samples. Time: that of as many
    trainings.
    """
    given = asked_values(architecture, values, params, training)
    called = name or f"{architecture} {tap}"
    made: dict[str, FeatureSet] = {}
    for i, (label, one) in enumerate(given.items()):

        def part(share: float, doing: str = "", i: int = i, label: str = label) -> None:
            progress((i + share) / len(given), f"{label}: {doing}")

        folder = None if directory is None else Path(directory) / label
        made[label] = _one(
            store, tap, architecture, one, training, f"{called} {label}", seed, folder, resume, part
        )
        if directory is not None:
            _write_points(Path(directory), _points(made, given, architecture))
    points = _points(made, given, architecture)
    return tuple(SweepPoint(**asdict(p), features=made[p.label]) for p in points)


def asked_values(
    architecture: str, values: Sequence[float], params: dict | None, training: dict | Training | None
) -> dict[str, dict]:
    """The parameters of each training by its label ("k=8"): a value out of range is refused before an hour of training.

    Raises ParameterError, NotFound.
    """
    kind, _, _ = asked(architecture, None, training)
    if not kind.sparsity:
        raise ParameterError(
            f"a sweep over the sparsity of {kind.title}",
            "an architecture that is sparse",
            "Train single ones",
        )
    if not len(values) or len(set(values)) < len(values):
        raise ParameterError(f"{kind.sparsity} = {list(values)}", "values that differ, at least one")
    given = {f"{kind.sparsity}={value:g}": {**(params or {}), kind.sparsity: value} for value in values}
    if len(given) < len(values):
        raise ParameterError(
            f"{kind.sparsity} = {list(values)}", "values that differ in their first six digits"
        )
    for one in given.values():
        asked(architecture, one, training)
    return given


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (L0, explained variance) no other one beats."""
    return [
        not any((b[0] <= a[0] and b[1] >= a[1]) and (b[0] < a[0] or b[1] > a[1]) for b in points)
        for a in points
    ]


def read_points(directory: Path) -> list[PointFacts]:
    """The finished sets of the sweep there, by rising L0; empty where there are none."""
    try:
        return [PointFacts(**one) for one in json.loads((Path(directory) / POINTS).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def set_folder(directory: Path, label: str) -> Path:
    """Where a sweep keeps a finished set."""
    return Path(directory) / label / SET


def _one(store, tap, architecture, params, training, name, seed, folder, resume, progress) -> FeatureSet:
    """One training; the set that it made already, where a sweep goes on."""
    if folder is not None and resume and (folder / SET / ABOUT).exists():
        kind, made, settings = asked(architecture, params, training)
        wanted = {
            "tap": tap, "store_digest": store.activations(tap).digest, "architecture": kind.name,
            "parameters": asdict(made), "training": asdict(settings), "seed": seed,
        }  # fmt: skip
        there = FeatureSet.open(folder / SET)
        if all(there.about.get(key) == wanted[key] for key in SAME):
            return there
    found = train(
        store, tap, architecture, params, training, name=name, seed=seed, directory=folder, resume=resume,
        progress=progress,
    )  # fmt: skip
    if folder is not None:
        found.save(folder / SET)
        drop_checkpoint(folder)
    return found


def _points(made: dict[str, FeatureSet], given: dict[str, dict], architecture: str) -> list[PointFacts]:
    kind, _, _ = asked(architecture, None, None)
    held = {label: f.about["held_out"] for label, f in made.items()}
    places = [(h["l0"], h["explained_variance"] or 0.0) for h in held.values()]
    points = [
        PointFacts(float(given[label][kind.sparsity]), *at, f.about["dead"]["share"], on, label, f.name)
        for (label, f), at, on in zip(made.items(), places, pareto(places), strict=True)
    ]
    return sorted(points, key=lambda point: point.l0)


def _write_points(directory: Path, points: list[PointFacts]) -> None:
    write_file(made_directory(directory) / POINTS, json.dumps([asdict(p) for p in points]).encode())
