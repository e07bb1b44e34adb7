"""A link to a comparison that cannot be made says so, with the counts; what is shown instead is named."""

from __future__ import annotations

import pytest
from app_pages import is_whole, open_page, texts

from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace


@pytest.fixture
def three(tmp_path, monkeypatch, rng):
    """Two networks on the same samples, and one that has three of them."""
    workspace = Workspace.create(tmp_path / "w")
    for name, ids in (
        ("a", [f"s{i}" for i in range(40)]),
        ("b", [f"s{i}" for i in range(40)]),
        ("c", [f"s{i}" for i in range(3)] + [f"t{i}" for i in range(37)]),
    ):
        taps = {"one": rng.standard_normal((40, 6)), "two": rng.standard_normal((40, 6))}
        write_store(workspace.path / "stores" / name, name=name, taps=taps, samples={"id": ids})
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    return workspace


def said(at) -> str:
    return " ".join(w.value for w in at.warning).replace("\\", "")


@pytest.mark.parametrize("view", ["pair", "units", "correlations"])
def test_a_tap_with_three_common_samples(three, view):
    at = open_page("compare", view=view, tap="a:one", tap2="c:one")
    assert is_whole(at), texts(at)
    assert "c:one is not compared with a:one: the two have 3 samples in common by id, and at least 4" in said(
        at
    )


def test_a_network_with_three_common_samples(three):
    at = open_page("compare", tap="a:one", other="c")
    assert is_whole(at), texts(at)
    assert "c is not compared with a: the two have 3 samples in common" in said(at)


@pytest.mark.parametrize(
    ("view", "name", "value"), [("pair", "tap2", "a:gone"), ("similarity", "other", "gone")]
)
def test_what_is_not_there(three, view, name, value):
    at = open_page("compare", view=view, tap="a:one", **{name: value})
    assert is_whole(at), texts(at)
    assert "there is no such" in said(at)


@pytest.mark.parametrize("view", ["similarity", "pair", "units", "correlations"])
def test_what_fits_needs_no_word(three, view):
    at = open_page("compare", view=view, tap="a:one", tap2="b:two", other="b")
    assert is_whole(at), texts(at)
    assert "not compared" not in said(at)


def test_strangers_values_do_no_harm(three):
    at = open_page("compare", view="pair", tap="a:one", tap2="<b>*x*" + "y" * 300)
    assert is_whole(at), texts(at)


def test_the_same_tap_is_a_pair_of_its_own(three):
    at = open_page("compare", view="correlations", tap="a:one", tap2="a:one")
    assert "not compared" not in said(at)
