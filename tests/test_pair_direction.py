"""Directions of a pair of groups: scipy's eigenvectors, permutations, controls, floors, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.stats import norm

from analysis.activations import ArrayActivations
from analysis.compute.groups.gated_pair import halved
from analysis.compute.groups.two_groups import Entries
from analysis.compute.rows.membership import pack
from analysis.compute.subspaces import pair_axes as axes_module
from analysis.compute.subspaces.pair_axes import NAMES, pair_axes, shared_axis
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces import pair_direction as method

FEW = method.PairDirectionParams(permutations=19)


def tap(x, of):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(of)})


def two(rng, n=400, d=8, shift=1.0):
    first = np.arange(n) % 2 == 0
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return x + shift * np.outer(first, rng.standard_normal(d)), first


def split(x, first, seed=0):
    return halved(Entries(x, first, np.arange(len(x))), np.random.default_rng(seed))


def test_fishers_direction_is_the_largest_generalised_eigenvector(rng):
    """Against scipy, without shrinkage to speak of: n is 4,000 times d."""
    x, first = two(rng, 16_000, 4, 0.8)
    pair = split(x, first)
    found = pair_axes(pair, first)[1]
    mine, _ = pair.sides(first)
    a, b = pair.fit[mine], pair.fit[~mine]
    within = (np.cov(a.T) + np.cov(b.T)) / 2
    apart = a.mean(axis=0) - b.mean(axis=0)
    vector = eigh(np.outer(apart, apart), within)[1][:, -1]
    assert abs(found @ vector) / np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_the_shared_direction_has_the_smallest_eigenvalue_and_the_largest_spread(rng):
    x, first = two(rng, 300, 6)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    apart = x[first].mean(axis=0) - x[~first].mean(axis=0)
    axis = shared_axis(x, first, apart)
    axis /= np.linalg.norm(axis)
    assert abs(axis @ apart) < 1e-9 * np.linalg.norm(apart)
    within = np.cov(x[first].T, bias=True) + np.cov(x[~first].T, bias=True)
    basis = np.linalg.svd(apart[None])[2][1:].T  # all directions on which the means agree
    assert axis @ within @ axis == pytest.approx(np.linalg.eigvalsh(basis.T @ within @ basis)[-1])
    wide = np.hstack([x[:20], rng.standard_normal((20, 40))])
    gap = wide[first[:20]].mean(axis=0) - wide[~first[:20]].mean(axis=0)
    assert abs(shared_axis(wide, first[:20], gap) @ gap) < 1e-8


def test_permuting_units_permutes_the_weights(rng):
    x, first = two(rng)
    order = rng.permutation(8)
    a, b = pair_axes(split(x, first), first), pair_axes(split(x[:, order], first), first)
    for one, other, off in zip(
        a, b, (1e-9, 1e-9, 2e-3, 1e-9), strict=True
    ):  # the sparse fit stops at 1e-5 of its loss
        np.testing.assert_allclose(one[order], other, atol=off)


def test_rescaling_and_shifting_units_changes_nothing(rng):
    x, first = two(rng)
    a = pair_axes(split(x, first), first)
    b = pair_axes(split(x * rng.uniform(0.1, 10, 8) + 100, first), first)
    np.testing.assert_allclose(a[:2], b[:2], atol=1e-7)
    np.testing.assert_allclose(a[3], b[3], atol=1e-6)


def test_exchanging_the_groups_turns_the_directions(rng):
    x, first = two(rng)
    a = method.pair_direction(
        tap(x, first.astype(int)), method.PairDirectionParams(first="1", second="0", permutations=19)
    ).estimates
    b = method.pair_direction(
        tap(x, first.astype(int)), method.PairDirectionParams(first="0", second="1", permutations=19)
    ).estimates
    assert [e.value for e in a[:3]] == pytest.approx([e.value for e in b[:3]], abs=0.02)


def test_a_planted_difference_in_noise_that_two_units_share(rng):
    """Units 0 and 1 carry one noise of deviation 3, of which their difference is free: variance 2 · 0.09."""
    first = np.arange(3000) % 2 == 0
    noise = 3 * rng.standard_normal(3000)
    x = np.column_stack(
        [noise + 0.3 * rng.standard_normal(3000) + first, noise + 0.3 * rng.standard_normal(3000)]
    )
    e = {v.name: v.value for v in method.pair_direction(tap(x, first.astype(int)), FEW).estimates}
    assert e["AUROC along Fisher, held out"] == pytest.approx(norm.cdf(1 / np.sqrt(2 * 0.18)), abs=0.02)
    assert e["AUROC along mean difference, held out"] < 0.65


@pytest.mark.parametrize("seed", range(3))
def test_one_group_cut_in_two_and_many_units_are_at_chance_held_out(seed):
    rng = np.random.default_rng(seed)
    found = method.pair_direction(
        tap(rng.standard_normal((60, 300)), np.zeros(60, int)),
        method.PairDirectionParams(first="0", second="0", permutations=19),
        rng,
    )
    e = {v.name: v for v in found.estimates}
    assert e["AUROC along Fisher where it was made (do not believe)"].value > 0.999
    held = e["AUROC along Fisher, held out"]
    assert held.low < 0.5 < held.high
    assert any("any labels are told apart there" in c for c in found.caveats)


def test_lassoed_groups(rng):
    x, first = two(rng, 200, 5, 2.0)
    by_column = method.pair_direction(
        tap(x, first.astype(int)), method.PairDirectionParams(first="1", second="0", permutations=19)
    )
    packed = method.PairDirectionParams(inside=pack(first), outside=pack(~first), permutations=19)
    by_lasso = method.pair_direction(ArrayActivations(x), packed)
    assert by_lasso.estimates[1].value == pytest.approx(by_column.estimates[1].value, abs=0.03)
    assert any("must differ" in c for c in by_lasso.caveats)
    with pytest.raises(ParameterError):
        method.pair_direction(ArrayActivations(x), method.PairDirectionParams(inside=pack(first[:50])))


def test_constant_units_have_weight_0(rng):
    x, first = two(rng, 100, 5, 2.0)
    x[:, 3] = 4.0
    found = method.pair_direction(tap(x, first.astype(int)), FEW)
    row = list(found.columns["unit"]).index(3)
    assert all(found.columns[name][row] == 0 for name in NAMES)
    assert any("1 constant unit" in c for c in found.caveats)


def test_refusals(rng):
    x, first = two(rng, 100, 5)
    with pytest.raises(NotFound):
        method.pair_direction(tap(x, first.astype(int)), method.PairDirectionParams(first="7"))
    with pytest.raises(NotEnoughData):
        method.pair_direction(tap(x[:12], first[:12].astype(int)))
    with pytest.raises(InputError):
        method.pair_direction(tap(np.ones((100, 3)), first.astype(int)))


AXES = pair_axes


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (
            axes_module,
            "rules",
            lambda basis, labels: (labels[:, :1] * 0.0 + np.ones(len(basis.values)), None),
        ),
        (axes_module, "shared_axis", lambda x, mine, apart: apart),
        (method, "pair_axes", lambda pair, first: np.abs(AXES(pair, first))),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
