"""The pooling methods on tokens whose answer is known, and what they say of bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.cross_fitting import folds_of
from analysis.errors import NotFound
from analysis.methods.tokens import pooling_curve
from analysis.tokens.pooling.judged import PROBE
from dashboard.browse.token_questions import QUESTIONS

POOLING = ("pooling_curve", "pooled_weights", "nested_budget", "pooling_influence", "projector_coverage", "token_norms",
           "query_budget")  # fmt: skip


def tap(x, grid=None, leading=0, label=None):
    n, t, d = x.shape
    samples = {"label": np.arange(n) % 3 if label is None else label}
    return ArrayActivations(
        x.reshape(-1, d), samples=samples, layout=Layout(np.arange(n + 1) * t, grid, leading)
    )


def run(name, x, **params):
    method = registry.method(name)
    return method.function(x, params=method.params(**params), rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(5)
    return rng.standard_normal((60, 17, 6)) + 2 * np.eye(6)[np.arange(60) % 3][:, None]


def test_the_page_asks_them_all():
    assert set(POOLING) <= set(QUESTIONS["pooling"].asks.values())


@pytest.mark.parametrize("name", [m for m in POOLING if m != "query_budget"])
def test_the_order_of_tokens_and_one_scale_change_nothing(x, name):
    """Tokens in another order in every sample (on a grid they have places, so only the scale), all times 7."""
    moved = 7.0 * (x if name in ("nested_budget", "projector_coverage", "token_norms") else _shuffled(x))
    before, after = run(name, tap(x)), run(name, tap(moved))
    for a, b in zip(before.estimates, after.estimates, strict=True):
        if a.name != "squared correlation between groups of channels":
            assert b.value == pytest.approx(a.value, abs=0.02 if name == "pooling_influence" else 1e-6), (
                a.name
            )


def _shuffled(x):
    return np.stack([s[np.random.default_rng(i).permutation(len(s))] for i, s in enumerate(x)])


def test_a_class_token_is_a_pooling_of_its_own_and_no_token(x):
    told = x.copy()
    told[:, 0] = 50 * np.eye(6)[np.arange(60) % 3]
    found = run("pooling_curve", tap(told, (4, 4), 1))
    assert found.series["class token"][0] == 1
    gain = {e.name: e for e in found.estimates}["gain of one p over the mean"]
    assert gain.low < gain.value < gain.high
    assert "Newcombe" in gain.interval
    assert "class token" not in run("pooling_curve", tap(told[:, 1:], (4, 4))).series
    lengths = run("token_norms", tap(told, (4, 4), 1))
    assert lengths.markers["class token (mean)"] == pytest.approx(50)
    assert lengths.counts["tokens"].sum() == 60 * 16
    shares = run("pooled_weights", tap(told, (4, 4), 1))
    assert (shares.grid, shares.leading, shares.values.shape) == ((4, 4), 1, (12, 17))
    assert np.isnan(shares.values[:, 0]).all()
    np.testing.assert_allclose(np.nansum(shares.values, axis=1), 1, rtol=1e-12)


def test_a_p_for_each_channel_is_not_chosen_by_the_labels_it_is_judged_by():
    """Ten powers that are noise apart: chosen with the labels they are judged by, they would tell nearly all."""
    rng = np.random.default_rng(2)
    pooled, codes = rng.standard_normal((10, 120, 100)), np.arange(120) % 3
    found = pooling_curve._chosen(pooled, codes, folds_of(codes, 5, rng), np.arange(100), PROBE)
    assert found.mean == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 120))
    assert found.chance == pytest.approx(1 / 3, abs=1e-9)


def test_texts_of_other_lengths_are_pooled():
    rng = np.random.default_rng(3)
    counts = rng.integers(3, 9, 60)
    text = ArrayActivations(
        rng.standard_normal((int(counts.sum()), 5)), samples={"label": np.arange(60) % 2},
        layout=Layout(np.r_[0, np.cumsum(counts)]),
    )  # fmt: skip
    shares = run("pooled_weights", text).values
    np.testing.assert_array_equal(np.isfinite(shares).sum(axis=1), counts[:12])
    for name in set(POOLING) - {"nested_budget", "projector_coverage"}:
        assert run(name, text).estimates
    assert run("nested_budget", text, reader="a linear probe").x.tolist() == [1, 2, 4, 8]
    assert any("left out" in c for c in run("projector_coverage", text).caveats)


def test_coarse_tokens_of_other_samples_tell_nothing_where_place_tells_all():
    rng = np.random.default_rng(4)
    placed = 5 * rng.standard_normal((1, 16, 3)) + rng.standard_normal((90, 16, 3))
    found = run("projector_coverage", tap(placed, (4, 4)))
    assert found.series["average of each cell"][1] == pytest.approx(0.25, abs=0.04)
    assert np.abs(found.null["average of each cell"]).max() < 0.05


def test_asking_for_what_is_not_there(x):
    with pytest.raises(NotFound, match="first = 60"):
        run("query_budget", tap(x), first=60)
    with pytest.raises(NotFound):
        run("nested_budget", dataclasses.replace(tap(x), samples={}, digest=""))
