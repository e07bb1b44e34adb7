"""A link to a page shows the same in the workspace that was unpacked."""

from __future__ import annotations

import shutil

import app_pages
from packing_subjects import made

from analysis.sharing.packing import pack
from analysis.sharing.unpacking import unpack


def test_the_same_link_shows_the_same(tmp_path, monkeypatch):
    original = made(tmp_path)
    shutil.rmtree(original.path / "jobs")  # the frame of every page lists them, and they do not travel
    (tmp_path / "elsewhere").mkdir()
    unpacked = unpack(pack(original, tmp_path / "w.zip").path, tmp_path / "elsewhere" / "work")
    shown = []
    for path in (original.path, unpacked.path):
        monkeypatch.setenv("LOUPE_WORKSPACE", str(path))
        at = app_pages.open_page("features", tap="first:a/tap", unit="2")
        assert app_pages.is_whole(at), app_pages.texts(at)
        shown.append((app_pages.texts(at), [area.value for area in at.text_area], app_pages.url(at)))
    assert shown[0] == shown[1]
    assert "Unit 2" in shown[0][0]
    assert "likes vowels" in shown[0][0]
