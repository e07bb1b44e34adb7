"""How far two answers lie apart, by hand: the divergence is of the answer afterwards from the one before."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.tokens.arithmetic import NetworkShape, multiply_adds
from analysis.tokens.ledger import COSINE, NATS, RIGHT, SAME, _spent, plan_at
from analysis.tokens.outputs import changes
from analysis.tokens.rule import AFTER, rule
from analysis.tokens.schedule import schedule
from analysis.tokens.view import PADDING, TEXT

BEFORE = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
LATER = np.log([[0.3, 0.6, 0.1], [0.25, 0.5, 0.25], [0.2, 0.1, 0.7]])
KL = [
    0.7 * np.log(0.7 / 0.3) + 0.2 * np.log(0.2 / 0.6),
    0.0,
    0.1 * np.log(0.1 / 0.2) + 0.8 * np.log(0.8 / 0.7),
]
SHAPE = NetworkShape(2, 8, 8, 8, 32)


def states(*counts) -> list:
    return [SimpleNamespace(counts=np.full(3, c)) for c in counts]


def answered(logits, left, **more) -> SimpleNamespace:
    return SimpleNamespace(logits=logits, states=states(10, *left), seconds=1.0, **more)


def spent(labels, classifies: bool = True):
    whole, less = answered(BEFORE + 3, (10, 10)), answered(LATER - 5, (6, 6))
    return _spent(whole, less, labels, SHAPE, rule("tome"), classifies)


def test_what_a_rule_spends_and_loses():
    found = spent(np.array([0, 1, -1]))
    np.testing.assert_allclose(found.values[NATS], KL, atol=1e-12)
    assert found.values[SAME].tolist() == [0, 1, 1]
    np.testing.assert_array_equal(found.values[RIGHT], [0, 1, np.nan])
    np.testing.assert_allclose(found.tokens, 0.6)
    work = multiply_adds(SHAPE, [10, 6, 6]).total / multiply_adds(SHAPE, [10, 10, 10]).total
    np.testing.assert_allclose(found.cost, work, rtol=1e-12)
    a, b = BEFORE + 3, LATER - 5
    by_hand = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(found.values[COSINE], by_hand, atol=1e-12)
    assert (np.array(by_hand) < 0).any()


def test_an_embedding_has_a_cosine_and_no_answers_and_nobody_is_right_without_labels():
    assert set(spent(None, classifies=False).values) == {COSINE}
    assert RIGHT not in spent(None).values


@pytest.mark.parametrize("id", ["tome", "fastv", "pyramid_drop"])
def test_every_rule_spends_the_most_that_is_allowed_and_no_more(id):
    """A spread that falls evenly to one token costs nearly half, and no share below that can be met."""
    one, shape = rule(id), NetworkShape(12, 64, 64, 64, 256)

    def cost(kept, fixed=1):
        return multiply_adds(shape, [k + fixed for k in kept], one.place).total

    full = cost([196] * 13)
    for share in (0.9, 0.6, 0.4):
        plan = plan_at(one, share, shape, 1)(196)
        if (id, share) == ("tome", 0.4):
            assert plan == schedule("even", 1 / 196, 12, 196)
            continue
        assert cost(plan.kept) <= share * full
        assert cost(plan.kept) > (share - 0.02) * full
    assert (rule("fastv").place == AFTER) != (rule("tome").place == AFTER)


def test_answers_of_text_are_read_behind_the_last_token_that_is_no_padding():
    torch = pytest.importorskip("torch")
    kinds = np.array([[TEXT, TEXT, PADDING], [PADDING, TEXT, TEXT]])
    layout = SimpleNamespace(present=kinds != PADDING)

    def run(rows):
        z = np.full((2, 3, 3), 9.0)
        z[0, 1], z[1, 2] = rows[0], rows[2]
        return SimpleNamespace(logits=torch.from_numpy(z), layout=layout)

    cosine, nats = changes(run(BEFORE), run(LATER))
    np.testing.assert_allclose(nats, [KL[0], KL[2]], atol=1e-12)
    a, b = BEFORE[[0, 2]], LATER[[0, 2]]
    np.testing.assert_allclose(cosine, (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
