"""Ways of saliency on networks whose maps are known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.attribution import backgrounds, targets
from analysis.attribution.path_gradients import path_values, slopes_at
from analysis.attribution.path_to_tolerance import tolerant_path_values
from analysis.attribution.players import each_token
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.saliency.cross_layer import AVERAGE, PRODUCT, Placed, combined
from analysis.attribution.saliency.norm_grad import around
from analysis.attribution.saliency.occlusion import occlusion
from analysis.attribution.saliency.random_masks import smooth_masks
from analysis.attribution.saliency.way import Question, Settings
from analysis.attribution.saliency.ways import EXPLAINING, WAYS
from analysis.attribution.saliency.windows import most_windows, windows
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError, ParameterError
from analysis.sources.loaded_model import LoadedModel

SIDE, CHANNELS, CLASSES = 4, 2, 3


def loaded(module) -> LoadedModel:
    return LoadedModel(
        module.double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def asked(module, x, site="input", *, rows=2, seed=5, **settings) -> Question:
    run = SampleRun(loaded(module), x, site)
    others = [torch.as_tensor(o) for o in data(rows, *run.shape, seed=seed)]
    behind = backgrounds.background("samples", run.clean, others)
    target = targets.logit_target(run.logits, answer=1)
    return Question(run, target, behind, np.random.default_rng(1), Settings(**settings))


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIDE * SIDE, CLASSES))


@pytest.fixture
def body():
    """A network whose head reads the mean over places of its last map."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(CHANNELS, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
    )  # fmt: skip


def weights_of(linear) -> np.ndarray:
    """(tokens, units) of class 1."""
    return linear[1].weight[1].detach().numpy().reshape(CHANNELS, -1).T


# ---------------------------------------------------------------------------- a linear network
def test_a_linear_network_is_mapped_by_its_weights(linear):
    question = asked(linear, data(CHANNELS, SIDE, SIDE), window=1, budget=400)
    x, w = question.run.clean.numpy(), weights_of(linear)
    away = (w * (x - question.background.rows.mean(dim=0).numpy())).sum(axis=1)
    known = {
        "gradient": np.linalg.norm(w, axis=1), "guided backpropagation": np.linalg.norm(w, axis=1),
        "gradient x input": (w * x).sum(axis=1), "LRP": (w * x).sum(axis=1), "linear approximation": away,
        "LRP, gamma": (w * x).sum(axis=1), "LRP, z-plus": (w * x).sum(axis=1),
        "integrated gradients": away, "occlusion": away, "Shapley values": away, "DeepLIFT": away,
        "NormGrad": np.linalg.norm(w, axis=1) * np.linalg.norm(x, axis=1),
        "NormGrad, scaling": np.linalg.norm(w * x, axis=1),
    }  # fmt: skip
    for name, values in known.items():
        found = WAYS[name].make(question)
        np.testing.assert_allclose(found.values, values, atol=1e-10, err_msg=name)
        if WAYS[name].complete:
            assert abs(found.residual) < 1e-10, name
        assert found.passes <= WAYS[name].passes(16, 2, question.settings), name


def test_occlusion_of_windows_is_the_mean_of_what_each_takes_away(linear):
    question = asked(linear, data(CHANNELS, SIDE, SIDE), window=2, stride=1)
    w, x = weights_of(linear), question.run.clean.numpy()
    away = (w * (x - question.background.rows.mean(dim=0).numpy())).sum(axis=1).reshape(SIDE, SIDE)
    total, cover = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for i in range(SIDE - 1):
        for j in range(SIDE - 1):
            total[i : i + 2, j : j + 2] += away[i : i + 2, j : j + 2].sum()
            cover[i : i + 2, j : j + 2] += 1
    found = occlusion(question)
    np.testing.assert_allclose(found.values, (total / cover).ravel(), atol=1e-10)
    np.testing.assert_allclose(occlusion(question, rows=1).values, found.values, atol=1e-12)
    assert found.passes == 1 + 2 * 9


@pytest.mark.parametrize(
    ("grid", "leading", "window", "stride"), [((6, 7), 0, 3, 2), ((4, 4), 1, 2, 2), (None, 0, 4, 3)]
)
def test_windows_cover_every_token(grid, leading, window, stride):
    class Run:
        shape, site = (leading + (42 if grid == (6, 7) else 16), 1), ""

    Run.grid, Run.leading = grid, leading
    found = windows(Run, window, stride)
    assert found.any(axis=0).all()
    assert (found[leading:].sum(axis=1) == (window**2 if grid else window)).all()
    assert not (found[leading:, :leading]).any()
    assert len(found) <= most_windows(Run.shape[0], stride)
    with pytest.raises(ParameterError, match="so that none is left out"):
        windows(Run, window, window + 1)


def test_rise_of_a_linear_network_lies_within_its_standard_errors(linear):
    question = asked(linear, data(CHANNELS, SIDE, SIDE) + 3.0, window=1, masks=1500)
    away = weights_of(linear) * (question.run.clean - question.background.rows.mean(dim=0)).numpy()
    found = WAYS["RISE"].make(question)
    z = (found.values - away.sum(axis=1)) / found.errors
    assert np.abs(z).max() < 4.5
    assert 0.3 < (z**2).mean() < 2.2  # neither biased nor of errors that are too wide
    cells = replace(question, settings=Settings(window=3, masks=1500))
    found = WAYS["RISE"].make(cells)
    masks = smooth_masks(20_000, 16, (SIDE, SIDE), 0, 3, np.random.default_rng(7))
    spread = np.cov(masks.T)
    z = (found.values - spread @ away.sum(axis=1) / np.diag(spread)) / found.errors
    assert np.abs(z).max() < 4.5
    assert (np.abs(found.values - away.sum(axis=1)) > 5 * found.errors).any()  # smeared, as it says


# ---------------------------------------------------------------------------- slopes
def test_grad_cam_is_the_class_activation_map_where_a_mean_is_read(body):
    question = asked(body, data(CHANNELS, 6, 6), "3")
    x, head = question.run.clean.numpy(), body[6].weight[1].detach().numpy()
    np.testing.assert_allclose(
        WAYS["Grad-CAM"].make(question).values, np.maximum(x @ head, 0) / 36, atol=1e-14
    )


def test_slopes_times_what_stands_there_are_the_weight_gradient_of_a_virtual_identity(body):
    x = torch.as_tensor(data(CHANNELS, 6, 6))
    question = asked(body, x.numpy(), "1")
    g = slopes_at(question.run, question.run.clean[None], question.target)[0].numpy()
    there = question.run.clean.numpy()
    for side in (1, 3):
        identity = torch.zeros(5, 5, side, side, dtype=torch.double)
        identity[range(5), range(5), side // 2, side // 2] = 1
        identity.requires_grad_(True)
        z = torch.nn.functional.conv2d(body[1](body[0](x[None])), identity, padding=side // 2)
        body[6](body[5](body[4](body[3](body[2](z)))))[0, 1].backward()
        near = torch.nn.functional.unfold(
            torch.as_tensor(there.T.reshape(1, 5, 6, 6).copy()), side, padding=side // 2
        )
        near = near[0].T.numpy()
        each = np.einsum("uk,ul->ukl", g, near)
        known = identity.grad.reshape(5, -1).numpy()
        np.testing.assert_allclose(each.sum(axis=0), known, atol=1e-12)
        way = "NormGrad" if side == 1 else "NormGrad, 3 x 3"
        np.testing.assert_allclose(
            WAYS[way].make(question).values, np.linalg.norm(each, axis=(1, 2)), atol=1e-12
        )


def test_neighbours_of_tokens_in_a_row_are_those_before_and_behind():
    np.testing.assert_allclose(around(np.array([1.0, 2.0, 4.0, 8.0]), None), [3, 7, 14, 12])


def test_integrated_gradients_of_relus_add_up_where_one_rule_does_not(body):
    question = asked(body, data(CHANNELS, 3, 3), rows=1)
    who = each_token(9)
    one = path_values(question.run, who, question.background, question.target, steps=32)
    found = tolerant_path_values(question.run, who, question.background, question.target, steps=32)
    size = max(abs(found.full), abs(found.empty))
    assert abs(one.residual) > 1e-4 * size
    assert found.reached
    assert abs(found.residual) <= 1e-6 * size
    fine = path_values(question.run, who, question.background, question.target, steps=600)
    np.testing.assert_allclose(found.values, fine.values, atol=1e-3 * size)
    short = tolerant_path_values(question.run, who, question.background, question.target, steps=4, most=40)
    assert not short.reached
    assert short.slopes <= 40 + 4


def test_one_kink_is_cut_where_it_is():
    class Kink(nn.Module):
        def forward(self, x):
            return torch.relu(x.sum(dim=(1, 2)) - 0.123)[:, None].expand(-1, 2)

    run = SampleRun(loaded(Kink()), np.full((1, 1), 1.0))
    behind = backgrounds.background("zero", run.clean)
    target = targets.logit_target(run.logits, answer=0)
    found = tolerant_path_values(run, each_token(1), behind, target, steps=5, tolerance=1e-13)
    assert found.values[0] == pytest.approx(0.877, abs=1e-12)
    assert found.slopes < 60


def test_what_works_in_place_behind_the_site_does_not_reach_the_sample():
    question = asked(nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 2)), data(6), "0")
    before = question.run.clean.clone()
    for name in ("gradient", "occlusion", "integrated gradients"):
        WAYS[name].make(question)
        torch.testing.assert_close(question.run.clean, before, rtol=0, atol=0)
    first = SampleRun(loaded(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 2))), data(6))
    np.testing.assert_array_equal(first.clean[0], data(6))


def test_fused_attention_has_the_slopes_of_attention_written_out():
    class Attention(nn.Module):
        def __init__(self, fused) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.qkv, self.head, self.fused = nn.Linear(6, 18), nn.Linear(6, 2), fused

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            if self.fused:
                z = nn.functional.scaled_dot_product_attention(q, k, v)
            else:
                z = torch.softmax(q @ k.transpose(1, 2) / 6**0.5, dim=-1) @ v
            return self.head(z.mean(dim=1))

    x = data(5, 6)
    both = [asked(Attention(fused), x) for fused in (True, False)]
    for name in ("gradient", "gradient x input", "integrated gradients"):
        a, b = (WAYS[name].make(q).values for q in both)
        np.testing.assert_allclose(a, b, atol=1e-10, err_msg=name)


# ---------------------------------------------------------------------------- a shortcut
class Shortcut(nn.Module):
    """Class 1 where there is something red: first channel less the others, over a threshold; a weak second channel
    reads random textures."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.act, self.pool = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.flat, self.head = nn.Flatten(), nn.Linear(4, 2)
        torch.manual_seed(8)
        with torch.no_grad():
            self.see.weight.mul_(0.1)
            self.see.weight[0] = torch.tensor([1.0, -0.6, -0.6])[:, None, None] / 9
            self.see.bias.zero_()
            self.see.bias[0] = -0.3
            self.head.weight[:] = torch.tensor([[-8.0, 0.05, -0.05, 0.05], [8.0, -0.05, 0.05, 0.05]])

    def forward(self, x):
        return self.head(self.flat(self.pool(self.act(self.see(x)))))


@pytest.mark.parametrize("name", EXPLAINING)
def test_a_coloured_square_that_decides_is_found(name):
    rng = np.random.default_rng(2)
    image = 0.25 + 0.1 * rng.standard_normal((3, 10, 10)).repeat(1, axis=0)
    image[:, 6:9, 2:5] = np.array([2.0, 0.2, 0.2])[:, None, None]
    run = SampleRun(loaded(Shortcut()), image)
    behind = backgrounds.Background(torch.full_like(run.clean, 0.25)[None], "grey")
    settings = Settings(window=3, masks=800, budget=800)
    question = Question(
        run, targets.logit_target(run.logits, answer=1), behind, np.random.default_rng(0), settings
    )
    values = WAYS[name].make(question).values
    square = np.zeros((10, 10), bool)
    square[6:9, 2:5] = True
    near = np.zeros((10, 10), bool)
    near[5:10, 1:6] = True  # slopes reach as far as the filters do
    assert near.ravel()[values.argmax()], name
    assert values[square.ravel()].mean() > 4 * np.abs(values[~near.ravel()]).mean(), name


# ---------------------------------------------------------------------------- layers together, units
def test_layers_are_multiplied_or_averaged_on_the_finest_grid():
    fine = Placed(np.r_[9.0, np.arange(16.0)], (4, 4), 1)
    even = Placed(np.ones(4), (2, 2))
    known = np.arange(16.0) / 120
    np.testing.assert_allclose(combined([fine, even], PRODUCT), known, atol=1e-15)
    np.testing.assert_allclose(combined([fine, even], AVERAGE), (known + 1 / 16) / 2, atol=1e-15)
    np.testing.assert_allclose(combined([fine, Placed(-7 * np.ones(4), (2, 2))]), known, atol=1e-15)
    many = [Placed(np.array([1.0, 1.001]))] * 2000  # whose product is below the smallest number
    np.testing.assert_allclose(combined(many)[1], 1.001**2000 / (1 + 1.001**2000), rtol=1e-9)
    with pytest.raises(InputError, match="no place in common"):
        combined([Placed(np.array([1.0, 0.0])), Placed(np.array([0.0, 1.0]))])
    with pytest.raises(InputError, match="maps of"):
        combined([Placed(np.ones(3)), Placed(np.ones(4))])
    with pytest.raises(InputError, match="0 or not finite"):
        combined([Placed(np.zeros(3))])


def test_a_site_of_one_token_is_seen_unit_by_unit(body):
    run = SampleRun(loaded(body), data(CHANNELS, 6, 6), "5")
    assert run.shape == (1, 4)
    units = ByUnit(run)
    assert units.shape == (4, 1)
    behind = backgrounds.background("zero", units.clean)
    target = targets.logit_target(run.logits, answer=1)
    question = Question(units, target, behind, settings=Settings(window=1))
    known = body[6].weight[1].detach().numpy() * run.clean[0].numpy()
    for name in ("integrated gradients", "occlusion", "DeepLIFT", "LRP", "Shapley values"):
        np.testing.assert_allclose(WAYS[name].make(question).values, known, atol=1e-12, err_msg=name)
