"""A network that is run with one of its token mixers out of work, all else as it is.

    attention            its matrix becomes the identity (of fewer keys: the key that a token lies in)
    selective scan       its output becomes its input u, before the gate: a gated filter is left
    filter               only its centre weight is left; a mean over neighbours becomes its input

or every token reads all that it may read alike; or the mixer gives 0. Shapes stay as they are. Mixers are scans,
softmax attention and depthwise filters of odd sides; of a network without any of them all filters of odd sides that are
wider than their stride.

Without a network the rows of a sample go through blocks x + softmax(x xᵀ / √d) x W with random W, which have learned
nothing. torch is imported when a network is run.
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.spec import Progress
from analysis.tokens.mixers import scan_capture
from analysis.tokens.mixers.attention_calls import ALIKE, ITSELF, ROUTERS, watched
from analysis.tokens.mixers.own_grids import softmaxed
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.subject import AUTOMATIC

NOTHING = "the mixer gives nothing"
WAYS = (ITSELF, ALIKE, NOTHING)
ATTENTION, SCAN, FILTER, MEAN = "attention", "scan", "filter", "mean"
BLOCKS, OUTPUTS = 4, 10  # of the stand-in


@dataclass(frozen=True)
class Part:
    name: str
    kind: str


@dataclass(frozen=True)
class Passed:
    """Of one sample: `answer` (C,), `feature` of the tap of any shape or None, `out` by part what the mixer's module
    gave, channels last."""

    answer: np.ndarray
    feature: np.ndarray | None
    out: dict[str, np.ndarray]


class MixerNetwork:
    """`tap`: the module whose output is the feature, "" where the tap is none."""

    is_network = True

    def __init__(self, run, tap: str) -> None:
        self.run, self.loaded, self.samples = run, run.loaded, run.samples
        self.module, self.notes = run.loaded.module, (run.note,)
        known = dict(self.module.named_modules())
        self.tap = tap if tap in known else ""
        self.what, self.classifies = type(self.module).__name__, run.loaded.classifies
        self.parts = self._parts(known)
        if not self.parts:
            raise InputError(
                f"{self.what} has no scan, no attention and no filter that mixes tokens",
                "a network with a mixer",
            )

    @property
    def n(self) -> int:
        return len(self.samples)

    def _parts(self, known: dict) -> tuple[Part, ...]:
        import torch

        with watched(self.module, keep=False) as calls:
            self._own(self._given(0))
        scans = scan_capture.scan_modules(self.module)
        attention = [n for n in dict.fromkeys(c.name for c in calls) if n.rpartition(".")[2] not in ROUTERS]
        wide = {
            n: m for n, m in known.items() if isinstance(m, (torch.nn.Conv1d, torch.nn.Conv2d)) and _mixes(m)
        }
        means = [n for n, m in known.items() if isinstance(m, torch.nn.AvgPool2d) and m.stride in (1, (1, 1))]
        inside = tuple(f"{n}." for n in scans)
        deep = [
            n
            for n, m in wide.items()
            if m.groups == m.in_channels > 1 and not n.startswith(inside or ("\0",))
        ]
        of = {n: SCAN for n in scans} | {n: ATTENTION for n in attention}
        of |= {n: FILTER for n in deep} | {n: MEAN for n in means}
        of = of or {n: FILTER for n in wide}
        order = {name: i for i, name in enumerate(known)}
        return tuple(Part(n, of[n]) for n in sorted(of, key=order.get))

    def _given(self, k: int):
        return self.loaded.prepare(self.run.data.items(k, k + 1))

    def _own(self, given):
        copy = {**given} if isinstance(given, dict) else given
        return self.loaded.call(self.module, copy) if self.loaded.call else self.loaded.run(copy)

    def passed(
        self, k: int, alter: tuple[Part, str] | None = None, push: tuple[Part, np.ndarray] | None = None
    ):
        """The k-th sample with one mixer altered, or with something added to what its module gives."""
        import torch

        from analysis.sources.hooked_run import hooked_run

        given, replace, inputs, catch_inputs = self._given(k), {}, {}, ()
        names = [p.name for p in self.parts]
        watching = nullcontext()
        if alter is not None:
            part, way = alter
            if way == NOTHING:
                replace[part.name] = lambda x: 0 * x
            elif part.kind == ATTENTION:
                watching = watched(self.module, keep=False, alter=(part.name, way))
            elif part.kind == SCAN:
                inputs |= self._without_scan(given, part, way)
            else:
                catch_inputs = (part.name,)
                replace[part.name] = lambda _x: _filtered(self._module(part), caught.given[part.name], way)
        if push is not None:
            replace[push[0].name] = lambda x: x + torch.from_numpy(_back(push[1], x)).to(x.dtype)
        made = {}
        replace = {name: _noted(change, made, name) for name, change in replace.items()}
        catch = [*names, self.tap] if self.tap else names
        with ExitStack() as stack:
            caught = stack.enter_context(
                hooked_run(self.module, catch, replace, replace_inputs=inputs, catch_inputs=catch_inputs)
            )
            stack.enter_context(watching)
            answer = answer_of(self.loaded, self._own(given))
        out = {n: _channels_last(made.get(n, caught[n])) for n in names}
        feature = None
        if self.tap:
            feature = made.get(self.tap, caught[self.tap]).double().numpy()
        return Passed(answer, feature, out)

    def _module(self, part: Part):
        return self.module.get_submodule(part.name)

    def _without_scan(self, given, part: Part, way: str) -> dict:
        """What goes on behind the scan, by the name of the module that reads it."""
        import torch

        found = next(s for s in scan_capture.captured(self.loaded, given) if s.name == part.name)
        u = found.values
        if way == ALIKE:
            u = np.cumsum(u, axis=0) / np.arange(1, len(u) + 1)[:, None, None]
        new = torch.from_numpy((u * found.gate).reshape(1, len(u), -1))
        m = self._module(part)
        reader = "out_proj" if hasattr(m, "dt_proj") else "norm"
        return {f"{part.name}.{reader}": lambda _x: new}


def answer_of(loaded, raw) -> np.ndarray:
    """(C,) of one sample: logits, of a language model those behind its last token, of an encoder its embedding."""
    from analysis.tokens.networks.token_network import answer_tensor

    z = answer_tensor(raw).double().numpy()[0]
    return z if z.ndim == 1 else z[-1] if loaded.causal else z.reshape(-1, z.shape[-1]).mean(axis=0)


def relative(x: np.ndarray, other: np.ndarray) -> float:
    """|other - x| / |x|; 0 where both are 0, infinite where x alone is."""
    size = float(np.linalg.norm(x))
    far = float(np.linalg.norm(other - x))
    return far / size if size > 0 else np.inf if far > 0 else 0.0


def _mixes(m) -> bool:
    pairs = list(zip(m.kernel_size, m.stride, strict=True))
    return max(m.kernel_size) > 1 and all(k % 2 and (s < k or k == 1) for k, s in pairs)


def _noted(change, made: dict, name: str):
    def changed(x):
        made[name] = change(x).detach().clone()
        return made[name]

    return changed


def _filtered(m, x, way: str):
    import torch

    if isinstance(m, torch.nn.AvgPool2d):
        return x if way == ITSELF else x.mean(dim=(-2, -1), keepdim=True).expand(x.shape).clone()
    axes = tuple(range(2, m.weight.ndim))
    weight = m.weight.mean(dim=axes, keepdim=True).expand(m.weight.shape)
    if way == ITSELF:
        middle = tuple(k // 2 for k in m.kernel_size)
        weight = torch.zeros_like(m.weight)
        weight[(slice(None), slice(None), *middle)] = m.weight[(slice(None), slice(None), *middle)]
    return m._conv_forward(x, weight, m.bias)


def _channels_last(x) -> np.ndarray:
    x = x.double().numpy()[0]
    return x if x.ndim < 3 else np.moveaxis(x, 0, -1)


def _back(x: np.ndarray, like) -> np.ndarray:
    return np.ascontiguousarray(x if x.ndim < 3 else np.moveaxis(x, -1, 0))[None]


class RowBlocks:
    """The stand-in."""

    is_network, classifies, what, tap = False, True, "random blocks over the rows", "rows"

    def __init__(self, x: list[np.ndarray], samples, notes, rng, mute: tuple[int, ...] = ()) -> None:
        d = x[0].shape[1]
        self.x, self.samples, self.notes = x, samples, notes
        self.parts = tuple(Part(f"random block {i + 1}", ATTENTION) for i in range(BLOCKS))
        self.weights = [(i not in mute) * rng.standard_normal((d, d)) / np.sqrt(d) for i in range(BLOCKS)]
        self.readout = rng.standard_normal((d, OUTPUTS)) / np.sqrt(d)

    @property
    def n(self) -> int:
        return len(self.x)

    def passed(self, k: int, alter=None, push=None) -> Passed:
        x, out = self.x[k], {}
        for part, weight in zip(self.parts, self.weights, strict=True):
            size = np.sqrt(np.square(x).mean(axis=1, keepdims=True))
            y = x / np.where(size > 0, size, 1)
            mixing = softmaxed(y @ y.T / np.sqrt(y.shape[1]))
            if alter is not None and alter[0] == part:
                mixing = {
                    ITSELF: np.eye(len(y)),
                    ALIKE: np.full_like(mixing, 1 / len(y)),
                    NOTHING: 0 * mixing,
                }[alter[1]]
            made = mixing @ y @ weight
            if push is not None and push[0] == part:
                made = made + push[1]
            out[part.name] = made
            x = x + made
        return Passed(x.mean(axis=0) @ self.readout, x, out)


def mixer_subject(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str, progress: Progress
) -> tuple[MixerNetwork | RowBlocks, tuple[str, ...]]:
    """The network of a tap, or the stand-in, and what is to be said. Raises NotEnoughData."""
    why = ()
    if source == AUTOMATIC:
        from analysis.sources.rerun import rerun

        try:
            own = getattr(tap, "source", None)
            own = tap if own is None else own()
            run = rerun(own, maximum, partial=True, rng=rng)
            found = MixerNetwork(run, own.name.partition(":")[2] or own.name)
            return found, found.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = row_tokens(tap, maximum, rng, progress)
    if not max(np.abs(x).max() for x in rows.x) > 0:
        raise InputError(f"rows of {tap.name} that are all alike", "rows that differ")
    note = f"The rows go through {BLOCKS} blocks of random weights, which have learned nothing."
    return RowBlocks(rows.x, rows.samples, (), rng), (*why, *rows.notes, note)
