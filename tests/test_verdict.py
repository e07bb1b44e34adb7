"""In which sense two representations are the same: planted cases, samples that cannot say, broken evidence."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import sameness_evidence
from analysis.compute.similarity.sameness import (
    FAILS,
    HOLDS,
    INFORMATION,
    OPEN,
    SUBSPACE,
    UNITS,
    Evidence,
    verdict,
)
from analysis.errors import InputError, NotEnoughData
from analysis.methods.similarity import verdict as module
from analysis.methods.similarity.verdict import VerdictParams, same_in_which_sense


def said(x, y, **params) -> list[str]:
    return same_in_which_sense(x, y, VerdictParams(**params)).columns["the same"].tolist()


def turned(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


# ---------------------------------------------------------------------------- planted
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("d", [16, 64])
def test_planted_cases(seed, d):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((15 * d, d)) * np.linspace(1, 2, d) + 5
    q = turned(rng, d)
    mixed = q * np.logspace(0, 1.5, d) @ turned(rng, d)
    assert said(x, x[:, rng.permutation(d)] * rng.choice([-3.0, 3.0], d)) == [HOLDS, HOLDS, HOLDS]
    assert said(x, 7 * x @ q - 2) == [FAILS, HOLDS, HOLDS]
    assert said(x, x @ mixed) == [FAILS, FAILS, HOLDS]
    assert said(x, rng.standard_normal(x.shape)) == [FAILS, FAILS, FAILS]


@pytest.mark.parametrize(("d", "n"), [(64, 1280), (256, 2560)])
def test_a_rotation_keeps_cka_at_one_and_lowers_the_matching_to_theory(d, n):
    rng = np.random.default_rng(d)
    x = rng.standard_normal((n, d))
    value = same_in_which_sense(x, x @ turned(rng, d)).columns["value"]
    assert value[0] == pytest.approx(0.9 * np.sqrt(2 * np.log(d) / d), abs=0.03)
    np.testing.assert_allclose(value[1:], 1.0, atol=1e-9)


def test_an_invertible_map_keeps_canonical_correlations_only():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((900, 20))
    value = same_in_which_sense(x, x @ (turned(rng, 20) * np.logspace(0, 2, 20) @ turned(rng, 20))).columns[
        "value"
    ]
    assert value[2] == pytest.approx(1.0, abs=1e-9)
    assert value[1] < 0.7
    assert value[0] < 0.8


def test_units_of_different_sizes_are_the_same_units_but_no_rotation():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((800, 12))
    assert said(x, x * np.logspace(0, 2, 12)) == [HOLDS, FAILS, HOLDS]


def test_a_representation_that_holds_the_other_and_more(rng):
    x = rng.standard_normal((900, 12))
    part = x[:, :5] @ turned(rng, 5)
    found = same_in_which_sense(x, part)
    assert found.reading.startswith("Array (1) holds array (2) and more")
    assert HOLDS not in found.columns["the same"]  # units and directions without a partner count as 0
    r2 = {e.name: e.value for e in found.estimates if "predicted" in e.name}
    assert r2["array (2) predicted linearly from array (1): held-out R², ridge"] == pytest.approx(1, abs=1e-6)
    assert r2["array (1) predicted linearly from array (2): held-out R², ridge"] == pytest.approx(
        5 / 12, abs=0.05
    )
    back = same_in_which_sense(part, x)
    assert back.reading.startswith("Array (2) holds array (1) and more")
    subset = same_in_which_sense(np.hstack([x] * 2 + [rng.standard_normal((900, 6))]), x[:, :1])
    assert HOLDS not in subset.columns["the same"]
    assert "and more" not in same_in_which_sense(x, x @ turned(rng, 12)).reading


def test_the_interval_and_the_null_stand_beside_every_number(rng):
    x = rng.standard_normal((400, 8))
    found = same_in_which_sense(x, 0.7 * x + rng.standard_normal((400, 8)))
    assert len(found.estimates) == 6
    for e in found.estimates:
        assert e.low <= e.value <= e.high
        assert e.null is not None
    assert (found.columns["low"] <= found.columns["value"]).all()
    assert found.columns["null"][2] == pytest.approx(8 / 399, rel=1e-9)


# ---------------------------------------------------------------------------- what samples cannot say
@pytest.mark.parametrize("seed", range(5))
def test_many_units_and_few_samples_make_nothing_the_same(seed):
    """The best of 300 unrelated partners on ten samples has |r| of about 0.9, and every canonical correlation is 1."""
    rng = np.random.default_rng(seed)
    found = same_in_which_sense(rng.standard_normal((10, 300)), rng.standard_normal((10, 300)))
    assert HOLDS not in found.columns["the same"]
    assert found.columns["value"][0] > 0.8
    assert any("from fewer than ten times" in c for c in found.caveats)


def test_too_few_samples_can_speak_against_and_not_for(rng):
    x = rng.standard_normal((60, 20))
    assert said(x, x)[2] == OPEN
    assert said(x, rng.standard_normal((60, 20)))[2] == FAILS


def test_another_level_is_another_verdict(rng):
    x = rng.standard_normal((2000, 10))
    near = x + 0.5 * rng.standard_normal((2000, 10))  # r = 0.89
    assert said(x, near, same=0.9)[0] == FAILS
    assert said(x, near, same=0.8)[0] == HOLDS


# ---------------------------------------------------------------------------- words
def evidence(sense, value, half=0.01, p=1e-6, **more):
    series = np.append(value, value + half * np.linspace(-1, 1, 10) / 6)
    return Evidence(sense, "m", series, 0.1, 0.01, p, **more)


@pytest.mark.parametrize(
    ("values", "begins"),
    [
        ((0.99, 0.99, 0.99), "They are the same units"),
        ((0.3, 0.99, 0.99), "They are the same subspace in another basis"),
        ((0.3, 0.5, 0.99), "They hold the same information"),
        ((0.3, 0.5, 0.5), "They are related beyond chance"),
    ],
)
def test_verdicts_in_words(values, begins):
    found = [evidence(s, v) for s, v in zip((UNITS, SUBSPACE, INFORMATION), values, strict=True)]
    assert verdict(found, 0.9).startswith(begins)


def test_doubts_in_words():
    found = [evidence(UNITS, 0.9, half=0.2), evidence(SUBSPACE, 0.99), evidence(INFORMATION, 0.99)]
    assert verdict(found, 0.9) == (
        "They are the same subspace in another basis, a rotation apart. "
        "Whether they are even the same units cannot be said from these samples."
    )
    lax = [evidence(UNITS, 0.9, half=0.2), evidence(SUBSPACE, 0.5), evidence(INFORMATION, 0.99)]
    assert verdict(lax, 0.9).startswith(
        "They hold the same information, linearly re-mixed, and not the same up to a"
    )
    unrelated = [evidence(s, 0.1, p=0.8) for s in (UNITS, SUBSPACE, INFORMATION)]
    assert verdict(unrelated, 0.9) == "They are different: no relation beyond chance is shown."
    unclear = [evidence(s, 0.9, half=0.5) for s in (UNITS, SUBSPACE, INFORMATION)]
    assert verdict(unclear, 0.9).startswith("These samples are too few")


# ---------------------------------------------------------------------------- inputs
def test_samples_are_matched_by_id_tokens_pooled_and_constant_units_left_out(rng):
    tokens = rng.standard_normal((80, 3, 6))
    pooled = tokens.mean(axis=1)
    order = rng.permutation(80)
    ids = np.array([f"s{i}" for i in range(80)])
    one = ArrayActivations(
        tokens.reshape(240, 6), layout=Layout(np.arange(81) * 3), samples={"id": ids}, name="one"
    )
    other = np.hstack([pooled[order], np.ones((80, 2))])
    found = same_in_which_sense(one, ArrayActivations(other, samples={"id": ids[order]}, name="other"))
    assert found.columns["the same"].tolist() == [HOLDS] * 3  # constant units are none
    assert any("constant unit" in c for c in found.caveats)
    assert any("no partner" in c for c in found.caveats)


def test_refusals(rng):
    x = rng.standard_normal((30, 3))
    with pytest.raises(NotEnoughData, match="at least 8"):
        same_in_which_sense(x[:7], x[:7])
    with pytest.raises(InputError, match="all samples"):
        same_in_which_sense(x, np.ones((30, 2)))


# ---------------------------------------------------------------------------- the check can fail
def unpaired(x, y, signed):
    return np.arange(len(x)) % len(y)


@pytest.mark.parametrize(
    ("name", "broken"),
    [("pair_units", unpaired), ("mean_squared", lambda cross: 1.0), ("linear_grid", None)],
)
def test_the_check_fails_on_broken_evidence(monkeypatch, name, broken):
    if broken is None:  # the biased estimate by mistake
        real = sameness_evidence.linear_grid
        broken = lambda values, *more: real([v * np.logspace(0, 2, v.shape[1]) for v in values], *more)  # noqa: E731
    monkeypatch.setattr(sameness_evidence, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())
