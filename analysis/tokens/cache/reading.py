"""Queries, keys and values of every layer and head of some samples: of a network that is run, or of rows of a tap.

Heads that share keys (grouped queries) are one head of the cache with several heads of queries. Keys are centred over
all tokens: one vector taken from all keys adds the same to every logit of a row, which softmax does not see. So are
values: weights sum to 1, and the mean comes back unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError
from analysis.spec import Progress, no_progress
from analysis.tokens.cache.trained import VALUES, projections_in
from analysis.tokens.subject import NetworkSubject, RowSubject, subject

BATCH, SAME = 8, 2e-3
BEFORE, BEHIND = "before rotary positions", "as they are read"
HEADS = 4  # that the units of a tap are cut into where they are many enough
ROWS_SAID = (
    "Queries, keys and values are the same rows of the tap, cut into heads of neighbouring units; one layer."
)


@dataclass(frozen=True)
class Cached:
    """One sample: `queries` (L, H, G, t, e), `keys` and `values` (L, H, t, e), of H heads of the cache that G heads of
    queries share; `hidden` (L + 1, t, d) or None."""

    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    hidden: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        return self.keys.shape[2]


@dataclass(frozen=True)
class Cache:
    """`samples` one by one; `who` they are of; `causal`; what is to be said; `means` (L, H, 1, e) of keys and of values
    that were taken from them; `trained` projections of either (`analysis.tokens.cache.trained`). Taps' own rows have
    one layer."""

    samples: list[Cached]
    who: NetworkSubject | RowSubject
    causal: bool
    notes: tuple[str, ...]
    means: tuple[np.ndarray, np.ndarray]
    trained: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(layers, heads of the cache, heads of queries for each, width)."""
        layers, heads, shared, _, e = self.samples[0].queries.shape
        return layers, heads, shared, e

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Layers and heads."""
        layers, heads, shared, _ = self.shape
        if not self.who.is_network:
            return ("the rows",), tuple(f"units {i + 1} of {heads}" for i in range(heads))
        heads_ = tuple(f"keys {h + 1}" if shared > 1 else f"head {h + 1}" for h in range(heads))
        return tuple(f"layer {i + 1}" for i in range(layers)), heads_


def read_cache(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str, progress: Progress = no_progress,
    *, keys: str = BEHIND, hidden: bool = False,
) -> Cache:  # fmt: skip
    """Of at most `maximum` samples.

    Raises NotEnoughData as `subject`; InputError where attention is not softmax(q k' / √e).
    """
    who, notes = subject(tap, maximum, rng, source, lambda f, doing="": progress(0.1 * f, doing))
    if not who.is_network:
        samples = _of_rows(who)
        return _centred(samples, who, False, (*notes, ROWS_SAID))
    of = ("plain queries", "plain keys") if keys == BEFORE else ("queries", "keys")
    samples, causal, shared = [], False, 0
    for part, dump in who.dumps(BATCH, (*of, "values", "hidden", *(("attention",) if not samples else ()))):
        progress(0.1 + 0.4 * part.start / who.n, "running the network")
        causal, there = dump.layout.causal, dump.layout.present
        if not shared:
            shared = _shared(dump.recorded[of[1]], there[0])
        for b in range(dump.n):
            samples.append(_sample(dump, b, of, shared, hidden))
        if part.start == 0 and keys != BEFORE:
            _refuse_other(samples[0], dump.recorded["attention"], there[0], causal)
    said = (f"{shared} heads of queries share each head of keys.",) if shared > 1 else ()
    return _centred(samples, who, causal, (*notes, *said))


def with_trained(cache: Cache, path: str, tap: Activations) -> Cache:
    """With the trained projections of a file, or of the network's own checkpoint where it holds some. Raises
    NotFound, InputError, ShapeError as `projections_in`."""
    layers, heads, _, e = cache.shape
    found, said = projections_in(path, tap, (layers, heads, e))
    if not found:
        return cache
    notes = [said, "What trained projections were trained on is not known: they may have seen these samples."]
    if VALUES not in found:
        notes.append("There are trained projections of keys alone; values beside them are cut by PCA.")
    return replace(cache, trained=found, notes=(*cache.notes, *notes))


def _sample(dump, b: int, of, shared: int, hidden: bool) -> Cached:
    there = dump.layout.present[b]
    q, k, v = (np.stack([x[b][:, there] for x in dump.recorded[name]]).astype(np.float64)
               for name in (*of, "values"))  # fmt: skip
    layers, heads, t, e = q.shape
    q = q.reshape(layers, heads // shared, shared, t, e)
    states = np.stack([x[b][there] for x in dump.recorded["hidden"]]).astype(np.float64) if hidden else None
    return Cached(q, k[:, ::shared], v[:, ::shared], states)


def _shared(keys: list[np.ndarray], there: np.ndarray) -> int:
    """How many heads of queries have the same keys, in all layers."""
    x = np.stack([k[0][:, there] for k in keys])
    heads = x.shape[1]
    for g in sorted((g for g in range(2, heads + 1) if heads % g == 0), reverse=True):
        groups = x.reshape(len(x), heads // g, g, *x.shape[2:])
        if (groups == groups[:, :, :1]).all():
            return g
    return 1


def _refuse_other(one: Cached, recorded, there: np.ndarray, causal: bool) -> None:
    for layer, weights in enumerate(recorded):
        ours = weights_of(one.queries[layer], one.keys[layer], causal)
        theirs = weights[0][:, there][:, :, there].reshape(ours.shape)
        if np.abs(ours - theirs).max() > SAME:
            raise InputError(
                f"attention of layer {layer + 1} that is not softmax(q k' / √e)",
                "plain attention over all tokens, or over those before", "A window or another scale is not taken apart",
            )  # fmt: skip


def _of_rows(who: RowSubject) -> list[Cached]:
    found, dump = [], who.dump
    x, there = dump.recorded["hidden"][0], dump.layout.present
    d = x.shape[2]
    heads = next(h for h in (HEADS, 2, 1) if d % h == 0 and (d // h >= 4 or h == 1))
    for b in range(dump.n):
        rows = x[b][there[b]].reshape(-1, heads, d // heads).transpose(1, 0, 2)[None]
        found.append(Cached(rows[:, :, None], rows, rows, np.stack([x[b][there[b]]] * 2)))
    return found


def _centred(samples: list[Cached], who, causal: bool, notes) -> Cache:
    total = sum(s.tokens for s in samples)
    keys, values = (sum(getattr(s, w).sum(axis=2, keepdims=True) for s in samples) / total
                    for w in ("keys", "values"))  # fmt: skip
    found = [Cached(s.queries, s.keys - keys, s.values - values, s.hidden) for s in samples]
    return Cache(found, who, causal, tuple(notes), (keys, values))


def weights_of(queries: np.ndarray, keys: np.ndarray, causal: bool) -> np.ndarray:
    """(H, G, t, t) softmax(q k' / √e) of queries (H, G, t, e) and keys (H, t, e)."""
    logits = queries @ keys[:, None].swapaxes(-1, -2) / np.sqrt(keys.shape[-1])
    if causal:
        t = logits.shape[-1]
        logits = np.where(np.tri(t, dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def attended(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, causal: bool) -> np.ndarray:
    """(H, G, t, e) what the heads give."""
    return weights_of(queries, keys, causal) @ values[:, None]
