"""Class tokens: retrieval against scikit-learn and loops, the facts of fusing, rescues, cameras, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval import token_report as report
from analysis.compute.retrieval.token_retrieval import average_precisions, ranked, rescues, unit_tokens
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.subspaces import class_tokens as method

Ask = method.ClassTokensParams


def tap(x, of, leading=0, **columns):
    n, count, d = x.shape
    layout = Layout(np.arange(n + 1, dtype=np.int64) * count, leading=leading)
    return ArrayActivations(x.reshape(-1, d), samples={"label": np.asarray(of), **columns}, layout=layout)


def by_name(found):
    return {e.name: e for e in found.estimates}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5))
def test_the_fused_cosine_is_the_mean_of_the_tokens_cosines(seed, count):
    z = unit_tokens(np.random.default_rng(seed).standard_normal((9, count, 4)))
    side = z.reshape(9, -1)
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    mean = np.mean([z[:, t] @ z[:, t].T for t in range(count)], axis=0)
    np.testing.assert_allclose(side @ side.T, mean, atol=1e-12)


def test_precision_and_rank_are_those_of_a_loop(rng):
    from sklearn.metrics import average_precision_score

    of, z = np.arange(40) % 4, rng.standard_normal((40, 6))
    camera = rng.integers(2, size=40)
    similar = z @ z.T
    out = np.eye(40, dtype=bool) | ((of[:, None] == of) & (camera[:, None] == camera))
    found = ranked(similar, of, out)
    precision = average_precisions(found, of)
    for i in range(40):
        rest = np.flatnonzero(~out[i])
        same = of[rest] == of[i]
        assert found.asks[i] == same.any()
        if same.any():
            assert precision[i] == pytest.approx(average_precision_score(same, similar[i, rest]))
            assert found.first[i] == float(of[rest[similar[i, rest].argmax()]] == of[i])


def test_ties_share_the_first_place():
    of = np.array([0, 0, 1, 1])
    found = ranked(np.ones((4, 4)), of, np.eye(4, dtype=bool))
    np.testing.assert_allclose(found.first, 1 / 3)


def test_a_random_embedding_has_the_prevalence(rng):
    """Rank 1 is 49 / 249 on average; mAP a little above it. Tolerances: 4 standard errors of 250 dependent queries."""
    x, of = rng.standard_normal((250, 2, 20)), np.arange(250) % 5
    e = by_name(method.class_tokens(tap(x, of)))
    assert e["fused: rank 1"].value == pytest.approx(49 / 249, abs=0.1)
    assert e["fused: mean average precision"].value == pytest.approx(49 / 249, abs=0.03)
    assert e["fused: mean average precision"].p_value > 0.05
    assert (
        e["mean |cosine| of two tokens of a sample"].low < e["mean |cosine| of two tokens of a sample"].null
    )
    assert (
        e["mean |cosine| of two tokens of a sample"].null < e["mean |cosine| of two tokens of a sample"].high
    )


def test_identical_tokens_are_alike_and_rescue_nothing(rng):
    of = np.arange(60) % 3
    one = rng.standard_normal((60, 1, 8)) + np.eye(8)[of][:, None]
    x = np.repeat(one, 3, axis=1)
    np.testing.assert_allclose(method.class_tokens(tap(x, of)).values, 1, atol=1e-12)
    np.testing.assert_allclose(
        method.class_tokens(tap(x, of), Ask(show=method.RESCUES)).values, 0, atol=1e-12
    )
    e = by_name(method.class_tokens(tap(x, of)))
    assert e["fused: rank 1"].value == e["token 1: rank 1"].value == e["token 3: rank 1"].value


def test_turned_tokens_look_diverse_and_rescue_nothing(rng):
    of = np.arange(90) % 3
    one = rng.standard_normal((90, 30)) + 3 * np.eye(30)[of]
    x = np.stack([one, one @ np.linalg.qr(rng.standard_normal((30, 30)))[0]], axis=1)
    assert method.class_tokens(tap(x, of)).values[0, 1] < 0.4
    np.testing.assert_allclose(
        method.class_tokens(tap(x, of), Ask(show=method.RESCUES)).values, 0, atol=1e-12
    )


def test_rescues_by_hand():
    first = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1]])
    np.testing.assert_allclose(rescues(first), [[0, 0.25], [0.25, 0]])


def test_each_token_is_read_at_its_place_and_leading_ones_are_found(rng):
    of = np.arange(60) % 3
    x = rng.standard_normal((60, 4, 6))
    x[:, 1] += 9 * np.eye(6)[of]
    found = method.class_tokens(tap(x, of, leading=2))
    e = by_name(found)
    assert found.values.shape == (2, 2)
    assert e["token 2: rank 1"].value == 1
    assert e["token 1: rank 1"].value < 0.7
    assert e["token 2: spread within a class"].value < 0.1 < e["token 1: spread within a class"].value
    with pytest.raises(InputError, match="4 token"):
        method.class_tokens(tap(x, of), Ask(tokens=5))


def test_the_same_camera_is_not_ranked(rng):
    """Samples of one class and camera are copies: easy with them, at chance without."""
    of, camera = np.arange(120) // 20, np.arange(120) // 10 % 2
    base = rng.standard_normal((12, 10))
    x = (base[np.arange(120) // 10] + 0.01 * rng.standard_normal((120, 10)))[:, None]
    free = by_name(method.class_tokens(tap(x, of, cam=camera)))
    held = by_name(method.class_tokens(tap(x, of, cam=camera), Ask(camera="cam")))
    assert free["fused: rank 1"].value == 1
    assert held["fused: rank 1"].value < 0.6


def test_a_common_mean_can_be_taken_off(rng):
    x, of = rng.standard_normal((80, 3, 20)) + 15, np.arange(80) % 2
    assert method.class_tokens(tap(x, of)).values[0, 1] > 0.98
    assert method.class_tokens(tap(x, of), Ask(centre=True)).values[0, 1] < 0.25


def test_refusals(rng):
    x, of = rng.standard_normal((30, 2, 4)), np.arange(30) % 3
    with pytest.raises(NotFound):
        method.class_tokens(tap(x, of), Ask(camera="cam"))
    with pytest.raises(InputError, match="are 0"):
        method.class_tokens(tap(np.zeros((30, 2, 4)), of))
    with pytest.raises(NotEnoughData):
        method.class_tokens(tap(x, np.arange(30)))
    with pytest.raises(NotEnoughData, match="no sample has another"):
        method.class_tokens(tap(x, of, cam=np.zeros(30, int)), Ask(camera="cam"))
    bad = x.copy()
    bad[4, 1, 0] = np.nan
    assert any("1 sample(s) with NaN" in c for c in method.class_tokens(tap(bad, of)).caveats)


RANKED, RESCUED = ranked, rescues


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (method, "rescues", lambda first: RESCUED(first) + 0.01),
        (report, "ranked", lambda similar, of, out: RANKED(similar, of, out & False)),
        (report, "average_precisions", lambda ranking, of: np.full(len(of), 0.5)),
        (method, "unit_tokens", lambda x: x),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
