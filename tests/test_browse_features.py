"""What stands behind the Features page, without Streamlit: cards, examples, units, the list."""

from __future__ import annotations

import base64
import json

import numpy as np
import page_stores
import pytest

from dashboard.browse import (
    cards,
    examples,
    feature_card,
    feature_list,
)
from dashboard.browse.labels import labels_of
from dashboard.browse.unit import Unit


@pytest.fixture
def workspace(page_stores_made):
    return page_stores_made


@pytest.fixture
def store(workspace):
    return workspace.store("images")


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
    return feature_list.Tap(
        store.index("blocks.0").table(), store.classes, (), stars, labels=labels_of(store), samples_at_top=16
    )


def test_kinds_of_units(store):
    tap = _tap(store, stars=(9, 500))
    assert np.flatnonzero(tap.kinds["dead"]).tolist() == [0]
    assert np.flatnonzero(tap.kinds["dense"]).tolist() == [1, 3]
    assert tap.kinds["selective"][3]
    counts = {"": 16, "alive": 15, "dead": 1, "dense": 2, "starred": 1}
    assert {kind: tap.counts[kind] for kind in counts} == counts
    assert tap.counts["selective"] == tap.kinds["selective"].sum() < 8
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
