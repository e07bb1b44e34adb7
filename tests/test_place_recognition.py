"""Recall@N, its closed-form null, places, headings and streets: known answers and second implementations."""

from __future__ import annotations

from itertools import combinations
from math import comb

import app_pages
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pipeline, registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval import recall_at
from analysis.compute.retrieval.heading_similarity import heading_difference
from analysis.compute.retrieval.places import confusions, direction_estimates, main_direction, places
from analysis.compute.retrieval.recall_at import blocks, chances, miss, places_asked, ranked, recalls
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.retrieval import place_recognition as module
from analysis.methods.retrieval.place_recognition import PlaceParams, place_recognition
from dashboard.figures import on_screen
from dashboard.figures.export import export

FEW = settings(max_examples=25, deadline=None)


def run(x, columns, seed=0, layout=None, **params):
    data = ArrayActivations(np.asarray(x), samples=columns, layout=layout)
    return place_recognition(data, PlaceParams(**params), np.random.default_rng(seed))


def estimate(result, name):
    return next(e for e in result.estimates if e.name.startswith(name))


def placed(columns, *names, degrees=False, threshold=None):
    n = len(next(iter(columns.values())))
    data = ArrayActivations(np.zeros((n, 1)), samples=columns)
    return places(data, np.arange(n), names, degrees, threshold, np.random.default_rng(0))


def by_hand(x, xy, threshold, at, sequence=None):
    """Recall at each N by sorting every query's distances (no ties)."""
    hits = []
    for i in range(len(x)):
        other = [j for j in range(len(x)) if j != i and (sequence is None or sequence[j] != sequence[i])]
        near = sorted(other, key=lambda j: ((x[i] - x[j]) ** 2).sum())
        right = [((xy[i] - xy[j]) ** 2).sum() <= threshold**2 for j in near]
        if any(right):
            hits.append([any(right[:n]) for n in at])
    return np.mean(hits, axis=0), len(hits)


# ---------------------------------------------------------------------------- recall
@FEW
@given(st.integers(0, 10**6), st.booleans())
def test_recall_is_that_of_sorting_by_hand(seed, sequences):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 60))
    x, xy = rng.standard_normal((n, 4)), rng.standard_normal((n, 2))
    sequence = rng.integers(5, size=n) if sequences else None
    columns = {"x": xy[:, 0], "y": xy[:, 1]} | ({"drive": sequence} if sequences else {})
    r = run(x, columns, first="x", second="y", threshold=0.8, sequence="drive" if sequences else "")
    expected, queries = by_hand(x, xy, 0.8, r.x, sequence)
    np.testing.assert_allclose(r.series["recall"], expected, atol=1e-12)
    assert r.estimates[0].n == queries
    assert (np.diff(r.series["recall"]) >= 0).all()
    assert (np.diff(r.null["recall"]) >= -1e-12).all()
    assert (r.low["recall"] <= r.series["recall"]).all()
    assert (r.series["recall"] <= r.high["recall"]).all()


def test_without_a_limit_every_answer_is_right(rng):
    columns = {"x": rng.random(40), "y": rng.random(40)}
    r = run(rng.standard_normal((40, 3)), columns, first="x", second="y", threshold=np.inf)
    np.testing.assert_array_equal(r.series["recall"], 1)
    np.testing.assert_array_equal(r.null["recall"], 1)
    assert "right by chance alone" in r.reading


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_perfect_place_code_is_never_wrong(metric):
    where = np.repeat(np.arange(30), 4)
    x = np.stack([np.cos(where / 10), np.sin(where / 10)], axis=1)
    r = run(x, {"x": 2.0 * where}, first="x", metric=metric, threshold=0.0)
    np.testing.assert_array_equal(r.series["recall"], 1)
    assert r.estimates[0].null == pytest.approx(3 / 119)
    assert not any("taken for each other" in c for c in r.caveats)


def test_the_own_sequence_lifts_the_recall(rng):
    """Ten drives past the same places; the activations wander by themselves, so only the last frame is recognised."""
    drive, where = np.repeat(np.arange(10), 20), np.tile(np.arange(20.0), 10)
    x = np.cumsum(rng.standard_normal((200, 8)), axis=0) + 50 * rng.standard_normal((10, 8))[drive]
    columns = {"where": where, "drive": np.char.add("drive ", drive.astype(str))}
    loose = run(x, columns, first="where", threshold=1.0)
    strict = run(x, columns, first="where", threshold=1.0, sequence="drive")
    assert loose.series["recall"][0] > 0.5
    assert (loose.series["recall"][:3] > strict.series["recall"][:3] + 0.2).all()
    assert strict.series["recall"][0] < strict.estimates[0].null_high + 0.05
    assert "No sequence column" in " ".join(loose.caveats)
    assert "No sequence column" not in " ".join(strict.caveats)


def test_a_sequence_without_a_name_stands_alone(rng):
    columns = {"x": np.arange(30) % 6, "drive": np.array([""] * 30)}
    one, two = (run(rng.standard_normal((30, 3)) * 0 + np.arange(30)[:, None], columns, first="x", threshold=0.0,
                    sequence=s) for s in ("", "drive"))  # fmt: skip
    np.testing.assert_array_equal(one.series["recall"], two.series["recall"])


def test_ties_count_as_chance_whatever_the_order_of_the_rows(rng):
    """A code with two values: inside each, any order is equally likely."""
    where = np.arange(40) % 4
    x = (where // 2)[:, None] * np.ones((40, 3))
    at = np.array([1, 2, 5, 10, 19, 20])
    for order in (np.arange(40), rng.permutation(40)):
        found = ranked(blocks(x[order], placed({"x": where[order]}, "x", threshold=0.0)), 40)
        expected = [1 - comb(19 - 9, int(n)) / comb(19, int(n)) if n < 20 else 1 for n in at]
        np.testing.assert_allclose(recalls(found, at).mean(axis=0), expected, atol=1e-12)


def test_tokens_are_averaged(rng):
    x, where = rng.standard_normal((60, 4)), np.arange(60) % 12
    tokens = np.repeat(x, 2, axis=0) + np.tile([[1.0], [-1.0]], (60, 1))
    one = run(x, {"x": where}, first="x")
    two = run(tokens, {"x": where}, first="x", layout=Layout(np.arange(61) * 2))
    np.testing.assert_allclose(one.series["recall"], two.series["recall"])
    assert any("mean over its tokens" in c for c in two.caveats)


# ---------------------------------------------------------------------------- the null
@FEW
@given(st.integers(1, 40), st.data())
def test_the_closed_form_is_exact(m, data):
    r, n = data.draw(st.integers(0, m)), data.draw(st.integers(0, m + 2))
    expected = comb(m - r, n) / comb(m, n) if n <= m else 0.0
    assert miss(m, r, n) == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_the_closed_form_by_counting():
    right, m = {1, 4}, 6
    for n in range(1, m + 1):
        hit = np.mean([bool(right & set(c)) for c in combinations(range(m), n)])
        assert 1 - miss(m, len(right), n) == pytest.approx(hit)


def test_the_null_is_what_random_codes_reach():
    """Against simulation, with a sequence that takes candidates away."""
    rng = np.random.default_rng(1)
    where, drive = rng.integers(12, size=150), rng.integers(6, size=150)
    at, found = np.array([1, 2, 5, 10, 20, 50]), []
    known = placed({"x": where}, "x", threshold=0.0)
    for _ in range(150):
        r = ranked(blocks(rng.standard_normal((150, 30)), known, drive), 150)
        found.append(recalls(r, at).mean(axis=0))
    null = chances(r, at).mean(axis=0)
    np.testing.assert_allclose(np.mean(found, axis=0), null, atol=0.012)
    e = recall_at.recall_estimates(recalls(r, at), chances(r, at), at, 30, rng)
    inside = [np.mean([(e[j].null_low <= f[j] <= e[j].null_high) for f in found]) for j in (0, 3)]
    assert min(inside) > 0.85


def test_a_million_candidates_do_not_overflow():
    assert miss(10**6, 10**3, 100) == pytest.approx(np.prod(1 - 1000 / (10**6 - np.arange(100.0))), rel=1e-8)


def test_where_the_curve_is_asked():
    assert places_asked(1000, 100).tolist() == [1, 2, 5, 10, 20, 50, 100]
    assert places_asked(7, 100).tolist() == [1, 2, 5]
    assert places_asked(1, 1).tolist() == [1]


def test_queries_without_a_right_answer_are_left_out_and_counted(rng):
    where = np.r_[np.repeat(np.arange(10), 2), 100 + 10 * np.arange(7)]
    r = run(rng.standard_normal((27, 3)), {"x": where}, first="x", threshold=0.0)
    assert r.estimates[0].n == 20
    assert r.estimates[0].null == pytest.approx(1 / 26)
    assert any(c.startswith("7 of 27 samples have no right answer") for c in r.caveats)


# ---------------------------------------------------------------------------- places
def test_great_circles(rng):
    """Haversine, a second formula; Paris to New York 5,837 km."""
    known = placed(
        {"lat": [48.8566, 40.7128, -33.0], "lon": [2.3522, -74.006, 151.0]}, "lat", "lon", degrees=True
    )
    north, east = np.radians(known.given).T
    h = np.sin((north[:, None] - north) / 2) ** 2
    h += np.cos(north[:, None]) * np.cos(north) * np.sin((east[:, None] - east) / 2) ** 2
    np.testing.assert_allclose(known.distances(np.arange(3)), 2 * 6371 * np.arcsin(np.sqrt(h)), atol=1e-3)
    assert known.distances(np.arange(3))[0, 1] == pytest.approx(5837, abs=2)


def test_the_automatic_threshold_is_the_closest_tenth(rng):
    xy = rng.standard_normal((80, 2))
    known = placed({"x": xy[:, 0], "y": xy[:, 1]}, "x", "y")
    apart = np.linalg.norm(xy[:, None] - xy, axis=2)[np.triu_indices(80, 1)]
    assert np.mean(apart <= known.threshold) == pytest.approx(0.1, abs=1 / len(apart))
    assert placed({"x": np.arange(80) % 12}, "x").threshold == 0  # a twelfth of all pairs share their place


def test_a_column_of_text_names_places(rng):
    x, where = rng.standard_normal((60, 4)), np.arange(60) % 12
    one = run(x, {"x": where}, first="x", threshold=0.0)
    two = run(x, {"x": np.char.add("<b>place ", where.astype(str))}, first="x", threshold=4.0)
    np.testing.assert_array_equal(one.series["recall"], two.series["recall"])
    assert "has the same 'x'" in two.reading
    assert any("threshold is not used" in c for c in two.caveats)


@FEW
@given(st.integers(0, 10**6), st.floats(0, 179.99))
def test_the_first_singular_vector_of_a_straight_street_is_its_direction(seed, angle):
    rng = np.random.default_rng(seed)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    street = rng.uniform(-50, 50, 40)[:, None] * along + rng.uniform(-1000, 1000, 2)
    vector, share = main_direction(street)
    assert abs(vector @ along) == pytest.approx(1, abs=1e-12)
    assert share == pytest.approx(1, abs=1e-12)
    e = direction_estimates(placed({"x": street[:, 0], "y": street[:, 1]}, "x", "y"), rng, 20)
    off = (e[0].value - angle + 90) % 180 - 90
    assert off == pytest.approx(0, abs=1e-6)


def test_a_round_cloud_has_no_street(rng):
    xy = rng.standard_normal((300, 2))
    e = direction_estimates(placed({"x": xy[:, 0], "y": xy[:, 1]}, "x", "y"), rng)[1]
    assert e.null_low <= e.value <= e.null_high + 0.02
    assert e.null < 0.6


def test_the_bearing_of_a_road_across_the_date_line():
    """A road due north-east in kilometres, over 180 degrees of longitude."""
    north = np.linspace(-0.5, 0.5, 30) + 60
    east = 180 + np.linspace(-0.5, 0.5, 30) / np.cos(np.radians(60))
    known = placed({"lat": north, "lon": (east + 180) % 360 - 180}, "lat", "lon", degrees=True)
    assert direction_estimates(known, np.random.default_rng(0), 20)[0].value == pytest.approx(45, abs=0.01)


def test_the_places_most_confused_are_named(rng):
    """Places 3 and 7 look the same; all others are told apart."""
    where = np.repeat(np.arange(12), 5)
    looks = 50 * np.eye(12)
    looks[7] = looks[3]
    x = looks[where] + rng.standard_normal((60, 12))
    names = np.char.add("place ", where.astype(str))
    r = run(x, {"name": names, "id": np.char.add("s", np.arange(60).astype(str))}, first="name")
    said = next(c for c in r.caveats if "taken for each other" in c)
    assert "place 3 and place 7 (" in said
    assert said.count(" and place ") == 1
    assert r.estimates[0].value == pytest.approx(50 / 60, abs=0.1)
    known = placed({"x": 10.0 * where, "y": where % 2}, "x", "y", threshold=2.0)
    assert confusions(known, np.array([15, 16, 0]), np.array([35, 36, 5])) == [
        ("(30, 1)", "(70, 1)", 2), ("(0, 0)", "(10, 1)", 1),
    ]  # fmt: skip


# ---------------------------------------------------------------------------- headings
def test_turns():
    np.testing.assert_allclose(
        heading_difference(np.array([10, 350, 0, -90, 725]), np.array([350, 10, 180, 270, 0])),
        [20, 20, 180, 0, 5],
    )


def headings(rng, robust, n=300):
    """A code of the place, beside the heading itself unless the code is robust."""
    where, heading = rng.integers(15, size=n), rng.uniform(0, 360, n)
    x = 4 * rng.standard_normal((15, 6))[where] + 0.5 * rng.standard_normal((n, 6))
    turned = np.stack([np.cos(np.radians(heading)), np.sin(np.radians(heading))], axis=1)
    return np.hstack([x, (0 if robust else 8) * turned]), {"x": where, "turn": heading}


def test_similarity_by_heading_is_that_of_all_pairs(rng):
    x, columns = headings(rng, False, 120)
    r = run(x, columns, first="x", threshold=0.0, heading="turn", by_heading=True)
    away = np.linalg.norm(x[:, None] - x, axis=2)
    off = ~np.eye(120, dtype=bool)
    same, turn = (
        columns["x"][:, None] == columns["x"],
        heading_difference(columns["turn"][:, None], columns["turn"]),
    )
    similarity = 1 - away / away[off].mean()
    for name, pairs in (("series", same & off), ("null", ~same)):
        for at, value in zip(r.x, getattr(r, name)["same place"], strict=True):
            assert value == pytest.approx(
                similarity[pairs & (turn >= at - 15) & (turn < at + 15)].mean(), abs=1e-9
            )
    slope = np.polyfit(turn[same & off] / 90, similarity[same & off], 1)[0]
    assert estimate(r, "similarity lost").value == pytest.approx(-slope, abs=1e-9)


def test_a_robust_code_loses_nothing_by_turning(rng):
    one = run(*headings(rng, True), first="x", threshold=0.0, heading="turn")
    two = run(*headings(rng, False), first="x", threshold=0.0, heading="turn")
    a, b = (estimate(r, "similarity lost") for r in (one, two))
    assert a.null_low <= a.value <= a.null_high
    assert "no more than luck allows" in one.reading
    assert b.low > b.null_high
    assert b.p_value == pytest.approx(1 / 200)
    assert "no more than luck allows" not in two.reading


def test_the_recall_does_not_depend_on_the_headings(rng):
    x, columns = headings(rng, False, 90)
    one = run(x, columns, first="x", threshold=0.0)
    two = run(x, columns | {"turn": np.where(np.arange(90) < 40, columns["turn"], np.nan)}, first="x",
              threshold=0.0, heading="turn")  # fmt: skip
    np.testing.assert_array_equal(one.series["recall"], two.series["recall"])


# ---------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"first": "nought"}, NotFound, "nought"), ({"second": "nought"}, NotFound, "nought"),
        ({"second": "text"}, ParameterError, "holds text"), ({"first": "text", "second": "x"}, ParameterError, "text"),
        ({"first": "same"}, InputError, "one place"), ({"first": "none"}, NotEnoughData, "0 sample"),
        ({"degrees": True}, ParameterError, "one column of degrees"),
        ({"degrees": True, "first": "far", "second": "x"}, ParameterError, "latitude from -90"),
        ({"by_heading": True}, ParameterError, "heading"), ({"heading": "text"}, ParameterError, "holds text"),
        ({"heading": "none"}, NotEnoughData, "fewer than two headings"), ({"heading": "nought"}, NotFound, "nought"),
        ({"sequence": "nought"}, NotFound, "nought"), ({"sequence": "same"}, NotEnoughData, "outside their own"),
        ({"threshold": 0.0}, NotEnoughData, "0 of 40 samples"), ({"metric": "odd"}, ParameterError, "odd"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(params, error, words, rng):
    columns = {
        "x": rng.permutation(40) + 0.5, "same": np.ones(40), "none": np.full(40, np.nan), "far": np.arange(40) * 9.0,
        "text": np.array(["a", "b"])[np.arange(40) % 2],
    }  # fmt: skip
    with pytest.raises(error, match=words):
        run(rng.standard_normal((40, 3)), columns, **({"first": "x"} | params))


def test_samples_without_a_position_or_a_number_are_left_out(rng):
    x, where = rng.standard_normal((50, 3)), np.arange(50) % 10 * 1.0
    x[3, 1], where[7] = np.nan, np.inf
    r = run(x, {"x": where}, first="x", threshold=0.0)
    assert r.estimates[0].n == 48
    assert any(c.startswith("1 sample(s) without a position") for c in r.caveats)
    assert any("NaN" in c for c in r.caveats)


# ---------------------------------------------------------------------------- the check, the family, the figure
def frames_kept(points, known, sequence, *rest):
    return recall_at.blocks(points, known, None, *rest)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("recalls", None), ("recalls", lambda f, at: chances(f, at)), ("chances", lambda f, at: chances(f, at) ** 2),
        ("blocks", frames_kept), ("direction_estimates", lambda p, rng: direction_estimates(turned(p), rng)),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    if broken is not None:
        monkeypatch.setattr(module, name, broken)
    assert all(line.passed for line in module.METHODS[0].check()) == (broken is None)


def turned(known):
    from dataclasses import replace

    return replace(known, given=known.given[:, ::-1])


def test_the_registry_has_the_family():
    assert "place_recognition" in [m.id for m in registry.families()["retrieval"]]


def test_the_analyses_page_lists_the_family_and_runs_it(opened):
    at = app_pages.open_page("analyses", tap="images:pooled", method="place_recognition")
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert "Retrieval" in next(s for s in at.selectbox if "retrieval" in str(s.value).lower()).options
    opened.run("place_recognition", ["images:pooled"], {})
    at = app_pages.open_page("analyses", tap="images:pooled", method="place_recognition")
    assert "the nearest other sample has the same 'label'" in app_pages.texts(at).replace("\\", "")


@pytest.mark.parametrize("by_heading", [False, True])
def test_both_curves_are_drawn(rng, by_heading):
    x, columns = headings(rng, False, 90)
    data = ArrayActivations(x, samples=columns)
    params = {"first": "x", "heading": "turn", "by_heading": by_heading}
    result = pipeline.run("place_recognition", [data], params)
    assert on_screen(result).data
    assert export(result, "svg")[:5] == b"<?xml"
