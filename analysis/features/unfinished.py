"""Trainings and sweeps under way, stopped, or waiting for a person: one folder each.

    training/<name>/asked.json       what was asked: kind of work and its arguments, how it ended where it diverged
    training/<name>/checkpoint.json  where a training can go on (`analysis.features.checkpoints`)
    training/<name>/points.json      the sets of a sweep that are finished (`analysis.features.sweep`)

A finished training leaves no folder; that of a sweep stays until it is dropped, with the sets that nobody has kept yet.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from analysis import access
from analysis.errors import Busy, InputError, LoupeError
from analysis.features.checkpoints import ABOUT, read_curve
from analysis.store.durable import WriterLock, made_directory, write_file

PLACE, ASKED, POINTS = "training", "asked.json", "points.json"
TRAIN, SWEEP = "train", "sweep"


@dataclass(frozen=True)
class Unfinished:
    """`kind`: "train" or "sweep"; `arguments` as that job takes them; `step` of `steps`, the last checkpoint (0 where
    there is none); `curve` as far as it was written; `ended`: why it diverged, "" where it did not; `busy`: some
    process works on it now."""

    name: str
    path: Path
    kind: str
    arguments: dict
    step: int = 0
    steps: int = 0
    curve: list = field(default_factory=list)
    ended: str = ""
    busy: bool = False


@contextlib.contextmanager
def at_work(path: Path, kind: str, arguments: dict) -> Iterator[None]:
    """The folder of a training is ours, and says what was asked. What was refused before anything was learned leaves no
    folder. Raises Busy where another process trains there."""
    lock = WriterLock(made_directory(Path(path)))
    try:
        _write(path, kind, arguments)
        yield
    except LoupeError:
        if not _left_something(path):
            shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        lock.close()


def refuse_to_lose(path: Path) -> None:
    """Raises InputError where a new training would write over what an earlier one left."""
    if _left_something(path):
        raise InputError(
            f"there is a training or sweep called {path.name!r} that can go on or has sets to choose from",
            "another name", "Resume or close it, or type another name",
        )  # fmt: skip


def note_end(path: Path, kind: str, arguments: dict, why: str) -> None:
    """Write down that it diverged, so that going on is offered with a lower learning rate."""
    _write(path, kind, arguments, why)


def unfinished(place: Path) -> list[Unfinished]:
    """All under `place`, by name; a folder that says nothing is left out."""
    found = (_read(path.parent) for path in sorted(Path(place).glob(f"*/{ASKED}")))
    return [one for one in found if one is not None]


def drop(path: Path) -> None:
    """Delete what a stopped training or a sweep left; nothing where it is gone already. Raises Busy while a process
    works on it, Forbidden."""
    access.require("editor", f"drop what the training {Path(path).name} left")
    try:
        lock = WriterLock(Path(path))
    except FileNotFoundError:
        return
    try:
        shutil.rmtree(path)
    finally:
        lock.close()


def _left_something(path: Path) -> bool:
    said = _read(path)
    return any(path.glob(f"**/{ABOUT}")) or (path / POINTS).exists() or bool(said and said.ended)


def _write(path: Path, kind: str, arguments: dict, ended: str = "") -> None:
    plain = {name: value for name, value in arguments.items() if name != "resume"}
    write_file(path / ASKED, json.dumps({"kind": kind, "arguments": plain, "ended": ended}).encode())


def _read(path: Path) -> Unfinished | None:
    try:
        said = json.loads((path / ASKED).read_text())
        kind, arguments, ended = str(said["kind"]), dict(said["arguments"]), str(said["ended"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        step = int(json.loads((path / ABOUT).read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError):
        step = 0
    return Unfinished(
        path.name, path, kind, arguments, step, _steps(arguments), read_curve(path), ended, _busy(path)
    )


def _steps(arguments: dict) -> int:
    from analysis.features.asking import as_params
    from analysis.features.training_settings import Training

    try:
        return as_params(Training, arguments.get("training")).steps
    except LoupeError:
        return 0


def _busy(path: Path) -> bool:
    try:
        WriterLock(path).close()
    except Busy:
        return True
    except OSError:  # gone, or not ours
        return False
    return False
