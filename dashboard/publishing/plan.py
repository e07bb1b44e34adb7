"""A plan of a bundle: what of a workspace goes, what stays out, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis import results
from analysis.errors import NotFound
from analysis.results import Result
from analysis.workspace import Workspace
from dashboard.figures.text import listed

SHORT = 5  # things that are named one by one, of those that stay out for one reason


@dataclass(frozen=True)
class TapPlan:
    """The features of a tap that go: `units` rising, `said` which they are; `slug` names its files."""

    reference: str
    slug: str
    units: np.ndarray
    said: str
    n_units: int


@dataclass(frozen=True)
class KeptPlan:
    """A kept result that goes: read again when its turn comes. `key` : of the cache, or of its numbers where it lies in
    the `file` of a basket. `figure` : how it is drawn."""

    key: str
    slug: str
    reference: str
    method: str
    title: str
    figure: dict = field(default_factory=dict)
    file: Path | None = None

    def result(self, workspace: Workspace) -> Result:
        """Read it. Raises NotFound, StoreDamaged."""
        found = workspace.cache.get(self.key) if self.file is None else results.load(self.file)
        if found is None:
            raise NotFound("it is no longer kept", "a kept result")
        return found


@dataclass
class Plan:
    """Everything that goes, in the order in which it is shown."""

    taps: list[TapPlan] = field(default_factory=list)
    maps: list[KeptPlan] = field(default_factory=list)
    heatmaps: list[KeptPlan] = field(default_factory=list)
    figures: list[KeptPlan] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    other_taps: list[str] = field(default_factory=list)

    @property
    def stores(self) -> list[str]:
        """Names of the stores that anything is shown of."""
        shown = [one.reference for one in (*self.taps, *self.maps, *self.heatmaps)]
        return sorted({reference.partition(":")[0] for reference in shown})

    @property
    def left_out_shortly(self) -> list[tuple[str, str]]:
        """`left_out` with one line for many things that stay for one reason."""
        reasons: dict[str, list[str]] = {}
        for what, why in self.left_out:
            reasons.setdefault(why, []).append(what)
        lines = []
        for why, whats in reasons.items():
            many = len(whats) > SHORT
            lines += [(listed(whats, SHORT), why)] if many else [(what, why) for what in whats]
        return lines

    @property
    def n_cards(self) -> int:
        return sum(len(tap.units) for tap in self.taps)


def slug_of(k: int, text: str) -> str:
    """A plain name of a file: its number, which makes it unique, and what can be read of `text`."""
    return f"{k:03d}-" + (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60] or "x")
