"""Nulls, intervals and captions of the Tokens pages, on data made to mislead them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.statistics.sample_groups import larger, mean_interval, share_interval
from analysis.errors import InputError, NotEnoughData
from analysis.tokens.attention import multiresolution, retrieval
from analysis.tokens.attention.heads import planted
from analysis.tokens.attention.memory import like_both
from analysis.tokens.mixers import axes
from analysis.tokens.mixers.attention_calls import Call
from analysis.tokens.mixers.axis_reading import wavelengths

RNG = np.random.default_rng


def tap_of(x: np.ndarray, tokens: int, **more) -> ArrayActivations:
    layout = Layout(np.arange(0, len(x) + 1, tokens), grid=more.pop("grid", None))
    return ArrayActivations(x, name="rows", layout=layout, **more)


# ---------------------------------------------------------------------------- Gaussian heads
def test_gaussian_heads_keep_the_joint_mean_and_covariance_and_rows_that_are_both():
    q, k = RNG(0).standard_normal((2, 30, 4)) + 2
    k[:, 0] = q[:, 0]
    a, b = like_both(q, k, RNG(1))
    np.testing.assert_allclose(np.cov(np.hstack([a, b]).T), np.cov(np.hstack([q, k]).T), atol=1e-10)
    np.testing.assert_allclose(a.mean(axis=0), q.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(a[:, 0], b[:, 0], atol=1e-10)
    assert np.abs(a - q).max() > 0.1
    x = np.vstack([q[1:].mean(axis=0), q[1:]])
    same, also = like_both(x, x, RNG(1), mean_first=True)
    np.testing.assert_allclose(same, also, atol=1e-12)
    np.testing.assert_allclose(same[0], same[1:].mean(axis=0), atol=1e-12)
    flat = np.ones((5, 3))
    np.testing.assert_array_equal(like_both(flat, flat, RNG(0))[0], flat)


def test_structureless_rows_are_not_sparser_than_gaussian_heads():
    """Of 10 draws at 5 % more than three would be one time in a thousand."""
    from analysis.methods.tokens.attention_slope import AttentionSlopeParams, attention_slope

    unlike, apart = 0, []
    for seed in range(10):
        found = attention_slope(
            tap_of(RNG(seed).standard_normal((160, 24)), 16), AttentionSlopeParams(), RNG(seed)
        )
        unlike += found.estimates[2].value > 0
        apart.append(found.estimates[1].value)
        assert found.estimates[2].interval.startswith("none")  # heads are no draws
    assert unlike <= 3
    assert abs(np.mean(apart)) < 0.02


# ---------------------------------------------------------------------------- budgets
def test_no_way_holds_more_numbers_than_the_budget():
    q, k = RNG(0).standard_normal((2, 21, 4))
    for causal in (False, True):
        blocks = multiresolution.Blocks(q, k, causal)
        for budget in range(len(blocks.leaves), len(blocks.leaves) + 40):
            assert budget - 3 < len(blocks.refine(budget).leaves) <= budget
        cells = np.arange(1, 22) if causal else np.full(21, 21)
        for budget in (1, 8, 30, 100, int(cells.sum())):
            keep = multiresolution.keys_kept(cells, budget)
            assert keep.sum() == budget
            assert (keep <= cells).all()


# ---------------------------------------------------------------------------- questions
def test_a_word_inside_another_word_was_not_said_before():
    said = "A party came.\nA dog ran.\nThen the art"
    assert retrieval.trials_of_text(tuple(said)) == []
    again = "An art came.\nA dog ran.\nThen the art"
    assert [t.word for t in retrieval.trials_of_text(tuple(again))] == ["art"]


def test_the_best_of_many_layers_is_held_against_the_best_by_chance():
    rng, firsts = RNG(0), []
    trial = retrieval.Trial(np.array([9]), np.array([[i, i + 1] for i in range(5)]), np.array([2]), "")
    for _ in range(12):
        firsts.append([(trial, rng.random((20, 5)))])
    luck = retrieval.best_by_chance(firsts, RNG(1))
    assert retrieval.best_by_chance([[(t, s[:1]) for t, s in of] for of in firsts], RNG(1)).mean() == (
        pytest.approx(0.2, abs=0.02)
    )
    assert luck.mean() > 0.35  # of twenty layers
    tied = [[(trial, np.zeros((1, 5)))]]
    assert retrieval.best_by_chance(tied, RNG(0)).max() == 0


def test_the_highest_sentence_is_held_against_the_highest_elsewhere():
    q, k = RNG(0).standard_normal((2, 12, 20, 6))
    reader = planted(q, k, causal=True)
    trial = retrieval.Trial(
        np.array([19]), np.array([[i, i + 3] for i in range(0, 18, 3)]), np.array([0]), ""
    )
    luck = retrieval.highest_elsewhere(reader, 0, range(1), trial, 0, 1)
    mass, null = retrieval.asked_mass(reader, 0, range(1), [[trial]] * 12)
    each = [retrieval.sentence_scores(trial, mass[b, 0], null[b, 0], 1)[0].max() for b in range(1, 12)]
    np.testing.assert_allclose(luck, each)
    assert luck.mean() > 1.2  # 1 would be the null of one sentence


# ---------------------------------------------------------------------------- many and paired
def test_equal_means_are_not_larger_and_the_chosen_has_a_wider_interval():
    x, noise = RNG(0).standard_normal((12, 400)), RNG(1).standard_normal((12, 400))
    assert larger(x, x * (1 + 1e-15)).sum() == 0
    assert larger(x, noise).sum() <= 3
    assert larger(x + 3, noise).mean() > 0.9
    assert larger(np.ones((4, 2)), np.zeros((4, 2))).all()
    assert larger(x[:1], x[:1] - 1).sum() == 0
    covered = 0
    for k in range(0, 400, 20):  # the largest of 20 means of nothing
        part = x[:, k : k + 20]
        best = part[:, part.mean(axis=0).argmax()]
        ends = mean_interval(best, chosen_of=20)
        covered += ends["low"] <= 0 <= ends["high"]
    assert covered >= 18
    shares = (x[:, 0] > 0).astype(float)
    one, many = share_interval(shares), share_interval(shares, 20)
    assert many["low"] < one["low"] <= one["high"] < many["high"]


def test_bands_of_rows_matter_no_more_than_chance():
    from analysis.methods.tokens.band_dropout import band_dropout

    found = band_dropout(tap_of(RNG(0).standard_normal((64, 6)), 4))
    assert "0 of 6 bands" in found.reading
    most = found.estimates[1]
    assert "most of 6" in most.name
    assert most.null == pytest.approx(max(found.null["the row"]))


def test_answers_that_change_are_held_against_random_changes():
    from analysis.methods.tokens.mixer_ablation import mixer_ablation

    found = mixer_ablation(tap_of(RNG(0).standard_normal((384, 32)), 24))
    assert found.estimates[-1].null > 0
    assert "by chance" in found.reading


# ---------------------------------------------------------------------------- axes
def test_numbers_of_axes_are_over_samples_and_not_over_tokens():
    from analysis.methods.tokens.axis_attention import axis_attention
    from analysis.methods.tokens.axis_matrix import axis_matrix
    from analysis.methods.tokens.reduced_attention import reduced_attention

    tap = tap_of(RNG(0).standard_normal((60, 5)), 12, grid=(3, 4))
    for method in (axis_attention, axis_matrix, reduced_attention):
        first = method(tap).estimates[0]
        assert (first.n, first.interval) == (5, "Student's t over samples")
    gone = RNG(0).standard_normal((60, 5))
    gone[3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        axis_matrix(tap_of(gone, 12, grid=(3, 4)))


def test_each_call_is_in_one_pair_and_towers_are_no_axes():
    def call(name, lines, places):
        return Call(name, RNG(0).dirichlet(np.ones(places), (lines, 1, places)))

    turns = [call(f"b.{i}.{n}", *s) for i in range(2) for n, s in (("row", (3, 4)), ("column", (4, 3)))]
    assert [f.name for f in axes.factored_of(turns)] == ["b.0.row, b.0.column", "b.1.row, b.1.column"]
    towers = [call("text.layers.3.attn", 1, 7), call("vision.layers.0.attn", 1, 5)]
    assert axes.factored_of(towers) == []
    assert axes.factored_of([call("stages.0.attn", 1, 16), call("stages.1.attn", 1, 4)]) == []
    assert len(axes.factored_of([call("blocks.0.bands", 1, 6), call("blocks.0.space", 1, 9)])) == 1


def test_wavelengths_of_a_configuration_in_micrometres_are_told_in_nm():
    np.testing.assert_allclose(wavelengths("", {"wavelengths": [0.49, 0.56, 2.2]}, (), 3), [490, 560, 2200])
    assert wavelengths("", {"wavelengths": [float("nan"), 500]}, (), 2) is None


# ---------------------------------------------------------------------------- stages, codes
def test_the_null_of_stages_is_of_each_samples_tokens(monkeypatch):
    from analysis.methods.tokens import feature_collapse as method

    class Texts:
        n, names, what, of_words = 3, ("a", "b"), "texts", True

        def stages(self, k, _kind, _strength, rng):
            t = (6, 6, 60)[k]
            return tuple([rng.standard_normal((t, 6))] * 2 for _ in range(2))

    monkeypatch.setattr(method, "stages", lambda *_: (Texts(), ()))
    found = method.feature_collapse(tap_of(RNG(0).standard_normal((64, 6)), 4))
    alone = np.mean([method._by_chance((t, 6), RNG(5))[0] for t in (6, 6, 60)])
    assert found.null["rank, clean"][-1] == pytest.approx(alone, abs=0.04)
    assert abs(alone - method._by_chance((60, 6), RNG(5))[0]) > 0.06
    assert method.EXCHANGED in found.title
    assert any("6 to 60 x 6" in said for said in found.caveats)


def test_codes_are_compared_on_the_same_samples(monkeypatch):
    from analysis.methods.tokens import coded_answer as method

    def reader(bad):
        def read(made, *_):
            nats = {name: np.abs(RNG(i).standard_normal(6)) for i, name in enumerate(made)}
            for i, name in zip(bad, nats, strict=False):
                nats[name][i] = np.nan
            return {name: SimpleNamespace(kl=x) for name, x in nats.items()}

        return SimpleNamespace(read=read, what="a reader")

    tap = tap_of(RNG(0).standard_normal((60, 4)), 10)
    monkeypatch.setattr(method, "reader_of", lambda *_: (reader((0, 3)), ()))
    found = method.coded_answer(tap)
    assert {e.n for e in found.estimates} == {4}
    assert any("2 of 6 samples had answers that are no numbers" in said for said in found.caveats)
    assert any("bits that were tried" in said for said in found.caveats)
    monkeypatch.setattr(method, "reader_of", lambda *_: (reader((0, 1, 2, 3, 4)), ()))
    with pytest.raises(NotEnoughData, match="1 of 6 samples"):
        method.coded_answer(tap)
