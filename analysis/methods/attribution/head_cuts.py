"""Which heads can be cut? Heads are taken out together, the least needed first, until the answers change.

    need of head c    mean over half of the samples of |y(without c) - y|, each head alone
    curve             share of the other samples that are answered as before, with the k least needed heads gone

A head that is gone is held at its mean over all samples. The order is found on one half of the samples and judged on
the other, so that it cannot be lucky.

Null: random orders of the same heads. Interval: Wilson, samples as draws; of how many heads can go the bootstrap over
samples.

Verdict: cutting as many heads as can go is split into what is connected to the answer and what is not, and checked for
dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: an order by single heads misses those that stand in for each other, of which either can go and not both; a
network that was trained on with heads gone would keep more; an answer that stays says nothing of how sure it is.

Cost: samples x (heads + points x (1 + draws) + 10) rows through the network, many in one forward pass.

References: P. Michel, O. Levy & G. Neubig (2019), "Are sixteen heads really better than one?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import share_interval
from analysis.features.readers import PROBE
from analysis.interventions.ablation import WORDS, ablations, changes
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench, refuse_unmoved
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.components import HEADS, Component
from analysis.interventions.interventions import ABLATIONS, MEAN
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PARTS, RESAMPLES = 24, 400  # heads of a small network, for the estimate
ORDERED, RANDOM = "least needed first", "random order"


@dataclass(frozen=True)
class HeadCutsParams(BenchParams):
    way: str = param(MEAN, "What stands in the place of a head.", label="in its place", choices=ABLATIONS)
    kept: float = param(
        0.95, "Share of answers that has to stay.", label="answers that stay", low=0.5, high=1.0
    )
    points: int = param(12, "Numbers of heads that are tried.", low=3, high=200)
    draws: int = param(8, "Random orders.", label="random orders", low=3, high=200)
    most: int = param(
        32, "Most units, where a probe has no heads; those that vary most.", low=2, high=400, late=True
    )
    maximum_samples: int = param(
        80, "Most samples; a seeded random subset above.", low=8, high=10_000, late=True
    )


def head_cuts(
    activations, params: HeadCutsParams = HeadCutsParams(), rng=None, progress=no_progress
) -> Curve:
    """Answers that stay over the number of heads that are gone.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of a probe its units stand for heads.

    Returns
    -------
    Curve
        Least needed heads first, and random orders with their range. Estimates: how many heads can go, and the answers
        that stay with half of them gone.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no heads; fewer than eight samples; answers that hang on none.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    heads = bench.components(HEADS, params.most)
    cells = ablations(bench, heads, params.way, rng)
    moved = np.abs(changes(bench, cells, progress, (0.1, 0.4)))
    refuse_unmoved(moved, bench)
    fit = rng.permutation(bench.n) < bench.n // 2
    orders = [np.argsort(moved[:, fit].mean(axis=1), kind="stable")]
    orders += [rng.permutation(len(heads)) for _ in range(params.draws)]
    counts = np.unique(np.round(np.linspace(0, len(heads), params.points)).astype(int))
    stays = _stays(bench, cells, orders, counts, progress)[:, :, ~fit]
    can = most_of(counts, stays.mean(axis=2), params.kept)
    at = orders[0][: int(can[0])]
    name = f"cutting {len(at)} of {len(heads)} {_word(heads)}"
    claims = [(name, [_cut(own, at) for own in cells])] if len(at) else []
    verdict = verdict_on(bench, claims, rng, progress, (0.9, 1.0), sized=True)
    progress(1.0, "done")
    return _curve(bench, params, heads, orders[0], counts, stays, can, verdict, rng)


def most_of(counts: np.ndarray, kept: np.ndarray, least: float) -> np.ndarray:
    """(orders,) the largest count up to which the shares `kept` (orders, counts) are at least `least`."""
    holds = np.logical_and.accumulate(kept >= least - 1e-12, axis=1)
    return counts[np.maximum(holds.sum(axis=1) - 1, 0)]


def _cut(own, chosen):
    return tuple(e for k in chosen for e in own[k])


def _stays(bench: Bench, cells, orders, counts, progress) -> np.ndarray:
    """(orders, counts, n) bool: answered as before."""
    found, step = [], 0.5 / len(bench.batches)
    for k, (run, target, own) in enumerate(zip(bench.runs, bench.targets, cells, strict=True)):
        before = target.read(run.logits).argmax(dim=-1)
        many = [_cut(own, order[:count]) for order in orders for count in counts if count]

        def read(logits, target=target, before=before):
            return (target.read(logits).argmax(dim=-1) == before).double()

        inner = lambda f, doing="", at=0.4 + k * step: progress(at + step * f, doing)  # noqa: E731
        same = run.answers(many, read, progress=inner).reshape(len(orders), -1, run.n)
        whole = np.ones((len(orders), int(counts[0] == 0), run.n))
        found.append(np.concatenate([whole, same], axis=1))
    return np.concatenate(found, axis=2).astype(bool)


def _word(heads: list[Component]) -> str:
    return "heads" if heads[0].kind == HEADS else "units"


def _name(head: Component) -> str:
    """Counted from 1, as all that is said of tokens is."""
    return f"layer {head.layer + 1}, head {head.number + 1}" if head.kind == HEADS else head.name


def _curve(bench: Bench, params, heads, order, counts, stays, can, verdict, rng) -> Curve:
    kept, word = stays.mean(axis=2), _word(heads)
    ends = [share_interval(v.astype(float)) for v in stays[0]]
    estimates = _estimates(bench, params, counts, stays, can, word, rng)
    last = ", ".join(_name(heads[k]) for k in order[::-1][:3])
    return Curve(
        title=f"Which {word} of {bench.what} can be cut?",
        reading=f"{int(can[0])} of {len(heads)} {word} can go, the least needed first, with {params.kept:.0%} of the "
        f"answers staying; in random order {estimates[0].null:.1f}. Most needed: {last}. {verdict.sentence}".rstrip(),
        caveats=(*bench.notes, f"In the place of what is cut stands {WORDS[params.way]}, on all tokens.",
                 f"The order is that of {bench.n - stays.shape[2]} samples, the curve that of {stays.shape[2]} others.",
                 f"{bench.passes:,} rows went through {bench.what}.", *verdict.caveats),
        estimates=(*estimates, *verdict.estimates), x=counts.astype(float), x_name=f"{word} that are gone",
        y_name="share of answers that stay", series={ORDERED: kept[0], RANDOM: kept[1:].mean(axis=0)},
        low={ORDERED: np.array([e["low"] for e in ends]), RANDOM: kept[1:].min(axis=0)},
        high={ORDERED: np.array([e["high"] for e in ends]), RANDOM: kept[1:].max(axis=0)},
    )  # fmt: skip


def _estimates(bench: Bench, params, counts, stays, can, word: str, rng) -> tuple[Estimate, ...]:
    n, d = stays.shape[2], bench.made.source.shape[1]
    again = [
        most_of(counts, stays[:1][:, :, rng.integers(0, n, n)].mean(axis=2), params.kept)[0]
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(again, [2.5, 97.5])
    half = int(np.searchsorted(counts, counts[-1] / 2))
    own = stays[0, half].astype(float)
    told = f"random orders of the same {word}, {len(can) - 1} draws"
    return (
        Estimate(f"{word} that can go", float(can[0]), low=min(float(low), float(can[0])),
                 high=max(float(high), float(can[0])), interval="percentile bootstrap over samples",
                 **against(float(can[0]), can[1:].astype(float)), null_method=told, n=n, d=d,
                 estimator=f"largest number tried up to which {params.kept:.0%} of the answers stay"),
        Estimate(f"answers that stay without {counts[half]} {word}", float(own.mean()), **share_interval(own),
                 **against(float(own.mean()), stays[1:, half].mean(axis=1)), null_method=told, n=n, d=d,
                 estimator="share of samples that the order was not found on"),
    )  # fmt: skip


def _cost(shapes, params: HeadCutsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = samples * (PARTS + params.points * (1 + params.draws) + ROWS)
    held = 10.0 * n * k + 8.0 * samples * params.points * (1 + params.draws) + verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A probe of a class that one unit tells: all other units can go, in a random order hardly any."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    x = np.column_stack([label * 12.0 + rng.standard_normal(80), 0.01 * rng.standard_normal((80, 7))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = head_cuts(tap, HeadCutsParams(reader=PROBE, points=9))
    kept = np.array([[1.0, 0.96, 0.9, 0.97], [1.0, 0.5, 0.5, 0.5]])
    return (
        CheckLine("units that can go", 7.0, found.estimates[0].value, 0.0),
        CheckLine("with none gone all answers stay", 1.0, float(found.series[ORDERED][0]), 0.0),
        CheckLine(
            "more than at random",
            0.0,
            found.estimates[0].value - found.estimates[0].null_high,
            0.0,
            "at least",
        ),
        CheckLine(
            "what holds again later does not count", 1.0, float(most_of(np.arange(4), kept, 0.95)[0]), 0.0
        ),
    )


METHODS = (
    Method(
        id="head_cuts", family="attribution", title="Which heads can be cut?", version=2, function=head_cuts,
        summary="Takes heads out together, the least needed first, and watches how many answers stay.",
        params=HeadCutsParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",), libraries=("torch",),
    ),
)  # fmt: skip
