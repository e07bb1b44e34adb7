"""What tokens' methods say beside their numbers is so: what was not read, what cannot be told, what was left aside."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData, ParameterError
from analysis.methods.tokens import prompt_attention as attending
from analysis.methods.tokens import reading_after_drops as dropping
from analysis.methods.tokens import scan_folded as folding
from analysis.methods.tokens.prompt_words import PromptWordsParams, prompt_words
from analysis.methods.tokens.reading_after_drops import ReadingAfterDropsParams, reading_after_drops
from analysis.methods.tokens.route_weights import RouteWeightsParams, route_weights
from analysis.methods.tokens.scan_group_matrices import (
    ScanGroupMatricesParams,
    fewest_marked,
    scan_group_matrices,
)
from analysis.methods.tokens.ssm_drift import MODES, SsmDriftParams, ssm_drift
from analysis.sources.rerun import of_one
from analysis.tokens.attention.prompt_use import told_of
from analysis.tokens.sets import learned_vectors
from analysis.tokens.sets.word_neighbours import usual_of


def tokens(x, **samples):
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), "planted", samples, layout=Layout(np.arange(n + 1) * t))


def said(found) -> str:
    return " ".join(found.caveats)


def test_a_removal_behind_another_layer_is_not_taken_for_the_same_stage(rng, monkeypatch):
    """Of one sample tokens go behind other layers: it is no draw of the stages of the drawn sample."""
    tap, plain = tokens(rng.standard_normal((4, 16, 4))), dropping.stages

    def shifted(who, place, *more):
        found, layout, given = plain(who, place, *more)
        if place == 2:
            found = [found[0], *(dataclasses.replace(one, layer=one.layer + 10) for one in found[1:])]
        return found, layout, given

    whole = reading_after_drops(tap, ReadingAfterDropsParams())
    monkeypatch.setattr(dropping, "stages", shifted)
    found = reading_after_drops(tap, ReadingAfterDropsParams())
    assert {e.n for e in whole.estimates} == {4}
    assert {e.n for e in found.estimates} == {3}
    assert [e.name for e in found.estimates] == [e.name for e in whole.estimates]


def test_on_how_many_samples_a_network_was_run_is_said():
    notes = ("The network was run on all 9 samples that were recorded.", "b")
    assert of_one(notes, 3) == ("The network was run on sample 3.", "b")
    assert (
        of_one(notes, 3, 5)[0]
        == "The network was run on sample 3, and on 5 other(s) for numbers over samples."
    )


def test_words_and_vectors_that_were_not_read_are_said(rng):
    words, vectors = rng.standard_normal((40, 6)), rng.standard_normal((9, 6))
    found = prompt_words(vectors, words, PromptWordsParams(maximum_words=30, shown=5))
    assert "The first 30 of 40 words." in found.caveats
    assert "The first 5 of 9 vectors." in found.caveats
    assert len(found.columns["vector"]) == 5
    whole = prompt_words(vectors, words)
    assert "The first" not in said(whole)
    assert usual_of(2000) == ()
    assert "2,000 of 2,001" in usual_of(2001)[0]


def test_tables_of_a_checkpoint_are_cut_and_cleaned_and_it_is_said(rng, monkeypatch):
    table, ctx = rng.standard_normal((40, 6)), rng.standard_normal((4, 6))
    table[7], ctx[2] = np.nan, np.inf
    held = {"embed.weight": table, "prompt.ctx": ctx}
    network = SimpleNamespace(
        lookups=["embed"], shapes={k: v.shape for k, v in held.items()}, tensor=held.get,
        path=SimpleNamespace(name="net.safetensors"),
    )  # fmt: skip
    monkeypatch.setattr(learned_vectors, "weights_of", lambda _tap: network)
    monkeypatch.setattr(learned_vectors, "is_table", lambda _tap: False)
    monkeypatch.setattr(learned_vectors, "output_names", lambda _path, n, _: [f"w{i}" for i in range(n)])
    asked = PromptWordsParams(vectors="ctx", maximum_words=30)
    found = prompt_words(rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), asked)
    assert found.columns["vector"].tolist() == ["0", "1", "3"]
    assert np.isfinite(found.columns["cosine"]).all()
    assert "w7" not in found.columns["nearest"]
    for line in ("The first 30 of 40 words.", "1 word(s) with NaN", "1 vector(s) with NaN"):
        assert line in said(found)


def test_routes_are_told_apart_and_tokens_are_no_samples(rng):
    w = rng.dirichlet(np.ones(3), 12)
    with pytest.raises(ParameterError, match="named twice"):
        route_weights(w, RouteWeightsParams(routes="row; column; row"))
    twice = ArrayActivations(w, "w", unit_names=("row", "row", "column"))
    assert route_weights(twice).names == ("route 1", "route 2", "route 3")
    with pytest.raises(NotEnoughData, match="2 sample"):
        route_weights(ArrayActivations(w, "w", layout=Layout(np.array([0, 6, 12]))))


def test_cells_that_too_few_exchanges_cannot_mark_are_said(rng):
    """A cell alone has to reach p = level / tests; with E exchanges none is below 1 / (E + 1)."""
    assert fewest_marked(20, 399) == 1
    assert fewest_marked(21, 399) == 2
    tap = tokens(rng.standard_normal((12, 8, 5)), label=np.arange(12) % 2)
    found = scan_group_matrices(tap, ScanGroupMatricesParams(exchanges=39))
    assert "p is at least 0.025: fewer than 18 cells cannot be marked" in said(found)  # 36 cells
    assert "cannot be marked" not in said(scan_group_matrices(tap, ScanGroupMatricesParams(exchanges=719)))
    for e in found.estimates[2:]:
        assert e.low < e.value < e.high
    far = found.estimates[1]
    assert ("farther" if far.value > 0 else "nearer") in found.reading


def test_what_a_fit_does_not_have_is_said_to_be_left_aside(rng):
    taps = [tokens(rng.standard_normal((6, 12, 3))) for _ in range(2)]
    found = ssm_drift(*taps, params=SsmDriftParams(draws=5, show=MODES, layer=2))
    assert "lines of single modes and a layer asked for are left aside" in said(found)
    assert "left aside" not in said(ssm_drift(*taps, params=SsmDriftParams(draws=5)))


def test_one_sample_alone_has_no_answer_to_the_image(rng):
    a = rng.dirichlet(np.ones(9), (1, 3))
    there = np.ones((1, 9), bool)
    told = told_of(3, a, a, np.ones((1, 3), bool), there, rng)
    assert [e.name for e in told] == ["prompts in use", "prompts differ"]
    drawn = attending._drawn("t", a[0] * 9, np.arange(3), 0, ((3, 3), 0), told, ())
    assert drawn.reading.endswith("cannot be compared: there is one.")


def test_weights_of_routes_that_nobody_can_use_are_said_to_be_left_aside(rng, monkeypatch):
    given = SimpleNamespace(caveats=None)

    def alone(_tap, _own, notes, *_more):
        given.caveats = notes
        return given

    tap = ArrayActivations(rng.standard_normal((40, 4)), "pooled")
    monkeypatch.setattr(folding, "own_mixing", lambda _tap, params, _rng: (object(), ("a",), params))
    monkeypatch.setattr(folding, "_network_alone", alone)
    assert folding.scan_folded(tap, rng.dirichlet(np.ones(4), 40)).caveats == (
        "a",
        "Weights of routes are left aside.",
    )
    assert folding.scan_folded(tap).caveats == ("a",)


def test_a_head_with_the_weights_of_the_embeddings_is_left_out_and_nothing_stays_switched_on():
    torch = pytest.importorskip("torch")
    from analysis.tokens.task_gradients import _gradients, _layers

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(7, 4)
            self.inside = torch.nn.Linear(4, 4)
            self.head = torch.nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(self.inside(self.embed(ids)))

    module = Tied().requires_grad_(False)
    layers, notes = _layers(module, 9, 2)
    assert list(layers) == ["inside"]
    assert "head has the weights of another part" in notes[0]
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    run = SimpleNamespace(
        labels=None, data=SimpleNamespace(items=lambda i, j: [ids[i]]),
        loaded=SimpleNamespace(
            module=module, causal=True, classifies=False, call=None, run=lambda x: module(x["input_ids"]),
            prepare=lambda items: {"input_ids": torch.stack(items)}, token_mask=lambda _x: None,
        ),
    )  # fmt: skip
    ((name, moment, gradient),) = _gradients(run, layers, np.arange(2))
    assert name == "inside"
    assert gradient.any()
    assert not any(p.requires_grad for p in module.parameters())
    given = module.embed(ids).double().numpy().reshape(-1, 4)
    np.testing.assert_allclose(moment, given.T @ given, rtol=1e-6)
