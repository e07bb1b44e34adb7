"""Answers as tokens are put in or taken out in the order of maps, against closed forms of additive networks."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from analysis.attribution.saliency import ways as registry
from analysis.attribution.saliency_court.filling import (
    DELETION,
    INSERTION,
    areas,
    counts_of,
    filled,
    order_of,
)
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import logit_target
from analysis.errors import InputError, NotEnoughData
from analysis.methods.attribution.insertion_deletion import InsertionDeletionParams, insertion_deletion
from analysis.methods.attribution.way_agreement import WayAgreementParams, way_agreement
from tests.court_subjects import SLOPES, Additive, Picture, data, loaded, trial_of


@pytest.fixture
def network(monkeypatch):
    return trial_of(monkeypatch)


def test_the_order_of_the_parts_is_the_best_of_all_and_random_orders_are_the_straight_line():
    """Every order of five tokens, against closed forms."""
    x = data(5, 2)
    run = SampleRun(loaded(Additive()), x)
    target, base = logit_target(run.logits, answer=0), torch.as_tensor(data(1, 2, seed=1))
    orders, counts = np.array(list(permutations(range(5)))), counts_of(5, 5)
    put, rows = filled(run, base, target, orders, counts, INSERTION)
    out, _ = filled(run, base, target, orders, counts, DELETION)
    assert rows == len(orders) * 4 + 2
    parts, empty = x[:, 0] - base[0, 0].item(), 5 * base[0, 0].item()
    np.testing.assert_allclose(
        put, empty + np.pad(np.cumsum(parts[orders], axis=1), ((0, 0), (1, 0))), atol=1e-12
    )
    np.testing.assert_allclose(put + out, 2 * empty + parts.sum(), atol=1e-12)
    own = [tuple(o) for o in orders].index(tuple(order_of(parts, np.random.default_rng(0))))
    assert areas(put, counts).argmax() == own == areas(out, counts).argmin()
    np.testing.assert_allclose(put.mean(axis=0), empty + counts / 5 * parts.sum(), atol=1e-12)
    np.testing.assert_allclose(put.var(axis=0), counts * (5 - counts) / 4 * parts.var(), atol=1e-12)


def test_equal_values_come_in_any_order():
    first = [order_of(np.array([1.0, 1.0, 2.0]), np.random.default_rng(s))[:2].tolist() for s in range(20)]
    assert {tuple(f) for f in first} == {(2, 0), (2, 1)}
    np.testing.assert_array_equal(counts_of(10, 4), [0, 3, 5, 8, 10])


def test_curves_of_an_additive_network_end_where_samples_are_and_hold_every_other_order_below(network):
    tap = network(Additive(), data(12, 9, 2))
    params = InsertionDeletionParams(
        ways=SLOPES, number="logit", direction="both", draws=40, steps=1, samples=12
    )
    found = insertion_deletion(tap, params, np.random.default_rng(0))
    best, worst = (found.series[f"integrated gradients, {d}"] for d in (INSERTION, DELETION))
    assert (best[0], best[-1], worst[0], worst[-1]) == pytest.approx((0, 1, 1, 0), abs=1e-9)
    for name, line in found.series.items():
        assert (line <= best + 1e-9).all() if name.endswith(INSERTION) else (line >= worst - 1e-9).all()
    ends = [band[f"random, {INSERTION}"][-1] for band in (found.low, found.high)]
    assert ends == pytest.approx([1, 1], abs=1e-9)  # shares are of the same samples as their divisor
    middle = found.series[f"random, {INSERTION}"]
    assert middle == pytest.approx(found.x, abs=0.35)
    area = {e.name: e for e in found.estimates}["area, integrated gradients, insertion"]
    assert area.low > area.null_high
    assert area.null == pytest.approx(0.5, abs=area.null_high - area.null_low)


def test_a_handful_of_ways_is_drawn_by_default_with_both_controls_and_it_says_so(network):
    tap = network(Picture(), data(8, 2, 6, 6), "map")
    few = insertion_deletion(tap, InsertionDeletionParams(samples=8, draws=2), np.random.default_rng(0))
    assert list(few.series) == [
        "gradient x input", "Grad-CAM", "NormGrad", "integrated gradients", "occlusion", "edges", "random",
    ]  # fmt: skip
    many = sum(not way.control for way in registry.WAYS.values())
    assert any(f"A handful of the {many} ways there are: 'all'" in said for said in few.caveats)
    assert {e.name for e in few.estimates} == {f"insertion area, {name}" for name in list(few.series)[:-1]}
    assert all(e.low <= e.value <= e.high and e.null_low < e.null < e.null_high for e in few.estimates)
    every = [
        insertion_deletion(tap, InsertionDeletionParams(ways=w, samples=8, draws=2)) for w in ("all", None)
    ]
    assert len(every[0].series) > len(few.series)
    assert list(every[0].series) == list(every[1].series)
    assert not any("A handful" in said for said in every[0].caveats)


class Root(torch.nn.Module):
    """NaN as soon as two tokens are away."""

    def forward(self, x):
        z = x.flatten(1).sum(dim=1)
        return torch.stack([torch.sqrt(z - 7.5), z], dim=1)


def test_answers_that_are_not_finite_are_refused_or_left_out_and_said(network):
    params = InsertionDeletionParams(
        ways="gradient", number="logit", answer=0, background="zero", draws=2, samples=10
    )
    with pytest.raises(InputError, match="NaN or infinite with some tokens taken away"):
        insertion_deletion(network(Root(), np.ones((9, 9, 1))), params)
    some = np.ones((10, 9, 1))
    some[:2] = 0
    with pytest.raises(NotEnoughData, match="7 of 9 samples with a finite answer"):
        insertion_deletion(network(Root(), some[:9]), params)
    found = way_agreement(
        network(Root(), some), WayAgreementParams(ways="gradient", number="logit", answer=0)
    )
    assert any(said.startswith("2 samples have an answer that is NaN") for said in found.caveats)
