"""Checkpoints recorded as stores: the same tap of all of them with one click, in the order of their numbers, and every
question on them afterwards."""

import shutil

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url

from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.workspace import Workspace
from dashboard.browse import projections
from dashboard.components import questions

torch = pytest.importorskip("torch")
STEPS = (0, 5, 20, 100)
TAPS = [f"run-{step}:1" for step in STEPS]
ASKS = {
    "subspace_movie": "movement", "rank_series": "rank", "training_film": "rank",
    "rank_against_accuracy": "rank", "flag_distances": "geometry",
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A small network while it learns three classes, and one that is not of the run."""
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    x = (3 * np.eye(3)[label] @ rng.standard_normal((3, 6)) + rng.standard_normal((90, 6))).astype(np.float32)
    np.savez(folder / "data.npz", data=x, labels=label)
    data, workspace = (
        open_data(folder / "data.npz", array="data", labels="labels"),
        Workspace.create(folder / "ws"),
    )
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.3)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            name = f"run-{step}"
            record(open_checkpoint(net), data, workspace.path / "stores" / name, name=name, taps=["1"])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(label)).backward()
        optimiser.step()
    record(open_checkpoint(net), data, workspace.path / "stores" / "other", name="other", taps=["1"])
    yield workspace
    shutil.rmtree(workspace.path)


def test_a_series_is_told_from_other_stores_and_put_in_order():
    known = ["run-100:1", "run-20:1", "run-20:2", "other:1", "run-5:1", "walk-5:1", "run-5-b:1"]
    assert projections.same_tap_in_series("run-20:1", known) == ["run-5:1", "run-20:1", "run-100:1"]
    assert projections.same_tap_elsewhere("run-20:1", known)[-1] == "walk-5:1"
    seeds = [f"seed{s}-step-{k}:h" for s in (0, 1) for k in (10, 2)]
    assert projections.same_tap_in_series(seeds[0], seeds) == [
        "seed0-step-2:h",
        "seed0-step-10:h",
        "seed1-step-10:h",
    ]
    assert projections.same_tap_in_series("plain:h", ["plain:h", "net:h"]) == ["plain:h"]


def test_one_click_and_every_question(recorded, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(recorded.path))
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("subspaces", view="movement", ask="subspace_movie", tap="run-20:1")
    button(at, "This tap in its series of 4").click().run()
    assert url(at)["with"] == TAPS
    for ask, view in ASKS.items():
        if url(at).get("view", ["rank"]) != [view]:
            at.segmented_control[0].set_value(view).run()
        box = next(b for b in at.selectbox if b.label == "Question")
        if box.value != ask:
            box.set_value(ask).run()
        assert is_whole(at), texts(at)
        assert not at.error, (ask, texts(at))
        assert url(at)["with"] == TAPS  # stays from question to question
        found = recorded.cached(ask, TAPS)
        assert found is not None, ask
    assert recorded.cached("subspace_movie", TAPS).x_labels == ("run-5", "run-20", "run-100")
    assert recorded.cached("rank_series", TAPS).x_labels == tuple(f"run-{step}" for step in STEPS)
    assert recorded.cached("training_film", TAPS).x.tolist() == list(STEPS)
    assert recorded.cached("rank_against_accuracy", TAPS).columns["tap"].tolist() == [
        f"run-{s}" for s in STEPS
    ]


def test_a_question_of_checkpoints_begins_with_the_series(recorded, monkeypatch):
    """And not with the same tap of a network of another run, which was recorded beside it."""
    monkeypatch.setenv("LOUPE_WORKSPACE", str(recorded.path))
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("tokens", view="depth", ask="loss_slices", tap="run-20:1")
    assert is_whole(at), texts(at)
    assert "other › 1" not in str(at.multiselect[0].value)
    assert len(at.multiselect[0].value) == len(TAPS)
