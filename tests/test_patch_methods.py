"""Networks with different patches: the law through their losses, pictures carried from grid to grid, what only the
fine ones have, and a probe on small objects."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.tokens.patch_law import PROBE, PatchLawParams, patch_law_of
from analysis.methods.tokens.patch_maps import BEYOND, PatchMapsParams, patch_maps
from analysis.tokens.pooling.patch_parts import cka, detail, gram, sharpness
from analysis.tokens.pooling.patch_pictures import averaging, repeated


def tap(x, name, side, **columns):
    n = len(x)
    return ArrayActivations(
        x.reshape(-1, x.shape[2]), name, columns, Layout(np.arange(n + 1) * side * side, (side, side))
    )


def test_averages_over_areas_that_nest_and_that_do_not():
    nest = averaging((4, 4), (2, 2))
    np.testing.assert_allclose(nest @ np.arange(16.0), [2.5, 4.5, 10.5, 12.5])
    odd = averaging((1, 3), (1, 2))
    np.testing.assert_allclose(odd, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    np.testing.assert_allclose(averaging((3, 5), (3, 5)), np.eye(15))
    np.testing.assert_array_equal(
        repeated((2, 2), (4, 4)).reshape(4, 4), np.kron([[0, 1], [2, 3]], np.ones((2, 2)))
    )


def test_unbiased_cka_is_one_for_a_turned_copy_and_none_on_average_for_noise(rng):
    x = rng.standard_normal((30, 4, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert cka(gram(x), gram(2 * x @ turn + 1)) == pytest.approx(1)
    drawn = [cka(gram(x), gram(rng.standard_normal((30, 4, 40)))) for _ in range(60)]
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / np.sqrt(60)


def test_an_edge_is_less_sharp_than_a_chessboard():
    board = (np.indices((4, 4)).sum(axis=0) % 2).reshape(1, 16, 1).astype(float)
    half = (np.indices((4, 4))[1] > 1).reshape(1, 16, 1).astype(float)
    assert sharpness(board, (4, 4))[0] == pytest.approx(2)
    assert sharpness(half, (4, 4))[0] == pytest.approx(4 / 24 / 0.5)
    assert detail(board, (4, 4), (2, 2))[0] == pytest.approx(1)
    assert detail(half, (4, 4), (2, 2))[0] == pytest.approx(0)


def losses(rng, sizes, n=60):
    shared = 0.05 * rng.standard_normal(n)
    return [0.2 + 0.05 * s**0.5 + shared + 0.002 * rng.standard_normal(n) for s in sizes]


def test_the_law_is_found_in_whatever_order_the_taps_come(rng):
    sizes = [4, 16, 2, 8]
    taps = [ArrayActivations(rng.standard_normal((60, 2)), f"p{s}", {"loss": loss})
            for s, loss in zip(sizes, losses(rng, sizes), strict=True)]  # fmt: skip
    found = patch_law_of(*taps, params=PatchLawParams(sizes="4,16,2,8", draws=20))
    saved, a, c, half = found.estimates
    assert saved.value == pytest.approx(0.05 * (4 - 2**0.5), abs=0.002)
    assert saved.p_value < 0.01
    assert a.low < a.value < a.high
    assert c.low < 0.5 < c.high
    assert half.name == "law at 1 pixels"
    assert found.null["a + b p^c"][0] == pytest.approx(np.mean([t.samples["loss"].mean() for t in taps]))
    with pytest.raises(ParameterError, match="3 sizes of 4"):
        patch_law_of(*taps, params=PatchLawParams(sizes="1,2,3"))
    with pytest.raises(InputError, match="three different"):
        patch_law_of(*taps, params=PatchLawParams(sizes="2,2,4,4"))


def test_sizes_come_from_the_grids_and_a_probe_stands_for_a_loss(rng):
    of = np.arange(40) % 2
    taps = []
    for side in (2, 4, 8):  # the class is told the better, the finer the grid
        x = rng.standard_normal((40, side * side, 2)) + (of * side / 8.0)[:, None, None]
        taps.append(tap(x, f"g{side}", side, label=of))
    found = patch_law_of(*taps, params=PatchLawParams(side=32, loss=PROBE, draws=20))
    measured = found.x[~np.isnan(found.series["measured"])]
    np.testing.assert_allclose(measured, [4, 8, 16])
    assert found.y_name == "squared error of a probe"
    for one in taps:  # one network: its loss is the same at every layer
        one.samples["loss"] = np.arange(40.0)
    again = patch_law_of(*taps, params=PatchLawParams(side=32, draws=20))
    assert again.y_name == found.y_name
    assert any("same losses" in c for c in again.caveats)
    assert found.estimates[0].low > 0


def test_what_only_the_fine_network_has_is_in_the_last_picture(rng):
    rough = rng.standard_normal((20, 4, 2)) + np.array([0, 3.0, 0, 0])[None, :, None]
    fine = rough[:, repeated((2, 2), (4, 4))] + np.where(np.arange(16) == 5, 2.0, 0.0)[None, :, None]
    found = patch_maps(
        tap(rough, "rough", 2), tap(fine, "fine", 4), params=PatchMapsParams(sample=3, column="")
    )
    assert found.grid == (4, 4)
    assert found.names[-1] == BEYOND
    assert np.abs(found.values[-1]).argmax() == 5
    np.testing.assert_array_equal(np.unique(found.values[0]).size, 4)
    by = {e.name: e for e in found.estimates}
    assert by["lost detail, rough"].value < 1e-12 < by["lost detail, fine"].value
    with pytest.raises(NotFound, match="sample 20"):
        patch_maps(tap(rough, "rough", 2), tap(fine, "fine", 4), params=PatchMapsParams(sample=20, column=""))


def test_small_objects_are_told_by_the_fine_network_only(rng):
    n = 90
    of, size = np.arange(n) % 2, np.where(np.arange(n) % 3 == 0, 1.0, 8.0)
    mark = (np.where(of, 2.0, -2.0))[:, None, None]
    fine = 0.3 * rng.standard_normal((n, 16, 2))
    fine[:, :4] += mark
    rough = 0.3 * rng.standard_normal((n, 4, 2)) + np.where(size > 1, 1.0, 0.0)[:, None, None] * mark
    columns = {"label": of, "area": size}
    found = patch_maps(tap(rough, "rough", 2, **columns), tap(fine, "fine", 4, **columns),
                       params=PatchMapsParams(sizes="area", draws=19))  # fmt: skip
    by = {e.name: e for e in found.estimates}
    assert by["small objects told right, fine"].value > 0.95
    assert by["small objects told right, rough"].high < 0.8
    assert by["small objects told right, fine"].n == 30
