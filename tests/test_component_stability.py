"""How many components come back: planted numbers, copies that agree, structureless data, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.dictionaries.component_silhouettes import aligned, silhouettes, spreads
from analysis.compute.dictionaries.consistency import lines
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.dictionaries import component_stability as module
from analysis.methods.dictionaries.component_stability import (
    ERROR,
    NOISE,
    WORST,
    StabilityParams,
    component_stability,
)


def run(x, seed=0, **params):
    return component_stability(x, params=StabilityParams(**params), rng=np.random.default_rng(seed))


def test_silhouettes_are_those_of_another_implementation():
    from sklearn.metrics import silhouette_samples

    rng = np.random.default_rng(0)
    found = lines((np.eye(4, 9) + 0.4 * rng.standard_normal((5, 4, 9))).reshape(20, 9)).reshape(5, 4, 9)
    distance = 1 - found.reshape(20, 9) @ found.reshape(20, 9).T
    np.fill_diagonal(distance, 0)
    other = silhouette_samples(distance, np.tile(np.arange(4), 5), metric="precomputed")
    np.testing.assert_allclose(silhouettes(found, True), other.reshape(5, 4).mean(axis=0), atol=1e-12)
    cosines = np.einsum("akd,bkd->kab", found, found)
    expected = [cosines[k][np.triu_indices(5, 1)].mean() for k in range(4)]
    np.testing.assert_allclose(spreads(found, True), expected, atol=1e-12)


def test_reordered_and_flipped_copies_are_the_same_components():
    rng = np.random.default_rng(0)
    atoms = lines(rng.standard_normal((5, 8)))
    sets = np.array([atoms[rng.permutation(5)] * rng.choice([-1, 1], 5)[:, None] for _ in range(4)])
    found = aligned(sets, False)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-12)
    np.testing.assert_allclose(silhouettes(found, False), 1, atol=1e-12)
    assert silhouettes(aligned(sets, True), True).min() < 0.9  # with a sign they are others


@pytest.mark.parametrize("perturb", ["resampled samples", NOISE])
def test_a_planted_number_is_found_and_the_error_is_flat_beyond_it(perturb):
    rng = np.random.default_rng(1)
    atoms = rng.random((3, 12)) * (rng.random((3, 12)) < 0.5) + np.eye(3, 12)
    x = (rng.exponential(size=(240, 3)) * (rng.random((240, 3)) < 0.6)) @ atoms + 0.02 * rng.random((240, 12))
    found = run(x, perturb=perturb, largest=5, copies=4)
    worst, error = found.series[WORST], found.series[ERROR]
    assert worst[1] > 0.95 > 0.75 > worst[2:].max()
    assert error[0] > 5 * error[1]
    assert error[1] - error[3] < 0.01
    if perturb == NOISE:  # a little noise leaves structureless data as they are, too
        assert any("3 component(s) come back too, but so do" in line for line in found.caveats)
    else:
        assert found.estimates[0].value == 3
        assert "3 NMF components come back" in found.reading
    assert len(found.estimates) == 3 + int(found.estimates[0].value)


def test_signed_data_of_three_sources_and_data_without_any():
    rng = np.random.default_rng(0)
    x = rng.laplace(size=(600, 3)) @ rng.standard_normal((3, 6)) + 0.1 * rng.standard_normal((600, 6))
    found = run(x, largest=4, copies=4)
    assert "3 ICA components" in found.reading
    noise = run(rng.standard_normal((200, 8)), largest=4, copies=4)
    assert noise.estimates[0].value == 0
    assert "No number of ICA components is stable" in noise.reading


def test_a_number_is_beyond_every_draw_of_structureless_data_which_are_told_with_their_spread(monkeypatch):
    """Draws of which one alone is as stable as the data: none is said, and the interval of the null has that draw."""
    given = iter([0.9, 0.9] + [0.1, 0.1] * 3 + [0.95, 0.2] + [0.1, 0.3])

    def made(x, of, k, kind, params, rng):
        value = next(given)
        return np.array([value, 1.0]), np.ones(2), 1 - value

    monkeypatch.setattr(module, "_of", made)
    found = run(np.random.default_rng(0).random((60, 4)), largest=3, draws=5)
    many, worst, error = found.estimates[:3]
    assert many.value == 3  # 2 is not beyond the fourth draw
    assert worst.value == 0.9
    assert worst.null == pytest.approx((0.1 * 3 + 0.2 + 0.3) / 5)
    assert worst.null_low < worst.null < worst.null_high
    assert worst.p_value == pytest.approx(1 / 6)
    assert error.null == pytest.approx(1 - worst.null)
    assert many.null == pytest.approx(2 / 5)  # the fourth draw beside the others: 2
    np.testing.assert_allclose(found.null[WORST], [(0.1 * 4 + 0.95) / 5, worst.null])
    assert "structureless data 0.10 to 0.30" in found.reading
    assert any("2 component(s) come back too" in line for line in found.caveats)


def test_what_cannot_be_is_refused_and_what_was_changed_is_said():
    x = np.random.default_rng(0).random((60, 4))
    with pytest.raises(ParameterError, match="largest = 2"):
        run(x, smallest=3, largest=2)
    split = run(x - 0.5, kind="NMF", largest=3, copies=3)
    assert any("split off" in line for line in split.caveats)
    with pytest.raises(NotEnoughData, match="enough for 9"):
        run(x, smallest=9, largest=9)
    with pytest.raises(InputError, match="no unit"):
        run(np.ones((60, 4)))
    short = run(x, largest=6, copies=3)
    assert short.x[-1] == 4
    assert any("No more than 4" in line for line in short.caveats)
