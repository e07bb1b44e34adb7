"""A check that cannot fail proves nothing: each one is run once on code that is broken on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import registry
from analysis.compute import map_quality as quality
from analysis.compute import moments
from analysis.compute.moments import CrossMoments, Moments, UnitMoments


def turned_axes(x, k):
    """Axes off by a millionth of a radian."""
    from analysis.compute.linalg import principal_components

    mean, directions, values = principal_components(x, k)
    other = np.linalg.qr(np.vstack([directions, np.eye(directions.shape[1])[:1]]).T)[0][:, -1]
    directions[0] += 1e-6 * other
    return mean, directions, values


def merged_without_the_means(a, b):
    """The classical mistake: adding scatters and forgetting that the chunks' means differ."""
    return Moments(a.n + b.n, (a.n * a.mean + b.n * b.mean) / (a.n + b.n), a.scatter + b.scatter)


def unit_moments_without_the_mixed_term(a, b):
    right = merge_units(a, b)
    return dataclasses.replace(right, m4=a.m4 + b.m4, m3=right.m3 * 1.02)


def cross_without_the_means(a, b):
    return dataclasses.replace(merge_cross(a, b), cross=a.cross + b.cross * 1.001)


def ordinal_ranks(values):
    """Ranks that break ties by position."""
    return np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0) + 1.0, np.zeros(values.shape[1])


def noise_layout(x, graph, **_):
    return np.random.default_rng(0).standard_normal((len(x), 2)).astype(np.float32)


def label_blind(*args, **more):
    from analysis.compute.samples import labelled_matrix

    data = labelled_matrix(*args, **more)
    return dataclasses.replace(data, of=np.random.default_rng(0).permutation(data.of))


merge_units, merge_cross = UnitMoments.merge, CrossMoments.merge
projection, units = "analysis.methods.projection", "analysis.methods.units"
correlation = "analysis.methods.correlation"

BROKEN = [
    ("pca", f"{projection}.pca.principal_components", turned_axes),
    ("pca", f"{projection}.pca.separation_p", lambda lam, n, inflation: np.zeros(len(inflation) - 1)),
    (
        "pca",
        "analysis.compute.axis_null.gaussian_eigenvalues",
        lambda variances, n, rng: np.ones((5, len(variances))),
    ),
    ("pca_spectrum", "analysis.compute.spectra.participation_ratio", lambda lam: 1.0001 * len(lam)),
    ("pca_spectrum", "analysis.compute.spectra.entropy_rank", lambda w: float(len(w)) * 1.01),
    ("pca_spectrum", f"{projection}.pca_spectrum.unresolved_blocks", lambda p, level: np.arange(len(p) + 1)),
    ("umap", f"{projection}.umap.umap_layout", noise_layout),
    ("map_quality", "analysis.compute.map_quality._ranks", lambda a, b: 1 + RANKS(a, b)),
    ("unit_statistics", "analysis.compute.moments.UnitMoments.merge", unit_moments_without_the_mixed_term),
    ("class_selectivity", "analysis.compute.selectivity.midranks", ordinal_ranks),
    ("class_selectivity", f"{units}.class_selectivity.labelled_matrix", label_blind),
    ("class_means", f"{units}.class_means.labelled_matrix", label_blind),
    ("unit_correlation", f"{correlation}.units.clustered", lambda r, absolute: (np.arange(len(r)), None)),
    ("unit_correlation", f"{correlation}.units.correlation_p", lambda r, n: np.zeros(len(r))),
    ("strongest_pairs", "analysis.compute.moments.CrossMoments.merge", cross_without_the_means),
]
RANKS = quality._ranks


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    declared = registry.methods()[method]
    if method == "strongest_pairs":  # its check fits one chunk: make several of it
        monkeypatch.setattr("analysis.activations.CHUNK_ROWS", 100)
        monkeypatch.setattr("analysis.activations.ArrayActivations.chunks.__defaults__", (100,))
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in declared.check())


def test_merging_without_the_means_is_noticed(monkeypatch, rng):
    x = np.sort(rng.standard_normal((9000, 2)), axis=0)
    from analysis.activations import ArrayActivations

    right = moments.moments_of(ArrayActivations(x)).covariance
    monkeypatch.setattr(Moments, "merge", merged_without_the_means)
    wrong = moments.moments_of(ArrayActivations(x)).covariance
    np.testing.assert_allclose(right, np.cov(x, rowvar=False), atol=1e-12)
    assert np.abs(wrong - right).max() > 0.1
