"""Camera spheres, local norm pooling, tokens by part, and rows of ids that training never saw."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import analysis
from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.methods.tokens.local_pooling import (
    RESPONSE,
    LocalPoolingParams,
    local_pooling,
    nearest,
    responses,
)
from analysis.methods.tokens.part_map import FOUND, PART, PartMapParams, nearest_elsewhere, part_map
from analysis.methods.tokens.unseen_ids import KIND, UnseenIdsParams, unseen_ids
from analysis.methods.tokens.view_sphere import (
    ABOVE,
    EFFECT,
    TURNED,
    ViewSphereParams,
    to_nearest,
    view_sphere,
)
from analysis.sources.digests import file_digest
from analysis.sources.seen_ids import seen_ids
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.tokens.row_changes import CHANGE, TIMES
from analysis.tokens.sets.cameras import circles, directions, from_above
from analysis.tokens.sets.shapes import of_tokens, read_shapes
from dashboard.browse.token_questions import QUESTIONS
from dashboard.figures import kinds, point_pictures
from dashboard.figures.style import LIGHT

SAMPLE = Path(__file__).parent.parent / "sample_data" / "workspace"


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def workspace():
    if not SAMPLE.exists():
        pytest.skip("no sample workspace")
    pytest.importorskip("transformers")
    return analysis.open_workspace(SAMPLE)


def png(shade: int, size=(12, 6)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0]), shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


def object_store(folder, rng, objects=6, views=5):
    """Views of objects in a store, each with a picture of its own shade, samples out of order."""
    n = objects * views
    of, at = np.divmod(np.arange(n), views)
    order = rng.permutation(n)
    around, up = rng.uniform(-180, 180, n), rng.uniform(-80, 80, n)
    way = directions(np.radians(around), np.radians(up))
    samples = {"object": of.astype(str), "view": at, "azimuth": around, "elevation": up}
    return write_store(
        folder, name="views", taps={"pool": (4 * way)[order]}, samples={k: v[order] for k, v in samples.items()},
        thumbnails=[png(int(5 * i)) for i in order],
    ), of, at, way  # fmt: skip


# ---------------------------------------------------------------------------- cameras
def test_the_disc_keeps_areas_and_the_circles_lie_where_their_elevation_says(rng):
    way = rng.standard_normal((40_000, 3))
    flat = from_above(way / np.linalg.norm(way, axis=1, keepdims=True))
    assert np.linalg.norm(flat, axis=1).max() <= 2 + 1e-12
    x, y = flat.T
    shares = [((x > 0) & (y > 0)).mean(), (np.hypot(x, y) < 1).mean()]
    np.testing.assert_allclose(shares, [1 / 4, 1 / 4], atol=0.01)  # of a disc of radius 2
    np.testing.assert_allclose(np.linalg.norm(circles()["0°"], axis=1), np.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(
        from_above(np.array([[0, 0, 1.0], [0, 0, -1.0]])), [[0, 0], [2, 0]], atol=1e-12
    )


def test_views_stand_at_their_cameras_with_their_pictures(tmp_path, rng):
    store, _, _, way = object_store(tmp_path / "s", rng)
    tap = store.activations("pool")
    found = view_sphere(tap, ViewSphereParams(number=3))
    object_ = int(found.title.split("object ")[1].split(",")[0])
    np.testing.assert_allclose(found.positions, from_above(way[5 * object_ : 5 * object_ + 5]), atol=1e-5)
    assert found.pictures.shape == (5, 64, 64, 3)
    middle = found.pictures[:, 32, 32, 0]
    np.testing.assert_array_equal(
        middle, 5 * (5 * object_ + np.arange(5))
    )  # the store keeps them as they were given
    assert (found.pictures[:, 0] == 255).all()  # twice as wide as high: white above
    assert found.estimates[0].low > 0  # rows that are cameras: near views are read
    assert found.estimates[0].p_value < 0.01
    for i, j in found.edges:
        assert i != j
    turned = view_sphere(tap, ViewSphereParams(number=3, drawn=TURNED))
    np.testing.assert_allclose(np.linalg.norm(turned.positions, axis=1), 1, atol=1e-6)
    assert turned.pictures is None
    np.testing.assert_array_equal(turned.columns[EFFECT], found.columns[EFFECT])


def test_cameras_by_places_evenly_and_refused(rng):
    x, way = rng.standard_normal((40, 6)), rng.standard_normal((40, 3))
    samples = {"object": np.repeat(np.arange(10), 4).astype(str), "view": np.tile(np.arange(4), 10)}

    def found(**columns):
        return view_sphere(ArrayActivations(x, samples=samples | columns))

    by_place = found(**{f"camera_{a}": way[:, i] for i, a in enumerate("xyz")})
    unit = way / np.linalg.norm(way, axis=1, keepdims=True)
    np.testing.assert_allclose(by_place.positions, from_above(unit[:4]), atol=1e-12)
    even = found()
    np.testing.assert_allclose(even.columns["azimuth"], [0, 90, 180, -90])
    assert any("evenly" in said for said in even.caveats)
    assert any("no pictures" in said for said in even.caveats)
    with pytest.raises(InputError, match="-90 to 90"):
        found(elevation=np.full(40, 100.0))
    with pytest.raises(InputError, match="0, 0, 0"):
        found(**{f"camera_{a}": np.zeros(40) for a in "xyz"})
    with pytest.raises(ParameterError, match="object 11 of 10"):
        view_sphere(ArrayActivations(x, samples=samples), ViewSphereParams(number=11))
    whole = ArrayActivations(x, samples={"up": np.zeros(10)}, layout=Layout(np.arange(11) * 4))
    with pytest.raises(ParameterError, match="no samples"):
        view_sphere(whole, ViewSphereParams(elevation="up"))


def test_near_is_told_from_far_and_noise_is_not_told(rng):
    way = directions(rng.uniform(0, 6, (30, 6)), rng.uniform(-1, 1, (30, 6)))
    samples = {
        "object": np.repeat(np.arange(30), 6).astype(str), "view": np.tile(np.arange(6), 30),
        "azimuth": np.degrees(np.arctan2(way[..., 1], way[..., 0])).ravel(),
        "elevation": np.degrees(np.arcsin(way[..., 2])).ravel(),
    }  # fmt: skip
    most = ViewSphereParams(maximum_samples=30)
    p = []
    for seed in range(12):
        noise = np.random.default_rng(seed).standard_normal((180, 40))
        p.append(view_sphere(ArrayActivations(noise, samples=samples), most).estimates[0].p_value)
    assert min(p) > 0.005
    assert np.mean(np.array(p) < 0.05) <= 0.25
    far = view_sphere(ArrayActivations(np.hstack([way, -way]).reshape(180, 6)[:, :3] * 0 + 3 * way.reshape(180, 3),
                                       samples=samples), most)  # fmt: skip
    assert far.estimates[1].low > far.estimates[1].null
    share, even = to_nearest(np.full((1, 5, 5), 0.2), directions(np.arange(5.0) ** 2 / 10, np.zeros(5))[None])
    assert share[0] == pytest.approx(even[0], abs=1e-12)
    assert even[0] == pytest.approx(1 / 4)


def test_pictures_are_drawn_beside_their_points_and_inside_the_picture(tmp_path, rng):
    store, *_ = object_store(tmp_path / "s", rng)
    found = view_sphere(store.activations("pool"), ViewSphereParams(drawn=ABOVE))
    figure = kinds.drawer(found).screen(found, LIGHT)
    assert len(figure.layout.images) == 5
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    placed = point_pictures.placed(found)
    for image, one, (x, y) in zip(figure.layout.images, placed, found.positions, strict=True):
        assert left <= image.x < image.x + image.sizex <= right
        assert low <= image.y < image.y + image.sizey <= high
        away = np.array([image.x + image.sizex / 2 - x, image.y + image.sizey / 2 - y])
        assert away == pytest.approx(0.62 * image.sizex * np.array(one.side))
    assert point_pictures.pictured(found)[1] < 1


# ---------------------------------------------------------------------------- local norm pooling
def test_nearest_and_responses_are_those_of_their_definition(rng):
    places, x = rng.standard_normal((15, 3)), rng.standard_normal((15, 4))
    near = nearest(places, 4)
    for i in range(15):
        far = np.linalg.norm(places - places[i], axis=1)
        assert set(near[i]) == set(np.argsort(far)[1:5])
    found, away = responses(x, near)
    every = np.array([[x[k] - x[i] for k in near[i]] for i in range(15)])
    f = every / np.sqrt(np.mean(every**2))
    for i in range(15):
        w = np.exp(f[i]) / np.exp(f[i]).sum(axis=0)
        assert found[i] == pytest.approx(np.sqrt(np.mean((w * f[i]).sum(axis=0) ** 2)), abs=1e-12)
        assert away[i] == pytest.approx(np.sqrt(np.mean(every[i] ** 2)), abs=1e-12)


def test_an_edge_on_the_grid_answers_and_the_inside_does_not(rng):
    x = np.zeros((6, 8, 8, 5))
    x[:, :, 4:] = 1.0
    tap = ArrayActivations(x.reshape(-1, 5), layout=Layout(np.arange(7) * 64, grid=(8, 8)))
    found = local_pooling(tap)
    response = found.columns[RESPONSE].reshape(8, 8)
    assert (response[:, [3, 4]] > 0.02).all()
    assert (response[1:-1, [0, 1, 6, 7]] == 0).all()
    assert found.estimates[2].high < 1
    assert "the grid" in found.caveats[-1]
    assert found.axes == ("column", "row, from the bottom")
    assert found.positions[0].tolist() == [
        1,
        8,
    ]  # the first token stands at the upper left, as on its picture
    assert found.positions[-1].tolist() == [8, 1]
    assert "The token in row" in found.reading


def test_coordinates_of_other_tokens_and_samples_are_refused_or_matched_by_id(rng):
    x, p = rng.standard_normal((4 * 9, 5)), rng.standard_normal((4 * 9, 3))
    layout, ids = Layout(np.arange(5) * 9), np.array(list("abcd"))
    tap = ArrayActivations(x, "x", samples={"id": ids}, layout=layout)
    same = local_pooling(tap, ArrayActivations(p, "p", samples={"id": ids}, layout=layout))
    turn = np.arange(36).reshape(4, 9)[[2, 0, 3, 1]].ravel()
    other = ArrayActivations(p[turn], "p", samples={"id": ids[[2, 0, 3, 1]]}, layout=layout)
    np.testing.assert_array_equal(local_pooling(tap, other).columns[RESPONSE], same.columns[RESPONSE])
    np.testing.assert_array_equal(same.positions, p[:9])
    with pytest.raises(InputError, match="8 tokens"):
        local_pooling(tap, ArrayActivations(p[:32], samples={"id": ids}, layout=Layout(np.arange(5) * 8)))
    with pytest.raises(InputError, match="two or three finite numbers"):
        local_pooling(tap, ArrayActivations(p[:, :1], samples={"id": ids}, layout=layout))
    lost = ArrayActivations(p[:27], samples={"id": ids[:3]}, layout=Layout(np.arange(4) * 9))
    with pytest.raises(NotFound):
        local_pooling(tap, lost)
    with pytest.raises(ParameterError, match="sample 4"):
        local_pooling(tap, params=LocalPoolingParams(sample=4))


def test_tokens_that_are_missing_keep_the_others_with_their_places(rng):
    x, p = rng.standard_normal((3 * 6, 4)), rng.standard_normal((3 * 6, 3))
    x[8] = np.nan
    layout = Layout(np.arange(4) * 6)
    tap, places = ArrayActivations(x, layout=layout), ArrayActivations(p, layout=layout)
    shapes = read_shapes(tap, places, 10, rng, no_progress)
    np.testing.assert_array_equal(shapes.rows[1], [6, 7, 9, 10, 11])
    np.testing.assert_array_equal(shapes.places[1], p[[6, 7, 9, 10, 11]])
    np.testing.assert_array_equal(of_tokens(tap, places, shapes.rows)[1], p[[6, 7, 9, 10, 11]])


# ---------------------------------------------------------------------------- parts
def shapes_with_parts(rng, told: bool):
    part = np.tile(np.repeat(np.arange(3), 7), (12, 1))
    x = rng.standard_normal((12, 21, 10)) + (5 * np.eye(3, 10)[part] if told else 0)
    layout = Layout(np.arange(13) * 21)
    names = ("leg", "seat", "back")
    taps = [ArrayActivations(x.reshape(-1, 10), "tokens", layout=layout),
            ArrayActivations(np.eye(3)[part].reshape(-1, 3), "parts", layout=layout, unit_names=names)]  # fmt: skip
    return taps, part


def test_parts_that_tokens_know_are_found_elsewhere_and_others_are_not(rng):
    taps, part = shapes_with_parts(rng, True)
    found = part_map(*taps)
    assert found.estimates[0].low > found.estimates[0].null + 0.3
    assert found.estimates[0].null == pytest.approx(1 / 3, abs=1e-12)
    assert set(found.columns[PART]) == {"leg", "seat", "back"}
    np.testing.assert_array_equal(found.columns[PART], np.array(["leg", "seat", "back"])[part.ravel()])
    assert {e.name for e in found.estimates[2:]} == {"of leg", "of seat", "of back"}
    right = [part_map(*shapes_with_parts(np.random.default_rng(s), False)[0]).estimates[0] for s in range(20)]
    inside = [e.low <= e.null <= e.high for e in right]
    assert np.mean(inside) >= 0.8  # of 95 %


def test_the_nearest_elsewhere_is_that_by_hand_and_never_of_its_own_shape(rng):
    x, sample = rng.standard_normal((600, 3)), np.repeat(np.arange(30), 20)
    found = nearest_elsewhere(x, sample)
    assert (sample[found] != sample).all()
    for i in rng.integers(600, size=20):
        far = np.linalg.norm(x - x[i], axis=1)
        far[sample == sample[i]] = np.inf
        assert found[i] == far.argmin()


def test_without_a_tap_of_parts_regions_stand_for_them_and_bad_parts_are_refused(rng):
    taps, part = shapes_with_parts(rng, True)
    assert any("regions" in said for said in part_map(taps[0]).caveats)
    assert {e.name for e in part_map(taps[0]).estimates} >= {"of first half"}
    one = ArrayActivations(np.zeros((252, 1)), "one", layout=taps[0].layout)
    with pytest.raises(InputError, match="1 part"):
        part_map(taps[0], one)
    numbers = ArrayActivations(part.reshape(-1, 1) * 10.0, "n", layout=taps[0].layout)
    assert set(part_map(taps[0], numbers).columns[PART]) == {"part 0", "part 10", "part 20"}
    bad = numbers.values.copy()
    bad[3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        part_map(taps[0], ArrayActivations(bad, layout=taps[0].layout))
    few = part_map(*taps, params=PartMapParams(maximum_tokens=60))
    assert len(few.rows) == 60
    assert any("60 of 252 tokens" in said for said in few.caveats)
    assert set(few.columns[FOUND]) <= {"of the same part", "of another"}


# ---------------------------------------------------------------------------- ids that were never seen
def ctr_taps(folder, rng, decay=1.0, moved=()):
    """A store of a trained checkpoint and one of the initial: fields 'user' (30 ids) and 'item' (12)."""
    users = rng.integers(0, 20, 200)  # 20 to 29 are never seen
    seen = np.isin(np.arange(30), users)
    before = {"embedding.user.weight": rng.standard_normal((30, 4)),
              "embedding.item.weight": rng.standard_normal((12, 4)),
              "out.weight": rng.standard_normal((1, 8)), "out.bias": np.zeros(1)}  # fmt: skip
    after = {k: v.copy() for k, v in before.items()}
    table = after["embedding.user.weight"]
    table[seen] += 0.3 * rng.standard_normal((seen.sum(), 4))
    table[~seen] *= decay
    for i in moved:
        table[i] += 0.2 * rng.standard_normal(4)
    taps = []
    for name, state in (("trained", after), ("initial", before)):
        path = folder / f"{name}.safetensors"
        save_file({k: v.astype(np.float32) for k, v in state.items()}, str(path))
        known = {"kind": "state_dict", "path": str(path), "digest": file_digest(path)}
        items = np.array([f"{u % 12} {(u + 1) % 12}" for u in users])
        store = write_store(folder / name, name=name, taps={"out": rng.standard_normal((200, 3))}, checkpoint=known,
                            samples={"user": users, "items": items, "words": np.array(["a"] * 200)})  # fmt: skip
        taps.append(store.activations("out"))
    return taps, users, seen


def test_rows_of_unseen_ids_of_a_checkpoint_are_as_they_were(tmp_path, rng):
    (trained, initial), users, seen = ctr_taps(tmp_path, rng)
    found = unseen_ids(trained, initial, UnseenIdsParams(column="user"))
    told = {e.name: e for e in found.estimates}
    assert told["unseen rows that are as they were"].value == 1.0
    assert told["unseen rows that are as they were"].n == (~seen).sum()
    assert told["unseen rows that are as they were"].p_value < 1e-6
    assert told["seen rows that moved"].value == 1.0
    np.testing.assert_array_equal(found.columns[TIMES], np.bincount(users, minlength=30))
    assert "equal their initialisation" in found.reading
    assert "embedding.user" in found.title


def test_decay_a_stray_row_and_a_tied_table_are_told_apart(tmp_path, rng):
    for name, more, said in (
        ("decay", {"decay": 0.9}, "one factor, 0.9, as weight decay"),
        ("stray", {"moved": (25,)}, "Their directions changed"),
    ):
        (tmp_path / name).mkdir()
        (trained, initial), _, seen = ctr_taps(tmp_path / name, rng, **more)
        found = unseen_ids(trained, initial, UnseenIdsParams(column="user"))
        assert said in found.reading
        wrong = found.rows[found.columns[KIND] == "never seen, moved"]
        np.testing.assert_array_equal(wrong, np.flatnonzero(~seen) if name == "decay" else [25])
        if name == "decay":
            assert found.columns[CHANGE][~seen] == pytest.approx(0.1, abs=1e-6)
            loose = unseen_ids(trained, initial, UnseenIdsParams(column="user", within=0.1))
            assert loose.estimates[1].value == found.estimates[1].value


def test_ids_of_several_in_a_text_other_tables_and_refusals(tmp_path, rng):
    (trained, initial), users, _ = ctr_taps(tmp_path, rng)
    counts, said = seen_ids(trained, "items", 12, no_progress)
    wanted = np.bincount(np.concatenate([users % 12, (users + 1) % 12]), minlength=12)
    np.testing.assert_array_equal(counts, wanted)
    assert "items" in said[0]
    item = unseen_ids(trained, initial, UnseenIdsParams(column="items", table="item"))
    assert "embedding.item" in item.title
    assert "Every id was seen" in item.reading
    with pytest.raises(InputError, match="ids from 0 to 11"):
        unseen_ids(trained, initial, UnseenIdsParams(column="user", table="item"))
    with pytest.raises(InputError, match="ids: whole numbers"):
        unseen_ids(trained, initial, UnseenIdsParams(column="words"))
    with pytest.raises(NotFound, match="no table 'city'"):
        unseen_ids(trained, initial, UnseenIdsParams(column="user", table="city"))
    unknown = unseen_ids(trained, initial)
    assert any("not known" in said for said in unknown.caveats)
    with pytest.raises(ShapeError):
        unseen_ids(rng.standard_normal((5, 3)), rng.standard_normal((6, 3)))


def test_token_ids_of_a_language_model_are_those_of_its_tokenizer(workspace):
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    tap = workspace.activations("python-gpt:transformer.h.1")
    store = tap.store
    entry = store.manifest["data"]
    loaded = open_checkpoint(store.manifest["checkpoint"]["path"]).load()
    data = open_data(entry["path"], **(entry.get("options") or {}))
    size = loaded.module.get_input_embeddings().weight.shape[0]
    counts, _ = seen_ids(tap, None, size, no_progress)
    first = np.asarray(loaded.prepare(data.items(0, 1))["input_ids"]).ravel()
    assert (counts[np.unique(first)] > 0).all()
    lengths = np.diff(tap.layout.offsets)
    assert counts.sum() == lengths.sum()
    found = unseen_ids(tap, tap)
    assert "wte" in found.title
    assert found.estimates[0].value == 1.0
    assert found.estimates[2].value == 0.0


def test_padding_is_no_id_that_was_seen(monkeypatch):
    from types import SimpleNamespace

    from analysis.sources import rerun as module

    ids, mask = np.array([[3, 4, 0, 0], [5, 5, 4, 0]]), np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)
    loaded = SimpleNamespace(prepare=lambda items: {"input_ids": ids}, token_mask=lambda inputs: mask)
    run = SimpleNamespace(n=2, loaded=loaded, data=SimpleNamespace(items=lambda a, b: [None] * (b - a)))
    monkeypatch.setattr(module, "rerun", lambda *given, **named: run)
    counts, _ = seen_ids(ArrayActivations(np.zeros((2, 3))), None, 7, no_progress)
    np.testing.assert_array_equal(counts, [0, 0, 0, 1, 2, 2, 0])


def test_the_new_questions_are_asked():
    asked = {m for view in QUESTIONS.values() for m in view.asks.values()}
    assert {"view_sphere", "local_pooling", "part_map", "unseen_ids"} <= asked
