"""Samples whose maps are on trial, and the maps of all ways."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations
from analysis.attribution.backgrounds import Background
from analysis.attribution.explained_samples import NetworkSamples, ProbeSamples
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way, checked_map
from analysis.attribution.saliency_court.kept_maps import BLOCK, Made, block_of_maps, own_rng
from analysis.attribution.saliency_court.site_views import grid_within
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import LogitTarget
from analysis.errors import InputError
from analysis.spec import Progress


@dataclass(frozen=True)
class Case:
    """Sample `number` of the store in its network, what is explained, and what stands where something is taken away."""

    number: int
    run: SampleRun
    target: LogitTarget
    background: Background


@dataclass
class Trial:
    """`cases` (n,), `ways` in the order of the registry, controls last; `what` is explained; `notes` for caveats.
    `made_of`: what their maps are made of, None where they are not to be kept; `passes` through the network that all of
    it takes; `lost` by way: for how many maps it gave nothing, and why."""

    cases: list[Case]
    ways: tuple[Way, ...]
    what: str
    is_network: bool
    settings: Settings
    rng: np.random.Generator
    notes: list[str]
    samples: NetworkSamples | ProbeSamples
    tap: Activations
    probe_seed: int
    made_of: dict | None = None
    passes: int = 0
    lost: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(way.name for way in self.ways)

    @property
    def explaining(self) -> np.ndarray:
        """(ways,) bool: those that are no controls."""
        return np.array([not way.control for way in self.ways])

    @property
    def tokens(self) -> np.ndarray:
        """(n,) of each sample."""
        return np.array([case.run.shape[0] for case in self.cases])

    def grid_of(self, case: Case) -> tuple[tuple[int, int] | None, int]:
        """(height, width) of the places of a map and how many tokens come before them; (None, 0) of a line."""
        return grid_within(case.run, self.tap.layout)

    def _made(self, way: Way, case: Case, rng: np.random.Generator) -> Made:
        tokens = case.run.shape[0]
        try:
            found = checked_map(way, Question(case.run, case.target, case.background, rng, self.settings))
            return Made(_good(found, tokens, way.name), found.passes)
        except InputError as why:
            return Made(np.zeros(tokens), 0, why.found)

    def _counted(self, way: Way, made: Made) -> np.ndarray:
        """Passes are those that the map takes, whenever it was made."""
        self.passes += made.passes
        if made.why:
            self.lost[way.name] = (self.lost.get(way.name, (0, ""))[0] + 1, made.why)
        return made.values

    def maps(self, progress: Progress, span) -> list[list[np.ndarray]]:
        """Of each case the map (tokens,) of every way, the same everywhere where it gives none; from the shelf where
        they are there."""
        n, found, done = len(self.cases), [], 0
        for first in range(0, n, BLOCK):
            some, columns = self.cases[first : first + BLOCK], []
            for way in self.ways:
                progress(span[0] + (span[1] - span[0]) * done / (n * len(self.ways)), "explaining samples")
                columns.append(self._block([(way, case) for case in some], way.name, some))
                done += len(some)
            found += [list(maps) for maps in zip(*columns, strict=True)]
        return found

    def changed_maps(
        self, cases: list[Case], changed: dict, progress: Progress, span, doing: str
    ) -> list[list[np.ndarray]]:
        """The same of cases, of the same places in `cases`, that are `changed` in these words."""
        ways, tasks = len(self.ways), [(way, case) for case in cases for way in self.ways]

        def told(k: int) -> None:
            progress(span[0] + (span[1] - span[0]) * k / len(tasks), doing)

        told(0)
        every = self._block(tasks, list(self.names), cases, changed, told)
        return [every[k : k + ways] for k in range(0, len(every), ways)]

    def _block(self, tasks, way, cases: list[Case], changed: dict | None = None, told=lambda k: None):
        key = None if self.made_of is None else {**self.made_of, "way": way, "changed": changed}
        ids = [int(self.samples.samples[case.number]) for case in cases]

        def make(k: int) -> Made:
            told(k)
            one, case = tasks[k]
            sample = int(self.samples.samples[case.number])
            return self._made(one, case, own_rng(self.probe_seed, sample, one.name, changed))

        made = block_of_maps(key, ids, len(tasks), make)
        return [self._counted(one, found) for (one, _), found in zip(tasks, made, strict=True)]

    def without_silent(self, maps: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        """The maps of the ways that gave one for some sample; the others leave the trial.

        Raises InputError where no way that looks at the network is left."""
        silent = {
            w.name
            for w in self.ways
            if self.lost.get(w.name, (0, ""))[0] >= len(self.cases) and not w.control
        }
        keep = [k for k, way in enumerate(self.ways) if way.name not in silent]
        if all(self.ways[k].control for k in keep):
            name = min(silent, default="")
            why = self.lost[name][1] if name else "every way asked for is a control"
            raise InputError(
                f"no map of {self.what}: {why}", "a way that gives one", "Choose other ways or another tap"
            )
        self.notes += [
            f"{name} gave no map and is left out: {self.lost.pop(name)[1]}." for name in sorted(silent)
        ]
        self.ways = tuple(self.ways[k] for k in keep)
        for k, way in zip(keep, self.ways, strict=True):
            flat = sum(bool(np.ptp(one[k]) == 0) for one in maps) - self.lost.get(way.name, (0, ""))[0]
            if flat > 0:
                self.notes.append(
                    f"{way.name} has the same value everywhere for {flat:,} of {len(maps):,} samples."
                )
        return [[one[k] for k in keep] for one in maps]

    def caveats(self) -> tuple[str, ...]:
        """What was run, what was left out, what it took."""
        lost = [
            f"{name} gave nothing for {many:,} map{'s' * (many > 1)}, counted as the same everywhere: {why}."
            for name, (many, why) in self.lost.items()
        ]
        return (*self.notes, *lost, f"{self.passes:,} passes through {self.what}.")


def _good(found: SaliencyMap, tokens: int, name: str) -> np.ndarray:
    values = np.asarray(found.values, np.float64)
    if values.shape != (tokens,):
        raise InputError(f"a map of shape {values.shape} by {name} for {tokens} tokens", "one number a token")
    if not np.isfinite(values).all():
        raise InputError(f"a map of {name} with NaN or infinity", "finite numbers")
    return values
