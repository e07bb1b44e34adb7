"""Answer, work and time of rules as one table."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.browse.rule_curves import joined, same_rules


def curve(name, x, **values) -> Curve:
    parts = {k: {rule: np.asarray(v) + more for rule, v in values.items()} for k, more in
             (("series", 0.0), ("low", -0.1), ("high", 0.1), ("null", 1.0))}  # fmt: skip
    return Curve(title=name, x=np.asarray(x), x_name="share", y_name=name, **parts)


ANSWER = curve("answer", [0.9, 0.6], tome=[0.99, 0.8], evit=[0.9, 0.7])
TIME = curve("time", [0.6, 0.9, 0.5], tome=[0.7, 0.95, 0.6], other=[1, 1, 1])


def test_rows_are_of_the_rules_and_shares_that_both_have():
    found = joined(ANSWER, TIME)
    assert same_rules(ANSWER, TIME) == ["tome"]
    assert found["rule"].tolist() == ["tome", "tome"]
    np.testing.assert_allclose(found["multiply-adds allowed"], [0.9, 0.6])
    np.testing.assert_allclose(found["answer"], [0.99, 0.8])
    np.testing.assert_allclose(found["time"], [0.95, 0.7])  # by share, not by place
    np.testing.assert_allclose(found["time to"] - found["time from"], 0.2)
    np.testing.assert_allclose(found["multiply-adds spent"], [1.95, 1.7])


def test_nothing_in_common_is_an_empty_table():
    assert all(len(column) == 0 for column in joined(ANSWER, curve("time", [0.6], other=[1])).values())
