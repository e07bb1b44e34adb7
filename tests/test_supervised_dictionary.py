"""Supervised dictionaries: both ends in closed form or by a second implementation, blocks that never raise the
objective, gauge, gradients, coverage of covariates' intervals, planted angles, refusals, broken code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from analysis.activations import ArrayActivations
from analysis.compute.linear import softmax_inference
from analysis.compute.linear.softmax_inference import softmax_coefficients
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.subspaces import atoms_report, supervised_data
from analysis.compute.subspaces import supervised_dictionary as mathematics
from analysis.compute.subspaces.supervised_data import NONNEGATIVE, trial
from analysis.compute.subspaces.supervised_dictionary import (
    Dictionary,
    Problem,
    discriminative,
    fit,
    nonnegative_codes,
    normalised,
    objective,
    reconstructive,
    rest_objective,
)
from analysis.compute.subspaces.supervised_report import AGAINST_XI
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import supervised_atoms as atoms_module
from analysis.methods.concepts import supervised_dictionary as module
from analysis.methods.concepts.supervised_atoms import SupervisedAtomsParams, supervised_atoms
from analysis.methods.concepts.supervised_dictionary import (
    SupervisedDictionaryParams,
    planted_dictionary,
    supervised_dictionary,
)

FEW = settings(max_examples=10, deadline=None)


def problem(rng, xi=1.0, rank=3, nonnegative=False, n=120, d=10, c=3):
    of = np.arange(n) % c
    x = rng.standard_normal((n, d)) * np.linspace(2, 0.5, d)
    x[:, -c:] += 1.5 * np.eye(c)[of]
    x = np.abs(x) if nonnegative else x - x.mean(axis=0)
    return Problem(x, of, c, rng.standard_normal((n, 2)), rank, xi, 0.01, nonnegative)


def anywhere(rng, p):
    r, d, c = p.rank, p.x.shape[1], p.classes
    atoms = rng.random((r, d)) if p.nonnegative else rng.standard_normal((r, d))
    return Dictionary(atoms, 0.1 * rng.standard_normal((r, c)), np.zeros((p.z.shape[1], c)), np.zeros(c))


def left(p, d):
    return float(((p.x - d.rebuilt(p.x, p.nonnegative)) ** 2).sum()) / p.size


# ---------------------------------------------------------------------------- the two ends
def test_reconstruction_alone_is_the_least_error_there_is(rng):
    """Eckart and Young, also from atoms drawn at random; nothing at any other weight is below it."""
    p = problem(rng, xi=1e6)
    s = np.linalg.svd(p.x, compute_uv=False)
    least = (s[3:] ** 2).sum() / (s**2).sum()
    assert left(p, reconstructive(p, rng)) == pytest.approx(least, rel=1e-10)
    assert left(p, fit(p, anywhere(rng, p), 200)) == pytest.approx(least, rel=1e-4)
    for xi in (0.01, 0.3, 10.0):
        assert left(p, fit(replace(p, xi=xi), reconstructive(p, rng))) >= least - 1e-12


def test_reconstruction_alone_without_negatives_is_plain_nmf(rng):
    from sklearn.decomposition import NMF

    p = problem(rng, nonnegative=True)
    errors = [
        NMF(3, init="random", random_state=k, max_iter=300).fit(p.x).reconstruction_err_ ** 2
        for k in range(3)
    ]
    ours = reconstructive(p, rng)
    assert (ours.atoms >= 0).all()
    assert left(p, ours) == pytest.approx(min(errors) / p.size, rel=0.02)
    far = fit(replace(p, xi=1e6), ours)
    assert left(p, far) == pytest.approx(min(errors) / p.size, rel=0.02)


def test_labels_alone_is_ridge_logistic_regression(rng):
    """Two atoms are enough for three classes: from closed form, and from principal components down."""
    p = problem(rng, xi=0.0, rank=2)
    whole = softmax_fit(np.hstack([p.x, p.z]), p.of, 3, p.penalty, steps=2000)
    least = whole.loss + p.penalty / 2 * (whole.weights**2).sum()
    assert fit(p, discriminative(p)).objective[-1] == pytest.approx(least, rel=1e-5)
    assert fit(p, reconstructive(p, rng), 200).objective[-1] == pytest.approx(least, rel=1e-3)


# ---------------------------------------------------------------------------- blocks, gauge, slopes
@FEW
@given(seed=st.integers(0, 10**6), xi=st.sampled_from([0.0, 0.01, 1.0, 100.0]), nonnegative=st.booleans())
def test_no_block_raises_the_objective(seed, xi, nonnegative):
    rng = np.random.default_rng(seed)
    p = problem(rng, xi, nonnegative=nonnegative, n=60, d=6)
    found = fit(p, anywhere(rng, p), rounds=6)
    assert len(found.objective) > 3
    assert (np.diff(found.objective) <= 0).all()
    assert found.objective[-1] == pytest.approx(objective(p, found, found.codes(p.x, nonnegative)), rel=1e-3)
    if nonnegative:
        assert (found.atoms >= 0).all()
        assert (found.codes(p.x, True) >= 0).all()


@FEW
@given(seed=st.integers(0, 10**6))
def test_the_gauge_changes_neither_loss(seed):
    """W D, D⁻¹ H with loadings D B; any invertible D where nothing is constrained."""
    rng = np.random.default_rng(seed)
    p = problem(rng, n=40, d=6)
    d = anywhere(rng, p)
    w = d.codes(p.x, False)
    for mix in (np.diag(rng.uniform(0.2, 5, 3)), rng.standard_normal((3, 3)) + 3 * np.eye(3)):
        other = replace(d, atoms=np.linalg.solve(mix, d.atoms), loadings=mix.T @ d.loadings)
        np.testing.assert_allclose(other.scores(p.x, p.z), d.scores(p.x, p.z), atol=1e-8)
        np.testing.assert_allclose(other.rebuilt(p.x, False), d.rebuilt(p.x, False), atol=1e-8)
        assert objective(p, other, w @ mix) == pytest.approx(objective(p, d, w), rel=1e-9)
        one, two = (normalised(v, p.x, False) for v in (d, other))
        np.testing.assert_allclose(one.atoms, two.atoms, atol=1e-7)
        np.testing.assert_allclose(one.loadings, two.loadings, atol=1e-7)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_normalising_keeps_what_is_told_and_rebuilt(rng, nonnegative):
    p = problem(rng, nonnegative=nonnegative)
    d = anywhere(rng, p)
    one = normalised(d, p.x, nonnegative)
    np.testing.assert_allclose(np.linalg.norm(one.atoms, axis=1), 1.0)
    np.testing.assert_allclose(one.scores(p.x, p.z), d.scores(p.x, p.z), atol=1e-9)
    np.testing.assert_allclose(one.rebuilt(p.x, nonnegative), d.rebuilt(p.x, nonnegative), atol=1e-4)
    if not nonnegative:
        along = p.x @ one.atoms.T
        assert (np.diff((along**2).sum(axis=0)) <= 1e-9).all()


def test_slopes_by_finite_differences(rng):
    p = problem(rng, n=30, d=5)
    d = anywhere(rng, p)
    value = rest_objective(p, d, d.codes(p.x, False))
    flat = 0.3 * rng.standard_normal(3 * 5 + 3 * 3 + 2 * 3 + 3)
    np.testing.assert_allclose(value(flat)[1], approx_fprime(flat, lambda t: value(t)[0], 1e-7), atol=1e-5)


def test_codes_without_negatives_against_scipy(rng):
    from scipy.optimize import nnls

    x, h = rng.standard_normal((15, 8)), rng.random((4, 8))
    found = nonnegative_codes(x @ h.T, h @ h.T)
    np.testing.assert_allclose(found, [nnls(h.T, row)[0] for row in x], atol=1e-5)


# ---------------------------------------------------------------------------- covariates and loadings
def test_intervals_of_covariates_cover():
    """Over 150 tables: the true coefficient in 95 % of intervals, and 0 of a covariate that tells nothing."""
    rng, held, idle = np.random.default_rng(2), 0, 0
    for _ in range(150):
        x = rng.standard_normal((300, 3))
        of = (rng.random(300) < 1 / (1 + np.exp(-(1.0 * x[:, 0] - 0.6 * x[:, 1])))).astype(int)
        c = softmax_coefficients(x, of, 2)
        low, high = c.values - c.half, c.values + c.half
        held += int(low[0, 1] <= 0.5 <= high[0, 1]) + int(low[1, 1] <= -0.3 <= high[1, 1])
        idle += low[2, 1] <= 0 <= high[2, 1]
    assert held / 300 == pytest.approx(0.95, abs=0.04)
    assert idle / 150 == pytest.approx(0.95, abs=0.05)


def test_coefficients_of_two_classes_are_those_of_logistic_regression(rng):
    """The information of the binary model, written out."""
    x = rng.standard_normal((200, 2))
    of = (x[:, 0] + rng.standard_normal(200) > 0).astype(int)
    c = softmax_coefficients(x, of, 2, penalty=1e-9)
    w = c.values[:, 1] - c.values[:, 0]
    b = softmax_fit(x, of, 2, 1e-9, steps=1000).intercept
    share = 1 / (1 + np.exp(-(x @ w + b[1] - b[0])))
    design = np.hstack([x, np.ones((200, 1))])
    error = np.sqrt(np.diag(np.linalg.inv(design.T @ ((share * (1 - share))[:, None] * design))))[:2]
    np.testing.assert_allclose(2 * c.errors[:, 1], error, rtol=1e-3)
    from scipy.optimize import minimize
    from scipy.stats import chi2

    def least(columns):
        z = design[:, columns]
        return minimize(lambda t: np.log1p(np.exp(-(2 * of - 1) * (z @ t))).sum(), np.zeros(len(columns))).fun

    ratios = np.array([least([1, 2]), least([0, 2])]) - least([0, 1, 2])
    np.testing.assert_allclose(c.p, chi2.sf(2 * ratios, 1), rtol=1e-3, atol=1e-12)


def test_classes_told_almost_without_error_are_still_found(rng):
    """Wald's test would find nothing there; the likelihood ratio does, and nothing for noise."""
    of = np.arange(200) % 3
    x = np.hstack([20 * np.eye(3)[of][:, :2] + rng.standard_normal((200, 2)), rng.standard_normal((200, 1))])
    c = softmax_coefficients((x - x.mean(axis=0)) / x.std(axis=0), of, 3)
    assert (c.p[:2] < 1e-6).all()
    assert c.p[2] > 0.05
    assert (c.p_alone[:2] < 1e-6).all()
    assert c.p_alone[2] > 0.05
    assert (np.abs(c.values) < c.half).all()  # why Wald's would not
    tap = ArrayActivations(x, samples={"label": of})
    found = supervised_atoms(tap, SupervisedAtomsParams(atoms=2))
    assert (
        found.columns["q"].min() < 1e-6
    )  # one principal axis may tell all three, the other then adds nothing
    assert (found.columns["q alone"] < 1e-6).all()
    assert any("almost without error" in c for c in found.caveats)


def test_p_of_several_classes_is_even_for_noise():
    rng = np.random.default_rng(4)
    p = np.concatenate([
        softmax_coefficients(rng.standard_normal((150, 2)), rng.integers(4, size=150), 4).p for _ in range(80)
    ])  # fmt: skip
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.05)
    assert p.mean() == pytest.approx(0.5, abs=0.08)


def test_a_covariate_that_tells_nothing_has_0_in_its_interval_beside_one_that_does():
    rng = np.random.default_rng(21)  # not the seed with which the method halves the samples
    label = np.arange(400) % 3
    x = rng.standard_normal((400, 8))
    x[:, 1] += 1.5 * (label == 2)
    group = np.where(rng.random(400) < 0.8, label == 0, rng.random(400) < 0.4).astype(int)
    tap = ArrayActivations(x, samples={"label": label, "age": rng.standard_normal(400), "group": group})
    found = supervised_atoms(tap, SupervisedAtomsParams(covariates="age, group", atoms=4))
    c = {name: i for i, name in enumerate(found.columns["predictor"])}
    low, high = found.columns["loading low"], found.columns["loading high"]
    assert low[c["age"]] <= 0 <= high[c["age"]]
    assert found.columns["q"][c["age"]] > 0.05
    assert low[c["group = 1"]] > 0
    assert found.columns["class"][c["group = 1"]] == "0"
    assert "Of 2 covariate(s) 1 tell them beside the atoms: group = 1." in found.reading
    assert (np.diff(np.abs(found.columns["loading"])) <= 0).all()


# ---------------------------------------------------------------------------- the curve
def test_the_trade_off_runs_from_the_best_error_to_the_best_loss():
    tap = planted_dictionary(np.random.default_rng(21), 240, 10, 1.5, 9)
    found = supervised_dictionary(tap, SupervisedDictionaryParams(covariates="age", atoms=2, points=4))
    loss = found.series["atoms"]
    assert len(found.x) == 6
    assert found.x[0] == found.x.min()
    assert loss[-1] < 0.25 < np.log(2) - 0.05 < loss[0]
    assert found.marks["atoms"][0] in found.x[1:-1]
    alone = found.series["covariates alone"][0]
    assert alone == pytest.approx(np.log(2), abs=0.02)  # age tells nothing
    assert "overlap 0.0" in found.reading


def test_both_against_xi(rng):
    tap = planted_dictionary(rng, 120, 6, 1.5, 5)
    found = supervised_dictionary(
        tap, SupervisedDictionaryParams(drawn=AGAINST_XI, points=3, folds=2, atoms=2)
    )
    np.testing.assert_allclose(found.x, [0.01, 1.0, 100.0])
    assert found.log_x
    told = next(v for k, v in found.series.items() if k.startswith("log loss"))
    assert told[0] < told[-1]
    assert (np.diff(found.series["reconstruction error"]) <= 0.005).all()


def test_without_negatives_atoms_stay_so_and_say_what_was_moved(rng):
    tap = planted_dictionary(rng, 80, 5, 2.0, 4)
    few = {"atoms": 2, "constraint": NONNEGATIVE}
    found = supervised_dictionary(tap, SupervisedDictionaryParams(points=2, folds=2, **few))
    assert any("moved up to begin at 0" in c for c in found.caveats)
    table = supervised_atoms(tap, SupervisedAtomsParams(**few))
    assert not any("-" in units for units in table.columns["units"])


def test_held_out_samples_are_centred_by_the_others(rng):
    data = supervised_data.supervised_data(
        planted_dictionary(rng, 60, 4, 1.0, 0), SupervisedDictionaryParams(), rng, lambda *a: None, (0.0, 1.0)
    )
    one = trial(data, np.arange(30), SupervisedDictionaryParams())
    np.testing.assert_allclose(one.problem.x.mean(axis=0), 0.0, atol=1e-12)
    assert (one.problem.x**2).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(one.ready(data.x[:30]), one.problem.x)


# ---------------------------------------------------------------------------- refusals, broken code
@pytest.mark.parametrize("method", [supervised_dictionary, supervised_atoms])
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"label": np.zeros(60, int)}, NotEnoughData, "at least two such classes"),
        ({"label": np.r_[np.zeros(57, int), np.ones(3, int)]}, NotEnoughData, "at least two such classes"),
        ({"x": np.ones((60, 4))}, InputError, "no unit"),
        ({"x": np.r_[np.full((30, 4), np.nan), np.eye(4)[np.arange(30) % 4]]}, NotEnoughData, "at least 40"),
        ({"covariates": "label"}, ParameterError, "other than the label"),
        ({"covariates": "flat"}, ParameterError, "covariate 'flat'"),
        ({"covariates": "nothing"}, NotFound, "nothing"),
        ({"covariates": "holes"}, NotEnoughData, "all covariates"),
    ],
)  # fmt: skip
def test_refusals(rng, method, change, error, said):
    samples = {"label": change.get("label", np.arange(60) % 2), "flat": np.ones(60),
               "holes": np.r_[np.full(40, np.nan), rng.standard_normal(20)]}  # fmt: skip
    tap = ArrayActivations(change.get("x", rng.standard_normal((60, 4))), "tap", samples)
    kind = SupervisedDictionaryParams if method is supervised_dictionary else SupervisedAtomsParams
    with pytest.raises(error, match=said):
        method(tap, kind(covariates=change.get("covariates", "")))


def test_more_atoms_than_units(rng):
    tap = planted_dictionary(rng, 60, 3, 1.0, 0)
    found = supervised_dictionary(tap, SupervisedDictionaryParams(atoms=9, points=2, folds=2))
    assert any("leaves nothing" in c for c in found.caveats)
    assert found.x[0] == pytest.approx(0.0, abs=1e-12)
    assert len(supervised_atoms(tap, SupervisedAtomsParams(atoms=9)).columns["predictor"]) == 3


BROKEN = {
    "labels told by others": (module, supervised_data, "log_losses", lambda s, of: np.full(len(of), 0.69)),
    "components that are not": (module, supervised_data, "reconstructive",
                                lambda p, rng: replace(reconstructive(p, rng), atoms=np.eye(8)[6:])),
    "directions at random": (module, module, "label_basis", lambda d, c: np.eye(d.atoms.shape[1])[:, 3:4]),
    "no errors": (atoms_module, atoms_report, "softmax_coefficients",
                  lambda *a: replace(softmax_coefficients(*a), errors=0 * softmax_coefficients(*a).errors)),
    "covariates thrown away": (atoms_module, supervised_data, "attributes_of",
                               lambda f: ([np.random.default_rng(0).standard_normal(len(f.values))], [f.name], False)),
    "atoms not in order": (atoms_module, atoms_module, "normalised",
                           lambda d, x, n: replace(normalised(d, x, n), atoms=normalised(d, x, n).atoms[::-1])),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_the_checks_fail_on_broken_code(monkeypatch, name):
    tested, where, what, broken = BROKEN[name]
    check = tested.METHODS[0].check
    monkeypatch.setattr(where, what, broken)
    assert not all(line.passed for line in check())


def test_tolerances_fail_on_broken_mathematics(rng, monkeypatch):
    """A ridge twice as strong, and blocks that do not look whether the objective rises, are seen by the tests above."""
    p = problem(rng, xi=0.0, rank=2)
    whole = softmax_fit(np.hstack([p.x, p.z]), p.of, 3, p.penalty, steps=2000)
    least = whole.loss + p.penalty / 2 * (whole.weights**2).sum()
    assert fit(replace(p, penalty=0.02), discriminative(p)).objective[-1] != pytest.approx(least, rel=1e-3)
    p = problem(rng, xi=1.0)
    monkeypatch.setattr(mathematics, "_new_codes", lambda p, d, codes: 0 * codes)
    assert fit(p, anywhere(rng, p), 5).objective[-1] > fit(p, reconstructive(p, rng), 5).objective[-1] + 1e-3
    x, of = rng.standard_normal((100, 2)), rng.integers(3, size=100)
    right = softmax_coefficients(x, of, 3).errors
    monkeypatch.setattr(softmax_inference, "softmax_fit", lambda *a, **k: softmax_fit(a[0], a[1], a[2], 0.5))
    assert not np.allclose(softmax_coefficients(x, of, 3).errors, right, rtol=1e-3)
