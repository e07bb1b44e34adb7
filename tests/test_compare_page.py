"""The Compare page: layers against layers, the verdict on a pair, units side by side; links and strangers' values."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from app_pages import HOSTILE, button, is_whole, open_page, texts, url

from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.components import compare_similarity

IDS = [f"s{i}" for i in range(120)]


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Two networks on the same samples in another order: `b` holds the units of `a` in another order; a third network
    on other samples; a store with tokens."""
    workspace = Workspace.create(tmp_path_factory.mktemp("nets") / "ws")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 10))
    y = x @ np.linalg.qr(rng.standard_normal((10, 10)))[0]
    order = rng.permutation(120)

    def store(name, taps, ids):
        write_store(workspace.path / "stores" / name, name=name, taps=taps, samples={"id": ids})

    store("a", {"one": x, "two": y, "outputs.logits": x[:, :3]}, IDS)
    store("b", {"one": x[order][:, ::-1], "two": y[order]}, [IDS[i] for i in order])
    store("c", {"one": x}, [f"t{i}" for i in range(120)])
    store("tokens", {"one": rng.standard_normal((60, 4, 6))}, IDS[:60])
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_nets(nets, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(nets.path))


def choices(at, label):
    return next(s for s in at.selectbox if s.label.startswith(label)).options


def test_the_layers_of_a_network_are_compared_at_once(nets):
    at = open_page("compare", tap="a:one")
    assert is_whole(at), texts(at)
    assert at.get("plotly_chart")
    assert "CKA of one and two is 1" in texts(at)  # outputs are left out until somebody adds them
    assert "Invariance" in texts(at)


def test_only_networks_with_samples_in_common_are_offered():
    at = open_page("compare", tap="a:one")
    assert choices(at, "Compare the layers of a with") == ["each other", "b", "tokens"]


def test_another_network_makes_rows_and_columns(nets):
    at = open_page("compare", tap="b:one", other="a")
    assert is_whole(at), texts(at)
    assert "120 samples in common" in texts(at)
    taps = ["b:one", "b:two", "a:one", "a:two"]
    kept = nets.cached("cka", taps, {"arrangement": "the first network's taps with the others'"})
    assert kept.title == "CKA of taps of b (rows) and a (columns)"
    np.testing.assert_allclose(kept.values[0, 0], 1, atol=1e-9)


def test_a_click_on_a_cell_opens_the_pair(nets, monkeypatch):
    went = []
    monkeypatch.setattr(compare_similarity.state, "go", lambda page, **to: went.append((page, to)))
    taps = ["b:one", "b:two", "a:one", "a:two"]
    result = nets.run("cka", taps, {"arrangement": "the first network's taps with the others'"})
    compare_similarity._open_pair(result, taps, 1)
    assert went == [("compare", {"view": "pair", "tap": "b:one", "tap2": "a:two"})]
    square = nets.run("cka", taps)
    compare_similarity._open_pair(square, taps, 0)  # a tap with itself
    compare_similarity._open_pair(square, taps, 7)
    assert went[1:] == [("compare", {"view": "pair", "tap": "b:two", "tap2": "a:two"})]


def test_tokens_are_pooled_against_a_network_without(nets):
    at = open_page("compare", tap="a:one", other="tokens")
    assert is_whole(at), texts(at)
    assert "60 samples matched by id" in texts(at)
    assert "mean over its tokens" in texts(at)


@pytest.mark.parametrize("measure", ["cca", "procrustes", "rsa", "mutual_neighbours", "linear_predictivity"])
def test_other_measures_draw_too(measure):
    at = open_page("compare", tap="a:one", other="b", measure=measure)
    assert is_whole(at), texts(at)
    assert at.get("plotly_chart") or button(at, "Compare") or at.button


def test_the_excess_over_the_null_is_in_the_link():
    at = open_page("compare", tap="a:one", show="excess", measure="cca")
    assert is_whole(at), texts(at)
    assert url(at)["show"] == ["excess"]


def test_the_verdict_on_a_pair(nets):
    at = open_page("compare", view="pair", tap="a:one", tap2="b:one")
    assert is_whole(at), texts(at)
    assert "They are the same units" in texts(at)
    assert "Ask further" in texts(at)
    at = open_page("compare", view="pair", tap="a:one", tap2="a:two")
    assert "They are the same subspace in another basis" in texts(at)


def test_a_tap_with_itself_has_no_verdict():
    at = open_page("compare", view="pair", tap="a:one", tap2="a:one")
    assert "the same in every sense" in texts(at)


def test_the_usual_partner_is_the_same_tap_with_most_samples_in_common():
    at = open_page("compare", view="pair", tap="a:one")
    assert choices(at, "Other tap") == [
        "a › one",
        "a › two",
        "a › outputs.logits",
        "b › one",
        "b › two",
        "tokens › one",
    ]
    assert next(s for s in at.selectbox if s.label == "Other tap").value == "b:one"


def test_units_side_by_side(nets):
    at = open_page("compare", view="units", tap="a:one", tap2="b:one")
    assert is_whole(at), texts(at)
    assert "10 are matched" in texts(at)
    line = {k: v[0] for k, v in nets.cached("unit_matching", ["a:one", "b:one"]).columns.items()}
    chosen = f"{line['unit a']}_{line['unit b']}"
    at = open_page("compare", view="units", tap="a:one", tap2="b:one", pair=chosen)
    assert is_whole(at), texts(at)
    assert int(line["unit a"]) + int(line["unit b"]) == 9  # the reversed order
    assert f"[Unit {line['unit a']}](features?tap=a%3Aone&unit={line['unit a']})" in texts(at)
    assert f"[Unit {line['unit b']}](features?tap=b%3Aone&unit={line['unit b']})" in texts(at)


def test_a_pair_of_other_samples_is_refused_by_falling_back(nets):
    at = open_page("compare", view="pair", tap="c:one", tap2="a:one")
    assert is_whole(at), texts(at)
    assert "itself is the same" in texts(at)  # nothing else shares samples with it


@pytest.mark.parametrize("view", ["similarity", "pair", "units", "correlations"])
def test_strangers_values_do_no_harm(view):
    for value in HOSTILE:
        at = open_page(
            "compare", view=view, tap=value, tap2=value, other=value, measure=value, show=value, pair=value,
            verdict=value, seed=value, p__same=value, p__pooling=value, **{"with": value},
        )  # fmt: skip
        assert is_whole(at), (value[:40], texts(at))


def test_an_unknown_view_is_the_first():
    at = open_page("compare", view="nonsense", tap="a:one")
    assert "Compare the layers of a with" in [s.label for s in at.selectbox][-1] or at.get("plotly_chart")


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "empty"))
    at = open_page("compare")
    assert is_whole(at), texts(at)
    assert not at.get("plotly_chart")
