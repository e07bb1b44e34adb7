"""Parameters: types, ranges, and text from a command line or a URL."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import ParameterError
from analysis.spec import CheckLine, make_params, param, params_of


@dataclass(frozen=True)
class Example:
    k: int = param(15, "neighbours", low=2, high=100)
    distance: float = param(0.1, "minimum distance", low=0.0, high=1.0)
    metric: str = param("euclidean", "metric", choices=("euclidean", "cosine"))
    column: str = param("label", "column", column=True)
    exact: bool = param(True, "exact")
    maximum: int | None = param(None, "maximum rows", low=1)


def test_description():
    kinds = {p.name: p.kind for p in params_of(Example)}
    assert kinds == {
        "k": "int",
        "distance": "float",
        "metric": "choice",
        "column": "str",
        "exact": "bool",
        "maximum": "int",
    }


def test_text_becomes_values():
    made = make_params(
        Example, {"k": "20", "distance": "0.5", "metric": "cosine", "exact": "false", "maximum": "auto"}
    )
    assert made == Example(k=20, distance=0.5, metric="cosine", exact=False, maximum=None)


@pytest.mark.parametrize(
    "given_values",
    [{"k": 1}, {"k": 101}, {"k": 2.5}, {"k": "x"}, {"k": None}, {"distance": "nan"}, {"distance": "inf"},
     {"metric": "manhattan"}, {"exact": "perhaps"}, {"unknown": 1}, {"maximum": 0}, {"k": "1e400"}],
)  # fmt: skip
def test_refused(given_values):
    with pytest.raises(ParameterError, match=next(iter(given_values))):
        make_params(Example, given_values)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("k", "x", "a whole number"), ("k", 2.5, "a whole number"), ("distance", "far", "a number"),
     ("exact", "perhaps", "yes or no")],
)  # fmt: skip
def test_what_is_wanted_is_said_in_words(name, value, wanted):
    with pytest.raises(ParameterError) as refusal:
        make_params(Example, {name: value})
    assert refusal.value.expected.startswith(wanted)


@given(st.dictionaries(st.sampled_from(["k", "distance", "metric", "column", "exact", "maximum"]), st.text()))
def test_any_text_is_taken_or_refused_never_worse(values):
    try:
        made = make_params(Example, values)
    except ParameterError:
        return
    assert 2 <= made.k <= 100
    assert 0 <= made.distance <= 1


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (CheckLine("a", 1.0, 1.05, 0.1), True),
        (CheckLine("a", 1.0, 1.2, 0.1), False),
        (CheckLine("a", 1.0, float("nan"), 10.0), False),
        (CheckLine("a", 1.0, 5.0, 0.1, "at least"), True),
        (CheckLine("a", 1.0, 0.5, 0.1, "at least"), False),
        (CheckLine("a", 1.0, 0.5, 0.1, "at most"), True),
        (CheckLine("a", 1.0, 1.5, 0.1, "at most"), False),
    ],
)
def test_check_lines(line, passed):
    assert line.passed is passed


def test_late_parameters_come_after_those_of_the_method_itself():
    @dataclass(frozen=True)
    class Shared:
        column: str = param("label", "a column of classes")
        limit: int = param(5, "the most of them", late=True)

    @dataclass(frozen=True)
    class Own(Shared):
        shown: int = param(3, "how many are shown")

    assert [p.name for p in params_of(Own)] == ["column", "shown", "limit"]
    assert make_params(Own, {"limit": "7"}) == Own("label", 7, 3)
