"""Sets of views: their attention from view to view, and the answer of a network that is given fewer or other views.

The attention of view a to view b is what b's tokens get of what a's tokens pay to all views: mean over a's tokens and
over heads. Tokens that are no view (a class token) are left out and rows made whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout
from analysis.compute.streaming import refuse_few
from analysis.errors import ParameterError
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.rule import Rule
from analysis.tokens.schedule import Schedule
from analysis.tokens.sets.clips import Clips, clip_column
from analysis.tokens.state import GONE, Step, stay

MOST_VIEWS = 200
APART = "Views are samples of their own, which the network reads one by one: no head of it sees two of them."
AFTERWARDS = "A view is taken away behind the first attention, which still read it."


def sets_are_samples(taps, params) -> bool:
    """Whether a set is one sample, which a network can read; samples of their own it reads one by one."""
    return clip_column(taps[0], params.object, params.views) is None


def regrouped(
    tap: Activations, params, maximum: int, rng
) -> tuple[Activations, int | None, tuple[str, ...], np.ndarray | None]:
    """(a tap whose samples are sets, views of a sample or None for one token each, notes, (sets, views) the samples
    that are these views or None): as it is, unless a column names the objects that samples are views of."""
    clips = Clips(tap, params.object, params.view, params.views)
    if clips.whole or clips.runs:
        return tap, params.views, (), None
    read = clips.read_all(maximum, rng)
    shapes, counts = np.unique([(c.n, c.patches) for c in read], axis=0, return_counts=True)
    views, patches = (int(v) for v in shapes[counts.argmax()])
    same = [c for c in read if (c.n, c.patches) == (views, patches) and c.present.all()]
    refuse_few(tap.name, len(same), 2, f"sets of {views} whole views")
    said = [*clips.notes, APART]
    if len(same) < len(read):
        said.append(
            f"{len(read) - len(same)} set(s) of another number of views or with missing tokens were left out."
        )
    x = np.concatenate([c.x.reshape(-1, tap.shape[1]) for c in same])
    layout = Layout(np.arange(len(same) + 1, dtype=np.int64) * views * patches)
    names = np.array([c.name for c in same])
    grouped = ArrayActivations(x, name=tap.name, layout=layout, samples={"id": names})
    return grouped, views, tuple(said), np.array([c.samples for c in same])


@dataclass(frozen=True)
class Views:
    """`of` (n, T) int: the view of each token, -1 of none; `count` views."""

    of: np.ndarray
    count: int

    def summed(self, x: np.ndarray) -> np.ndarray:
        """(n, …, count) sums over the last axis, tokens, of x (n, …, T)."""
        out = np.zeros((*x.shape[:-1], self.count))
        for v in range(self.count):
            at = (self.of == v).reshape(len(x), *[1] * (x.ndim - 2), x.shape[-1])
            out[..., v] = (x * at).sum(axis=-1)
        return out


def views_of(reader: HeadReader, views: int | None) -> tuple[Views, np.ndarray]:
    """And which samples (n,) bool have that many: of a reader's free tokens, in order. Raises ParameterError."""
    free = reader.layout.free
    counts = free.sum(axis=1)
    tokens = int(np.bincount(counts).argmax())
    views = tokens if views is None else views
    if views < 2 or tokens % views or views > MOST_VIEWS:
        raise ParameterError(
            f"{views} views of the {tokens} tokens of a sample", f"a number from 2 to {MOST_VIEWS} that divides them",
            "Set how many views a sample has",
        )  # fmt: skip
    rank = np.cumsum(free, axis=1) - 1
    return Views(np.where(free, rank // (tokens // views), -1), views), counts == tokens


def view_attention(reader: HeadReader, layer: int, views: Views) -> np.ndarray:
    """(n, V, V) rows that sum to 1."""
    out = np.zeros((reader.n, views.count, views.count))
    for start, stop in reader.parts():
        for head in range(reader.heads):
            paid = views.summed(reader.rows(layer, head, start, stop))  # (n, t, V)
            for v in range(views.count):
                out[:, v] += (paid * (views.of[:, start:stop] == v)[:, :, None]).sum(axis=1)
    total = out.sum(axis=2, keepdims=True)
    return out / np.where(total > 0, total, 1.0)


class Answers:
    """What a network (or the mean of rows) says of samples `places` with some views, in another order."""

    def __init__(self, reader: HeadReader, views: Views) -> None:
        self.who, self.places, self.views, self.notes = reader.who, reader.places, views, []
        self.present = reader.layout.present

    def all(self) -> np.ndarray:
        """(n, C) with every view."""
        return self._asked(None)

    def without(self, view: int) -> np.ndarray:
        order = np.setdiff1d(np.arange(self.views.count), [view])
        return self._asked(order, view)

    def reordered(self, order: np.ndarray) -> np.ndarray | None:
        """None where the inputs have no axis of views, and of rows, whose mean knows no order."""
        return self._asked(order, None) if self.who.is_network else None

    def _asked(self, order, view: int | None = None) -> np.ndarray | None:
        found = []
        for b, place in enumerate(self.places):
            given = self._given(int(place))
            if order is None:
                found.append(self.who.answer(given).logits[0])
                continue
            turned = self._turned(given, order, self._own(b)) if self.who.is_network else None
            if turned is not None:
                found.append(self.who.answer(turned).logits[0])
            elif view is None:
                return None
            else:
                gone = self.views.of[b] == view
                plan = _behind_first(self.who.layers, int(gone.sum()))
                found.append(self.who.answer(given, _leaving_out(gone), plan).logits[0])
                self.notes = [AFTERWARDS] if self.who.is_network else []
        z = np.stack(found)
        return np.exp(log_probabilities(z)) if self.who.classifies else z

    def _own(self, b: int) -> np.ndarray:
        """(T,) the view of each token that sample b has."""
        return self.views.of[b][self.present[b]]

    def _turned(self, given, order: np.ndarray, of: np.ndarray):
        """Inputs with these views, along an axis of views or of tokens; what is no view stays where it is."""
        slots, tokens = np.flatnonzero(of >= 0), np.arange(len(of))
        moved = np.concatenate([np.flatnonzero(of == v) for v in order])
        tokens[slots[: len(moved)]] = moved
        return _indexed(given, {len(of): np.delete(tokens, slots[len(moved) :]), self.views.count: order})

    def _given(self, place: int):
        if not self.who.is_network:
            return self.who.dump.rows(slice(place, place + 1))
        return self.who.opened.prepared(place, place + 1)


def _indexed(inputs, orders: dict[int, np.ndarray]):
    """Prepared inputs with these places, by how long the axis behind the samples is; None where no tensor has one."""
    import torch

    def turned(x):
        picture = getattr(x, "ndim", 0) == 4 and x.shape[1] in (1, 3)
        order = None if getattr(x, "ndim", 0) < 2 or picture else orders.get(x.shape[1])
        return None if order is None else x.index_select(1, torch.from_numpy(np.ascontiguousarray(order)))

    if not isinstance(inputs, Mapping):
        return turned(inputs)
    found = {k: turned(v) for k, v in inputs.items()}
    if all(v is None for v in found.values()):
        return None
    return {k: inputs[k] if v is None else v for k, v in found.items()}


def _behind_first(layers: int, tokens: int):
    return lambda free: Schedule((tokens, *[0] * (layers - 1)), free)


def _leaving_out(gone: np.ndarray) -> Rule:
    """Takes the tokens `gone` (T,) of one sample away, whatever the plan says."""

    def decide(view, remove, settings, rng) -> Step:
        into = stay(view.state)
        into[np.isin(view.state.at, np.flatnonzero(gone))] = GONE
        return Step(into, np.zeros(into.shape))

    return Rule("one_view_less", "Without a view", "", decide, own_count=True)
