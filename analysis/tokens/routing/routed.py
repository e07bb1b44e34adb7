"""Router logits of every token: of a router of the network behind a tap, or the tap's own rows (tokens x experts)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, NotFound, TooLarge
from analysis.sources.own_module import recorded_from
from analysis.spec import Progress
from analysis.tokens.routing.gates import LOGITS, PARTS, fixed, logits_from
from analysis.tokens.routing.routers import (
    Router,
    nearest,
    routers_of,
    seen_by,
    weights_of_router,
)

AUTOMATIC, ROWS = "the network's router, else the recorded rows", "the recorded rows"
SOURCES = (AUTOMATIC, ROWS)
NAMED = {"gate", "gates", "gating", "router", "routing", "switch"}  # words of a tap's name
BATCH, FEWEST, MOST_BYTES, DEFAULT_TOP = 16, 8, 2 << 30, 1


@dataclass(frozen=True)
class Live:
    """A router that was run: its network, `given` (n, d) of every token, and the data behind it."""

    run: object
    router: Router
    given: np.ndarray


@dataclass(frozen=True)
class Routed:
    """`logits` (n, E) less their mean over experts, of the tokens `tokens` (n,) of the samples `samples` (n,) of a tap;
    `names` of experts; how many a token goes to (0 where nothing tells); `what` they are read from; `notes`."""

    logits: np.ndarray
    samples: np.ndarray
    tokens: np.ndarray
    names: tuple[str, ...]
    top: int
    what: str
    notes: tuple[str, ...]
    live: Live | None = None

    @property
    def experts(self) -> int:
        return self.logits.shape[1]

    def choices(self, asked: int | None) -> tuple[int, tuple[str, ...]]:
        """Experts of a token: as asked, else by the network, else 1, and what is to be said of it."""
        if asked is not None:
            if asked > self.experts:
                raise InputError(
                    f"{asked} experts of a token", f"at most {self.experts}, the experts there are"
                )
            return asked, ()
        if self.top:
            return self.top, ()
        return DEFAULT_TOP, (f"Nothing says how many experts a token goes to: {DEFAULT_TOP} taken.",)


def routed(
    tap: Activations, maximum: int, source: str, rng: np.random.Generator, progress: Progress,
    wanted: int | None = None,
) -> Routed:  # fmt: skip
    """Of at most `maximum` samples, all or a random part; of recorded rows the sample `wanted` is among them.

    Raises NotEnoughData, InputError, TooLarge: fewer than eight tokens, one expert, over 2 GiB, a network without a
    router whose tap holds no gates.
    """
    why = ()
    if source == AUTOMATIC:
        progress(0.0, "opening")
        try:
            return _of_network(tap, maximum, rng, progress)
        except (InputError, NotFound) as error:
            said = str(error).split(". ")[0].rstrip(".")
            if not _may_hold_gates(tap, isinstance(error, NoRouter)):
                raise InputError(
                    f"{tap.name} holds no gates, and no router could be run: {said}",
                    "a mixture of experts that can be run again, or a tap whose units are gates or router logits",
                    f"To read its units as router logits all the same, choose '{ROWS}' as the source. "
                    + recorded_from("*router*"),
                ) from error
            why = (f"No router was run: {said}.",)
    found = _of_rows(tap, maximum, rng, progress, wanted)
    return Routed(*found[:-1], (*why, *found[-1]))


class NoRouter(InputError):
    """The network has none."""


def _of_network(tap: Activations, maximum: int, rng, progress: Progress) -> Routed:
    from analysis.sources.rerun import rerun

    source = getattr(tap, "source", None)
    run = rerun(tap if source is None else source(), maximum, partial=True, rng=rng)
    known, module = routers_of(run.loaded.module), tap.name.partition(":")[2] or tap.name
    if not known:
        raise NoRouter(f"the network of {tap.name} has no router beside experts", "a mixture of experts")
    found = read_router(run, nearest(known, module), progress)
    # numbers of samples count in the store, not in the part that was run
    samples = np.asarray(run.samples)[found.samples]
    notes = (run.note, *run.loaded.notes, *found.notes)
    return Routed(found.logits, samples, found.tokens, found.names, found.top, found.what, notes, found.live)


def read_router(run, router: Router, progress: Progress) -> Routed:
    """One router on the n samples of `run` (`loaded`, `data`, `n`)."""
    given, counts = [], []
    for start in range(0, run.n, BATCH):
        progress(0.05 + 0.4 * start / run.n, f"running the network to {router.name}")
        inputs = run.loaded.prepare(run.data.items(start, min(start + BATCH, run.n)))
        x, tokens = seen_by(run.loaded, router, inputs)
        given.append(x)
        counts.append(tokens)
        if 8 * sum(map(np.size, given)) > MOST_BYTES:
            raise TooLarge(
                f"tokens of {run.n:,} samples before {router.name}", "at most 2 GiB", "Use fewer samples"
            )
    x, counts = np.concatenate(given), np.concatenate(counts)
    weight, bias = weights_of_router(run.loaded, router)
    good = np.isfinite(x).all(axis=1)
    refuse_few(router.name, int(good.sum()), FEWEST, "finite token(s)")
    notes = [
        "Logits are those of the router's linear layer; noise, groups or biases of the choice are not followed."
    ]
    if len(counts) == 1:
        notes += Pass(n_samples=1, n_rows=2).notes  # the same words as of recorded rows
    if not good.all():
        notes.append(f"{int((~good).sum())} of {len(x)} tokens hold NaN or infinity and were left out.")
    samples, tokens = np.repeat(np.arange(run.n), counts), np.concatenate([np.arange(c) for c in counts])
    return Routed(
        fixed(x[good] @ weight.T + bias), samples[good], tokens[good],
        tuple(f"expert {e}" for e in range(router.count)), router.top, f"router {router.name}", tuple(notes),
        Live(run, router, x[good]),
    )  # fmt: skip


def _of_rows(tap: Activations, maximum: int, rng, progress: Progress, asked: int | None = None) -> tuple:
    layout, (n, experts) = tap.layout, tap.shape
    some, notes = random_part(layout.n_samples, maximum, rng)
    if 8 * n * experts * len(some) / max(layout.n_samples, 1) > MOST_BYTES:
        raise TooLarge(f"{len(some):,} samples of {tap.name}", "at most 2 GiB", "Use fewer samples")
    wanted, seen, blocks, at = np.zeros(layout.n_samples, bool), Pass(), [], []
    wanted[some] = True
    if asked is not None and asked < layout.n_samples:
        wanted[asked] = True
    for rows, block in finite_blocks(tap, seen, progress, f"reading {tap.name}", (0.05, 0.4)):
        mine = wanted[layout.sample_of(rows)]
        blocks.append(block if mine.all() else block[mine])
        at.append(rows[mine])
    refuse_few(tap.name, sum(map(len, at)), FEWEST, "finite token(s)")
    logits, kind = logits_from(np.concatenate(blocks))
    rows = np.concatenate(at)
    notes += seen.notes
    if kind == LOGITS:
        notes.append(f"Units of {tap.name} are read as router logits of {experts:,} experts.")
    elif kind == PARTS:
        notes.append("Gates do not sum to 1: they are divided by their sum.")
    return (logits, layout.sample_of(rows), layout.token_of(rows), tuple(map(str, tap.unit_names)), 0,
            f"{kind} of {tap.name}", tuple(notes))  # fmt: skip


def named_gates(tap: Activations) -> bool:
    """Whether a tap is named as gates or a router are."""
    return bool(NAMED & set(re.split(r"[^a-z]+", tap.name.partition(":")[2].lower())))


def like_gates(tap: Activations) -> bool:
    """Whether the first rows of a tap are numbers from 0 to 1, as gates are."""
    first = np.asarray(next(iter(tap.chunks()))[1], np.float64)
    first = first[np.isfinite(first).all(axis=1)]
    return bool(len(first) and first.min() >= 0 and first.max() <= 1)


def _may_hold_gates(tap: Activations, without_router: bool) -> bool:
    """Whether rows can be taken for a router's: arrays of one's own, taps named so, numbers between 0 and 1."""
    stored = hasattr(tap, "store") or hasattr(tap, "source") or without_router
    return not stored or named_gates(tap) or like_gates(tap)
