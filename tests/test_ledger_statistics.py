"""What is said of ledgers and rankings holds where nothing is there, and in closed form where it can be had."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from analysis.attribution import targets
from analysis.attribution.backgrounds import MEAN, Background, Others, background, left_out
from analysis.attribution.clamping import Moved, refuse_numbers
from analysis.attribution.concepts.concept_slopes import largest_of_as_many
from analysis.attribution.exchanged_slopes import exchanged_parts, slopes_of
from analysis.attribution.exchanged_values import exchanged_values
from analysis.attribution.one_sample.ledger_parts import by_slopes, null_parts
from analysis.attribution.one_sample.sample_question import AnswerQuestion
from analysis.attribution.players import Features, each_unit
from analysis.attribution.readout import logits_of_samples
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.units import partners
from analysis.attribution.units.partners import held_out_partner, residual_partners
from analysis.compute.games.fusion import simplex
from analysis.compute.games.fusion_report import Fusion, fusion_estimates
from analysis.compute.retrieval.visible_cells import patched_best
from analysis.compute.statistics.discoveries import FALSE, discoveries
from analysis.compute.statistics.draw_ends import against_largest
from analysis.compute.statistics.exchange_moments import paired_sum
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import InputError
from analysis.features.feature_set import FeatureSet
from analysis.features.tap_dictionary import TapDictionary
from analysis.methods.attribution import feature_attribution, neuron_clamp
from analysis.methods.attribution.subspace_size import halved
from analysis.sources.loaded_model import LoadedModel

D = 4


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Of(torch.nn.Module):
    """A network that is a function of its input (b, D)."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def runs(function, rows) -> list[SampleRun]:
    loaded = LoadedModel(
        Of(function), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    return [SampleRun(loaded, row) for row in rows]


ZERO, FIRST = (
    Background(torch.zeros(1, 1, D, dtype=torch.float64), "zero"),
    targets.LogitTarget(targets.LOGIT, 0),
)


# ---------------------------------------------------------------------------- one sample
def test_the_null_of_values_is_of_values():
    """Of x0 x1 + x2 with the changes of x made to x': halves of both orders, which no slope at x' gives."""
    x, *others = runs(lambda x: (x[:, 0] * x[:, 1] + x[:, 2])[:, None], data(6, D))
    found = exchanged_values(
        x, each_unit(D), ZERO, [(o, FIRST) for o in others], None, 16, np.random.default_rng(0)
    )
    own = x.clean.numpy()[0]
    for given, other in zip(found, others, strict=True):
        there = other.clean.numpy()[0]
        known = [own[0] * (there[1] - own[1] / 2), own[1] * (there[0] - own[0] / 2), own[2], 0.0]
        np.testing.assert_allclose(given, known, atol=1e-12)


def test_of_a_linear_network_exchanged_values_are_exchanged_slopes():
    weight = torch.as_tensor(data(D, 3, seed=1))
    x, *others = runs(lambda x: x @ weight, data(5, D))
    asked = [(o, targets.logit_target(o.logits, targets.DIFFERENCE)) for o in others]
    values = exchanged_values(x, each_unit(D), ZERO, asked, None, 16, np.random.default_rng(0))
    slopes = exchanged_parts(x.clean, each_unit(D), ZERO, [slopes_of(o, ZERO.rows, t, 2) for o, t in asked])
    np.testing.assert_allclose(values, slopes, atol=1e-12)


@pytest.mark.parametrize("slopes", [True, False])
def test_a_part_that_no_other_sample_would_be_owed_lies_beyond_the_null(slopes):
    """Unit 0 counts above 2 only, where no other sample is: its null is 0 to 0, and its part is not dropped."""
    rows = np.clip(data(30, D), -1.5, 1.5)
    rows[0] = [5.0, 0.5, 0.0, 0.0]
    x, *others = runs(lambda x: (torch.relu(x[:, 0] - 2) + x[:, 1])[:, None], rows)
    ends = Background(torch.as_tensor([[[-3.0, 0.0, 0.0, 0.0]]], dtype=torch.float64), "")
    asked = SimpleNamespace(of="other samples", exchanged=lambda run, progress: ((o, FIRST) for o in others))
    params = SimpleNamespace(steps=8, budget=64, null_samples=29)
    who = SimpleNamespace(who=each_unit(D), tree=None)
    if not slopes:  # the changes of x end at x' there: it is below 2 before and after
        x = x.holding(torch.as_tensor([[5.0, 0.5, 0.0, 0.0]]))
    null = null_parts(x, who, ends, asked, params, slopes, np.random.default_rng(0), lambda *_: None, (0, 1))
    np.testing.assert_array_equal(null.changed, [True, True, False, False])
    np.testing.assert_array_equal(null.ends[:, 0], [0.0, 0.0])
    assert null.beyond(np.array([3.0, 0.5, 0.0, 0.0])) == 1


def test_parts_beside_a_mean_background_have_the_interval_of_the_mean():
    """Of w x with a mean of n samples: t times w times the standard error of the mean."""
    weight, others = data(D, seed=4), data(12, D, seed=5)
    (x,) = runs(lambda x: (x @ torch.as_tensor(weight))[:, None], data(1, D, seed=6))
    clean = [torch.as_tensor(o)[None] for o in others]
    behind, less = background(MEAN, x.clean, clean), left_out(x.clean, clean, np.random.default_rng(0))
    found = by_slopes(x, each_unit(D), behind, FIRST, 2, less)
    half = stdtrit(11, 0.975) * np.abs(weight) * others.std(axis=0, ddof=1) / np.sqrt(12)
    np.testing.assert_allclose(found.high - found.values, half, rtol=1e-9)
    np.testing.assert_allclose(found.values - found.low, half, rtol=1e-9)
    assert by_slopes(x, each_unit(D), ZERO, FIRST, 2).notes[1].startswith("Parts have no interval")


def test_features_that_change_are_told_from_those_that_do_not():
    directions = data(5, 3, seed=2)
    who = Features(lambda rows: np.maximum(rows @ directions.T, 0), directions, [1, 3])
    x = torch.as_tensor(directions[1:2] - 10 * directions[3:4] * (directions[1] @ directions[3]) / 1e9)
    base = torch.zeros(1, 3, dtype=torch.float64)
    known = np.maximum(x.numpy() @ directions.T, 0)[0] != 0
    np.testing.assert_array_equal(who.changed(x, base), [known[1], known[3], known[[0, 2, 4]].any(), True])
    whole = Features(lambda rows: rows, np.eye(3), [0, 1, 2])
    np.testing.assert_array_equal(
        whole.changed(x * torch.as_tensor([1.0, 0.0, 1.0]), base), [True, False, True, False]
    )


@pytest.mark.parametrize(("number", "words"), [("", "output"), ("price", "price")])
def test_the_default_number_of_a_network_of_one_output_is_the_output(number, words):
    (run,) = runs(lambda x: x.sum(dim=1, keepdim=True), data(1, D))
    samples = SimpleNamespace(number=number, what="it", word=str, run=lambda i: run)
    asked = AnswerQuestion(samples, run, targets.DIFFERENCE, None, np.zeros(2, int))
    assert (asked.target.kind, asked.target.answer, asked.words) == (targets.LOGIT, 0, words)
    assert [t.kind for _, t in asked.exchanged(run, lambda f: None)] == [targets.LOGIT] * 2
    with pytest.raises(InputError, match="log probability"):
        AnswerQuestion(samples, run, targets.LOG_PROBABILITY, None, np.zeros(2, int))


# ---------------------------------------------------------------------------- the largest of many
def test_the_largest_of_many_is_held_against_the_largest_of_as_many():
    """Of 30 parts of noise the largest is below 0.05 in one case of 20, and not nearly always."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        own, draws = rng.standard_normal(30), rng.standard_normal((39, 30))
        best = own[np.abs(own).argmax()]
        found.append(against_largest(best, np.abs(draws).max(axis=1)))
        assert found[-1]["null_low"] <= found[-1]["null"] <= found[-1]["null_high"]
        assert np.sign(found[-1]["null"]) == np.sign(best)
    assert np.mean([f["p_value"] <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.03)


def test_concepts_of_noise_are_no_more_than_the_largest_of_as_many():
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        mean, nulls = rng.standard_normal((12, 3)), [rng.standard_normal((800, 3)) for _ in range(2)]
        largest = largest_of_as_many(mean, nulls, rng, 200)
        found.append(against_largest(mean.flat[np.abs(mean).argmax()], largest)["p_value"] <= 0.05)
    assert np.mean(found) <= 0.1  # of one cell's null some four in five would pass


def test_the_output_that_moves_most_is_held_against_the_most_that_others_move():
    effect = np.tile([0.3, -0.2, 0.05], (8, 1)) + 0.01 * data(8, 3)
    by_others = np.array([[0.1, 0.4, 0.0], [-0.5, 0.1, 0.2]])
    moved = Moved(None, None, None, effect, np.full(8, 0.3), np.full((2, 8), 0.2), by_others, None)
    first, second = neuron_clamp._estimates(moved, [0, 1], ["a", "b"], 4, None)[1:]
    assert first.null == pytest.approx((0.4 + 0.5) / 2)
    assert second.null == pytest.approx(-(0.1 + 0.2) / 2)
    assert first.p_value == 1.0


# ---------------------------------------------------------------------------- counts
def test_of_features_of_noise_none_counts_as_more_than_chance_and_a_planted_one_does():
    rng, counts, passed = np.random.default_rng(0), [], []
    made, names = SimpleNamespace(given_names=()), np.array([str(j) for j in range(121)])
    for k in range(40):
        values, chance = rng.standard_normal((2, 60, 121))
        values[:, 7] += 3.0 * (k == 0)
        columns = feature_attribution._columns(names, values, chance, np.ones((60, 120), bool), made)
        counts.append(int((columns["over chance, low"] > 0).sum()))
        passed.append(int((columns["q"] <= FALSE).sum()))
        assert np.isnan(columns["q"][-1])  # what is left over is no feature
    assert columns["q"].shape == (121,)
    assert passed[0] == 1
    assert np.mean(counts[1:]) > 1.5  # one in 40 each: without the correction some would always count
    assert np.mean(np.array(passed[1:]) > 0) <= 0.15
    told = discoveries(columns["q"][:-1], "features", "", 3)
    assert told.name == "features beyond chance"
    assert (told.value, told.n) == (passed[-1] / 120, 120)


def test_no_background_holds_the_sample_that_it_is_of():
    rows = torch.arange(9.0)[:, None, None]
    samples = SimpleNamespace(samples=np.arange(9), run=lambda i: SimpleNamespace(clean=rows[i]))
    for many in (1, 5, 8, 30):
        others = Others(samples, MEAN, many, np.random.default_rng(0))
        for i in range(9):
            found = [int(x[0, 0]) for x in others.without(i)]
            assert i not in found
            assert len(found) == len(set(found)) == min(many, 8)


# ---------------------------------------------------------------------------- chosen and read
def test_a_partner_of_noise_is_not_read_where_it_was_chosen(monkeypatch):
    monkeypatch.setattr(partners, "_jackknife", lambda *_: None)  # intervals are not asked about here
    rng, p, seen, read = np.random.default_rng(0), [], [], []
    for _ in range(20):
        x, part = rng.standard_normal((48, 12)), rng.standard_normal(48)
        found = held_out_partner(x, part, 0, rng)
        p.append(add_one_p(found.strength, found.null))
        read.append(found.strength)
        seen.append(residual_partners(x, part, 0, rng, 0).strength.max())
        assert found.read == 24
    assert np.mean(np.array(p) <= 0.05) <= 0.2
    assert np.mean(seen) > 1.5 * np.mean(read)


def test_a_shuffled_partner_explains_as_much_as_one_of_noise():
    """Of 96 samples in 12 blocks: fresh units of noise explain more than nothing as often as shuffled ones do."""
    rng = np.random.default_rng(0)
    x, part = rng.standard_normal((96, 400)), rng.standard_normal(96)
    fresh = np.mean(residual_partners(x, part, 0, rng, 0).strength[1:] > 0)
    null = [residual_partners(x[:, [0, k]], part, 0, rng).null for k in range(1, 6)]
    assert np.mean(np.array(null) > 0) == pytest.approx(fresh, abs=0.07)


def test_the_other_factor_of_a_product_is_chosen_and_read_with_its_interval():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    planted = held_out_partner(x, x[:, 1] * x[:, 3], 1, rng)
    assert planted.partner == 3
    assert planted.strength > 0.8
    assert add_one_p(planted.strength, planted.null) < 0.01
    assert 0 < planted.half < 0.2
    assert 0 < planted.alone_half < 0.5


def test_the_best_single_modality_is_measured_on_other_samples():
    """One modality is right on one half, the other on the other: whichever is chosen, it is wrong."""
    of, half = np.arange(40) % 2, np.repeat([0, 1], 20)
    right, wrong = np.eye(2)[of], np.eye(2)[1 - of]
    scores = np.stack([np.where(half[:, None] == h, right, wrong) for h in (0, 1)])
    weights = simplex(2, 21)
    found = np.array([[1.0] * 40] * len(weights))
    told = {e.name: e for e in fusion_estimates(Fusion(scores, found, weights, of, half, "accuracy"), ("a", "b"), 4, 50,
                                                np.random.default_rng(0), lambda *_: None, (0, 1))}  # fmt: skip
    assert told["best single modality, chosen on the other half"].value == 0.0
    apart = told["samples on which modalities disagree"]
    assert (apart.value, apart.null) == (1.0, pytest.approx(0.5))
    assert all(e.low is not None and e.null is not None for e in told.values())


def test_patched_queries_are_searched_among_as_many_and_not_with_what_they_are_made_of():
    cells, n = 3, 6
    values = np.zeros((n + 1, cells, n))
    for g in range(n):
        values[g + 1, :, g] = 1.0  # samples that have nothing in common
    visible = np.ones(cells, bool)
    assert patched_best(values, 0, visible, 30, np.random.default_rng(0)).max() == 0.0
    values[n] = 1.0  # like all others, whatever a query is made of
    found = patched_best(values, 0, visible, 60, np.random.default_rng(0))
    assert found.min() > 0.3


def test_moments_of_exchanged_pairs_are_those_of_every_exchange():
    for shape in ((5, 3), (4, 7)):
        a, b = data(2, *shape)
        every = [sum(a[i] @ b[j] for i, j in enumerate(order)) for order in permutations(range(len(a)))]
        mean, variance = paired_sum(a, b)
        assert mean == pytest.approx(np.mean(every), abs=1e-12)
        assert variance == pytest.approx(np.var(every), rel=1e-10)


def test_judged_samples_are_half_of_all_whatever_the_batches():
    for sizes in ([1] * 20, [7, 1, 5, 3], [16]):
        half = halved(sizes, np.random.default_rng(0))
        assert [len(h) for h in half] == sizes
        assert abs(int((np.concatenate(half) == 0).sum()) - sum(sizes) / 2) <= 0.5


# ---------------------------------------------------------------------------- words
def test_numbers_that_are_no_classes_have_no_probabilities_and_no_two_answers():
    (run,) = runs(lambda x: x, data(1, D))
    samples = SimpleNamespace(
        samples=np.arange(1), number="age (years)", what="the network", run=lambda i: run
    )
    for refused in (
        lambda: refuse_numbers(samples),
        lambda: logits_of_samples(samples, lambda *_: None, (0, 1)),
    ):
        with pytest.raises(InputError, match="age"):
            refused()
    (one,) = runs(lambda x: x[:, :1], data(1, D))
    with pytest.raises(InputError, match="one output"):
        refuse_numbers(SimpleNamespace(number="", what="the network", run=lambda i: one))


def test_features_are_called_by_their_number_and_the_name_that_their_set_has():
    one, zero = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    named = FeatureSet("set", "linear", one, one, zero, zero, zero, about={"concepts": ["stripes", "dots"]})
    tap, own = SimpleNamespace(unit_names=("0", "1")), SimpleNamespace(unit_names=("stripes", "7"))
    assert TapDictionary(tap, None, named, False).called == ("feature 0 stripes", "feature 1 dots")
    plain = FeatureSet("set", "linear", one, one, zero, zero, zero)
    assert TapDictionary(own, None, plain, False).called == ("feature 0 stripes", "feature 1")
    assert TapDictionary(own, None, plain, True).called == ("stripes", "unit 1")
