"""Trainings and sweeps as jobs and commands: what they leave when they stop, going on, keeping, and what they cost."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch

from analysis.errors import Busy, Cancelled, InputError, NotEnoughData, ParameterError
from analysis.features import sweep as sweeping
from analysis.features import training_cost as costing
from analysis.features.architectures.topk import TopK, TopKParams
from analysis.features.checkpoints import load_checkpoint
from analysis.features.sweep import read_points, set_folder
from analysis.features.training_cost import training_bytes, training_cost
from analysis.features.training_run import Diverged
from analysis.features.training_settings import Training
from analysis.features.unfinished import at_work, drop, unfinished
from analysis.jobs import training
from analysis.spec import make_params, no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main

SHORT = {
    "tokens": 1280,
    "batch": 64,
    "learning_rate": 6e-3,
    "every": 4,
    "checkpoint_every": 6,
    "dead_after": 100,
}
ASKED = {
    "input": "net:x", "architecture": "topk", "name": "one", "params": {"latents": 24, "k": 3}, "training": SHORT,
}  # fmt: skip
SWEPT = {**ASKED, "params": {"latents": 24}, "values": [1, 2, 4], "name": "three"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own(tmp_path):
    """A workspace with a tap of 300 samples in 8 units, one of three samples, and one with gaps only."""
    workspace = Workspace.create(tmp_path / "ws")
    x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    write_store(workspace.path / "stores" / "net", name="net", taps={"x": x, "gaps": x * np.nan})
    write_store(workspace.path / "stores" / "tiny", name="tiny", taps={"x": x[:3]})
    return workspace


def left(workspace):
    return {one.name: one for one in unfinished(workspace.path / "training")}


@pytest.fixture
def spoiled(monkeypatch):
    """From step 13 on the loss of a rate of 0.006 is no number."""
    loss = TopK.loss

    def of(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        found = loss(self, z, dead, auxiliary, step, share)
        if step >= 13 and spoil["on"]:
            found.total = found.total * float("nan")
        return found

    spoil = {"on": True}
    monkeypatch.setattr(TopK, "loss", of)
    return spoil


# ---------------------------------------------------------------------- stopping and going on
def test_what_diverged_says_where_and_goes_on_with_a_lower_rate_only(own, spoiled):
    with pytest.raises(Diverged, match="step 14 of 20"):
        training.train(own.path, ASKED, no_progress)
    one = left(own)["one"]
    assert (one.kind, one.step, one.steps, one.busy) == ("train", 12, 20, False)
    assert "nan at step 14" in one.ended
    assert [line["step"] for line in one.curve] == [4, 8, 12]
    assert one.arguments == ASKED
    with pytest.raises(InputError, match="can go on"):
        training.train(own.path, ASKED, no_progress)
    other = {**ASKED, "resume": True, "params": {"latents": 24, "k": 2}, "training": {**SHORT, "batch": 32}}
    with pytest.raises(InputError, match=r"other parameters, batch"):
        training.train(own.path, other, no_progress)
    assert load_checkpoint(own.path / "training" / "one")[1]["step"] == 12
    spoiled["on"] = False
    lower = {**ASKED, "resume": True, "training": {**SHORT, "learning_rate": 6e-4}}
    assert training.train(own.path, lower, no_progress) == {"features": "one"}
    about = own.features.open("one").about
    assert about["changed"] == [{"step": 12, "learning_rate": [6e-3, 6e-4]}]
    assert any("From step 12 on the learning rate was 0.0006" in line for line in about["caveats"])
    assert about["steps"] == 20
    assert left(own) == {}


def test_what_is_refused_leaves_nothing(own):
    for given, refusal in (
        ({"params": {"latents": 4, "k": 5}}, ParameterError),
        ({"training": {"learning_rate": 10}}, ParameterError),
        ({"input": "net:gaps"}, NotEnoughData),
        ({"input": "tiny:x"}, NotEnoughData),
        ({"name": "a/b"}, ParameterError),
    ):
        with pytest.raises(refusal):
            training.train(own.path, {**ASKED, **given}, no_progress)
    assert left(own) == {}
    training.train(own.path, ASKED, no_progress)
    own.encode("net:x", "one")
    with pytest.raises(InputError, match="encoded itself"):
        training.train(own.path, {**ASKED, "input": "net:x@one", "name": "two"}, no_progress)


def test_a_folder_has_one_writer_and_is_dropped_whole(own):
    folder = own.path / "training" / "one"
    with at_work(folder, "train", ASKED):
        assert left(own)["one"].busy
        with pytest.raises(Busy):
            training.train(own.path, {**ASKED, "resume": True}, no_progress)
        with pytest.raises(Busy):
            drop(folder)
    assert not left(own)["one"].busy
    drop(folder)
    assert left(own) == {}


# ---------------------------------------------------------------------- sweeps
def test_a_sweep_goes_on_without_training_the_finished_again(own, monkeypatch):
    def stop(share, doing=""):
        if doing.startswith("k=4: 640"):
            raise Cancelled

    with pytest.raises(Cancelled):
        training.sweep(own.path, SWEPT, stop)
    folder = own.path / "training" / "three"
    assert [p.label for p in read_points(folder)] == ["k=1", "k=2"]
    trained, train = [], sweeping.train
    monkeypatch.setattr(
        sweeping, "train", lambda *a, **more: trained.append(more["name"]) or train(*a, **more)
    )
    done = training.sweep(own.path, {**SWEPT, "resume": True, "keep": "none"}, no_progress)
    assert trained == ["three k=4"]
    assert [p["label"] for p in done["points"]] == ["k=1", "k=2", "k=4"]
    assert done["kept"] == own.features.names() == []
    assert set_folder(folder, "k=2").exists()
    assert not list(folder.glob("*/step-*"))
    with pytest.raises(InputError, match="sets to choose from"):
        training.sweep(own.path, SWEPT, no_progress)


def test_a_sweep_keeps_what_it_is_told_to(own):
    done = training.sweep(own.path, {**SWEPT, "keep": "front"}, no_progress)
    front = sorted(p["name"] for p in done["points"] if p["on_front"])
    assert sorted(done["kept"]) == own.features.names() == front
    assert not any(set_folder(own.path / "training" / "three", p["label"]).exists() == p["on_front"]
                   for p in done["points"])  # fmt: skip
    for given, said in (
        ({"values": []}, "at least one"),
        ({"values": [2, 30]}, "k = 30 of 24"),
        ({"keep": "x"}, "keep"),
    ):
        with pytest.raises(ParameterError, match=said):
            training.sweep(own.path, {**SWEPT, "name": "four", **given}, no_progress)
    drop(own.path / "training" / "three")
    with pytest.raises(InputError, match="already a feature set"):
        training.sweep(own.path, SWEPT, no_progress)
    assert left(own) == {}


# ---------------------------------------------------------------------- what it costs
def test_an_estimate_tries_a_few_steps_and_leaves_nothing(own, monkeypatch):
    steps, loss = [], TopK.loss
    monkeypatch.setattr(TopK, "loss", lambda self, *a, **k: steps.append(1) or loss(self, *a, **k))
    found = training_cost(
        own.store("net"), "x", "topk", {"latents": 24, "k": 3}, {"tokens": 64_000, "batch": 64}
    )
    assert found.steps == 1000
    assert len(steps) == costing.TRIED_STEPS
    assert found.seconds > 0
    assert not (own.path / "training").exists()
    sizes = [
        training_bytes((10**6, 768), make_params(TopKParams, {"latents": k}), Training(batch=b))
        for k, b in ((1024, 1024), (2048, 1024), (2048, 4096))
    ]
    assert sizes == sorted(sizes)
    weights = 4 * 4 * (2 * 1024 * 768 + 1024 + 768)  # themselves, gradient and two moments, in float32
    assert sizes[1] - sizes[0] >= weights


# ---------------------------------------------------------------------- the command line
def run(own, capsys, *arguments):
    code = main(["features", *arguments, "--workspace", str(own.path)])
    return code, *capsys.readouterr()


def test_the_command_offers_what_the_job_takes(own, capsys, monkeypatch):
    monkeypatch.setattr(training, "KEEPS", ("all", "some"))
    with pytest.raises(SystemExit):
        run(own, capsys, "sweep", "net:x", "--values", "1", "--keep", "front")
    assert "'front' (choose from" in capsys.readouterr().err


def test_commands_train_stop_go_on_and_sweep(own, capsys, monkeypatch):
    options = [word for n, v in SHORT.items() for word in (f"--{n.replace('_', '-')}", str(v))]
    given = ["net:x", "--architecture", "topk", "--latents", "24", *options]
    line = torch.Tensor.backward

    def interrupted(self, *a, **k):
        count.append(1)
        if len(count) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return line(self, *a, **k)

    count: list[int] = []
    monkeypatch.setattr(torch.Tensor, "backward", interrupted)
    code, _, err = run(own, capsys, "train", *given, "--k", "3", "--name", "one")
    assert code == 1
    assert "--resume" in err
    assert left(own)["one"].step == 9
    code, out, _ = run(own, capsys, "train", *given, "--k", "3", "--name", "one", "--resume", "--json")
    assert (code, json.loads(out)["name"]) == (0, "one")
    assert len(count) == 20  # the steps before are not done again
    code, out, _ = run(own, capsys, "sweep", *given, "--values", "1", "2", "--name", "two", "--keep", "all")
    assert code == 0
    assert own.features.names() == ["one", "two k=1", "two k=2"]
    assert [text.split()[-1] for text in out.splitlines()[:2]] == ["kept", "kept"]
    for more, said in (
        (["--bandwidth", "1"], "no parameter of topk"),
        (["--k", "30"], "k = 30 of 24"),
        (["--k", "x"], "k"),
    ):
        code, _, err = run(own, capsys, "train", *given, "--name", "bad", *more)
        assert code == 2
        assert said in err
    code, out, _ = run(own, capsys, "train", *given, "--k", "3", "--estimate")
    assert code == 0
    assert out.startswith("20 steps")
    with pytest.raises(SystemExit):
        main(["features", "train", "--help"])
    assert "--orthogonality" in capsys.readouterr().out
