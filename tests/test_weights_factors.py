"""Weight codebooks, atoms, templates and embedding tables: closed forms, planted structure and a second way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.activations import ArrayActivations
from analysis.compute.linear.atom_learning import orthogonal_codes, rows_apart
from analysis.compute.linear.embedding_fields import Field, field_rank, kept
from analysis.compute.networks.sparse_weights import (
    PLAIN,
    SPARSE,
    WHITE,
    approximations,
    atoms_for,
    low_rank,
    overlaps,
    rank_for,
    root_of,
    sparse_factors,
    stored,
)
from analysis.compute.networks.weight_codebooks import (
    NUMBER,
    coded_by_groups,
    coded_runs,
    coded_single,
    runs_of,
    scalar_codebook,
)
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.weights.atom_sharing import (
    AtomSharingParams,
    _judged,
    _of_layers,
    _stacked,
    atom_sharing,
)
from analysis.methods.weights.embedding_dimensions import EmbeddingDimensionsParams, embedding_dimensions
from analysis.methods.weights.layer_templates import LayerTemplatesParams, layer_templates
from analysis.methods.weights.weight_atoms import WeightAtomsParams, weight_atoms
from analysis.methods.weights.weight_codebook import WeightCodebookParams, weight_codebook
from analysis.methods.weights.weight_subvectors import (
    BITS,
    CLUSTERS,
    LOW,
    TOTAL,
    WeightSubvectorsParams,
    _entries,
    weight_subvectors,
)
from analysis.sources.layer_weights import LayerMatrices

WORKSPACE = Path(__file__).parents[1] / "sample_data" / "workspace"
DENSE = "vit.encoder.layer.3.intermediate.dense"


@pytest.fixture(scope="module")
def workspace():
    return analysis.open_workspace(WORKSPACE)


# ---------------------------------------------------------------------- codebooks
def test_single_weights_are_coded_as_max_did_and_bits_count_the_codebook():
    weight = np.random.default_rng(0).standard_normal((200, 500))
    for bits, known in zip((1, 2, 3, 4), (0.36338, 0.11748, 0.03455, 0.00950), strict=True):
        found = coded_single(weight, 2**bits)
        assert found.error.sum() / (weight**2).sum() == pytest.approx(known, rel=0.02)
        assert found.bits == pytest.approx(bits + NUMBER * 2**bits / weight.size)
    assert scalar_codebook(weight.ravel(), 2) == pytest.approx(
        np.sqrt(2 / np.pi) * np.array([-1, 1]), abs=0.01
    )
    assert found.counts.sum() == weight.size
    assert found.entropy < 4


def test_equal_numbers_and_few_values_need_no_more_entries_than_there_are():
    assert scalar_codebook(np.full(9, 2.5), 4).tolist() == [2.5]
    assert scalar_codebook(np.array([0.0, 0, 0, 0, 0, 0, 1, 5]), 8).tolist() == [0, 1, 5]
    found = coded_single(np.ones((3, 4)), 8)
    assert (found.size, found.error.sum()) == (1, 0)


def test_groups_pay_for_their_codebooks_and_for_who_is_in_which():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 50)) * np.repeat([1.0, 30.0], 20)[:, None]
    of = np.repeat([0, 1], 20)
    found = coded_by_groups(weight, 4, of)
    assert found.bits == pytest.approx(2 + (2 * NUMBER * 4 + 40 * 1) / 2000)
    own = [coded_single(weight[of == g], 4).error for g in (0, 1)]
    np.testing.assert_allclose(found.error, np.concatenate(own))
    assert found.size == 8


@pytest.mark.parametrize("keep", [1, 4])
def test_low_rank_and_clustering_add_up_to_the_whole_error(keep):
    """Clustering by a second way: squares within clusters in the kept coordinates."""
    rng = np.random.default_rng(keep)
    weight = rng.standard_normal((30, 16)) @ rng.standard_normal((16, 16))
    coded, outside = coded_runs(weight, 4, 6, np.random.default_rng(1), keep)
    runs = runs_of(weight, 4)
    sigma = np.linalg.svd(runs, compute_uv=False)
    assert outside == pytest.approx((sigma[keep:] ** 2).sum(), abs=1e-9)
    axes = np.linalg.svd(runs, full_matrices=False)[2][:keep]
    from analysis.compute.clusters.kmeans import kmeans

    within = kmeans(runs @ axes.T, 6, np.random.default_rng(1), 1).within
    assert coded.error.sum() == pytest.approx(outside + within, rel=1e-9)
    assert len(coded.error) == 30


def test_held_bits_buy_more_entries_in_fewer_directions():
    n, m, k = 500, 8, 16
    asked = n * np.log2(k) + NUMBER * k * m
    assert _entries(k, n, m, m) == k
    for d in (1, 3, 6):
        entries = _entries(k, n, m, d)
        assert n * np.log2(entries) + NUMBER * (entries * d + d * m) <= asked
        assert n * np.log2(entries + 1) + NUMBER * ((entries + 1) * d + d * m) > asked


def test_codebook_methods_on_a_layer_of_the_sample_network(workspace):
    tap = workspace.activations("digits-vit:vit.layers.2")
    found = weight_codebook(tap, params=WeightCodebookParams(layer=DENSE))
    first = found.estimates[0]
    assert first.low <= first.value <= first.high
    assert first.null == pytest.approx(0.0345, abs=0.003)
    runs = weight_subvectors(tap, params=WeightSubvectorsParams(layer=DENSE, entries=16, hold=BITS))
    np.testing.assert_allclose(runs.series[LOW] + runs.series[CLUSTERS], runs.series[TOTAL], atol=1e-12)
    assert (np.diff(runs.series[LOW]) < 0).all()
    with pytest.raises(NotFound):
        weight_codebook(tap, params=WeightCodebookParams(layer="nothing"))
    with pytest.raises(InputError, match="equal"):
        weight_codebook(np.ones((6, 6)))
    with pytest.raises(InputError, match="is 0"):
        weight_subvectors(np.zeros((6, 6)))


# ---------------------------------------------------------------------- atoms
def test_orthogonal_codes_are_those_of_a_plain_pursuit():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((12, 7))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x = np.vstack([rng.standard_normal((15, 7)), np.zeros((1, 7)), 3 * atoms[2:3]])
    found = orthogonal_codes(x, atoms, 4)
    for row, codes in zip(x, found, strict=True):
        taken, left, own = [], row.copy(), np.zeros(12)
        for _ in range(4):
            score = np.abs(atoms @ left)
            score[taken] = -1
            if score.max() < 1e-12:
                break
            taken.append(int(score.argmax()))
            own[:] = 0
            own[taken] = np.linalg.lstsq(atoms[taken].T, row, rcond=None)[0]
            left = row - own @ atoms
        np.testing.assert_allclose(codes, own, atol=1e-9)


def test_pursuit_leaves_an_atom_that_it_has_already():
    atoms = np.eye(3)[[0, 0, 1]]
    np.testing.assert_allclose(orthogonal_codes(np.array([[2.0, 1, 0]]), atoms, 3) @ atoms, [[2, 1, 0]])


def test_first_atoms_are_as_far_apart_as_rows_are():
    lines = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 3)))[0].T
    x = np.repeat(lines, 5, axis=0) * np.linspace(1, 2, 15)[:, None]
    found = rows_apart(x, 3, np.random.default_rng(0))
    np.testing.assert_allclose(
        np.sort(np.abs(found @ lines.T), axis=1), np.tile([0, 0, 1], (3, 1)), atol=1e-9
    )
    assert rows_apart(x, 7, np.random.default_rng(0)).shape == (7, 6)


def test_one_root_of_the_moments_stands_for_all_inputs():
    rng = np.random.default_rng(0)
    x, error = rng.standard_normal((50, 8)) @ rng.standard_normal((8, 8)), rng.standard_normal((5, 8))
    root = root_of(x)
    by_root = float((root.into(error) ** 2).sum())
    assert by_root == pytest.approx(float(((x @ error.T) ** 2).sum()) / 50, rel=1e-4)
    np.testing.assert_allclose(root.back(root.into(error)), error, atol=1e-8)
    weight = rng.standard_normal((12, 8))
    best = low_rank(weight, root, 3, True)
    sigma = np.linalg.svd(x @ weight.T / np.sqrt(50), compute_uv=False)
    assert ((x @ (weight - best).T) ** 2).sum() / 50 == pytest.approx((sigma[3:] ** 2).sum(), rel=1e-3)


def test_numbers_stored_stay_within_the_share_and_more_codes_lose_no_more():
    rng = np.random.default_rng(0)
    weight, root = rng.standard_normal((40, 24)), root_of(None)
    for share in (0.3, 0.6):
        k, s = atoms_for(40, 24, share, 2.0)
        assert stored(40, 24, k, s) <= share + 0.05
        assert rank_for(40, 24, share) * 64 <= share * 960
    lost = []
    for s in (1, 2, 4, 8, 16):
        codes, atoms = sparse_factors(weight, root, 16, s, np.random.default_rng(0))
        assert (codes != 0).sum(axis=1).max() <= s
        lost.append(((weight - codes @ atoms) ** 2).sum())
    assert (np.diff(lost) < 0).all()
    bound = (np.linalg.svd(weight, compute_uv=False)[16:] ** 2).sum()
    assert bound - 1e-9 <= lost[-1] <= 1.02 * bound  # as many codes as atoms: a matrix of rank 16


def test_weight_atoms_weigh_by_inputs_and_refuse_other_widths(workspace):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((30, 12))
    x = rng.standard_normal((300, 12)) * np.r_[np.full(4, 10.0), np.full(8, 0.01)]
    plain, told = (weight_atoms(*t, params=WeightAtomsParams()) for t in ((weight.T,), (weight.T, x)))
    assert told.series[WHITE][-1] < 1e-3 * plain.series["low rank (SVD)"][-1]
    assert WHITE not in plain.series
    assert told.estimates[0].interval.endswith("samples")
    tap = workspace.activations("digits-vit:vit.layers.2")
    with pytest.raises(InputError, match="has 16 units"):
        weight_atoms(tap, workspace.activations("digits-resnet:resnet.encoder.stages.0"),
                     params=WeightAtomsParams(layer=DENSE))  # fmt: skip
    with pytest.raises(InputError, match="at least 4"):
        weight_atoms(np.ones((3, 8)))
    moved = rng.permutation(weight.ravel()).reshape(weight.shape)
    for t in ((), (x,)):  # the null knows mean and deviation only
        one, two = (
            weight_atoms(w.T, *t, rng=np.random.default_rng(3)).null[PLAIN] for w in (weight**3, moved**3)
        )
        np.testing.assert_allclose(one, two, rtol=1e-9)
    noise = rng.standard_normal((20, 14))
    e = weight_atoms(noise.T).estimates[0]
    assert e.value == pytest.approx(e.null, abs=0.1)
    assert set(approximations(noise, root_of(None), 0.5, 2.0, rng)) >= {SPARSE, WHITE}


def test_layers_that_share_atoms_are_told_from_layers_that_do_not(workspace):
    tap = workspace.activations("digits-vit:vit.layers.2")
    found = atom_sharing(tap, params=AtomSharingParams(layers="*.query,*.key", draws=40))
    assert found.values.shape == (8, 8)
    np.testing.assert_allclose(found.values, found.values.T)
    np.testing.assert_allclose(np.diag(found.values), 1)
    rng = np.random.default_rng(0)
    use = np.eye(8)[np.concatenate([rng.integers(0, 4, 80), rng.integers(4, 8, 80)])]
    values, null = _of_layers(use, np.repeat(np.arange(4), 40), 4, 100, rng)
    marked = _judged(values, null, 1.0, (160, 8), 8, False)[1]
    assert marked[0, 1]
    assert values[0, 1] > np.quantile(null[:, 0, 1], 0.95)
    assert marked[0, 2]
    assert values[0, 2] == 0 < null[:, 0, 2].min()
    random = atom_sharing(rng.standard_normal((20, 40)), params=AtomSharingParams(draws=40))
    assert random.significant.mean() < 0.05
    parts = {"a": rng.standard_normal((5, 6)), "b": 100 * rng.standard_normal((7, 6))}
    rows = _stacked(LayerMatrices(("a", "b"), lambda name: (parts[name],), ()))[2]
    np.testing.assert_allclose([(rows[:5] ** 2).mean(), (rows[5:] ** 2).mean()], 1)
    use = np.array([[0.5, 0.5, 0], [0, 0.25, 0.75]])
    np.testing.assert_allclose(overlaps(use), [[1, 0.25], [0.25, 1]])


# ---------------------------------------------------------------------- templates
def test_growing_by_mixtures_adds_no_rank_and_moved_entries_have_none_in_common(workspace):
    rng = np.random.default_rng(0)
    templates = rng.standard_normal((2, 600))
    small = rng.standard_normal((3, 2)) @ templates
    grown = np.vstack([small, rng.standard_normal((5, 2)) @ templates])
    ranks = [
        {e.name: e.value for e in layer_templates(s.T).estimates}["rank of the stack"] for s in (small, grown)
    ]
    assert ranks == [2, 2]
    found = layer_templates(grown.T)
    np.testing.assert_allclose((found.values**2).sum(axis=1), 1, atol=1e-9)
    apart = layer_templates(rng.standard_normal((600, 8)))
    told = {e.name: e.value for e in apart.estimates}
    assert told["templates beyond noise"] <= 1
    assert apart.estimates[0].value == pytest.approx(apart.estimates[0].null, abs=0.02)
    large = np.linalg.qr(rng.standard_normal((600, 2)))[0] * [1, 100]
    held = [
        layer_templates(large, params=LayerTemplatesParams(equal=e)).estimates[0].value for e in (True, False)
    ]
    assert held == pytest.approx([0.5, 1], abs=1e-3)
    tap = workspace.activations("digits-vit:vit.layers.2")
    rows = layer_templates(tap, params=LayerTemplatesParams(layers="*.query")).row_names
    assert len(rows) == 4
    with pytest.raises(NotEnoughData, match="no two layers"):
        layer_templates(tap, params=LayerTemplatesParams(layers="classifier"))


# ---------------------------------------------------------------------- embedding tables
def test_a_dimension_behind_a_shut_gate_can_go_and_ranks_are_bounded(workspace):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((300, 6))
    field = Field.of("f", table, np.ones(300))
    np.testing.assert_allclose(field.covariance(), np.cov(table.T, bias=True), atol=1e-12)
    importance = np.diag(field.covariance()) * np.array([1, 1, 0, 1, 1, 1])
    assert kept(importance)[4] == pytest.approx(1, abs=1e-12)
    assert field_rank(field.covariance(), np.array([1, 1, 0, 1, 1, 1])) <= 5
    assert field_rank(np.eye(6), np.ones(6)) == pytest.approx(6)
    few = Field.of("f", table[:4], np.ones(4))
    assert field_rank(few.covariance(), np.ones(6)) <= 3
    twice = Field.of("f", table[:3], np.array([2.0, 1, 1]))
    np.testing.assert_allclose(
        twice.covariance(), Field.of("f", table[[0, 0, 1, 2]], np.ones(4)).covariance(), atol=1e-12
    )
    tap = workspace.activations("python-gpt:transformer.h.2")
    found = embedding_dimensions(tap, params=EmbeddingDimensionsParams(reader="transformer.h.0.attn.c_attn"))
    assert set(found.series) == {"transformer.wte", "transformer.wpe"}
    unread = embedding_dimensions(tap)
    assert np.abs(found.series["transformer.wte"] - unread.series["transformer.wte"]).max() > 0.01
    with pytest.raises(InputError, match="reads 320 inputs"):
        embedding_dimensions(tap, params=EmbeddingDimensionsParams(reader="transformer.h.0.mlp.c_proj"))
    with pytest.raises(NotFound, match="no embedding table"):
        embedding_dimensions(workspace.activations("digits-resnet:resnet.encoder.stages.0"))


def test_fields_of_a_table_have_ranks_of_their_own():
    rng = np.random.default_rng(0)
    wide, flat = rng.standard_normal((200, 8)), rng.standard_normal((100, 2)) @ np.eye(2, 8)
    tap = ArrayActivations(
        np.vstack([wide, flat, flat[:2]]),
        samples={"field": np.repeat(["wide", "flat", "tiny"], [200, 100, 2]), "count": np.arange(302.0)},
    )
    found = embedding_dimensions(tap, params=EmbeddingDimensionsParams(field="field"))
    ranks = {e.name.split()[3].rstrip(","): e for e in found.estimates if e.name.startswith("effective")}
    assert abs(ranks["wide"].value - ranks["wide"].null) < 0.3
    assert ranks["flat"].value <= 2 < ranks["flat"].null_low
    assert 1.05 < 8 * found.null["wide"][0] < 1.25  # the largest of eight variances of 200 rows
    assert any("1 field(s) with fewer" in said for said in found.caveats)
    assert len(embedding_dimensions(tap, params=EmbeddingDimensionsParams(frequency="count")).series) == 1
    with pytest.raises(InputError, match="other than counts"):
        embedding_dimensions(tap, params=EmbeddingDimensionsParams(frequency="field"))
    with pytest.raises(NotFound, match="sample column"):
        embedding_dimensions(tap, params=EmbeddingDimensionsParams(field="colour"))
    with pytest.raises(InputError, match="a table itself"):
        embedding_dimensions(tap, params=EmbeddingDimensionsParams(reader="x"))
