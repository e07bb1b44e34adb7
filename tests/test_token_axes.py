"""Attention on its own grids and along two axes, of weights that a tap recorded and of rows; wavelengths."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.tokens.axis_attention import MAPS, AxisAttentionParams, axis_attention
from analysis.methods.tokens.axis_matrix import SECOND, AxisMatrixParams, axis_matrix
from analysis.methods.tokens.reduced_attention import ReducedAttentionParams, reduced_attention
from analysis.tokens.mixers.axis_reading import wavelengths
from analysis.tokens.mixers.convolution import expanded
from analysis.tokens.mixers.linear_attention import axial, squared, strip_cells
from analysis.tokens.mixers.own_grid_reading import AROUND
from analysis.tokens.mixers.own_grids import key_grid, laid, recorded
from dashboard.browse.token_questions import QUESTIONS

ROWS = {
    "MambaOut: Do We Really Need Mamba for Vision?": ("mixer_ablation", "attention_work"),
    "Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention": (
        "reduced_attention",
        "feature_collapse",
    ),
    "Axial Attention in Multidimensional Transformers": ("axis_attention", "axis_matrix"),
    "S2AFormer: Strip Self-Attention for Efficient Vision Transformer": (
        "reduced_attention",
        "attention_work",
    ),
    "LESS ViT: multi-modal & hyperspectral geospatial foundation model": (
        "axis_attention",
        "axis_matrix",
        "band_dropout",
    ),
}


@pytest.mark.parametrize("title", ROWS)
def test_each_row_has_its_methods_and_each_method_its_question(title):
    for name in ROWS[title]:
        assert title in registry.method(name).papers
        assert name in QUESTIONS["mixing"].asks.values()


def tap_of(samples, name="tap", grid=None, **more) -> ArrayActivations:
    return ArrayActivations(
        np.vstack(samples), name=name, layout=Layout(np.cumsum([0, *map(len, samples)]), grid=grid), **more
    )


def test_recorded_weights_are_known_by_their_sums(rng):
    weights = rng.dirichlet(np.ones(4), (2, 12))  # heads, tokens, keys
    rows = weights.swapaxes(0, 1).reshape(12, 8)
    np.testing.assert_allclose(recorded(rows), weights)
    np.testing.assert_allclose(recorded(rows.astype(np.float16)), weights, atol=1e-3)
    assert recorded(rows - 0.5) is None
    assert recorded(2.3 * rows) is None
    assert recorded(rows[:, ::-1].copy()[:, [0, 4, 1, 5, 2, 6, 3, 7]]) is None  # no head sums to 1


def test_fewer_keys_are_drawn_on_the_cells_they_cover(rng):
    weights = rng.dirichlet(np.ones(6), (1, 24))
    tap = tap_of([w.reshape(24, 6) for w in (weights[0], weights[0])], grid=(4, 6))
    found = reduced_attention(tap, ReducedAttentionParams(token=23))
    assert key_grid((4, 6), 6) == (2, 3)
    np.testing.assert_allclose(found.values[0], 24 * squared(weights[0], strip_cells((4, 6), (2, 3)))[23])
    np.testing.assert_array_equal(np.flatnonzero(found.values[1]), [16, 17, 22, 23])
    assert found.estimates[1].value == 4
    assert found.estimates[3].value == 0.25
    with pytest.raises(InputError, match="5 keys over a grid of 4 x 6"):
        laid(rng.dirichlet(np.ones(5), (1, 24)), (4, 6))
    with pytest.raises(NotFound, match="token 24"):
        reduced_attention(tap, ReducedAttentionParams(token=24))


def test_a_dilated_neighbourhood_is_drawn_where_it_lies(rng):
    weights = rng.dirichlet(np.ones(9), 49)
    tap = tap_of([weights, weights], grid=(7, 7))
    found = reduced_attention(tap, ReducedAttentionParams(keys=AROUND, dilation=2, token=24))
    np.testing.assert_allclose(found.values[0], 49 * expanded(weights.reshape(7, 7, 9), 2)[24])
    rows, columns = np.divmod(np.flatnonzero(found.values[1]), 7)
    assert set(rows) == set(columns) == {1, 3, 5}
    assert any("spans 5" in c for c in found.caveats)


def test_two_taps_of_weights_are_two_axes(rng):
    """Rows, then columns, of 3 x 4, against the whole matrix."""
    first, second = rng.dirichlet(np.ones(4), (3, 4)), rng.dirichlet(np.ones(3), (4, 3))
    rows = first.reshape(12, 4)
    columns = second.swapaxes(0, 1).reshape(12, 3)
    taps = [tap_of([rows, rows], "rows"), tap_of([columns, columns], "columns")]
    found = axis_attention(*taps, params=AxisAttentionParams(line=3, place=2))
    whole = axial(first, second)
    np.testing.assert_allclose(found.values[2], 12 * whole[2 * 4 + 1], atol=1e-9)
    assert found.grid == (3, 4)
    assert found.estimates[3].value == pytest.approx(12 * 7 / 144)
    matrix = axis_matrix(*taps, params=AxisMatrixParams(axis=SECOND, line=4))
    np.testing.assert_allclose(matrix.values, second[3], atol=1e-9)
    apart = axis_attention(*taps, params=AxisAttentionParams(line=3, place=2, draw=MAPS))
    np.testing.assert_allclose(apart.values[3], 12 * whole[9].reshape(3, 4)[:, 3], atol=1e-9)


def test_rows_attend_along_each_axis(rng):
    """The stand-in against a loop over its lines."""
    x = rng.standard_normal((2, 12, 5))
    tap = tap_of(list(x), grid=(3, 4))
    found = axis_matrix(tap, params=AxisMatrixParams(line=2))
    centred = x - x.mean(axis=(0, 1))
    centred /= np.sqrt(np.square(centred).mean())
    line = centred[0].reshape(3, 4, 5)[1]
    weights = np.exp(line @ line.T / np.sqrt(5))
    np.testing.assert_allclose(found.values, weights / weights.sum(axis=1, keepdims=True), atol=1e-9)
    with pytest.raises(ParameterError, match="5 places of 12 tokens"):
        axis_matrix(tap, params=AxisMatrixParams(places=5))


def test_wavelengths_are_given_or_read():
    np.testing.assert_array_equal(wavelengths("490; 560, 665", {}, (), 3), [490, 560, 665])
    np.testing.assert_array_equal(wavelengths("", {"wavelengths": [490, 560]}, (), 2), [490, 560])
    np.testing.assert_array_equal(wavelengths("", {}, ("B2 490 nm", "B3 560.5nm"), 2), [490, 560.5])
    assert wavelengths("", {}, ("0", "1"), 2) is None
    for text, said in (("490, x", "numbers in nm"), ("490", "1 wavelengths for 2"), ("490, -3", "above 0")):
        with pytest.raises(ParameterError, match=said):
            wavelengths(text, {}, (), 2)
