"""Two streams (gates, fusion) and the heads of a long-tailed recogniser: planted answers, and the fusion module's own
order of numbers computed a second time, head by head."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.networks.stream_fusion import blocks, fusion_of, interaction_share
from analysis.errors import InputError, NotFound
from analysis.methods.tokens.expert_accuracy import (
    BY_GROUP,
    KL,
    TOGETHER,
    ExpertAccuracyParams,
    expert_accuracy,
)
from analysis.methods.tokens.stream_fusion import StreamFusionParams, stream_fusion
from analysis.methods.tokens.stream_gates import StreamGatesParams, stream_gates
from analysis.sources.checkpoint import open_checkpoint


def head_by_head(w, x, y, heads, outputs):
    """Σ_h x_h W_h y_h as the module computes it: (n, outputs)."""
    a, b = x.shape[1] // heads, y.shape[1] // heads
    by = w.reshape(heads, a, outputs * b)
    out = np.zeros((len(x), outputs))
    for h in range(heads):
        mixed = (x[:, h * a : (h + 1) * a] @ by[h]).reshape(len(x), outputs, b)
        out += (mixed * y[:, None, h * b : (h + 1) * b]).sum(axis=2)
    return out


def test_the_matrix_of_heads_gives_what_the_module_gives(rng):
    x, y, w = rng.standard_normal((9, 6)), rng.standard_normal((9, 4)), rng.standard_normal((12, 3))
    own = head_by_head(w, x, y, 2, 3)
    for o in range(3):
        matrix, joined = blocks(w, 6, 4, o)
        np.testing.assert_allclose(np.einsum("ni,ij,nj->n", x, matrix, y), own[:, o], atol=1e-12)
        assert joined.sum() == 12
        assert (matrix[~joined] == 0).all()


def test_both_kinds_of_fusion_are_found_by_their_shapes(rng):
    class Weights:
        def __init__(self, **tensors):
            self.tensors = {k.replace("__", "."): v for k, v in tensors.items()}
            self.shapes = {k: v.shape for k, v in self.tensors.items()}

        def tensor(self, key):
            return self.tensors[key]

    bilinear, w = rng.standard_normal((2, 6, 4)), rng.standard_normal((24, 1))
    found = fusion_of(Weights(fuse__weight=bilinear), 6, 4, 1)
    np.testing.assert_array_equal(found.matrix, bilinear[1])
    lines = {"f__w_x__weight": rng.standard_normal((1, 6)), "f__w_y__weight": rng.standard_normal((1, 4))}
    found = fusion_of(Weights(f__w_xy=w, **lines), 6, 4, 7)
    np.testing.assert_array_equal(found.matrix, w.reshape(6, 4))
    np.testing.assert_array_equal(found.first, lines["f__w_x__weight"][0])
    assert fusion_of(Weights(f__w_xy=w), 5, 4, 0) is None


def test_the_fusion_of_a_stored_tap_is_that_of_its_file(rng, tmp_path):
    from safetensors.numpy import save_file

    w = np.zeros((12, 1), np.float32)
    w[3] = 2.0  # head 0: row 1, column 1
    save_file({"fusion.w_xy": w}, tmp_path / "ctr.safetensors")
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 4))
    taps = [ArrayActivations(v, f"s:{n}") for n, v in (("one", x), ("two", y))]
    path = str(tmp_path / "ctr.safetensors")
    entry = {"path": path, "digest": open_checkpoint(path).digest}
    object.__setattr__(taps[0], "store", SimpleNamespace(manifest={"checkpoint": entry}))
    found = stream_fusion(*taps, params=StreamFusionParams(draws=9))
    assert np.argwhere(found.values).tolist() == [[1, 1]]
    assert found.values[1, 1] == pytest.approx(2 * x[:, 1].std() * y[:, 1].std())
    assert found.low[1, 1] < found.values[1, 1] < found.high[1, 1]
    assert found.few.sum() == 12
    assert found.estimates[0].value == pytest.approx(1)


def test_a_product_that_goes_with_a_stream_adds_nothing_of_its_own(rng):
    x = rng.standard_normal(500)
    assert interaction_share(x, 3 * x) == pytest.approx(0, abs=1e-12)
    assert interaction_share(np.zeros(500), x) == pytest.approx(1)
    assert interaction_share(np.zeros(5), np.zeros(5)) == 0


def test_gates_by_field_with_and_without_names(rng):
    gate = 1 + 0.1 * rng.standard_normal((50, 6))
    other = gate.copy()
    other[:, 4:] += 0.5
    named = tuple(f"{f}_{i}" for f in ("age", "site", "item") for i in range(2))
    found = stream_gates(*(ArrayActivations(v, n, unit_names=named) for n, v in (("a", gate), ("b", other))))
    assert found.row_names == ("age", "site", "item")
    assert found.estimates[1].value == pytest.approx(1 / 3)
    assert found.estimates[0].value == pytest.approx(0.5 / 3)
    plain = stream_gates(gate, other, params=StreamGatesParams(width=3))
    assert plain.row_names == ("field 0", "field 1")
    np.testing.assert_allclose(plain.values[:, 0], gate.reshape(50, 2, 3).mean(axis=(0, 2)))
    with pytest.raises(InputError, match="6 units"):
        stream_gates(gate, gate[:, :4])


def experts(rng, counts=(60, 30, 6)):
    """The first knows the first two classes, the second all but at times."""
    of = np.repeat(np.arange(3), counts)
    noise = rng.standard_normal((2, len(of), 3))
    first = 4.0 * np.eye(3)[np.where(of == 2, 0, of)] + 0.1 * noise[0]
    second = 1.0 * np.eye(3)[of] + 0.5 * noise[1]
    columns = {"label": of, "seen": np.array([500, 50, 5])[of]}
    return [ArrayActivations(v, n, columns) for n, v in (("head", first), ("tail", second))]


def test_the_rare_class_is_known_to_one_expert_only(rng):
    taps = experts(rng)
    found = expert_accuracy(*taps, params=ExpertAccuracyParams(counts="seen"))
    assert [c.split(" ")[1] for c in found.column_names] == ["(many,", "(medium,", "(few,"]
    assert found.values[0].tolist() == [1, 1, 0]
    assert found.values[1, 2] > 0.5
    assert found.row_names[-1] == TOGETHER
    groups = expert_accuracy(*taps, params=ExpertAccuracyParams(counts="seen", show=BY_GROUP))
    assert groups.column_names == ("all", "many samples", "medium samples", "few samples")
    np.testing.assert_allclose(groups.values[:, 1:], found.values, atol=1e-12)


def test_divergence_by_group_is_that_of_its_samples(rng):
    taps = experts(rng)
    found = expert_accuracy(*taps, params=ExpertAccuracyParams(counts="seen", show=KL))
    logs = [t.values - np.log(np.exp(t.values).sum(axis=1, keepdims=True)) for t in taps]
    each = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1)
    own = [each.mean(), each[:60].mean(), each[60:90].mean(), each[90:].mean()]
    np.testing.assert_allclose(found.values[0], own, atol=1e-12)


def test_counts_that_differ_within_a_class_or_are_words_are_refused(rng):
    taps = experts(rng)
    for column, words in (("bad", "2 different values"), ("text", "holds words")):
        taps[0].samples[column] = np.arange(96) % 2 if column == "bad" else np.array(["x"] * 96)
        with pytest.raises(InputError, match=words):
            expert_accuracy(*taps, params=ExpertAccuracyParams(counts=column))
    with pytest.raises(NotFound):
        expert_accuracy(*taps, params=ExpertAccuracyParams(counts="none"))
