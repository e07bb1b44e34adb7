"""A tap at few bits, put back into the network that it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData
from analysis.methods.tokens.coded_answer import AXES, UNITS, CodedAnswerParams, coded_answer
from analysis.tokens.cache.recoding import bits_for, coder_of, rate_and_error

SAMPLE = Path(__file__).parent.parent / "sample_data" / "workspace"


def rows_of(n=600, d=6, samples=30):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3
    return x, np.repeat(np.arange(samples), n // samples), rng


def test_rows_come_back_at_fine_steps_and_as_means_at_coarse_ones():
    x, owner, rng = rows_of()
    coder, rows = coder_of(x, np.arange(len(x)), owner, rng), np.arange(len(x))
    assert 0 < coder.half.sum() < len(coder.half)
    for turned in (False, True):
        np.testing.assert_allclose(coder.coded(x, rows, 1e-9, turned), x, atol=1e-8)
        np.testing.assert_allclose(
            coder.coded(x, rows, 1e9, turned), coder.mean[coder.half[owner]], atol=1e-9
        )
        bits, error = rate_and_error(coder, x, rows, 0.05 * coder.size, turned)
        assert error == pytest.approx((0.05 * coder.size) ** 2 / 12, rel=0.05)
        coarse = rate_and_error(coder, x, rows, coder.size, turned)
        assert coarse[0] < bits
        assert coarse[1] > error
    assert rate_and_error(coder, x, rows, 1e9, True)[0] == 0


def test_axes_and_means_are_those_of_the_other_half():
    x, owner, rng = rows_of()
    coder = coder_of(x, np.arange(len(x)), owner, rng)
    for h in (0, 1):
        other = x[coder.half[owner] != h]
        np.testing.assert_allclose(coder.mean[h], other.mean(axis=0))
        spread = coder.axes[h].T @ np.cov(other.T) @ coder.axes[h]
        np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-8)
        assert (np.diff(np.diag(spread)) <= 0).all()


def test_bits_for_a_loss_are_behind_the_last_loss_above():
    rate, loss = np.array([0.0, 1, 2, 3]), np.array([3.0, 0.1, 0.5, 0.0])
    assert bits_for(rate, loss, 0.25) == pytest.approx(2.5)  # 1 is a dip
    assert bits_for(rate, loss, 5) == 0
    assert bits_for(rate, loss, -1) == 3


@pytest.fixture(scope="module")
def vit():
    pytest.importorskip("transformers")
    if not SAMPLE.exists():
        pytest.skip("no sample workspace")
    return analysis.open_workspace(SAMPLE)


def test_the_network_itself_answers_and_loses_nothing_at_many_bits(vit):
    found = coded_answer(
        vit.activations("digits-vit-patches:vit.layers.2"), CodedAnswerParams(maximum_samples=8)
    )
    assert "the network (ViTForImageClassification)" in found.title
    for way in (UNITS, AXES):
        assert found.series[way][0] > 0.5  # nothing but the mean is left
        assert found.series[way][-1] < 0.02
    assert found.series[AXES].sum() < found.series[UNITS].sum()


def test_means_over_tokens_are_answered_for_by_a_probe_and_said(vit):
    found = coded_answer(vit.activations("digits-vit:vit.layers.3"), CodedAnswerParams(maximum_samples=40))
    assert "means over tokens, which cannot be put back" in found.caveats[0]
    assert "probe" in found.title


def test_rows_that_do_not_vary_are_refused():
    tap = ArrayActivations(
        np.ones((40, 3)), name="x", samples={"label": np.arange(40) % 2}, layout=Layout(np.arange(41))
    )
    with pytest.raises(NotEnoughData, match="does not vary"):
        coded_answer(tap)
