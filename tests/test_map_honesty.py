"""Quality of maps against brute force and other libraries; nulls, stability, separation and the tree over a map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.groups.group_tests import auroc_of, energy_coefficients
from analysis.compute.groups.two_groups import Entries, relabelled
from analysis.compute.groups.valley import bandwidth, density, depths, filled, valley
from analysis.compute.maps.distance_ranks import distance_ranks
from analysis.compute.maps.graph_quality import graph_quality
from analysis.compute.maps.local_expansion import neighbour_expansion
from analysis.compute.maps.map_quality import placement_quality
from analysis.compute.maps.map_runs import compared, map_of_rows, resampled_rows, run_interval
from analysis.compute.maps.tree_on_map import codes, near_pairs, tree_of_points, tree_of_tap
from analysis.compute.neighbours.map_neighbours import nearest_on_map
from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.neighbours.spanning_tree import spanning_tree
from analysis.compute.rows.membership import pack
from analysis.compute.statistics.nulls import moved_samples
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.projection.map_null import MapNullParams, map_null
from analysis.methods.projection.map_stability import MapStabilityParams, map_stability
from analysis.methods.projection.separation import SeparationParams, separation
from analysis.methods.projection.spanning_tree import SpanningTreeParams, spanning_tree_map
from analysis.spec import no_progress

quick = settings(max_examples=30, deadline=None)


def away(x: np.ndarray) -> np.ndarray:
    return np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=-1))


def points(seed: int, n: int, d: int, kind: str) -> np.ndarray:
    """Plain points, or ones with many duplicates, a constant column, or ties."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    if kind == "duplicates":
        x = x[rng.integers(max(2, n // 6), size=n)]
    elif kind == "constant column":
        x[:, 0] = 3.0
    elif kind == "ties":
        x = rng.integers(0, 3, (n, d)).astype(float)
    return x


KINDS = st.sampled_from(["plain", "duplicates", "constant column", "ties"])


# ---------------------------------------------------------------------------- quality by definition
def ranks_by_hand(d: np.ndarray) -> np.ndarray:
    """Rank of each other point of each point, ties by index, term by term."""
    n = len(d)
    rank = np.zeros((n, n), int)
    for i in range(n):
        others = sorted((j for j in range(n) if j != i), key=lambda j: (d[i, j], j))
        for r, j in enumerate(others, 1):
            rank[i, j] = r
    return rank


def nearly_tied(space) -> bool:
    """Whether two squared distances from one point differ by less than single precision tells apart."""
    squares = np.sort(((space[:, None] - space[None]) ** 2).sum(axis=2), axis=1)[:, 1:]
    return bool((np.diff(squares, axis=1) < 1e-6 * squares[:, 1:]).any())


@quick
@given(st.integers(0, 10**6), st.integers(1, 7), KINDS)
def test_quality_from_a_graph_is_the_definition_when_every_point_is_a_reference(seed, k, kind):
    """Then nothing is estimated, except that equally far points beyond the graph count as not nearer."""
    high, low = points(seed, 40, 3, "plain"), points(seed + 1, 40, 2, kind)
    if kind in ("duplicates", "ties"):
        low = low + 1e-3 * np.random.default_rng(seed).standard_normal(low.shape)
    assume(not any(nearly_tied(space) for space in (high, low)))  # single precision counts either way
    graph = neighbour_graph(high, 12)
    found = graph_quality(
        high, low, graph.indices, np.array([k]), np.random.default_rng(0), no_progress, (0, 1), 40
    )
    exact = placement_quality(high, low, k)
    np.testing.assert_array_equal(found["recall"], exact.recall)
    np.testing.assert_allclose(found["trust"], exact.trust, atol=1e-12)
    np.testing.assert_allclose(found["continuity"], exact.continuity, atol=1e-12)
    assert found["trust mean error"][0] == 0


def test_sampled_ranks_are_unbiased_and_their_errors_are_right():
    rng = np.random.default_rng(3)
    high = rng.standard_normal((1500, 8))
    low = high[:, :2] + 0.3 * rng.standard_normal((1500, 2))
    exact = placement_quality(high, low, 10)
    graph = neighbour_graph(high, 15)
    means, off = [], []
    for seed in range(30):
        found = graph_quality(
            high, low, graph.indices, np.array([10]), np.random.default_rng(seed), no_progress, (0, 1), 128
        )
        means.append(found["trust"].mean() - exact.trust.mean())
        off.append(found["trust"][:, 0] - exact.trust[:, 0])
        error = found["trust mean error"][0], found["trust error"][:, 0]
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(30)
    assert np.std(means) == pytest.approx(error[0], rel=0.4)
    assert np.sqrt(np.mean(np.square(off))) == pytest.approx(np.sqrt(np.mean(error[1] ** 2)), rel=0.1)


@quick
@given(st.integers(0, 10**6), st.integers(1, 6), KINDS)
def test_neighbours_on_a_map_are_brute_force(seed, k, kind):
    low = points(seed, 45, 2, kind)
    d = away(low)
    expected = np.argsort(ranks_by_hand(d) + np.where(np.eye(45), 10**6, 0), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(nearest_on_map(low, k)[0], expected)


def test_thousands_of_points_at_one_place():
    rng = np.random.default_rng(0)
    high = np.repeat(rng.standard_normal((3, 6)), 1000, axis=0)
    low = np.repeat(rng.standard_normal((3, 2)), 1000, axis=0)
    q = placement_quality(high, low, 15)
    assert (q.trust == 1).all()
    assert (q.recall == 1).all()
    near, reach = nearest_on_map(low, 15)
    assert near[5].tolist() == [j for j in range(16) if j != 5]
    assert (reach == 0).all()
    assert np.isnan(neighbour_expansion(high, low, np.arange(3000), near)).all()
    edges, lengths = tree_of_points(high)
    assert len(edges) == 2999
    assert (lengths[:2997] == 0).all()
    d = away(high[::1000])
    np.testing.assert_allclose(lengths[2997:], np.sort(d[np.triu_indices(3, 1)])[:2], rtol=1e-9)


def test_trustworthiness_is_scikit_learns_with_constant_columns_and_cosine():
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(1)
    high, low = rng.standard_normal((200, 7)), rng.standard_normal((200, 2))
    high[:, 3], low[:, 1] = 5.0, -2.0
    found = placement_quality(high, low, 9)
    assert found.trust.mean() == pytest.approx(trustworthiness(high, low, n_neighbors=9), abs=1e-12)
    found = placement_quality(high, low, 9, metric="cosine")
    other = trustworthiness(high, low, n_neighbors=9, metric="cosine")
    assert found.trust.mean() == pytest.approx(other, abs=1e-12)


def test_cosine_with_zero_vectors_everywhere():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 5))
    x[[3, 9, 40]] = 0.0
    low = rng.standard_normal((60, 2))
    q = placement_quality(x, low, 5, metric="cosine")
    assert np.isfinite(q.trust).all()
    assert set(q.nearest[3][:2]) == {9, 40}
    edges, lengths = tree_of_points(x, "cosine")
    assert (lengths[:2] == 0).all()  # the three zero vectors lie at one place
    assert {tuple(sorted(e)) for e in edges[:2].tolist()} <= {(3, 9), (3, 40), (9, 40)}
    assert lengths.max() <= 1 + 1e-12  # 1 from a zero vector to any other
    assert np.isfinite(distance_ranks(x, low, rng, metric="cosine").correlation).all()


# ---------------------------------------------------------------------------- ranks of distances, expansion
@pytest.mark.parametrize("kind", ["plain", "duplicates", "ties"])
def test_distance_ranks_are_scipys_spearman(kind):
    from scipy.stats import spearmanr

    high, low = points(4, 60, 4, kind), points(5, 60, 2, "plain")
    found = distance_ranks(high, low, np.random.default_rng(0))
    dh, dl = away(high), away(low)
    for i in range(0, 60, 7):
        others = np.arange(60) != i
        assert found.correlation[i] == pytest.approx(spearmanr(dh[i, others], dl[i, others])[0], abs=1e-9)
    upper = np.triu_indices(60, 1)
    assert found.overall.value == pytest.approx(spearmanr(dh[upper], dl[upper])[0], abs=1e-9)


@quick
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_expansion_by_hand_and_blind_to_scale(seed, scale):
    x, y = points(seed, 40, 4, "plain"), points(seed + 1, 40, 2, "plain")
    rank = ranks_by_hand(away(x))
    near = np.argsort(np.where(np.eye(40), 99, rank), axis=1)[:, :6]
    found = neighbour_expansion(x, y, np.arange(40), near)
    raw = [
        np.log2(np.sqrt((away(y)[i, near[i]] ** 2).sum() / (away(x)[i, near[i]] ** 2).sum()))
        for i in range(40)
    ]
    np.testing.assert_allclose(found, raw - np.median(raw), atol=1e-9)
    np.testing.assert_allclose(neighbour_expansion(x, scale * y, np.arange(40), near), found, atol=1e-9)


# ---------------------------------------------------------------------------- the tree
@quick
@given(st.integers(0, 10**6), st.integers(2, 50), st.sampled_from([1, 3]), KINDS)
def test_the_tree_is_scipys(seed, n, around, kind):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    x = points(seed, n, 3, kind)
    d = away(x)
    core = np.sort(d, axis=1)[:, min(around, n) - 1]
    reach = np.maximum(d, np.maximum(core[:, None], core))
    edges, lengths = tree_of_points(x, min_samples=around, keep=False)
    # scipy reads 0 as no edge: 1 is added to each
    expected = np.sort(minimum_spanning_tree(np.where(np.eye(n), 0, reach + 1)).data) - 1
    np.testing.assert_allclose(np.sort(lengths), expected, atol=1e-9)
    graph = coo_array((np.ones(n - 1), edges.T), shape=(n, n))
    assert connected_components(graph, directed=False)[0] == 1
    np.testing.assert_allclose(lengths, np.sort(lengths))


def test_the_tree_of_many_points_is_the_matrix_one(monkeypatch):
    x = points(0, 900, 3, "plain")
    x[100:400] = x[7]
    whole = spanning_tree(x - x.mean(axis=0), 1)[1]
    monkeypatch.setattr("analysis.compute.neighbours.spanning_tree.SMALL", 10)
    np.testing.assert_allclose(spanning_tree(x - x.mean(axis=0), 1)[1], whole, atol=1e-7)


def test_two_points_have_one_edge_and_one_has_none():
    edges, lengths = tree_of_points(np.array([[0.0, 0.0], [3.0, 4.0]]))
    assert edges.tolist() == [[0, 1]]
    assert lengths.tolist() == pytest.approx([5.0])
    with pytest.raises(NotEnoughData):
        tree_of_points(np.zeros((1, 3)))


def test_a_tree_is_kept_and_lies_over_any_map_of_the_rows():
    rng = np.random.default_rng(3)
    tap = ArrayActivations(rng.standard_normal((80, 6)))
    rows = np.sort(rng.choice(80, size=30, replace=False))
    kept.forget()
    edges, lengths = tree_of_tap(tap, rows)
    assert tree_of_tap(tap, rows)[0] is edges
    np.testing.assert_allclose(lengths, away(tap.values[rows])[edges[:, 0], edges[:, 1]], rtol=1e-9)
    columns = tree_of_tap(tap, np.arange(6), of="units")
    r = np.corrcoef(tap.values, rowvar=False)
    expected = np.sqrt(2 * (1 - r))[columns[0][:, 0], columns[0][:, 1]]
    np.testing.assert_allclose(columns[1], expected, rtol=1e-6)
    constant = ArrayActivations(np.column_stack([tap.values, np.ones(80)]))
    with pytest.raises(InputError):
        tree_of_tap(constant, np.arange(7), of="units")


def test_edges_among_near_neighbours_by_hand():
    low = points(1, 30, 2, "plain")
    edges = tree_of_points(points(1, 30, 3, "plain"))[0]
    rank = ranks_by_hand(away(low))
    inside = [min(rank[i, j], rank[j, i]) <= 4 for i, j in edges]
    assert np.isin(codes(edges, 30), near_pairs(low, 4)).tolist() == inside


def test_a_gap_is_found_and_noise_has_none():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((300, 6))
    assert "no gap beyond noise" in spanning_tree_map(x).reading
    x[:100] += 30
    assert "a gap that noise does not make" in spanning_tree_map(x).reading
    assert spanning_tree_map(x, SpanningTreeParams(around=5)).edge_name == "mutual reachability"


# ---------------------------------------------------------------------------- null and stability
def test_shuffling_keeps_units_and_the_tokens_of_a_sample_together():
    rng = np.random.default_rng(0)
    x = np.arange(120.0).reshape(40, 3) + 1000 * np.arange(3)
    offsets = np.arange(0, 41, 4)
    moved = moved_samples(x, rng, offsets)
    for j in range(3):
        np.testing.assert_array_equal(np.sort(moved[:, j]), np.sort(x[:, j]))
        blocks = moved[:, j].reshape(10, 4)
        assert (np.diff(blocks, axis=1) == 3).all()  # four tokens in their order


@pytest.mark.parametrize("how", ["pca", "localmap"])
def test_structure_is_told_from_its_null(how):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 2)) @ rng.standard_normal((2, 25)) + 0.1 * rng.standard_normal((400, 25))
    found = map_null(x, MapNullParams(how, draws=1), rng)
    recall = next(e for e in found.estimates if e.name.startswith("neighbour recall"))
    assert recall.value > 2 * recall.null
    assert "comes from the method, not from the network" in found.reading


def test_halves_cover_every_sample_and_keep_tokens():
    sample = np.repeat(np.arange(11), 3)
    drawn = resampled_rows(sample, "half", 4, np.random.default_rng(0))
    assert [len(rows) for rows in drawn] == [15, 18, 15, 18]
    np.testing.assert_array_equal(np.bincount(np.concatenate(drawn), minlength=33), np.full(33, 2))
    (boot,) = resampled_rows(sample, "bootstrap", 1, np.random.default_rng(0))
    assert len(boot) == 33
    assert (np.ptp(np.bincount(boot, minlength=33).reshape(11, 3), axis=1) == 0).all()


def test_a_bootstrap_neighbour_map_places_what_was_drawn():
    x = points(0, 60, 4, "plain")
    rows = np.sort(np.random.default_rng(1).integers(60, size=60))
    y = map_of_rows(x, rows, "localmap", np.random.default_rng(0), "euclidean", no_progress, (0, 1))
    assert (np.isfinite(y[:, 0]) == np.isin(np.arange(60), rows)).all()


def test_runs_are_compared_by_hand():
    rng = np.random.default_rng(2)
    first, again = rng.standard_normal((2, 50, 2))
    again[10:20] = np.nan
    run = compared(first, again, 5, False, rng)
    there = np.isfinite(again[:, 0])
    a, b = ranks_by_hand(away(first[there])), ranks_by_hand(away(again[there]))
    share = ((a <= 5) & (a > 0) & (b <= 5) & (b > 0)).sum(axis=1) / 5
    np.testing.assert_allclose(run.overlap[there], share)
    assert np.isnan(run.overlap[10:20]).all()
    assert run.chance == 5 / 39


def test_the_interval_over_runs_covers():
    """Points and runs with effects of their own: the interval of the mean holds 0 about as often as it says."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(200):
        values = (
            rng.standard_normal((12, 1)) * 0.3 + rng.standard_normal(60) + 0.5 * rng.standard_normal((12, 60))
        )
        _, low, high = run_interval(values, np.arange(60), rng, draws=200)
        inside += low <= 0 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_pca_says_that_seeds_do_nothing_and_shuffled_data_are_no_finding():
    found = map_stability(points(0, 200, 10, "plain"), MapStabilityParams(seeds=9, shuffles=19))
    assert "seeds do nothing" in found.reading
    assert not any("seed" in e.name for e in found.estimates)
    assert "no finding" in found.reading
    assert found.frames.shape == (5, 200, 2)


# ---------------------------------------------------------------------------- separation
@quick
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_energy_by_definition(seed, n):
    x = points(seed, 20, 3, "ties")
    first = np.random.default_rng(seed).permutation(20) < n
    d = away(x)
    cross = d[np.ix_(first, ~first)].mean()
    expected = (
        1 - (d[np.ix_(first, first)].mean() + d[np.ix_(~first, ~first)].mean()) / (2 * cross) if cross else 0
    )
    assert energy_coefficients(d, first[None])[0] == pytest.approx(expected, abs=1e-12)


def test_auroc_is_scikit_learns():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    scores, first = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.3
    assert auroc_of(scores[:, None], first[:, None])[0] == pytest.approx(
        roc_auc_score(first, scores), abs=1e-12
    )


@quick
@given(st.integers(0, 10**6))
def test_exchanged_labels_keep_samples_whole_and_blocks_full(seed):
    rng = np.random.default_rng(seed)
    owner = np.sort(np.r_[np.arange(12), rng.choice(12, size=5, replace=False)])
    first = rng.random(17) < 0.5
    twin = np.flatnonzero(owner[1:] == owner[:-1])
    first[twin], first[twin + 1] = False, True
    block = np.repeat(rng.integers(3, size=12), np.bincount(owner))
    for labels in relabelled(Entries(np.zeros((17, 1)), first, owner), block, 20, rng):
        assert (labels[twin] != labels[twin + 1]).all()
        for b in range(3):
            assert labels[block == b].sum() == first[block == b].sum()


def test_density_is_scipys_and_depth_is_closed_form():
    from scipy.stats import gaussian_kde, norm

    y = points(0, 200, 1, "plain")[:, 0]
    grid = np.linspace(-6, 6, 512)
    own = density(y[None], bandwidth(y[None]), (-6, 6))[0]
    width = bandwidth(y[None])[0]
    theirs = gaussian_kde(y, bw_method=width / y.std(ddof=1))(grid)
    np.testing.assert_allclose(own / own.sum(), theirs / theirs.sum(), atol=2e-5)
    two = norm.pdf(grid, -2) + norm.pdf(grid, 2)
    depth, at = depths(two[None], grid, (-2, 2))
    assert depth[0] == pytest.approx(1 - 2 * norm.pdf(2) / (norm.pdf(0) + norm.pdf(4)), abs=1e-3)
    assert abs(at[0]) < 0.03
    level = filled(two[None], grid, (-2, 2))
    assert depths(level, grid, (-2, 2))[0][0] < 1e-12


@pytest.mark.parametrize("draw", ["standard_normal", "random", "standard_exponential"])
def test_the_valley_test_holds_its_level(draw):
    """Level, round or skewed: at most about one line in twenty without a valley passes (7 % for the level one)."""
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(150):
        y = np.sort(getattr(rng, draw)(120))
        passed += valley(y, (y[:60].mean(), y[60:].mean()), 59, rng).p <= 0.05
    assert passed / 150 <= 0.1


def test_equal_numbers_have_no_valley():
    assert valley(np.ones(30), (0, 2), 20, np.random.default_rng(0)).p == 1


def drawn_groups(x, first, second, **more):
    return separation(
        x, SeparationParams(inside=pack(first), outside=pack(second), **more), np.random.default_rng(0)
    )


def test_the_lassoed_clumps_of_a_noise_map_are_one_cloud_cut_in_two():
    """LocalMAP draws clumps of one Gaussian; two of them, lassoed, differ beyond doubt and have no valley between."""
    from analysis.compute.clusters.kmeans import kmeans
    from analysis.compute.maps.drawn_map import drawn_map

    rng = np.random.default_rng(6)
    x = rng.standard_normal((900, 10))
    y = drawn_map(x, "localmap", rng)
    parts = kmeans(y, 4, rng)
    middles = np.array([y[parts.codes == k].mean(axis=0) for k in range(4)])
    a, b = np.unravel_index(away(middles).argmax(), (4, 4))
    found = drawn_groups(x, parts.codes == a, parts.codes == b)
    value = {e.name: e for e in found.estimates}
    assert value["AUROC of a linear rule"].p_value <= 0.05
    assert value["depth of the valley between them"].p_value > 0.05
    assert "no, one cloud cut in two" in found.reading
    assert "no evidence here" in found.reading


def test_two_of_many_clusters_have_a_valley_although_others_lie_around():
    rng = np.random.default_rng(7)
    label = np.arange(2000) % 8
    x = 7 * np.eye(8, 30)[label] + rng.standard_normal((2000, 30))
    found = drawn_groups(x, label == 2, label == 5)
    assert "yes, a valley lies between them" in found.reading
    named = separation(ArrayActivations(x, samples={"label": label}), SeparationParams(first="2", second="5"))
    assert named.reading.startswith("For groups from labels or metadata: they differ")


def test_few_samples_cannot_tell_and_fewer_are_refused():
    x = points(0, 40, 4, "plain")
    side = np.arange(40)
    assert "cannot tell with n" in drawn_groups(x, side < 9, (side > 15) & (side < 25)).reading
    with pytest.raises(NotEnoughData, match="at least 8"):
        drawn_groups(x, side < 7, side > 20)
    with pytest.raises(ParameterError):
        separation(x, SeparationParams(inside="AA=="))
    with pytest.raises(NotFound):
        separation(ArrayActivations(x, samples={"label": side % 2}), SeparationParams(first="7"))


def test_tokens_of_one_sample_are_no_evidence():
    """Each sample has a place of its own and 30 tokens around it; labels are given to samples at random."""
    rng, p = np.random.default_rng(8), []
    for _ in range(30):
        x = np.repeat(rng.standard_normal((24, 3)), 30, axis=0) + 0.01 * rng.standard_normal((720, 3))
        tap = ArrayActivations(
            x, samples={"label": rng.permutation(24) % 2}, layout=Layout(np.arange(0, 721, 30))
        )
        found = separation(tap, SeparationParams(permutations=39), rng)
        p.append(next(e.p_value for e in found.estimates if e.name == "energy coefficient"))
    assert np.mean(np.array(p) <= 0.1) <= 0.3


def test_meaningless_groups_in_more_units_than_samples():
    x = points(9, 60, 500, "plain")
    found = separation(ArrayActivations(x, samples={"label": np.arange(60) % 2}))
    auroc = next(e for e in found.estimates if e.name.startswith("AUROC"))
    assert auroc.p_value > 0.05


# ---------------------------------------------------------------------------- the checks can fail
BROKEN = [
    ("map_null", "analysis.compute.maps.shuffled_points.moved_samples", lambda x, rng, offsets: x),
    ("map_stability", "analysis.compute.maps.map_runs.rotation_onto", lambda a, b: np.eye(2)),
    ("map_stability", "analysis.compute.maps.map_runs.shared_neighbours", lambda a, b: np.full(len(a), 0.5)),
    ("separation", "analysis.compute.groups.between_groups.valley",
     lambda y, ends, draws, rng: valley(np.r_[y[y < 0] - 9, y[y >= 0] + 9], ends, draws, rng)),
    ("separation", "analysis.compute.groups.group_tests.rule_scores",
     lambda basis, labels, points: np.tile(points[:, 3:4], len(labels))),
    ("spanning_tree", "analysis.compute.neighbours.spanning_tree._prim",
     lambda d: (np.column_stack([np.zeros(len(d) - 1, int), np.arange(1, len(d))]), d[0, 1:])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in registry.method(method).check())
