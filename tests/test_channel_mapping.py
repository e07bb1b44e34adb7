"""Channels of two sensors, and confidence where a model is right and wrong: closed forms, chance, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.populations.class_confusion import class_confusion
from analysis.methods.populations.confidence_histograms import (
    RIGHT,
    WRONG,
    ConfidenceParams,
    confidence_histograms,
)
from analysis.methods.populations.expected_calibration import expected_calibration
from analysis.methods.tokens.channel_mapping import WEIGHTS, ChannelMappingParams, channel_mapping
from analysis.tokens.mixers.channel_maps import assigned, correlations, held_out, nearest_channel, spread
from analysis.tokens.mixers.channel_reading import TOKENS
from dashboard.browse.token_questions import QUESTIONS

NM = "443, 490, 560, 665, 842"


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def scenes(rng, n=200):
    """Five bands of neighbours that share much, and a second sensor with four of them, noisier."""
    base = rng.standard_normal((n, 5)) + 0.8 * rng.standard_normal((n, 1))
    return base, base[:, [3, 0, 4, 2]] + 0.3 * rng.standard_normal((n, 4))


def told(result):
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- channels
def test_correlations_and_pairs_are_those_by_hand(rng):
    x, y = scenes(rng)
    found = channel_mapping(x, y)
    np.testing.assert_allclose(found.values, np.corrcoef(x.T, y.T)[:5, 5:], atol=1e-12)
    pairs = found.outlines[:, [0, 2]]
    assert {tuple(p) for p in pairs} == {(3, 0), (0, 1), (4, 2), (2, 3)}
    rows, columns = assigned(found.values)
    assert told(found)["correlation of one-to-one pairs"].value == pytest.approx(
        found.values[rows, columns].mean()
    )
    assert told(found)["correlation of one-to-one pairs"].p_value < 0.05
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()


def test_explained_variance_is_that_of_held_out_scenes_by_hand(rng):
    x, y = scenes(rng, 100)
    fold = np.arange(100) % 5
    near = np.array([3, 0, 4, 2])
    error, around = held_out(x[:, :, None], y[:, :, None], fold, near), spread(y[:, :, None], fold)
    for k in range(5):
        train, test = fold != k, fold == k
        for b in range(4):
            slope, level = np.polyfit(x[train, near[b]], y[train, b], 1)
            np.testing.assert_allclose(
                error[test, b], (slope * x[test, near[b]] + level - y[test, b]) ** 2, atol=1e-10
            )
            np.testing.assert_allclose(around[test, b], (y[test, b] - y[train, b].mean()) ** 2, atol=1e-12)
    every = held_out(x[:, :, None], y[:, :, None], fold)
    assert every.mean() < 1.1 * error.mean()
    lost = held_out(x[rng.permutation(100)][:, :, None], y[:, :, None], fold)
    assert lost.mean() > 0.9 * around.mean()


def test_wavelengths_tell_which_channels_are_neighbours(rng):
    x, y = scenes(rng)
    asked = {"wavelengths": NM, "other_wavelengths": "660, 445, 860, 555"}
    found = told(channel_mapping(x, y, ChannelMappingParams(**asked)))
    assert found["best match is the nearest in wavelength"].value == 1.0
    assert found["best match is the nearest in wavelength"].null == pytest.approx(1 / 5)
    assert found["gap of one-to-one pairs"].value == pytest.approx(np.mean([5, 2, 18, 5]))
    nm = np.array([443.0, 490, 560, 665, 842]), np.array([660.0, 445, 860, 555])
    assert found["gap of one-to-one pairs"].null == pytest.approx(np.abs(nm[0][:, None] - nm[1]).mean())
    assert (
        found["R² from the nearest in wavelength alone"].value
        < found["R² of the second sensor's channels"].value + 0.02
    )
    np.testing.assert_array_equal(nearest_channel(nm[1], nm[0]), [3, 0, 4, 2])
    swapped = {"wavelengths": NM, "other_wavelengths": "445, 660, 555, 860"}
    assert (
        told(channel_mapping(x, y, ChannelMappingParams(**swapped)))[
            "best match is the nearest in wavelength"
        ].value
        == 0
    )
    with pytest.raises(ParameterError, match="5 finite numbers"):
        channel_mapping(x, y, ChannelMappingParams(wavelengths="443, 490"))


def test_scenes_are_matched_by_id_and_tokens_are_channels(rng):
    x, y = scenes(rng)
    ids = np.array([f"s{i}" for i in range(200)])
    order = rng.permutation(200)[:150]
    taps = (ArrayActivations(x, samples={"id": ids}), ArrayActivations(y[order], samples={"id": ids[order]}))
    found = channel_mapping(*taps)
    np.testing.assert_allclose(found.values, np.corrcoef(x[order].T, y[order].T)[:5, 5:], atol=1e-12)
    tokens = rng.standard_normal((40, 3, 6))
    other = tokens[:, [1, 2, 0]] + 0.1 * rng.standard_normal((40, 3, 6))
    layout = Layout(np.arange(41) * 3)
    pair = [ArrayActivations(t.reshape(120, 6), layout=layout) for t in (tokens, other)]
    by_token = channel_mapping(*pair, params=ChannelMappingParams(channels=TOKENS))
    assert {tuple(p) for p in by_token.outlines[:, [0, 2]]} == {(1, 0), (2, 1), (0, 2)}
    np.testing.assert_allclose(by_token.values, correlations(tokens, other), atol=1e-12)
    with pytest.raises(InputError, match="as many units in both"):
        channel_mapping(pair[0], ArrayActivations(x[:40]), ChannelMappingParams(channels=TOKENS))
    ragged = ArrayActivations(rng.standard_normal((119, 6)), layout=Layout(np.r_[np.arange(40) * 3, 119]))
    with pytest.raises(InputError, match="the same in all"):
        channel_mapping(pair[0], ragged, ChannelMappingParams(channels=TOKENS))


def test_weights_make_up_the_second_sensor_and_noise_is_chance(rng):
    x = rng.standard_normal((400, 4))
    mix = np.array([[1.0, 0], [0, 2], [0, 0], [1, 0]])
    found = channel_mapping(x, 5 * x @ mix + 3, ChannelMappingParams(show=WEIGHTS))
    scale = x.std(axis=0)[:, None] * mix / (x @ mix).std(axis=0)
    np.testing.assert_allclose(found.values, scale, atol=1e-3)
    p = [channel_mapping(rng.standard_normal((40, 5)), rng.standard_normal((40, 4)),
                         rng=np.random.default_rng(s)).estimates[1].p_value for s in range(30)]  # fmt: skip
    assert np.mean(np.array(p) < 0.05) <= 0.2
    assert 0.25 < np.mean(p) < 0.75


# ---------------------------------------------------------------------------- confidence
def outputs(rng, n=600, flip=0.0):
    logits = 1.5 * rng.standard_normal((n, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (rng.random(n)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    other = rng.random(n) < flip
    return p, np.where(other, rng.integers(4, size=n), label)


def test_counts_add_up_and_agree_with_the_calibration_curve(rng):
    p, label = outputs(rng)
    tap = ArrayActivations(p, samples={"label": label})
    found = confidence_histograms(tap)
    right = p.argmax(axis=1) == label
    assert found.counts[RIGHT].sum() == right.sum()
    assert found.counts[WRONG].sum() == (~right).sum()
    for name, of in ((RIGHT, right), (WRONG, ~right)):
        np.testing.assert_array_equal(found.counts[name], np.histogram(p.max(axis=1)[of], found.edges)[0])
    assert found.null.sum() == pytest.approx((1 - p.max(axis=1)).sum())
    same = told(expected_calibration(tap))
    assert told(found)["accuracy"].value == same["accuracy"].value
    pairs = (p.max(axis=1)[right][:, None] > p.max(axis=1)[~right]).mean()
    assert told(found)["AUROC of confidence for right against wrong"].value == pytest.approx(pairs, abs=1e-12)
    gap = told(found)["mean confidence, right less wrong"]
    assert gap.value == pytest.approx(p.max(axis=1)[right].mean() - p.max(axis=1)[~right].mean())
    assert gap.low > 0


def test_errors_that_are_sure_are_told_beside_those_of_a_calibrated_model(rng):
    fair, spoiled = (
        confidence_histograms(ArrayActivations(p, samples={"label": label}), ConfidenceParams(sure=0.8))
        for p, label in (outputs(rng, 3000), outputs(rng, 3000, flip=0.5))
    )
    sure = [
        next(e for e in f.estimates if e.name.startswith("wrong ones that are sure")) for f in (fair, spoiled)
    ]
    assert sure[0].low <= sure[0].null <= sure[0].high
    assert sure[1].low > sure[1].null
    assert sure[1].n == spoiled.counts[WRONG].sum()
    assert spoiled.counts[WRONG].sum() > 1.3 * spoiled.null.sum()


def test_all_right_few_and_missing_labels(rng):
    p = np.eye(3)[np.arange(60) % 3] * 0.8 + 0.2 / 3
    perfect = confidence_histograms(ArrayActivations(p, samples={"label": np.arange(60) % 3}))
    assert "All samples are right" in perfect.reading
    assert any("rough histogram" in said for said in perfect.caveats)
    one = np.arange(60) % 3
    one[0] = 1
    lone = confidence_histograms(ArrayActivations(p, samples={"label": one}))
    assert told(lone)["mean confidence, right less wrong"].low is None
    with pytest.raises(NotFound):
        confidence_histograms(ArrayActivations(p))


def test_confusions_are_counts_over_their_class_and_kappa_is_that_of_its_definition(rng):
    right = rng.integers(4, size=300)
    said = np.where(rng.random(300) < 0.7, right, rng.integers(4, size=300))
    found = class_confusion(ArrayActivations(np.eye(4)[said], samples={"label": right}))
    by_hand = np.array([[((right == a) & (said == b)).sum() for b in range(4)] for a in range(4)])
    np.testing.assert_allclose(found.values, by_hand / by_hand.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found.null[0], by_hand.sum(axis=0) / 300)
    agree, chance = (said == right).mean(), sum((right == a).mean() * (said == a).mean() for a in range(4))
    assert told(found)["agreement beyond chance (κ)"].value == pytest.approx((agree - chance) / (1 - chance))
    assert told(found)["accuracy"].null == pytest.approx(chance)
    assert found.significant.diagonal().all()
    off = found.values - np.eye(4) * 2
    assert found.estimates[2].value == pytest.approx(off.max())


def test_answers_of_chance_are_not_significant_and_classes_without_a_sample_are_said(rng):
    cells, kappas = [], []
    for _ in range(20):
        right = rng.integers(3, size=200)
        p = np.eye(5)[rng.permutation(right)]
        found = class_confusion(ArrayActivations(p, samples={"label": right}))
        cells.append(found.significant.any())
        kappa = told(found)["agreement beyond chance (κ)"]
        kappas.append(kappa.low <= 0 <= kappa.high)
    assert np.mean(cells) <= 0.2
    assert np.mean(kappas) >= 0.85
    assert found.values.shape == (3, 5)
    assert any("2 of 5 classes have no sample" in said for said in found.caveats)
    lone = np.r_[np.zeros(30, int), 1]
    few = class_confusion(ArrayActivations(np.eye(2)[lone], samples={"label": lone}))
    assert few.few.tolist() == [[False, False], [True, True]]
    assert "The largest confusion: none." in few.reading


def test_all_three_are_asked_on_the_page_of_tokens():
    asked = {m for view in QUESTIONS.values() for m in view.asks.values()}
    assert {"channel_mapping", "confidence_histograms", "class_confusion"} <= asked
