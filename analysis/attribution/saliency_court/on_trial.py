"""Samples whose maps are on trial, their targets and backgrounds, and the ways that a budget of passes lets through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.activations import Activations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.explained_samples import NetworkSamples, ProbeSamples, refuse_few_samples
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.saliency.way import Settings, Way
from analysis.attribution.saliency.ways import OF_PLACES, WAYS
from analysis.attribution.saliency_court.asking import (
    A_HANDFUL,
    ALL,
    FEWEST,
    HANDFUL,
    THE_INPUT,
    CourtParams,
)
from analysis.attribution.saliency_court.kept_maps import made_of
from analysis.attribution.saliency_court.site_views import place_run
from analysis.attribution.saliency_court.trial import Case, Trial
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData, NotFinite, NotFound
from analysis.features.readers import network_or_probe
from analysis.features.tap_dictionary import recorded_tap
from analysis.spec import Progress

WINDOWS = 8  # to a side
FITTED = 2000  # most samples that a probe is fitted to
EDGES, RANDOM = "edges", "random"


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
    chosen = own.permutation(n)[
        : params.samples
    ]  # fewer are the first of more, so that trials share their maps
    cases = cases_of(samples, chosen, params, number, own, tap.layout)
    cases, unanswered = _answered(cases, len(chosen))
    rows = cases[0].background.size
    longest = max(cases, key=lambda case: case.run.shape[0]).run
    settings = settings_of(params, _side(longest))
    ways, said = ways_within(params, longest, rows, settings)
    opened = len(cases) + (0 if params.background == backgrounds.ZERO else min(params.background_samples, n))
    trial = Trial(
        cases, ways, samples.what, samples.is_network, settings, own, [], samples, tap, probe_seed,
        None if planted else made_of(tap, samples, params, number, settings, probe_seed), opened,
    )  # fmt: skip
    trial.notes += [*seen.notes, *notes, *said, *unanswered, *_about(cases, params, n, samples)]
    return trial


def _answered(cases: list[Case], asked: int) -> tuple[list[Case], list[str]]:
    """Those whose explained number is finite, and a note of the others of those `asked`. Raises NotEnoughData."""
    good = [c for c in cases if np.isfinite(float(c.target.of(c.run.logits, {}).double()[0]))]
    lost = asked - len(good)
    if lost and len(good) < FEWEST:
        raise NotEnoughData(
            f"{len(good)} of {asked} samples with a finite answer", f"at least {FEWEST}",
            "Look for NaN in the samples and in the weights",
        )  # fmt: skip
    return good, [
        f"{lost:,} samples have an answer that is NaN or infinite and are left out."
    ] if lost else []


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
    """Targets of the samples as they are, without those whose answer is not finite; the background is made of other
    samples drawn at random."""
    n, others = len(samples.samples), []
    if params.background != backgrounds.ZERO:
        some = np.sort(rng.choice(n, size=min(params.background_samples, n), replace=False))
        others = [place_run(sample_run(samples, i, params)).clean for i in some]
    cases = []
    for i in chosen:
        run = sample_run(samples, i, params)
        try:
            target = targets.logit_target(run.logits, number or params.number, params.answer)
        except NotFinite:
            continue
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
    """Those that are named, and the controls; None where none is, see `open_ways`. Raises NotFound."""
    if names is None or names.strip() in ("", ALL, A_HANDFUL):
        return None
    asked, parts = [], [part.strip() for part in names.split(",")]
    while parts:  # a name may have a comma of its own: the longest one that is known
        size = next((k for k in range(len(parts), 0, -1) if ", ".join(parts[:k]) in WAYS), 1)
        name, parts = ", ".join(parts[:size]), parts[size:]
        if name and name not in WAYS:
            raise NotFound(f"a way '{name}'", "one of " + "; ".join(WAYS))
        asked.append(name)
    return tuple(way for way in WAYS.values() if way.name in asked or way.control)


def open_ways(names: str | None) -> tuple[Way, ...]:
    """What is chosen from where no way is named: all, or one of each sort and the controls."""
    few = (names or "").strip() == A_HANDFUL
    return tuple(way for way in WAYS.values() if way.control or not few or way.name in HANDFUL)


def ways_within(
    params: CourtParams, run: SampleRun, rows: int, settings: Settings
) -> tuple[tuple[Way, ...], list[str]]:
    """Those asked for, or all that keep within the budget of passes; the controls last; and what was left out."""
    asked, said = asked_ways(params.ways), []
    ways, tokens = asked or open_ways(params.ways), run.shape[0]
    if asked is None and len(ways) < len(WAYS):
        many = sum(not way.control for way in WAYS.values())
        said.append(
            f"A handful of the {many} ways there are: '{ALL}', or names of others, in the settings for more."
        )
    if asked is None and isinstance(run, ByUnit):
        had, ways = [w.name for w in ways], tuple(w for w in ways if w.name not in OF_PLACES)
        said.append(
            f"Units are no places, and left out: {', '.join(n for n in OF_PLACES if n in had)}; edges of units mean "
            "nothing."
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


def _about(cases, params, n: int, samples) -> list[str]:
    said = [f"Where something is taken away stands {cases[0].background.words}."]
    if params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if len(cases) < n:
        said.append(f"{len(cases):,} of {n:,} samples of {samples.what} were drawn at random.")
    if isinstance(cases[0].run, ByUnit):
        said.append("A sample has one token here: its units are the places of a map.")
    return said
