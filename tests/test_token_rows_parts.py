"""What the methods of single parts of rows give, against second ways to the same numbers and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval.refining import BOTH, QUERY, again, unit
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, ShapeError
from analysis.methods.populations.merged_answers import (
    MergedAnswersParams,
    merged,
    merged_answers,
    told_of,
)
from analysis.methods.retrieval.refined_ranking import (
    RefinedRankingParams,
    precision,
    refined_ranking,
    sizes_of,
)
from analysis.methods.tokens.attention_spectrum import AttentionSpectrumParams, attention_spectrum
from analysis.methods.tokens.cache_spectra import at_numbers, left, spectra, squares
from analysis.methods.tokens.channel_ranges import ChannelRangesParams, channel_ranges, row_errors
from analysis.methods.tokens.expert_samples import alike, expert_samples, leading, ranked
from analysis.methods.tokens.gradient_overlap import basis, gradient_overlap, overlap, verdict
from analysis.methods.tokens.graph_spectrum import GraphSpectrumParams, graph_spectrum
from analysis.methods.tokens.head_offsets import beyond, offsets
from analysis.methods.tokens.head_weights import head_weights_of, norms
from analysis.methods.tokens.influence_map import InfluenceMapParams, influence_map
from analysis.methods.tokens.long_tokens_read import LongTokensReadParams, long_tokens_read, measured
from analysis.methods.tokens.prompt_words import prompt_words
from analysis.methods.tokens.scale_counts import scale_counts
from analysis.methods.tokens.scan_groups import ScanGroupsParams, estimates, scan_groups
from analysis.methods.tokens.tap_bits import TapBitsParams, noise, tap_bits
from analysis.tokens.attention.heads import planted
from analysis.tokens.attention.landmarks import (
    GAUSSIAN,
    NYSTROEM,
    SHARE,
    SOFTMAX,
    WAYS,
    clusters,
    kernel,
    landmarks,
    left_by,
)
from analysis.tokens.attention.landmarks import (
    measured as spectrum_of,
)
from analysis.tokens.attention.landmarks import (
    sizes_of as marks_of,
)
from analysis.tokens.cache.outliers import clipped, error_at, gaussian_like, kurtosis, rotation
from analysis.tokens.cache.quantisers import PLAIN, quantised
from analysis.tokens.cache.shared_subspaces import tail_share
from analysis.tokens.mixers.fields import measured as field_of
from analysis.tokens.mixers.fields import recurrence
from analysis.tokens.sets.word_neighbours import nearest
from analysis.tokens.token_graph import distance, edges, groups, lifted, spectrum


# ---------------------------------------------------------------------------- low rank and landmarks
@pytest.mark.parametrize("kind", [SOFTMAX, GAUSSIAN])
@pytest.mark.parametrize("core", [NYSTROEM, "the best there is"])
def test_all_tokens_as_landmarks_leave_nothing(rng, kind, core):
    q, k = rng.standard_normal((2, 14, 5))
    assert left_by(q, k, (q, k), kind, core) < 1e-7


def test_the_gaussian_kernel_of_equal_queries_and_keys_is_positive_with_a_unit_diagonal(rng):
    x = rng.standard_normal((20, 4))
    made = kernel(x, x, GAUSSIAN)
    np.testing.assert_allclose(made, made.T)
    np.testing.assert_allclose(np.diag(made), 1.0)
    assert np.linalg.eigvalsh(made).min() > 0
    np.testing.assert_allclose(kernel(x, x, SOFTMAX).sum(axis=1), 1.0)
    assert np.ptp(made.sum(axis=1)) > 0.1  # rows of the kernel are no shares


def test_landmarks_leave_no_less_than_the_best_matrix_of_their_rank(rng):
    q, k = rng.standard_normal((2, 24, 6))
    for kind, way, m in itertools.product((SOFTMAX, GAUSSIAN), WAYS, (2, 6, 12)):
        values = np.linalg.svd(kernel(q, k, kind), compute_uv=False)
        bound = np.sqrt((values[m:] ** 2).sum() / (values**2).sum())
        assert left_by(q, k, landmarks(q, k, m, way, rng), kind) >= bound - 1e-9


def test_clusters_put_every_token_to_its_nearest_mean(rng):
    x = np.concatenate([rng.standard_normal((10, 3)) + 8 * np.eye(3)[i] for i in range(3)])
    of = clusters(x, 3, rng)
    means = np.stack([x[of == c].mean(axis=0) for c in range(3)])
    np.testing.assert_array_equal(of, np.square(x[:, None] - means).sum(axis=2).argmin(axis=1))
    assert len(clusters(np.ones((5, 2)), 3, rng)) == 5  # copies are one cluster


def test_spectra_are_those_of_the_rows_that_are_read_text_and_picture(rng):
    q, k = rng.standard_normal((2, 3, 9, 4))
    for causal in (False, True):
        reader = planted(q, k, causal=causal, scale=0.5)
        values, errors = spectrum_of(
            reader, 0, (0,), marks_of(reader), (SOFTMAX, NYSTROEM), rng, lambda f: None
        )
        for b in range(3):
            want = np.linalg.svd(reader.rows(0, 0)[b], compute_uv=False)
            np.testing.assert_allclose(values[SOFTMAX][b], want / want[0], atol=1e-9)
            share = np.cumsum(want**2) / (want**2).sum()
            assert values[SOFTMAX, SHARE][b] == 1 + (share < 0.9).sum()
        assert all((e <= 1).all() and (e[:, -1] < 1e-6).all() for e in errors.values())


def test_landmarks_are_drawn_with_as_many_values_as_tokens(rng):
    tap = ArrayActivations(rng.standard_normal((60, 6)), layout=Layout(np.arange(0, 61, 20)))
    drawn = attention_spectrum(tap, AttentionSpectrumParams(show="landmarks"))
    assert set(drawn.series) == set(WAYS) == set(drawn.null)
    assert drawn.x[0] == 1
    assert all((np.diff(line) < 0.2).all() for line in drawn.series.values())


# ---------------------------------------------------------------------------- ranges and bits
def test_kurtosis_is_that_of_scipy_for_numbers_around_zero(rng):
    from scipy.stats import kurtosis as peer

    x = rng.standard_normal((4, 500))
    x -= x.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(kurtosis(x), peer(x, axis=1, fisher=False), rtol=1e-9)


def test_clipping_and_levels_are_those_of_numbers_really_rounded(rng):
    x, c, bits = rng.standard_normal((3000, 16)), 2.0, 5
    step = 2 * c / 2**bits
    made = np.clip(x, -c, c)
    inside = np.abs(x) <= c
    made[inside] = np.clip(np.floor((made[inside] + c) / step), 0, 2**bits - 1) * step - c + step / 2
    real = np.square(made - x).mean() / np.square(x).mean()
    assert error_at(x, np.array([c]), bits)[0] == pytest.approx(real, rel=0.02)
    assert clipped(x, np.array([c]))[0] == pytest.approx(
        np.square(np.clip(x, -c, c) - x).sum() / np.square(x).sum()
    )
    unit_rows = x / np.sqrt(np.square(x).mean())
    assert row_errors(unit_rows, c, bits).mean() == pytest.approx(error_at(unit_rows, np.array([c]), bits)[0])


def test_a_rotation_keeps_products_and_gaussian_rows_keep_mean_and_covariance(rng):
    x = rng.standard_normal((20000, 6)) * np.arange(1, 7) + 3
    turn = rotation(6, rng)
    np.testing.assert_allclose((x @ turn) @ (x @ turn).T[:, :5], x @ x.T[:, :5], rtol=1e-8)
    like = gaussian_like(x, rng)
    np.testing.assert_allclose(like.mean(axis=0), x.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(like.T), np.cov(x.T), atol=0.9)


def test_clipping_over_its_place_falls_to_nothing(rng):
    found = channel_ranges(rng.standard_normal((300, 8)), ChannelRangesParams(show="what clipping loses"))
    for line in found.series.values():
        assert (np.diff(line) <= 0).all()
    assert found.series["as it is"][-1] == pytest.approx(0, abs=0.01)


def test_decibels_of_a_tap_are_those_of_its_rows_quantised_by_hand(rng):
    x, owner = rng.standard_normal((12, 10)), np.repeat(np.arange(4), 3)
    found = noise(x, owner, owner < 2, PLAIN, 3, rng)
    for s in range(4):
        rows = x[owner == s]
        lost = quantised(rows, 3) - rows
        assert found[s] == pytest.approx(10 * np.log10(np.square(rows).sum() / np.square(lost).sum()))


def test_axes_of_mixed_rows_never_see_the_rows_they_hold(rng):
    """Of pure noise the axes of one half say nothing of the other, so that more bits for an eighth gain what any eighth
    would; fitted on the same few rows they would gain far more."""
    x = rng.standard_normal((40, 64))
    line = tap_bits(ArrayActivations(x), params=TapBitsParams()).columns
    assert line["variance on an eighth"][0] < 0.2
    assert line["halves agree"][0] < 0.3
    with pytest.raises(NotEnoughData, match="does not vary"):
        tap_bits(np.ones((30, 4)))


# ---------------------------------------------------------------------------- experts, prompts, scans
def test_samples_go_to_the_expert_with_most_of_their_tokens_and_ties_to_the_larger_gate():
    q = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    mean = np.array([[0.3, 0.6, 0.1], [0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.9, 0.05, 0.05]])
    of = leading(q, mean)
    assert of.tolist() == [1, 2, 0, 0]
    assert ranked(q, mean, of, 0).tolist() == [3, 2]


def test_pairs_alike_are_counted_one_by_one(rng):
    of, label = rng.integers(0, 3, 25), rng.integers(0, 4, 25)
    pairs = [(a, b) for a, b in itertools.combinations(range(25), 2) if of[a] == of[b]]
    assert alike(of, label) == pytest.approx(np.mean([label[a] == label[b] for a, b in pairs]))
    assert np.isnan(alike(np.arange(3), np.zeros(3, int)))


def test_groups_name_rows_of_the_tap(rng):
    tap = ArrayActivations(5 * rng.standard_normal((60, 4)), samples={"label": np.arange(20) % 2},
                           layout=Layout(np.arange(0, 61, 3)))  # fmt: skip
    found = expert_samples(tap)
    rows = np.concatenate(list(found.groups.values()))
    assert (rows % 3 == 0).all()
    assert len(np.unique(rows)) == len(rows)
    assert set(found.groups) == set(found.values)


def test_nearest_words_are_those_of_all_cosines_at_once(rng):
    p, table = rng.standard_normal((7, 5)), unit(rng.standard_normal((9000, 5)))
    at, top = nearest(p, table, 4)
    every = unit(p) @ table.T
    np.testing.assert_array_equal(at, np.argsort(-every, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(top, -np.sort(-every, axis=1)[:, :4])


def test_words_are_called_by_their_texts_and_other_widths_are_refused(rng):
    words = ArrayActivations(
        rng.standard_normal((30, 6)), samples={"text": np.array([f"w{i}" for i in range(30)])}
    )
    found = prompt_words(2.0 * words.values[[4, 9]] - words.values.mean(axis=0), words)
    assert found.columns["nearest"].tolist() == ["w4", "w9"]
    with pytest.raises(ShapeError, match="one space"):
        prompt_words(rng.standard_normal((4, 5)), words)
    with pytest.raises(InputError, match="all alike"):
        prompt_words(rng.standard_normal((4, 6)), np.ones((20, 6)))


def test_the_auroc_of_steps_counts_pairs(rng):
    x, novel = rng.standard_normal((14, 3)), np.arange(14) % 3 == 0
    told = estimates({"scan": x}, novel, 19, rng)
    score = x.mean(axis=1)
    by_hand = np.mean([a > b for a in score[novel] for b in score[~novel]])
    assert told[0].value == pytest.approx(by_hand)
    each = [np.mean([a > b for a in c[novel] for b in c[~novel]]) for c in x.T]
    assert told[1].value == pytest.approx(np.abs(np.array(each) - 0.5).max())


def test_novel_classes_are_named_and_unknown_ones_are_refused(rng):
    tap = ArrayActivations(np.exp(rng.standard_normal((30, 4))), samples={"label": np.arange(30) % 3})
    assert "Novel classes: 0, 2." in scan_groups(tap, ScanGroupsParams(novel="0, 2", exchanges=19)).caveats
    with pytest.raises(ParameterError, match="no class '7'"):
        scan_groups(tap, ScanGroupsParams(novel="7", exchanges=19))


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_steps_of_a_network_are_captured_and_depend_on_the_input(kind):
    from test_token_mixers import opened

    from analysis.tokens.mixers.scan_steps import _captured

    _, mixers = opened(kind)
    found = _captured(mixers, lambda *_: None)
    assert len(found.means) == 2
    for layer, name in enumerate(mixers.layers):
        for place in range(3):
            step = mixers.read(place).scans[layer].scan.step
            assert (step > 0).all()
            np.testing.assert_allclose(found.means[name][place], np.log(step).mean(axis=0), rtol=1e-9)
        assert np.ptp(found.means[name], axis=0).max() > 1e-4


# ---------------------------------------------------------------------------- refined rankings
def test_refined_scores_are_those_by_hand(rng):
    q, x = unit(rng.standard_normal((1, 6)))[0], unit(rng.standard_normal((5, 6)))
    k, beta, power = 2, 0.7, 1.5

    def towards(one, others):
        cosine = others @ one
        best = np.argsort(-cosine)[:k]
        moved = one + beta * sum(max(cosine[j], 0.0) ** power * others[j] for j in best if cosine[j] > 0)
        return moved / np.linalg.norm(moved)

    asked = towards(q, x)
    np.testing.assert_allclose(again(q, x, QUERY, k, beta, power), x @ asked)
    refined = np.stack([towards(x[i], np.delete(x, i, axis=0)) for i in range(5)])
    np.testing.assert_allclose(again(q, x, BOTH, k, beta, power), refined @ asked)


def test_what_is_behind_the_hits_stays_behind_and_no_weight_changes_nothing(rng):
    from analysis.compute.retrieval.gallery_search import Task

    x, of = unit(rng.standard_normal((30, 8))), np.arange(30) % 3
    task, sizes = Task(np.arange(30), np.arange(30), of), sizes_of(12, 30)
    still, _ = precision(x, task, sizes, RefinedRankingParams(hits=12, weight=0.0), rng, lambda f: None)
    for way in (QUERY, BOTH):
        np.testing.assert_allclose(
            still[way], np.broadcast_to(still["as searched"], still[way].shape), atol=1e-12
        )
    one, _ = precision(x, task, np.array([1]), RefinedRankingParams(weight=5.0), rng, lambda f: None)
    np.testing.assert_allclose(one[BOTH][0], one["as searched"], atol=1e-12)  # a single hit has nowhere to go


def test_rotated_vectors_are_ranked_alike(rng):
    of = np.arange(60) % 3
    x = 2 * np.eye(3, 8)[of] + rng.standard_normal((60, 8))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    first, second = (
        refined_ranking(ArrayActivations(v, samples={"label": of}), RefinedRankingParams(hits=20))
        for v in (x, x @ turn + 4)
    )
    assert first.estimates[1].value == pytest.approx(second.estimates[1].value, abs=1e-9)


# ---------------------------------------------------------------------------- long tokens, weights, spectra, fields
@pytest.mark.parametrize("sample", [0, 1])  # the second has padding
def test_what_long_tokens_get_is_that_of_loops_over_a_networks_attention(sample):
    pytest.importorskip("transformers")
    from test_token_networks import made

    from analysis.methods.tokens.long_tokens_read import read
    from analysis.tokens.dump import TokenDump

    net = made("gpt2")
    run = net.run(net.loaded.prepare(net.items), record=("hidden", "attention"))
    lengths, paid = read(TokenDump(run.layout, run.recorded), sample, net.layers)
    there = np.flatnonzero(run.layout.present[sample])
    assert len(there) == (12, 9)[sample]
    for layer in range(net.layers):
        rows = run.recorded["attention"][layer][sample].mean(axis=0)[np.ix_(there, there)]
        states = run.recorded["hidden"][layer][sample]
        for j in range(len(there)):
            even = sum(1 / (i + 1) for i in range(j, len(there)))
            assert paid[layer][j] == pytest.approx(rows[:, j].sum() / even, rel=1e-5)
            assert lengths[layer][j] == pytest.approx(np.linalg.norm(states[there[j]]), rel=1e-5)


def test_samples_of_unlike_length_are_held_against_the_places_both_have():
    lengths = [np.array([[1.0, 1.0, 9.0]]), np.array([[9.0, 1.0]])]
    paid = [np.array([[1.0, 1.0, 4.0]]), np.array([[2.0, 0.5]])]
    value, other = measured(lengths, paid, 0.1)["what the longest tokens get"]
    assert value[0].tolist() == [4.0, 2.0]
    assert other[0].tolist() == [1.0, 1.0]  # the first sample's longest place is not in the second


def test_rows_stand_for_tokens_of_one_layer(rng):
    tap = ArrayActivations(rng.standard_normal((64, 6)), layout=Layout(np.arange(0, 65, 16)))
    found = long_tokens_read(tap, LongTokensReadParams(show="correlation of length and what is paid"))
    assert found.x_labels == ("the rows",)
    assert -1 <= found.series["correlation of length and what is paid"][0] <= 1


def test_norms_of_products_are_those_of_the_whole_matrix(rng):
    q, k = rng.standard_normal((2, 3, 20, 5))
    np.testing.assert_allclose(norms(q, k), [np.linalg.norm(a @ b.T, 2) for a, b in zip(q, k, strict=True)])


def test_a_head_has_a_line_to_itself_at_the_other_checkpoint(rng):
    one, other = rng.standard_normal((2, 30, 16))
    found = head_weights_of(one, other)
    heads = len(found.positions) // 2
    np.testing.assert_array_equal(found.edges, [[heads + i, i] for i in range(heads)])
    w = one[:, :2] @ one[:, 8:10].T  # the first of four heads
    assert found.positions[0, 1] == pytest.approx(np.log10(np.trace(w) ** 2 / (30 * np.square(w).sum())))
    with pytest.raises(ShapeError, match="differ in number or width"):
        head_weights_of(one, other[:, :8])
    with pytest.raises(InputError, match="queries, then keys"):
        head_weights_of(one[:, :3])


def test_what_is_left_of_spectra_is_that_of_matrices_really_cut(rng):
    x, y = rng.standard_normal((2, 30, 6))
    both = np.concatenate([x, y], axis=1)
    u, s, v = np.linalg.svd(both, full_matrices=False)
    for r in (1, 4, 9):
        cut = (u[:, :r] * s[:r]) @ v[:r]
        assert left(squares(both), r) == pytest.approx(np.linalg.norm(both - cut) / np.linalg.norm(both))
        assert left(squares(both), r) ** 2 == pytest.approx(tail_share(both, r, rng))
    rank = 0.5 * 30 * 12 / (30 + 12)  # of half of the numbers
    together, alone = at_numbers(spectra([x, y]), 30, 6, 0.5)
    assert together**2 == pytest.approx(tail_share(both, rank, rng))
    each = [tail_share(one, rank * 42 / (2 * 36), rng) * np.square(one).sum() for one in (x, y)]
    assert alone**2 == pytest.approx(sum(each) / np.square(both).sum())


def test_the_field_of_a_convolution_is_its_kernel():
    torch = pytest.importorskip("torch")
    from analysis.sources.input_influence import _map

    torch.manual_seed(0)
    conv = torch.nn.Conv2d(1, 3, 3, padding=1, bias=False).double()
    x = torch.randn(2, 1, 7, 7, dtype=torch.float64, requires_grad=True)
    y = conv(x).flatten(2).transpose(1, 2)
    found = _map(y, x, (7, 7), (0.5, 0.5), 2000, 0)
    want = conv.weight.detach().square().sum(dim=(0, 1)).numpy() / 3  # E over directions
    np.testing.assert_allclose(found[0, 2:5, 2:5], want, rtol=0.12)
    np.testing.assert_array_equal(found[0], found[1])
    outside = found[0].copy()
    outside[2:5, 2:5] = 0
    assert not outside.any()


def test_a_plane_recurrence_answers_in_its_quadrant_and_leans_as_its_factors():
    found = recurrence(0.3, 0.3, 9)[0]
    assert not found[:4].any()
    assert not found[:, :4].any()
    assert found[5, 5] / found[4, 4] == pytest.approx((2 * 0.09) ** 2)
    turned = field_of(recurrence(0.5, 0.1))[0, 3]
    assert turned == pytest.approx(1 / field_of(recurrence(0.1, 0.5))[0, 3], rel=1e-6)


def test_an_even_field_has_no_direction_on_any_grid():
    for rows, columns in ((4, 4), (3, 8), (7, 5)):
        assert field_of(np.full((1, rows, columns), 1 / (rows * columns)))[0, 3] == pytest.approx(1)


def test_a_sample_that_was_not_read_is_refused(rng):
    tap = ArrayActivations(rng.standard_normal((48, 5)), layout=Layout(np.arange(0, 49, 16), grid=(4, 4)))
    with pytest.raises(NotFound, match="sample 9"):
        influence_map(tap, InfluenceMapParams(sample=9))


# ---------------------------------------------------------------------------- graphs, gradients, offsets, merges
def test_lifted_edges_are_means_over_two_groups_one_by_one(rng):
    x, of = rng.standard_normal((9, 4)), np.array([0, 0, 1, 2, 2, 2, 1, 0, 3])
    w, got = edges(x), lifted(edges(x), of)
    for i, j in itertools.product(range(9), repeat=2):
        assert got[i, j] == pytest.approx(w[np.ix_(of == of[i], of == of[j])].mean())


def test_the_spectrum_is_that_of_the_normalised_laplacian_and_turns_with_nothing(rng):
    from scipy.sparse.csgraph import laplacian

    x = rng.standard_normal((8, 5))
    w = edges(x)
    want = np.linalg.eigvalsh(laplacian(w - np.diag(np.diag(w)), normed=True))
    np.testing.assert_allclose(spectrum(w - np.diag(np.diag(w))), want, atol=1e-9)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    of = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    assert distance(x, of) == pytest.approx(distance(3 * x @ turn, of))
    assert distance(x, of) > 1e-3


def test_groups_are_owners_and_what_is_gone_goes_to_the_nearest_mean():
    x = np.array([[0.0, 0], [2, 0], [10, 0], [0.8, 0], [7, 0]])
    assert groups(x, np.array([1, 1, 2, -1, -1])).tolist() == [0, 0, 1, 0, 1]
    assert groups(x, np.full(5, -1)).tolist() == [0] * 5


def test_a_rule_that_makes_its_tokens_again_has_merged_them_all_the_same(rng):
    tap = ArrayActivations(rng.standard_normal((64, 6)), layout=Layout(np.arange(0, 65, 16), grid=(4, 4)))
    found = graph_spectrum(tap, GraphSpectrumParams(rules="cluster_rebuild"))
    assert found.series["Cluster and rebuild"][-1] > 0.01


def test_merging_the_most_alike_moves_the_spectrum_less_than_merging_the_least(rng):
    heaps = np.repeat(np.eye(4, 12) * 5, 2, axis=0) + 0.05 * rng.standard_normal((8, 12))
    near, far = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1, 0, 1, 2, 3, 2, 3])
    assert distance(heaps, near) < 0.05 * distance(heaps, far)


def test_a_step_outside_the_old_inputs_changes_nothing_there_and_inside_it_does(rng):
    x = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 10))
    axes = basis(x, 0.9999)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-9)
    g = rng.standard_normal((4, 10))
    outside = g - g @ axes @ axes.T
    assert np.abs(x @ outside.T).max() < 1e-9
    assert np.abs(x @ g.T).max() > 0.1
    assert overlap(g, axes) == pytest.approx(1 - np.square(outside).sum() / np.square(g).sum())


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [((0.1, -1), (0.4, 1), "free"), ((0.6, -0.9), (0.9, -0.1), "interference"), ((0.4, 0.2), (0.6, 0.9), "not told"),
     ((0.6, 0.1), (0.9, 0.8), "chance of backward transfer"), ((0.6, -0.2), (0.9, 0.3), "not told")],
)  # fmt: skip
def test_a_verdict_is_told_only_where_the_interval_allows(low, high, said):
    assert verdict(np.array(low), np.array(high), 0.5) == said


def test_gradients_come_in_threes_of_one_width(rng):
    x = rng.standard_normal((30, 5))
    with pytest.raises(ParameterError, match="three for each layer"):
        gradient_overlap(x, x, x, x)
    with pytest.raises(ShapeError, match="one width"):
        gradient_overlap(x, x, rng.standard_normal((30, 6)))
    assert len(gradient_overlap(x, x, x, x, x, x).columns["layer"]) == 2


@pytest.mark.parametrize(("side", "far"), [(14, 7.281), (7, 3.609), (16, 8.326)])
def test_even_reading_has_the_known_distance_and_no_offset(side, far):
    same = np.zeros((2, side * side, 2))
    own, even = offsets(planted(same, same, grid=(side, side)))[0, 0, 0]
    np.testing.assert_allclose(own, even, atol=1e-9)
    np.testing.assert_allclose(even[:2], 0, atol=1e-9)
    assert even[2] == pytest.approx(far, abs=5e-4)


def test_offsets_are_those_of_loops_over_queries_and_keys(rng):
    q, k = rng.standard_normal((2, 2, 6, 3))
    reader = planted(q, k, grid=(2, 3))
    got = offsets(reader)[0, 0, :, 0]
    for b in range(2):
        rows, want = reader.rows(0, 0)[b], np.zeros(2)
        for i, j in itertools.product(range(6), repeat=2):
            want += rows[i, j] * np.array([j // 3 - i // 3, j % 3 - i % 3]) / 6
        np.testing.assert_allclose(got[b, :2], want, atol=1e-12)


def test_heads_that_lean_are_found_and_heads_at_random_are_not(rng):
    lean = rng.standard_normal((12, 16, 2, 3)) * 0.1
    lean[:, :, 1] = 0
    assert not beyond(lean).all()
    lean[0, :, 0, 1] += 1.0
    assert beyond(lean)[0]
    assert beyond(lean).sum() <= 2


def test_gates_are_read_from_the_checkpoint_and_drawn_against_distance(tmp_path, rng):
    """Layers in the order of their numbers, not of their letters; the last layers have none."""
    from types import SimpleNamespace

    from safetensors.numpy import save_file

    from analysis.tokens.attention import locality_gates as module

    lam = {f"blocks.{i}.attn.gating_param": rng.standard_normal(2).astype(np.float32) for i in (0, 2, 10)}
    save_file(lam, tmp_path / "model.safetensors")
    network = SimpleNamespace(shapes={k: v.shape for k, v in lam.items()}, tensor=lambda k: lam[k])
    old, module.weights_of = module.weights_of, lambda tap: network
    try:
        gates, said = module.gates_of(None, SimpleNamespace(heads=2, layers=4))
        none = module.gates_of(None, SimpleNamespace(heads=3, layers=4))
    finally:
        module.weights_of = old
    np.testing.assert_allclose(gates[1], 1 / (1 + np.exp(-lam["blocks.2.attn.gating_param"])), rtol=1e-6)
    np.testing.assert_allclose(gates[2], 1 / (1 + np.exp(-lam["blocks.10.attn.gating_param"])), rtol=1e-6)
    assert np.isnan(gates[3]).all()
    assert "3 tensors" in said[0]
    assert none == (None, ())


def test_one_expert_with_next_to_nothing_vetoes_a_word_and_means_of_logits_are_geometric(rng):
    logs = np.log(rng.dirichlet(np.ones(5), (3, 40)))
    p = np.exp(merged(logs))
    want = np.prod(np.exp(logs), axis=0) ** (1 / 3)
    np.testing.assert_allclose(p, want / want.sum(axis=1, keepdims=True))
    told = told_of(logs, 0.05)
    assert (told[0].sum(axis=0) == 1).all()  # one is the nearest
    for k, t in itertools.product(range(3), range(40)):
        rest = np.prod(np.exp(np.delete(logs[:, t], k, axis=0)), axis=0).argmax()
        lost = rest != p[t].argmax() and np.exp(logs[k, t, rest]) < 0.05
        assert told[2, k, t] == lost


def test_tokens_of_one_sample_are_drawn_expert_by_expert(rng):
    taps = [
        ArrayActivations(rng.standard_normal((30, 4)), f"e{i}", layout=Layout(np.arange(0, 31, 5)))
        for i in range(2)
    ]
    found = merged_answers(*taps, params=MergedAnswersParams(sample=3))
    assert found.column_names == tuple(f"token {i}" for i in range(5))
    assert found.values.shape == (2, 5)
    with pytest.raises(NotFound, match="sample 9"):
        merged_answers(*taps, params=MergedAnswersParams(sample=9))


def test_counts_of_scales_are_sums_over_places_and_together_the_integral(rng):
    """Densities of scales that agree are integrated whatever the gates are."""
    g, d = rng.dirichlet(np.ones(3), 60), np.repeat(rng.random((60, 1)), 3, axis=1)
    layout = Layout(np.arange(0, 61, 10), grid=(2, 5))
    taps = [ArrayActivations(v, n, layout=layout) for v, n in ((g, "gates"), (d, "densities"))]
    found = scale_counts(*taps)
    assert found.columns["count"].sum() == pytest.approx(d[:, 0].sum() / 6)
    want = (g * d).reshape(6, 10, 3).sum(axis=1)
    np.testing.assert_allclose(np.sort(found.columns["count"]), np.sort(want.mean(axis=0)))
    logits = scale_counts(ArrayActivations(np.log(g), "gates", layout=layout), taps[1])
    np.testing.assert_allclose(logits.columns["count"], found.columns["count"])
    assert any("taken for logits" in c for c in logits.caveats)
    with pytest.raises(InputError, match="all gates are 0"):
        scale_counts(ArrayActivations(0 * g, layout=layout), taps[1])
    with pytest.raises(ShapeError, match="the same samples"):
        scale_counts(taps[0], ArrayActivations(d[:, :2], layout=layout))
