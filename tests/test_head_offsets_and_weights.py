"""What single heads pay, where to and by which weights, against loops over queries and keys."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, ShapeError
from analysis.methods.tokens.head_offsets import beyond, offsets
from analysis.methods.tokens.head_weights import head_weights_of, norms
from analysis.methods.tokens.long_tokens_read import LongTokensReadParams, long_tokens_read, measured
from analysis.tokens.attention.heads import planted


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
