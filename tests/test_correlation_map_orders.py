"""Correlation maps: drawing orders, maps that are too large to hold, the strongest pairs, pictures of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from correlation_subjects import mapped, tap

from analysis import pipeline
from analysis.activations import ArrayActivations
from analysis.arrays import upper
from analysis.compute.correlation import (
    drawing_order,
    pair_sums,
    unit_relations,
)
from analysis.compute.correlation.drawing_order import order_by, order_by_features, order_by_similarity
from analysis.compute.kept import folder
from analysis.errors import NotEnoughData, NotFound, ParameterError, ShapeError, TooLarge
from analysis.methods.correlation import map as map_module
from analysis.methods.correlation.strongest_pairs import StrongestPairsParams, strongest_pairs
from analysis.methods.correlation.strongest_pairs_across import (
    StrongestPairsAcrossParams,
    strongest_pairs_across,
)
from analysis.store.cache import ResultCache
from analysis.store.tiles import Tiles
from dashboard.figures import alt_text, export, on_paper, on_screen, table_twin


# ---------------------------------------------------------------------------- drawing orders
def planted(rng, n=300, d=60, groups=5, noise=0.4):
    of = rng.integers(groups, size=d)
    return rng.standard_normal((n, groups))[:, of] + noise * rng.standard_normal((n, d)), of


def changes(codes):
    return int((np.diff(codes) != 0).sum())


@pytest.mark.parametrize(
    "measure", ["pearson", "spearman", "cosine", "distance correlation", "mutual information"]
)
def test_planted_groups_stand_together(rng, measure):
    x, of = planted(rng)
    x[:, ::2] *= -1
    opposite = measure in ("pearson", "spearman", "cosine")
    found = mapped(x, order="clusters with opposites" if opposite else "clusters", measure=measure)
    assert changes(of[found.row_units[found.row_order]]) == 4
    np.testing.assert_array_equal(found.row_order, found.column_order)
    shown = mapped(x, measure=measure).overview[np.ix_(found.row_order, found.row_order)]
    np.testing.assert_array_equal(found.overview, shown)


def test_rows_and_columns_of_two_taps_are_ordered_each_by_what_they_go_with(rng):
    source, of, other = rng.standard_normal((300, 4)), rng.integers(4, size=30), rng.integers(4, size=21)
    x, y = (source[:, g] + 0.3 * rng.standard_normal((300, len(g))) for g in (of, other))
    found = mapped(x, y, order="clusters")
    assert changes(of[found.row_order]) == changes(other[found.column_order]) == 3
    assert found.linkage.shape == (29, 4)
    assert found.column_linkage.shape == (20, 4)


@pytest.mark.parametrize("p", [3, 40, 300])
def test_the_tree_is_over_groups_that_are_numbered_in_drawing_order(rng, monkeypatch, p):
    from scipy.cluster.hierarchy import cophenet, is_valid_linkage, leaves_list, linkage

    monkeypatch.setattr(drawing_order, "SINGLE", 50)
    monkeypatch.setattr(drawing_order, "DRAWN", 20)
    r = np.corrcoef(rng.standard_normal((20, p)), rowvar=False)
    found = order_by_similarity(r)
    groups = p if p <= 50 else 20
    assert sorted(found.order) == list(range(p))
    assert is_valid_linkage(found.linkage)
    assert found.linkage.shape == (groups - 1, 4)
    np.testing.assert_array_equal(leaves_list(found.linkage), np.arange(groups))
    assert found.groups[0] == 0
    assert found.groups[-1] == p
    assert (np.diff(found.groups) > 0).all()
    heights = cophenet(linkage(upper(1 - r), "average"))  # where two lines of different groups meet
    of = np.empty(p, int)
    of[found.order] = np.repeat(np.arange(groups), np.diff(found.groups))
    i, j = np.triu_indices(p, 1)
    a, b = np.minimum(of[i], of[j]), np.maximum(of[i], of[j])
    apart = a != b
    drawn = np.zeros((groups, groups))
    drawn[np.triu_indices(groups, 1)] = cophenet(found.linkage)
    np.testing.assert_allclose(drawn[a[apart], b[apart]], heights[apart])


@pytest.mark.parametrize("signed", [True, False])
def test_many_lines_are_ordered_in_two_stages(rng, monkeypatch, signed):
    monkeypatch.setattr(drawing_order, "EXACT", 100)
    monkeypatch.setattr(drawing_order, "MEMBERS", 20)
    of = rng.integers(6, size=400)
    lines = rng.standard_normal((6, 30))[of] + 0.2 * rng.standard_normal((400, 30))
    lines *= 1 if signed else rng.choice([-1, 1], 400)[:, None]
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    found = order_by_features(lines.astype(np.float32), signed, rng, "somewhere")
    assert sorted(found.order) == list(range(400))
    assert changes(of[found.order]) == 5
    assert "two stages" in found.note
    assert "from somewhere" in found.note
    assert found.groups[-1] == 400
    assert len(found.linkage) == len(found.groups) - 2
    same = order_by_features(np.ones((300, 4), np.float32) / 2, signed, rng)
    assert sorted(same.order) == list(range(300))


def test_units_may_be_ordered_by_what_is_known_of_them(rng):
    x = rng.standard_normal((300, 8)) * [3, 1, 4, 1, 5, 9, 2, 6] + [2, 7, 1, 8, 2, 8, 1, 8]
    x[:200, 3], x[:100, 5] = 0, 0
    label = np.arange(300) % 3
    x[label == 2, 6] += 50
    x[label == 1, 1] -= 50
    t = tap(x, label=label)
    found = mapped(t, order="variance")
    np.testing.assert_array_equal(found.row_order, np.argsort(-x.var(axis=0), kind="stable"))
    assert found.linkage is None
    np.testing.assert_array_equal(
        mapped(t, order="mean").row_order, np.argsort(-x.mean(axis=0), kind="stable")
    )
    assert mapped(t, order="share of zeros").row_order[:2].tolist() == [3, 5]
    found = mapped(t, order="class")
    place = found.row_order.tolist()
    assert place.index(1) < place.index(6)  # class 1 before class 2
    assert any("stand by the class" in c for c in found.caveats)
    np.testing.assert_array_equal(order_by(np.array([1.0, 3, 3, 2])).order, [1, 2, 3, 0])
    with pytest.raises(NotFound, match="no sample column 'label'"):
        mapped(x, order="class")
    with pytest.raises(NotFound, match="'colour'"):
        mapped(t, order="class", column="colour")


# ---------------------------------------------------------------------------- maps that are too large to hold
@pytest.fixture
def small(monkeypatch):
    """Few units are many: panels, two stages, tiles."""
    for module, name, value in (
        (unit_relations, "EXACT", 40), (unit_relations, "PRECISE", 30), (unit_relations, "LINES", 7),
        (unit_relations, "PANEL_BYTES", 12 * 25 * 60), (drawing_order, "EXACT", 40), (pair_sums, "PRECISE", 4),
        (drawing_order, "MEMBERS", 10),
        (map_module, "MOST", 20),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("analysis.store.heat_cells.MOST", 20)
    monkeypatch.setattr("analysis.store.tiles.SIDE", 8)


@pytest.mark.parametrize("measure", ["pearson", "cosine", "spearman"])
@pytest.mark.parametrize("two", [False, True])
def test_a_map_in_panels_is_that_of_the_whole(small, tmp_path, rng, measure, two):
    x, of = planted(rng, d=60)
    x[:, 7] = 3.0
    x[4, 2] = np.nan
    x = x.astype(np.float32)
    taps = (
        tap(x, name="s:a"),
        tap((x[:, :50] + rng.standard_normal((300, 50))).astype(np.float32), name="s:b"),
    )
    taps = taps if two else taps[:1]
    found = pipeline.run("correlation_map", taps, {"measure": measure}, cache=ResultCache(tmp_path))
    assert found.shape == (59, 50 if two else 59)
    assert found.gathered == 4
    assert found.overview.shape[0] == 15
    if not two:
        assert changes(of[found.row_units[found.row_order]]) <= 8
    cells = Tiles.open(ResultCache(tmp_path).folder(found.tiles)).block(0, 60, 0, 60, 64)[0]
    with pytest.MonkeyPatch.context() as undone:
        for module, name, value in ((unit_relations, "EXACT", 4096), (unit_relations, "PRECISE", 1024)):
            undone.setattr(module, name, value)
        undone.setattr("analysis.store.heat_cells.MOST", 512)
        undone.setattr(map_module, "MOST", 512)
        whole = mapped(*taps, measure=measure)
    np.testing.assert_array_equal(whole.row_units, found.row_units)
    expected = whole.overview[np.ix_(found.row_order, found.column_order)]
    np.testing.assert_allclose(cells, expected, atol=0.51 / 32767 + 1e-6)
    assert found.share_significant == pytest.approx(whole.share_significant, abs=2e-3)
    for one, other in zip(found.estimates, whole.estimates, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
        assert (one.n, one.d) == (other.n, other.d)
    assert any("kept on disk" in c for c in found.caveats)
    assert any("two stages" in c for c in found.caveats)


def test_a_kept_map_is_not_made_again_and_one_without_its_cells_is(small, tmp_path, rng, monkeypatch):
    cache, t = ResultCache(tmp_path), tap(rng.standard_normal((50, 30)).astype(np.float32))
    first, calls = pipeline.run("correlation_map", [t], cache=cache), []
    real = map_module.measured
    monkeypatch.setattr(map_module, "measured", lambda *a: calls.append(1) or real(*a))
    assert pipeline.run("correlation_map", [t], cache=cache).tiles == first.tiles
    assert not calls
    for file in cache.folder(first.tiles).iterdir():
        file.unlink()
    cache.folder(first.tiles).rmdir()
    again = pipeline.run("correlation_map", [t], cache=cache)
    assert calls
    assert again.tiles == first.tiles
    np.testing.assert_array_equal(
        Tiles.open(cache.folder(again.tiles)).block(0, 30, 0, 30, 20)[0], first.overview
    )
    other = pipeline.run("correlation_map", [t], {"order": "as stored"}, cache=cache)
    assert other.tiles != first.tiles


def test_in_a_notebook_the_cells_live_as_long_as_the_process(small, rng):
    x = rng.standard_normal((50, 30))
    found = mapped(x)
    cells = Tiles.open(folder(found.tiles)).block(0, 30, 0, 30)[0]
    np.testing.assert_allclose(cells, np.corrcoef(x, rowvar=False), atol=1e-4)


def test_stopping_leaves_nothing_behind(small, tmp_path, rng):
    from analysis.errors import Cancelled

    def stop(fraction, doing=""):
        if doing == "multiplying units" and fraction > 0.8:
            raise Cancelled

    x = tap(rng.standard_normal((50, 60)).astype(np.float32))
    with pytest.raises(Cancelled):
        pipeline.run("correlation_map", [x], cache=ResultCache(tmp_path), progress=stop)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------- the strongest pairs
@pytest.mark.parametrize("sign", ["both", "positive", "negative"])
def test_the_strongest_pairs_of_a_wide_tap_are_those_of_the_matrix(small, rng, monkeypatch, sign):
    monkeypatch.setattr("analysis.methods.correlation.strongest_pairs.PRECISE", 4)
    x = np.maximum(planted(rng, d=60)[0], -0.5).astype(np.float32)
    x[:, 9] = 1.0
    found = strongest_pairs(tap(x), StrongestPairsParams(pairs=200, sign=sign))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(x.astype(float), rowvar=False))
    size = {"both": np.abs(r), "positive": r, "negative": -r}[sign]
    c = found.columns
    np.testing.assert_allclose(c["|r|"], np.sort(upper(size))[::-1][:200], atol=1e-6)
    np.testing.assert_allclose(c["r"], r[c["unit a"], c["unit b"]], atol=1e-6)
    assert (c["unit a"] < c["unit b"]).all()
    assert "Of 1,711 pairs" in found.reading
    assert any("1 constant unit(s)" in note for note in found.caveats)


def test_the_strongest_pairs_of_two_taps_are_those_of_the_matrix(small, rng):
    x, y = rng.standard_normal((200, 60)), rng.standard_normal((200, 50))
    y[:, 3] = -x[:, 41]
    y[:, 8] = 0.0
    ids, order = np.array([f"s{i}" for i in range(200)]), rng.permutation(200)
    found = strongest_pairs_across(
        tap(x, ids, "a:t"), tap(y[order], ids[order], "b:t"), StrongestPairsAcrossParams(pairs=300)
    )
    c = found.columns
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(x.T, y.T)[:60, 60:])
    np.testing.assert_allclose(c["|r|"], np.sort(np.abs(r).ravel())[::-1][:300], atol=1e-6)
    assert (c["unit a"][0], c["unit b"][0]) == (41, 3)
    assert c["r"][0] == pytest.approx(-1)
    assert any("1 constant unit(s) of b:t" in note for note in found.caveats)
    assert "Of 2,940 pairs" in found.reading
    with pytest.raises(TooLarge):
        strongest_pairs_across(ArrayActivations(np.zeros((5, 40_000), np.float16), digest="-"), x[:5])
    with pytest.raises(NotEnoughData, match=r"0 unit\(s\) that vary"):
        strongest_pairs_across(x, np.ones((200, 2)))
    with pytest.raises(ShapeError):
        strongest_pairs_across(x, np.ones(200))


# ---------------------------------------------------------------------------- drawn
@pytest.mark.parametrize("large", [False, True])
def test_a_map_is_drawn_and_leaves_as_numbers(request, rng, large):
    if large:
        request.getfixturevalue("small")
    names = ("<b>bold", "=1+1", "$x_1$", *(f"u{i}" for i in range(27)))
    x = ArrayActivations(planted(rng, d=30)[0], "s:<t>", unit_names=names)
    found = mapped(x, order="clusters")
    assert (found.gathered > 1) == large
    assert "<b>bold" not in on_screen(found).to_json().replace("&lt;", "")
    assert on_paper(found, width="single").get_figwidth() == 3.5
    twin = table_twin(found)
    assert {len(column) for column in twin.values()} == {len(found.overview)}
    text = alt_text(found)
    assert "significant" in text
    assert ("strongest of its square" in text) == large
    assert export(found, "csv").count(b"\n") == len(found.overview) + 1
    for fmt in ("pdf", "tex"):
        assert len(export(found, fmt)) > 500
    with pytest.raises(ParameterError, match="aggregate"):
        on_screen(found, aggregate="mean")


@pytest.mark.parametrize("spoil", ["nothing", "no value"])
def test_what_cannot_be_drawn_says_why(rng, spoil):
    found = mapped(rng.standard_normal((30, 4)))
    if spoil == "nothing":
        empty = np.empty(0, np.int64)
        found = dataclasses.replace(
            found, overview=np.empty((0, 0), np.float32), shape=(0, 0), row_names=empty.astype(str), row_order=empty,
            column_names=empty.astype(str), column_order=empty, linkage=None,
        )  # fmt: skip
    else:
        found = dataclasses.replace(found, overview=np.full((4, 4), np.nan, np.float32))
    assert len(on_screen(found).layout.annotations) == 1
    assert "nan" not in alt_text(found).lower().split()
