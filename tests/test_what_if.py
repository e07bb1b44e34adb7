"""Moved features: the answer is the network's own, a linear reader's guess is right, and strange samples are told."""

from __future__ import annotations

import numpy as np
import pytest
from hugging_face_subjects import image_model, picture

from analysis.activations import ArrayActivations
from analysis.attribution.random_directions import random_directions
from analysis.attribution.what_if import DIALS, WhatIf
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.readers import PROBE
from analysis.jobs import handlers
from analysis.methods.attribution.response_curve import LINE, ResponseCurveParams, _values, response_curve
from analysis.recording.recorder import record
from analysis.recording.taps import dry_run
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.sources.hooked_run import hooked_run
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import moved_features

N = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A tiny image network with all tokens of a block and its class token alone; and an array with labels."""
    folder = tmp_path_factory.mktemp("what_if")
    made = Workspace.create(folder / "ws")
    (folder / "pictures").mkdir()
    (folder / "vit").mkdir()
    for i in range(N):
        picture(i, 16, 16, 3).save(folder / "pictures" / f"{i}.png")
    image_model(folder / "vit")
    checkpoint, source = open_checkpoint(folder / "vit"), open_data(folder / "pictures", kind="image")
    block = next(t.name for t in dry_run(checkpoint.load(), source) if t.name.rpartition(".")[2] == "0")
    for name in ("all", "cls"):
        record(checkpoint, source, made.path / "stores" / name, name=name, taps=(block,), tokens=name,
               dtype="float32")  # fmt: skip
    rng, label = np.random.default_rng(0), np.arange(40) % 2
    rows = np.c_[3.0 * label, rng.standard_normal((40, 8))] + 0.1
    samples = {"id": [f"s{i}" for i in range(40)], "label": label.astype(str)}
    write_store(made.path / "stores" / "rows", name="rows", taps={"t": rows}, samples=samples)
    return made, block


def test_of_a_linear_reader_the_straight_line_is_right(workspace):
    asked = WhatIf(workspace[0].activations("rows:t"), PROBE)
    rest = asked.ask(3, {})
    assert len(rest.dials) == DIALS
    assert rest.before == rest.after
    assert rest.guess == 0
    assert rest.dials[0].number == 0  # the planted unit
    x = np.asarray(workspace[0].activations("rows:t").take(np.arange(40)), np.float64)
    assert rest.dials[0].value == pytest.approx(x[3, 0])
    assert (rest.dials[0].low, rest.dials[0].high) == pytest.approx((x[:, 0].min(), x[:, 0].max()))
    moved = asked.ask(3, {0: 0.5, 7: 1.0})
    assert moved.after - moved.before == pytest.approx(moved.guess, abs=1e-9)
    assert moved.guess == pytest.approx(
        sum(d.slope * ({0: 0.5, 7: 1.0}[d.number] - d.value) for d in moved.dials if d.number in (0, 7))
    )
    assert {d.number for d in moved.dials} >= {0, 7}
    both = np.array([[before, after] for _, before, after in moved.answers])
    np.testing.assert_allclose(both.sum(axis=0), 1.0, atol=1e-9)


def test_what_no_sample_has_is_told(workspace):
    asked = WhatIf(workspace[0].activations("rows:t"), PROBE)
    assert asked.ask(3, {0: 99.0, 2: 0.0}).outside == (0,)
    assert asked.ask(3, {0: -99.0}).outside == (0,)
    assert asked.ask(3, {0: 1.0}).outside == ()


@pytest.mark.parametrize("name", ["all", "cls"])
def test_the_answer_is_the_networks_with_exactly_the_recorded_tokens_moved(workspace, name):
    made, block = workspace
    asked = WhatIf(made.activations(f"{name}:{block}"))
    assert "network" in asked.ask(0, {}).what
    rest = asked.ask(4, {})
    j = rest.dials[0].number
    moved = asked.ask(4, {j: rest.dials[0].value + 0.7})
    loaded = asked._samples._run.loaded
    item = asked._samples._run.data.items(4, 5)

    def pushed(x):
        x = x.clone()
        x[:, : 1 if name == "cls" else None, j] += 0.7
        return x

    with hooked_run(loaded.module, replace={block: pushed}):
        z = loaded.run(loaded.prepare(item)).logits[0].double().numpy()
    known = np.exp(z - np.logaddexp.reduce(z))
    by_name = {asked._samples.word(c): p for c, p in enumerate(known)}
    for word, _, after in moved.answers:
        assert after == pytest.approx(by_name[word], abs=1e-5)
    assert moved.after != pytest.approx(moved.before, abs=1e-6)


def test_small_steps_follow_the_slope_of_the_network(workspace):
    made, block = workspace
    asked = WhatIf(made.activations(f"all:{block}"))
    dial = asked.ask(2, {}).dials[0]
    found = asked.ask(2, {dial.number: dial.value + 1e-2})
    assert found.after - found.before == pytest.approx(found.guess, rel=0.05)


def test_refusals(workspace):
    made, _ = workspace
    asked = WhatIf(made.activations("rows:t"), PROBE)
    with pytest.raises(NotFound, match="sample 99"):
        asked.ask(99, {})
    with pytest.raises(NotFound, match="feature 50"):
        asked.ask(0, {50: 1.0})
    with pytest.raises(NotFound, match="feature -1"):
        asked.ask(0, {}, [-1])
    with pytest.raises(InputError, match="finite"):
        asked.ask(0, {0: float("nan")})
    write_store(made.path / "stores" / "few", name="few", taps={"t": np.eye(6)},
                samples={"id": list("abcdef"), "label": list("xxxyyy")})  # fmt: skip
    with pytest.raises(NotEnoughData):
        WhatIf(made.activations("few:t"))


def test_the_job_answers_in_json_and_keeps_the_network_open(workspace):
    made, _ = workspace
    handlers._open_networks.clear()
    given = {"input": "rows:t", "sample": 3, "moved": [[0, 0.5]]}
    found = handlers.what_if(made.path, given, no_progress)
    first = next(iter(handlers._open_networks.values()))
    assert handlers.what_if(made.path, given, no_progress) == found
    assert next(iter(handlers._open_networks.values())) is first
    assert found["after"] == WhatIf(made.activations("rows:t")).ask(3, {0: 0.5}).after
    assert found["dials"][0]["number"] == 0


def test_moved_features_in_a_link():
    assert moved_features.read(["3=0.5", "x=1", "4=nan", "-2=1", "5", "6=1e400"]) == {3: 0.5}
    assert moved_features.read(moved_features.written({3: 0.5, 9: -2.0})) == {3: 0.5, 9: -2.0}
    dial = {"number": 3, "value": 0.0, "low": 0.0, "high": 1.0}
    assert moved_features.reach(dial, {}) == (-0.5, 1.5)
    assert moved_features.reach(dial, {3: 9.0}) == (-0.5, 9.0)


def test_the_curve_of_a_sample_is_what_the_network_answers_at_each_place(workspace):
    made, block = workspace
    tap = made.activations(f"all:{block}")
    found = response_curve(tap, ResponseCurveParams(sample=4, feature=5, points=7, samples=5, draws=20))
    asked = WhatIf(tap)
    own = [asked.ask(4, {5: a}).after for a in found.x]
    np.testing.assert_allclose(found.series["sample 4"], own, atol=1e-5)
    dial = asked.dial(5, 4)
    assert (found.x[0], found.x[-1]) == pytest.approx((dial.low, dial.high))
    run, target = asked.opened(4)
    others = [asked.opened(s)[0] for s in range(N) if s != 4]
    assert len(others) == N - 1
    at_stand = _values(asked, run, target, np.zeros((1, tap.shape[1])))
    np.testing.assert_allclose(np.interp(dial.value, found.x, found.series[LINE]), at_stand, atol=1e-9)


def test_the_mean_curve_of_all_others_tells_of_the_samples_own_number(workspace):
    made, block = workspace
    tap = made.activations(f"all:{block}")
    found = response_curve(tap, ResponseCurveParams(sample=4, feature=5, points=3, samples=50, draws=20))
    asked = WhatIf(tap)
    _, target = asked.opened(4)
    known = []
    for s in (s for s in range(N) if s != 4):
        run, _ = asked.opened(s)
        x = run.clean.clone()
        x[:, 5] += found.x[-1] - x[:, 5].mean()
        known.append(float(run.values(x[None], target)[0]))
    name = next(n for n in found.series if n.startswith("mean of 9"))
    assert found.series[name][-1] == pytest.approx(np.mean(known), abs=1e-5)
    assert found.low[name][-1] < np.mean(known) < found.high[name][-1]


def test_a_feature_that_never_varies_has_no_curve(workspace):
    tap = ArrayActivations(
        np.c_[np.arange(20.0) % 2 + np.arange(20) / 99, np.ones(20)], samples={"label": np.arange(20) % 2}
    )
    with pytest.raises(InputError, match="in every sample"):
        response_curve(tap, ResponseCurveParams(feature=1))
    with pytest.raises(NotFound, match="feature 2"):
        response_curve(tap, ResponseCurveParams(feature=2))


def test_random_directions_are_as_long_in_natural_deviations():
    rng, deviation = np.random.default_rng(0), np.array([1e3, 1.0, 1e-3, 0.0])
    direction = np.array([500.0, 0.0, 2e-3, 0.0])
    drawn = random_directions(direction, deviation, 4000, rng)
    assert not drawn[:, 3].any()
    scaled = drawn[:, :3] / deviation[:3]
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), np.hypot(0.5, 2.0), rtol=1e-12)
    np.testing.assert_allclose((scaled**2).mean(axis=0), (0.25 + 4.0) / 3, rtol=0.1)  # no unit is preferred
    alone = random_directions(np.array([0.0, 0, 0, 2.0]), deviation, 3, rng)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 2.0)


def test_a_moved_feature_of_a_set_is_found_where_it_was_put(workspace):
    """Of a set whose codes are of rows made 20 times smaller: read again, the sample has the asked code."""
    made, block = workspace
    d = made.activations(f"all:{block}").shape[1]
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((d, d)))[0].astype(np.float32)
    zero = np.zeros(d, np.float32)
    features = FeatureSet("turned", rules.LINEAR, turned.T.copy(), turned, zero, zero, zero, scale=0.05)
    made.features.add(features)
    asked = WhatIf(made.activations(made.encode(f"all:{block}", "turned")))
    dial = asked.dial(3, 2)
    run, _ = asked.opened(2)
    new = asked.pushed(run, asked.directions[3][None] * 0.25)[0].numpy()
    np.testing.assert_allclose(features.encode(new)[:, 3].mean(), dial.value + 0.25, atol=1e-4)
    small = asked.ask(2, {3: dial.value + 1e-4})
    assert small.guess == pytest.approx(dial.slope * 1e-4, rel=1e-6)
    run, target = asked.opened(2)
    along = run.values(asked.pushed(run, asked.directions[3][None] * np.array([[-2e-4], [2e-4]])), target)
    assert dial.slope == pytest.approx(float(along[1] - along[0]) / 4e-4, rel=0.05)
