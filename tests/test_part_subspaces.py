"""Subspaces of classes, named selections, heads and weights, compared in the units of one tap."""

import numpy as np
import pytest
from app_pages import is_whole, open_page, texts
from scipy.linalg import subspace_angles

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.rows.membership import pack_named
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces import part_subspaces as module
from analysis.methods.subspaces.part_subspaces import PartSubspacesParams, part_subspaces
from analysis.selection import Selection
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.components import questions

N = 300


@pytest.fixture(scope="module")
def tap():
    rng = np.random.default_rng(2)
    label = np.arange(N) % 3
    bases = [np.linalg.qr(rng.standard_normal((8, 2)))[0] for _ in range(3)]
    x = np.stack([bases[c] @ (rng.standard_normal(2) * [5, 3]) for c in label]) + 0.1 * rng.standard_normal(
        (N, 8)
    )
    return ArrayActivations(x, samples={"id": np.arange(N).astype(str), "label": label.astype(str)})


def at(result, name):
    return result.row_names.index(name)


def test_classes_by_scipy(tap):
    found = part_subspaces(tap, PartSubspacesParams(dimension=2, measure="geodesic", whole=False))
    x, label = np.asarray(tap.take(np.arange(N))), tap.samples["label"]
    axes = [np.linalg.svd(x[label == c] - x[label == c].mean(axis=0))[2][:2].T for c in ("0", "1")]
    expected = np.sqrt((subspace_angles(*axes) ** 2).sum())
    assert found.values[at(found, "label 0"), at(found, "label 1")] == pytest.approx(expected, abs=1e-9)


def test_a_lassoed_group_is_the_class_that_it_holds(tap):
    mask = tap.samples["label"] == "1"
    groups = pack_named({"island": mask, "half": mask & (np.arange(N) < 150)})
    found = part_subspaces(tap, PartSubspacesParams(groups=groups))
    island, half, one, other = (
        at(found, n) for n in ("selection island", "selection half", "label 1", "label 2")
    )
    assert found.values[island, one] == pytest.approx(1.0, abs=1e-12)
    assert found.values[half, one] > 0.99 > found.values[half, other]


def test_a_group_of_tokens_is_that_of_their_samples_unless_every_token_is_a_row(tap):
    x = np.repeat(np.asarray(tap.take(np.arange(N))), 2, axis=0)
    x[1::2] += np.random.default_rng(0).standard_normal((N, 8))
    words = ArrayActivations(x, samples=tap.samples, layout=Layout(np.arange(N + 1) * 2))
    first = np.arange(2 * N) % 2 == 0  # one token of every sample
    asked = {"groups": pack_named({"first": first}), "classes": False}
    pooled = part_subspaces(words, PartSubspacesParams(**asked))
    assert pooled.values[0, 1] == pytest.approx(1.0, abs=1e-12)  # of every sample: the whole
    rows = part_subspaces(
        words, PartSubspacesParams(**asked, tokens="every token is a row", measure="chordal")
    )
    assert rows.values[0, 1] > 1e-3


def test_weights_are_their_singular_directions_and_heads_of_them_runs(tap, monkeypatch):
    rng = np.random.default_rng(9)
    table = rng.standard_normal((4, 8)) * np.array([[9], [8], [1e-9], [1e-9]])
    monkeypatch.setattr(module, "layer_directions", lambda tap, text: (table, "asks", text))
    asked = {"layers": "head", "classes": False, "dimension": 2, "measure": "geodesic"}
    found = part_subspaces(tap, PartSubspacesParams(**asked))
    x = np.asarray(tap.take(np.arange(N)))
    axes = np.linalg.svd(x - x.mean(axis=0))[2][:2].T
    expected = np.sqrt((subspace_angles(axes, np.linalg.qr(table[:2].T)[0]) ** 2).sum())
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-6)
    two = part_subspaces(tap, PartSubspacesParams(layers="head", classes=False, whole=False, weight_heads=2))
    assert two.row_names == ("head reads, head 1", "head reads, head 2")


def test_units_side_by_side_are_axes(tap):
    found = part_subspaces(tap, PartSubspacesParams(heads=4, classes=False))
    x = np.asarray(tap.take(np.arange(N)))
    axes = np.linalg.svd(x - x.mean(axis=0))[2].T
    k = next(int(e.value) for e in found.estimates if e.name.startswith("dimension of all samples"))
    expected = (axes[:2, :k] ** 2).sum() / min(2, k)
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-9)
    assert found.null[0, 1] == pytest.approx(max(2, k) / 8)


def test_a_cut_that_the_data_do_not_define_is_hatched_and_named():
    rng = np.random.default_rng(0)
    label = np.repeat(["flat", "round"], 200)
    x = rng.standard_normal((400, 5))
    x[:200] *= [9, 9, 0.1, 0.1, 0.1]
    tap = ArrayActivations(x, samples={"id": np.arange(400).astype(str), "label": label})
    found = part_subspaces(tap, PartSubspacesParams(whole=False, heads=5, dimension=2))
    assert found.few[at(found, "label round")].sum() == len(found.row_names) - 1
    assert not found.few[at(found, "label flat"), at(found, "head 5 (units 4 to 4)")]
    assert any("label round" in c and "label flat" not in c for c in found.caveats)


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"classes": False}, NotEnoughData, "1 of 1 parts"),
        ({"column": "colour"}, NotFound, "colour"),
        ({"heads": 3}, NotEnoughData, "8 in 3 equal blocks"),
        ({"groups": "{"}, ParameterError, "selections"),
        ({"dimension": 9}, NotEnoughData, "parts have a subspace"),
    ],
)
def test_bad_input_is_refused_in_words(tap, asked, error, says):
    with pytest.raises(error, match=says):
        part_subspaces(tap, PartSubspacesParams(**asked))


def test_groups_of_samples_that_a_small_class_has_no_row_of_and_a_tap_of_rank_one():
    rng = np.random.default_rng(0)
    label = np.repeat(["small", "large"], [9, 200])  # nine samples cannot be in all of ten groups
    samples = {"id": np.arange(209).astype(str), "label": label}
    x = rng.standard_normal((209, 5)) * [9, 5, 0.1, 0.1, 0.1]
    found = part_subspaces(ArrayActivations(x, samples=samples), PartSubspacesParams(dimension=2))
    assert np.isfinite(found.low[at(found, "label small"), at(found, "label large")])
    line = np.outer(rng.standard_normal(209), rng.standard_normal(5))
    flat = part_subspaces(ArrayActivations(line, samples=samples))
    np.testing.assert_allclose(flat.values, 1.0, atol=1e-9)


def test_a_group_that_is_too_small_is_left_out_and_named(tap):
    groups = pack_named({"three": np.arange(N) < 3})
    found = part_subspaces(tap, PartSubspacesParams(groups=groups))
    assert "selection three" not in found.row_names
    assert any("three" in c and "left out" in c for c in found.caveats)


def test_a_head_of_units_that_never_vary_is_left_out_and_named(tap):
    x = np.asarray(tap.take(np.arange(N))).copy()
    x[:, 4:] = 1.0
    found = part_subspaces(
        ArrayActivations(x, samples=tap.samples), PartSubspacesParams(heads=2, dimension=2)
    )
    assert "head 1 (units 0 to 3)" in found.row_names
    assert any("head 2 (units 4 to 7) left out: none of its units varies" in c for c in found.caveats)


def test_the_check_fails_on_broken_code(monkeypatch):
    method = registry.method("part_subspaces")
    monkeypatch.setattr(
        module, "of_units", lambda name, units, d, groups: real(name, (units + 1) % d, d, groups)
    )
    from analysis.compute.subspaces.part_subspaces import of_units as real

    assert not all(line.passed for line in method.check())


# ---------------------------------------------------------------------------- on the page
def test_named_selections_and_heads_are_chosen_on_the_page(tap, tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "ws")
    samples = {"id": tap.samples["id"].tolist(), "label": tap.samples["label"].tolist()}
    values = np.asarray(tap.take(np.arange(N)), np.float32)
    write_store(workspace.path / "stores" / "net", name="net", taps={"one": values}, samples=samples)
    workspace.save_selection(Selection("an island", "samples", "net", "one", tap.samples["id"][::3]))
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    asked = {"view": "geometry", "ask": "part_subspaces", "tap": "net:one", "settings": "true"}
    page = open_page("subspaces", **asked, p__groups="an island", p__heads="2")
    assert is_whole(page), texts(page)
    assert not page.error, texts(page)
    assert next(m for m in page.multiselect if m.label == "Named selections").value == ["an island"]
    drawn = page.get("plotly_chart")[0].proto.spec
    assert "selection an island" in drawn
    assert "head 2" in drawn
    assert "Weights cannot be compared here" in texts(page)
