"""Answers of what follows a tap when its tokens come in another order, or one of them is taken back to their mean.

A network is run with what the tap's module gives replaced; leading tokens (class token, registers) stay where they are.
Without one a decaying scan y_t = a y_{t-1} + x_t of the rows stands for it, and its states are the answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import Progress, no_progress
from analysis.tokens.mixers.reading import FORGETS
from analysis.tokens.pooling.token_sets import RUN, token_sets
from analysis.tokens.subject import ROWS

LIVE = 64  # copies of a sample in one pass
SCAN = f"No network was run: a scan of the rows that forgets half in {FORGETS:g} tokens stands for it."


class ScannedRows:
    """`rows(i)` (T, d) of the i-th sample, `answers` (m, T, d) of m changed copies."""

    is_network, leading, per_token = False, 0, True

    def __init__(self, tap: Activations, maximum: int, rng, also: int, progress: Progress) -> None:
        pooled = tap.layout.is_pooled
        whole = tap.shape[0] // RUN if pooled else tap.layout.n_samples
        refuse_few(tap.name, whole, 2, "sample(s) of two tokens or more")
        some = with_also(whole, maximum, rng, also // RUN if pooled else also, tap.name)
        self.sets = token_sets(tap, maximum, rng, progress, only=some)
        self.drawn = also // RUN if pooled else also
        self.samples, self.notes, self.grid = self.sets.samples, (*self.sets.notes, SCAN), self.sets.grid
        spread = float(np.sqrt(np.square(self.sets.x[self.sets.present]).mean()))
        self._scale = spread if spread > 0 else 1.0

    @property
    def n(self) -> int:
        return len(self.samples)

    def rows(self, i: int) -> np.ndarray:
        return self.sets.x[i][self.sets.present[i]] / self._scale

    def cells(self, i: int) -> np.ndarray:
        return np.flatnonzero(self.sets.present[i])

    def answers(self, i: int, copies: np.ndarray) -> np.ndarray:
        keep = 0.5 ** (1.0 / FORGETS)
        out = np.array(copies, np.float64)
        for t in range(1, out.shape[1]):
            out[:, t] += keep * out[:, t - 1]
        return out


class LiveRows:
    """The same of a network from the tap's module on: `answers` (m, q, c) logits, of samples (q = 1) or tokens."""

    is_network = True

    def __init__(self, tap: Activations, maximum: int, rng, also: int) -> None:
        from analysis.sources.live_tap import LiveTap
        from analysis.sources.rerun import rerun

        source = getattr(tap, "source", None)
        run = rerun(tap if source is None else source(), tap.layout.n_samples, partial=True)
        name, self.drawn = tap.name.partition(":")[2] or tap.name, also
        self.live, self.samples = (
            LiveTap(run.loaded, run.data, name),
            with_also(run.total, maximum, rng, also, tap.name),
        )
        which = (
            f"{self.n} of {run.total} samples, at random"
            if self.n < run.total
            else f"all {run.total} samples"
        )
        self.notes = (f"The network was run on {which}.", *run.loaded.notes)
        one = self.rows(0)
        said = self.live.spliced(self._inputs, _tensor(one)).logits
        self.per_token = len(said) == len(one) and len(one) > 1 and run.loaded.causal
        if len(one) < 2 or len(said) not in (1, len(one)):
            raise InputError(f"'{name}' gives {len(one)} row(s) for a sample, and {len(said)} answer(s) follow",
                             "two tokens or more, and an answer of the sample or of every token")  # fmt: skip
        self.leading, self.grid = _leading(len(one), tap, run.loaded)

    @property
    def n(self) -> int:
        return len(self.samples)

    def rows(self, i: int) -> np.ndarray:
        self._inputs, clean = self.live.clean(self.samples[[i]])
        return clean.rows.double().numpy()

    def cells(self, i: int) -> np.ndarray:
        return np.arange(len(self.rows(i)) - self.leading)

    def answers(self, i: int, copies: np.ndarray) -> np.ndarray:
        import torch

        parts = []
        for start in range(0, len(copies), LIVE):
            some = copies[start : start + LIVE]
            at = int(self.samples[i])
            inputs = self.live.loaded.prepare(self.live.data.items(at, at + 1) * len(some))
            with torch.no_grad():
                said = self.live.spliced(inputs, _tensor(some.reshape(-1, copies.shape[2]))).logits
            parts.append(said.double().numpy().reshape(len(some), -1, said.shape[-1]))
        return np.concatenate(parts)


def _tensor(x: np.ndarray):
    import torch

    return torch.from_numpy(np.ascontiguousarray(x)).float()


def _leading(tokens: int, tap: Activations, loaded) -> tuple[int, tuple[int, int] | None]:
    """(tokens before the grid, grid): of the tap where it has tokens, of a picture one class token before a square."""
    layout = tap.layout
    if not layout.is_pooled and layout.grid:
        return layout.leading, tuple(layout.grid)
    if loaded.modality == "image" and not loaded.causal:
        for lead in (0, 1):
            side = round(np.sqrt(tokens - lead))
            if side > 1 and side * side == tokens - lead:
                return lead, (side, side)
    return 0, None


def with_also(n: int, maximum: int, rng, also: int, name: str) -> np.ndarray:
    """At most `maximum` of n samples, and `also` that one. Raises ParameterError where there is none."""
    if not 0 <= also < n:
        raise ParameterError(f"sample {also} of {name}", f"one of 0 to {n - 1}")
    return np.union1d(chosen_samples(n, maximum, rng), [also])


def reordered(tap: Activations, maximum: int, rng, source: str, also: int, progress: Progress = no_progress):
    """(LiveRows or ScannedRows, notes), the sample `also` among theirs. Raises ParameterError where there is none,
    NotEnoughData: no network, and fewer than two samples of two tokens."""
    why = ()
    if source != ROWS:
        try:
            found = LiveRows(tap, maximum, rng, also)
            return found, found.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = ScannedRows(tap, maximum, rng, also, progress)
    return rows, (*why, *rows.notes)


@dataclass(frozen=True)
class Order:
    """Of one sample with T free tokens: `changed` (s,) relative change of the answer for s shuffles, `same` (s,)
    whether the largest output is the same, `influence` (T,) relative change of the answer without each token,
    `back` (T,) the share of its change that falls on answers before it (NaN where answers are of samples)."""

    changed: np.ndarray
    same: np.ndarray
    influence: np.ndarray
    back: np.ndarray


def order_of(who, i: int, shuffles: int, rng: np.random.Generator) -> Order:
    """Shuffled, and without each token in turn. T + shuffles + 1 answers."""
    x, lead = who.rows(i), who.leading
    t = len(x) - lead
    copies = np.repeat(x[None], 1 + shuffles + t, axis=0)
    for k in range(shuffles):
        copies[1 + k, lead:] = x[lead:][another_order(t, rng)]
    at = np.arange(t)
    copies[1 + shuffles + at, lead + at] = x[lead:].mean(axis=0)
    said = who.answers(i, copies)
    said = (
        said - said.mean(axis=2, keepdims=True) if who.is_network else said
    )  # a constant on all logits is nothing
    clean, last = said[0], said[:, -1]
    size = max(float(np.linalg.norm(clean[-1])), 1e-12)
    far = np.linalg.norm(last - clean[-1], axis=1) / size
    same = last.argmax(axis=1)[1 : 1 + shuffles] == clean[-1].argmax()
    back = np.full(t, np.nan)
    if who.per_token:
        moved = np.linalg.norm(said[1 + shuffles :] - clean, axis=2)
        for k in range(t):
            whole = moved[k].sum()
            back[k] = moved[k, : lead + k].sum() / whole if whole > 0 else 0.0
    return Order(far[1 : 1 + shuffles], same, far[1 + shuffles :], back)


def another_order(t: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of t >= 2 tokens that is not the one they are in."""
    while True:
        found = rng.permutation(t)
        if (found != np.arange(t)).any():
            return found


def path_length(places: np.ndarray) -> float:
    """Of a way through `places` (T, 2 or 3) in their order."""
    return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


def random_length(places: np.ndarray) -> float:
    """Expected length in a random order: T - 1 times the mean distance of two tokens."""
    t = len(places)
    total = sum(float(np.linalg.norm(places - p, axis=1).sum()) for p in places)
    return total / t if t > 1 else 0.0
