"""Numbers that are 0 but for rounding are shown as 0 and said to be; others, however small, are not."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.results import Curve, Estimate
from dashboard.figures import caption, estimates_table, null_strip
from dashboard.figures.contrast import LEAST, contrast, readable
from dashboard.figures.estimates import detail_words, null_words, sentence, value_words
from dashboard.figures.rounding import rounded
from dashboard.figures.style import DARK, LIGHT, OKABE_ITO, THEMES


def off(**more) -> Estimate:
    return Estimate(
        "row sums off 1", 8.48e-8, **{"null": 0.0, "rounding": 1e-6, "interval": "jackknife", **more}
    )


def test_what_a_method_calls_rounding_is_0_in_words_and_drawing_and_itself_in_the_table():
    e = off(low=7.1e-8, high=9.9e-8)
    assert value_words(e) == "0 (to rounding)"
    assert sentence(e).startswith("row sums off 1: 0 (to rounding; null 0")
    one = Curve(
        title="t", x=np.arange(2.0), x_name="x", y_name="y", series={"a": np.zeros(2)}, estimates=(e,)
    )
    assert "e-08" not in null_strip(one, LIGHT) + caption(one)
    assert "e−08" not in null_strip(one, LIGHT) + caption(one)
    assert estimates_table(one)["value"][0] == 8.48e-8  # the numbers themselves are untouched


def test_a_number_above_its_rounding_or_without_one_is_told_as_it_is():
    assert value_words(off(rounding=1e-8)) == "8.48e−08"
    assert value_words(off(rounding=0.0)) == "8.48e−08"
    isotropic = Estimate("isotropic share", 6.1e-8, low=5e-8, high=7e-8, null=5.9e-8)
    assert value_words(isotropic) == "6.1e−08 [5e−08, 7e−08]"
    assert null_words(isotropic) == "null 5.9e−08"


def test_what_double_precision_leaves_beside_larger_numbers_is_0_but_a_small_p_is_not():
    e = Estimate("Gini", 0.2, low=0.1, high=0.3, null=1.11e-17, p_value=1e-20)
    assert null_words(e) == "null 0"
    assert value_words(e) == "0.2 [0.1, 0.3]"
    assert rounded(e).p_value == 1e-20
    assert rounded(Estimate("x", 0.0)) == Estimate("x", 0.0)
    assert value_words(Estimate("x", 0.0)) == "0"
    assert value_words(off(low=-1e-7, high=0.5)) == "0 [0, 0.5] (to rounding)"


@pytest.mark.parametrize("theme", list(THEMES.values()), ids=list(THEMES))
def test_names_in_the_colour_of_their_line_can_be_read(theme):
    for colour in theme.categories:
        assert contrast(readable(colour, theme.ground), theme.ground) >= LEAST
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )  # WCAG's own example of just too little
    assert readable("#000000", LIGHT.ground) == "#000000"
    assert readable(OKABE_ITO[7], DARK.ground) == OKABE_ITO[7]  # yellow on black is left alone
    assert min(contrast(c, LIGHT.ground) for c in OKABE_ITO) < 1.5  # what it was


def test_the_names_at_the_ends_of_lines_are_readable_on_screen():
    from dashboard.figures import on_screen

    series = {f"line {k}": np.full(3, float(k)) for k in range(8)}
    figure = on_screen(
        Curve(title="t", x=np.arange(3.0), x_name="x", y_name="y", series=series), theme="light"
    )
    shown = [a.font.color for a in figure.layout.annotations if str(a.text).startswith("line")]
    assert len(shown) == 8
    assert all(contrast(colour, LIGHT.ground) >= LEAST for colour in shown)


def test_an_interval_without_a_width_says_what_it_does_not_show():
    """150 samples that all agree: 1 - 0.05^(1/150) = 2.0 % of others may not (the rule of three gives 3/150)."""
    all_agree = Estimate("accuracy", 1.0, 1.0, 1.0, interval="bootstrap over samples", n=150)
    assert "up to 2.0% of other samples may not" in detail_words(all_agree)
    halves = Estimate("stability", 1.0, 1.0, 1.0, interval="95 % of 20 resamplings", n=150)
    assert "does not show that there is none" in detail_words(halves)
    for other in (Estimate("a", 1.0, 0.9, 1.0, interval="bootstrap over samples", n=150),
                  Estimate("a", 1.0, interval="none: counted", n=150)):  # fmt: skip
        assert "may not" not in detail_words(other)
        assert "does not show" not in detail_words(other)
