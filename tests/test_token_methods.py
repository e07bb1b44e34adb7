"""Questions about tokens, asked of the sample networks with tokens really removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch

import analysis
from analysis.methods.tokens.token_faults import TokenFaultsParams, token_faults
from analysis.methods.tokens.token_film import TokenFilmParams, token_film
from analysis.methods.tokens.token_rankings import TokenRankingsParams, token_rankings
from analysis.methods.tokens.token_search import TokenSearchParams, token_search
from analysis.tokens import asking
from analysis.tokens.asking import TokenDesk
from analysis.tokens.fault import FAULT
from analysis.tokens.moved_answers import CHANGED, NATS, NetworkAnswers
from analysis.tokens.networks.attending import Attending
from analysis.tokens.networks.passing import Passing
from analysis.tokens.opened import opened
from analysis.tokens.rule import rule
from analysis.tokens.state import GONE

SAMPLE = Path(__file__).parent.parent / "sample_data" / "workspace"


@pytest.fixture(scope="module")
def vit():
    if not SAMPLE.exists():
        pytest.skip("no sample workspace")
    return analysis.open_workspace(SAMPLE).activations("digits-vit:vit.layers.2")


def column(result, name: str, fault: str):
    return result.columns[name][list(result.columns["fault"]).index(fault)]


def test_log_size_is_measured_and_tokens_are_gone_in_a_trained_network(vit):
    found = token_faults(vit, TokenFaultsParams(rule="tome", maximum_samples=8))
    assert column(found, "found", "log-size term missing") == pytest.approx(1, abs=1e-4)
    assert column(found, "found", "pruned tokens still computed") == column(
        found, "expected", "pruned tokens still computed"
    )
    assert FAULT not in found.columns["verdict"]
    fused = token_faults(vit, TokenFaultsParams(rule="evit", maximum_samples=8))
    assert column(fused, "verdict", "weights of a merge") == FAULT
    assert column(fused, "found", "log-size term missing") == pytest.approx(0, abs=1e-4)


def test_an_answer_of_the_network_stands_beside_as_many_tokens_at_random(vit):
    """The same network, plan and draws, one by one; random keep by itself lies among them."""
    desk = TokenDesk(vit)
    told = {name: desk.applied(0, name, 0.5) for name in ("tome", "random")}
    for one in told.values():
        assert len(one.by_chance) == asking.DRAWS
        assert len({cosine for cosine, _ in one.by_chance}) > asking.DRAWS / 2
        assert all(nats > 0 for _, nats in one.by_chance)
    low, high = (f(cosine for cosine, _ in told["random"].by_chance) for f in (min, max))
    spread = high - low
    assert low - spread < told["random"].cosine < high + spread
    film = token_film(vit, TokenFilmParams(sample=0, rule="tome", share=0.5, draws=60))
    null = next(e for e in film.estimates if e.name == "cosine of the answers")
    assert np.mean([cosine for cosine, _ in told["tome"].by_chance]) == pytest.approx(
        null.null, abs=(null.null_high - null.null_low) / 2
    )


@pytest.mark.parametrize("name", ["pagerank", "received_attention"])
def test_a_film_of_a_network_shows_the_scores_by_which_its_tokens_went(vit, name):
    """PageRank looks at every head; behind the first removal a dump has other scores than the run."""
    film, gone = token_film(vit, TokenFilmParams(rule=name, share=0.25, draws=3)), 0
    for k in range(1, len(film.owner)):
        free = (film.owner[k - 1] >= 0) & (np.arange(film.owner.shape[1]) > 0) & film.judged[k]
        went = free & (film.owner[k] < 0)
        gone += int(went.sum())
        if went.any():
            assert film.score[k][went].max() <= film.score[k][free & ~went].min()
    assert gone == 12


def test_answers_move_by_nothing_when_all_stay_and_cost_as_much(vit):
    live = opened(vit, 6)
    for measure in (CHANGED, NATS):
        answers = NetworkAnswers(live, measure)
        every, one = np.arange(6), rule("received_attention")
        assert (answers.moved([16] * 4, one, every) == 0).all()
        assert answers.cost([16] * 4, one) == pytest.approx(1, abs=1e-12)
        assert answers.cost([8] * 4, one) < 0.75
    assert answers.moved([1] * 4, one, every).mean() > 0.05  # nats


def test_what_the_search_found_keeps_the_answers_it_was_searched_on(vit):
    params = TokenSearchParams(maximum_samples=16, limit=0.02, measure=NATS)
    found = token_search(vit, params)
    share = found.series["Received attention"]
    assert (np.diff(share) <= 0).all()
    answers = NetworkAnswers(opened(vit, 16, np.random.default_rng(0)), NATS)
    drop = answers.moved(
        np.rint(share * 16).astype(int), rule("received_attention"), np.arange(0, 16, 2)
    ).mean()
    assert drop <= 0.02
    fewer = np.maximum(np.rint(share * 16).astype(int) - 1, 1)
    assert answers.moved(fewer, rule("received_attention"), np.arange(0, 16, 2)).mean() > drop


def test_layers_of_a_trained_network_rank_tokens_more_by_place_than_by_chance(vit):
    found = token_rankings(vit, TokenRankingsParams(maximum_samples=32))
    np.testing.assert_allclose(np.diag(found.values), 1, atol=1e-12)
    assert found.row_names == ("layer 1", "layer 2", "layer 3", "layer 4")
    assert found.null[1, 2] > found.null_band[1]  # another sample's ranking is alike, too
    assert found.values[1, 2] > found.null[1, 2]


def planted(kind: str):
    """ToMe with a fault in it."""
    one = rule("tome")
    if kind == "log-size term missing":
        return replace(one, proportional=False)

    def decide(view, remove, settings, rng):
        step = one.decide(view, remove, settings, rng)
        if kind == "weights of a merge":
            return replace(step, weight=np.full(step.into.shape, 0.7), summed=True)
        into = step.into.copy()
        if kind == "class token lost":
            into[:, 0] = into[:, 1] = 1
        else:  # "mass not conserved": what should be merged is dropped
            into[~step.kept] = GONE
        return replace(step, into=into)

    return replace(one, decide=decide)


@pytest.mark.parametrize("kind", ["log-size term missing", "weights of a merge", "class token lost",
                                  "mass not conserved"])  # fmt: skip
def test_a_fault_that_is_planted_in_a_rule_is_reported_with_the_answer(vit, monkeypatch, kind):
    desk = TokenDesk(vit)
    whole = {name for name, verdict, _ in desk.applied(3, "tome", 0.4).faults if verdict == FAULT}
    assert whole == set()
    monkeypatch.setattr(asking, "rule", lambda _: planted(kind))
    found = {name for name, verdict, _ in desk.applied(3, "tome", 0.4).faults if verdict == FAULT}
    assert kind in found
    assert found <= {kind, "weights of a merge"}


def test_attention_whose_rows_lose_weight_and_tokens_only_masked_are_reported(vit, monkeypatch):
    desk = TokenDesk(vit)
    own = Attending.__call__

    def discarding(self, *given):
        out = own(self, *given)
        if self.done.weights is not None:
            self.done.weights = self.done.weights * 0.9
        return out

    monkeypatch.setattr(Attending, "__call__", discarding)
    found = {name for name, verdict, _ in desk.applied(3, "tome", 0.4).faults if verdict == FAULT}
    assert "rows of attention" in found
    monkeypatch.setattr(Attending, "__call__", own)
    keep = Passing._keep

    def whole(self, name, values):
        """As if tokens that are gone had been computed as well."""
        if name == "hidden" and values.shape[1] < 17:
            values = torch.cat([values, values[:, :1].expand(-1, 17 - values.shape[1], -1)], dim=1)
        keep(self, name, values)

    monkeypatch.setattr(Passing, "_keep", whole)
    found = {name for name, verdict, _ in desk.applied(3, "tome", 0.4).faults if verdict == FAULT}
    assert found == {"pruned tokens still computed"}
