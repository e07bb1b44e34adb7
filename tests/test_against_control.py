"""Whitening by a control group: the identity, invariances, nulls that mean nothing, planted axes and batches."""

from __future__ import annotations

import app_pages
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.maps import control_whitening as whitening
from analysis.compute.maps.control_whitening import (
    batch_estimates,
    control_whitening,
    eta_squared,
    ledoit_wolf,
    level_estimate,
    ratio_estimates,
    variance_ratios,
)
from analysis.compute.rows.membership import pack_named
from analysis.errors import InputError, LoupeError, NotEnoughData, NotFound, ParameterError
from analysis.jobs import queue
from analysis.methods.projection import against_control as module
from analysis.methods.projection.against_control import AgainstControlParams, against_control
from analysis.selection import Selection
from dashboard.browse import named_directions, projections

FEW = settings(max_examples=15, deadline=None)
QUICK = {"permutations": 39, "quality_points": 50}


def tap(x, labels, **more):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(labels), **more})


def run(x, labels=None, seed=0, columns=None, **params):
    data = x if labels is None else tap(x, labels, **(columns or {}))
    return against_control(data, AgainstControlParams(**{**QUICK, **params}), np.random.default_rng(seed))


def estimate(result, name):
    return next(e for e in result.estimates if e.name.startswith(name))


def mixed(rng, n, d):
    return rng.standard_normal((n, d)) @ (np.eye(d) + 0.5 * rng.standard_normal((d, d))) + 3


# ---------------------------------------------------------------------------- whitening
@FEW
@given(st.integers(0, 10**6), st.integers(1, 10))
def test_the_whitened_control_is_white(seed, d):
    """To 5e-14 where the mixture is not extreme; the eigenvectors of the covariance miss that."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    x = rng.standard_normal((300, d)) @ (q * np.geomspace(1, 20, d)) @ q.T
    fitted = control_whitening(x, 0.0)
    white = fitted.place(x)
    assert np.abs(np.cov(white.T).reshape(d, d) - np.eye(d)).max() < 5e-14
    assert np.abs(white.mean(axis=0)).max() < 1e-13
    assert fitted.level == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(200, 6), (12, 30)])
def test_shrinkage_is_that_of_scikit_learn(rng, shape):
    """A second implementation, by another formula."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    x = mixed(rng, *shape)
    assert ledoit_wolf(x - x.mean(axis=0)) == pytest.approx(ledoit_wolf_shrinkage(x), rel=1e-10)


@pytest.mark.parametrize("ridge", [None, 0.3])
@pytest.mark.parametrize("shape", [(200, 6), (12, 30)])
def test_whitening_is_the_inverse_root_of_the_shrunk_covariance(rng, ridge, shape):
    x = mixed(rng, *shape)
    fitted = control_whitening(x, ridge)
    s, d = np.cov(x.T), shape[1]
    mean = np.trace(s) / d * np.eye(d)
    target = s + ridge * mean if ridge else (1 - fitted.shrinkage) * s + fitted.shrinkage * mean
    np.testing.assert_allclose(fitted.to @ fitted.to.T @ target, np.eye(d), atol=1e-9)
    inside = np.trace(fitted.to.T @ s @ fitted.to) / d
    assert fitted.level == pytest.approx(inside, rel=1e-9)
    assert inside < 1


def test_without_a_ridge_the_control_must_be_larger_than_the_space(rng):
    with pytest.raises(NotEnoughData, match="whiten 30 directions without a ridge"):
        control_whitening(rng.standard_normal((30, 30)), 0.0)
    flat = rng.standard_normal((50, 4)) * [1, 1, 0, 1]
    with pytest.raises(InputError, match="does not vary in 1 of 4"):
        control_whitening(flat, 0.0)
    assert np.isfinite(control_whitening(flat).to).all()
    with pytest.raises(InputError, match="all control samples are equal"):
        control_whitening(np.ones((20, 3)))


def test_how_far_the_whitening_carries_over_in_closed_form():
    """Gaussian data without shrinkage: E[S⁻¹] gives (n - 1) / (n - d - 2)."""
    n, d, values = 40, 10, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = mixed(rng, n + 200, d)
        fitted = control_whitening(x[:n], 0.0)
        values.append(level_estimate(fitted.place(x[n:]), fitted, d, rng).value)
    assert np.mean(values) == pytest.approx((n - 1) / (n - d - 2), rel=0.05)


# ---------------------------------------------------------------------------- ratios and batches
def test_ratios_are_those_of_numpy_whatever_the_membership(rng):
    values, other = rng.standard_normal((50, 3)) * [1, 5, 2], rng.random((4, 50)) < 0.4
    expected = [values[o].var(axis=0, ddof=1) / values[~o].var(axis=0, ddof=1) for o in other]
    np.testing.assert_allclose(variance_ratios(values, other), expected, rtol=1e-10)


def test_a_control_that_does_not_vary_gives_a_huge_finite_ratio(rng):
    others, control = rng.standard_normal((40, 1)), np.zeros((20, 1))
    e = ratio_estimates(others, control, 5, 39, rng)[0]
    assert e.value == pytest.approx(1 / whitening.SMALLEST)
    assert np.isfinite([e.low, e.high, e.null, e.null_high]).all()


def test_the_null_holds_the_ratio_of_equal_groups_and_forgets_their_means():
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        p.append(
            ratio_estimates(rng.standard_normal((60, 1)) + 9, rng.standard_normal((30, 1)), 1, 39, rng)[0]
        )
    inside = np.mean([e.null_low <= e.value <= e.null_high for e in p])
    covered = np.mean([e.low <= 1 <= e.high for e in p])
    assert inside > 0.85
    assert covered > 0.85
    assert 0.35 < np.mean([e.p_value for e in p]) < 0.65


@FEW
@given(st.integers(0, 10**6))
def test_eta_squared_is_the_r_squared_of_a_regression_on_the_batches(seed):
    rng = np.random.default_rng(seed)
    y, of = rng.standard_normal((40, 2)) + 7, rng.integers(4, size=40)
    design = (of[:, None] == np.arange(4)).astype(float)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    expected = 1 - (left**2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(eta_squared(y, of), expected, atol=1e-12)


def test_unrelated_batches_explain_what_the_closed_form_says(rng):
    y, of = rng.standard_normal((30, 1)), np.arange(30) % 5
    found = [eta_squared(y, rng.permutation(of))[0] for _ in range(4000)]
    e = batch_estimates(y, of, "plate", 3, 199, rng)[0]
    assert np.mean(found) == pytest.approx(e.null, abs=4 * np.std(found) / np.sqrt(4000))
    assert e.null == pytest.approx(4 / 29)
    np.testing.assert_allclose([e.null_low, e.null_high], np.percentile(found, [2.5, 97.5]), atol=0.08)


# ---------------------------------------------------------------------------- the method
def test_what_the_control_varies_in_is_forgotten(rng):
    label = np.arange(600) % 2
    x = rng.standard_normal((600, 6)) * [20, 1, 1, 1, 1, 1]
    x[label == 1, 3] *= 4
    r = run(x, label, control="class:0")
    e = estimate(r, "variance along axis 1")
    assert e.value == pytest.approx(16, rel=0.35)
    assert e.low > e.null_high
    assert abs(np.corrcoef(r.positions[:, 0], x[r.rows, 3])[0, 1]) > 0.99
    assert "Along axis 1 the others vary more than the control does" in r.reading
    assert "Along axis 2 the others vary no more than luck allows" in r.reading


def test_only_samples_that_made_nothing_are_drawn_and_measured(rng):
    label = np.arange(200) % 2
    x = mixed(rng, 200, 5)
    half, whole = run(x, label, control="class:0"), run(x, label, control="class:0", drawn="all")
    made = whole.columns["half"] == "made the axes"
    assert [int(made.sum()), len(half.rows), len(whole.rows)] == [100, 100, 200]
    np.testing.assert_array_equal(half.positions, whole.positions[~made])
    mine = made & (whole.columns["group"] == "the control: 0")
    np.testing.assert_allclose(whole.positions[mine].mean(axis=0), 0, atol=1e-5)  # the control is the origin
    fit = whole.rows[mine]
    mean, inverse = x[fit].mean(axis=0), np.linalg.inv(shrunk(x[fit]))
    away = np.einsum("ij,jk,ik->i", x[half.rows] - mean, inverse, x[half.rows] - mean)
    np.testing.assert_allclose(half.columns["distance from the control"], np.sqrt(away / 5), rtol=1e-5)
    others = half.columns["group"] != "the control: 0"
    ratio = half.positions[others].var(axis=0, ddof=1) / half.positions[~others].var(axis=0, ddof=1)
    np.testing.assert_allclose([half.estimates[0].value, half.estimates[1].value], ratio, rtol=1e-4)


def shrunk(x):
    """The control's covariance as it is used, by its definition."""
    s, a = np.cov(x.T), ledoit_wolf(x - x.mean(axis=0))
    return (1 - a) * s + a * np.trace(s) / len(s) * np.eye(len(s))


@FEW
@given(st.integers(0, 10**6), st.sampled_from(["any", "turned"]))
def test_invariance(seed, how):
    """Any invertible map changes nothing but signs without a ridge; a rotation and a scale do not with shrinkage."""
    rng = np.random.default_rng(seed)
    label = np.arange(160) % 2
    x = mixed(rng, 160, 4)
    x[label == 1] *= [1, 2, 3, 4]
    a = np.linalg.qr(rng.standard_normal((4, 4)))[0] * 3
    if how == "any":
        a = a + rng.standard_normal((4, 4)) * 0.3
    ridge = 0.0 if how == "any" else None
    one, two = (run(v, label, control="class:0", ridge=ridge) for v in (x, x @ a - 5))
    np.testing.assert_allclose(np.abs(one.positions), np.abs(two.positions), atol=2e-3)
    for u, v in zip(one.estimates[:3], two.estimates[:3], strict=True):
        assert u.value == pytest.approx(v.value, rel=1e-5)


def test_constant_units_change_nothing(rng):
    label, x = np.arange(120) % 3, mixed(rng, 120, 5)
    one = run(x, label)
    two = run(np.hstack([x, np.full((120, 3), 8.0)]), label)
    np.testing.assert_allclose(one.positions, two.positions, atol=1e-5)


def test_a_control_against_itself_shows_nothing():
    """With more units than control samples, where the same samples would seem to vary far more."""
    above, ratio = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        r = run(rng.standard_normal((160, 60)), np.arange(160) % 2, seed=seed)
        above += r.estimates[0].low > r.estimates[0].null_high
        ratio.append(r.estimates[0].value)
    assert above <= 3
    assert np.median(ratio) == pytest.approx(1, abs=0.25)


def test_selections_that_are_classes_give_the_same_picture(rng):
    label, x = np.arange(120) % 3, mixed(rng, 120, 5)
    named = pack_named({"no-ught": label == 0, "<b>two</b>": label == 2})
    one = run(x, label, control="class:0-2")
    two = run(x, control="selection:no-ught-<b>two</b>", selections=named)
    np.testing.assert_array_equal(one.positions, two.positions)
    assert set(two.columns["group"]) == {"the control: no-ught", "others: <b>two</b>"}
    assert any(c.startswith("40 point(s) in neither group") for c in one.caveats)


def test_the_largest_class_is_the_control_by_itself(rng):
    label = np.array(["b", "a-1", "", "a-1"])[np.arange(120) % 4]
    r = run(mixed(rng, 120, 4), label)
    assert "spread of class a-1 (the control), measured on 30 of its samples" in r.reading
    assert any(c.startswith("30 point(s) in neither") for c in r.caveats)


def test_tokens_of_a_sample_count_once(rng):
    label, x = np.arange(80) % 2, mixed(rng, 80, 4)
    layout = Layout(np.arange(81) * 3)
    once = run(x, label, control="class:0")
    data = ArrayActivations(np.repeat(x, 3, axis=0), samples={"label": label}, layout=layout)
    thrice = run(data, control="class:0")
    np.testing.assert_array_equal(np.unique(thrice.rows // 3), once.rows)
    assert thrice.estimates[0].value == pytest.approx(once.estimates[0].value)
    assert thrice.estimates[0].n == once.estimates[0].n == 40


# ---------------------------------------------------------------------------- batches
def plates(rng, shift, n=400):
    label, plate = np.arange(n) % 2, rng.integers(2, size=n)
    x = rng.standard_normal((n, 5))
    x[label == 1, 2] += shift * np.where(plate[label == 1] == 1, 1, -1)
    return x, label, np.array(["plate <1>", "plate 2"])[plate]


def test_an_axis_that_is_a_batch_effect_is_called_one(rng):
    x, label, plate = plates(rng, 3.0)
    r = run(x, label, columns={"plate": plate}, control="class:0", batch="plate")
    first, second = (estimate(r, f"share of axis {j}") for j in (1, 2))
    assert first.value == pytest.approx(0.9, abs=0.04)  # s² / (1 + s²)
    assert "Warning: axis 1 is mostly a batch effect: 'plate' explains 9" in r.reading
    assert "axis 2 is mostly" not in r.reading
    assert second.value < 0.1
    assert first.null == second.null == pytest.approx(1 / 99)
    assert any(c.startswith("A batch in which") for c in r.caveats)


def test_a_batch_that_means_nothing_is_not_accused(rng):
    x, label, plate = plates(rng, 0.0)
    r = run(x, label, columns={"plate": plate}, control="class:0", batch="plate")
    assert "batch effect" not in r.reading
    assert "'plate' explains" not in r.reading
    assert estimate(r, "share of axis 1").p_value > 0.01


def test_samples_without_a_batch_are_left_out(rng):
    x, label, plate = plates(rng, 3.0)
    plate = np.where(np.arange(len(plate)) < 200, plate, "")
    r = run(x, label, columns={"plate": plate}, control="class:0", batch="plate")
    assert 30 < estimate(r, "share of axis 1").n < 70


# ---------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"control": "pc:1"}, ParameterError, "class:A"), ({"control": "dog"}, ParameterError, "class:A"),
        ({"control": "class:9"}, ParameterError, "not known"), ({"control": "selection:x"}, ParameterError, "none"),
        ({"column": "nought"}, NotFound, "nought"), ({"column": "one"}, NotEnoughData, "at least two"),
        ({"control": "class:few", "column": "small"}, NotEnoughData, "the control, 'few': 9 sample"),
        ({"control": "class:many", "column": "small"}, NotEnoughData, "the others, 'other classes': 9 sample"),
        ({"batch": "nought"}, NotFound, "nought"), ({"batch": "one"}, ParameterError, "1 value"),
        ({"batch": "id"}, ParameterError, "two batches"), ({"ridge": 0.0}, NotEnoughData, "without a ridge"),
        ({"selections": "{"}, ParameterError, "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(params, error, words, rng):
    columns = {"one": np.full(90, "a"), "small": np.array(["few"] * 9 + ["many"] * 81)}
    with pytest.raises(error, match=words):
        run(rng.standard_normal((90, 25)), np.arange(90) % 2, columns=columns, **params)


@pytest.mark.parametrize("side", [0, 1])
def test_a_group_of_equal_samples_is_refused(side, rng):
    x, label = rng.standard_normal((60, 3)), np.arange(60) % 2
    x[label == side] = 2.0
    with pytest.raises(InputError, match="are equal"):
        run(x, label, control="class:0")


def test_rows_with_nan_are_left_out_and_huge_values_survive(rng):
    x, label = mixed(rng, 120, 4), np.arange(120) % 2
    x[5, 1] = np.nan
    r = run(x * 1e100, label)
    assert 5 not in r.rows
    assert np.isfinite(r.positions).all()
    assert any("NaN" in c for c in r.caveats)


# ---------------------------------------------------------------------------- the check, and the page
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("level_estimate", None),
        ("ratio_estimates", lambda o, c, d, b, r: ratio_estimates(1.3 * o, c, d, b, r)),
        ("batch_estimates", lambda v, of, *rest: batch_estimates(v, np.roll(of, 1), *rest)),
        ("control_whitening", lambda x, ridge: control_whitening(x * (1 + 1e-12), ridge)),
        ("control_fit", lambda lines, *rest: module_fit(type(lines)(lines.values, -lines.side, lines.fit), *rest)),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    if broken is not None:
        monkeypatch.setattr(module, name, broken)
    assert all(line.passed for line in module.METHODS[0].check()) == (broken is None)


module_fit = module.control_fit


def test_it_stands_among_the_projections_with_a_target():
    method = projections.methods()["against_control"]
    assert projections.group_of(method) == projections.TARGET


def drawn(opened, **params):
    """The Map page with the picture on it, computed by a job where the page does not wait."""
    at = app_pages.open_page("map", tap="images:pooled", by="against_control", **params)
    for job in queue.listing(opened.path):
        if job.arguments.get("method") == "against_control":
            assert queue.wait(opened.path, job.id, timeout=120).state == "done"
    at = app_pages.open_page("map", tap="images:pooled", by="against_control", **params)
    assert app_pages.is_whole(at), app_pages.texts(at)
    return app_pages.texts(at).replace("\\", "")


def test_the_map_draws_it(opened):
    said = drawn(opened, p__control="class:a", p__batch="source")
    assert "Meanwhile" not in said
    assert "in units of the spread of class a (the control)" in said


def test_the_map_takes_a_named_selection_as_the_control(opened):
    ids = tuple(str(i) for i in range(0, 120, 3))
    opened.save_selection(Selection("class a - half", "samples", "images", "pooled", ids))
    given = {"control": "selection:class a - half"}
    found = named_directions.memberships(opened, "images:pooled", given)
    assert "class a - half" in found["selections"]
    said = drawn(opened, p__control=given["control"])
    assert "in units of the spread of selection class a - half (the control), measured on 20" in said


def test_a_control_that_is_not_there_is_said_on_the_page(opened):
    at = app_pages.open_page("map", tap="images:pooled", by="against_control", p__control="class:<script>")
    assert app_pages.is_whole(at)
    assert "is not known" in app_pages.texts(at)
    assert "<script>" not in app_pages.texts(at)
    with pytest.raises(LoupeError):
        opened.run("against_control", ["images:pooled"], {"control": "class:<script>"})
