"""Reading a network's layers off one run of it: which known layers ran, in what order, on what.

What happens between two layers (an activation called as a function, a reshape) is found by trying: the first known
layer, or two of them, that makes the very bits. So are residual sums: what a layer takes may be what came before it
and an earlier value, or what two branches made of one. A value that is used in any other way is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from analysis.errors import InputError
from analysis.sources.declared.layers import ARGUMENTS, GLOBAL_MEAN, RESIDUAL, SHORTCUT, Layer, build
from analysis.sources.declared.nesting import SUM, Entry, common, free, nested
from analysis.sources.declared.reading import REMEDY, arguments_of, is_known
from analysis.sources.loaded_model import FORWARD_FAILURES

TRIED = (
    (), ("Flatten",), ("ReLU",), (GLOBAL_MEAN,), ("ReLU", "Flatten"), ("ReLU", GLOBAL_MEAN), ("GELU",), ("SiLU",),
    ("Tanh",), ("Sigmoid",), ("ELU",), ("LeakyReLU",), ("Softplus",), ("MaxPool1d",), ("MaxPool2d",),
    ("ReLU", "MaxPool1d"), ("ReLU", "MaxPool2d"), ("MaxPool1d", "ReLU"), ("MaxPool2d", "ReLU"), ("AvgPool2d",),
    ("ReLU", "AvgPool2d"), ("ReLU", "MaxPool2d", "Flatten"), ("MaxPool2d", "ReLU", "Flatten"),
    ("MaxPool2d", "Flatten"), ("LogSoftmax",),
)  # fmt: skip
BEHIND_SUMS = TRIED[:9]
TRIED_ARGUMENTS = {**{f"{k}Pool{n}d": {"kernel_size": 2} for k in ("Max", "Avg") for n in (1, 2)},
                   "LogSoftmax": {"dim": 1}}  # fmt: skip
EARLIER = 12  # values that a sum may go back to


@dataclass(frozen=True)
class Step:
    """One leaf that ran: `given` and `made` copies of its tensors."""

    name: str
    module: object
    given: object
    made: object


def trace(module, x) -> tuple[list[dict], dict[str, str]]:
    """(layers as a description says them, prefixes of the keys that are called otherwise) of `module` run on `x`.

    Raises InputError naming what is no known layer, runs twice with its weights, or cannot be found between two.
    """
    steps, out = _run(module, x)
    chain = _Chain(x)
    for step in steps:
        chain.reach(step.given, step.name)
        weighty = any(True for _ in step.module.state_dict())
        if not is_known(step.module):
            if weighty:
                kind = type(step.module).__name__
                raise InputError(f"'{step.name}' is a {kind}", "one of " + ", ".join(ARGUMENTS), REMEDY)
            chain.last = step.name
            chain.reach(step.made, step.name)
            continue
        name = free(step.name, chain.taken)
        if name != step.name and weighty:
            raise InputError(f"'{step.name}' runs twice with the same weights", "each layer once", REMEDY)
        chain.add(
            Entry(name, type(step.module).__name__, arguments_of(step.module, step.name), step.name),
            step.made,
        )
        chain.last = step.name
    chain.reach(out, "")
    if not chain.entries or chain.branches:
        raise InputError(
            f"{type(module).__name__} does not end in one stack", "a stack of torch's layers", REMEDY
        )
    renamed: dict[str, str] = {}
    return nested(chain.entries, renamed), renamed


def _run(module, x) -> tuple[list[Step], object]:
    import torch

    steps: list[Step] = []
    kept: dict[int, object] = {}  # what a layer takes, before an in-place one overwrites it

    def before(layer, given) -> None:
        if not given or not isinstance(given[0], torch.Tensor):
            raise InputError(f"a {type(layer).__name__} takes no tensor", "a stack of layers", REMEDY)
        kept[id(layer)] = given[0].clone()

    def after(name):
        def look(layer, _given, made) -> None:
            if not isinstance(made, torch.Tensor):
                raise InputError(f"'{name}' gives a {type(made).__name__}", "one tensor", REMEDY)
            steps.append(Step(name, layer, kept[id(layer)], made.clone()))

        return look

    leaves = [(n, m) for n, m in module.named_modules() if n and not any(True for _ in m.children())]
    handles = [m.register_forward_pre_hook(before) for _, m in leaves]
    handles += [m.register_forward_hook(after(n)) for n, m in leaves]
    try:
        with torch.no_grad():
            out = module(x.clone())
    except FORWARD_FAILURES as error:
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise InputError(
            f"{type(module).__name__} failed on an item of shape {tuple(x.shape[1:])} ({type(error).__name__}: {said})",
            "the shape that it takes",
            "Say it with --input-size, --channels, --shape or --columns",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(out, torch.Tensor):
        raise InputError(f"{type(module).__name__} gives a {type(out).__name__}", "one tensor", REMEDY)
    return steps, out


@dataclass(frozen=True)
class _Branch:
    """A second way from the value at entry `start`; it begins at entry `here`, and the first one made `other`."""

    start: int
    here: int
    other: object


@dataclass
class _Chain:
    """Layers so far, and the values at their borders: `values` holds (number of entries before it, value)."""

    now: object
    entries: list[Entry] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    values: list = field(default_factory=list)
    branches: list[_Branch] = field(default_factory=list)
    last: str = ""

    def __post_init__(self) -> None:
        self.values.append((0, self.now))

    def add(self, entry: Entry, made) -> None:
        self.entries.append(entry)
        self.now = made
        self.values.append((len(self.entries), made))

    def reach(self, wanted, after: str) -> None:
        """Add what makes `wanted`, which the layer `after` takes ("" the output)."""
        if _same(self.now, wanted) or self._summed(wanted, after, ((),)) or self._back(wanted, after, ((),)):
            return
        for kinds in TRIED[1:]:
            if _same(_applied(kinds, self.now), wanted):
                self._put(kinds, wanted, after)
                return
        if self._summed(wanted, after, BEHIND_SUMS[1:]) or self._back(wanted, after, BEHIND_SUMS[1:]):
            return
        here = f"between '{self.last or 'the input'}' and '{after or 'the output'}'"
        raise InputError(
            f"what happens {here if self.last != after else f'in {after!r}'} is not one of the layers that can be "
            f"described ({tuple(self.now.shape[1:])} becomes {tuple(wanted.shape[1:])})",
            "a stack, where each layer takes what the one before it gave", REMEDY,
        )  # fmt: skip

    def _put(self, kinds, wanted, after: str) -> None:
        """Functions stand where both neighbours stand; a module of the person's own keeps its name."""
        for kind in kinds:
            alone = self.last == after and len(kinds) == 1
            name = self.last if alone else f"{common(self.last, after)}{kind.lower()}"
            self.add(Entry(free(name, self.taken), kind, dict(TRIED_ARGUMENTS.get(kind, {}))), wanted)
        del self.values[len(self.values) - len(kinds) : -1]  # what stands between them was not seen

    def _back(self, wanted, after: str, tried) -> bool:
        """Begin a second branch where `wanted` is made of an earlier value."""
        for at, value in list(reversed(self.values))[:EARLIER]:
            for kinds in tried if at < len(self.entries) else ():
                if _same(_applied(kinds, value), wanted):
                    self.branches.append(_Branch(at, len(self.entries), self.now))
                    self.now = value
                    self.values.append((len(self.entries), value))
                    self._put(kinds, wanted, after)
                    return True
        return False

    def _summed(self, wanted, after: str, tried) -> bool:
        """Close a sum: with what the first branch made, or, in none, with an earlier value."""
        branch = self.branches[-1] if self.branches else None
        first = branch.here if branch else 0
        near = [(at, v, None) for at, v in self.values if first <= at < len(self.entries)][-EARLIER:]
        ways = [*([(branch.start, branch.other, branch)] if branch else []), *reversed(near)]
        for at, value, closed in ways:
            if value.shape != self.now.shape:
                continue
            made = value + self.now
            for kinds in tried:
                if _same(_applied(kinds, made), wanted):
                    self._wrap(at, closed, made)
                    self._put(kinds, wanted, after)
                    return True
        return False

    def _wrap(self, at: int, closed: _Branch | None, made) -> None:
        first, second = tuple(self.entries[at:]), ()
        if closed is not None:
            first, second = tuple(self.entries[at : closed.here]), tuple(self.entries[closed.here :])
            named = all(f".{SHORTCUT}." in f".{e.name}." for e in first)
            if named or (
                len(first) < len(second) and not any(f".{SHORTCUT}." in f".{e.name}." for e in second)
            ):
                first, second = second, first
            self.branches.pop()
        name = free(f"{common(*(e.name for e in (*first, *second)))}{SUM}", self.taken)
        self.entries[at:] = []
        self.values[:] = [(k, v) for k, v in self.values if k <= at]
        self.add(Entry(name, RESIDUAL, layers=first, shortcut=second), made)


@cache
def _functions(kinds: tuple[str, ...]):
    return build(tuple(Layer(f"l{i}", k, TRIED_ARGUMENTS.get(k, {})) for i, k in enumerate(kinds)), "tried")


def _applied(kinds: tuple[str, ...], x):
    """What the layers make of x; None where they cannot."""
    if not kinds:
        return x
    try:
        return _functions(kinds)(x)
    except (RuntimeError, ValueError, IndexError):
        return None


def _same(a, b) -> bool:
    import torch

    return a is not None and a.shape == b.shape and torch.equal(a, b)
