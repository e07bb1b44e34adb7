"""Channels by their mass and by groups, against loops, closed forms and one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct

from analysis.activations import ArrayActivations, Layout
from analysis.compute.grids.channel_groups import ABSOLUTE, SOFTMAX, attention_maps, channel_groups
from analysis.compute.groups.channel_mass import channels_on, common_masses, fewest_channels, masses_of
from analysis.compute.rows.class_codes import ClassCodes
from analysis.errors import InputError, NotFound
from analysis.methods.attribution.channel_group_agreement import (
    ChannelGroupAgreementParams,
    channel_group_agreement,
)
from analysis.methods.attribution.channel_group_frequencies import (
    ChannelGroupFrequenciesParams,
    channel_group_frequencies,
)
from analysis.methods.attribution.channel_group_maps import ChannelGroupMapsParams, channel_group_maps
from analysis.methods.units.channel_flops import NETWORK, ChannelFlopsParams, channel_flops
from analysis.methods.units.channel_use import ChannelUseParams, _two_sided, channel_use

SILENT = lambda *_: None  # noqa: E731


def maps(x, grid=None, **samples):
    n, p = x.shape[:2]
    layout = Layout(np.arange(n + 1) * p, grid=grid)
    return ArrayActivations(x.reshape(n * p, -1), "s:x", samples, layout)


def test_the_fewest_channels_are_those_of_a_loop(rng):
    masses = rng.random((30, 9)) ** 4
    for r in (0.3, 0.77, 1.0):
        for row, k in zip(masses, fewest_channels(masses, np.array([r]))[:, 0], strict=True):
            held = [sum(sorted(row)[::-1][:j]) >= r * sum(row) * (1 - 1e-9) for j in range(1, 10)]
            assert k == held.index(True) + 1
        on = channels_on(masses, r)
        assert all(masses[i][on[i]].min() >= masses[i][~on[i]].max(initial=0) for i in range(30))


def test_masses_are_sums_of_sizes_over_the_finite_positions_of_a_sample(rng):
    x = rng.standard_normal((10, 4, 3))
    x[3, 2, 1] = np.nan
    x[5] = 0
    found = masses_of(maps(x), 100, rng, SILENT, (0, 1))
    known = np.abs(np.delete(x, 5, axis=0)).copy()
    known[3, 2] = 0
    np.testing.assert_allclose(found.values, known.sum(axis=1))
    np.testing.assert_array_equal(found.samples, [0, 1, 2, 3, 4, 6, 7, 8, 9])
    both, _ = common_masses([maps(x), maps(np.ones((10, 2, 5)))], 100, rng, SILENT, (0, 1))
    assert [b.shape for b in both] == [(9, 3), (9, 5)]
    with pytest.raises(InputError, match="are 0"):
        masses_of(maps(np.zeros((10, 4, 3))), 100, rng, SILENT, (0, 1))


def test_multiplications_are_products_of_both_layers_and_weigh_by_their_work(rng):
    x = [rng.random((20, 4, 6)), rng.random((20, 1, 10)), rng.random((20, 1, 3))]
    taps = [maps(x[0]), ArrayActivations(x[1][:, 0], "s:y"), ArrayActivations(x[2][:, 0], "s:z")]
    found = channel_flops(*taps, params=ChannelFlopsParams(shares=10, draws=2))
    at = int(np.flatnonzero(np.isclose(found.x, 0.5))[0])
    a, b, c = (fewest_channels(m.sum(axis=1), np.array([0.5]))[:, 0] / m.shape[2] for m in x)
    each = np.array([a.mean(), (a * b).mean(), (b * c).mean()])
    np.testing.assert_allclose([found.series[n][at] for n in ("x", "y", "z")], each)
    work = np.array([6 * 6 * 4, 6 * 10 * 1, 10 * 3 * 1])
    assert found.series[NETWORK][at] == pytest.approx(work @ each / work.sum())


def test_use_is_tested_by_counting_all_ways_to_draw_a_class():
    """Two of four samples are on, and both are of a class of two: one way of six, and the other tail as well."""
    of = np.array([0, 0, 1, 1])
    codes = ClassCodes(np.ones(4, bool), of, ("0", "1"), np.array([2, 2]), ())
    on = np.array([[1], [1], [0], [0]])
    p = _two_sided(codes.one_hot().T @ on, on.sum(axis=0), codes, 4)
    np.testing.assert_allclose(p, [[1 / 3], [1 / 3]])


def test_shuffled_classes_use_the_same_channels(rng):
    of, x = np.arange(200) % 4, rng.random((200, 12)) ** 3
    found = channel_use(
        ArrayActivations(x, samples={"label": rng.permutation(of)}), ChannelUseParams(share=0.5)
    )
    assert found.significant.sum() <= 1
    x[of == 2, 5] += 3
    told = channel_use(ArrayActivations(x, samples={"label": of}), ChannelUseParams(share=0.5))
    assert told.significant[5, 2]
    assert told.values[5, 2] == 1


# ---------------------------------------------------------------------------- groups
def test_maps_are_what_their_names_say_and_sum_to_one(rng):
    x, runs = rng.standard_normal((5, 6, 4)), [np.array([0, 1]), np.array([2, 3])]
    mean = x.reshape(5, 6, 2, 2).mean(axis=3).transpose(0, 2, 1)
    soft = np.exp(mean) / np.exp(mean).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(attention_maps(x, runs, SOFTMAX), soft)
    size = np.abs(x).reshape(5, 6, 2, 2).sum(axis=3).transpose(0, 2, 1)
    np.testing.assert_allclose(attention_maps(x, runs, ABSOLUTE), size / size.sum(axis=2, keepdims=True))
    np.testing.assert_allclose(attention_maps(0 * x, runs, ABSOLUTE), 1 / 6)


def test_what_a_group_puts_out_has_the_energy_of_its_attended_map(rng):
    """Parseval over all bands; DC against the plain one-dimensional transform along both axes."""
    x = rng.standard_normal((9, 12, 5))
    tap = maps(x, (3, 4))
    found = channel_groups(tap, ChannelGroupMapsParams(groups=2), rng, SILENT, (0, 1))[0]
    own = x[:, :, 3:] * (1 + found.maps[:, 1, :, None])
    np.testing.assert_allclose(found.energy[:, 1].sum(axis=1), (own**2).sum(axis=(1, 2)))
    waves = dct(dct(own.reshape(9, 3, 4, 2), axis=1, norm="ortho"), axis=2, norm="ortho")
    np.testing.assert_allclose(found.energy[:, 1, 0], (waves[:, 0, 0] ** 2).sum(axis=1))
    assert found.names == ("0 to 2", "3 to 4")


def test_one_group_is_a_single_shared_map_and_cannot_agree_with_another(rng):
    x = rng.random((10, 9, 4))
    tap = maps(x, (3, 3))
    shared = channel_group_maps(tap, ChannelGroupMapsParams(groups=1, sample=6)).values
    energy = (x[6] ** 2).sum(axis=1)
    np.testing.assert_allclose(shared[0], energy / energy.sum())
    with pytest.raises(InputError, match="one group"):
        channel_group_agreement(tap, ChannelGroupAgreementParams(groups=1))
    with pytest.raises(NotFound, match="sample 10"):
        channel_group_maps(tap, ChannelGroupMapsParams(sample=10))


def test_correlations_are_those_of_numpy_and_noise_is_not_significant(rng):
    tap = maps(rng.random((40, 16, 6)), (4, 4))
    params = ChannelGroupAgreementParams(groups=3)
    found = channel_groups(tap, params, rng, SILENT, (0, 1))[0]
    known = np.mean([np.corrcoef(m) for m in found.maps], axis=0)
    made = channel_group_agreement(tap, params)
    np.testing.assert_allclose(made.values, known, atol=1e-12)
    assert made.significant.sum() <= 2
    slow = channel_group_frequencies(tap, ChannelGroupFrequenciesParams(groups=3))
    for k, name in enumerate(found.names):
        np.testing.assert_allclose(slow.series[name], found.radial()[:, k].mean(axis=0), atol=1e-12)
