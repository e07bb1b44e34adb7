"""A check that cannot fail proves nothing: each one is run once on code that is broken on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import registry
from analysis.compute.clusters import coding_rate
from analysis.compute.groups import mean_difference
from analysis.compute.groups.group_sums import SMALLEST
from analysis.compute.linear import fisher, stein
from analysis.compute.maps import map_quality as quality
from analysis.compute.neighbours import graph_laplacian
from analysis.compute.statistics import moments
from analysis.compute.statistics.moments import CrossMoments, Moments, UnitMoments


def turned_axes(x, k):
    """Axes off by a millionth of a radian."""
    from analysis.compute.linear.linalg import principal_components

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


def over_the_total_deviation(sums, shift, deviation):
    """An effect in deviations of all entries together, which the effect itself widens."""
    return shift * SMALLEST / sums.smallest_deviation()


def label_blind(*args, **more):
    from analysis.compute.rows.samples import labelled_matrix

    data = labelled_matrix(*args, **more)
    return dataclasses.replace(data, of=np.random.default_rng(0).permutation(data.of))


def with_fixed_weights(self, z):
    """The Jacobian without the change of the weights."""
    return np.tensordot(self.weights(z), self.maps, axes=1)


def ignored_labels(basis, of, classes, shrinkage=None):
    return DISCRIMINANTS(basis, np.random.default_rng(0).permutation(of), classes, shrinkage)


def deflated_by_weights(x, y, k):
    """Partial least squares that forgets to take earlier scores off."""
    r = np.linalg.svd(x.T @ y, full_matrices=False)[0][:, [0] * k]
    return r, y.T @ x @ r


def codes_by_row(points, k, rng, starts=3):
    from analysis.compute.clusters.kmeans import kmeans

    found = kmeans(points, k, rng, starts)
    return dataclasses.replace(found, codes=np.roll(found.codes, 1))


def never_surprised(observed, null):
    return 1 / (1 + len(null))


def without_the_sizes(z, codes, epsilon):
    found = CODING_RATES(z, codes, epsilon)
    return dataclasses.replace(found, parts=found.each.mean(axis=0) * 1.0001)


merge_units, merge_cross = UnitMoments.merge, CrossMoments.merge
projection, units = "analysis.methods.projection", "analysis.methods.units"
correlation, clusters = "analysis.methods.correlation", "analysis.methods.clusters"

BROKEN = [
    ("pca", f"{projection}.pca.principal_components", turned_axes),
    ("pca", f"{projection}.pca.separation_p", lambda lam, n, inflation: np.zeros(len(inflation) - 1)),
    (
        "pca",
        "analysis.compute.linear.axis_null.gaussian_eigenvalues",
        lambda variances, n, rng: np.ones((5, len(variances))),
    ),
    ("pca_spectrum", "analysis.compute.linear.spectra.participation_ratio", lambda lam: 1.0001 * len(lam)),
    ("pca_spectrum", "analysis.compute.linear.spectra.entropy_rank", lambda w: float(len(w)) * 1.01),
    ("pca_spectrum", f"{projection}.pca_spectrum.unresolved_blocks", lambda p, level: np.arange(len(p) + 1)),
    ("umap", f"{projection}.umap.umap_layout", noise_layout),
    ("map_quality", "analysis.compute.maps.map_quality._ranks", lambda a, b: 1 + RANKS(a, b)),
    (
        "unit_statistics",
        "analysis.compute.statistics.moments.UnitMoments.merge",
        unit_moments_without_the_mixed_term,
    ),
    ("class_selectivity", "analysis.compute.groups.selectivity.midranks", ordinal_ranks),
    ("class_selectivity", f"{units}.class_selectivity.labelled_matrix", label_blind),
    ("class_means", f"{units}.class_means.labelled_matrix", label_blind),
    ("selection_contrast", "analysis.compute.groups.group_sums.GroupSums._effect", over_the_total_deviation),
    ("unit_correlation", f"{correlation}.units.clustered", lambda r, absolute: (np.arange(len(r)), None)),
    (
        "unit_correlation",
        "analysis.compute.correlation.pair_tests.correlation_p",
        lambda r, n: np.zeros(len(r)),
    ),
    ("kmeans", f"{clusters}.kmeans.fit_centres", codes_by_row),
    ("kmeans", "analysis.compute.clusters.cluster_null.add_one_p", never_surprised),
    ("kmeans", "analysis.compute.clusters.cluster_stability.overlaps", lambda a, b, k: np.full(k, 0.9)),
    (
        "kmeans",
        "analysis.compute.clusters.cluster_names._labels",
        lambda c, k, *_: (np.full(k, "a"), np.full(k, 0.99)),
    ),
    (
        "hdbscan",
        "analysis.compute.neighbours.spanning_tree._reachability",
        lambda x, k: np.abs(x[:, :1] - x[:, 0]),
    ),
    (
        "hdbscan",
        "analysis.compute.clusters.density_tree._most_mass",
        lambda own, parent: np.arange(len(own)) == 1,
    ),
    ("hdbscan", "analysis.compute.clusters.density_tree._prominence", lambda *_: 1.0),
    ("hdbscan", f"{clusters}.hdbscan.add_one_p", never_surprised),
    ("coding_rate", "analysis.compute.clusters.coding_rate.rate", lambda z, e: 1.0001 * RATE(z, e)),
    ("coding_rate", f"{clusters}.coding_rate.rates", without_the_sizes),
    ("coding_rate", f"{clusters}.coding_rate.unit_rows", lambda x, centre: np.asarray(x, float)),
    ("neighbour_consistency", f"{clusters}.neighbour_consistency.purity", lambda of, i: np.ones(i.shape)),
    (
        "neighbour_consistency",
        f"{clusters}.neighbour_consistency.consistency",
        lambda p, i: np.full(len(p), 1e-6),
    ),
    (
        "neighbour_consistency",
        f"{clusters}.neighbour_consistency.mean_entropy",
        lambda p: float(np.log(p.shape[1])),
    ),
    ("strongest_pairs", "analysis.compute.statistics.moments.CrossMoments.merge", cross_without_the_means),
]
BROKEN += [
    ("tsne", f"{projection}.tsne.tsne_layout", lambda x, *_, **more: (noise_layout(x, None), 0.0)),
    ("directions", "analysis.compute.groups.mean_difference.direction",
     lambda e, groups: (np.eye(e.values.shape[1])[0], np.zeros(e.values.shape[1]))),
    ("directions", "analysis.compute.groups.mean_difference.separations", lambda e, sides: 0.7 * SEPARATIONS(e, sides)),
    ("discriminant", f"{projection}.discriminant.discriminants", ignored_labels),
    ("discriminant", f"{projection}.discriminant.accuracies", lambda *_: (0.9, 0.9, 0.9, 1.0)),
    ("partial_least_squares", f"{projection}.partial_least_squares.simpls", deflated_by_weights),
    ("sparse_pca", f"{projection}.sparse_pca.sparse_directions", lambda x, k, r, steps=0: np.eye(k, x.shape[1])),
    ("sparse_pca", f"{projection}.sparse_pca.adjusted_variances", lambda s: 1.1 * s.var(axis=0)),
    ("rotated_pca", f"{projection}.rotated_pca.varimax", lambda frame, rng, **_: np.eye(frame.shape[1])),
    ("laplacian_eigenmaps", f"{projection}.laplacian_eigenmaps.slow_eigenvectors",
     lambda w, k, rng: (1.001 * SLOW(w, k, rng)[0], SLOW(w, k, rng)[1])),
    ("laplacian_eigenmaps", f"{projection}.laplacian_eigenmaps.pieces", lambda w: (1, np.zeros(w.shape[0], int))),
    ("local_linear_maps", "analysis.compute.maps.local_maps.LocalMaps.jacobian", with_fixed_weights),
    ("local_linear_maps", f"{projection}.local_linear_maps.fit_local_maps", lambda start, *_: start),
    ("response_maps", f"{projection}.response_maps.second_moment", lambda z, y: 1.5 * SECOND(z, y)),
    ("response_maps", f"{projection}.response_maps.first_moment", lambda z, y: np.abs(z).T @ y / len(z)),
    ("graph_fusion", f"{projection}.graph_fusion.merged_eigenvectors",
     lambda g, k, a, rng: (np.linalg.qr(rng.standard_normal((g[0].shape[0], k)))[0], MERGED(g, k, a, rng)[1])),
    ("aligned_series", f"{projection}.aligned_series.rotation_onto", lambda a, b: np.eye(a.shape[1])),
    ("aligned_series", f"{projection}.aligned_series.residual_share", lambda a, b: 0.5),
    ("expected_order", f"{projection}.expected_order.ring_correlation",
     lambda a, e: (np.abs(np.exp(1j * (a - e)).mean(axis=-1)), 1)),
    ("expected_order", f"{projection}.expected_order.order_fall", lambda s, d: 0.9),
]  # fmt: skip
DISCRIMINANTS, SEPARATIONS, SECOND = fisher.discriminants, mean_difference.separations, stein.second_moment
SLOW, MERGED = graph_laplacian.slow_eigenvectors, graph_laplacian.merged_eigenvectors
RANKS = quality._ranks
RATE, CODING_RATES = coding_rate.rate, coding_rate.rates


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
