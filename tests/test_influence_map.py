"""Effective receptive fields: a kernel, a plane recurrence, an even field, and whose means they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotFound
from analysis.methods.tokens.influence_map import InfluenceMapParams, influence_map
from analysis.tokens.mixers.fields import measured as field_of
from analysis.tokens.mixers.fields import recurrence
from analysis.workspace import Workspace

SAMPLE = Path(__file__).parents[1] / "sample_data" / "workspace"


def test_the_field_of_a_convolution_is_its_kernel():
    torch = pytest.importorskip("torch")
    from analysis.sources.input_influence import _map

    torch.manual_seed(0)
    conv = torch.nn.Conv2d(1, 3, 3, padding=1, bias=False).double()
    x = torch.randn(2, 1, 7, 7, dtype=torch.float64, requires_grad=True)
    y = conv(x).flatten(2).transpose(1, 2)
    found = _map(y, x, (7, 7), (0.5, 0.5), 2000, 0)
    want = conv.weight.detach().square().sum(dim=(0, 1)).numpy() / 3  # E over directions
    np.testing.assert_allclose(found[0, 2:5, 2:5], want, rtol=0.12)
    np.testing.assert_array_equal(found[0], found[1])
    outside = found[0].copy()
    outside[2:5, 2:5] = 0
    assert not outside.any()


def test_a_plane_recurrence_answers_in_its_quadrant_and_leans_as_its_factors():
    found = recurrence(0.3, 0.3, 9)[0]
    assert not found[:4].any()
    assert not found[:, :4].any()
    assert found[5, 5] / found[4, 4] == pytest.approx((2 * 0.09) ** 2)
    turned = field_of(recurrence(0.5, 0.1))[0, 3]
    assert turned == pytest.approx(1 / field_of(recurrence(0.1, 0.5))[0, 3], rel=1e-6)


def test_an_even_field_has_no_direction_on_any_grid():
    for rows, columns in ((4, 4), (3, 8), (7, 5)):
        assert field_of(np.full((1, rows, columns), 1 / (rows * columns)))[0, 3] == pytest.approx(1)


def test_a_sample_that_was_not_read_is_refused(rng):
    tap = ArrayActivations(rng.standard_normal((48, 5)), layout=Layout(np.arange(0, 49, 16), grid=(4, 4)))
    with pytest.raises(NotFound, match="sample 9"):
        influence_map(tap, InfluenceMapParams(sample=9))


@pytest.mark.parametrize("grid", [(4, 4), None])
def test_the_sample_that_is_drawn_moves_no_mean(rng, grid):
    """Six of 30 are read; whichever is drawn, read or not, longer or of another size, what is said of them stays."""
    lengths = np.full(30, 16) if grid else np.r_[[16] * 29, 40]
    x = rng.standard_normal((lengths.sum(), 5)) * np.repeat(np.geomspace(1, 9, 30), lengths)[:, None]
    tap = ArrayActivations(x, layout=Layout(np.r_[0, np.cumsum(lengths)], grid=grid))

    def asked(sample):
        return influence_map(
            tap, InfluenceMapParams(sample=sample, maximum_samples=6), np.random.default_rng(3)
        )

    usual = asked(None)
    read = int(usual.names[2].split()[1].rstrip(","))
    assert asked(read).values.tolist() == usual.values.tolist()
    other = next(i for i in range(29, 0, -1) if i != read)
    for sample in (other, 0 if read else 1):
        one = asked(sample)
        assert one.estimates == usual.estimates
        np.testing.assert_array_equal(one.values[:2], usual.values[:2])
        assert not np.array_equal(one.values[2], usual.values[2])
        assert one.names[2] == f"sample {sample}, in the middle"
        assert any(f"Sample {sample} is drawn only" in c for c in one.caveats)


def test_the_sample_that_is_drawn_moves_no_mean_of_a_network():
    pytest.importorskip("torch")
    tap = Workspace(SAMPLE).activations("digits-resnet:resnet.encoder.stages.0")

    def asked(sample):
        given = InfluenceMapParams(sample=sample, maximum_samples=3, directions=1)
        return influence_map(tap, given, np.random.default_rng(0))

    usual = asked(None)
    assert any("The network was run on 3 of" in c for c in usual.caveats)
    first = int(usual.names[2].split()[1].rstrip(","))
    for sample in (first, first + 1, 0):
        one = asked(sample)
        assert one.estimates == usual.estimates
        np.testing.assert_array_equal(one.values[:2], usual.values[:2])
        np.testing.assert_array_equal(one.pictures[0], usual.pictures[0])
        assert np.array_equal(one.pictures[2], usual.pictures[2]) == (sample == first)
