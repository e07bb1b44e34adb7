"""Large matrices on disk: the pyramid against a brute force, damage, replacement, and what results refer to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import results
from analysis.compute import kept
from analysis.errors import InputError, NewerSchema, ShapeError, StoreDamaged
from analysis.results import Heatmap
from analysis.store import tiles as module
from analysis.store.cache import ResultCache
from analysis.store.heat_cells import HeatCells
from analysis.store.tiles import STEPS, Tiles, TilesWriter, strongest_of_four

FEW = settings(max_examples=15, deadline=None)


def written(path, x, scale=None, symmetric=False, blocks=None):
    scale = scale or float(np.abs(x).max()) / STEPS
    with TilesWriter(path, x.shape, scale, symmetric=symmetric) as writer:
        for r0, r1, c0, c1 in blocks or [(0, x.shape[0], 0, x.shape[1])]:
            writer.write(r0, c0, x[r0:r1, c0:c1])
        return writer.finish()


def pyramid(x, level):
    """By its definition, cell by cell: the strongest of each square, of equals the positive one."""
    size = 1 << level
    out = np.empty((-(-x.shape[0] // size), -(-x.shape[1] // size)))
    for i, j in np.ndindex(out.shape):
        part = x[i * size : (i + 1) * size, j * size : (j + 1) * size].ravel()
        out[i, j] = max(part, key=lambda v: (abs(v), v))
    return out


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 8)


# ---------------------------------------------------------------------------- numbers
@FEW
@given(st.integers(0, 10**6), st.integers(1, 45), st.integers(1, 45), st.integers(2, 12))
def test_every_block_is_that_of_the_definition(tmp_path_factory, seed, p, q, most):
    rng = np.random.default_rng(seed)
    x = np.round(rng.uniform(-1, 1, (p, q)), 1)  # with many ties
    path = tmp_path_factory.mktemp("tiles") / "map"
    cuts = [sorted({0, side, *rng.integers(0, side + 1, 2).tolist()}) for side in (p, q)]
    blocks = [(a, b, c, d) for a, b in zip(cuts[0], cuts[0][1:], strict=False)
              for c, d in zip(cuts[1], cuts[1][1:], strict=False)]  # fmt: skip
    rng.shuffle(blocks)
    found = written(path, x, 1 / STEPS, blocks=blocks)
    assert found.shape == (p, q)
    for _ in range(4):
        (r0, r1), (c0, c1) = (sorted(rng.integers(0, side + 1, 2).tolist()) for side in (p, q))
        r1, c1 = max(r1, min(r0 + 1, p)), max(c1, min(c0 + 1, q))
        if r0 == r1 or c0 == c1:
            continue
        values, level, first = found.block(r0, r1, c0, c1, most)
        assert values.dtype == np.float32
        assert max(values.shape) <= most
        assert (
            level == 0
            or max(-(-r1 >> level - 1) - (r0 >> level - 1), -(-c1 >> level - 1) - (c0 >> level - 1)) > most
        )
        a, b = first[0] >> level, first[1] >> level
        expected = pyramid(x, level)[a : a + values.shape[0], b : b + values.shape[1]]
        np.testing.assert_allclose(values, expected, atol=0.5 / STEPS + 1e-7)
        assert first[0] <= r0
        assert first[0] + (values.shape[0] << level) >= r1
        assert first[1] <= c0
        assert first[1] + (values.shape[1] << level) >= c1


def test_the_largest_comes_out_exactly_and_no_other_is_off_by_more_than_half_a_step(tmp_path, rng):
    x = rng.standard_normal((40, 30)) * 7
    scale = float(np.abs(x).max()) / STEPS
    values = written(tmp_path / "m", x).block(0, 40, 0, 30)[0]
    assert np.abs(values - x).max() <= scale / 2 * 1.001
    assert np.abs(values).max() == np.float32(np.abs(x).max())
    assert (written(tmp_path / "one", np.eye(9), 1 / STEPS).block(0, 9, 0, 9)[0].diagonal() == 1).all()


def test_of_two_that_are_equally_large_the_positive_one_stays():
    cells = np.array([[-5, 5, 3, -3], [0, 1, -3, -4], [-2, -2, 0, 0], [-2, -2, 0, 0]], np.int16)
    np.testing.assert_array_equal(strongest_of_four(cells), [[5, -4], [-2, 0]])
    np.testing.assert_array_equal(strongest_of_four(cells.T), strongest_of_four(cells).T)


def test_blocks_above_the_diagonal_make_a_symmetric_matrix(tmp_path, rng):
    x = rng.uniform(-1, 1, (37, 37))
    x = (x + x.T) / 2
    blocks = [(r, min(r + 10, 37), r, 37) for r in range(0, 37, 10)]
    found = written(tmp_path / "m", x, 1 / STEPS, True, blocks)
    for most in (40, 10, 5):
        values = found.block(0, 37, 0, 37, most)[0]
        np.testing.assert_array_equal(values, values.T)
    np.testing.assert_allclose(found.block(0, 37, 0, 37)[0], x, atol=1 / STEPS)


def test_what_is_asked_beyond_the_matrix_is_cut_off(tmp_path, rng):
    x = rng.uniform(-1, 1, (20, 10))
    found = written(tmp_path / "m", x)
    np.testing.assert_array_equal(found.block(-5, 99, -1, 99)[0], found.block(0, 20, 0, 10)[0])
    for bad in ((20, 30, 0, 5), (5, 5, 0, 5), (8, 2, 0, 5), (0, 5, -9, 0)):
        with pytest.raises(ShapeError, match="20 × 10"):
            found.block(*bad)
    with pytest.raises(ShapeError):
        found.block(0, 5, 0, 5, 1)


# ---------------------------------------------------------------------------- refusals and damage
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.001, 2.0])
def test_values_that_cannot_be_kept_are_refused(tmp_path, bad):
    x = np.zeros((5, 5))
    x[2, 3] = bad
    with pytest.raises(InputError, match="finite"):
        written(tmp_path / "m", x, 1 / STEPS)
    assert list(tmp_path.iterdir()) == []


def test_wrong_places_and_shapes_are_refused(tmp_path):
    with TilesWriter(tmp_path / "m", (5, 4), 1.0) as writer:
        for r0, c0 in ((3, 0), (0, 2), (-1, 0)):
            with pytest.raises(ShapeError):
                writer.write(r0, c0, np.zeros((3, 3)))
    for shape, scale in (((0, 4), 1.0), ((4, 4), 0.0), ((4, 4), np.nan)):
        with pytest.raises((ShapeError, InputError)):
            TilesWriter(tmp_path / "m", shape, scale)
    with pytest.raises(ShapeError, match="square"):
        TilesWriter(tmp_path / "m", (4, 5), 1.0, symmetric=True)


def test_nothing_is_there_before_the_end_and_nothing_is_left_of_what_was_not_finished(tmp_path, rng):
    with TilesWriter(tmp_path / "m", (20, 20), 1 / STEPS) as writer:
        writer.write(0, 0, rng.uniform(-1, 1, (20, 20)))
        assert len(list(tmp_path.iterdir())) == 1
        assert not (tmp_path / "m").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_new_one_takes_the_place_of_the_old_and_whoever_reads_the_old_goes_on(tmp_path, rng):
    x, y = rng.uniform(-1, 1, (2, 20, 20))
    old = written(tmp_path / "m", x, 1 / STEPS)
    new = written(tmp_path / "m", y, 1 / STEPS)
    np.testing.assert_allclose(old.block(0, 20, 0, 20)[0], x, atol=1 / STEPS)
    np.testing.assert_allclose(new.block(0, 20, 0, 20)[0], y, atol=1 / STEPS)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_damage_is_named_with_its_path(tmp_path, rng):
    def fresh():
        written(tmp_path / "m", rng.uniform(0.5, 1, (30, 30)), 1 / STEPS)
        return tmp_path / "m"

    def opened():
        with pytest.raises(StoreDamaged, match="/m is not a whole heat map"):
            Tiles.open(tmp_path / "m")

    opened()  # absent
    for name in ("header.json", "checksums.npy", "level-00.tiles", "level-03.tiles"):
        path = fresh()
        (path / name).unlink()
        opened()
        path = fresh()
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: len(data) // 2])
        opened()
    path = fresh()
    data = bytearray((path / "checksums.npy").read_bytes())
    data[-1] ^= 1
    (path / "checksums.npy").write_bytes(data)
    opened()


def test_a_changed_byte_is_found_when_its_tile_is_read_and_others_are_read(tmp_path, rng):
    written(tmp_path / "m", rng.uniform(-1, 1, (30, 30)), 1 / STEPS)
    file = tmp_path / "m" / "level-00.tiles"
    data = bytearray(file.read_bytes())
    data[3] ^= 4
    file.write_bytes(data)
    found = Tiles.open(tmp_path / "m")
    with pytest.raises(StoreDamaged, match="tile 0, 0 of level 0"):
        found.block(0, 5, 0, 5)
    assert found.block(10, 30, 10, 30)[0].shape == (20, 20)
    assert found.block(0, 30, 0, 30, 15)[1] == 1


def test_a_newer_schema_is_said(tmp_path, rng):
    written(tmp_path / "m", rng.uniform(-1, 1, (3, 3)))
    header = json.loads((tmp_path / "m" / "header.json").read_text())
    (tmp_path / "m" / "header.json").write_text(json.dumps({**header, "schema": 99}))
    with pytest.raises(NewerSchema, match="99"):
        Tiles.open(tmp_path / "m")


# ---------------------------------------------------------------------------- who keeps them
def test_few_cells_stay_in_memory_and_many_go_to_disk(tmp_path, rng, monkeypatch):
    x = rng.uniform(-1, 1, (30, 20))
    for most, gathered in ((512, 1), (8, 4)):
        monkeypatch.setattr("analysis.store.heat_cells.MOST", most)
        with HeatCells(tmp_path / f"m{most}", x.shape, 1.0) as cells:
            for r in range(0, 30, 7):
                cells.write(r, 0, x[r : r + 7])
            overview, size = cells.finish()
        assert size == gathered
        assert (tmp_path / f"m{most}").exists() == (gathered > 1)
        np.testing.assert_allclose(overview, pyramid(x, gathered.bit_length() - 1), atol=1 / STEPS)


def test_folders_lie_beside_the_results_or_live_as_long_as_the_process(tmp_path):
    cache = ResultCache(tmp_path)
    with kept.keeping(cache):
        assert kept.folder("k") == cache.folder("k") == tmp_path / "shared-k"
    alone = kept.folder("k")
    assert alone == kept.folder("k") != kept.folder("l")
    assert alone.parent.is_dir()
    assert tmp_path not in alone.parents


def heatmap(tiles=""):
    lines, names = np.arange(3), np.array(list("abc"))
    return Heatmap(
        title="t", reading="r.", overview=np.eye(3, dtype=np.float32), shape=(3, 3), tiles=tiles,
        row_names=names, column_names=names, row_units=lines, column_units=lines, row_order=lines, column_order=lines,
    )  # fmt: skip


def test_a_heat_map_comes_back_as_it_was_and_is_made_again_when_its_tiles_are_gone(tmp_path):
    cache = ResultCache(tmp_path)
    cache.put("a", heatmap())
    back = cache.get("a")
    for field in dataclasses.fields(back):
        one, other = getattr(back, field.name), getattr(heatmap(), field.name)
        np.testing.assert_array_equal(one, other)
    assert results.KINDS["heatmap"] is Heatmap
    cache.put("b", heatmap("t"))
    assert cache.get("b") is None
    written(cache.folder("t"), np.eye(3))
    assert cache.get("b").tiles == "t"
