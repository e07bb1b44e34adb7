"""Attention on its own grids, of a tap: of its network, of weights that it recorded, or of its rows.

What is asked (`params`): `layer`, `head`, `sample`, `keys` (where they lie), `dilation`, `side` of blocks or of
neighbourhoods of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.tokens.mixers import own_grids
from analysis.tokens.mixers.attended import Attended, grid_of, sample_rows
from analysis.tokens.mixers.axes import near_square
from analysis.tokens.mixers.own_grids import Laid, laid
from analysis.tokens.mixers.reading import MOST_TOKENS

TILES, AROUND = "keys tile the image", "keys lie around each token"


@dataclass(frozen=True)
class Read:
    """`what` was read, `lost` the share of weight that goes off the grid, `off` the largest |row sum - 1|, `others` the
    same of a few other samples."""

    laid: Laid
    what: str
    off: float
    lost: float = 0.0
    notes: tuple[str, ...] = ()
    others: tuple[Laid, ...] = ()


def of_network(own: Attended, params) -> Read:
    """Raises NotFound, InputError, ShapeError."""
    found = _of_calls(own, own.calls, params)
    more = (_of_calls(own, calls, params).laid for calls in own.others())
    return replace(found, others=tuple(one for one in more if one.squared.shape == found.laid.squared.shape))


def _of_calls(own: Attended, calls, params) -> Read:
    if params.layer > len(calls):
        raise NotFound(f"attention {params.layer} of {own.what}", f"1 to {len(calls)}")
    call, said = calls[params.layer - 1], ()
    lines, heads = call.weights.shape[:2]
    if lines > 1:
        tokens = int(np.prod(call.weights.shape[2:-1]))
        said = (f"{call.name} attends in {lines} windows or lines of {tokens} tokens; shown is the first.",)
    weights = call.weights[0]
    near = call.weights.ndim == 5  # heads, H, W, k²
    grid = weights.shape[1:3] if near else None
    weights = weights.reshape(heads, -1, weights.shape[-1])
    _refuse(weights, params)
    leading, lost, off = 0, 0.0, _off(weights)
    if grid is None:
        grid, leading = grid_of(weights.shape[1], own.picture)
    inside = weights[:, leading:]
    if leading and weights.shape[1] == weights.shape[2]:
        lost = float(inside[:, :, :leading].sum(axis=2).mean())
        inside = inside[:, :, leading:]
    return Read(
        laid(inside, grid, near or params.keys == AROUND, params.dilation), call.name, off, lost, said
    )


def of_tap(tap, params, rng, progress) -> Read:
    """Raises NotFound, NotEnoughData, InputError, ShapeError."""
    rows = sample_rows(tap, params.sample, rng, progress)
    near, weights = params.keys == AROUND, own_grids.recorded(rows.plain)
    in_a_line = (1, len(rows.x)) if weights is None and not near else near_square(len(rows.x))
    grid = rows.grid or in_a_line
    if weights is not None:
        _refuse(weights, params)
        said = (*rows.notes, "Rows are weights of attention: for each head they sum to 1.")
        more = [own_grids.recorded(plain) for _, plain in rows.others.values()]
        more = tuple(
            laid(w, grid, near, params.dilation) for w in more if w is not None and w.shape == weights.shape
        )
        return Read(
            laid(weights, grid, near, params.dilation),
            f"weights in {tap.name}",
            _off(weights),
            notes=said,
            others=more,
        )
    side = params.side
    if side is None:
        side = 3 if near else 2 if own_grids.fits(grid, 2) else 1
    if len(rows.x) > MOST_TOKENS:
        raise InputError(f"{len(rows.x):,} tokens", f"at most {MOST_TOKENS:,}")
    found = own_grids.of_rows(rows.x, grid, side, side if near else 0, params.dilation)
    _refuse(found.weights, params)
    said = (
        *rows.notes,
        "The rows of the tap are queries and keys at once; no weights of a network are in it.",
    )
    more = tuple(own_grids.of_rows(x, grid, side, side if near else 0, params.dilation)
                 for x, _ in rows.others.values())  # fmt: skip
    return Read(found, f"rows of {tap.name}", _off(found.weights), notes=said, others=more)


def _off(weights: np.ndarray) -> float:
    return float(np.abs(weights.sum(axis=2) - 1).max())


def _refuse(weights: np.ndarray, params) -> None:
    if weights.shape[1] > MOST_TOKENS:
        raise InputError(f"{weights.shape[1]:,} tokens", f"at most {MOST_TOKENS:,}, whose maps can be held")
    if params.head is not None and params.head > len(weights):
        raise NotFound(f"head {params.head}", f"1 to {len(weights)}")
