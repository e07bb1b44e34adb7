"""The network of a stored tap, opened so that its tokens can be followed and taken away.

It has to be a network that can be run again from files that need no code (see `analysis.sources.rerun`), and one whose
blocks are known (see `analysis.tokens.networks.block_parts`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.networks.shape import shape_of
from analysis.tokens.networks.token_network import TokenNetwork

TRIED = 2  # samples on which our way through the blocks is compared with the network's own


@dataclass
class Opened:
    """`network` with the samples of a store: `samples` (n,) their places in it, `labels` (n,) classes or None (-1 where
    a sample has none), `classes` names of outputs, `notes` on what was run."""

    network: TokenNetwork
    run: object
    samples: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def classifies(self) -> bool:
        """Whether outputs are classes (of a language model: next tokens)."""
        return bool(self.network.loaded.classifies) and not self.network.loaded.masked

    @property
    def of_text(self) -> bool:
        return bool(self.network.loaded.causal)

    def place(self, sample: int) -> int:
        """Where a sample of the store is among these. Raises NotFound."""
        at = np.flatnonzero(self.samples == sample)
        if not len(at):
            raise NotFound(f"sample {sample}", f"one of the {self.n:,} samples that are run")
        return int(at[0])

    def prepared(self, start: int, stop: int):
        """Inputs of the samples from the start-th to before the stop-th."""
        return self.network.loaded.prepare(self.run.data.items(start, stop))

    def batches(self, size: int) -> Iterator[tuple[slice, object]]:
        """(which of the samples, their inputs)."""
        for start in range(0, self.n, size):
            part = slice(start, min(start + size, self.n))
            yield part, self.prepared(part.start, part.stop)

    def words(self, place: int) -> tuple[str, ...]:
        """Of a text its tokens, else nothing."""
        found = self.network.loaded.tokens(self.run.data.items(place, place + 1))
        return tuple(found[0]) if found else ()

    def shape(self) -> NetworkShape:
        """Sizes that multiply-adds are counted from."""
        return shape_of(self.network, self.prepared(0, 1))

    def answer_word(self, answer: int) -> str:
        """What an output stands for."""
        if answer < len(self.classes):
            return self.classes[answer]
        decode = self.network.loaded.decode
        return repr(decode(answer)) if decode else str(answer)


def types_said(tap: Activations) -> tuple[str, ...]:
    """The token-type maps that were said of the taps of a store, this tap's first."""
    store, own = getattr(tap, "store", None), getattr(tap, "tap", None)
    if store is None:
        return ()
    names = sorted(store.taps, key=lambda name: name != own)
    return tuple(dict.fromkeys(t for name in names if (t := store.entry(name).get("types", ""))))


def opened(
    tap: Activations, maximum: int, rng: np.random.Generator | None = None, attention: bool = True
) -> Opened:
    """The network of a tap with at most `maximum` of its samples, all or a random part. `attention`: it has to have
    some; a network of scans has none.

    Raises InputError, NotFound: not recorded from files that need no code, files or data that are gone or have changed,
    blocks that are not known.
    """
    from analysis.sources.rerun import rerun

    source = getattr(tap, "source", None)
    run = rerun(tap if source is None else source(), maximum, partial=True, rng=rng)
    network = TokenNetwork(run.loaded, run.data.items(0, min(TRIED, run.n)), types=types_said(tap))
    if attention and not network.attends:
        raise InputError(
            f"{type(run.loaded.module).__name__} mixes its tokens by scans and has no attention",
            "a network with attention",
            "The view Mixing shows its scans; rules that do not look at attention can be run on it",
        )  # fmt: skip
    return Opened(
        network, run, run.samples, run.labels, tuple(run.loaded.class_names), (run.note, *run.loaded.notes)
    )
