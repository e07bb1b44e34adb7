"""A dump of one's own: tokens, keys, queries and attention of every layer, recorded as taps of one store.

    blocks.3.hidden      (T, d) what stands behind block 3; blocks are taken in the order of their numbers
    blocks.3.between     (T, d) what stands between its attention and its MLP; without it, what stands behind the block
    blocks.3.keys        (T, H e) keys, heads beside each other; queries likewise
    blocks.3.attention   (T, H T) of every token the weights that it pays, heads beside each other

"blocks." may be any beginning that all have. Only "hidden" has to be there; a rule that looks at what is not recorded
refuses, and says so. All samples have the same number of tokens. Attention that is 0 above its diagonal everywhere is
causal. Where a token-type map was said of them (head tokens behind the patches, say), what is no patch is protected, and
columns of attention come in the order of the rows. Nothing is known of rotary positions: keys and queries count as they are. What is recorded of some blocks only
is not used.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import ShapeError
from analysis.results import digests_of
from analysis.sources.token_types import TokenTypes, fitting
from analysis.spec import Progress
from analysis.tokens.dump import TokenDump
from analysis.tokens.tap_dump import FEWEST
from analysis.tokens.view import CLASS, PATCH, REGISTER, TEXT, TokenLayout

NAMED = re.compile(r"(?P<stem>.*?)(?P<block>\d+)\.(?P<what>hidden|between|keys|queries|attention)")
NOTE = (
    "No network was run: rules go by what was recorded of {blocks} blocks ({what}), and later blocks do not answer to "
    "what is gone."
)


def parts_of(tap: Activations) -> dict[str, list[Activations]]:
    """Taps of the blocks that this one belongs to, by what they are, in the order of blocks; nothing where there are no
    two blocks of "hidden"."""
    here, store = NAMED.fullmatch(str(getattr(tap, "tap", ""))), getattr(tap, "store", None)
    if here is None or store is None:
        return {}
    found: dict[str, dict[int, str]] = {}
    for name in store.taps:
        one = NAMED.fullmatch(name)
        if one and one["stem"] == here["stem"]:
            found.setdefault(one["what"], {})[int(one["block"])] = name
    blocks = sorted(found.get("hidden", {}))
    if len(blocks) < 2:
        return {}
    return {
        what: [store.activations(of[b]) for b in blocks]
        for what, of in found.items()
        if set(blocks) <= set(of)
    }


def beside(tap: Activations) -> tuple[Activations, ...]:
    """The other taps of the dump that this one belongs to, by their names: all of them are read with it."""
    read = {one.name: one for of in parts_of(tap).values() for one in of}
    return tuple(read[name] for name in sorted(read) if name != tap.name)


def digest_of(tap: Activations) -> str:
    """Digest of everything that rules read with this tap, 32 hexadecimal characters: its own where it stands alone."""
    others = [{"name": one.name, "digest": one.digest} for one in beside(tap)]
    if not others:
        return tap.digest
    held = digests_of([{"digest": tap.digest, "beside": others}])[0]
    return hashlib.sha256(held.encode()).hexdigest()[:32]


def recorded_dump(
    parts: dict[str, list[Activations]], maximum: int, rng: np.random.Generator, progress: Progress
) -> tuple[TokenDump, np.ndarray, Pass]:
    """((n samples, T) dump, (n,) which samples, what was read) of at most `maximum` samples; those that hold a number
    that is not finite are left out.

    Raises ShapeError of samples of different length, or taps that do not fit; NotEnoughData below two samples.
    """
    layout, blocks = parts["hidden"][0].layout, len(parts["hidden"])
    tokens = np.unique(np.diff(layout.offsets))
    if len(tokens) != 1 or any(p.layout.n_rows != layout.n_rows for of in parts.values() for p in of):
        raise ShapeError(
            f"{layout.n_samples} samples of {tokens.min()} to {tokens.max()} tokens",
            "as many tokens in every sample and every tap of a recorded dump",
        )
    samples, seen = chosen_samples(layout.n_samples, maximum, rng), Pass()
    raw = {}
    for k, (what, of) in enumerate(parts.items()):
        progress(0.5 * k / len(parts), f"reading {what}")
        raw[what] = [_rows(one, samples, int(tokens[0])) for one in of]
    good = np.all([np.isfinite(x).all(axis=(1, 2)) for of in raw.values() for x in of], axis=0)
    seen.n_rows, seen.n_samples = int(good.sum()) * int(tokens[0]) * blocks, int(good.sum())
    refuse_few(parts["hidden"][0].name, int(good.sum()), FEWEST, "sample(s) of finite tokens")
    types = types_of(parts["hidden"][0], int(tokens[0]))
    recorded = _recorded({what: [x[good] for x in of] for what, of in raw.items()}, types)
    return TokenDump(_layout(layout, recorded, types), recorded), samples[good], seen


def types_of(tap: Activations, tokens: int) -> TokenTypes | None:
    """The token-type map that was said of a tap of a store with so many tokens."""
    entry = tap.store.entry(tap.tap)
    return fitting([entry.get("types", "")], tokens) if entry.get("tokens") == "all" else None


def _rows(one: Activations, samples: np.ndarray, tokens: int) -> np.ndarray:
    """(n, T, units)."""
    offsets = one.layout.offsets
    return np.stack(
        [np.asarray(one.take(np.arange(offsets[i], offsets[i] + tokens)), np.float64) for i in samples]
    )


def _recorded(
    raw: dict[str, list[np.ndarray]], types: TokenTypes | None = None
) -> dict[str, list[np.ndarray]]:
    """By the names that a `TokenDump` has."""
    hidden, heads = raw["hidden"], 1
    t = hidden[0].shape[1]
    out = {
        "hidden": [hidden[0], *hidden],
        "between": raw.get("between", hidden),
    }  # what stood before is not known
    if "attention" in raw:
        heads = max(raw["attention"][0].shape[2] // t, 1)
        out["attention"] = [_heads(x, heads, t, "attention") for x in raw["attention"]]
        if types is not None:  # rows were put in order when they were written, columns were not
            out["attention"] = [a[..., list(types.order)] for a in out["attention"]]
        out["mean attention"] = [a.mean(axis=1) for a in out["attention"]]
    for what in ("keys", "queries"):
        if what in raw:
            out[what] = out[f"plain {what}"] = [_heads(x, heads, None, what) for x in raw[what]]
    if "keys" in out:
        out["mean keys"] = [k.mean(axis=1) for k in out["keys"]]
    return out


def _heads(x: np.ndarray, heads: int, wide: int | None, what: str) -> np.ndarray:
    """(n, H, T, e) of (n, T, H e)."""
    if x.shape[2] % heads or (wide is not None and x.shape[2] != heads * wide):
        raise ShapeError(
            f"{what} of {x.shape[2]} units at {x.shape[1]} tokens",
            f"as many for each of {heads} heads" + (f", {wide} each" if wide else ""),
        )
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _layout(layout, recorded, types: TokenTypes | None = None) -> TokenLayout:
    n, t = recorded["hidden"][0].shape[:2]
    causal = (
        all(not np.triu(a, 1).any() for a in recorded.get("mean attention", ())) and "attention" in recorded
    )
    grid = tuple(layout.grid) if layout.grid and layout.leading + np.prod(layout.grid) == t else None
    kinds = np.full((n, t), TEXT if causal else PATCH)
    free, cell = np.ones((n, t), bool), np.full((n, t), -1)
    if causal and grid is None:
        free[:, [0, -1]] = False
    else:
        kinds[:, : layout.leading] = REGISTER
        if layout.leading and (types is None or types.has_class):
            kinds[:, 0] = CLASS
        free[:, : layout.leading] = False
        cell[:, layout.leading :] = np.arange(t - layout.leading) if grid else -1
    return TokenLayout(kinds, free, cell, grid, causal)
