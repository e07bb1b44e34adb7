"""What does the network say while it is pushed along a direction? Texts before and after, beside random directions.

    x -> x + alpha s d        at every token of a tap, those of the prompt and those that are written

A language model goes on greedily after the first tokens of each sample, at several alpha, alpha = 0 being the text as
it was; any other network (and a probe) says its answer. d is the direction of a feature or unit, or from one answer's
samples to another's, s the standard deviation of the samples along it, as in `steering`. Beside each text stands that
of a random direction as long. Told are

    tokens that change    share of written tokens that are others than without a push
    fluency               mean log-probability (nats) that the untouched network gives to what was written

A push that works changes the text and leaves it fluent; one that breaks the network changes it as well.

Null: random directions as long, in natural deviations of units. Interval: Student's t over samples.

Verdict: the largest push is split into what is connected to the answer and what is not, and checked for dormancy and
for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: once a token is another, all that follow may be, so that the share of changed tokens is large after a
small cause; greedy texts repeat themselves; a fluent text need not be about what the direction is named after: read it;
far out every direction breaks the network.

Cost: samples x pushes x (1 + draws) x written tokens rows through the network.

References: A. Turner et al. (2023), "Steering language models with activation engineering"; D. Arad, A. Mueller & Y.
Belinkov (2025), "SAEs are good for steering - if you select the right features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.random_directions import random_directions
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench
from analysis.interventions.bench_verdict import ROWS, Verdict, verdict_bytes, verdict_on
from analysis.interventions.continuations import Said, said, words_of
from analysis.interventions.directions import between_answers, feature_direction
from analysis.interventions.interventions import steered
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEATURE, ANSWERS = "a feature or unit", "between two answers"
SHOWN = 80  # characters of a prompt
HELP = {
    "line": "A sample and a push.",
    "prompt": "The end of what stands before; of other data the sample.",
    "push": "In standard deviations of the samples along the direction; 0 is the text before.",
    "says": "What the network goes on with, or its answer.",
    "random direction says": "The same along a random direction as long.",
    "tokens that change": "Share of it that is another than without a push.",
    "by chance": "The same along random directions, their mean.",
    "fluency": "Mean log-probability (nats) a token, in the untouched network.",
    "fluency by chance": "The same along random directions, their mean.",
}


@dataclass(frozen=True)
class SteeringTranscriptsParams(BenchParams):
    direction: str = param(FEATURE, "Along what is pushed.", choices=(FEATURE, ANSWERS))
    feature: int = param(0, "Which feature or unit, by its number.", low=0, high=10_000_000)
    against: int | None = param(
        None, "Second of two answers; automatic: the second most frequent.", low=0, high=1_000_000
    )
    farthest: float = param(
        8.0, "Largest push, in standard deviations.", label="largest push", low=0.01, high=1000.0
    )
    points: int = param(5, "Pushes from one end to the other; odd, so that one is none.", low=3, high=41)
    prompt: int = param(24, "Tokens of a text that stand before.", label="prompt tokens", low=1, high=4096)
    length: int = param(16, "Tokens that are written.", label="written tokens", low=1, high=256)
    draws: int = param(3, "Random directions beside it.", label="random directions", low=2, high=50)
    maximum_samples: int = param(
        12, "Most samples; a seeded random subset above.", low=8, high=1000, late=True
    )


def steering_transcripts(
    activations,
    params: SteeringTranscriptsParams = SteeringTranscriptsParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """Texts at several pushes.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap that is pushed; one that a feature set encoded has its features, any other its units.

    Returns
    -------
    Table
        A line for each sample and push, see `HELP`. Estimates: tokens that change and fluency at the largest push.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such feature or answer; a tap that
        does not vary; more tokens than the network can read.
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
    alphas = alphas[np.argsort(np.abs(alphas), kind="stable")]  # none first
    ways = np.concatenate([way[None], random_directions(way, deviation, params.draws, rng)])
    pushes = np.concatenate([np.zeros((1, len(way))), *(np.outer(alphas[1:] * scale, w) for w in ways)])
    found = said(bench, pushes, params.prompt, params.length, progress, (0.1, 0.9))
    cells = [steered(bench.site, way, float(alphas[-1]) * scale)] * len(bench.runs)
    claim = f"a push of {alphas[-1]:g} along {name}", cells
    verdict = verdict_on(bench, [claim], rng, progress, (0.9, 1.0), sized=True)
    progress(1.0, "done")
    return _table(bench, params, name, alphas, found, verdict)


def _by_way(x: np.ndarray, ways: int) -> np.ndarray:
    """(ways, pushes, n, …) of values (n, 1 + ways * (pushes - 1), …): every way begins with no push."""
    rest = np.moveaxis(x[:, 1:].reshape(len(x), ways, -1, *x.shape[2:]), 0, 2)
    none = np.broadcast_to(x[:, 0], (ways, 1, *x[:, 0].shape))
    return np.concatenate([none, rest], axis=1)


def _table(bench: Bench, params, name: str, alphas, found: Said, verdict: Verdict) -> Table:
    ways, n = params.draws + 1, len(found.prompts)
    turned, fluency, written = (_by_way(v, ways) for v in (found.turned, found.fluency, found.written))
    order = np.argsort(alphas, kind="stable")
    lines = [(i, a) for i in range(n) for a in order]
    pick = lambda x: np.array([x[a, i] for i, a in lines])  # noqa: E731
    columns = {
        "line": np.array([f"{bench.samples.samples[i]} at {alphas[a]:+.3g}" for i, a in lines]),
        "prompt": np.array([found.prompts[i][-SHOWN:] for i, _ in lines]),
        "push": np.array([alphas[a] for _, a in lines]),
        "says": np.array([words_of(bench, written[0, a, i]) for i, a in lines]),
        "random direction says": np.array([words_of(bench, written[1, a, i]) for i, a in lines]),
        "tokens that change": pick(turned[0]), "by chance": pick(turned[1:].mean(axis=0)),
        "fluency": pick(fluency[0]), "fluency by chance": pick(fluency[1:].mean(axis=0)),
    }  # fmt: skip
    estimates = _estimates(bench, params, turned, fluency)
    return Table(
        title=f"What {bench.what} says when it is pushed along {name}",
        reading=_reading(params, name, estimates, columns, verdict),
        caveats=(*bench.notes, *bench.made.notes, "Texts are the likeliest token each time; the first random direction "
                 "is shown, all are counted.", *verdict.caveats),
        estimates=(*estimates, *verdict.estimates), columns=columns, index="line", help=HELP,
    )  # fmt: skip


def _estimates(bench: Bench, params, turned, fluency) -> tuple[Estimate, ...]:
    n, d = turned.shape[2], bench.made.source.shape[1]
    random, made = f"{params.draws} random directions as long", []
    for name, x, ends, what in (
        ("tokens that change at the largest push", turned[:, -2:].mean(axis=1), (0.0, 1.0), "share of written tokens"),
        ("fluency lost at the largest push", (fluency[:, :1] - fluency[:, -2:]).mean(axis=1), (-np.inf, np.inf),
         "log-probability (nats a token) in the untouched network, of the text before less that after"),
    ):  # fmt: skip
        chance = x[1:].mean(axis=1)
        made.append(Estimate(name, float(x[0].mean()), **mean_interval(x[0], *ends), null=float(chance.mean()),
                             null_low=float(chance.min()), null_high=float(chance.max()), null_method=random, n=n, d=d,
                             estimator=f"mean over samples and both signs, {what}"))  # fmt: skip
    return tuple(made)


def _reading(params, name: str, estimates, columns, verdict: Verdict) -> str:
    turned, lost = estimates
    first = int(np.argmax(columns["tokens that change"]))
    return (
        f"At {params.farthest:g} standard deviations along {name} {turned.value:.0%} of what is said is other (random "
        f"directions {turned.null:.0%}), at a loss of {lost.value:.2f} nats a token ({lost.null:.2f}). Sample "
        f"{columns['line'][first]} says “{columns['says'][first].strip()}”. {verdict.sentence}"
    )


def _cost(shapes, params: SteeringTranscriptsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = samples * ((params.points | 1) * (1 + params.draws) * params.length + ROWS)
    held = 10.0 * n * k + 4.0 * rows + 8.0 * k * min(k, 4096)
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: far along the classes' difference every sample is answered one way, and the other way back."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 6.0 + rng.standard_normal(40), rng.standard_normal((40, 2))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    asked = SteeringTranscriptsParams(direction=ANSWERS, answer=1, against=0, reader=PROBE, draws=2)
    found = steering_transcripts(tap, asked).columns
    end = {a: set(found["says"][found["push"] == a]) for a in (-8.0, 8.0)}
    none = found["push"] == 0
    return (
        CheckLine("all say 1 at the far end", 1.0, float(end[8.0] == {"1"}), 0.0),
        CheckLine("all say 0 at the other", 1.0, float(end[-8.0] == {"0"}), 0.0),
        CheckLine("nothing changes without a push", 0.0, float(found["tokens that change"][none].max()), 0.0),
    )


METHODS = (
    Method(
        id="steering_transcripts", family="attribution", title="Steering transcripts", version=1,
        function=steering_transcripts, params=SteeringTranscriptsParams, result=Table, check=_check, cost=_cost,
        summary="What a network says before and after a push along a direction, beside random directions as long.",
        minimum_rows=FEWEST, invariance="the length of the direction; a constant added to all logits",
        papers=("SAEs are good for steering — with the right features",), libraries=("torch",),
    ),
)  # fmt: skip
