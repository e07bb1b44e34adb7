"""Does the answer need all links of attention? It is asked again with random keys left out for every query.

At each share p every query of every head keeps ⌈p m⌉ of its m keys at random, T times. For each p

    single draw    mean loss of one thinned run
    average        loss of the mean of T thinned answers
    all keys       loss of the network as it is

the loss being -log p of the answer that the network gives with all keys, so that it says how far the answer moves and
not whether it is right. As -log is convex, the average never loses more than single draws do (Jensen); how much less
says how much of an ensemble there is. The spread of logits over draws is told beside it; at p = 1 it is 0. A probe
reads means over tokens, of which a share is kept instead.

Interval: Student's t over samples. Null: an answer that is the same for all outputs, log C.

When it lies: keys that are left out at random are no keys that the network could do without by choice; with few tokens
⌈p m⌉ jumps; causal texts have queries of few keys at their beginning; a loss to the network's own answer hides that it
may be wrong.

Cost: samples x shares x T forward passes.

References: M. S. Hussain, M. J. Zaki & D. Subramanian (2023), "The information pathways hypothesis: transformers are
dynamic self-ensembles".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.features.answers import log_softmax
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.interventions.thinned_draws import of_network, of_probe
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SHARES = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
OPENING, FEWEST, TOLD = 5.0, 8, 2  # seconds; samples; the share that estimates are of
SINGLE, AVERAGE, ALL = "single draw", "average of the draws", "all keys"


@dataclass(frozen=True)
class AttentionThinningParams:
    draws: int = param(8, "Thinned runs of every sample, at every share.", low=2, high=500)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(40, "Most samples; a seeded random subset above.", low=8, high=10_000)


def attention_thinning(
    activations, params: AttentionThinningParams = AttentionThinningParams(), rng=None, progress=no_progress
) -> Curve:
    """Loss of the network's answer over the share of keys that are kept.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of a probe shares of a sample's tokens are kept.

    Returns
    -------
    Curve
        Single draws, their average and all keys, over shares. Estimates: at half of the keys the gain of averaging, the
        spread of logits, and how many answers stay.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no attention that can be thinned; fewer than eight samples.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    source = getattr(tap, "source", None)
    tap = tap if source is None else source()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(tap, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (0.05, 0.1), live=True)  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    draw = of_network if samples.is_network else of_probe
    clean, drawn = draw(samples, SHARES, params.draws, rng, progress)
    progress(1.0, "done")
    return _curve(samples, clean, drawn, params, tap.shape[1], (*seen.notes, *notes))


def losses(clean: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """(shares, n) nats of the answer that all keys give (n, C), of logits (shares, draws, n, C)."""
    answer = clean.argmax(axis=1)
    each = np.arange(len(answer))
    logs = log_softmax(drawn)
    average = logsumexp(logs, axis=1) - np.log(drawn.shape[1])
    return {
        SINGLE: -logs[:, :, each, answer].mean(axis=1), AVERAGE: -average[:, each, answer],
        ALL: np.broadcast_to(-log_softmax(clean)[each, answer], (len(SHARES), len(answer))),
    }  # fmt: skip


def _curve(samples, clean, drawn, params, d: int, notes) -> Curve:
    found, n = losses(clean, drawn), len(clean)
    reach = stdtrit(n - 1, 0.975) / np.sqrt(n)
    half = {name: reach * v.std(axis=1, ddof=1) for name, v in found.items()}
    series = {name: v.mean(axis=1) for name, v in found.items()}
    chance = np.full(len(SHARES), np.log(clean.shape[1]))
    unit = "keys" if samples.is_network else "tokens"
    return Curve(
        title=f"The answer of {samples.what} with a share of {unit}", reading=_reading(series, clean, drawn, unit),
        caveats=(*notes, *_caveats(samples, params)), estimates=_estimates(found, clean, drawn, d),
        x=SHARES, x_name=f"share of {unit} that every query keeps" if samples.is_network else "share of tokens kept",
        y_name="loss of the full answer (nats)", series=series, null={SINGLE: chance},
        low={name: np.maximum(v - half[name], 0) for name, v in series.items()},
        high={name: v + half[name] for name, v in series.items()},
    )  # fmt: skip


def _stay(clean, drawn) -> np.ndarray:
    """(shares, n): share of draws with the same answer as all keys."""
    return (drawn.argmax(axis=-1) == clean.argmax(axis=1)).mean(axis=1)


def _spread(drawn) -> np.ndarray:
    """(shares, n) standard deviation of logits over draws, root mean square over outputs."""
    return np.sqrt(drawn.var(axis=1, ddof=1).mean(axis=-1))


def _estimates(found, clean, drawn, d: int) -> tuple[Estimate, ...]:
    n, at = len(clean), f"at {SHARES[TOLD]:.0%}"
    gain, spread = (
        np.maximum(found[SINGLE] - found[AVERAGE], 0)[TOLD],
        _spread(drawn),
    )  # below 0 by rounding alone
    stay, same = _stay(clean, drawn)[TOLD], 1 / clean.shape[1]
    return (
        Estimate(f"gain of averaging {at}", float(gain.mean()), **mean_interval(gain, 0.0), null=0.0, unit="nats",
                 null_method="draws that do not differ", n=n, d=d, estimator="loss of a draw less that of the average"),
        Estimate(f"spread of logits {at}", float(spread[TOLD].mean()), **mean_interval(spread[TOLD], 0.0),
                 null=float(spread[-1].mean()), null_method="all keys kept", n=n, d=d,
                 estimator="standard deviation over draws"),
        Estimate(f"answers that stay {at}", float(stay.mean()), **mean_interval(stay, 0.0, 1.0), null=same,
                 null_method="any output alike", n=n, d=d, estimator="share of draws"),
    )  # fmt: skip


def _reading(series, clean, drawn, unit: str) -> str:
    stay = _stay(clean, drawn).mean(axis=1)
    gain = series[SINGLE][TOLD] - series[AVERAGE][TOLD]
    return (
        f"With half of the {unit} {stay[TOLD]:.0%} of single draws give the full answer, with a tenth {stay[0]:.0%}; "
        f"averaging the draws at a half gains {gain:.3g} nats of {series[SINGLE][TOLD]:.3g}."
    )


def _caveats(samples, params) -> list[str]:
    said = [f"{params.draws} draws of each of {len(samples.samples):,} samples at each share."]
    if not samples.is_network:
        said.append("A probe has no attention: tokens of a sample are left out of the mean that it reads.")
    said.append("Loss is of the answer with all of them, not of the truth.")
    return said


def _cost(shapes, params: AttentionThinningParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    passes = samples * params.draws * len(SHARES)
    held = 14.0 * n * k + 500.0 * samples * params.draws
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * k) + 5e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A probe of six tokens a sample: all kept, nothing spreads; averages never lose more; fewer tokens spread more."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 3
    x = np.repeat(2 * np.eye(5)[label], 6, axis=0) + rng.standard_normal((240, 5))
    tap = ArrayActivations(x, name="planted", samples={"label": label}, layout=Layout(np.arange(0, 241, 6)))
    found = attention_thinning(tap, AttentionThinningParams(reader=PROBE))
    single, average, whole = (found.series[name] for name in (SINGLE, AVERAGE, ALL))
    return (
        CheckLine("spread with all tokens", 0.0, found.estimates[1].null, 1e-9),
        CheckLine("all tokens: single draw is the full answer", float(whole[-1]), float(single[-1]), 1e-9),
        CheckLine(
            "Jensen: the average never loses more", 0.0, float((single - average).min()), 1e-12, "at least"
        ),
        CheckLine("fewer tokens lose more", float(single[-1]), float(single[0]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="attention_thinning",
        family="attribution",
        title="Does the answer need all of attention?",
        summary="Random keys are left out for every query: how far the answer moves, alone and averaged over draws.",
        version=1,
        function=attention_thinning,
        params=AttentionThinningParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits",
        papers=("The Information Pathways Hypothesis: Transformers are Dynamic Self-Ensembles",),
        libraries=("torch", "transformers"),
    ),
)
