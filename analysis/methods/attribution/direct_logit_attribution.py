"""What does each head and MLP write straight into the answer?

In a transformer every part adds to a stream that the last norm and the read-out W turn into logits. With the norm's
scale σ held as it is this is linear, and a difference of two logits is a sum:

    z_a - z_b = Σ_c ((part_c - mean) / σ * γ) · (W_a - W_b) + biases

over the embedding, heads, MLPs and biases; mean over samples. The sum is told beside the network's own number; a
network that is not built so is refused. Of a probe of a tap the parts are its units.

Null: the same parts for random other answers; the ends leave out the outermost 5 % where there are 39 draws or more.
The largest part is held against the largest of all parts for such answers. Interval: Student's t over samples.

When it lies: only the straight way is seen, and what an early part does through later ones is booked to those; the
scale is held although taking a part out would change it; other parts may make up for one that is taken out, so that
its effect is smaller than what it writes (see self-repair); a large part for every answer alike says little of this.

Cost: one pass of every sample; O(parts x samples x width) memory.

Reference: T. Lieberum et al. (2023), "Does circuit analysis interpretability scale?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import against_largest, tail
from analysis.compute.statistics.draw_ends import band as null_band
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.interventions.bench import (
    FEWEST,
    OPENING,
    UNITS,
    Bench,
    BenchParams,
    open_bench,
    refuse_unmoved,
)
from analysis.interventions.component_game import random_targets, two_answers
from analysis.interventions.components import Component, Place
from analysis.interventions.direct_paths import direct_paths
from analysis.interventions.interventions import zeroed
from analysis.results import Estimate, Ledger
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OTHERS, CONSTANT = "the other units", "the probe's constant"


@dataclass(frozen=True)
class DirectLogitParams(BenchParams):
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is split; a difference is to the second answer.",
        label="number split", choices=(targets.DIFFERENCE, targets.LOGIT),
    )  # fmt: skip
    most: int = param(
        32, "Most units of a probe; those that vary most.", label="most units", low=1, high=4096
    )
    null_draws: int = param(
        39, "Random other answers that make the null.", label="other answers", low=2, high=500
    )


def direct_logit_attribution(
    activations, params: DirectLogitParams = DirectLogitParams(), rng=None, progress=no_progress
) -> Ledger:
    """What each part writes straight to the answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of a probe the tap that it reads.

    Returns
    -------
    Ledger
        From 0 to the mean number. Estimates: the largest part and its share of the number where that can be told,
        parts beyond the null, the residual of the sum.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such output; a network whose parts
        do not add up to its logits.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.3))
    progress(0.3, "splitting the answer")
    names, each, chance = (_of_probe if bench.parts is None else _of_network)(bench, params, rng, progress)
    refuse_unmoved(each, bench)
    progress(1.0, "done")
    values, n = each.mean(axis=1), bench.n
    half = stdtrit(n - 1, 0.975) * each.std(axis=1, ddof=1) / np.sqrt(n)
    draws = chance.shape[1]
    band, expected = null_band(chance.T).T, 2 * tail(draws) / (draws + 1)
    end = float(bench.clean.mean())
    return Ledger(
        title=f"What the parts of {bench.what} write straight to the {params.number}",
        reading=_reading(names, values, band, expected, end, params), caveats=(*bench.notes, *_caveats(bench)),
        estimates=_estimates(names, values, half, each, chance, expected, bench, rng), names=names, values=values,
        start=0.0, end=end, residual=end - float(values.sum()), low=values - half, high=values + half,
        null_low=band[:, 0], null_high=band[:, 1], value_name=f"{params.number}, mean of {n} samples",
        start_name="nothing", end_name="the network's own number",
    )  # fmt: skip


def _of_network(bench: Bench, params, rng, progress):
    """Names (m,), parts (m, n), mean parts for random other answers (m, draws)."""
    found, chance, names, beside = [], [], (), random_targets(bench, params.null_draws, rng)
    for k, (run, target) in enumerate(zip(bench.runs, bench.targets, strict=True)):
        progress(0.3 + 0.7 * k / len(bench.runs), "splitting the answer")
        direct = direct_paths(run, bench.parts, target.position)
        names = direct.names
        found.append(direct.values(target))
        chance.append(np.stack([direct.values(t).sum(axis=1) for t in beside[k]], axis=1))
    return names, np.concatenate(found, axis=1), np.sum(chance, axis=0) / bench.n


def _of_probe(bench: Bench, params, rng, progress):
    """The same of a probe, which is linear: what is lost with a unit at zero is what it writes."""
    units = bench.components(UNITS, params.most)
    everything = Component("", UNITS, (Place(bench.site),))
    cells = [zeroed(c) for c in (*units, everything)]
    found, chance, beside = [], [], random_targets(bench, params.null_draws, rng)
    for k, (run, target) in enumerate(zip(bench.runs, bench.targets, strict=True)):
        progress(0.3 + 0.7 * k / len(bench.runs), "splitting the answer")
        logits = np.concatenate([z.double().numpy() for _, z in run.logits_with(cells)])
        split = [_split(t, run.logits, logits) for t in (target, *beside[k])]
        found.append(split[0])
        chance.append(np.stack([s.sum(axis=1) for s in split[1:]], axis=1))
    names = (*(c.name for c in units), OTHERS, CONSTANT)
    return names, np.concatenate(found, axis=1), np.sum(chance, axis=0) / bench.n


def _split(target, clean, logits: np.ndarray) -> np.ndarray:
    """(units + 2, n)."""
    import torch

    own, without = target.of(clean).numpy(), target.of(torch.as_tensor(logits)).numpy()
    each, constant = own - without[:-1], without[-1:]
    return np.concatenate([each, own[None] - constant - each.sum(axis=0), constant])


def _told(clean: np.ndarray) -> bool:
    return bool(abs(clean.mean()) > 2 * clean.std(ddof=1) / np.sqrt(len(clean)) and clean.mean() != 0)


def _beyond(values, band) -> int:
    return int(((values < band[:, 0]) | (values > band[:, 1])).sum())


def _estimates(names, values, half, each, chance, expected, bench: Bench, rng) -> tuple[Estimate, ...]:
    best, n, d, clean = int(np.abs(values).argmax()), bench.n, bench.made.source.shape[1], bench.clean
    band, m = null_band(chance.T).T, len(values)
    missed = np.abs(clean - each.sum(axis=0)) / max(float(np.abs(clean).mean()), 1e-300)
    count, method = _beyond(values, band), "random other answers"
    found = [
        Estimate(f"written by {names[best]}", float(values[best]), float(values[best] - half[best]),
                 float(values[best] + half[best]), interval="Student's t over samples",
                 **against_largest(values[best], np.abs(chance).max(axis=0)), null_method=f"largest part for {method}",
                 n=n, d=d, estimator="mean of what it adds to the number, the largest of all parts"),
        Estimate("parts beyond the null", count / m, *wilson(count, m), interval="Wilson over parts", null=expected,
                 null_method=method, n=m, d=d, estimator="share of parts outside what random other answers give"),
        Estimate("residual of the sum", float(missed.mean()), **mean_interval(missed, 0.0), n=n, d=d, null=0.0,
                 null_method="parts that add up, exactly",
                 estimator="mean |number - sum of parts| / mean |number|"),
    ]  # fmt: skip
    if _told(clean):
        sign = np.sign(clean.mean())
        ends = ratio_interval(sign * each[best], sign * clean, rng)
        found.append(Estimate(f"share of {names[best]}", float(each[best].mean() / clean.mean()), *ends,
                              interval="bootstrap over samples", n=n, d=d, null=1 / m,
                              null_method="parts that write alike", estimator="mean part / mean number"))  # fmt: skip
    return tuple(found)


def _reading(names, values, band, expected: float, end: float, params) -> str:
    best = np.argsort(-np.abs(values), kind="stable")[:3]
    told = ", ".join(f"{names[i]} ({values[i]:+.3g})" for i in best)
    return (
        f"The {params.number} is {end:.3g} on average; most is written straight by {told}. "
        f"{_beyond(values, band):,} of {len(names):,} parts write otherwise than for random other answers "
        f"({expected:.0%} would by chance)."
    )


def _caveats(bench: Bench) -> list[str]:
    said = [
        "Only the straight way to the logits is seen: what a part does through later ones is booked to those."
    ]
    if bench.parts is not None:
        said.append("The scale of the last norm is held; taking a part out would change it.")
    if not _told(bench.clean):
        said.append(
            f"The number ({bench.clean.mean():.3g} on average) cannot be told from 0, so that no share is told."
        )
    return [*said, *two_answers(bench), f"{bench.passes:,} rows went through {bench.what}."]


def _cost(shapes, params: DirectLogitParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = samples * (2 + min(k, params.most))
    held = 10.0 * n * k + 24.0 * samples * min(k, params.most) * 4
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: units and its constant add up to the answer; a unit that is 0 writes nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = direct_logit_attribution(tap, DirectLogitParams(reader=PROBE, null_draws=3))
    parts = dict(zip(found.names, found.values, strict=True))
    return (
        CheckLine("residual", 0.0, found.residual, 1e-9),
        CheckLine("a unit of zeros writes nothing", 0.0, float(parts["unit 1"]), 1e-12),
        CheckLine("no other units", 0.0, float(parts[OTHERS]), 1e-9),
        CheckLine(
            "unit 0 is larger than unit 2", 1.0, float(abs(parts["unit 0"]) > abs(parts["unit 2"])), 0.0
        ),
    )


METHODS = (
    Method(
        id="direct_logit_attribution",
        family="attribution",
        title="What parts write straight to the answer",
        summary="Splits a logit difference over the embedding, heads and MLPs of a transformer, norm scale held.",
        version=2,
        function=direct_logit_attribution,
        params=DirectLogitParams,
        result=Ledger,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference is split",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
