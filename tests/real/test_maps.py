"""Maps, clusters, names, search and selections on what other people published, and on scikit-learn's data.

Expected numbers are those measured by the publishers or with scikit-learn (see the table of the data folder), or follow
from how the data were made; every method runs through a workspace on files that were imported into it.
"""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from mapped import arxiv, clothes, imported, mammoth
from scipy.stats import rankdata, spearmanr

from analysis.compute.maps.local_expansion import local_surrogates
from analysis.compute.maps.map_report import map_report
from analysis.compute.neighbours.graph_laplacian import adjacency, joined
from analysis.compute.neighbours.neighbour_graph import neighbour_graph
from analysis.compute.neighbours.neighbours import nearest
from analysis.search import more_like, search_store
from analysis.selection import Selection
from analysis.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("maps") / "workspace")


def values(workspace: Workspace, reference: str) -> np.ndarray:
    tap = workspace.activations(reference)
    return np.asarray(tap.take(np.arange(tap.shape[0])), np.float64)


def column(workspace: Workspace, reference: str, name: str) -> np.ndarray:
    return np.asarray(workspace.store(reference.partition(":")[0]).samples[name])


def predicted(near: np.ndarray, of: np.ndarray, known: np.ndarray, k: int) -> np.ndarray:
    """(rows,) the most frequent class among each row's first k neighbours that are `known`; the lower class of two."""
    counts = np.zeros((len(near), int(of.max()) + 1), np.int64)
    usable = known[near]
    usable &= np.cumsum(usable, axis=1) <= k
    rows, places = np.nonzero(usable)
    np.add.at(counts, (rows, of[near[rows, places]]), 1)
    return counts.argmax(axis=1)


def estimate(result, start: str) -> float:
    return next(e.value for e in result.estimates if e.name.startswith(start))


def area_under(score: np.ndarray, inside: np.ndarray) -> float:
    """Share of pairs (inside, outside) in which the one inside scores lower, ties as half."""
    ranks, m = rankdata(score), int(inside.sum())
    return 1 - (ranks[inside].sum() - m * (m + 1) / 2) / (m * (len(score) - m))


# ---------------------------------------------------------------------------- 117,592 papers
@pytest.fixture(scope="module")
def papers(real, workspace) -> str:
    return arxiv(real, workspace)


def test_ten_neighbours_predict_the_papers_label(workspace, papers):
    graph = neighbour_graph(workspace.activations(papers), 31)
    assert graph.exact
    names, of = np.unique(column(workspace, papers, "label"), return_inverse=True)
    assert (len(of), len(names)) == (117_592, 32)
    assert (names[of] == "Unlabelled").mean() == pytest.approx(0.445, abs=0.0006)
    out = np.random.default_rng(0).choice(len(of), 5000, replace=False)
    known = np.ones(len(of), bool)
    known[out] = False
    right = (predicted(graph.indices[out], of, known, 10) == of[out]).mean()
    assert right == pytest.approx(0.965, abs=3 * np.sqrt(0.965 * 0.035 / 5000))


def test_every_label_column_came_along(workspace, papers):
    for name, distinct, unlabelled in (
        ("layer0", 494, 0.461), ("layer1", 112, 0.547), ("layer2", 48, 0.372), ("layer3", 17, 0.363),
        ("layer4", 7, 0.459),
    ):  # fmt: skip
        texts = column(workspace, papers, name)
        assert len(np.unique(texts)) == distinct
        assert (texts == "Unlabelled").mean() == pytest.approx(unlabelled, abs=0.0006)


def test_titles_are_found_as_written_and_kept_as_a_selection(real, workspace, papers):
    with gzip.open(real / "arxiv_map" / "arxiv_ml_metadata.tsv.gz", "rt", encoding="utf-8") as file:
        table = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    store, tap = workspace.store("arxiv"), papers.partition(":")[2]
    x = values(workspace, papers)
    for query, holds in (
        ("title:transformer", lambda r: "transformer" in r["title"].casefold()),
        ('"graph neural" and not layer4 = Unlabelled',
         lambda r: any("graph neural" in v.casefold() for v in r.values()) and r["layer4"] != "Unlabelled"),
        ('label = "Graph learning" or title:$', lambda r: r["simplified"] == "Graph learning" or "$" in r["title"]),
    ):  # fmt: skip
        expected = [i for i, r in enumerate(table) if holds(r)]
        assert len(expected) > 100
        assert search_store(store, tap, query).rows.tolist() == expected
    found = search_store(store, tap, "unit 0 > 5 and unit 1 <= 2.5").rows
    np.testing.assert_array_equal(found, np.flatnonzero((x[:, 0] > 5) & (x[:, 1] <= 2.5)))
    chosen = Selection("far right", "samples", "arxiv", "", np.asarray(store.samples["id"])[found])
    workspace.save_selection(chosen)
    again = Workspace.open(workspace.path)
    np.testing.assert_array_equal(again.rows("far right", papers), found)
    assert again.selection("far right").ids.tolist() == sorted(map(str, found))


def test_more_like_a_paper_is_what_a_full_comparison_finds(workspace, papers):
    x = values(workspace, papers)
    away = np.linalg.norm(x - x[4321], axis=1)
    away[4321] = np.inf
    order = np.lexsort((np.arange(len(x)), away))[:25]
    found = more_like(workspace.activations(papers), 4321, 25)
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.distances, away[order], rtol=1e-12)
    assert found.typical_low[0] <= found.typical[0] <= found.typical_high[0]


def test_papers_cluster_and_the_clusters_are_named(workspace, papers):
    """Parts of the published map hold one subject each; titles give words of the subject."""
    found = workspace.run(
        "hdbscan", [papers], {"maximum_rows": 4000, "smallest": 40, "halves": 5, "column": "label"}
    )
    named = np.array([str(name) for name in found.columns["label"]])
    clear = (found.columns["purity"] > 0.9) & (named != "Unlabelled")
    assert clear.sum() >= 5
    of = column(workspace, papers, "label")[found.rows]
    for c in np.flatnonzero(clear)[:8]:
        assert (of[found.codes == c] == named[c]).mean() > 0.8
    words = workspace.run(
        "kmeans", [papers], {"maximum_rows": 4000, "clusters": 12, "halves": 5, "names": "terms"}
    )
    titles = column(workspace, papers, "title")[words.rows]
    for c, terms in enumerate(words.columns["terms"]):
        inside = words.codes == c
        for term in str(terms).split(", ")[
            :2
        ]:  # more frequent inside than outside, read anew from the titles
            held = np.char.find(np.char.lower(titles), term) >= 0
            assert held[inside].mean() > 1.3 * held[~inside].mean(), (c, term)


# ---------------------------------------------------------------------------- clothes
@pytest.fixture(scope="module")
def wardrobe(real, workspace) -> tuple[str, str]:
    return clothes(real, workspace)


def held_out_share(positions: np.ndarray, of: np.ndarray, train: int = 1500) -> float:
    """Share of the rows from `train` on that five neighbours before it predict."""
    near, known = nearest(positions, 120).indices, np.arange(len(of)) < train
    return float((predicted(near[train:], of, known, 5) == of[train:]).mean())


def test_five_neighbours_on_the_published_map(workspace, wardrobe):
    of = column(workspace, wardrobe[0], "number").astype(
        int
    )  # of two classes the lower one, as was done there
    assert held_out_share(values(workspace, wardrobe[0]), of) == pytest.approx(0.758, abs=1e-9)


@pytest.mark.parametrize("method", ["localmap", "umap", "pacmap"])
def test_our_maps_of_the_same_images_say_as_much(workspace, wardrobe, method):
    """As many right as on the published map, up to twice the sampling error of 500 held-out images."""
    found = workspace.run(method, [wardrobe[1]], {"components": 3})
    of = np.unique(column(workspace, wardrobe[1], "label"), return_inverse=True)[1]
    assert held_out_share(found.positions[np.argsort(found.rows)], of) > 0.758 - 2 * np.sqrt(
        0.758 * 0.242 / 500
    )
    assert estimate(found, "trustworthiness") > 0.95


# ---------------------------------------------------------------------------- the mammoth
@pytest.fixture(scope="module")
def beast(real, workspace) -> str:
    return mammoth(real, workspace)


def test_shares_of_the_mammoths_axes(workspace, beast):
    x = values(workspace, beast)
    np.testing.assert_allclose(x.min(axis=0), [-22.4, 61.1, -172.1], atol=0.06)
    np.testing.assert_allclose(x.max(axis=0), [169.6, 568.9, 172.2], atol=0.06)
    found = workspace.run("pca", [beast], {"components": 3})
    shares = [e.value for e in found.estimates if e.name.startswith("variance share of PC")]
    np.testing.assert_allclose(shares, [0.601, 0.343, 0.056], atol=0.0006)
    assert not any("block" in axis for axis in found.axes)


def test_a_fold_of_the_mammoth_is_found_where_it_is(workspace, beast, rng):
    """Its flat picture, then the same folded along a line across the body. The flat picture keeps all; on the folded
    one, points that came to lie on others are not trusted, and the linear map around the crease is no map."""
    flat = workspace.run("pca", [beast], {"maximum_points": 4000}).positions.astype(np.float64)
    line = np.quantile(flat[:, 0], 0.7)
    folded = np.column_stack([-np.abs(flat[:, 0] - line), flat[:, 1]])
    kept = map_report(flat, flat, rng, maximum_anchors=len(flat))
    report = map_report(flat, folded, rng, maximum_anchors=len(flat))
    assert kept.columns["trust"].min() == 1
    assert kept.columns["recall"].min() > 0.999
    strangers = (np.sign(flat[nearest(folded, 15).indices, 0] - line) != np.sign(flat[:, :1] - line)).mean(
        axis=1
    )
    across = np.abs(flat[:, 0] - line)
    near = nearest(flat, 15)
    step = np.median(near.distances[:, 7])
    touched, clear = (strangers > 0.3) & (across > 5 * step), strangers == 0
    assert min(touched.sum(), clear.sum()) > 200
    for name in ("trust", "recall"):
        both = touched | clear
        assert area_under(report.columns[name][both], touched[both]) > 0.99, name
    assert report.columns["trust"][clear].min() > 0.999
    assert report.estimates[0].value < kept.estimates[0].value - 0.01
    over = (np.sign(flat[near.indices, 0] - line) != np.sign(flat[:, :1] - line)).mean(axis=1)
    local = local_surrogates(flat, folded, np.arange(len(flat)), near.indices)
    crease, whole = over > 0.25, over == 0
    assert min(crease.sum(), whole.sum()) > 20
    assert local.r_squared[crease].max() < 0.999 < local.r_squared[whole].min()
    assert np.median(local.r_squared[crease]) < 0.9


def test_the_mammoths_flat_picture_says_where_legs_cover_legs(workspace, beast, rng):
    """The third axis is left out: points far apart along it that are drawn close have the worst trust."""
    whole = workspace.run("pca", [beast], {"components": 3, "maximum_points": 4000}).positions.astype(
        np.float64
    )
    report = map_report(whole, whole[:, :2], rng, maximum_anchors=len(whole))
    depth = np.abs(whole[nearest(whole[:, :2], 15).indices, 2] - whole[:, 2:]).mean(axis=1)
    assert spearmanr(report.columns["trust"], depth)[0] < -0.8
    assert report.estimates[0].value < 0.999


# ---------------------------------------------------------------------------- the Swiss roll
@pytest.fixture(scope="module")
def roll(workspace) -> str:
    from sklearn.datasets import make_swiss_roll

    points, turn = make_swiss_roll(3000, random_state=0)
    length = (turn * np.sqrt(1 + turn**2) + np.arcsinh(turn)) / 2  # of the spiral, from its middle
    return imported(workspace, "roll", points, length=length)


def along(positions: np.ndarray, length: np.ndarray) -> float:
    """Rank correlation of the length along the roll with the way over the map, from neighbour to neighbour, from the
    roll's inner end: 1 for an unrolled sheet however it is bent, cut or turned; less where windings touch."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    y = positions.astype(np.float64)
    near = nearest(y, 15)
    links, _ = joined(adjacency(near.indices, near.distances), y)
    i, j = links.nonzero()
    steps = csr_array((np.linalg.norm(y[i] - y[j], axis=1) + 1e-9, (i, j)), shape=links.shape)
    return float(spearmanr(dijkstra(steps, indices=int(length.argmin())), length)[0])


def straightest(positions: np.ndarray, length: np.ndarray) -> float:
    """The largest rank correlation of the length with any direction on the map."""
    turns = np.linspace(0, np.pi, 90)
    return max(abs(spearmanr(positions @ [np.cos(a), np.sin(a)], length)[0]) for a in turns)


def test_components_leave_the_roll_rolled_and_say_so(workspace, roll):
    length = column(workspace, roll, "length")
    found = workspace.run("pca", [roll])
    assert straightest(found.positions, length) < 0.4
    assert estimate(found, "variance share of the picture") < 0.75
    judged = workspace.run("map_quality", [roll], {"projection": "pca"})
    assert estimate(judged, "neighbour recall") < 0.5
    assert "false neighbours" in judged.reading


def test_slow_directions_unroll_the_roll(workspace, roll):
    length = column(workspace, roll, "length")
    found = workspace.run("laplacian_eigenmaps", [roll])
    assert abs(spearmanr(found.positions[:, 0], length)[0]) > 0.995
    assert "runs along a slow direction" in found.reading


def test_umap_from_the_graph_unrolls_the_roll(workspace, roll):
    length = column(workspace, roll, "length")
    found = workspace.run("umap", [roll], {"begin": "graph", "n_neighbors": 30})
    assert along(found.positions, length) > 0.85
    assert straightest(found.positions, length) > 0.85
    rolled = workspace.run(
        "umap", [roll], {"n_neighbors": 30}
    )  # from components: curled, and its page says so
    assert straightest(rolled.positions, length) < 0.6


def test_localmap_opens_the_roll_and_joins_no_windings(workspace, roll):
    """It stays curled in outline, which its page says; no point is drawn beside another winding (half a turn is more
    than 20 along the spiral), and it keeps far more neighbours than components."""
    length = column(workspace, roll, "length")
    found = workspace.run("localmap", [roll])
    near = nearest(found.positions, 15).indices
    assert np.abs(length[near] - length[:, None]).max() < 10
    assert straightest(found.positions, length) > 0.65
    assert estimate(found, "neighbour recall") > 0.7
    assert "Distances across the map should not be compared" in found.reading


# ---------------------------------------------------------------------------- digits
@pytest.fixture(scope="module")
def digits(workspace) -> str:
    from sklearn.datasets import load_digits

    images = load_digits()
    return imported(workspace, "digits", images.data.astype(np.float32), labels="label", label=images.target)


@pytest.mark.parametrize("method", ["localmap", "umap", "laplacian_eigenmaps", "pca"])
def test_digits_lie_with_their_like(workspace, digits, method):
    """Ten neighbours on the map, all other points known; scikit-learn's nearest neighbours reach 0.98 on the pixels,
    and a plane of components two thirds."""
    found = workspace.run(method, [digits])
    of = column(workspace, digits, "label").astype(int)[found.rows]
    near = nearest(found.positions, 40).indices
    right = (predicted(near, of, np.ones(len(of), bool), 10) == of).mean()
    low, high = {"pca": (0.55, 0.75), "laplacian_eigenmaps": (0.6, 1)}.get(method, (0.94, 1))
    assert low < right <= high


def test_trust_is_that_of_scikit_learn(workspace, digits):
    from sklearn.manifold import trustworthiness

    found = workspace.run("localmap", [digits])
    expected = trustworthiness(values(workspace, digits), found.positions, n_neighbors=15)
    assert estimate(found, "trustworthiness") == pytest.approx(expected, abs=1e-4)


def test_rows_where_a_pixel_is_bright(workspace, digits):
    x = values(workspace, digits)
    found = search_store(
        workspace.store("digits"), digits.partition(":")[2], "unit 20 > 12 and not label = 3"
    )
    of = column(workspace, digits, "label").astype(int)
    np.testing.assert_array_equal(found.rows, np.flatnonzero((x[:, 20] > 12) & (of != 3)))
