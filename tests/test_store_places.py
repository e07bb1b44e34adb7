"""A project can be moved whole: the paths a store remembers follow it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from analysis.store.from_arrays import write_store
from analysis.store.places import located, portable
from analysis.store.reader import Store


@pytest.mark.parametrize(
    ("place", "store", "kept"),
    [
        ("/home/me/project/data/a.png", "/home/me/project/runs/stores/s", "../../../data/a.png"),
        ("/home/me/data/a.png", "/home/me/runs/stores/s", "/home/me/data/a.png"),
        ("/data/a.png", "/home/me/runs/s", "/data/a.png"),
        ("", "/home/me/runs/s", ""),
    ],
)
def test_portable_and_back(place, store, kept):
    assert portable(place, Path(store)) == kept
    assert located(kept, Path(store)) == place


def test_a_moved_project_keeps_its_links(tmp_path):
    project = tmp_path / "one" / "project"
    images = project / "data"
    images.mkdir(parents=True)
    (images / "a.png").write_bytes(b"x")
    directory = project / "work" / "stores" / "s"
    columns = {"media_path": [str(images / "a.png"), ""]}
    write_store(directory, name="s", taps={"t": np.ones((2, 3), np.float32)}, samples=columns)
    assert str(tmp_path) not in (directory / "manifest.json").read_text()
    moved = tmp_path / "two" / "elsewhere"
    shutil.move(project, moved)
    store = Store.open(moved / "work" / "stores" / "s")
    assert list(store.samples["media_path"]) == [str(moved / "data" / "a.png"), ""]


def test_the_sample_workspace_names_no_machine():
    workspace = Path(__file__).parents[1] / "sample_data" / "workspace" / "stores"
    manifests = [json.loads(p.read_text()) for p in workspace.glob("*/manifest.json")]
    assert manifests
    for about in manifests:
        for part in ("checkpoint", "data"):
            assert not Path(about[part]["path"]).is_absolute()
