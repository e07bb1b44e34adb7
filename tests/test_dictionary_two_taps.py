"""Dictionaries that read a second tap of the same store: gradients that choose, and a tap that is to be told."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.errors import Cancelled, InputError, ParameterError, ShapeError
from analysis.features import rules
from analysis.features.architectures.gradient import Gradient, GradientParams
from analysis.features.architectures.transcoder import Transcoder, TranscoderParams
from analysis.features.beside import Beside
from analysis.features.encoding import encoded_blocks
from analysis.features.feature_set import FeatureSet
from analysis.features.row_stream import RowStream
from analysis.features.shelf import FeatureShelf
from analysis.features.tap_dictionary import tap_dictionary
from analysis.features.training import train

D, E, N, LATENTS = 12, 9, 900, 20
FAST = {"tokens": 24_000, "batch": 100, "learning_rate": 1e-2}
SHORT = {"tokens": 1200, "batch": 60, "learning_rate": 6e-3, "every": 4, "checkpoint_every": 6}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def unit(rng, *shape):
    a = rng.standard_normal(shape)
    return a / np.linalg.norm(a, axis=-1, keepdims=True)


class ArrayStore:
    """Taps in memory."""

    name = "s"

    def __init__(self, taps):
        self.taps = {
            name: v if isinstance(v, ArrayActivations) else ArrayActivations(v, f"s:{name}")
            for name, v in taps.items()
        }

    def activations(self, tap):
        return self.taps[tap]


@pytest.fixture(scope="module")
def store():
    """Rows of two loud concepts of ten and, orthogonal to them, one quiet of four. `g`: gradients along the quiet ones
    only. `y`: what a linear map tells of the loud ones, far from 0."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((D, D)))[0]
    loud, quiet = unit(rng, 10, D - 4) @ basis[4:], basis[:4]
    sizes = np.zeros((N, 10))
    np.put_along_axis(sizes, rng.random((N, 10)).argsort(axis=1)[:, :2], 1 + rng.random((N, 2)), axis=1)
    which = rng.integers(4, size=N)
    x = sizes @ loud + 0.5 * quiet[which]
    g = rng.choice([-3.0, 3.0], N)[:, None] * quiet[which]
    y = 50 + 4 * sizes @ unit(rng, 10, E)
    taps = {"x": x, "g": g, "y": y, "nothing": 0 * g}
    taps = {name: v.astype(np.float32) for name, v in taps.items()}
    two_first = Layout(np.r_[0, np.arange(2, N + 2)])
    split = ArrayActivations(np.concatenate([taps["x"][:1], taps["x"]]), "s:split", layout=two_first)
    return ArrayStore({**taps, "split": split})


def doubled(dictionary):
    """With weights of float64."""
    dictionary.weights = {n: w.detach().double().requires_grad_(True) for n, w in dictionary.weights.items()}
    return dictionary


def agrees_with_differences(dictionary, z, rng, step=1e-6):
    """The gradient of the loss against central differences, at four places of every weight."""
    dictionary.loss(z).total.backward()
    for name, w in dictionary.weights.items():
        flat, found = w.detach().view(-1), w.grad.view(-1)
        for i in rng.choice(len(flat), min(4, len(flat)), replace=False):
            old, sides = float(flat[i]), []
            for sign in (1, -1):
                flat[i] = old + sign * step
                sides.append(float(dictionary.loss(z).total.detach()))
            flat[i] = old
            assert found[i].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-6), name


class Stop:
    """Progress that asks to stop at the n-th step."""

    def __init__(self, n):
        self.left = n

    def __call__(self, share, doing=""):
        self.left -= "rows:" in doing or doing.endswith("rows")
        if self.left == 0:
            raise Cancelled


# ---------------------------------------------------------------------- gradients
def test_a_row_keeps_what_is_large_and_matters():
    """Against the equation, row by row in NumPy."""
    rng = np.random.default_rng(1)
    dictionary = doubled(Gradient(GradientParams(LATENTS, 3, beta=2.0), D, rng, D))
    z = rng.standard_normal((30, 2 * D)) / np.sqrt(D)
    w = {n: v.detach().numpy() for n, v in dictionary.weights.items()}
    expected = np.zeros((30, LATENTS))
    for row, out in zip(z, expected, strict=True):
        p = row[:D] @ w["encoder"]
        effect = np.abs([np.sqrt(D) * direction @ row[D:] for direction in w["decoder"]])
        for j in np.argsort(-p * (1 + 2 * effect))[:3]:
            out[j] = max(p[j], 0)
    found = dictionary.loss(torch.from_numpy(z))
    np.testing.assert_allclose(found.codes.numpy(), expected, atol=1e-12)
    left = ((z[:, :D] - expected @ w["decoder"]) ** 2).sum(axis=1).mean()
    assert found.total.item() == pytest.approx(left, rel=1e-10)
    plain = Gradient(GradientParams(LATENTS, 3, beta=0.0), D, np.random.default_rng(1), D)
    assert not torch.equal(found.codes != 0, doubled(plain).loss(torch.from_numpy(z)).codes != 0)
    agrees_with_differences(dictionary, torch.from_numpy(z), rng)


def test_without_weight_on_gradients_it_is_topk_bit_for_bit(store):
    plain = train(store, "x", "topk", {"latents": LATENTS, "k": 2}, SHORT)
    made = train(store, "x", "gradient", {"latents": LATENTS, "k": 2, "beta": 0, "gradients": "g"}, SHORT)
    assert made.digest == plain.digest
    assert made.about["curve"] == plain.about["curve"]
    assert made.about["gradients"]["swapped"] == 0
    other = train(store, "x", "gradient", {"latents": LATENTS, "k": 2, "beta": 1, "gradients": "g"}, SHORT)
    assert other.digest != plain.digest


def test_gradients_find_the_quiet_concepts_that_matter(store):
    """Two codes for three concepts: by size alone both go to the loud ones, which have no effect."""
    effect = {}
    for beta in (0.0, 10.0):
        params = {"latents": 32, "k": 2, "beta": beta, "gradients": "g"}
        made = train(store, "x", "gradient", params, FAST)
        assert made.rule == rules.TOPK
        effect[beta] = made.about["gradients"]["effect_left"]
        assert made.about["held_out"]["explained_variance"] > 0.5
    assert effect[0.0]["gradient"] == effect[0.0]["topk"]
    assert effect[10.0]["gradient"] < 0.5 * effect[0.0]["gradient"]
    assert effect[10.0]["topk"] < 0.8 * effect[0.0]["topk"]  # also without gradients to choose by
    json.dumps(made.about)
    assert made.about["beside"] == {"tap": "g", "digest": store.activations("g").digest}


def test_gradients_are_scaled_about_zero_and_targets_about_their_mean(store):
    """Gradients that are mostly the same everywhere: their common part counts."""
    moved = ArrayActivations(store.activations("g").values + 10)
    for centred in (False, True):
        stream = RowStream(store.activations("x"), 0.1, 0, beside=Beside(moved, centred))
        z = next(stream.batches(N))[1].astype(np.float64)
        assert z.shape == (810, 2 * D)
        assert (z[:, D:] ** 2).sum(axis=1).mean() == pytest.approx(1, abs=1e-5)
        assert np.abs(z[:, D:].mean(axis=0)).max() < 1e-6 if centred else z[:, D:].mean(axis=0).min() > 0.2
        parts = np.concatenate(list(stream.held_parts(7)))
        np.testing.assert_allclose(parts[:, D:], stream.beside.scaled(stream.beside.held))


def test_gradients_that_are_not_there_are_asked_for(store):
    params = {"latents": LATENTS, "k": 2}
    with pytest.raises(ParameterError, match="no gradients for Gradient SAE"):
        train(store, "x", "gradient", params, SHORT)
    with pytest.raises(ShapeError, match="gradients of 9 units"):
        train(store, "x", "gradient", {**params, "gradients": "y"}, SHORT)
    with pytest.raises(InputError, match="s:nothing are all 0"):
        train(store, "x", "gradient", {**params, "gradients": "nothing"}, SHORT)
    with pytest.raises(ShapeError, match="901 rows of 900 samples"):
        train(store, "x", "gradient", {**params, "gradients": "split"}, SHORT)


# ---------------------------------------------------------------------- transcoders
def told(store, **more):
    params = {"latents": LATENTS, "k": 3, "target": "y", **more}
    return train(store, "x", "transcoder", params, FAST)


def test_a_transcoder_tells_the_target_from_the_tap_it_reads(store, tmp_path):
    made = told(store)
    x, y = (store.activations(name).take(np.arange(N)).astype(np.float64) for name in ("x", "y"))
    assert (made.transcoder, made.n_units, made.directions.shape) == (True, D, (LATENTS, E))
    np.testing.assert_allclose(made.lengths, 1, atol=1e-5)
    held = np.sort(np.random.default_rng([0, 1]).permutation(N)[:90])
    left = ((y[held] - made.reconstruct(x[held])) ** 2).sum()
    explained = 1 - left / ((y[held] - y[held].mean(axis=0)) ** 2).sum()
    assert made.about["held_out"]["explained_variance"] == pytest.approx(explained, abs=1e-6)
    assert made.about["curve"][-1]["explained_variance"] == pytest.approx(explained, abs=1e-3)
    assert explained > 0.85
    order = np.random.default_rng(3).permutation(N)
    other = ArrayStore({"x": x.astype("f4"), "y": y[order].astype("f4")})
    assert told(other).about["held_out"]["explained_variance"] < 0.1  # rows of other samples tell nothing


def test_the_finished_transcoder_codes_and_decodes_as_its_equation_says():
    rng = np.random.default_rng(2)
    dictionary = Transcoder(TranscoderParams(LATENTS, 3, "y"), D, rng, E)

    class Other:
        mean, scale = np.linspace(-3, 3, E), 0.25

    dictionary.beside = Other
    with torch.no_grad():
        for w in dictionary.weights.values():
            w += 0.1 * torch.from_numpy(rng.standard_normal(w.shape).astype(np.float32))
    dictionary.after_step(None)
    mean, scale = np.linspace(-5, 5, D), 0.4
    made = dictionary.finish("t", mean, scale, {})
    z = rng.standard_normal((40, D + E)).astype(np.float32) / np.sqrt(D).astype(np.float32)
    x = (z[:, :D] / scale + mean).astype(np.float32)
    w = {n: v.detach().double().numpy() for n, v in dictionary.weights.items()}
    codes = np.zeros((40, LATENTS))
    p = z[:, :D] @ w["encoder"] + w["bias"]
    for row, out in zip(p, codes, strict=True):
        out[np.argsort(-row)[:3]] = np.maximum(np.sort(row)[:-4:-1], 0)
    np.testing.assert_allclose(dictionary.loss(torch.from_numpy(z)).codes.numpy(), codes, atol=1e-5)
    np.testing.assert_allclose(made.encode(x) * 0.25 / 0.4, codes, atol=1e-5)
    expected = (codes @ w["decoder"] + w["centre"]) / 0.25 + Other.mean
    np.testing.assert_allclose(made.reconstruct(x), expected, atol=1e-4)
    left = ((z[:, D:] - codes @ w["decoder"] - w["centre"]) ** 2).sum(axis=1).mean()
    assert dictionary.loss(torch.from_numpy(z)).total.item() == pytest.approx(left, rel=1e-5)
    agrees_with_differences(doubled(dictionary), torch.from_numpy(z).double(), rng)


def test_a_transcoder_is_kept_opened_and_encodes_but_is_not_reported_on(store, tmp_path):
    params = {"latents": LATENTS, "k": 3, "target": "y"}
    made = train(store, "x", "transcoder", params, SHORT, name="tell")
    shelf = FeatureShelf(tmp_path)
    shelf.add(made)
    again = shelf.open("tell")
    assert (again.digest, again.transcoder) == (made.digest, True)
    facts = shelf.facts()[0]
    assert (facts.n_units, facts.n_features) == (D, LATENTS)
    counts, _, values, _ = next(encoded_blocks(again, store.activations("x")))
    assert counts.max() == 3
    assert values.min() > 0
    encoded = SimpleNamespace(name="s:x@tell", source=lambda: None, set_folder=tmp_path / "tell")
    with pytest.raises(InputError, match="tells another tap than it reads"):
        tap_dictionary(encoded)
    same = FeatureSet("s", rules.RELU, np.eye(2), np.eye(2), *np.zeros((3, 2)))
    as_transcoder = FeatureSet("s", rules.RELU, np.eye(2), np.eye(2), *np.zeros((3, 2)), transcoder=True)
    assert same.digest == "a74b1163cb0a0bb2c9ff76818b24bcbd"  # as before there were transcoders
    assert as_transcoder.digest != same.digest
    with pytest.raises(ShapeError, match="centre"):
        FeatureSet("s", rules.RELU, np.eye(2), np.ones((2, 3)), *np.zeros((3, 2)), transcoder=True)
    with pytest.raises(InputError, match="could not be undone"):
        FeatureSet(
            "s", rules.RELU, np.eye(2), np.eye(2), *np.zeros((3, 2)), transcoder=True, normalise="norm"
        )


def test_a_target_that_is_not_there_is_asked_for(store):
    with pytest.raises(ParameterError, match="no target for Transcoder"):
        train(store, "x", "transcoder", {"latents": LATENTS, "k": 2}, SHORT)
    with pytest.raises(InputError, match="do not vary"):
        train(store, "x", "transcoder", {"latents": LATENTS, "k": 2, "target": "nothing"}, SHORT)


@pytest.mark.parametrize(
    ("name", "more"), [("gradient", {"gradients": "g"}), ("transcoder", {"target": "y"})]
)
def test_two_taps_resume_with_the_same_bits(store, tmp_path, name, more):
    params = {"latents": LATENTS, "k": 2, **more}
    whole = train(store, "x", name, params, SHORT, name="f")
    with pytest.raises(Cancelled):
        train(store, "x", name, params, SHORT, directory=tmp_path, progress=Stop(9))
    again = train(store, "x", name, params, SHORT, name="f", directory=tmp_path, resume=True)
    assert again.digest == whole.digest
    assert again.about == whole.about
