"""Other answers by chance: renamed alike in all samples, so that samples hang together as they do by their own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from analysis.attribution.targets import DIFFERENCE, LOGIT
from analysis.interventions.component_game import random_targets
from analysis.interventions.many_targets import ManyTargets

CLASSES, DRAWS = 6, 40


def test_one_answer_becomes_the_same_other_one_in_every_sample_of_every_batch():
    answers = [np.array([0, 0, 1, 2]), np.array([2, 0])]
    targets = [ManyTargets(DIFFERENCE, a, (a + 1) % CLASSES, np.zeros(len(a), int)) for a in answers]
    bench = SimpleNamespace(runs=[SimpleNamespace(logits=np.zeros((4, CLASSES)))], targets=targets)
    first, second = random_targets(bench, DRAWS, np.random.default_rng(0))
    assert len(first) == len(second) == DRAWS
    for one, two in zip(first, second, strict=True):
        assert one.answer[0] == one.answer[1] == two.answer[1]
        assert one.answer[3] == two.answer[0]
        assert len(set(one.answer[1:])) == 3  # other answers stay other answers
        assert (one.answer != one.against).all()
        assert one.against[0] == one.answer[2]  # of classes 0 and 1, whoever asks for them
        assert one.kind == DIFFERENCE
    assert {int(one.answer[0]) for one in first} == set(range(CLASSES))


def test_a_logit_has_no_other_side():
    bench = SimpleNamespace(
        runs=[SimpleNamespace(logits=np.zeros((2, CLASSES)))],
        targets=[ManyTargets(LOGIT, np.array([1, 1]), None, np.zeros(2, int))],
    )
    assert all(t.against is None for t in random_targets(bench, 3, np.random.default_rng(0))[0])
