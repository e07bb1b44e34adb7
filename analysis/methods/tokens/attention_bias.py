"""What does attention add to query times key? The bias of every pair of tokens, and what it hangs on.

    A_ij ∝ exp(q_i · k_j / √e + B_ij)        B_ij = ln A_ij - q_i · k_j / √e, less its mean over the keys of i

which softmax does not see anyway: one constant for all keys of a query changes no attention. B is read off the weights
that the network pays, or is what a tap recorded of the layer that makes it (rows query by query, keys inside; a unit
for each head). Its variance over samples, queries and keys is

    relative   a function of the offset between two places on the grid: ordinary relative position encoding
    fixed      what else is the same in all samples
    sample     the rest: a bias that depends on the sample

and of the sample's part the share that is linear in landmark columns (x, y of each) is told, as a bias that follows the
key points has it. The map of a query is drawn as it is, as it is on average, and with one landmark moved.

Intervals: jackknife over groups of samples. Null: of the landmarks' share landmarks of other samples, mean of twenty
exchanges; of the other parts a bias whose pairs are in random order in every sample: a few offsets and a few samples
leave a share to each part by chance. Of the size none at all, a bias of 0.

When it lies: weights below 1e-7 tell nothing of their bias and are left out; a moved landmark is answered by the linear
fit and not by the network, and far from the landmarks seen it is a guess; with few samples a fit explains by chance
what its null says; windows and masks are no bias, and keys that may not be read are left out.

Cost: one pass of each sample; O(n T² (landmarks + 1)).

Reference: M. Kim, Y. Su, F. Liu, A. Jain & X. Liu (2024), "KeyPoint relative position encoding for face recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.errors import InputError, ParameterError
from analysis.results import TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.asked_place import asked_place, place_name
from analysis.tokens.attention.biases import (
    Biases,
    parts_of,
    recorded_biases,
    slopes,
    weights_biases,
)
from analysis.tokens.attention.biases_told import bias_estimates, bias_reading
from analysis.tokens.tap_dump import RUN

NETWORK, TAP = "the weights the network pays", "the tap: queries by keys"
NAMES = ("this sample", "mean of all samples", "landmark moved", "what the move changed")
OPENING = 4.0  # seconds


@dataclass(frozen=True)
class AttentionBiasParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    query: int | None = param(
        None, "Place on the grid of the token that looks, row by row; automatic: the middle.", low=0, high=1_000_000
    )  # fmt: skip
    landmarks: str = param(
        "", "Sample columns of landmarks, x and y of each in turn, with commas; empty: none are known."
    )  # fmt: skip
    moved: int = param(1, "Which landmark is moved, from 1.", low=1, high=1000)
    by_x: float = param(0.0, "How far to the right, in the columns' unit.", low=-1e6, high=1e6)
    by_y: float = param(0.0, "How far along y.", low=-1e6, high=1e6)
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    source: str = param(NETWORK, "Where the bias is read.", choices=(NETWORK, TAP), late=True)
    maximum_samples: int = param(
        64, "Most samples; a seeded random subset above.", low=4, high=5000, late=True
    )


def attention_bias(
    activations, params: AttentionBiasParams = AttentionBiasParams(), rng=None, progress=no_progress
) -> TokenMap:
    """The bias of attention and what it hangs on.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap of a transformer that can be run again, or of the layer that makes the bias.

    Returns
    -------
    TokenMap
        The bias of one query: of this sample, on average, with a landmark moved. Estimates: parts of its variance.

    Raises
    ------
    NotFound, InputError, ParameterError, NotEnoughData
        No such sample, column, head, query or landmark; rows that are not queries by keys; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    marks, names = _landmarks(tap, params)
    read = recorded_biases if params.source == TAP else weights_biases
    found = read(tap, params, rng, progress)
    progress(0.6, "parting the bias")
    b, at = found.bias, found.drawn
    query = found.tokens // 2 if params.query is None else params.query
    if query >= found.tokens:
        raise ParameterError(
            f"query = {query}", f"a token on the grid, 0 to {found.tokens - 1}", "Choose another"
        )
    used = None if marks is None or found.samples is None else marks[found.samples]
    if used is not None and not np.isfinite(used).all():
        raise InputError("landmarks with NaN or infinity", "finite columns", "Choose other columns")
    told = bias_estimates(tap, b, found, used, rng)
    if not told[0].value > found.rounding:
        b = np.zeros_like(b)  # what rounding leaves is not drawn
    progress(0.9, "moving a landmark")
    maps = [b[at, query], b.mean(axis=0)[query]]
    if used is not None:
        step = np.zeros(used.shape[1])
        step[2 * params.moved - 2 : 2 * params.moved] = params.by_x, params.by_y
        change = step @ slopes(b[:, query], used)
        maps += [maps[0] + change, change]
    progress(1.0, "done")
    most = max(float(np.abs(m).max()) for m in maps) or 1.0
    return TokenMap(
        title=f"Bias of attention around {place_name(query, found.grid)}: {found.what}, sample {params.sample}",
        samples=np.full(len(maps), params.sample), values=np.pad(np.stack(maps), ((0, 0), (found.leading, 0)),
                                                                  constant_values=np.nan),
        value_name="bias of a logit, less its mean", grid=found.grid, leading=found.leading, names=NAMES[: len(maps)],
        ends=(-most, most), **asked_place(query, found.tokens, found.grid, found.leading),
        estimates=told, reading=bias_reading(told, found.of_rows),
        caveats=(*found.notes, *_caveats(found, used, names)),
    )  # fmt: skip


def _landmarks(tap, params) -> tuple[np.ndarray | None, list[str]]:
    """((n_samples, 2 K) or None, names of the columns)."""
    names = [name.strip() for name in params.landmarks.split(",") if name.strip()]
    if not names:
        return None, []
    if len(names) % 2 or params.moved > len(names) // 2:
        raise ParameterError(f"{len(names)} columns and landmark {params.moved}",
                             "x and y of every landmark, and one of them to be moved")  # fmt: skip
    columns = [sample_column(tap, name) for name in names]
    if any(c.dtype.kind not in "fiu" for c in columns):
        raise InputError(f"columns {', '.join(names)}", "numbers", "Choose columns of coordinates")
    return np.stack(columns, axis=1).astype(np.float64), names


def _caveats(found: Biases, marks, names) -> list[str]:
    said = ["One constant for all keys of a query changes no attention: the mean over its keys is taken out."]
    if marks is not None:
        said.append(
            f"A moved landmark is answered by a linear fit to {len(found.bias)} samples, not by the network."
        )
    elif names:
        said.append("Runs of rows have no landmarks: none were used.")
    return said


def _cost(shapes, params: AttentionBiasParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(n / RUN, params.maximum_samples)
    held = 8.0 * samples * (RUN + 1) * (5.0 * d + 6.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(OPENING + m.seconds(moved=8.0 * n * d + 10 * held) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A bias by offset is all relative; one that is linear in a landmark is all the sample's and is found again."""
    rng = np.random.default_rng(0)
    place = np.arange(16)
    offset = place[:, None] - place[None, :] + 15
    by_offset = rng.standard_normal(31)[offset]
    marks = rng.standard_normal((20, 2))
    way = rng.standard_normal((2, 16, 16))
    way -= way.mean(axis=2, keepdims=True)
    bias = np.tensordot(marks, way, axes=1)

    def found(b, **more):
        layout = Layout(np.arange(len(b) + 1) * 256, (16, 16))
        tap = ArrayActivations(b.reshape(-1, 1), "bias", {"x": marks[:, 0], "y": marks[:, 1]}, layout)
        return attention_bias(tap, AttentionBiasParams(source=TAP, **more))

    plain = np.broadcast_to(by_offset, (20, 16, 16))
    shares = parts_of(plain, offset)
    follows = found(bias, landmarks="x,y", by_x=2.0)
    constant = found(plain + rng.standard_normal((20, 16, 1)))
    return (
        CheckLine("by offset: all relative", 1.0, float(shares[0] / shares.sum()), 1e-12),
        CheckLine("linear in a landmark: explained", 1.0, follows.estimates[4].value, 1e-9),
        CheckLine("a landmark moved by 2", float(2 * way[0, 8, 3]), float(follows.values[3, 3]), 1e-9),
        CheckLine("a constant for each query is no bias of the sample", 0.0, constant.estimates[3].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_bias", family="tokens", title="Bias of attention", version=5, function=attention_bias,
        summary="What attention adds to query times key: by offset, by place, by sample, and as landmarks move.",
        params=AttentionBiasParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=4 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("KeyPoint Relative Position Encoding (KP-RPE)",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
