"""Would another kernel of attention tell this head's queries apart? Softmax and linear kernels on the same q and k.

    confused        share of pairs of queries that differ (by over half of the median distance) and whose rows do not
                    (total variation at most 0.02)
    q and 2 q       mean total variation between the rows of q and of 2 q: linear kernels whose rows are made whole give
                    0 where the map of features is homogeneous (ReLU), softmax and taking the mean off do not
    on neighbours   mass inside the 3 x 3 patches (three words) around the query; read alike it is 9 / N inside

Rows sum to 1 for all of them; with the mean taken off weights may be negative. Of text the first two are of all keys of
the sample: where each query reads its own number of keys, the mask alone would tell queries apart.

Interval: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and covariance, of the
same kernel: what its form does without this head's keys.

When it lies: the network was trained with softmax, and its queries and keys would be others under another kernel;
softmax confuses queries, too, along directions in which all keys agree; text of few tokens has few pairs.

Cost: one pass of each sample; N² e for each kernel and sample, of at most 128 queries.

References: D. Han et al. (2024), "Bridging the divide: reconsidering softmax and linear attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import asked_head, heads_of, planted
from analysis.tokens.attention.kernels import (
    KERNELS,
    confused,
    longer_apart,
    relu_linear,
    softmax,
    subtractive,
)
from analysis.tokens.attention.measures import places
from analysis.tokens.attention.memory import like_both
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, QUERIES = 4.0, 128
CONFUSED, LONGER, NEAR = "confused pairs", "q and 2 q apart", "mass on neighbours"
HELP = {
    "kernel": "How weights are made of queries and keys.",
    CONFUSED: "Share of pairs of clearly different queries that read the same.",
    "confused, low": "95 % interval of it over samples.",
    "confused, high": "95 % interval of it over samples.",
    "confused by chance": "Of Gaussian queries and keys of the same joint mean and covariance.",
    LONGER: "How far the rows of q and of 2 q are apart (total variation); 0: not told apart.",
    NEAR: "Mass on the 3 x 3 patches, or three words, around the query.",
    "near, low": "95 % interval of it over samples.",
    "near, high": "95 % interval of it over samples.",
    "near, read alike": "The same where all keys are read alike.",
}


@dataclass(frozen=True)
class KernelConfusionParams:
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    maximum_samples: int = param(
        16, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def kernel_confusion(
    activations, params: KernelConfusionParams = KernelConfusionParams(), rng=None, progress=no_progress
) -> Table:
    """Kernels of attention on the queries and keys of one head.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Table
        A line for each kernel.

    Raises
    ------
    ParameterError, NotEnoughData
        No such layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    layer, head = asked_head(reader, params.layer, params.head)
    told = np.zeros((reader.n, len(KERNELS), 4))
    for b in range(reader.n):
        progress(0.4 + 0.6 * b / reader.n, "kernels")
        told[b] = _of_sample(reader, b, layer, head, rng)
    progress(1.0, "done")
    return _table(reader, layer, head, told)


def _of_sample(reader, b: int, layer: int, head: int, rng) -> np.ndarray:
    """(kernels, 4): confused, by chance, q and 2 q, mass on neighbours."""
    there = np.flatnonzero(reader.layout.present[b])
    asked = np.sort(rng.choice(len(there), min(QUERIES, len(there)), replace=False))
    q, k = (x[layer][b, head][there].astype(np.float64) for x in (reader.queries, reader.keys))
    causal = reader.layout.causal
    every = np.ones((len(asked), len(there)), bool)
    may = asked[:, None] >= np.arange(len(there)) if causal else every
    other_q, other_k = like_both(q, k, rng, reader.mean_first)
    other_q = other_q[asked]
    near, placed = near_tokens(reader, b, there)
    found = []
    for kernel in KERNELS.values():
        mass = (kernel(q[asked], k, may) * near[asked]).sum(axis=1)[placed[asked]]
        same, chance = confused(q[asked], kernel(q[asked], k, every)), kernel(other_q, other_k, every)
        found.append((same, confused(other_q, chance),
                      longer_apart(kernel, q[asked], k, every), float(mass.mean()) if len(mass) else 0.0))  # fmt: skip
    return np.array(found)


def near_tokens(reader, b: int, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((m, m) bool: beside each other or the same, (m,) bool: it has a place) of the tokens of a sample."""
    at, has = places(reader.layout)
    at, has = at[b][there], has[b][there]
    near = np.abs(at[:, None] - at[None]).max(axis=2) <= 1
    return near & has[:, None] & has, has


def _even(reader) -> float:
    """Mass on neighbours where all keys are read alike, mean over samples."""
    found = []
    for b in range(reader.n):
        there = np.flatnonzero(reader.layout.present[b])
        near, placed = near_tokens(reader, b, there)
        may = np.tri(len(there)) if reader.layout.causal else np.ones((len(there), len(there)))
        if placed.any():
            found.append(((near * may).sum(axis=1) / may.sum(axis=1))[placed].mean())
    return float(np.mean(found)) if found else 0.0


def _table(reader, layer: int, head: int, told: np.ndarray) -> Table:
    mean, names, even = told.mean(axis=0), list(KERNELS), _even(reader)
    ends = {i: [mean_interval(told[:, j, i]) for j in range(len(names))] for i in (0, 3)}
    least, most = (names[f(mean[:, 0])] for f in (np.argmin, np.argmax))
    alike = " All kernels confuse fewer than 1 in 1,000 pairs." if mean[:, 0].max() < 1e-3 else (
        " All kernels confuse equally many." if np.ptp(mean[:, 0]) < 1e-12 else
        f" {most} confuses most ({mean[:, 0].max():.1%} of pairs), {least} least ({mean[:, 0].min():.1%})."
    )  # fmt: skip
    blind = [n for n, v in zip(names, mean[:, 2], strict=True) if v < 1e-9]
    facts = {"n": reader.n, "d": reader.queries[0].shape[3], "estimator": "mean over samples"}
    return Table(
        title=f"Kernels on the queries and keys of layer {layer + 1}, head {head + 1}",
        reading="Two queries are confused where they differ and get nearly the same row of attention. "
        + (f"{', '.join(blind)} cannot tell q from 2 q.{alike}" if blind else f"All tell q from 2 q.{alike}"),
        caveats=(*reader.notes, *_caveats(reader)),
        estimates=tuple(
            Estimate(f"{CONFUSED}, {name}", float(mean[i, 0]), **mean_interval(told[:, i, 0], 0.0, 1.0),
                     null=float(mean[i, 1]), null_method="Gaussian queries and keys of the same covariances", **facts)
            for i, name in enumerate(names)
        ),
        columns={
            "kernel": np.array(names), CONFUSED: mean[:, 0],
            "confused, low": np.array([max(e["low"], 0.0) for e in ends[0]]),
            "confused, high": np.array([min(e["high"], 1.0) for e in ends[0]]), "confused by chance": mean[:, 1],
            LONGER: mean[:, 2], NEAR: mean[:, 3], "near, low": np.array([e["low"] for e in ends[3]]),
            "near, high": np.array([e["high"] for e in ends[3]]), "near, read alike": np.full(len(names), even),
        }, index="kernel", help=HELP,
    )  # fmt: skip


def _caveats(reader) -> list[str]:
    said = ["The network was trained with softmax; another kernel would train others."]
    if reader.layout.causal:
        said.append(
            "Queries are told apart by all keys of a text, later ones too: a mask tells any two apart."
        )
    if reader.layout.present.sum(axis=1).max() > QUERIES:
        said.append(f"At most {QUERIES} queries of a sample were asked, at random.")
    return said


def _cost(shapes, params: KernelConfusionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    flops = 30.0 * rows * RUN * d
    return Cost(
        OPENING + m.seconds(flops64=flops, moved=held + 8.0 * n * d, calls=2000.0 * samples) + 2e-3 * passes,
        held,
        passes,
    )


def _check() -> tuple[CheckLine, ...]:
    """q and 2 q of the kernels; softmax along v with K v constant; even mass on 3 x 3 patches."""
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 30, 6))
    may = np.ones((30, 30), bool)
    off = subtractive(q, k, may)
    k1 = np.column_stack([k, np.ones(30)])
    q1 = np.column_stack(
        [np.repeat(q[:1], 30, axis=0), 5 * np.arange(30)]
    )  # differ along v with K v constant
    side = planted(np.zeros((2, 49, 1)), np.zeros((2, 49, 1)), (7, 7))
    inside = near_tokens(side, 0, np.arange(49))[0].mean(axis=1).max()
    return (
        CheckLine("ReLU, linear: q and 2 q", 0.0, longer_apart(relu_linear, q, k, may), 1e-12),
        CheckLine("softmax tells q from 2 q", 0.1, longer_apart(softmax, q, k, may), 0.0, "at least"),
        CheckLine("mean taken off tells q from 2 q", 0.1, longer_apart(subtractive, q, k, may), 0.0, "at least"),
        CheckLine("mean taken off: rows sum to 1", 0.0, np.abs(off.sum(axis=1) - 1).max(), 1e-12),
        CheckLine("softmax along v: confused", 1.0, confused(q1, softmax(q1, k1, may)), 0.0),
        CheckLine("softmax of free queries: confused", 0.0, confused(q, softmax(q, k, may)), 0.0),
        CheckLine("ELU + 1: keys 1 and 0 to a query of 0", 2 / 3,
                  KERNELS["ELU + 1, linear"](*np.array([[[0.0]] * 2, [[1.0], [0.0]]]), np.ones((2, 2)))[0, 0], 1e-12),
        CheckLine("3 x 3 of 49, inside", 9 / 49, inside, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="kernel_confusion", family="tokens", network="attention", title="Kernels that confuse queries", version=4,
        function=kernel_confusion,
        summary="Softmax and linear kernels on one head's queries and keys: what is confused, how local rows are.",
        params=KernelConfusionParams, result=Table, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of keys",
        papers=("Bridging the Divide: Reconsidering Softmax and Linear Attention",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
