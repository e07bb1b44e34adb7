"""What jobs are said to need, beside what they take: each estimate against the peak of a real run of its kind."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from analysis.features.feature_set import FeatureSet
from analysis.jobs import needs
from analysis.jobs.handlers import HANDLERS
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

N, D, K = 12_000, 192, 3_000
LOW, HIGH = (
    0.4,
    4.0,
)  # times the measured peak: an estimate may be a guess, and is not to be off by a magnitude


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = Workspace.create(tmp_path_factory.mktemp("needs") / "w")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, N)
    x = (rng.normal(size=(N, D)) + labels[:, None]).astype(np.float32)
    write_store(made.path / "stores" / "s", name="s", taps={"t": x}, labels=labels)
    weights = rng.normal(size=(K, D)).astype(np.float32)
    made.features.add(
        FeatureSet(
            name="random",
            rule="relu",
            encoder=weights.T.copy(),
            bias=np.full(K, -20, np.float32),
            decoder=weights,
            centre=np.zeros(D, np.float32),
            shift=np.zeros(D, np.float32),
        )
    )
    return made


KINDS = {
    "encode": {"input": "s:t", "features": "random"},
    "erase": {"store": "s", "tap": "t", "column": "label", "method": "leace", "name": "without"},
    "make_features/kmeans": {"input": "s:t", "kind": "kmeans", "name": "k", "params": {"k": 8}},
    "make_features/pca": {"input": "s:t", "kind": "pca", "name": "p"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimate_is_of_the_size_of_what_is_taken(kind, workspace):
    arguments, job = KINDS[kind], kind.partition("/")[0]
    said = needs.needed(workspace.path, job, arguments)
    assert said is not None
    tracemalloc.start()
    try:
        HANDLERS[job](workspace.path, arguments, no_progress)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert LOW * taken < said < HIGH * taken, f"{said / 1e6:.0f} MB said, {taken / 1e6:.0f} MB taken"


def test_a_network_that_is_asked_takes_at_least_its_weights(workspace, tmp_path, monkeypatch):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(bytes(70_000))
    store = workspace.store("s")
    monkeypatch.setitem(store.manifest, "checkpoint", {"path": str(weights)})
    monkeypatch.setattr(Workspace, "store", lambda self, name: store)
    for kind in ("try_input", "what_if", "token_dump", "token_run"):
        assert needs.needed(workspace.path, kind, {"input": "s:t"}) == 70_000
    assert needs.needed(workspace.path, "import_features", {"path": str(weights)}) == 140_000


def test_a_trial_of_a_training_takes_what_the_training_takes(workspace):
    asked = {"input": "s:t", "architecture": "topk", "params": {"latents": 640}}
    assert needs.needed(workspace.path, "training_cost", asked) == needs.needed(
        workspace.path, "train", asked
    )


@pytest.mark.parametrize("kind", sorted(set(HANDLERS)))
def test_arguments_that_mean_nothing_are_for_the_job_to_refuse(kind, workspace):
    for arguments in ({}, {"input": "s:t"}, {"input": "no:where", "features": "none", "kind": "odd"}):
        assert needs.needed(workspace.path, kind, arguments) is None
