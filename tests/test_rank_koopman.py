"""Koopman health and modes: linear systems recovered exactly, rotations, orders of ranks, folds, nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import koopman as compute
from analysis.compute.linear import koopman_modes as koopman_modes_compute
from analysis.compute.linear.koopman import prediction_sums, sequences_of, step_map
from analysis.errors import InputError, NotEnoughData
from analysis.methods.rank import koopman_disc as disc_module
from analysis.methods.rank import koopman_health as module
from analysis.methods.rank import koopman_modes as modes_module
from analysis.methods.rank.koopman_disc import SHUFFLED, UNIT, koopman_disc
from analysis.methods.rank.koopman_health import LINEAR, STILL, KoopmanHealthParams, koopman_health
from analysis.methods.rank.koopman_modes import KoopmanModesParams, koopman_modes

FEW = settings(max_examples=12, deadline=None)
WHOLE = KoopmanHealthParams(share=1.0)


def tap(x):
    """Of sequences (count, length, d)."""
    count, length, d = x.shape
    return ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(count + 1) * length))


def orbits(rng, matrix, count=30, length=10, noise=0.0, offset=0.0):
    x = [rng.standard_normal((count, len(matrix)))]
    for _ in range(length - 1):
        x.append(x[-1] @ matrix.T + noise * rng.standard_normal(x[-1].shape))
    return tap(np.stack(x, axis=1) + offset)


def stable(rng, d, radius=0.95):
    k = rng.standard_normal((d, d))
    return radius * k / np.abs(np.linalg.eigvals(k)).max()


# ---------------------------------------------------------------------------- published facts
@FEW
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 5]), st.floats(-50, 50))
def test_noise_free_linear_data_give_k_exactly(seed, d, offset):
    rng = np.random.default_rng(seed)
    k = stable(rng, d)
    activations = orbits(rng, k, offset=offset)
    model = step_map(sequences_of(activations, 10**4, rng), 1.0)
    whole = model.basis.T @ model.matrix @ model.basis
    assert len(model.basis) == d
    np.testing.assert_allclose(whole, k, atol=1e-6)
    found = koopman_health(activations, WHOLE)
    assert found.series[LINEAR].max() < 1e-8
    assert found.estimates[2].value == pytest.approx(0.95, abs=1e-6)


@FEW
@given(st.integers(0, 10**6))
def test_a_rotation_lies_on_the_unit_circle_with_orthogonal_eigenvectors(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    found = koopman_modes(orbits(rng, turn), KoopmanModesParams(share=1.0))
    assert found.columns["magnitude"] == pytest.approx(np.ones(len(found.columns["mode"])), abs=1e-8)
    angles = np.unique(np.abs(np.angle(np.linalg.eigvals(turn))).round(7)) / (2 * np.pi)
    assert np.unique(found.columns["frequency"].round(8)) == pytest.approx(angles, abs=1e-6)
    assert found.estimates[1].value == pytest.approx(1, abs=1e-6)


@FEW
@given(st.integers(0, 10**6))
def test_ranks_stand_in_their_order(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((8, 20, 6)) * rng.uniform(0.01, 3, 6)
    pr, entropy, sigma = koopman_health(tap(x)).estimates[4:7]
    assert 1 <= pr.value <= entropy.value <= sigma.value <= 6
    for e in (pr, entropy, sigma):
        assert 1 <= e.low <= e.value <= e.high <= 6


def test_flat_and_single_spectra():
    cross = np.vstack([np.eye(4), -np.eye(4)])
    flat = koopman_health(np.tile(cross, (10, 1))).estimates[4:7]
    assert [e.value for e in flat] == pytest.approx([4, 4, 4])
    line = np.sin(np.arange(80))[:, None] * np.array([1.0, 2.0])
    assert koopman_health(line).estimates[5].value == pytest.approx(1, abs=1e-6)


def test_far_from_orthogonal_eigenvectors_are_told(rng):
    shear = np.array([[0.9, 500.0], [0.0, 0.8]])
    found = koopman_modes(orbits(rng, shear), KoopmanModesParams(share=1.0))
    vectors = np.linalg.eig(shear)[1]
    assert found.estimates[1].value == pytest.approx(np.linalg.cond(vectors), rel=1e-3)
    assert any("far from orthogonal" in c for c in found.caveats)
    jordan = np.array([[0.9, 1.0], [0.0, 0.9]])
    assert koopman_health(orbits(rng, jordan), WHOLE).estimates[3].value > 1e5


# ---------------------------------------------------------------------------- prediction
def test_errors_are_those_of_the_other_half_by_hand(rng):
    data = sequences_of(orbits(rng, stable(rng, 3), noise=0.3), 10**4, rng)
    sums = prediction_sums(data, 1.0, 4)
    for h in (1, 3):
        total = np.zeros(3)
        for side in (0, 1):
            model = step_map(data.only(data.fold != side), 1.0)
            for i in range(len(data.x) - h):
                if data.fold[i] != side or data.run[i] != data.run[i + h]:
                    continue
                z = (data.x[i] - model.mean) @ model.basis.T
                for _ in range(h):
                    z = model.matrix @ z + model.shift
                ahead = data.x[i + h] - model.mean
                total += [
                    ((ahead - z @ model.basis) ** 2).sum(),
                    ((data.x[i + h] - data.x[i]) ** 2).sum(),
                    ahead @ ahead,
                ]
        np.testing.assert_allclose(sums[:, h - 1].sum(axis=1), total, rtol=1e-9)


def test_white_noise_has_no_map_and_persistence_is_twice_as_bad(rng):
    found = koopman_health(tap(rng.standard_normal((60, 20, 4))))
    assert found.series[LINEAR] == pytest.approx(np.ones(10), abs=0.03)
    assert found.series[STILL] == pytest.approx(np.full(10, 2), abs=0.2)
    assert found.null[LINEAR] == pytest.approx(np.ones(10), abs=0.03)
    noise = koopman_modes(tap(rng.standard_normal((60, 20, 4))))
    assert noise.estimates[0].p_value > 0.05


def test_a_slow_walk_is_predicted_by_persistence(rng):
    x = np.cumsum(rng.standard_normal((40, 30, 3)), axis=1)
    found = koopman_health(tap(x))
    assert abs(found.series[LINEAR][0] - found.series[STILL][0]) < 0.02
    assert found.null[LINEAR][0] > found.series[LINEAR][0] + 0.05


@FEW
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_rotation_shift_and_scale_leave_health(seed, scale):
    rng = np.random.default_rng(seed)
    one = orbits(rng, stable(rng, 4), noise=0.2)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    other = ArrayActivations(scale * one.values @ turn + 3 * scale, layout=one.layout)
    a, b = (koopman_health(t, WHOLE, rng=np.random.default_rng(1)) for t in (one, other))
    np.testing.assert_allclose(b.series[LINEAR], a.series[LINEAR], rtol=1e-6)
    assert [e.value for e in b.estimates[2:]] == pytest.approx([e.value for e in a.estimates[2:]], rel=1e-4)


def test_gaps_are_not_stepped_over(rng):
    activations = orbits(rng, stable(rng, 3), count=10, length=9)
    values = activations.values.copy()
    values[4::9] = np.nan
    data = sequences_of(ArrayActivations(values, layout=activations.layout), 10**4, rng)
    assert len(data.starts(1)) == 10 * (3 + 3)
    assert data.longest() == 3
    model = step_map(data, 1.0)
    assert np.abs(model.eigenvalues()).max() == pytest.approx(0.95, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_long_sequences_count_by_their_tenths_and_no_step_leaves_a_gap(rng, count):
    activations = orbits(rng, stable(rng, 3, 1.0), count=count, length=60)
    data = sequences_of(activations, 10**4, rng)
    assert data.groups == 10
    left = data.only(data.group != 3)
    for h in (1, 4):
        for i in left.starts(h):
            at = np.flatnonzero((data.x == left.x[i]).all(axis=1))[0]
            np.testing.assert_array_equal(data.x[at + h], left.x[i + h])
    assert np.abs(step_map(left, 1.0).eigenvalues()).max() == pytest.approx(1, abs=1e-6)
    for e in koopman_health(activations, WHOLE).estimates:
        assert np.isfinite([e.value, e.low, e.high]).all()
    assert koopman_modes(activations).estimates[0].low is not None


def test_shuffling_stays_inside_a_sequence(rng):
    data = sequences_of(orbits(rng, stable(rng, 3)), 10**4, rng)
    mixed = data.shuffled(rng)
    for run in np.unique(data.run):
        mine = data.run == run
        np.testing.assert_allclose(np.sort(mixed.x[mine], axis=0), np.sort(data.x[mine], axis=0))
    assert not np.allclose(mixed.x, data.x)


# ---------------------------------------------------------------------------- bad input
def test_bad_input(rng):
    with pytest.raises(NotEnoughData, match="finite row"):
        koopman_health(rng.standard_normal((19, 3)))
    with pytest.raises(NotEnoughData, match="0 steps"):
        koopman_health(ArrayActivations(
            np.where(np.arange(60)[:, None] % 2, np.nan, rng.standard_normal((60, 3))), layout=Layout(np.arange(31) * 2)
        ))  # fmt: skip
    uneven = ArrayActivations(rng.standard_normal((80, 3)), layout=Layout(np.r_[np.arange(11), 80]))
    with pytest.raises(NotEnoughData, match="0 of them in one half"):
        koopman_health(uneven)
    with pytest.raises(InputError, match="equal"):
        koopman_modes(np.ones((60, 3)))
    found = koopman_health(tap(rng.standard_normal((20, 4, 3))))
    assert any("allow 3 of the 10" in c for c in found.caveats)
    assert any("one sequence" in c for c in koopman_health(rng.standard_normal((60, 3))).caveats)
    wide = koopman_health(tap(rng.standard_normal((10, 6, 200)).astype(np.float16)))
    assert any("of 200 principal axes" in c for c in wide.caveats)
    part = koopman_health(tap(rng.standard_normal((40, 5, 3))), KoopmanHealthParams(maximum_rows=100))
    assert any("The first 100 of 200 rows" in c for c in part.caveats)


# ---------------------------------------------------------------------------- broken code
def _no_shift(data, share):
    model = STEP(data, share)
    return compute.StepMap(model.basis, model.mean, 0.99 * model.matrix, model.shift)


def _same_half(data, share, horizons):
    return SUMS(
        compute.replace(data, x=np.ones_like(data.x) * np.arange(len(data.x))[:, None]), share, horizons
    )


STEP, SUMS = compute.step_map, compute.prediction_sums


@pytest.mark.parametrize(
    ("checked", "where", "name", "broken"),
    [
        (module, module, "step_map", _no_shift),
        (module, compute, "step_map", _no_shift),
        (module, module, "prediction_sums", _same_half),
        (module, module, "ranks", lambda lam: {"a": 3.0, "b": 2.0, "c": 1.0}),
        (modes_module, koopman_modes_compute, "step_map", _no_shift),
        (
            modes_module,
            koopman_modes_compute,
            "eigenmodes",
            lambda data, model: (MODES(data, model)[0], np.full(2, 0.5)),
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, checked, where, name, broken):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


MODES = koopman_modes_compute.eigenmodes


# ---------------------------------------------------------------------------- on the unit disc
def test_the_disc_has_the_modes_of_the_table_and_their_conjugates(rng):
    data = orbits(rng, stable(rng, 5), noise=0.05)
    table = koopman_modes(data, rng=np.random.default_rng(3)).columns
    disc = koopman_disc(data, rng=np.random.default_rng(3))
    upper = disc.positions[: len(table["mode"])]
    np.testing.assert_allclose(upper, np.column_stack([table["real"], table["imaginary"]]))
    np.testing.assert_allclose(disc.columns["magnitude"], np.hypot(*disc.positions.T))
    assert len(disc.positions) == 5
    assert disc.positions[:, 1].sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(np.hypot(*disc.guides[UNIT].T), 1)
    assert np.hypot(*disc.guides[SHUFFLED][0]) < 1


def test_what_a_mode_does_is_said_only_beyond_shuffled_time(rng):
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    assert set(koopman_disc(orbits(rng, turn)).columns["what it does"]) == {"lasts"}
    assert set(koopman_disc(orbits(rng, 0.8 * turn)).columns["what it does"]) == {"decays"}
    assert set(koopman_disc(orbits(rng, 1.2 * turn)).columns["what it does"]) == {"grows"}
    noise = koopman_disc(tap(rng.standard_normal((60, 20, 4))))
    assert (noise.columns["what it does"] == "not told from shuffled time").mean() >= 0.5


def test_a_wrong_disc_fails_its_check(monkeypatch):
    monkeypatch.setattr(koopman_modes_compute, "eigenmodes", lambda data, model: (MODES(data, model)[0] * 0.9,
                                                                                  MODES(data, model)[1]))  # fmt: skip
    assert not all(line.passed for line in disc_module._check())
