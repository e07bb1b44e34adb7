"""The rows of a tap as if they were the tokens of a small network: for taps whose network cannot be run.

Rows are centred and divided by their root mean square, so that scale does not matter. Before the tokens of a sample
stands their mean, as the class token that reads them; every layer has the rows as tokens, keys and queries, and
attention softmax(x xᵀ / √d). A tap of one row a sample is cut into runs of 16 neighbours.
"""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples, finite_rows
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotFound
from analysis.spec import Progress
from analysis.tokens.dump import TokenDump
from analysis.tokens.view import CLASS, PADDING, PATCH, TokenLayout

RUN, LAYERS, FEWEST = 16, 4, 2  # neighbours; layers; samples
NOTE = (
    "No network was run: the rows of the tap stand for tokens, keys and queries of every layer, and their mean for the "
    "class token."
)


def dump_of_rows(
    tap: Activations, maximum: int, rng: np.random.Generator, progress: Progress, attention: bool = True,
    also: int | None = None,
) -> tuple[TokenDump, np.ndarray, Pass]:  # fmt: skip
    """((n samples, T) dump, (n,) which samples or runs, what was read) of at most `maximum` samples, without the n T²
    weights of `attention` where nobody wants them. A sample that is asked for `also` comes last where it is not among
    them; nothing of the others goes by it. Raises NotEnoughData below two of them, or where none has two tokens;
    NotFound of `also`."""
    seen, layout = Pass(), tap.layout
    offsets = layout.offsets
    if layout.is_pooled:
        offsets = np.append(np.arange(0, layout.n_rows - RUN + 1, RUN), layout.n_rows // RUN * RUN)
    samples, found, cells, kept = chosen_samples(max(len(offsets) - 1, 0), maximum, rng), [], [], []
    for k, i in enumerate(samples):
        if k % 64 == 0:
            progress(0.5 * k / max(len(samples), 1), "reading")
        x, good = _sample(tap, offsets, i)
        seen.n_rows += len(x)
        seen.n_nonfinite += int(len(x) - good.sum())
        if good.sum() > 1:
            seen.n_samples += 1
            kept.append(int(i))
            found.append(x[good])
            cells.append(np.flatnonzero(good) - (0 if layout.is_pooled else layout.leading))
    runs = f"run(s) of {RUN} neighbours, as it has one row of each sample" if layout.is_pooled else ""
    refuse_few(tap.name, len(found), FEWEST, runs or "sample(s) of two tokens or more")
    counted = len(found)
    if also is not None and also not in kept:
        x, good = (
            _sample(tap, offsets, also)
            if 0 <= also < len(offsets) - 1
            else (np.zeros((0, 1)), np.zeros(0, bool))
        )
        if good.sum() < 2:
            raise NotFound(
                f"sample {also}", f"one of the {len(offsets) - 1:,} that there are, of two finite tokens"
            )
        kept.append(also)
        found.append(x[good])
        cells.append(np.flatnonzero(good) - (0 if layout.is_pooled else layout.leading))
    grid = None if layout.is_pooled else layout.grid
    progress(0.5, "reading")
    return _dump(found, cells, grid, attention, counted), np.array(kept), seen


def _sample(tap: Activations, offsets: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, d) tokens, (T,) which of them are finite."""
    x = np.asarray(tap.take(np.arange(offsets[i], offsets[i + 1])), np.float64)
    return x, finite_rows(x)


def sampled(tap: Activations, maximum: int) -> tuple[str, ...]:
    """That not all samples were read, where it is so."""
    total = tap.layout.n_rows // RUN if tap.layout.is_pooled else len(tap.layout.offsets) - 1
    return () if total <= maximum else (f"{maximum:,} of {total:,} samples were read, at random.",)


def _dump(found: list[np.ndarray], cells: list[np.ndarray], grid, attention: bool, counted: int) -> TokenDump:
    longest, d, by = max(map(len, found)) + 1, found[0].shape[1], found[:counted]
    mean = sum(x.sum(axis=0) for x in by) / sum(map(len, by))
    spread = np.sqrt(np.mean([np.square(x - mean).mean() for x in by]))
    tokens = np.zeros((len(found), longest, d))
    kinds, cell = np.full(tokens.shape[:2], PADDING), np.full(tokens.shape[:2], -1)
    for b, (x, at) in enumerate(zip(found, cells, strict=True)):
        x = (x - mean) / (spread if spread > 0 else 1.0)
        tokens[b, 0], tokens[b, 1 : len(x) + 1] = x.mean(axis=0), x
        kinds[b, 0], kinds[b, 1 : len(x) + 1] = CLASS, PATCH
        cell[b, 1 : len(x) + 1] = np.where(at >= 0, at, -1) if grid else -1
    free = (kinds == PATCH) & ((cell >= 0) if grid else True)
    heads, one = tokens[:, None], [tokens] * LAYERS
    recorded = {
        "hidden": [tokens] * (LAYERS + 1), "between": one, "mean keys": one,
        **{name: [heads] * LAYERS for name in ("keys", "queries", "plain keys", "plain queries")},
    }  # fmt: skip
    if attention:
        paid = _attention(tokens, kinds != PADDING)
        influence = paid * np.linalg.norm(tokens, axis=2)[:, None]
        influence /= np.maximum(influence.sum(axis=2, keepdims=True), 1e-30)
        recorded |= {"mean attention": [paid] * LAYERS, "attention": [paid[:, None]] * LAYERS,
                     "mean influence": [influence] * LAYERS}  # fmt: skip
    return TokenDump(TokenLayout(kinds, free, cell, tuple(grid) if grid else None), recorded)


def _attention(tokens: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(n, T, T) softmax(x xᵀ / √d) of tokens (n, T, d) over those that are there."""
    logits = tokens @ tokens.transpose(0, 2, 1) / np.sqrt(tokens.shape[2])
    weight = np.exp(logits - logits.max(axis=2, keepdims=True)) * there[:, None]
    return weight / weight.sum(axis=2, keepdims=True)
