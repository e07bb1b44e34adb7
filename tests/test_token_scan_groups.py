"""Steps of scans by kinds of tokens, and counts along them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, ParameterError, ShapeError
from analysis.methods.tokens.scale_counts import scale_counts
from analysis.methods.tokens.scan_groups import ScanGroupsParams, estimates, scan_groups


def test_the_auroc_of_steps_counts_pairs(rng):
    x, novel = rng.standard_normal((14, 3)), np.arange(14) % 3 == 0
    told = estimates({"scan": x}, novel, 19, rng)
    score = x.mean(axis=1)
    by_hand = np.mean([a > b for a in score[novel] for b in score[~novel]])
    assert told[0].value == pytest.approx(by_hand)
    each = [np.mean([a > b for a in c[novel] for b in c[~novel]]) for c in x.T]
    assert told[1].value == pytest.approx(np.abs(np.array(each) - 0.5).max())


def test_novel_classes_are_named_and_unknown_ones_are_refused(rng):
    tap = ArrayActivations(np.exp(rng.standard_normal((30, 4))), samples={"label": np.arange(30) % 3})
    assert "Novel classes: 0, 2." in scan_groups(tap, ScanGroupsParams(novel="0, 2", exchanges=19)).caveats
    with pytest.raises(ParameterError, match="no class '7'"):
        scan_groups(tap, ScanGroupsParams(novel="7", exchanges=19))


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_steps_of_a_network_are_captured_and_depend_on_the_input(kind):
    from test_token_mixers import opened

    from analysis.tokens.mixers.scan_steps import _captured

    _, mixers = opened(kind)
    found = _captured(mixers, lambda *_: None)
    assert len(found.means) == 2
    for layer, name in enumerate(mixers.layers):
        for place in range(3):
            step = mixers.read(place).scans[layer].scan.step
            assert (step > 0).all()
            np.testing.assert_allclose(found.means[name][place], np.log(step).mean(axis=0), rtol=1e-9)
        assert np.ptp(found.means[name], axis=0).max() > 1e-4


def test_counts_of_scales_are_sums_over_places_and_together_the_integral(rng):
    """Densities of scales that agree are integrated whatever the gates are."""
    g, d = rng.dirichlet(np.ones(3), 60), np.repeat(rng.random((60, 1)), 3, axis=1)
    layout = Layout(np.arange(0, 61, 10), grid=(2, 5))
    taps = [ArrayActivations(v, n, layout=layout) for v, n in ((g, "gates"), (d, "densities"))]
    found = scale_counts(*taps)
    assert found.columns["count"].sum() == pytest.approx(d[:, 0].sum() / 6)
    want = (g * d).reshape(6, 10, 3).sum(axis=1)
    np.testing.assert_allclose(np.sort(found.columns["count"]), np.sort(want.mean(axis=0)))
    logits = scale_counts(ArrayActivations(np.log(g), "gates", layout=layout), taps[1])
    np.testing.assert_allclose(logits.columns["count"], found.columns["count"])
    assert any("taken for logits" in c for c in logits.caveats)
    with pytest.raises(InputError, match="all gates are 0"):
        scale_counts(ArrayActivations(0 * g, layout=layout), taps[1])
    with pytest.raises(ShapeError, match="the same samples"):
        scale_counts(taps[0], ArrayActivations(d[:, :2], layout=layout))
