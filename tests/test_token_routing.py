"""Routers: what of their numbers means anything, and the routers of a live network."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.rows.class_codes import class_codes
from analysis.errors import InputError, NotFound
from analysis.spec import no_progress
from analysis.tokens.routing.cells import margins, nearest_elsewhere, plane_of
from analysis.tokens.routing.choices import errors
from analysis.tokens.routing.classes import information, shares_of_samples
from analysis.tokens.routing.gates import (
    GATES,
    LOGITS,
    PARTS,
    chosen,
    divergence,
    effective,
    fixed,
    gates,
    logits_from,
)
from analysis.tokens.routing.likeness import likeness, together
from analysis.tokens.routing.load import dealt, load
from analysis.tokens.routing.open_gates import TAKEN, count_by_chance, open_gates, variance_parts
from analysis.tokens.routing.routed import ROWS, SOURCES, read_router, routed
from analysis.tokens.routing.routers import expert_outputs, expert_weights, nearest, routers_of
from analysis.tokens.routing.territory import neighbour_pairs, same_by_chance, same_expert

RNG = np.random.default_rng(0)


# ---------------------------------------------------------------------------- gates
def test_one_vector_added_to_all_gate_weights_changes_nothing_that_is_told():
    x, w = RNG.standard_normal((50, 6)), RNG.standard_normal((6, 4))
    moved = w + RNG.standard_normal((6, 1))
    np.testing.assert_allclose(gates(x @ w), gates(x @ moved), atol=1e-12)
    np.testing.assert_allclose(fixed(w), fixed(moved), atol=1e-12)
    assert np.abs(w - moved).max() > 0.1


def test_weights_and_temperature_are_known_by_their_ratio_and_its_ends_are_choice_and_mean():
    s = RNG.standard_normal((50, 4))
    np.testing.assert_allclose(gates(3 * s, 3 * 0.7), gates(s, 0.7), atol=1e-12)
    np.testing.assert_allclose(effective(gates(s, 1e-6)), 1.0, atol=1e-9)
    np.testing.assert_allclose(effective(gates(s, 1e6)), 4.0, atol=1e-9)
    assert (gates(s, 1e-6).argmax(axis=1) == chosen(s, 1)[:, 0]).all()


def test_gates_come_back_from_what_a_tap_holds_of_them():
    p = gates(RNG.standard_normal((30, 5)))
    cut = np.where(p >= np.sort(p, axis=1)[:, -2:-1], p, 0.0)
    cut /= cut.sum(axis=1, keepdims=True)
    for given, kind in ((p, GATES), (cut, GATES), (0.3 * p, PARTS)):
        logits, said = logits_from(given)
        assert said == kind
        np.testing.assert_allclose(gates(logits), given / given.sum(axis=1, keepdims=True), atol=1e-12)
    assert logits_from(4 * p)[1] == LOGITS
    with pytest.raises(InputError, match="two experts"):
        logits_from(p[:, :1])


def test_divergence_of_copies_is_zero_and_of_others_is_not():
    p = gates(RNG.standard_normal((30, 5)))
    assert np.abs(divergence(p, p)).max() < 1e-15
    assert divergence(p, p[::-1]).min() > 0


# ---------------------------------------------------------------------------- load
def test_load_by_counting_one_by_one():
    s, k, factor = RNG.standard_normal((90, 5)) + np.arange(5), 2, 1.1
    found = load(s, k, np.arange(90) % 7)
    counts = np.zeros(5)
    for row in s:
        for e in sorted(range(5), key=lambda e: -row[e])[:k]:
            counts[e] += 1
    whole = found.whole
    np.testing.assert_array_equal(whole.counts[0], counts)
    np.testing.assert_allclose(whole.balance()[0], 5 * (counts / 180) @ gates(s).mean(axis=0), atol=1e-12)
    room = int(np.ceil(factor * 180 / 5))
    assert whole.overflow(factor)[0] == pytest.approx(sum(max(0, c - room) for c in counts) / 180)
    without = load(s[np.arange(90) % 7 != 3], k, np.zeros(77, int)).shares[0]
    np.testing.assert_allclose(found.without.shares[3], without, atol=1e-12)


def test_renamed_experts_keep_how_sure_tokens_are_and_which_go_together():
    s, samples = np.repeat(RNG.standard_normal((40, 6)), 3, axis=0), np.repeat(np.arange(40), 3)
    moved = dealt(s, samples, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(moved, axis=1), np.sort(s, axis=1))
    np.testing.assert_array_equal(moved[0::3], moved[2::3])
    assert (moved != s).any()


# ---------------------------------------------------------------------------- classes, likeness, territory
def test_information_of_plain_choices_is_that_of_their_table():
    of, expert = RNG.integers(0, 3, 200), RNG.integers(0, 4, 200)
    hot = class_codes(of, "label", 1).one_hot()
    joint = np.histogram2d(expert, of, bins=(np.arange(5) - 0.5, np.arange(4) - 0.5))[0] / 200
    entropy = lambda p: -(p[p > 0] * np.log(p[p > 0])).sum()  # noqa: E731
    wanted = entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1)) - entropy(joint)
    assert information(np.eye(4)[expert], hot) == pytest.approx(wanted, abs=1e-12)


def test_likeness_is_a_distance_and_routing_is_a_correlation():
    f = RNG.standard_normal((4, 30, 3))
    own = (f**2).sum(axis=(1, 2))
    apart = ((f[0] - f[1]) ** 2).sum() / (own[0] + own[1])
    assert likeness(f)[0, 1] == pytest.approx(1 - apart, abs=1e-12)
    s = RNG.standard_normal((500, 4))
    np.testing.assert_allclose(together(s.T), np.corrcoef(fixed(s).T), atol=1e-12)
    np.testing.assert_allclose(together(s.T + RNG.standard_normal(500)), together(s.T), atol=1e-9)


def test_neighbours_on_a_grid_and_in_a_text():
    tokens = np.arange(1, 7)  # a class token, then 2 x 3
    pairs = neighbour_pairs(np.arange(7), (2, 3), 1)
    assert {tuple(p) for p in pairs} == {(1, 2), (2, 3), (4, 5), (5, 6), (1, 4), (2, 5), (3, 6)}
    assert len(neighbour_pairs(np.array([0, 1, 3]), None, 0)) == 1
    winner = np.array([0, 0, 1, 0, 0, 1])
    of = neighbour_pairs(tokens, (2, 3), 1)
    every = [same_expert(np.random.default_rng(i).permutation(winner), of) for i in range(4000)]
    assert np.mean(every) == pytest.approx(same_by_chance(winner), abs=0.02)


def test_gates_of_a_tap_with_padding_left_out_and_samples_chosen():
    values = RNG.standard_normal((60, 4))
    values[7] = np.nan
    tap = ArrayActivations(values, layout=Layout(np.arange(21) * 3))
    found = routed(tap, 20, ROWS, np.random.default_rng(0), no_progress)
    assert len(found.logits) == 59
    assert any("NaN" in note for note in found.notes)
    np.testing.assert_allclose(found.logits, fixed(np.delete(values, 7, axis=0)), atol=1e-12)
    some = routed(tap, 9, ROWS, np.random.default_rng(0), no_progress)
    assert len(np.unique(some.samples)) == 9
    with pytest.raises(InputError, match="at most 4"):
        found.choices(5)


def test_the_nearest_elsewhere_by_all_distances_and_the_plane_by_singular_values():
    x, samples = RNG.standard_normal((300, 5)), np.repeat(np.arange(100), 3)
    far = ((x[:, None] - x) ** 2).sum(axis=2)
    far[samples[:, None] == samples] = np.inf
    np.testing.assert_array_equal(nearest_elsewhere(x, samples), far.argmin(axis=1))
    places, share = plane_of(x)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(places), np.abs(u[:, :2] * s[:2]), atol=1e-9)
    assert share == pytest.approx((s[:2] ** 2).sum() / (s**2).sum())
    assert margins(np.array([[3.0, 1.0, 2.5]]), 1) == pytest.approx([0.5])


# ---------------------------------------------------------------------------- gates that open one by one
def test_parts_of_the_variance_of_gates_add_up_and_follow_what_is_planted():
    a, b = RNG.random(7), RNG.random(30)[:, None]
    e = RNG.standard_normal((30, 7))
    e = e - e.mean(axis=0) - e.mean(axis=1, keepdims=True) + e.mean()
    sizes = np.array([a.var(), b.var(), e.var()])
    np.testing.assert_allclose(variance_parts(a + b + e), sizes / sizes.sum(), atol=1e-12)
    assert variance_parts(np.full((30, 7), 0.5)).sum() == 0


def test_open_gates_by_chance_are_poisson_binomial():
    rates = np.array([0.1, 0.5, 0.9, 0.3])
    every = np.array(list(itertools.product((0, 1), repeat=4)))
    weight = np.prod(np.where(every, rates, 1 - rates), axis=1)
    wanted = np.bincount(every.sum(axis=1), weights=weight)
    np.testing.assert_allclose(count_by_chance(rates), wanted, atol=1e-15)
    np.testing.assert_allclose(open_gates(np.array([[-40.0, 0.0]]))[0], [[0.0, 0.5]], atol=1e-12)
    assert open_gates(np.array([[0.2, 0.7]]))[1] == TAKEN


# ---------------------------------------------------------------------------- a live network
@pytest.fixture(scope="module")
def mixtral():
    torch = pytest.importorskip("torch")
    t = pytest.importorskip("transformers")
    from analysis.sources.loaded_model import LoadedModel

    torch.manual_seed(0)
    config = t.MixtralConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=8, num_local_experts=4, num_experts_per_tok=2, pad_token_id=0,
    )  # fmt: skip
    model = t.MixtralForCausalLM(config).eval()
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    with torch.no_grad():  # the last expert of the first layer copies the first
        experts = model.model.layers[0].mlp.experts
        for p in experts.parameters():
            p[3] = p[0]
    texts = [np.random.default_rng(0).integers(1, 30, n) for n in (9, 6, 7)]

    def prepare(items):
        longest = max(map(len, items))
        ids = torch.tensor([[*i, *[0] * (longest - len(i))] for i in items])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    loaded = LoadedModel(model, "text", prepare, causal=True)
    data = SimpleNamespace(items=lambda a, b: texts[a:b])
    return SimpleNamespace(loaded=loaded, data=data, n=3, samples=np.arange(3), note="Run.", texts=texts)


def test_routers_are_found_beside_their_experts_and_nowhere_else(mixtral):
    found = routers_of(mixtral.loaded.module)
    assert [(r.name, r.count, r.top) for r in found] == [(f"model.layers.{i}.mlp.gate", 4, 2) for i in (0, 1)]
    assert nearest(found, "model.layers.1.self_attn").name == "model.layers.1.mlp.gate"
    assert nearest(found, "model.layers.0").name == "model.layers.0.mlp.gate"


def test_logits_are_those_that_the_network_gives_itself(mixtral):
    import torch

    found = routers_of(mixtral.loaded.module)
    inputs = mixtral.loaded.prepare(mixtral.texts)
    with torch.no_grad():
        own = mixtral.loaded.module(**inputs, output_router_logits=True).router_logits
    mask = inputs["attention_mask"].bool().flatten().numpy()
    for router, logits in zip(found, own, strict=True):
        read = read_router(mixtral, router, no_progress)
        np.testing.assert_allclose(read.logits, fixed(logits.double().numpy()[mask]), atol=1e-5)
        assert list(np.bincount(read.samples)) == [9, 6, 7]
        assert list(read.tokens[:10]) == [*range(9), 0]


def test_a_copied_expert_is_found_by_weights_and_outputs_and_outputs_add_up_to_the_block(mixtral):
    import torch

    router = routers_of(mixtral.loaded.module)[0]
    read = read_router(mixtral, router, no_progress)
    assert likeness(expert_weights(mixtral.loaded, router))[0, 3] == pytest.approx(1.0, abs=1e-12)
    x = read.live.given
    f = expert_outputs(mixtral.loaded, router, x)
    assert likeness(f)[0, 3] == pytest.approx(1.0, abs=1e-6)
    assert likeness(f)[0, 1] < 0.9
    picked = chosen(read.logits, 2)
    p = np.take_along_axis(gates(read.logits), picked, axis=1)
    p /= p.sum(axis=1, keepdims=True)
    mixed = sum(p[:, j, None] * f[picked[:, j], np.arange(len(x))] for j in range(2))
    with torch.no_grad():
        block = mixtral.loaded.module.model.layers[0].mlp(torch.as_tensor(x).float()[None])[0]
    np.testing.assert_allclose(mixed, block.double().numpy(), atol=1e-5)
    whole = np.einsum("ne,end->nd", gates(read.logits), f)
    apart = np.linalg.norm(block.double().numpy() - whole, axis=1) / np.linalg.norm(whole, axis=1)
    np.testing.assert_allclose(errors(read.logits, f, 2)[:, 1], apart, atol=1e-4)


@pytest.fixture
def opened(mixtral, monkeypatch):
    """A tap whose network is the one above."""
    monkeypatch.setattr("analysis.sources.rerun.rerun", lambda *_, **__: mixtral)
    rows = sum(map(len, mixtral.texts))
    layout = Layout(np.cumsum([0, *map(len, mixtral.texts)]))
    return ArrayActivations(
        RNG.standard_normal((rows, 5)), "store:model.layers.0.mlp", {"label": np.arange(3)}, layout
    )


def test_methods_read_the_router_of_the_taps_block(opened):
    from analysis.methods.tokens.expert_redundancy import ExpertRedundancyParams, expert_redundancy
    from analysis.methods.tokens.router_load import RouterLoadParams, router_load

    table = router_load(opened, RouterLoadParams(draws=9))
    assert "model.layers.0.mlp.gate" in table.title
    assert table.columns["share"].sum() == pytest.approx(1)
    assert len(table.columns["share"]) == 4
    for compare in ("outputs, else routing", "weights, else routing"):
        found = expert_redundancy(opened, ExpertRedundancyParams(compare=compare, draws=9))
        assert found.values[0, 3] == pytest.approx(1.0, abs=1e-6)
        assert found.significant[0, 3]
        assert found.values[0, 1] < 0.9
    assert not found.significant[0, 1]  # weights of random experts


def test_the_words_of_a_text_lie_below_its_gates(opened, mixtral):
    from analysis.methods.tokens.expert_territory import ExpertTerritoryParams, expert_territory

    mixtral.loaded.token_texts = lambda items: [[f"w{i}" for i in item] for item in items]
    found = expert_territory(opened, ExpertTerritoryParams(sample=1))
    assert found.values.shape == (4, 6)
    assert found.words[0] == tuple(f"w{i}" for i in mixtral.texts[1])
    np.testing.assert_allclose(found.values.sum(axis=0), 1.0, atol=1e-12)
    with pytest.raises(NotFound, match="sample 3"):
        expert_territory(opened, ExpertTerritoryParams(sample=3))


AUTOMATIC = SOURCES[0]


def test_a_network_without_a_router_is_refused_unless_the_tap_holds_gates(monkeypatch):
    torch = pytest.importorskip("torch")
    run = SimpleNamespace(loaded=SimpleNamespace(module=torch.nn.Linear(3, 2)))
    monkeypatch.setattr("analysis.sources.rerun.rerun", lambda *_, **__: run)
    values, rng = RNG.standard_normal((40, 4)), np.random.default_rng(0)
    with pytest.raises(InputError, match=f"choose '{ROWS}'"):
        routed(ArrayActivations(values, "store:blocks.1"), 40, AUTOMATIC, rng, no_progress)
    for tap in (
        ArrayActivations(gates(values), "store:blocks.1"),
        ArrayActivations(values, "store:blocks.1.gate"),
    ):
        held = routed(tap, 40, AUTOMATIC, rng, no_progress)
        assert any("has no router" in note for note in held.notes)
        np.testing.assert_allclose(held.logits, fixed(values), atol=1e-9)


def test_a_sample_counts_once_however_many_tokens_it_has():
    """Three tokens of the first sample, one of the second; each goes to two of three experts."""
    logits = np.array([[2, 1, 0], [2, 1, 0], [2, 0, 1], [0, 1, 2.0]])
    found = SimpleNamespace(logits=logits, experts=3, samples=np.array([5, 5, 5, 9]))
    samples, shares = shares_of_samples(found, 2)
    assert samples.tolist() == [5, 9]
    np.testing.assert_allclose(shares, [[3 / 6, 2 / 6, 1 / 6], [0, 1 / 2, 1 / 2]], atol=1e-12)
    other = SimpleNamespace(logits=logits[::-1], experts=3, samples=found.samples[::-1])
    np.testing.assert_allclose(shares_of_samples(other, 2)[1], shares, atol=1e-12)
