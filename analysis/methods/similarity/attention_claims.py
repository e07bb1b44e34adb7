"""Is this attention head kernel principal component analysis of its keys? The claim's consequences, each beside chance.

Taps: queries, keys and values of one layer at the same tokens of the same samples. If the claim were true
(`compute.networks.kernel_attention`), the columns of V would be eigenvectors of the centred Gram matrix G of the keys.
Per sequence, then averaged over sequences:

    largest and assigned |cosine|   of a column of V with an eigenvector: the best one, and one-to-one (largest sum)
    linear CKA, kernel CKA          of V with the first eigenvectors, and of V Vᵀ with G; unbiased
    captured by V                   share of |φ(q)|² in the span that V makes of the keys: 1 less the projection loss,
                                    both terms on the same scale; beside it the first components of G
    dimensions of G, of V           participation ratio of their spectra

Null: the tokens of V shuffled within each sequence (of G's dimensions: every unit of the keys by itself). The biased
CKA, for comparison with published numbers, has the floor d / (N + d), which stands beside it. The verdict of a line is
what the shuffles allow, p <= 5 % after Benjamini-Hochberg over the lines that test the claim.

When it lies: beyond chance is not equal to: the claim says 1; tokens of a sequence are not exchangeable (position,
repeated tokens), so that any two layers exceed shuffled tokens; untrained weights are the other null, to be recorded as
a store of its own; a random subset of tokens has another Gram matrix; V is taken before the output projection.

Cost: O(samples (N³ + draws N² d)); memory O(N² + N d).

References: R. Teo & T. Nguyen (2024), "Unveiling the hidden structure of self-attention via kernel principal component
analysis"; its reproduction "Kernel-PCA interpretation of self-attention fails"; L. Song et al. (2012); H. Kuhn (1955).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.claim_report import Line, beyond, claim_columns, claim_estimates, claim_reading
from analysis.compute.networks.head_claims import QUANTITIES, SPECTRUM_DRAWS, head_claims, sequences
from analysis.compute.networks.kernel_attention import KERNELS, key_space
from analysis.errors import InputError, ParameterError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "claim": "What is measured, mean over sequences.",
    "value": "Its value; by the claim 1 for cosines, CKA and shares.",
    "null": "The same with the tokens of V shuffled (of G's dimensions: of each unit of the keys).",
    "null low": "Lower end of the middle 95 % of shuffles.",
    "null high": "Upper end of it.",
    "p": "Chance of as much or more by shuffling; never 0 (Phipson and Smyth).",
    "verdict": "Whether it exceeds shuffled tokens, after Benjamini-Hochberg; lines without a test have none.",
}


@dataclass(frozen=True)
class AttentionClaimsParams:
    heads: int = param(1, "Number of heads the units are divided into.", low=1, high=512)
    head: int = param(0, "Which head, counted from 0.", low=0, high=511)
    kernel: str = param(
        "softmax", "Softmax is the kernel of the claim; linear takes the keys as they are.", choices=KERNELS
    )
    draws: int = param(200, "Shuffles of the tokens.", low=100, high=5000)
    maximum_tokens: int = param(
        256, "Most tokens of a sequence; a seeded random subset above.", low=8, high=2048
    )
    maximum_samples: int = param(20, "Most sequences; a seeded random subset above.", low=1, high=2000)


def attention_claims(
    queries,
    keys,
    values,
    params: AttentionClaimsParams = AttentionClaimsParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """Consequences of reading one head as kernel principal component analysis.

    Parameters
    ----------
    queries, keys, values : Activations or arrays (rows, heads x units of a head). Rows without tokens are one sequence.

    Returns
    -------
    Table
        A line for each quantity (see `help`). Estimates: the same, with intervals over sequences,
        or over tokens where there is one sequence.

    Raises
    ------
    ParameterError
        Heads that do not divide the units; a head that is not there.
    InputError, NotEnoughData
        Different places; queries and keys of different width; keys or values that never change; under three tokens.
    """
    taps = [as_activations(t) for t in (queries, keys, values)]
    rng = rng or np.random.default_rng(0)
    columns = [_head(t, params) for t in taps]
    if taps[0].shape[1] != taps[1].shape[1]:
        raise InputError(
            f"queries have {taps[0].shape[1]} units and keys {taps[1].shape[1]}", "equal numbers",
            "With grouped heads record the keys repeated for each query head",
        )  # fmt: skip
    found, notes = sequences(taps, columns, params.maximum_samples, params.maximum_tokens, rng, progress)
    lines = head_claims(found, params.kernel, params.draws, rng, progress)
    tokens = int(np.median([len(x.v) for x in found]))
    d, beyond_null = found[0].v.shape[1], beyond(lines)
    return Table(
        title=f"Is head {params.head} kernel PCA of its keys?", reading=claim_reading(lines, beyond_null),
        caveats=(*_caveats(lines, tokens, d), *notes),
        estimates=claim_estimates(lines, d, f"mean over sequences, {params.kernel} kernel"),
        columns=claim_columns(lines, beyond_null), index="claim", help=HELP,
    )  # fmt: skip


def _head(tap, params: AttentionClaimsParams) -> slice:
    d = tap.shape[1]
    if d % params.heads or params.head >= params.heads:
        raise ParameterError(
            f"heads = {params.heads}, head = {params.head} of {d} units in {tap.name}",
            "heads that divide the units, and a head of them",
        )
    width = d // params.heads
    return slice(params.head * width, (params.head + 1) * width)


def _caveats(lines: list[Line], tokens: int, d: int) -> list[str]:
    notes = [
        f"With {tokens} tokens and {d} units biased CKA has a floor of d / (N + d) = {d / (tokens + d):.2f}: published "
        "values below or near it say nothing; the tested ones are unbiased.",
        "Beyond shuffled tokens is little: compare with a store recorded from untrained weights, too.",
    ]
    if not {line.name for line in lines}.issuperset(QUANTITIES):
        notes.append(
            "Some sequence has fewer than four tokens: there is no unbiased CKA, and it is left out."
        )
    return notes


def _cost(shapes, params: AttentionClaimsParams) -> Cost:
    m, rows = machine(), min(rows for rows, _ in shapes)
    n, d = min(rows, params.maximum_tokens), max(units for _, units in shapes) // params.heads
    many = max(1, min(params.maximum_samples, rows // max(n, 1)))  # shapes do not say how long sequences are
    one = 2.0 * n * n * d * 3 + 4.0 * n * d * d + 9.0 * d**3
    flops = many * (20.0 * n**3 + (params.draws + SPECTRUM_DRAWS) * one)
    moved = many * params.draws * 8.0 * (n * n * 6 + n * d * 10)
    held = 8.0 * (many * n * d * 3 + n * n * 8.0 + n * d * 8 + d * d * 4)
    return Cost(m.seconds(flops64=flops, moved=moved, calls=many * params.draws * 150) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Values made of the eigenvectors: cosines and linear CKA 1, and all captured that the components capture; times
    the roots of the eigenvalues: kernel CKA 1. Unrelated values: CKA 0, nothing beyond the null. Queries in the span of
    the keys, linear kernel: all captured by all components."""
    rng = np.random.default_rng(55)
    layout = Layout(np.arange(3) * 40)
    q, k, noise = rng.standard_normal((3, 80, 6))
    spaces = [key_space(q[i : i + 40], k[i : i + 40], "linear") for i in range(0, 80, 40)]
    soft = [key_space(q[i : i + 40], k[i : i + 40], "softmax") for i in range(0, 80, 40)]
    made = np.vstack([s.vectors[:, :6] for s in spaces])
    scaled = np.vstack([s.vectors[:, :6] * np.sqrt(s.values[:6]) for s in spaces])
    smooth = np.vstack([s.vectors[:, :6] for s in soft])

    def run(v, kernel="linear") -> dict:
        taps = (ArrayActivations(x, layout=layout) for x in (q, k, v))
        columns = attention_claims(*taps, params=AttentionClaimsParams(kernel=kernel, draws=100)).columns
        return {name: (columns["value"][i], columns["verdict"][i]) for i, name in enumerate(columns["claim"])}

    one, root, curved, none = run(made), run(scaled), run(smooth, "softmax"), run(noise)
    largest, assigned, linear, _, gram, by_v, by_g = QUANTITIES[:7]
    return (
        CheckLine("values = eigenvectors: largest |cosine|", 1.0, one[largest][0], 1e-9),
        CheckLine("assigned |cosine|", 1.0, one[assigned][0], 1e-9),
        CheckLine("linear CKA", 1.0, one[linear][0], 1e-9),
        CheckLine("softmax kernel: assigned |cosine|", 1.0, curved[assigned][0], 1e-9),
        CheckLine("softmax kernel: captured, less by the components", 0.0, curved[by_v][0] - curved[by_g][0], 1e-9),
        CheckLine("times roots of eigenvalues: kernel CKA", 1.0, root[gram][0], 1e-9),
        CheckLine("linear kernel: all captured", 1.0, one[by_g][0], 1e-9),
        CheckLine("unrelated values: linear CKA", 0.0, none[linear][0], 0.08),
        CheckLine("unrelated: lines beyond the null", 0.0, sum(v[1] == "beyond the null" for v in none.values()), 0),
        CheckLine("eigenvectors: lines beyond the null", 4.0, sum(v[1] == "beyond the null" for v in one.values()), 0,
                  "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_claims", family="similarity", title="Attention as kernel PCA: a claim checked", version=1,
        function=attention_claims,
        summary="Whether an attention head's values are the principal components of its keys, as has been claimed.",
        params=AttentionClaimsParams, result=Table, check=_check, cost=_cost, inputs=3, matches="rows", minimum_rows=3,
        invariance="shifting the values; for cosines and what is captured scaling any of their columns; the order of "
        "tokens",
        papers=("Kernel-PCA interpretation of self-attention fails (reproduction)",),
    ),
)  # fmt: skip
