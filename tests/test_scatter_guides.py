"""Guides of a scatter: in view, named on screen, on paper and in words, kept on disk, not part of the points."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis import results
from analysis.results import Origin, Scatter
from dashboard import colouring
from dashboard.figures import alt_text, on_screen
from dashboard.figures.export import export, on_paper

TURN = np.linspace(0.5 * np.pi, 2.5 * np.pi, 50)
CIRCLE = np.column_stack([np.cos(TURN), np.sin(TURN)])


def scatter(**more) -> Scatter:
    return Scatter(title="Modes", positions=np.array([[0.1, 0.2], [0.3, -0.2]]), rows=np.arange(2), of="modes",
                   axes=("κ (real)", "κ (imaginary)"), columns={"energy": np.array([0.2, 0.8])}, colour="energy",
                   guides={"unit circle <b>": CIRCLE}, **more)  # fmt: skip


def test_a_guide_is_drawn_named_and_in_view_on_screen():
    figure = on_screen(scatter())
    line = next(t for t in figure.data if t.mode == "lines")
    np.testing.assert_allclose(np.column_stack([line.x, line.y]), CIRCLE)
    assert [a.text for a in figure.layout.annotations if "unit circle" in a.text] == ["unit circle &lt;b&gt;"]
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert axis.range[0] < -1
        assert axis.range[1] > 1
    assert figure.layout.yaxis.scaleanchor == "x"  # a circle is round
    assert "mode %{customdata}" in next(t for t in figure.data if t.mode == "markers").hovertemplate


def test_a_guide_is_drawn_named_and_in_view_on_paper():
    axes = on_paper(scatter()).axes[0]
    assert any(np.allclose(line.get_xydata(), CIRCLE) for line in axes.lines)
    assert any("unit circle" in t.get_text() for t in axes.texts)
    assert axes.get_xlim()[0] < -1
    assert axes.get_ylim()[1] > 1
    assert axes.get_aspect() in (1, "equal")


def test_words_files_and_the_disk_know_it(tmp_path):
    assert "unit circle" in alt_text(scatter())
    assert export(scatter(), "csv").decode().splitlines()[0].startswith("mode,")
    assert len(export(scatter(), "csv").decode().splitlines()) == 3
    results.save(scatter(), tmp_path / "r.npz")
    np.testing.assert_array_equal(results.load(tmp_path / "r.npz").guides["unit circle <b>"], CIRCLE)


def test_what_no_store_knows_is_coloured_by_its_own_columns_only():
    origin = Origin("m", 1, {}, ({"name": "store:tap", "digest": ""},), 0, {})
    found = scatter(origin=origin)
    assert [s.id for s in colouring.offered(found, None)] == ["energy"]
    assert colouring.covered(found, None, object()) is None
    assert colouring.coloured(found, None, "label") is found
    assert colouring._reference(dataclasses.replace(found, of="rows")) == "store:tap"
