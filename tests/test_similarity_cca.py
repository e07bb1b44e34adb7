"""CCA, SVCCA and PWCCA: brute forces by definition, nulls by enumeration, invariances, floors, toys, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.similarity import canonical, canonical_grid, canonical_weighing
from analysis.compute.similarity.canonical import correlations, cross_products, forced, side_of, span_of
from analysis.compute.similarity.canonical_null import largest_correlations, null_correlations
from analysis.compute.similarity.similarity_grid import NETWORKS, groups_of
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.similarity.cca import METHODS as CCA
from analysis.methods.similarity.cca import CcaParams, cca
from analysis.methods.similarity.pwcca import METHODS as PWCCA
from analysis.methods.similarity.pwcca import PwccaParams, pwcca
from analysis.methods.similarity.svcca import METHODS as SVCCA
from analysis.methods.similarity.svcca import SvccaParams, svcca

FEW = settings(max_examples=12, deadline=None)
PLAIN, SQUARED = "mean ρ", "mean ρ²"


def eigenvalues(x, y):
    """Canonical correlations by the generalised eigenproblem S_xx⁻¹ S_xy S_yy⁻¹ S_yx w = ρ² w, falling."""
    x, y = x - x.mean(0), y - y.mean(0)
    product = np.linalg.solve(x.T @ x, x.T @ y) @ np.linalg.solve(y.T @ y, y.T @ x)
    values = np.sort(np.linalg.eigvals(product).real)[::-1]
    return np.sqrt(np.clip(values[: min(x.shape[1], y.shape[1])], 0, 1))


def weighted(x, y):
    """PWCCA by its definition, weights of x: variates from an eigenproblem, inner products with every unit."""
    x, y = x - x.mean(0), y - y.mean(0)
    values, vectors = np.linalg.eig(np.linalg.solve(x.T @ x, x.T @ y) @ np.linalg.solve(y.T @ y, y.T @ x))
    order = np.argsort(-values.real)[: min(x.shape[1], y.shape[1])]
    variates = x @ vectors.real[:, order]
    variates /= np.linalg.norm(variates, axis=0)
    weights = np.abs(variates.T @ x).sum(axis=1)
    return float(weights @ np.sqrt(np.clip(values.real[order], 0, 1)) / weights.sum())


def tap(x, ids=None, name="t", layout=None):
    return ArrayActivations(
        x, name=name, samples={} if ids is None else {"id": np.asarray(ids)}, layout=layout
    )


def value(x, y, **params):
    return float(cca(x, y, params=CcaParams(**params)).values[0, 1])


def related(rng, n, p, q, shared=2):
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    y[:, :shared] += 1.5 * x[:, :shared]
    return x @ rng.standard_normal((p, p)) + 3, y @ rng.standard_normal((q, q)) * 1e3


# ---------------------------------------------------------------------------- closed forms
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(40, 2, 3), (60, 7, 4), (30, 1, 1), (100, 12, 12)]))
def test_correlations_are_those_of_the_eigenproblem_also_without_each_group(seed, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = related(rng, n, p, q, 1)
    group = groups_of(n, rng)
    whole, rest = cross_products(*(side_of(span_of(v, "v"), group) for v in (x, y)))
    np.testing.assert_allclose(correlations(whole), eigenvalues(x, y), atol=1e-6)
    for g, cross in enumerate(rest):
        stay = group != g
        np.testing.assert_allclose(correlations(cross), eigenvalues(x[stay], y[stay]), atol=1e-6)


def test_leaving_a_group_out_is_doing_it_again_when_directions_vanish_with_it(rng):
    """A unit that is active on one sample only, and more units than samples will be left."""
    n = 30
    x, y = rng.standard_normal((n, 5)), rng.standard_normal((n, 28))
    x[:, 0] = np.arange(n) == 7
    group = groups_of(n, rng)
    _, rest = cross_products(*(side_of(span_of(v, "v"), group) for v in (x, y)))
    for g, cross in enumerate(rest):
        bases = []
        for v in (x[group != g], y[group != g]):
            u, s, _ = np.linalg.svd(v - v.mean(0), full_matrices=False)
            bases.append(u[:, s > 1e-8 * s[0]])
        again = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
        assert cross.shape == (bases[0].shape[1], bases[1].shape[1])
        np.testing.assert_allclose(np.linalg.svd(cross, compute_uv=False), again, atol=1e-6)
    assert rest[group[7]].shape[0] == 4


@pytest.mark.parametrize("measure", [SQUARED, PLAIN])
def test_the_value_is_the_mean_over_the_smaller_side(rng, measure):
    x, y = related(rng, 80, 6, 3)
    rho = eigenvalues(x, y)
    expected = (rho**2).mean() if measure == SQUARED else rho.mean()
    assert value(x, y, measure=measure) == pytest.approx(expected, abs=1e-7)
    assert value(y, x, measure=measure) == pytest.approx(expected, abs=1e-7)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(60, 6, 3), (60, 3, 6), (50, 4, 4), (40, 1, 5)]))
def test_pwcca_is_its_definition_both_ways_whichever_side_is_larger(seed, shape):
    rng = np.random.default_rng(seed)
    n, p, q = shape
    x, y = related(rng, n, p, q, 1)
    found = pwcca(x, y)
    assert found.values[0, 1] == pytest.approx(weighted(x, y), abs=1e-6)
    assert found.values[1, 0] == pytest.approx(weighted(y, x), abs=1e-6)


def test_pwcca_without_each_group_is_its_definition(rng):
    x, y = related(rng, 80, 5, 3)
    group = groups_of(80, rng)
    order = np.argsort(group, kind="stable")
    sides = []
    for v in (x, y):
        side = side_of(span_of(v, "v"), group)
        sides.append((side, canonical_weighing.weighing(side, v, order, rng)))
    _, rest = cross_products(sides[0][0], sides[1][0])
    for g, cross in enumerate(rest):
        units = [w.returns[g] @ w.coordinates for _, w in sides]
        there, back = canonical_weighing.both_ways(cross, *units)
        stay = group != g
        assert there == pytest.approx(weighted(x[stay], y[stay]), abs=1e-6)
        assert back == pytest.approx(weighted(y[stay], x[stay]), abs=1e-6)


def test_svcca_is_cca_of_the_leading_directions(rng):
    x, y = related(rng, 90, 8, 6)
    x *= np.geomspace(1, 1e-3, 8)
    found = svcca(x, y, params=SvccaParams(variance=0.9))
    kept = []
    for v in (x, y):
        u, s, _ = np.linalg.svd(v - v.mean(0), full_matrices=False)
        k = int(np.argmax(np.cumsum(s**2) / (s**2).sum() >= 0.9)) + 1
        kept.append(u[:, :k])
    expected = np.linalg.svd(kept[0].T @ kept[1], compute_uv=False).mean()
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-10)
    assert any(f"array (1) {kept[0].shape[1]}, array (2) {kept[1].shape[1]}." in c for c in found.caveats)


# ---------------------------------------------------------------------------- nulls and floors
def test_mean_and_deviation_under_exchange_are_exact_and_p_is_a_bound():
    """All 720 exchanges of six samples, of data as unlike a Gaussian as can be."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((6, 2)) ** 3, rng.exponential(size=(6, 2)) ** 3
    every = np.array([(eigenvalues(x, y[list(p)]) ** 2).mean() for p in permutations(range(6))])
    e = cca(x, y).estimates[0]
    assert e.null == pytest.approx(every.mean(), rel=1e-6)
    assert e.null == pytest.approx(2 / 5, rel=1e-9)
    assert e.null_high - e.null == pytest.approx(1.959964 * every.std(), rel=1e-5)
    assert (every >= e.value - 1e-9).mean() <= e.p_value


@pytest.mark.parametrize(
    ("p", "q", "n"), [(3, 5, 20), (1, 4, 10), (4, 4, 12), (20, 40, 500), (10, 12, 18), (17, 17, 18)]
)
def test_random_subspaces_are_what_gaussians_give(p, q, n):
    """Against bases of Gaussian samples, also where more directions than samples force some to 1."""
    rng = np.random.default_rng(p + q)
    drawn, made = null_correlations(p, q, n, 300, rng), []
    for _ in range(300):
        bases = [
            np.linalg.qr(v - v.mean(0))[0] for v in (rng.standard_normal((n, p)), rng.standard_normal((n, q)))
        ]
        made.append(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False))
    made = np.array(made)
    error = 5 * np.sqrt((made.var(axis=0) + drawn.var(axis=0)) / 300) + 1e-6
    assert (np.abs(made.mean(axis=0) - drawn.mean(axis=0)) <= error).all()
    assert (drawn**2).mean() == pytest.approx(
        max(p, q) / (n - 1), abs=5 * (drawn**2).mean(axis=1).std() / np.sqrt(300) + 1e-9
    )
    ones = forced(p, q, n)
    assert (drawn[:, :ones] == 1).all()
    largest = largest_correlations(p, q, n, 300, rng)
    assert largest.mean() == pytest.approx(
        made[:, 0].mean(), abs=5 * np.sqrt(2 * made[:, 0].var() / 300) + 1e-6
    )


def test_published_floors():
    """0.080 and 0.26 at 20 and 40 units and 500 samples; 0.35, 0.64, 0.87 at 50, 150, 250 units and 300 samples."""
    rng = np.random.default_rng(3)
    assert cca(rng.standard_normal((500, 20)), rng.standard_normal((500, 40))).estimates[
        0
    ].null == pytest.approx(0.080, abs=0.0005)
    assert null_correlations(20, 40, 500, 100, rng).mean() == pytest.approx(0.26, abs=0.005)
    for d, floor in ((50, 0.35), (150, 0.64), (250, 0.87)):
        assert null_correlations(d, d, 300, 30, rng).mean() == pytest.approx(floor, abs=0.005)


@pytest.mark.parametrize(("n", "p", "q"), [(200, 20, 20), (500, 20, 40), (300, 50, 50)])
def test_unrelated_gaussians_lie_on_their_floors_and_are_not_beyond_chance(n, p, q):
    rng = np.random.default_rng(n + p)
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    for measure in (SQUARED, PLAIN):
        found = cca(x, y, params=CcaParams(measure=measure))
        e = found.estimates[0]
        assert abs(e.value - e.null) < 4 * (e.null_high - e.null) / 1.96
        assert not found.significant[0, 1]
        assert found.null[0, 1] == e.null
    found = pwcca(x, y)
    for there in ((0, 1), (1, 0)):
        assert found.values[there] == pytest.approx(found.null[there], abs=0.05)


def test_31_of_40_correlations_are_forced_at_50_samples(rng):
    assert forced(40, 40, 50) == 31
    x, y = rng.standard_normal((2, 50, 40))
    assert (correlations(span_of(x, "x").basis.T @ span_of(y, "y").basis) > 1 - 1e-9).sum() == 31
    with pytest.raises(NotEnoughData, match="31 of their 40 correlations are 1"):
        cca(x, y)
    found = cca(x, y, x[:, :3])
    assert found.few[0, 1]
    assert not np.isnan(found.values).any()
    assert any(
        "1 of 3 pairs have more directions than 50 samples" in c and "up to 31" in c for c in found.caveats
    )
    assert not found.significant[0, 1]


def test_width_beyond_samples_makes_anything_alike(rng):
    """CCA tends to 1 as width reaches the samples, and its null says so."""
    values = [null_correlations(d, d, 101, 20, rng).mean() for d in (5, 25, 50, 99)]
    assert (np.diff(values) > 0).all()
    found = cca(*rng.standard_normal((3, 60, 200)))
    np.testing.assert_allclose(found.values, 1, atol=1e-9)
    above = np.triu_indices(3, 1)
    np.testing.assert_allclose(found.null[above], 1, atol=1e-9)
    assert not found.significant[above].any()


def test_the_null_of_pwcca_is_that_of_mean_rho_with_a_larger_deviation():
    """Uneven units on the weighing side, 400 unrelated other sides."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((120, 10)) * np.geomspace(1, 30, 10)
    e = pwcca(x, rng.standard_normal((120, 6)), rng=rng).estimates[0]
    drawn = np.array([weighted(x, rng.standard_normal((120, 6))) for _ in range(400)])
    assert e.null == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 20)
    assert (e.null_high - e.null) / 1.959964 == pytest.approx(drawn.std(), rel=0.15)
    plain = cca(x, rng.standard_normal((120, 6)), params=CcaParams(measure=PLAIN)).estimates[0]
    assert e.null == pytest.approx(plain.null, abs=0.01)
    assert e.null_high - e.null > 1.1 * (plain.null_high - plain.null)


def test_the_interval_covers_what_other_samples_give():
    """Of the mean ρ² that 200 samples give on average; in at least 85 of 100."""

    def draw(rng):
        x, y = rng.standard_normal((200, 4)), rng.standard_normal((200, 3))
        y[:, :2] += x[:, :2] * [2, 0.5]
        return x, y

    rng = np.random.default_rng(5)
    truth = np.mean([(eigenvalues(*draw(rng)) ** 2).mean() for _ in range(2000)])
    found = [cca(*draw(rng), rng=rng).estimates[0] for _ in range(100)]
    assert sum(e.low <= truth <= e.high for e in found) >= 85


# ---------------------------------------------------------------------------- invariances
@FEW
@given(st.integers(0, 10**6))
def test_cca_ignores_every_invertible_map_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    x, y = related(rng, 60, 5, 4)
    m = rng.standard_normal((5, 5))
    for measure in (SQUARED, PLAIN):
        assert value(x, x @ m * 1e-4 + 7, measure=measure) == pytest.approx(1, abs=1e-9)
        assert value(x @ m, y, measure=measure) == pytest.approx(value(x, y, measure=measure), abs=1e-8)
    assert value(x @ m[:, :4], y) < value(x, y) + 1e-9
    assert abs(value(np.sinh(x / x.std(0)), y) - value(x, y)) > 1e-6


@FEW
@given(st.integers(0, 10**6))
def test_svcca_ignores_rotations_and_stretching_decides_what_is_kept(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((80, 6)) * [8, 5, 4, 3, 0.2, 0.1], rng.standard_normal((80, 5))
    y[:, 0] += x[:, 0]
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]

    def of(a):
        return float(svcca(a, y, params=SvccaParams(variance=0.95)).values[0, 1])

    assert of(3 * x @ q - 40) == pytest.approx(of(x), abs=1e-9)
    assert abs(of(x * [1e-3, 1, 1, 1, 100, 100]) - of(x)) > 1e-3


@FEW
@given(st.integers(0, 10**6))
def test_pwcca_ignores_maps_of_the_column_and_only_scale_and_order_of_the_row(seed):
    rng = np.random.default_rng(seed)
    x, y = related(rng, 60, 4, 3)
    base = float(pwcca(x, y).values[0, 1])
    assert float(pwcca(x, y @ rng.standard_normal((3, 3)) - 9).values[0, 1]) == pytest.approx(base, abs=1e-8)
    signs = rng.choice([-1.0, 1.0], 4)
    assert float(pwcca(-3 * (x * signs)[:, rng.permutation(4)] + 5, y).values[0, 1]) == pytest.approx(
        base, abs=1e-8
    )
    assert abs(float(pwcca(x * [1, 1, 1, 1e4], y).values[0, 1]) - base) > 1e-6


def test_order_of_samples_does_not_matter_and_pairing_does(rng):
    x, y = related(rng, 80, 6, 3)
    order = rng.permutation(80)
    assert value(x[order], y[order]) == pytest.approx(value(x, y), abs=1e-10)
    assert value(x[order], y) < value(x, y) - 0.1


# ---------------------------------------------------------------------------- SVCCA's toys
def test_a_shared_subspace_of_any_amplitude_is_found_exactly_and_noise_is_not_kept(rng):
    """Two networks hold the same three signals in bases and amplitudes of their own, among many quiet directions of
    their own: SVCCA keeps the three and finds their correlations, CCA of everything averages over the noise."""
    signals = rng.standard_normal((1000, 3))
    noisy = signals * [1, 1, 0.6] + rng.standard_normal((1000, 3)) * [0, 0, 0.8]
    quiet = 1e-3 * rng.standard_normal((2, 1000, 60))
    q = [np.linalg.qr(rng.standard_normal((63, 63)))[0] for _ in range(2)]
    x = np.hstack([signals * [9, 4, 2], quiet[0]]) @ q[0]
    y = np.hstack([noisy @ rng.standard_normal((3, 3)) * 5, quiet[1]]) @ q[1]
    found = svcca(x, y)
    rho = eigenvalues(signals, noisy)
    assert found.values[0, 1] == pytest.approx(rho.mean(), abs=1e-4)
    assert rho == pytest.approx([1, 1, 0.6], abs=0.05)
    assert found.estimates[0].d == 3
    assert found.values[0, 1] > value(x, y, measure=PLAIN) + 0.3


def test_two_trained_networks_share_the_directions_of_their_target():
    """The toy of the paper: two regression networks from different random starts. No single unit is the second
    target, but the directions that both networks share hold it."""
    rng = np.random.default_rng(6)
    inputs = rng.uniform(-1, 1, (400, 2))
    targets = np.column_stack([np.sin(3 * inputs[:, 0]), inputs[:, 0] * inputs[:, 1]])
    hidden = [_trained(inputs, targets, np.random.default_rng(s)) for s in (1, 2)]
    spans = [span_of(h, "h", variance=0.99) for h in hidden]
    u, rho, _ = np.linalg.svd(spans[0].basis.T @ spans[1].basis)
    assert rho[3] > 0.97
    centred = targets - targets.mean(0)
    centred /= np.linalg.norm(centred, axis=0)
    units = hidden[0] - hidden[0].mean(0)
    assert (((units / np.linalg.norm(units, axis=0)).T @ centred[:, 1]) ** 2).max() < 0.4
    assert (((spans[0].basis @ u[:, :5]).T @ centred) ** 2).sum(axis=0).min() > 0.75
    assert float(svcca(*hidden).values[0, 1]) > 0.8


def _trained(x, y, rng):
    """Activations of 32 tanh units after full-batch Adam on the squared error."""
    w = [rng.standard_normal((2, 32)), rng.standard_normal(32), 0.2 * rng.standard_normal((32, 2))]
    first, second = ([np.zeros_like(v) for v in w] for _ in range(2))
    for t in range(1, 1501):
        h = np.tanh(x @ w[0] + w[1])
        error = 2 * (h @ w[2] - y) / len(x)
        back = error @ w[2].T * (1 - h**2)
        for i, grad in enumerate((x.T @ back, back.sum(0), h.T @ error)):
            first[i] = 0.9 * first[i] + 0.1 * grad
            second[i] = 0.999 * second[i] + 0.001 * grad**2
            w[i] -= 0.01 * (first[i] / (1 - 0.9**t)) / (np.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)
    return np.tanh(x @ w[0] + w[1])


def test_rotated_copy_keeps_cca_at_1_while_units_no_longer_match():
    """0.62 mean |r| of the best-matched units at 10 units and 300 samples; and a span is shared, not a basis."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((300, 10))
    y = x @ np.linalg.qr(rng.standard_normal((10, 10)))[0]
    assert value(x, y) == pytest.approx(1, abs=1e-9)
    assert np.abs(np.corrcoef(x.T, y.T)[:10, 10:]).max(axis=1).mean() < 0.75


# ---------------------------------------------------------------------------- the matrix
@pytest.mark.parametrize("method", [cca, svcca])
def test_the_matrix_is_symmetric_whole_and_marks_what_is_beyond_chance(rng, method):
    x = rng.standard_normal((300, 8))
    taps = [tap(x, name="s:a"), tap(x + 0.5 * rng.standard_normal((300, 8)), name="s:b"),
            tap(rng.standard_normal((300, 8)), name="s:c")]  # fmt: skip
    found = method(*taps)
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    assert found.row_names == ("a", "b", "c")
    assert found.significant.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert ((found.low >= 0) & (found.high <= 1)).all()
    assert not found.few.any()
    assert "1 of 3 pairs is more alike than chance" in found.reading
    assert method(*(tap(t.values[:70], name=t.name) for t in taps)).few[0, 1]


def test_pwcca_has_a_row_and_a_column_of_its_own(rng):
    x = rng.standard_normal((400, 3))
    found = pwcca(
        tap(x * [3, 1, 1], name="s:a"), tap(np.column_stack([x[:, 0], rng.standard_normal(400)]), name="s:b")
    )
    assert found.values[0, 1] > found.values[1, 0] + 0.1
    assert found.estimates[0].name == "PWCCA of a as seen in b"
    np.testing.assert_array_equal(np.diag(found.values), 1.0)


@pytest.mark.parametrize("method", [cca, svcca, pwcca])
def test_one_network_against_another(rng, method):
    x = rng.standard_normal((200, 6))
    taps = [
        tap(x + s * rng.standard_normal((200, 6)), name=n) for s, n in ((0, "a:1"), (1, "a:2"), (0.5, "b:1"))
    ]
    params = type(method.__defaults__ or method.__kwdefaults__["params"])
    found = method(*taps, params=params(arrangement=NETWORKS))
    assert found.values.shape == (2, 1)
    assert found.values[0, 0] == pytest.approx(method(taps[0], taps[2]).values[0, 1], abs=1e-10)
    with pytest.raises(ParameterError, match="all 2 taps are of a"):
        method(*taps[:2], params=params(arrangement=NETWORKS))


def test_samples_are_matched_by_id_tokens_pooled_and_nan_left_out(rng):
    x, y = related(rng, 60, 4, 3)
    ids = np.array([f"s{i}" for i in range(60)])
    order = rng.permutation(60)[:50]
    found = cca(tap(x, ids), tap(y[order], ids[order]))
    stay = np.sort(order)
    assert found.values[0, 1] == pytest.approx((eigenvalues(x[stay], y[stay]) ** 2).mean(), abs=1e-7)
    assert any("50 samples matched by id" in c for c in found.caveats)
    tokens = np.repeat(x, 3, axis=0) + rng.standard_normal((180, 4))
    found = cca(tap(tokens, ids, layout=Layout(np.arange(61) * 3)), tap(y, ids))
    pooled = tokens.reshape(60, 3, 4).mean(axis=1)
    assert found.values[0, 1] == pytest.approx((eigenvalues(pooled, y) ** 2).mean(), abs=1e-7)
    x[3, 1] = np.nan
    found = cca(x, y)
    stay = np.arange(60) != 3
    assert found.values[0, 1] == pytest.approx((eigenvalues(x[stay], y[stay]) ** 2).mean(), abs=1e-7)
    assert found.estimates[0].n == 59


# ---------------------------------------------------------------------------- odd units
@pytest.mark.parametrize(
    "spoil", ["constant", "duplicated", "huge", "tiny", "offset", "scales", "float32 sum"]
)
@pytest.mark.parametrize("method", [cca, svcca, pwcca])
def test_odd_units_give_the_same_numbers(rng, spoil, method):
    x, y = related(rng, 80, 4, 4)
    params = {cca: CcaParams(), svcca: SvccaParams(variance=1.0), pwcca: PwccaParams()}[method]
    expected = float(method(y, x, params=params).values[0, 1])
    if spoil == "constant":
        x = np.hstack([x, np.full((80, 2), 5.0)])
    elif spoil == "duplicated":
        x = np.hstack([x, x])
    elif spoil == "huge":
        x = x * 1e150
    elif spoil == "tiny":
        x = x * 1e-150
    elif spoil == "offset":
        x = x + 1e6
    elif spoil == "scales":
        x = x * [1, 1e3, 1e-3, 1] if method is not svcca else x
    else:
        x = x.astype(np.float32)
        x = np.hstack([x, x.sum(axis=1, keepdims=True)])
    found = method(y, x, params=params)
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-5)
    notes = " ".join(found.caveats)
    if spoil == "constant":
        assert "2 of 6 units are constant and left out" in notes
    if spoil in ("duplicated", "float32 sum"):
        assert "combinations of the others" in notes
    assert "array (2) 4" in notes


def test_dtypes_agree(rng):
    x, y = rng.standard_normal((100, 5)), rng.standard_normal((100, 4))
    y[:, 0] += x[:, 0]
    expected = value(x, y)
    assert value(x.astype(np.float32), y) == pytest.approx(expected, abs=1e-6)
    assert value(x.astype(np.float16), y.astype(np.float32)) == pytest.approx(expected, abs=1e-2)


def test_a_tap_and_its_equal_are_exactly_alike(rng):
    x = rng.standard_normal((50, 4))
    for method in (cca, svcca, pwcca):
        found = method(tap(x, name="a"), tap(x.copy(), name="b"))
        np.testing.assert_allclose(found.values, 1, atol=1e-9)
        assert found.high.max() <= 1


def test_refusals(rng, monkeypatch):
    x = rng.standard_normal((20, 3))
    for method in (cca, svcca, pwcca):
        with pytest.raises(NotEnoughData, match="3 sample"):
            method(x[:3], x[:3])
        with pytest.raises(InputError, match="all samples"):
            method(x, np.ones((20, 2)))
        with pytest.raises(ParameterError, match="1 tap"):
            method(x)
        with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id.*a 20, b 20"):
            method(tap(x, [f"a{i}" for i in range(20)], "a"), tap(x, [f"b{i}" for i in range(20)], "b"))
        with pytest.raises(NotEnoughData, match="for 15 and 15 independent directions: 11 of"):
            method(*np.random.default_rng(0).standard_normal((2, 20, 15)), params=_everything(method))
    monkeypatch.setattr(canonical_grid, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge, match="3 directions need"):
        cca(x, x)


def _everything(method):
    return SvccaParams(variance=1.0) if method is svcca else method.__kwdefaults__["params"]


# ---------------------------------------------------------------------------- checks that can fail
def _uncentred(x, name, **more):
    """A basis of the units as they are, without taking their means off."""
    span = span_of(x, name, **more)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return canonical.Span(u[:, : span.rank], s[: span.rank], span.units, 0, 0, 1.0)


BROKEN = [
    (CCA[0], canonical_grid, "mean_squared", lambda c: float(np.abs(c).sum() ** 2) / c.size / 9),
    (CCA[0], canonical_grid, "mean_correlation", lambda c: float(correlations(c).max())),
    (CCA[0], canonical_grid, "span_of", _uncentred),
    (SVCCA[0], canonical, "axes_for", lambda values, share: len(values)),
    (SVCCA[0], canonical_grid, "mean_squared", lambda c: float((c**2).sum() / max(c.shape))),
    (PWCCA[0], canonical_weighing, "weights_of", lambda v, c: np.ones(v.shape[1])),
    (PWCCA[0], canonical_weighing, "weights_of", lambda v, c: ((v.T @ c) ** 2).sum(axis=1)),
]


@pytest.mark.parametrize(("method", "where", "name", "broken"), BROKEN)
def test_the_check_fails_on_broken_code(monkeypatch, method, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in method.check())
