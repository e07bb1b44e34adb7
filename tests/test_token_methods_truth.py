"""What the methods on attention, mixing and pooling tell holds: nulls, intervals and words, on planted data."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.methods.tokens import attention_pattern as pattern
from analysis.methods.tokens import attention_rollout as rollout
from analysis.methods.tokens import head_similarity as similar
from analysis.methods.tokens import kernel_confusion as confusion
from analysis.methods.tokens.mixing_measures import known_mean
from analysis.tokens.attention.heads import planted
from analysis.tokens.attention.position_null import others_interval
from analysis.tokens.mixers import measures, ssm, state_spaces
from analysis.tokens.mixers.convolution import grid_matrix
from analysis.tokens.mixers.linear_attention import landmark_error

RNG = np.random.default_rng


def tap(x, label=None, grid=None):
    n, t, d = x.shape
    columns = {} if label is None else {"label": label, "writer": label[::-1]}
    return ArrayActivations(
        x.reshape(-1, d), samples=columns, name="planted", layout=Layout(np.arange(n + 1) * t, grid)
    )


def run(name, x, **params):
    method = registry.method(name)
    return method.function(x, params=method.params(**params), rng=RNG(0))


def told(found, start):
    return next(e for e in found.estimates if e.name.startswith(start))


def heads(n, count=4, tokens=8, seed=0):
    q, k = RNG(seed).standard_normal((2, n, count, tokens, 3))
    reader = planted(q[:, 0], k[:, 0])
    reader.queries, reader.keys = [q], [k]
    return reader


# ------------------------------------------------------------------------------------------------ attention
def test_two_samples_tell_no_pair_of_heads_apart_from_chance():
    """Each of two samples is the other's null, so that both say the same number."""
    reader = heads(2)
    found = similar._matrix(reader, *similar.likeness(reader))
    assert found.significant is None
    assert found.low is None
    assert "too few samples" in found.reading
    assert all(e.low is None for e in found.estimates)
    with_more = similar._matrix(heads(8), *similar.likeness(heads(8)))
    assert not with_more.significant.any()  # independent heads


@pytest.mark.parametrize("seed", [7, 8, 9, 10, 11])
def test_heads_that_partly_agree_are_found_by_few_samples(seed):
    """The second head in one other sample is a noisy null: held against it, none of these pairs counts."""
    reader = heads(8, count=2, tokens=6, seed=seed)
    q, k = reader.queries[0], reader.keys[0]
    q[:, 1], k[:, 1] = 0.6 * q[:, 0] + 0.8 * q[:, 1], 0.6 * k[:, 0] + 0.8 * k[:, 1]
    own, crossed, content = similar.likeness(reader)
    assert 0.2 < own[:, 0, 1].mean() < 0.4
    assert similar._matrix(reader, own, crossed, content).significant[0, 1]


def test_the_share_that_goes_by_content_does_not_hang_on_how_many_samples_there_are():
    few, many = (
        np.mean([similar.likeness(heads(n, seed=s))[2].mean() for s in range(300 // n)]) for n in (2, 30)
    )
    assert few == pytest.approx(many, abs=0.04)


def test_copies_of_a_head_are_not_opposite_in_other_samples():
    reader = heads(6, count=2, tokens=12)
    reader.queries[0][:, 1], reader.keys[0][:, 1] = reader.queries[0][:, 0], reader.keys[0][:, 0]
    own, crossed, _ = similar.likeness(reader)
    assert own[:, 0, 1] == pytest.approx(1)
    assert crossed[:, 0, 1].mean() == pytest.approx(0, abs=0.03)  # -0.2 without what the means share


def test_the_most_alike_pair_stands_beside_the_most_alike_by_chance():
    reader = heads(6, count=6)
    own, crossed, content = similar.likeness(reader)
    largest = crossed.mean(axis=0)[np.triu_indices(6, 1)].max()
    assert f"of 15 pairs has {largest:.2f}" in similar._matrix(reader, own, crossed, content).reading


def test_distances_from_each_other_have_an_interval_from_five_samples_on():
    assert "low" not in others_interval(np.ones(4))
    assert "low" in others_interval(np.arange(5.0))


@pytest.mark.parametrize("method", ["attention_pattern", "attention_rollout"])
def test_two_samples_have_no_interval(method):
    found = run(method, tap(RNG(1).standard_normal((2, 6, 5))))
    each = [e for e in found.estimates if "places alone" in e.name]
    assert each
    assert all(e.low is None for e in each)


def test_keys_read_alike_are_those_of_the_query_that_is_asked():
    reader = planted(*RNG(2).standard_normal((2, 6, 40, 3)), causal=True)
    rows, may = reader.rows(0, 0, 3, 4), reader.allowed(3, 4)
    asked = np.ones(6, bool)
    found = pattern._estimates(reader, 0, np.full(6, 0.1), asked, rows[:, 0], may[:, 0])
    assert found[2].null == 4  # of four keys, not of forty


def test_ways_to_read_through_layers_are_held_against_other_samples():
    found = run("attention_rollout", tap(RNG(3).standard_normal((8, 9, 5))))
    same = told(found, "rollout and largest flow")
    assert same.null_method == "rollouts of 7 other samples"
    assert same.null > 0.1  # the readout's own token is largest in every sample
    assert not any("by places alone" in e.name for e in found.estimates)
    assert rollout.METHODS[0].version >= 2


def test_a_causal_mask_does_not_tell_queries_apart():
    """Queries that differ along a direction in which all keys agree are one query to softmax."""
    q = np.zeros((2, 12, 3))
    q[..., 2] = np.arange(12.0)
    k = np.ones((2, 12, 3))
    k[..., :2] = RNG(0).standard_normal((2, 12, 2))
    for causal in (False, True):
        assert confusion._of_sample(planted(q, k, causal=causal), 0, 0, 0, RNG(0))[0, 0] == 1
    assert any("all keys of a text" in c for c in confusion._caveats(planted(q, k, causal=True)))
    many = planted(*np.zeros((2, 2, 129, 1)))
    assert any("128 queries" in c for c in confusion._caveats(many))


def test_no_head_is_beyond_places_in_a_mean_of_its_attention():
    x = tap(RNG(4).standard_normal((12, 9, 6)))
    far = run("attention_atlas", x, measure="mean distance")
    assert far.significant is None
    np.testing.assert_allclose(far.values, far.null, rtol=0.02)  # whatever it does
    assert told(far, "single samples from places").value > 0
    assert any("by construction" in c for c in far.caveats)
    sharp = run("attention_atlas", x, measure="entropy of a row")
    assert sharp.significant.all()


def test_intervals_of_shares_stay_shares():
    found = run("attention_atlas", tap(RNG(5).standard_normal((2, 6, 4))), measure="Gini of received mass")
    assert found.low.min() >= 0
    assert found.high.max() <= 1


# ------------------------------------------------------------------------------------------------ mixing
def test_a_filter_on_a_grid_knows_places_only():
    m, cells = grid_matrix(RNG(0).standard_normal((3, 3)), (5, 7)), np.arange(35)
    assert measures.toeplitz_score(m, cells, 7)[0] == pytest.approx(1)
    assert measures.toeplitz_score(m)[0] < 0.95  # borders break the order of the line
    led = np.pad(m, ((1, 0), (1, 0)), constant_values=0.3)  # a class token before it
    assert measures.toeplitz_score(led, np.arange(36) - 1, 7)[0] == pytest.approx(1)


def test_chance_of_offsets_on_a_grid_is_that_of_exchanged_entries():
    rng, cells = RNG(1), np.arange(12)
    found = [measures.toeplitz_score(rng.standard_normal((12, 12)), cells, 4) for _ in range(400)]
    score = np.array([f[0] for f in found])
    assert abs(score.mean() - found[0][1]) < 4 * score.std() / 20


def test_landmarks_that_are_alike_count_once():
    m = RNG(0).standard_normal((20, 20))
    at = np.array([0, 5, 10, 15])
    m[:, at], m[at] = m[:, :1].copy(), m[:1].copy()
    m[:, at] = m[:, :1]
    c, r = m[:, at], m[at]
    best = c @ np.linalg.pinv(c) @ m @ np.linalg.pinv(r) @ r
    assert landmark_error(m, at) == pytest.approx(np.linalg.norm(m - best) / np.linalg.norm(m), abs=1e-9)


def test_what_no_sample_knows_is_not_zero():
    got = known_mean([[1.0, np.nan], [3.0, np.nan]])
    assert got[0] == 2
    assert np.isnan(got[1])


def test_one_matrix_has_no_interval_and_a_null_at_any_size():
    x = tap(RNG(2).standard_normal((2, 200, 3)))
    found = run("mixing_matrix", x)
    assert all(e.low is None and e.interval.startswith("none") for e in found.estimates[:4])
    assert found.estimates[4].n == 2  # over samples it has one
    assert found.null.shape == found.values.shape
    np.testing.assert_allclose(found.null.sum(axis=1), found.values.sum(axis=1))


def test_tokens_of_one_sample_are_no_draws():
    found = run("scan_folded", tap(RNG(3).standard_normal((2, 12, 3)), grid=(3, 4)))
    assert all(e.low is None and e.interval == "none: one sample" for e in found.estimates[:-1])
    assert told(found, "distance read from, all routes, over samples").low is not None


def test_a_fitted_recurrence_has_steps_already():
    """White tokens have poles near 0, which the bilinear rule would turn into -0.7: a kernel that rings."""
    x = tap(RNG(4).standard_normal((30, 10, 2)))
    a, b = (run("ssm_kernel", x, way=w) for w in ssm.WAYS)
    np.testing.assert_array_equal(a.series["impulse"], b.series["impulse"])


def test_heads_with_one_rate_start_at_1_2_3():
    log = np.log(np.arange(1.0, 5.0))
    space = ssm.from_weights("m", {"A_log": log, "bias": np.zeros(4), "D": np.ones(4)})
    family, begun = state_spaces.start_of(space)
    np.testing.assert_allclose(begun.a, space.a)
    assert family == ssm.HEADS
    np.testing.assert_allclose(ssm.nearest_start(space.a)[1], 0, atol=1e-12)


# ------------------------------------------------------------------------------------------------ pooling
def test_coarse_tokens_of_each_way_have_a_null_of_their_own():
    x = tap(RNG(6).standard_normal((30, 16, 3)), grid=(4, 4))
    found = run("projector_coverage", x)
    assert len({e.null for e in found.estimates[:3]}) == 3
    assert "differs between samples at a place" in found.reading


@pytest.mark.parametrize(("method", "more"), [
    ("pooled_weights", {}), ("pooling_influence", {}), ("projector_coverage", {}), ("mixing_measures", {}),
    ("attention_atlas", {}), ("pooling_curve", {}),
])  # fmt: skip
def test_a_part_of_the_samples_is_said(method, more):
    x = tap(RNG(7).standard_normal((45, 4, 2)), label=np.arange(45) % 2)
    found = run(method, x, maximum_samples=24, **more)
    assert any("24 of 45 samples" in c for c in found.caveats), found.caveats


def test_samples_that_are_not_drawn_are_said():
    found = run("pooled_weights", tap(RNG(8).standard_normal((13, 4, 2))))
    assert any("first 12 of 13 samples are drawn" in c for c in found.caveats)


def test_a_network_is_not_asked_for_labels_that_it_does_not_know():
    x = tap(RNG(9).standard_normal((40, 4, 2)), label=np.arange(40) % 2)
    found = run("nested_budget", x, column="writer")
    assert any("not with writer" in c for c in found.caveats)


def test_shares_of_few_tokens_are_rounded_and_it_is_said():
    short, long = (run("pooling_influence", tap(RNG(1).standard_normal((4, t, 2))), draws=2) for t in (5, 20))
    assert any("have 5 tokens" in c for c in short.caveats)
    assert not any("rounded up" in c for c in long.caveats)


def test_the_null_of_a_gain_is_that_of_exchanged_signs():
    from analysis.methods.tokens.pooling_curve import _gain

    gain = np.full(50, 0.2)  # no spread about their mean, all of it under exchanged signs
    e = _gain(np.zeros(50), gain, 3)
    draws = (RNG(0).choice([-1, 1], (4000, 50)) * gain).mean(axis=1)
    assert e.null_high == pytest.approx(1.96 * draws.std(), rel=0.05)


def test_samples_that_need_more_tokens_are_those_whose_tokens_differ_more():
    from analysis.tokens.pooling.needed_complexity import complexity
    from analysis.tokens.pooling.nested_answers import NestedAnswers
    from analysis.tokens.pooling.token_sets import token_sets

    hard = np.arange(40) % 2
    x = RNG(0).standard_normal((40, 4, 2)) * (1 + 5 * hard)[:, None, None]
    found = NestedAnswers(np.array([1, 4]), np.stack([hard, 0 * hard]), np.zeros(40, int), 2)
    (e,) = complexity(token_sets(tap(x), 40, RNG(0)), found, 2)
    assert e.low > 0.5


def test_chance_counts_large_classes_more():
    from analysis.tokens.pooling.nested_answers import NestedAnswers

    found = NestedAnswers(np.array([1]), np.array([[0, 0, 1, 1]]), np.array([0, 0, 0, 1]), 2)
    assert found.chance()[0] == 0.5 * 0.75 + 0.5 * 0.25


def test_a_scan_that_forgets_at_once_could_have_read_all_before_it():
    """Weights of far tokens are 0 in floating point; the null still has them."""
    x = tap(RNG(0).standard_normal((2, 600, 2)))
    near, far = (told(run("scan_folded", x, forgets=f), "distance read from, row").null for f in (0.5, 50.0))
    assert near == pytest.approx(far)


def test_weights_are_no_sample():
    space = state_spaces.spaces_of(Weights())[0]
    e = state_spaces.Spaces([space], (), 4).estimate("slowest", state_spaces.slowest)
    assert e.low is None
    assert e.value == pytest.approx(e.null)


class Weights:
    def __init__(self):
        self.given = {"m.A_log": np.log(np.arange(1.0, 5.0)), "m.dt_bias": np.zeros(4), "m.D": np.ones(4)}
        self.shapes = {k: v.shape for k, v in self.given.items()}

    def tensor(self, name):
        return self.given[name]


def test_shares_of_all_heads_have_no_interval():
    found = run("attention_atlas", tap(RNG(4).standard_normal((6, 9, 6))))
    assert told(found, "heads beyond places").low is None
