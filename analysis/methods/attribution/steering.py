"""What does the answer do when the activations are pushed along a direction, further and further?

    x -> x + alpha s d ,   |d| = 1, s the standard deviation of the tap's rows along d (where they never vary along it,
                           of a unit, root mean square over units)

on all tokens of a sample, d the direction of a feature, a unit, or the difference between the mean activations of the
samples that the network answers one way and another. Told are the change of a number of the answer, the divergence KL
of all outputs from those of the run as it is (nats), and the share of samples that are answered otherwise.

Null: random directions as long, in natural deviations of units, drawn beside it, with the range of their means.
Interval: Student's t over samples. Places where most tokens are pushed beyond what the samples have along d are marked.

Verdict: a push of one standard deviation, and the largest, is split into what is connected to the answer and what is
not, and checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: far out every direction breaks the network, and what breaks it says nothing of what d means; a random
direction of the same length is mostly weaker than one along which the data vary, so that being stronger than it is
little; a push on all tokens at once is more than the network ever sees; an effect shows that d can be used, not that it
is.

Cost: samples x (alphas x (1 + draws) + 20) rows through the network, many in one forward pass.

Reference: A. Turner et al. (2023), "Steering language models with activation engineering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.attribution.random_directions import random_directions
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench, refuse_unmoved
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.directions import between_answers, feature_direction
from analysis.interventions.interventions import steered
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEATURE, ANSWERS = "a feature or unit", "between two answers"
NUMBER, DIVERGENCE, TURNED = "the number looked at", "divergence of all outputs", "answers that change"
TELLS = (NUMBER, DIVERGENCE, TURNED)


@dataclass(frozen=True)
class SteeringParams(BenchParams):
    direction: str = param(FEATURE, "Along what is pushed.", choices=(FEATURE, ANSWERS))
    feature: int = param(0, "Which feature or unit, by its number.", low=0, high=10_000_000)
    against: int | None = param(
        None, "Second of two answers; automatic: the second most frequent.", low=0, high=1_000_000
    )
    farthest: float = param(
        8.0,
        "Largest push, in standard deviations along the direction.",
        label="largest push",
        low=0.01,
        high=1000.0,
    )
    points: int = param(9, "Pushes from one end to the other; odd, so that one is none.", low=3, high=101)
    draws: int = param(8, "Random directions beside it.", label="random directions", low=2, high=200)
    shown: str = param(NUMBER, "What the curve shows.", choices=TELLS)


def steering(activations, params: SteeringParams = SteeringParams(), rng=None, progress=no_progress) -> Curve:
    """The answer over the length of a push along a direction.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap that is pushed; one that a feature set encoded has its features, any other its units.

    Returns
    -------
    Curve
        Along the direction, and along random ones. Estimates: slope at 0, divergence and changed answers at the far
        end.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such feature or answer; a tap that
        does not vary, or that the answer does not hang on.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    rows, owner = bench.rows()
    if params.direction == FEATURE:
        way, name = feature_direction(bench, params.feature)
    else:
        way, name = between_answers(bench, params.number, params.answer, params.against, rows, owner)
    deviation = rows.std(axis=0)
    scale = float((rows @ way).std()) or float(np.sqrt((deviation**2).mean()))
    if not scale > 0:
        raise InputError(f"{bench.made.source.name} does not vary over the samples", "activations that do")
    alphas = np.linspace(-params.farthest, params.farthest, params.points | 1)
    ways = np.concatenate([way[None], random_directions(way, deviation, params.draws, rng)])
    progress(0.1, "pushing")
    found = _pushed(bench, ways, alphas * scale, progress)
    refuse_unmoved(found[0], bench)
    claims = [(f"a push of {a:g} along {name}", [steered(bench.site, way, a * scale)] * len(bench.runs))
              for a in dict.fromkeys((1.0, float(alphas[-1])))]  # fmt: skip
    verdict = verdict_on(bench, claims, rng, progress, (0.9, 1.0))
    progress(1.0, "done")
    return _curve(bench, params, name, alphas, found, _beyond(rows @ way, alphas * scale), verdict)


def _pushed(bench: Bench, ways: np.ndarray, lengths: np.ndarray, progress) -> np.ndarray:
    """(3, ways, lengths, n): change of the number, KL, whether the answer is another."""
    import torch

    found, step = [], 0.8 / len(bench.batches)
    cells = [steered(bench.site, way, length) for way in ways for length in lengths]
    for k, (run, target) in enumerate(zip(bench.runs, bench.targets, strict=True)):
        clean = target.read(run.logits)
        log_p, own = torch.log_softmax(clean, dim=-1), target.of(run.logits)

        def read(logits, target=target, log_p=log_p, own=own):
            z = target.read(logits)
            kl = (log_p.exp() * (log_p - torch.log_softmax(z, dim=-1))).sum(dim=-1).clamp(min=0)
            turned = (z.argmax(dim=-1) != log_p.argmax(dim=-1)).double()
            return torch.stack([target.of(logits) - own, kl, turned], dim=-1)

        inner = lambda f, doing="", at=0.1 + k * step: progress(at + step * f, doing)  # noqa: E731
        found.append(run.answers(cells, read, progress=inner))
    joined = np.moveaxis(np.concatenate(found, axis=1), -1, 0)
    return joined.reshape(3, len(ways), len(lengths), -1)


def _beyond(coordinate: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places where a token in the middle of the samples is pushed beyond 99 % of them."""
    low, middle, high = np.percentile(coordinate, [0.5, 50, 99.5])
    return np.flatnonzero((middle + lengths > high) | (middle + lengths < low))


def _curve(bench: Bench, params, name: str, alphas, found, beyond, verdict) -> Curve:
    shown = found[TELLS.index(params.shown)]
    own, others = shown[0], shown[1:].mean(axis=2)
    ends = [
        mean_interval(v, *((-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0))[TELLS.index(params.shown)])
        for v in own
    ]
    random = "random directions"
    words = {NUMBER: f"change of the {bench.targets[0].kind}", DIVERGENCE: "KL from the untouched outputs (nats)",
             TURNED: "share of answers that change"}  # fmt: skip
    estimates = _estimates(bench, alphas, found)
    outside = f"; beyond the natural range from {np.abs(alphas[beyond]).min():.3g} on" if len(beyond) else ""
    return Curve(
        title=f"The answer pushed along {name}",
        reading=f"A push of one standard deviation along {name} moves the {bench.targets[0].kind} of {bench.what} by "
        f"{estimates[0].value:+.3g}, random directions by {estimates[0].null:.3g} without their sign; at the far end "
        f"{estimates[2].value:.0%} of the answers change (random directions {estimates[2].null:.0%}){outside}. "
        f"{verdict.sentence}",
        caveats=(*bench.notes, *bench.made.notes,
                 "Every token of a sample is pushed. An effect shows that the direction can be used, not that it is.",
                 f"{bench.passes:,} rows went through {bench.what}.", *verdict.caveats),
        estimates=(*estimates, *verdict.estimates), x=alphas, x_name="push, in standard deviations along it", 
        y_name=words[params.shown], series={name: own.mean(axis=1), random: others.mean(axis=0)},
        low={name: np.array([e["low"] for e in ends]), random: others.min(axis=0)},
        high={name: np.array([e["high"] for e in ends]), random: others.max(axis=0)},
        marks={name: alphas[beyond]}, mark_name="beyond the natural range",
    )  # fmt: skip


def _estimates(bench: Bench, alphas, found) -> tuple[Estimate, ...]:
    middle, n, d = len(alphas) // 2, bench.n, bench.made.source.shape[1]
    step = 2 * (alphas[middle + 1] - alphas[middle])
    slope = (found[0, :, middle + 1] - found[0, :, middle - 1]) / step
    chance = np.abs(slope[1:].mean(axis=1))
    far = found[1:, :, [0, -1]].mean(axis=2)
    told = (
        ("divergence at the far ends", 0, "mean KL (nats)"),
        ("answers that change at the far ends", 1, "share"),
    )
    random = f"{len(chance)} random directions as long"
    return (
        Estimate("slope at 0", float(slope[0].mean()), **mean_interval(slope[0]), null=float(chance.mean()),
                 null_low=float(chance.min()), null_high=float(chance.max()), null_method=f"{random}, without sign",
                 n=n, d=d, estimator="change from the push before none to that after it, for one standard deviation"),
        *(Estimate(name, float(far[i, 0].mean()), **mean_interval(far[i, 0], 0.0, 1.0 if i else np.inf),
                   null=float(far[i, 1:].mean()), null_method=random, n=n, d=d, estimator=what)
          for name, i, what in told),
    )  # fmt: skip


def _cost(shapes, params: SteeringParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, params.maximum_samples) * ((params.points | 1) * (1 + params.draws) + 2 * ROWS)
    held = 10.0 * n * k + 40.0 * rows + 8.0 * k * min(k, 4096)
    held += verdict_bytes(min(n, params.maximum_samples), k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: the logit moves in a straight line, and not at all along a unit that never varies."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = SteeringParams(
        direction=ANSWERS, answer=1, number=targets.LOGIT, reader=PROBE, points=5, draws=2
    )
    line = next(iter(steering(tap, params).series.values()))
    return (
        CheckLine("a straight line", 0.0, float(np.abs(np.diff(line, 2)).max()), 1e-9),
        CheckLine("no push, no change", 0.0, float(line[2]), 1e-12),
        CheckLine("towards the answer", 0.0, float(line[-1]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="steering",
        family="attribution",
        title="Steering along a direction",
        summary="Pushes a tap along a feature, unit or difference of answers, and watches the outputs.",
        version=2,
        function=steering,
        params=SteeringParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="the length of the direction; a constant added to all logits, where a difference is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
