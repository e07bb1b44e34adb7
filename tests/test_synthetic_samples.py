"""Synthetic samples against real ones by loops over balls, edits against plain sums, and scores of two answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution import targets
from analysis.attribution.readout import asked_answers, logits_of_samples, readout
from analysis.compute.neighbours.ball_coverage import balls_of, distances
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.features.readers import PROBE
from analysis.methods.attribution.edit_energy import EditEnergyParams, edit_energy, mask_of
from analysis.methods.attribution.readout_score import ReadoutScoreParams, readout_score
from analysis.methods.similarity.synthetic_coverage import SyntheticCoverageParams, synthetic_coverage


def test_balls_are_those_of_loops(rng):
    real, synthetic, k = rng.standard_normal((25, 3)), rng.standard_normal((17, 3)) + 0.5, 3
    far = lambda a, b: np.sqrt(((a - b) ** 2).sum())  # noqa: E731
    radius = [sorted(far(a, b) for b in real)[k] for a in real]  # the first is itself
    other = [sorted(far(a, b) for b in synthetic)[k] for a in synthetic]
    in_real = np.array([[far(r, s) <= e for s in synthetic] for r, e in zip(real, radius, strict=True)])
    in_other = np.array([[far(r, s) <= e for s, e in zip(synthetic, other, strict=True)] for r in real])
    found = balls_of(real, synthetic, k)
    np.testing.assert_array_equal(found.covered, in_real.any(axis=1))
    np.testing.assert_allclose(found.inside, in_real.sum(axis=0) / k)
    np.testing.assert_array_equal(found.precise, in_real.any(axis=0))
    np.testing.assert_array_equal(found.recalled, in_other.any(axis=1))
    np.testing.assert_allclose(balls_of(real + 1e5, synthetic + 1e5, k).numbers, found.numbers)
    assert (np.diag(distances(real, real)) == 0).all()


def test_one_class_that_fell_together_is_the_one_that_is_covered_least(rng):
    of = np.arange(120) % 3
    real = rng.standard_normal((120, 4)) + 8 * np.eye(4)[of]
    fake = rng.standard_normal((120, 4)) + 8 * np.eye(4)[of]
    fake[of == 1] = 8 * np.eye(4)[1] + 0.01 * rng.standard_normal((40, 4))
    taps = [ArrayActivations(x, samples={"label": of}) for x in (real, fake)]
    found = synthetic_coverage(*taps, params=SyntheticCoverageParams(draws=3))
    assert list(found.columns["class"]) == ["all", "0", "1", "2"]
    assert found.columns["coverage"].argmin() == 2
    assert found.columns["spread"][2] < 0.01
    assert found.columns["coverage"][1] == pytest.approx(found.columns["coverage, real"][1], abs=0.15)
    assert "Class 1 is covered least" in found.reading
    with pytest.raises(ShapeError, match="3 units"):
        synthetic_coverage(taps[0], ArrayActivations(fake[:, :3], samples={"label": of}))


def test_real_samples_stand_in_for_synthetic_ones_in_their_proportion(rng):
    """Three synthetic samples for a real one of the same law cover as much as three real ones for one would."""
    real, fake = rng.standard_normal((160, 2)), rng.standard_normal((480, 2))
    params = SyntheticCoverageParams(column="", neighbours=1, draws=20)
    (coverage, *_) = synthetic_coverage(ArrayActivations(real), ArrayActivations(fake), params).estimates
    assert coverage.null == pytest.approx(3 / 4, abs=0.05)  # of as many of both a half
    assert coverage.null_low <= coverage.value <= coverage.null_high


# ---------------------------------------------------------------------------- edits
def test_energy_is_a_plain_sum_and_masks_of_other_samples_are_the_null(rng):
    n, p = 30, 9
    x, cam = rng.random((n, p, 2)), rng.random((n, p, 1))
    mask = np.array([[v >= sorted(row)[-3] for v in row] for row in cam[:, :, 0]])
    y = x + (1 + 4 * mask[:, :, None]) * rng.random((n, p, 2))
    y[4] = x[4]
    y[2, 0, 0] = np.nan
    layout = Layout(np.arange(n + 1) * p, grid=(3, 3))
    taps = [ArrayActivations(v.reshape(n * p, -1), layout=layout) for v in (x, y, cam)]
    found = edit_energy(*taps, params=EditEnergyParams(critical=0.34, shown=200))
    energy = ((y - x) ** 2).sum(axis=2)
    assert sorted(found.samples) == [0, 1, *range(3, n)]
    np.testing.assert_allclose(found.values, energy[found.samples])
    assert (np.diff(found.values.sum(axis=1)) <= 0).all()
    np.testing.assert_array_equal(mask, mask_of(cam[:, :, 0], 0.34))
    changed = ~np.isin(np.arange(n), (2, 4))
    inside = (energy * mask).sum(axis=1)[changed] / energy.sum(axis=1)[changed]
    e = {one.name: one for one in found.estimates}
    assert e["share of the energy inside the mask"].value == pytest.approx(inside.mean())
    assert e["share of the energy inside the mask"].null == pytest.approx(1 / 3, abs=0.05)
    assert inside.mean() > 0.8
    assert e["share of the samples that changed"].value == pytest.approx(28 / 29)
    with pytest.raises(ParameterError, match="tap"):
        edit_energy(taps[0])


# ---------------------------------------------------------------------------- two answers
class Samples:
    number = ""

    """Three of them, whose network has fixed logits."""

    samples, what = np.arange(3), "a network"
    z = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 5.0], [-1.0, 1.0, 0.0]])

    def run(self, i):
        return type("Run", (), {"logits": self.z[i : i + 1]})

    def word(self, answer):
        return ("' good'", "' poor'", "'x'")[answer]


def test_a_score_is_the_softmax_of_its_two_answers_and_turns_round():
    z = logits_of_samples(Samples(), lambda *_: None, (0, 1))
    good, poor = asked_answers(Samples(), z, "good", "poor")
    assert (good, poor) == (0, 1)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(readout(z, 0, 1), p[:, 0] / (p[:, 0] + p[:, 1]))
    np.testing.assert_allclose(readout(z, 0, 1) + readout(z, 1, 0), 1)
    np.testing.assert_allclose(readout(z + 7.0, 0, 1), readout(z, 0, 1))
    assert asked_answers(Samples(), z, "", "") == (2, 0)
    target = targets.logit_target(Samples.z[:1], targets.SCORE, 0, 1)
    np.testing.assert_allclose(target.of(Samples.z, {}).numpy(), readout(z, 0, 1), atol=1e-6)
    with pytest.raises(InputError, match="to itself"):
        targets.logit_target(Samples.z[:1], targets.SCORE, 1, 1)
    for names, error in (
        (("bad", "poor"), NotFound),
        (("poor", "poor"), ParameterError),
        (("good", ""), ParameterError),
    ):
        with pytest.raises(error):
            asked_answers(Samples(), z, *names)


def test_a_column_of_texts_and_a_column_without_spread_are_refused(rng):
    of = np.arange(40) % 2
    tap = ArrayActivations(
        rng.standard_normal((40, 3)), samples={"label": of, "text": of.astype(str), "flat": np.ones(40)}
    )
    for column in ("text", "flat"):
        with pytest.raises(InputError):
            readout_score(tap, ReadoutScoreParams(column=column, reader=PROBE))
