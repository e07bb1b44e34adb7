"""Do the neurons of two checkpoints read and write the same tokens? Same-first-token rate, block by block.

Neurons are matched by their place. For each kind of vector (up row, gate row, down column; see `neuron_passport`) the
rate is the share of neurons whose first token, by cosine on the unembedding of their own checkpoint, is the same in
both; the cosine is that of the two vectors themselves. After fine-tuning rates near 1 say that neurons kept what they
read and write, and that what changed is elsewhere.

Null: the first tokens of other neurons of the block, Σ_t p(t) q(t): what frequent first tokens alone give. Interval:
Wilson's, neurons as draws.

When it lies: checkpoints that were not trained one from the other have their neurons in another order, so that nothing
agrees by place; both must have one vocabulary; a first token can change where two cosines nearly tie; the same token
in both is no proof of the same effect.

Cost: 2 V d for each vector and neuron of both, in blocks of the vocabulary.

References: H. Davies (2025), "Decoding specialised feature neurons in LLMs with the final projection layer"; E. Wilson
(1927).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.vocabulary import mean_row, said_by
from analysis.compute.statistics.nulls import wilson
from analysis.compute.streaming import Pass
from analysis.errors import InputError, ParameterError
from analysis.features.neuron_vectors import GATE, READS, WRITES, neurons_of, plain_neurons
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING = 4, 0.05
KINDS = {READS: "up row (reads)", GATE: "gate row (reads)", WRITES: "down column (writes)"}
HELP = {
    "block": "Name of the block, as in the first checkpoint.",
    "vector": "Which of the neurons' vectors.",
    "neurons": "How many were held against each other.",
    "same first token": "Share whose first token is the same in both.",
    "low": "95 % interval of it.",
    "high": "95 % interval of it.",
    "by chance": "Share with the first tokens of other neurons of the block.",
    "same among the first": "Share whose first token is among the first tokens of the other.",
    "cosine": "Mean cosine of a neuron's two vectors.",
}


@dataclass(frozen=True)
class PassportAgreementParams:
    layers: str = param("", "Blocks, by name or pattern, with commas between; empty: all.")
    tokens: int = param(5, "How many count as the first tokens.", low=1, high=50)


def passport_agreement(
    first, second, params: PassportAgreementParams = PassportAgreementParams(), rng=None, progress=no_progress
) -> Table:
    """Agreement of the neurons of two networks.

    Parameters
    ----------
    first, second : Activations
        Any recorded tap of each of two checkpoints of one architecture; of arrays (tokens, units) as
        `neuron_passport`.

    Returns
    -------
    Table
        A line for each block and vector, see `HELP`. Estimates: the rate over all blocks for each vector.

    Raises
    ------
    InputError, NotFound, ParameterError
        As `neuron_passport`; other blocks, widths or vocabularies in the second.
    """
    taps, seen = [as_activations(t) for t in (first, second)], (Pass(), Pass())
    plain = [getattr(t, "store", None) is None for t in taps]
    if any(plain) and not all(plain):
        raise ParameterError("an array beside a recorded tap", "two of one sort")
    both = [plain_neurons(t, s) if p else neurons_of(t, params.layers)
            for t, s, p in zip(taps, seen, plain, strict=True)]  # fmt: skip
    names = list(both[0].blocks)
    if len(names) != len(both[1].blocks):
        raise InputError(f"{len(names)} block(s) in {taps[0].name} and {len(both[1].blocks)} in {taps[1].name}",
                         "checkpoints of one architecture")  # fmt: skip
    progress(0.0, "averaging the unembeddings")
    means = [mean_row(m.unembedding)[0] for m in both]
    lines, tokens = [], {}
    for i, pair in enumerate(zip(names, both[1].blocks, strict=True)):
        progress(0.05 + 0.95 * i / len(names), f"reading {pair[0]}")
        layers = [m.layer(name) for m, name in zip(both, pair, strict=True)]
        for kind in KINDS:
            if all(kind in layer.vectors for layer in layers):
                vectors = [layer.vectors[kind] for layer in layers]
                _refuse_other_shapes(vectors, both, taps)
                found = [said_by(m.unembedding, mean, v, params.tokens).first
                         for m, mean, v in zip(both, means, vectors, strict=True)]  # fmt: skip
                tokens.setdefault(kind, []).append(found)
                lines.append(_line(pair[0], kind, found, vectors))
    estimates = tuple(_estimate(kind, found, means[0].size) for kind, found in tokens.items())
    progress(1.0, "done")
    return Table(
        title=f"Neurons of {both[0].called} and {both[1].called}: the same tokens?",
        reading=_reading(estimates),
        caveats=tuple(dict.fromkeys([*seen[0].notes, *seen[1].notes, *both[0].notes, *both[1].notes,
                                     "Neurons are matched by their place: of networks trained apart that means "
                                     "nothing."])),
        estimates=estimates, columns={k: np.array([line[k] for line in lines]) for k in HELP}, index="block", help=HELP,
    )  # fmt: skip


def _refuse_other_shapes(vectors, both, taps) -> None:
    sizes = [(*v.shape, len(m.names)) for v, m in zip(vectors, both, strict=True)]
    if sizes[0] != sizes[1]:
        said = [f"{n:,} neurons of width {d:,} and {v:,} outputs" for n, d, v in sizes]
        raise InputError(
            f"{taps[0].name} has {said[0]}, {taps[1].name} {said[1]}", "checkpoints of one architecture"
        )


def _line(block: str, kind: str, tokens, vectors) -> dict:
    a, b = tokens
    same = a[:, 0] == b[:, 0]
    low, high = wilson(same.sum(), len(same))
    size = np.linalg.norm(vectors[0], axis=1) * np.linalg.norm(vectors[1], axis=1)
    cosine = (vectors[0] * vectors[1]).sum(axis=1) / np.where(size > 0, size, 1.0)
    return {
        "block": block, "vector": KINDS[kind], "neurons": len(same), "same first token": float(same.mean()),
        "low": low, "high": high, "by chance": _chance(a[:, 0], b[:, 0]),
        "same among the first": float((a[:, :1] == b).any(axis=1).mean()), "cosine": float(cosine.mean()),
    }  # fmt: skip


def _chance(a: np.ndarray, b: np.ndarray) -> float:
    """The share of pairs of other neurons with the same token."""
    n, top = len(a), int(max(a.max(), b.max())) + 1
    p, q = (np.bincount(x, minlength=top) / len(x) for x in (a, b))
    return float((n**2 * (p @ q) - (a == b).sum()) / max(n * (n - 1), 1))


def _estimate(kind: str, found, d: int) -> Estimate:
    same = np.concatenate([a[:, 0] == b[:, 0] for a, b in found])
    chance = np.average([_chance(a[:, 0], b[:, 0]) for a, b in found], weights=[len(a) for a, _ in found])
    value, (low, high) = float(same.mean()), wilson(same.sum(), len(same))
    return Estimate(
        f"same first token, {KINDS[kind]}", value, min(low, value), max(high, value), interval="Wilson over neurons",
        null=float(chance), null_method="first tokens of other neurons of the block", n=len(same), d=d,
        estimator="share of neurons whose first token by cosine is the same",
    )  # fmt: skip


def _reading(estimates) -> str:
    said = [f"{e.value:.0%} by the {e.name.split(', ')[1]} ({e.null:.1%} by chance)" for e in estimates]
    return f"The first token of a neuron is the same in both checkpoints for {', '.join(said)}."


def _cost(shapes, params: PassportAgreementParams) -> Cost:
    m, n, d = machine(), max(r for r, _ in shapes), max(u for _, u in shapes)
    at_once = min(n, 4096)
    return Cost(m.seconds(flops64=4.0 * n * d * d, moved=120.0 * n * d) + OPENING, 8.0 * at_once * 7.5 * d)


def _check() -> tuple[CheckLine, ...]:
    """Identical checkpoints agree wholly; of ten neurons three that were given to other tokens do not."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((80, 10))
    other = rows[:, [1, 2, 0, *range(3, 10)]]
    same, some = (passport_agreement(ArrayActivations(rows), ArrayActivations(x)) for x in (rows, other))
    return (
        CheckLine("identical checkpoints", 1.0, same.estimates[0].value, 0.0),
        CheckLine("seven of ten kept", 0.7, some.estimates[0].value, 0.0),
    )


METHODS = (
    Method(
        id="passport_agreement", family="attribution", title="Neuron passports of two checkpoints", version=1,
        function=passport_agreement,
        summary="How many neurons of two checkpoints read and write the same first token.",
        params=PassportAgreementParams, result=Table, check=_check, cost=_cost, inputs=2, matches="nothing",
        checkpoints=True, minimum_rows=FEWEST, roles=("first checkpoint", "second checkpoint"),
        invariance="a constant added to all logits; scaling a neuron's vectors",
        papers=("Decoding specialised feature neurons in LLMs with the final projection layer",),
    ),
)  # fmt: skip
