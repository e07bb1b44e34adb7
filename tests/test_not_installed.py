"""Without torch: what needs it says so and how to install it; what can do without goes on."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis import pipeline
from analysis.errors import NotInstalled
from analysis.features.training import train
from analysis.installed import LIBRARIES, need, not_installed, requirement
from analysis.jobs.unforeseen import in_words
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.rerun import rerun
from analysis.store.from_arrays import write_store

SAMPLE = Path(__file__).parents[1] / "sample_data"
LINE = r'needs torch, which is not installed.*python -m pip install "torch'


class Without(PathFinder):
    """Finds every module but torch."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] == "torch" else super().find_spec(fullname, path, target)


@pytest.fixture
def _no_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without if f is PathFinder else f for f in sys.meta_path])


@pytest.fixture(scope="module")
def opened():
    return analysis.open_workspace(SAMPLE / "workspace")


@pytest.mark.usefixtures("_no_torch")
def test_a_checkpoint_that_cannot_be_run_says_what_to_install(opened, tmp_path):
    tap = opened.activations("digits-vit:vit.layers.2")
    network = open_checkpoint(tap.store.manifest["checkpoint"]["path"])  # what files say needs no torch
    assert network.n_parameters > 0
    with pytest.raises(NotInstalled, match="Running the network .*" + LINE):
        network.load()
    with pytest.raises(NotInstalled, match=LINE):
        rerun(tap, 10)
    (tmp_path / "w.pt").write_bytes(b"PK\x03\x04 of torch")
    with pytest.raises(NotInstalled, match="Reading .*w.pt " + LINE):
        open_checkpoint(tmp_path / "w.pt")


@pytest.mark.usefixtures("_no_torch")
def test_a_training_says_what_to_install_before_anything_is_read(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"x": np.ones((4, 2), np.float32)})
    with pytest.raises(NotInstalled, match="Training a dictionary " + LINE):
        train(store, "x")


@pytest.mark.usefixtures("_no_torch")
def test_a_method_reads_with_a_probe_instead_and_says_why(opened):
    found = pipeline.run(
        "loss_recovered", [opened.activations("digits-vit-patches:vit.layers.2")], {"maximum_samples": 60}
    )
    assert any("needs torch, which is not installed" in c for c in found.caveats)
    assert any("a linear probe" in c for c in found.caveats)


@pytest.mark.usefixtures("_no_torch")
def test_any_import_of_it_is_told_in_words_and_one_of_a_persons_own_module_is_not(monkeypatch, tmp_path):
    def function(*taps, **more):
        import torch  # noqa: F401

    method = pipeline.registry.method("pca")
    monkeypatch.setattr(
        pipeline.registry, "method", lambda _: pipeline.dataclasses.replace(method, function=function)
    )
    with pytest.raises(NotInstalled, match="This " + LINE):
        pipeline.run("pca", [np.eye(8)])
    with pytest.raises(ModuleNotFoundError) as caught:
        function()
    assert "python -m pip install" in str(in_words(caught.value, tmp_path))
    own = ModuleNotFoundError("No module named 'my_net'", name="my_net")
    assert not_installed(own) is None
    assert "failed unexpectedly" in str(in_words(own, tmp_path))


@pytest.mark.usefixtures("_no_torch")
def test_the_form_says_it_instead_of_its_fields(monkeypatch, tmp_path):
    from app_pages import open_page, texts

    workspace = analysis.Workspace.create(tmp_path / "ws")
    write_store(workspace.path / "stores" / "net", name="net", taps={"x": np.eye(90, 8, dtype=np.float32)})
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_page("dictionaries", view="train", tap="net:x")
    assert not at.exception
    said = texts(at).replace("\\", "")
    assert "needs torch, which is not installed" in said
    assert "python -m pip install" in said
    assert "failed unexpectedly" not in said
    assert not [b for b in at.button if b.label == "Train"]


def test_what_is_there_is_not_missed_and_a_missing_part_of_it_is_a_fault():
    for library in LIBRARIES:
        need(library, "This")
    assert not_installed(ModuleNotFoundError("no torch.what", name="torch.what")) is None
    assert requirement("no-such-thing") == "no-such-thing"
