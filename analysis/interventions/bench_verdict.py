"""The verdict that each causal method carries for what it names: numbers, a sentence, caveats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.bench import Bench
from analysis.interventions.components import NetworkParts, Site
from analysis.interventions.interventions import Cell
from analysis.interventions.many_targets import ManyTargets
from analysis.interventions.move_trial import MOST, judge_moves
from analysis.interventions.move_verdict import Claim, MoveVerdict
from analysis.interventions.pairs import Pairs
from analysis.interventions.verdict_words import verdict_caveats, verdict_numbers, verdict_sentence
from analysis.results import Estimate
from analysis.spec import Progress

ROWS = 10  # rows of a sample through the network, for one claim


def verdict_bytes(samples: int, units: int) -> float:
    """What a verdict holds, of samples of one token."""
    return 100.0 * min(samples, MOST) * units


@dataclass(frozen=True)
class Verdict:
    """`found` by claim; empty where the network has no slopes, which `sentence` says. `sentence` is of the first claim,
    those of the others begin the `caveats`."""

    estimates: tuple[Estimate, ...]
    sentence: str
    caveats: tuple[str, ...]
    found: tuple[MoveVerdict, ...] = ()


def verdict_on(
    bench: Bench, claims: Sequence[tuple[str, Sequence[Cell]]], rng: np.random.Generator, progress: Progress,
    span: tuple[float, float], *, sized: bool = False,
) -> Verdict:  # fmt: skip
    """On what cells (name, one for each run of the bench) do; `sized` as in `Claim`."""
    return verdict_on_runs(bench.runs, bench.targets, bench.parts, claims, rng, progress, span, sized=sized)


def verdict_on_runs(
    runs: Sequence[BatchRun], targets: Sequence[ManyTargets], parts: NetworkParts | None,
    claims: Sequence[tuple[str, Sequence[Cell]]], rng: np.random.Generator, progress: Progress,
    span: tuple[float, float], *, first: Sequence[Cell] | None = None, sized: bool = False,
) -> Verdict:  # fmt: skip
    """The same of runs without a bench, in which `first` was done before."""
    if not claims:
        return Verdict((), "", ())
    return _told(rng, lambda: judge_moves(
        runs, targets, [Claim(name, tuple(cells), sized=sized) for name, cells in claims], rng, progress, span,
        first=first, behind=behind(parts)))  # fmt: skip


def verdict_on_pairs(
    bench: Bench, pairs: Sequence[Pairs], restore: bool, name: str, cells: Sequence[Cell], whole: bool,
    rng: np.random.Generator, progress: Progress, span: tuple[float, float],
) -> Verdict:  # fmt: skip
    """On a cell that is patched between the two runs of each pair, `whole` as in `Claim`."""
    return _told(rng, lambda: judge_moves(
        [p.corrupted if restore else p.clean for p in pairs], [p.target for p in pairs],
        [Claim(name, tuple(cells), whole)], rng, progress, span, natural=[p.clean for p in pairs],
        first=[p.cell if restore else () for p in pairs], behind=behind(bench.parts)))  # fmt: skip


def _told(rng: np.random.Generator, judge) -> Verdict:
    try:
        found = judge()
    except InputError as why:
        return Verdict((), f"No verdict: {why.found}.", ())
    own, *others = map(verdict_sentence, found)
    return Verdict(verdict_numbers(found, rng), own, (*others, *verdict_caveats(found)), tuple(found))


def behind(parts: NetworkParts | None) -> Site | None:
    """Where all that goes on to the answer passes: after the last block or layer."""
    last = () if parts is None else parts.blocks or parts.layers
    return Site(last[-1]) if last else None
