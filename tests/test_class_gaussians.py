"""Classes as Gaussians in two taps: the 2-Wasserstein distance, harmonic means, zero-shot accuracies, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import gaussian_classes as mathematics
from analysis.compute.subspaces import gaussian_report as report
from analysis.compute.subspaces.gaussian_classes import (
    DiagonalGaussians,
    gaussians_of,
    harmonic_mean,
    wasserstein,
)
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import gaussian_classes as module
from analysis.methods.concepts.gaussian_classes import (
    CONFUSION,
    POSTERIORS,
    GaussianClassesParams,
    gaussian_classes,
)

FEW = settings(max_examples=30, deadline=None)


def tap(x, label):
    return ArrayActivations(x, samples={"label": np.asarray(label)})


@FEW
@given(seed=st.integers(0, 10**6))
def test_the_distance_is_the_general_one_for_diagonal_covariances(seed):
    """|μ1 - μ2|² + tr(A + B - 2 (A^½ B A^½)^½), by matrix roots; symmetric; 0 only for equal ones."""
    rng = np.random.default_rng(seed)
    one, two = (DiagonalGaussians(rng.standard_normal((1, 4)), rng.uniform(0.2, 2, (1, 4))) for _ in range(2))
    a, b = np.diag(one.deviations[0] ** 2), np.diag(two.deviations[0] ** 2)
    root = np.real(sqrtm(sqrtm(a) @ b @ sqrtm(a)))
    expected = ((one.means - two.means) ** 2).sum() + np.trace(a + b - 2 * root)
    found = wasserstein(one, two)[0, 0]
    assert found**2 == pytest.approx(expected, rel=1e-9)
    assert wasserstein(two, one)[0, 0] == pytest.approx(found)
    assert wasserstein(one, one)[0, 0] == 0.0
    wider = DiagonalGaussians(one.means, one.deviations * 1.5)
    assert wasserstein(one, wider)[0, 0] > 0


@FEW
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_the_harmonic_mean_is_at_most_twice_the_smaller(a, b):
    found = float(harmonic_mean(a, b))
    assert found <= 2 * min(a, b) + 1e-12
    assert harmonic_mean(a, 0.0) == 0.0
    if a > 0:
        assert float(harmonic_mean(a, a)) == pytest.approx(a)


def test_a_mixture_of_posteriors_has_the_moments_of_its_draws(rng):
    means, variances = rng.standard_normal((40, 2)), rng.uniform(0.1, 3.0, (40, 2))
    found = gaussians_of(means, np.zeros(40, int), 1, variances)
    drawn = (means[:, None] + np.sqrt(variances)[:, None] * rng.standard_normal((40, 20_000, 2))).reshape(
        -1, 2
    )
    np.testing.assert_allclose(found.means[0], drawn.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found.deviations[0], drawn.std(axis=0), rtol=0.01)


def test_class_moments_by_definition(rng):
    x, of = rng.standard_normal((50, 3)), rng.integers(4, size=50)
    found = gaussians_of(x, of, 4)
    for c in range(4):
        np.testing.assert_allclose(found.means[c], x[of == c].mean(axis=0))
        np.testing.assert_allclose(found.deviations[c], x[of == c].std(axis=0))


def made(rng, n=300, c=4, d=5):
    label = np.arange(n) % c
    centres = 6 * rng.standard_normal((c, d))
    return label, centres, (centres[label] + rng.standard_normal((n, d)) for _ in range(2))


def test_an_unseen_class_whose_attributes_lie_elsewhere_has_accuracy_0_and_so_has_the_harmonic_mean(rng):
    label, _, (x, y) = made(rng)
    y[label == 3] += 500.0
    found = gaussian_classes(tap(x, label), tap(y, label), GaussianClassesParams(unseen="3", show=CONFUSION))
    one = {e.name: e.value for e in found.estimates}
    assert one["accuracy of seen classes"] > 0.95
    assert one["accuracy of unseen classes"] == 0.0
    assert one["harmonic mean of seen and unseen"] == 0.0
    np.testing.assert_allclose(found.values.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.null, 0.25)


def test_confusion_by_brute_force(rng):
    label, _, (x, y) = made(rng, d=2)
    found = gaussian_classes(tap(x, label), tap(y, label), GaussianClassesParams(show=CONFUSION))
    means = np.array([y[label == c].mean(axis=0) for c in range(4)])
    for i in range(4):
        near = [np.argmin([np.linalg.norm(z - m) for m in means]) for z in x[label == i]]
        np.testing.assert_allclose(found.values[i], np.bincount(near, minlength=4) / len(near))


def test_taps_of_other_samples_are_matched_by_class_name(rng):
    label, centres, (x, _) = made(rng)
    other = np.array(["3", "1", "0", "9"]).repeat(20)
    y = centres[np.minimum(other.astype(int), 3)] + 0.1 * rng.standard_normal((80, 5))
    found = gaussian_classes(tap(x, label.astype(str)), tap(y, other))
    assert found.row_names == ("0 (first)", "1 (first)", "3 (first)")
    assert (found.values.argmin(axis=1) == np.arange(3)).all()
    assert found.estimates[0].p_value < 0.4
    assert found.estimates[0].null == pytest.approx(found.values.mean())


def test_exchanged_classes_have_the_mean_of_all_cells_exactly(rng):
    label, _, (x, y) = made(rng, c=3)
    found = gaussian_classes(tap(x, label), tap(y, label))
    from itertools import permutations

    every = [np.mean([found.values[i, p[i]] for i in range(3)]) for p in permutations(range(3))]
    assert np.mean(every) == pytest.approx(found.estimates[0].null)


def test_refusals(rng):
    label, _, (x, y) = made(rng)
    with pytest.raises(InputError, match="two taps of one space"):
        gaussian_classes(tap(x, label), tap(y[:, :3], label))
    with pytest.raises(InputError, match="log-variances"):
        gaussian_classes(tap(x, label), tap(y, label), GaussianClassesParams(holds=POSTERIORS))
    with pytest.raises(ParameterError, match="unseen classes 7"):
        gaussian_classes(tap(x, label), tap(y, label), GaussianClassesParams(unseen="7"))
    with pytest.raises(ParameterError, match="not all"):
        gaussian_classes(tap(x, label), tap(y, label), GaussianClassesParams(unseen="0,1,2,3"))
    with pytest.raises(NotEnoughData, match="in both taps"):
        gaussian_classes(tap(x, label), tap(y, label + 10))
    with pytest.raises(NotFound):
        gaussian_classes(x, y)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "wasserstein", lambda a, b: np.linalg.norm(a.means[:, None] - b.means, axis=2)),
        (report, "harmonic_mean", lambda a, b: (np.asarray(a) + b) / 1.9),
        (module, "nearest_mean", lambda x, means: np.zeros(len(x), int)),
        (mathematics, "DiagonalGaussians", lambda means, deviations: DiagonalGaussians(means, deviations**2)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
