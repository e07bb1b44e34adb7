"""How few directions does the network need, at a tap or in each head's queries, keys or values?

    x -> m + (x - m) B_r B_r'

with the mean m and leading r principal directions B_r of one half of the samples. On the other half the network is run
with every place held to r directions, and it is counted how many answers stay what they were. Beside it the same off
the distribution: the same samples with every token from another sample, where "stays" means what the network answers to
these. A subspace that only holds on the distribution explains the task there and not the mechanism.

r = all reproduces the run. Null: r random directions around the same mean. Interval: bootstrap over samples.

Verdict: these directions are exchanged between judged samples, h + B Bᵀ (h' - h); the change is split into what is
connected to the answer and what is not, and checked for dormancy and for values off the natural range
(`analysis.interventions.move_verdict`).

When it lies: variance is not use, so that a direction of little variance can carry the answer (the curve then rises
late); directions are found from the very distribution they are judged on; of samples of a single token the other tokens
are those of another sample, and off the distribution is then on it; heads are held all at once.

Cost: samples x (sizes x (2 + draws) + 5) rows through the network.

Reference: T. Lieberum et al. (2023), "Does circuit analysis interpretability scale?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.errors import InputError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, BenchParams, open_bench
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on_runs
from analysis.interventions.many_samples import others_of
from analysis.interventions.many_targets import many_targets
from analysis.interventions.pairs import mixed_inputs, taken
from analysis.interventions.subspaces import TAP, WHERE, Fitted, places_of
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

KEPT, NUMBER = "answers that stay", "the number looked at"
ON, OFF, ENOUGH = "natural samples", "mixed tokens", 0.9


@dataclass(frozen=True)
class SubspaceSizeParams(BenchParams):
    where: str = param(TAP, "What is held to a few directions; of heads each by itself.", choices=WHERE)
    layer: int | None = param(None, "Layer of the heads; automatic: all layers at once.", low=0, high=10_000)
    points: int = param(12, "Most sizes that are tried.", label="sizes", low=3, high=200)
    draws: int = param(3, "Random subspaces of each size.", label="random subspaces", low=2, high=50)
    shown: str = param(KEPT, "What the curve shows.", choices=(KEPT, NUMBER))


def subspace_size(
    activations, params: SubspaceSizeParams = SubspaceSizeParams(), rng=None, progress=no_progress
) -> Curve:
    """Answers that stay over the number of directions that are kept.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap; or any tap of a transformer whose heads are held.

    Returns
    -------
    Curve
        On and off the distribution. Estimates: directions for nine tenths of the answers on and off it.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than sixteen samples; no such heads or layer; a tap that
        does not vary.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    if bench.n < 2 * FEWEST:
        raise NotEnoughData(
            f"{bench.tap.name} has {bench.n} samples", f"at least {2 * FEWEST}, half of them to fit"
        )
    places = places_of(bench, params.where, params.layer)
    half = halved([r.n for r in bench.runs], rng)
    halves = [
        [
            r.of_inputs(taken(r.inputs, np.flatnonzero(h == k)))
            for r, h in zip(bench.runs, half, strict=True)
            if (h == k).any()
        ]
        for k in (0, 1)
    ]
    fitted, judged = Fitted(halves[0], places), halves[1]
    if not fitted.spread > 0:
        raise InputError(f"{params.where} does not vary over the samples", "activations that do")
    width = fitted.width
    sizes = np.unique(np.linspace(0, width, min(params.points, width + 1)).round().astype(int))
    cells = [fitted.held(int(r)) for r in sizes]
    twins = [fitted.random(int(r), rng) for r in sizes for _ in range(params.draws)]
    off = [r.of_inputs(mixed_inputs(r, rng)) for r in judged]
    kept = {
        ON: _kept(judged, cells, params, progress, (0.1, 0.3)),
        OFF: _kept(off, cells, params, progress, (0.3, 0.5)),
    }
    null = {
        ON: _kept(judged, twins, params, progress, (0.5, 0.75)),
        OFF: _kept(off, twins, params, progress, (0.75, 0.95)),
    }
    null = {name: x.reshape(len(sizes), params.draws, -1).mean(axis=(1, 2)) for name, x in null.items()}
    verdict = _verdict(bench, judged, fitted, places, sizes, kept[ON], params, rng, progress)
    progress(1.0, "done")
    bands = {name: bootstrap_mean(x.T, rng) for name, x in kept.items()}
    mean = {name: x.mean(axis=1) for name, x in kept.items()}
    estimates = (*_estimates(bench, sizes, kept, null, params, rng), *verdict.estimates)
    rows = sum(r.passes for r in (*halves[0], *judged, *off))
    return Curve(
        title=f"How few directions of {params.where} the answers of {bench.what} need",
        reading=f"{_reading(estimates, sizes, params)} {verdict.sentence}",
        caveats=(*bench.notes, *_caveats(bench, params, places, judged, rows), *verdict.caveats),
        estimates=estimates, x=sizes.astype(np.float64), x_name="directions kept", y_name=params.shown, series=mean,
        low={n: np.minimum(b[0], mean[n]) for n, b in bands.items()},
        high={n: np.maximum(b[1], mean[n]) for n, b in bands.items()}, null=null,
    )  # fmt: skip


def halved(sizes, rng: np.random.Generator) -> list[np.ndarray]:
    """Half (n,) of each sample, 0 or 1, of batches of these sizes: of all samples together, as batches of texts may
    hold one sample each."""
    return np.split(rng.permutation(sum(sizes)) % 2, np.cumsum(sizes)[:-1])


def _verdict(bench, judged, fitted: Fitted, places, sizes, kept, params, rng, progress):
    r = int(_enough(sizes, kept.mean(axis=1))) or 1
    given = others_of(judged, list(dict.fromkeys(p.site for p in places)), rng)
    claim = (f"exchanging {r} directions of {params.where}", [fitted.taken_over(r, g) for g in given])
    asked = [many_targets(run, params.number, params.answer) for run in judged]
    return verdict_on_runs(judged, asked, bench.parts, [claim], rng, progress, (0.95, 1.0))


def _kept(runs, cells, params, progress, span) -> np.ndarray:
    """(cells, n): whether the answer stays, or the number that is looked at."""
    found, step = [], (span[1] - span[0]) / len(runs)
    for k, run in enumerate(runs):
        target = many_targets(run, params.number, params.answer)
        clean = target.read(run.logits).argmax(dim=-1)
        read = (
            target.of
            if params.shown == NUMBER
            else lambda z, t=target, c=clean: t.read(z).argmax(dim=-1) == c
        )
        inner = lambda f, doing="", at=span[0] + k * step: progress(at + step * f, doing)  # noqa: E731
        found.append(run.answers(cells, read, progress=inner))
    return np.concatenate(found, axis=1)


def _enough(sizes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Smallest size from which on the mean (sizes, …) has gone nine tenths of the way from no direction to all: without
    any, the commonest answer stays in its own samples."""
    way = mean[-1] - mean[0]
    good = (mean - mean[0]) * np.sign(way) >= ENOUGH * np.abs(way)
    good[0] = way == 0
    after = np.flip(np.logical_and.accumulate(np.flip(good, axis=0), axis=0), axis=0)
    return sizes[np.minimum(np.argmax(after, axis=0), len(sizes) - 1)]


def _estimates(bench, sizes, kept, null, params, rng) -> tuple[Estimate, ...]:
    found = []
    for name, x in kept.items():
        n = x.shape[1]
        drawn = rng.integers(n, size=(500, n))
        many = _enough(sizes, np.stack([x[:, d].mean(axis=1) for d in drawn], axis=1))
        value = float(_enough(sizes, x.mean(axis=1)))
        low, high = np.percentile(many, [2.5, 97.5])
        found.append(
            Estimate(f"directions for nine tenths, {name}", value, min(float(low), value), max(float(high), value),
                     interval="bootstrap over samples", null=float(_enough(sizes, null[name])),
                     null_method="random directions", n=n, d=int(sizes[-1]),
                     estimator=f"smallest size tried from which on {params.shown} has gone 90 % of the way from no "
                     "direction to all"))  # fmt: skip
    return tuple(found)


def _reading(estimates, sizes, params) -> str:
    on, off = estimates[:2]
    return (
        f"Of {sizes[-1]:,} directions {on.value:.0f} take {params.shown} nine tenths of the way from none to all "
        f"on natural samples (random ones: {on.null:.0f}), and {off.value:.0f} on mixed tokens, off the distribution "
        f"(random ones: {off.null:.0f})."
    )


def _caveats(bench, params, places, judged, rows: int) -> list[str]:
    n, alone = sum(r.n for r in judged), sum(r.n == 1 for r in judged)
    said = [f"Directions are those of one half of the samples; the other {n} are judged."]
    if bench.parts is None and params.where != TAP:
        said.append(f"A probe has no {params.where}: the tap itself is held.")
    if len(places) > 1:
        said.append(f"{len(places):,} heads are held at once, each to as many directions of its own.")
    said.append(
        "Mixed tokens: every token is that of another sample at the same place, off the distribution."
    )
    if alone:
        said.append(f"{alone:,} judged samples have no other of as many tokens and were not mixed.")
    return [*said, f"{rows:,} rows went through {bench.what}."]


def _cost(shapes, params: SubspaceSizeParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, params.maximum_samples) * (params.points * (1 + params.draws) + ROWS)
    held = 10.0 * n * k + 8.0 * params.points * params.draws * k * k
    held += verdict_bytes(min(n, params.maximum_samples), k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """Classes apart along the direction of most variance: one direction is enough, and all keep every answer."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 12.0 + rng.standard_normal(40), rng.standard_normal((40, 3))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = subspace_size(tap, SubspaceSizeParams(reader=PROBE, draws=2))
    return (
        CheckLine("directions that are enough", 1.0, found.estimates[0].value, 0.0),
        CheckLine("all directions keep all answers", 1.0, float(found.series[ON][-1]), 0.0),
        CheckLine("no direction keeps one class", 0.5, float(found.series[ON][0]), 0.2),
    )


METHODS = (
    Method(
        id="subspace_size",
        family="attribution",
        title="How few directions the answer needs",
        summary="Holds a tap, or queries, keys or values of heads, to r directions and counts answers that stay.",
        version=2,
        function=subspace_size,
        params=SubspaceSizeParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=2 * FEWEST,
        invariance="a rotation of the units of a place",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
