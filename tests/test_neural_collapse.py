"""Neural collapse: closed forms, a slow second implementation, invariances, floors, and checks that can fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.subspaces import collapse_report, neural_collapse
from analysis.compute.subspaces.neural_collapse import (
    NAMES,
    class_means,
    collapse,
    nearest_mean,
    self_duality,
)
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces import neural_collapse as one
from analysis.methods.subspaces import neural_collapse_by_layer as layers

FREE = ", without what sampling adds"


def planted(rng, n=600, d=30, classes=6, length=3.0, lengths=None):
    """Classes of unit variance around the corners of a simplex of this length."""
    of = np.arange(n) % classes
    corners = (
        np.linalg.qr(rng.standard_normal((d, d)))[0][:classes] * np.sqrt(classes / (classes - 1)) * length
    )
    corners = corners - corners.mean(axis=0)
    if lengths is not None:
        corners = corners * np.asarray(lengths)[:, None]
    return corners[of] + rng.standard_normal((n, d)), of


def tap(x, of, **columns):
    return ArrayActivations(np.asarray(x), samples={"label": of, **columns})


def slow(x, of):
    """NC1 and NC2 by the definitions, with d x d matrices and loops."""
    kinds = np.unique(of)
    means = np.array([x[of == c].mean(axis=0) for c in kinds])
    within = np.mean([np.atleast_2d(np.cov(x[of == c].T)) for c in kinds], axis=0)
    centred = means - means.mean(axis=0)
    between = sum(np.outer(m, m) for m in centred) / len(kinds)
    lengths = np.linalg.norm(centred, axis=1)
    cosines = np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                        for i, a in enumerate(centred) for b in centred[:i]])  # fmt: skip
    ratio = np.trace(within) / np.trace(between)
    return np.array([
        np.trace(within @ np.linalg.pinv(between, rcond=1e-9, hermitian=True)) / len(kinds), ratio, 1 / (1 + ratio),
        lengths.std() / lengths.mean(), cosines.std(), np.abs(cosines + 1 / (len(kinds) - 1)).mean(),
    ])  # fmt: skip


# ---------------------------------------------------------------------------- the numbers
@pytest.mark.parametrize(
    ("n", "d", "classes"), [(90, 12, 3), (60, 4, 8), (40, 70, 5), (30, 1, 3), (24, 6, 2)]
)
def test_the_numbers_are_those_of_the_definitions(rng, n, d, classes):
    of = rng.permutation(np.arange(n) % classes)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal((classes, d))[of]
    np.testing.assert_allclose(collapse(x - x.mean(axis=0), of, classes), slow(x, of), rtol=1e-7, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_rotation_scale_and_shift_change_nothing(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, of = planted(rng, 80, 10, 4)
    turned = scale * x @ np.linalg.qr(rng.standard_normal((10, 10)))[0] + shift
    for corrected in (False, True):
        a, b = (collapse(v - v.mean(axis=0), of, 4, corrected) for v in (x, turned))
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_rescaling_one_unit_changes_something(rng):
    x, of = planted(rng)
    stretched = x * np.r_[20.0, np.ones(29)]
    assert abs(collapse(stretched, of, 6)[1] / collapse(x, of, 6)[1] - 1) > 0.05


def test_renaming_classes_changes_nothing(rng):
    x, of = planted(rng)
    np.testing.assert_allclose(collapse(x, of, 6), collapse(x, rng.permutation(6)[of], 6), rtol=1e-9)


def test_corrected_products_of_class_means_are_unbiased(rng):
    """Mean over 400 data sets against the true inner products; unequal classes and variances. Tolerance: 4 standard
    errors of the entry that varies most."""
    true = rng.standard_normal((4, 9))
    sizes, spread = np.array([4, 7, 12, 30]), np.array([3.0, 1.0, 2.0, 0.5])
    of = np.repeat(np.arange(4), sizes)
    centred = true - true.mean(axis=0)
    drawn = np.array([
        class_means(true[of] + spread[of, None] * rng.standard_normal((53, 9)), of, 4).gram(True) for _ in range(400)
    ])  # fmt: skip
    error = drawn.std(axis=0) / 20
    assert (np.abs(drawn.mean(axis=0) - centred @ centred.T) < 4 * error.max()).all()
    plain = np.array([
        class_means(true[of] + spread[of, None] * rng.standard_normal((53, 9)), of, 4).gram(False) for _ in range(400)
    ])  # fmt: skip
    assert plain.mean(axis=0)[0, 0] - (centred @ centred.T)[0, 0] > 8 * error[0, 0]


@pytest.mark.parametrize(("classes", "each", "d"), [(4, 20, 60), (10, 8, 100)])
def test_nc1_of_noise_is_its_closed_form(rng, classes, each, d):
    """n_c (C - 1) / (d - C), the mean of an inverse Wishart's trace."""
    of = np.arange(classes * each) % classes
    found = [collapse(rng.standard_normal((len(of), d)), of, classes)[0] for _ in range(200)]
    assert np.mean(found) == pytest.approx(each * (classes - 1) / (d - classes), rel=0.04)


def test_noise_in_many_units_looks_like_a_simplex_and_the_corrected_numbers_do_not_say_so(rng):
    x, of = rng.standard_normal((50, 2000)), np.arange(50) % 5
    found = one.neural_collapse(tap(x, of), rng=np.random.default_rng(0))
    values = {e.name: e for e in found.estimates}
    assert values[NAMES[3]].value < 0.05
    assert values[NAMES[5]].value < 0.05
    assert values[NAMES[5]].null < 0.05
    share = values[NAMES[2] + FREE]
    assert share.low < 0 < share.high
    assert values[NAMES[1]].p_value > 0.05
    assert any("Noise alone makes class means a simplex" in c for c in found.caveats)


def test_a_planted_simplex_has_nc2_zero_whatever_the_noise(rng):
    """Corrected numbers of few samples: as near 0 as those of many; plug-in ones are biased up."""
    few, of = planted(rng, 60, 30, 6, 3.0)
    values = {e.name: e.value for e in one.neural_collapse(tap(few, of)).estimates}
    many, of = planted(rng, 60_000, 30, 6, 3.0)
    assert collapse(many, of, 6)[1] == pytest.approx(30 / 9, rel=0.02)
    assert values[NAMES[1] + FREE] == pytest.approx(30 / 9, rel=0.25)
    assert values[NAMES[1]] < values[NAMES[1] + FREE]


def test_the_interval_covers_as_often_as_it_says():
    """Truth: tr Σ_W / tr Σ_B = 30 / 9. Of 60 intervals at 95 %, at least 51 (a binomial chance of 1 in 1,000)."""
    hits = 0
    for seed in range(60):
        x, of = planted(np.random.default_rng(seed), 120, 30, 6, 3.0)
        found = collapse_report.measured(x, of, 6, 2, np.random.default_rng(seed))
        hits += found.low[1, 1] <= 30 / 9 <= found.high[1, 1]
    assert hits >= 51


def test_exchanged_classes_are_uniform_in_rank():
    """p-values of data without classes: mean 1/2 within 4 standard errors of 40."""
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = one.neural_collapse(tap(rng.standard_normal((60, 8)), np.arange(60) % 3), rng=rng)
        p.append(found.estimates[1].p_value)
    assert abs(np.mean(p) - 0.5) < 4 * 0.29 / np.sqrt(40)


# ---------------------------------------------------------------------------- NC3 and NC4
def test_self_duality_is_0_for_scaled_means_2_for_orthogonal_ones_4_for_opposite_ones(rng):
    a = rng.standard_normal((5, 12))
    assert self_duality(a, 7 * a - 3)[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(self_duality(a, 7 * a - 3)[1], 1, atol=1e-12)
    assert self_duality(a, -a)[0] == pytest.approx(4)
    wide = np.hstack([a, np.zeros((5, 12))]), np.hstack([np.zeros((5, 12)), a])
    assert self_duality(*wide)[0] == pytest.approx(2)


def test_nearest_mean_is_that_of_other_folds(rng):
    x, of = planted(rng, 60, 8, 3, 1.0)
    fold = rng.permutation(np.arange(60) % 4)
    found = nearest_mean(x, of, 3, fold)
    for i in range(0, 60, 7):
        means = [x[(of == c) & (fold != fold[i])].mean(axis=0) for c in range(3)]
        assert found[i] == np.argmin([np.linalg.norm(x[i] - m) for m in means])


def test_answers_are_compared_by_name_and_the_null_is_exact(rng):
    x, of = planted(rng, 300, 20, 3, 6.0)
    names = np.array(["cat", "dog", "emu"])
    found = one.neural_collapse(tap(x, names[of], predicted=names[np.where(of == 2, 0, of)]))
    e = next(e for e in found.estimates if e.name.startswith("NC4"))
    assert e.value == pytest.approx(2 / 3)
    assert e.null == pytest.approx(2 / 3 * 1 / 3 + 1 / 3 * 1 / 3)
    without = one.neural_collapse(tap(x, names[of]))
    assert any("NC4 is left out" in c for c in without.caveats)
    assert any("NC3 is left out" in c for c in without.caveats)


def test_a_real_head_is_read_and_tested_by_its_answers(sample_workspace):
    """digits-resnet pools as its head does; digits-vit's head reads the class token, which the mean leaves out."""
    store = sample_workspace.store("digits-resnet")
    found = one.neural_collapse(store.activations("resnet.encoder.stages.2"))
    values = {e.name: e for e in found.estimates}
    assert values["answers of the head on this tap, as recorded"].value == 1.0
    nc3 = values["NC3, distance of class means from the head's rows"]
    assert nc3.high < nc3.null_low
    other = one.neural_collapse(sample_workspace.store("digits-vit").activations("vit.layers.0"))
    assert any("mistrust NC3" in c for c in other.caveats)
    with pytest.raises(NotFound, match="no layer 'nonsense'"):
        one.neural_collapse(
            store.activations("resnet.encoder.stages.2"), one.NeuralCollapseParams(head="nonsense")
        )
    with pytest.raises(InputError, match="reads"):
        one.neural_collapse(
            store.activations("resnet.encoder.stages.0"), one.NeuralCollapseParams(head="classifier.1")
        )


@pytest.fixture
def sample_workspace():
    from pathlib import Path

    import analysis

    return analysis.open_workspace(Path(__file__).parents[1] / "sample_data" / "workspace")


# ---------------------------------------------------------------------------- the methods on odd data
def test_tokens_are_pooled(rng):
    x, of = planted(rng, 60, 8, 3)
    tokens = np.repeat(x, 3, axis=0) + np.tile([[-1.0], [0.0], [1.0]], (60, 1))
    layout = Layout(np.arange(61, dtype=np.int64) * 3)
    a = one.neural_collapse(ArrayActivations(tokens, samples={"label": of}, layout=layout))
    b = one.neural_collapse(tap(x, of))
    assert a.estimates[1].value == pytest.approx(b.estimates[1].value)


def test_duplicated_and_constant_units_and_a_large_offset(rng):
    x, of = planted(rng, 120, 10, 4)
    plain = collapse(x - x.mean(axis=0), of, 4)
    odd = np.hstack([x, np.full((120, 3), 5.0)]) + 1e7
    found = one.neural_collapse(tap(odd, of))
    assert found.estimates[1].value == pytest.approx(plain[1], rel=1e-6)
    twice = one.neural_collapse(tap(np.hstack([x, x]), of))
    np.testing.assert_allclose([e.value for e in twice.estimates[:6]], plain, rtol=1e-8)


def test_two_classes_are_said_to_say_nothing(rng):
    x, of = planted(rng, 80, 6, 2)
    assert any("always equally long and opposite" in c for c in one.neural_collapse(tap(x, of)).caveats)


def test_refusals(rng):
    x = rng.standard_normal((40, 5))
    with pytest.raises(NotFound, match="no sample column"):
        one.neural_collapse(tap(x, np.arange(40) % 2), one.NeuralCollapseParams(column="species"))
    with pytest.raises(NotEnoughData, match="at least two such classes"):
        one.neural_collapse(tap(x[:6], np.arange(6) % 2))
    with pytest.raises(InputError, match="class means"):
        one.neural_collapse(tap(np.ones((40, 5)), np.arange(40) % 2))
    with pytest.raises(InputError, match="beyond rounding"):
        one.neural_collapse(tap(np.eye(2)[np.arange(40) % 2], np.arange(40) % 2))
    with pytest.raises(ParameterError, match="1 tap"):
        layers.neural_collapse_by_layer(tap(x, np.arange(40) % 2))


def test_by_layer_is_the_method_tap_by_tap(rng):
    x, of = planted(rng, 120, 12, 4)
    y, _ = planted(rng, 120, 20, 4, 8.0)
    found = layers.neural_collapse_by_layer(tap(x, of), tap(y, of))
    for i, v in enumerate((x, y)):
        corrected = collapse(v - v.mean(axis=0), of, 4, True)
        assert found.series["within"][i] == pytest.approx(1 - corrected[2])
        assert found.series["lengths"][i] == pytest.approx(corrected[3])
        assert found.series["angles"][i] == pytest.approx(corrected[5])
    for name, values in found.series.items():
        assert (found.low[name] <= values).all()
        assert (values <= found.high[name]).all()


# ---------------------------------------------------------------------------- checks that can fail
COLLAPSE, MEANS = neural_collapse.collapse, neural_collapse.class_means


@pytest.mark.parametrize("method", [one, layers], ids=["one", "layers"])
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (collapse_report, "collapse", lambda x, of, c, corrected=False: 1.1 * COLLAPSE(x, of, c, corrected)),
        (
            collapse_report,
            "collapse",
            lambda x, of, c, corrected=False: COLLAPSE(x, np.sort(of), c, corrected),
        ),
        (collapse_report, "nearest_mean", lambda x, of, c, fold: np.zeros(len(x), int)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, method, where, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def test_the_check_fails_without_the_correction(monkeypatch):
    monkeypatch.setattr(
        neural_collapse.ClassMeans, "gram", lambda self, corrected: self.centred @ self.centred.T
    )
    assert not all(line.passed for line in one.METHODS[0].check())
