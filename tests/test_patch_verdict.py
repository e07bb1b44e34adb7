"""The verdict on patches: its parts against their definitions, each reason to flag alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.attribution.local_slopes import local_slope, rows_at, values_at
from analysis.attribution.patches.class_pairs import aligned, with_first
from analysis.attribution.patches.patch_verdict import (
    CONNECTED,
    DISCONNECTED,
    FAITHFUL,
    HELD,
    ILLUSORY,
    IN_AXES,
    NOTHING,
    PATCH,
    SUSPICIOUS,
    WHOLE,
    connected_span,
    judge_patch,
    natural_of,
)
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import LogitTarget
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.attribution.patching_illusion import PatchingIllusionParams, patching_illusion
from analysis.sources.loaded_model import LoadedModel

SLOPE = np.array([0.0, 2.0, 1.0])


def judged(rows, slope, direction, pairs=12, turn=None, answers=None):
    """The verdict on a direction for a linear number, pairs being taken from the first rows."""
    turn = np.eye(rows.shape[1]) if turn is None else turn
    rows, slope, v = rows @ turn, turn.T @ slope, np.atleast_2d(direction) @ turn
    base, source = ([r[None] for r in rows[s]] for s in (slice(pairs), slice(pairs, 2 * pairs)))
    return judge_patch(
        answers or (lambda i, x: x[:, 0] @ slope), base, source, v, slope[None], natural_of(rows[2 * pairs :]),
        rows[pairs : 2 * pairs].mean(axis=0) - rows[:pairs].mean(axis=0), np.random.default_rng(0),
    )  # fmt: skip


def copied(rng, n=300):
    """(x, 0, x), the sources from elsewhere than the bases, so that patches have an effect on average."""
    x = 3 * rng.standard_normal(n)
    x[:12], x[12:24] = np.abs(x[:12]), -np.abs(x[12:24])
    return np.outer(x, [1.0, 0.0, 1.0])


def test_the_known_illusion_is_flagged_in_any_order_and_scale_of_the_units(rng):
    rows, direction = copied(rng), np.array([1.0, 1.0, 0.0])
    for turn in (np.eye(3), np.eye(3)[[2, 0, 1]], -5 * np.eye(3)):
        found = judged(rows, SLOPE, direction, turn=turn)
        assert found.word == ILLUSORY
        assert found.share(HELD) == pytest.approx(0, abs=1e-12)
        assert found.share(CONNECTED) == pytest.approx(1)  # of one number its slope always works
        assert found.share(IN_AXES) == pytest.approx(0.25)
    assert judged(rows, SLOPE, [0, 0, 1]).word == FAITHFUL
    assert [judged(rows, SLOPE, e).word for e in ([1, 0, 0], [0, 1, 0])] == [NOTHING] * 2


def test_seen_from_turned_units_the_illusion_does_not_pass(rng):
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    found = judged(copied(rng), SLOPE, [1.0, 1, 0], turn=turn)
    assert found.word in (SUSPICIOUS, ILLUSORY)
    assert "along principal axes" in " ".join(found.reasons)


def test_a_dormant_direction_is_flagged_though_nothing_leaves_its_range(rng):
    rows = rng.standard_normal((400, 6)) * np.array([3.0, 3, 3, 3, 3, 0.01])
    rows[:12, 5], rows[12:24, 5] = -0.01, 0.01
    found = judged(rows, np.eye(6)[5], np.eye(6)[5])
    assert found.word == SUSPICIOUS
    assert "dormant" in " ".join(found.reasons)
    assert found.share(HELD) == pytest.approx(1, abs=0.05)
    alive = judged(rows / np.array([1, 1, 1, 1, 1, 1 / 300]), np.eye(6)[5], np.eye(6)[5])
    assert alive.word == FAITHFUL


def test_parts_are_what_they_are_called(rng):
    rows = rng.standard_normal((200, 5))
    rows[12:24] += 2
    slope, direction = rng.standard_normal(5), rng.standard_normal(5)
    found = judged(rows, slope, direction)
    v, unit = direction / np.linalg.norm(direction), slope / np.linalg.norm(slope)
    delta = rows[12:24] - rows[:12]
    np.testing.assert_allclose(found.effects[WHOLE], delta @ slope, atol=1e-12)
    np.testing.assert_allclose(found.effects[PATCH], (delta @ v) * (v @ slope), atol=1e-12)
    np.testing.assert_allclose(found.effects[CONNECTED], delta @ slope, atol=1e-12)
    np.testing.assert_allclose(found.effects[DISCONNECTED], 0, atol=1e-12)
    sides = unit * (unit @ v), v - unit * (unit @ v)
    for name, side in zip((CONNECTED, DISCONNECTED), sides, strict=True):
        assert abs(found.frames[name][:, 0] @ side) == pytest.approx(np.linalg.norm(side))
        own = side / np.linalg.norm(side)
        assert found.variance[name] == pytest.approx(np.var(rows[24:] @ own, ddof=1))
    turned = judged(rows, slope, -7 * direction)
    assert (turned.word, turned.share(HELD)) == (found.word, pytest.approx(found.share(HELD)))


def test_slopes_of_several_ways_are_one_span_up_to_its_energy(rng):
    slopes = rng.standard_normal((50, 2)) @ np.eye(6)[:2] + 1e-3 * rng.standard_normal((50, 6))
    span = connected_span(slopes, 0.99)
    assert span.shape == (6, 2)
    np.testing.assert_allclose(span @ span.T, np.diag([1, 1, 0, 0, 0, 0]), atol=1e-3)
    assert connected_span(slopes, 1.0).shape == (6, 6)
    assert connected_span(np.zeros((3, 6))).shape == (6, 0)


def test_a_network_is_asked_at_its_site(rng):
    """A ReLU network: values and slopes are those of the network written out."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).double().eval()
    model = LoadedModel(net, "array", lambda items: torch.stack([torch.as_tensor(i) for i in items]))
    run, x = SampleRun(model, rng.standard_normal(4), "0"), rng.standard_normal((5, 1, 6))
    w, b = (p.detach().numpy() for p in net[2].parameters())
    target = LogitTarget("logit", 1)
    np.testing.assert_allclose(
        values_at(run, x, target), (np.maximum(x[:, 0], 0) @ w.T + b)[:, 1], atol=1e-12
    )
    np.testing.assert_allclose(local_slope(run, target)[0], w[1] * (rows_at(run)[0] > 0), atol=1e-12)
    assert not net[0]._forward_hooks


def test_texts_of_other_lengths_are_paired_from_their_end(rng):
    model = LoadedModel(
        torch.nn.Identity(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    long, short = (SampleRun(model, rng.standard_normal((n, 2))) for n in (5, 3))
    (base,), (source,) = aligned([long], [short])
    np.testing.assert_array_equal(base, rows_at(long)[2:])
    np.testing.assert_array_equal(source, rows_at(short))
    np.testing.assert_array_equal(with_first(long, base[None])[0], rows_at(long))


def test_what_does_not_exist_is_refused_in_words(rng):
    label = np.arange(60) % 3
    tap = ArrayActivations(rng.standard_normal((60, 4)) + label[:, None], name="t", samples={"label": label})
    for params, error, words in (
        ({"direction": "unit", "number": 4}, NotFound, "unit 4"),
        ({"base": "9"}, NotFound, "group '9'"),
        ({"base": "1", "source": "1"}, InputError, "two groups"),
    ):
        with pytest.raises(error, match=words):
            patching_illusion(tap, PatchingIllusionParams(**params))
    few = ArrayActivations(tap.values[:20], name="t", samples={"label": np.r_[np.zeros(15), np.ones(5)]})
    with pytest.raises(NotEnoughData, match="at least"):
        patching_illusion(few)


def test_columns_in_other_units_of_measure_get_the_same_verdict(rng):
    """A square millimetre or a square kilometre: a column that varies little in numbers is not dormant."""
    label = np.arange(80) % 2
    x = rng.standard_normal((80, 4)) + np.outer(label, [2.0, 0, 0, 0])
    found = []
    for unit in (np.ones(4), np.array([1e-3, 1.0, 1e4, 7.0])):
        tap = ArrayActivations(x * unit, name="t", samples={"label": label})
        found.append(patching_illusion(tap, PatchingIllusionParams(direction="unit", pairs=12)))
    assert found[0].title == found[1].title
    for name in ("effect", "variance", "out of range"):
        np.testing.assert_allclose(found[0].columns[name], found[1].columns[name], rtol=1e-6, atol=1e-9)
    assert found[1].title.endswith("faithful")
