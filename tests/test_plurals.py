"""Counted things are said as a person says them."""

import pytest

from dashboard import errors
from dashboard.figures.plurals import counted
from dashboard.figures.text import plain


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1 unit(s) left out", "1 unit left out"),
        ("2 unit(s) left out", "2 units left out"),
        ("0 sample(s)", "0 samples"),
        ("1,001 sample(s)", "1,001 samples"),
        ("3 of 1 class(es)", "3 of 1 class"),
        ("11 class(es) with 21 row(s)", "11 classes with 21 rows"),
        ("1 constant unit(s) add nothing", "1 constant unit add nothing"),
        ("needs finite sample(s)", "needs finite samples"),
        ("exp(s) and sqrt(s) of 2 log(s)", "exp(s) and sqrt(s) of 2 log(s)"),
        ("0.1 unit(s)", "0.1 units"),
    ],
)
def test_counted(written, said):
    assert counted(written) == said
    assert plain(written) == said
    assert errors.escape(written) == errors.escape(said)
