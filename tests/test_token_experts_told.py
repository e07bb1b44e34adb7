"""Whose samples an expert's are, which words a prompt is near, and answers that experts give together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval.refining import unit
from analysis.errors import InputError, NotFound, ShapeError
from analysis.methods.populations.merged_answers import (
    MergedAnswersParams,
    merged,
    merged_answers,
    told_of,
)
from analysis.methods.tokens.expert_samples import alike, expert_samples, leading, ranked
from analysis.methods.tokens.prompt_words import prompt_words
from analysis.tokens.sets.word_neighbours import nearest


def test_samples_go_to_the_expert_with_most_of_their_tokens_and_ties_to_the_larger_gate():
    q = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    mean = np.array([[0.3, 0.6, 0.1], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.9, 0.05, 0.05]])
    of = leading(q, mean)
    assert of.tolist() == [1, 2, 0, 0]
    assert ranked(q, mean, of, 0).tolist() == [3, 2]


def test_pairs_alike_are_counted_one_by_one(rng):
    of, label = rng.integers(0, 3, 25), rng.integers(0, 4, 25)
    pairs = [(a, b) for a, b in itertools.combinations(range(25), 2) if of[a] == of[b]]
    assert alike(of, label) == pytest.approx(np.mean([label[a] == label[b] for a, b in pairs]))
    assert np.isnan(alike(np.arange(3), np.zeros(3, int)))


def test_groups_name_rows_of_the_tap(rng):
    tap = ArrayActivations(5 * rng.standard_normal((60, 4)), samples={"label": np.arange(20) % 2},
                           layout=Layout(np.arange(0, 61, 3)))  # fmt: skip
    found = expert_samples(tap)
    rows = np.concatenate(list(found.groups.values()))
    assert (rows % 3 == 0).all()
    assert len(np.unique(rows)) == len(rows)
    assert set(found.groups) == set(found.values)


def test_the_gallery_is_of_whole_samples_and_marks_no_token(rng):
    tap = ArrayActivations(5 * rng.standard_normal((60, 4)), layout=Layout(np.arange(0, 61, 3)))
    assert expert_samples(tap).of == "samples"


def test_nearest_words_are_those_of_all_cosines_at_once(rng):
    p, table = rng.standard_normal((7, 5)), unit(rng.standard_normal((9000, 5)))
    at, top = nearest(p, table, 4)
    every = unit(p) @ table.T
    np.testing.assert_array_equal(at, np.argsort(-every, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(top, -np.sort(-every, axis=1)[:, :4])


def test_words_are_called_by_their_texts_and_other_widths_are_refused(rng):
    words = ArrayActivations(
        rng.standard_normal((30, 6)), samples={"text": np.array([f"w{i}" for i in range(30)])}
    )
    found = prompt_words(2.0 * words.values[[4, 9]] - words.values.mean(axis=0), words)
    assert found.columns["nearest"].tolist() == ["w4", "w9"]
    with pytest.raises(ShapeError, match="one space"):
        prompt_words(rng.standard_normal((4, 5)), words)
    with pytest.raises(InputError, match="all alike"):
        prompt_words(rng.standard_normal((4, 6)), np.ones((20, 6)))


def test_one_expert_with_next_to_nothing_vetoes_a_word_and_means_of_logits_are_geometric(rng):
    logs = np.log(rng.dirichlet(np.ones(5), (3, 40)))
    p = np.exp(merged(logs))
    want = np.prod(np.exp(logs), axis=0) ** (1 / 3)
    np.testing.assert_allclose(p, want / want.sum(axis=1, keepdims=True))
    told = told_of(logs, 0.05)
    assert (told[0].sum(axis=0) == 1).all()  # one is the nearest
    for k, t in itertools.product(range(3), range(40)):
        rest = np.prod(np.exp(np.delete(logs[:, t], k, axis=0)), axis=0).argmax()
        lost = rest != p[t].argmax() and np.exp(logs[k, t, rest]) < 0.05
        assert told[2, k, t] == lost


def test_tokens_of_one_sample_are_drawn_expert_by_expert(rng):
    taps = [
        ArrayActivations(rng.standard_normal((30, 4)), f"e{i}", layout=Layout(np.arange(0, 31, 5)))
        for i in range(2)
    ]
    found = merged_answers(*taps, params=MergedAnswersParams(sample=3))
    assert found.column_names == tuple(f"token {i}" for i in range(5))
    assert found.values.shape == (2, 5)
    with pytest.raises(NotFound, match="sample 9"):
        merged_answers(*taps, params=MergedAnswersParams(sample=9))
