"""Leaks between parts, transfer between domains, position in tokens: floors, facts, brute force, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, multivariate_normal

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import bayes_probe as probes
from analysis.compute.linear.bayes_probe import bayes_probe, held_out_classes
from analysis.compute.linear.fisher import basis_of, discriminants
from analysis.compute.statistics.cramers_v import cramers_v
from analysis.compute.subspaces import domain_samples, domain_transfer, neighbour_votes, position_removal
from analysis.compute.subspaces.attribute_axes import COVARIANCE, REGRESSION
from analysis.compute.subspaces.domain_transfer import (
    COMPONENTS,
    MEANS,
    NOTHING,
    SLICES,
    candidates,
    mean_of_means,
    transfer,
)
from analysis.compute.subspaces.position_probes import moved_places
from analysis.compute.subspaces.position_removal import explained, placed_tokens, removed_by_round, without
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import leak_test as leaks
from analysis.methods.concepts import position_leakage as positions
from analysis.methods.concepts import transfer_matrix as transfers
from analysis.methods.concepts.leak_test import LeakTestParams, leak_test
from analysis.methods.concepts.position_leakage import (
    HELD,
    NEAR,
    SAME,
    PositionLeakageParams,
    position_leakage,
)
from analysis.methods.concepts.transfer_matrix import TransferMatrixParams, transfer_matrix

FEW = settings(max_examples=15, deadline=None)


# ---------------------------------------------------------------------------- the probe
def test_the_probe_is_bayes_rule_for_gaussians_of_one_shape(rng):
    """Against densities by SciPy, with the shrunk covariance that the discriminants have."""
    of = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
    x = rng.standard_normal((300, 4)) + 1.5 * np.eye(4)[of]
    found = bayes_probe(x, of, 3)
    basis = basis_of(x)
    a = discriminants(basis, of, 3).shrinkage
    means = np.array([x[of == c].mean(axis=0) for c in range(3)])
    within = (x - means[of]).T @ (x - means[of]) / len(x)
    shape = (1 - a) * within + a * np.trace(within) / 4 * np.eye(4)
    logs = np.array([multivariate_normal(m, shape).logpdf(x) for m in means]).T + np.log(
        np.bincount(of) / 300
    )
    ours = found.scores(x)
    np.testing.assert_allclose(ours - ours[:, :1], logs - logs[:, :1], atol=1e-8)


def test_knowing_nothing_it_names_the_most_frequent_class():
    rng = np.random.default_rng(1)
    of = np.where(rng.random(600) < 0.8, 0, 1 + rng.integers(3, size=600))
    named = held_out_classes(rng.standard_normal((600, 5)), [of], 4, np.arange(600) % 5)[0]
    assert (named == of).mean() == pytest.approx((of == 0).mean(), abs=0.01)
    flat = bayes_probe(np.zeros((50, 3)), np.repeat([0, 1], [30, 20]), 2)
    assert (flat.named(rng.standard_normal((10, 3))) == 0).all()


def test_a_class_it_never_saw_is_never_named(rng):
    x = rng.standard_normal((60, 3))
    assert bayes_probe(x, np.repeat([0, 2], 30), 4).named(100 * x).max() <= 2
    assert 1 not in bayes_probe(x, np.repeat([0, 2], 30), 4).named(100 * x)


@FEW
@given(seed=st.integers(0, 10**6))
def test_cramers_v_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(3, size=80), rng.integers(4, size=80)
    table = np.zeros((3, 4))
    np.add.at(table, (a, b), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    x2 = chi2_contingency(table, correction=False)[0]
    assert cramers_v(a, b) == pytest.approx(np.sqrt(x2 / 80 / (min(table.shape) - 1)))
    assert cramers_v(a, 7 - a) == pytest.approx(1.0)
    assert cramers_v(a, np.zeros(80)) == 0.0


# ---------------------------------------------------------------------------- leak_test
def parts(rng, n=400):
    grade, site = rng.choice(2, size=n, p=[0.7, 0.3]), rng.choice(3, size=n, p=[0.6, 0.3, 0.1])
    semantic, noise = rng.standard_normal((2, n, 5))
    semantic[:, 0] += 7 * grade
    noise[:, :3] += 7 * np.eye(3)[site]
    return semantic, noise, {"grade": grade, "site": site}


def test_perfect_parts_have_crossed_cells_at_the_majority_rate_not_one_in_k(rng):
    semantic, noise, samples = parts(rng)
    params = LeakTestParams(semantic="grade", domain="site")
    found = leak_test(*(ArrayActivations(x, samples=samples) for x in (semantic, noise)), params=params)
    majority = [np.bincount(samples[k]).max() / 400 for k in samples]
    np.testing.assert_allclose(found.null, np.tile(majority, (2, 1)))
    np.testing.assert_allclose(np.diag(found.values), 1.0, atol=0.01)
    np.testing.assert_allclose(found.values[[0, 1], [1, 0]], majority[::-1], atol=0.03)
    assert abs(found.values[0, 1] - 1 / 3) > 0.2
    assert found.significant.tolist() == [[True, False], [False, True]]


def test_one_tap_in_two_parts_gives_the_same_table(rng):
    semantic, noise, samples = parts(rng)
    params = LeakTestParams(semantic="grade", domain="site", units=5)
    whole = leak_test(ArrayActivations(np.hstack([semantic, noise]), samples=samples), params=params)
    two = leak_test(*(ArrayActivations(x, samples=samples) for x in (semantic, noise)), params=params)
    np.testing.assert_allclose(whole.values, two.values, atol=0.03)
    assert whole.row_names == ("units 0 to 4", "units 5 to 9")


def test_two_columns_that_agree_are_said_to(rng):
    semantic, noise, samples = parts(rng)
    samples["copy"] = samples["grade"].astype(str)
    activations = [ArrayActivations(x, samples=samples) for x in (semantic, noise)]
    found = leak_test(*activations, params=LeakTestParams(semantic="grade", domain="copy"))
    assert found.significant[0].all()
    assert any("Cramér's V 1.00" in c for c in found.caveats)


def test_leak_test_matches_by_id_and_refuses(rng):
    semantic, noise, samples = parts(rng)
    ids = np.array([f"s{i}" for i in range(400)])
    order = rng.permutation(400)
    params = LeakTestParams(semantic="grade", domain="site")
    a = ArrayActivations(semantic, samples={**samples, "id": ids})
    b = ArrayActivations(noise[order], samples={"id": ids[order]})
    found = leak_test(a, b, params=params)
    assert np.diag(found.values).min() > 0.98
    with pytest.raises(ParameterError, match="3 taps"):
        leak_test(a, b, a, params=params)
    with pytest.raises(ParameterError, match="as the first part"):
        leak_test(a, params=LeakTestParams(semantic="grade", units=5))
    with pytest.raises(ParameterError, match="as class and as domain"):
        leak_test(a, params=LeakTestParams(semantic="grade", domain="grade"))
    with pytest.raises(NotFound):
        leak_test(a, params=LeakTestParams(semantic="grade", domain="nothing"))
    with pytest.raises(NotEnoughData):
        leak_test(a, params=LeakTestParams(semantic="id"))


# ---------------------------------------------------------------------------- transfer_matrix
def domains(rng, n=600, count=3, moved=8.0):
    label, domain = rng.integers(2, size=n), np.arange(n) % count
    x = rng.standard_normal((n, 6))
    x[:, 0] += 3 * (2 * label - 1) + moved * domain
    x[:, 1] += moved * domain
    x[:, 2] += 3 * (2 * label - 1)
    return x, label, domain


def test_cells_by_brute_force(rng):
    x, label, domain = domains(rng)
    fold = np.arange(600) % 5
    found = transfer(x, label, domain, fold, np.zeros((6, 0))).matrix
    for i in range(3):
        for j in range(3):
            own, test = domain == i, domain == j
            if i == j:
                right = held_out_classes(x[own], [label[own]], 2, fold[own])[0] == label[own]
            else:
                right = bayes_probe(x[own], label[own], 2).named(x[test]) == label[test]
            assert found[i, j] == pytest.approx(right.mean())


def test_nothing_removed_is_the_baseline_and_everything_the_majority_of_the_trained_domain(rng):
    x, label, domain = domains(rng)
    label = np.where(rng.random(600) < 0.5, 0, label)  # unequal classes
    fold = np.arange(600) % 5
    x = x - x.mean(axis=0)
    base = transfer(x, label, domain, fold, np.zeros((6, 0))).right
    np.testing.assert_array_equal(base, transfer(x @ np.eye(6), label, domain, fold, np.eye(6)[:, :0]).right)
    none = transfer(x, label, domain, fold, np.eye(6)).matrix
    for j in range(3):
        np.testing.assert_allclose(none[:, j], (label[domain == j] == 0).mean())


def test_taking_out_domain_means_mends_and_random_directions_do_not(rng):
    x, label, domain = domains(rng)
    activations = ArrayActivations(x, samples={"label": label, "site": domain})
    found = transfer_matrix(activations, TransferMatrixParams(domain="site", remove=MEANS))
    change = found.estimates[-1]
    assert change.value > 0.2
    assert change.value > change.null_high
    assert change.low <= change.value <= change.high
    assert "(1 tried)" in change.name
    assert found.values.shape == (3, 6)


def test_one_of_several_is_chosen_in_a_domain_that_is_not_judged_by(rng):
    x, label, domain = domains(rng, count=4)
    activations = ArrayActivations(x, samples={"label": label, "site": np.array(list("abcd"))[domain]})
    params = TransferMatrixParams(domain="site", remove=SLICES, size=6, validation="b")
    found = transfer_matrix(activations, params)
    assert "(6 tried)" in found.estimates[-1].name
    assert any("chosen by the accuracy in 'b'" in c for c in found.caveats)
    data = domain_samples.domain_samples(activations, "label", "site", rng, pooling="mean", maximum=1000)
    before = transfer(data.x, data.of, data.domain, np.arange(600) % 5, np.zeros((6, 0)))
    _, _, rest, _ = domain_transfer.choose(
        data, before, candidates(data, SLICES, 6, rng), np.arange(600) % 5, "b"
    )
    assert rest == [0, 2, 3]
    with pytest.raises(ParameterError, match="domain 'z'"):
        transfer_matrix(activations, TransferMatrixParams(domain="site", remove=COMPONENTS, validation="z"))


def test_slices_partition_the_units_and_components_nest(rng):
    x, label, domain = domains(rng)
    x[:, 3] = 1.0
    activations = ArrayActivations(x, samples={"label": label, "site": domain})
    data = domain_samples.domain_samples(activations, "label", "site", rng, pooling="mean", maximum=1000)
    slices = candidates(data, SLICES, 3, rng)
    np.testing.assert_allclose(sum(c.basis @ c.basis.T for c in slices), np.eye(5))
    assert [c.name for c in slices] == ["units 0 to 1", "units 2 to 3", "units 4 to 5"]
    assert [c.basis.shape[1] for c in slices] == [2, 1, 2]
    components = candidates(data, COMPONENTS, 4, rng)
    assert [c.basis.shape[1] for c in components] == [1, 2, 4]
    means = candidates(data, MEANS, 1, rng)[0].basis
    assert means.shape == (5, 1)  # the domains lie on a line, their two other directions are chance
    left = without(data.x, means)
    for i in range(3):
        assert np.abs(left[data.domain == i].mean(axis=0)).max() < 0.6
    assert candidates(data, NOTHING, 4, rng) == []


def test_mean_of_means_and_its_error():
    rng = np.random.default_rng(3)
    values = [mean_of_means([rng.random(50) < 0.3, rng.random(200) < 0.9])[0] for _ in range(4000)]
    _, error = mean_of_means([np.arange(50) < 15, np.arange(200) < 180])
    assert np.mean(values) == pytest.approx(0.6, abs=0.005)
    assert error == pytest.approx(np.std(values), rel=0.1)


def test_samples_without_a_class_or_a_domain_are_left_out_and_said(rng):
    x, label, domain = domains(rng)
    label[:50], domain[50:90] = -1, -1
    activations = ArrayActivations(x, samples={"label": label, "site": domain})
    data = domain_samples.domain_samples(activations, "label", "site", rng, pooling="mean", maximum=1000)
    assert len(data.x) == 510
    assert data.names == ("0", "1", "2")
    assert set(data.of) == {0, 1}
    assert any("90 sample(s) without a label" in n for n in data.notes)


def test_transfer_refuses(rng):
    x, label, domain = domains(rng)
    samples = {"label": label, "site": domain, "one": np.zeros(600, int), "same": label}
    activations = ArrayActivations(x, samples=samples)
    for column in ("one", "same"):  # one domain; each class in a domain of its own
        with pytest.raises(NotEnoughData, match="domain"):
            transfer_matrix(activations, TransferMatrixParams(domain=column))
    with pytest.raises(NotFound):
        transfer_matrix(activations, TransferMatrixParams(domain="nothing"))


# ---------------------------------------------------------------------------- position_leakage
def tokens(rng, samples=40, h=4, w=5, d=10, lead=1):
    """A leading token that has no place, then places along two directions in which the tokens vary anyway."""
    n = h * w
    row, column = np.divmod(np.arange(n), w)
    mixing = rng.standard_normal((d, d))
    x = rng.standard_normal((samples, n + lead, d)) @ mixing
    x[:, lead:] += 3 * np.outer(row, rng.standard_normal(d)) + 3 * np.outer(column, rng.standard_normal(d))
    layout = Layout(np.arange(samples + 1) * (n + lead), grid=(h, w), leading=lead)
    return ArrayActivations(x.reshape(-1, d), layout=layout, samples={"label": np.arange(samples) % 2})


def brute_r2(x, p):
    x, p = x - x.mean(axis=0), p - p.mean(axis=0)
    fitted = x @ np.linalg.lstsq(x, p, rcond=1e-10)[0]
    return float(((fitted**2).sum(axis=0) / (p**2).sum(axis=0)).mean())


def test_removing_the_covariance_leaves_exactly_nothing_and_one_regression_leaves_much(rng):
    data = placed_tokens(tokens(rng), rng, maximum_rows=10_000, minimum=20)
    before = brute_r2(data.x, data.position)
    cov = removed_by_round(data.x, data.position, 3, COVARIANCE)
    reg = removed_by_round(data.x, data.position, 3, REGRESSION)
    assert before > 0.8
    assert brute_r2(without(data.x, cov[1]), data.position) < 1e-20
    left = [brute_r2(without(data.x, b), data.position) for b in reg]
    assert left[1] > 0.3
    assert left == sorted(left, reverse=True)
    assert [b.shape[1] for b in cov] == [0, 2, 2, 2]
    assert [b.shape[1] for b in reg] == [0, 2, 4, 6]
    for basis in (*cov, *reg):
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-10)


def test_explained_agrees_with_least_squares(rng):
    data = placed_tokens(tokens(rng), rng, maximum_rows=10_000, minimum=20)
    found, rank = explained(data.x, data.position)
    assert found == pytest.approx(brute_r2(data.x, data.position), rel=1e-9)
    assert rank == 10
    doubled = np.hstack([data.x, data.x])
    assert explained(doubled, data.position)[0] == pytest.approx(found, rel=1e-6)
    assert explained(doubled, data.position)[1] == 10


def test_places_of_a_grid_without_the_leading_token(rng):
    activations = tokens(rng)
    data = placed_tokens(activations, rng, maximum_rows=10_000, minimum=20)
    assert data.names == ("row", "column")
    assert len(data.x) == 40 * 20
    first = data.position[:20] * np.array(
        [np.std(np.repeat(np.arange(4), 5)), np.std(np.tile(np.arange(5), 4))]
    )
    np.testing.assert_allclose(first - first[0], np.column_stack(np.divmod(np.arange(20), 5)), atol=1e-12)
    np.testing.assert_allclose(
        data.x[:20] - data.x[0], activations.values[1:21] - activations.values[1], atol=1e-9
    )
    few = placed_tokens(activations, rng, maximum_rows=500, minimum=20)
    assert len(few.samples) == 23
    assert any("random 23 of 40" in n for n in few.notes)


def test_tokens_without_a_grid_and_pooled_taps(rng):
    activations = tokens(rng, lead=0)
    line = ArrayActivations(activations.values, layout=Layout(activations.layout.offsets))
    found = position_leakage(line, PositionLeakageParams(rounds=1))
    assert "Tokens tell token" in found.reading
    assert found.series[HELD[COVARIANCE]][0] > 0.8
    assert NEAR not in found.series
    drift = rng.standard_normal((100, 4))
    assert abs(position_leakage(drift).series[HELD[COVARIANCE]][0]) < 0.1
    drift[:, 0] += np.arange(100) / 10
    assert position_leakage(drift).series[HELD[COVARIANCE]][0] > 0.7


def test_shuffled_places_tell_nothing_and_the_floor_of_the_same_tokens_is_exact(rng):
    activations = tokens(rng, lead=0)
    n = 20
    order = np.concatenate([i * n + rng.permutation(n) for i in range(40)])
    shuffled = ArrayActivations(activations.values[order], layout=activations.layout)
    found = position_leakage(shuffled, PositionLeakageParams(rounds=1))
    assert abs(found.series[HELD[COVARIANCE]][0]) < 0.03
    data = placed_tokens(shuffled, rng, maximum_rows=10_000, minimum=20)
    free = [explained(data.x, rng.permutation(data.position))[0] for _ in range(200)]
    assert np.mean(free) == pytest.approx(10 / (len(data.x) - 1), rel=0.1)
    assert found.null[SAME[COVARIANCE]][0] == pytest.approx(10 / (len(data.x) - 1))


def test_moved_places_stay_in_their_sample(rng):
    sample = np.repeat(np.arange(6), [3, 1, 4, 2, 5, 2])
    for _ in range(20):
        moved = moved_places(sample, False, rng)
        np.testing.assert_array_equal(sample[moved], sample)
        assert sorted(moved) == list(range(17))
    assert (moved_places(np.arange(30), True, rng) != np.arange(30)).any()


def test_neighbours_by_brute_force(rng):
    x, of = rng.standard_normal((40, 3)), rng.integers(3, size=40)
    near = neighbour_votes.nearest(x, 4)
    right = 0
    for i in range(40):
        away = np.linalg.norm(x - x[i], axis=1)
        away[i] = np.inf
        np.testing.assert_array_equal(near[i], np.argsort(away)[:4])
        right += np.bincount(of[near[i]], minlength=3).argmax() == of[i]
    assert neighbour_votes.voted(near, of) == pytest.approx(right / 40)


def test_position_leakage_refuses(rng):
    activations = tokens(rng)
    with pytest.raises(NotFound):
        position_leakage(activations, PositionLeakageParams(column="nothing"))
    with pytest.raises(NotEnoughData, match="at least 20"):
        position_leakage(tokens(rng, samples=10))
    single = ArrayActivations(
        rng.standard_normal((60, 3)), layout=Layout(np.arange(31) * 2, grid=(1, 1), leading=1)
    )
    with pytest.raises(InputError, match="one place"):
        position_leakage(single)
    with pytest.raises(InputError, match="no unit"):
        position_leakage(np.ones((60, 3)))


# ---------------------------------------------------------------------------- checks can fail
def _nearest_mean(x, of, classes, basis=None):
    """A probe that ignores how frequent classes are."""
    found = bayes_probe(x, of, classes, basis)
    centres = -((found.centres) ** 2).sum(axis=1) / 2
    return probes.BayesProbe(found.mean, found.weights, found.centres, centres)


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (leaks, probes, "bayes_probe", _nearest_mean),
        (leaks, leaks, "held_out_classes", lambda x, every, c, fold: np.array(every)),
        (transfers, domain_transfer, "bayes_probe", _nearest_mean),
        (transfers, domain_transfer, "without", lambda x, basis: x),
        (transfers, transfers, "random_basis", lambda d, k, rng: np.eye(d)[:, :2]),
        (positions, position_removal, "ridge_weights", lambda x, p: x.T @ p),
        (positions, positions, "without", lambda x, basis: x),
        (positions, positions, "removed_by_round",
         lambda x, p, rounds, how: removed_by_round(x, p, rounds, REGRESSION)),
        (positions, positions, "nearest", lambda x, k: np.tile(np.arange(k), (len(x), 1))),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
