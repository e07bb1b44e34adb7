"""Heads cut together: against a hook that holds them all, and a planted unit that alone is needed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.features.readers import PROBE
from analysis.interventions import interventions as done
from analysis.interventions.ablation import ablations
from analysis.interventions.components import HEADS
from analysis.interventions.finding_parts import network_parts
from analysis.methods.attribution.head_cuts import ORDERED, RANDOM, HeadCutsParams, _stays, head_cuts, most_of

torch = pytest.importorskip("torch")
from test_causal_methods import bench_of  # noqa: E402
from test_interventions import hooks, hugging_face  # noqa: E402


def test_cutting_some_is_a_hook_that_holds_them_at_their_mean(rng):
    model = copy.deepcopy(hugging_face("vit")[0])
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "attention" in name and name.endswith("weight"):
                weight *= 30  # of a new network heads decide nothing
    inputs = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(5)) * 4
    bench = bench_of(model.module, inputs, network_parts(model, inputs))
    heads = bench.parts.components(HEADS)
    cells = ablations(bench, heads, done.MEAN, rng)
    order = rng.permutation(len(heads))
    found = _stays(bench, cells, [order], np.array([0, 3, len(heads)]), lambda *_: None)[0]
    assert found[0].all()
    modules = dict(model.module.named_modules())
    for row, count in ((1, 3), (2, len(heads))):
        means = {
            p.site.module: bench.runs[0].caught([p.site])[p.site].mean(dim=0) for h in heads for p in h.places
        }
        handles = []
        for k in order[:count]:
            place = heads[k].places[0]

            def hold(_module, given, place=place, means=means):
                x = given[0].clone()
                x[..., place.start : place.stop] = means[place.site.module][..., place.start : place.stop]
                return (x, *given[1:])

            handles.append(modules[place.site.module].register_forward_pre_hook(hold))
        try:
            with torch.no_grad():
                after = model.module(inputs).logits
        finally:
            for handle in handles:
                handle.remove()
        before = bench.runs[0].logits
        np.testing.assert_array_equal(found[row], (after.argmax(-1) == before.argmax(-1)).numpy())
    assert not found[2].all()
    assert hooks(model.module) == 0


def test_only_the_unit_that_tells_the_class_is_needed(rng):
    label = np.arange(80) % 2
    x = np.column_stack([0.01 * rng.standard_normal((80, 5)), label * 12.0 + rng.standard_normal(80)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = head_cuts(tap, HeadCutsParams(reader=PROBE, points=7))
    can, half = found.estimates[:2]
    assert can.value == 5
    assert can.low <= 5 <= can.high
    assert half.value == 1.0
    assert found.series[ORDERED][5] == 1.0
    assert found.series[ORDERED][6] < 0.8
    assert found.series[RANDOM][3] < 1.0
    assert "Most needed: unit 5" in found.reading


def test_as_many_as_hold_without_a_gap():
    kept = np.array([[1, 1, 0.9, 1.0], [1, 0.94, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(most_of(np.array([0, 2, 4, 6]), kept, 0.95), [2, 0, 6])
