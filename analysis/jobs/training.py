"""Jobs that learn dictionaries: a training, a sweep over sparsity, and what a training will take."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from analysis.errors import ParameterError
from analysis.features.feature_set import FeatureSet
from analysis.spec import Progress
from analysis.workspace import Workspace

KEEPS = ("all", "front", "none")  # which sets of a sweep go to the shelf by themselves


def train(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "architecture", "name", "params"?, "training"?, "seed"?, "resume"?} → {"features"}; the
    finished set is kept in the workspace. While it runs, `training/NAME` holds the curve and the last checkpoint; they
    stay where it is cancelled or diverges."""
    from analysis.features.training import train as run
    from analysis.features.training_run import Diverged
    from analysis.features.unfinished import PLACE, TRAIN, at_work, note_end, refuse_to_lose

    opened, name = Workspace.open(workspace), arguments["name"]
    opened.features.refuse_taken(name)
    store, tap = _tap(opened, arguments["input"])
    folder = opened.path / PLACE / name
    if not arguments.get("resume"):
        refuse_to_lose(folder)
    with at_work(folder, TRAIN, arguments):
        try:
            made = run(
                store, tap, arguments["architecture"], arguments.get("params"), arguments.get("training"),
                name=name, seed=int(arguments.get("seed", 0)), directory=folder,
                resume=bool(arguments.get("resume")), progress=progress,
            )  # fmt: skip
        except Diverged as refusal:
            note_end(folder, TRAIN, arguments, refusal.found)
            raise
        opened.features.add(made)
        shutil.rmtree(folder, ignore_errors=True)
    return {"features": name}


def sweep(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """As for `train`, with {"values", "keep"?: "all", "front" or "none"} → {"sweep": name, "points", "kept"}. What is
    not kept stays in `training/NAME` with the points, until that is deleted."""
    from analysis.features.sweep import asked_values, set_folder
    from analysis.features.sweep import sweep as run
    from analysis.features.training_run import Diverged
    from analysis.features.unfinished import PLACE, SWEEP, at_work, note_end, refuse_to_lose

    opened, name, keep = Workspace.open(workspace), arguments["name"], arguments.get("keep") or "none"
    if keep not in KEEPS:
        raise ParameterError(f"keep = {keep!r}", "one of " + ", ".join(KEEPS))
    opened.features.refuse_taken(name)
    store, tap = _tap(opened, arguments["input"])
    asked = (
        arguments["architecture"],
        arguments["values"],
        arguments.get("params"),
        arguments.get("training"),
    )
    folder, resume = opened.path / PLACE / name, bool(arguments.get("resume"))
    labels = asked_values(*asked)
    if not resume:
        refuse_to_lose(folder)
        for label in labels:
            opened.features.refuse_taken(f"{name} {label}")
    with at_work(folder, SWEEP, arguments):
        try:
            points = run(
                store, tap, *asked, name=name, seed=int(arguments.get("seed", 0)), directory=folder, resume=resume,
                progress=progress,
            )  # fmt: skip
        except Diverged as refusal:
            note_end(folder, SWEEP, arguments, refusal.found)
            raise
        wanted = [p for p in points if keep == "all" or (keep == "front" and p.on_front)]
        for point in wanted:
            keep_point(opened, point.features)
            shutil.rmtree(set_folder(folder, point.label), ignore_errors=True)
    facts = [{k: v for k, v in vars(p).items() if k != "features"} for p in points]
    return {"sweep": name, "points": facts, "kept": [p.name for p in wanted]}


def keep_point(opened: Workspace, features: FeatureSet) -> None:
    """On the shelf, unless it is there already (a sweep that goes on)."""
    if features.name not in opened.features.names():
        opened.features.add(features)


def training_cost(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """As for `train` → {"steps", "seconds", "bytes"}, tried for a few seconds."""
    from analysis.features.training_cost import training_cost as run

    opened = Workspace.open(workspace)
    store, tap = _tap(opened, arguments["input"])
    found = run(
        store, tap, arguments["architecture"], arguments.get("params"), arguments.get("training"),
        seed=int(arguments.get("seed", 0)), progress=progress,
    )  # fmt: skip
    return dataclasses.asdict(found)


def _tap(opened: Workspace, reference: str):
    """The store and the tap's name. Raises what refuses a tap before a row is read."""
    from analysis.features.asking import refuse_tap

    opened.activations(reference)  # refuses what is no STORE:TAP
    store, _, tap = reference.partition(":")
    refuse_tap(opened.store(store), tap)
    return opened.store(store), tap
