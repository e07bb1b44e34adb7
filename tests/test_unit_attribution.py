"""Parts of many samples over units: closed forms, a second implementation, resumption, and what pictures make of it."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.players import each_unit
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.units import explained_units
from analysis.attribution.units.explained_units import CONDITIONAL, SHAPLEY, SLOPES, UnitPartsParams
from analysis.attribution.units.partners import residual_partners
from analysis.attribution.units.unit_game import unit_game
from analysis.attribution.units.unit_parts import unit_parts
from analysis.attribution.units.unit_summary import by_chance, ranks_of, unit_summary
from analysis.compute.games.exact import exact_values
from analysis.compute.games.gaussian_conditional import GaussianConditional
from analysis.compute.games.masked_game import masked_game
from analysis.compute.games.permutations import permutation_values
from analysis.compute.kept import forget, keeping
from analysis.errors import Cancelled, InputError, NotFound, ParameterError
from analysis.methods.attribution.attribution_beeswarm import AttributionBeeswarmParams, attribution_beeswarm
from analysis.methods.attribution.attribution_dependence import (
    INTERACTION,
    AttributionDependenceParams,
    attribution_dependence,
)
from analysis.methods.attribution.global_attribution import GlobalAttributionParams, global_attribution
from analysis.methods.attribution.interaction_matrix import InteractionMatrixParams, interaction_matrix
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import no_progress
from analysis.store.cache import ResultCache

D = 5


class Formula(torch.nn.Module):
    """One number of a row."""

    def __init__(self, of) -> None:
        super().__init__()
        self.of = of

    def forward(self, x):
        return self.of(x)[:, None]


class Samples:
    """As `NetworkSamples`, of rows in memory; counts how many were opened."""

    is_network, number, input_names, classes = True, "score", (), ()
    what, notes = "a formula", ()

    def __init__(self, x, of) -> None:
        self.x, self.samples, self.opened = x, np.arange(len(x)), 0
        self.loaded = LoadedModel(Formula(of), "array", lambda items: torch.as_tensor(np.stack(items)))

    def run(self, i, site=None):
        self.opened += 1
        return SampleRun(self.loaded, self.x[i])


@pytest.fixture
def network(monkeypatch):
    """A tap of rows (n, D) whose network is a formula of them."""

    def made(of, n=60, seed=0, d=D):
        x = np.random.default_rng(seed).standard_normal((n, d))
        samples = Samples(x, of)
        monkeypatch.setattr(explained_units, "explained_samples", lambda *_: (samples, ()))
        return ArrayActivations(x, name="rows"), samples

    return made


def smooth(x):
    return torch.tanh(x[:, 0] + 2 * x[:, 1]) * x[:, 2] + x[:, 3] ** 2


def run_of(x, of) -> SampleRun:
    return Samples(np.asarray(x)[None], of).run(0)


def rows_behind(rows) -> Background:
    return Background(torch.as_tensor(np.asarray(rows))[:, None], "")


def answer(run):
    return targets.logit_target(run.logits)


def test_a_units_game_is_that_of_a_table():
    rng = np.random.default_rng(1)
    x, rows = rng.standard_normal(D), rng.standard_normal((20, D))
    run = run_of(x, smooth)
    found = exact_values(unit_game(run, each_unit(D), rows_behind(rows), answer(run))).values[:, 0]
    plain = lambda r: smooth(torch.as_tensor(r)).numpy()  # noqa: E731
    np.testing.assert_allclose(found, exact_values(masked_game(plain, x, rows)).values[:, 0], atol=1e-12)


def test_a_linear_network_is_w_times_x_less_its_mean_by_every_order():
    rng = np.random.default_rng(2)
    w, x, rows = rng.standard_normal(12), rng.standard_normal(12), rng.standard_normal((9, 12))
    run = run_of(x, lambda r: r @ torch.as_tensor(w))
    game = unit_game(run, each_unit(12), rows_behind(rows), answer(run))
    found = permutation_values(game, rng, budget=2 * 11 * 2 + 2)
    np.testing.assert_allclose(found.values[:, 0], w * (x - rows.mean(axis=0)), atol=1e-10)


def conditional_by_definition(w, x, mean, covariance):
    """Shapley values of v(S) = w E[x | x_S] from the definition, by solving for every set."""
    d = len(w)

    def v(s):
        s, rest = list(s), [j for j in range(d) if j not in s]
        filled = np.array(x)
        gain = np.linalg.lstsq(covariance[np.ix_(s, s)], x[s] - mean[s], rcond=None)[0] if s else np.zeros(0)
        filled[rest] = mean[rest] + covariance[np.ix_(rest, s)] @ gain
        return w @ filled

    found = np.zeros(d)
    for j in range(d):
        for size in range(d):
            for s in combinations([k for k in range(d) if k != j], size):
                share = factorial(size) * factorial(d - size - 1) / factorial(d)
                found[j] += share * (v((*s, j)) - v(s))
    return found


def test_conditional_values_are_the_closed_form_and_interventional_ones_where_units_are_apart():
    rng = np.random.default_rng(3)
    mix = rng.standard_normal((D, D))
    covariance, w = mix @ mix.T, rng.standard_normal(D)
    x, rows = rng.standard_normal(D), rng.standard_normal((30, D))
    run = run_of(x, lambda r: r @ torch.as_tensor(w))
    own = lambda c: exact_values(unit_game(run, each_unit(D), rows_behind(rows), answer(run), c)).values[:, 0]  # noqa: E731
    known = conditional_by_definition(w, x, rows.mean(axis=0), covariance)
    np.testing.assert_allclose(own(GaussianConditional(covariance)), known, atol=1e-6)
    apart = own(GaussianConditional(np.diag(np.diag(covariance))))
    np.testing.assert_allclose(apart, own(None), atol=1e-10)
    assert np.abs(known - apart).max() > 0.1


def test_a_unit_that_is_not_read_has_a_part_only_by_what_it_tells():
    """f = x0, correlation 0.8: φ1 = 0 as in the background, and half of what x1 tells given what it tells."""
    x, rows = np.array([1.0, 0.5]), np.array([[0.3, -0.2], [-0.3, 0.2]])
    run = run_of(x, lambda r: r[:, 0])
    told = GaussianConditional(np.array([[1.0, 0.8], [0.8, 1.0]]))
    both = [exact_values(unit_game(run, each_unit(2), rows_behind(rows), answer(run), c)).values[:, 0]
            for c in (None, told)]  # fmt: skip
    np.testing.assert_allclose(both[0], [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(both[1], [1 - 0.4 * 0.5, 0.4 * 0.5], atol=1e-8)


def test_moved_background_rows_have_the_conditional_mean_and_spread():
    rng = np.random.default_rng(4)
    covariance = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.5], [0.0, 0.5, 1.0]])
    rows = rng.multivariate_normal(np.zeros(3), covariance, size=20_000)
    present = np.array([False, True, False])
    moved = GaussianConditional(covariance).filled(present, np.array([9.0, 1.5, 9.0]), rows)
    np.testing.assert_array_equal(moved[:, 1], 1.5)
    np.testing.assert_allclose(moved[:, [0, 2]].mean(axis=0), np.array([0.6, 0.5]) / 2 * 1.5, atol=0.03)
    cross = covariance[[0, 2], 1]
    known = covariance[np.ix_([0, 2], [0, 2])] - np.outer(cross, cross) / 2
    np.testing.assert_allclose(np.cov(moved[:, [0, 2]].T), known, atol=0.05)


# ---------------------------------------------------------------------------- many samples
def test_a_stopped_run_goes_on_where_it_was_and_gives_the_same_bits(network, tmp_path):
    tap, samples = network(lambda x: smooth(x) * torch.cos(x[:, 4] + x[:, 8]), n=120, d=9)  # sampled
    params, shelf = UnitPartsParams(way=SHAPLEY, background_samples=3, rounds=2), ResultCache(tmp_path)

    def parts(stop=None):
        def progress(fraction, doing=""):
            if stop is not None and f"sample {stop} of" in doing:
                raise Cancelled

        forget()
        samples.opened = 0
        return unit_parts(tap, params, np.random.default_rng(0), progress)

    whole, opened = parts(), samples.opened
    with keeping(shelf):
        with pytest.raises(Cancelled):
            parts(stop=110)
        again = parts()
        assert opened - samples.opened == 100  # two blocks of 50 were there
        assert (again.errors > 0).any()
        for name in ("values", "errors", "x", "full"):
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
        samples.opened = 0
        other = ArrayActivations(tap.values + 1, name="rows")
        unit_parts(other, params, np.random.default_rng(0), no_progress)
        assert samples.opened == opened  # other numbers: nothing of it was there


def test_exchanged_slopes_and_ranks_of_known_sizes():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((400, 4)) * [1, 10, 1, 1]
    w = np.array([1.0, 0.1, 0.1, 0.0])
    found = unit_summary(x * w, np.abs(x) / [1, 10, 1, 1], 300, rng)
    np.testing.assert_allclose(by_chance(np.array([2.0, 0, 4]), np.array([1.0, 2, 0])), [0, 4, 0])
    assert list(ranks_of(np.array([3.0, 5, 3, 1]))) == [2, 1, 2, 4]
    low, high = found.interval("ranks")
    assert (low[2], high[2], low[3], high[3]) == (3, 3, 4, 4)
    assert (low[:2] == 1).all()
    assert (high[:2] == 2).all()  # as large as each other: either may be first
    low, high = found.interval("size")
    known = np.abs(x[:, 0]).std() / np.sqrt(400)
    assert (high[0] - low[0]) / (2 * 1.96) == pytest.approx(known, rel=0.25)


def test_columns_say_what_correlation_misses(network):
    """A bent relation has size and no correlation; a unit that is not read has neither."""
    tap, _ = network(lambda x: 2 * x[:, 0] + 3 * torch.abs(x[:, 1]), n=80)
    table = global_attribution(tap, GlobalAttributionParams(background_samples=4, draws=100))
    c = table.columns
    assert c["rank"][1] <= 2
    assert abs(c["Pearson"][1]) < 0.3
    assert c["Pearson"][0] > 0.6
    assert c["value and part"][0] == pytest.approx(1)
    assert c["size"][2:].max() < 1e-12
    assert (c["over chance, low"][:2] > 0).all()
    assert "score" in table.title
    slopes = global_attribution(tap, GlobalAttributionParams(way=SLOPES, background_samples=4, draws=100))
    np.testing.assert_allclose(slopes.columns["size"][0], c["size"][0], rtol=1e-9)
    assert "sampling error" not in [e.name for e in slopes.estimates]


def test_weaker_units_play_as_one_and_nothing_is_lost(network):
    tap, _ = network(lambda x: x @ torch.tensor([4.0, 0, 0.1, 3.0, -0.2], dtype=torch.float64))
    params = UnitPartsParams(maximum_units=2, background_samples=6)
    parts = unit_parts(tap, params, np.random.default_rng(0), no_progress)
    assert list(parts.names) == ["unit 0", "unit 3", "the other 3 units"]
    assert np.abs(parts.residual).max() < 1e-12
    assert any("2 strongest of 5" in note for note in parts.explained.notes)
    with pytest.raises(InputError, match="plays together"):
        attribution_dependence(tap, AttributionDependenceParams(maximum_units=2, unit=4))
    with pytest.raises(NotFound, match="unit 9"):
        attribution_dependence(tap, AttributionDependenceParams(unit=9))


def test_choices_that_do_not_go_together_are_refused(network):
    tap, _ = network(smooth)
    for more in ({"way": SLOPES}, {"background": "zero"}):
        with pytest.raises(ParameterError, match="present units"):
            unit_parts(
                tap, UnitPartsParams(absent=CONDITIONAL, **more), np.random.default_rng(0), no_progress
            )
    with pytest.raises(ParameterError, match="no class"):
        unit_parts(tap, UnitPartsParams(number="loss"), np.random.default_rng(0), no_progress)


@pytest.mark.parametrize("way", ["explained residual", INTERACTION])
def test_the_other_factor_of_a_product_is_the_partner(network, way):
    tap, _ = network(lambda x: x[:, 0] * x[:, 2] + x[:, 4], n=100)
    found = attribution_dependence(
        tap, AttributionDependenceParams(unit=0, partner=way, background_samples=6)
    )
    assert found.colour == "unit 2"
    strength = found.estimates[2]
    assert strength.value > 0.5
    if way != INTERACTION:
        assert strength.p_value < 0.01
    alone = attribution_dependence(
        tap, AttributionDependenceParams(unit=4, partner=way, background_samples=6)
    )
    assert alone.estimates[0].value == pytest.approx(1)
    assert alone.estimates[1].value == pytest.approx(1)
    assert alone.estimates[2].value < 1e-9


def test_a_partner_explains_nothing_where_parts_hang_on_the_unit_alone():
    x = np.random.default_rng(0).standard_normal((100, 3))
    assert residual_partners(x, 3 * x[:, 1], 1, np.random.default_rng(0)).strength.max() == 0
    noise = residual_partners(x, np.random.default_rng(1).standard_normal(100), 1, np.random.default_rng(0))
    assert (noise.null >= noise.strength.max()).mean() > 0.02


def test_a_swarm_shows_every_sample_of_the_strongest(network):
    tap, _ = network(smooth, n=80)
    found = attribution_beeswarm(tap, AttributionBeeswarmParams(shown=3, background_samples=6))
    assert len(found.positions) == 240
    assert list(found.levels.values()) == [2, 1, 0]
    for line, name in enumerate(found.levels):
        own = found.columns["unit"] == name
        assert np.abs(found.positions[own, 1] - (2 - line)).max() <= 0.4 + 1e-12
        assert len(np.unique(found.positions[own].round(12), axis=0)) == 80  # no point hides another
    assert "2 units with smaller parts" in " ".join(found.caveats)


@pytest.mark.parametrize("measure", ["Friedman's H²", "Shapley interaction"])
def test_interactions_of_a_sum_are_none_and_of_a_product_in_its_pair(network, measure):
    params = InteractionMatrixParams(measure=measure, samples_asked=40)
    tap, _ = network(lambda x: torch.tanh(x[:, 0]) + x[:, 1] ** 2 - x[:, 2])
    found = interaction_matrix(tap, params)
    assert found.values.max() < 1e-12
    assert not found.significant.any()
    assert found.estimates[0].value < 1e-12
    tap, _ = network(lambda x: torch.tanh(3 * x[:, 1]) * torch.tanh(3 * x[:, 3]) + x[:, 0])
    found = interaction_matrix(tap, params)
    others = np.ones((D, D), bool)
    others[1, 3] = others[3, 1] = False
    assert found.values[1, 3] > 0.3
    assert found.values[others].max() < 1e-12
    assert found.significant.sum() == 2
    assert found.estimates[2].value == pytest.approx(1)
