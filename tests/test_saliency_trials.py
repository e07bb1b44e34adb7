"""What every trial does: sites seen as places, ways left out, passes told, noise, maps that are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis import results
from analysis.attribution.saliency import ways as registry
from analysis.attribution.saliency.way import SaliencyMap, Way
from analysis.attribution.saliency_court import on_trial
from analysis.attribution.saliency_court.site_views import place_run
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import logit_target
from analysis.compute import kept
from analysis.errors import Cancelled, InputError, NotFound
from analysis.methods.attribution import saliency_map
from analysis.methods.attribution.attribution_noise import AttributionNoiseParams, attribution_noise
from analysis.methods.attribution.cascade_randomisation import (
    CascadeRandomisationParams,
    cascade_randomisation,
)
from analysis.methods.attribution.insertion_deletion_areas import (
    InsertionDeletionAreasParams,
    insertion_deletion_areas,
)
from analysis.methods.attribution.way_agreement import METHODS, WayAgreementParams, way_agreement
from tests.court_subjects import Additive, Picture, data, loaded, trial_of


@pytest.fixture
def network(monkeypatch):
    return trial_of(monkeypatch)


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


class Shelf:
    """In memory, as the workspace's result cache."""

    def __init__(self):
        self.arrays = {}

    def get_arrays(self, key):
        return self.arrays.get(key)

    def put_arrays(self, key, arrays):
        self.arrays[key] = {name: array.copy() for name, array in arrays.items()}


@pytest.fixture
def shelf():
    kept.forget()
    made = Shelf()
    with kept.keeping(made):
        yield made
    kept.forget()


def test_trials_find_the_maps_that_another_has_made_to_the_bit(network, shelf, monkeypatch):
    tap, ways = network(Picture(), data(16, 2, 6, 6), "map"), "gradient x input, draws"
    drawn = Way("draws", "", lambda q: SaliencyMap(q.rng.random(36), 1), lambda *_: 1, signed=True)
    monkeypatch.setitem(registry.WAYS, "draws", drawn)
    slopes, made = registry.WAYS["gradient x input"], []

    def counted(question):
        made.append(question)
        return slopes.make(question)

    monkeypatch.setitem(registry.WAYS, "gradient x input", replace(slopes, make=counted))
    alone = {}
    for shelved in (False, True):
        made.clear()
        with kept.keeping(shelf if shelved else None):
            few = way_agreement(tap, WayAgreementParams(ways=ways, samples=8), np.random.default_rng(0))
            one = insertion_deletion_areas(
                tap, InsertionDeletionAreasParams(ways=ways, samples=12, draws=2), np.random.default_rng(0)
            )
        alone[shelved] = few, one
        assert len(made) == (12 if shelved else 20)
    for before, after in zip(*alone.values(), strict=True):
        first, second = (results.to_parts(r)[1] for r in (before, after))
        assert all(np.array_equal(first[k], second[k]) for k in first)
        assert before.caveats == after.caveats  # passes are those that the maps take
    made.clear()
    kept.forget()  # from the shelf, not from memory
    for more in ({"background": "zero"}, {"answer": 1}):  # other maps
        way_agreement(tap, WayAgreementParams(ways=ways, samples=8, **more), np.random.default_rng(0))
    assert len(made) == 16
    way_agreement(tap, WayAgreementParams(ways=ways, samples=8), np.random.default_rng(0))
    assert len(made) == 16
    way_agreement(tap, WayAgreementParams(ways=ways, samples=8), np.random.default_rng(1))
    assert len(made) == 24


def test_a_trial_that_was_stopped_goes_on_at_its_block(network, shelf, monkeypatch):
    tap, made = network(Picture(), data(16, 2, 6, 6), "map"), []
    way = Way("refuses", "", lambda q: made.append(q) or refused(q), lambda *_: 1, signed=True)
    monkeypatch.setitem(registry.WAYS, "refuses", way)

    def refused(question):
        if len(made) % 2:
            raise InputError("nothing here")
        return SaliencyMap(np.arange(36.0), 1)

    def stop(fraction, doing=""):
        if len(made) >= 8 and doing == "explaining samples":
            raise Cancelled

    params = WayAgreementParams(ways="gradient, refuses")
    with pytest.raises(Cancelled):
        way_agreement(tap, params, np.random.default_rng(0), stop)
    assert len(made) == 8
    kept.forget()
    found = way_agreement(tap, params, np.random.default_rng(0))
    assert len(made) == 16
    assert any("refuses gave nothing for 8 maps" in said and "nothing here" in said for said in found.caveats)


def test_the_memory_of_many_coalitions_and_masks_is_told_before():
    shape = ((500, 200),)
    dear, cheap = (
        saliency_map.METHODS[0].cost(
            shape, saliency_map.SaliencyMapParams(way=way, budget=1_000_000, masks=100_000)
        )
        for way in ("Shapley values", "integrated gradients")
    )
    assert dear.bytes > 4e9 > 100 * cheap.bytes
    masks = [
        saliency_map.METHODS[0]
        .cost(shape, saliency_map.SaliencyMapParams(way="RISE", masks=m, site=site))
        .bytes
        for m, site in ((20, "the tap"), (100_000, "the tap"), (100_000, "the network's input"))
    ]
    assert masks[0] + 5e7 < masks[1] <= masks[2] < 1e9
    court = METHODS[0].cost(shape, WayAgreementParams(ways="Shapley values"))
    assert court.bytes > METHODS[0].cost(shape, WayAgreementParams(ways="gradient")).bytes + 4e6


def test_maps_with_other_weights_are_kept_by_draw_and_stage(network, shelf):
    tap = network(Picture(), data(8, 2, 6, 6), "map")
    params = CascadeRandomisationParams(ways="gradient", draws=3, samples=8)
    with kept.keeping(None):
        alone = cascade_randomisation(tap, params, np.random.default_rng(0))
    first, again = (cascade_randomisation(tap, params, np.random.default_rng(0)) for _ in range(2))
    assert len(shelf.arrays) == 3 * 2 + 3 * 2  # draws and stages; ways and blocks of samples
    for found in (first, again):
        for name, line in alone.series.items():
            np.testing.assert_array_equal(found.series[name], line)
