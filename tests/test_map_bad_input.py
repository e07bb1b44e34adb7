"""The Map page on data that no map likes: everything is drawn or refused in words, and the controls stay."""

from __future__ import annotations

import app_pages
import numpy as np
import pytest
from page_stores import HOSTILE

from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

N = 300


def hard_stores() -> dict[str, tuple[np.ndarray, dict]]:
    """Activations and sample columns by the name of the trouble."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((N, 6))
    holes, zeros = x.copy(), x.copy()
    holes[::7] = np.nan
    holes[3, 2] = np.inf
    zeros[::5] = 0
    label = np.array(["a", "b"])[np.arange(N) % 2].tolist()
    return {
        "holes": (holes, {"label": label}),
        "constant": (np.hstack([x[:, :2], np.ones((N, 4))]), {"label": label}),
        "all equal": (np.ones((N, 3)), {"label": label}),
        "duplicates": (np.repeat(np.eye(3, 6), 1000, axis=0), {}),
        "two points": (x[:2], {"label": ["a", "b"]}),
        "one class": (x, {"label": ["only"] * N}),
        "many labels": (rng.standard_normal((20_000, 2)), {"label": [f"name {i}" for i in range(20_000)]}),
        "markup": (x, {"label": [HOSTILE if i % 2 else "$x$ **bold** :red[no]" for i in range(N)]}),
        "zeros": (zeros, {"label": label}),
    }


@pytest.fixture(scope="module")
def troubles(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("trouble") / "workspace")
    for name, (x, columns) in hard_stores().items():
        write_store(workspace.path / "stores" / name, name=name, taps={"t": x}, samples=columns)
    return workspace


@pytest.fixture(autouse=True)
def _at(troubles, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(troubles.path))


@pytest.mark.parametrize("name", list(hard_stores()))
@pytest.mark.parametrize("of", ["rows", "units"])
def test_the_page_stands(name, of):
    layers = {"ellipses": "true", "tree": "true", "names": "by:label"}
    at = app_pages.open_page("map", tap=f"{name}:t", of=of, **layers)
    said = app_pages.texts(at)
    assert app_pages.is_whole(at), said
    assert "<script>" not in said
    assert any(s.label == "Projection" for s in at.selectbox)
    if name in ("all equal", "two points"):
        assert at.error or at.warning


@pytest.mark.parametrize("name", ["holes", "constant", "duplicates", "one class", "markup"])
@pytest.mark.parametrize(
    "q", ["label = a", "a", "unit 1 > 0", "not a and unit 0 > 0", "))((", "unit 99 > 1", HOSTILE]
)
def test_searching_never_breaks_it(name, q):
    at = app_pages.open_page("map", tap=f"{name}:t", q=q)
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert "<script>" not in app_pages.texts(at)


def test_many_labels_say_why_they_have_no_names():
    at = app_pages.open_page("map", tap="many labels:t", names="by:label")
    assert "too many different values" in app_pages.texts(at)


@pytest.mark.parametrize("name", ["holes", "zeros", "duplicates"])
def test_cosine_of_hard_rows(troubles, name):
    """Zero vectors have no direction; the neighbour maps refuse them or give them one, in words."""
    link = {"by": "laplacian_eigenmaps", "p__metric": "cosine", "ellipses": "true", "tree": "true"}
    at = app_pages.open_page("map", tap=f"{name}:t", **link)
    assert app_pages.is_whole(at), app_pages.texts(at)


def test_a_focused_row_without_values():
    at = app_pages.open_page("map", tap="holes:t", focus="0")
    assert app_pages.is_whole(at), app_pages.texts(at)
    found = app_pages.button(at, "More like this")
    if found is not None:
        at = found.click().run()
        assert app_pages.is_whole(at), app_pages.texts(at)
