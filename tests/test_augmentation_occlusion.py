"""Occlusion with augmentation subspaces: angles, augmentations that are the same for every mask, and what is 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution.augmentations import augmentations, blurred
from analysis.compute.subspaces.occluded_subspaces import floor, span, turned
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.errors import ParameterError
from analysis.methods.attribution.augmentation_occlusion import (
    AugmentationOcclusionParams,
    augmentation_occlusion,
)


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def drawn(count, x, grid, **asked):
    given = {
        "shift": 2,
        "flips": True,
        "brightness": 0.3,
        "noise": 0.1,
        "spread": np.ones(x.shape[1]),
    } | asked
    return augmentations(count, tuple(x.shape), grid, np.random.default_rng(3), **given)


def test_heat_is_that_of_projections():
    a, b = span(data(6, 9), 3), span(data(6, 9, seed=1), 3)
    assert turned(a, b)[0] == pytest.approx(1 - np.trace(a @ a.T @ b @ b.T) / 3, abs=1e-12)
    turn = np.linalg.qr(data(9, 9, seed=2))[0]
    again = turned(span(data(6, 9) @ turn * 7, 3), span(data(6, 9, seed=1) @ turn * 7, 3))[0]
    assert again == pytest.approx(turned(a, b)[0], abs=1e-12)
    assert turned(a, a)[0] == 0.0
    assert turned(np.eye(9)[:, :3], np.eye(9)[:, 3:6])[0] == 1.0
    f, g = data(1, 9), data(1, 9, seed=5)
    cosine = (f @ g.T).item() / np.linalg.norm(f) / np.linalg.norm(g)
    assert turned(span(f, 1), span(g, 1))[0] == pytest.approx(1 - cosine**2, abs=1e-12)


def test_random_subspaces_lie_at_the_floor():
    rng = np.random.default_rng(4)
    heats = [turned(random_basis(10, 3, rng), random_basis(10, 3, rng))[0] for _ in range(1500)]
    assert np.mean(heats) == pytest.approx(floor(3, 10), abs=0.01)


def test_as_many_dimensions_as_versions_are_refused():
    with pytest.raises(ParameterError, match="fewer dimensions"):
        span(data(4, 9), 4)
    with pytest.raises(ParameterError, match="4 dimensions from 4"):
        augmentation_occlusion(data(20, 6), AugmentationOcclusionParams(augmentations=4, dimensions=4))


def test_versions_are_the_same_for_every_mask_and_the_first_is_the_sample():
    x = torch.as_tensor(data(12, 2))
    versions = drawn(5, x, (3, 4))
    found, other = versions.of(x), versions.of(2 * x)
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(versions.of(x), found)
    np.testing.assert_allclose(other - found, found - torch.as_tensor(versions.noise), atol=1e-12)
    picture = x.numpy().reshape(3, 4, 2)
    for k in range(5):
        (down, along), moved = versions.shifts[k], np.empty((3, 4, 2))
        for r, c in np.ndindex(3, 4):
            at = min(max(c - along, 0), 3)
            moved[r, c] = picture[min(max(r - down, 0), 2), 3 - at if versions.flips[k] else at]
        known = moved.reshape(12, 2) * versions.factors[k] + versions.noise[k]
        np.testing.assert_allclose(found[k], known, atol=1e-12)
    assert versions.flips.any()
    assert np.abs(versions.shifts).max() == 2
    row = drawn(5, x, None).of(x)
    np.testing.assert_allclose(row[0], x)


def test_a_blurred_picture_is_the_mean_of_its_neighbours():
    x = torch.as_tensor(data(12, 1))
    padded = np.pad(x.numpy().reshape(3, 4), 1, mode="edge")
    known = [[padded[r : r + 3, c : c + 3].mean() for c in range(4)] for r in range(3)]
    np.testing.assert_allclose(blurred(x, (3, 4), 3)[:, 0].reshape(3, 4), known, atol=1e-12)
    row = np.pad(x.numpy()[:, 0], 1, mode="edge")
    np.testing.assert_allclose(
        blurred(x, None, 3)[:, 0], [row[i : i + 3].mean() for i in range(12)], atol=1e-12
    )


def test_a_place_that_hides_nothing_has_no_heat_at_all_and_a_planted_one_has_most():
    """Under augmentations, exactly: the versions of an unchanged sample are the same numbers."""
    x = data(14, 5, 8)
    x[:, 2] = 0.5  # what stands there stands there in every sample
    x[6, 3] = 9 * data(8, seed=8)
    tap = ArrayActivations(x.reshape(-1, 8), layout=Layout(np.arange(15, dtype=np.int64) * 5))
    found = augmentation_occlusion(tap, AugmentationOcclusionParams(sample=6, others=12))
    assert found.values[0, 2] == 0.0
    assert found.values[0].argmax() == 3
    again = augmentation_occlusion(tap, AugmentationOcclusionParams(sample=6, others=12))
    np.testing.assert_array_equal(found.values, again.values)
