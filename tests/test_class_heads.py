"""Classes as subspaces: the facts of the logit, slow second implementations, files, refusals, checks that can fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import class_frame_overlaps
from analysis.compute.subspaces import class_frames as frames_module
from analysis.compute.subspaces.angles import all_angles
from analysis.compute.subspaces.class_frames import class_frames, leading, right_and_shares, squared_logits
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.subspaces import class_head_overlap as overlap
from analysis.methods.subspaces import class_heads as heads


def frame(rng, d, k):
    return np.linalg.qr(rng.standard_normal((d, k)))[0]


def tap(x, of):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(of)})


# ---------------------------------------------------------------------------- facts of the logit
def test_a_random_frame_holds_k_of_d_of_the_squared_length(rng):
    """Mean over 4,000 frames; the share is Beta(k / 2, (d - k) / 2): tolerance 4 standard errors."""
    x, d, k = rng.standard_normal(12), 12, 3
    shares = [squared_logits(x[None], [frame(rng, d, k)], k)[0, 0, -1] / (x @ x) for _ in range(4000)]
    deviation = np.sqrt(2 * k * (d - k) / (d**2 * (d + 2)))
    assert np.mean(shares) == pytest.approx(k / d, abs=4 * deviation / np.sqrt(4000))
    assert np.std(shares) == pytest.approx(deviation, rel=0.06)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), d=st.integers(2, 12), data=st.data())
def test_the_logit_ignores_rotations_of_the_frame_and_the_sign_of_x(seed, d, data):
    rng, k = np.random.default_rng(seed), data.draw(st.integers(1, d))
    s, x = frame(rng, d, k), rng.standard_normal((5, d))
    whole = squared_logits(x, [s], k)[:, 0, -1]
    turned = squared_logits(x, [s @ frame(rng, k, k)], k)[:, 0, -1]
    np.testing.assert_allclose(turned, whole, rtol=1e-9)
    np.testing.assert_array_equal(squared_logits(-x, [s], k)[:, 0, -1], whole)
    np.testing.assert_allclose(np.sqrt(whole), np.linalg.norm(x @ s, axis=1), rtol=1e-9)


def test_k_of_one_is_the_absolute_product_and_k_of_d_the_length(rng):
    x, s = rng.standard_normal((6, 7)), frame(rng, 7, 7)
    found = squared_logits(x, [s, frame(rng, 7, 7)], 7)
    np.testing.assert_allclose(np.sqrt(found[:, 0, 0]), np.abs(x @ s[:, 0]), rtol=1e-12)
    np.testing.assert_allclose(
        np.sqrt(found[:, :, 6]), np.linalg.norm(x, axis=1)[:, None] * [1, 1], rtol=1e-12
    )


@pytest.mark.parametrize(("n", "d"), [(30, 6), (5, 20)])
def test_leading_directions_are_the_singular_vectors(rng, n, d):
    x = rng.standard_normal((n, d)) + 3
    found, right = leading(x, 3), np.linalg.svd(x)[2][:3].T
    np.testing.assert_allclose(np.abs(np.sum(found * right, axis=0)), 1, atol=1e-9)
    np.testing.assert_allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-12)


def test_no_other_frame_holds_more_of_the_class(rng):
    x = rng.standard_normal((50, 8)) * np.arange(1, 9)
    held = ((x @ leading(x, 3)) ** 2).sum()
    assert all(((x @ frame(rng, 8, 3)) ** 2).sum() <= held for _ in range(200))


def test_a_class_of_few_directions_keeps_its_logit_beyond_them(rng):
    x = np.outer(rng.standard_normal(10), np.arange(1.0, 6))
    (only,) = class_frames(x, np.zeros(10, int), 1, 4)
    assert only.shape == (5, 1)
    found = squared_logits(x, [only], 4)
    np.testing.assert_allclose(found[:, 0], np.repeat((x**2).sum(axis=1)[:, None], 4, axis=1), rtol=1e-9)


def test_ties_are_shared_and_zeros_are_ties(rng):
    x, s = rng.standard_normal((8, 4)), frame(rng, 4, 2)
    x[0] = 0
    right, own, others = right_and_shares(x, np.zeros(8, int), [s, s, s], 2)
    np.testing.assert_allclose(right, 1 / 3)
    np.testing.assert_allclose(own[1:], others[1:])
    assert own[0, 0] == 0


def test_blocks_change_nothing(rng, monkeypatch):
    x, of = rng.standard_normal((50, 6)), np.arange(50) % 3
    s = class_frames(x, of, 3, 4)
    whole = right_and_shares(x, of, s, 4)
    monkeypatch.setattr(frames_module, "BLOCK", 24)
    for a, b in zip(whole, right_and_shares(x, of, s, 4), strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------------- the curve
def test_held_out_accuracy_is_that_of_a_slow_loop(rng):
    of = np.arange(60) % 3
    x = rng.standard_normal((60, 8)) + 1.5 * rng.standard_normal((3, 8))[of]
    found = heads.class_heads(tap(x, of), rng=np.random.default_rng(5))
    fold = heads.folds_of(of, 5, np.random.default_rng(5))
    for k in (1, 3):
        hits = 0
        for i in range(60):
            train = fold != fold[i]
            logits = []
            for c in range(3):
                s = np.linalg.svd(x[train & (of == c)])[2][:k].T
                logits.append(np.linalg.norm(s.T @ x[i]))
            hits += int(np.argmax(logits) == of[i])
        assert found.series[heads.SUBSPACES][k - 1] == pytest.approx(hits / 60)


def test_spans_without_means_are_told_by_subspaces_only(rng):
    of = np.arange(400) % 4
    spans = np.linalg.qr(rng.standard_normal((16, 16)))[0].reshape(16, 4, 4)[:, :, :3]
    x = np.array([spans[:, c] @ rng.standard_normal(3) for c in of]) + 0.05 * rng.standard_normal((400, 16))
    found = heads.class_heads(tap(x, of), heads.ClassHeadsParams(dimension=3))
    values = {e.name: e for e in found.estimates}
    assert values[f"{heads.SUBSPACES}, k = 3"].value > 0.97
    assert values[heads.PROBE].value < 0.6
    gain = values["class subspaces less linear probe, k = 3"]
    assert gain.low > 0.3
    assert "better than" in found.reading


def test_classes_of_one_direction_and_two_signs_are_told_by_a_probe_only(rng):
    """x and -x have one logit: no evidence against a class."""
    of = np.arange(400) % 2
    x = np.where(of == 0, 1.0, -1.0)[:, None] * np.r_[3.0, np.zeros(9)] + 0.3 * rng.standard_normal((400, 10))
    found = {
        e.name: e.value for e in heads.class_heads(tap(x, of), heads.ClassHeadsParams(dimension=1)).estimates
    }
    assert found[heads.PROBE] == 1.0
    assert abs(found[f"{heads.SUBSPACES}, k = 1"] - 0.5) < 0.1


def test_noise_is_at_chance_and_its_interval_covers_it():
    hits = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        e = heads.class_heads(tap(rng.standard_normal((90, 30)), np.arange(90) % 3), rng=rng).estimates[0]
        hits += e.low <= e.null <= e.high
    assert hits >= 25


def test_a_large_mean_is_said(rng):
    x = rng.standard_normal((100, 6)) + 20
    found = heads.class_heads(tap(x, np.arange(100) % 2))
    assert any("mean of all samples" in c for c in found.caveats)
    off = heads.class_heads(tap(x, np.arange(100) % 2), heads.ClassHeadsParams(origin=heads.CENTRED))
    assert not any("mean of all samples" in c for c in off.caveats)


def test_k_never_exceeds_the_samples_of_a_class(rng):
    of = np.r_[np.zeros(5, int), np.ones(95, int)]
    found = heads.class_heads(tap(rng.standard_normal((100, 30)), of), heads.ClassHeadsParams(dimension=10))
    assert found.x[-1] == 4
    assert any("numbers are at k = 4" in c for c in found.caveats)


def test_refusals_of_the_curve(rng):
    with pytest.raises(InputError, match="are 0"):
        heads.class_heads(tap(np.zeros((40, 3)), np.arange(40) % 2))
    with pytest.raises(NotEnoughData):
        heads.class_heads(tap(rng.standard_normal((8, 3)), np.arange(8) % 2))


# ---------------------------------------------------------------------------- overlap
def test_overlap_is_the_sum_over_principal_angles(rng):
    stack = [frame(rng, 15, 4) for _ in range(5)]
    pairs, angles = all_angles(stack)
    found = overlap.overlaps(stack)
    np.testing.assert_allclose(found[pairs[:, 0], pairs[:, 1]], (np.cos(angles) ** 2).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(np.diag(found), 4)


@pytest.fixture
def head_file(monkeypatch, rng):
    """A checkpoint with a stack of frames, as `weights_of` gives it."""

    def make(stack, key="head.frames"):
        network = SimpleNamespace(
            path=SimpleNamespace(name="net.pt"), shapes={key: stack.shape}, tensor=lambda k: stack
        )
        monkeypatch.setattr(overlap, "weights_of", lambda tap: network)

    return make


def test_a_stack_from_a_file(rng, head_file):
    stack = np.array([frame(rng, 10, 2) for _ in range(6)])
    of = np.arange(120) % 3
    x = np.einsum("ndk,nk->nd", stack[of], rng.standard_normal((120, 2)))
    head_file(stack)
    found = overlap.class_head_overlap(tap(x, of), overlap.ClassHeadOverlapParams(tensor="head.frames"))
    np.testing.assert_allclose(found.values, overlap.overlaps(list(stack)), atol=1e-12)
    assert found.row_names == tuple("012345")
    assert found.low is None
    assert found.estimates[1].value == 1.0
    turned = np.array([s @ frame(rng, 2, 2) for s in stack])
    head_file(turned)
    again = overlap.class_head_overlap(tap(x, of), overlap.ClassHeadOverlapParams(tensor="head.frames"))
    np.testing.assert_allclose(again.values, found.values, atol=1e-12)


def test_frames_that_are_not_orthonormal_are_said(rng, head_file):
    stack = np.array([frame(rng, 10, 2) for _ in range(3)])
    head_file(stack * [[[1.0, 3.0]]])
    found = overlap.class_head_overlap(
        tap(rng.standard_normal((60, 10)), np.arange(60) % 3),
        overlap.ClassHeadOverlapParams(tensor="head.frames"),
    )
    np.testing.assert_allclose(found.values, overlap.overlaps(list(stack)), atol=1e-9)
    assert any("not orthonormal" in c for c in found.caveats)


def test_a_real_file(tmp_path, rng):
    """safetensors written, recorded as the checkpoint of a stored tap's manifest, read back."""
    from safetensors.numpy import save_file

    from analysis.sources.weights import weights_of

    stack = np.array([frame(rng, 10, 2) for _ in range(3)], dtype=np.float32)
    save_file({"gcr.weight": stack}, tmp_path / "net.safetensors")
    from analysis.sources.checkpoint import open_checkpoint

    digest = open_checkpoint(tmp_path / "net.safetensors").digest
    entry = {"path": str(tmp_path / "net.safetensors"), "digest": digest, "kind": "state_dict"}
    data = tap(rng.standard_normal((60, 10)), np.arange(60) % 3)
    object.__setattr__(data, "store", SimpleNamespace(manifest={"checkpoint": entry}))
    assert weights_of(data).shapes["gcr.weight"] == (3, 10, 2)
    found = overlap.class_head_overlap(data, overlap.ClassHeadOverlapParams(tensor="gcr.weight"))
    np.testing.assert_allclose(found.values, overlap.overlaps(list(stack.astype(float))), atol=1e-6)


def test_refusals_of_the_overlap(rng, head_file):
    data = tap(rng.standard_normal((60, 10)), np.arange(60) % 3)
    ask = overlap.ClassHeadOverlapParams
    with pytest.raises(InputError, match="knows no checkpoint"):
        overlap.class_head_overlap(data, ask(tensor="head.frames"))
    head_file(np.zeros((3, 7, 2)))
    with pytest.raises(NotFound, match="no tensor 'other'"):
        overlap.class_head_overlap(data, ask(tensor="other"))
    with pytest.raises(InputError, match="reads 7 units"):
        overlap.class_head_overlap(data, ask(tensor="head.frames"))
    head_file(np.zeros((3, 10)))
    with pytest.raises(InputError, match="shape"):
        overlap.class_head_overlap(data, ask(tensor="head.frames"))
    head_file(np.array([frame(rng, 10, 2)] * 2))
    with pytest.raises(InputError, match="class 2"):
        overlap.class_head_overlap(data, ask(tensor="head.frames"))
    with pytest.raises(NotEnoughData, match="k = 11"):
        overlap.class_head_overlap(data, ask(dimension=11))
    thin = np.repeat(rng.standard_normal((3, 10)), 20, axis=0)
    with pytest.raises(NotEnoughData, match="1 direction"):
        overlap.class_head_overlap(tap(thin, np.repeat(np.arange(3), 20)), ask(dimension=2))


# ---------------------------------------------------------------------------- checks that can fail
FRAMES, RIGHT, OVERLAPS = class_frames, right_and_shares, overlap.overlaps


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (heads, heads, "class_frames", lambda x, of, c, k: FRAMES(x, of[::-1] * 0, 1, k) * c),
        (heads, heads, "right_and_shares", lambda *a: tuple(0.9 * v for v in RIGHT(*a))),
        (heads, heads, "nearest_mean", lambda x, of, c, fold: of),
        (overlap, overlap, "overlaps", lambda frames: np.sqrt(OVERLAPS(frames))),
        (overlap, overlap, "overlap_by_chance", lambda p, q, d: (0.0, 0.0)),
        (overlap, class_frame_overlaps, "right_and_shares", lambda *a: tuple(0.9 * v for v in RIGHT(*a))),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def test_two_that_answer_alike_may_still_differ_by_as_much_as_so_few_samples_allow(rng):
    of = np.arange(60) % 3
    x = 8 * np.eye(6)[of] + 0.1 * rng.standard_normal((60, 6))
    values = {e.name: e for e in heads.class_heads(tap(x, of), heads.ClassHeadsParams(dimension=1)).estimates}
    gain = values["class subspaces less linear probe, k = 1"]
    assert gain.value == 0
    assert gain.low == pytest.approx(-gain.high)
    assert gain.high > 0.02  # Student's t of sixty zeros would say that they never differ
