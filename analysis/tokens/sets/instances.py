"""Attention of instances: how much of it stays in the own box, and how much goes into the boxes of others.

    own = Σ over the cells of box k        leaked = Σ over cells of other boxes that are not in box k too

of what the tokens in box k read, layer by layer, or of the map that belongs to instance k. Even attention gives each
the share of tokens that these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, ParameterError
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.pooling.token_sets import TokenSets
from analysis.tokens.sets.boxes import boxes_in, cells_inside

BOX_COLUMNS = ("boxes", "box")
HALVES = "No boxes were given: the first and the second half of the tokens stand for two instances."


@dataclass(frozen=True)
class Instances:
    """`masks` by sample (K_i, T) bool; `boxes` by sample (K_i, 4) or None where halves stand for them."""

    masks: list[np.ndarray]
    boxes: list[np.ndarray | None]
    notes: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        return max(map(len, self.masks))


def texts_of(tap: Activations, column: str | None, text: str) -> np.ndarray | None:
    """(samples,) boxes as text; None where there are none."""
    if text.strip():
        return np.full(tap.layout.n_samples, text)
    column = column or next((c for c in BOX_COLUMNS if c in tap.samples), None)
    return None if column is None else sample_column(tap, column).astype(str)


def instances_of(
    texts: np.ndarray | None, samples: np.ndarray, cell: np.ndarray, free: np.ndarray, grid
) -> Instances:
    """Of `samples` (n,) whose tokens lie in `cell` (n, T) of the grid.

    Raises InputError, ParameterError, NotEnoughData: tokens on no grid; no box of that kind; nobody has one.
    """
    masks, boxes = [], []
    if texts is None:
        for there in free:
            first = there & (np.cumsum(there) <= there.sum() // 2)
            masks.append(np.stack([first, there & ~first]))
            boxes.append(None)
        return Instances(masks, boxes, (HALVES,))
    if grid is None:
        raise InputError("tokens that lie on no grid", "image patches, on which boxes can lie")
    for i, s in enumerate(samples):
        try:
            found = boxes_in("" if texts[s] in ("nan", "None") else texts[s], grid)
        except ParameterError as error:
            raise ParameterError(f"{error.found} of sample {int(s)}", error.expected) from None
        inside = cells_inside(found, grid)
        masks.append(np.where(cell[i] >= 0, inside[:, np.maximum(cell[i], 0)], False) & free[i])
        boxes.append(found)
    refuse_few("the column of boxes", sum(map(len, masks)), 1, "box(es)")
    return Instances(masks, boxes)


def of_heads(reader: HeadReader, found: Instances, progress) -> np.ndarray:
    """(layers, n, K, 4): own, leaked, and both when all tokens are read alike; NaN of instances that a sample lacks."""
    out = np.full((reader.layers, reader.n, found.most, 4), np.nan)
    for layer in range(reader.layers):
        progress(layer / reader.layers, "attention of boxes")
        paid = [np.zeros((len(m), reader.tokens)) for m in found.masks]
        even = [np.zeros((len(m), reader.tokens)) for m in found.masks]
        for start, stop in reader.parts():
            may = reader.allowed(start, stop).astype(np.float64)
            may /= np.maximum(may.sum(axis=2, keepdims=True), 1)
            rows = sum(reader.rows(layer, h, start, stop) for h in range(reader.heads)) / reader.heads
            for i, m in enumerate(found.masks):
                paid[i] += m[:, start:stop] @ rows[i]
                even[i] += m[:, start:stop] @ may[i]
        for i, m in enumerate(found.masks):
            out[layer, i, : len(m)] = np.hstack([_split(paid[i], m), _split(even[i], m)])
    return out


def of_maps(sets: TokenSets, found: Instances) -> np.ndarray:
    """(n, K, 4) the same where unit k is the map of instance k. Raises InputError: fewer units than instances."""
    if sets.x.shape[2] < found.most:
        raise InputError(
            f"{sets.x.shape[2]} unit(s) for {found.most} instances",
            "a unit for each, in the order of the boxes",
        )
    out = np.full((sets.n, found.most, 4), np.nan)
    for i, m in enumerate(found.masks):
        maps = np.maximum(sets.x[i, :, : len(m)].T, 0.0)
        out[i, : len(m)] = np.hstack(
            [_split(maps, m), _split(np.repeat(sets.present[i][None] * 1.0, len(m), 0), m)]
        )
    return out


def together(found: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(all layers, n, K, 4) of shares (layers, n_i, K_i, 4) of samples (n_i,) each: a sample or an instance that one
    tap lacks is NaN there, so that no sample stands beside another."""
    samples, most = np.unique(np.concatenate([s for s, _ in found])), max(x.shape[2] for _, x in found)
    out = []
    for own, x in found:
        whole = np.full((len(x), len(samples), most, 4), np.nan)
        whole[:, np.searchsorted(samples, own), : x.shape[2]] = x
        out.append(whole)
    return np.concatenate(out)


def _split(paid: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(K, 2) own and leaked shares of what is paid (K, T); NaN where nothing is."""
    total = paid.sum(axis=1)
    others = np.stack([np.delete(masks, k, axis=0).any(axis=0) & ~masks[k] for k in range(len(masks))]) \
        if len(masks) else masks  # fmt: skip
    both = np.stack([(paid * masks).sum(axis=1), (paid * others).sum(axis=1)], axis=1)
    return np.where(total[:, None] > 0, both / np.where(total > 0, total, 1.0)[:, None], np.nan)
