"""What pictures of the Tokens page say in words: cells that differ are written apart, and every picture says what a
cell means."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods.tokens.attention_atlas import _apart
from analysis.methods.tokens.mixing_matrix import mixing_matrix
from analysis.methods.tokens.token_survival import MORE, TokenSurvivalParams, Z, token_survival
from analysis.results import Curve, Matrix
from dashboard import figures


def written(values) -> str:
    """The template of the numbers in the cells."""
    names = tuple("abcd")
    made = Matrix(
        title="t", values=np.asarray(values), row_names=names[:2], column_names=names[:2], value_name="v"
    )
    return figures.on_screen(made).data[0].texttemplate


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([[1.51631, 1.51635], [1.51633, 1.51632]], 5),
        ([[1.52, 1.55], [1.53, 1.54]], 3),
        ([[0.2, 0.9], [0.5, 0.4]], 2),
        ([[1.5, 1.5], [1.5, 1.5]], 2),
        ([[3.0, 7.0], [9.0, 2.0]], 0),
    ],
)
def test_cells_that_differ_are_written_apart(values, decimals):
    assert written(values) == f"%{{z:.{decimals}f}}"


def test_the_ends_of_a_range_are_told_apart():
    assert (_apart(1.51631, 1.51635), _apart(1.51635, 1.51631)) == ("1.5163", "1.5164")
    assert (_apart(0.2, 0.9), _apart(2.0, 2.0)) == ("0.2", "2")


@pytest.mark.parametrize(
    ("drawn", "said"), [(Z, "standard deviations a rule leaves more"), (MORE, "how much larger")]
)
def test_survival_says_what_a_cell_is(rng, drawn, said):
    found = token_survival(rng.standard_normal((320, 6)), TokenSurvivalParams(drawn=drawn, rules="tome"))
    assert found.reading.startswith("A cell says")
    assert said in found.reading


def test_a_mixer_says_what_rows_and_columns_are(rng):
    assert mixing_matrix(rng.standard_normal((160, 6))).reading.startswith("A row is a token, and its cells")


def test_layers_on_an_axis_beside_the_input_keep_their_numbers():
    places = ("input", *(f"transformer.h.{k}" for k in range(12)))
    x = np.arange(13.0)
    curve = Curve(title="t", x=x, x_name="layer", x_labels=places, y_name="y", series={"y": x})
    ticks = figures.on_screen(curve).layout.xaxis.ticktext
    assert list(ticks) == ["input", *(f"…h.{k}" for k in range(12))]
