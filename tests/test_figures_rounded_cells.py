"""A matrix that holds rounding and nothing else gets no colours, and says so."""

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.features.readers import PROBE
from analysis.methods.attribution.interaction_matrix import (
    FRIEDMAN,
    SHAPLEY_PAIRS,
    InteractionMatrixParams,
    interaction_matrix,
)
from analysis.results import Heatmap, Matrix
from dashboard.browse.heat_picture import colour_limits as limits_in_the_browser
from dashboard.figures import heatmap, matrix
from dashboard.figures.cells import cells_of
from dashboard.figures.export import export, page_of
from dashboard.figures.rounded_cells import ROUNDED, SAME, ZERO, only_rounding
from dashboard.figures.style import LIGHT

NAMES = ("a", "b", "c", "d")


def planted(values, **more):
    return Matrix(title="planted", values=np.asarray(values), row_names=NAMES, column_names=NAMES, **more)


def colours(result):
    """What Plotly draws: the values of every trace over their scale, 0 to 1."""
    figure = matrix.screen(result, LIGHT)
    low, high = figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax
    z = np.concatenate([np.ravel(t.z) for t in figure.data if t.type == "heatmap"]).astype(float)
    return (z[np.isfinite(z)] - low) / (high - low)


@pytest.mark.parametrize("diverging", [False, True])
def test_rounding_has_no_colour_on_screen_and_on_paper(rng, diverging):
    result = planted(1e-30 * rng.standard_normal((4, 4)) ** (1 if diverging else 2), diverging=diverging)
    assert set(colours(result)) == {0.5 if diverging else 0.0}  # the middle of two signs, else the pale end
    assert ROUNDED[ZERO] in matrix.notes(result)
    image = page_of(result).figure.axes[0].images[0].get_array()
    assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) == 1
    assert b"e-3" in export(result, "csv")  # the numbers leave as they are


def test_equal_cells_have_one_colour(rng):
    result = planted(0.25 + 1e-15 * rng.standard_normal((4, 4)))
    assert len(set(colours(result))) == 1
    assert ROUNDED[SAME] in matrix.notes(result)


def test_small_numbers_that_are_no_rounding_keep_their_colours(rng):
    for values in (1e-9 * rng.random((4, 4)), 0.25 + 1e-9 * rng.random((4, 4)), np.eye(4), np.zeros((4, 4))):
        result = planted(values)
        assert not set(ROUNDED.values()) & set(matrix.notes(result))
        assert cells_of(result).values.max() == pytest.approx(values.max())


def test_what_is_known_elsewhere_says_what_rounding_is(rng):
    values = 1e-16 * rng.random((4, 4))
    assert only_rounding(values) == ""
    assert only_rounding(values, known=1.0) == ZERO
    assert ROUNDED[ZERO] in matrix.notes(planted(values, null=np.full((4, 4), 0.3)))
    assert ROUNDED[ZERO] in matrix.notes(planted(values, rounding=np.full((4, 4), 1e-15)))
    half = np.where(np.eye(4) > 0, 1e-15, 1e-17)  # a cell above its precision gives all their colours
    assert not set(ROUNDED.values()) & set(matrix.notes(planted(values, rounding=half)))


def test_a_heat_map_of_rounding_is_pale_in_the_browser_too(rng):
    cells = (1e-28 * rng.random((4, 4))).astype(np.float32)
    given = {
        "title": "planted", "overview": cells, "shape": (4, 4), "gathered": 1, "row_names": np.array(NAMES),
        "column_names": np.array(NAMES), "row_order": np.arange(4), "column_order": np.arange(4),
        "row_units": np.arange(4), "column_units": np.arange(4), "tiles": "", "share_significant": 0.0,
    }  # fmt: skip
    fields = Heatmap.__dataclass_fields__
    found = Heatmap(**{k: v for k, v in given.items() if k in fields})
    assert limits_in_the_browser(found) == (0.0, 1.0)
    assert ROUNDED[ZERO] in heatmap.notes(found)


@pytest.mark.parametrize("measure", [FRIEDMAN, SHAPLEY_PAIRS])
def test_units_of_a_linear_probe_do_nothing_together(rng, measure):
    label = np.arange(40) % 2
    tap = ArrayActivations(rng.standard_normal((40, 4)) + 2.0 * label[:, None], samples={"label": label})
    found = interaction_matrix(tap, InteractionMatrixParams(reader=PROBE, measure=measure))
    assert found.values.max() > 0
    assert ROUNDED[ZERO] in matrix.notes(found)
    assert "no pair acts together by more than rounding" in found.reading
    assert found.estimates[2].value == 0.0
