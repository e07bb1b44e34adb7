"""Gates of channels and places in either order: by hand, and by second ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import ShapeError
from analysis.methods.tokens.gate_order import gate_order


def gates(rng, n=20, c=5, t=7):
    g, s, x = rng.random((n, c)), rng.random((n, t)), rng.standard_normal((n, t, c))
    layout = Layout(np.arange(n + 1) * t)
    spatial = ArrayActivations(s.reshape(-1, 1), "spatial", layout=layout)
    return (
        g,
        s,
        x,
        ArrayActivations(g, "channel"),
        spatial,
        ArrayActivations(x.reshape(-1, c), "x", layout=layout),
    )


def test_difference_is_what_least_squares_leaves_of_the_sequential_output(rng):
    """A second way: regress the sequential output on the parallel one, sample by sample, with inputs and without."""
    g, s, x, *taps = gates(rng)
    for inputs, some in ((x, taps), (np.ones_like(x), taps[:2])):
        beside = ((g[:, None] + s[:, :, None]) * inputs).reshape(len(g), -1)
        after = (g[:, None] * s[:, :, None] * inputs).reshape(len(g), -1)
        left = [
            np.linalg.lstsq(p[:, None], q, rcond=None)[1][0] / (q @ q)
            for p, q in zip(beside, after, strict=True)
        ]
        found = gate_order(*some)
        by = {e.name: e for e in found.estimates}
        assert by["difference that no factor mends"].value == pytest.approx(np.mean(left), rel=1e-9)
        size = np.square(inputs).reshape(len(g), -1).sum(axis=1)
        assert by["left of the input, sequential"].value == pytest.approx(
            np.sqrt(np.square(after).sum(axis=1) / size).mean()
        )
        assert by["left of the input, parallel"].value == pytest.approx(
            np.sqrt(np.square(beside).sum(axis=1) / size).mean() / 2
        )
        assert found.counts["samples"].sum() == found.null.sum() == len(g)


def test_gates_before_their_sigmoid_and_shares_of_positions_are_taken_alike(rng):
    g, s, _, channel, spatial, x = gates(rng)
    logit = [ArrayActivations(np.log(v / (1 - v)), n, layout=tap.layout) for v, n, tap in (
        (g, "channel", channel), (s.reshape(-1, 1), "spatial", spatial))]  # fmt: skip
    one, two = gate_order(channel, spatial, x), gate_order(*logit, x)
    assert two.estimates[0].value == pytest.approx(one.estimates[0].value, rel=1e-9)
    assert sum("A sigmoid is taken" in c for c in two.caveats) == 2
    pooled = gate_order(channel, ArrayActivations(s, "positions as units"))
    assert pooled.estimates[0].value == pytest.approx(gate_order(channel, spatial).estimates[0].value)


def test_gates_that_know_each_other_are_told_from_gates_that_do_not(rng):
    """Where a sample's two gates are sharp together, the order matters less than with another sample's."""
    sharp = np.repeat([0.02, 0.98], 40)[:, None]
    power = 1 + 8 * sharp
    g, s = rng.random((80, 30)) ** power, rng.random((80, 30)) ** power
    found = gate_order(ArrayActivations(g, "g"), ArrayActivations(s, "s"))
    assert found.estimates[1].high < 0
    assert found.reading.endswith("differ more.")
    free = gate_order(ArrayActivations(rng.random((80, 30)), "g"), ArrayActivations(s, "s"))
    assert free.estimates[1].low < 0 < free.estimates[1].high


def test_what_is_gated_has_to_fit(rng):
    *_, channel, spatial, _ = gates(rng)
    with pytest.raises(ShapeError, match="7 of 5"):
        gate_order(channel, spatial, ArrayActivations(rng.standard_normal((20, 5)), "x"))


def test_gates_of_tokens_are_opened_before_they_are_averaged(rng):
    """Saturated either way, half of the time: a gate of one half, which a sigmoid of the mean would give too; of logits
    3 and 0 it would not."""
    g, layout = rng.choice([0.0, 3.0], (20, 2, 5)), Layout(np.arange(21) * 2)
    s = ArrayActivations(rng.random((20, 7)), "spatial")
    raw = gate_order(ArrayActivations(g.reshape(-1, 5), "g", layout=layout), s)
    own = gate_order(ArrayActivations((1 / (1 + np.exp(-g))).mean(axis=1), "g"), s)
    assert raw.estimates[0].value == pytest.approx(own.estimates[0].value, rel=1e-9)


def test_what_is_shut_in_sequence_alone_is_a_difference_and_nothing_to_gate_is_left_out(rng):
    g, s = np.zeros((20, 5)), rng.random((20, 7))
    shut = gate_order(ArrayActivations(g, "g"), ArrayActivations(s, "s"))
    assert shut.estimates[0].value == 1.0
    assert shut.estimates[2].value == pytest.approx(np.sqrt(np.square(s).mean(axis=1)).mean() / 2)
    _, _, x, channel, spatial, tap = gates(rng)
    x[3] = 0
    found = gate_order(channel, spatial, ArrayActivations(x.reshape(-1, x.shape[2]), "x", layout=tap.layout))
    assert found.estimates[0].n == 19
    assert any(c.startswith("1 sample(s) with NaN, infinity or nothing but 0") for c in found.caveats)


def test_spatial_gates_are_exchanged_among_samples_of_one_length_alone(rng):
    """Ten samples of four positions, nine of six, one of five: that one has none to change with."""
    lengths = np.r_[np.full(10, 4), np.full(9, 6), 5]
    rows = rng.random((lengths.sum(), 1))
    spatial = ArrayActivations(rows, "s", layout=Layout(np.concatenate([[0], np.cumsum(lengths)])))
    found = gate_order(ArrayActivations(rng.random((20, 5)), "g"), spatial)
    assert (found.estimates[0].n, found.estimates[1].n) == (20, 19)
    assert found.null.sum() == 19
    assert any(c.startswith("1 sample(s) that none has as many") for c in found.caveats)


def test_the_check_of_gate_order_fails_on_broken_code(monkeypatch):
    from analysis.methods.tokens import gate_order as file

    real = file._compared
    monkeypatch.setattr(file, "_compared", lambda g, s, w: real(g, g[: len(s)], w))
    assert not all(line.passed for line in file._check())
