"""Axes that rank samples by a concept: correlations with intervals, clicked samples, labels, strips."""

from __future__ import annotations

import numpy as np
import pytest
from concept_subjects import tap

from analysis.compute.linear import ranking_axes
from analysis.compute.linear.ranking_axes import (
    ends,
    halves,
    ridge_axis,
    spearman,
    spearman_interval,
    spearman_p,
)
from analysis.methods.concepts.rank_along_axis import RankAlongAxisParams, rank_along_axis
from analysis.methods.concepts.rank_label_curve import RankLabelCurveParams, rank_label_curve
from analysis.methods.concepts.rankability import RankabilityParams, planted, rankability


# ---------------------------------------------------------------------------- ranks
def test_rank_correlation_is_scipys(rng):
    from scipy.stats import spearmanr

    a, b = rng.standard_normal(50).round(1), rng.integers(4, size=50)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(np.exp(a), b) == pytest.approx(spearman(a, b), abs=1e-12)
    assert spearman(-a, b) == pytest.approx(-spearman(a, b), abs=1e-12)
    assert spearman(np.ones(50), b) == 0.0
    null = [spearman(a, rng.permutation(b)) for _ in range(4000)]
    assert np.var(null) == pytest.approx(1 / 49, rel=0.1)
    assert spearman_p(1.96 / 7, 50) == pytest.approx(0.05, abs=1e-3)


def test_the_interval_of_a_rank_correlation_covers():
    rng, rho, inside = np.random.default_rng(0), 6 / np.pi * np.arcsin(0.35), 0
    for _ in range(400):
        z = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 80)
        low, high = spearman_interval(spearman(z[:, 0], z[:, 1]), 80)
        inside += low <= rho <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_ridge_axis_is_scikit_learns_at_its_penalty(rng):
    from sklearn.linear_model import RidgeCV

    x = rng.standard_normal((60, 5)) + 3
    y = x @ rng.standard_normal(5) + 3 * rng.standard_normal(60)
    scale = float((np.linalg.svd(x - x.mean(axis=0))[1] ** 2).mean())
    model = RidgeCV(alphas=ranking_axes.PENALTIES * scale).fit(
        x, y
    )  # GCV and leave-one-out choose alike here
    axis = ridge_axis(x, y)
    assert axis @ model.coef_ / np.linalg.norm(axis) / np.linalg.norm(model.coef_) > 1 - 1e-4


def test_halves_and_ends():
    low, high = halves(np.array([1.0, 1, 1, 5]))
    assert low.tolist() == [True, True, True, False]
    assert high.tolist() == [False, False, False, True]
    low, high = ends(np.array([3.0, 1, 2, 9]), 1)
    assert (low[0], high[0]) == (1, 3)


@pytest.mark.parametrize(
    ("signal", "two", "far", "least"),
    [(3.0, 0.887, 0.952, 0.943), (1.0, 0.301, 0.663, 0.686), (0.3, 0.011, 0.209, 0.269)],
)
def test_two_clicks_work_at_high_signal_only(signal, two, far, least):
    """001b #74, d = 64."""
    data = planted(6000, 64, signal, np.random.default_rng(5))
    rho = rankability(data, RankabilityParams(maximum_samples=6000)).columns["held-out rho"]
    assert rho[0] == pytest.approx(two, abs=0.07)
    assert rho[2] == pytest.approx(far, abs=0.07)
    assert rho[3] == pytest.approx(least, abs=0.07)


def test_noise_with_fewer_samples_than_units_is_ordered_perfectly_in_training_only(rng):
    data = tap(rng.standard_normal((100, 64)), label=rng.standard_normal(100))
    found = rankability(data)
    assert found.columns["training rho"][3] > 1 - 1e-9
    assert abs(found.columns["held-out rho"][3]) < 0.4
    assert any("orders its own samples perfectly" in c for c in found.caveats)
    assert "No axis ranks" in found.reading


def test_monotone_relabelling_leaves_extremes_and_groups():
    data = planted(800, 10, 1.0, np.random.default_rng(2))
    one, two = (
        rankability(data, RankabilityParams(column=c)).columns["held-out rho"] for c in ("label", "exp")
    )
    np.testing.assert_allclose(one[:3], two[:3], atol=1e-12)


def test_more_labels_make_better_axes():
    data = planted(1200, 16, 1.0, np.random.default_rng(3))
    found = rank_label_curve(data, RankLabelCurveParams(draws=10))
    ridge = found.series["ridge"]
    assert ridge[-1] > ridge[2] > ridge[0]
    assert found.x[-1] == 600
    width = found.high["ridge"] - found.low["ridge"]
    assert width[-1] == pytest.approx(0, abs=1e-9)  # all labels: one draw only
    assert width[0] > 0.2


def test_a_strip_shows_the_token_furthest_along(rng):
    y = rng.standard_normal(100)
    x = np.repeat(rng.standard_normal((100, 3)) + 4 * y[:, None] * np.eye(3)[0], 3, axis=0)
    x[2::3, 0] += 9.0  # the last token of each sample lies furthest
    found = rank_along_axis(tap(x, tokens=3, label=y), RankAlongAxisParams(examples=2, steps=5))
    rows = np.concatenate(list(found.groups.values()))
    assert (rows % 3 == 2).all()
    assert found.estimates[0].value > 0.9
