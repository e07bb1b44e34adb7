"""Low rank and landmarks of attention's kernels, against matrices that are written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.methods.tokens.attention_spectrum import AttentionSpectrumParams, attention_spectrum
from analysis.tokens.attention.heads import planted
from analysis.tokens.attention.landmarks import (
    GAUSSIAN,
    NYSTROEM,
    SHARE,
    SOFTMAX,
    WAYS,
    clusters,
    kernel,
    landmarks,
    left_by,
)
from analysis.tokens.attention.landmarks import (
    measured as spectrum_of,
)
from analysis.tokens.attention.landmarks import (
    sizes_of as marks_of,
)


@pytest.mark.parametrize("kind", [SOFTMAX, GAUSSIAN])
@pytest.mark.parametrize("core", [NYSTROEM, "the best there is"])
def test_all_tokens_as_landmarks_leave_nothing(rng, kind, core):
    q, k = rng.standard_normal((2, 14, 5))
    assert left_by(q, k, (q, k), kind, core) < 1e-7


def test_the_gaussian_kernel_of_equal_queries_and_keys_is_positive_with_a_unit_diagonal(rng):
    x = rng.standard_normal((20, 4))
    made = kernel(x, x, GAUSSIAN)
    np.testing.assert_allclose(made, made.T)
    np.testing.assert_allclose(np.diag(made), 1.0)
    assert np.linalg.eigvalsh(made).min() > 0
    np.testing.assert_allclose(kernel(x, x, SOFTMAX).sum(axis=1), 1.0)
    assert np.ptp(made.sum(axis=1)) > 0.1  # rows of the kernel are no shares


def test_landmarks_leave_no_less_than_the_best_matrix_of_their_rank(rng):
    q, k = rng.standard_normal((2, 24, 6))
    for kind, way, m in itertools.product((SOFTMAX, GAUSSIAN), WAYS, (2, 6, 12)):
        values = np.linalg.svd(kernel(q, k, kind), compute_uv=False)
        bound = np.sqrt((values[m:] ** 2).sum() / (values**2).sum())
        assert left_by(q, k, landmarks(q, k, m, way, rng), kind) >= bound - 1e-9


def test_clusters_put_every_token_to_its_nearest_mean(rng):
    x = np.concatenate([rng.standard_normal((10, 3)) + 8 * np.eye(3)[i] for i in range(3)])
    of = clusters(x, 3, rng)
    means = np.stack([x[of == c].mean(axis=0) for c in range(3)])
    np.testing.assert_array_equal(of, np.square(x[:, None] - means).sum(axis=2).argmin(axis=1))
    assert len(clusters(np.ones((5, 2)), 3, rng)) == 5  # copies are one cluster


def test_spectra_are_those_of_the_rows_that_are_read_text_and_picture(rng):
    q, k = rng.standard_normal((2, 3, 9, 4))
    for causal in (False, True):
        reader = planted(q, k, causal=causal, scale=0.5)
        values, errors = spectrum_of(
            reader, 0, (0,), marks_of(reader), (SOFTMAX, NYSTROEM), rng, lambda f: None
        )
        for b in range(3):
            want = np.linalg.svd(reader.rows(0, 0)[b], compute_uv=False)
            np.testing.assert_allclose(values[SOFTMAX][b], want / want[0], atol=1e-9)
            share = np.cumsum(want**2) / (want**2).sum()
            assert values[SOFTMAX, SHARE][b] == 1 + (share < 0.9).sum()
        assert all((e <= 1).all() and (e[:, -1] < 1e-6).all() for e in errors.values())


def test_landmarks_are_drawn_with_as_many_values_as_tokens(rng):
    tap = ArrayActivations(rng.standard_normal((60, 6)), layout=Layout(np.arange(0, 61, 20)))
    drawn = attention_spectrum(tap, AttentionSpectrumParams(show="landmarks"))
    assert set(drawn.series) == set(WAYS) == set(drawn.null)
    assert drawn.x[0] == 1
    assert all((np.diff(line) < 0.2).all() for line in drawn.series.values())
