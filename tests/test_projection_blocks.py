"""How wrong a near-tied axis is, and that principal components say so: by simulation against the known covariance."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.linear.axis_error import component_names
from analysis.methods.projection.pca import PcaParams, pca

N = 500


def first_axis_errors(deviations, rng, draws=400) -> np.ndarray:
    """Degrees between the first eigenvector of N Gaussian rows and the true first axis, once per draw."""
    found = []
    for _ in range(draws):
        x = rng.standard_normal((N, len(deviations))) * deviations
        found.append(abs(np.linalg.eigh(np.cov(x, rowvar=False))[1][0, -1]))
    return np.degrees(np.arccos(np.minimum(found, 1.0)))


def median_angle(ratio: float, n: int) -> float:
    """The same median in the limit of large n, two axes: tan 2θ = 2 c / g, the covariance c of the two axes normal
    with variance λ1 λ2 / n, the difference g of their variances normal with mean λ1 - λ2 and variance
    2 (λ1² + λ2²) / n. By quadrature over the plane (c, g)."""
    a, b = ratio, 1.0
    angle = np.linspace(0, np.pi, 20_001)  # 2 |θ|
    radius = np.linspace(0, 1.2, 2_001)[:, None]
    c, g = radius * np.sin(angle) / 2, radius * np.cos(angle)
    density = np.exp(-n * c**2 / (2 * a * b) - n * (g - (a - b)) ** 2 / (4 * (a**2 + b**2))) * radius
    mass = np.cumsum(density.sum(axis=0))
    return float(np.degrees(angle[np.searchsorted(mass, mass[-1] / 2)] / 2))


@pytest.mark.parametrize(("ratio", "expected"), [(1.02, 37.5), (1.02**2, 31.0)])
def test_near_tied_axes_are_off_by_a_third_of_a_right_angle(ratio, expected):
    """The literature's 32° at n = 500 and a gap of 2 % lies between a gap of the eigenvalues and one of their roots."""
    errors = first_axis_errors(np.sqrt([ratio, 1.0]), np.random.default_rng(1), 2000)
    assert median_angle(ratio, N) == pytest.approx(expected, abs=1.0)
    assert np.median(errors) == pytest.approx(median_angle(ratio, N), abs=1.5)


def test_a_clear_gap_is_not_off():
    assert np.median(first_axis_errors([2.0, 1.0, 1.0], np.random.default_rng(0))) < 5


def test_near_tied_axes_are_named_as_one_block():
    """In nine of ten draws: at the ratio of 2 % the test that tells axes apart is wrong about as rarely as it says."""
    marked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((N, 5)) * [1.01, 1, 0.3, 0.3, 0.3]
        found = pca(x, rng=rng)
        together = "; one block PC 1–2)" in found.axes[0] and "; one block PC 1–2)" in found.axes[1]
        assert together == ("one block" in found.reading)
        assert together == any("PC 1 and PC 2 are unresolved" in c for c in found.caveats)
        marked += together
    assert marked >= 54


def test_a_block_may_hold_an_axis_that_is_not_drawn():
    assert component_names(np.array([0.5, 0.2]), np.array([1e-9, 0.4])) == (
        "PC 1 (50.0% of variance)",
        "PC 2 (20.0% of variance; one block PC 2–3)",
    )
    assert component_names(np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.4])) == tuple(
        f"PC {i} ({s} of variance; one block PC 1–3)" for i, s in ((1, "50.0%"), (2, "30.0%"), (3, "20.0%"))
    )
    assert component_names(np.array([1.0, 0.0]), np.array([])) == (
        "PC 1 (100.0% of variance)",
        "PC 2 (0.0% of variance)",
    )


def test_axes_with_a_gap_stand_alone(rng):
    found = pca(rng.standard_normal((N, 4)) * [4, 3, 2, 1], PcaParams(components=3))
    assert not any("block" in axis for axis in found.axes)
