"""What each neuron of a language model's MLP blocks reads and writes, in tokens, from the weights alone.

    logits_t = <u_t - ū, v>      v: the up row or gate row (what it reads), the down column (what it writes)

u_t are rows of the unembedding, ū their mean: a softmax does not see a constant. Written vectors carry the gain of the
last normalisation, read ones that of the normalisation before their own block. Tokens are ranked by the cosine of u_t -
ū and v: by logit, rare tokens with long rows would come first. The *score* of a vector is its largest cosine, in
deviations of its cosines from their mean over tokens; the *entropy* is that of the softmax of the logits. Networks of
classes are read in the same way, with classes for tokens. An array is taken as an unembedding, a row for each token,
whose units are the neurons: each writes along its own axis.

Null: random directions as long as the vectors; of the cosine between what a neuron reads of the stream and what it adds
to it (without the last gain, which the stream has not seen) the same pairs exchanged within a block. Intervals:
Wilson's and bootstrap over neurons.

When it lies: a read vector is not an effect, and what is written passes later layers and a normalisation that divides
by a size of the row: only clamping a neuron (`neuron_clamp`) shows what it does. The residual stream of early layers
need not be in the basis of the unembedding, so that their tokens say little; tokens that training never saw lie close
together and may be named together.

Cost: 2 V d for each vector and neuron, in blocks of the vocabulary; memory that of a block.

References: H. Davies (2025), "Decoding specialised feature neurons in LLMs with the final projection layer"; N. Belrose
et al. (2023) for the drift of early layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.vocabulary import Said, mean_row, said_by
from analysis.compute.statistics.exchange_moments import paired_sum
from analysis.compute.statistics.nulls import bootstrap_mean, null_spread, share_over
from analysis.compute.streaming import Pass
from analysis.features.neuron_vectors import GATE, READS, WRITES, neurons_of, plain_neurons
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, PAIRS = 4, 0.05, "pairs"
HELP = {
    "neuron": "Block and number.",
    "layer": "Number of the block, from 1.",
    "writes": "Tokens that its down column points to most, by cosine.",
    "takes away": "Tokens that it points away from most.",
    "writes: cosine": "Cosine with the first of them.",
    "writes: score": "The same in deviations of its cosines from their mean: how far the first token stands out.",
    "writes: entropy": "Entropy of the softmax of its logits, in nats.",
    "length": "Length of the down column, with the gain of the last normalisation.",
    "reads": "Tokens that its up row points to most.",
    "reads: score": "How far the first of them stands out.",
    "reads: entropy": "Entropy of the softmax, in nats.",
    "gate": "Tokens that its gate row points to most.",
    "gate: score": "How far the first of them stands out.",
    "cosine of read and write": "What it reads of the stream (up row with the gain before its block) against what it "
    "adds to it (down column as it is): near 1 it strengthens what it reads.",
    "cosine of up and gate": "Of the two rows that it reads by.",
    "first token beyond chance": "Whether the score of what it writes is above that of 95 % of random directions.",
}


@dataclass(frozen=True)
class NeuronPassportParams:
    layers: str = param("", "Blocks, by name or pattern, with commas between; empty: all.")
    tokens: int = param(5, "Tokens that are named.", low=1, high=50)
    draws: int = param(200, "Random directions a block.", low=20, high=10_000)
    most: int = param(
        5000, "Most neurons in the table, those whose token stands out most.", low=10, high=100_000
    )


def neuron_passport(
    activations, params: NeuronPassportParams = NeuronPassportParams(), rng=None, progress=no_progress
) -> Table:
    """Tokens that neurons read and write.

    Parameters
    ----------
    activations : Activations
        Any recorded tap of the network, whose checkpoint is read; of an array (tokens, units) units are the neurons.

    Returns
    -------
    Table
        A line for each neuron, see `HELP`. Estimates: shares that stand out, mean cosine and entropy.

    Raises
    ------
    InputError, NotFound
        No checkpoint on disk, no MLP blocks of a known form, none of these names, no unembedding of their width.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    plain = getattr(tap, "store", None) is None
    made = plain_neurons(tap, seen) if plain else neurons_of(tap, params.layers)
    progress(0.0, "averaging the unembedding")
    mean, count = mean_row(made.unembedding)
    parts, null = [], {}
    for i, name in enumerate(made.blocks):
        progress(0.05 + 0.95 * i / len(made.blocks), f"reading {name}")
        own, chance = _layer(made, name, i, mean, params, rng)
        parts.append(own)
        for kind, drawn in chance.items():
            null.setdefault(kind, []).append(drawn)
    columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    least = float(np.percentile(np.concatenate([s for s, _ in null[WRITES]]), 95))
    columns["first token beyond chance"] = columns["writes: score"] > least
    estimates = _estimates(columns, null, mean.size, rng)
    total = len(columns["neuron"])
    shown = np.sort(np.argsort(-columns["writes: score"], kind="stable")[: params.most])
    progress(1.0, "done")
    return Table(
        title=f"What {total:,} neurons of {made.called} read and write", reading=_reading(columns, estimates),
        caveats=(*seen.notes, *made.notes, *_caveats(count, total, len(shown))), estimates=estimates,
        columns={k: c[shown] for k, c in columns.items()}, index="neuron", sort="writes: score",
        help={k: v for k, v in HELP.items() if k in columns},
    )  # fmt: skip


def _layer(made, name: str, number: int, mean: np.ndarray, params, rng) -> tuple[dict, dict]:
    """Columns of a block's neurons, and score and entropy of random directions by what is read or written."""
    layer, columns, chance = made.layer(name), {}, {}
    said: dict[str, Said] = {}
    for kind, vectors in layer.vectors.items():
        r = rng.standard_normal((params.draws, vectors.shape[1]))
        r *= (np.linalg.norm(vectors, axis=1)[rng.integers(len(vectors), size=params.draws)]
              / np.linalg.norm(r, axis=1))[:, None]  # fmt: skip
        found = said_by(made.unembedding, mean, np.vstack([vectors, r]), params.tokens)
        n = len(vectors)
        said[kind] = Said(*(getattr(found, f)[:n] for f in Said.__dataclass_fields__))
        chance[kind] = found.score[n:], found.entropy[n:]
    written = layer.vectors[WRITES]
    n, out = len(written), said[WRITES]
    columns["neuron"] = np.array([f"{name}:{j}" if made.is_network else str(made.units[j]) for j in range(n)])
    columns["layer"] = np.full(n, number + 1)
    columns["writes"], columns["takes away"] = _words(out.first, made.names), _words(out.last, made.names)
    columns |= {"writes: cosine": out.highest[:, 0], "writes: score": out.score, "writes: entropy": out.entropy,
                "length": np.linalg.norm(written, axis=1)}  # fmt: skip
    for kind in (READS, GATE):
        if kind in said:
            columns[kind], columns[f"{kind}: score"] = _words(said[kind].first, made.names), said[kind].score
    if READS in said:
        columns["reads: entropy"] = said[READS].entropy
        pair = _unit(layer.vectors[READS]), _unit(layer.plain[WRITES])
        columns["cosine of read and write"] = (pair[0] * pair[1]).sum(axis=1)
        chance[PAIRS] = paired_sum(*pair)
    if GATE in said:
        columns["cosine of up and gate"] = (_unit(layer.plain[READS]) * _unit(layer.plain[GATE])).sum(axis=1)
    return columns, chance


def _words(tokens: np.ndarray, names) -> np.ndarray:
    return np.array([" · ".join(names[t] for t in row) for row in tokens])


def _unit(a: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(a, axis=1, keepdims=True)
    return a / np.where(size > 0, size, 1.0)


def _estimates(columns, null, d: int, rng) -> tuple[Estimate, ...]:
    out, n = [], len(columns["neuron"])
    for kind in (WRITES, READS, GATE):
        if kind not in null:
            continue
        score = np.concatenate([s for s, _ in null[kind]])
        beyond = columns[f"{kind}: score"] > np.percentile(score, 95)
        what = {WRITES: "writes a token", READS: "reads a token", GATE: "is gated by a token"}[kind]
        out.append(Estimate(f"share that {what} beyond chance", **share_over(beyond, "neurons"), null=0.05,
                            null_method=f"{len(score):,} random directions as long", n=n, d=d,
                            estimator="first token's score above that of 95 % of random directions"))  # fmt: skip
    entropy = columns["writes: entropy"]
    means = np.concatenate([e for _, e in null[WRITES]])
    means = means[rng.integers(len(means), size=(500, min(n, 2000)))].mean(axis=1)
    out.append(_mean("mean entropy of what is written", entropy, rng, d, **null_spread(means),
                     null_method="random directions as long", unit="nats"))  # fmt: skip
    if "cosine of read and write" in columns:
        total, variance = np.sum(null[PAIRS], axis=0)
        middle, half = float(total / n), float(1.96 * np.sqrt(variance) / n)
        band = {} if np.isnan(half) else {"null_low": middle - half, "null_high": middle + half}
        out.append(_mean("mean cosine of read and write", columns["cosine of read and write"], rng, d, null=middle,
                         **band, null_method="what a neuron reads with what another of its block writes, exact mean "
                         "and variance of all exchanges"))  # fmt: skip
    return tuple(out)


def _mean(name: str, values: np.ndarray, rng, d: int, **more) -> Estimate:
    value, (low, high) = float(values.mean()), bootstrap_mean(values, rng, draws=300)
    return Estimate(name, value, min(float(low), value), max(float(high), value), interval="bootstrap over neurons",
                    n=len(values), d=d, **more)  # fmt: skip


def _reading(columns, estimates) -> str:
    top = int(np.argmax(columns["writes: score"]))
    said = (
        f"{estimates[0].value:.0%} of {len(columns['neuron']):,} neurons write a token that stands out more than with "
        f"random directions; most of all {columns['neuron'][top]} writes {columns['writes'][top]}"
    )
    cosine = [e for e in estimates if e.name == "mean cosine of read and write"]
    if cosine:
        said += f". What they read and write has a cosine of {cosine[0].value:.3g} on average"
    return said + "."


def _caveats(count: int, total: int, shown: int) -> list[str]:
    said = ["What is read and written is no effect: clamp a neuron to see what it does to the answer."]
    if count < 50:
        said.append(f"There are {count} outputs only: the first of them stands out little.")
    if shown < total:
        said.append(f"The {shown:,} of {total:,} neurons whose token stands out most are listed.")
    return said


def _cost(shapes, params: NeuronPassportParams) -> Cost:
    (n, d), m = shapes[0], machine()
    at_once = min(n, 4096)
    flops = 2.0 * n * d * (d + params.draws)
    return Cost(m.seconds(flops64=flops, moved=60.0 * n * (d + params.draws)) + OPENING,
                8.0 * at_once * (1.5 * d + 5.5 * (d + params.draws)))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A neuron that writes along a token's row has that token first, with cosine 1; a constant changes nothing."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 12)) * np.exp(rng.standard_normal(60))[:, None]
    rows[7] = 0.2 * np.eye(12)[3]  # a short row: by logit longer ones would come first
    rows[0] -= rows.sum(axis=0)
    tap, moved = (ArrayActivations(x, "planted") for x in (rows, rows + rng.standard_normal(12)))
    found, other = (neuron_passport(t, NeuronPassportParams(tokens=1)).columns for t in (tap, moved))
    return (
        CheckLine("the planted token is first", 1.0, float(found["writes"][3] == "7"), 0.0),
        CheckLine("its cosine", 1.0, float(found["writes: cosine"][3]), 0.01),
        CheckLine("a constant changes no cosine", 0.0,
                  float(np.abs(found["writes: cosine"] - other["writes: cosine"]).max()), 1e-10),
        CheckLine("nor any entropy", 0.0, float(np.abs(found["writes: entropy"] - other["writes: entropy"]).max()),
                  1e-10),
    )  # fmt: skip


METHODS = (
    Method(
        id="neuron_passport", family="attribution", title="Neuron passports: what neurons read and write", version=4,
        function=neuron_passport,
        summary="The tokens that each MLP neuron reads and writes, from the weights alone, against random directions.",
        params=NeuronPassportParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits; scaling a neuron's vectors, but for entropy and length",
        papers=("Decoding specialised feature neurons in LLMs with the final projection layer",),
    ),
)  # fmt: skip
