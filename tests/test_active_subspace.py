"""Few directions of a layer, atoms of a dictionary inside them, and their basis: facts, brute force, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from analysis.activations import ArrayActivations, Layout
from analysis.compute.subspaces import atoms as compute
from analysis.compute.subspaces.atoms import energies, energy_by_chance, tied_rates
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, ShapeError
from analysis.methods.rank import variance_share_by_layer as shares
from analysis.methods.rank.variance_share_by_layer import VarianceShareParams, variance_share_by_layer
from analysis.methods.subspaces import active_basis as bases
from analysis.methods.subspaces import atom_energy as energy_module
from analysis.methods.subspaces.active_basis import ActiveBasisParams, active_basis
from analysis.methods.subspaces.atom_energy import AtomEnergyParams, atom_energy
from analysis.sources.atoms import atoms_of, latent_rates

FEW = settings(max_examples=8, deadline=None)


def tap(x, name="tap", **samples):
    return ArrayActivations(np.asarray(x), name=name, samples=samples)


# ---------------------------------------------------------------------------- cumulative variance
@FEW
@given(st.integers(0, 10**6))
def test_the_curve_is_numpys_rises_and_ends_at_one(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 9)) * 0.5 ** np.arange(9) + 100
    found = variance_share_by_layer(tap(x, "a"), tap(rng.standard_normal((60, 9)), "b")).series["a"]
    squares = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(found, np.r_[0, np.cumsum(squares) / squares.sum()], atol=1e-9)
    assert (np.diff(found) >= 0).all()
    assert found[-1] == 1


@FEW
@given(st.integers(0, 10**6))
def test_an_attention_output_has_no_more_directions_than_its_heads(seed):
    """rank(x W_O) <= rank(W_O) <= heads times their width."""
    rng = np.random.default_rng(seed)
    heads, width, d = 3, 4, 40
    w_o = rng.standard_normal((heads * width, d))
    w_o[-2:] = w_o[:2]  # rank 10
    out = rng.standard_normal((300, heads * width)) @ w_o
    asked = VarianceShareParams(share=0.9999)
    found = variance_share_by_layer(tap(out, "out"), tap(rng.standard_normal((300, d)), "all"), params=asked)
    assert np.linalg.matrix_rank(out) == np.linalg.matrix_rank(w_o) == 10
    assert found.estimates[0].value <= 10 / d <= heads * width / d
    assert found.series["out"][10] == pytest.approx(1, abs=1e-12)
    assert found.estimates[1].value == 1.0


def test_the_null_is_isotropic_noise_at_this_n_and_few_samples_are_said():
    rng = np.random.default_rng(0)
    for n in (30, 400):
        found = variance_share_by_layer(
            tap(rng.standard_normal((n, 40)), "a"), tap(rng.standard_normal((n, 40)), "b")
        )
        for e in found.estimates:
            assert abs(e.value - e.null) <= 2 / 40
        assert np.abs(found.series["a"] - found.null["a"]).max() < 0.05
        assert any("span at most 29 directions" in c for c in found.caveats) == (n == 30)


def test_taps_of_unlike_widths_share_one_axis_and_intervals_hold_the_value():
    rng = np.random.default_rng(1)
    found = variance_share_by_layer(*(tap(rng.standard_normal((200, d)), f"t{d}") for d in (5, 300)))
    assert len(found.x) == 201
    for name, line in found.series.items():
        assert (found.low[name] <= line + 1e-12).all()
        assert (found.high[name] >= line - 1e-12).all()
    assert all(e.low <= e.value <= e.high for e in found.estimates)


def test_a_curve_of_the_wrong_values_fails_the_check(monkeypatch):
    right = shares._cumulative
    monkeypatch.setattr(shares, "_cumulative", lambda v, d: right(np.sqrt(v), d))
    assert not all(line.passed for line in shares._check())


# ---------------------------------------------------------------------------- atoms
@pytest.mark.parametrize(("r", "d"), [(1, 7), (5, 40), (39, 40)])
def test_a_random_atom_has_energy_r_over_d(r, d):
    rng = np.random.default_rng(2)
    drawn = rng.standard_normal((20_000, d))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    basis = np.linalg.qr(rng.standard_normal((d, r)))[0]
    found = energies(drawn, basis)
    mean, deviation, low, high = energy_by_chance(r, d)
    assert mean == r / d
    assert found.mean() == pytest.approx(mean, abs=4 * deviation / np.sqrt(20_000))
    assert found.std() == pytest.approx(deviation, rel=0.05)
    assert (low, high) == pytest.approx(beta.ppf([0.025, 0.975], r / 2, (d - r) / 2))
    assert energy_by_chance(d, d)[:2] == (1.0, 0.0)


@FEW
@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_energies_ignore_a_common_rotation_shifts_and_lengths(seed, scale):
    rng = np.random.default_rng(seed)
    x, atoms = rng.standard_normal((80, 6)) * 0.5 ** np.arange(6), rng.standard_normal((12, 6))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    asked = AtomEnergyParams(directions=2)
    one = atom_energy(tap(x), tap(atoms), params=asked)
    other = atom_energy(tap(scale * x @ turn + 3), tap(atoms @ turn * scale), params=asked)
    np.testing.assert_allclose(one.columns["energy"], other.columns["energy"], atol=1e-9)
    axes = np.linalg.svd(x - x.mean(axis=0))[2][:2]
    by_hand = ((atoms @ axes.T) ** 2).sum(axis=1) / (atoms**2).sum(axis=1)
    np.testing.assert_allclose(one.columns["energy"], by_hand, atol=1e-9)


def planted(rng, d=30, r=4, live=20, dead=10):
    """Activations in r directions, atoms of which the live ones lie inside and the dead ones anywhere."""
    frame = np.linalg.qr(rng.standard_normal((d, r)))[0]
    x = rng.standard_normal((200, r)) @ frame.T
    atoms = np.vstack([rng.standard_normal((live, r)) @ frame.T, rng.standard_normal((dead, d))])
    return x, atoms


def test_dead_atoms_lie_at_the_lower_left():
    rng = np.random.default_rng(3)
    x, atoms = planted(rng)
    rate = np.r_[rng.uniform(0.05, 0.5, 20), np.zeros(10)]
    found = atom_energy(tap(x), tap(atoms, rate=rate), params=AtomEnergyParams(rate="rate"))
    assert (found.columns["state"] == "dead").sum() == 10
    dead = found.positions[found.columns["state"] == "dead"]
    assert dead[:, 0].max() < found.positions[:20, 0].min()
    assert dead[:, 1].max() < found.positions[:20, 1].min()
    fire, never, share, rank = found.estimates
    assert fire.value == pytest.approx(1)
    assert never.low <= 4 / 30 + 0.1
    assert never.null == 4 / 30
    assert share.value == pytest.approx(1 / 3)
    assert rank.low > 0
    level = next(v for k, v in found.guides.items() if "chance" in k)
    assert (level[:, 1] == 4 / 30).all()
    assert (level[0, 0], level[1, 0]) == (found.positions[:, 0].min(), found.positions[:, 0].max())


def test_without_rates_atoms_encode_the_rows_and_that_is_said():
    rng = np.random.default_rng(4)
    x, atoms = planted(rng)
    found = atom_energy(tap(x), tap(atoms), params=AtomEnergyParams(active=3))
    assert any("made here from the atoms themselves" in c for c in found.caveats)
    unit, centred = atoms / np.linalg.norm(atoms, axis=1, keepdims=True), x - x.mean(axis=0)
    score = centred @ unit.T
    top = np.argsort(-score, axis=1)[:, :3]
    counts = np.zeros(30)
    for i, row in enumerate(top):
        counts[row] += score[i, row] > 0
    np.testing.assert_allclose(found.columns["firing rate"], counts / 200)


def test_errors_of_energies_are_those_of_other_samples():
    rng = np.random.default_rng(5)
    spread = np.r_[3.0, 1.5, 1.4, 0.3, 0.3]
    atoms, draws = np.eye(5)[1:3] + 0.3, []
    for _ in range(60):
        found = atom_energy(
            tap(rng.standard_normal((300, 5)) * spread), tap(np.vstack([atoms, np.eye(5)])),
            params=AtomEnergyParams(directions=2),
        ).columns  # fmt: skip
        draws.append([found["energy"][:2], found["error"][:2]])
    energy, error = np.moveaxis(np.array(draws), 1, 0)
    assert (np.median(error, axis=0) > 0.3 * energy.std(axis=0)).all()
    assert (np.median(error, axis=0) < 3 * energy.std(axis=0)).all()


def test_tables_may_hold_atoms_as_columns_and_broken_atoms_are_left_out():
    rng = np.random.default_rng(6)
    atoms = rng.standard_normal((9, 5))
    atoms[2], atoms[4, 1] = 0, np.nan
    found = atoms_of(tap(atoms), 5)
    assert found.numbers.tolist() == [0, 1, 3, 5, 6, 7, 8]
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1)
    turned = atoms_of(tap(np.nan_to_num(atoms).T), 5)
    assert turned.count == 9
    assert any("columns are atoms" in note for note in turned.notes)
    rate, n = latent_rates(tap(np.tile([1.0, 0, -1, 2, 0, 0, 0, 0, 3], (4, 1))), found)
    assert n == 4
    assert rate.tolist() == [1, 0, 1, 0, 0, 0, 1]


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(7)
    x, atoms = tap(rng.standard_normal((50, 6))), tap(rng.standard_normal((20, 6)))
    with pytest.raises(ShapeError, match="one for each of the 6 units"):
        atom_energy(x, tap(rng.standard_normal((20, 7))))
    with pytest.raises(NotEnoughData, match="at least 3"):
        atom_energy(x, tap(np.zeros((20, 6))))
    with pytest.raises(ParameterError, match="which vary"):
        atom_energy(x, atoms, params=AtomEnergyParams(directions=7))
    with pytest.raises(NotFound, match="no sample column"):
        atom_energy(x, atoms, params=AtomEnergyParams(rate="none"))
    with pytest.raises(InputError, match="a number for each"):
        atom_energy(x, tap(atoms.values, rate=np.full(20, "x")), params=AtomEnergyParams(rate="rate"))
    with pytest.raises(InputError, match="one latent for each atom"):
        latent_rates(tap(rng.standard_normal((20, 7))), atoms_of(atoms, 6))


def test_broken_energies_and_rates_fail_the_check(monkeypatch):
    with monkeypatch.context() as at:
        at.setattr(energy_module, "energies", lambda a, b: np.abs(a @ b).sum(axis=1))
        assert not all(line.passed for line in energy_module._check())
    with monkeypatch.context() as at:
        at.setattr(energy_module, "latent_rates", lambda latents, atoms: (np.ones(atoms.count), 1))
        assert not all(line.passed for line in energy_module._check())
    with monkeypatch.context() as at:
        at.setattr(compute, "betaincinv", lambda a, b, p: 0.5)
        assert not all(line.passed for line in energy_module._check())


def test_every_row_fires_at_most_as_many_atoms_as_are_active():
    rng = np.random.default_rng(8)
    x, atoms = rng.standard_normal((500, 8)), rng.standard_normal((40, 8))
    assert tied_rates(x, atoms, 5).sum() <= 5
    assert tied_rates(x, atoms, 400).sum() == pytest.approx((x @ atoms.T > 0).mean(axis=0).sum())


# ---------------------------------------------------------------------------- the basis
@FEW
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_the_basis_is_orthonormal_and_holds_the_most(seed, r):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((90, 7)) * 0.7 ** np.arange(7) + 5
    basis = active_basis(tap(x), ActiveBasisParams(directions=r)).values
    np.testing.assert_allclose(basis.T @ basis, np.eye(r), atol=1e-12)
    centred = x - x.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    assert ((centred @ basis) ** 2).sum() == pytest.approx(values[:r].sum())


def test_atoms_started_inside_the_basis_have_all_of_their_energy_there():
    """What the basis is taken away for."""
    rng = np.random.default_rng(9)
    x, _ = planted(rng)
    basis = active_basis(tap(x)).values
    start = rng.standard_normal((50, 30)) @ basis @ basis.T
    found = atom_energy(tap(x), tap(start))
    assert found.columns["energy"].min() > 1 - 1e-9
    plain = atom_energy(tap(x), tap(rng.standard_normal((50, 30))))
    assert plain.columns["energy"].max() < 0.9


def test_tokens_stay_with_their_sample_and_a_held_out_share_is_no_more_than_the_fitted_one():
    rng = np.random.default_rng(10)
    x = np.repeat(rng.standard_normal((30, 40)), 20, axis=0) + 0.01 * rng.standard_normal((600, 40))
    tokens = ArrayActivations(x, layout=Layout(np.arange(31) * 20))
    found = active_basis(tokens, ActiveBasisParams(directions=10)).estimates[2]
    alone = active_basis(tap(x), ActiveBasisParams(directions=10)).estimates[2]
    assert found.value < alone.value - 0.05  # rows of one sample in both halves are no test
    with pytest.raises(ParameterError, match="which vary"):
        active_basis(tap(x[:5].repeat(2, axis=0)), ActiveBasisParams(directions=30))


def test_a_wrong_basis_fails_the_check(monkeypatch):
    monkeypatch.setattr(bases, "axes_for", lambda values, share: 4)
    assert not all(line.passed for line in bases._check())
