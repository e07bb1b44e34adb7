"""Rules that drop and merge tokens: nulls are of the number that is told, draws differ from batch to batch, few samples
make nothing sure, and what a rule really left is said."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_token_faults import of
from test_token_rules import pictured, texts, uniform

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData
from analysis.tokens.choosing import lowest
from analysis.tokens.dump import simulate
from analysis.tokens.fault import FAULT
from analysis.tokens.faults import faults
from analysis.tokens.rule import rule
from analysis.tokens.schedule import at_layer, schedule
from analysis.tokens.state import TokenState
from analysis.tokens.survival import survival
from analysis.tokens.view import CLASS, PADDING, PATCH, TEXT, TokenLayout

RNG = np.random.default_rng


def rows(x: np.ndarray, grid=None) -> ArrayActivations:
    """Rows (samples, tokens, units)."""
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), "planted", {}, Layout(np.arange(n + 1) * t, grid=grid))


def squares(n: int, side: int) -> TokenLayout:
    shape = (n, side * side)
    cell = np.broadcast_to(np.arange(side * side), shape)
    return TokenLayout(np.full(shape, PATCH), np.ones(shape, bool), cell, (side, side))


def kept_at_random(rng, n: int, tokens: int, k: int) -> np.ndarray:
    return rng.random((n, tokens)).argsort(axis=1).argsort(axis=1) < k


# ---------------------------------------------------------------------------- the core
def test_as_many_go_as_are_asked_for_when_scores_are_missing():
    free = np.array([[False, True, True, True, True, True]])
    for bad in (-np.inf, np.nan):
        score = np.array([[9.0, bad, 1, bad, 2, 3]])
        assert lowest(score, free, np.array([1])).sum() == 1
        assert lowest(score, free, np.array([2]))[0].tolist() == [False, True, False, True, False, False]
        assert lowest(score, free, np.array([3]))[0].tolist() == [False, True, True, True, False, False]


def test_influence_moves_with_its_tokens():
    from analysis.methods.tokens.shift_stability import ShiftStabilityParams, shift_stability

    tap = rows(RNG(0).standard_normal((12, 10, 4)))
    found = shift_stability(tap, ShiftStabilityParams(rules="received_influence"))
    np.testing.assert_allclose(found.series["Received influence"], 1, atol=1e-12)


def test_of_rows_a_sum_is_not_its_mean():
    from analysis.tokens.subject import MERGING, RowSubject

    who = RowSubject(rows(RNG(0).standard_normal((4, 12, 5))), 4, RNG(0), lambda *_: None)
    given = next(iter(who.batches(4)))[1]
    whole = who.answer(given).logits
    found = {}
    for one in map(rule, ("tome", "evit", "window_attention")):
        found[one.id] = who.answer(given, one, lambda n, one=one: schedule(one.schedule, 0.5, who.layers, n))
    np.testing.assert_allclose(found["tome"].logits, whole, atol=1e-12)
    assert all(np.abs(found[name].logits - whole).max() > 1e-3 for name in ("evit", "window_attention"))
    assert MERGING in found["tome"].notes


# ---------------------------------------------------------------------------- nulls of the number that is told
def test_chance_takes_as_many_as_a_rule_that_finds_its_own_number():
    from analysis.methods.tokens.token_film import TokenFilmParams, token_film
    from analysis.tokens.chance import chance_of
    from analysis.tokens.ledger import spend
    from analysis.tokens.subject import RowSubject

    tap = rows(RNG(0).standard_normal((4, 36, 3)), (6, 6))
    who = RowSubject(tap, 4, RNG(0), lambda *_: None)
    one = rule("spatial_pooling")
    spent, _ = spend(who, [one, chance_of(one)], [0.9, 0.4], RNG(0), lambda *_: None)
    for share in (0.9, 0.4):
        np.testing.assert_array_equal(spent[one.id, share].tokens, spent[chance_of(one).id, share].tokens)
    whole = token_film(tap, TokenFilmParams(rule="spatial_pooling", share=0.9, draws=60)).estimates[2]
    fewer = token_film(tap, TokenFilmParams(rule="random", share=0.9, draws=60)).estimates[2]
    assert whole.null < fewer.null - 0.1  # 9 of 36 at random are farther than 32 are


def test_one_more_random_keep_is_not_called_nearer_than_random():
    from analysis.methods.tokens.token_film import _estimates

    beyond, outside = 0, 0
    shape = SimpleNamespace(
        layers=1, width=1, heads_width=1, keys_width=1, mlp_width=1, mlp_matrices=2, fixed=0.0, frames=0
    )
    who = SimpleNamespace(shape=lambda: shape, classifies=False)
    for seed in range(300):
        angle = 0.3 * RNG(seed).standard_normal(11) + 1
        states = [SimpleNamespace(counts=np.array([2.0]))] * 2
        whole, less = (SimpleNamespace(states=states, logits=np.array([[np.cos(a), np.sin(a)]]))
                       for a in (0.0, angle[0]))  # fmt: skip
        chance = np.stack([np.cos(angle[1:]), np.zeros(10)], axis=1)
        e = _estimates(who, rule("random"), whole, less, chance, 1)[3]
        beyond += not e.low <= 0 <= e.high
        outside += not e.null_low <= e.value <= e.null_high
    assert outside <= 30
    assert beyond > 60  # the interval is of the mean of random tokens alone
    assert "draws" in e.interval


def test_draws_differ_from_batch_to_batch():
    from analysis.tokens.ledger import BATCH, spend
    from analysis.tokens.moved_answers import RowAnswers
    from analysis.tokens.subject import RowSubject

    drawn, tap = [], rows(np.repeat(RNG(0).standard_normal((1, 12, 3)), 2 * BATCH, axis=0))
    who = RowSubject(tap, 2 * BATCH, RNG(0), lambda *_: None)
    answer = who.answer

    def heard(given, one=None, *more):
        if one is not None:
            drawn.append(more[-1].bit_generator.state["state"]["state"])
        return answer(given, one, *more)

    who.answer = heard
    spend(who, [rule("random")], [0.5], RNG(0), lambda *_: None)
    assert len(set(drawn)) == 2
    answers = RowAnswers(who.dump, ())
    moved = [
        answers.moved([6] * 4, rule("random"), np.arange(k, k + 16)) for k in (0, 16)
    ]  # samples are equal
    assert not np.allclose(*moved)


def test_random_keep_is_compared_with_other_draws_than_its_own():
    from analysis.methods.tokens.token_ledger import TokenLedgerParams, token_ledger

    tap = rows(RNG(0).standard_normal((24, 12, 3)))
    told = token_ledger(tap, TokenLedgerParams(rules="random")).estimates[0]
    assert told.low < 0 < told.high
    assert told.p_value > 0.01


def test_what_several_rules_say_of_themselves_is_said_once():
    from analysis.tokens.grid_cells import NOTE
    from analysis.tokens.over_samples import notes_of

    said = notes_of([rule(id) for id in ("max_pooling", "tome", "nested_pooling")])
    assert said == [f"Max pooling, Nested pooling: {NOTE}"]


def test_work_of_rows_is_that_of_their_blocks():
    from analysis.tokens.moved_answers import RowAnswers
    from analysis.tokens.subject import RowSubject

    who = RowSubject(rows(RNG(0).standard_normal((3, 12, 5))), 3, RNG(0), lambda *_: None)
    answers = RowAnswers(who.dump, ())
    assert answers.cost([12] * 4, rule("even")) == pytest.approx(1, abs=1e-12)
    # behind a block 13, 7, 7, 7, 7 tokens: t (4 d² + 8 d²) + 2 t² d of 13 four times, d = 5
    expected = sum(12 * 25 * t + 10 * t * t for t in (13, 7, 7, 7)) / (4 * (12 * 25 * 13 + 10 * 169))
    assert answers.cost([6] * 4, rule("even")) == pytest.approx(expected, abs=1e-12)


# ---------------------------------------------------------------------------- what a few samples can say
def test_shares_that_never_differ_still_have_an_interval():
    from analysis.methods.tokens.token_ledger import COSINE, SAME, _ends

    ends = _ends(np.zeros(30), np.ones(30), SAME)
    assert ends["low"] < -0.05 < 0.05 < ends["high"]
    held = 0
    for seed in range(200):
        rng = RNG(seed)
        chance = (rng.random(40) < 0.9) * 1.0
        gain = (rng.random(40) < 0.95) * 1.0 - chance
        ends = _ends(gain, chance, SAME)
        held += ends["low"] <= 0.05 <= ends["high"]
    assert held >= 184
    assert _ends(np.ones(1), np.ones(1), COSINE)["low"] == 1


def test_answers_of_samples_without_a_label_are_not_called_right():
    from analysis.methods.tokens.token_ledger import RIGHT, SAME, _measure

    who = SimpleNamespace(labels=np.full(4, -1), classifies=True)
    measure, notes = _measure(who, RIGHT)
    assert measure == SAME
    assert "no labels" in notes[0]


def test_two_samples_that_are_alike_by_chance_make_no_pair_differ():
    from analysis.methods.tokens.rule_agreement import _p
    from analysis.tokens.survivors import chance_jaccards, chance_variances, jaccard

    rng, free, false = RNG(0), np.ones((2, 4), bool), 0
    for _ in range(200):
        a, b = np.broadcast_to(np.arange(4) < 2, (2, 4)), kept_at_random(rng, 2, 4, 2)
        false += _p(jaccard(a, b) - chance_jaccards(free, a, b), chance_variances(free, a, b)) < 0.05
    assert false <= 10  # more than half, by how the two differ alone
    many = np.ones((40, 4), bool)
    a, b = (np.broadcast_to(x, many.shape) for x in (np.arange(4) < 2, np.arange(4) >= 2))
    assert _p(jaccard(a, b) - chance_jaccards(many, a, b), chance_variances(many, a, b)) < 1e-6


def test_the_variance_of_an_index_is_that_over_all_sets():
    from itertools import combinations

    from analysis.tokens.survivors import chance_variances, jaccard

    sets = np.array([[i in c for i in range(7)] for c in combinations(range(7), 3)])
    a = np.broadcast_to(np.arange(7) < 4, sets.shape)
    every = np.ones((1, 7), bool)
    assert chance_variances(every, a[:1], sets[:1])[0] == pytest.approx(jaccard(a, sets).var(), abs=1e-12)


def test_little_of_few_samples_is_no_bias():
    """4 of 196 tokens of two samples at random: the normal bound calls two of five such keeps biased."""
    false, rng, layout = 0, RNG(0), squares(2, 14)
    for _ in range(60):
        where = survival(layout, TokenState.start(kept_at_random(rng, 2, 196, 4)))
        false += where.beyond().any()
    assert false <= 6


def test_chance_on_a_line_is_exact():
    from math import comb

    layout = squares(2, 3)
    keep = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 1, 0, 0, 0, 0]], bool)
    one, two = ([comb(3, i) * comb(6, k - i) / comb(9, k) for i in range(min(3, k) + 1)] for k in (2, 3))
    chance = np.convolve(one, two)
    where = survival(layout, TokenState.start(keep))
    for line, found in (("row 1", 3), ("row 3", 0)):
        expected = min(1, 2 * min(chance[: found + 1].sum(), chance[found:].sum()))
        assert where.p[where.names.index(line)] == pytest.approx(expected, abs=1e-9)


def test_survival_of_many_rules_is_looked_at_together():
    from analysis.methods.tokens.token_survival import _bound, _reading

    layout, rng, called = squares(8, 6), RNG(0), 0
    for _ in range(12):
        found = {
            str(i): survival(layout, TokenState.start(kept_at_random(rng, 8, 36, 12))) for i in range(20)
        }
        tests, bound = _bound(found)
        assert (tests, round(bound, 2)) == (240, 3.71)
        called += "No rule" not in _reading(found, tests)
    assert called <= 2  # of 8; one by one nearly two thirds are


def test_the_line_that_strays_most_has_the_null_of_such_a_line():
    from analysis.tokens.survival import worst_line

    layout, rng, inside = squares(16, 7), RNG(0), 0
    for _ in range(60):
        _, told = worst_line(survival(layout, TokenState.start(kept_at_random(rng, 16, 49, 20))))
        inside += told["null_low"] <= told["value"] <= told["null_high"]
    assert inside >= 51
    assert told["null_low"] < told["null"] < told["null_high"]


def test_pairs_of_layers_lie_within_chance_together():
    from analysis.methods.tokens.token_rankings import _matrix
    from analysis.tokens.searching import chance_spread, kendall

    rng, beyond = RNG(0), 0
    names = tuple(f"layer {i}" for i in range(12))
    for _ in range(30):
        tau = np.stack([kendall(rng.standard_normal((12, 16))) for _ in range(8)])
        spread = chance_spread(16) / np.sqrt(8)
        beyond += bool(_matrix(tau, np.zeros((12, 12)), spread, names, (), None, 4).significant.any())
    assert beyond <= 6  # with each of 66 pairs by itself nearly always


# ---------------------------------------------------------------------------- what is said
def test_what_rules_really_leave_and_what_stands_in_for_training_is_said():
    from analysis.methods.tokens.coverage_holes import CoverageHolesParams, coverage_holes
    from analysis.methods.tokens.reconstruction_error import ReconstructionErrorParams, reconstruction_error
    from analysis.methods.tokens.shift_stability import ShiftStabilityParams, shift_stability
    from analysis.methods.tokens.token_survival import TokenSurvivalParams, token_survival

    tap, asked = rows(RNG(0).standard_normal((4, 36, 3)), (6, 6)), "dynamicvit,spatial_pooling"
    for found in (
        token_survival(tap, TokenSurvivalParams(rules=asked)),
        coverage_holes(tap, CoverageHolesParams(rules=asked, share=0.6)),
        reconstruction_error(tap, ReconstructionErrorParams(rules=asked)),
        shift_stability(tap, ShiftStabilityParams(rules=asked)),
    ):
        said = " ".join(found.caveats)
        assert "oracle scores" in said
        assert "Spatial pooling 25% at" in said
        assert "not exactly the share" in said


def test_time_without_the_pass_for_oracle_scores_is_said():
    from analysis.methods.tokens.latency import LatencyParams, latency

    found = latency(rows(RNG(0).standard_normal((4, 36, 3))), LatencyParams(rules="dynamicvit", repeats=3))
    assert any("oracle scores" in c for c in found.caveats)


# ---------------------------------------------------------------------------- places
def test_a_box_without_a_token_is_not_one_that_was_missed():
    from analysis.methods.tokens.coverage_holes import CoverageHolesParams, coverage_holes

    x = RNG(0).standard_normal((4, 16, 3))
    x[2:, :8] = np.nan  # two samples have nothing in the upper half
    found = coverage_holes(rows(x, (4, 4)), CoverageHolesParams(rules="first", share=0.75, box="1-2, 1-4"))
    assert found.columns["recall in the box"][0] == 1
    e = next(e for e in found.estimates if e.name.startswith("recall"))
    assert (e.value, e.n) == (1, 2)
    assert e.low < 0.9
    x[:, :8] = np.nan
    with pytest.raises(NotEnoughData, match="no sample has a token"):
        coverage_holes(rows(x, (4, 4)), CoverageHolesParams(rules="first", box="1-2, 1-4"))


def test_tokens_without_a_place_cover_none_by_chance_either():
    from analysis.methods.tokens.coverage_holes import BARE, CoverageHolesParams, _of_batch

    x = RNG(0).standard_normal((3, 16, 3))
    dump = pictured(x, (4, 4), leading=(TEXT,) * 8)
    layout = TokenLayout(dump.layout.kinds, np.ones((3, 24), bool), dump.layout.cell, (4, 4))
    state = TokenState.start(np.broadcast_to(np.arange(24) < 20, (3, 24)))  # all text, 12 patches
    ran = SimpleNamespace(dump=SimpleNamespace(layout=layout), run=SimpleNamespace(states=[state]))
    left, chance = _of_batch(ran, CoverageHolesParams(), RNG(0))[BARE]
    np.testing.assert_allclose(left, 0)
    np.testing.assert_allclose(chance, 4 / 16 / 1820, atol=1e-12)  # a corner's four: C(12, 12) / C(16, 12)


# ---------------------------------------------------------------------------- faults
def test_attention_that_is_no_number_is_a_fault():
    dump = pictured(RNG(0).standard_normal((2, 16, 3)), (4, 4), leading=(CLASS,))
    dump.recorded["mean attention"][1] = np.where(
        np.arange(17) == 3, np.nan, dump.recorded["mean attention"][1]
    )
    one = rule("token_norm")
    found = of(faults(dump, one, simulate(dump, one, at_layer(0, 8, 2, 16))), "rows of attention")
    assert found.verdict == FAULT


def test_the_first_token_of_a_padded_text_is_not_padding():
    dump = texts(uniform(20))
    kinds = dump.layout.kinds.copy()
    kinds[:, :4] = PADDING
    layout = TokenLayout(kinds, dump.layout.free & (kinds != PADDING), dump.layout.cell, None, causal=True)
    dump = type(dump)(layout, dump.recorded)
    heavy = np.where(np.arange(20) == 4, 0.9, 0.1 / 19) * np.ones((1, 20, 1))
    dump.recorded["mean attention"][:] = [heavy] * 2
    one = rule("fastv")
    found = of(faults(dump, one, simulate(dump, one, at_layer(1, 5, 2, 15))), "first-token sink of the score")
    assert found.verdict == FAULT
    assert found.found > 0.85


def test_a_rule_is_better_than_random_only_after_correction_for_all_rules(monkeypatch):
    from types import SimpleNamespace

    from analysis.methods.tokens import token_ledger as ledger

    monkeypatch.setattr(ledger, "chance_of", lambda one: SimpleNamespace(id=one.id + " chance"))
    chosen = [SimpleNamespace(id=str(k), title=f"rule {k}") for k in range(12)]

    def told(seed, better, measure):
        rng = np.random.default_rng(seed)
        draw = (
            (lambda: rng.random(30) < 0.7) if measure == ledger.SAME else (lambda: rng.normal(0.8, 0.1, 30))
        )
        spent = {}
        for k, one in enumerate(chosen):
            for name in (one.id, one.id + " chance"):
                values = draw().astype(float)
                if k < better and name == one.id:
                    values = np.ones(30)
                spent[name, ledger.TOLD] = SimpleNamespace(values={measure: values})
        return ledger._estimates(chosen, spent, measure, 8, rng)

    for measure in (ledger.COSINE, ledger.SAME):
        nothing = [told(seed, 0, measure) for seed in range(60)]
        any_said = np.mean([min(e.p_value for e in one) <= ledger.LEVEL for one in nothing])
        any_single = np.mean([max(e.low for e in one) > 0 for one in nothing])
        assert any_said <= 0.12  # 5 % asked, 60 families
        assert any_single > any_said  # what was counted before
        some = told(0, 3, measure)
        assert [e.p_value <= ledger.LEVEL for e in some] == [True] * 3 + [False] * 9
        assert "3 of 12 rules keep the answer better" in ledger._reading(chosen, some, measure)
        assert "corrected for 12 rules" in some[0].null_method
