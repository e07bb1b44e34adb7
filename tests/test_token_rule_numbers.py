"""What the papers of rules for tokens say in numbers: where in the depth tokens go, what a fused token is, energies,
and which tokens of several pictures."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from test_token_rules import left, pictured

from analysis.tokens.arithmetic import NetworkShape, multiply_adds
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.rule import rule
from analysis.tokens.rules.feather import on_grid
from analysis.tokens.rules.grouped_pooling import GroupedSettings, powers_of
from analysis.tokens.rules.mctf import MctfSettings
from analysis.tokens.rules.pagerank import pagerank
from analysis.tokens.rules.pitome import ELU, WRITTEN, energies
from analysis.tokens.schedule import Schedule, at_layer, schedule
from analysis.tokens.state import TokenState, merged
from analysis.tokens.view import CLASS, PADDING, PATCH, TEXT, TokenLayout, View

WHERE = {  # of twelve layers those, from 1, behind whose attention tokens go at half of them
    "tome": tuple(range(1, 13)),
    "pitome": tuple(range(1, 13)),
    "mctf": tuple(range(1, 13)),
    "evit": (4, 7, 10),
    "class_attention": (4,),
    "dynamicvit": (3, 6, 9),
    "fastv": (2,),
    "correlation_guided": (2,),
    "feather": (3, 6),
    "pyramid_drop": (3, 6, 9),
    "aim": (1, *range(5, 13)),  # merged, then from 40 % of the depth on pruned
}


@pytest.mark.parametrize(("id", "layers"), WHERE.items())
def test_tokens_go_where_the_paper_lets_them(id, layers):
    plan = schedule(rule(id).schedule, 0.5, 12, 576)
    assert tuple(i for i, r in enumerate(plan.remove, 1) if r) == layers


def test_as_many_go_at_each_place_as_the_paper_says():
    tome, evit, drop, twice = (
        schedule(rule(id).schedule, share, 12, 576).kept
        for id, share in (("tome", 0.5), ("evit", 0.7**3), ("pyramid_drop", 1 / 8), ("feather", 0.09))
    )
    assert tome == tuple(576 - 24 * i for i in range(13))
    assert [evit[i] for i in (4, 7, 10)] == [round(576 * 0.7**k) for k in (1, 2, 3)]
    assert [drop[i] for i in (3, 6, 9)] == [288, 144, 72]
    assert [twice[i] for i in (3, 6)] == [round(576 * 0.3), round(576 * 0.09)]


def test_evenly_spread_tokens_are_the_middles_of_equal_parts():
    dump = pictured(np.zeros((1, 10, 2)), (1, 10))
    assert left(simulate(dump, rule("even"), at_layer(0, 3, 2, 10))) == [1, 5, 8]
    assert left(simulate(dump, rule("even"), at_layer(0, 5, 2, 10))) == [1, 3, 5, 7, 9]


def test_powers_of_groups_rise_by_equal_factors():
    np.testing.assert_allclose(
        powers_of(GroupedSettings(groups=3, lowest=1, highest=9)), [1, 3, 9], rtol=1e-12
    )


def test_of_one_token_a_block_does_as_many_products_as_it_has_weights():
    """A seven-billion network whose 32 heads share eight heads of keys and values has 6.98 billion in its blocks."""
    shape = NetworkShape(32, 4096, 4096, 1024, 14336, 3)
    weights = (
        4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336
    )  # queries, output; keys, values; gate, up, down
    found = multiply_adds(shape, [1] * 33)
    np.testing.assert_allclose(found.linear, weights, rtol=0)
    assert found.linear.sum() == pytest.approx(6.98e9, rel=1e-3)


@pytest.mark.parametrize("middle", [6.0, 9.0, 12.0])
def test_a_sigmoid_over_depth_leaves_what_its_middle_says(middle):
    share = 1 / (1 + exp((12 - middle) / 1.5))
    kept = schedule(rule("g_search").schedule, share, 12, 10_000).kept
    for layer in range(1, 13):
        assert kept[layer] == pytest.approx(10_000 / (1 + exp((layer - middle) / 1.5)), abs=0.51)


def test_a_fused_token_is_the_sum_of_what_it_is_made_of_by_attention():
    """Not their mean: EViT's is as much shorter as its attention adds up to less than 1."""
    rng = np.random.default_rng(0)
    dump = pictured(rng.standard_normal((2, 9, 4)), (3, 3), 2, leading=(CLASS,))
    read = rng.random((2, 10, 10))
    read /= read.sum(axis=2, keepdims=True)
    dump = TokenDump(dump.layout, dump.recorded | {"mean attention": [read, read]})
    found = simulate(dump, rule("evit"), at_layer(0, 4, 2, 9))
    x = dump.recorded["between"][0]
    made = merged(x, found.states[0], found.steps[0])
    for b in range(2):
        order = np.argsort(-read[b, 0, 1:]) + 1  # three of the four are the most read, the fourth all others
        fused = sum(read[b, 0, i] * x[b, i] for i in order[3:])
        at = found.states[1].at[b].tolist().index(order[3])
        np.testing.assert_allclose(made[b, at], fused, atol=1e-12)
        others = [i for i in range(5) if i != at]
        np.testing.assert_array_equal(made[b, others], x[b, found.states[1].at[b, others]])


def test_energies_are_sums_over_the_other_tokens():
    """Of three tokens alike and one at a right angle to them, over the three others of each."""
    cosines = np.array([[[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1.0]]])
    there, low = np.ones((1, 4), bool), exp(-0.5) - 1
    crowd, alone = (2 * 1 + low) / 3, low
    found = energies(cosines, there, 0.5, 1.0, WRITTEN)
    np.testing.assert_allclose(found[0], [crowd] * 3 + [alone], atol=1e-12)
    found = energies(cosines, there, 0.5, 1.0, ELU)
    np.testing.assert_allclose(found[0], [(2 * 0.5 + low) / 3] * 3 + [alone], atol=1e-12)
    found = energies(cosines, np.array([[True, True, False, True]]), 0.5, 1.0, WRITTEN)
    np.testing.assert_allclose(found[0, [0, 1, 3]], [(1 + low) / 2] * 2 + [low], atol=1e-12)
    assert np.isnan(found[0, 2])


def test_every_picture_has_its_own_grid():
    """Two pictures of 4 x 5, one below the other: rows 2 and 4 of each, columns 2 and 5."""
    dump = pictured(np.ones((1, 40, 2)), (8, 5), frames=2)
    view = View(0, 2, TokenState.start(dump.layout.present), dump.layout, lambda name: None)
    cells = np.flatnonzero(on_grid(view, 3)[0])
    assert [divmod(int(c), 5) for c in cells] == [(r, c) for r in (1, 3, 5, 7) for c in (1, 4)]


def test_words_read_a_picture_behind_some_of_them_by_their_mean():
    """A picture before both words and one between them: the second is read by one word alone, and as much."""
    kinds = np.array([[TEXT, PATCH, PATCH, TEXT, PATCH, PATCH, TEXT]])
    a = np.zeros((7, 7))
    a[np.arange(7), 0] = 1
    a[3, :3] = [0.3, 0.3, 0.4]
    a[6, :6] = [0.1, 0.3, 0.2, 0.05, 0.35, 0.0]
    layout = TokenLayout(kinds, kinds == PATCH, np.array([[-1, 0, 1, -1, 2, 3, -1]]), (2, 2), causal=True)
    x = np.zeros((1, 7, 2))
    dump = TokenDump(layout, {"hidden": [x] * 2, "between": [x], "mean attention": [a[None]]})
    # means over words behind each: 0.3, 0.3, 0.35, 0; sums would be 0.6, 0.6, 0.35, 0
    assert left(simulate(dump, rule("g_search"), Schedule((3,), 4))) == [0, 3, 4, 6]


def padded(rng, t: int, more: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Attention (1, 1, t, t), the same with `more` tokens of padding behind that all read the fourth token, and which
    are no padding (1, t + more)."""
    alone = rng.random((1, 1, t, t))
    alone /= alone.sum(axis=-1, keepdims=True)
    whole = np.zeros((1, 1, t + more, t + more))
    whole[..., :t, :t], whole[..., t:, 3] = alone, 1
    return alone, whole, np.arange(t + more)[None] < t


@pytest.mark.parametrize("damping", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("steps", [1, 5])
def test_no_mass_comes_from_padding(damping, steps):
    alone, whole, there = padded(np.random.default_rng(1), 7, 6)
    found = pagerank(whole, there, steps, damping)[0, 0]
    np.testing.assert_allclose(
        found[:7], pagerank(alone, np.ones((1, 7), bool), steps, damping)[0, 0], atol=1e-12
    )
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_padding_reads_nothing_that_counts_when_tokens_are_fused():
    """By what they are read alone: the fourth token, which padding reads, is as well read as its own readers say."""
    rng = np.random.default_rng(1)
    alone, whole, there = padded(rng, 9, 8)
    alone[..., 3] *= 0.3  # hardly read: the first to go, unless padding counts
    alone /= alone.sum(axis=-1, keepdims=True)
    whole[..., :9, :9] = alone
    x, went = rng.standard_normal((1, 17, 3)), []
    for a, present in ((alone[:, 0], there[:, :9]), (whole[:, 0], there)):
        kinds = np.where(present, PATCH, PADDING)
        layout = TokenLayout(kinds, present, np.full(kinds.shape, -1))
        own = x[:, : kinds.shape[1]]
        dump = TokenDump(layout, {"hidden": [own] * 3, "between": [own] * 2, "mean attention": [a] * 2})
        asked = MctfSettings(similarity=0, information=1, size=0)
        went.append(simulate(dump, rule("mctf"), Schedule((2, 0), 9), asked).states[-1].owner[0, :9])
    np.testing.assert_array_equal(*went)
    assert went[0][3] != 3 or (went[0] == 3).sum() > 1
