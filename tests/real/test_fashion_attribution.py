"""Who is responsible in a convolutional network with dead units that others trained, run from a description."""

import declared
import numpy as np
import pytest

from analysis.attribution import backgrounds, targets
from analysis.attribution.saliency.way import Question, Settings
from analysis.attribution.saliency.ways import WAYS
from analysis.attribution.sample_run import SampleRun
from analysis.methods.attribution.ablation_effect import AblationParams, ablation_effect
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

ALIVE = 10  # of 100 hidden units: the others never fire on any of the 10,000 images


@pytest.fixture(scope="module")
def opened(real, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("fashion"), np.load(real / "fashion" / "fashion_mnist_test.npz")
    some = np.arange(0, 10_000, 100)
    np.savez(folder / "some.npz", images=found["images"][some], labels=found["labels"][some])
    net = declared.beside(folder / "net", real / "fashion" / "fashion_mnist.pth",
                          declared.fashion(map(str, found["label_names"])))  # fmt: skip
    return open_checkpoint(net), open_data(folder / "some.npz"), folder


@pytest.fixture(scope="module")
def store(opened):
    checkpoint, data, folder = opened
    return record(
        checkpoint, data, folder / "s", name="s", taps=["1", "3", "6"], tokens="all", dtype="float32"
    )


@pytest.fixture(scope="module")
def question(opened):
    checkpoint, data, _ = opened
    loaded = checkpoint.load()
    runs = [SampleRun(loaded, data.items(i, i + 1)[0]) for i in (85, *range(0, 100, 12))]  # a bag, and others
    return Question(runs[0], targets.logit_target(runs[0].logits, targets.DIFFERENCE),
                    backgrounds.background("samples", runs[0].clean, [r.clean for r in runs[1:]]),
                    settings=Settings(steps=16))  # fmt: skip


def test_dead_units_are_owed_nothing(store):
    tap = store.activations("6")
    dead = np.abs(np.asarray(tap.take(np.arange(100)))).max(axis=0) == 0
    assert dead.sum() >= 90
    for way in ("slopes along the way", "Shapley values"):
        params = SampleAttributionParams(
            sample=85, players="features", way=way, null_samples=5, budget=256, alone=8
        )
        found = sample_attribution(tap, params)
        of = dict(zip(found.names, found.values, strict=True))
        assert abs(found.residual) < 5e-3 * np.abs(found.values).sum()
        assert max(abs(of.get(f"unit {j}", 0.0)) for j in np.flatnonzero(dead)) == 0
    taken = ablation_effect(tap, AblationParams(parts="units of the tap", most=100, maximum_samples=20))
    changed = {
        name for name, size in zip(taken.columns["part"], taken.columns["size"], strict=True) if size > 0
    }
    assert 1 <= len(changed) <= ALIVE
    assert changed <= {f"unit {j}" for j in np.flatnonzero(~dead)}


def test_ways_that_add_up_do_on_every_pixel(question):
    run, whole = question.run, question.background
    ends = [float(run.values(x, question.target).double().mean()) for x in (run.clean[None], whole.rows)]
    for name in ("integrated gradients", "DeepLIFT"):
        found = WAYS[name].make(question)
        assert found.values.shape == (784,)
        assert found.values.sum() - (ends[0] - ends[1]) == pytest.approx(found.residual, abs=1e-4)
        assert abs(found.residual) < 5e-3 * np.abs(found.values).sum()


def test_relevance_of_a_network_of_relus_is_slope_times_input(question):
    relevance, slopes = (WAYS[n].make(question).values for n in ("LRP", "gradient x input"))
    np.testing.assert_allclose(relevance, slopes, atol=1e-4 * np.abs(slopes).max())


def test_pixels_that_are_black_in_all_images_are_owed_nothing(question):
    """Where sample and background are the same nothing can be owed, whatever the network does there."""
    same = (question.background.rows == question.run.clean).all(dim=0).numpy().ravel()
    assert same.sum() > 10
    for name in ("integrated gradients", "DeepLIFT", "linear approximation"):
        assert np.abs(WAYS[name].make(question).values[same]).max() == 0
