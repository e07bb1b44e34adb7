"""Sampling error of principal subspaces, and activations along a layer's weights: formulas, simulations, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import barycentric
from analysis.compute.subspaces.confidence import (
    bootstrap_error,
    expected_error,
    fourth_moments,
    random_error,
    random_line_angle,
)
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.compute.subspaces.shared_energy import share_by_chance
from analysis.errors import InputError, LoupeError, NotEnoughData, NotFound
from analysis.methods.subspaces import subspace_confidence as confidence_module
from analysis.methods.subspaces import weight_subspaces as weights_module
from analysis.methods.subspaces.subspace_confidence import (
    ANY,
    BOOTSTRAP,
    GAUSSIAN,
    RADIUS,
    SubspaceConfidenceParams,
    subspace_confidence,
)
from analysis.methods.subspaces.weight_subspaces import (
    ENERGY,
    INSIDE,
    READS,
    WeightSubspacesParams,
    weight_subspaces,
)
from analysis.sources.digests import file_digest
from analysis.store.from_arrays import write_store


def turned(lam, n, rng, k, draws, tails=None):
    """(draws,) ‖sin Θ‖² between the span of the first k sample axes and the true one."""
    d, found = len(lam), np.empty(draws)
    for i in range(draws):
        x = (
            rng.standard_normal((n, d))
            if tails is None
            else rng.standard_t(tails, (n, d)) * np.sqrt((tails - 2) / tails)
        )
        axes = np.linalg.eigh(np.cov((x * np.sqrt(lam)).T))[1][:, ::-1][:, :k]
        found[i] = k - (axes[:k] ** 2).sum()
    return found


# ---------------------------------------------------------------------------- the formula
@pytest.mark.parametrize(("lam", "k"), [((5, 3, 1, 0.5), 1), ((5, 4.5, 1, 0.5, 0.2), 2), ((4, 2, 2, 0.5), 3)])
def test_the_gaussian_formula_is_what_fresh_samples_do(lam, k, rng):
    lam, n = np.array(lam, float), 800
    by_hand = sum(lam[i] * lam[j] / (lam[i] - lam[j]) ** 2 for i in range(k) for j in range(k, len(lam))) / n
    found = expected_error(lam, n, len(lam) - 1)
    assert found.mean[k - 1] == pytest.approx(by_hand, rel=1e-12)
    assert turned(lam, n, rng, k, 600).mean() == pytest.approx(by_hand, rel=0.12)


def test_the_radius_holds_95_of_100_samples(rng):
    lam = np.array([6.0, 4, 1.5, 1, 0.5, 0.5])
    for k in (1, 2, 3):
        radius = expected_error(lam, 1000, 5).radius[k - 1]
        assert (np.sqrt(turned(lam, 1000, rng, k, 600)) <= radius).mean() == pytest.approx(0.95, abs=0.03)


def test_heavy_tails_need_the_fourth_moments(rng):
    lam, n = np.array([4.0, 2, 1]), 1500
    x = rng.standard_t(5, (200_000, 3)) * np.sqrt(3 / 5) * np.sqrt(lam)
    free = expected_error(lam, n, 2, fourth_moments(x, 2))
    plain = expected_error(lam, n, 2)
    direct = turned(lam, n, rng, 1, 600, tails=5).mean()
    assert abs(direct / free.mean[0] - 1) < 0.2
    own = fourth_moments(x, 2)
    np.testing.assert_allclose(
        own, [[(x[:, i] ** 2 * x[:, j] ** 2).mean() for j in range(3)] for i in range(2)]
    )
    shared = x * np.sqrt(
        rng.chisquare(6, (200_000, 1)) / 4
    )  # one scale for a whole row: axes that are large together
    wild = expected_error(lam, n, 2, fourth_moments(shared * np.sqrt(lam / shared.var(axis=0)), 2))
    assert wild.mean[0] > 1.2 * plain.mean[0]


@pytest.mark.parametrize(("gap", "degrees", "within"), [(2, 2.1, 0.4), (0.2, 10.9, 1.7), (0.02, 32.1, 6)])
def test_the_first_axis_turns_as_far_as_published_for_three_gaps(gap, degrees, within):
    """n = 500; the gap is between the top two of three eigenvalues, the other two 1 and 1/2 (our choice of them)."""
    lam = np.array([1 + gap, 1, 0.5])
    found = turned(lam, 500, np.random.default_rng(7), 1, 800)
    assert np.degrees(np.median(np.arcsin(np.sqrt(found)))) == pytest.approx(degrees, abs=within)
    one = subspace_confidence(np.random.default_rng(4).standard_normal((500, 3)) * np.sqrt(lam))
    told = one.estimates[0]
    assert (told.p_value < 0.05) == (gap == 2)
    if gap == 2:
        assert told.value == pytest.approx(degrees, rel=0.5)


def test_equal_eigenvalues_have_no_span(rng):
    found = expected_error(np.array([3.0, 2, 2, 1]), 100, 3)
    assert np.isinf(found.mean[1])
    assert np.isinf(found.radius[1])
    assert np.isfinite(found.mean[[0, 2]]).all()


def test_the_bootstrap_is_resampling_and_looking_again(rng):
    x = rng.standard_normal((120, 5)) * [4, 3, 2, 1, 1]
    axes = np.linalg.eigh(np.cov(x.T))[1][:, ::-1]
    scores = (x - x.mean(axis=0)) @ axes
    found = bootstrap_error(scores, 4, np.random.default_rng(5), 6)
    again = np.random.default_rng(5)
    for row in found:
        counts = again.multinomial(120, np.full(120, 1 / 120))
        other = np.linalg.eigh(np.cov(np.repeat(x, counts, axis=0).T))[1][:, ::-1]
        for k in range(1, 5):
            known = (np.sin(subspace_angles(axes[:, :k], other[:, :k])) ** 2).sum()
            assert row[k - 1] == pytest.approx(known, abs=1e-9)


def test_random_subspaces_and_lines(rng):
    drawn = [np.linalg.norm(random_basis(9, 3, rng)[3:]) ** 2 for _ in range(3000)]
    assert random_error(np.array(3), 9) == pytest.approx(np.mean(drawn), abs=0.05)
    lines = np.arccos(np.abs([random_basis(9, 1, rng)[0, 0] for _ in range(5000)]))
    for share in (0.025, 0.5, 0.975):
        assert random_line_angle(9, share) == pytest.approx(np.quantile(lines, share), abs=0.03)


# ---------------------------------------------------------------------------- the method
def test_all_three_agree_where_samples_are_many(rng):
    x = rng.standard_normal((4000, 6)) * np.sqrt([9, 6, 3, 1, 0.6, 0.3])
    found = subspace_confidence(x @ random_basis(6, 6, rng) + 7)
    for name in (ANY, GAUSSIAN):
        np.testing.assert_allclose(found.series[name], found.series[BOOTSTRAP], rtol=0.2)
    assert (found.series[RADIUS] > found.series[ANY]).all()
    assert (found.low[BOOTSTRAP] <= found.series[BOOTSTRAP]).all()
    assert (found.series[BOOTSTRAP] <= found.high[BOOTSTRAP]).all()
    np.testing.assert_allclose(found.null[BOOTSTRAP], np.sqrt([5 / 6, 8 / 6, 9 / 6, 8 / 6, 5 / 6]))
    assert found.estimates[-1].value == 6


def test_it_ignores_rotation_shift_and_scale(rng):
    x = rng.standard_normal((200, 5)) * [4, 3, 2, 1, 0.5]
    one, other = subspace_confidence(x), subspace_confidence(0.01 * x @ random_basis(5, 5, rng) - 3)
    for name, line in one.series.items():
        np.testing.assert_allclose(other.series[name], line, rtol=1e-6)


def test_error_falls_as_one_over_root_n_and_blocks_are_named(rng):
    lam = np.sqrt([9, 3, 3, 3, 1])
    few, many = (subspace_confidence(rng.standard_normal((n, 5)) * lam) for n in (250, 4000))
    assert few.series[BOOTSTRAP][0] / many.series[BOOTSTRAP][0] == pytest.approx(4, rel=0.5)
    assert "starts at axis 2 and holds 3" in many.reading
    assert many.estimates[-1].value == 2
    assert any("exceed a random subspace" in c for c in many.caveats) or many.series[ANY][1] > 0.2


def test_tokens_are_pooled_and_odd_input_is_refused_or_measured(rng):
    x = rng.standard_normal((60, 4)) * [4, 3, 2, 1]
    tokens = ArrayActivations(np.repeat(x, 3, axis=0), layout=Layout(np.arange(0, 181, 3)))
    np.testing.assert_allclose(subspace_confidence(tokens).series[ANY], subspace_confidence(x).series[ANY])
    for values in (
        np.hstack([x, np.ones((60, 2))]),
        np.hstack([x, x]),
        rng.standard_normal((20, 90)),
        x.astype(np.float16),
    ):
        found = subspace_confidence(values)
        assert all(np.isfinite(line).all() for line in found.series.values())
    assert any("2 constant unit" in c for c in subspace_confidence(np.hstack([x, np.ones((60, 2))])).caveats)
    for values, refusal in ((x[:7], NotEnoughData), (x[:, :1], InputError), (np.ones((30, 3)), InputError)):
        with pytest.raises(refusal):
            subspace_confidence(values)
    few = subspace_confidence(
        np.random.default_rng(0).standard_normal((300, 4)), SubspaceConfidenceParams(maximum_samples=100)
    )
    assert any("A random 100 of 300" in c for c in few.caveats)


# ---------------------------------------------------------------------------- weights and activations
def test_shares_by_chance_are_those_of_random_subspaces(rng):
    values = np.sort(rng.dirichlet(np.full(12, 0.4)))[::-1]
    for k in (1, 4, 11):
        drawn = [(values @ q[:, :k] ** 2).sum() for q in ortho_group.rvs(12, 4000, random_state=k)]
        mean, deviation = share_by_chance(np.float64(k), values)
        assert mean == pytest.approx(np.mean(drawn), abs=4 * deviation / np.sqrt(4000))
        assert deviation == pytest.approx(np.std(drawn), rel=0.08)
    assert share_by_chance(np.float64(12), values)[1] == 0


def test_shares_are_projections(rng):
    x, w = rng.standard_normal((150, 7)) * np.linspace(4, 1, 7), rng.standard_normal((7, 9))
    found = weight_subspaces(x, w.T, params=WeightSubspacesParams(share=0.6))
    left, c = np.linalg.svd(w)[0], np.cov(x.T)
    known = [np.trace(left[:, :k].T @ c @ left[:, :k]) / np.trace(c) for k in range(1, 8)]
    np.testing.assert_allclose(found.series[INSIDE], known, atol=1e-9)
    axes = np.linalg.eigh(c)[1][:, ::-1]
    energy = [np.linalg.norm(axes[:, :k].T @ w) ** 2 / np.linalg.norm(w) ** 2 for k in range(1, 8)]
    np.testing.assert_allclose(found.series[ENERGY], energy, atol=1e-9)
    np.testing.assert_allclose(found.null[INSIDE], np.arange(1, 8) / 7)
    assert (found.low[INSIDE] <= found.series[INSIDE] + 1e-12).all()
    k, q = (int(e.value) for e in found.estimates[3:])
    assert found.estimates[2].value == pytest.approx(
        (np.cos(subspace_angles(left[:, :k], axes[:, :q])) ** 2).mean()
    )


def test_the_rank_of_an_output_is_at_most_that_of_its_weights(rng):
    """An attention output of H heads: everything lies in the span of W_O, whatever goes in."""
    w = rng.standard_normal((24, 6))  # 24 units, H d_head = 6
    made = np.abs(rng.standard_normal((300, 6))) @ w.T
    found = weight_subspaces(made, w.T, params=WeightSubspacesParams(share=0.999))
    assert found.series[INSIDE][5] == pytest.approx(1, abs=1e-9)
    assert found.estimates[0].null == pytest.approx(6 / 24)
    assert found.estimates[0].p_value < 0.05


def test_unrelated_weights_are_as_chance(rng):
    hits = 0
    for _ in range(40):
        x = rng.standard_normal((200, 20)) * np.linspace(3, 1, 20)
        found = weight_subspaces(x @ random_basis(20, 20, rng), rng.standard_normal((6, 20)))
        hits += sum(e.p_value < 0.05 for e in found.estimates[:3])
    assert hits <= 9


def test_weights_are_read_from_the_checkpoint_of_a_store(tmp_path, rng):
    w = rng.standard_normal((8, 5))
    path = tmp_path / "net.safetensors"
    save_file({"proj.weight": w, "proj.bias": rng.standard_normal(8)}, str(path))
    inputs = rng.standard_normal((50, 5)) * [4, 3, 2, 1, 1]
    store = write_store(
        tmp_path / "store", name="s", taps={"stream": inputs @ w.T, "inner": inputs},
        checkpoint={"kind": "state_dict", "path": str(path), "digest": file_digest(path)},
    )  # fmt: skip
    stream, inner = store.activations("stream"), store.activations("inner")
    writes = weight_subspaces(stream, stream, params=WeightSubspacesParams(layer="proj", share=0.999))
    assert writes.series[INSIDE][4] == pytest.approx(1, abs=1e-5)  # stored in float16 or float32
    reads = weight_subspaces(inner, stream, params=WeightSubspacesParams(layer="proj", side=READS))
    right, c = np.linalg.svd(w)[2], np.cov(np.asarray(inner.take(np.arange(50)), float).T)
    assert reads.series[INSIDE][0] == pytest.approx(right[0] @ c @ right[0] / np.trace(c), rel=1e-6)
    with pytest.raises(InputError, match=r"proj has 8 units and .*inner has 5"):
        weight_subspaces(inner, stream, params=WeightSubspacesParams(layer="proj"))
    with pytest.raises(NotFound):
        weight_subspaces(stream, stream, params=WeightSubspacesParams(layer="nothing"))


def test_weights_that_cannot_be_compared_are_refused(rng):
    x = rng.standard_normal((50, 6))
    with pytest.raises(InputError, match="6 units"):
        weight_subspaces(x, rng.standard_normal((9, 5)))
    with pytest.raises(InputError, match="all 0"):
        weight_subspaces(x, np.zeros((9, 6)))
    with pytest.raises(LoupeError):
        weight_subspaces(np.ones((50, 6)), rng.standard_normal((9, 6)))
    with pytest.raises(NotEnoughData):
        weight_subspaces(x[:5], rng.standard_normal((9, 6)))


# ---------------------------------------------------------------------------- exemplar subspaces
def test_the_full_flag_of_principal_axes_leaves_the_sum_of_j_lambda_j_and_exemplars_more(rng):
    """AUV = Σ_i σ²_out(V_i) over the whole nested sequence: Σ_j j λ_j for principal axes, its least value."""
    x = rng.standard_normal((60, 6)) * [5, 3, 2, 2, 1, 0.5]
    c = x - x.mean(axis=0)
    lam = np.linalg.eigvalsh(c.T @ c / len(c))[::-1]
    nested = barycentric.principal_nested(lam, 5)
    assert nested.sum() == pytest.approx(np.arange(1, 7) @ lam, rel=1e-12)
    axes = np.linalg.eigh(c.T @ c)[1][:, ::-1]
    direct = [((c - c @ axes[:, :i] @ axes[:, :i].T) ** 2).sum() / len(c) for i in range(6)]
    assert sum(direct) == pytest.approx(nested.sum(), rel=1e-10)
    for _ in range(200):
        corners = x[rng.choice(60, 6, replace=False)]
        left = [((x - corners[0]) ** 2).sum() / 60]
        for i in range(2, 7):
            basis = np.linalg.qr((corners[1:i] - corners[0]).T)[0]
            out = (x - corners[0]) - (x - corners[0]) @ basis @ basis.T
            left.append((out**2).sum() / 60)
        assert sum(left) >= nested.sum()


# ---------------------------------------------------------------------------- checks that can fail
def _of_twice_as_many(values, n, most, fourth=None):
    return expected_error(values, 2 * n, most, fourth)


def _uneven(weight, name, tap, side):
    return np.diag(np.arange(1.0, tap.shape[1] + 1))


def _thrice(scores, most, rng, draws, *_):
    return 3 * bootstrap_error(scores, most, rng, draws)


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (confidence_module, confidence_module, "expected_error", _of_twice_as_many),
        (confidence_module, confidence_module, "bootstrap_error", _thrice),
        (confidence_module, confidence_module, "random_error", lambda k, d: k * (d - k) / (d + 1)),
        (confidence_module, confidence_module, "unresolved_blocks", lambda p, level: np.arange(len(p) + 1)),
        (weights_module, weights_module, "share_by_chance", lambda k, v: (0.9 * k / len(v), 0.1)),
        (weights_module, weights_module, "principal_angles", lambda a, b: np.full(3, 0.1)),
        (weights_module, weights_module, "weight_energy", _uneven),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())
