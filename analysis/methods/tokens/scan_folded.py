"""What does a token read, folded back onto the image, and what does the order of a scan do to it?

A scan reads tokens in an order: by row, by column, as a snake, along diagonals, each forwards or backwards. In scan
order its matrix M is lower triangular; on the grid the row of a token t shows what came before it,

    map_r(cell) = M_r[place_r(t), place_r(cell)],     summed over routes: what a scan in all directions reads.

Of a network of scans its own M is shown, what the token reads and who reads it; of heads or channels the mean of |M|.
Beside it a decaying scan of the rows of the tap, B = x, C = x / √d, half forgotten in a number of tokens, along every
route: a common measure of what an order can see. Every map is divided by its Σ |map|, so that one scale does for all.

Give the network's weights of its routes (scan route attention) as a second tap, and its routes are drawn with their
share of the weight, normalised, and the sum of all is weighted by it.

Told for every map, over all tokens: mean distance on the grid, and the share of it that lies along rows of the image: a
scan by rows leaves streaks, which is a share far from that of even reading. Interval: none, it is one sample, whose
tokens are no draws; of all routes together Student's t over up to six samples. Null: all that the order lets a token
read, alike.

When it lies: the scan of rows is not the network's, and how fast it forgets is a setting; a token at a corner sees
little in some orders; tokens without a place on the grid are not drawn.

Cost: one pass of the sample; O(routes T²).

References: "VCMamba"; "MHS-VM: multi-head scanning for Vision Mamba"; "Mamba2D"; A. Ali et al. (2024), "The hidden
attention of Mamba models".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.errors import InputError, NotFound
from analysis.results import TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.asked_place import asked_place, place_name
from analysis.tokens.mixers import measures
from analysis.tokens.mixers.folded_told import folded_estimates, folded_reading
from analysis.tokens.mixers.folding import (
    ALL,
    along,
    along_routes,
    each_token,
    on_cells,
    over_samples,
    placed,
)
from analysis.tokens.mixers.own_mixing import own_mixing
from analysis.tokens.mixers.reading import MOST_TOKENS, Mixing, row_tokens
from analysis.tokens.mixers.route_weights import ASK, weighed
from analysis.tokens.mixers.routes import several
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING, LEAST = 6.0, 1e-300  # seconds; of a sum that is divided by
READS, READERS = "the network: what it reads", "the network: who reads it"


@dataclass(frozen=True)
class ScanFoldedParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    token: int | None = param(
        None, "Its place on the grid, row by row; automatic: the middle.", low=0, high=1_000_000
    )
    layer: int | None = param(
        None, "Which mixer of the network, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    forgets: float = param(8.0, "Tokens after which the scan of rows has forgotten half.", low=0.5, high=1e5)
    routes: str = param("", f"Of a second tap: {ASK[0].lower()}{ASK[1:]}", late=True)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def scan_folded(
    activations, weights=None, params: ScanFoldedParams = ScanFoldedParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of what one token reads.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap with tokens on a grid; without a grid they lie on a line.
    weights : Activations or array (rows, routes), optional
        What weighs the routes, of the same samples (by id), for each sample or token.

    Returns
    -------
    TokenMap
        A map for each route, their sum, and for the network. Estimates: distance and direction of each.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample, layer or token; over 1,024 tokens; rows that are all alike; fewer than two samples
        of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    own, notes, params = own_mixing(tap, params, rng)
    if own is not None and tap.layout.is_pooled:
        aside = () if weights is None else ("Weights of routes are left aside.",)
        return _network_alone(tap, own, (*notes, *aside), params, progress)
    rows = row_tokens(tap, tap.layout.n_samples, rng, progress)
    at = np.flatnonzero(rows.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", "a sample with two tokens or more")
    x, cell = rows.x[at[0]], rows.cell[at[0]]
    grid = rows.grid or (1, int(cell.max()) + 1)
    _refuse(x, grid)
    whole = placed(x, cell, grid)
    token = _token(params, grid)
    shares, said = ({}, ()) if weights is None else weighed(tap, weights, params, grid, rng)
    found, may = along_routes(whole, grid, params.forgets, shares)
    maps, used = {name: m[token] for name, m in found.items()}, dict(found)
    if own is not None and _grid(own, params.layer - 1) in (grid, (1, len(whole))):
        m = on_cells(own, params.layer - 1, len(whole))
        maps, used = {READS: m[token], READERS: m[:, token], **maps}, {READS: m, **used}
    progress(1.0, "done")
    caveats = (*notes, *rows.notes, *said, *_caveats(params, cell))
    found = _map(tap, maps, used, own, grid, token, params, caveats, may)
    return replace(
        found, estimates=(*found.estimates, *over_samples(rows, grid, params.forgets, ALL, found.estimates))
    )


def _network_alone(tap, own: Mixing, notes, params, progress) -> TokenMap:
    """Of a tap of one row a sample: its tokens are known to the network alone."""
    grid = _grid(own, params.layer - 1)
    token, m = _token(params, grid), on_cells(own, params.layer - 1, grid[0] * grid[1])
    progress(1.0, "done")
    note = f"{tap.name} holds one row of each sample: routes over its tokens need a tap that keeps them."
    return _map(
        tap, {READS: m[token], READERS: m[:, token]}, {READS: m}, own, grid, token, params, (*notes, note)
    )


def _grid(own: Mixing, layer: int) -> tuple[int, int]:
    cell, grid = own.lies(layer)
    return grid or (1, len(cell))


def _token(params, grid) -> int:
    token = grid[0] // 2 * grid[1] + grid[1] // 2 if params.token is None else params.token
    if token >= grid[0] * grid[1]:
        raise NotFound(f"token {token} of sample {params.sample}", f"0 to {grid[0] * grid[1] - 1}")
    return token


def _map(tap, maps, used, own, grid, token: int, params, caveats, may=None) -> TokenMap:
    """`may` by name: what a route lets a token read; of others what is not 0."""
    may = may or {}
    readable = {name: may.get(name, m) != 0 for name, m in used.items()}
    told = tuple(
        e for name, m in used.items() for e in folded_estimates(name, m, readable[name], grid, tap.shape[1])
    )
    shown = [m / max(float(np.abs(m).sum()), LEAST) for m in maps.values()]
    picture = None if own is None or own.picture is None or own.grid is None else own.picture[None]
    written = tuple(own.words) if own is not None and grid[0] == 1 and len(own.words) == grid[1] else ()
    words = (written,) if written else ()
    return TokenMap(
        title=f"What {place_name(token, grid, written)} of sample {params.sample} reads", samples=np.arange(len(maps)),
        values=np.stack(shown), value_name="share of what is read", grid=None if words else grid, names=tuple(maps),
        pictures=picture, words=words, estimates=told, reading=folded_reading(told, token, grid), caveats=caveats,
        **asked_place(token, grid[0] * grid[1], grid, words=written),
    )  # fmt: skip


def _refuse(x: np.ndarray, grid) -> None:
    if grid[0] * grid[1] > MOST_TOKENS:
        raise InputError(f"a grid of {grid[0]} x {grid[1]} tokens", f"at most {MOST_TOKENS:,} tokens")
    if not np.abs(x).max() > 0:
        raise InputError("rows that are all alike", "tokens that differ from each other")


def _caveats(params, cell: np.ndarray) -> list[str]:
    said = [
        f"Routes are of a scan of the tap's rows that forgets half in {params.forgets:g} tokens, not the network's."
    ]
    if (cell < 0).any():
        said.append("Tokens without a place on the grid are left out.")
    return said


def _cost(shapes, params: ScanFoldedParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * n * k + 9.0 * 17 * n + 2e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7, moved=8.0 * n * k), held, 1)


def _check() -> tuple[CheckLine, ...]:
    """Equal tokens on a grid of 3 x 4: by rows a token reads those before it, halved in two tokens; there and back."""
    x = np.ones((24, 2))
    x[12:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24]), grid=(3, 4)))
    found = scan_folded(tap, params=ScanFoldedParams(token=5, forgets=2.0))
    maps = dict(zip(found.names, found.values, strict=True))
    whole = sum(along(x[:12], order, 2.0)[5] for order in several((3, 4)).values())
    back = measures.half_life(along(x[:12], np.arange(12)[::-1], 2.0)[::-1, ::-1])
    only = {
        "weights": np.tile([0.0, 1.0, 0.0, 0.0], (2, 1)),
        "params": ScanFoldedParams(token=5, forgets=2.0),
    }
    weighted = scan_folded(tap, **only)
    step = each_token(2.0 * np.eye(4, k=-1), np.ones((4, 4)), None, None)
    flat = each_token(np.ones((2, 2)), None, np.zeros((2, 2)), 1.0 - np.eye(2))
    return (
        CheckLine("reads one cell away: distance", 1.0, float(step.mean()), 1e-12),
        CheckLine("two cells of a row: share along it", 1.0, float(flat.mean()), 1e-12),
        CheckLine("halved two tokens before", 0.5, float(maps["row"][3] / maps["row"][5]), 1e-12),
        CheckLine("nothing behind it", 0.0, float(np.abs(maps["row"][6:]).max()), 0.0),
        CheckLine("by columns it reads the cell above, one step away", 2**-0.5,
                  float(maps["column"][1] / maps["column"][5]), 1e-12),
        CheckLine("backwards, turned round, is the same",
                  measures.half_life(along(x[:12], np.arange(12), 2.0)), back, 1e-9),
        CheckLine("all routes are their sum", float(whole[2] / np.abs(whole).sum()), float(maps[ALL][2]), 1e-12),
        CheckLine("all weight on columns: the sum is theirs", 0.0,
                  float(np.abs(weighted.values[0] - maps["column"]).max()), 1e-12),
        CheckLine("shares add up", 1.0, float(np.abs(maps["snake"]).sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="scan_folded", family="tokens", title="A scan folded onto the image", version=9, function=scan_folded,
        summary="What one token reads in each scan order, back on the grid, beside what the network itself reads.",
        params=ScanFoldedParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=4, inputs=1, more_inputs=True,
        most_inputs=2, roles=("tokens", "weights of routes, if recorded"),
        invariance="the order of samples; of routes a factor of all rows",
        papers=("MHS-VM: multi-head scanning for Vision Mamba",
                "VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation",
                "Mamba2D: A Natively Multi-Dimensional State-Space Model for Vision Tasks"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
