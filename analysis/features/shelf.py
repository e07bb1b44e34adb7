"""The feature sets of a workspace: kept by name, listed, opened, deleted."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.features.feature_set import ABOUT, FeatureSet

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=+-]{0,99}")


@dataclass(frozen=True)
class ShelfEntry:
    """A feature set that opened, or the reason why it did not."""

    name: str
    features: FeatureSet | None = None
    problem: str = ""


class FeatureShelf:
    """Feature sets under the directory `path`, one folder each."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(p.parent.name for p in self.path.glob(f"*/{ABOUT}"))

    def entries(self) -> list[ShelfEntry]:
        """Every set by name; one that cannot be opened says why and hides no other."""
        found = []
        for name in self.names():
            try:
                found.append(ShelfEntry(name, self.open(name)))
            except LoupeError as refusal:
                found.append(ShelfEntry(name, problem=str(refusal)))
        return found

    def open(self, name: str) -> FeatureSet:
        """Raises NotFound listing what there is, StoreDamaged."""
        if name not in self.names():
            raise NotFound(f"no feature set {name!r}", "one of " + (", ".join(self.names()) or "none yet"))
        return FeatureSet.open(self.path / name)

    def checked(self, name: str) -> str:
        """A name that a new set may have. Raises ParameterError for one that cannot be, InputError when taken."""
        if not NAME.fullmatch(name) or ".." in name:
            raise ParameterError(
                f"{name!r} cannot name a feature set",
                "letters, digits, space and . _ = + - (at most 100, a letter or digit first)",
            )
        if name in self.names():
            raise InputError(f"there is already a feature set {name!r}", "a new name")
        return name

    def add(self, features: FeatureSet) -> FeatureSet:
        """Keep a set under its name. Raises ParameterError for a name that cannot be one, InputError when taken."""
        features.save(self.path / self.checked(features.name))
        return features

    def delete(self, name: str) -> None:
        """Taps that were encoded with it stay. Raises NotFound."""
        if name not in self.names():
            raise NotFound(f"no feature set {name!r}", "one of " + (", ".join(self.names()) or "none yet"))
        shutil.rmtree(self.path / name)
