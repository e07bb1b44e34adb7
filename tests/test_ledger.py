"""A ledger's lines lead from its start to its end, whatever is drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from test_figures_planted import ledger

from dashboard.figures.ledger import notes, steps, table, words


@pytest.mark.parametrize("rows", [None, 1, 3, 50])
def test_lines_lead_from_the_start_to_the_end(rows):
    result = ledger(30)
    lines = steps(result, rows)
    assert (lines[0].kind, lines[-1].kind) == ("end", "end")
    at = result.start
    for line in lines[1:-1]:
        assert line.before == pytest.approx(at, abs=1e-12)
        at += line.value
    assert at == pytest.approx(result.end, abs=1e-12)
    shown = [line for line in lines if line.kind == "part"]
    assert len(shown) == min(rows or 14, 30)
    assert [abs(line.value) for line in shown] == sorted((abs(line.value) for line in shown), reverse=True)
    assert sum(line.kind == "others" for line in lines) == (len(shown) < 30)


def test_a_residual_of_rounding_has_no_line_and_any_other_has():
    assert not any(line.kind == "residual" for line in steps(ledger(5, residual=1e-12)))
    assert [line.value for line in steps(ledger(5)) if line.kind == "residual"] == [0.05]


def test_parts_that_are_not_finite_are_counted_and_left_out():
    result = ledger(4, values=np.array([1.0, np.nan, -2.0, np.inf]))
    assert [line.name for line in steps(result) if line.kind == "part"] == ["token 2", "token 0"]
    assert any("2 parts are not finite" in said for said in notes(result))


def test_the_table_holds_every_part_and_both_ends():
    result = ledger(30)
    found = table(result)
    assert list(found["part"][-3:]) == ["residual", "mean of 20 samples", "this sample"]
    assert found["logit difference"][:30].sum() + 0.05 + result.start == pytest.approx(result.end)
    assert "The largest: token 6 +0.53" in words(result)
