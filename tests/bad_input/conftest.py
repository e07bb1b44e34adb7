"""A workspace with one store, and good data to make bad."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_networks
from bad_input import N, contents, main, recording, weights
from PIL import Image


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32))
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory, rows) -> Path:
    """A workspace with one store."""
    folder = tmp_path_factory.mktemp("bad")
    arguments = recording(weights(folder), rows, folder / "w", "--taps", "*", name="good")
    assert main([str(a) for a in arguments]) == 0
    return folder / "w"


@pytest.fixture
def workspace(whole):
    """The same workspace; whatever the test does must leave every byte of it as it was."""
    before = contents(whole)
    yield whole
    after = contents(whole)
    assert sorted(after) == sorted(before)
    assert after == before


@pytest.fixture
def spare(whole, tmp_path) -> Path:
    """A copy of the workspace that the test may damage or record into."""
    return Path(shutil.copytree(whole, tmp_path / "spare"))


@pytest.fixture(scope="session")
def vit(tmp_path_factory) -> Path:
    import transformers

    path = tmp_path_factory.mktemp("vit") / "vit"
    for part in tiny_networks.vit(transformers):
        part.save_pretrained(path)
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (16, 16), (40 * i, 9, 200)).save(folder / name / f"{i}.png")
    return folder
