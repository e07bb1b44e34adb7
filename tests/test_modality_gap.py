"""The gap between two sides: the split of the distance, planted shifts, floors, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from analysis.activations import ArrayActivations
from analysis.compute.similarity import two_sides
from analysis.errors import InputError, ParameterError
from analysis.methods.subspaces import modality_gap as method
from analysis.results import Estimate

FEW = method.ModalityGapParams(swaps=19)


def by_name(found):
    return {e.name: e for e in found.estimates}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5))
def test_the_squared_distance_splits_into_shift_and_rest(seed, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 4)) + shift
    apart = x - y
    rest = ((apart - apart.mean(axis=0)) ** 2).sum(axis=1).mean()
    whole = (apart**2).sum(axis=1).mean()
    assert two_sides.share_of_shift(x, y) == pytest.approx(1 - rest / whole)


@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_a_shift_between_unrelated_sides_is_told_as_theory_says(rng, shift):
    """Two Gaussian clouds apart by `shift` along one of five units: AUROC Φ(shift / √2). Standard error about 0.01."""
    x, y = rng.standard_normal((1500, 5)), rng.standard_normal((1500, 5)) + shift * np.eye(5)[2]
    e = by_name(method.modality_gap(x, y, params=FEW))
    told = e["as recorded: sides told apart by a linear probe (AUROC)"]
    assert told.value == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.045)
    assert e["gap between the means"].value == pytest.approx(shift, abs=0.12)
    assert (told.p_value <= 0.05) == (shift > 0)


def test_taking_the_means_off_mends_a_shift_and_nothing_else(rng):
    x = rng.standard_normal((300, 8))
    y = x + 0.2 * rng.standard_normal((300, 8)) + 20 * np.eye(8)[0]
    found = method.modality_gap(x, y, params=FEW).columns
    assert found["told apart"][1] > 0.99
    assert found["told apart"][2] < 0.6
    assert found["recall at 1"][2] > 0.5 > found["recall at 1"][1]
    unlike = by_name(method.modality_gap(x, rng.standard_normal((300, 8)) + 5, params=FEW))
    recall = unlike["unit length, less the means: recall at 1"]
    assert recall.low <= recall.null + 0.01
    assert recall.null == pytest.approx(1 / 300)


def test_equal_sides_have_no_gap_and_every_mate(rng):
    x = rng.standard_normal((60, 5))
    e = by_name(method.modality_gap(x, x.copy(), params=FEW))
    assert e["gap between the means"].value == 0
    assert e["share of the mates' squared distance that is one shift"].value == 0
    assert e["unit length: recall at 1"].value == 1
    assert e["as recorded: sides told apart by a linear probe (AUROC)"].value == pytest.approx(0.5, abs=1e-9)


def test_recall_shares_ties():
    x = np.repeat(np.eye(3), 10, axis=0)
    e, (own, strangers) = two_sides.recall_estimate(x, x, "x")
    assert e.value == pytest.approx(0.1)
    assert own == 1
    assert strangers == pytest.approx(9 / 29)


def test_rotation_and_scale_of_both_change_nothing(rng):
    x = rng.standard_normal((80, 6))
    y = x + rng.standard_normal((80, 6)) + 1
    q = 7 * np.linalg.qr(rng.standard_normal((6, 6)))[0]
    a, b = (method.modality_gap(u, v, params=FEW, rng=np.random.default_rng(0)).columns for u, v in
            ((x, y), (x @ q, y @ q)))  # fmt: skip
    for name in ("share of a shift", "cosine of mates", "cosine of strangers", "told apart", "recall at 1"):
        np.testing.assert_allclose(a[name], b[name], atol=1e-9)
    np.testing.assert_allclose(b["gap"][0], 7 * a["gap"][0])


def test_samples_are_matched_by_id(rng):
    x = rng.standard_normal((50, 4))
    ids, order = np.array([f"s{i}" for i in range(50)]), rng.permutation(50)
    a = ArrayActivations(x, samples={"id": ids})
    b = ArrayActivations((x + 0.01)[order], samples={"id": ids[order]})
    assert by_name(method.modality_gap(a, b, params=FEW))["unit length: recall at 1"].value > 0.95


def test_rows_of_zeros_are_said(rng):
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 4))
    x[3] = 0
    assert any("1 row(s) of zeros" in c for c in method.modality_gap(x, y, params=FEW).caveats)


def test_refusals(rng):
    x = rng.standard_normal((40, 4))
    with pytest.raises(InputError, match="same units"):
        method.modality_gap(x, x[:, :3])
    with pytest.raises(ParameterError, match="3 tap"):
        method.modality_gap(x, x, x)
    with pytest.raises(InputError, match="are equal"):
        method.modality_gap(x, np.ones((40, 4)))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (method, "prepared", lambda x, y, step, fold: (x, y)),
        (two_sides, "share_of_shift", lambda a, b: 0.5),
        (
            method,
            "recall_estimate",
            lambda a, b, step: (
                Estimate("recall at 1", 0.4, null=0.1, null_method="x", n=9),
                (0.0, 0.0),
            ),
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
