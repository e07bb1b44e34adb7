"""The feature sets of a workspace: kept by name, listed, opened, deleted."""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from analysis import access
from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.features.feature_set import FeatureSet
from analysis.features.feature_set_files import ABOUT, WEIGHTS
from analysis.store.durable import made_directory, sync_directory

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=+-]{0,99}")


@dataclass(frozen=True)
class ShelfEntry:
    """A feature set that opened, or the reason why it did not."""

    name: str
    features: FeatureSet | None = None
    problem: str = ""


@dataclass(frozen=True)
class SetFacts:
    """A feature set without its weights, or the `problem` that it has. `n_bytes` on disk."""

    name: str
    rule: str = ""
    n_features: int = 0
    n_units: int = 0
    active: int | None = None
    scale: float = 1.0
    normalise: str = ""
    levels: tuple[int, ...] = ()
    digest: str = ""
    about: dict = field(default_factory=dict)
    n_bytes: int = 0
    problem: str = ""


class FeatureShelf:
    """Feature sets under the directory `path`, one folder each. A folder is made beside and renamed, so that of two
    processes that add a set of one name the second is refused, and is taken away whole."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """Sorted."""
        try:
            with os.scandir(self.path) as found:
                there = [one.name for one in found if os.path.exists(os.path.join(one.path, ABOUT))]
        except FileNotFoundError:
            return []
        return sorted(name for name in there if NAME.fullmatch(name))

    def entries(self) -> list[ShelfEntry]:
        """Every set by name; one that cannot be opened says why and hides no other."""
        found = []
        for name in self.names():
            try:
                found.append(ShelfEntry(name, self.open(name)))
            except LoupeError as refusal:
                found.append(ShelfEntry(name, problem=str(refusal)))
        return found

    def facts(self) -> list[SetFacts]:
        """Every set by name, from its description and the head of its weights; neither weights nor digest are read,
        so that a change inside the weights shows only when the set is opened."""
        found = []
        for name in self.names():
            try:
                found.append(_facts(self.path / name, name))
            except Exception as error:  # whatever a damaged description makes of it
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                found.append(SetFacts(name, problem=f"it cannot be read ({said}); import or train it again"))
        return found

    def open(self, name: str) -> FeatureSet:
        """Raises NotFound listing what there is, StoreDamaged."""
        if name not in self.names():
            raise NotFound(f"no feature set {name!r}", "one of " + (", ".join(self.names()) or "none yet"))
        return FeatureSet.open(self.path / name)

    def add(self, features: FeatureSet) -> FeatureSet:
        """Keep a set under its name. Raises ParameterError for a name that cannot be one, InputError when taken,
        Forbidden."""
        access.require("editor", f"keep the feature set {features.name}")
        self.refuse_taken(features.name)
        made, place = self._beside(features.name), self.path / features.name
        try:
            features.save(made)
            if place.is_dir() and not (place / ABOUT).exists():  # what a killed process left of one
                self._away(features.name)
            os.rename(made, place)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            self.refuse_taken(features.name)  # another process was faster
            raise
        sync_directory(self.path)
        return features

    def _beside(self, name: str) -> Path:
        """A folder that is no set, for one that comes or goes."""
        return made_directory(self.path) / f".{os.getpid()}-{secrets.token_hex(4)}.{name}"

    def _away(self, name: str) -> None:
        """Take a folder away whole: half of a set would be one that is damaged."""
        gone = self._beside(name)
        os.rename(self.path / name, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def refuse_taken(self, name: str) -> None:
        """Raises ParameterError for a name that cannot be one, InputError when a set has it."""
        if not NAME.fullmatch(name) or ".." in name:
            raise ParameterError(
                f"{name!r} cannot name a feature set",
                "letters, digits, space and . _ = + - (at most 100, a letter or digit first)",
            )
        if name in self.names():
            raise InputError(f"there is already a feature set {name!r}", "a new name")

    def delete(self, name: str) -> None:
        """Taps that were encoded with it stay. Raises NotFound, Forbidden."""
        access.require("owner", f"delete the feature set {name}")
        if name not in self.names():
            raise NotFound(f"no feature set {name!r}", "one of " + (", ".join(self.names()) or "none yet"))
        try:
            self._away(name)
        except FileNotFoundError:
            raise NotFound(f"the feature set {name!r} is gone already") from None


def _facts(folder: Path, name: str) -> SetFacts:
    """Read again when a file was written since."""
    try:
        stats = [os.stat(os.path.join(folder, file)) for file in (ABOUT, WEIGHTS)]
    except FileNotFoundError:
        raise NotFound(f"{WEIGHTS} is missing") from None
    written = [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]
    return _read_facts(folder, name, tuple(written))


@functools.lru_cache(maxsize=1024)
def _read_facts(folder: Path, name: str, written: tuple) -> SetFacts:
    from safetensors import safe_open

    about, weights = json.loads((folder / ABOUT).read_text()), folder / WEIGHTS
    with safe_open(weights, "numpy") as file:
        d, k = file.get_slice("encoder").get_shape()
        if "hidden" in file.keys():  # noqa: SIM118 - not a dict
            d = file.get_slice("hidden").get_shape()[0]
    return SetFacts(
        name, str(about["rule"]), int(k), int(d), about["active"], float(about["scale"]), str(about["normalise"]),
        tuple(about["levels"]), str(about["digest"]), dict(about["about"]), weights.stat().st_size,
    )  # fmt: skip
