"""From which layer on is the answer there? The network's own readout at every layer (logit lens).

    answer_l = readout(h_l)        KL(answer_L || answer_l)        |top k of answer_L ∩ top k of answer_l| / k

All layers behind l are left out, so that norm, head and everything else outside the blocks are the network's own; at
the last layer the divergence is 0 and the overlap 1. With the norm *frozen* every state is divided by the size of the
last layer's: differences between layers then add up to the answer (direct attribution), and early answers are as timid
as their states are small. In text the answer is the one behind the last token. Networks
whose outputs are no classes are compared by the cosine.

Null: the lens of another sample, exact mean over all pairs. Interval: Student's over samples, Wilson's of shares. The
depth at which the top answer settles is held against layers that say other samples' answers.

When it lies: early layers need not speak the basis of the readout, so that a late answer may have been there in another
one (a trained exit may find it: `exit_divergence`); a readout that was never used there is not what a network says that
was trained to leave early; of few classes the top k are soon most of them.

Cost: as many passes of every sample as there are layers, and one.

References: R. Csordás, C. Manning & C. Potts (2025), "Do language models use their depth efficiently?"; nostalgebraist
(2020), "Interpreting GPT: the logit lens".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.lens import (
    FIRST,
    cosines,
    divergences,
    first_answers,
    lens,
    overlaps,
    settled,
    settled_by_chance,
)
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.readouts import NORMS, OWN, frozen_answers
from analysis.tokens.stream import BLOCKS, OUTPUTS, RandomStream, stream
from analysis.tokens.stream_cost import SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

NATS, OVERLAP, TOP, COSINE = (
    "KL to the answer",
    "top answers shared",
    "same top answer",
    "cosine with the answer",
)
MEASURES = (NATS, OVERLAP, TOP, COSINE)
SHOWN = 12


@dataclass(frozen=True)
class LogitLensParams:
    measure: str = param(NATS, "How a layer's answer is compared with the last one.", choices=MEASURES)
    norm: str = param(OWN, "Whose size the norm before the readout divides by.", choices=NORMS)
    maximum_samples: int = param(64, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def logit_lens(
    activations, params: LogitLensParams = LogitLensParams(), rng=None, progress=no_progress
) -> Curve:
    """The answer as each layer would give it.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    Curve
        Over layers, from the input to behind the last, with the same for other samples as its null.

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    z = lens(who, lambda f: progress(0.2 + 0.75 * f, "reading layers out")).answers
    if params.norm != OWN:
        z, said = frozen_answers(who, z)
        notes = (*notes, *said)
    measure = params.measure if who.classifies else COSINE
    if measure != params.measure:
        notes = (*notes, f"Outputs are no classes: the cosine is told instead of '{params.measure}'.")
    values, null = compared(z, measure)
    ends = [_interval(measure, v) for v in values]
    progress(1.0, "done")
    name, places = measure, ("input", *who.names)
    low, high = (
        np.array([e.get(s, v.mean()) for e, v in zip(ends, values, strict=True)]) for s in ("low", "high")
    )
    told = _estimates(z, values, null, measure, places, tap.shape[1], who.classifies)
    return Curve(
        title=f"The answer of {who.what} as each layer would give it", x=np.arange(len(places), dtype=float),
        x_name="layer", x_labels=places, y_name=measure + (" (nats)" if measure == NATS else ""),
        series={name: values.mean(axis=1)}, low={name: low}, high={name: high},
        null={} if not np.isfinite(null).all() else {name: null}, estimates=told,
        reading=_reading(values, low, null, measure, places), caveats=(*notes, *_caveats(who, z.shape[2], measure)),
    )  # fmt: skip


def compared(z: np.ndarray, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """((L + 1, n) values, (L + 1,) nulls) of answers (L + 1, n, C)."""
    logs = log_probabilities(z)
    way = {
        NATS: lambda i: divergences(logs[-1], logs[i]),
        OVERLAP: lambda i: overlaps(z[-1], z[i], shared(z.shape[2])),
        TOP: lambda i: overlaps(z[-1], z[i], 1),
        COSINE: lambda i: cosines(z[-1], z[i]),
    }[measure]
    found = [way(i) for i in range(len(z))]
    return np.stack([v for v, _ in found]), np.array([c for _, c in found])


def shared(outputs: int) -> int:
    """How many first answers are compared: five, or half of them where they are few."""
    return min(FIRST, max(outputs // 2, 1))


def _interval(measure: str, values: np.ndarray) -> dict:
    return (
        share_interval(values)
        if measure in (OVERLAP, TOP)
        else mean_interval(values, 0.0 if measure == NATS else -1.0)
    )


def _estimates(z, values, null, measure: str, places, d: int, classifies: bool) -> tuple[Estimate, ...]:
    n, out = z.shape[1], []
    for i in _few(len(places)):
        known = (
            {"null": float(null[i]), "null_method": "other samples, exact mean"}
            if np.isfinite(null[i])
            else {}
        )
        known |= _interval(measure, values[i])
        out.append(Estimate(f"{measure}, {places[i]}", float(values[i].mean()), **known, n=n, d=d,
                            estimator="mean over samples", unit="nats" if measure == NATS else ""))  # fmt: skip
    if classifies:
        top, most = z.argmax(axis=2), max(len(places) - 1, 1)
        depth, chance = settled(top) / most, settled_by_chance(top) / most
        known = (
            {"null": chance, "null_method": "layers that say other samples' answers"}
            if np.isfinite(chance)
            else {}
        )
        out.append(Estimate("relative depth at which the top answer settles", float(depth.mean()),
                            **mean_interval(depth, 0.0, 1.0), **known, n=n, d=d,
                            estimator="mean over samples"))  # fmt: skip
    return tuple(out)


def _few(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(int).tolist()))


def _reading(values, low, null, measure: str, places) -> str:
    mean = values.mean(axis=1)
    if measure == NATS:
        half = int(np.flatnonzero(mean <= mean[0] / 2)[0]) if mean[0] > 0 else 0
        return (
            f"Read out at the input the answer is {mean[0]:.3g} nats away; {places[half]} is the first with half of "
            "that or less."
        )
    beyond = np.flatnonzero(low > np.where(np.isfinite(null), null, 0))
    first = places[int(beyond[0])] if len(beyond) else "none"
    return (
        f"{measure[0].upper() + measure[1:]}: {mean[0]:.2f} at the input and {mean[len(mean) // 2]:.2f} half way; the "
        f"first place that is surely beyond other samples' is {first}."
    )


def _caveats(who, outputs: int, measure: str) -> list[str]:
    said = [f"{who.n:,} samples.", "What a layer's own basis hides from the readout may still be there."]
    if measure == OVERLAP:
        said.append(f"The first {shared(outputs)} of {outputs:,} answers are compared.")
    return said


def _check() -> tuple[CheckLine, ...]:
    """At the last layer the answer is the answer; layers that add nothing give it from the input on; other samples'
    divergence by the closed form is that of all pairs, one by one."""
    rng = np.random.default_rng(0)
    x, there = rng.standard_normal((7, 5, 8)), np.ones((7, 5), bool)
    z = lens(RandomStream(x, there, rng, 4)).answers
    still = lens(RandomStream(x, there, rng, 4, mute=(0, 1, 2, 3))).answers
    values, null = compared(z, NATS)
    logs = z - np.log(np.exp(z).sum(axis=2, keepdims=True))
    pairs = [float((np.exp(logs[-1, i]) * (logs[-1, i] - logs[1, j])).sum())
             for i in range(7) for j in range(7) if i != j]  # fmt: skip
    return (
        CheckLine("KL at the last layer", 0.0, float(values[-1].max()), 1e-12),
        CheckLine("top answers shared there", 1.0, float(compared(z, OVERLAP)[0][-1].min()), 1e-12),
        CheckLine("KL at the input of layers that add nothing", 0.0, float(compared(still, NATS)[0][0].max()), 1e-12),
        CheckLine("KL at the input of others", 0.01, float(values[0].mean()), 0.0, "at least"),
        CheckLine("other samples' divergence", float(np.mean(pairs)), float(null[1]), 1e-9),
        CheckLine("answers that settle behind layer 2", 2, int(settled(np.array([[1], [0], [3], [3]]))[0]), 0.0),
        CheckLine("marked first answers", 3, float(first_answers(rng.standard_normal((1, 9)), 3).sum()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="logit_lens", family="tokens", network="blocks",
        title="The answer layer by layer", version=3, function=logit_lens,
        summary="The network's own readout at every layer, held against its final answer (logit lens).",
        params=LogitLensParams, result=Curve, check=_check,
        cost=lambda shapes, params: passes_cost(
            shapes, params, BLOCKS + 1, 16.0 * (BLOCKS + 1) * OUTPUTS * min(shapes[0][0], params.maximum_samples)
        ),
        minimum_rows=2, invariance="the order of samples; a constant added to all logits",
        papers=("Do Language Models Use Their Depth Efficiently?", "Layer Normalization"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
