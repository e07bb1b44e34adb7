"""Sessions of new classes: shifts and distances from a simplex, by hand and of the sample networks; refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from analysis.activations import ArrayActivations
from analysis.compute.subspaces.session_simplex import ACROSS, ALL, BASE, NOVEL, simplex_distances
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.methods.tokens import session_shift as method
from analysis.methods.tokens.session_shift import CENTRED, SIMPLEX, SessionShiftParams, session_shift
from analysis.sources.classifier_head import Head
from analysis.tokens import class_sessions
from analysis.workspace import Workspace

SAMPLES = Path(__file__).parents[1] / "sample_data"
OF = np.arange(180) % 6


def told(result):
    return {e.name: e for e in result.estimates}


def tap(x, name, of=OF):
    return ArrayActivations(x, name, {"label": of})


def series(rng, grown=(0.0, 0.2, 0.5)):
    """Features that grow by session, those of novel classes twice as much."""
    x = rng.standard_normal((180, 8))
    more = np.where(OF < 3, 1.0, 2.0)[:, None]
    return x, [tap(x * (1 + g * more), f"s{i}:h") for i, g in enumerate(grown)]


# ---------------------------------------------------------------------------- features
def test_shift_is_zero_at_session_0_and_what_was_planted_at_each_later_one(rng):
    x, taps = series(rng)
    found = session_shift(*taps)
    assert found.series[BASE][0] == found.series[NOVEL][0] == 0.0
    np.testing.assert_allclose(found.series[BASE], [0, 0.2, 0.5])
    np.testing.assert_allclose(found.series[NOVEL], [0, 0.4, 1.0])
    assert found.x_labels == ("s0", "s1", "s2")
    assert "Classes by session: 0, 1, 2; 3, 4; 5." in found.caveats
    by = told(found)
    assert by["shift of base classes at s2"].n == 90
    far = [np.linalg.norm(x[OF < 3][None] - x[OF < 3][:, None], axis=2) / np.linalg.norm(x[OF < 3], axis=1)]
    assert by["shift of base classes at s2"].null == pytest.approx(np.mean(far), rel=0.1)
    assert "moved by 50% of their length" in found.reading


def test_sessions_are_as_they_are_named(rng):
    _, taps = series(rng)
    found = session_shift(*taps, params=SessionShiftParams(sessions="5, 4; 3; 0"))
    assert "Classes by session: 5, 4; 3; 0." in found.caveats
    assert any("2 class(es) that come in no session" in c for c in found.caveats)
    np.testing.assert_allclose(found.series[BASE], [0, 0.4, 1.0])
    assert told(found)["shift of base classes at s1"].n == 60
    assert told(found)["shift of novel classes at s1"].n == 60


# ---------------------------------------------------------------------------- the classifier
def simplex(k, d, rng):
    return (np.eye(k) - 1 / k) @ np.linalg.qr(rng.standard_normal((d, k)))[0].T


def with_heads(monkeypatch, heads):
    """Checkpoints whose classifiers are these (K, d), one for each session, a row for each class by its number."""

    def head_of(activations, classes, layer=""):
        weight = heads[int(activations.name[1])]
        if max(map(int, classes)) >= len(weight):
            raise NotFound("no such row", "a row for each class")
        at = [int(c) for c in classes]
        return Head("fc", weight[at], np.zeros(len(at)))

    class Weights:
        def __init__(self, tap):
            self.tap = tap

        def layer(self, name):
            return Head(name, heads[int(self.tap.name[1])], np.zeros(1))

    monkeypatch.setattr(class_sessions, "head_of", head_of)
    monkeypatch.setattr(class_sessions, "weights_of", Weights)


def test_a_classifier_that_is_fixed_to_a_simplex_is_at_none_of_its_distance_in_every_session(
    rng, monkeypatch
):
    _, taps = series(rng)
    with_heads(monkeypatch, [simplex(6, 8, rng)] * 3)
    for rows in (method.AS_IT_IS, CENTRED):
        found = session_shift(*taps, params=SessionShiftParams(show=SIMPLEX, rows=rows))
        np.testing.assert_allclose(found.series[ALL], 0, atol=1e-9)
        for kind in (ALL, BASE, NOVEL, ACROSS):
            assert told(found)[f"mean cosine, {kind} at s2"].value == pytest.approx(-1 / 5)
        assert np.isnan(found.series[NOVEL][0])  # none has come
        assert (found.null[ALL] > 0.2).all()


def test_a_classifier_that_grows_and_leaves_the_simplex_among_its_novel_rows(rng, monkeypatch):
    """Base rows orthogonal; novel ones copies of each other."""
    _, taps = series(rng)
    whole = np.eye(8)[[0, 1, 2, 3, 3, 3]]
    with_heads(monkeypatch, [whole[:3], whole[:5], whole])
    found = session_shift(*taps, params=SessionShiftParams(show=SIMPLEX))
    np.testing.assert_allclose(found.series[BASE], [1 / 2, 1 / 4, 1 / 5])
    np.testing.assert_allclose(found.series[NOVEL][1:], [1 + 1 / 4, 1 + 1 / 5])
    by = told(found)
    assert by[f"mean cosine, {NOVEL} at s2"].value == pytest.approx(1)
    assert by[f"mean cosine, {ACROSS} at s2"].value == pytest.approx(0)
    cosines = [1.2] * 3 + [0.2] * 12
    assert by[f"distance from a simplex, {ALL} at s2"].value == pytest.approx(
        np.sqrt(np.mean(np.square(cosines)))
    )


def test_random_rows_are_as_far_as_the_closed_form_says_and_orthonormal_ones_are_a_simplex_once_centred(rng):
    novel = np.arange(10) > 4
    free = simplex_distances(rng.standard_normal((10, 40)), novel, 10, None, 3000, rng)[ALL]
    assert np.square(free.null[0, 0]) == pytest.approx(1 / 40 + 1 / 81, rel=0.02)
    square = simplex_distances(np.eye(10), novel, 10, np.full(10, 0.1), 20, rng)
    assert square[ALL].distance == pytest.approx(0, abs=1e-12)
    assert simplex_distances(np.eye(10), novel, 10, None, 20, rng)[ALL].distance == pytest.approx(1 / 9)


def test_intervals_leave_one_class_out(rng):
    rows, novel = rng.standard_normal((7, 5)), np.arange(7) > 3
    found = simplex_distances(rows, novel, 7, None, 20, rng)[BASE]
    unit = rows[:4] / np.linalg.norm(rows[:4], axis=1, keepdims=True)
    c = unit @ unit.T
    some = []
    for out in range(4):
        at = np.delete(np.arange(4), out)
        pairs = c[np.ix_(at, at)][np.triu_indices(3, 1)]
        some.append(np.sqrt(np.square(pairs + 1 / 6).mean()))
    some = np.array(some)
    assert found.halves[0] == pytest.approx(
        3.182446305 * np.sqrt(3 / 4 * np.square(some - some.mean()).sum()), rel=1e-6
    )
    assert found.classes == 4


def test_the_classifiers_of_the_sample_networks_are_read_from_their_files():
    workspace = Workspace.open(SAMPLES / "workspace")
    taps = [workspace.activations(f"{s}:vit.layernorm") for s in ("digits-vit", "digits-vit-seed1")]
    found = session_shift(*taps, params=SessionShiftParams(show=SIMPLEX))
    assert any("weight of 'classifier'" in c for c in found.caveats)
    (path,) = [p for p in (SAMPLES / "checkpoints").rglob("*.safetensors") if "vit-seed1" in str(p)]
    rows = next(v for k, v in load_file(path).items() if k.endswith("classifier.weight")).astype(float)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(10, 1)]
    by = told(found)
    assert by["mean cosine, all classes at digits-vit-seed1"].value == pytest.approx(pairs.mean(), abs=1e-6)
    assert found.series[ALL][1] == pytest.approx(np.sqrt(np.square(pairs + 1 / 9).mean()), abs=1e-6)


def test_class_means_stand_for_a_classifier_that_is_not_known(rng):
    x = simplex(6, 8, rng)[OF] + 1e-3 * rng.standard_normal((180, 8)) + 4.0
    found = session_shift(tap(x, "a"), tap(x, "b"), params=SessionShiftParams(show=SIMPLEX))
    assert found.series[ALL][1] == pytest.approx(0, abs=1e-2)
    assert any("Class means stand for the classifier, whose weights" in c for c in found.caveats)
    assert any("as was asked" in c for c in session_shift(
        tap(x, "a"), tap(x, "b"), params=SessionShiftParams(head="none")).caveats)  # fmt: skip


# ---------------------------------------------------------------------------- refusals and the check
def test_what_is_refused(rng):
    _, taps = series(rng)
    with pytest.raises(ParameterError, match="no class '9'"):
        session_shift(*taps, params=SessionShiftParams(sessions="0; 9"))
    with pytest.raises(ParameterError, match="twice"):
        session_shift(*taps, params=SessionShiftParams(sessions="0, 1; 1"))
    with pytest.raises(ParameterError, match=r"4 session\(s\) for 3"):
        session_shift(*taps, params=SessionShiftParams(sessions="0; 1; 2; 3"))
    of = np.where(OF == 0, 1, OF)
    of[:2] = 0
    few = [tap(t.values, t.name, of) for t in taps]
    with pytest.raises(NotEnoughData, match="base classes"):
        session_shift(*few, params=SessionShiftParams(sessions="0; 1"))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("shifts", lambda values, mine, rng: method_shifts(values[::-1], mine, rng)),
        ("simplex_distances", lambda rows, novel, k, *rest: simplex_distances(rows, novel, k + 1, *rest)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    monkeypatch.setattr(method, name, broken)
    assert not all(line.passed for line in method._check())


method_shifts = method.shifts
