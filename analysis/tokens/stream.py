"""A residual stream that can be run with layers left out or altered: that of a network, or a stand-in of random blocks.

    h_l = h_{l-1} + a_l + m_l        a_l what attention adds, m_l what the MLP adds, l = 1 … L
    h_l = h_{l-1} + s_l              s_l what the scan of a state space adds (Mamba)

Where no network can be run, the rows of a tap go through residual blocks whose weights are random: what is seen then is
what a stream does that has learned nothing, and it is said so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.spec import Progress, no_progress
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.opened import Opened, opened
from analysis.tokens.outputs import logits_of_answer
from analysis.tokens.subject import AUTOMATIC, ROWS
from analysis.tokens.tap_dump import dump_of_rows
from analysis.tokens.view import CLASS, REGISTER

BLOCKS, OUTPUTS, AT_ONCE = 6, 10, 32  # of the stand-in; states that are read at once
PLACES, BEFORE_SCAN = ("before attention", "before the MLP"), "before the scan"
STAND_IN = (
    f"No network was run: the rows of the tap go through {BLOCKS} residual blocks of random weights, which have "
    "learned nothing."
)
Altered = Mapping[int, Callable[[np.ndarray, np.ndarray], np.ndarray] | None]


@dataclass(frozen=True)
class Passed:
    """Of b samples: `states` L + 1 and `between` L arrays (b, T, d) float64, before each layer and behind the last, and
    between attention and MLP; `present` (b, T) bool, False at padding; `answer` (b, C) logits or embedding."""

    states: list[np.ndarray]
    between: list[np.ndarray]
    present: np.ndarray
    answer: np.ndarray


@dataclass(frozen=True)
class Norm:
    """`place` (layer, 0 before attention, 1 before the MLP); `apply` rows (n, d) -> (n, d); `gain`, `bias` (d,) or
    None."""

    name: str
    place: tuple[int, int]
    apply: Callable[[np.ndarray], np.ndarray]
    gain: np.ndarray | None
    bias: np.ndarray | None


class NetworkStream:
    """That of a network, run part by part."""

    is_network = True

    def __init__(self, found: Opened) -> None:
        self.scans = not found.network.attends
        self.opened, self.samples, self.labels = found, found.samples, found.labels
        self.notes, self.classifies = found.notes, found.classifies
        self.names = tuple(b.name for b in found.network.blocks)
        self.what = type(found.network.loaded.module).__name__

    @property
    def n(self) -> int:
        return len(self.samples)

    def word(self, answer: int) -> str:
        return self.opened.answer_word(answer)

    def shape(self) -> NetworkShape:
        return self.opened.shape()

    def batches(self, size: int) -> Iterator[tuple[slice, object]]:
        return self.opened.batches(size)

    def passed(self, given, altered: Altered | None = None, states: bool = True) -> Passed:
        """One pass. `altered` : by number of a layer, None where it is left out, or what stands behind it, a function
        of what stands before and behind (b, T, d)."""
        record = ("hidden", "between") if states else ()
        run = self.opened.network.run(given, record=record, altered=_of_tensors(altered or {}))
        found = {name: [x.astype(np.float64) for x in run.recorded.get(name, [])] for name in record}
        return Passed(
            found.get("hidden", []), found.get("between", []), run.layout.present, logits_of_answer(run)
        )

    def alone(self, place: int):
        """Inputs of the place-th sample."""
        return self.opened.prepared(place, place + 1)

    def read(self, place: int, rows: np.ndarray) -> np.ndarray:
        """(m, C) what stands behind the last layer makes of states `rows` (m, d): of a text at its tokens, else each in
        the place of all tokens of the place-th sample."""
        network, found = self.opened.network, []
        item, present = (
            list(self.opened.run.data.items(place, place + 1)),
            network.run(self.alone(place)).layout.present,
        )
        last = {i: None for i in range(network.layers - 1)}

        def answers(part: np.ndarray, inputs):
            return network.run(
                inputs, altered=last | _of_tensors({network.layers - 1: lambda _, x: _laid(part, x)})
            )

        text = network.run(self.alone(place)).logits.ndim == 3
        at = np.flatnonzero(present[0])
        size = len(at) if text else min(AT_ONCE, len(rows))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            if text:
                laid = np.zeros((1, present.shape[1], rows.shape[1]))
                laid[0, at[: len(part)]] = part
                z = answers(laid, self.alone(place)).logits[0].double().numpy()[at[: len(part)]]
            else:
                z = logits_of_answer(answers(part[:, None], network.loaded.prepare(item * len(part))))
            found.append(z)
        return np.concatenate(found)

    def places(self, place: int) -> tuple[str, ...]:
        """What stands at each token of the place-th sample that is present."""
        layout = self.opened.network.run(self.alone(place)).layout
        words, at = self.opened.words(place), np.flatnonzero(layout.present[0])
        if len(words) == len(at):
            return tuple(repr(w) for w in words)
        columns = layout.grid[1] if layout.grid else 1
        named = {CLASS: "class token", REGISTER: "register"}
        return tuple(
            f"row {c // columns + 1}, column {c % columns + 1}"
            if c >= 0 and layout.grid
            else named.get(k, "token")
            for k, c in zip(layout.kinds[0][at], layout.cell[0][at], strict=True)
        )

    def norms(self) -> list[Norm]:
        blocks = enumerate(self.opened.network.blocks)
        return [_norm(f"{b.name}, {BEFORE_SCAN if b.scans else part}", (i, k), module) for i, b in blocks
                for k, (part, module) in enumerate(zip(PLACES, (b.norm1, b.norm2), strict=True))
                if module is not None]  # fmt: skip


def _laid(part: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.array(np.broadcast_to(part, x.shape))


def _of_tensors(altered: Altered) -> dict:
    def wrapped(change):
        import torch

        def tensors(before, behind):
            new = change(before.double().numpy(), behind.double().numpy())
            return torch.from_numpy(np.ascontiguousarray(new)).to(behind.dtype)

        return tensors

    return {number: change if change is None else wrapped(change) for number, change in altered.items()}


def _norm(name: str, place, module) -> Norm:
    import torch

    def apply(x: np.ndarray) -> np.ndarray:
        kind = next((p.dtype for p in module.parameters()), torch.float32)
        with torch.inference_mode():
            return module(torch.from_numpy(x).to(kind)).double().numpy()

    gain, bias = (getattr(module, part, None) for part in ("weight", "bias"))
    plain = [None if p is None else p.detach().double().numpy().ravel() for p in (gain, bias)]
    return Norm(name, place, apply, *plain)


class RandomStream:
    """Rows (n, T, d) through residual blocks of random weights: the mean over tokens stands for attention, a hidden
    layer for the MLP, each behind a division by the root mean square. `mute` layers add nothing."""

    is_network, scans, classifies, labels = False, False, True, None
    what = "a stand-in of random weights"

    def __init__(self, x: np.ndarray, present: np.ndarray, rng: np.random.Generator, layers: int = BLOCKS,
                 mute: tuple[int, ...] = (), samples=None, notes: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.x, self.present, self.notes = np.asarray(x, np.float64), present, notes
        self.samples = np.arange(len(x)) if samples is None else samples
        d = x.shape[2]
        self.names = tuple(f"random block {i + 1}" for i in range(layers))
        self.weights = [
            (rng.standard_normal((3, d, d)) / np.sqrt(d)) * (i not in mute) for i in range(layers)
        ]
        self.readout = 2 * rng.standard_normal((d, OUTPUTS)) / np.sqrt(d)

    @property
    def n(self) -> int:
        return len(self.samples)

    def word(self, answer: int) -> str:
        return f"output {answer + 1}"

    def shape(self) -> NetworkShape:
        d = self.x.shape[2]
        return NetworkShape(len(self.names), d, d, d, d)

    def batches(self, size: int) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, self.n, size):
            part = slice(start, min(start + size, self.n))
            yield part, np.arange(part.start, part.stop)

    def passed(self, given, altered: Altered | None = None, states: bool = True) -> Passed:
        x, present, altered = self.x[given], self.present[given], altered or {}
        weight = present[:, :, None] / present.sum(axis=1)[:, None, None]
        hidden, between = [x], []
        for i, (attention, up, down) in enumerate(self.weights):
            before = hidden[-1]
            if i in altered and altered[i] is None:
                between.append(before)
                hidden.append(before)
                continue
            middle = before + (divided(before) * weight).sum(axis=1, keepdims=True) @ attention
            behind = middle + np.sqrt(2) * np.maximum(divided(middle) @ up, 0) @ down
            between.append(middle)
            hidden.append(altered[i](before, behind) if i in altered else behind)
        answer = divided((divided(hidden[-1]) * weight).sum(axis=1)) @ self.readout
        return Passed(hidden, between, present, answer)

    def alone(self, place: int) -> np.ndarray:
        return np.array([place])

    def read(self, place: int, rows: np.ndarray) -> np.ndarray:
        return divided(rows) @ self.readout

    def places(self, place: int) -> tuple[str, ...]:
        return tuple(f"row {i + 1}" for i in range(int(self.present[place].sum())))

    def norms(self) -> list[Norm]:
        return [Norm(f"{name}, {part}", (i, k), divided, None, None) for i, name in enumerate(self.names)
                for k, part in enumerate(PLACES)]  # fmt: skip


def divided(x: np.ndarray) -> np.ndarray:
    """Rows over their root mean square; rows of 0 as they are."""
    size = np.sqrt(np.square(x).mean(axis=-1, keepdims=True))
    return x / np.where(size > 0, size, 1.0)


def stream(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str = AUTOMATIC, progress: Progress = no_progress
) -> tuple[NetworkStream | RandomStream, tuple[str, ...]]:  # fmt: skip
    """The stream of a tap's network with at most `maximum` samples, or its rows through the stand-in, and what is to be
    said about it.

    Raises NotEnoughData, InputError: too few samples of two tokens or more; rows that are all alike.
    """
    why = ()
    if source != ROWS:
        try:
            found = NetworkStream(opened(tap, maximum, rng, attention=False))
            return found, found.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    dump, samples, seen = dump_of_rows(tap, maximum, rng, progress)
    x = dump.recorded["hidden"][0][:, 1:]
    if not np.abs(x).max() > 0:
        raise InputError(f"rows of {tap.name} that are all alike", "rows that differ")
    notes = (*why, *seen.notes, STAND_IN)
    return RandomStream(x, dump.layout.present[:, 1:], rng, samples=samples, notes=notes), notes
