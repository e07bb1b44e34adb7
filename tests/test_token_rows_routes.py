"""What a network does along routes, by groups of classes, around one patch and for each task, by second ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_ind

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.tokens import influence_map as influence_file
from analysis.methods.tokens.influence_map import InfluenceMapParams, influence_map
from analysis.methods.tokens.learners_difficulty import learners_difficulty
from analysis.methods.tokens.learners_map import LearnersMapParams, learners_map
from analysis.methods.tokens.route_weights import RouteWeightsParams, route_weights
from analysis.methods.tokens.scan_folded import ScanFoldedParams, scan_folded
from analysis.methods.tokens.scan_group_matrices import (
    BASE,
    NOVEL,
    ScanGroupMatricesParams,
    scan_group_matrices,
)
from analysis.methods.tokens.task_gradients import TaskGradientsParams, measured, task_gradients
from analysis.tokens.mixers.fields import closed, raster, stepped
from analysis.tokens.mixers.fields import measured as field_of
from analysis.tokens.mixers.folding import WEIGHED, along
from analysis.tokens.mixers.reading import decaying_scan, row_tokens
from analysis.tokens.mixers.route_weights import CROSS, named_routes
from analysis.tokens.mixers.routes import folded, inverse, route, several
from analysis.tokens.mixers.scan_matrices import shares_of, together
from analysis.tokens.routing.difficulty import exchanged, inside, tenths, undecided
from analysis.tokens.routing.learners import HOW_MANY

GRID = (3, 4)


def tokens(rng, n=6):
    x = rng.standard_normal((12 * n, 5))
    return ArrayActivations(x, "tokens", layout=Layout(np.arange(n + 1) * 12, grid=GRID))


# ---------------------------------------------------------------------------- weights of routes
def test_shares_are_the_softmax_of_recorded_logits_averaged_over_tokens_and_samples(rng):
    logits = 3 * rng.standard_normal((40, 4))
    found = route_weights(ArrayActivations(logits, "w", layout=Layout(np.arange(0, 41, 5))))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.values, p.mean(axis=0), atol=1e-12)
    assert found.names == CROSS
    assert "The order of routes is not recorded" in " ".join(found.caveats)
    assert found.start + found.values.sum() + found.residual == pytest.approx(found.end)


def test_the_null_of_shares_is_that_of_weights_exchanged_in_each_sample(rng):
    p = rng.dirichlet([4.0, 2.0, 1.0], 30)
    found = route_weights(ArrayActivations(p, "w"))
    drawn = np.array([rng.permuted(p, axis=1).mean(axis=0)[0] for _ in range(4000)])
    np.testing.assert_allclose(
        [found.null_low[0], found.null_high[0]], np.percentile(drawn, [2.5, 97.5]), atol=0.01
    )
    assert found.estimates[0].p_value < 1e-4  # 4 of 7 against a third
    even = route_weights(ArrayActivations(rng.dirichlet([2.0, 2.0, 2.0], 30), "w"))
    assert min(e.p_value for e in even.estimates[:3]) > 1e-3


def test_heads_lie_one_after_the_other(rng):
    p = np.concatenate([rng.dirichlet(np.ones(2), 20), rng.dirichlet(np.ones(2), 20)], axis=1)
    tap = ArrayActivations(p, "w")
    for head in (1, 2):
        own = route_weights(tap, RouteWeightsParams(heads=2, head=head)).values
        np.testing.assert_allclose(own, p[:, 2 * head - 2 : 2 * head].mean(axis=0))
    both = route_weights(tap, RouteWeightsParams(heads=2)).values
    np.testing.assert_allclose(both, p.reshape(20, 2, 2).mean(axis=(0, 1)))
    with pytest.raises(InputError, match="for 3 head"):
        route_weights(tap, RouteWeightsParams(heads=3))


def test_routes_are_called_as_asked_or_as_units_are(rng):
    assert named_routes(("0", "1", "2"), "row; col; snake back")[0] == ("row", "col", "snake, backwards")
    assert named_routes(("row", "column_back"), "")[0] == ("row", "column, backwards")
    assert named_routes(("0", "1", "2"), "")[0] == ("route 1", "route 2", "route 3")
    with pytest.raises(ParameterError, match="one for each weight"):
        named_routes(("0", "1"), "row")


@pytest.mark.parametrize("name", list(several(GRID)))
def test_a_route_and_its_inverse_compose_to_nothing(name):
    order = route(name, GRID)
    np.testing.assert_array_equal(order[inverse(order)], np.arange(12))
    np.testing.assert_array_equal(folded(folded(np.arange(144.0).reshape(12, 12), order), inverse(order)),
                                  np.arange(144.0).reshape(12, 12))  # fmt: skip


def test_the_folded_scan_shows_routes_beside_their_weights(rng):
    tap = tokens(rng)
    weights = ArrayActivations(rng.dirichlet(np.ones(4), 6), "w")
    found = scan_folded(
        tap, weights, params=ScanFoldedParams(sample=2, token=7, routes="row; column; snake; diagonal")
    )
    w = weights.values[2]
    assert found.names[0] == WEIGHED
    assert found.names[1:] == tuple(
        f"{n}: {v:.0%}" for n, v in zip(("row", "column", "snake", "diagonal"), w, strict=True)
    )
    x = found_rows(tap, 2)
    maps = [along(x, route(n, GRID), 8.0)[7] for n in ("row", "column", "snake", "diagonal")]
    whole = sum(v * m for v, m in zip(w, maps, strict=True))
    np.testing.assert_allclose(found.values[0], whole / np.abs(whole).sum(), atol=1e-9)


def found_rows(tap, sample):
    """As the method reads them: centred over all rows, of unit size."""
    rows = row_tokens(tap, 100, np.random.default_rng(0))
    return rows.x[int(np.flatnonzero(rows.samples == sample)[0])]


def test_weights_are_of_the_same_sample_by_its_id(rng):
    tap = tokens(rng)
    p = rng.dirichlet(np.ones(4), 6)
    turned = ArrayActivations(p[::-1], "w", {"id": np.array([str(i) for i in range(6)])[::-1]})
    plain = ArrayActivations(p, "w")
    asked = ScanFoldedParams(sample=1)
    assert scan_folded(tap, turned, params=asked).names == scan_folded(tap, plain, params=asked).names
    other = ArrayActivations(p, "w", {"id": np.array([f"x{i}" for i in range(6)])})
    with pytest.raises(NotFound, match="same samples"):
        scan_folded(tap, other, params=asked)
    with pytest.raises(InputError, match="Name them in the settings"):
        scan_folded(tap, ArrayActivations(rng.dirichlet(np.ones(3), 6), "w"), params=asked)


# ---------------------------------------------------------------------------- scan matrices by group
def labelled(x, label, n_tokens=6):
    layout = Layout(np.arange(len(label) + 1) * n_tokens)
    return ArrayActivations(x, "rows", {"label": label}, layout)


def test_group_matrices_are_means_of_row_shares_by_hand(rng):
    label = np.arange(12) % 4
    tap = labelled(rng.standard_normal((72, 5)), label)
    rows = row_tokens(tap, 100, np.random.default_rng(0)).x
    shares = []
    for x in rows:
        m = np.abs(decaying_scan(x, x))
        shares.append(m / m.sum(axis=1, keepdims=True))
    shares = np.array(shares)
    asked = {"novel": "3, 0", "exchanges": 39}
    second = np.isin(label, [0, 3])
    for measure, wanted in ((NOVEL, shares[second].mean(axis=0)), (BASE, shares[~second].mean(axis=0))):
        found = scan_group_matrices(tap, ScanGroupMatricesParams(measure=measure, **asked))
        np.testing.assert_allclose(found.values, wanted, atol=1e-12)
    found = scan_group_matrices(tap, ScanGroupMatricesParams(**asked))
    gap = shares[second].mean(axis=0) - shares[~second].mean(axis=0)
    np.testing.assert_allclose(found.values, gap, atol=1e-12)
    assert found.estimates[0].value == pytest.approx(0.5 * np.abs(gap).sum(axis=1).mean())
    lag = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    far = (shares * lag).sum(axis=(1, 2)) / 6
    assert found.estimates[1].value == pytest.approx(far[second].mean() - far[~second].mean())
    welch = ttest_ind(far[second], far[~second], equal_var=False).confidence_interval()
    assert (found.estimates[1].low, found.estimates[1].high) == pytest.approx((welch.low, welch.high))


def test_neighbours_of_long_scans_are_added_up_and_keep_their_sums():
    p = shares_of(np.tri(130))
    starts = np.arange(0, 130, 3)
    found = together(p, starts)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[2, 1] == pytest.approx(p[6:9, 3:6].sum() / 3)
    assert found[-1, -1] == pytest.approx(p[129:, 129:].sum())


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_matrices_of_a_network_are_those_that_it_runs(kind, monkeypatch, rng):
    from test_token_mixers import opened

    from analysis.tokens.mixers import scan_matrices as reading

    _, mixers = opened(kind)
    monkeypatch.setattr(reading, "network_mixers", lambda *_: mixers)
    monkeypatch.setattr(reading, "FEWEST", 1)
    found = reading.scan_matrices(tokens(rng), 9, 1, "the network", rng, lambda *_: None)
    assert found.layer == mixers.layers[0]
    own = mixers.read(0)
    channels = own.some(0, 16)
    m = np.abs(own.give(0, channels)).mean(axis=0)
    t = found.tokens
    np.testing.assert_allclose(found.shares[0], shares_of(m[:t, :t]), atol=1e-12)


def test_groups_that_scan_alike_are_not_told_apart(rng):
    p = []
    for _ in range(20):
        tap = labelled(rng.standard_normal((24 * 4, 4)), np.arange(24) % 2, 4)
        p.append(scan_group_matrices(tap, ScanGroupMatricesParams(exchanges=39)).estimates[0].p_value)
    assert 0.25 < np.mean(p) < 0.75  # uniform: 0.5 with a standard error of 0.065


# ---------------------------------------------------------------------------- one patch, and a scan by rows
def test_numbers_around_a_patch_are_sums_by_hand(rng):
    maps = rng.random((2, 4, 6))
    maps /= maps.sum(axis=(1, 2), keepdims=True)
    i, j = np.abs(np.arange(4) - 1), np.abs(np.arange(6) - 4)
    found = field_of(maps, (0.3, 0.7))  # row 1, column 4
    for k, m in enumerate(maps):
        down, across = (m * i[:, None]).sum(), (m * j).sum()
        wanted = [(m * np.hypot(i[:, None], j)).sum(), down, across, across / down * i.mean() / j.mean()]
        np.testing.assert_allclose(found[k, :4], wanted, rtol=1e-9)
        assert found[k, 5] == pytest.approx(m[1].sum())
        assert found[k, 6] == pytest.approx(m[1, 5] + m[2:].sum())


def test_the_scan_beside_a_patch_is_the_row_of_the_scan_matrix(rng):
    x = rng.standard_normal((20, 6))
    unit = x - x.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    whole = decaying_scan(unit, unit, 3.0)[13] ** 2  # row 2, column 3 of 4 x 5
    np.testing.assert_allclose(raster(x, (4, 5), (0.6, 0.7), 3.0).ravel(), whole / whole.sum(), atol=1e-12)


def test_a_scan_reads_nothing_of_cells_without_a_token(rng):
    """As if the other cells were all: what is there is centred by itself."""
    x, there = rng.standard_normal((12, 5)) + 3, np.ones(12, bool)
    there[[1, 4]] = False
    made = raster(np.where(there[:, None], x, 0.0), (3, 4), (0.9, 0.9), 4.0, there).ravel()
    assert (made[~there] == 0).all()
    own = x[there] - x[there].mean(axis=0)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    weight = np.square(own @ own[-1] * 0.5 ** ((11 - np.flatnonzero(there)) / 4))
    np.testing.assert_allclose(made[there], weight / weight.sum())
    np.testing.assert_allclose(
        raster(x, (3, 4), (0.9, 0.9), 4.0, np.ones(12, bool)), raster(x, (3, 4), (0.9, 0.9), 4.0)
    )


def test_a_share_has_no_interval_beyond_all_of_it():
    """Two samples, of which one reads its own row alone."""
    row, flat = np.zeros((4, 4)), np.full((4, 4), 1 / 16)
    row[2] = 0.25
    maps = np.stack([row, flat])
    told = {e.name: e for e in influence_file._estimates(maps, maps, 3, InfluenceMapParams())}
    assert told["share in its own row"].high == 1.0
    assert told["cells that hold half"].high > 8


def test_a_scan_by_rows_streaks_and_an_even_field_does_not(rng):
    tap = ArrayActivations(rng.standard_normal((5 * 64, 6)), layout=Layout(np.arange(6) * 64, grid=(8, 8)))
    found = influence_map(tap, InfluenceMapParams(down=0.2, across=0.9, forgets=4.0))
    by = {e.name: e for e in found.estimates}
    scan = by["share in its own row, scan by rows"]
    assert scan.low > scan.null > 0.1  # an eighth
    assert by["share from behind it, scan by rows"].value == 0.0
    assert by["share from behind it"].low > 0  # softmax reads both ways
    assert found.names[1] == "scan by rows, mean"
    at = int(0.2 * 8) * 8 + int(0.9 * 8)
    assert (found.values[1, at + 1 :] == 0).all()
    assert found.values[1].argmax() == at


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.3), (0.5, 0.1)])
def test_the_plane_recurrence_by_steps_is_its_closed_form_and_its_sum_is_bounded(a, b):
    assert np.abs(stepped(a, b, 20) - closed(a, b, 20)).max() < 5e-16
    assert stepped(a, b, 80).sum() == pytest.approx(1 / (1 - a - b), rel=1e-6)
    assert stepped(0.6, 0.5, 40)[-1].max() > 1  # a + b > 1 grows


def test_a_network_tells_both_of_one_picture():
    """The sample network run again: the scan is over what its own layer gives."""
    from analysis.workspace import Workspace

    place = Path(__file__).parents[1] / "sample_data" / "workspace"
    tap = Workspace(place).activations("digits-resnet:resnet.encoder.stages.1")
    found = influence_map(tap, InfluenceMapParams(maximum_samples=3, directions=2, sample=4))
    assert found.names[2] == "sample 4, the place"
    assert "The network was run on 3" in " ".join(found.caveats)
    assert len(found.pictures) == 5


# ---------------------------------------------------------------------------- a new task's gradients, live
def stored(name):
    from analysis.workspace import Workspace

    return Workspace(Path(__file__).parents[1] / "sample_data" / "workspace").activations(name)


@pytest.mark.parametrize(
    ("name", "layer", "new"),
    [("tumours-mlp:hidden1", None, ""), ("digits-resnet:resnet.encoder.stages.0", None, "7, 8, 9")],
)
def test_gradients_of_a_loaded_network_are_slopes_of_its_loss(name, layer, new):
    """Finite differences of the loss that the network is measured by, along one random direction of each layer."""
    pytest.importorskip("torch")
    from analysis.sources.rerun import rerun
    from analysis.tokens.task_gradients import task_gradients_of

    tap, rng = stored(name), np.random.default_rng(0)
    found = task_gradients_of(
        tap, "label", new, 40, 4, "the network", np.random.default_rng(3), lambda *_: None
    )
    run = rerun(tap, 40, partial=True, rng=np.random.default_rng(3))
    loss = run.measure().loss.sum()
    assert sum(found.sizes.values()) == run.n
    for one in found.layers:
        whole = sum(one.gradients.values())
        own = run.original[f"{one.name}.weight"]
        step = rng.standard_normal(own.shape)
        step *= 1e-2 / np.linalg.norm(step) * np.linalg.norm(own)
        ends = [
            run.measure({f"{one.name}.weight": own + sign * step.astype(own.dtype)}).loss.sum()
            for sign in (1, -1)
        ]
        slope = float((whole * step.reshape(len(step), -1)).sum())
        assert (ends[0] - ends[1]) / 2 == pytest.approx(slope, rel=0.03, abs=1e-4 * loss)


def test_a_step_outside_the_old_inputs_leaves_the_layer_as_it_was():
    pytest.importorskip("torch")
    from analysis.tokens.task_gradients import task_gradients_of

    found = task_gradients_of(stored("tumours-mlp:hidden1"), "label", "", 120, 9, "", np.random.default_rng(0),
                              lambda *_: None)  # fmt: skip
    one = found.layers[1]
    moment = sum(m for (task, _), m in one.moments.items() if task == 0)
    new = sum(g for (task, _), g in one.gradients.items() if task == 1)
    values, axes = np.linalg.eigh(moment)
    kept = axes[:, values > 1e-9 * values.max()]
    outside = new - new @ kept @ kept.T
    assert np.abs(np.einsum("od,de,pe->op", outside, moment, outside)).max() < 1e-9 * np.abs(moment).max()
    inside, _, k = measured(one, *([key for key in one.moments if key[0] == t] for t in (0, 1)), 0.9999)
    assert inside <= 1 + 1e-12
    assert k <= one.d


def test_tasks_of_a_network_have_a_line_for_each_layer_and_alike_tasks_agree():
    pytest.importorskip("torch")
    found = task_gradients(
        stored("digits-resnet:resnet.encoder.stages.0"), TaskGradientsParams(maximum_samples=60)
    )
    assert found.columns["layer"][-1] == "classifier.1"
    assert "No network was run" not in " ".join(found.caveats)
    assert set(found.columns["verdict"]) <= {
        "free",
        "interference",
        "chance of backward transfer",
        "not told",
    }
    assert (found.columns["overlap"] >= 0).all()
    assert (found.columns["overlap, low"] <= found.columns["overlap"]).all()
    head = found.columns["cosine"][-1]
    assert head < found.columns["cosine, tasks exchanged"][-1]  # classes apart pull the head apart


def test_padding_of_texts_is_no_input_of_a_layer():
    torch = pytest.importorskip("torch")
    from types import SimpleNamespace

    from analysis.tokens.task_gradients import _rows, summed_loss

    layer, x = torch.nn.Linear(3, 2), torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    np.testing.assert_allclose(_rows(layer, x, mask), x[mask].double())
    logits, ids = torch.randn(2, 4, 5), torch.tensor([[1, 2, 0, 0], [3, 4, 1, 2]])
    loaded = SimpleNamespace(causal=True, token_mask=lambda _i: mask, module=layer, classifies=True)
    logs = torch.log_softmax(logits, dim=-1)
    by_hand = -logs[0, 0, 2] - sum(logs[1, t, ids[1, t + 1]] for t in range(3)) / 3
    assert float(summed_loss(loaded, logits, {"input_ids": ids}, None)) == pytest.approx(
        float(by_hand), rel=1e-5
    )


def test_patches_of_a_convolution_are_its_inputs():
    torch = pytest.importorskip("torch")
    from analysis.tokens.task_gradients import _rows

    layer = torch.nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False).double()
    x = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    rows = _rows(layer, x, None)
    made = rows @ layer.weight.detach().reshape(3, -1).T
    np.testing.assert_allclose(made.reshape(2, 4, 4, 3).permute(0, 3, 1, 2), layer(x).detach(), atol=1e-12)


# ---------------------------------------------------------------------------- learners: where, and on what
def gated(k, learners=4, **more):
    return ArrayActivations((np.arange(learners) < np.asarray(k)[:, None]).astype(float), "gates", **more)


def test_learners_over_a_picture_are_the_open_gates_of_each_cell_and_neighbours_are_counted_by_hand(rng):
    k = rng.integers(0, 5, 5 * 13)
    tap = gated(k, layout=Layout(np.arange(6) * 13, grid=(3, 4), leading=1))
    found = learners_map(tap, LearnersMapParams(sample=1, shown=3))
    np.testing.assert_array_equal(found.values, k.reshape(5, 13)[1:4])
    assert (found.grid, found.leading, found.ends) == ((3, 4), 1, (0.0, 4.0))
    cells = k.reshape(5, 13)[:, 1:].reshape(5, 3, 4)
    each = [
        np.abs(np.concatenate([np.diff(c, axis=0).ravel(), np.diff(c, axis=1).ravel()])).mean() for c in cells
    ]
    assert found.estimates[1].value == pytest.approx(np.mean(each))
    pairs = [np.mean([abs(a - b) for i, a in enumerate(c.ravel()) for b in c.ravel()[:i]]) for c in cells]
    assert found.estimates[1].null == pytest.approx(np.mean(pairs))
    with pytest.raises(NotFound, match="sample 7"):
        learners_map(tap, LearnersMapParams(sample=7))


def test_learners_lie_over_the_pictures_of_a_store():
    found = learners_map(stored("digits-vit-patches:vit.layers.2"), LearnersMapParams(shown=2, budget=0.25))
    assert found.grid == (4, 4)
    assert found.pictures.shape[0] == 2
    assert found.estimates[0].value == pytest.approx(12.0)  # a quarter of 48


def test_learners_of_a_text_lie_over_its_words():
    found = learners_map(stored("python-gpt:transformer.h.1"), LearnersMapParams(shown=1))
    assert len(found.words[0]) == found.values.shape[1]


def test_difficulty_of_tokens_is_matched_by_sample_and_place(rng):
    """Losses lack the last token of each sample, and samples lie in another order."""
    k = rng.integers(0, 5, (9, 6))
    ids = np.array([f"s{i}" for i in range(9)])
    tap = gated(k.ravel(), layout=Layout(np.arange(10) * 6), samples={"id": ids})
    order = rng.permutation(9)
    loss = ArrayActivations(
        k[order, :5].reshape(-1, 1) * 2.0, "loss", {"id": ids[order]}, Layout(np.arange(10) * 5)
    )
    found = learners_difficulty(tap, loss)
    assert found.estimates[0].value == pytest.approx(1.0)
    assert found.estimates[0].n == 45
    assert "9 token(s) without a difficulty are left out." in found.caveats
    wrong = ArrayActivations(
        loss.values, "loss", {"id": ids}, loss.layout
    )  # the order of samples is not taken
    assert learners_difficulty(tap, wrong).estimates[0].value < 0.9


def test_the_curve_is_mean_learners_over_tenths_of_difficulty(rng):
    k, x = rng.integers(0, 5, 200), rng.standard_normal(200)
    layout = Layout(np.arange(21) * 10)
    found = learners_difficulty(gated(k, layout=layout), ArrayActivations(x[:, None], "loss", layout=layout))
    parts = np.array_split(np.argsort(x), 10)
    np.testing.assert_allclose(found.series["learners in use"], [k[p].mean() for p in parts])
    np.testing.assert_allclose(found.x, [np.median(x[p]) for p in parts])
    assert found.estimates[0].value == pytest.approx(spearmanr(k, x).statistic)
    each = [spearmanr(k[i : i + 10], x[i : i + 10]).statistic for i in range(0, 200, 10)]
    assert found.estimates[1].value == pytest.approx(np.mean(each))


def test_difficulty_of_samples_is_exchanged_between_samples(rng):
    """Learners that know samples only, unrelated to their loss: tokens are no draws of their own."""
    p = []
    for _ in range(20):
        k, loss = np.repeat(rng.integers(0, 5, 12), 20), rng.standard_normal(12)
        tap = gated(k, layout=Layout(np.arange(13) * 20), samples={"loss": loss})
        p.append(learners_difficulty(tap).estimates[0].p_value)
    assert 0.25 < np.mean(p) < 0.75  # exchanged tokens would give about 0.1


def test_tokens_of_a_sample_are_no_draws_of_their_own(rng):
    """Learners and difficulty both differ between samples, unrelated: exchanged tokens would give p near 0.1, and less
    than 0.05 in three of four."""
    p, layout = [], Layout(np.arange(13) * 20)
    for _ in range(20):
        a, b = (np.repeat(rng.standard_normal(12), 20) for _ in range(2))
        k = np.clip(np.round(2 + a + 0.3 * rng.standard_normal(240)), 0, 4)
        loss = (b + 0.3 * rng.standard_normal(240))[:, None]
        found = learners_difficulty(gated(k, layout=layout), ArrayActivations(loss, "loss", layout=layout))
        p.append(found.estimates[0].p_value)
    assert 0.25 < np.mean(p) < 0.75


def test_what_places_alone_give_is_the_null(rng):
    """Both rise along every sample, and nothing else is there: rho is large, and no more than chance."""
    place, layout = np.tile(np.arange(20) / 5, 12), Layout(np.arange(13) * 20)
    k = np.clip(np.round(place + 0.3 * rng.standard_normal(240)), 0, 4)
    loss = (place + 0.3 * rng.standard_normal(240))[:, None]
    rho = learners_difficulty(gated(k, layout=layout), ArrayActivations(loss, "loss", layout=layout))
    assert rho.estimates[0].value > 0.8
    assert rho.estimates[0].null > 0.8
    assert rho.estimates[0].p_value > 0.05
    inner = rho.estimates[1]  # tokens of a sample in any order would have 0
    assert inner.null_low < inner.value < inner.null_high
    assert inner.null > 0.8
    assert inner.p_value > 0.05
    assert "no more on difficult tokens than chance" in rho.reading


def test_a_module_that_knows_the_tokens_of_a_sample_beats_what_places_give(rng):
    place, layout = np.tile(np.arange(20) / 5, 12), Layout(np.arange(13) * 20)
    hard = place + rng.standard_normal(240)
    k = np.clip(np.round(hard), 0, 4)
    found = learners_difficulty(
        gated(k, layout=layout), ArrayActivations(hard[:, None], "loss", layout=layout)
    )
    inner = found.estimates[1]
    assert 0.3 < inner.null < inner.null_high < inner.value
    assert inner.p_value == pytest.approx(0.01)
    assert f"places alone give {inner.null:+.2f}" in found.reading


def test_inside_nothing_but_chance_the_p_value_is_even(rng):
    """Difficulty that depends on the place, learners too, of 60 runs: below 0.1 in about one of ten."""
    layout, p = Layout(np.arange(13) * 20), []
    for _ in range(60):
        place = np.tile(np.arange(20) / 5, 12)
        k = np.clip(np.round(place + rng.standard_normal(240)), 0, 4)
        loss = (place + rng.standard_normal(240))[:, None]
        found = learners_difficulty(gated(k, layout=layout), ArrayActivations(loss, "loss", layout=layout))
        p.append(found.estimates[1].p_value)
    assert 1 <= (np.array(p) <= 0.1).sum() <= 15
    assert 0.35 < np.mean(p) < 0.65


def test_correlations_inside_samples_are_those_of_scipy(rng):
    of = rng.integers(0, 9, 200)
    of[:9] = np.arange(9)
    k, x = rng.integers(0, 4, 200).astype(float), np.round(rng.standard_normal(200), 1)
    k[of == 3] = 2  # does not vary
    of[of == 4] = np.where(np.cumsum(of == 4)[of == 4] > 2, 5, 4)  # two tokens
    want = [spearmanr(k[of == s], x[of == s]).statistic for s in range(9) if s not in (3, 4)]
    np.testing.assert_allclose(inside(k, x, of), want, atol=1e-12)


def test_exchanged_difficulty_is_that_of_another_sample_place_by_place(rng):
    of = np.array([1, 0, 0, 1, 2, 2, 2, 2])
    x = np.arange(8.0)
    for _ in range(30):
        y = exchanged(x, of, rng)
        for s in (0, 1):
            mine = tuple(y[of == s])
            assert mine in {(1.0, 2.0), (0.0, 3.0), (4.0, 6.0)}
        assert tuple(y[of == 2]) in {(1.0, 1.0, 2.0, 2.0), (0.0, 0.0, 3.0, 3.0), (4.0, 5.0, 6.0, 7.0)}


def test_tokens_that_are_as_difficult_stay_in_one_part(rng):
    x = np.r_[np.zeros(90), np.ones(10)]
    parts = tenths(x)
    assert [len(p) for p in parts] == [90, 10]
    assert [len(p) for p in tenths(rng.standard_normal(50))] == [5] * 10


def test_without_any_difficulty_the_stand_in_is_said(rng):
    found = learners_difficulty(ArrayActivations(rng.random((40, 4)), "gates"))
    assert found.caveats[0].startswith("No difficulty is known")
    assert "undecided tokens" in found.reading
    assert "difficult" not in found.reading
    scores = rng.standard_normal((40, 4))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(undecided(scores, HOW_MANY), -(p * np.log(p)).sum(axis=1) / np.log(4))


def test_a_budget_that_ends_among_equal_gates_says_which_are_open(rng):
    """Half of the gates are shut for good: three quarters of all open some of these, the first."""
    gates = np.repeat([[1.0, 0.0]], 40, axis=0)
    tap = ArrayActivations(gates, "gates", layout=Layout(np.arange(11) * 4))
    said = learners_map(tap, LearnersMapParams(budget=0.75)).caveats
    assert "The budget ends among 40 equal gates: the first 20 are open." in said
    for caveats in (learners_map(tap, LearnersMapParams(budget=0.5)).caveats, learners_map(tap).caveats):
        assert not any("equal gates" in c for c in caveats)


def test_where_all_tokens_use_as_many_no_place_is_told_apart(rng):
    found = learners_map(gated(np.full(40, 2), layout=Layout(np.arange(11) * 4)))
    assert [e.n for e in found.estimates] == [10, 10]  # samples, not tokens
    assert found.reading.endswith("so that places are not told apart.")
