"""Every token as a row: the same numbers where samples have one token, whole samples left out where they have more."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks.residual_stream import paired_product
from analysis.compute.rows.common_rows import LARGEST, common_rows, rows_of_one
from analysis.compute.rows.some_samples import EVERY, MEAN
from analysis.compute.subspaces.confidence import bootstrap_error, fourth_moments
from analysis.compute.subspaces.series import SeriesParams, series_rows, subspace_series
from analysis.errors import InputError, NotEnoughData
from analysis.methods.rank.rank_dossier import RankDossierParams, rank_dossier
from analysis.methods.subspaces.average_subspace import AverageSubspaceParams, average_subspace
from analysis.methods.subspaces.flag_distances import FlagDistancesParams, flag_distances
from analysis.methods.subspaces.moved_samples import SHARE, MovedSamplesParams, moved_samples
from analysis.methods.subspaces.moved_units import MovedUnitsParams, moved_units
from analysis.methods.subspaces.principal_angle_spectrum import (
    PrincipalAngleSpectrumParams,
    principal_angle_spectrum,
)
from analysis.methods.subspaces.shortcut_echo import COSINE, NEAR, ShortcutEchoParams, shortcut_echo
from analysis.methods.subspaces.subspace_confidence import (
    ANY,
    BOOTSTRAP,
    GAUSSIAN,
    SubspaceConfidenceParams,
    subspace_confidence,
)
from analysis.methods.subspaces.subspace_distances import SubspaceDistancesParams, subspace_distances
from analysis.methods.subspaces.subspace_movie import SubspaceMovieParams, subspace_movie

SEVERAL = {  # method and its parameters, for taps of one space
    subspace_movie: SubspaceMovieParams, moved_samples: MovedSamplesParams, moved_units: MovedUnitsParams,
    average_subspace: AverageSubspaceParams, subspace_distances: SubspaceDistancesParams,
    flag_distances: FlagDistancesParams, shortcut_echo: ShortcutEchoParams,
}  # fmt: skip
SPECTRUM = np.sqrt([30.0, 20, 2, 1, 1, 0.5])
NOTE = "n is the 12 samples"


def series(rng, samples=12, tokens=40, taps=3, units=6):
    """Planes that turn a little from tap to tap; tokens share a part that only their sample has."""
    own = np.repeat(rng.standard_normal((samples, units)), tokens, axis=0)
    x = (0.5 * own + rng.standard_normal((samples * tokens, units))) * SPECTRUM[:units]
    turn, found = np.eye(units), []
    c, s = np.cos(0.15), np.sin(0.15)
    step = np.eye(units)
    step[[0, 0, 2, 2], [0, 2, 0, 2]] = c, -s, s, c
    for t in range(taps):
        layout = Layout(np.arange(samples + 1, dtype=np.int64) * tokens)
        found.append(ArrayActivations(x @ turn.T + 3.0, name=f"net:h.{t}", layout=layout))
        turn = step @ turn
    return found


@pytest.mark.parametrize("method", SEVERAL, ids=lambda m: m.__name__)
def test_twelve_samples_of_many_tokens_are_enough(method, rng):
    found = method(*series(rng), params=SEVERAL[method](tokens=EVERY))
    assert any(NOTE in c for c in found.caveats)
    assert all(e.n in (12, 6) or "dimension of" in e.name for e in found.estimates)  # 6: half of the samples


def test_the_velocity_of_a_planted_turn(rng):
    """Of the span of all tokens, by SciPy's angles."""
    taps = series(rng)
    found = subspace_movie(*taps, params=SubspaceMovieParams(tokens=EVERY, dimension=2, draws=10))
    planes = [np.linalg.svd(t.values - t.values.mean(axis=0))[2][:2].T for t in taps]
    angles = [subspace_angles(*pair) for pair in pairwise(planes)]
    expected = [((2 * np.sin(a / 2)) ** 2).sum() for a in angles]
    np.testing.assert_allclose(found.series["velocity"], expected, rtol=1e-7)
    assert expected[0] == pytest.approx((2 * np.sin(0.075)) ** 2, rel=0.1)
    assert found.x_labels == ("h.1", "h.2")


@pytest.mark.parametrize("method", SEVERAL, ids=lambda m: m.__name__)
def test_of_one_token_a_sample_it_is_the_pooled_result(method, rng):
    taps = series(rng, samples=60, tokens=1)
    one, other = (method(*taps, params=SEVERAL[method](tokens=t)) for t in (MEAN, EVERY))
    assert one.estimates == other.estimates
    assert one.caveats == other.caveats


def test_few_pooled_samples_are_refused_and_the_choice_is_named(rng):
    for method in (subspace_movie, moved_samples, moved_units):
        with pytest.raises(NotEnoughData, match="set 'tokens' to 'every token is a row'"):
            method(*series(rng))
    with pytest.raises(NotEnoughData) as refusal:  # nothing to name where there are no tokens
        subspace_movie(*series(rng, tokens=1))
    assert "tokens" not in str(refusal.value)


def test_what_tokens_cannot_tell_is_refused(rng):
    taps = series(rng)
    wide = ArrayActivations(rng.standard_normal((480, 9)), name="net:w", layout=taps[0].layout)
    with pytest.raises(InputError, match="space of samples"):
        subspace_distances(taps[0], wide, params=SubspaceDistancesParams(tokens=EVERY))
    other = ArrayActivations(rng.standard_normal((24, 6)), layout=Layout(np.arange(13) * 2))
    with pytest.raises(InputError, match="different tokens"):
        flag_distances(taps[0], other, params=FlagDistancesParams(tokens=EVERY))
    with pytest.raises(NotEnoughData, match="at least 8 samples"):
        flag_distances(*series(rng, samples=5), params=FlagDistancesParams(tokens=EVERY))


def test_rows_are_matched_by_id_and_place_and_bad_ones_left_out(rng):
    """A tap with its samples in another order and a token that is not finite; ragged samples."""
    lengths = np.array([3, 1, 4, 2, 5, 2, 3, 4, 2])
    x, ids = rng.standard_normal((lengths.sum(), 4)), np.array([f"s{i}" for i in range(9)])
    order = rng.permutation(9)
    starts = np.cumsum(lengths) - lengths
    rows = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in order])
    y = x[rows].copy()
    y[np.flatnonzero(rows == 4)[0], 1] = np.nan  # the first token of sample 2
    one = ArrayActivations(x, layout=Layout(np.r_[0, np.cumsum(lengths)]), samples={"id": ids})
    two = ArrayActivations(y, layout=Layout(np.r_[0, np.cumsum(lengths[order])]), samples={"id": ids[order]})
    found = common_rows([one, two], rng, tokens=EVERY, maximum=1000, minimum=20)
    np.testing.assert_array_equal(found.values[0], found.values[1])
    np.testing.assert_array_equal(found.values[0], np.delete(x, 4, axis=0))
    np.testing.assert_array_equal(np.bincount(found.sample), np.where(np.arange(9) == 2, 3, lengths))
    np.testing.assert_array_equal(found.place[found.sample == 2], [1, 2, 3])
    assert any("1 token(s) with NaN" in note for note in found.notes)
    few = common_rows([one, two], rng, tokens=EVERY, maximum=20, minimum=20)
    assert len(few.sample) <= 20
    assert few.sample.max() + 1 == few.n_samples == len(few.ids)
    largest = rows_of_one(one, rng, tokens=LARGEST, maximum=100, minimum=8).values[0]
    np.testing.assert_array_equal(largest, np.maximum.reduceat(x, starts, axis=0))


def test_samples_are_left_out_and_drawn_whole(rng):
    taps, params = series(rng), SeriesParams(space="units", tokens=EVERY, dimension=2)
    data = series_rows(taps, params, rng)
    found = subspace_series(taps, data, ("a", "b", "c"), params, np.random.default_rng(1), 3)
    for group in found.groups:
        kept = np.isin(data.sample, np.unique(data.sample[group]))
        np.testing.assert_array_equal(np.flatnonzero(kept), group)
    x = data.values[1]
    left = np.delete(x, found.groups[2], axis=0)
    axes = np.linalg.svd(left - left.mean(axis=0), full_matrices=False)[2][:2]
    np.testing.assert_allclose(axes.T @ axes, found.without[1][2] @ found.without[1][2].T, atol=1e-10)
    rng = np.random.default_rng(1)
    rng.permutation(12)  # as the groups were drawn
    drawn = np.concatenate([np.flatnonzero(data.sample == s) for s in rng.integers(12, size=12)])
    again = x[drawn]
    axes = np.linalg.svd(again - again.mean(axis=0), full_matrices=False)[2][:2]
    np.testing.assert_allclose(axes.T @ axes, found.redrawn[1][0] @ found.redrawn[1][0].T, atol=1e-10)


def test_the_share_of_a_sample_is_that_of_all_its_tokens(rng):
    taps = series(rng)
    found = moved_samples(*taps, params=MovedSamplesParams(tokens=EVERY, dimension=2, step=2))
    shares = dict(zip(found.columns["sample"].tolist(), found.columns[SHARE].tolist(), strict=True))
    centred = [t.values - t.values.mean(axis=0) for t in taps[:2]]
    planes = [np.linalg.svd(x, full_matrices=False)[2][:2].T for x in centred]
    values, vectors = np.linalg.eigh(sum(p @ p.T for p in planes))
    apart = vectors[:, (values > 1e-9) & (values < 1 - 1e-9)]
    inside = sum(((x @ apart) ** 2).sum(axis=1) for x in centred).reshape(12, 40).sum(axis=1)
    whole = sum((x**2).sum(axis=1) for x in centred).reshape(12, 40).sum(axis=1)
    np.testing.assert_allclose([shares[str(i)] for i in range(12)], inside / whole, rtol=1e-8)


def test_copies_of_a_token_say_no_more_than_one(rng):
    """Each sample's tokens all alike: intervals and errors are those of the samples, however many copies there are."""
    x = rng.standard_normal((30, 6)) * SPECTRUM
    taps = [
        ArrayActivations(np.repeat(x @ q, 20, axis=0), name=f"net:{i}", layout=Layout(np.arange(31) * 20))
        for i, q in enumerate([np.eye(6), np.linalg.qr(np.eye(6) + 0.1 * rng.standard_normal((6, 6)))[0]])
    ]
    one, copies = (
        principal_angle_spectrum(*taps, params=PrincipalAngleSpectrumParams(dimension=1, tokens=t))
        for t in (MEAN, EVERY)
    )
    for a, b in zip(one.estimates, copies.estimates, strict=True):
        assert a.n == b.n == 30
        assert a.value == pytest.approx(b.value, rel=1e-6)
        if a.low is not None:
            assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=1e-6)
    one, copies = (
        subspace_confidence(taps[0], SubspaceConfidenceParams(tokens=t, resamples=20)) for t in (MEAN, EVERY)
    )
    assert GAUSSIAN in one.series
    assert GAUSSIAN not in copies.series
    np.testing.assert_allclose(copies.series[BOOTSTRAP], one.series[BOOTSTRAP], rtol=1e-6)
    divisors = (30 / 29) / (600 / 599)  # of the covariances: by rows less one
    np.testing.assert_allclose(copies.series[ANY], divisors * one.series[ANY], rtol=1e-6)


def test_fourth_moments_and_resamples_of_whole_samples(rng):
    """Second implementation: a loop over samples, and rows put together again for each draw."""
    sample = np.repeat(np.arange(6), [2, 3, 1, 4, 2, 3])
    s = rng.standard_normal((15, 3))
    by_hand = np.zeros((2, 3))
    for g in range(6):
        rows = s[sample == g]
        by_hand += (rows[:, :2].T @ rows) ** 2 / 15
    np.testing.assert_allclose(fourth_moments(s, 2, sample), by_hand, rtol=1e-12)
    s -= s.mean(axis=0)
    found = bootstrap_error(s, 2, np.random.default_rng(3), 4, sample=sample)
    draws = np.random.default_rng(3)
    for row in found:
        counts = draws.multinomial(6, np.full(6, 1 / 6))
        x = np.concatenate([np.tile(s[sample == g], (c, 1)) for g, c in enumerate(counts)])
        axes = np.linalg.svd(x - x.mean(axis=0))[2]
        np.testing.assert_allclose(row, [1 - axes[0, 0] ** 2, 2 - (axes[:2, :2] ** 2).sum()], atol=1e-9)


def test_the_echo_of_other_samples_at_the_same_place(rng):
    place, a, b = np.tile(np.arange(4), 5), rng.standard_normal((20, 3)), rng.standard_normal((20, 3))
    own, null = paired_product(a, b, place)
    pairs = [a[i] @ b[j] for i in range(20) for j in range(20) if i != j and place[i] == place[j]]
    np.testing.assert_allclose(own, (a * b).sum(axis=1), rtol=1e-12)
    assert null == pytest.approx(np.mean(pairs), rel=1e-9)
    assert paired_product(a[:4], b[:4], place[:4])[1] is None
    found = shortcut_echo(*series(rng), params=ShortcutEchoParams(tokens=EVERY))
    assert NEAR not in found.series
    assert found.series[COSINE][0] == pytest.approx(1.0)
    assert found.x_labels == ("h.0", "h.1", "h.2")


def test_a_dossier_counts_samples(rng):
    tap = series(rng, taps=1)[0]
    found = rank_dossier(tap, RankDossierParams(tokens=EVERY))
    assert {e.n for e in found.estimates} == {12}
    assert "480 rows" in found.reading


@pytest.mark.parametrize("counts", [[3, 3, 3], [2, 0, 4], [1, 1], [0, 0], [5]])
def test_the_sample_of_a_row_is_the_one_whose_rows_hold_it(counts):
    layout, n = Layout(np.concatenate([[0], np.cumsum(counts)])), sum(counts)
    rows = np.repeat(np.arange(len(counts)), counts)
    np.testing.assert_array_equal(layout.sample_of(np.arange(n)), rows)
