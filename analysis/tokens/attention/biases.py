"""The bias that attention adds to query times key: recorded by a tap, or read off the weights that are paid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.tokens.attention.heads import asked_head, heads_of, inputs_of
from analysis.tokens.paired_sets import drawn_set
from analysis.tokens.pooling.token_sets import RUN, token_sets

LEAST = 1e-7  # a weight whose logarithm tells something
ROUNDING, RECORDED = (
    1e-3,
    1e-9,
)  # of logits: what single precision adds to them; of a bias that is recorded itself


@dataclass(frozen=True)
class Biases:
    """`bias` (n, T, T) less its mean over the keys of a query, `offset` (T, T) int, equal for pairs of places that lie
    alike, `samples` (n,) in the store or None for runs of rows, `drawn` which of them is asked for, `of_rows`: of
    attention that is made of the rows of a tap and can have none."""

    bias: np.ndarray
    offset: np.ndarray
    samples: np.ndarray | None
    drawn: int
    grid: tuple[int, int] | None
    leading: int
    what: str
    rounding: float
    notes: tuple[str, ...]
    of_rows: bool = False

    @property
    def tokens(self) -> int:
        return self.bias.shape[1]


def offsets_of(tokens: int, grid) -> np.ndarray:
    """(T, T) number of the offset between two places on the grid, or along a line."""
    width = grid[1] if grid else tokens
    row, column = np.divmod(np.arange(tokens), width)
    down, across = row[:, None] - row[None], column[:, None] - column[None]
    return np.unique(down * (4 * tokens) + across, return_inverse=True)[1].reshape(tokens, tokens)


def centred(b: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Less the mean over the keys of a query that are `known`; 0 elsewhere."""
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mean = np.where(known, b, 0.0).sum(axis=-1, keepdims=True) / count
    return np.where(known, b - mean, 0.0)


def recorded_biases(tap: Activations, params, rng, progress) -> Biases:
    """Of a tap whose rows of a sample are queries by keys, a unit for each head. Raises InputError, NotEnoughData."""
    pooled = tap.layout.is_pooled
    whole = tap.shape[0] // RUN if pooled else tap.layout.n_samples
    drawn = drawn_set(tap, params.sample)
    if drawn >= whole:
        raise ParameterError(f"sample {params.sample} of {tap.name}", f"one of the {whole} that there are")
    some = np.union1d(chosen_samples(whole, params.maximum_samples, rng), [drawn])
    sets = token_sets(tap, params.maximum_samples, rng, progress, only=some)
    pairs = sets.x.shape[1]
    tokens = round(float(np.sqrt(pairs)))
    if tokens * tokens != pairs or tokens < 2:
        raise InputError(f"{pairs} rows of a sample of {tap.name}", "queries by keys, such as 256 of 16 tokens",
                         "Record the layer that makes the bias")  # fmt: skip
    if params.head > sets.x.shape[2]:
        raise ParameterError(f"head {params.head}", f"1 to {sets.x.shape[2]}, a unit for each head")
    full = sets.present.all(axis=1)
    refuse_few(tap.name, int(full.sum()), 2, "sample(s) with all pairs finite")
    sets = sets.only(full)
    at = np.flatnonzero(sets.samples == drawn)
    if not len(at):
        raise NotEnoughData(f"sample {params.sample} has a pair that is not finite", "all of them")
    b = sets.x[:, :, params.head - 1].reshape(-1, tokens, tokens)
    side = round(float(np.sqrt(tokens)))
    grid = (side, side) if side * side == tokens else None
    said = (
        ()
        if full.all()
        else (f"{int((~full).sum())} sample(s) with a pair that is not finite were left out.",)
    )
    return Biases(centred(b, np.ones(b.shape, bool)), offsets_of(tokens, grid), None if sets.gathered else sets.samples,
                  int(at[0]), grid, 0, f"{tap.name}, head {params.head}", RECORDED, (*sets.notes, *said))  # fmt: skip


def weights_biases(tap: Activations, params, rng, progress) -> Biases:
    """Of the weights that the network of a tap pays, less what its queries and keys say; of rows none."""
    drawn = params.sample
    reader = heads_of(tap, params.maximum_samples, rng, progress=progress, also=drawn)
    layer, head = asked_head(reader, params.layer, params.head)
    paid = reader.rows(layer, head)
    if reader.weights is None and reader.who is not None and reader.who.is_network:
        paid = _paid(reader, layer, head)
    q, k = (x[layer][:, head].astype(np.float64) for x in (reader.queries, reader.keys))
    scale = q.shape[2] ** -0.5 if reader.scale is None else reader.scale
    known = reader.allowed(0, reader.tokens) & (paid > LEAST)
    with np.errstate(divide="ignore", invalid="ignore"):
        b = np.where(known, np.log(np.maximum(paid, 1e-300)) - scale * (q @ k.transpose(0, 2, 1)), 0.0)
    cell, grid = reader.layout.cell, reader.layout.grid
    on = np.flatnonzero((cell == cell[0]).all(axis=0) & (cell[0] >= 0)) if grid else np.arange(0)
    shown = on if grid and len(on) == grid[0] * grid[1] else np.flatnonzero(reader.layout.free.any(axis=0))
    grid = grid if grid and len(shown) == grid[0] * grid[1] else None
    some = np.ix_(np.arange(reader.n), shown, shown)
    at = int(np.flatnonzero(reader.samples == drawn)[0])
    samples = None if tap.layout.is_pooled and not reader.who.is_network else reader.samples
    what = f"layer {layer + 1}, head {head + 1}"
    lost = float((~known[some]).mean())
    said = (
        (f"{lost:.0%} of the pairs are not read, or too little to tell their bias.",) if lost > 0.005 else ()
    )
    return Biases(centred(b[some], known[some]), offsets_of(len(shown), grid), samples, at, grid, 0, what, ROUNDING,
                  (*reader.notes, *said), of_rows=not reader.who.is_network)  # fmt: skip


def _paid(reader, layer: int, head: int) -> np.ndarray:
    """(n, T, T) weights as the network pays them, recorded."""
    out = np.zeros((reader.n, reader.tokens, reader.tokens))
    for i, place in enumerate(reader.places):
        run = reader.who.opened.network.run(inputs_of(reader.who, np.array([place])), record=("attention",))
        own = run.recorded["attention"][layer][0, head]
        out[i, : len(own), : len(own)] = own
    return out


def slopes(y: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(2 K, …) least-squares slopes of y (n, …) on centred landmarks (n, 2 K), smallest where many fit alike."""
    x = marks - marks.mean(axis=0)
    flat = (y - y.mean(axis=0)).reshape(len(y), -1)
    return np.linalg.lstsq(x, flat, rcond=1e-9)[0].reshape(marks.shape[1], *y.shape[1:])


def parts_of(b: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(3,) sums of squares of bias b (n, T, T): relative (a mean for each `offset` (T, T)), fixed, of the sample."""
    mean = b.mean(axis=0)
    count = np.bincount(offset.ravel())
    by = np.bincount(offset.ravel(), weights=mean.ravel()) / np.maximum(count, 1)
    relative = by[offset]
    return np.array([len(b) * np.square(relative).sum(), len(b) * np.square(mean - relative).sum(),
                     np.square(b - mean).sum()])  # fmt: skip


def shuffled_shares(b: np.ndarray, offset: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(3,) shares of the parts of a bias (n, T, T) whose pairs are in random order in every sample."""
    found, all_ = np.zeros(3), np.ones(b.shape, bool)
    for _ in range(draws):
        parts = parts_of(centred(rng.permuted(b.reshape(len(b), -1), axis=1).reshape(b.shape), all_), offset)
        found += parts / max(parts.sum(), 1e-300) / draws
    return found


def followed(b: np.ndarray, marks: np.ndarray) -> float:
    """Share of the sample's part of b (n, T, T) that is linear in landmarks (n, 2 K)."""
    whole = b - b.mean(axis=0)
    fit = np.tensordot(marks - marks.mean(axis=0), slopes(b, marks), axes=1)
    total = float(np.square(whole).sum())
    return float(np.square(fit).sum()) / total if total > 0 else 0.0
