"""Method and Param: how an analysis describes itself, so that forms, pages, the command line and the
contract test need no word about it (the idea is LIT's config_spec and meta_spec)."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import ParameterError
from analysis.results import Result

WANTED = {  # what a refusal asks for, by kind
    "int": "a whole number",
    "float": "a number",
    "bool": "yes or no (true or false)",
    "choice": "one of its choices",
    "str": "a text",
}
Progress = Callable[[float, str], None]  # fraction in [0, 1], what is being done; may raise Cancelled


def no_progress(fraction: float, doing: str = "") -> None:
    """The progress of a caller who does not watch."""


@dataclass(frozen=True)
class Param:
    """One parameter of a method as a form sees it. `kind`: int, float, bool, str or choice."""

    name: str
    kind: str
    default: object
    help: str
    label: str
    low: float | None = None
    high: float | None = None
    choices: tuple = ()
    column: bool = False  # a sample column's name: the form offers the columns that exist
    layer: bool = False  # a layer of the last tap's network: the form offers those of its checkpoint
    empty: str = ""  # what no layer is called there; without it one is always chosen


def param(
    default,
    help: str,
    *,
    label: str = "",
    low=None,
    high=None,
    choices=(),
    column: bool = False,
    late: bool = False,
    layer: bool = False,
    empty: str = "",
):
    """A dataclass field that knows its range and its help text; with `late` forms list it after all that are not, so
    that what several methods share does not stand before what one of them is about."""
    meta = {
        "help": help,
        "label": label,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "column": column,
        "late": late,
        "layer": layer,
        "empty": empty,
    }
    return field(default=default, metadata=meta)


@functools.cache  # the hints take half a millisecond to read, and a page asks dozens of times
def params_of(cls: type) -> tuple[Param, ...]:
    """The parameters of a params dataclass, in order, the late ones after the others."""
    hints = typing.get_type_hints(cls)
    found = []
    for f in sorted(dataclasses.fields(cls), key=lambda f: bool(f.metadata.get("late"))):
        m = f.metadata
        hint = hints[f.name]
        if isinstance(hint, types.UnionType):  # `int | None`: the form treats None as "automatic"
            hint = next(a for a in hint.__args__ if a is not type(None))
        kind = "choice" if m.get("choices") else {int: "int", float: "float", bool: "bool", str: "str"}[hint]
        label = m.get("label") or f.name.replace("_", " ")
        found.append(
            Param(f.name, kind, f.default, m.get("help", ""), label, m.get("low"), m.get("high"),
                  m.get("choices", ()), m.get("column", False), m.get("layer", False), m.get("empty", ""))
        )  # fmt: skip
    return tuple(found)


def make_params(cls: type, given: dict):
    """Build a params object from plain values or text (the command line, a URL, a recipe).

    Raises ParameterError naming the parameter, the value and its range.
    """
    known = {p.name: p for p in params_of(cls)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ParameterError(
            f"unknown parameter {unknown[0]!r}", "one of " + ", ".join(known) if known else "none"
        )
    return cls(**{name: _checked(known[name], value) for name, value in given.items()})


def _checked(p: Param, value):
    if value is None or (p.default is None and value in ("", "auto", "none")):
        if p.default is None:
            return None
        raise ParameterError(f"{p.name} is empty", f"a value such as {p.default!r}")
    try:
        if p.kind == "int":
            number = float(value)
            if number != int(number):
                raise ValueError
            value = int(number)
        elif p.kind == "float":
            value = float(value)
            if not np.isfinite(value):
                raise ValueError
        elif p.kind == "bool":
            if not isinstance(value, bool):
                value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                    str(value).lower()
                ]
        elif p.kind == "choice":
            if value not in p.choices:
                match = [c for c in p.choices if str(c) == str(value)]
                if not match:
                    raise ParameterError(f"{p.name} = {value!r}", "one of " + ", ".join(map(str, p.choices)))
                value = match[0]
        else:
            value = str(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise ParameterError(f"{p.name} = {value!r}", WANTED[p.kind]) from None
    if p.kind in ("int", "float"):
        if p.low is not None and value < p.low:
            raise ParameterError(f"{p.name} = {value}", f"at least {p.low}")
        if p.high is not None and value > p.high:
            raise ParameterError(f"{p.name} = {value}", f"at most {p.high}")
    return value


@dataclass(frozen=True)
class Cost:
    """Estimated before running: seconds on this machine, peak bytes beyond the input, and samples that will go through
    a network, a pass backward counted as one; 0 where none is run."""

    seconds: float
    bytes: float
    passes: int = 0


@dataclass(frozen=True)
class CheckLine:
    """One known answer: what was expected, what came out, and how far apart they may be."""

    name: str
    expected: float
    got: float
    tolerance: float
    relation: str = "within"  # "within" |got - expected| <= tolerance, "at least", "at most"

    @property
    def passed(self) -> bool:
        if not np.isfinite(self.got):
            return False
        if self.relation == "at least":
            return self.got >= self.expected - self.tolerance
        if self.relation == "at most":
            return self.got <= self.expected + self.tolerance
        return abs(self.got - self.expected) <= self.tolerance


@dataclass(frozen=True)
class Method:
    """An analysis. `function(*activations, params=..., rng=..., progress=...) -> Result`.

    id : short unique name ("pca"). family : the folder. title, summary : for the page. version : raise it
    whenever a number may change. inputs : how many taps (with more_inputs: at least as many). needs : sample
    columns that must exist ("label").
    minimum_rows : refusal floor. cost : (shapes, params) -> Cost, where shapes are (rows, units) pairs.
    check : () -> CheckLines on planted data. worker : must run in the worker process (Numba). long : usually
    over a second, so that pages start it as a job. invariance : the group of changes it ignores, in words.
    papers : titles as spelled in the papers index.
    """

    id: str
    family: str
    title: str
    summary: str
    version: int
    function: Callable[..., Result]
    params: type
    result: type[Result]
    check: Callable[[], tuple[CheckLine, ...]]
    cost: Callable[[tuple[tuple[int, int], ...], object], Cost]
    inputs: int = 1
    more_inputs: bool = False
    matches: str = (
        "samples"  # shared by several taps: "samples" (by id, tokens pooled), the same "rows", "nothing"
    )
    same_units: bool = False  # taps must have equally many units
    checkpoints: bool = False  # taps are those of several checkpoints, not several layers of one
    most_inputs: int | None = None  # of a method with more_inputs
    roles: tuple[str, ...] = ()  # what each of a fixed number of taps is, or of the first of many, for a form
    # what stands beside an encoded tap: "layers" of its network, other "dictionaries" of its tap, other "networks", or
    # "nothing" where it may stand alone; empty: the tap that it came from
    others: str = ""
    # what a page gives it of a recorded tap, where layers of its store alone would answer nothing: "outputs" (the
    # layers, last what the network says), layers of "two networks", or "the same two" where layers go by their names
    begins: str = ""
    needs: tuple[str, ...] = ()
    minimum_rows: int = 3
    worker: bool = False
    network: str = (
        ""  # the kind of `sources.network_facts` that it runs; of others it reads rows and passes nothing
    )
    # (taps, params) -> whether a run asks that network, where the taps or the settings decide it
    asks: Callable[[Sequence, object], bool] | None = None
    by_tokens: bool = False  # `cost` takes a third argument: the tokens of a sample, where taps keep them
    invariance: str = ""
    papers: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()  # distributions beyond NumPy and SciPy whose version can change a number
