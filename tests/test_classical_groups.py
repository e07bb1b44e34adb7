"""Dictionaries that ask for groups of samples: supervised, contrastive and control, against least squares, planted
directions and rows that they have not seen."""

from __future__ import annotations

import numpy as np
import pytest
from classical_subjects import D, lines, rows, stored

from analysis.compute.linear.linalg import principal_components
from analysis.compute.statistics.moments import CrossMoments, Moments
from analysis.errors import (
    InputError,
    NotFound,
    ParameterError,
)
from analysis.features.classical.contrastive import DIFFERENCE, RATIO, ContrastiveParams, separated
from analysis.features.classical.control import AXES
from analysis.features.classical.making import make
from analysis.features.classical.supervised import JOINT, MEANS, Design
from analysis.features.encoding import encode_tap
from analysis.features.row_stream import held_out_rows


def design(z, of, x):
    return Design(tuple(map(str, range(z.shape[1]))), np.array(of), np.zeros(max(of) + 1, bool), Moments.of(x),
                  Moments.of(z), CrossMoments.of(x, z))  # fmt: skip


def test_conditional_means_are_least_squares_where_the_design_is_balanced_and_not_else():
    rng = np.random.default_rng(0)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(3), np.arange(2), indexing="ij"))
    a, b = np.tile(a, 5), np.tile(b, 5)
    x = rng.standard_normal((30, D))
    z = np.hstack([np.eye(3)[a], np.eye(2)[b]])
    made = design(z, [0, 0, 0, 1, 1], x)
    assert made.balanced
    np.testing.assert_allclose(made.directions(JOINT), made.directions(MEANS), atol=1e-13)
    np.testing.assert_allclose(made.directions(MEANS)[1], x[a == 1].mean(axis=0) - x.mean(axis=0), atol=1e-13)
    keep = np.arange(30) > 2
    uneven = design(z[keep], [0, 0, 0, 1, 1], x[keep])
    assert not uneven.balanced
    assert np.abs(uneven.directions(JOINT) - uneven.directions(MEANS)).max() > 0.01
    fitted = z[keep] @ uneven.directions(JOINT)
    plain = np.linalg.lstsq(np.c_[z[keep], np.ones(27)], x[keep], rcond=None)[0]
    other = np.c_[z[keep], np.ones(27)] @ plain
    np.testing.assert_allclose(fitted - fitted.mean(axis=0), other - other.mean(axis=0), atol=1e-12)
    share = z[keep].mean(axis=0)
    for of in (slice(0, 3), slice(3, 5)):
        np.testing.assert_allclose(share[of] @ uneven.directions(JOINT)[of], 0, atol=1e-12)
        np.testing.assert_allclose(share[of] @ uneven.directions(MEANS)[of], 0, atol=1e-12)


def test_a_supervised_dictionary_reads_its_columns_off_other_samples(tmp_path):
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, 500), rng.standard_normal(500)
    x = 4 * np.eye(3, D)[kind] + np.outer(size, np.eye(D)[5]) + 0.2 * rng.standard_normal((500, D))
    store = stored(tmp_path, x, labels=[f"k{i}" for i in kind], samples={"size": size})
    found = make(store, "x", "supervised", {"columns": "label, size"})
    assert found.about["components"]["value"] == ["label = k0", "label = k1", "label = k2", "size"]
    codes = found.encode(store.activations("x").take(np.arange(500)))
    assert (codes[:, :3].argmax(axis=1) == kind).all()
    np.testing.assert_allclose(codes[:, :3].sum(axis=1), 1, atol=1e-3)
    assert np.corrcoef(codes[:, 3], size)[0, 1] > 0.95
    assert found.about["held_out_by_columns"] > 0.9
    assert found.about["held_out"]["explained_variance"] > 0.9
    values = encode_tap(store, "x", found).activations(f"x@{found.name}")
    assert values.unit_names == ("label = k0", "label = k1", "label = k2", "size")
    with pytest.raises(NotFound, match="no sample column"):
        make(store, "x", "supervised", {"columns": "colour"})


def test_one_class_is_no_attribute(tmp_path):
    store = stored(tmp_path, rows(), labels=["a"] * 400)
    with pytest.raises(NotFound, match="no sample column is a known factor"):
        make(store, "x", "supervised")
    with pytest.raises(InputError, match="covers all rows"):
        make(store, "x", "contrastive", {"background": "label=a"})


def covariances(seed=0):
    rng = np.random.default_rng(seed)
    root, u = rng.standard_normal((6, 6)), rng.standard_normal(6)
    background = root @ root.T + np.eye(6)
    return background, u


def test_one_direction_more_than_the_background_has_is_found_exactly():
    background, u = covariances()
    unit = u / np.linalg.norm(u)
    target = background + np.outer(u, u)
    for problem in (DIFFERENCE, RATIO):
        asked = ContrastiveParams(problem=problem, components=1, common=0, ridge=0.0)
        filters, directions, values, _ = separated(target, background, asked)
        assert abs(directions[0] @ unit) == pytest.approx(1, abs=1e-9)
        assert filters[:, 0] @ directions[0] == pytest.approx(1, abs=1e-9)
    inverse = np.linalg.solve(background, u)
    assert values[0] == pytest.approx(1 + u @ inverse, rel=1e-9)
    assert abs(filters[:, 0] @ inverse) == pytest.approx(
        np.linalg.norm(filters) * np.linalg.norm(inverse), rel=1e-9
    )


@pytest.mark.parametrize("problem", [DIFFERENCE, RATIO])
def test_salient_and_common_parts_do_not_read_each_other(problem):
    background, u = covariances()
    asked = ContrastiveParams(problem=problem, components=2, common=4)
    filters, directions, _, n = separated(background + 9 * np.outer(u, u), background, asked)
    np.testing.assert_allclose(directions @ filters, np.eye(6), atol=1e-8)
    assert n == 2
    more = separated(background, background, ContrastiveParams(problem=problem, components=9, common=9))
    assert more[3] == 6


def test_without_a_background_contrastive_components_are_principal_ones(tmp_path):
    store = stored(tmp_path, rows(), labels=["a", "b"] * 200)
    asked = {"background": "label=b", "alpha": 0, "components": 3, "common": 0}
    found = make(store, "x", "contrastive", asked)
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    own = store.activations("x").take(np.flatnonzero(~held & (np.arange(400) % 2 == 0))).astype(np.float64)
    _, axes, values = principal_components(own, 3)
    np.testing.assert_allclose(found.decoder, axes, atol=1e-5)
    np.testing.assert_allclose(found.about["components"]["value"], values, rtol=1e-9)


def two_groups(n=1200, seed=0):
    """(rows, group): unit 0 varies most in both, unit 1 in the target alone."""
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.5
    x = rng.standard_normal((n, D)) * np.r_[10, np.ones(D - 1)]
    x[target, 1] += 4 * rng.standard_normal(target.sum())
    return x, np.where(target, "t", "b")


@pytest.mark.parametrize("kind", ["contrastive", "control"])
def test_what_the_target_does_alone_comes_first_and_carries_over(tmp_path, kind):
    x, group = two_groups()
    store = stored(tmp_path, x, labels=group)
    if kind == "contrastive":
        found = make(store, "x", kind, {"background": "label=b", "components": 1, "common": 1})
    else:
        found = make(store, "x", kind, {"control": "b", "components": 2})
    assert np.abs(lines(found.decoder)[0]).argmax() == 1
    table = found.about["components"]
    ratio = next(v for name, v in table.items() if name.startswith("held-out"))
    assert table["low"][0] < 17 < table["high"][0]
    assert ratio[0] > 8
    if kind == "contrastive":
        assert table["part"] == ["salient", "common"]
        assert np.abs(found.decoder[1]).argmax() == 0
    else:
        assert any(line.endswith("within the interval: 1.") for line in found.about["caveats"])


def test_the_control_is_white_afterwards(tmp_path):
    x, group = two_groups()
    x[:, 7] = 3  # a unit that does not vary
    store = stored(tmp_path, x, labels=group)
    asked = {"control": "label=b", "directions": AXES, "ridge": 0, "components": 64}
    found = make(store, "x", "control", asked)
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    codes = found.encode(store.activations("x").take(np.flatnonzero(~held & (group == "b"))))
    np.testing.assert_allclose(np.cov(codes.T), np.eye(7), atol=1e-4)
    assert not found.decoder[:, 7].any()
    np.testing.assert_allclose(found.reconstruct(x.astype(np.float32)), x, atol=1e-3)


def test_a_group_is_a_selection_a_class_or_a_value(tmp_path):
    x, group = two_groups(300)
    store = stored(tmp_path, x, labels=group)

    def selections(name):
        if name != "mine":
            raise NotFound(f"no selection {name!r}", "one of mine")
        return np.flatnonzero(group == "b")

    asked = [make(store, "x", "contrastive", {"background": b}, selections=selections).digest
             for b in ("mine", "b", "label=b", "label = b")]  # fmt: skip
    assert len(set(asked)) == 1
    for given, error, said in (
        ("", ParameterError, "no group"), ("label=c", NotFound, "one of b, t"), ("others", NotFound, "one of mine"),
        ("colour=b", NotFound, "no sample column"),
    ):  # fmt: skip
        with pytest.raises(error, match=said):
            make(store, "x", "contrastive", {"background": given}, selections=selections)
    both = make(store, "x", "contrastive", {"background": "b", "target": "label=t"})
    assert not any("both groups" in line for line in both.about["caveats"])
    with pytest.raises(InputError, match="covers all rows"):
        make(store, "x", "contrastive", {"background": "b", "target": "mine"}, selections=selections)
