"""Principal angles against SciPy, down to 1e-12; overlap of random subspaces; cuts where eigenvalues differ."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import angles as module
from analysis.compute.subspaces.angles import all_angles, overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.spaces import space_of
from analysis.compute.subspaces.subspace import cuts_of
from analysis.errors import NotEnoughData


def frame(rng, d: int, k: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, k)))[0]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(5, 2, 2), (8, 3, 5), (8, 5, 3), (12, 1, 4), (30, 10, 12), (6, 4, 5)]),
)
def test_angles_are_scipys(seed, shape):
    rng = np.random.default_rng(seed)
    d, p, q = shape
    a, b = frame(rng, d, p), frame(rng, d, q)
    found, expected = principal_angles(a, b), subspace_angles(a, b)[::-1]
    shared = max(
        0, p + q - d
    )  # angles of exactly 0, which SciPy takes by their cosines now and then: to 1e-7 only
    assert found[:shared].max(initial=0) < 1e-14
    np.testing.assert_allclose(found[shared:], expected[shared:], atol=1e-13)


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-6, 1e-3, 0.049, 0.051, 0.5, np.pi / 2])
def test_small_angles_keep_their_digits(rng, angle):
    a = frame(rng, 40, 6)
    wide = np.linalg.qr(np.c_[a, rng.standard_normal((40, 1))])[0]
    b = a.copy()
    b[:, 2] = np.cos(angle) * a[:, 2] + np.sin(angle) * wide[:, 6]
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    found = principal_angles(a, b @ turn)
    assert found[-1] == pytest.approx(angle, abs=2e-15, rel=1e-9)
    assert found[:-1].max() < 1e-14


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4), st.sampled_from([1, 1 << 26]))
def test_all_pairs_are_those_of_single_pairs(seed, count, k, block):
    rng = np.random.default_rng(seed)
    bases = [frame(rng, 12, k) for _ in range(count)]
    bases[-1] = np.linalg.qr(bases[0] + 1e-7 * rng.standard_normal((12, k)))[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", block)
        pairs, found = all_angles(bases)
    assert [tuple(p) for p in pairs] == [(i, j) for i in range(count) for j in range(i + 1, count)]
    for (i, j), mine in zip(pairs, found, strict=True):
        np.testing.assert_allclose(mine, subspace_angles(bases[i], bases[j])[::-1], rtol=1e-7, atol=1e-13)


def test_random_subspaces_overlap_as_chance_says(rng):
    d, p, q, draws = 14, 3, 5, 4000
    fixed = np.eye(d)[:, :p]
    found = np.array([overlap(principal_angles(fixed, frame(rng, d, q))) for _ in range(draws)])
    mean, deviation = overlap_by_chance(p, q, d)
    assert mean == pytest.approx(q / d)
    assert found.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(draws))
    assert found.std() == pytest.approx(deviation, rel=0.06)


@pytest.mark.parametrize(("p", "q", "d"), [(5, 3, 5), (1, 1, 1), (4, 4, 4)])
def test_the_whole_space_holds_everything(p, q, d):
    assert overlap_by_chance(p, q, d) == (1.0, 0.0)


def planted(rng, n=2000):
    return rng.standard_normal((n, 8)) * np.sqrt([14, 8, 4, 4, 1, 1, 1, 1])


def test_a_subspace_is_cut_where_eigenvalues_differ(rng):
    found = cuts_of(ArrayActivations(planted(rng), name="s:t"))
    assert list(found.held) == [1, 2, 4, 8]
    assert found.automatic(6).k == 4  # 4 / 1 is the largest ratio
    assert found.holding(0.6).k == 2
    assert found.holding(0.7).k == 4
    inside = found.at(4)
    assert inside.share == pytest.approx(30 / 34, abs=0.02)
    assert principal_angles(inside.basis, np.eye(8)[:, :4]).max() < 0.1
    with pytest.raises(NotEnoughData, match=r"3 and 4 of s:t are not told apart.*at 2 or 4"):
        found.at(3)
    with pytest.raises(NotEnoughData, match="at most 8"):
        found.at(9)


def test_noise_has_no_cut_and_few_rows_no_whole_span(rng):
    noise = cuts_of(ArrayActivations(rng.standard_normal((500, 6)), name="s:t"))
    with pytest.raises(NotEnoughData, match="no two neighbouring eigenvalues"):
        noise.automatic(5)
    few = cuts_of(ArrayActivations(rng.standard_normal((5, 40)), name="s:t"))
    with pytest.raises(NotEnoughData, match="no more rows"):
        few.at(4)
    flat = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 7))
    assert cuts_of(ArrayActivations(flat, name="s:t")).at(2).share == pytest.approx(1)


def test_dependent_tokens_need_more_rows(rng):
    from analysis.activations import Layout

    x = rng.standard_normal((150, 4)) * np.sqrt([1.7, 1, 1, 1])
    alone = cuts_of(ArrayActivations(x, name="s:t"))
    many = ArrayActivations(np.repeat(x, 20, axis=0), name="s:t", layout=Layout(np.arange(151) * 20))
    assert cuts_of(many).p[0] == pytest.approx(alone.p[0], rel=0.35)
    assert cuts_of(ArrayActivations(np.repeat(x, 20, axis=0), name="s:t")).p[0] < 1e-6 * alone.p[0]


@pytest.mark.parametrize(
    ("names", "widths", "expected"),
    [
        (("a:one", "a:two"), (5, 5), "units"),
        (("a:one", "b:one"), (5, 5), "units"),
        (("a:one", "b:two"), (5, 5), "samples"),
        (("a:one", "a:two"), (5, 6), "samples"),
    ],
)
def test_units_are_compared_only_where_they_can_be_the_same_ones(rng, names, widths, expected):
    taps = [
        ArrayActivations(rng.standard_normal((6, d)), name=name)
        for name, d in zip(names, widths, strict=True)
    ]
    assert space_of("automatic", taps) == expected
    assert space_of("units", taps) == "units"
    assert space_of("samples", taps) == "samples"
