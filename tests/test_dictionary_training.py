"""Training on a store: planted atoms come back where they can, a resumed run has the bits of one that was never
stopped, and what goes wrong is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from analysis.activations import ArrayActivations, Layout
from analysis.errors import Cancelled, InputError, NotEnoughData, ParameterError, StoreDamaged
from analysis.features import row_stream
from analysis.features import training_run as loop
from analysis.features.architectures.topk import TopK
from analysis.features.checkpoints import load_checkpoint, read_curve
from analysis.features.classical.fit_rows import FitRows
from analysis.features.held_out import judged
from analysis.features.row_stream import Place, RowStream, geometric_median
from analysis.features.sweep import pareto, sweep
from analysis.features.training import train
from analysis.features.training_run import Diverged
from analysis.features.training_settings import Training
from analysis.jobs import queue, worker
from analysis.spec import make_params
from analysis.store.from_arrays import write_store
from analysis.store.reader import Store
from analysis.workspace import Workspace

D, ATOMS = 16, 32
FAST = {"tokens": 50_000, "batch": 128, "learning_rate": 1e-2}
SHORT = {
    "tokens": 1280,
    "batch": 64,
    "learning_rate": 6e-3,
    "every": 4,
    "checkpoint_every": 6,
    "dead_after": 100,
}
SMALL = {"latents": 24, "k": 3}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planted(active: int, n=3000, seed=0):
    """(atoms, rows): `active` of 32 random directions in 16 dimensions, with sizes 0.5 to 1.5."""
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((ATOMS, D))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((n, ATOMS))
    at = rng.random((n, ATOMS)).argsort(axis=1)[:, :active]
    np.put_along_axis(codes, at, 0.5 + rng.random((n, active)), axis=1)
    return atoms, (codes @ atoms).astype(np.float32)


def matched(found, truth):
    """Mean cosine of the best one-to-one matching."""
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    cosine = found @ truth.T
    return cosine[linear_sum_assignment(-cosine)].mean()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two taps of 900 pooled samples, one with gaps; and one of tokens."""
    _, x = planted(3, 900)
    holes = 100 + 5 * x
    holes[[3, 400, 401]] = np.nan
    tokens = np.split(planted(3, 900, seed=1)[1], np.cumsum(np.random.default_rng(0).integers(1, 9, 120)))[
        :120
    ]
    tokens += [x[:1]] * (900 - len(tokens))
    return write_store(
        tmp_path_factory.mktemp("d") / "s", name="s", taps={"x": x, "holes": holes, "tokens": tokens}
    )


def same(a, b):
    return a.digest == b.digest and a.about == b.about


# ---------------------------------------------------------------------- what is learned
def test_planted_atoms_come_back_where_they_can_and_not_where_they_cannot(tmp_path):
    """3 of 32 in 16 dimensions is identifiable; 10 of 32 is not, though as much variance is explained."""
    atoms, x = planted(3)
    easy = train(
        write_store(tmp_path / "a", name="a", taps={"x": x}), "x", "topk", {"latents": ATOMS, "k": 3}, FAST
    )
    assert matched(easy.decoder, atoms) >= 0.95
    atoms, x = planted(10)
    hard = train(
        write_store(tmp_path / "b", name="b", taps={"x": x}), "x", "topk", {"latents": ATOMS, "k": 10}, FAST
    )
    chance = matched(np.random.default_rng(1).standard_normal((ATOMS, D)), atoms)
    assert chance < matched(hard.decoder, atoms) < 0.9
    assert hard.about["held_out"]["explained_variance"] > 0.85


def test_what_is_cited_is_there_and_true(store):
    made = train(store, "holes", "batch_topk", SMALL, SHORT, seed=4)
    about, x = made.about, store.activations("holes").take(np.arange(900))
    assert about["architecture"] == "batch_topk"
    assert about["store_digest"] == store.activations("holes").digest
    assert about["parameters"] == SMALL
    assert (about["seed"], about["steps"], about["tokens"]) == (4, 20, 1280)
    assert about["rows"]["not_finite"] + about["rows"]["trained_on"] + about["rows"]["held_out"] in (
        899,
        900,
        898,
        897,
    )
    assert about["rows"]["held_out_samples"] == 90
    assert any("NaN" in line for line in about["caveats"])
    assert [line["step"] for line in about["curve"]] == [4, 8, 12, 16, 20]
    json.dumps(about)
    held = np.random.default_rng([4, 1]).permutation(900)[:90]
    held = x[np.sort(held)][np.isfinite(x[np.sort(held)]).all(axis=1)].astype(np.float64)
    left = ((held - made.reconstruct(held.astype(np.float32))) ** 2).sum()
    expected = 1 - left / ((held - held.mean(axis=0)) ** 2).sum()
    assert about["held_out"]["explained_variance"] == pytest.approx(expected, abs=1e-5)
    assert about["held_out"]["l0"] == pytest.approx(
        (made.encode(held.astype(np.float32)) != 0).sum(axis=1).mean()
    )


def test_scale_and_mean_of_the_tap_do_not_matter(store):
    """`x` and 100 + 5 x: the same dictionary, but for rounding (and three rows that are left out, here put back)."""
    x = store.activations("x").take(np.arange(900))
    moved = ArrayStore({"x": x, "moved": 100 + 5 * x})
    first, second = (train(moved, tap, "topk", SMALL, SHORT) for tap in ("x", "moved"))
    np.testing.assert_allclose(second.decoder, first.decoder, atol=2e-3)
    assert second.about["held_out"]["explained_variance"] == pytest.approx(
        first.about["held_out"]["explained_variance"], abs=1e-3
    )


class ArrayStore:
    """Taps in memory."""

    name = "memory"

    def __init__(self, taps):
        self.taps = taps

    def activations(self, tap):
        return ArrayActivations(self.taps[tap])


def test_dead_latents_are_counted_and_the_auxiliary_loss_wakes_them(store):
    """All but four latents start with a bias that keeps them silent."""
    counts = {}
    for weight in (0.0, 0.1):
        run = begun(store, {**SHORT, "tokens": 6400, "auxiliary": weight}, {"latents": 24, "k": 3})
        with torch.no_grad():
            run.dictionary.weights["bias"][4:] = -3
        run.go(lambda share, doing="": None)
        counts[weight] = run.finished("f").about["dead"]
    assert counts[0.0] == {"latents": 20, "share": 20 / 24, "rows_without": 100}
    assert counts[0.1]["latents"] <= 10


def begun(store, training, params, directory=None):
    """A run of TopK that has not made its first step."""
    from analysis.features.architectures.topk import TopKParams

    training = make_params(Training, training)
    dictionary = TopK(TopKParams(**params), store.activations("x").shape[1], np.random.default_rng([0, 0]))
    run = loop.Run(
        dictionary, RowStream(store.activations("x"), training.held_out, 0), training, {}, directory
    )
    run.begin(False)
    return run


# ---------------------------------------------------------------------- stopped and gone on
class Stop:
    """Progress that asks to stop at the n-th step."""

    def __init__(self, n):
        self.left = n

    def __call__(self, share, doing=""):
        self.left -= "rows" in doing
        if self.left == 0:
            raise Cancelled


@pytest.mark.parametrize(
    ("name", "at"), [("topk", 5), ("topk", 13), ("feature_choice", 13), ("orthogonal", 5), ("jump_relu", 13)]
)
def test_a_resumed_training_has_the_bits_of_one_that_was_never_stopped(
    store, tmp_path, name, at, monkeypatch
):
    monkeypatch.setattr(row_stream, "BUFFER_BYTES", 16 * D * 100)  # several windows an epoch
    params = {"topk": {"latents": 64, "k": 1}, "jump_relu": {"latents": 24}}.get(
        name, SMALL
    )  # 1 of 64: some die
    whole = train(store, "x", name, params, SHORT, name="f")
    with pytest.raises(Cancelled):
        train(store, "x", name, params, SHORT, directory=tmp_path, progress=Stop(at))
    assert load_checkpoint(tmp_path)[1]["step"] == at
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    again = train(store, "x", name, params, SHORT, name="f", directory=tmp_path, resume=True)
    assert same(again, whole)
    assert read_curve(tmp_path) == whole.about["curve"]
    assert not same(train(store, "x", name, params, SHORT, name="f", seed=1), whole)


def test_after_a_kill_it_goes_on_from_the_last_checkpoint(store, tmp_path, monkeypatch):
    whole = train(store, "x", "topk", SMALL, SHORT, name="f")
    step = loop.Run._step

    def killed(run, z):
        if run.step == 15:
            raise KeyboardInterrupt
        step(run, z)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(store, "x", "topk", SMALL, SHORT, directory=tmp_path)
    assert load_checkpoint(tmp_path)[1]["step"] == 12
    assert same(train(store, "x", "topk", SMALL, SHORT, name="f", directory=tmp_path, resume=True), whole)
    with pytest.raises(InputError, match="other parameters, seed"):
        train(store, "x", "topk", {**SMALL, "k": 2}, SHORT, seed=9, directory=tmp_path, resume=True)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(StoreDamaged, match="cannot be read"):
        train(store, "x", "topk", SMALL, SHORT, directory=tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(store, tmp_path, monkeypatch):
    loss = TopK.loss

    def spoiled(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        found = loss(self, z, dead, auxiliary, step, share)
        if step >= 13:
            found.total = found.total * float("nan")
        return found

    monkeypatch.setattr(TopK, "loss", spoiled)
    with pytest.raises(Diverged, match=r"nan at step 14 of 20.*step 12 is kept") as refusal:
        train(store, "x", "topk", SMALL, SHORT, directory=tmp_path)
    assert "learning rate" in refusal.value.remedy
    arrays, about = load_checkpoint(tmp_path)
    assert about["step"] == 12
    assert all(np.isfinite(v).all() for v in arrays.values())


def test_it_stops_early_where_nothing_improves(store):
    made = train(store, "x", "topk", SMALL, {**SHORT, "tokens": 64_000, "learning_rate": 1e-7, "patience": 3})
    assert (
        made.about["steps"] == 112
    )  # a tenth of 1,000 steps, then three lines of four steps that are no better
    assert "stopped at step 112" in made.about["stopped"]
    assert (
        train(store, "x", "topk", SMALL, {**SHORT, "learning_rate": 1e-7, "patience": 0}).about["steps"] == 20
    )


def test_a_dictionary_whose_latents_all_died_says_so(store):
    made = train(
        store,
        "x",
        "relu",
        {"latents": 24, "penalty": 10.0},
        {**SHORT, "tokens": 12800, "learning_rate": 0.05, "auxiliary": 0},
    )
    assert made.about["dead"]["share"] == 1
    assert made.about["held_out"]["l0"] < 0.1
    assert any("Every latent is dead" in line for line in made.about["caveats"])
    assert made.about["held_out"]["explained_variance"] < 0.05


def test_bad_input_is_refused(store, tmp_path):
    with pytest.raises(ParameterError, match="k = 30 of 24 latents"):
        train(store, "x", "topk", {"latents": 24, "k": 30}, SHORT)
    with pytest.raises(ParameterError, match="unknown parameter 'penalty'"):
        train(store, "x", "topk", {"penalty": 1}, SHORT)
    with pytest.raises(ParameterError, match="learning_rate"):
        train(store, "x", "topk", SMALL, {"learning_rate": 0})
    x = planted(3, 900)[1]
    with pytest.raises(InputError, match="do not vary"):
        train(ArrayStore({"x": x * 0 + 3}), "x", "topk", SMALL, SHORT)
    with pytest.raises(NotEnoughData, match="64"):
        train(ArrayStore({"x": x[:60]}), "x", "topk", SMALL, SHORT)
    with pytest.raises(NotEnoughData, match="finite rows"):
        train(ArrayStore({"x": x * np.nan}), "x", "topk", SMALL, SHORT)
    alone = ArrayActivations(x, layout=Layout(np.array([0, 900])))
    with pytest.raises(NotEnoughData, match="1 sample"):
        RowStream(alone, 0.1, 0)


# ---------------------------------------------------------------------- rows
def test_an_epoch_visits_every_row_once_and_no_held_out_sample(store, monkeypatch):
    monkeypatch.setattr(row_stream, "BUFFER_BYTES", 16 * D * 100)
    tap = store.activations("tokens")
    stream = RowStream(tap, 0.2, 5)
    assert stream.block_rows < 200 < tap.shape[0]
    everything = stream.scaled(tap.take(np.arange(tap.shape[0])))
    order = {row.tobytes(): i for i, row in enumerate(everything)}
    held = np.flatnonzero(stream._held_rows)
    seen, orders = [], []
    for place, z in stream.batches(1):
        if place.epoch == 2:
            break
        orders.append(place.epoch)
        seen.append(order[z[0].tobytes()])
    seen, orders = np.array(seen), np.array(orders)
    distinct = np.setdiff1d(np.unique([order[row.tobytes()] for row in everything]), held)
    samples = set(tap.layout.sample_of(seen).tolist())
    assert not samples & set(tap.layout.sample_of(held).tolist())
    assert set(distinct) <= set(seen[orders == 0].tolist())
    assert (orders == 0).sum() == (orders == 1).sum() == tap.shape[0] - len(held)
    assert not np.array_equal(seen[orders == 0], seen[orders == 1])
    middle = next(p for i, (p, _) in enumerate(stream.batches(7)) if i == 30)
    rest = stream.batches(7, middle)
    for i, (place, z) in enumerate(stream.batches(7)):
        if i > 60:
            break
        if i > 30:
            other = next(rest)
            assert place == other[0]
            assert np.array_equal(z, other[1])


def test_rows_have_mean_zero_and_length_one_on_average():
    x = (1e4 + np.random.default_rng(0).standard_normal((5000, 6))).astype(np.float32)
    stream = RowStream(ArrayActivations(x), 0.1, 0)
    z = stream.scaled(x[~stream._held_rows]).astype(np.float64)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
    assert (z**2).sum(axis=1).mean() == pytest.approx(1, abs=1e-6)
    assert next(stream.batches(10_000))[1].shape == (4500, 6)
    assert next(stream.batches(10, Place(3, 0, 1)))[0] == Place(3, 0, 2)


def test_the_geometric_median_resists_a_third_of_outliers():
    rng = np.random.default_rng(0)
    z = np.r_[rng.standard_normal((700, 3)), 1000 + rng.standard_normal((300, 3))]
    at = geometric_median(z)
    assert np.abs(at).max() < 1
    away = (z - at) / np.linalg.norm(z - at, axis=1, keepdims=True)
    np.testing.assert_allclose(away.sum(axis=0), 0, atol=1e-4)  # the sum of unit vectors is 0 there


def test_the_start_is_where_it_was_asked_for(store):
    x = store.activations("x").take(np.arange(900))
    for start, expected in (("mean", 0), ("origin", -1)):
        run = begun(store, {**SHORT, "start": start}, SMALL)
        stream = run.stream
        np.testing.assert_allclose(
            run.dictionary.array("centre"), expected * stream.mean * stream.scale, atol=1e-6
        )
    run = begun(store, {**SHORT, "start": "geometric median"}, SMALL)
    kept = stream.scaled(x[~stream._held_rows])
    np.testing.assert_allclose(run.dictionary.array("centre"), geometric_median(kept), atol=1e-5)


# ---------------------------------------------------------------------- sweeps and jobs
def test_the_front_is_what_nobody_beats():
    assert pareto([(3, 0.9), (5, 0.8), (8, 0.95), (8, 0.97), (1, 0.2)]) == [True, False, False, True, True]
    assert pareto([(3, 0.9), (3, 0.9)]) == [True, True]


def test_a_sweep_judges_all_on_the_same_rows(store, tmp_path):
    with pytest.raises(ParameterError, match="k = 0"):
        sweep(store, "x", "topk", [2, 0], {"latents": 24}, SHORT)
    with pytest.raises(ParameterError, match="differ"):
        sweep(store, "x", "topk", [2, 2], {"latents": 24}, SHORT)
    said = []
    points = sweep(
        store, "x", "topk", [4, 1, 2], {"latents": 24}, SHORT, name="t", directory=tmp_path,
        progress=lambda share, doing="": said.append(share),
    )  # fmt: skip
    assert [p.value for p in points] == [1, 2, 4]
    assert [p.l0 for p in points] == pytest.approx([1, 2, 4], abs=0.1)
    assert [p.features.name for p in points] == ["t k=1", "t k=2", "t k=4"]
    assert all(p.on_front for p in points)  # more codes explain more here
    assert said == sorted(said)
    held = RowStream(store.activations("x"), 0.1, 0).held
    assert points[0].explained_variance == judged(points[0].features, held)["explained_variance"]
    assert (tmp_path / "k=2" / "curve.json").exists()


def test_a_training_is_a_job_that_resumes_and_leaves_a_set(store, tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "w")
    (workspace.path / "stores").mkdir(exist_ok=True)
    (workspace.path / "stores" / "s").symlink_to(store.path)
    arguments = {
        "input": "s:x",
        "architecture": "topk",
        "name": "tk",
        "params": SMALL,
        "training": SHORT,
        "seed": 2,
    }
    id = queue.submit(workspace.path, "train", arguments, start=False)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "line", lambda run: stop(run))

        def stop(run):
            if run.step == 9:
                queue.cancel(workspace.path, id)
            return "rows"

        worker.run_job(workspace.path, id)
    assert queue.status(workspace.path, id).state == "cancelled"
    assert read_curve(workspace.path / "training" / "tk")[-1]["step"] == 8
    monkeypatch.setattr(queue, "start_worker", lambda *a: None)
    again = queue.again(workspace.path, id)
    assert queue.status(workspace.path, again).arguments == {**arguments, "resume": True}
    worker.run_job(workspace.path, again)
    done = queue.status(workspace.path, again)
    assert (done.state, done.result) == ("done", {"features": "tk"})
    made = workspace.features.open("tk")
    assert same(made, train(Store.open(store.path), "x", "topk", SMALL, SHORT, name="tk", seed=2))
    assert not (workspace.path / "training" / "tk").exists()
    assert workspace.encode("s:x", "tk", "x@twice") == "s:x@twice"
    refused = queue.submit(workspace.path, "train", arguments, start=False)
    worker.run_job(workspace.path, refused)
    assert "already a feature set" in queue.status(workspace.path, refused).error["found"]


def test_more_held_out_rows_than_are_kept_are_judged_by_samples_from_everywhere(tmp_path, monkeypatch):
    """Of classes in runs the first held-out rows would be of one class; and the number of samples is that of these."""
    monkeypatch.setattr(row_stream, "HELD_ROWS", 60)
    monkeypatch.setattr("analysis.features.classical.fit_rows.HELD_ROWS", 60)
    of = np.repeat(np.arange(1000), 3)
    x = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    x[:, 0] = of
    tap = write_store(tmp_path / "s", name="s", taps={"x": np.split(x, 1000)}).activations("x")
    stream, fitted = RowStream(tap, 0.5, 0), FitRows(tap, 0.5, 0)
    assert len(stream.held) == 60
    assert stream.held_samples == fitted.held_samples == 20
    assert np.array_equal(stream.held, fitted.held)
    samples = stream.held[:, 0]
    assert samples.min() < 250
    assert samples.max() > 750
    assert stream.n_rows == 1500  # what is not judged by is not trained on either
