"""Words of many paths at once: identities in closed form, against the product of one path, and what the methods say of
planted loops and gaps."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotFound, TooLarge
from analysis.methods.tokens.signature_path import SCORE, STEP, SignaturePathParams, signature_path
from analysis.methods.tokens.signature_words import LEFT, MEAN, SignatureWordsParams, signature_words
from analysis.tokens.mixers.path_words import areas, count, path_words, running, shuffled, words_of
from analysis.tokens.mixers.paths import paths_of
from analysis.tokens.mixers.signatures import levy_area, signature


def flat(levels):
    return np.concatenate([one.ravel() for one in levels])


def test_all_paths_at_once_are_each_alone_and_zeros_behind_change_nothing(rng):
    steps = rng.standard_normal((4, 7, 2))
    steps[1, 4:] = 0
    found = path_words(steps, 4)
    for k in range(4):
        path = np.vstack([np.zeros(2), np.cumsum(steps[k], axis=0)])
        np.testing.assert_allclose(found[k], flat(signature(path, 4)), atol=1e-11)
        assert areas(steps, 0, 1)[k, -1] == pytest.approx(levy_area(signature(path, 2), 0, 1), abs=1e-12)
    assert found.shape[1] == count(2, 4) == len(words_of(2, 4))


def test_a_straight_path_shuffles_and_the_words_so_far(rng):
    v = rng.standard_normal(3)
    whole = path_words(np.tile(v / 5, (1, 5, 1)), 3)[0]
    own = [v, np.multiply.outer(v, v) / 2, np.multiply.outer(np.multiply.outer(v, v), v) / 6]
    np.testing.assert_allclose(whole, flat(own), atol=1e-12)
    steps = rng.standard_normal((1, 6, 2))
    so_far = list(running(steps, 3))
    np.testing.assert_array_equal(so_far[-1], path_words(steps, 3))
    np.testing.assert_allclose(so_far[2], path_words(steps[:, :3], 3), atol=1e-12)
    s = {w: x for w, x in zip(words_of(2, 3), so_far[-1][0], strict=True)}
    shuffle = s[0, 1, 1] + s[1, 0, 1] + s[1, 1, 0]  # the word (0) with the word (1, 1)
    assert shuffle == pytest.approx(s[0,] * s[1, 1], abs=1e-12)


def test_shuffled_steps_stay_inside_their_path(rng):
    steps = np.zeros((2, 5, 1))
    steps[0, :3, 0], steps[1, :, 0] = [1, 2, 3], [4, 5, 6, 7, 8]
    moved = shuffled(steps, np.array([3, 5]), rng)
    assert sorted(moved[0, :3, 0]) == [1, 2, 3]
    assert (moved[0, 3:] == 0).all()
    assert sorted(moved[1, :, 0]) == [4, 5, 6, 7, 8]


def loops(rng, n=40, points=9):
    """Loops in two channels, walked one way or the other, beside a third that is noise."""
    of = np.arange(n) % 2
    turn = np.where(of, 1, -1)[:, None] * np.linspace(0, 2 * np.pi, points) + rng.uniform(0, 6, (n, 1))
    x = np.stack([np.cos(turn), np.sin(turn), 0.1 * rng.standard_normal(turn.shape)], axis=2)
    return of, x


def tap_of(of, x):
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), "s:loops", {"label": of}, Layout(np.arange(n + 1) * t),
                            unit_names=("east", "north", "noise"))  # fmt: skip


def test_the_channel_that_is_missed_and_the_words_that_tell_the_way_round(rng):
    tap = tap_of(*loops(rng, n=100))
    few = {"levels": 2, "time": False, "draws": 9}
    found = signature_words(tap, SignatureWordsParams(**few))
    by = {e.name: e for e in found.estimates}
    assert by["held-out share told right"].value == 1
    assert by["what the channel east adds"].low > 0.2
    assert abs(by["what the channel noise adds"].value) < 0.1
    cells = {
        (r, c): found.values[i, j]
        for i, r in enumerate(found.row_names)
        for j, c in enumerate(found.column_names)
    }
    top = sorted(cells, key=cells.get)[-2:]
    assert set(top) == {("east · …", "… north"), ("north · …", "… east")}
    left = signature_words(tap, SignatureWordsParams(**few, show=LEFT))
    assert left.values[1, 0] == 1  # all channels, two levels
    assert left.values[0, 0] < 0.8  # level 1 of a closed loop says nothing
    mean = signature_words(tap, SignatureWordsParams(**few, show=MEAN))
    assert not mean.significant[0].any()  # steps in random order keep level 1


def test_a_gap_is_bridged_and_time_keeps_it(rng):
    of, x = loops(rng, n=20)
    whole = paths_of(tap_of(of, x), "", "label", True, False, 100, rng)
    x[3, 4] = np.nan
    holed = paths_of(tap_of(of, x), "", "label", True, False, 100, rng)
    assert holed.lengths[3] == whole.lengths[3] - 1
    np.testing.assert_allclose(holed.steps[3].sum(axis=0)[0], 1.0)
    ratio = holed.steps[3].sum(axis=0)[1:] / np.where(
        whole.steps[3].sum(axis=0)[1:], whole.steps[3].sum(axis=0)[1:], 1
    )
    assert (
        np.ptp(ratio[np.abs(whole.steps[3].sum(axis=0)[1:]) > 1e-9]) < 0.05
    )  # the same ends, but for the scale


def test_a_base_point_lets_place_tell(rng):
    of, x = loops(rng, n=20)
    x += of[:, None, None] * 5.0
    plain = paths_of(tap_of(of, x), "east", "label", False, False, 100, rng)
    based = paths_of(tap_of(of, x), "east", "label", False, True, 100, rng)
    ends = based.steps.sum(axis=1)[:, 0]
    assert np.abs(plain.steps.sum(axis=1)).max() < 1e-9
    assert ends[of == 1].min() > ends[of == 0].max()


def test_the_path_of_one_sample_has_the_area_of_its_circle_and_its_steps_add_up(rng):
    of, x = loops(rng, points=33)
    tap = tap_of(of, x)
    found = signature_path(tap, SignaturePathParams(sample=1, draws=50))
    spread = x.reshape(-1, 3).std(axis=0)
    polygon = 32 / 2 * np.sin(2 * np.pi / 32)
    assert found.estimates[0].value == pytest.approx(polygon / spread[0] / spread[1], rel=1e-9)
    assert found.estimates[0].p_value < 0.05
    assert found.estimates[1].low < 0 < found.estimates[1].high
    np.testing.assert_allclose(
        np.cumsum(found.columns[STEP]) + found.columns[SCORE][0], found.columns[SCORE], atol=1e-9
    )
    assert found.columns[SCORE][-1] > found.columns[SCORE][0]
    with pytest.raises(NotFound, match="channels"):
        signature_path(tap, SignaturePathParams(second=4))
    with pytest.raises(NotFound, match="unit 'west'"):
        signature_path(tap, SignaturePathParams(channels="west"))


def test_too_many_words_are_refused_with_their_number(rng):
    with pytest.raises(TooLarge, match="5,460 words over 4 channels up to level 6"):
        signature_words(tap_of(*loops(rng)), SignatureWordsParams(levels=6))
