"""A network as a graph: sets of edges against free runs, and paths of a linear network against products of weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.attribution.targets import LOGIT
from analysis.features.readers import PROBE
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.circuit_edges import _with_noise, edges_of
from analysis.interventions.circuit_facts import matched_sets
from analysis.interventions.circuits import BY_HEADS, BY_PARTS, Wired, graph_of, wired
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.interventions import ABLATIONS, MEAN
from analysis.interventions.many_targets import many_targets
from analysis.methods.attribution.circuit import CircuitParams, circuit
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import no_progress


def bench_of(module, shape, n=5, seed=0):
    loaded = LoadedModel(module.double().eval(), "array", lambda items: torch.as_tensor(np.stack(items)))
    x = np.random.default_rng(seed).standard_normal((n, *shape))
    run = BatchRun.of_items(loaded, list(x))
    return SimpleNamespace(
        parts=network_parts(loaded, run.inputs), runs=[run], targets=[many_targets(run, LOGIT, 1)], notes=[]
    )


class Block(torch.nn.Module):
    """Attention of two heads and an MLP, each behind a norm, added to what came in."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.second = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.read, self.write = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 16), torch.nn.Linear(16, width)

    def forward(self, x):
        q, k, v = (
            z.unflatten(-1, (2, -1)).transpose(1, 2) for z in self.read(self.first(x)).chunk(3, dim=-1)
        )
        attended = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        x = x + self.write(attended.transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.gelu(self.up(self.second(x))))


class Transformer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_attention_heads=2)
        self.blocks = torch.nn.ModuleList([Block(), Block()])
        self.norm, self.head = torch.nn.LayerNorm(8), torch.nn.Linear(8, 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    model = Transformer()
    for p in model.parameters():  # a fresh network hardly does anything
        if p.ndim > 1:
            p.data *= 3
    return bench_of(model, (4, 8))


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(1)
    return bench_of(torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in ((6, 4), (4, 4), (4, 3)))), (6,))


def wires(bench, kind, way=MEAN) -> Wired:
    return wired(bench, graph_of(bench, kind, 2, 10), way, np.random.default_rng(0))[0]


@pytest.mark.parametrize(("kind", "way"), [(BY_HEADS, MEAN), (BY_HEADS, "resample"), (BY_PARTS, "zero")])
def test_sets_of_edges_are_runs_with_parts_corrupted(transformer, kind, way):
    """All edges: the run as it is; none: all parts corrupted; all but one part's: that part corrupted, others free."""
    assert way in ABLATIONS
    own = wires(transformer, kind, way)
    e, m = own.graph.edges, len(own.graph.parts)
    assert m == (7 if kind == BY_HEADS else 5)
    every = np.ones(len(e), dtype=bool)
    np.testing.assert_allclose(own.with_edges(every), own.y, atol=1e-10)
    nothing = own.answers([own.cell(dict(enumerate(own.corrupted)))])[0]
    np.testing.assert_allclose(own.with_edges(~every), nothing, atol=1e-10)
    nodes = own.nodes()
    assert np.abs(nodes).max(axis=1).min() > 1e-4
    for s in range(m):
        np.testing.assert_allclose(own.with_edges(e[:, 0] != s) - own.y, nodes[s], atol=1e-10)


def test_one_path_is_the_set_of_all_others(transformer):
    """The exact effect of an edge is that of leaving out this edge alone."""
    own = wires(transformer, BY_HEADS)
    found = edges_of(own.graph, [own], 100, no_progress, (0, 1))
    assert found.verified.all()
    for i in range(len(own.graph.edges)):
        kept = np.arange(len(own.graph.edges)) != i
        np.testing.assert_allclose(found.exact[i], own.with_edges(kept) - own.y, atol=1e-9)
    inner = own.graph.edges[:, 1] < len(own.graph.parts)
    assert np.corrcoef(found.screened[inner].ravel(), found.exact[inner].ravel())[0, 1] > 0.5
    assert np.abs(found.screened[inner] - found.exact[inner]).max() > 1e-6  # slopes are not runs


def test_paths_of_a_linear_network_are_products_of_weights_and_add_up(linear):
    own = wires(linear, BY_HEADS)
    net = linear.runs[0].loaded.module
    w = [layer.weight.detach().numpy() for layer in net]
    found = edges_of(own.graph, [own], 100, no_progress, (0, 1))
    x = linear.runs[0].inputs.numpy()
    first = x @ w[0].T + net[0].bias.detach().numpy()
    delta = first.mean(axis=0) - first
    for i, (s, r) in enumerate(own.graph.edges):
        if own.graph.stage[s] == 0:
            a, b = (
                slice(p.places[0].start, p.places[0].stop) for p in (own.graph.parts[s], own.graph.parts[r])
            )
            known = delta[:, a] @ w[1][b, a].T @ w[2][1, b]
            np.testing.assert_allclose(found.exact[i], known, atol=1e-10)
            np.testing.assert_allclose(found.screened[i], known, atol=1e-10)
    nodes = own.nodes()
    for s in range(len(own.graph.parts)):
        np.testing.assert_allclose(found.exact[own.graph.edges[:, 0] == s].sum(axis=0), nodes[s], atol=1e-10)


def test_a_dead_unit_has_no_path_and_nothing_is_left_on_the_network(linear):
    net = linear.runs[0].loaded.module
    kept = net[1].weight.data.clone()
    net[1].weight.data[:, :2] = 0
    try:
        run = BatchRun(linear.runs[0].loaded, linear.runs[0].inputs)
        bench = SimpleNamespace(**{**vars(linear), "runs": [run], "targets": [many_targets(run, LOGIT, 1)]})
        own = wires(bench, BY_HEADS)
        found = edges_of(own.graph, [own], 100, no_progress, (0, 1))
        dead = own.graph.edges[:, 0] == 0
        np.testing.assert_array_equal(found.exact[dead], 0)
        assert np.abs(found.exact[own.graph.edges[:, 0] == 1]).min() > 0
    finally:
        net[1].weight.data = kept
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


# ---------------------------------------------------------------------------- what they are held against
def test_random_sets_have_as_many_paths_into_each_depth(transformer, rng):
    graph = graph_of(transformer, BY_HEADS, 4, 32)
    stage = np.append(graph.stage, graph.stage.max() + 1)[graph.edges[:, 1]]
    chosen = rng.random(len(graph.edges)) < 0.3
    found = matched_sets(graph, chosen, 40, rng)
    for s in np.unique(stage):
        assert (found[:, stage == s].sum(axis=1) == chosen[stage == s].sum()).all()
    share = found[:, stage == stage.max()].mean(axis=0)
    assert share.min() > 0
    assert share.max() < 1


def test_noise_is_of_each_unit_and_padding_does_not_count(rng):
    """Channels of other sizes, and padding that is far from all samples."""
    x = torch.as_tensor(rng.standard_normal((40, 30, 2)) * np.array([1.0, 100.0]))
    mask = torch.ones(40, 30, dtype=torch.int64)
    mask[:, 20:], x[:, 20:] = 0, 1e6

    class Mean(torch.nn.Module):
        def forward(self, inputs_embeds, attention_mask):
            return (inputs_embeds * attention_mask[..., None]).sum(dim=1)

    run = BatchRun(LoadedModel(Mean().eval(), "text", None), {"inputs_embeds": x, "attention_mask": mask})
    noise = (_with_noise(run, "inputs_embeds", 0.5, rng).inputs["inputs_embeds"] - x).numpy()
    np.testing.assert_allclose(noise.std(axis=(0, 1)), [0.5, 50.0], rtol=0.1)


def test_where_no_path_can_be_told_the_surest_is_named(rng):
    """Labels of coins: a probe hangs on noise, differently in every sample."""
    tap = ArrayActivations(
        rng.standard_normal((60, 6)), name="noise", samples={"label": rng.integers(0, 2, 60)}
    )
    found = circuit(tap, CircuitParams(reader=PROBE, maximum_samples=8))
    assert found.edges is None
    assert "No path can be told from 0 with 8 samples" in found.reading
    assert "→ answer" in found.reading
    planted = np.column_stack(
        [np.arange(60) % 2 * 6.0 + rng.standard_normal(60), rng.standard_normal((60, 5))]
    )
    told = circuit(
        ArrayActivations(planted, name="planted", samples={"label": np.arange(60) % 2}),
        CircuitParams(reader=PROBE),
    )
    assert told.edges is not None
    assert told.reading.startswith("Most hangs on unit 0 → answer")
