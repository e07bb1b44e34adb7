"""Why two samples are alike: exact sums, and maps through a network against loops."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution import players
from analysis.attribution.one_sample.tap_vector import TapVector, vector_of
from analysis.attribution.pairs.pair_maps import ScoreCam, drops, occluded
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import input_site, map_of
from analysis.compute.similarity.pair_evidence import (
    cosines,
    features_against,
    token_evidence,
    tokens_against,
    units_against,
)
from analysis.errors import InputError, NotFound
from analysis.methods.attribution.why_similar import WhySimilarParams, why_similar
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import no_progress


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def cosine(f, g):
    return float(f @ g / np.linalg.norm(f) / np.linalg.norm(g))


@pytest.mark.parametrize("parts", ["tokens of the first", "tokens of the second", "features"])
def test_bars_of_a_bilinear_score_sum_to_it(parts, monkeypatch):
    """Against the products written down: (W f)·(W g) over both lengths, of centred means."""
    x, weight = data(60, 6), data(4, 6, seed=1)
    network = SimpleNamespace(layer=lambda name: SimpleNamespace(weight=weight))
    monkeypatch.setattr("analysis.attribution.pairs.similar_pair.weights_of", lambda tap: network)
    tap = ArrayActivations(x, layout=Layout(np.arange(13, dtype=np.int64) * 5))
    found = why_similar(tap, WhySimilarParams(first=2, second=7, parts=parts, through="head"))
    means = x.reshape(12, 5, 6).mean(axis=1)
    f, g = ((means[i] - means.mean(axis=0)) @ weight.T for i in (2, 7))
    assert found.end == pytest.approx(cosine(f, g), abs=1e-12)
    assert found.values.sum() == pytest.approx(found.end, abs=1e-12)
    assert any("through head" in c for c in found.caveats)
    if parts == "features":
        np.testing.assert_allclose(found.values, f * g / np.linalg.norm(f) / np.linalg.norm(g), atol=1e-12)
        assert found.names[0] == "head 0"
    network.layer = lambda name: SimpleNamespace(weight=data(4, 5))
    with pytest.raises(InputError, match="reads 5 numbers"):
        why_similar(tap, WhySimilarParams(through="head"))


class Small(torch.nn.Module):
    """An image of 6 x 6 to a map of 3 x 3 of five units."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Conv2d(1, 5, 3, stride=2, padding=1)
        self.act = torch.nn.GELU()
        self.head = torch.nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.act(self.map(x)).mean(dim=(2, 3)))


@pytest.fixture
def image():
    torch.manual_seed(0)
    return LoadedModel(
        Small().double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )


def pooled(image, x):
    """(units,) of a picture (1, 6, 6), without any of the parts that are tested."""
    with torch.no_grad():
        return image.module.act(image.module.map(torch.as_tensor(x)[None])).mean(dim=(2, 3))[0].numpy()


def test_evidence_adds_up_however_it_is_split():
    x, y, directions = data(4, 6), data(3, 6, seed=1), data(9, 6, seed=2)
    f, g = x.mean(axis=0), y.mean(axis=0)
    known = cosine(f, g)
    assert token_evidence(x, y).sum() == pytest.approx(known, abs=1e-14)
    np.testing.assert_allclose(token_evidence(x, y).T, token_evidence(y, x), atol=1e-15)
    np.testing.assert_allclose(tokens_against(x, g[None])[0], token_evidence(x, y).sum(axis=1), atol=1e-15)
    assert units_against(f, g[None]).sum() == pytest.approx(known, abs=1e-14)
    codes = [np.maximum(directions @ v, 0) for v in (f, g)]
    parts = features_against(codes[0], codes[1][None], directions, f, g[None])[0]
    swapped = features_against(codes[1], codes[0][None], directions, g, f[None])[0]
    assert parts.sum() == pytest.approx(known, abs=1e-13)
    np.testing.assert_allclose(parts, swapped, atol=1e-14)
    own = (codes[0][4] * (directions[4] @ g) + codes[1][4] * (directions[4] @ f)) / 2
    assert parts[4] == pytest.approx(own / np.linalg.norm(f) / np.linalg.norm(g), abs=1e-14)
    np.testing.assert_allclose(cosines(f, np.stack([g, f])), [known, 1], atol=1e-14)
    with pytest.raises(InputError, match="direction"):
        token_evidence(np.zeros((2, 6)), y)


def test_one_token_of_texts_of_different_length():
    layout = Layout(np.r_[0, np.cumsum([3, 2] * 6)])
    x = data(30, 4)
    tap = ArrayActivations(x, layout=layout)
    last = why_similar(tap, WhySimilarParams(first=0, second=1, pooling="one token", token=-1, centred=False))
    assert last.end == pytest.approx(cosine(x[2], x[4]), abs=1e-14)
    assert last.residual == pytest.approx(0, abs=1e-14)
    with pytest.raises(NotFound, match="token 2"):
        why_similar(tap, WhySimilarParams(pooling="one token", token=2))
    with pytest.raises(NotFound, match="sample 12"):
        why_similar(tap, WhySimilarParams(second=12))


def test_hidden_squares_cost_what_a_loop_says(image):
    x, centre, others = data(1, 6, 6), data(5, seed=3), data(2, 5, seed=4)
    run, blank = SampleRun(image, x), torch.full((36, 1), 0.25, dtype=torch.float64)
    found = occluded(run, players.patches(run.grid, 2), blank, TapVector("act"), no_progress, (0, 1))
    known = np.zeros((2, 9))
    for k in range(9):
        hidden = x.copy()
        hidden[0, 2 * (k // 3) : 2 * (k // 3) + 2, 2 * (k % 3) : 2 * (k % 3) + 2] = 0.25
        for j in range(2):
            whole, part = (cosine(pooled(image, v) - centre, others[j]) for v in (x, hidden))
            known[j, k] = whole - part
    np.testing.assert_allclose(drops(found, others, centre), known, atol=1e-12)


def test_score_cam_is_that_of_a_loop_and_of_the_blank_itself_nothing(image):
    x, centre, other = data(1, 6, 6), np.zeros(5), data(1, 5, seed=4)
    run, blank = SampleRun(image, x), torch.zeros((36, 1), dtype=torch.float64)
    cam = ScoreCam(run, blank, TapVector("act"), no_progress, (0, 1))
    maps, grid, leading = map_of(run, "act")
    assert (grid, leading) == ((3, 3), 0)
    empty = map_of(SampleRun(image, np.zeros((1, 6, 6))), "act")[0]
    base, gain = cosine(pooled(image, np.zeros((1, 6, 6))), other[0]), []
    for k in range(5):
        drawn = torch.as_tensor((maps[:, k] - maps[:, k].min()) / np.ptp(maps[:, k])).reshape(1, 1, 3, 3)
        large = torch.nn.functional.interpolate(drawn, size=(6, 6), mode="bilinear")[0]
        gain.append(cosine(pooled(image, x * large.numpy()), other[0]) - base)
    weight = np.exp(gain) / np.exp(gain).sum()
    np.testing.assert_allclose(cam.heat(other, centre)[0], np.maximum((maps - empty) @ weight, 0), atol=1e-12)
    nothing = ScoreCam(SampleRun(image, np.zeros((1, 6, 6))), blank, TapVector("act"), no_progress, (0, 1))
    np.testing.assert_array_equal(nothing.heat(other, centre), 0)
    assert not any(m._forward_hooks for m in image.module.modules())


def test_how_a_tap_was_read_is_found_by_its_values():
    given = data(7, 4)
    for stored, position, skip in (
        (given, None, 0), (given.mean(axis=0)[None], None, 0), (given[1:].mean(axis=0)[None], None, 1),
        (given[:1], 0, 0), (given[-1:], -1, 0),
    ):  # fmt: skip
        found = vector_of("m", given, stored.astype(np.float16).astype(float), "tap")
        assert (found.position, found.skip) == (position, skip)
    with pytest.raises(InputError, match="7 tokens"):
        vector_of("m", given, given[2:3], "tap")


def test_words_are_read_from_their_embedding():
    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = torch.nn.Embedding(10, 4), torch.nn.Linear(4, 10)

        def forward(self, input_ids):
            return self.head(self.words(input_ids))

    model = LoadedModel(Words().eval(), "text", lambda items: {"input_ids": torch.as_tensor(np.array(items))})
    assert input_site(model, [1, 5, 2]) == "words"


def test_a_block_of_units_is_split_alone_and_blocks_of_length_one_average():
    """With unit blocks side by side the cosine is the mean of the blocks' cosines."""
    x = data(20, 2, 4)
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    tap = ArrayActivations(x.reshape(20, 8))
    whole, one, two = (
        why_similar(tap, WhySimilarParams(first=2, second=5, centred=False, units=u))
        for u in ("", "0-3", "4-7")
    )
    assert one.end == pytest.approx(x[2, 0] @ x[5, 0], abs=1e-14)
    assert whole.end == pytest.approx((one.end + two.end) / 2, abs=1e-14)
    assert two.names == ("unit 4", "unit 5", "unit 6", "unit 7")
    np.testing.assert_allclose(whole.values[4:], two.values / 2, atol=1e-14)


def test_a_block_alone_is_mapped_through_the_network(image):
    x, others = data(1, 6, 6), data(2, 2, seed=4)
    run, blank = SampleRun(image, x), torch.zeros((36, 1), dtype=torch.float64)
    vector = TapVector("act", units=np.array([1, 4]))
    found = occluded(run, players.patches(run.grid, 3), blank, vector, no_progress, (0, 1))
    np.testing.assert_allclose(found[0], pooled(image, x)[[1, 4]], atol=1e-14)
    cam = ScoreCam(run, blank, vector, no_progress, (0, 1))
    assert (cam.maps.shape, cam.heat(others, np.zeros(2)).shape) == ((9, 2), (2, 9))
