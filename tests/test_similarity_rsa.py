"""RSA: SciPy's distances and correlations as second implementation, nulls by enumeration, the noise ceiling by its
definition, invariances, ties, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import dissimilarity_agreement as agreement
from analysis.compute.similarity.dissimilarity import (
    CORRELATION,
    COSINE,
    EUCLIDEAN,
    KINDS,
    dissimilarities,
    label_dissimilarities,
)
from analysis.compute.similarity.dissimilarity_agreement import (
    AGREEMENTS,
    KENDALL,
    PEARSON,
    SPEARMAN,
    Vectors,
    chance_moments,
    kendall_a,
)
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.similarity import rsa as module
from analysis.methods.similarity.rsa import RsaParams, rsa

FEW = settings(max_examples=15, deadline=None)
SCIPY = {EUCLIDEAN: "euclidean", COSINE: "cosine", CORRELATION: "correlation"}


def tau_a(x, y):
    """All pairs of pairs."""
    i, j = np.triu_indices(len(x), 1)
    return float((np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])).mean())


def cosine(x, y):
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


BRUTE = {
    SPEARMAN: lambda x, y: spearmanr(x, y).statistic,
    PEARSON: lambda x, y: pearsonr(x, y).statistic,
    KENDALL: tau_a,
    agreement.COSINE: cosine,
}


def value(x, y, **params):
    return float(rsa(x, y, params=RsaParams(**params)).values[0, 1])


def turn(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


# ---------------------------------------------------------------------------- second implementations
@pytest.mark.parametrize("kind", KINDS)
def test_dissimilarities_are_scipys(rng, kind):
    x = rng.standard_normal((40, 6)) + 3
    x[7] = x[3]
    found, n_zero = dissimilarities(x, kind)
    np.testing.assert_allclose(found, pdist(x, SCIPY[kind]), atol=1e-7)
    assert squareform(found)[3, 7] == 0
    assert n_zero == 0


@FEW
@given(
    st.integers(0, 10**6),
    st.sampled_from(KINDS),
    st.sampled_from(AGREEMENTS),
    st.sampled_from([(9, 3, 4), (25, 4, 40)]),
)
def test_it_is_the_agreement_of_scipys_distances_also_without_each_group(seed, kind, how, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = rng.standard_normal((n, p)) + 1, rng.standard_normal((n, q)) * 1e3
    y[:, 0] += 3e3 * x[:, 0]
    group = groups_of(n, rng)
    vectors = Vectors([dissimilarities(v, kind)[0] for v in (x, y)], group, how)
    found = vectors.kendall(0, 1) if how == KENDALL else vectors.products()[:, 0, 1]
    for which in range(-1, group.max() + 1):
        a, b = (pdist(v[group != which], SCIPY[kind]) for v in (x, y))
        assert found[1 + which] == pytest.approx(BRUTE[how](a, b), abs=1e-9)


def test_ties_are_ties_though_rounding_tells_them_apart(rng):
    """Distances between corners of a cube take few values; the same corners turned have them up to rounding."""
    x = rng.integers(2, size=(30, 6)).astype(float)
    turned = x @ turn(rng, 6) * 1e-3
    exact = pdist(x, "sqeuclidean")
    y = rng.standard_normal((30, 4))
    for how in (SPEARMAN, KENDALL):
        expected = BRUTE[how](exact, pdist(y))
        assert value(x, y, agreement=how) == pytest.approx(expected, abs=1e-10)
        assert value(turned, y, agreement=how) == pytest.approx(expected, abs=1e-10)


@FEW
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_kendalls_tau_a_counts_pairs_of_pairs(seed, levels):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(levels, size=(2, 50)).astype(float)
    assert kendall_a(x, y) == pytest.approx(tau_a(x, y), abs=1e-12)
    assert kendall_a(x, np.ones(50)) == 0
    z = rng.standard_normal(50)
    assert kendall_a(z, x + 1e-3 * z) == pytest.approx(kendalltau(z, x + 1e-3 * z).statistic, abs=1e-12)


# what rsatoolbox 0.3.2 says of the arrays below: agreement of the first two, then lower and upper noise ceiling
RSATOOLBOX = {
    PEARSON: (0.49534134630032467, 0.5772099155585487, 0.816357995183041),
    agreement.COSINE: (0.9127618315803558, 0.9341748220546329, 0.9708487900518072),
    SPEARMAN: (0.49196952489805923, 0.5656480632125437, 0.8095397401681591),
    KENDALL: (0.3389056623761852, 0.39561417447958047, 0.6109928138849162),
}


@pytest.mark.parametrize("how", AGREEMENTS)
def test_rsatoolbox_says_the_same(how):
    """Its ceiling for Spearman ranks the mean ranks once more, which is seen in the third digit."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((30, 6))
    taps = [truth + 0.6 * rng.standard_normal((30, 6)) for _ in range(3)]
    found = rsa(*taps, params=RsaParams(distance=CORRELATION, agreement=how))
    assert found.values[0, 1] == pytest.approx(RSATOOLBOX[how][0], abs=1e-12)
    ceiling = [e.value for e in found.estimates[-2:]]
    assert ceiling == pytest.approx(RSATOOLBOX[how][1:], abs=4e-3 if how == SPEARMAN else 1e-12)


# ---------------------------------------------------------------------------- nulls
@pytest.mark.parametrize("how", [PEARSON, SPEARMAN, agreement.COSINE])
@pytest.mark.parametrize("kind", [EUCLIDEAN, COSINE])
def test_moments_under_exchange_are_exact(how, kind):
    """All 720 exchanges of six samples of data as unlike a Gaussian as can be."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((6, 2)), rng.exponential(size=(6, 3)) ** 3
    a, b = pdist(x, SCIPY[kind]), squareform(pdist(y, SCIPY[kind]))
    every = np.array(
        [BRUTE[how](a, squareform(b[np.ix_(o, o)], checks=False)) for o in map(list, permutations(range(6)))]
    )
    vectors = Vectors([dissimilarities(v, kind)[0] for v in (x, y)], np.arange(6), how)
    mean, deviation = chance_moments(*vectors.spreads(), how)
    assert mean == pytest.approx(every.mean(), abs=1e-12)
    assert deviation == pytest.approx(every.std(), rel=1e-10)


def test_kendalls_moments_are_asymptotic(rng):
    x, y = rng.standard_normal((80, 3)), rng.exponential(size=(80, 2))
    a, b = pdist(x), squareform(pdist(y))
    orders = [rng.permutation(80) for _ in range(300)]
    null = np.array([kendalltau(a, squareform(b[np.ix_(o, o)], checks=False)).statistic for o in orders])
    vectors = Vectors([a, squareform(b)], np.arange(80), KENDALL)
    mean, deviation = chance_moments(*vectors.spreads(), KENDALL)
    assert abs(null.mean()) < 4 * deviation / np.sqrt(300)
    assert mean == 0
    assert deviation == pytest.approx(null.std(), rel=0.15)


def test_shuffled_distances_would_call_everything_significant_and_exchanged_samples_do_not():
    """The deviation over exchanges of 100 samples is several times 1 / √4950, that of 4,950 independent pairs."""
    rng = np.random.default_rng(4)
    vectors = Vectors(
        [dissimilarities(rng.standard_normal((100, 2)), EUCLIDEAN)[0] for _ in range(2)],
        np.arange(100),
        PEARSON,
    )
    assert chance_moments(*vectors.spreads(), PEARSON)[1] > 2.5 / np.sqrt(4950)


def test_unrelated_taps_are_rarely_called_alike():
    calls = sum(
        bool(rsa(*np.random.default_rng(seed).standard_normal((2, 60, 3))).significant[0, 1])
        for seed in range(60)
    )
    assert calls <= 3


# ---------------------------------------------------------------------------- noise ceiling
@pytest.mark.parametrize("how", [PEARSON, SPEARMAN, KENDALL])
def test_the_noise_ceiling_by_its_definition(rng, how):
    truth = rng.standard_normal((40, 5))
    taps = [truth + 0.7 * rng.standard_normal((40, 5)) for _ in range(4)]
    each = [pdist(t) for t in taps]
    scaled = [(v - v.mean()) / v.std() for v in each] if how == PEARSON else [rankdata(v) for v in each]
    compare = tau_a if how == KENDALL else (lambda a, b: pearsonr(a, b).statistic)
    upper = np.mean([compare(v, np.mean(scaled, axis=0)) for v in scaled])
    lower = np.mean([compare(v, np.mean([w for w in scaled if w is not v], axis=0)) for v in scaled])
    found = rsa(*taps, params=RsaParams(agreement=how)).estimates[-2:]
    assert [e.value for e in found] == pytest.approx([lower, upper], abs=1e-9)
    assert "lower bound" in found[0].name
    assert "upper bound" in found[1].name
    of_truth = np.mean([BRUTE[how](v, pdist(truth)) for v in each])
    assert lower - 0.05 < of_truth < upper + 0.05


def test_the_ceiling_of_unrelated_taps_lies_on_its_null(rng):
    lower, upper = rsa(*rng.standard_normal((5, 150, 8))).estimates[-2:]
    assert lower.null == 0
    assert upper.null == pytest.approx(1 / np.sqrt(5))
    assert lower.value == pytest.approx(0, abs=0.1)
    assert upper.value == pytest.approx(1 / np.sqrt(5), abs=0.05)


def test_two_taps_have_no_ceiling(rng):
    assert len(rsa(*rng.standard_normal((2, 30, 4))).estimates) == 1


# ---------------------------------------------------------------------------- invariances and known answers
@FEW
@given(st.integers(0, 10**6), st.sampled_from(AGREEMENTS))
def test_what_is_ignored_and_what_is_not(seed, how):
    rng = np.random.default_rng(seed)
    x, q = rng.standard_normal((30, 5)) * [1, 2, 3, 4, 5], turn(rng, 5)
    lengths = rng.uniform(1, 5, (30, 1))
    same = {
        EUCLIDEAN: [3 * x @ q + 7], COSINE: [3 * x @ q, x * lengths], CORRELATION: [3 * x + 7, x * lengths + lengths],
    }  # fmt: skip
    other = {EUCLIDEAN: [x * lengths, x / [1, 2, 3, 4, 5]], COSINE: [x + 7], CORRELATION: [x @ q]}
    for kind in KINDS:
        more = {"distance": kind, "agreement": how}
        for y in same[kind]:
            assert value(x, y, **more) == pytest.approx(1, abs=1e-9)
        for y in other[kind]:
            assert value(x, y, **more) < 1 - 1e-5


def test_removing_the_mean_makes_cosines_ignore_a_shift(rng):
    x = rng.standard_normal((30, 5))
    assert value(x, x + 50, distance=COSINE) < 0.99
    found = rsa(x, x + 50, params=RsaParams(distance=COSINE, mean_pattern="removed"))
    assert found.values[0, 1] == pytest.approx(1, abs=1e-9)
    assert any("mean activation" in c for c in found.caveats)


def test_the_order_of_the_samples_does_not_matter_and_their_pairing_does(rng):
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 3))
    y += x[:, :3]
    order = rng.permutation(50)
    assert value(x[order], y[order]) == pytest.approx(value(x, y), abs=1e-12)
    assert value(x[order], y) < value(x, y) - 0.1


def test_classes_agree_with_their_labels(rng):
    of = rng.integers(3, size=60)
    x = np.eye(3)[of] * 9 + rng.standard_normal((60, 3)) * 0.1
    vectors = Vectors(
        [dissimilarities(x, EUCLIDEAN)[0], label_dissimilarities(of)], groups_of(60, rng), PEARSON
    )
    assert vectors.products()[0, 0, 1] > 0.99
    np.testing.assert_array_equal(squareform(label_dissimilarities(of)), of[:, None] != of)


def test_the_interval_covers_what_many_samples_say():
    """Half of the units shared: the agreement of 1,500 samples lies in at least 41 of 50 intervals of 80."""

    def taps(n, seed):
        rng = np.random.default_rng(seed)
        shared = rng.standard_normal((n, 3))
        return [np.hstack([shared, rng.standard_normal((n, 3))]) for _ in range(2)]

    truth = value(*taps(1500, 0), agreement=PEARSON)
    hits = 0
    for seed in range(1, 51):
        e = rsa(*taps(80, seed), params=RsaParams(agreement=PEARSON)).estimates[0]
        hits += e.low <= truth <= e.high
    assert hits >= 41


# ---------------------------------------------------------------------------- the matrix and bad input
def test_the_matrix(rng):
    x = rng.standard_normal((120, 8))
    taps = [
        ArrayActivations(v, name=f"seed{i}:layer")
        for i, v in enumerate([x, x + rng.standard_normal((120, 8)), x[::-1]])
    ]
    found = rsa(*taps)
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.significant.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert "repeats of one thing" in found.reading
    layers = [ArrayActivations(t.values, name=f"net:{i}") for i, t in enumerate(taps)]
    assert "repeats" not in rsa(*layers).reading  # other layers are no repeats


def test_samples_without_a_direction_are_counted(rng):
    x = np.abs(rng.standard_normal((30, 4)))
    x[[2, 9]] = 0
    x[5] = 3.0
    assert any("2 sample(s) have 0" in c for c in rsa(x, x, params=RsaParams(distance=COSINE)).caveats)
    found = rsa(x, x, params=RsaParams(distance=CORRELATION))
    assert any("3 sample(s) have the same value" in c for c in found.caveats)
    assert found.values[0, 1] == pytest.approx(1)


def test_equal_distances_have_nothing_in_common_with_anything_and_that_is_said(rng):
    for how in AGREEMENTS[:3]:
        found = rsa(np.eye(12), rng.standard_normal((12, 3)), params=RsaParams(agreement=how))
        assert found.values[0, 1] == 0
        assert any("equally far" in c for c in found.caveats)


@pytest.mark.parametrize("spoil", ["constant", "duplicated", "huge", "tiny", "offset", "wide"])
def test_odd_units_give_numbers(rng, spoil):
    x, y = rng.standard_normal((25, 4)), rng.standard_normal((25, 4))
    spoiled = {
        "constant": np.hstack([x, np.full((25, 2), 5.0)]), "duplicated": np.hstack([x, x]), "huge": x * 1e150,
        "tiny": x * 1e-150, "offset": x + 1e6, "wide": np.hstack([x, np.zeros((25, 400))]),
    }[spoil]  # fmt: skip
    assert value(spoiled, y, agreement=PEARSON) == pytest.approx(value(x, y, agreement=PEARSON), abs=1e-6)
    assert np.isfinite(value(spoiled, y, distance=CORRELATION))


def test_tokens_are_pooled_and_bad_rows_left_out(rng):
    tokens, y = rng.standard_normal((40, 3, 5)), rng.standard_normal((40, 2))
    y[[7, 9], 0] = np.inf
    layout = Layout(np.arange(41) * 3)
    found = rsa(
        ArrayActivations(tokens.reshape(120, 5), name="x", layout=layout), ArrayActivations(y, name="y")
    )
    stay = np.setdiff1d(np.arange(40), [7, 9])
    expected = spearmanr(pdist(tokens.mean(axis=1)[stay]), pdist(y[stay])).statistic
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-9)
    assert found.estimates[0].n == 38


def test_refusals(rng, monkeypatch):
    x = rng.standard_normal((20, 3))
    with pytest.raises(NotEnoughData, match="4 sample"):
        rsa(x[:4], x[:4])
    with pytest.raises(InputError, match="all samples"):
        rsa(x, np.ones((20, 2)))
    with pytest.raises(ParameterError, match="1 tap"):
        rsa(x)
    monkeypatch.setattr(agreement, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge, match="maximum samples"):
        rsa(x, x)


# ---------------------------------------------------------------------------- checks that can fail
def _first_places(ordered):
    return np.arange(1.0, len(ordered) + 1)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (agreement, "sorted_midranks", lambda ordered: np.ones(len(ordered))),
        (agreement, "kendall_a", lambda x, y: 0.99),
        (module, "ceilings", lambda products: 1.01 * agreement.ceilings(products)),
        (module, "dissimilarities", lambda x, kind: (pdist(x, "cityblock"), 0)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def test_ranks_by_place_are_noticed(monkeypatch, rng):
    x, y = rng.integers(3, size=(2, 30, 2)).astype(float)
    right = spearmanr(pdist(x), pdist(y)).statistic
    assert value(x, y) == pytest.approx(right, abs=1e-10)
    monkeypatch.setattr(agreement, "sorted_midranks", _first_places)
    assert abs(value(x, y) - right) > 1e-4
