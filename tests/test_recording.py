"""Recording: columns, problems, refusals, estimates, the progress bar."""

import numpy as np
import pytest

from analysis.errors import ParameterError

torch = pytest.importorskip("torch")
import recording_subject as subject  # noqa: E402
from recording_subject import rows, values_of  # noqa: E402
from torch import nn  # noqa: E402

from analysis.recording.estimate import estimate  # noqa: E402
from analysis.recording.labels import class_map  # noqa: E402
from analysis.recording.pace import Pace, duration  # noqa: E402
from analysis.recording.recorder import record  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.sources.data import open_data  # noqa: E402


def test_columns_beside_the_taps(tmp_path):
    store = subject.run(tmp_path / "s", None, dtype="float32")
    model, data = subject.network(), subject.slow_data(None, 0)
    logits = model(torch.from_numpy(np.stack(data.items(0, subject.N)))).detach()
    assert set(store.taps) == {"0", "1", "outputs.logits"}
    np.testing.assert_allclose(values_of(store, "outputs.logits"), logits.numpy(), atol=1e-6)
    names = np.array(["a", "b", "c"])
    assert (store.samples["label"] == names[data.labels]).all()
    assert (store.samples["predicted"] == names[logits.argmax(1).numpy()]).all()
    assert (store.samples["correct"] == (logits.argmax(1).numpy() == data.labels)).all()
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(data.labels), reduction="none")
    np.testing.assert_allclose(store.samples["loss"], loss.numpy(), atol=1e-5)
    np.testing.assert_allclose(store.samples["confidence"], logits.softmax(1).amax(1).numpy(), atol=1e-5)
    assert store.taps["outputs.logits"].unit_names == ("a", "b", "c")
    settings = store.manifest["settings"]
    assert settings["torch"] == torch.__version__
    assert (settings["taps"], settings["batch"], settings["eval"], settings["device"]) == (
        ["0", "1"],
        10,
        True,
        "cpu",
    )
    assert store.manifest["checkpoint"]["n_parameters"] == 6 * 24 + 24 + 24 * 3 + 3
    assert store.manifest["data"]["digest"] == data.digest


def test_one_sample(tmp_path):
    checkpoint = open_checkpoint(subject.network())
    store = record(checkpoint, rows(np.ones((1, 6))), tmp_path / "s", name="s", taps="*")
    assert store.n_samples == 1
    assert "label" not in store.samples


def test_limit_and_a_last_batch_that_is_short(tmp_path):
    store = subject.run(tmp_path / "s", None, limit=23)
    assert store.n_samples == 23
    np.testing.assert_array_equal(store.samples["id"], np.arange(23).astype(str))


def test_nan_and_infinity_are_counted_and_kept_out(tmp_path):
    values = np.ones((40, 6))
    values[3, 0], values[7, 1] = np.nan, np.inf
    store = record(
        open_checkpoint(subject.network()), rows(values), tmp_path / "s", name="s", taps="0", batch=8
    )
    assert store.index("0").table()["nonfinite"].min() == 2
    assert np.isfinite(store.index("0").table()["mean"]).all()
    assert any("NaN or infinite" in p and "Tap 0" in p for p in store.problems)


def test_values_beyond_float16_are_a_problem_of_the_store(tmp_path):
    store = record(
        open_checkpoint(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), rows(np.full((4, 2), 1e6)), tmp_path / "s",
        name="s", taps="*",
    )  # fmt: skip
    assert any("beyond the range of float16" in p for p in store.problems)


def test_unlabelled_and_skipped_items(tmp_path):
    data = rows(np.ones((4, 6)), np.array([0, -1, 2, 1]), ("a", "b", "c"), skipped=["x.png: broken"])
    store = record(open_checkpoint(subject.network()), data, tmp_path / "s", name="s", taps="0")
    assert store.samples["label"].tolist() == ["a", "", "c", "b"]
    assert np.isnan(store.samples["correct"][1])
    assert np.isnan(store.samples["loss"][1])
    assert any("x.png" in p for p in store.problems)
    assert store.class_index.tolist() == [0, -1, 2, 1]


def test_regression_keeps_the_number(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    data = rows(np.random.default_rng(0).normal(size=(9, 6)), columns={"target": np.arange(9.0)})
    store = record(open_checkpoint(model), data, tmp_path / "s", name="s")
    expected = model(torch.from_numpy(np.stack(data.items(0, 9)))).detach()[:, 0]
    np.testing.assert_allclose(store.samples["predicted"], expected, atol=1e-6)
    np.testing.assert_array_equal(store.samples["target"], np.arange(9.0))
    assert "correct" not in store.samples


class Named:
    causal = False

    def __init__(self, *names):
        self.class_names = names


def test_classes_are_matched_by_name():
    labels = np.array([0, 1, 2, -1])
    data = rows(np.ones((4, 1)), labels, ("cat", "dog", "emu"))
    by_name = class_map(Named("emu", "dog", "cat"), data)
    assert by_name.classes(labels).tolist() == [2, 1, 0, -1]
    assert by_name.words(by_name.classes(labels)).tolist() == ["cat", "dog", "emu", ""]
    for other in (Named(), Named("LABEL_0", "LABEL_1", "LABEL_2")):
        plain = class_map(other, data)
        assert plain.names == ("cat", "dog", "emu")
        assert plain.classes(labels).tolist() == [0, 1, 2, -1]
    assert "by position" in class_map(Named("x", "y", "z"), data).note
    assert "by number" in class_map(Named("x", "y"), data).note


def test_wrong_settings_are_refused_before_anything_is_written(tmp_path):
    for wrong in ({"batch": 0}, {"limit": 0}, {"tokens": "median"}, {"dtype": "int8"}):
        with pytest.raises(ParameterError):
            subject.run(tmp_path / "s", None, **wrong)
    assert not (tmp_path / "s").exists()


def test_estimate_foresees_the_bytes(tmp_path):
    checkpoint, data = open_checkpoint(subject.network()), subject.slow_data(None, 0)
    cost = estimate(checkpoint.load(), data, ["0", "1"], batch=subject.BATCH, directory=tmp_path)
    store = subject.run(tmp_path / "s", None)
    assert cost.n_samples == subject.N
    assert cost.rows == {"0": subject.N, "1": subject.N, "outputs.logits": subject.N}
    assert 0.7 < cost.bytes / store.n_bytes < 1.4
    assert cost.seconds > 0
    assert cost.warning == ""
    assert cost.free_bytes > 0


def test_estimate_warns_of_a_small_disk(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    cost = estimate(
        open_checkpoint(subject.network()).load(), subject.slow_data(None, 0), "0", directory=tmp_path / "a/b"
    )
    assert "only 1 bytes are free" in cost.warning


def test_the_bar_says_samples_per_second_and_time_left(monkeypatch):
    clock, said = [100.0], []
    monkeypatch.setattr("analysis.recording.pace.time.perf_counter", lambda: clock[0])
    pace = Pace(5000, 1000, lambda fraction, text: said.append((fraction, text)))
    for seconds, done in ((2.0, 1234), (0.1, 1240), (40.0, 3240), (10.0, 5000)):
        clock[0] += seconds
        pace.at(done)
    assert said == [
        (0.2468, "1,234 of 5,000 samples, 117 samples/s, 32 s left"),
        (0.648, "3,240 of 5,000 samples, 50 samples/s, 35 s left"),  # 1,240 came too soon to be told
        (1.0, "5,000 of 5,000 samples, 176 samples/s, 0 s left"),  # the rate is that of the last half minute
    ]
    assert [duration(s) for s in (5, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 5 min"]


def test_thumbnails_and_text_come_along(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=[0, 1, 0, 1, 0])
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    store = record(
        open_checkpoint(model), open_data(tmp_path / "d.npz"), tmp_path / "s", name="s", tokens="all"
    )
    assert store.thumbnail(2).startswith(b"\x89PNG")
    assert store.taps["1"].grid == (6, 6)
    assert store.activations("1").shape == (5 * 36, 3)
