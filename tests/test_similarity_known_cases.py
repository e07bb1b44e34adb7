"""One planted case, all measures: what each ignores is its claim, and what it does not ignore it must see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.compute.similarity.shapes import SIGNED
from analysis.methods.similarity.cka import cka
from analysis.methods.similarity.linear_predictivity import linear_predictivity
from analysis.methods.similarity.mutual_neighbours import MutualNeighboursParams, mutual_neighbours
from analysis.methods.similarity.procrustes import procrustes
from analysis.methods.similarity.rsa import RsaParams, rsa
from analysis.methods.similarity.shape_distance import ShapeDistanceParams, shape_distance


def shape(**more):
    params = ShapeDistanceParams(exchanges=19, **more)
    return lambda x, y: np.cos(shape_distance(x, y, params=params).values)


MEASURES = {
    "CKA": lambda x, y: cka(x, y).values,
    "Procrustes": lambda x, y: procrustes(x, y).values,
    "shape, units and signs": shape(ignored=SIGNED),
    "shape, rotations": shape(),
    "shape, linear maps": shape(alpha=0.0),
    "RSA": lambda x, y: rsa(x, y).values,
    "RSA, correlation": lambda x, y: rsa(x, y, params=RsaParams(distance="correlation")).values,
    "neighbours": lambda x, y: mutual_neighbours(x, y, params=MutualNeighboursParams(k=5)).values,
    "neighbours, euclidean": lambda x, y: (
        mutual_neighbours(x, y, params=MutualNeighboursParams(k=5, metric="euclidean")).values
    ),
    "R²": lambda x, y: linear_predictivity(x, y).values,
}
BLIND = {
    "signed permutation": set(MEASURES) - {"RSA, correlation"},
    "permutation": set(MEASURES),
    "rotation": set(MEASURES) - {"RSA, correlation", "shape, units and signs"},
    "linear map": {"shape, linear maps", "R²"},
}


def moved(rng, x, change):
    d = x.shape[1]
    if change == "linear map":
        return (
            x
            @ (np.linalg.qr(rng.standard_normal((d, d)))[0] * np.linspace(1, 6, d))
            @ rng.standard_normal((d, d))
        )
    if change == "rotation":
        return 2 * x @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    signs = np.where(np.arange(d) % 2, -1, 1) if change == "signed permutation" else 1
    return 2 * (x * signs)[:, rng.permutation(d)]


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6))
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("change", BLIND)
def test_one_under_what_is_ignored_and_less_outside(change, measure, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((80, 8)) * np.linspace(1, 3, 8)
    values = MEASURES[measure](x, moved(rng, x, change))
    if measure in BLIND[change]:
        np.testing.assert_allclose(values, 1, atol=1e-8)
    else:
        assert values[0, 1] < 0.999


@pytest.mark.parametrize("measure", MEASURES)
def test_the_diagonal_is_1_and_nothing_is_nan(measure, rng):
    for x, y in (
        (rng.standard_normal((40, 3)), rng.standard_normal((40, 60))),
        (np.eye(30), rng.standard_normal((30, 2))),
    ):
        values = MEASURES[measure](x, y)
        np.testing.assert_allclose(np.diag(values), 1)
        assert np.isfinite(values).all()
        if measure != "R²":
            np.testing.assert_array_equal(values, values.T)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_agree(measure, dtype, rng):
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 4))
    y += x[:, :4]
    x, y = (v.astype(np.float16).astype(dtype) for v in (x, y))
    expected = MEASURES[measure](x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(MEASURES[measure](x, y), expected, atol=1e-9)
