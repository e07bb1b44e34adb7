"""Ten taps of which some cannot be used: the layer-by-layer picture is of the others, and says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from app_pages import is_whole, open_page, texts

from analysis.spec import Cost
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.parts import on_demand

NAMES = [f"blocks.{k}" for k in range(10)]


@pytest.fixture
def ten(tmp_path, monkeypatch, rng):
    """A network of ten taps on 60 samples."""
    workspace = Workspace.create(tmp_path / "w")
    x = rng.standard_normal((60, 8))
    taps = {name: x + k * rng.standard_normal((60, 8)) for k, name in enumerate(NAMES)}
    write_store(
        workspace.path / "stores" / "net", name="net", taps=taps, samples={"id": [f"s{i}" for i in range(60)]}
    )
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    return workspace


def shard(workspace, tap: str):
    store = workspace.store("net")
    return next(iter(store.shards(tap))).path


def open_ten():
    return open_page("compare", tap="net:blocks.0")


def the_nine_are_shown(at, workspace) -> None:
    assert is_whole(at), texts(at)
    assert at.get("plotly_chart")
    rest = [f"net:{name}" for name in NAMES if name != "blocks.1"]
    found = workspace.cached("cka", rest)
    assert found is not None
    assert found.values.shape == (9, 9)


def said(at) -> str:
    return " ".join(w.value for w in at.warning).replace("\\", "")


@pytest.mark.parametrize("cut", [-7, 0, 40])
def test_a_file_that_was_cut_or_grew(ten, cut):
    path = shard(ten, "blocks.1")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] if cut <= 0 else whole + b"x" * cut)
    at = open_ten()
    the_nine_are_shown(at, ten)
    assert "net:blocks.1 left out" in said(at)
    assert "bytes instead of" in said(at)


def test_a_file_that_is_gone(ten):
    shard(ten, "blocks.1").unlink()
    at = open_ten()
    the_nine_are_shown(at, ten)
    assert "the file is missing" in said(at)


def test_a_flipped_byte(ten):
    """Nothing but reading the values finds it."""
    path = shard(ten, "blocks.1")
    data = bytearray(path.read_bytes())
    data[11] ^= 0x40
    path.write_bytes(data)
    at = open_ten()
    the_nine_are_shown(at, ten)
    assert "net:blocks.1 left out" in said(at)
    assert "damaged" in said(at)


def test_a_flipped_byte_that_a_job_meets(ten, monkeypatch):
    path = shard(ten, "blocks.1")
    whole = path.read_bytes()
    data = bytearray(whole)
    data[11] ^= 0x40
    path.write_bytes(data)
    monkeypatch.setattr(on_demand, "cost_of", lambda *_: Cost(10.0, 0.0))  # too long for the page itself
    monkeypatch.setattr("dashboard.components.compare_similarity.PATIENCE", 60.0)
    for _ in range(2):  # the nine are work of their own, for which to ask again
        at = open_ten()
        next(b for b in at.button if b.label.startswith("Compare")).click().run(timeout=90)
    the_nine_are_shown(at, ten)
    assert "net:blocks.1 left out" in said(at)
    path.write_bytes(whole)  # once the file is put back nothing is left out any more
    at = open_ten()
    assert "left out" not in said(at)


@pytest.mark.parametrize("fill", [np.nan, 1.0])
def test_a_tap_without_values_or_without_differences(tmp_path, monkeypatch, rng, fill):
    workspace = Workspace.create(tmp_path / "w")
    taps = {name: rng.standard_normal((60, 8)) for name in NAMES}
    taps["blocks.1"] = np.full((60, 8), fill)
    write_store(
        workspace.path / "stores" / "net", name="net", taps=taps, samples={"id": [f"s{i}" for i in range(60)]}
    )
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_ten()
    the_nine_are_shown(at, workspace)
    assert "net:blocks.1 left out" in said(at)
    assert ("are equal" if fill == 1 else "no sample of net:blocks.1 has a finite row") in said(at)


def test_one_of_two_is_a_refusal(tmp_path, monkeypatch, rng):
    workspace = Workspace.create(tmp_path / "w")
    taps = {"one": rng.standard_normal((60, 8)), "two": np.ones((60, 8))}
    write_store(workspace.path / "stores" / "net", name="net", taps=taps)
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_page("compare", tap="net:one")
    assert is_whole(at)
    assert "are equal" in " ".join(e.value for e in at.error).replace("\\", "")


def test_blocks_1_is_not_blocks_10(ten):
    from dashboard import state
    from dashboard.parts.readable_taps import _names

    write_store(ten.path / "stores" / "more", name="more", taps={"a.1": np.eye(9), "a.10": np.eye(9)})
    text = "all samples of more:a.10 are equal"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "workspace", lambda: ten)
        assert not _names(text, "more:a.1")
        assert _names(text, "more:a.10")
        assert _names("all samples of more:a.1.", "more:a.1")
