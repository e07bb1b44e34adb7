"""The score by PageRank step by step: as the rule walks over the whole array, and with a planted sink."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import ParameterError
from analysis.methods.tokens import pagerank_steps as method
from analysis.methods.tokens.pagerank_steps import (
    FIRST,
    MEAN_FIRST,
    SAME,
    PagerankStepsParams,
    first_shares,
    kept_alike,
    pagerank_steps,
    walked,
)
from analysis.tokens.attention.heads import HeadReader, planted
from analysis.tokens.rules.pagerank import pagerank, sharpened
from analysis.tokens.view import PADDING, TEXT, TokenLayout

RNG = np.random.default_rng
LENGTHS = (9, 6, 8)


def text(before: bool = False) -> HeadReader:
    """Three heads of texts of different length, padding before or behind."""
    t = max(LENGTHS)
    there = np.arange(t) < np.array(LENGTHS)[:, None]
    there = there[:, ::-1] if before else there
    q, k = RNG(0).standard_normal((2, 3, 3, t, 4)) * 1.5
    layout = TokenLayout(np.where(there, TEXT, PADDING), there, np.full(there.shape, -1), None, causal=True)
    return HeadReader(layout, [q], [k], np.arange(3), 4)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("damping", [0.0, 0.15])
def test_block_by_block_is_the_walk_of_the_rule_over_each_text_alone(before, damping):
    reader = text(before)
    asked = PagerankStepsParams(steps=7, damping=damping, temperature=0.4)
    found = walked(reader, 0, asked)
    share = first_shares(found, reader)
    for b, there in enumerate(reader.layout.present):
        a = np.stack([reader.rows(0, h)[b][np.ix_(there, there)] for h in range(3)])[None]
        for step in (1, 5, 7):
            mass = pagerank(sharpened(a, 0.4), np.ones((1, there.sum()), bool), step, damping)[0]
            score = np.sqrt((mass**2).mean(axis=0))
            np.testing.assert_allclose(found[step - 1, b, there], score, atol=1e-12)
            assert not found[step - 1, b, ~there].any()
            assert share[step - 1, b] == pytest.approx(score[0] / score.sum(), abs=1e-12)


def test_half_of_the_tokens_is_kept_and_compared_with_five_steps():
    reader = text()
    scores = walked(reader, 0, PagerankStepsParams(steps=6))
    same, chance = kept_alike(scores, reader)
    for b, n in enumerate(LENGTHS):
        kept = [set(np.argsort(-s[b, :n], kind="stable")[: n - n // 2].tolist()) for s in scores]
        np.testing.assert_allclose(
            same[:, b], [len(k & kept[4]) / len(k | kept[4]) for k in kept], atol=1e-12
        )
    assert (same[4] == 1).all()
    assert ((chance > 0) & (chance < 1)).all()


def heads(sink: float) -> HeadReader:
    """Pictures of thirteen tokens, of which every query looks for the first by so much."""
    q, k = RNG(1).standard_normal((2, 8, 13, 6))
    q[:, :, 0], k[:, :, 0] = 1, 0
    k[:, 0, 0] = sink
    return planted(q, k)


def test_a_sink_draws_the_score_and_noise_does_not():
    asked = PagerankStepsParams(temperature=1.0)
    noise, sink = (first_shares(walked(heads(s), 0, asked), heads(s))[4].mean() for s in (0.0, 12.0))
    assert noise == pytest.approx(1 / 13, abs=0.04)
    assert sink > 0.95


def test_of_rows_it_says_that_the_first_token_is_their_mean():
    x = RNG(1).standard_normal((30 * 12, 6))
    found = pagerank_steps(ArrayActivations(x, "rows", layout=Layout(np.arange(31) * 12)))
    assert found.x.tolist() == list(range(1, 21))
    assert set(found.series) == {FIRST, SAME} == set(found.null)
    assert found.series[SAME][4] == 1
    np.testing.assert_allclose(found.null[FIRST], 1 / 13, rtol=1e-12)
    assert MEAN_FIRST in found.caveats


def test_no_such_layer_is_refused():
    with pytest.raises(ParameterError, match="layer 3"):
        pagerank_steps(
            ArrayActivations(RNG(0).standard_normal((60, 4)), "rows"), PagerankStepsParams(layer=3)
        )


@pytest.mark.parametrize(("name", "broken"), [
    ("sharpened", lambda a, tau: np.ones_like(a)),
    ("even_rows", lambda may: may * 1.0),
    ("jaccard", lambda a, b: np.zeros(len(a))),
])  # fmt: skip
def test_the_check_fails_on_broken_code(name, broken, monkeypatch):
    monkeypatch.setattr(method, name, broken)
    lines = method._check()
    assert not all(line.passed for line in lines), name
