"""Which drawing options each kind of result takes: a recipe with any other is refused, not half obeyed.

Recipes come from other people, so values are looked at too: a picture of a million dots per inch would take all
memory. Arrays and texts per point cannot be in a recipe; they are checked where they are used.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.errors import ParameterError
from analysis.results import (
    Curve,
    Distribution,
    Gallery,
    Heatmap,
    Ledger,
    Matrix,
    Partition,
    Result,
    Scatter,
    Spectrum,
    Table,
    TokenFilm,
    TokenMap,
)
from dashboard.figures.sheet import SMALLEST, largest
from dashboard.figures.style import FONTS, INCHES

Check = tuple[Callable[[object], bool], str]
MOST_DPI, MOST_PIXELS, MOST_ROWS = 1200, 5000, 100_000


def _one_of(*choices: object) -> Check:
    return (lambda v: any(v is c or (type(v) is type(c) and v == c) for c in choices)), (
        "one of " + ", ".join(map(str, choices))
    )


def _number(low: float, high: float) -> Check:
    def good(v: object) -> bool:
        return isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high

    return good, f"a number from {low:g} to {high:g}"


def _or_none(check: Check) -> Check:
    return (lambda v: v is None or check[0](v)), check[1]


_SWITCH = _one_of(True, False)
_TEXT: Check = (lambda v: isinstance(v, str)), "text"
_ANY: Check = (lambda _: True), "anything"
_EVERY: dict[str, Check] = {
    "width": _one_of(*INCHES),
    "dpi": _or_none(_number(30, MOST_DPI)),
    "greyscale": _SWITCH,
    "title": _SWITCH,
    "font_size": _or_none(_number(SMALLEST, max(map(largest, INCHES)))),
    "font": _one_of(*FONTS),
    "part": _one_of("figure", "estimates"),
    "height": _or_none(_number(50, MOST_PIXELS)),
}
_BY_KIND: dict[type[Result], dict[str, Check]] = {
    Scatter: {
        "colour": _ANY, "colour_name": _TEXT, "categorical": _or_none(_SWITCH), "dimmed": _ANY, "selected": _ANY,
        "hover": _ANY, "point_size": _or_none(_number(0.1, 100)),
    },
    Matrix: {
        "aggregate": _one_of("auto", "max", "mean"), "layout": _one_of("auto", "wide", "long"),
        "show": _one_of("value", "excess"), "targets": _SWITCH,
    },
    Heatmap: {"layout": _one_of("auto", "wide", "long")},
    Spectrum: {"log": _or_none(_SWITCH)},
    Curve: {},
    Distribution: {"mode": _one_of("auto", "overlay", "stack"), "log_y": _or_none(_SWITCH)},
    Table: {"rows": _number(1, MOST_ROWS)},
    Partition: {},
    Gallery: {"pictures": _ANY},
    TokenMap: {"tokens": _ANY, "targets": _SWITCH},
    TokenFilm: {"show": _one_of("tokens", "score"), "opened": _TEXT, "boxes": _TEXT},
    Ledger: {"rows": _number(1, 200)},
}  # fmt: skip


def checked(result: Result, options: dict) -> None:
    """Raise ParameterError for an option that this kind of result does not take, or a value it cannot have."""
    own = next((known for kind, known in _BY_KIND.items() if isinstance(result, kind)), {})
    known = {**_EVERY, **own}
    for name, value in options.items():
        if name not in known:
            raise ParameterError(
                f"figure option {str(name)[:60]!r}",
                f"one of {', '.join(sorted(known))} for a {result.kind}",
                'Take it out of the recipe\'s "figure"',
            )
        good, expected = known[name]
        if not good(value):
            raise ParameterError(f"figure option {name} = {str(value)[:60]!r}", expected)
