"""What stands behind the Map and Features pages, without Streamlit: against brute force and planted answers."""

from __future__ import annotations

import base64
import json

import numpy as np
import page_stores
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData, ParameterError, ShapeError
from analysis.methods.units.selection_contrast import contrast, pack, selection_contrast, unpack
from analysis.people import Selection
from analysis.results import Scatter
from dashboard.browse import (
    cards,
    colour_sources,
    describe,
    examples,
    feature_card,
    feature_list,
    map_state,
    selections,
)
from dashboard.browse.class_shares import best_by_chance, class_shares
from dashboard.browse.labels import Labels, labels_of
from dashboard.browse.picture import picture
from dashboard.browse.unit import Unit, best_correlation_by_chance


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return page_stores.make_workspace(tmp_path_factory.mktemp("browse") / "workspace")


@pytest.fixture(scope="module")
def store(workspace):
    return workspace.store("images")


# ---------------------------------------------------------------------------- what distinguishes a group
def test_contrast_equals_brute_force(rng):
    x, inside = rng.standard_normal((500, 7)) * 3 + 100, rng.random(500) < 0.3
    found = contrast(x, inside)
    order = np.argsort(found.columns["unit"])
    a, b = x[inside], x[~inside]
    n1, n0 = len(a), len(b)
    pooled = np.sqrt(((n1 - 1) * a.var(0, ddof=1) + (n0 - 1) * b.var(0, ddof=1)) / (n1 + n0 - 2))
    g = (1 - 3 / (4 * (n1 + n0) - 9)) * (a.mean(0) - b.mean(0)) / pooled
    test = stats.ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose(found.columns["difference"][order], g, atol=1e-12)
    np.testing.assert_allclose(found.columns["p_value"][order], test.pvalue, rtol=1e-9)
    q = stats.false_discovery_control(test.pvalue)
    np.testing.assert_allclose(found.columns["q_value"][order], q, rtol=1e-9)
    np.testing.assert_allclose(found.columns["mean_inside"][order], a.mean(0), rtol=1e-12)


def test_contrast_does_not_depend_on_chunks_and_joins_the_tokens_of_a_sample(rng):
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 60))])
    layout = Layout(offsets)
    x, inside = rng.standard_normal((offsets[-1], 4)), rng.random(offsets[-1]) < 0.4

    class Chunked(ArrayActivations):
        def chunks(self, rows=5):
            return super().chunks(rows=5)

    whole = contrast(ArrayActivations(x, layout=layout), inside)
    parts = contrast(Chunked(x, layout=layout), inside)
    sample = layout.sample_of(np.arange(len(x)))
    a = np.array([x[inside & (sample == i)].mean(0) for i in range(60) if (inside & (sample == i)).any()])
    b = np.array([x[~inside & (sample == i)].mean(0) for i in range(60) if (~inside & (sample == i)).any()])
    test = stats.ttest_ind(a, b, equal_var=False)
    for found in (whole, parts):
        np.testing.assert_allclose(
            found.columns["p_value"][np.argsort(found.columns["unit"])], test.pvalue, rtol=1e-8
        )
    fires = (x[inside] > 0).mean(0)
    np.testing.assert_allclose(parts.columns["fires_inside"][np.argsort(parts.columns["unit"])], fires)


def test_contrast_null_of_random_groups_covers_a_random_group(rng):
    """With nothing planted the strongest difference lies among those of random groups nearly always."""
    beyond = 0
    for _ in range(40):
        x, inside = rng.standard_normal((200, 20)), np.arange(200) < 40
        top = contrast(x, inside, rng=rng).estimates[0]
        beyond += top.value > top.null_high
    assert beyond <= 8  # expected 40 / 25 = 1.6; binomial tail beyond 8 is under 1e-4


def test_a_drawn_group_is_compared_with_other_places_of_the_map(rng):
    """A lasso at the edge of a Gaussian cloud always differs; groups drawn elsewhere differ as much."""
    x = rng.standard_normal((600, 10))
    result = Scatter(title="", positions=x[:, :2], rows=np.arange(600))
    inside = np.zeros(600, bool)
    inside[np.argsort(x[:, 0])[-60:]] = True
    found = describe.units_at_once(ArrayActivations(x), inside, result, "60 samples")
    top = found.estimates[0]
    assert top.value > 1.5
    assert top.null_high > 1.2
    assert "other places" in top.null_method
    assert top.p_value is None


def test_the_interval_of_the_largest_difference_holds_it(rng):
    """|g| near 0: the interval of g reaches over 0, that of |g| starts there."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((60, 1))
        top = contrast(x, np.arange(60) < 25).estimates[0]
        assert 0 <= top.low <= top.value <= top.high


def test_contrast_refuses(rng):
    x = rng.standard_normal((10, 2))
    with pytest.raises(NotEnoughData):
        contrast(x, np.arange(10) < 1)
    with pytest.raises(NotEnoughData):
        contrast(x, np.ones(10, bool))
    with pytest.raises(ShapeError):
        contrast(x, np.ones(9, bool))


def test_contrast_of_constant_and_broken_units(rng):
    x = rng.standard_normal((50, 3))
    x[:, 1], x[4, 2] = 7.0, np.nan
    found = contrast(x, np.arange(50) < 20)
    assert all(np.isfinite(found.columns[c]).all() for c in found.columns)
    assert found.columns["difference"][found.columns["unit"] == 1] == 0


@given(st.lists(st.booleans(), min_size=1, max_size=70))
@settings(max_examples=50, deadline=None)
def test_membership_round_trip(flags):
    np.testing.assert_array_equal(unpack(pack(flags), len(flags)), flags)
    np.testing.assert_array_equal(selections.unpacked(pack(flags), len(flags)), flags)


def test_membership_that_is_none():
    for text in ("", "%%%", "AAAA", "AAAAAAAAAAAA"):
        assert selections.unpacked(text, 100) is None
        with pytest.raises(ParameterError):
            unpack(text, 100)


def test_the_method_takes_a_column_or_a_packed_group(store):
    tap = store.activations("pooled")
    by_label = selection_contrast(tap, type(selection_contrast.__defaults__[0])(value="c"))
    assert by_label.columns["unit"][0] == 5  # planted: unit 5 is 3 higher for class c
    inside = np.asarray(store.samples["label"]) == "c"
    packed = selection_contrast(tap, type(selection_contrast.__defaults__[0])(inside=pack(inside)))
    np.testing.assert_array_equal(packed.columns["difference"], by_label.columns["difference"])


# ---------------------------------------------------------------------------- classes and chance
def test_class_shares_against_the_hypergeometric_law():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    labels = Labels(("a", "b", "c"), codes, np.array([50, 30, 20]))
    inside = np.zeros(100, bool)
    inside[45:65] = True
    found = {c.name: c for c in class_shares(labels, inside)}
    assert [found[n].inside for n in "abc"] == [5, 15, 0]
    assert sum(c.inside for c in found.values()) == found["a"].n == 20
    law = stats.hypergeom(100, 30, 20)
    assert found["b"].chance_high == law.ppf(0.975) / 20
    assert found["b"].q < 1e-3
    assert class_shares(labels, np.zeros(100, bool)) == []


def test_the_best_of_many_classes_by_chance():
    """64 samples of ten equal classes: the commonest is 11 to 12 of them, not 6.4."""
    drawn = best_by_chance((100,) * 10, 64)
    simulated = np.random.default_rng(5)
    pool = np.repeat(np.arange(10), 100)
    brute = [np.bincount(simulated.choice(pool, 64, replace=False)).max() for _ in range(500)]
    assert abs(drawn.mean() - np.mean(brute)) < 0.3
    assert best_by_chance((), 5).max() == 0


def test_best_correlation_by_chance(rng):
    """The largest |r| of one unit with 40 independent ones, over 100 samples."""
    tops = []
    for _ in range(300):
        x = rng.standard_normal((100, 41))
        x -= x.mean(0)
        x /= np.linalg.norm(x, axis=0)
        tops.append(np.abs(x[:, 0] @ x[:, 1:]).max())
    assert abs(np.quantile(tops, 0.95) - best_correlation_by_chance(40, 100)) < 0.03


# ---------------------------------------------------------------------------- selections
def test_a_lasso_survives_in_a_link(workspace, store):
    result = workspace.run("pca", ["images:pooled"])
    layout = store.activations("pooled").layout
    mask = np.arange(len(result.rows)) % 5 == 0
    chosen = selections.of_points(mask, result, layout, store, "pooled")
    word = selections.keep(workspace, chosen)
    assert selections.keep(workspace, chosen) == word
    found = selections.find(workspace, word)
    assert (found.of, found.ids) == ("samples", chosen.ids)
    np.testing.assert_array_equal(selections.points_of(found, result, layout, store, "pooled"), mask)
    tokens = store.activations("blocks.0").layout
    lit = selections.rows_of(found, store, "blocks.0", tokens)
    assert lit.sum() == 5 * mask.sum()  # a selection of samples lights up all their tokens


def test_a_selection_of_tokens_lights_up_their_samples(workspace, store):
    layout = store.activations("blocks.0").layout
    chosen = Selection("", "rows", "images", "blocks.0", (0, 1, 12, 10**9, -4))
    assert np.flatnonzero(selections.samples_of(chosen, store)).tolist() == [0, 2]
    assert np.flatnonzero(selections.rows_of(chosen, store, "blocks.0", layout)).tolist() == [0, 1, 12]


@pytest.mark.parametrize("word", ["", "~", "~zz", "~" + "0" * 16, "../../x", "<script>", "~../../../etc/pw"])
def test_a_link_to_no_selection(workspace, word):
    assert selections.find(workspace, word) is None


def test_a_selection_of_another_store_lights_nothing(workspace, store):
    layout = store.activations("pooled").layout
    chosen = Selection("x", "samples", "table", "", ("0", "1"))
    assert selections.rows_of(chosen, store, "pooled", layout) is None
    assert selections.rows_of(None, store, "pooled", layout) is None


# ---------------------------------------------------------------------------- what the map is sent
def test_columns_are_named_by_content(workspace, store):
    result = workspace.run("pca", ["images:pooled"])
    layout = store.activations("pooled").layout
    labels = np.asarray(store.samples["label"])
    a = picture(result, layout, values=labels, name="Label")
    b = picture(result, layout, values=np.asarray(store.samples["loss"]), name="Loss", theme="dark")
    assert a.positions.key == b.positions.key
    assert a.colour_column.key != b.colour_column.key
    assert (a.colour["kind"], b.colour["kind"]) == ("category", "number")
    assert len(a.positions.data) == 8 * a.n
    assert len(a.colour_column.data) == a.n
    assert np.frombuffer(b.colour_column.data, np.float32).shape == (b.n,)
    json.dumps([a.colour, b.colour], allow_nan=False)


def test_missing_values_are_grey_and_never_nan_in_the_message(store, workspace):
    result = workspace.run("pca", ["images:pooled"])
    values = np.full(len(result.rows), np.nan)
    made = picture(result, None, values=values, name="nothing")
    json.dumps(made.colour, allow_nan=False)
    text = np.array(["", "a"] * (len(values) // 2))
    codes = np.frombuffer(picture(result, None, values=text, name="t").colour_column.data, np.uint8)
    assert set(codes.tolist()) == {0, 255}


def test_tokens_know_their_sample(workspace, store):
    result = workspace.run("pca", ["images:blocks.0"])
    made = picture(result, store.activations("blocks.0").layout)
    members = np.frombuffer(made.members.data, np.int32).reshape(-1, 2)
    assert made.of == "tokens"
    np.testing.assert_array_equal(members[7], [1, 2])


@pytest.mark.parametrize(
    ("view", "hide", "expected"),
    [
        ("0_0_1_2", "3_4", {"box": [0, 0, 1, 2], "hidden": [3, 4]}),
        ("1_1_0_0", "", None),
        ("nan_0_1_1", "x_-1_99999", None),
        ("<script>", "", None),
        ("1e999_0_2_2", "1", {"box": None, "hidden": [1]}),
    ],
)
def test_the_view_of_a_link(view, hide, expected):
    assert map_state.view_from(view, hide) == expected
    if expected and expected["box"]:
        assert map_state.view_params(expected) == {"view": view, "hide": hide}


def test_everything_can_colour_a_map(workspace, store):
    for reference, of in (("images:pooled", "rows"), ("images:blocks.0", "rows"), ("images:pooled", "units")):
        result = workspace.run("pca", [reference], {"of": of})
        taken = workspace.activations(reference)
        for source in colour_sources.sources(store, result):
            values, name, _ = colour_sources.values_of(source, store, result, taken, 3)
            assert values is None or len(values) == len(result.rows)
            made = map_state.picture_of(
                result, store, taken, taken.name.partition(":")[2], source=source, unit=3
            )
            json.dumps(made.colour, allow_nan=False)
            assert name or source.group == "none"


def test_errors_and_labels_are_words(store):
    assert set(colour_sources.sample_values(store, "correct")) == {"right", "wrong"}
    np.testing.assert_array_equal(colour_sources.right_or_wrong(np.array([1, 0, -1])), ["right", "wrong", ""])


def test_a_small_picture_shows_a_part_of_the_points(rng):
    result = Scatter(
        title="", positions=rng.random((900, 2)), rows=np.arange(900) * 2, columns={"q": np.arange(900)}
    )
    part = map_state.thinned(result, 100)
    assert len(part.rows) == 100
    np.testing.assert_array_equal(part.columns["q"] * 2, part.rows)
    np.testing.assert_array_equal(part.positions, result.positions[part.columns["q"]])
    assert map_state.thinned(result, 1000) is result


# ---------------------------------------------------------------------------- cards and examples
def test_the_pack_holds_every_thumbnail(store):
    data = cards.pack(store).data
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    start, stop = header["images"][17]
    assert data[4 + length + start : 4 + length + stop] == store.thumbnail(17)
    assert (header["grid"], header["leading"]) == ([2, 2], 1)
    assert len(header["titles"]) == store.n_samples


def test_a_large_store_sends_no_pack(store, monkeypatch):
    monkeypatch.setattr(cards, "MOST_SAMPLES", 10)
    assert cards._made(store) is None
    monkeypatch.setattr(cards, "MOST_SAMPLES", 4000)
    monkeypatch.setattr(cards, "MOST_BYTES", 100)
    assert cards._made(store) is None


def test_the_card_of_one_point(store):
    layout = store.activations("blocks.0").layout
    card = cards.card(store, "blocks.0", layout, 9, 8)
    assert card["box"] == [0, 0.5, 0.5, 0.5]  # token 3 of sample 1: class token, then the third patch
    assert "patch (2, 1)" in card["lines"]
    assert card["image"].startswith("data:image/png;base64,")
    assert cards.card(store, "blocks.0", layout, 9, 5)["lines"][-1] == "class token"
    json.dumps(card, allow_nan=False)


@pytest.mark.parametrize(
    ("token", "leading", "grid", "word", "box"),
    [
        (0, 1, (2, 3), "class token", None),
        (1, 1, (2, 3), "patch (1, 1)", [0, 0, 1 / 3, 0.5]),
        (6, 1, (2, 3), "patch (2, 3)", [2 / 3, 0.5, 1 / 3, 0.5]),
        (7, 1, (2, 3), "token 6", None),
        (1, 5, (2, 2), "leading token 1", None),
        (4, 0, None, "token 4", None),
    ],
)
def test_where_a_token_is(token, leading, grid, word, box):
    assert cards.token_word(token, leading, grid) == word
    assert cards.patch_box(token, grid, leading) == box


def test_the_patch_that_fires_is_framed(store):
    unit = Unit(store, "images:blocks.0", 3)
    tiles = unit.tiles(6)
    assert len({t["sample"] for t in tiles}) == 6
    assert all(t["box"] == [0, 0.5, 0.5, 0.5] for t in tiles)  # planted in the third patch of class b
    assert all("label b" in t["facts"] for t in tiles)
    heat = np.frombuffer(base64.b64decode(tiles[0]["heat"]["values"]), np.uint8)
    assert heat.argmax() == 2
    assert len(heat) == 4
    json.dumps(tiles, allow_nan=False)


def test_text_examples_mark_the_token(workspace):
    unit = Unit(workspace.store("texts"), "texts:h.0", 2)
    for tile in unit.tiles(5):
        assert tile["tokens"][tile["marked"]] == "while"
        shades = np.frombuffer(base64.b64decode(tile["shades"]), np.uint8)
        assert len(shades) == len(tile["tokens"])
        assert {t for t, s in zip(tile["tokens"], shades, strict=True) if s} == {"while"}


def test_table_rows_become_small_tables(workspace):
    tile = Unit(workspace.store("table"), "table:mlp", 0).tiles(1)[0]
    assert [name for name, _ in tile["table"]] == ["age", "city"]
    assert tile["image"] is None


def test_sounds_only_from_sound_files_that_exist(store, tmp_path):
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"RIFF")
    paths = [str(wav), "/etc/passwd", str(tmp_path / "missing.wav")]

    class Fake:
        samples = {"media_path": np.array(paths)}  # noqa: RUF012

    found = examples.sounds(Fake(), [{"sample": i, "title": str(i)} for i in range(3)])
    assert found == [("0", str(wav))]


# ---------------------------------------------------------------------------- units
def test_the_headline_names_class_base_rate_and_chance(store):
    said = " ".join(Unit(store, "images:blocks.0", 3).sentences())
    assert "'b'" in said
    assert "base rate 33 %" in said
    assert "far beyond chance" in said
    assert "chance" in " ".join(Unit(store, "images:blocks.0", 7).sentences())
    assert Unit(store, "images:blocks.0", 0).sentences()[0].startswith("Dead")


def test_a_noise_unit_is_not_called_selective(store):
    noise = [Unit(store, "images:pooled", u) for u in range(6, 16)]
    tops = []
    for unit in noise:
        rows, values = unit.strongest
        samples = feature_card.strongest_samples(unit.activations, rows, values, unit.column)
        tops.append(feature_card.top_class(unit.labels, samples))
    assert sum(t.beyond_chance for t in tops) <= 2


def test_the_histogram_adds_up(store):
    for number in range(5):
        unit = Unit(store, "images:blocks.0", number)
        found = unit.histogram()
        assert sum(c.sum() for c in found.counts.values()) == len(unit.column)
        assert set(found.counts) == {"a", "b", "c"}
        np.testing.assert_allclose(
            found.edges[[0, -1]], [unit.column.min(), unit.column.max()] if number else [-0.5, 0.5]
        )


def _tap(store, stars=()):
    return feature_list.Tap(store.index("blocks.0").table(), store.classes, (), stars, labels_of(store), 16)


def test_kinds_of_units(store):
    tap = _tap(store, stars=(9, 500))
    assert np.flatnonzero(tap.kinds["dead"]).tolist() == [0]
    assert np.flatnonzero(tap.kinds["dense"]).tolist() == [1, 3]
    assert tap.kinds["selective"][3]
    assert tap.counts == {
        "": 16,
        "alive": 15,
        "dead": 1,
        "dense": 2,
        "selective": tap.counts["selective"],
        "starred": 1,
    }
    assert feature_list.listed(tap).units[0] == 9  # starred first


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("3", [3]),
        ("2-4", [2, 3, 4]),
        ("1, 15", [1, 15]),
        ("99999999999999999", []),
        ("9-2", []),
        ("<b>", []),
        (",", []),
    ],
)
def test_search_by_number(store, search, expected):
    assert feature_list.listed(_tap(store), search=search).units.tolist() == expected


def test_search_by_name_and_order(store):
    table = store.index("blocks.0").table()
    tap = feature_list.Tap(table, unit_names=tuple(f"edge {i}" if i % 2 else f"blob {i}" for i in range(16)))
    assert feature_list.listed(tap, search="EDGE").units.tolist() == list(range(1, 16, 2))
    falling = feature_list.listed(tap, order="mean").units
    assert (np.diff(table["mean"][falling]) <= 0).all()
    rising = feature_list.listed(tap, order="mean", rising=True).units
    assert rising.tolist() == falling[::-1].tolist()
    assert feature_list.listed(tap, order="<script>").units.tolist() == list(range(16))


def test_previous_and_next_follow_the_filters(store):
    units = feature_list.listed(_tap(store), search="2-4").units
    assert feature_list.neighbours(units, 2) == (None, 3)
    assert feature_list.neighbours(units, 3) == (2, 4)
    assert feature_list.neighbours(units, 11) == (None, None)
    assert feature_list.another(np.array([4]), 4) is None


def test_hostile_text_stays_text(store):
    """Nothing of the user's is made into HTML on the way: the components set text, never HTML."""
    header = cards.pack(store).data.decode("utf-8", "ignore")
    assert page_stores.HOSTILE in header
    from pathlib import Path

    for file in Path(cards.__file__).parents[1].joinpath("components").rglob("*.js"):
        code = file.read_text(encoding="utf-8")
        assert "innerHTML" not in code, file
        assert "insertAdjacentHTML" not in code, file
