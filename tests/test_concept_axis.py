"""Axes that are given: every way to name one against NumPy, what they must not learn from, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.activations import ArrayActivations
from analysis.compute.groups.axis_judged import judged
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_axis import AxisParams, given_axis
from analysis.compute.linear.ranking_axes import ridge_axis
from analysis.compute.rows.packed_direction import pack_direction, unpack_direction
from analysis.compute.subspaces.edit_path import AxisAsked, edit_path
from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.methods.concepts.axis_cosines import AxisCosinesParams, axis_cosines
from analysis.methods.concepts.edit_neighbours import EditNeighboursParams, edit_neighbours
from analysis.methods.concepts.edit_path import EditPathParams, edit_path_of_one
from analysis.methods.concepts.rank_along_axis import RankAlongAxisParams, rank_along_axis
from analysis.sources import weight_directions
from analysis.sources.weights import NetworkWeights

N, D = 150, 6


def tap(x, **columns):
    return ArrayActivations(x, samples={name: np.asarray(values) for name, values in columns.items()})


@pytest.fixture
def data(rng):
    label = np.arange(N) % 3
    x = rng.standard_normal((N, D)) * [1, 2, 1, 1, 1, 1] + 5
    x[:, 3] += 4 * label
    return tap(x, label=label, size=rng.standard_normal(N)), x, label


def axis_of(data, read=None, **named):
    x = np.asarray(data.take(np.arange(data.shape[0])), float)
    return given_axis(data, AxisParams(**named), x, np.arange(len(x)), np.arange(x.shape[1]), read)


# ---------------------------------------------------------------------------- packing
def test_a_packed_direction_comes_back(rng):
    v = rng.standard_normal(40) * 1e12
    got = unpack_direction(pack_direction(v), 40)
    np.testing.assert_allclose(got, v / np.linalg.norm(v), atol=1e-7)
    for bad in (np.zeros(3), [1, np.nan], np.ones((2, 2)), []):
        with pytest.raises(ParameterError, match="direction of shape"):
            pack_direction(bad)
    for text, said in (("%%", "cannot be read"), (pack_direction(v), "40 numbers")):
        with pytest.raises(ParameterError, match=said):
            unpack_direction(text, 41)
    with pytest.raises(ParameterError, match="zeros"):
        unpack_direction("AAAAAAAAAAA=", 2)


# ---------------------------------------------------------------------------- the grammar
def test_every_way_to_name_an_axis_is_what_numpy_says(data):
    activations, x, label = data
    centred = x - x.mean(axis=0)
    principal = np.linalg.svd(centred)[2][0]
    ridge = ridge_axis(x, (label == 2).astype(float))
    cases = {
        "unit:3": np.eye(D)[3], "unit:3-1": np.eye(D)[3] - np.eye(D)[1], "pc:1": principal,
        "probe:label=2": ridge, "probe:size": ridge_axis(x, activations.samples["size"]),
    }  # fmt: skip
    for text, expected in cases.items():
        got = axis_of(activations, direction=text).along(x)
        assert np.linalg.norm(got) == pytest.approx(1.0)
        cosine = got @ expected / np.linalg.norm(expected)
        assert (abs(cosine) if text == "pc:1" else cosine) == pytest.approx(1.0, abs=1e-9), text
    line = axis_of(activations, low="4", high="9")
    np.testing.assert_allclose(line.along(x), (x[9] - x[4]) / np.linalg.norm(x[9] - x[4]))
    assert line.ends == (4, 9)
    assert axis_of(activations) is None


def test_a_row_of_weights_and_a_packed_row_of_a_decoder(data, tmp_path, monkeypatch, rng):
    activations, x, _ = data
    head, decoder, square = (
        rng.standard_normal((4, D)),
        rng.standard_normal((D, 9)),
        rng.standard_normal((D, D)),
    )
    bare = rng.standard_normal((9, D))
    tensors = {"head.weight": head, "head.bias": np.zeros(4), "decoder.weight": decoder, "mix.weight": square,
               "W_dec": bare, "other.weight": np.ones((3, 8))}  # fmt: skip
    file = tmp_path / "model.safetensors"
    save_file(tensors, file)
    network = NetworkWeights(file, "state_dict", "", {k: v.shape for k, v in tensors.items()})
    monkeypatch.setattr(weight_directions, "weights_of", lambda tap: network)

    def got(text):
        return axis_of(activations, weight_directions.weight_direction, direction=f"weights:{text}").along(x)

    for text, expected in {
        "head:2": head[2], "decoder:7": decoder[:, 7], "mix:1": square[1], "mix:1:adds": square[:, 1],
        "W_dec:5": bare[5],
    }.items():  # fmt: skip
        np.testing.assert_allclose(got(text), expected / np.linalg.norm(expected), atol=1e-12, err_msg=text)
    found = weight_directions.fitting_layers(activations)
    assert set(found) == {("head", 4, "asks"), ("decoder", 9, "adds"), ("mix", D, "asks"), ("mix", D, "adds"),
                          ("W_dec", 9, "asks")}  # fmt: skip
    for text, said in (
        ("head:4", "row 4"),
        ("other:0", "3 x 8"),
        ("head", "weights:head"),
        ("head:x", "head:x"),
    ):
        with pytest.raises(ParameterError, match=said):
            got(text)
    with pytest.raises(NotFound, match="'nowhere'"):
        got("nowhere:0")
    packed = axis_of(activations, vector=pack_direction(bare[5]), direction="row:sae:W_dec:5")
    np.testing.assert_allclose(packed.along(x), bare[5] / np.linalg.norm(bare[5]), atol=1e-7)
    assert packed.label == "sae:W_dec:5"
    latent = axis_of(activations, vector=pack_direction(bare[5]), direction="feature:topk s0:5")
    np.testing.assert_array_equal(latent.along(x), packed.along(x))
    assert latent.label == "feature 5 of topk s0"


@pytest.mark.parametrize(
    ("named", "error", "said"),
    [
        ({"direction": "unit:99"}, ParameterError, "unit:99"),
        ({"direction": "pc:0"}, ParameterError, "component from 1 to 6"),
        ({"direction": "nonsense"}, ParameterError, "nonsense"),
        ({"direction": "row:sae:W:1"}, ParameterError, "without its numbers"),
        ({"direction": "probe:nothing"}, NotFound, "nothing"),
        ({"direction": "probe:label"}, ParameterError, "3 classes"),
        ({"direction": "probe:label=7"}, NotFound, "'7'"),
        ({"low": "1"}, ParameterError, "two different samples"),
        ({"low": "1", "high": "1"}, ParameterError, "two different samples"),
        ({"low": "1", "high": "nobody"}, NotFound, "nobody"),
        ({"low": "1", "high": "2", "direction": "unit:1"}, ParameterError, "more than one axis"),
        ({"vector": "AAAA"}, ParameterError, "numbers"),
    ],
)
def test_refusals(data, named, error, said):
    with pytest.raises(error, match=said):
        axis_of(data[0], **named)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (rank_along_axis, RankAlongAxisParams), (edit_neighbours, EditNeighboursParams),
        (edit_path_of_one, EditPathParams), (axis_cosines, AxisCosinesParams),
    ],
)  # fmt: skip
def test_two_identical_samples_are_refused_by_every_method(data, method, params):
    _, x, label = data
    x[7] = x[3]
    with pytest.raises(InputError, match="equal activations"):
        method(tap(x, label=label), params(low="3", high="7"))
    with pytest.raises(LoupeError, match="two different samples"):
        method(tap(x, label=label), params(low="3", high="3"))


def test_a_direction_in_constant_units_is_refused_or_said(data):
    _, x, label = data
    x[:, 2] = 1.0
    with pytest.raises(InputError, match="constant here"):
        rank_along_axis(tap(x, label=label), RankAlongAxisParams(direction="unit:2"))
    found = rank_along_axis(tap(x, label=label), RankAlongAxisParams(direction="unit:2-0"))
    assert any("50.0%" in caveat for caveat in found.caveats)


# ---------------------------------------------------------------------------- ranking
def test_samples_along_a_unit_are_sorted_by_it(data):
    activations, x, _ = data
    found = rank_along_axis(activations, RankAlongAxisParams(direction="unit:1", examples=50))
    rows, values = (np.concatenate(list(part.values())) for part in (found.groups, found.values))
    np.testing.assert_allclose(values, ((x[:, 1] - x[:, 1].mean()) / x[:, 1].std())[rows], atol=1e-9)
    assert (np.diff(values) >= 0).all()
    same = rank_along_axis(activations, RankAlongAxisParams(vector=pack_direction(np.eye(D)[1]), examples=50))
    for name in found.groups:
        np.testing.assert_array_equal(found.groups[name], same.groups[name])


def test_a_probe_is_judged_on_samples_it_did_not_see(rng):
    """Noise in nearly as many units as samples: in-sample a ridge probe would order them all."""
    x, noise = rng.standard_normal((120, 90)), rng.standard_normal(120)
    activations = tap(x, label=noise)
    found = rank_along_axis(activations, RankAlongAxisParams(direction="probe:label")).estimates[0]
    assert abs(found.value) < 0.35
    inside = (x - x.mean(axis=0)) @ ridge_axis(x, noise)
    assert np.corrcoef(inside, noise)[0, 1] > 0.4


def test_the_share_that_classes_explain_is_eta_squared(data):
    activations, x, label = data
    e = rank_along_axis(activations, RankAlongAxisParams(direction="unit:3")).estimates[0]
    centred = x[:, 3] - x[:, 3].mean()
    between = sum((label == c).sum() * centred[label == c].mean() ** 2 for c in range(3))
    assert e.value == pytest.approx(between / (centred**2).sum())
    assert e.null == pytest.approx(2 / (N - 1))
    assert e.low <= e.value <= e.high
    assert e.value > e.null_high
    nothing = rank_along_axis(activations, RankAlongAxisParams(direction="unit:1"))
    assert "no more than chance" in nothing.reading


def test_an_attribute_that_cannot_judge_is_said(data, rng):
    activations, _, _ = data
    how = (np.arange(N), rng.standard_normal(N), np.ones(N, bool), ("an axis", D), rng)
    none = judged(activations, ConceptParams(column="missing"), *how)
    assert none.estimate is None
    assert "Without an attribute" in none.words
    constant = tap(np.ones((N, 2)), label=np.zeros(N))
    assert "one value" in judged(constant, ConceptParams(), *how).notes[0]


def test_clicked_samples_stay_in_a_random_subset(rng):
    x = rng.standard_normal((400, 3))
    activations = tap(x, label=np.arange(400) % 2)
    for low in ("11", "399"):
        rank_along_axis(activations, RankAlongAxisParams(low=low, high="7", maximum_samples=40))
        edit_path_of_one(activations, EditPathParams(low=low, high="7", maximum_samples=90))


# ---------------------------------------------------------------------------- editing
def path_of(activations, rng, target="", source="", made="difference of means", **named):
    return edit_path(
        activations, "label", target, source, rng, pooling="mean", maximum=10_000, most_moved=1000,
        axis=AxisAsked(made, AxisParams(**named)),
    )  # fmt: skip


def test_a_given_axis_leads_from_the_lowest_class_to_the_highest(data, rng):
    path = path_of(data[0], rng, direction="unit:3")
    assert path.names == ("label = 2", "label = 0")
    np.testing.assert_allclose(path.axis, np.eye(D)[3])
    turned = path_of(data[0], rng, "0", "2", direction="unit:3")
    np.testing.assert_allclose(turned.axis, -np.eye(D)[3])
    assert any("backwards" in note for note in turned.notes)
    bare = tap(np.asarray(data[1]))
    free = path_of(bare, rng, direction="unit:3")
    assert "highest quarter along unit 3" in free.names[0]


def test_from_one_clicked_sample_to_the_other(data):
    activations, x, label = data
    found = edit_path_of_one(activations, EditPathParams(low="0", high="5", strength=1.0, steps=3))
    assert found.groups["the sample itself"].tolist() == [0]
    assert not {0, 5} & {int(r) for name, rows in found.groups.items() if name[:3] != "the" for r in rows}
    assert "the line from 0 to 5" in found.title
    path = path_of(activations, np.random.default_rng(0), low="0", high="5")
    np.testing.assert_allclose(path.axis, (x[5] - x[0]) / np.linalg.norm(x[5] - x[0]))
    assert path.names == (f"label = {label[5]}", f"label = {label[0]}")


def test_what_a_probe_reads_is_an_axis_of_an_edit_too(data, rng):
    x = data[1]
    x[:, 0] = 3 * x[:, 3] + 0.1 * rng.standard_normal(N)  # means differ along both, a probe weighs them
    activations = tap(x, label=data[2])
    made = [path_of(activations, np.random.default_rng(0), "2", "0", made=how).axis
            for how in ("difference of means", "read by a probe")]  # fmt: skip
    assert made[0] @ made[1] < 0.99
    assert made[0] @ made[1] > 0


# ---------------------------------------------------------------------------- cosines
def test_cosines_with_given_axes(data):
    activations, x, _ = data
    params = AxisCosinesParams(
        column="size", others="size", direction="unit:3, unit:3-1", low="0", high="1", draws=50
    )
    found = axis_cosines(activations, params)
    assert found.row_names == ("size", "unit 3", "(unit 3 - unit 1) / √2", "the line from 0 to 1")
    size = activations.samples["size"]
    own = (x - x.mean(axis=0)).T @ (size - size.mean())
    line = x[1] - x[0]
    assert found.values[0, 1] == pytest.approx(own[3] / np.linalg.norm(own))
    assert found.values[1, 2] == pytest.approx(np.sqrt(0.5))
    assert found.values[1, 3] == pytest.approx(line[3] / np.linalg.norm(line))
    assert np.isfinite(found.low[0, 1])
    assert np.isnan(found.low[1, 2])
    by_name = {e.name: e for e in found.estimates}
    assert by_name["cosine of unit 3 and (unit 3 - unit 1) / √2"].low is None


def test_a_tap_without_a_checkpoint_has_no_weights_to_name(data):
    with pytest.raises(InputError, match="no checkpoint"):
        rank_along_axis(data[0], RankAlongAxisParams(direction="weights:head:0"))
    gone = SimpleNamespace(
        store=SimpleNamespace(manifest={"checkpoint": {"path": "/nowhere/x"}}), name="t", shape=(3, 2)
    )
    with pytest.raises(NotFound, match="not at"):
        weight_directions.fitting_layers(gone)
