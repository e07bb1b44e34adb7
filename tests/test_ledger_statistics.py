"""What is said of ledgers and rankings holds where nothing is there, and in closed form where it can be had."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.attribution import targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.exchanged_slopes import exchanged_parts, slopes_of
from analysis.attribution.exchanged_values import exchanged_values
from analysis.attribution.one_sample.ledger_parts import null_parts
from analysis.attribution.one_sample.sample_question import AnswerQuestion
from analysis.attribution.players import Features, each_unit
from analysis.attribution.sample_run import SampleRun
from analysis.compute.statistics.draw_ends import against_largest
from analysis.errors import InputError
from analysis.sources.loaded_model import LoadedModel

D = 4


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


class Of(torch.nn.Module):
    """A network that is a function of its input (b, D)."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def runs(function, rows) -> list[SampleRun]:
    loaded = LoadedModel(
        Of(function), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    return [SampleRun(loaded, row) for row in rows]


ZERO, FIRST = (
    Background(torch.zeros(1, 1, D, dtype=torch.float64), "zero"),
    targets.LogitTarget(targets.LOGIT, 0),
)


# ---------------------------------------------------------------------------- one sample
def test_the_null_of_values_is_of_values():
    """Of x0 x1 + x2 with the changes of x made to x': halves of both orders, which no slope at x' gives."""
    x, *others = runs(lambda x: (x[:, 0] * x[:, 1] + x[:, 2])[:, None], data(6, D))
    found = exchanged_values(
        x, each_unit(D), ZERO, [(o, FIRST) for o in others], None, 16, np.random.default_rng(0)
    )
    own = x.clean.numpy()[0]
    for given, other in zip(found, others, strict=True):
        there = other.clean.numpy()[0]
        known = [own[0] * (there[1] - own[1] / 2), own[1] * (there[0] - own[0] / 2), own[2], 0.0]
        np.testing.assert_allclose(given, known, atol=1e-12)


def test_of_a_linear_network_exchanged_values_are_exchanged_slopes():
    weight = torch.as_tensor(data(D, 3, seed=1))
    x, *others = runs(lambda x: x @ weight, data(5, D))
    asked = [(o, targets.logit_target(o.logits, targets.DIFFERENCE)) for o in others]
    values = exchanged_values(x, each_unit(D), ZERO, asked, None, 16, np.random.default_rng(0))
    slopes = exchanged_parts(x.clean, each_unit(D), ZERO, [slopes_of(o, ZERO.rows, t, 2) for o, t in asked])
    np.testing.assert_allclose(values, slopes, atol=1e-12)


@pytest.mark.parametrize("slopes", [True, False])
def test_a_part_that_no_other_sample_would_be_owed_lies_beyond_the_null(slopes):
    """Unit 0 counts above 2 only, where no other sample is: its null is 0 to 0, and its part is not dropped."""
    rows = np.clip(data(30, D), -1.5, 1.5)
    rows[0] = [5.0, 0.5, 0.0, 0.0]
    x, *others = runs(lambda x: (torch.relu(x[:, 0] - 2) + x[:, 1])[:, None], rows)
    ends = Background(torch.as_tensor([[[-3.0, 0.0, 0.0, 0.0]]], dtype=torch.float64), "")
    asked = SimpleNamespace(of="other samples", exchanged=lambda run, progress: ((o, FIRST) for o in others))
    params = SimpleNamespace(steps=8, budget=64, null_samples=29)
    who = SimpleNamespace(who=each_unit(D), tree=None)
    if not slopes:  # the changes of x end at x' there: it is below 2 before and after
        x = x.holding(torch.as_tensor([[5.0, 0.5, 0.0, 0.0]]))
    null = null_parts(x, who, ends, asked, params, slopes, np.random.default_rng(0), lambda *_: None, (0, 1))
    np.testing.assert_array_equal(null.changed, [True, True, False, False])
    np.testing.assert_array_equal(null.ends[:, 0], [0.0, 0.0])
    assert null.beyond(np.array([3.0, 0.5, 0.0, 0.0])) == 1


def test_features_that_change_are_told_from_those_that_do_not():
    directions = data(5, 3, seed=2)
    who = Features(lambda rows: np.maximum(rows @ directions.T, 0), directions, [1, 3])
    x = torch.as_tensor(directions[1:2] - 10 * directions[3:4] * (directions[1] @ directions[3]) / 1e9)
    base = torch.zeros(1, 3, dtype=torch.float64)
    known = np.maximum(x.numpy() @ directions.T, 0)[0] != 0
    np.testing.assert_array_equal(who.changed(x, base), [known[1], known[3], known[[0, 2, 4]].any(), True])
    whole = Features(lambda rows: rows, np.eye(3), [0, 1, 2])
    np.testing.assert_array_equal(
        whole.changed(x * torch.as_tensor([1.0, 0.0, 1.0]), base), [True, False, True, False]
    )


@pytest.mark.parametrize(("number", "words"), [("", "output"), ("price", "price")])
def test_the_default_number_of_a_network_of_one_output_is_the_output(number, words):
    (run,) = runs(lambda x: x.sum(dim=1, keepdim=True), data(1, D))
    samples = SimpleNamespace(number=number, what="it", word=str, run=lambda i: run)
    asked = AnswerQuestion(samples, run, targets.DIFFERENCE, None, np.zeros(2, int))
    assert (asked.target.kind, asked.target.answer, asked.words) == (targets.LOGIT, 0, words)
    assert [t.kind for _, t in asked.exchanged(run, lambda f: None)] == [targets.LOGIT] * 2
    with pytest.raises(InputError, match="log probability"):
        AnswerQuestion(samples, run, targets.LOG_PROBABILITY, None, np.zeros(2, int))


# ---------------------------------------------------------------------------- the largest of many
def test_the_largest_of_many_is_held_against_the_largest_of_as_many():
    """Of 30 parts of noise the largest is below 0.05 in one case of 20, and not nearly always."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        own, draws = rng.standard_normal(30), rng.standard_normal((39, 30))
        best = own[np.abs(own).argmax()]
        found.append(against_largest(best, np.abs(draws).max(axis=1)))
        assert found[-1]["null_low"] <= found[-1]["null"] <= found[-1]["null_high"]
        assert np.sign(found[-1]["null"]) == np.sign(best)
    assert np.mean([f["p_value"] <= 0.05 for f in found]) == pytest.approx(0.05, abs=0.03)
