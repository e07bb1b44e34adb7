"""What attention costs and where it looks: sparsity, blocks, hardness, questions, focus, weights, by second ways."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.errors import InputError, ParameterError
from analysis.tokens.attention import corrupted, hardness, multiresolution, overfocus, retrieval, sparsity
from analysis.tokens.attention.heads import HeadReader, planted
from analysis.tokens.attention.weight_shares import share_of_heads
from analysis.tokens.view import PADDING, TEXT, TokenLayout

RNG = np.random.default_rng


def text(lengths=(9, 6, 9), seed: int = 1, wide: int = 4) -> HeadReader:
    q, k = RNG(seed).standard_normal((2, len(lengths), max(lengths), wide))
    there = np.arange(max(lengths)) < np.array(lengths)[:, None]
    kinds = np.where(there, TEXT, PADDING)
    return HeadReader(TokenLayout(kinds, there, np.full(kinds.shape, -1), None, causal=True),
                      [q[:, None]], [k[:, None]], np.arange(len(lengths)), wide)  # fmt: skip


def dense(reader: HeadReader, b: int) -> np.ndarray:
    there = reader.layout.present[b]
    q, k = (x[0][b, 0][there] for x in (reader.queries, reader.keys))
    a = np.exp(q @ k.T / np.sqrt(q.shape[1])) * (np.tri(len(q)) if reader.layout.causal else 1)
    return a / a.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------------------- growth with the context
def test_mass_of_nested_contexts_block_by_block_is_that_of_whole_arrays():
    reader = text()
    rank, sizes = sparsity.ranks(reader.layout, RNG(0)), sparsity.sizes_of(reader.layout)
    mass, count = sparsity.over_contexts(reader, 0, 0, rank, sizes, sparsity.row_mass, held=60)
    keys, _ = sparsity.over_contexts(reader, 0, 0, rank, sizes, sparsity.needs(0.9), held=60)
    near = sparsity.kernel_mass(reader, 0, 0, rank, sizes, held=60)
    for b, n in enumerate((9, 6, 9)):
        a = dense(reader, b)
        q, k = (x[0][b, 0][:n] for x in (reader.queries, reader.keys))
        apart = np.square(q[:, None] - k[None]).sum(axis=2)
        for j, m in enumerate(sizes[b]):
            assert mass[b, j] == pytest.approx((a[:m, :m] / a[:m, :m].max(axis=1, keepdims=True)).sum())
            assert near[b, j] == pytest.approx(np.exp(-apart[:m, :m] / (2 * 2)).sum())  # width 4: sigma² is 2
            by_hand = [
                next(c for c in range(1, m + 1) if np.sort(r)[::-1][:c].sum() >= 0.9 * r.sum() - 1e-12)
                for r in a[:m, :m]
            ]
            assert (keys[b, j], count[b, j]) == (sum(by_hand), m)
        scaled = np.exp(q @ k.T / 2)
        norms = np.exp(np.square(q).sum(1) / 4)[:, None] * np.exp(np.square(k).sum(1) / 4)
        np.testing.assert_allclose(scaled, np.exp(-apart / 4) * norms, rtol=1e-12)


def test_contexts_of_pictures_are_random_parts_and_slopes_are_least_squares():
    layout = planted(np.zeros((2, 30, 1)), np.zeros((2, 30, 1))).layout
    rank = sparsity.ranks(layout, RNG(0))
    assert sorted(rank[0]) == list(range(30))
    assert (rank[0] != np.arange(30)).any()
    sizes = np.array([[4, 9, 30], [5, 10, 20]])
    np.testing.assert_allclose(sparsity.slopes(sizes, 3.0 * sizes**1.4), 1.4)
    noisy = sizes ** np.array([1.2, 1.1, 1.3])
    np.testing.assert_allclose(
        sparsity.slopes(sizes, noisy)[1], np.polyfit(np.log(sizes[1]), np.log(noisy[1]), 1)[0]
    )


def test_slope_tells_planted_sparse_heads_from_even_ones():
    from analysis.methods.tokens.attention_slope import SOFTMAX, of_head

    x = RNG(0).standard_normal((3, 64, 32))
    sharp, soft = planted(x, x, scale=1.0), planted(0.05 * x, x, scale=0.05)
    rank = sparsity.ranks(sharp.layout, RNG(0))
    assert of_head(sharp, 0, 0, rank, SOFTMAX).max() < 1.05
    assert of_head(soft, 0, 0, rank, SOFTMAX).min() > 1.9


# ---------------------------------------------------------------------------- fewer numbers
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("m", [21, 32])
def test_blocks_are_a_partition_with_the_means_of_its_scores(causal, m):
    q, k = RNG(0).standard_normal((2, m, 5))
    blocks, scores = multiresolution.Blocks(q, k, causal).refine(90), q @ k.T
    may = np.tri(m, dtype=bool) if causal else np.ones((m, m), bool)
    cover, total = np.zeros((m, m)), 0
    for (top, bottom, left, right), (leaf, score) in zip(
        blocks.outlines(), blocks.leaves.items(), strict=True
    ):
        cover[top:bottom, left:right] += 1
        total += blocks.area(*leaf)
        assert score == pytest.approx(scores[top:bottom, left:right].mean(), abs=1e-12)
    assert (cover == may).all()
    assert total == may.sum()
    coarse = blocks.scores()
    assert 0 < multiresolution.missed_mass(coarse, scores, may) < 1
    np.testing.assert_allclose(multiresolution.attention_of(coarse).sum(axis=1), 1)
    found = multiresolution.compared(q, k, causal, np.array([0.3, 0.6, 1.0]))
    assert (np.diff(found[:, 0]) < 0).all()
    np.testing.assert_allclose(found[-1, [0, 1, 3]], 0, atol=1e-12)


def test_the_heaviest_block_is_cut_first():
    q, k = 0.1 * RNG(0).standard_normal((2, 32, 4))
    q[16:, 0], k[16:, 0] = 3, 3  # the last quarter of the entries holds nearly all
    leaves = multiresolution.Blocks(q, k, False).refine(60).outlines()
    assert (leaves[:, [0, 2]].min(axis=1) >= 16).sum() == len(leaves) - 3


def test_the_other_ways_are_what_they_say():
    q, k = RNG(1).standard_normal((2, 12, 3))
    may = np.tri(12, dtype=bool)
    a = multiresolution.attention_of(np.where(may, q @ k.T, -np.inf))
    kept, many = multiresolution.largest_kept(a, may, 39), multiresolution.keys_kept(may.sum(axis=1), 39)
    assert many.sum() == 39
    assert np.abs(many - np.arange(1, 13) / 2).max() <= 1
    for row, own, count in zip(kept, a, many, strict=True):
        assert set(np.flatnonzero(row)) == set(np.argsort(-own)[:count])
    np.testing.assert_allclose(kept.sum(axis=1), 1)
    svd = np.linalg.svd(a)
    np.testing.assert_allclose(multiresolution.low_rank(svd, may, 2 * 12 * 12), a, atol=1e-12)
    even = multiresolution.low_rank(svd, may, 3)
    np.testing.assert_allclose(even, may / may.sum(axis=1, keepdims=True))


def test_hardness_ignores_one_vector_added_to_all_keys_and_grows_with_scores():
    q, k = RNG(0).uniform(-1, 1, (2, 80, 6))
    one = [hardness.hardness(q, k + s, True, 0.01) for s in (0.0, 7.0)]
    assert one[0].bound == pytest.approx(one[1].bound)
    assert (one[0].rank, one[0].degree) == (one[1].rank, one[1].degree)
    more = [hardness.hardness(f * q, k, False, 0.01) for f in (0.2, 1.0, 3.0)]
    assert more[0].rank < more[1].rank < more[2].rank
    assert more[0].degree < more[1].degree < more[2].degree
    x = np.linspace(-2, 2, 50)
    for degree, error in ((2, 0.2), (6, 1e-4)):
        np.testing.assert_allclose(hardness.polynomial(x, 2.0, degree), np.exp(x - 2), atol=error)
    assert hardness.Hardness(1.0, 1, 3, 80, 6).features == 84  # C(9, 3)
    np.testing.assert_allclose(hardness.cost_of_maps((1, 2, 4)), np.array([1, 20, 336]) / 357)


def test_sides_of_maps_are_whole_numbers():
    from analysis.methods.tokens.attention_hardness import AttentionHardnessParams, attention_hardness

    x = RNG(0).standard_normal((64, 5))
    with pytest.raises(ParameterError, match="whole numbers"):
        attention_hardness(x, AttentionHardnessParams(maps="1 two"))
    told = attention_hardness(x, AttentionHardnessParams(maps="1, 2 4"))
    assert any("94%" in said for said in told.caveats)


# ---------------------------------------------------------------------------- questions
def test_words_that_were_said_before_ask_and_their_sentences_are_known():
    said = "alpha one is.\nbeta two is.\n---\ngamma alpha here. Then beta x"
    found = retrieval.trials_of_text(tuple(said))
    assert [t.word for t in found] == ["beta", "alpha"]
    last = found[0]
    assert "".join(said[i] for i in last.asks) == "bet"  # up to its last letter
    pieces = [said[a:b] for a, b in last.sentences]
    assert pieces == ["alpha one is.\n", "beta two is.\n---\n", "gamma alpha here."]
    assert last.known.tolist() == [1]
    assert found[1].known.tolist() == [0]
    assert last.chance == pytest.approx(1 / 3)
    assert retrieval.trials_of_text(tuple("only one line with line")) == []
    named = retrieval.trials_of_text(tuple(said), "Then", "gamma")[0]
    assert "".join(said[i] for i in named.asks) == "Then"
    assert named.known.tolist() == [2]
    assert retrieval.trials_of_text(tuple(said), "delta") == []
    pieces_ = ("alpha ", "one is", ".\n", "beta two", ". ", "now alpha")  # tokens of more than one letter
    assert retrieval.trials_of_text(pieces_)[0].asks.tolist() == [5]
    assert retrieval.open_question(tuple(said)).known.size == 0


def test_mass_of_questions_is_read_off_the_whole_arrays_beside_the_others():
    reader = text((9, 9, 9))
    trial = retrieval.Trial(np.array([7, 8]), np.array([[0, 2], [2, 6]]), np.array([1]), "")
    mass, null = retrieval.asked_mass(reader, 0, range(1), [[trial], [], []])
    a = [dense(reader, b) for b in range(3)]
    np.testing.assert_allclose(mass[0, 0], a[0][[7, 8]].mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(null[0, 0], ((a[1] + a[2]) / 2)[[7, 8]].mean(axis=0), atol=1e-12)
    beside, plain = retrieval.sentence_scores(trial, mass[0, 0], null[0, 0], 1)
    np.testing.assert_allclose(plain, [mass[0, 0, :2].sum(), mass[0, 0, 2:6].sum()])
    np.testing.assert_allclose(beside, plain / [null[0, 0, :2].sum(), null[0, 0, 2:6].sum()])
    np.testing.assert_allclose(retrieval.smoothed(np.array([0.0, 3, 0, 0]), 3), [1.5, 1, 1, 0])


def test_ranks_count_ties_half_and_take_the_best_known():
    assert retrieval.rank_of_known(np.array([3.0, 1, 2]), np.array([1, 2])) == 2
    assert retrieval.rank_of_known(np.ones(5), np.array([0])) == 3


def test_without_a_question_it_is_said_what_one_takes():
    from analysis.methods.tokens.retrieval_layers import retrieval_layers

    with pytest.raises(InputError, match="a word that an earlier sentence has"):
        retrieval_layers(_two_token_samples())


def _two_token_samples():
    from analysis.activations import ArrayActivations, Layout

    return ArrayActivations(RNG(0).standard_normal((40, 3)), name="pairs", layout=Layout(np.arange(0, 41, 2)))


# ---------------------------------------------------------------------------- focus
def test_drift_is_that_of_a_second_way():
    a, b = RNG(0).random((2, 30))
    divergence, rho, overlap = overfocus.drift(a, b)
    p, q = a / a.sum(), b / b.sum()
    nats = [-(x * np.log(x)).sum() for x in ((p + q) / 2, p, q)]
    assert divergence == pytest.approx((nats[0] - (nats[1] + nats[2]) / 2) / np.log(2))
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    assert rho == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert overlap == len(set(np.argsort(-a)[:3]) & set(np.argsort(-b)[:3])) / 3
    told, mass = overfocus.focus(text())
    whole = dense(text(), 1)
    np.testing.assert_allclose(mass[0, 1, :6], whole.mean(axis=0), atol=1e-12)
    assert told[0, 1, 1] == pytest.approx(whole.mean(axis=0).max())  # the top tenth of six is one


def test_spoiling_is_the_same_again_grows_and_keeps_what_it_should():
    x = RNG(0).standard_normal((3, 16, 16)) + 2
    for kind in corrupted.KINDS:
        far = [
            np.linalg.norm(corrupted.spoiled(x, kind, s, RNG(1), (1, 2)) - x) for s in corrupted.SEVERITIES
        ]
        assert 0 < far[0] < far[1] < far[2], kind
        same = [corrupted.spoiled(x, kind, 2, RNG(1), (1, 2)) for _ in range(2)]
        np.testing.assert_array_equal(*same)
    moved = corrupted.swapped(x, 0.25, RNG(0), (1, 2))
    np.testing.assert_allclose(np.sort(moved.reshape(3, -1)), np.sort(x.reshape(3, -1)))
    changed = (moved != x).any(axis=0)
    assert changed.sum() == 64
    assert (moved != x).all(axis=0).sum() == 64  # the colours of a pixel stay together
    flat = np.full((4, 4), 3.0)
    np.testing.assert_allclose(corrupted.spoiled(flat, corrupted.BLUR, 3, RNG(0), (0, 1)), flat)
    line = corrupted.spoiled(np.arange(8.0), corrupted.BLUR, 1, RNG(0), (0,))
    np.testing.assert_allclose(line[1:-1], np.arange(1, 7))


# ---------------------------------------------------------------------------- weights, and networks
def test_shares_of_weights_are_those_of_the_product_and_chance_is_one_over_d_squared():
    w_q, w_k = RNG(0).standard_normal((2, 2000, 10, 4))
    share, trace = share_of_heads(w_q, w_k)
    w = np.einsum("hde,hfe->hdf", w_q, w_k)
    expected = np.trace(w, axis1=1, axis2=2) ** 2 / (10 * np.square(w).sum(axis=(1, 2)))
    np.testing.assert_allclose(share, expected)
    np.testing.assert_allclose(trace, np.trace(w, axis1=1, axis2=2))
    assert share.mean() == pytest.approx(0.01, rel=0.15)
    assert share_of_heads(np.eye(5)[None], np.eye(5)[None])[0][0] == pytest.approx(1)


def subject_of(network):
    data = SimpleNamespace(items=lambda start, stop: network.items[start:stop])
    return SimpleNamespace(
        is_network=True, opened=SimpleNamespace(network=network, run=SimpleNamespace(data=data), of_text=False),
        layers=network.layers, samples=np.arange(2), shape=lambda: SimpleNamespace(width=16), what="tiny",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["vit", "gpt2", "llama"])
def test_weights_of_heads_are_found_in_networks_and_paid_weights_come_by_layer(kind):
    pytest.importorskip("transformers")
    from test_token_networks import made

    from analysis.tokens.attention import paid_weights
    from analysis.tokens.attention.heads import recorded_heads
    from analysis.tokens.attention.weight_shares import head_weights

    network = made(kind)
    who = subject_of(network)
    reader = recorded_heads(who, np.arange(2), False, lambda *_: None)
    state = {n: p.detach().double().numpy() for n, p in network.loaded.module.named_parameters()}
    w_q, w_k = head_weights(reader)[1]
    if kind == "gpt2":
        joint = state["transformer.h.1.attn.c_attn.weight"]
        np.testing.assert_allclose(w_q[2], joint[:, 8:12], atol=1e-5)
        np.testing.assert_allclose(w_k[2], joint[:, 24:28], atol=1e-5)
    if kind == "llama":  # two heads share their keys
        own = state["model.layers.1.self_attn.k_proj.weight"]
        np.testing.assert_allclose(w_k[3], own[4:8].T, atol=1e-5)
        np.testing.assert_allclose(w_k[2], w_k[3], atol=0)
    whole = network.run(network.loaded.prepare(network.items), record=("attention",)).recorded["attention"]
    kept = paid_weights.KEPT
    try:
        paid_weights.KEPT = 0
        for layer in (2, 0):
            np.testing.assert_allclose(reader.weights[layer], whole[layer], atol=1e-6)
        assert list(reader.weights.known) == [0]  # one layer at a time
    finally:
        paid_weights.KEPT = kept
    spoiled = corrupted.spoiled_heads(reader, corrupted.SWAPPED, 3, 0, lambda *_: None)
    again = corrupted.spoiled_heads(reader, corrupted.SWAPPED, 3, 0, lambda *_: None)
    np.testing.assert_array_equal(spoiled.queries[0], again.queries[0])
    assert np.abs(spoiled.queries[0] - reader.queries[0]).max() > 1e-3


def test_rows_without_attention_hold_none():
    from analysis.activations import as_activations
    from analysis.tokens.attention.heads import heads_of

    reader = heads_of(as_activations(RNG(0).standard_normal((64, 5))), 4, RNG(0))
    assert "attention" not in reader.who.dump.recorded


def test_blocks_are_drawn_around_cells_on_screen_and_on_paper():
    from analysis.results import Matrix
    from dashboard import figures
    from dashboard.figures import outlines

    plain = dict(title="t", reading="r.", values=np.arange(16.0).reshape(4, 4), row_names=("a", "b", "c", "d"),
                 column_names=("a", "b", "c", "d"))  # fmt: skip
    around = np.array([[0, 2, 0, 2], [2, 4, 1, 4]])
    x, y = outlines.corners(around)
    assert (np.nanmin(x), np.nanmax(x), np.nanmax(y)) == (-0.5, 3.5, 3.5)
    with_, without = (len(figures.on_screen(Matrix(**plain, outlines=o)).data) for o in (around, None))
    assert with_ == without + 1
    turned = Matrix(**plain, outlines=around, row_order=np.array([3, 2, 1, 0]))
    assert len(figures.on_screen(turned).data) == without
