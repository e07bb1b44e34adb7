"""What each token takes of each other in a selective scan, of many samples: shares of |M|, row by row.

    P[t, s] = mean over channels |M|[t, s],  over its sum by s;     Σ_s P[t, s] = 1 where t reads anything

M of a causal scan up to token T is the leading block of a longer one, so that samples of unlike length are compared on
the tokens that all have. Neighbours are added up above 64 tokens: sums of what is read, means over who reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.tokens.mixers.folding import HEADS
from analysis.tokens.mixers.reading import SCAN, Mixers, mixers, network_mixers
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.subject import ROWS

FEWEST, SHOWN = 6, 64  # samples; tokens that are drawn one by one


@dataclass(frozen=True)
class ScanMatrices:
    """`shares` (n, T, T) of what is read, neighbours together; `far` (n,) mean |t - s| read from, in tokens; `even`,
    the same of reading all alike; of the samples `samples` (n,), in the layer called `layer` of `what`; `starts` (T,)
    first token of each run; `tokens` of a sample; `notes`."""

    shares: np.ndarray
    far: np.ndarray
    even: float
    samples: np.ndarray
    layer: str
    what: str
    starts: np.ndarray
    tokens: int
    notes: tuple[str, ...]


def scan_matrices(tap, maximum: int, layer: int | None, source: str, rng, progress) -> ScanMatrices:
    """Of at most `maximum` samples; of a network of scans its own, else a decaying scan of the rows. Raises
    NotEnoughData below six samples, NotFound."""
    found, why = _scans(tap, maximum, source, rng, progress)
    at = named_layer(layer, layer_of_tap(tap, found.layers), len(found.layers))
    if at >= len(found.layers):
        raise NotFound(f"layer {at + 1}", f"1 to {len(found.layers)}")
    if found.n < FEWEST:
        raise NotEnoughData(f"{found.n} sample(s) of {tap.name}", f"at least {FEWEST}")
    every = []
    for place in range(found.n):
        progress(0.3 + 0.5 * place / found.n, "scans")
        own = found.read(place)
        every.append(np.abs(own.give(at, own.some(at, HEADS))).mean(axis=0))
    tokens = min(len(m) for m in every)
    if tokens < 2:
        raise NotEnoughData(f"samples of {tokens} token(s)", "at least two")
    notes = (*why, *found.notes)
    if own.heads[at] > HEADS:
        notes = (*notes, f"Shown is the mean over {HEADS} of {own.heads[at]} channels, evenly spread.")
    if any(len(m) > tokens for m in every):
        notes = (*notes, f"Samples have unlike lengths: the first {tokens} tokens of each are compared.")
    every = [shares_of(m[:tokens, :tokens]) for m in every]
    starts = np.arange(0, tokens, -(-tokens // SHOWN))
    lag = np.abs(np.arange(tokens)[:, None] - np.arange(tokens)[None])
    even = shares_of(np.tri(tokens))
    return ScanMatrices(
        np.stack([together(p, starts) for p in every]), np.array([(p * lag).sum() / tokens for p in every]),
        float((even * lag).sum() / tokens), np.asarray(found.samples), found.layers[at], found.what, starts, tokens,
        notes,
    )  # fmt: skip


def shares_of(m: np.ndarray) -> np.ndarray:
    """(T, T) each row of |M| over its sum; a row of zeros stays."""
    size = np.abs(m)
    total = size.sum(axis=1, keepdims=True)
    return size / np.where(total > 0, total, 1.0)


def together(p: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(runs, runs) sums over what is read, means over who reads."""
    summed = np.add.reduceat(np.add.reduceat(p, starts, axis=1), starts, axis=0)
    return summed / np.diff(np.append(starts, len(p)))[:, None]


def _scans(tap, maximum: int, source: str, rng, progress) -> tuple[Mixers, tuple[str, ...]]:
    why = ()
    if source != ROWS:
        try:
            found = network_mixers(tap, maximum, rng)
            if found.of_scans:
                return found, ()
            why = (f"{found.what[0].upper()}{found.what[1:]} are no scans: rows are scanned instead.",)
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    return mixers(tap, maximum, rng, SCAN, ROWS, lambda f, doing="": progress(0.3 * f, doing)), why
