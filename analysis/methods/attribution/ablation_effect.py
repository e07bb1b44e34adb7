"""Which parts does the answer hang on? Each part is taken out alone, and the change of the answer is measured.

    change_c = mean over samples of y(with c taken out) - y(as it is)

A part is an attention head, attention or the MLP of a layer, a layer, a unit of the tap or a feature that a set finds
there. It is taken out on all tokens: its value becomes the mean over all samples, zero, or that of another sample. The
share is the change over the mean of y as it is, told only where that mean is more than two standard errors from 0.

Null: a change as large at every token of the same site in a random direction, one for all samples of a draw; of the
largest change the largest of all parts. Interval: percentile bootstrap over samples.

Verdict: taking out the part of the largest change is split into what is connected to the answer and what is not, and
checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: zero is no value that the network has seen, so that a large change may be that of a broken network and
not of what the part does; parts that stand in for each other look as if none were needed, as they are taken out one
at a time; a part that is needed for every answer alike (a bias) looks important for this one.

Cost: samples x (parts x (1 + draws) + 10) rows through the network, many parts in one forward pass.

References: C. Olsson et al. (2022), "In-context learning and induction heads"; L. Chan et al. (2022), "Causal
scrubbing" (resampling instead of zero).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap_mean, share_over
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.interventions.ablation import WORDS, ablations, changes, random_twins
from analysis.interventions.bench import (
    CHOICES,
    FEATURES,
    FEWEST,
    OPENING,
    UNITS,
    Bench,
    BenchParams,
    open_bench,
    refuse_unmoved,
)
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.components import LAYERS, Component
from analysis.interventions.interventions import ABLATIONS, MEAN, ZERO
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PARTS = 24  # of a small network, for the estimate
HELP = {
    "part": "What was taken out: layer.head, a layer, its attention or MLP, a unit or a feature.",
    "layer": "Its layer, from 0; -1 for parts of the tap.",
    "change": "Mean over samples of what taking it out adds to the number that is looked at.",
    "low": "95 % interval of it.",
    "high": "95 % interval of it.",
    "standard error": "Of the change, over samples.",
    "share": "Change over the mean of the number as it is; nothing where that mean cannot be told from 0.",
    "size": "Mean over samples of the change without its sign.",
    "by chance": "The same for changes as large in random directions of the same place.",
    "largest by chance": "The largest of these random changes.",
    "over chance": "Size less that by chance.",
    "turned": "Share of samples whose number changes its sign.",
}


@dataclass(frozen=True)
class AblationParams(BenchParams):
    parts: str = param(LAYERS, "What is taken out, one at a time.", choices=CHOICES)
    way: str = param(MEAN, "What stands in the place of a part.", label="in its place", choices=ABLATIONS)
    draws: int = param(
        19, "Random changes of the same size for each part.", label="random changes", low=2, high=200
    )
    most: int = param(
        64, "Most units or features; those that vary most.", label="most units", low=1, high=4096
    )


def ablation_effect(
    activations, params: AblationParams = AblationParams(), rng=None, progress=no_progress
) -> Table:
    """What taking out each part changes.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its units are the parts.

    Returns
    -------
    Table
        A line for each part, see `HELP`. Estimates: the largest size beside its null, the share of parts beyond chance.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such parts or output; an answer that
        hangs on none of them.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1), at_the_tap=params.parts == FEATURES)
    parts = bench.components(params.parts, params.most)
    progress(0.1, "taking parts out")
    cells = ablations(bench, parts, params.way, rng)
    moved = changes(bench, cells, progress, (0.1, 0.35))
    refuse_unmoved(moved, bench)
    twins = random_twins(bench, cells, params.draws, rng)
    chance = changes(bench, twins, progress, (0.35, 0.95)).reshape(len(parts), params.draws, -1)
    columns = _columns(parts, moved, chance, bench.clean, rng)
    best = int(np.argmax(columns["size"]))
    claim = (f"taking out {parts[best].name}", [own[best] for own in cells])
    verdict = verdict_on(bench, [claim], rng, progress, (0.95, 1.0), sized=True)
    estimates = (*_estimates(columns, moved, chance, bench), *verdict.estimates)
    progress(1.0, "done")
    return Table(
        title=f"What the answer of {bench.what} loses without each part",
        reading=f"{_reading(columns, params, bench)} {verdict.sentence}",
        caveats=(*bench.notes, *_caveats(params, bench), *verdict.caveats), estimates=estimates, columns=columns,
        index="part", sort="size", help=HELP,
    )  # fmt: skip


def share_known(clean: np.ndarray) -> bool:
    """Whether the mean of (n,) numbers can be told from 0."""
    return abs(clean.mean()) > 2 * clean.std(ddof=1) / np.sqrt(len(clean)) and clean.mean() != 0


def _columns(parts: list[Component], moved, chance, clean, rng) -> dict[str, np.ndarray]:
    size, by_chance = np.abs(moved), np.abs(chance).mean(axis=2)
    mean = moved.mean(axis=1)
    low, high = bootstrap_mean(moved.T, rng)
    columns = {
        "part": np.array([c.name for c in parts]), "layer": np.array([c.layer for c in parts]), "change": mean,
        "low": np.minimum(low, mean), "high": np.maximum(high, mean),
        "standard error": moved.std(axis=1, ddof=1) / np.sqrt(moved.shape[1]), "share": mean / clean.mean(),
        "size": size.mean(axis=1), "by chance": by_chance.mean(axis=1), "largest by chance": by_chance.max(axis=1),
        "over chance": size.mean(axis=1) - by_chance.mean(axis=1),
        "turned": (np.sign(clean + moved) != np.sign(clean)).mean(axis=1),
    }  # fmt: skip
    if not share_known(clean):
        del columns["share"]
    return columns


def _estimates(columns, moved, chance, bench: Bench) -> tuple[Estimate, ...]:
    best = int(np.argmax(columns["size"]))
    size, n, d = np.abs(moved[best]), moved.shape[1], bench.made.source.shape[1]
    draws = np.abs(chance).mean(axis=2).max(axis=0)  # the largest of all parts, too
    beyond = _beyond(columns)
    return (
        Estimate(f"largest change, {columns['part'][best]}", float(size.mean()), **mean_interval(size, 0.0),
                 null=float(draws.mean()), null_low=float(draws.min()), null_high=float(draws.max()),
                 null_method="changes as large in random directions, the largest of all parts", n=n, d=d,
                 estimator="mean |y without it - y|, the largest of all parts"),
        Estimate("parts beyond chance", **share_over(beyond, "parts"), null=1 / (chance.shape[1] + 1),
                 null_method=f"the largest of {chance.shape[1] + 1} alike, exact", n=len(beyond), d=d,
                 estimator="share of parts whose size is over that of all its random changes"),
    )  # fmt: skip


def _beyond(columns) -> np.ndarray:
    """(parts,) bool: larger than all changes in random directions."""
    return columns["size"] > columns["largest by chance"]


def _reading(columns, params, bench: Bench) -> str:
    best = int(np.argmax(columns["size"]))
    beyond = int(_beyond(columns).sum())
    share = (
        f", {columns['share'][best]:+.0%} of its mean {bench.clean.mean():.3g}" if "share" in columns else ""
    )
    return (
        f"Without {columns['part'][best]} the {params.number} changes most, by {columns['change'][best]:+.3g} on "
        f"average{share}; of {len(columns['part']):,} parts {beyond:,} change it more than any random change as large."
    )


def _caveats(params, bench: Bench) -> list[str]:
    said = [f"In the place of a part stands {WORDS[params.way]}, on all tokens; one part at a time."]
    if bench.parts is not None and bench.parts.layers and params.parts == LAYERS:
        said.append(
            "A layer of this network is all that is passed on: with another sample there, that sample is answered."
        )
    if params.way == ZERO:
        said.append("Zero is off the distribution: what breaks the network need not be what the part does.")
    if not share_known(bench.clean):
        said.append(
            f"The mean of the {params.number} cannot be told from 0 ({bench.clean.mean():.3g}), so that no change is "
            "told as a share of it."
        )
    said.append(f"{bench.passes:,} rows went through {bench.what}.")
    return said


def _cost(shapes, params: AblationParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    parts = min(k, params.most) if params.parts in (UNITS, FEATURES) else PARTS
    rows = samples * (parts * (1 + params.draws) + ROWS)
    held = 40.0 * n * k + 16.0 * samples * min(k, params.most) * (1 + params.draws)
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: without a unit the answer changes by w (mean - x), and a unit without weight by nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    table = ablation_effect(tap, AblationParams(parts=UNITS, reader=PROBE, number="logit", answer=1))
    size = dict(zip(table.columns["part"], table.columns["size"], strict=True))
    change = np.abs(table.columns["change"])
    return (
        CheckLine("the planted unit is the largest", 1.0, float(max(size, key=size.get) == "unit 0"), 0.0),
        CheckLine("a constant unit changes nothing", 0.0, size["unit 1"], 1e-12),
        CheckLine("the mean of linear changes is 0", 0.0, float(change.max()), 0.2 * max(size.values())),
    )


METHODS = (
    Method(
        id="ablation_effect",
        family="attribution",
        title="What the answer loses without each part",
        summary="Takes out layers, heads, MLPs, units or features one at a time and measures the change.",
        version=2,
        function=ablation_effect,
        params=AblationParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
