"""Does the network make up for a part that is taken out? What the part writes straight to the answer, against what
taking it out really costs.

    direct_c = what c writes straight to the number, less what stands in its place writes   (norm scale held)
    total_c  = y(as it is) - y(with c taken out)
    gap_c    = direct_c - total_c

over samples. A gap above 0: later parts, or the scale of the norm, make up for some of the loss (self-repair). Below 0:
the part also works through later ones, so that its loss costs more than it writes. Of a linear probe the gap is 0.

Null: changes as large in random directions of the same place, with their own gap. Interval: Student's t over samples,
and a bootstrap of the share made up, told only where the direct effects can be told from 0.

Verdict: taking out the part of the largest gap is split into what is connected to the answer and what is not, and
checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: repair and ways through later parts are told together, as their sum; of the last layer's MLP the gap is
the norm's scale alone; a mean or another sample in the place of a part is not what training has seen, and the answer to
it need not be repair.

Cost: samples x (parts x (1 + draws) + 10) rows through the network, many in one forward pass.

References: T. McGrath et al. (2023), "The hydra effect: emergent self-repair in language model computations"; C.
Rushing & N. Nanda (2024), "Explorations of self-repair in language models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.interventions.ablation import WORDS, ablations, changes, random_twins
from analysis.interventions.bench import (
    FEWEST,
    OPENING,
    UNITS,
    Bench,
    BenchParams,
    open_bench,
    refuse_unmoved,
)
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.direct_paths import direct_parts, direct_paths
from analysis.interventions.interventions import ABLATIONS, MEAN, ZERO, Intervention
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PARTS = 24  # of a small network, for the estimate


@dataclass(frozen=True)
class SelfRepairParams(BenchParams):
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is looked at; a difference is to the second answer.",
        label="number looked at", choices=(targets.DIFFERENCE, targets.LOGIT),
    )  # fmt: skip
    way: str = param(MEAN, "What stands in the place of a part.", label="in its place", choices=ABLATIONS)
    draws: int = param(
        2, "Random changes of the same size for each part.", label="random changes", low=2, high=50
    )
    most: int = param(
        32, "Most units of a probe; those that vary most.", label="most units", low=1, high=4096
    )


def self_repair(
    activations, params: SelfRepairParams = SelfRepairParams(), rng=None, progress=no_progress
) -> Scatter:
    """Direct effect of each part against the effect of taking it out.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of a probe its units are the parts.

    Returns
    -------
    Scatter
        A point for each head and MLP. Estimates: the mean gap of the parts that support the answer, and the share of
        their direct effect that is made up, where that can be told.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such output; a network whose parts
        do not add up to its logits.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    parts = bench.components(UNITS, params.most) if bench.parts is None else direct_parts(bench.parts)
    progress(0.1, "taking parts out")
    cells = ablations(bench, parts, params.way, rng)
    total = -changes(bench, cells, progress, (0.1, 0.4))
    refuse_unmoved(total, bench)
    twins = random_twins(bench, cells, params.draws, rng)
    by_chance = -changes(bench, twins, progress, (0.4, 0.9))
    read = _read_by_probe if bench.parts is None else _written
    direct, direct_chance = read(bench, cells), read(bench, twins)
    shape = (len(parts), params.draws, bench.n)
    gap, chance = direct - total, (direct_chance - by_chance).reshape(shape)
    best = int(np.abs(gap.mean(axis=1)).argmax())
    claim = (f"taking out {parts[best].name}", [own[best] for own in cells])
    verdict = verdict_on(bench, [claim], rng, progress, (0.9, 1.0), sized=True)
    progress(1.0, "done")
    return _scatter(bench, params, parts, direct, total, gap, chance, verdict, rng)


def _written(bench: Bench, cells) -> np.ndarray:
    """(cells, n): what each takes from the number on the straight way."""
    found = []
    for run, target, own in zip(bench.runs, bench.targets, cells, strict=True):
        paths = direct_paths(run, bench.parts, target.position)
        caught = run.caught({e.site: 0 for cell in own for e in cell})
        found.append(np.stack([paths.removed(cell, caught, target) for cell in own]))
    return np.concatenate(found, axis=1)


def _read_by_probe(bench: Bench, cells) -> np.ndarray:
    """The same of a probe: what it makes of that alone which each cell takes, over what it makes of nothing."""
    found = []
    for run, target, own in zip(bench.runs, bench.targets, cells, strict=True):
        x = run.caught([bench.site])[bench.site]
        nothing = Intervention(bench.site, 0.0)
        taken = [Intervention(bench.site, x - e.applied(x), way="add") for (e,) in own]
        read = run.answers([(nothing,), *((nothing, t) for t in taken)], target.of)
        found.append(read[1:] - read[0])
    return np.concatenate(found, axis=1)


def _scatter(bench: Bench, params, parts, direct, total, gap, chance, verdict, rng) -> Scatter:
    n, places = bench.n, np.column_stack([direct.mean(axis=1), total.mean(axis=1)])
    half = stdtrit(n - 1, 0.975) * gap.std(axis=1, ddof=1) / np.sqrt(n)
    ends = np.array([places.min(), places.max()])
    columns = {
        "part": np.array([c.name for c in parts]), "layer": np.array([c.layer for c in parts]),
        "kind": np.array([c.kind for c in parts]), "gap": gap.mean(axis=1), "gap, low": gap.mean(axis=1) - half,
        "gap, high": gap.mean(axis=1) + half, "gap by chance": np.abs(chance.mean(axis=2)).mean(axis=1),
    }  # fmt: skip
    estimates = _estimates(bench, direct, gap, chance, rng)
    support = places[:, 0] > 0
    return Scatter(
        title=f"What parts of {bench.what} write, and what their loss costs",
        reading=f"{_reading(columns, places, estimates)} {verdict.sentence}",
        caveats=(*bench.notes, *_caveats(params, bench, support), *verdict.caveats),
        estimates=(*estimates, *verdict.estimates), positions=places, rows=np.arange(len(parts)), of="components",
        axes=("written straight to the answer", "lost when it is taken out"), columns=columns, colour="layer",
        names="part",
        guides={"no repair": np.column_stack([ends, ends])},
    )  # fmt: skip


def _estimates(bench: Bench, direct, gap, chance, rng) -> tuple[Estimate, ...]:
    """Of the parts that support the answer; of all where none does."""
    support = direct.mean(axis=1) > 0
    support = support if support.any() else np.ones(len(direct), bool)
    above, below, random = (
        gap[support].mean(axis=0),
        direct[support].mean(axis=0),
        chance[support].mean(axis=0),
    )
    n, d = bench.n, bench.made.source.shape[1]
    null = random.mean(axis=1)
    found = [
        Estimate("gap of parts that support the answer", float(above.mean()), **mean_interval(above),
                 null=float(null.mean()), null_low=float(null.min()), null_high=float(null.max()),
                 null_method="changes as large in random directions", n=n, d=d,
                 estimator="mean of direct effect - effect of taking out"),
    ]  # fmt: skip
    error = below.std(ddof=1) / np.sqrt(n)
    if below.mean() > 2 * error and below.mean() > 0:
        ends = ratio_interval(above, below, rng)
        found.append(Estimate("share made up", float(above.mean() / below.mean()), *ends,
                              interval="bootstrap over samples", null=0.0, null_method="no later part answers",
                              n=n, d=d, estimator="mean gap / mean direct effect"))  # fmt: skip
    return tuple(found)


def _reading(columns, places, estimates) -> str:
    repaired, amplified = (columns["gap, low"] > 0).sum(), (columns["gap, high"] < 0).sum()
    best = int(np.argmax(np.abs(columns["gap"])))
    share = f", {estimates[1].value:.0%} of what they write" if len(estimates) > 1 else ""
    return (
        f"Of {len(places):,} parts {repaired:,} cost less than they write and {amplified:,} more; the gap is largest "
        f"for {columns['part'][best]}, which writes {places[best, 0]:+.3g} and costs {places[best, 1]:+.3g}. The mean "
        f"gap of parts that support the answer is {estimates[0].value:+.3g}{share}."
    )


def _caveats(params, bench: Bench, support) -> list[str]:
    said = [f"In the place of a part stands {WORDS[params.way]}, on all tokens; one part at a time."]
    if params.way == ZERO:
        said.append("Zero is off the distribution: what breaks the network need not be what the part does.")
    said.append("Repair, the norm's scale and ways through later parts are told as one number.")
    if not support.any():
        said.append("No part supports the answer on average, so that the gap is told of all parts.")
    if bench.parts is None:
        said.append("A probe is linear: nothing can be made up, and every gap is 0.")
    return [*said, f"{bench.passes:,} rows went through {bench.what}."]


def _cost(shapes, params: SelfRepairParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples, parts = min(n, params.maximum_samples), min(max(k, PARTS), params.most)
    rows = samples * (parts * (1 + params.draws) + ROWS)
    held = 10.0 * n * k + 40.0 * rows
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe makes up for nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = self_repair(tap, SelfRepairParams(reader=PROBE, way=ZERO))
    return (
        CheckLine("gap", 0.0, float(np.abs(found.columns["gap"]).max()), 1e-9),
        CheckLine("written is lost", 0.0, float(np.abs(np.diff(found.positions, axis=1)).max()), 1e-9),
        CheckLine("a unit of zeros does neither", 0.0, float(np.abs(found.positions[1]).max()), 1e-12),
    )


METHODS = (
    Method(
        id="self_repair",
        family="attribution",
        title="Self-repair: written and lost",
        summary="Heads and MLPs by what they write straight to the answer and what taking them out costs.",
        version=2,
        function=self_repair,
        params=SelfRepairParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
