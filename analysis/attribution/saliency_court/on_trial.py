"""Samples whose maps are on trial, their targets and backgrounds, and the ways that a budget of passes lets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.explained_samples import NetworkSamples, ProbeSamples, refuse_few_samples
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way, checked_map
from analysis.attribution.saliency.ways import OF_PLACES, WAYS
from analysis.attribution.saliency_court.asking import FEWEST, THE_INPUT, CourtParams
from analysis.attribution.saliency_court.site_views import grid_within, place_run
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import LogitTarget
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.readers import network_or_probe
from analysis.features.tap_dictionary import recorded_tap
from analysis.spec import Progress

WINDOWS = 8  # to a side
FITTED = 2000  # most samples that a probe is fitted to
EDGES, RANDOM = "edges", "random"


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
    `passes` through the network so far; `lost` by way: for how many maps it gave nothing, and why."""

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

    def map_of(self, way: Way, case: Case) -> np.ndarray:
        """(tokens,) float64: the map; the same everywhere where the way gives none, which `lost` remembers."""
        own = np.random.default_rng(self.rng.integers(2**63))
        asked = Question(case.run, case.target, case.background, own, self.settings)
        try:
            found = checked_map(way, asked)
            self.passes += found.passes
            return _good(found, case.run.shape[0], way.name)
        except InputError as why:
            self.lost[way.name] = (self.lost.get(way.name, (0, ""))[0] + 1, why.found)
            return np.zeros(case.run.shape[0])

    def maps(
        self, progress: Progress, span, cases: list[Case] | None = None, doing="explaining samples"
    ) -> list[list[np.ndarray]]:
        """Of each case the map (tokens,) of every way."""
        cases, found = self.cases if cases is None else cases, []
        for i, case in enumerate(cases):
            progress(span[0] + (span[1] - span[0]) * i / len(cases), doing)
            found.append([self.map_of(way, case) for way in self.ways])
        return found

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


def opened_trial(
    activations, params: CourtParams, rng: np.random.Generator, progress: Progress, span=(0.0, 0.1), *,
    number: str | None = None, planted: Callable[[Activations], Activations] | None = None,
) -> Trial:  # fmt: skip
    """The samples of a tap on trial.

    `number`: explained in the place of params.number. `planted` changes what a probe is fitted to and read from; of a
    network it changes nothing.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; no such output.
    """
    tap, seen = recorded_tap(as_activations(activations)), Pass()
    asked_ways(params.ways)  # its refusal before any work
    half = (span[0] + span[1]) / 2
    for _ in finite_blocks(tap, seen, progress, "reading", (span[0], half), as_stored=True):
        pass
    probe_seed = int(rng.integers(2**63))
    samples, notes = _samples(tap, params, rng, progress, (half, span[1]), planted, probe_seed)
    refuse_few_samples(tap, samples, FEWEST)
    own = np.random.default_rng(rng.integers(2**63))
    n = len(samples.samples)
    chosen = np.sort(own.choice(n, size=min(params.samples, n), replace=False))
    cases = cases_of(samples, chosen, params, number, own, tap.layout)
    rows = cases[0].background.size
    longest = max(cases, key=lambda case: case.run.shape[0]).run
    settings = settings_of(params, _side(longest))
    ways, said = ways_within(params, longest, rows, settings)
    opened = len(cases) + (0 if params.background == backgrounds.ZERO else min(params.background_samples, n))
    trial = Trial(
        cases, ways, samples.what, samples.is_network, settings, own, [], samples, tap, probe_seed, opened
    )  # fmt: skip
    trial.notes += [*seen.notes, *notes, *said, *_about(cases, params, n, samples)]
    return trial


def _samples(tap, params, rng, progress, span, planted, probe_seed: int):
    """Of a network as many as are asked for; a probe is fitted to more."""
    return network_or_probe(
        tap, params.reader, params.column, progress, span,
        network=lambda: NetworkSamples(tap, max(params.samples, params.background_samples), rng, live=True),
        probe=lambda labels: ProbeSamples(
            planted(tap) if planted else tap, labels, FITTED, np.random.default_rng(probe_seed), progress, span
        ),
    )  # fmt: skip


def sample_run(samples, i: int, params: CourtParams) -> SampleRun:
    """The i-th sample where its maps are asked for."""
    at_input = params.site == THE_INPUT and samples.is_network
    return samples.run(int(i), INPUT) if at_input else samples.run(int(i))


def cases_of(samples, chosen: np.ndarray, params: CourtParams, number: str | None, rng, layout) -> list[Case]:
    """Targets of the samples as they are; the background is made of other samples drawn at random."""
    n, others = len(samples.samples), []
    if params.background != backgrounds.ZERO:
        some = np.sort(rng.choice(n, size=min(params.background_samples, n), replace=False))
        others = [place_run(sample_run(samples, i, params)).clean for i in some]
    cases = []
    for i in chosen:
        run = sample_run(samples, i, params)
        target = targets.logit_target(run.logits, number or params.number, params.answer)
        run = place_run(run, layout)
        behind = backgrounds.background(params.background, run.clean, others)
        cases.append(Case(int(i), run, target, behind))
    return cases


def _side(run) -> int:
    """Of a map; 1 of units, which have no neighbours."""
    if isinstance(run, ByUnit):
        return 1
    return max(run.grid) if run.grid else run.shape[0]


def settings_of(params: CourtParams, side: int) -> Settings:
    """Windows of an eighth of the side, half overlapping."""
    window = max(1, -(-side // WINDOWS))
    return Settings(steps=params.steps, window=window, stride=max(1, window // 2))


def asked_ways(names: str | None) -> tuple[Way, ...] | None:
    """Raises NotFound."""
    if names is None or not names.strip():
        return None
    asked, parts = [], [part.strip() for part in names.split(",")]
    while parts:  # a name may have a comma of its own: the longest one that is known
        size = next((k for k in range(len(parts), 0, -1) if ", ".join(parts[:k]) in WAYS), 1)
        name, parts = ", ".join(parts[:size]), parts[size:]
        if name and name not in WAYS:
            raise NotFound(f"a way '{name}'", "one of " + "; ".join(WAYS))
        asked.append(name)
    return tuple(way for way in WAYS.values() if way.name in asked or way.control)


def ways_within(
    params: CourtParams, run: SampleRun, rows: int, settings: Settings
) -> tuple[tuple[Way, ...], list[str]]:
    """Those asked for, or all that keep within the budget of passes; the controls last; and what was left out."""
    asked, said = asked_ways(params.ways), []
    ways, tokens = asked or tuple(WAYS.values()), run.shape[0]
    if asked is None and isinstance(run, ByUnit):
        ways = tuple(w for w in ways if w.name not in OF_PLACES)
        said.append(
            f"Units are no places, and left out: {', '.join(OF_PLACES)}; edges of units mean nothing."
        )
    inside = [w for w in ways if not (w.input_only and run.site != INPUT)]
    if len(inside) < len(ways):
        names = ", ".join(w.name for w in ways if w not in inside)
        said.append(f"Only of the input of the network, and left out: {names}.")
    if asked is None:
        cost = {w.name: w.passes(tokens, rows, settings) for w in inside}
        dear = [f"{name} ({many:,})" for name, many in cost.items() if many > params.budget]
        if dear:
            said.append(f"More than {params.budget:,} passes for a map, and left out: {', '.join(dear)}.")
        inside = [w for w in inside if cost[w.name] <= params.budget]
    return tuple(sorted(inside, key=lambda w: w.control)), said


def _good(found: SaliencyMap, tokens: int, name: str) -> np.ndarray:
    values = np.asarray(found.values, np.float64)
    if values.shape != (tokens,):
        raise InputError(f"a map of shape {values.shape} by {name} for {tokens} tokens", "one number a token")
    if not np.isfinite(values).all():
        raise InputError(f"a map of {name} with NaN or infinity", "finite numbers")
    return values


def _about(cases, params, n: int, samples) -> list[str]:
    said = [f"Where something is taken away stands {cases[0].background.words}."]
    if params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if len(cases) < n:
        said.append(f"{len(cases):,} of {n:,} samples of {samples.what} were drawn at random.")
    if isinstance(cases[0].run, ByUnit):
        said.append("A sample has one token here: its units are the places of a map.")
    return said
