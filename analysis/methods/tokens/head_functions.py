"""Which function does each head apply to its scores: softmax, or a learned one?

    learned     φ(x) = Σ_k a_k cos k x + b_k sin k x, or Σ_k c_k B_k(x), of the checkpoint
                (`analysis.tokens.kan.head_maps`) over the scores x = q k' / √e; of several functions of a head their
                mean, and where nine of ten lie
    measured    mean weight that is paid where softmax would pay w, over ln w

beside what softmax does: c exp(x) with the best c of each head, or the weight itself. Told of every head is how much of
its function an exponential explains, and what makes rows no shares of 1: functions below 0, or weights below 0 and sums
of rows that are not 1. Where weights are below 0, a rollout does not hold, and is refused.

Interval: of weights paid Student's t over samples; none of a checkpoint's functions, which are no sample. Null: the
same coefficients in random order; of weights paid softmax, which is 0 away from itself.

When it lies: a map may mix places before or after its functions (a low-rank operator), which one function does not
show; functions count where scores fall, and without these a period or the grid is taken; measured means hide what
depends on more than one score; networks whose attention is softmax lie on the line by definition.

Cost: reading the tensors; measured, samples x heads x T².

Reference: S. Maity, K. Hitsumoto & A. Dutta (2025), "Kolmogorov-Arnold attention: is learnable attention better for
vision transformers?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.errors import LoupeError, NotFound
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.dumped_heads import STAND_IN, TOKENS
from analysis.tokens.attention.heads import HeadReader, heads_of
from analysis.tokens.attention.paid_curve import paid_curve
from analysis.tokens.attention.softmax_distance import of_weights, scores_of
from analysis.tokens.kan import bases
from analysis.tokens.kan.head_maps import HeadMaps, head_maps
from analysis.tokens.kan.head_maps_told import explained
from analysis.tokens.kan.learned_curve import learned_curve
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

LEARNED, MEASURED = "learned, where the checkpoint has some", "measured"
OPENING, MOST = 4.0, 4096  # seconds; scores


@dataclass(frozen=True)
class HeadFunctionsParams:
    show: str = param(LEARNED, "Functions of the checkpoint, or what is paid at each score.",
                      choices=(LEARNED, MEASURED))  # fmt: skip
    layer: int | None = param(
        None, "Whose heads, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    draws: int = param(20, "Draws of the null.", low=5, high=500, late=True)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def head_functions(
    activations, params: HeadFunctionsParams = HeadFunctionsParams(), rng=None, progress=no_progress
) -> Curve:
    """Functions of heads over scores.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer, or of a dump with attention, queries and keys; other rows are queries and keys of one
        head.

    Returns
    -------
    Curve
        A line for each head, softmax as null. Estimates of each head: what an exponential explains and the share below
        0; or the distance of the weights that are paid from softmax, the sums of rows and what is negative.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such layer; a dump without queries and keys; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    maps = _of_checkpoint(tap) if params.show == LEARNED else []
    try:
        reader, why = heads_of(tap, params.maximum_samples, rng, params.source, progress), ()
    except LoupeError as error:
        if not maps:
            raise
        reader, why = None, (f"No scores are known: {str(error).split('. ')[0]}.",)
    progress(0.6, "functions")
    if maps:
        own = layer_of_tap(tap, [m.name for m in maps])
        layer = named_layer(params.layer, own, len(maps))
        _refuse_layer(layer, len(maps))
        made = learned_curve(maps[layer], _scores(reader, layer, len(maps), rng), params.draws, rng, why)
    else:
        layer = named_layer(params.layer, reader.own, reader.layers)
        _refuse_layer(layer, reader.layers)
        made = paid_curve(reader, layer, lambda f: progress(0.6 + 0.4 * f, "weights"))
    progress(1.0, "done")
    return made


def _refuse_layer(layer: int, layers: int) -> None:
    if layer >= layers:
        raise NotFound(f"layer {layer + 1}", f"1 to {layers}", "Choose another layer, or none")


def _of_checkpoint(tap) -> list[HeadMaps]:
    from analysis.sources.weights import weights_of

    source = getattr(tap, "source", None)
    try:
        return head_maps(weights_of(tap if source is None else source()))
    except LoupeError:
        return []


def _scores(reader: HeadReader | None, layer: int, layers: int, rng) -> np.ndarray | None:
    """(m,) some scores of a layer; None where they are not known."""
    stand_in = reader is not None and not reader.who.is_network and not reader.who.recorded
    if reader is None or stand_in or reader.layers != layers or {STAND_IN, TOKENS} & set(reader.notes):
        return None
    found = []
    for h in range(reader.heads):
        x = scores_of(reader, layer, h)
        found.append(x[reader.allowed(0, reader.tokens)])
    found = np.concatenate(found)
    return rng.choice(found, MOST, replace=False) if len(found) > MOST else found


def _cost(shapes, params: HeadFunctionsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (4.0 * d + 8.0 * RUN) + 1e5
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(moved=8.0 * n * d + held, calls=60.0 * samples) + 2e-3 * passes, held, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """Splines fitted to 3 exp are one up to the factor; a cosine is what it is; softmax is not away from itself, and
    twice its weights have row sums off by 1."""
    x = np.linspace(-np.pi, np.pi, 400)
    knots = bases.even_knots(-2.0, 2.0, 40, 3)
    inside = np.linspace(-1.99, 1.99, 400)
    c = np.linalg.lstsq(bases.b_splines(inside, knots, 3), 3 * np.exp(inside), rcond=None)[0]
    spline = HeadMaps("s", bases.SPLINE, c[None, None], knots[None])
    wave = HeadMaps("w", bases.FOURIER, np.array([[[0.0, 1.0, 0.0, 0.0]]]))
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(9), (3, 9))
    may = np.ones(soft.shape, bool)
    own, twice = (of_weights("h", w, soft, may) for w in (soft, 2 * soft))
    low = of_weights("h", soft * np.where(np.arange(9) == 0, -1, 1), soft, may)
    return (
        CheckLine("splines fitted to 3 exp: explained", 1.0, explained(inside, spline.functions(0, inside)[0]), 1e-9),
        CheckLine("cos 2x at π/2", -1.0, float(wave.functions(0, np.array([np.pi / 2]))[0, 0]), 1e-12),
        CheckLine("cos 2x: half below 0", 0.5, float((wave.functions(0, x) < 0).mean()), 0.01),
        CheckLine("cos 2x is no exponential", 0.2, explained(x, wave.functions(0, x)[0]), 0.0, "at most"),
        CheckLine("softmax: away from itself", 0.0, own[0].value, 1e-12),
        CheckLine("twice softmax: row sums off 1", 1.0, twice[1].value, 1e-9),
        CheckLine("one key turned negative: its share", float(soft[:, :, 0].mean()), low[2].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_functions", family="tokens", network="attention", title="Functions of heads", version=2,
        function=head_functions,
        summary="What each head applies to its scores: the learned function, or the weights it pays, beside softmax.",
        params=HeadFunctionsParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one rotation of queries and keys of a head",
        papers=("Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
