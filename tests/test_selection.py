"""Selections: set algebra, what they hold wherever they are kept, and which rows they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import ParameterError, StoreDamaged
from analysis.selection import Selection, ids_from_bytes, to_bytes

INDICES = st.lists(st.integers(0, 2**40), max_size=60)
TEXTS = st.lists(st.text(max_size=6), max_size=30)


def rows(ids, name="", store="s", tap="t"):
    return Selection(name, "rows", store, tap, ids)


@given(INDICES, INDICES)
def test_the_algebra_is_that_of_sets(a, b):
    first, second = rows(a), rows(b)
    assert set((first | second).ids.tolist()) == set(a) | set(b)
    assert set((first & second).ids.tolist()) == set(a) & set(b)
    assert set((first - second).ids.tolist()) == set(a) - set(b)
    assert len(first | second) == len(set(a) | set(b))  # each once
    assert (first | second) == (second | first)
    assert (first - second) & second == rows([])


@given(INDICES)
def test_indices_come_back_from_bytes(ids):
    chosen = rows(ids)
    np.testing.assert_array_equal(ids_from_bytes("rows", to_bytes(chosen)), sorted(set(ids)))


@given(TEXTS)
def test_texts_come_back_from_bytes(ids):
    ids = [i.rstrip("\0") for i in ids]  # NumPy's text cannot end in a zero
    chosen = Selection("", "samples", "s", "", ids)
    assert ids_from_bytes("samples", to_bytes(chosen)).tolist() == sorted(set(ids))


def test_half_a_million_neighbouring_rows_are_small():
    assert len(to_bytes(rows(np.arange(500_000)))) < 30_000  # of 4,000,000


@pytest.mark.parametrize("kind", ["rows", "samples"])
def test_a_million_ids_come_back_from_a_workspace(tmp_path, kind):
    """Every third of three million, and every other one combined with it, saved, and opened anew."""
    from analysis.workspace import Workspace

    numbers = np.arange(0, 3_000_000, 3)
    ids = numbers if kind == "rows" else np.char.add("sample ", numbers.astype(str))
    workspace = Workspace.create(tmp_path / "w")
    whole = Selection("thirds", kind, "s", "t" if kind == "rows" else "", ids[::-1])
    workspace.save_selection(whole)
    workspace.save_selection(Selection("half", kind, "s", "t" if kind == "rows" else "", ids[::2]))
    again = Workspace.open(tmp_path / "w")
    assert len(again.selection("thirds")) == 1_000_000
    assert again.selection("thirds") == whole
    np.testing.assert_array_equal(again.selection("thirds").ids, np.sort(ids))
    for operation, expected in (("and", ids[::2]), ("minus", ids[1::2]), ("or", ids)):
        joined = again.combined("thirds", operation, "half")
        np.testing.assert_array_equal(joined.ids, np.sort(expected))


@pytest.mark.parametrize("packed", [b"", b"nonsense", to_bytes(rows([1, 2]))[:-3]])
def test_damaged_ids_are_refused(packed):
    with pytest.raises(StoreDamaged):
        ids_from_bytes("rows", packed)


def test_equal_means_the_same_points_not_the_same_name():
    assert rows([3, 1, 1], "a") == rows([1, 3], "b")
    assert hash(rows([3, 1], "a")) == hash(rows([1, 3], "b"))
    assert rows([1]) != rows([1], store="other")
    assert rows([1]) != rows([1], tap="other")
    assert rows([1]) != Selection("", "units", "s", "t", [1])
    assert Selection("", "samples", "s", "t", ["1"]) == Selection("", "samples", "s", "u", ["1"])


@pytest.mark.parametrize(
    "other", [rows([1], store="other"), rows([1], tap="other"), Selection("", "units", "s", "t", [1])]
)
def test_different_things_do_not_combine(other):
    with pytest.raises(ParameterError, match="same kind of thing"):
        rows([1]) | other


def test_ids_that_are_no_indices_are_refused():
    with pytest.raises(ParameterError, match="whole numbers"):
        rows([1.5])
    with pytest.raises(ParameterError, match="one of or, and, minus"):
        rows([1]).combined("xor", rows([2]))


def test_a_combination_says_where_it_came_from():
    assert (rows([1], "fours") - rows([2], "blurred")).note == "fours minus blurred"


def test_tokens_and_samples_combine_as_samples(page_stores_made):
    workspace = page_stores_made
    store = workspace.store("images")
    layout = store.activations("blocks.0").layout
    ids = np.asarray(store.samples["id"])
    tokens = Selection("bright", "rows", "images", "blocks.0", [0, 1, int(layout.offsets[3])])
    two = Selection("two", "samples", "images", "", ids[[3, 5]])
    joined = workspace.combined(tokens, "or", two)
    assert joined.of == "samples"
    assert set(joined.ids.tolist()) == set(ids[[0, 3, 5]].tolist())
    assert workspace.combined(two, "minus", tokens).ids.tolist() == [ids[5]]
    assert "samples of bright" in joined.note
    again = workspace.combined(tokens, "and", tokens)
    assert again.of == "rows"  # alike: no need to leave the tokens
    assert again == tokens


def test_a_named_selection_gives_rows_in_python(page_stores_made, tmp_path):
    workspace = page_stores_made
    store = workspace.store("images")
    layout = store.activations("blocks.0").layout
    ids = np.asarray(store.samples["id"])
    chosen = Selection("two", "samples", "images", "", ids[[1, 4]])
    expected = [*range(*layout.offsets[1:3]), *range(*layout.offsets[4:6])]
    assert workspace.rows(chosen, "images:blocks.0").tolist() == expected
    assert workspace.rows(chosen, "images:pooled").tolist() == [1, 4]
    with pytest.raises(ParameterError, match="samples or tokens of table"):
        workspace.rows(chosen, next(f"table:{tap}" for tap in workspace.store("table").taps))
