"""Bad input of attribution: refused in words that name what was found, or said beside the result; nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.attribution import backgrounds, players, targets
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.compute.games.exact import exact_values
from analysis.errors import Cancelled, InputError, LoupeError, NotFound, ShapeError, TooLarge
from analysis.features.readers import PROBE
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.methods.attribution.similar_patches import SimilarPatchesParams, similar_patches
from analysis.methods.attribution.why_similar import WhySimilarParams, why_similar
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import make_params, params_of

N, D = 40, 6
ONE_SAMPLE = ("sample", "first", "second", "other")
METHODS = {m.id: m for m in registry.family("attribution").values()}


def tap(x=None) -> ArrayActivations:
    label = np.arange(N) % 2
    x = np.random.default_rng(0).standard_normal((N, D)) + 2 * label[:, None] if x is None else x
    return ArrayActivations(x, name="planted", samples={"label": label})


def loaded(module) -> LoadedModel:
    return LoadedModel(module.double(), "array", lambda items: torch.as_tensor(np.stack(items)))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 5), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(5, 3))


# ---------------------------------------------------------------------------- what is not there
ASKING = [(id, p.name) for id, m in METHODS.items() for p in params_of(m.params)
          if p.name in ONE_SAMPLE and p.high and p.high > N]  # fmt: skip


@pytest.mark.parametrize(("method", "name"), ASKING)
def test_a_sample_beyond_the_store_is_named(method, name):
    asked, more = METHODS[method], {"number": "similarity to another sample"} if name == "other" else {}
    params = make_params(asked.params, {name: N, **more})
    with pytest.raises(NotFound, match=f"sample {N}|{N:,}"):
        asked.function(*[tap()] * asked.inputs, params=params, rng=np.random.default_rng(0))


ANSWERING = [
    id for id, m in METHODS.items() if any(p.name == "answer" and p.high for p in params_of(m.params))
]


@pytest.mark.parametrize("method", ANSWERING)
def test_a_class_that_does_not_exist_is_named_with_those_there_are(method):
    asked = METHODS[method]
    params = make_params(asked.params, {"answer": 7})
    with pytest.raises(NotFound, match=r"class 7\. Expected 0 … 1"):
        asked.function(*[tap()] * asked.inputs, params=params, rng=np.random.default_rng(0))


# ---------------------------------------------------------------------------- two samples that are one
def test_a_sample_and_its_copy_are_alike_and_owe_nothing_to_their_difference():
    x = np.random.default_rng(0).standard_normal((N, D)) + 2 * (np.arange(N) % 2)[:, None]
    x[1] = x[0]
    two = tap(x)
    alike = why_similar(two, WhySimilarParams(first=0, second=1))
    assert alike.end == pytest.approx(1, abs=1e-12)
    assert alike.values.sum() == pytest.approx(1, abs=1e-9)
    cells = similar_patches(two, SimilarPatchesParams(first=0, second=1))
    assert cells.values.sum() == pytest.approx(1, abs=1e-9)
    ledger = sample_attribution(
        two, SampleAttributionParams(sample=0, other=1, number="similarity to another sample", reader=PROBE)
    )
    assert ledger.end == pytest.approx(1, abs=1e-6)
    assert np.isfinite(ledger.values).all()


# ---------------------------------------------------------------------------- networks
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_said(bad):
    net = network()
    with torch.no_grad():
        net[3].weight[1] = bad
        net[3].bias[:] = bad
    run = SampleRun(loaded(net), np.ones(D))
    with pytest.raises(InputError, match="logits are NaN"):
        targets.logit_target(run.logits)


def test_an_answer_that_is_shut_out_does_not_hide_the_others():
    z = torch.tensor([[1.0, -torch.inf, 3.0]])
    assert targets.logit_target(z).answer == 2
    assert targets.logit_target(z, targets.DIFFERENCE).against == 0


def test_a_network_in_training_that_works_in_place_is_explained_as_it_answers_and_left_as_it_was():
    net = network().train()
    run = SampleRun(loaded(net), np.random.default_rng(1).standard_normal(D))
    who, behind = players.each_unit(D), backgrounds.background("zero", run.clean)
    games = [split_game(run, who, behind, targets.logit_target(run.logits, answer=1)) for _ in range(2)]
    one, two = (exact_values(g).values[:, 0] for g in games)
    np.testing.assert_array_equal(one, two)  # dropout would draw anew
    assert all(m.training for m in net.modules())
    with torch.no_grad():
        known = net.eval()(run.inputs.clone())[0, 1] - net(torch.zeros_like(run.inputs))[0, 1]
    assert one.sum() == pytest.approx(float(known), abs=1e-12)


# ---------------------------------------------------------------------------- games
def game(**books):
    run = SampleRun(loaded(network()), np.ones(D))
    return split_game(run, players.each_unit(D), backgrounds.background("zero", run.clean),
                      targets.logit_target(run.logits), **books)  # fmt: skip


def test_coalitions_beyond_memory_are_refused_before_anything_is_asked(monkeypatch):
    from analysis.compute.games import exact

    monkeypatch.setattr(exact, "free_bytes", lambda: 1000)
    one = game()
    with pytest.raises(TooLarge, match=r"6 players have 64 coalitions.*GiB"):
        exact_values(one)
    assert one.evaluations == 2


def test_what_was_asked_before_a_cancel_is_not_asked_again():
    calls = []

    def progress(fraction, doing=""):
        calls.append(fraction)
        if len(calls) == 4:
            raise Cancelled()

    one = game(progress=progress, rows=8)
    with pytest.raises(Cancelled):
        exact_values(one)
    kept = one.evaluations
    assert 2 < kept < 64
    values = exact_values(one)
    assert one.evaluations == 64
    np.testing.assert_array_equal(values.values, exact_values(game(rows=8)).values)


def test_a_background_of_the_wrong_shape_and_players_of_another_site_are_refused():
    run = SampleRun(loaded(network()), np.ones(D))
    with pytest.raises(ShapeError, match="samples of \\[5\\] units"):
        backgrounds.background("mean", run.clean, [run.clean[:, :5]])
    behind = backgrounds.background("zero", run.clean)
    other = split_game(run, players.each_unit(D + 1), behind, targets.logit_target(run.logits))
    with pytest.raises(ShapeError, match="players that own"):
        exact_values(other)


# ---------------------------------------------------------------------------- ends of settings
def ends(asked, side: str) -> dict:
    found = {p.name: getattr(p, side) for p in params_of(asked.params) if p.kind in ("int", "float")}
    return {k: v for k, v in found.items() if v is not None and k not in (*ONE_SAMPLE, "answer")}


@pytest.mark.parametrize("method", METHODS)
def test_settings_at_their_ends_give_a_result_or_a_refusal_and_a_cost_that_is_a_number(method):
    asked = METHODS[method]
    for side in ("low", "high"):
        for params in ({name: value} for name, value in ends(asked, side).items()):
            cost = asked.cost(((N, D),) * asked.inputs, make_params(asked.params, params))
            assert np.isfinite([cost.seconds, cost.bytes, cost.passes]).all()
            assert min(cost.seconds, cost.bytes, cost.passes) >= 0
    params = make_params(asked.params, ends(asked, "low"))
    try:
        found = asked.function(*[tap()] * asked.inputs, params=params, rng=np.random.default_rng(0))
    except LoupeError:
        return
    assert found.reading
    assert all(np.isfinite(e.value) for e in found.estimates)
