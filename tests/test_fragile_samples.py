"""Margins, ways to failure and what they are made of: closed forms, walking there, spans, planted samples, the table of
probes against its parts, refusals, broken code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import fragile as mathematics
from analysis.compute.subspaces import fragile_report
from analysis.compute.subspaces.adversarial_features import gradients, on_span, unit_rows
from analysis.compute.subspaces.compared_probes import NEAREST, Training
from analysis.compute.subspaces.fragile import composed, failing, fragile, margins_of
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import failure_direction as direction_module
from analysis.methods.concepts import fragile_samples as module
from analysis.methods.concepts import probe_lab as lab_module
from analysis.methods.concepts.adversarial_augmentation import (
    AdversarialAugmentationParams,
    adversarial_augmentation,
)
from analysis.methods.concepts.failure_direction import FailureDirectionParams, failure_direction
from analysis.methods.concepts.fragile_samples import (
    FragileSamplesParams,
    fragile_samples,
    planted_fragile,
)
from analysis.methods.concepts.probe_lab import ProbeLabParams, probe_lab

FEW = settings(max_examples=20, deadline=None)
QUICK = Training(0.0, 32, 5, 1.0)


def clouds(rng, n=90, d=12, apart=3.0):
    label = np.arange(n) % 3
    return ArrayActivations(
        rng.standard_normal((n, d)) + apart * np.eye(d)[label], "clouds", {"label": label}
    )


# ---------------------------------------------------------------------------- margins and ways
@FEW
@given(seed=st.integers(0, 10**6), c=st.integers(2, 5))
def test_a_margin_is_the_distance_to_the_nearest_boundary(seed, c):
    """One step of that length across the boundary to the rival makes the scores equal; no shorter step in any of 500
    directions changes the class."""
    rng = np.random.default_rng(seed)
    w, b, x = rng.standard_normal((6, c)), rng.standard_normal(c), rng.standard_normal((4, 6))
    of = (x @ w + b).argmax(axis=1)
    margin, rival = margins_of(x, of, w, b)
    assert (margin > 0).all()
    for i in range(4):
        normal = w[:, rival[i]] - w[:, of[i]]
        scores = (x[i] + margin[i] * normal / np.linalg.norm(normal)) @ w + b
        assert scores[of[i]] == pytest.approx(scores[rival[i]], abs=1e-9)
        steps = 0.999 * margin[i] * unit_rows(rng.standard_normal((500, 6)))
        assert (((x[i] + steps) @ w + b).argmax(axis=1) == of[i]).all()
    wrong = (of + 1) % c
    assert (margins_of(x, wrong, w, b)[0] < 0).all()


@FEW
@given(seed=st.integers(0, 10**6))
def test_the_probe_fails_where_it_is_said_to(seed):
    rng = np.random.default_rng(seed)
    w, b, x = rng.standard_normal((6, 3)), rng.standard_normal(3), rng.standard_normal((5, 6))
    of = (x @ w + b).argmax(axis=1)
    along = unit_rows(rng.standard_normal((5, 6)))
    at, becomes = failing(x, of, w, b, along)
    for i in range(5):
        if not np.isfinite(at[i]):
            assert becomes[i] == -1
            assert ((x[i] + 1e6 * along[i]) @ w + b).argmax() == of[i]
            continue
        before, after = ((x[i] + t * at[i] * along[i]) @ w + b for t in (1 - 1e-6, 1 + 1e-6))
        assert before.argmax() == of[i]
        assert after.argmax() == becomes[i]
    np.testing.assert_array_equal(failing(x, (of + 1) % 3, w, b, along)[0], 0.0)


@FEW
@given(seed=st.integers(0, 10**6), m=st.integers(1, 15))
def test_coefficients_make_the_projection(seed, m):
    """In the span, no longer than the gradient, residual orthogonal to it, of least length; a spanning batch changes
    nothing. Against the projection used in training and NumPy's least squares."""
    rng = np.random.default_rng(seed)
    g, others = rng.standard_normal((4, 8)), rng.standard_normal((m, 8))
    inside, a = composed(g, others)
    np.testing.assert_allclose(a @ others, inside, atol=1e-9)
    np.testing.assert_allclose(inside, on_span(g, others), atol=1e-9)
    np.testing.assert_allclose(a.T, np.linalg.lstsq(others.T, g.T, rcond=None)[0], atol=1e-7)
    assert (np.linalg.norm(inside, axis=1) <= np.linalg.norm(g, axis=1) + 1e-12).all()
    np.testing.assert_allclose((g - inside) @ others.T, 0.0, atol=1e-9)
    if m >= 8:
        np.testing.assert_allclose(inside, g, atol=1e-7)


def test_directions_are_made_of_other_samples_only(rng):
    data = clouds(rng)
    x, of = np.asarray(data.values, float), np.asarray(data.samples["label"])
    found = fragile(x, of, 3, QUICK, 8, 2, np.random.default_rng(1))
    assert not (found.batch == np.arange(90)[:, None]).any()
    assert (found.kept > 0).all()
    assert (found.kept <= 1 + 1e-12).all()
    assert found.kept.mean() < 1
    wide = fragile(x, of, 3, QUICK, 40, 2, np.random.default_rng(1))
    np.testing.assert_allclose(wide.kept, 1.0, atol=1e-9)  # 40 samples span all 12 units


def test_random_spans_keep_their_share_of_a_gradient(rng):
    """The null: m / d on average."""
    kept = [
        (composed(rng.standard_normal((1, 20)), rng.standard_normal((5, 20)))[0] ** 2).sum()
        for _ in range(2000)
    ]
    assert np.mean(kept) / 20 == pytest.approx(5 / 20, abs=0.01)


# ---------------------------------------------------------------------------- the list
def test_a_planted_sample_leads_the_list_and_its_way_goes_to_the_other_class(rng):
    data = planted_fragile(rng)
    found = fragile_samples(data, FragileSamplesParams(epochs=10, others=64))
    c = {k: v[0] for k, v in found.columns.items()}
    assert (c["sample"], c["class"], c["across"], c["fails as"]) == ("s0", "0", "1", "1")
    assert c["margin least"] <= c["margin"] <= c["margin most"]
    assert (np.diff(found.columns["margin"]) >= 0).all()
    assert c["towards"].count("(1)") == 3
    assert c["away from"].count("(0)") == 3
    assert len(found.columns["sample"]) == 50
    by_name = {e.name: e for e in found.estimates}
    assert by_name["accuracy of the probe"].null == 0.5
    toward = by_name["positive weights on samples of the class it fails as"]
    assert toward.low > 0.9 > toward.null


def test_noise_has_no_order_and_it_is_said(rng):
    """Labels at random: margins of two refits share what the features share, accuracy is at chance."""
    data = ArrayActivations(rng.standard_normal((200, 5)), samples={"label": rng.integers(2, size=200)})
    found = fragile_samples(data, FragileSamplesParams(epochs=5))
    accuracy = found.estimates[0]
    assert accuracy.low < 0.55
    assert found.columns["margin"][0] < 0


def test_a_small_step_fails_more_often_along_the_gradient_than_at_random(rng):
    found = fragile_samples(
        clouds(rng, 150, 20, 2.0), FragileSamplesParams(epochs=10, epsilon=0.2, others=30)
    )
    step = next(e for e in found.estimates if "step of 0.2" in e.name)
    assert step.low > step.null


def test_the_gallery_adds_up_to_a_feature_that_fails(rng):
    """The sum of all coefficients times features lies on the boundary of the probe that the direction came from."""
    data = clouds(rng)
    x, of = unit_rows(np.asarray(data.values) - np.asarray(data.values).mean(axis=0)), np.arange(90) % 3
    w, b = rng.standard_normal((12, 3)), np.zeros(3)
    of = (x @ w + b).argmax(axis=1)
    inside, a = composed(gradients(x[:1], np.eye(3)[of[:1]], w, b), x[20:28])
    length = np.linalg.norm(inside)
    at, becomes = failing(x[:1], of[:1], w, b, inside / length)
    made = x[0] + (at[0] * a[0] / length) @ x[20:28]
    scores = made @ w + b
    assert scores[of[0]] == pytest.approx(scores[becomes[0]], abs=1e-9)


def test_named_samples_are_shown(rng):
    data = planted_fragile(rng)
    found = failure_direction(data, FailureDirectionParams(samples="s7, s0", epochs=5, examples=4, others=64))
    assert list(found.groups) == [f"{s}{part}" for s in ("s7", "s0") for part in ("", ", towards", ", away")]
    assert found.groups["s7"].tolist() == [7]
    assert all(len(v) == len(found.groups[k]) for k, v in found.values.items())
    assert (found.values["s0, towards"] > 0).all()
    assert (found.values["s0, away"] < 0).all()
    assert "Sample s0 (0) is taken for 1" in found.reading


def test_tokens_are_shown_by_the_first_of_their_sample(rng):
    from analysis.activations import Layout

    x = np.repeat(np.asarray(clouds(rng).values), 2, axis=0)
    tap = ArrayActivations(x, samples={"label": np.arange(90) % 3}, layout=Layout(np.arange(91) * 2))
    found = failure_direction(tap, FailureDirectionParams(samples="5", epochs=3))
    assert found.groups["5"].tolist() == [10]


# ---------------------------------------------------------------------------- the table of probes
def test_the_table_has_the_numbers_of_one_data_set_alone(rng):
    data = clouds(rng, 120, 8, 1.5)
    made = {"epochs": 4, "batch": 16}
    seed = int(np.random.default_rng(5).integers(2**32))
    alone = adversarial_augmentation(data, AdversarialAugmentationParams(**made), np.random.default_rng(seed))
    found = probe_lab(data, data, params=ProbeLabParams(**made), rng=np.random.default_rng(5))
    by_name = dict(zip(alone.columns["probe"], alone.columns["accuracy"], strict=True))
    for name, ours in (("linear probe", "linear"), ("probe with SeA", "SeA"), (NEAREST, NEAREST)):
        np.testing.assert_array_equal(found.columns[ours], by_name[name])
    assert found.columns["data"].tolist() == ["clouds (1)", "clouds (2)"]


def test_without_a_step_sea_is_the_linear_probe(rng):
    found = probe_lab(clouds(rng), params=ProbeLabParams(epsilon=0.0, epochs=3)).columns
    np.testing.assert_array_equal(found["SeA"], found["linear"])
    assert (found["gain"] == 0).all()
    assert (found["p"] == 1).all()


def test_a_row_that_cannot_be_is_left_out_and_named(rng):
    small = ArrayActivations(rng.standard_normal((30, 4)), "small", {"label": np.arange(30) % 2})
    found = probe_lab(clouds(rng), small, params=ProbeLabParams(epochs=2))
    assert found.columns["data"].tolist() == ["clouds"]
    assert any("small left out: 30 labelled sample(s)" in c for c in found.caveats)
    with pytest.raises(NotEnoughData, match="30 labelled"):
        probe_lab(small)


def test_mean_gain_over_rows_has_an_interval_over_rows(rng):
    found = probe_lab(*[clouds(rng, 90, 6, a) for a in (0.5, 1.0, 2.0)], params=ProbeLabParams(epochs=3))
    mean = found.estimates[0]
    assert mean.value == pytest.approx(found.columns["gain"].mean())
    assert mean.n == 3
    half = 4.302653 * found.columns["gain"].std(ddof=1) / np.sqrt(3)  # Student's t, two degrees of freedom
    assert mean.high - mean.value == pytest.approx(half, rel=1e-5)


# ---------------------------------------------------------------------------- refusals, broken code
@pytest.mark.parametrize("method", [fragile_samples, failure_direction, probe_lab])
def test_refusals(rng, method):
    label = np.arange(60) % 3
    with pytest.raises(NotEnoughData, match="at least 50"):
        method(ArrayActivations(rng.standard_normal((40, 3)), samples={"label": label[:40]}))
    with pytest.raises(InputError, match="are equal"):
        method(ArrayActivations(np.ones((60, 3)), samples={"label": label}))
    with pytest.raises(NotEnoughData, match="at least two such classes"):
        method(ArrayActivations(rng.standard_normal((60, 3)), samples={"label": label * 0}))
    with pytest.raises(NotFound):
        method(rng.standard_normal((60, 3)))


def test_wrong_names(rng):
    with pytest.raises(NotFound, match="no labelled sample 'x9'"):
        failure_direction(clouds(rng), FailureDirectionParams(samples="x9", epochs=1))
    with pytest.raises(ParameterError, match="at most 6"):
        failure_direction(clouds(rng), FailureDirectionParams(samples="1,2,3,4,5,6,7"))
    with pytest.raises(ParameterError, match="no column"):
        probe_lab(clouds(rng), params=ProbeLabParams(columns=" , "))


@pytest.mark.parametrize(
    ("tested", "where", "name", "broken"),
    [
        (module, module, "composed", lambda g, others: (g, g @ np.linalg.pinv(others))),
        (module, module, "composed", lambda g, others: tuple(0.99 * v for v in composed(g, others))),
        (module, module, "margins_of", lambda x, of, w, b: (margins_of(x, of, w, b)[0] / 2, of)),
        (module, module, "failing", lambda *a: (failing(*a)[0] + 0.1, failing(*a)[1])),
        (module, mathematics, "margins_of", lambda x, of, w, b: (-margins_of(x, of, w, b)[0], of)),
        (direction_module, mathematics, "gradients", lambda *a: -gradients(*a)),
        (direction_module, fragile_report.FragileData, "leading",
         lambda self, i, e, count, sign: (self.found.batch[i, :count], self.found.weights[i, :count])),
        (lab_module.probes, lab_module.probes, "train",
         lambda x, of, c, kind, e, **_: (np.random.default_rng().standard_normal((x.shape[1], c)), 0.0)),
        (lab_module.probes, lab_module.probes, "unit_rows", lambda x: np.zeros_like(x)),
    ],
)  # fmt: skip
def test_the_checks_fail_on_broken_code(monkeypatch, tested, where, name, broken):
    check = (lab_module if tested is lab_module.probes else tested).METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
