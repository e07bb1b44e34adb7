"""What the verdict rests on: nulls that are those of unrelated data, held-out values, intervals that are not known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from analysis.activations import ArrayActivations
from analysis.compute.rows.common_samples import common_samples
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
from analysis.compute.similarity.sameness_evidence import of_information, of_prediction, of_subspace, of_units
from analysis.compute.similarity.similarity_report import two_decimals
from analysis.methods.similarity import verdict as module
from analysis.methods.similarity.verdict import VerdictParams, same_in_which_sense
from analysis.spec import no_progress

N, D = 60, 8


def lines(found):
    """Lines of a table by their sense."""
    columns = found.columns
    return {str(s): {k: v[i] for k, v in columns.items()} for i, s in enumerate(columns["sense"].tolist())}


@pytest.fixture(scope="module")
def unrelated():
    """Thirty verdicts on unrelated data."""
    draws = [np.random.default_rng(s).standard_normal((2, N, D)) for s in range(30)]
    return [same_in_which_sense(x, y) for x, y in draws]


# ---------------------------------------------------------------------------- nulls
@pytest.mark.parametrize("sense", [UNITS, SUBSPACE, INFORMATION])
def test_the_null_is_what_unrelated_data_gives(unrelated, sense):
    value, null = (np.array([lines(f)[sense][c] for f in unrelated]) for c in ("value", "null"))
    gap = value - null
    assert abs(gap.mean()) <= 4 * stats.sem(gap)
    assert null.std() <= value.std()


def test_the_nulls_of_exchanged_samples_are_exact(unrelated):
    for found in unrelated[:3]:
        at = lines(found)
        assert at[SUBSPACE]["null"] == 0
        assert at[INFORMATION]["null"] == pytest.approx(D / (N - 1), rel=1e-9)
        subspace = next(e for e in found.estimates if e.name.startswith(SUBSPACE))
        half = stats.norm.ppf(0.975) * np.sqrt(2 / (N * (N - 3)))
        assert (subspace.null_low, subspace.null_high) == pytest.approx((-half, half), rel=1e-6)


@pytest.mark.parametrize("sense", [UNITS, SUBSPACE, INFORMATION])
def test_estimates_have_the_null_of_their_line_with_its_band_and_p(unrelated, sense):
    inside = 0
    for found in unrelated:
        e, line = next(e for e in found.estimates if e.name.startswith(f"{sense}: ")), lines(found)[sense]
        assert (e.null, e.p_value) == (line["null"], line["p"])
        assert e.null_method
        assert e.null_low < e.null < e.null_high
        assert e.null - e.null_low == pytest.approx(e.null_high - e.null)
        inside += e.null_low <= e.value <= e.null_high
    assert inside >= 25  # 95 % of thirty, less two deviations and a half


def test_unrelated_data_is_not_called_related(unrelated):
    said = [f.reading.partition("\n")[0] for f in unrelated]
    assert sum(s == "They are different: no relation beyond chance is shown." for s in said) >= 25
    for sense in (UNITS, SUBSPACE, INFORMATION):
        assert sum(lines(f)[sense]["p"] < 0.05 for f in unrelated) <= 5
    x = np.random.default_rng(0).standard_normal((400, D))
    near = same_in_which_sense(x, x + 2 * np.random.default_rng(1).standard_normal((400, D)))
    assert all(line["p"] < 0.05 for line in lines(near).values())
    assert "related beyond chance" in near.reading


def test_the_reading_says_the_null_of_every_number(unrelated):
    at = lines(unrelated[0])
    for line in at.values():
        assert f"unrelated {two_decimals(line['null'])})" in unrelated[0].reading


def test_predictions_are_beside_what_exchanged_samples_give(rng):
    x = rng.standard_normal((200, D))
    data = common_samples(
        [ArrayActivations(m) for m in (x, x @ rng.standard_normal((D, D)))], rng, maximum=500, minimum=8
    )
    for way in of_prediction(data, ("a", "b"), rng, no_progress):
        assert way.value > 0.99
        assert -0.5 < way.null < 0.05
        assert way.p < 0.05


# ---------------------------------------------------------------------------- held out
def sense(value, half, **more):
    """A sense whose jackknife interval is value ± half."""
    swing = np.linspace(-1, 1, 10)
    unit = stats.t.ppf(0.975, 9) * np.sqrt(0.9 * (swing**2).sum())
    series = np.append(value, value + half * swing / unit)
    return Evidence(UNITS, "m", series, 0.1, 0.01, 1e-6, **more)


@pytest.mark.parametrize(
    ("held_out", "expected"), [(0.2, OPEN), (0.8999, OPEN), (0.9, HOLDS), (np.nan, HOLDS)]
)
def test_a_choice_that_is_not_worth_it_on_other_samples_does_not_hold(held_out, expected):
    assert sense(0.97, 0.01, held_out=held_out).says(0.9) == expected
    assert sense(0.5, 0.01, held_out=held_out).says(0.9) == FAILS


def test_few_samples_speak_against_and_not_for():
    assert [sense(v, 0.01, few=True).says(0.9) for v in (0.97, 0.5)] == [OPEN, FAILS]


@pytest.mark.parametrize("seed", range(5))
def test_a_matching_that_only_fits_its_own_samples_does_not_hold(seed):
    """Of 300 unrelated units on 15 samples each has a partner: |r| 0.8 on these samples, and about 0 on others."""
    x, y = np.random.default_rng(seed).standard_normal((2, 15, 300))
    found = same_in_which_sense(x, y, VerdictParams(same=0.5))
    line = lines(found)[UNITS]
    assert line["low"] > 0.5
    assert line["the same"] == OPEN
    assert found.estimates[-1].name == "mean r of matched units on held-out samples"
    assert found.estimates[-1].high < 0.5


def test_the_guard_is_the_low_end_of_what_the_pairs_are_worth_on_other_samples(rng):
    x = rng.standard_normal((100, 6))
    taps = [ArrayActivations(m) for m in (x, x + 0.3 * rng.standard_normal((100, 6)))]
    data = common_samples(taps, rng, maximum=500, minimum=8)
    found, apart, _ = of_units(data, ("a", "b"), rng, no_progress)
    assert found.held_out == apart.low
    assert apart.low < apart.value < apart.high
    assert np.isnan(of_subspace(data, rng, no_progress).held_out)  # nothing was chosen
    assert np.isnan(of_information(data, ("a", "b"), rng, no_progress).held_out)


# ---------------------------------------------------------------------------- unknown intervals
def test_an_interval_that_is_not_known_is_not_made_up(monkeypatch, rng):
    real = module.of_subspace
    monkeypatch.setattr(
        module, "of_subspace",
        lambda *given: dataclasses.replace(found := real(*given), series=found.series[:1]),
    )  # fmt: skip
    x = rng.standard_normal((100, 6))
    found = same_in_which_sense(x, x)
    at = lines(found)
    assert at[SUBSPACE]["value"] == pytest.approx(1)
    assert np.isnan([at[SUBSPACE]["low"], at[SUBSPACE]["high"]]).all()
    assert at[SUBSPACE]["the same"] == OPEN  # 1 itself is no interval
    e = next(e for e in found.estimates if e.name.startswith(SUBSPACE))
    assert (e.low, e.high, e.interval) == (None, None, "")
    assert f"CKA {e.value:.2f} (unrelated" in found.reading
    for other in (UNITS, INFORMATION):
        assert np.isfinite([at[other]["low"], at[other]["high"]]).all()


def test_an_interval_that_is_not_known_decides_nothing():
    unknown = Evidence(UNITS, "m", np.array([0.99]), 0.1, 0.01, 1e-6)
    assert np.isnan(unknown.interval).all()
    assert unknown.says(0.9) == unknown.says(0.999) == OPEN
    every = [dataclasses.replace(unknown, sense=s) for s in (UNITS, SUBSPACE, INFORMATION)]
    assert verdict(every, 0.9).startswith("These samples are too few to tell")
    assert "are related beyond chance" in verdict(every, 0.9)
    assert "not shown" in verdict([dataclasses.replace(e, p=0.5) for e in every], 0.9)


def test_intervals_stay_within_what_a_measure_can_be():
    assert sense(0.99, 0.2, least=0.0).interval == (pytest.approx(0.79), 1.0)
    assert sense(0.1, 0.2, least=0.0).interval == (0.0, pytest.approx(0.3))
    assert sense(-0.9, 0.2).interval == (-1.0, pytest.approx(-0.7))
