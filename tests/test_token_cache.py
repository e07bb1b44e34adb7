"""Keys and values: projections against full decompositions, budgets against all there are, bits against formulas."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ShapeError
from analysis.methods.tokens.cache_error import RANKS, CacheErrorParams, cache_error
from analysis.methods.tokens.cache_kept import CacheKeptParams, cache_kept
from analysis.methods.tokens.cache_rank import CacheRankParams, cache_rank
from analysis.pipeline import key
from analysis.registry import method
from analysis.tokens.cache.errors import (
    FOLDS,
    PCA,
    RANDOM,
    TRAINED,
    WAYS,
    answer_errors,
    changed_cache,
    fitted,
    one_sample,
    output_errors,
    relative,
    ways_of,
)
from analysis.tokens.cache.layer_budget import (
    GREEDY,
    PYRAMID,
    THRESHOLD,
    UNIFORM,
    allotted,
    gini,
    kept_mass,
    masses,
    order_of,
    received,
    retained,
)
from analysis.tokens.cache.layer_budget import (
    WAYS as BUDGETS,
)
from analysis.tokens.cache.layer_scores import lim, zd
from analysis.tokens.cache.projections import (
    AtRandom,
    Principal,
    QueryWeighted,
    cache_bytes,
    crossing,
    logit_error,
    needed_rank,
    shared_out,
)
from analysis.tokens.cache.quantisers import (
    DECIBEL,
    MIXED,
    PLAIN,
    ROTATED,
    at_bits,
    axes_of,
    decibels,
    mean_bits,
    quantised,
    quantised_columns,
)
from analysis.tokens.cache.rates import bd_rate, entropy, least_bits, water_level
from analysis.tokens.cache.reading import attended, read_cache, with_trained
from analysis.tokens.cache.shared_subspaces import (
    linear_cka,
    rank_alone,
    singular_values,
    stored_share,
    tail_share,
    token_cosine,
)
from analysis.tokens.cache.trained import assembled
from analysis.tokens.state import GONE


def skewed(rng, n=40, e=6):
    return rng.standard_normal((n, e)) @ rng.standard_normal((e, e)) * np.geomspace(5, 0.1, e)


# ---------------------------------------------------------------------------- projections
def test_the_query_weighted_projection_reaches_the_bound_of_the_logits():
    rng = np.random.default_rng(0)
    q, k = skewed(rng), skewed(rng)[:, ::-1]
    weighted, pca = QueryWeighted(q.T @ q, k.T @ k), Principal(k.T @ k)
    sigma = np.linalg.svd(q @ k.T, compute_uv=False)
    for r in range(1, 7):
        dense = np.square(q @ k.T - q @ weighted(r) @ k.T).sum()
        bound = np.square(sigma[r:]).sum()
        assert dense == pytest.approx(bound, abs=1e-9 * np.square(sigma).sum())
        assert logit_error(q, k, weighted(r)) == pytest.approx(dense, abs=1e-9 * np.square(sigma).sum())
        assert dense <= np.square(q @ k.T - q @ pca(r) @ k.T).sum() + 1e-9
    assert logit_error(q, k, pca(2)) > 1.5 * logit_error(q, k, weighted(2))


def test_it_is_pca_where_queries_and_keys_are_alike_and_takes_singular_moments():
    rng = np.random.default_rng(1)
    k = skewed(rng)
    turned = np.linalg.qr(rng.standard_normal((40, 40)))[0] @ k  # other rows, one second moment
    same = QueryWeighted(turned.T @ turned, k.T @ k)
    np.testing.assert_allclose(same(2), Principal(k.T @ k)(2), atol=1e-8)
    q, flat = skewed(rng), k[:, :3] @ rng.standard_normal((3, 6))  # of rank 3
    one = QueryWeighted(q.T @ q, flat.T @ flat)
    sigma = np.linalg.svd(q @ flat.T, compute_uv=False)
    assert logit_error(q, flat, one(2)) == pytest.approx(np.square(sigma[2:]).sum(), rel=1e-6)
    assert logit_error(q, flat, one(3)) < 1e-12 * np.square(sigma).sum()
    assert np.isfinite(QueryWeighted(np.zeros((3, 3)), np.eye(3))(1)).all()


def test_a_common_rotation_changes_nothing_and_nested_errors_fall():
    rng = np.random.default_rng(2)
    q, k = skewed(rng), skewed(rng)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    plain, turned = (QueryWeighted(a.T @ a, b.T @ b) for a, b in ((q, k), (q @ turn, k @ turn)))
    np.testing.assert_allclose(turn @ turned(3) @ turn.T, plain(3), atol=1e-9)
    for way in (plain, Principal(k.T @ k), AtRandom(6, rng)):
        errors = [logit_error(q, k, way(r)) for r in range(1, 7)]
        assert (np.diff(errors[:-1]) <= 1e-9).all() or way is not plain
        assert errors[-1] < 1e-9


def test_ranks_are_shared_out_as_the_best_of_all_ways():
    energies = -np.sort(-np.random.default_rng(3).random((3, 4)), axis=1)
    for total in range(3, 13):
        left = min(
            sum(energies[h, r:].sum() for h, r in enumerate(ranks))
            for ranks in itertools.product(range(1, 5), repeat=3) if sum(ranks) == total
        )  # fmt: skip
        found = shared_out(energies, total)
        assert found.sum() == total
        assert sum(energies[h, r:].sum() for h, r in enumerate(found)) == pytest.approx(left, abs=1e-12)


def test_needed_rank_is_behind_the_last_error_above():
    ranks, errors = np.array([1, 2, 4, 8]), np.array([0.4, 0.05, 0.2, 0.0])
    assert needed_rank(errors, ranks, 0.1) == 8  # 2 is a dip
    assert crossing(errors, ranks, 0.1) == pytest.approx(6.0)
    assert needed_rank(errors, ranks, 0.5) == 1


def test_bytes_of_a_known_cache():
    assert cache_bytes(32, 32, 1, 128) == 2**19  # LLaMA-2-7B at 16 bits: half a MiB a token


# ---------------------------------------------------------------------------- layers together
def test_a_planted_subspace_is_found_where_cosines_are_none():
    rng = np.random.default_rng(4)
    shared = rng.standard_normal((300, 6))
    layers = [shared @ rng.standard_normal((6, 20)) for _ in range(4)]
    whole = np.concatenate(layers, axis=1)
    assert tail_share(whole, 6, rng) < 1e-12
    assert tail_share(whole, 5, rng) > 1e-3
    assert abs(np.mean([token_cosine(a, b) for a, b in itertools.combinations(layers, 2)])) < 0.1
    assert linear_cka(layers[0], layers[1]) > 0.3
    assert stored_share(300, 4, 20, 6) == pytest.approx(6 * (300 + 80) / (300 * 80))
    r = rank_alone(300, 4, 20, 6)
    assert 4 * r * 320 <= 6 * 380 < 4 * (r + 1) * 320


def test_random_projection_finds_the_leading_singular_values():
    rng = np.random.default_rng(5)
    u, v = (np.linalg.qr(rng.standard_normal((n, 450)))[0] for n in (600, 450))
    sigma = 0.97 ** np.arange(450)
    found = singular_values((u * sigma) @ v.T, 20, rng)
    np.testing.assert_allclose(found[:20], sigma[:20], rtol=0.02)
    assert (found <= sigma[:20] * (1 + 1e-9)).all()


# ---------------------------------------------------------------------------- tokens
def test_one_threshold_is_fair_and_greedy_is_most_of_all_ways():
    rng = np.random.default_rng(6)
    mass = masses(rng.random((3, 5)) ** 4)
    curves = retained(mass, order_of(mass))
    for budget in range(3, 16):
        ways = [np.array(c) for c in itertools.product(range(1, 6), repeat=3) if sum(c) <= budget]
        fair, most = (max(f(kept_mass(curves, c)) for c in ways) for f in (np.min, np.sum))
        one, greedy = (allotted(w, curves, budget) for w in (THRESHOLD, GREEDY))
        assert one.sum() <= budget
        assert kept_mass(curves, one).min() == pytest.approx(fair, abs=1e-12)
        assert kept_mass(curves, greedy).sum() == pytest.approx(most, abs=1e-12)
        assert all(allotted(w, curves, budget).sum() == budget for w in (UNIFORM, PYRAMID, GREEDY))


def test_layers_alike_share_alike_and_a_spike_leaves_its_share():
    flat = np.full((4, 100), 0.01)
    assert all(
        (allotted(w, retained(flat, order_of(flat)), 200) == 50).all() for w in (THRESHOLD, UNIFORM, GREEDY)
    )
    spike = flat.copy()
    spike[0] = np.eye(100)[40]
    curves = retained(spike, order_of(spike))
    assert allotted(THRESHOLD, curves, 200).tolist() == [1, 66, 66, 66]
    assert gini(spike).tolist() == pytest.approx([0.99, 0, 0, 0], abs=1e-12)
    down = allotted(PYRAMID, curves, 200)
    assert (np.diff(down) < 0).all()
    assert down.sum() == 200


@pytest.mark.parametrize("way", BUDGETS)
def test_first_and_last_tokens_stay_when_asked(way):
    mass = masses(np.random.default_rng(7).random((3, 10)))
    order = order_of(mass, 2, 1)
    counts = allotted(way, retained(mass, order), 12, 3)
    for line, k in zip(order, counts, strict=True):
        assert {0, 1, 9} <= set(line[:k].tolist())


def test_received_attention_counts_the_readers():
    t = 12
    causal = np.tri(t) / np.arange(1, t + 1)[:, None]
    plain = received(causal, True, fair=False)
    assert plain[0] == pytest.approx((1 / np.arange(1, t + 1)).sum())
    assert plain[0] / plain[-1] > 30
    fair = received(causal, True, fair=True)
    assert fair[0] == pytest.approx(plain[0] / t)
    assert fair[-1] == pytest.approx(plain[-1])  # only it reads itself
    even = np.full((t, t), 1 / t)
    np.testing.assert_allclose(received(even, False, True), 1 / t)


def test_tokens_that_stay_are_those_of_most_attention():
    rng = np.random.default_rng(8)
    x = 0.01 * rng.standard_normal((36, 8)) + 1.0
    x[[4, 9]] *= 5
    tap = ArrayActivations(x, name="x", layout=Layout(np.array([0, 18, 36])))
    found = cache_kept(tap, CacheKeptParams(share=3 / 19))
    kept = np.flatnonzero(found.owner[0] != GONE)
    assert {5, 10} <= set(kept.tolist())
    assert len(kept) <= 3


# ---------------------------------------------------------------------------- bits
def test_even_numbers_are_off_by_a_twelfth_and_a_bit_is_six_decibels():
    x = np.random.default_rng(9).uniform(0, 1, (2000, 50))
    x[:, 0], x[:, 1] = 0, 1
    off = [np.square(quantised(x, b) - x)[:, 2:].mean() for b in (4, 5)]
    assert off[0] == pytest.approx((1 / 16) ** 2 / 12, rel=0.02)
    assert decibels(off[0], off[1]) == pytest.approx(DECIBEL, abs=0.2)
    assert (quantised(np.full((2, 3), 7.0), 3) == 7).all()


def test_rotation_and_more_bits_for_the_first_axes_help_where_one_unit_is_large():
    rng = np.random.default_rng(10)
    x = rng.standard_normal((200, 32))
    x[:, 3] *= 40
    noise = {
        w: np.square(at_bits(x, 4, w, axes_of(w, x, rng)) - x).sum() for w in ("as it is", ROTATED, MIXED)
    }
    assert noise[MIXED] < 0.2 * noise["as it is"]
    exact = at_bits(x, 24, ROTATED, axes_of(ROTATED, x, rng))
    np.testing.assert_allclose(exact, x, atol=1e-4)


def test_weights_are_whole_multiples_row_by_row():
    w = np.array([[0.1, -0.7, 0.31], [0, 0, 0], [7, 3, -2.2]])
    np.testing.assert_allclose(quantised_columns(w, 4), [[0.1, -0.7, 0.3], [0, 0, 0], [7, 3, -2]], atol=1e-12)
    np.testing.assert_allclose(quantised_columns(w, 1)[2], np.array([1, 1, -1]) * 12.2 / 3)


def test_water_filling_spends_what_it_says():
    values = np.array([8.0, 4.0, 2.0, 0.5, 0.0])
    for error in (0.3, 1.5, 4.0, 9.0, 14.0):
        theta = water_level(values, error)
        assert np.minimum(theta, values).sum() == pytest.approx(error)
    assert least_bits(values, 14.5) == 0
    assert least_bits(np.full(4, 16.0), 4.0) == pytest.approx(4 * 0.5 * np.log2(16))
    assert entropy(np.repeat([0, 1, 2, 3], 5)) == 2.0


def test_bd_rate_there_and_back():
    rate, quality = np.array([1.0, 2.0, 4.0]), np.array([5.0, 9.0, 16.0])
    assert bd_rate(rate, quality, 1.3 * rate, quality) == pytest.approx(0.3)
    there, back = (
        bd_rate(rate, quality, rate**1.2, quality + 2),
        bd_rate(rate**1.2, quality + 2, rate, quality),
    )
    assert (1 + there) * (1 + back) == pytest.approx(1)
    assert np.isnan(bd_rate(rate, quality, rate, quality + 50))


def test_scores_of_layers():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((30, 8))
    np.testing.assert_allclose(lim(x, 3 * x), -1)
    np.testing.assert_allclose(lim(x, -x), 1)
    assert zd(rng.standard_normal(100_000)) == pytest.approx(0.1587, abs=0.004)
    assert zd(np.ones(9)) == 0


# ---------------------------------------------------------------------------- in a network
@pytest.fixture(scope="module")
def networks():
    """By name a network whose keys are read: GPT-2, and Llama with rotary positions and shared keys."""
    torch, t = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from analysis.sources.loaded_model import LoadedModel
    from analysis.tokens.networks.token_network import TokenNetwork
    from analysis.tokens.subject import NetworkSubject

    common = dict(vocab_size=30, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    torch.manual_seed(0)
    models = {
        "gpt2": t.GPT2LMHeadModel(t.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **common)),
        "llama": t.LlamaForCausalLM(
            t.LlamaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                          intermediate_size=32, **common)
        ),
    }  # fmt: skip
    rng = np.random.default_rng(0)
    items = [rng.integers(1, 30, 12) for _ in range(4)]

    def prepare(items):
        ids = torch.tensor(np.stack(items))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    found = {}
    for name, model in models.items():
        for p in model.eval().parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=0.3)
        network = TokenNetwork(LoadedModel(model, "text", prepare), items)
        opened = SimpleNamespace(
            network=network, samples=np.arange(4), labels=None, classes=(), notes=(), classifies=True, n=4,
            batches=lambda size: [(slice(0, 4), prepare(items))],
            prepared=lambda a, b: prepare(items[a:b]),
        )  # fmt: skip
        found[name] = NetworkSubject(opened)
    return found


def reading(monkeypatch, who):
    monkeypatch.setattr("analysis.tokens.cache.reading.subject", lambda *a, **k: (who, ()))
    return read_cache(None, 4, np.random.default_rng(0), "")


def test_heads_that_share_keys_are_found_and_give_what_the_network_gives(networks, monkeypatch):
    cache = reading(monkeypatch, networks["llama"])
    assert cache.shape == (2, 2, 2, 4)
    assert any("share" in n for n in cache.notes)
    run = networks["llama"].opened.network.run(
        networks["llama"].opened.prepared(0, 1), record=("attention", "values")
    )
    theirs = run.recorded["attention"][1][0] @ run.recorded["values"][1][0]
    one = cache.samples[0]
    ours = attended(one.queries[1], one.keys[1], one.values[1], True) + cache.means[1][1][:, None]
    np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, atol=1e-4)
    assert reading(monkeypatch, networks["gpt2"]).shape == (2, 2, 1, 8)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_all_dimensions_change_nothing_and_few_do(networks, monkeypatch, name):
    cache, rng = reading(monkeypatch, networks[name]), np.random.default_rng(0)
    ranks = np.array([1, cache.shape[-1]])
    errors, size = output_errors(cache, WAYS, ranks, True, rng, lambda *a: None)
    nats = answer_errors(cache, WAYS, ranks, True, rng, lambda *a: None)
    for way in WAYS:
        assert (errors[way][:, 1] <= 1e-12 * size).all()
        assert (errors[way][:, 0].sum(axis=0) > 0.01 * size.sum(axis=0)).any()
        assert nats[way][:, 1].max() < 1e-6
        assert nats[way][:, 0].max() > 1e-3
    assert FOLDS == 2
    assert RANDOM in WAYS


def test_projected_keys_are_what_other_weights_give(networks, monkeypatch):
    """Keys of GPT-2 are linear in the stream: projecting them is changing the weights and biases that make them."""
    import torch

    who = networks["gpt2"]
    cache, network = reading(monkeypatch, who), who.opened.network
    rng = np.random.default_rng(1)
    matrices = [tuple(np.stack([AtRandom(8, rng)(3) for _ in range(2)]) for _ in range(2)) for _ in range(2)]
    inputs = who.opened.prepared(0, 4)
    projected = network.run(inputs, change=changed_cache(cache, matrices)).logits
    before = {k: v.clone() for k, v in network.loaded.module.state_dict().items()}
    with torch.no_grad():
        for layer, block in enumerate(network.blocks):
            w, b = block.attention.c_attn.weight, block.attention.c_attn.bias
            for part, (mean, p) in enumerate(
                zip((m[layer] for m in cache.means), matrices[layer], strict=True), 1
            ):
                for h in range(2):
                    at = slice(16 * part + 8 * h, 16 * part + 8 * (h + 1))
                    m, q = torch.from_numpy(mean[h, 0]).float(), torch.from_numpy(p[h]).float()
                    w[:, at], b[at] = w[:, at] @ q, m + (b[at] - m) @ q
    other = network.run(inputs).logits
    plain = network.loaded.module.load_state_dict(before) and network.run(inputs).logits
    assert float((projected - other).abs().max()) < 1e-4 * float(other.abs().max())
    assert float((projected - plain).abs().max()) > 1e-2


def test_trained_projections_are_read_judged_beside_the_others_and_never_stale(
    networks, monkeypatch, tmp_path
):
    rng = np.random.default_rng(0)
    cache, file = reading(monkeypatch, networks["llama"]), str(tmp_path / "trained.npz")
    layers, heads, _, e = cache.shape
    axes = np.stack([[Principal(sum(s.keys[i, j].T @ s.keys[i, j] for s in cache.samples)).axes
                      for j in range(heads)] for i in range(layers)])  # fmt: skip
    np.savez(file, **{f"model.layers.{i}.self_attn.key_projection": axes[i] for i in range(layers)})
    trained = with_trained(cache, file, None)
    ways, ranks = ways_of(trained, (PCA, RANDOM)), np.array([1, 2, e])
    assert ways == (PCA, RANDOM, TRAINED)
    errors, size = output_errors(trained, ways, ranks, True, rng, lambda *a: None)
    mean = {w: relative(errors[w], size[:, None]).mean(axis=(0, 2, 3)) for w in ways}
    assert mean[TRAINED][-1] < 1e-6
    assert mean[TRAINED][0] == pytest.approx(mean[PCA][0], rel=0.2)  # PCA of all samples, not of half of them
    assert mean[TRAINED][0] < mean[RANDOM][0]
    first = axes[1, 0][:, :2]
    np.testing.assert_allclose(
        fitted(trained, 0, rng).matrices(TRAINED, 2, 1, True)[0][0], first @ first.T, atol=1e-12
    )
    nats = answer_errors(trained, (TRAINED,), ranks, True, rng, lambda *a: None)[TRAINED].mean(axis=0)
    assert nats[-1] < 1e-6 < 1e-4 < nats[0]
    np.savez(file, keys=axes, values=axes[:, :, :, ::-1])
    both = with_trained(cache, file, None).trained
    np.testing.assert_array_equal(both["keys"], axes)
    np.testing.assert_array_equal(both["values"], axes[..., ::-1])
    digest = key(method("cache_error"), ["x"], CacheErrorParams(trained=file), 0)
    np.savez(file, keys=axes * 1.3)
    assert key(method("cache_error"), ["x"], CacheErrorParams(trained=file), 0) != digest
    for arrays, error, said in (
        ({"keys": axes * 1.3}, InputError, "no orthogonal matrix"),
        ({"keys": axes[:1]}, ShapeError, "for layers 0"),
        ({"keys": axes[:, :1]}, ShapeError, "of shape"),
        ({"weights": axes}, InputError, "no projection of keys"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(error, match=said):
            with_trained(cache, file, None)
    with pytest.raises(NotFound, match="there is no file"):
        with_trained(cache, str(tmp_path / "none.npz"), None)
    assert with_trained(cache, "", ArrayActivations(np.zeros((4, 2)), name="x")) is cache


def test_trained_projections_of_a_checkpoint_are_found_among_its_weights():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((2, 3, 4, 4)))[0]
    given = {"layers.0.k_proj.weight": rng.standard_normal((4, 4))}
    given |= {f"layers.{i}.attn.matryoshka_k": turn[i] for i in range(2)}
    found = assembled(given, (2, 3, 4), "it", strict=False)
    np.testing.assert_array_equal(found["keys"], turn)
    assert (
        assembled({"layers.0.k_proj.weight": given["layers.0.k_proj.weight"]}, (2, 3, 4), "it", strict=False)
        == {}
    )


def test_trained_projections_of_rows_stand_beside_the_others(tmp_path):
    x = np.random.default_rng(0).standard_normal((96, 8)) * np.geomspace(3, 0.3, 8)
    tap = ArrayActivations(x, name="x", layout=Layout(np.arange(0, 97, 12)))
    file = str(tmp_path / "t.npz")
    np.savez(file, keys=np.broadcast_to(np.eye(4), (1, 2, 4, 4)))
    found = cache_error(tap, CacheErrorParams(trained=file))
    assert TRAINED in found.series
    assert any("by the trained projection" in e.name for e in found.estimates)
    shown = cache_rank(tap, CacheRankParams(trained=file, shown=TRAINED))
    assert "by the trained one" in shown.reading
    without = cache_rank(tap, CacheRankParams(shown=TRAINED))
    assert any("cells are query-weighted" in c for c in without.caveats)


def test_errors_are_drawn_over_the_bytes_that_a_token_takes(rng):
    x = rng.standard_normal((96, 8))
    tap = ArrayActivations(x, name="x", layout=Layout(np.arange(0, 97, 12)))
    whole = 2 * 2 * 4 * 2  # keys and values of two heads, four numbers each, of two bytes
    found = cache_error(tap)
    numbers = cache_error(tap, CacheErrorParams(over=RANKS))
    np.testing.assert_allclose(found.x, whole * numbers.x / 4)
    np.testing.assert_allclose(numbers.x, np.arange(1, 5))
    assert f"{whole} bytes" in " ".join(found.caveats)
    keys = cache_error(tap, CacheErrorParams(values=False))
    np.testing.assert_allclose(keys.x, whole / 2 + whole / 2 * numbers.x / 4)


def test_matrices_of_blocks_are_rounded_output_by_output(networks):
    from analysis.tokens.cache.rounded_layers import _matrices

    network = networks["gpt2"].opened.network
    original = {k: v.numpy() for k, v in network.loaded.module.state_dict().items() if v.is_floating_point()}
    found = _matrices(network.blocks[0], original)
    assert len(found) == 4
    assert all(found.values())  # inputs stand first
    assert all(original[n].shape[0] in (16, 64) for n in found)
    linear = networks["llama"].opened.network
    assert not any(
        _matrices(
            linear.blocks[1], {k: v.numpy() for k, v in linear.loaded.module.state_dict().items()}
        ).values()
    )


def test_no_sample_is_judged_by_axes_that_have_seen_it():
    """Keys of even samples lie along the first axis, those of odd ones along the second: each fold fits the other's."""
    x = np.zeros((4, 1, 1, 6, 3))
    for i, one in enumerate(x):
        one[..., i % 2] = np.arange(1.0, 7)
    samples = [one_sample(a, a, a) for a in x]
    cache = SimpleNamespace(samples=samples, shape=(1, 1, 1, 3), trained={})
    for fold in range(FOLDS):
        keys, values = fitted(cache, fold, np.random.default_rng(0)).matrices(PCA, 1, 0, True)
        seen = np.eye(3)[1 - fold]
        np.testing.assert_allclose(keys[0], np.outer(seen, seen), atol=1e-12)
        np.testing.assert_allclose(values[0], np.outer(seen, seen), atol=1e-12)


def test_an_eighth_of_the_axes_at_twice_the_bits_is_four_and_a_half():
    assert [mean_bits(4, way, 64) for way in (PLAIN, ROTATED, MIXED)] == [4, 4, 4.5]
    assert mean_bits(2, MIXED, 8) == 2.25
