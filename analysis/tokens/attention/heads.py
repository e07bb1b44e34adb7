"""The attention of a few samples, head by head, made from queries and keys for a block of queries at a time.

    A = softmax(q k' scale), of text over the tokens up to the query's own, padding left out

so that no T x T array is held. Where that is not what the network does (windows, masks, biases of place), which is
tried on one sample, the weights that the network pays are recorded and read instead, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.streaming import refuse_few
from analysis.errors import NotFound, ParameterError
from analysis.spec import Progress, no_progress
from analysis.tokens.attention.dumped_heads import LEAST, dumped_heads
from analysis.tokens.attention.paid_weights import BATCH, PaidWeights, inputs_of, longer, unchanged
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.recorded_dump import parts_of
from analysis.tokens.subject import AUTOMATIC, subject
from analysis.tokens.tap_dump import RUN
from analysis.tokens.view import CLASS, PADDING, PATCH, TokenLayout

FEWEST = 2  # samples
TRIED, SAME = 1024, 2e-3  # most tokens with which weights are compared; of a weight
HELD = 2**20  # entries of attention held at once


@dataclass
class HeadReader:
    """`queries`, `keys` (L lists of (n, H, T, e)), or `weights` (L lists of (n, H, T, T)) where they do not tell;
    `layout` of the n samples, `samples` (n,) their places in the store, `places` (n,) among those of the subject `who`,
    `width` of the stream, `own` the layer of the tap, from 0."""

    layout: TokenLayout
    queries: list[np.ndarray]
    keys: list[np.ndarray]
    samples: np.ndarray
    width: int
    what: str = "planted attention"
    notes: tuple[str, ...] = ()
    weights: list[np.ndarray] | PaidWeights | None = None
    scale: float | None = None
    who: object = None
    places: np.ndarray | None = None
    own: int | None = None

    @property
    def layers(self) -> int:
        return len(self.queries)

    @property
    def heads(self) -> int:
        return self.queries[0].shape[1]

    @property
    def n(self) -> int:
        return len(self.layout.kinds)

    @property
    def mean_first(self) -> bool:
        """Whether the first token of a sample is the mean of the others: of rows that belong to no network."""
        return self.who is not None and not self.who.is_network and not self.who.recorded

    @property
    def tokens(self) -> int:
        return self.layout.kinds.shape[1]

    @property
    def signed(self) -> bool:
        """Whether weights below 0 were recorded of a dump, which count as 0 in `rows`."""
        return isinstance(self.weights, list) and any((w < -LEAST).any() for w in self.weights)

    def parts(self, held: int = HELD) -> Iterator[tuple[int, int]]:
        """(first, end) of blocks of queries of which all samples' attention has at most `held` entries."""
        step = max(1, held // (self.n * self.tokens))
        for start in range(0, self.tokens, step):
            yield start, min(start + step, self.tokens)

    def allowed(self, start: int, stop: int) -> np.ndarray:
        """(n, stop - start, T) bool: what these queries may read; nothing where the query is padding."""
        there = self.layout.present
        may = there[:, start:stop, None] & there[:, None, :]
        if self.layout.causal:
            may = may & (np.arange(self.tokens) <= np.arange(start, stop)[:, None])
        return may

    def rows(self, layer: int, head: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """(n, stop - start, T) float64 attention of these queries; rows sum to 1, those of padding to 0."""
        stop = self.tokens if stop is None else stop
        may = self.allowed(start, stop)
        if self.weights is not None:
            rows = np.where(
                may, np.maximum(self.weights[layer][:, head, start:stop], 0).astype(np.float64), 0.0
            )
            return rows / np.maximum(rows.sum(axis=2, keepdims=True), 1e-300)
        q = self.queries[layer][:, head, start:stop].astype(np.float64)
        scores = q @ self.keys[layer][:, head].astype(np.float64).transpose(0, 2, 1)
        scores *= q.shape[2] ** -0.5 if self.scale is None else self.scale
        return softmax_over(scores, may)


def planted(q: np.ndarray, k: np.ndarray, grid=None, causal: bool = False, scale: float = 1.0) -> HeadReader:
    """One head of samples q, k (n, T, e)."""
    n, t, e = q.shape
    kinds = np.full((n, t), PATCH)
    cell = np.broadcast_to(np.arange(t) if grid else np.full(t, -1), (n, t))
    layout = TokenLayout(kinds, kinds == PATCH, cell, grid, causal)
    return HeadReader(layout, [q[:, None]], [k[:, None]], np.arange(n), e, scale=scale)


def softmax_over(scores: np.ndarray, may: np.ndarray) -> np.ndarray:
    """Softmax of scores (n, t, T) over the entries that `may` be read; rows without any are 0. Works in `scores`."""
    np.copyto(scores, -np.inf, where=~may)
    top = scores.max(axis=2, keepdims=True)
    scores -= np.where(np.isfinite(top), top, 0.0)
    np.exp(scores, out=scores)
    total = scores.sum(axis=2, keepdims=True)
    scores /= np.where(total > 0, total, 1.0)
    return scores


def heads_of(
    tap: Activations, maximum: int, rng, source: str = AUTOMATIC, progress: Progress = no_progress,
    also: int | None = None,
) -> HeadReader:  # fmt: skip
    """The heads of the network of a tap on at most `maximum` samples, and on the sample `also` of the store; of rows
    that belong to no network one head in one layer, whose queries and keys they are; of a dump of one's own those that
    were recorded of its blocks. Of a tap of one row a sample its neighbours are read with it.

    Raises NotEnoughData: fewer than two samples of two tokens or more. NotFound: no sample `also`.
    """
    most = maximum if also is None else tap.layout.n_samples
    who, notes = subject(tap, most, rng, source, lambda f, doing="": progress(0.1 * f, doing),
                         weights=False)  # fmt: skip
    refuse_few(tap.name, who.n, FEWEST, "sample(s)")
    run = RUN if tap.layout.is_pooled and not who.is_network else 1  # rows that are read as one sample
    places = _places(who.samples, maximum, rng, also, tap.name, run)
    notes = tuple(said for said in notes if not said.startswith("The answer is"))  # nobody answers here
    if len(places) < who.n:
        notes = (
            f"Attention was read of {len(places)} of {who.n} samples, at random.",
            *notes[who.is_network :],
        )
    if not who.is_network and who.recorded:
        return _dumped(tap, who, places, notes)
    if not who.is_network:
        q, k = ([who.dump.recorded[name][0][places]] for name in ("queries", "keys"))  # all layers are alike
        first = who.samples[places] * run
        samples = first if also is None else np.where(first // run == also // run, also, first)
        return HeadReader(who.dump.layout.rows(places), q, k, samples, tap.shape[1], who.what, notes, who=who,
                          places=places)  # fmt: skip
    direct = _tells(who)
    found = recorded_heads(who, places, direct, lambda f, doing="": progress(0.1 + 0.3 * f, doing))
    said = () if direct else ("The weights that the network pays are not softmax(q k'): they are recorded.",)
    found.notes = (*notes, *said)
    found.own = layer_of_tap(tap, [block.name for block in who.opened.network.blocks])
    return found


def _dumped(tap: Activations, who, places: np.ndarray, notes) -> HeadReader:
    """Of a dump of one's own, block by block."""
    q, k, weights, scale, said = dumped_heads(who.dump.recorded, places)
    notes = tuple(n for n in notes if n != who.note)
    found = HeadReader(who.dump.layout.rows(places), q, k, who.samples[places], who.shape().width, who.what,
                       (*notes, *said), weights, scale, who, places)  # fmt: skip
    found.own = layer_of_tap(tap, [part.tap.rpartition(".")[0] for part in parts_of(tap)["hidden"]])
    return found


def recorded_heads(
    who, places: np.ndarray, direct: bool, progress: Progress, changed: Callable = unchanged
) -> HeadReader:
    """The heads of a network's subject on the samples at `places`, their prepared inputs `changed` before they are
    run; not `direct`: with the weights that it pays."""
    runs = []
    for k in range(0, len(places), BATCH):
        progress(k / len(places), "running the network")
        at = places[k : k + BATCH]
        runs.append(who.opened.network.run(changed(inputs_of(who, at), at), record=("queries", "keys")))
    longest = max(r.layout.kinds.shape[1] for r in runs)
    stacked = {
        name: [np.concatenate([longer(r.recorded[name][i], longest, name) for r in runs])
               for i in range(who.layers)] for name in ("queries", "keys")
    }  # fmt: skip
    weights = None if direct else PaidWeights(who, places, longest, changed)
    return HeadReader(
        _layout([r.layout for r in runs], longest), stacked["queries"], stacked["keys"], who.samples[places],
        who.shape().width, who.what, weights=weights, who=who, places=places,
    )  # fmt: skip


def _places(samples: np.ndarray, maximum: int, rng, also: int | None, name: str, run: int) -> np.ndarray:
    """Which of the samples are read, or of the runs of so many."""
    if also is None:
        return np.arange(len(samples))
    at = np.flatnonzero(samples == also // run)
    if not len(at):
        last = (samples.max() + 1) * run - 1
        raise NotFound(f"sample {also} of {name}", f"one of 0 to {last} with two tokens or more")
    return np.union1d(chosen_samples(len(samples), maximum, rng), at)


def _tells(who) -> bool:
    """Whether softmax(q k') is what the network pays, on its first sample; taken for granted of very long ones."""
    first = next(dump for _, dump in who.dumps(1, ("queries", "keys")))
    if first.layout.kinds.shape[1] > TRIED:
        return True
    made = HeadReader(first.layout, first.recorded["queries"], first.recorded["keys"], np.zeros(1), 1)
    paid, there = PaidWeights(who, np.zeros(1, int)), first.layout.present[0]
    return all(
        np.abs(made.rows(i, h)[0][there] - paid[i][0, h][there]).max() <= SAME
        for i in range(made.layers) for h in range(made.heads)
    )  # fmt: skip


def _layout(parts: list[TokenLayout], longest: int) -> TokenLayout:
    def whole(name, absent):
        return np.concatenate([
            np.pad(getattr(p, name), ((0, 0), (0, longest - p.kinds.shape[1])), constant_values=absent) for p in parts
        ])  # fmt: skip

    grids = {p.grid for p in parts}
    return TokenLayout(whole("kinds", PADDING), whole("free", False), whole("cell", -1),
                       grids.pop() if len(grids) == 1 else None, parts[0].causal, parts[0].frames)  # fmt: skip


def answering(layout: TokenLayout) -> np.ndarray:
    """(n,) the token that the answer is read from: of text the last, else the class token; without one the token in the
    middle."""
    there = layout.present
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    if layout.causal:
        return last
    has = (layout.kinds == CLASS).any(axis=1)
    middle = np.where(there, np.cumsum(there, axis=1), 0) == (there.sum(axis=1, keepdims=True) + 1) // 2
    return np.where(has, (layout.kinds == CLASS).argmax(axis=1), middle.argmax(axis=1))


def asked_head(reader: HeadReader, layer: int | None, head: int) -> tuple[int, int]:
    """(layer, head) from 0 of numbers from 1; without a layer that of the tap, else the last. Raises ParameterError
    where there is none."""
    layer = named_layer(layer, reader.own, reader.layers)
    if layer >= reader.layers or head > reader.heads:
        raise ParameterError(
            f"layer {layer + 1}, head {head} of {reader.what}",
            f"layers 1 to {reader.layers} and heads 1 to {reader.heads}",
        )
    return layer, head - 1


def token_name(layout: TokenLayout, sample: int, token: int) -> str:
    """What a token of a sample is called."""
    kind, cell = layout.kinds[sample, token], int(layout.cell[sample, token])
    if kind == CLASS:
        return "class token"
    if kind == PATCH and cell >= 0 and layout.grid:
        return f"patch in row {cell // layout.grid[1] + 1}, column {cell % layout.grid[1] + 1}"
    return f"token {token}"
