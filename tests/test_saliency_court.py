"""Maps on trial, on small networks of known answer: orders of an additive answer, likeness of maps, weights that are
reset and come back, planted shortcuts, and ways that are left out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.attribution.saliency import module_rules
from analysis.attribution.saliency import ways as registry
from analysis.attribution.saliency.map_likeness import C1, C2, chance_half, rank_correlations, structure
from analysis.attribution.saliency.way import SaliencyMap, Way
from analysis.attribution.saliency_court import on_trial
from analysis.attribution.saliency_court.bands import ratio_of_means
from analysis.attribution.saliency_court.filling import (
    DELETION,
    INSERTION,
    areas,
    counts_of,
    filled,
    order_of,
)
from analysis.attribution.saliency_court.permuted_labels import permuted_probe
from analysis.attribution.saliency_court.planting import PlantedTap, painted
from analysis.attribution.saliency_court.regions import of_words, placed, rectangle
from analysis.attribution.saliency_court.reset_layers import (
    DRAWN,
    SHUFFLED,
    layers_behind,
    reset_weights,
    short_name,
    stages_of,
)
from analysis.attribution.saliency_court.site_views import place_run
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import logit_target
from analysis.errors import Cancelled, InputError, NotFound, ParameterError
from analysis.methods.attribution.attribution_noise import AttributionNoiseParams, attribution_noise
from analysis.methods.attribution.cascade_randomisation import (
    CascadeRandomisationParams,
    cascade_randomisation,
)
from analysis.methods.attribution.class_sensitivity import ClassSensitivityParams, class_sensitivity
from analysis.methods.attribution.insertion_deletion import InsertionDeletionParams, insertion_deletion
from analysis.methods.attribution.shortcut_patch import ShortcutPatchParams, shortcut_patch
from analysis.methods.attribution.way_agreement import WayAgreementParams, way_agreement
from analysis.sources.loaded_model import LoadedModel

SLOPES = "gradient, gradient x input, NormGrad, integrated gradients"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the ways whose library takes seconds to import; the contract test runs them all."""
    for way in module_rules.WAYS:
        monkeypatch.delitem(registry.WAYS, way.name)


def loaded(module) -> LoadedModel:
    return LoadedModel(
        module.double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Samples:
    """Of a network of code of its own, as the trial takes them."""

    is_network, notes, classes, what = True, (), (), "the network (Tiny)"

    def __init__(self, model, items, site=INPUT):
        self.model, self.items, self.site, self.samples = model, items, site, np.arange(len(items))

    def run(self, i, site=""):
        return SampleRun(self.model, self.items[i], site or self.site)

    def word(self, answer):
        return str(answer)


@pytest.fixture
def network(monkeypatch):
    """Puts a network on trial; gives a tap that stands for what was recorded of it."""

    def put(module, items, site=INPUT):
        samples = Samples(loaded(module), items, site)
        monkeypatch.setattr(on_trial, "_samples", lambda *_: (samples, ()))
        return ArrayActivations(np.zeros((len(items), 1)), name="m")

    return put


class Additive(torch.nn.Module):
    """The answer is a sum over tokens, of other parts for each of two outputs."""

    def forward(self, x):
        return torch.stack([x[:, :, 0].sum(dim=1), x[:, :, 1].sum(dim=1)], dim=1)


class Square(torch.nn.Module):
    """A red square in the upper left corner decides; the rest of the picture hardly counts."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.mix.weight[:, :, 0, 0] = torch.tensor([[1.0, -0.5, -0.5], [0.01, 0.01, 0.01]])
            self.mix.bias.zero_()

    def forward(self, x):
        h = self.mix(x)
        z = torch.tanh(h[:, 0, :2, :2].mean(dim=(1, 2))) + 0.01 * h[:, 1].mean(dim=(1, 2))
        return torch.stack([z, -z], dim=1)


class Picture(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.map = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.hidden = torch.nn.Linear(3 * 36, 12)
        self.head = torch.nn.Linear(12, 3)

    def forward(self, x):
        return self.head(torch.nn.functional.gelu(self.hidden(self.map(x).flatten(1))))


# ---------------------------------------------------------------------------- orders
def test_the_order_of_the_parts_is_the_best_of_all_and_random_orders_are_the_straight_line():
    """Every order of five tokens, against closed forms."""
    x = data(5, 2)
    run = SampleRun(loaded(Additive()), x)
    target, base = logit_target(run.logits, answer=0), torch.as_tensor(data(1, 2, seed=1))
    orders, counts = np.array(list(permutations(range(5)))), counts_of(5, 5)
    put, rows = filled(run, base, target, orders, counts, INSERTION)
    out, _ = filled(run, base, target, orders, counts, DELETION)
    assert rows == len(orders) * 4 + 2
    parts, empty = x[:, 0] - base[0, 0].item(), 5 * base[0, 0].item()
    np.testing.assert_allclose(
        put, empty + np.pad(np.cumsum(parts[orders], axis=1), ((0, 0), (1, 0))), atol=1e-12
    )
    np.testing.assert_allclose(put + out, 2 * empty + parts.sum(), atol=1e-12)
    own = [tuple(o) for o in orders].index(tuple(order_of(parts, np.random.default_rng(0))))
    assert areas(put, counts).argmax() == own == areas(out, counts).argmin()
    np.testing.assert_allclose(put.mean(axis=0), empty + counts / 5 * parts.sum(), atol=1e-12)
    np.testing.assert_allclose(put.var(axis=0), counts * (5 - counts) / 4 * parts.var(), atol=1e-12)


def test_equal_values_come_in_any_order():
    first = [order_of(np.array([1.0, 1.0, 2.0]), np.random.default_rng(s))[:2].tolist() for s in range(20)]
    assert {tuple(f) for f in first} == {(2, 0), (2, 1)}
    np.testing.assert_array_equal(counts_of(10, 4), [0, 3, 5, 8, 10])


def test_curves_of_an_additive_network_end_where_samples_are_and_hold_every_other_order_below(network):
    tap = network(Additive(), data(12, 9, 2))
    params = InsertionDeletionParams(
        ways=SLOPES, number="logit", direction="both", draws=40, steps=1, samples=12
    )
    found = insertion_deletion(tap, params, np.random.default_rng(0))
    best, worst = (found.series[f"integrated gradients, {d}"] for d in (INSERTION, DELETION))
    assert (best[0], best[-1], worst[0], worst[-1]) == pytest.approx((0, 1, 1, 0), abs=1e-9)
    for name, line in found.series.items():
        assert (line <= best + 1e-9).all() if name.endswith(INSERTION) else (line >= worst - 1e-9).all()
    ends = [band[f"random, {INSERTION}"][-1] for band in (found.low, found.high)]
    assert ends == pytest.approx([1, 1], abs=1e-9)  # shares are of the same samples as their divisor
    middle = found.series[f"random, {INSERTION}"]
    assert middle == pytest.approx(found.x, abs=0.35)
    area = {e.name: e for e in found.estimates}["insertion area, integrated gradients"]
    assert area.low > area.null_high
    assert area.null == pytest.approx(0.5, abs=area.null_high - area.null_low)


# ---------------------------------------------------------------------------- likeness
def test_rank_correlation_is_spearmans_and_chance_is_as_told():
    a, b = np.round(data(4, 30), 1), np.round(data(4, 30, seed=1) + data(4, 30), 1)
    known = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlations(a, b), known, atol=1e-12)
    assert rank_correlations(np.ones((1, 5)), data(1, 5))[0] == 0
    every = np.array(list(permutations(range(5))), np.float64)
    values = rank_correlations(every, np.tile(np.arange(5.0), (120, 1)))
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.var() == pytest.approx(1 / 4, abs=1e-12)
    assert chance_half(np.full(9, 5)) == pytest.approx(1.959964 * np.sqrt(values.var() / 9), rel=1e-9)


def test_structure_is_that_of_every_window_one_by_one():
    a, b = data(2, 80)
    stretched = [((m - m.min()) / np.ptp(m)).reshape(8, 10) for m in (a, b)]
    known = []
    for r in range(2):
        for c in range(4):
            x, y = (s[r : r + 7, c : c + 7].ravel() for s in stretched)
            cov = np.cov(x, y)
            known.append((2 * x.mean() * y.mean() + C1) * (2 * cov[0, 1] + C2)
                         / ((x.mean() ** 2 + y.mean() ** 2 + C1) * (cov[0, 0] + cov[1, 1] + C2)))  # fmt: skip
    assert structure(a, b, (8, 10)) == pytest.approx(np.mean(known), abs=1e-12)
    assert structure(a, 3 * a + 1, (8, 10)) == pytest.approx(1, abs=1e-12)
    assert abs(structure(a, b, None)) < 0.5 < structure(a, a + 0.1 * b, None)


def test_bands_of_ratios_hold_the_truth_as_often_as_they_say():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        below = rng.uniform(0.5, 1.5, 25)
        above = 0.3 * below + 0.2 * rng.standard_normal(25)
        value, low, high = ratio_of_means(above[:, None], below, rng, draws=200)
        assert value[0] == pytest.approx(above.sum() / below.sum())
        inside += low[0] <= 0.3 <= high[0]
    assert 0.88 <= inside / 200 <= 0.985
    assert np.ptp(ratio_of_means(2 * below[:, None], below, rng)) == pytest.approx(0, abs=1e-12)


def test_ways_agree_where_they_are_the_same_and_random_maps_with_none(network):
    tap = network(Additive(), data(30, 9, 2))
    params = WayAgreementParams(ways=SLOPES, number="logit", background="zero", samples=30, steps=1)
    found = way_agreement(tap, params, np.random.default_rng(1))
    at = found.row_names.index
    assert found.values[at("gradient x input"), at("integrated gradients")] == pytest.approx(1, abs=1e-9)
    assert found.significant[at("gradient x input"), at("integrated gradients")]
    assert found.null[at("gradient x input"), at("gradient x input")] == pytest.approx(0, abs=0.2)
    assert abs(found.values[at("random"), at("integrated gradients")]) < 2 * found.null_band[1]
    assert (
        found.values[at("gradient"), at("gradient")] == 0
    )  # a slope of 1 everywhere says nothing of any place
    assert any("gradient has the same value everywhere for 30 of 30" in said for said in found.caveats)


# ---------------------------------------------------------------------------- answers
def test_a_network_that_looks_elsewhere_for_each_answer_is_told_apart(network):
    class Halves(torch.nn.Module):
        def forward(self, x):
            z = torch.stack(
                [x[:, 0, :, :3].pow(2).sum(dim=(1, 2)), x[:, 0, :, 3:].pow(2).sum(dim=(1, 2))], dim=1
            )
            return torch.cat([z, z.mean(dim=1, keepdim=True)], dim=1)

    tap = network(Halves(), data(10, 1, 6, 6))
    table = class_sensitivity(tap, ClassSensitivityParams(ways=SLOPES), np.random.default_rng(0))
    size = dict(zip(table.columns["way"], table.columns["correlation"], strict=True))
    assert size["gradient"] < -0.5
    assert size["edges"] == pytest.approx(1)
    assert set(table.columns["verdict"]) == {"tells", "control"}


# ---------------------------------------------------------------------------- weights
def state(module) -> dict:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.attend = (
            torch.nn.Linear(4, 4),
            torch.nn.MultiheadAttention(4, 1, batch_first=True),
        )
        self.norm, self.head = torch.nn.LayerNorm(4), torch.nn.Linear(4, 4)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        h = self.embedding(x)
        return self.head(self.norm(h + self.attend(h, h, h)[0])).mean(dim=1)


@pytest.mark.parametrize("kind", [DRAWN, SHUFFLED])
def test_weights_are_other_ones_and_come_back_bit_for_bit_also_after_an_exception(kind):
    torch.manual_seed(0)
    module = Tied()
    own, tensors = state(module), {name: id(p) for name, p in module.named_parameters()}
    with reset_weights(module, kind, np.random.default_rng(0)) as reset:
        reset(["head"])
        assert not torch.equal(module.head.weight, own["embedding.weight"])
        assert torch.equal(module.embedding.weight, own["embedding.weight"])  # shared no longer
        new = module.head.weight.detach()
        if kind == SHUFFLED:
            assert torch.equal(new.flatten().sort().values, own["embedding.weight"].flatten().sort().values)

    def broken():
        with reset_weights(module, kind, np.random.default_rng(0)) as reset:
            reset(["head", "attend"])
            reset(["head", "norm"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert module.head.weight is module.embedding.weight
    assert {name: id(p) for name, p in module.named_parameters()} == tensors
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())


def test_layers_behind_a_site_come_from_the_output_downwards():
    model = loaded(Tied())
    x = data(5, 4)
    run = SampleRun(model, x)
    target = logit_target(run.logits)
    layers, lost = layers_behind(run, target)
    assert lost == []
    assert layers[:2] == ["head", "norm"]
    assert set(layers[2:4]) == {"attend", "attend.out_proj"}  # whose weights its parent reads
    assert layers[4:] == ["embedding"]
    assert layers_behind(SampleRun(model, x, "attend"), target)[0] == ["head", "norm"]
    assert stages_of(layers, 2) == [layers[:3], layers[3:]]
    assert not any(m._forward_hooks for m in model.module.modules())
    names = ["encoder.stages.2.layers.0.normalization", "head", "3.1", ""]
    assert [short_name(name) for name in names] == ["2.0 normaliz", "head", "3.1", "the whole"]


def test_edges_fail_the_cascade_slopes_pass_and_the_network_is_as_before(network):
    module = Picture()
    tap, own = network(module, data(8, 2, 6, 6), "map"), state(module)
    params = CascadeRandomisationParams(ways="gradient", draws=4, samples=8)
    found = cascade_randomisation(tap, params, np.random.default_rng(0))
    assert found.x_labels == ("as trained", "head", "hidden")
    np.testing.assert_allclose(found.series["edges"], 1, atol=1e-9)
    assert abs(found.series["random"][-1]) < 2 * chance_half(np.full(16, 36))
    assert found.series["gradient"][-1] < 0.35 < found.series["gradient"][0]
    assert "FAIL: edges;" in found.reading
    assert "lose the map: gradient, random" in found.reading
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())

    def stop(fraction, doing=""):
        if "other weights" in doing and not torch.equal(module.head.weight, own["head.weight"]):
            raise Cancelled

    with pytest.raises(Cancelled) as kept:  # whoever holds the exception holds what was under way
        cascade_randomisation(tap, params, np.random.default_rng(0), stop)
    assert kept.tb is not None
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())


def test_the_last_site_has_no_layer_behind_it(network):
    tap = network(Picture(), data(8, 2, 6, 6), "head")
    with pytest.raises(InputError, match="no layer with weights"):
        cascade_randomisation(tap, CascadeRandomisationParams(ways="gradient"))


def test_a_probe_of_permuted_labels_is_of_the_same_samples():
    label = np.array(["a", "b", "c"])[np.r_[np.arange(40) % 2, [2, 2]]]  # c is too rare, and stays out
    tap = ArrayActivations(data(42, 3), name="m", samples={"label": label})
    first, second = (permuted_probe(tap, None, 7, np.random.default_rng(s)) for s in (0, 1))
    np.testing.assert_array_equal(first.samples, np.arange(40))
    np.testing.assert_array_equal(second.samples, first.samples)
    answers = [[s.run(i).logits.argmax().item() for i in range(40)] for s in (first, second)]
    assert answers[0] != answers[1]
    assert list(tap.samples["label"]) == list(label)


# ---------------------------------------------------------------------------- shortcuts
def test_a_red_square_that_decides_is_found_by_slopes_and_more_than_by_edges(network):
    rng = np.random.default_rng(0)
    items = 0.3 * rng.standard_normal((14, 3, 6, 6))
    items[:, 0, :2, :2] += 0.7
    params = ShortcutPatchParams(
        shortcut="the data have it", height=2, width=2, ways=SLOPES, background="zero"
    )
    table = shortcut_patch(network(Square(), items), params, np.random.default_rng(0))
    row = {name: i for i, name in enumerate(table.columns["way"])}
    own = [row[name.strip()] for name in SLOPES.split(",")]
    assert table.columns["area"] == pytest.approx(4 / 36)
    assert (table.columns["share inside"][own] > 0.7).all()
    for against in ("over area, q", "over edges, q"):
        assert (table.columns[against][own] < 0.05).all()
    assert (table.columns["place"][own] == 1).all()
    assert (table.columns["largest inside"][own] == 1).all()
    assert table.columns["share inside"][row["random"]] == pytest.approx(4 / 36, abs=0.06)
    assert table.estimates[0].value == pytest.approx(1, abs=0.1)
    elsewhere = shortcut_patch(
        network(Square(), items), ShortcutPatchParams(shortcut="the data have it", top=4, left=4, height=2, width=2,
                                                      ways=SLOPES, background="zero"), np.random.default_rng(0),
    )  # fmt: skip
    assert (elsewhere.columns["share inside"][own] < 0.1).all()
    assert any("no fault of its own" in said for said in elsewhere.caveats)


def test_a_square_is_painted_into_the_input_where_the_region_of_a_coarser_site_lies(network):
    model, x = loaded(Picture()), data(2, 6, 6)
    inside = np.zeros((3, 3), bool)
    inside[0, 1] = True
    run = painted(SampleRun(model, x, "map"), (3, 3), inside.ravel(), 2.0)
    changed = (run.inputs[0].numpy() != x).all(axis=0)
    assert set(zip(*np.nonzero(changed), strict=True)) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert run.inputs[0, 0, 0, 2].item() == pytest.approx(x.mean() + 2 * torch.as_tensor(x).std().item())
    assert run.site == "map"
    table = shortcut_patch(network(Square(), data(9, 3, 6, 6)), ShortcutPatchParams(ways="gradient x input"))
    assert any("not taught" in said for said in table.caveats)


def test_a_patch_stands_in_the_rows_or_units_of_the_chosen_samples_only():
    x = data(12, 4)
    found = PlantedTap(ArrayActivations(x), np.array([2, 5]), np.array([1]), 3.0).take(np.arange(12))
    assert np.argwhere(found != x).tolist() == [[2, 1], [5, 1]]
    assert found[2, 1] == pytest.approx(x[:, 1].mean() + 3 * x[:, 1].std())
    three = ArrayActivations(x, layout=Layout(np.arange(5) * 3))
    found = PlantedTap(three, np.array([1]), np.array([0, 2]), 3.0).take(np.arange(12))
    assert np.unique(np.argwhere(found != x)[:, 0]).tolist() == [3, 5]


def test_regions_are_held_against_every_equal_one():
    region = rectangle((4, 5), 1, 21, 2, 3, 2, 2)
    assert np.flatnonzero(region.inside).tolist() == [1 + 7, 1 + 8, 1 + 12, 1 + 13]
    assert region.equal.shape == (3 * 4 - 1, 21)
    assert (region.equal.sum(axis=1) == 4).all()
    assert len(np.unique(np.vstack([region.equal, region.inside]), axis=0)) == 12
    assert region.share(np.ones(21)) == pytest.approx(region.area) == 4 / 21
    assert region.place(np.ones(21)) == 0.5
    assert region.place(region.inside - 2.0 * ~region.inside) == 0
    assert rectangle(None, 0, 8, 1, 3, None, None).inside.nonzero()[0].tolist() == [2, 3]
    assert placed(2.0, np.array([1.0, 2.0, 3.0, 0.0])) == pytest.approx(2.5 / 4)
    words = of_words([" The", "cat", " sat", "the"], ["the", "dog"], np.random.default_rng(0))
    assert words.inside.tolist() == [True, False, False, True]
    assert (words.equal.sum(axis=1) == 2).all()
    pieces = of_words(["re", "turn", " (", "re", ")", " re"], ["return"], np.random.default_rng(0))
    assert pieces.inside.tolist() == [True, True, False, False, False, False]
    for asked in ((0, 1), (4, 1), (2, 5)):
        with pytest.raises(ParameterError):
            rectangle((4, 5), 1, 21, *asked, 2, 2)
    with pytest.raises(NotFound):
        of_words(["a"], ["b"], np.random.default_rng(0))


# ---------------------------------------------------------------------------- noise, views
def test_one_token_is_read_as_units_and_other_content_stands_at_the_site():
    torch.manual_seed(0)
    model = loaded(torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU(), torch.nn.Linear(5, 3)))
    for site in (INPUT, "0"):
        token = SampleRun(model, data(6), site)
        run, target = place_run(token), logit_target(token.logits, answer=1)
        assert run.shape == token.shape[::-1]
        other = torch.as_tensor(data(*run.shape, seed=2))
        known = token.values(other.T[None], target)
        np.testing.assert_allclose(run.values(other[None], target), known, atol=1e-12)
        moved = run.holding(other)
        np.testing.assert_array_equal(moved.clean, other)
        np.testing.assert_allclose(moved.values(moved.clean[None], target), known, atol=1e-12)
        np.testing.assert_array_equal(run.clean, token.clean.T)  # as before
        if site == INPUT:
            np.testing.assert_array_equal(moved.inputs[0], other[:, 0])
            np.testing.assert_allclose(moved.elsewhere("0").clean[0], model.module[0](other[:, 0]).detach())
    picture = SampleRun(loaded(Picture()), data(2, 6, 6))
    assert place_run(picture).grid == (6, 6)
    other = torch.as_tensor(data(36, 2, seed=4))
    np.testing.assert_array_equal(picture.holding(other).inputs[0].flatten(1).T, other)


def test_maps_move_as_far_as_the_noise_where_they_are_the_sample_itself(network):
    tap = network(Additive(), data(16, 200, 2))
    params = AttributionNoiseParams(
        ways="gradient, gradient x input", number="logit", background="zero", draws=1
    )
    found = attribution_noise(tap, params, np.random.default_rng(0))
    # ‖e‖ / ‖x‖ of the explained unit, less what lies along x: as large as the noise
    np.testing.assert_allclose(found.series["gradient x input"][:1], found.x[:1], rtol=0.1)
    np.testing.assert_array_equal(found.series["gradient"], 0)
    assert any("gradient gave the same map" in said for said in found.caveats)
    assert found.series["random"][0] == pytest.approx(found.null["random"][0], abs=0.1)
    with pytest.raises(InputError):
        attribution_noise(tap, AttributionNoiseParams(smallest=0.5, largest=0.1))


# ---------------------------------------------------------------------------- ways
def test_ways_beyond_the_budget_or_without_a_map_are_left_out_and_said(network, monkeypatch):
    def refused(question):
        raise InputError("a module without a rule")

    def short(question):
        return SaliencyMap(np.ones(2), 1)

    more = {
        "silent": Way("silent", "", refused, lambda *_: 1, signed=True),
        "short": Way("short", "", short, lambda *_: 1, signed=True),
        "of inputs": Way("of inputs", "", refused, lambda *_: 1, signed=True, input_only=True),
    }
    for name, way in more.items():
        monkeypatch.setitem(registry.WAYS, name, way)
    tap = network(Picture(), data(8, 2, 6, 6), "map")
    found = way_agreement(tap, WayAgreementParams(budget=10, steps=40), np.random.default_rng(0))
    assert set(found.row_names).isdisjoint({*more, "integrated gradients"})
    said = " ".join(found.caveats)
    for part in ("integrated gradients (42)", "silent gave no map and is left out: a module without a rule",
                 "of shape (2,) by short", "Only of the input of the network, and left out: of inputs"):  # fmt: skip
        assert part in said
    asked = way_agreement(
        tap, WayAgreementParams(ways="integrated gradients", budget=2), np.random.default_rng(0)
    )
    assert asked.row_names == ("integrated gradients", "random", "edges")
    commas = on_trial.asked_ways("NormGrad, 3 x 3, gradient,NormGrad")
    assert [way.name for way in commas if not way.control] == ["gradient", "NormGrad", "NormGrad, 3 x 3"]
    with pytest.raises(InputError, match="without a rule"):
        way_agreement(tap, WayAgreementParams(ways="silent"))
    with pytest.raises(NotFound, match="a way 'nonsense'"):
        way_agreement(tap, WayAgreementParams(ways="nonsense"))


def test_passes_that_were_told_are_those_that_were_made(network):
    """One for each sample to open it, and what its ways tell: a pass backward counts as one."""
    module, made = Additive(), []
    tap = network(module, data(8, 5, 2))
    module.register_forward_hook(lambda _m, given, _o: made.append(len(given[0])))
    found = way_agreement(
        tap, WayAgreementParams(ways="gradient x input", number="logit", background="zero", samples=8)
    )
    told = int(found.caveats[-1].split()[0])
    assert told == 8 + 8 * 2 == sum(made) + 8


def test_every_way_that_gives_a_map_of_the_network_finds_the_square_that_decides(network):
    items = 0.3 * data(8, 3, 6, 6)
    items[:, 0, :2, :2] += 0.7
    params = ShortcutPatchParams(shortcut="the data have it", height=2, width=2, background="zero", samples=8)
    table = shortcut_patch(network(Square(), items), params, np.random.default_rng(0))
    own = ~table.columns["control"]
    assert own.sum() >= 8
    for name, share in zip(table.columns["way"][own], table.columns["share inside"][own], strict=True):
        assert share > 3 * 4 / 36, name
