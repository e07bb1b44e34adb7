"""The Tokens page: boxes and recall, the opened token, settings of rules, and places of the film's figure."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from analysis.errors import NotFound, ParameterError
from analysis.results import TokenFilm
from analysis.tokens.boxes import marked, recall, rectangles_of, spans_of
from analysis.tokens.over_samples import asked_rules, count_of
from analysis.tokens.rule import rule
from analysis.tokens.rule_settings import given_in, rule_with, rule_written, with_settings
from dashboard import figures
from dashboard.browse import token_marks
from dashboard.figures import film_marks, token_film
from dashboard.figures.film_opened import opened_picture, opened_text
from dashboard.figures.film_panels import look, on_cells, panels, pixels_of
from dashboard.figures.film_reading import corners

GRID = (3, 4)


@pytest.fixture
def film():
    """A class token and 12 patches: the first and the last merge, then the second is dropped."""
    owner = np.tile(np.arange(13), (3, 1))
    owner[1:, 12] = 1
    owner[2, 2] = -1
    return TokenFilm(title="planted", names=("input", "layer 1", "layer 2"), owner=owner, grid=GRID,
                     cell=np.arange(13) - 1)  # fmt: skip


@pytest.fixture
def text_film():
    owner = np.tile(np.arange(5), (2, 1))
    owner[1, 3] = 1
    return TokenFilm(
        title="planted", names=("input", "layer 1"), owner=owner, words=("a", "b\n", "<c>", "d", "e")
    )


def test_boxes_count_rows_and_columns_from_one():
    assert rectangles_of("rows 2-3, columns 1; 1, 2-4", *GRID) == [(1, 2, 0, 0), (0, 0, 1, 3)]
    assert spans_of("0-1; tokens 4", 5) == [(0, 1), (4, 4)]
    inside = marked("1, 4; 3, 1-2", np.arange(13) - 1, GRID, 13)
    assert np.flatnonzero(inside).tolist() == [4, 9, 10]


@pytest.mark.parametrize("text", ["0, 1", "1-4, 1", "1, 5", "2-1, 1", "here"])
def test_a_box_outside_the_image_is_refused_in_words(text):
    with pytest.raises(ParameterError, match=r"3 rows and 4 columns|rows and columns of patches"):
        rectangles_of(text, *GRID)


@pytest.mark.parametrize("text", ["5", "3-5", "2-1", "-1", "all"])
def test_a_stretch_beyond_the_text_is_refused_in_words(text):
    with pytest.raises(ParameterError, match=r"tokens 0 to 4|numbers of tokens"):
        spans_of(text, 5)


def test_recall_and_its_chance_are_those_of_all_ways_to_keep_as_many():
    owner = np.array([0, 1, 1, 3, -1, 5, 5])
    inside, free = np.array([0, 1, 1, 1, 1, 0, 0], bool), np.ones(7, bool)
    found = recall(owner, inside, free)
    every = np.sort([inside[list(kept)].sum() for kept in combinations(range(7), 4)])
    assert (found.standing, found.inside, found.total) == (2, 3, 4)
    assert found.chance == pytest.approx(every.mean())
    assert (every < found.low).mean() <= 0.025 < (every <= found.low).mean()
    assert (every > found.high).mean() <= 0.025 < (every >= found.high).mean()


def test_recall_of_a_film_is_said_with_what_merged(film):
    said = token_marks.recall_words(film, "3, 4; 1, 1-2")
    assert "3 patches in the boxes** 1 (33%)" in said
    assert "2 when those count that were merged" in said


def test_the_opened_token_names_every_patch_inside(film):
    assert token_marks.opened(film, "1.12") == (1, 12)
    assert token_marks.opened(film, "3.0") is None
    assert token_marks.opened(film, "<script>") is None
    assert token_marks.opened_words(film, (1, 12)).endswith(
        "2 of the 13 tokens inside: columns in row 1: 1; row 3: 4."
    )
    assert (
        token_marks.opened_words(film, (2, 2))
        == "Row 1, column 2 is gone after layer 2: it was dropped in layer 2."
    )
    assert "that one alone" in token_marks.opened_words(film, (1, 5))
    assert opened_picture(film, (1, 12), "light").startswith("data:image/png")
    assert opened_picture(film, (2, 2), "light") == ""


def test_the_sets_of_the_tokens_left_are_a_partition(film):
    for step in range(3):
        here = np.stack([film_marks.inside(film, step, t) for t in np.unique(film.owner[step]) if t >= 0])
        np.testing.assert_array_equal(here.sum(axis=0), film.owner[step] >= 0)


def test_of_a_text_the_words_inside_are_marked_and_escaped(text_film):
    assert "inside: 1 'b ', 3 'd'." in token_marks.opened_words(text_film, (1, 3))
    page = opened_text(text_film, (1, 1))
    assert page.count("<b ") == 2
    assert "&lt;c&gt;" in page
    assert "<c>" not in page


def test_a_ring_goes_around_cells_once():
    cells = np.zeros(GRID, bool)
    cells[1, 1:3] = True
    x, y = film_marks.ring(cells)
    assert np.isnan(x).sum() == 6  # the sides of two cells beside each other
    assert (np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y)) == (0.5, 2.5, 0.5, 1.5)


def test_marks_of_the_figure_are_the_tokens_that_a_click_opens(film, text_film):
    for result in (film, text_film):
        first = figures.on_screen(result).data[0]
        for index in (0, len(first.x) // 2, len(first.x) - 1):
            step, token = map(int, token_film.place(result, index).split("."))
            named = first.hovertext[index].split("<br>")[0]
            assert named == f"<b>{film_marks_name(result, token)}</b>"
            assert 0 <= step < len(result.names)
    assert token_film.place(film, 12 * 3) == ""


def film_marks_name(result, token):
    from dashboard.figures.film_reading import marked_places

    return marked_places(result)[token]


def test_a_box_that_is_dragged_is_the_box_that_is_typed(film, text_film):
    down, right = corners(film, pixels_of(film))[1]
    assert token_film.box(film, [right + 1.8, right + 0.6], [down + 2.4, down + 0.7]) == "2-3, 2-3"
    assert token_film.box(film, [-3, -2], [-3, -2]) == ""
    assert token_film.box(text_film, [0.6, 3.2], [0, 0.2]) == "1-3"
    assert marked("2-3, 2-3", film.cell, GRID, 13).sum() == 4
    names = [name for name, _ in film_marks.marks(film, "1.12", "2-3, 2-3")]
    assert names == ["boxes", "opened"]
    with pytest.raises(ParameterError):
        figures.on_screen(film, boxes="9, 9")


def test_panels_show_gone_kept_and_merged(film):
    pixels = pixels_of(film)
    middles = next(panels(film, [2], look(False)))[pixels // 2 :: pixels, pixels // 2 :: pixels]
    owner = on_cells(film, film.owner[2], -2)
    assert len({tuple(c) for c in middles[owner == 1]}) == 1  # one colour
    assert tuple(middles[1, 1]) == (150, 150, 150)  # the ground of a film without a picture
    assert not (middles[owner == 1] == 150).all(axis=1).any()
    assert not (middles[owner == -1] == 150).all(axis=1).any()


def test_a_rule_with_settings_is_a_rule_by_another_name():
    one = rule_written("pitome(margin = 0.8, energy=elu)")
    assert one.title == "PiToMe (energy elu, margin 0.8)"
    assert (one.settings().margin, one.settings().energy, one.settings().below) == (0.8, "elu", 1.0)
    assert with_settings(rule("pitome"), {"margin": 0.9}) is rule("pitome")
    chosen = asked_rules("tome, pitome(margin=0.5, below=2), pitome, tome")
    assert [c.id for c in chosen] == ["tome", "pitome(margin=0.5, below=2.0)", "pitome"]
    assert count_of("tome, pitome(margin=0.5, below=2), pitome") == 3
    assert given_in("") == {}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [("pitome", "margin=3", "at most 1"), ("pitome", "width=3", "energy, margin, below"),
     ("tome", "margin=1", "no settings"), ("mctf", "size", "name = value")],
)  # fmt: skip
def test_settings_that_a_rule_does_not_have_are_refused_in_words(name, settings, said):
    with pytest.raises(ParameterError, match=said):
        rule_with(name, settings)
    with pytest.raises(NotFound):
        rule_written("no such rule(")


def test_groups_that_a_method_made_are_the_first_colours_and_its_numbers_stand_behind_labels():
    import numpy as np

    from analysis.results import Scatter
    from dashboard.parts.figure_block import _first_colours

    def first(values, known):
        made = Scatter(
            title="", positions=np.zeros((2, 2)), rows=np.arange(2), columns={"x": values}, colour="x"
        )
        return next(id for id in _first_colours(made) if id in known)

    known = ("label", "map:x")
    assert first(np.array(["expert 1", "expert 2"]), known) == "map:x"
    assert first(np.array([0.1, 0.2]), known) == "label"
    assert first(np.array([0.1, 0.2]), ("map:x",)) == "map:x"


def test_all_of_many_patches_inside_are_named(film):
    """Nine of the twelve in five runs, and the words of a long text."""
    owner = np.array(film.owner)
    members = [1, 2, 4, 5, 6, 9, 10, 11, 12]
    owner[1:] = np.arange(13)
    owner[1:, members] = 1
    whole = TokenFilm(title="planted", names=film.names, owner=owner, grid=GRID, cell=np.asarray(film.cell))
    said = token_marks.opened_words(whole, (1, 9))
    assert said.endswith(
        "9 of the 13 tokens inside: columns in row 1: 1 to 2, 4; row 2: 1 to 2; row 3: 1 to 4."
    )
    assert np.flatnonzero(film_marks.inside(whole, 1, 9)).tolist() == members
    words = TokenFilm(
        title="planted",
        names=("input", "layer 1"),
        owner=np.array([range(9), [0] * 9]),
        words=tuple("abcdefghi"),
    )
    assert token_marks.opened_words(words, (1, 4)).endswith(
        ", ".join(f"{i} {w!r}" for i, w in enumerate("abcdefghi")) + "."
    )
