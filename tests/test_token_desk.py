"""A sample's dump for the film: kept and read again, and what stands for a network that cannot be run."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotFound, ParameterError, StoreDamaged
from analysis.tokens.asking import TokenDesk
from analysis.tokens.dump import simulate
from analysis.tokens.kept_dump import keep, load, place_of
from analysis.tokens.rule import rule
from analysis.tokens.schedule import schedule
from dashboard.browse import token_rules
from dashboard.figures.text import number


@pytest.fixture
def tap():
    x = np.random.default_rng(0).standard_normal((60, 5))
    return ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 61, 12)))


def test_without_a_network_the_rows_are_the_tokens_and_it_is_said(tap, tmp_path):
    desk = TokenDesk(tap)
    made = desk.dump(3)
    assert made.note.startswith("The network is not run (planted knows no checkpoint")
    path = place_of(tmp_path, tap.digest, 3)
    keep(made, path)
    found = load(path)
    assert (found.note, found.shape, found.words) == (made.note, made.shape, ())
    np.testing.assert_array_equal(found.dump.layout.kinds, made.dump.layout.kinds)
    for name, values in made.dump.recorded.items():
        for a, b in zip(values, found.dump.recorded[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_its_answer_is_the_mean_of_what_is_left(tap):
    desk, one = TokenDesk(tap), rule("first")
    told = desk.applied(2, "first", 0.5)
    made = desk.dump(2).dump
    left = simulate(made, one, schedule(one.schedule, 0.5, made.layers, 12)).states[-1].owner[0] >= 0
    x = made.recorded["hidden"][0][0]
    some, every = x[1:][left[1:]].mean(axis=0), x[1:].mean(axis=0)  # the first is the class token
    known = some @ every / np.linalg.norm(some) / np.linalg.norm(every)
    assert told.cosine == pytest.approx(known, abs=1e-9)
    assert told.seconds == 0
    assert (told.counts[0], told.counts[-1]) == (13, 7)


def test_the_answer_stands_beside_those_of_as_many_tokens_at_random(tap, rng):
    desk = TokenDesk(tap)
    told = desk.applied(2, "first", 0.5)
    drawn = np.array(told.by_chance)
    assert drawn.shape == (10, 2)
    x = desk.dump(2).dump.recorded["hidden"][0][0][1:]
    every, means = x.mean(axis=0), [x[rng.permutation(12)[:6]].mean(axis=0) for _ in range(2000)]
    known = np.array([m @ every / np.linalg.norm(m) / np.linalg.norm(every) for m in means])
    assert abs(drawn[:, 0].mean() - known.mean()) < 4 * known.std() / 10**0.5
    assert drawn[:, 0].std() > known.std() / 3
    assert desk.applied(2, "random", 0.5).cosine not in drawn[:, 0]  # random keep is none of its own draws
    np.testing.assert_allclose(np.array(desk.applied(2, "first", 1.0).by_chance)[:, 0], 1)
    said = token_rules.answer_sentence(vars(told), "First tokens")
    assert f"(as many tokens at random: {number(drawn[:, 0].mean())}, " in said
    assert said.endswith("in 10 draws).")


def test_a_tap_of_one_row_a_sample_has_the_neighbours_of_the_sample(tap):
    pooled = ArrayActivations(tap.values, name="planted")
    desk = TokenDesk(pooled)
    np.testing.assert_array_equal(desk.dump(0).dump.layout.kinds, desk.dump(15).dump.layout.kinds)
    assert (
        desk.dump(0).dump.recorded["hidden"][0].tobytes()
        == desk.dump(15).dump.recorded["hidden"][0].tobytes()
    )
    assert (
        desk.dump(0).dump.recorded["hidden"][0].tobytes()
        != desk.dump(16).dump.recorded["hidden"][0].tobytes()
    )
    assert desk.dump(59).dump.n == 1  # beyond the last whole run


def test_what_is_not_there_is_said(tap, tmp_path):
    with pytest.raises(NotFound, match="sample 5"):
        TokenDesk(tap).dump(5)
    path = tmp_path / "broken.npz"
    path.write_bytes(b"no file of ours")
    with pytest.raises(StoreDamaged, match=r"broken\.npz"):
        load(path)


def test_settings_count_where_rows_stand_for_tokens_and_wrong_ones_are_refused(tap):
    desk = TokenDesk(tap)
    few, many = (desk.applied(2, "last", 0.5, {"sinks": k}) for k in (0, 5))
    assert (few.owners[-1] != many.owners[-1]).any()
    with pytest.raises(ParameterError):
        desk.applied(2, "last", 0.5, {"sinks": -1})


def test_faults_of_rows_are_told_and_what_only_a_run_shows_is_not_seen(tap):
    found = {name: verdict for name, verdict, _ in TokenDesk(tap).applied(2, "evit", 0.5).faults}
    assert found["weights of a merge"] == "fault"
    assert found["pruned tokens still computed"] == "not seen"
