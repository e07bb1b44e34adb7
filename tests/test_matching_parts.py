"""Units matched to several others together: forward selection, parts, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_subjects import by_unit, lines, match, tap

from analysis.compute.linear import forward_selection
from analysis.compute.matching.told_together import parts_of
from analysis.compute.matching.unit_sides import column_groups, unit_sides
from analysis.spec import no_progress

FEW = settings(max_examples=15, deadline=None)


# ---------------------------------------------------------------------------- several together
@FEW
@given(st.integers(0, 10**6))
def test_forward_selection_is_least_squares_on_the_best_next(seed):
    rng = np.random.default_rng(seed)
    b, a = rng.standard_normal((8, 40)), rng.standard_normal((3, 40))
    a[0] += b[2] - b[5]
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    gram = b @ b.T
    found = forward_selection.forward_paths(a @ b.T, np.diag(gram), lambda pick: gram[pick], 5)
    for t in range(3):
        taken = []
        for step in range(5):
            left = {
                j: np.linalg.lstsq(b[[*taken, j]].T, a[t], rcond=None) for j in range(8) if j not in taken
            }
            best = min(left, key=lambda j: left[j][1][0])
            taken.append(best)
            assert found.chosen[t, step] == best
            np.testing.assert_allclose(found.weights[t, step, : step + 1], left[best][0], atol=1e-9)
            assert found.explained[t, step] == pytest.approx(a[t] @ a[t] - left[best][1][0], abs=1e-9)


def test_forward_selection_takes_no_copy_and_stops_where_nothing_is_left(rng):
    b = lines(rng, 3)
    b = np.vstack([b, -2 * b[:1], b[1:2] + b[2:3]])
    gram, a = b @ b.T, lines(rng, 1)
    found = forward_selection.forward_paths(a @ b.T, np.diag(gram), lambda pick: gram[pick], 5)
    assert (found.chosen[0, :3] >= 0).all()
    assert (found.chosen[0, 3:] == -1).all()
    np.testing.assert_allclose(found.weights[0, 4], found.weights[0, 2])
    assert np.isfinite(found.weights).all()


def test_parts_by_a_second_implementation(rng):
    x, y = rng.standard_normal((120, 2)), rng.standard_normal((120, 6))
    x[:, 0] += 1.5 * y[:, 1] - y[:, 4]
    sides = unit_sides([tap(x), tap(y)], rng, maximum=1000)
    half = column_groups(sides, rng) % 2 == 0
    every = np.tile(np.arange(6), (2, 1))
    found = parts_of(sides.x, sides.y, every, sides, half, most=3, gain=0.05, level=0.05, progress=no_progress,
                     span=(0, 1))  # fmt: skip
    error, square = np.zeros(4), 0.0
    for train in (half, ~half):
        taken = []
        square += ((x[~train, 0] - x[train, 0].mean()) ** 2).sum()
        error[0] = square
        for step in range(3):
            fits = {}
            for j in set(range(6)) - set(taken):
                design = np.column_stack([np.ones(120), y[:, [*taken, j]]])
                w, rest = np.linalg.lstsq(design[train], x[train, 0], rcond=None)[:2]
                fits[j] = rest[0], ((x[~train, 0] - design[~train] @ w) ** 2).sum()
            best = min(fits, key=lambda j: fits[j][0])
            taken.append(best)
            error[step + 1] += fits[best][1]
    assert found.one[0] == pytest.approx(1 - error[1] / square, abs=1e-9)
    assert found.several[0] == pytest.approx(1 - error[found.count[0]] / square, abs=1e-9)
    assert found.count.tolist() == [2, 0]
    assert set(found.chosen[0, :2]) == {1, 4}


def test_verdicts_of_planted_units(rng):
    """Of A: 0 is a sum of three of B, 1 and 2 make one of B, 3 has a partner, 4 has none, 5 and 6 are copies of one."""
    u = rng.standard_normal((800, 12))
    noise = 0.2 * rng.standard_normal((800, 7))
    x = (
        np.column_stack([u[:, 0] + u[:, 1] + u[:, 2], u[:, 3], u[:, 4], u[:, 5], u[:, 6], u[:, 7], u[:, 7]])
        + noise
    )
    y = np.column_stack([u[:, 0], u[:, 1], u[:, 2], u[:, 3] - u[:, 4], -u[:, 5], u[:, 7], u[:, 8], u[:, 9]])
    found = match(x, y)
    verdict, parts, told = (by_unit(found, name) for name in ("verdict", "parts", "told by"))
    assert [verdict[i] for i in range(5)] == ["split", "merged", "merged", "matched", "unmatched"]
    assert sorted([verdict[5], verdict[6]]) == ["matched", "merged"]
    assert parts[0] == 3
    assert set(told[0].split(" + ")) == {"0", "1", "2"}
    assert "2 are matched in" in found.reading
    assert "1 split, 3 merged and 1 unmatched" in found.reading
    free = found.columns["unit a"] < 0
    assert free.sum() == 1
    assert (found.columns["unit b"][~free] >= 0).all()
    free_verdict = dict(zip(found.columns["unit b"][free], found.columns["verdict"][free], strict=True))
    assert all(v == ("merged" if b in (0, 1, 2) else "unmatched") for b, v in free_verdict.items())


@pytest.mark.parametrize(
    ("lesser", "verdict", "parts"), [(1.0, "split", 2), (0.5, "matched", 2), (0.2, "matched", 1)]
)
def test_a_unit_with_a_dominant_partner_is_matched(rng, lesser, verdict, parts):
    """Shares of 1 / 2, 4 / 5 and 25 / 26 of the variance by the best."""
    y = rng.standard_normal((2000, 6))
    found = match((y[:, 0] - lesser * y[:, 1])[:, None], y)
    assert by_unit(found, "verdict")[0] == verdict
    assert by_unit(found, "parts")[0] == parts
    assert by_unit(found, "R² by best")[0] == pytest.approx(1 / (1 + lesser**2), abs=0.04)


def test_units_of_the_wider_side_without_a_partner_are_listed_once(rng):
    x = rng.standard_normal((200, 9))
    found = match(x[:, [4, 2]], x)
    c = found.columns
    assert sorted(c["unit b"]) == list(range(9))
    assert sorted(c["unit a"]) == [-1] * 7 + [0, 1]
    assert (c["name a"][c["unit a"] < 0] == "").all()
    other = match(x, x[:, [4, 2]]).columns
    assert (other["unit b"][2:] == -1).all()
    assert set(other["unit a"]) == set(range(9))
    assert (other["verdict"][2:] == "unmatched").all()
    for name, column in {**c, **other}.items():
        assert column.dtype.kind != "f" or np.isfinite(column).all(), name
