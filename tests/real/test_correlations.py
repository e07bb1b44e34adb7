"""Correlation maps of two published CNNs on the 10,000 Fashion-MNIST test images."""

import numpy as np
import pytest
from recorded import recorded, rows

from analysis.activations import ArrayActivations
from analysis.compute.correlation.pair_sums import TOLERANCE, pair_sums
from analysis.compute.rows.tap_rows import TapRows
from analysis.methods.correlation.map import CorrelationMapParams, correlation_map
from analysis.methods.correlation.metadata import unit_metadata_correlation
from analysis.methods.correlation.strongest_pairs_across import strongest_pairs_across
from analysis.sources.data import open_data

HIDDEN, MAPS = "6", "3"  # the ReLU after the hidden linear map, and after the second convolution


@pytest.fixture(scope="module")
def stores(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("correlations")
    data = open_data(real / "fashion" / "fashion_mnist_test.npz")
    return {
        name: recorded(
            real / "fashion" / f"{name}.pth", "fashion_cnn", data, folder / name, taps=[HIDDEN, MAPS], batch=500,
            dtype="float32", tokens="all",
        )
        for name in ("fashion_mnist", "mnist")
    }  # fmt: skip


def test_ninety_dead_units_of_each_network_are_left_out_and_counted(stores):
    taps = [stores[name].activations(HIDDEN) for name in ("fashion_mnist", "mnist")]
    found = correlation_map(*taps)
    assert found.shape == (10, 10)
    assert sum("90 constant unit(s)" in c for c in found.caveats) == 2
    assert found.estimates[0].n == 10_000
    x, y = (rows(stores[name], HIDDEN) for name in ("fashion_mnist", "mnist"))
    i, j = found.row_units[found.row_order], found.column_units[found.column_order]
    np.testing.assert_allclose(found.overview, np.corrcoef(x[:, i].T, y[:, j].T)[:10, 10:], atol=1e-6)
    listed = strongest_pairs_across(*taps).columns
    assert len(listed["r"]) == 100
    assert listed["|r|"][0] == pytest.approx(np.abs(found.overview).max(), abs=1e-6)


def test_single_precision_is_enough_for_fifteen_hundred_real_units(stores):
    """32 maps of 7 x 7 behind a ReLU, flattened: each unit is 0 on many images."""
    x = rows(stores["fashion_mnist"], MAPS).reshape(10_000, -1).astype(np.float32)
    tap = TapRows((ArrayActivations(x, digest="flat"),))
    single, double = pair_sums(tap, precise=False), pair_sums(tap, precise=True)
    off = np.abs(single.correlation() - double.correlation())
    assert x.shape[1] == 1568
    assert off.max() <= TOLERANCE
    assert single.error <= TOLERANCE
    found = correlation_map(tap.taps[0], params=CorrelationMapParams(order="as stored"))
    assert found.gathered == 4
    assert found.estimates[0].value > 10 * found.estimates[0].null  # neighbouring places see the same


def test_live_hidden_units_go_with_the_kind_of_clothes(stores):
    found = unit_metadata_correlation(stores["fashion_mnist"].activations(HIDDEN))
    assert len(found.row_names) == 10
    label = found.column_names.index("label")
    assert (found.values[:, label] > 0.5).all()
    assert found.significant[:, label].all()
