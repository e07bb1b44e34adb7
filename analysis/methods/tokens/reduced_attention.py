"""What does a token read where keys are fewer than tokens, or lie around it only? Attention drawn on its own grids.

    every token a key            (T, T)
    keys cover blocks            (T, S): keys tile the image, areas sum to H W; drawn, each shares its weight among
                                 the cells it covers; a strip covers whole rows or columns
    a neighbourhood              (H, W, k²): k x k cells, δ apart, span δ (k - 1) + 1; at a border moved inside

Of one token, as multiples of an even share over all cells: what it reads; what it may read at all (the cells of the key
that it lies in; its neighbourhood); what all tokens together read. Told: distance read from, cells a key covers, work
against ordinary attention.

Where the network of a tap cannot be run, rows that are weights of attention (for each head a sum of 1) are taken as
these; other rows are queries and keys at once, over means of blocks or over neighbourhoods.

Interval: of the distance Student's t over samples, the one that is drawn and at most seven others; tokens of one are no
independent draws. Null: all that may be read, alike.

When it lies: where in its block a reduced key looks is the reduction's own, and it may overlap its neighbours; with
keys that tile the grid in more than one way blocks as square as can be are taken; heads are averaged unless one is
chosen; a softmax over channels is read as one over keys.

Cost: one pass of the sample; O(T²).

References: "S2AFormer: strip self-attention"; A. Hassani & H. Shi (2022), "Dilated neighborhood attention transformer".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.asked_place import asked_place, place_name
from analysis.tokens.mixers.attended import network_or_why
from analysis.tokens.mixers.measures import grid_distances
from analysis.tokens.mixers.own_grid_reading import AROUND, TILES, of_network, of_tap
from analysis.tokens.mixers.own_grids import FULL, NEAR, Laid
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.subject import AUTOMATIC, SOURCES

SINGLE = 1e-6  # what sums in single precision are off
OPENING = 6.0  # seconds
READS, OWN, MAY, EVERY = "what it reads", "its own key", "what it may read", "what all tokens read"


@dataclass(frozen=True)
class ReducedAttentionParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None,
        "Which attention of the network, in the order computed, from 1; automatic: the tap's, else the last.",
        low=1,
        high=999,
    )
    head: int | None = param(None, "Which head, from 1; automatic: their mean.", low=1, high=999)
    token: int | None = param(
        None, "Its place on the grid, row by row; automatic: the middle.", low=0, high=1_000_000
    )
    keys: str = param(TILES, "Where keys lie when they are fewer than tokens.", choices=(TILES, AROUND))
    dilation: int = param(1, "Cells from one key of a neighbourhood to the next.", low=1, high=64)
    side: int | None = param(
        None,
        "Cells a side of a block or neighbourhood, of rows that are no weights; automatic: 2, or 3.",
        low=1,
        high=64,
        late=True,
    )
    source: str = param(
        AUTOMATIC, "Whose attention: the network's, or that of the recorded rows.", choices=SOURCES, late=True
    )


def reduced_attention(
    activations, params: ReducedAttentionParams = ReducedAttentionParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of what one token reads, on the image.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network with attention that can be run again; or rows that are weights of attention (tokens by
        heads x keys); or other rows.

    Returns
    -------
    TokenMap
        Three maps. Estimates: distance, cells a key covers, keys over tokens, weight off the grid.

    Raises
    ------
    NotFound, InputError, ShapeError, NotEnoughData
        No such sample, layer, head or token; over 1,024 tokens; keys that fit no grid; fewer than two samples of two
        tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    own, notes = network_or_why(tap, params.sample, rng, params.source)
    progress(0.3, "attention")
    if own is None:
        read = of_tap(tap, params, rng, lambda f, doing="": progress(0.3 + 0.6 * f, doing))
    else:
        names = [call.name for call in own.calls]
        layer = named_layer(params.layer, layer_of_tap(tap, names), len(names))
        read = of_network(own, replace(params, layer=layer + 1))
    found = read.laid
    token = found.grid[0] // 2 * found.grid[1] + found.grid[1] // 2 if params.token is None else params.token
    if token >= found.squared.shape[1]:
        raise NotFound(f"token {token}", f"0 to {found.squared.shape[1] - 1}")
    mean = found.squared.mean(axis=0) if params.head is None else found.squared[params.head - 1]
    may = found.reached[token] if found.covers is None else found.covers == found.covers[token]
    progress(1.0, "done")
    t = len(mean)
    told = _estimates([found, *read.others], params.head, read.off, tap.shape[1])
    shown = t * np.stack([mean[token], may / may.sum(), mean.mean(axis=0)])
    picture = None if own is None else own.picture
    return TokenMap(
        title=f"What {place_name(token, found.grid)} of sample {params.sample} reads: {read.what}",
        samples=np.full(3, params.sample),
        values=shown, value_name="times an even share", ends=(0.0, float(shown[::2].max())), grid=found.grid,
        names=(READS, MAY if found.covers is None else OWN, EVERY), pictures=None if picture is None else picture[None],
        estimates=told, reading=_reading(found, told, token),
        caveats=(*notes, *read.notes, *_caveats(found, read.lost, params)),
        **asked_place(token, t, found.grid),
    )  # fmt: skip


def _estimates(samples: list[Laid], head: int | None, off: float, d: int) -> tuple[Estimate, ...]:
    found, means = (
        samples[0],
        [x.squared.mean(axis=0) if head is None else x.squared[head - 1] for x in samples],
    )
    t, keys = len(means[0]), found.weights.shape[2]
    far = grid_distances(np.arange(t), found.grid[1])
    each = np.array([((mean * far).sum(axis=1) / mean.sum(axis=1)).mean() for mean in means])
    even = (found.reached * far).sum(axis=1) / found.reached.sum(axis=1)
    counted = {"interval": "none: counted", "n": t, "d": d, "null_method": "every token a key"}
    ends = mean_interval(each, 0.0) or {"interval": "none: one sample, whose tokens are no independent draws"}
    area = 1.0 if found.kind == NEAR else t / keys
    return (
        Estimate("distance read from", float(each.mean()), **ends, null=float(even.mean()), n=len(each), d=d,
                 unit="cells" if found.grid[0] > 1 else "tokens", null_method="all that may be read, alike",
                 estimator="mean over tokens and samples of Σ A d"),
        Estimate("cells that a key covers", area, null=1.0, estimator="tokens over keys", **counted),
        Estimate("cells that a token may read", float(found.reached.sum(axis=1).mean()), null=float(t),
                 estimator="mean over tokens", **counted),
        Estimate("work against ordinary attention", keys / t, null=1.0, estimator="keys over tokens", **counted),
        Estimate("largest row sum off 1", off, n=t, d=d, null=0.0,
                 interval="none: one sample", null_method="softmax over keys", estimator="of all heads",
                 rounding=SINGLE),
    )  # fmt: skip


def _reading(found: Laid, told, token: int) -> str:
    t, keys = found.squared.shape[1], found.weights.shape[2]
    name = place_name(token, found.grid)
    at = name[0].upper() + name[1:]
    unit, may = told[0].unit, int(found.reached[token].sum())
    full = f"may read {keys} tokens" if may == keys else f"may read {may} of {keys} tokens"
    how = {FULL: f"{full}, as ordinary attention does", NEAR: f"may read {keys} {unit} around it"}.get(
        found.kind, f"reads {t} {unit} through {keys} keys, each of which covers {t // keys}"
    )
    return (
        f"{at} {how}; tokens read {told[0].value:.2f} {unit} away on average ({told[0].null:.2f} if all that may be "
        f"read were read alike), for {told[3].value:.1%} of the products of ordinary attention."
    )


def _caveats(found: Laid, lost: float, params) -> list[str]:
    said = [
        "Drawn is one sample, mean of heads." if params.head is None else "Drawn is one head of one sample."
    ]
    if lost > 0:
        said.append(f"{lost:.1%} of the weight goes to tokens off the grid (class token) and is not drawn.")
    if found.kind == NEAR:
        k = round(found.weights.shape[2] ** 0.5)
        said.append(
            f"A neighbourhood of {k} x {k}, {params.dilation} apart, spans {params.dilation * (k - 1) + 1}."
        )
    elif found.covers is not None and found.kind != FULL:
        h, w = found.grid[0] // found.keys[0], found.grid[1] // found.keys[1]
        said.append(
            f"Keys are taken to cover blocks of {h} x {w} cells on a grid of {found.keys[0]} x {found.keys[1]}."
        )
    return said


def _cost(shapes, params: ReducedAttentionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * n * k + 9.0 * 17 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7, moved=8.0 * n * k), held, 1)


def _check() -> tuple[CheckLine, ...]:
    """Equal rows on 6 x 6: over four blocks each cell is read alike; of a neighbourhood of 3, two apart, nine cells."""
    x = np.ones((72, 4))
    x[36:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 36, 72]), grid=(6, 6)))
    blocks = reduced_attention(tap, ReducedAttentionParams(side=3, token=0))
    near = reduced_attention(tap, ReducedAttentionParams(keys=AROUND, dilation=2, token=0))
    full = reduced_attention(tap, ReducedAttentionParams(side=1, token=0))
    return (
        CheckLine("blocks: every cell alike", 0.0, float(np.ptp(blocks.values[0])), 1e-12),
        CheckLine("the own key covers a quarter", 4.0, float(blocks.values[1, 0]), 1e-12),
        CheckLine("work of four keys", 1 / 9, blocks.estimates[3].value, 1e-12),
        CheckLine("a neighbourhood: nine cells", 9.0, float((near.values[0] > 0).sum()), 0.0),
        CheckLine("that span five", 4.0, float(np.flatnonzero(near.values[0])[2]), 0.0),
        CheckLine("every token a key: ordinary work", 1.0, full.estimates[3].value, 1e-12),
    )


METHODS = (
    Method(
        id="reduced_attention", family="tokens", title="Attention on its own grids", version=5,
        function=reduced_attention,
        summary="What a token reads where keys cover blocks or strips of the image, or lie around it, drawn on the "
        "image.", params=ReducedAttentionParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=4,
        invariance="the order of heads, for their mean",
        papers=("S2AFormer: Strip Self-Attention for Efficient Vision Transformer",
                "Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
