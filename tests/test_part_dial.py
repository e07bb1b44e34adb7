"""Parts turned and held: against a line of known slope, mean ablation, and a hook of its own."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.features.readers import PROBE
from analysis.interventions import interventions as done
from analysis.interventions.ablation import ablations, changes, random_twins
from analysis.interventions.bench import UNITS
from analysis.interventions.components import HEADS, LAYERS, NetworkParts, Site, units_of
from analysis.interventions.dials import HELD, TURNED, dialled
from analysis.interventions.finding_parts import network_parts
from analysis.methods.attribution.part_dial import PartDialParams, part_dial

torch = pytest.importorskip("torch")
from test_causal_methods import OneTokenReads, bench_of  # noqa: E402
from test_interventions import hooks, hugging_face  # noqa: E402

DIAL = np.array([-1.0, 0.0, 1.0, 2.5])


def test_units_of_a_linear_network_move_the_logit_along_a_line_through_their_mean():
    x = torch.as_tensor(np.random.default_rng(0).standard_normal((20, 4, 6)))
    bench = bench_of(OneTokenReads().double(), x, NetworkParts(layers=("map",)), targets.LOGIT, 1)
    site, run = Site("map"), bench.runs[0]
    read = run.caught([site])[site].numpy()[:, 2]
    weight, mean = run.loaded.module.head.weight[1].detach().numpy(), read.mean(axis=0)
    for way, slope, at in ((TURNED, read - mean, mean), (HELD, np.broadcast_to(mean, read.shape), 0.0)):
        found = changes(bench, dialled(bench, units_of(site, range(5)), way, DIAL)).reshape(5, 4, 20)
        expected = weight[:, None, None] * (at + DIAL[:, None, None] * slope[None] - read).transpose(2, 0, 1)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", [HEADS, LAYERS])
def test_parts_of_a_transformer_agree_with_ablation_and_with_a_hook(kind, rng):
    model, inputs = hugging_face("vit")
    bench = bench_of(model.module, inputs, network_parts(model, inputs))
    parts = bench.parts.components(kind)
    found = changes(bench, dialled(bench, parts, TURNED, DIAL)).reshape(len(parts), 4, -1)
    np.testing.assert_allclose(
        found[:, 1], changes(bench, ablations(bench, parts, done.MEAN, rng)), atol=1e-6
    )
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-6)
    if kind == HEADS:
        place, target = parts[5].places[0], bench.targets[0]

        def hook(_module, given):
            x = given[0].clone()
            own = x[..., place.start : place.stop]
            x[..., place.start : place.stop] = own.mean(dim=0) + 2.5 * (own - own.mean(dim=0))
            return (x, *given[1:])

        handle = dict(model.module.named_modules())[place.site.module].register_forward_pre_hook(hook)
        try:
            with torch.no_grad():
                logits = model.module(inputs).logits
        finally:
            handle.remove()
        by_hand = target.of(logits) - target.of(bench.runs[0].logits)
        np.testing.assert_allclose(found[5, 3], by_hand.detach().numpy(), atol=1e-6)
        assert np.abs(by_hand).max() > 1e-4
    assert hooks(model.module) == 0


def test_many_interventions_are_not_held_at_once(rng):
    """Values are made when needed: 400 dials and 400 random twins of a wide site take no more than a few of them."""
    x = torch.as_tensor(rng.standard_normal((20, 50, 6)))
    net = OneTokenReads().double()
    net.map, net.head = torch.nn.Linear(6, 2000).double(), torch.nn.Linear(2000, 3).double()
    bench = bench_of(net, x, NetworkParts(layers=("map",)), targets.LOGIT, 1)
    part = bench.parts.components(LAYERS)
    cells = dialled(bench, part, TURNED, np.linspace(0, 2, 400))
    twins = random_twins(bench, [own[:1] for own in cells], 400, rng)
    held = [e.values for own in (*cells, *twins) for cell in own for e in cell]
    assert len(held) == 800
    assert all(callable(v) for v in held)  # 16 MB each
    assert held[3]().shape == held[-1]().shape == (20, 50, 2000)


def test_a_planted_part_is_told(rng):
    label = np.arange(400) % 2
    x = np.column_stack([label * 3.0 + rng.standard_normal(400), rng.standard_normal((400, 60))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = PartDialParams(parts=UNITS, reader=PROBE, number=targets.LOGIT, answer=1, points=5, draws=19)
    found = part_dial(tap, params)
    assert next(iter(found.series)) == "unit 0"
    largest, slope = found.estimates[:2]
    assert largest.value > largest.null_high
    np.testing.assert_allclose(found.series["unit 0"][2], 0, atol=1e-9)  # at 1
    assert slope.low <= slope.value <= slope.high
    assert set(found.marks["unit 0"]) == {-1.0, 2.0, 3.0}
    held = part_dial(tap, PartDialParams(**{**vars(params), "way": HELD}))
    assert not held.marks
    assert held.estimates[0].name.startswith("largest move")
