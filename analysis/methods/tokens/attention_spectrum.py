"""How low-rank is what a head reads, and how many landmark tokens would do? Softmax beside a Gaussian kernel.

    singular values   σ_i / σ_1 of the T x T matrix of a head, mean over heads and samples
    landmarks         |K - C X R| / |K|: what is left when m landmarks stand for all queries and keys, C what all
                      queries read of the landmarks, R what landmarks read of all keys, X Nyström's core or the best

of softmax attention and of exp(-|q - k|² / 2) on the same queries and keys (`analysis.tokens.attention.landmarks`).
Landmarks are means of neighbouring tokens, means of k-means clusters of queries and keys together, or tokens. Where the
network pays other weights than the softmax of q k' (windows, biases, learned maps in its place), these are drawn beside
the plain softmax of the same queries and keys. q k' itself has no higher rank than the head is wide; what is made of it
entry by entry may have any.

Interval: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and covariance.

When it lies: a low rank is found knowing the matrix, landmarks have to be chosen without it; error of attention is not
error of the answer; of a text the singular values are of the matrix below the diagonal, whose rank is high whatever the
head does, and landmarks stand for the kernel before it is cut off there; neighbours in the order of tokens are, of a
picture, neighbours in a row.

Cost: one pass of each sample, then samples x heads x T³, twice; landmarks m T² for each way and number.

References: J. Lu et al. (2021), "SOFT: softmax-free transformer with linear complexity"; Y. Xiong et al. (2021),
"Nyströmformer: a Nyström-based algorithm for approximating self-attention"; S. Maity et al. (2025), "Kolmogorov-Arnold
attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import asked_head, heads_of, planted
from analysis.tokens.attention.landmarks import (
    BEST,
    GAUSSIAN,
    KERNELS,
    MOST,
    NYSTROEM,
    SHARE,
    SOFTMAX,
    WAYS,
    kernel,
    landmarks,
    left_by,
    measured,
    sizes_of,
)
from analysis.tokens.attention.sparsity import NOT_DRAWN, gaussian
from analysis.tokens.attention.spectrum_told import spectrum_estimates, spectrum_reading
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0  # seconds
VALUES, MARKS = "singular values", "landmarks"


@dataclass(frozen=True)
class AttentionSpectrumParams:
    show: str = param(
        VALUES, "What is drawn: singular values, or error over landmarks.", choices=(VALUES, MARKS)
    )
    kernel: str = param(SOFTMAX, "Which kernel landmarks stand for.", choices=KERNELS)
    core: str = param(
        BEST, "What stands between what is read of landmarks and by them.", choices=(BEST, NYSTROEM)
    )
    layer: int | None = param(None, "Its number, from 1; automatic: the last.", low=1, high=1000)
    head: int | None = param(
        None, "Its number in the layer, from 1; automatic: mean over all heads of the layer.", low=1, high=1000
    )  # fmt: skip
    maximum_samples: int = param(
        8, "Most samples; a seeded random subset above.", low=2, high=1000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_spectrum(
    activations, params: AttentionSpectrumParams = AttentionSpectrumParams(), rng=None, progress=no_progress
) -> Curve:
    """Singular values of attention and of a Gaussian kernel, and what landmarks leave.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head. Of longer samples
        the first 256 tokens.

    Returns
    -------
    Curve
        Singular values over their number, a line for each kernel; or error over landmarks, a line for each way to
        choose them. Estimates: singular values for 90 %, error at 8 landmarks, and what k-means gains over neighbours.

    Raises
    ------
    ParameterError, NotEnoughData
        No such layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    layer, head = asked_head(reader, params.layer, params.head or 1)
    heads = range(reader.heads) if params.head is None else (head,)
    sizes = sizes_of(reader)
    progress(0.5, "singular values and landmarks")
    found = measured(
        reader,
        layer,
        heads,
        sizes,
        (params.kernel, params.core),
        rng,
        lambda f: progress(0.5 + 0.25 * f, "landmarks"),
    )
    other = gaussian(reader, rng)
    null = measured(
        other,
        layer,
        heads,
        sizes,
        (params.kernel, params.core),
        rng,
        lambda f: progress(0.75 + 0.25 * f, "Gaussian heads"),
    )
    progress(1.0, "done")
    which = f"layer {layer + 1}" + ("" if params.head is None else f", head {head + 1}")
    return _curve(reader, which, len(heads), sizes, found, null, params)


def _curve(reader, which: str, heads: int, sizes, found, null, params) -> Curve:
    (values, errors), (free, missed) = found, null
    told = spectrum_estimates(values, errors, free, missed, sizes, heads, params)
    names = [name for name in values if isinstance(name, str)]
    if params.show == VALUES:
        lines, chance = {n: values[n] for n in names}, {n: free[n] for n in names if n in free}
        x, x_name, y_name = np.arange(1.0, lines[SOFTMAX].shape[1] + 1), "singular value", "over the largest"
    else:
        lines, chance = errors, missed
        x, x_name, y_name = sizes.astype(np.float64), "landmarks", f"left of {params.kernel}"
    ends = {name: [mean_interval(column, 0.0, 1.0) for column in of.T] for name, of in lines.items()}
    return Curve(
        title=f"{'Singular values' if params.show == VALUES else 'Landmarks'} of {which} of {reader.what}",
        reading=spectrum_reading(told, params), estimates=told, x=x, x_name=x_name, y_name=y_name, log_x=True,
        caveats=(*reader.notes, *_caveats(reader, heads)),
        series={name: of.mean(axis=0) for name, of in lines.items()},
        low={name: np.array([e.get("low", np.nan) for e in of]) for name, of in ends.items()},
        high={name: np.array([e.get("high", np.nan) for e in of]) for name, of in ends.items()},
        null={name: of.mean(axis=0) for name, of in chance.items()},
    )  # fmt: skip


def _caveats(reader, heads: int) -> list[str]:
    said = [f"Means over {heads} head(s) and {reader.n} samples.",
            "An error that would go beyond 1 is told as 1: no better than nothing."]  # fmt: skip
    if reader.layout.causal:
        said.append(
            "Singular values are of what lies below the diagonal; landmarks stand for the kernel without it."
        )
    if reader.layout.present.sum(axis=1).max() > MOST:
        said.append(f"The first {MOST} tokens of each sample.")
    return said + ([NOT_DRAWN] if reader.weights is not None else [])


def _cost(shapes, params: AttentionSpectrumParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    held = 8.0 * samples * (RUN + 1) * 6.0 * d + 1.5e5
    passes = min(n, params.maximum_samples)
    return Cost(OPENING + m.seconds(flops64=4e6 * samples, moved=8.0 * n * d, calls=4e4 * samples) + 2e-3 * passes,
                held, passes)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Three kinds of tokens: three landmarks are enough, of k-means though neighbours differ, and both kernels have
    rank three. Logits have the rank of the head's width, what softmax makes of them has more. Equal keys: rank one."""
    rng = np.random.default_rng(0)
    x = 3 * np.eye(3)[np.arange(27) % 3]
    marks = [left_by(x, x, landmarks(x, x, 3, way, rng), GAUSSIAN) for way in WAYS[:2]]
    own = left_by(x, x, landmarks(x, x, 3, WAYS[1], rng), SOFTMAX, NYSTROEM)
    q, k = rng.standard_normal((2, 40, 3))
    logits, soft = (np.linalg.matrix_rank(m, tol=1e-6) for m in (q @ k.T, kernel(q, k, SOFTMAX)))
    size = np.exp(np.square(q).sum(1)[:, None] / 2 + np.square(k).sum(1) / 2)
    same = planted(*rng.standard_normal((2, 2, 12, 4)) * np.array([1.0, 0.0])[:, None, None, None])
    even = measured(same, 0, (0,), sizes_of(same), (SOFTMAX, BEST), rng, lambda f: None)[0]
    return (
        CheckLine("three kinds of tokens, three clusters: left", 0.0, marks[1], 1e-9),
        CheckLine("three means of neighbours: left", 0.1, marks[0], 0.0, "at least"),
        CheckLine("Nyström's own core of softmax", 0.0, own, 1e-9),
        CheckLine("rank of logits 3 wide", 3.0, float(logits), 0.0),
        CheckLine("rank behind softmax", 4.0, float(soft), 0.0, "at least"),
        CheckLine("Gaussian times lengths is exp(q k)", 0.0,
                  float(np.abs(kernel(q, k, GAUSSIAN) * size / np.exp(q @ k.T) - 1).max()), 1e-9),
        CheckLine("keys that are alike: singular values for 90 %", 1.0, float(even[SOFTMAX, SHARE][0]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_spectrum", family="tokens", network="attention",
        title="Singular values and landmarks of attention", version=2, function=attention_spectrum,
        summary="How low-rank heads are, as softmax and as a Gaussian kernel, and what a few landmark tokens leave.",
        params=AttentionSpectrumParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one rotation of queries and keys of a head",
        papers=("Softmax-free Linear Transformers",
                "Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
