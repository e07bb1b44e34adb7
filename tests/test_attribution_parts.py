"""The parts of attributions on small networks of known answer: targets, sites, backgrounds, players, games, slopes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.attribution import backgrounds, players, targets
from analysis.attribution.path_gradients import path_values
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.compute.games.exact import exact_values
from analysis.compute.statistics.draw_ends import tail
from analysis.errors import InputError, NotEnoughData, NotFound, ShapeError
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.sources.loaded_model import LoadedModel
from analysis.store.from_arrays import write_store

D, CLASSES = 6, 3


def loaded(module) -> LoadedModel:
    return LoadedModel(
        module.double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return loaded(torch.nn.Sequential(torch.nn.Linear(D, 5), torch.nn.Linear(5, CLASSES)))


@pytest.fixture
def smooth():
    torch.manual_seed(1)
    return loaded(torch.nn.Sequential(torch.nn.Linear(D, 16), torch.nn.GELU(), torch.nn.Linear(16, CLASSES)))


class Pooled(torch.nn.Module):
    """A convolution, a map of 4 x 4 tokens in place, and the mean of it read by a head."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.act = torch.nn.ReLU(inplace=True)
        self.head = torch.nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(self.act(self.map(x)).mean(dim=(2, 3)))


@pytest.fixture
def image():
    torch.manual_seed(2)
    return loaded(Pooled())


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def no_hooks(module) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules())


def test_a_linear_network_is_explained_exactly_by_values_and_by_slopes(linear):
    x, others = data(D), [torch.as_tensor(o)[None] for o in data(7, D, seed=1)]
    run = SampleRun(linear, x)
    target = targets.logit_target(run.logits, answer=1)
    weight = (linear.module[1].weight @ linear.module[0].weight)[1].detach().numpy()
    known = weight * (x - data(7, D, seed=1).mean(axis=0))
    who = players.each_unit(D)
    for kind in (backgrounds.MEAN, backgrounds.SAMPLES):
        behind = backgrounds.background(kind, run.clean, others)
        found = exact_values(split_game(run, who, behind, target))
        np.testing.assert_allclose(found.values[:, 0], known, atol=1e-10)
        np.testing.assert_allclose(path_values(run, who, behind, target, steps=1).values, known, atol=1e-10)


def test_values_add_up_to_the_answer_less_that_of_the_background(smooth):
    run = SampleRun(smooth, data(D))
    behind = backgrounds.background(
        "samples", run.clean, [torch.as_tensor(o)[None] for o in data(5, D, seed=3)]
    )
    target, who = targets.logit_target(run.logits, targets.DIFFERENCE), players.each_unit(D)
    exact = exact_values(split_game(run, who, behind, target))
    raw = smooth.module(torch.as_tensor(np.vstack([data(1, D)[0], data(5, D, seed=3)]))).detach().numpy()
    z = raw[:, target.answer] - raw[:, target.against]
    assert exact.values.sum() == pytest.approx(z[0] - z[1:].mean(), abs=1e-12)
    slopes = path_values(run, who, behind, target, steps=48)
    assert abs(slopes.residual) < 1e-6
    assert abs(path_values(run, who, behind, target, steps=1).residual) > 1e-3  # one slope is not enough
    assert slopes.values == pytest.approx(slopes.each.mean(axis=0))
    assert (slopes.full, slopes.empty) == pytest.approx((z[0], z[1:].mean()))


def test_a_site_inside_has_the_tokens_of_its_map_and_putting_them_back_changes_nothing(image):
    x = data(2, 4, 4)
    run = SampleRun(image, x, "map")
    assert run.shape == (16, 4)
    assert run.grid == (4, 4)
    clean = image.module.map(torch.as_tensor(x)[None]).detach()
    np.testing.assert_array_equal(run.clean, clean[0].flatten(1).T)  # not what the ReLU in place left
    target = targets.logit_target(run.logits)
    same = run.values(run.clean[None].repeat(3, 1, 1), target)
    np.testing.assert_array_equal(same, [run.logits[0, target.answer].item()] * 3)
    assert no_hooks(image.module)
    who = players.patches(run.grid, 2)
    assert len(who.names) == 4
    behind = backgrounds.background("zero", run.clean)
    found = exact_values(split_game(run, who, behind, target)).values[:, 0]
    each = (
        torch.relu(clean[0]).unfold(1, 2, 2).unfold(2, 2, 2).sum(dim=(3, 4)) / 16
    )  # ReLU and mean know no neighbour
    known = (
        torch.einsum("c,crs->rs", image.module.head.weight[target.answer], each).flatten().detach().numpy()
    )
    np.testing.assert_allclose(found, known, atol=1e-10)


def test_a_planted_square_is_found_by_values_and_by_slopes():
    """The answer is the brightness of one square of an image."""

    class Square(torch.nn.Module):
        def forward(self, x):
            z = torch.tanh(x[:, :, 2:4, 4:6].sum(dim=(1, 2, 3)))
            return torch.stack([z, -z], dim=1)

    run = SampleRun(loaded(Square()), np.abs(data(1, 6, 6)))
    who, behind = players.patches(run.grid, 2), backgrounds.background("zero", run.clean)
    target = targets.logit_target(run.logits, answer=0)
    for values in (
        exact_values(split_game(run, who, behind, target)).values[:, 0],
        path_values(run, who, behind, target).values,
    ):
        planted = who.names.index("row 2, column 3")
        assert values[planted] == pytest.approx(run.logits[0, 0].item(), abs=1e-9)
        np.testing.assert_allclose(np.delete(values, planted), 0, atol=1e-12)


def test_features_of_a_set_and_what_it_leaves_over_add_up(smooth):
    directions = data(9, 16, seed=4)
    run = SampleRun(smooth, data(D), "1")
    who = players.Features(lambda x: np.maximum(x @ directions.T, 0), directions, [3, 5])
    base = torch.as_tensor(data(1, 16, seed=5))
    parts = who.parts(run.clean, base)
    assert who.names == ("feature 3", "feature 5", "the other 7 features", players.REST)
    np.testing.assert_allclose(parts.sum(dim=0), run.clean - base, atol=1e-12)
    code = np.maximum(run.clean.numpy() @ directions.T, 0) - np.maximum(base.numpy() @ directions.T, 0)
    np.testing.assert_allclose(parts[1], code[:, 5:6] * directions[5], atol=1e-12)
    every = torch.ones((1, 4), dtype=torch.bool)
    np.testing.assert_allclose(who.mixed(every, run.clean, base)[0], run.clean, atol=1e-12)
    target = targets.logit_target(run.logits, answer=2)
    found = exact_values(split_game(run, who, backgrounds.Background(base[None], ""), target))
    head = smooth.module[2].weight[2].detach()
    np.testing.assert_allclose(found.values[:, 0], (parts[:, 0] @ head).numpy(), atol=1e-10)
    slopes = path_values(run, who, backgrounds.Background(base[None], ""), target, steps=2)
    np.testing.assert_allclose(slopes.values, found.values[:, 0], atol=1e-10)


def test_nearness_of_what_a_module_gives_is_explained_too(linear):
    x, other = data(D), data(D, seed=6)
    reference = SampleRun(linear, other).caught("0")[0]
    run = SampleRun(linear, x)
    own = run.caught("0")[0]
    known = {
        targets.COSINE: float(own @ reference / own.norm() / reference.norm()),
        targets.DOT: float(own @ reference), targets.DISTANCE: float((own - reference).norm()),
    }  # fmt: skip
    for kind in targets.CLOSENESS:
        target = targets.EmbeddingTarget("0", reference, kind)
        assert run.values(run.clean[None], target).item() == pytest.approx(known[kind], abs=1e-12)
    behind = backgrounds.background("zero", run.clean)
    target = targets.EmbeddingTarget("0", reference, targets.DOT)
    found = path_values(run, players.each_unit(D), behind, target, steps=1)
    known = x * (linear.module[0].weight.T @ reference).detach().numpy()
    np.testing.assert_allclose(found.values, known, atol=1e-10)


def test_no_hook_is_left_whatever_happens(image):
    run = SampleRun(image, data(2, 4, 4), "map")
    with pytest.raises(NotFound):
        SampleRun(image, data(2, 4, 4), "nowhere")
    with pytest.raises(ShapeError):
        run.values(run.clean[None, :3], targets.logit_target(run.logits))
    with pytest.raises(InputError):
        run.values(run.clean[None], targets.EmbeddingTarget("map", np.zeros(9)))
    assert no_hooks(image.module)


@pytest.mark.parametrize(
    ("asked", "said"), [({"answer": 3}, "class 3"), ({"against": -1}, "class -1"), ({"position": 4}, "token 4")]
)  # fmt: skip
def test_a_class_that_is_not_there_is_refused(linear, asked, said):
    logits = SampleRun(linear, data(D)).logits
    if "position" in asked:
        logits = logits[:, None]
    with pytest.raises(NotFound, match=said):
        targets.logit_target(logits, **asked)


def test_a_difference_needs_two_classes(linear):
    logits = SampleRun(linear, data(D)).logits
    with pytest.raises(InputError, match="to itself"):
        targets.logit_target(logits, targets.DIFFERENCE, answer=1, against=1)


def test_kinds_of_numbers_agree(linear):
    run = SampleRun(linear, data(D))
    z = run.logits[0].detach().numpy()
    for kind, known in (
        (targets.LOGIT, z[2]), (targets.DIFFERENCE, z[2] - z[0]),
        (targets.LOG_PROBABILITY, z[2] - np.log(np.exp(z).sum())), (targets.LOSS, np.log(np.exp(z).sum()) - z[2]),
    ):  # fmt: skip
        target = targets.logit_target(run.logits, kind, answer=2, against=0)
        assert run.values(run.clean[None], target).item() == pytest.approx(known, abs=1e-12)


def test_players_cover_the_input_once():
    found = players.grouped([[0, 2], [1]], ["a", "b"], 3)
    np.testing.assert_array_equal(found.owner[:, 0], [0, 1, 0])
    for groups, said in (
        ([[0], [1]], "1 of 3 tokens are of no player"),
        ([[0, 1], [1, 2]], "another player"),
    ):
        with pytest.raises(InputError, match=said):
            players.grouped(groups, ["a", "b"], 3)
    uneven = players.patches((3, 5), 2, leading=1)
    assert len(uneven.names) == 7 == uneven.owner.max() + 1
    assert uneven.names[0] == "leading token 1"
    np.testing.assert_array_equal(
        uneven.owner[1:, 0].reshape(3, 5), [[1, 1, 2, 2, 3]] * 2 + [[4, 4, 5, 5, 6]]
    )


def test_backgrounds_of_samples_of_other_lengths(linear):
    clean = torch.as_tensor(data(5, D))
    short, long = (torch.as_tensor(data(n, D, seed=n)) for n in (2, 7))
    rows = backgrounds.background("samples", clean, [short, long]).rows
    np.testing.assert_array_equal(rows[0], short[[0, 1, 0, 1, 0]])
    np.testing.assert_array_equal(rows[1], long[:5])
    mean = backgrounds.background("mean", clean, [short, long]).rows
    np.testing.assert_allclose(mean[0, 3], torch.cat([short, long]).mean(dim=0), atol=1e-15)
    with pytest.raises(NotEnoughData):
        backgrounds.background("mean", clean)
    with pytest.raises(ShapeError):
        backgrounds.background("mean", clean, [clean[:, :2]])


def test_words_as_numbers_need_a_module_as_site():
    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = torch.nn.Embedding(10, 4), torch.nn.Linear(4, 10)

        def forward(self, input_ids):
            return self.head(self.embedding(input_ids).cumsum(dim=1))

    torch.manual_seed(3)
    model = loaded(Words())
    model.preparer = lambda items: {"input_ids": torch.as_tensor(np.array(items))}
    with pytest.raises(InputError, match="embedding"):
        SampleRun(model, [1, 5, 2])
    run = SampleRun(model, [1, 5, 2], "embedding")
    target = targets.logit_target(run.logits, answer=7)
    behind = backgrounds.background("zero", run.clean)
    found = exact_values(split_game(run, players.each_token(3, "abc"), behind, target)).values[:, 0]
    known = (model.module.embedding.weight[[1, 5, 2]] @ model.module.head.weight[7]).detach().numpy()
    np.testing.assert_allclose(found, known, atol=1e-12)


def test_chance_lies_beyond_the_null_of_a_ledger_as_often_as_it_says():
    """One more draw among many is outside the ends that are told with the probability that is told."""
    rng = np.random.default_rng(0)
    for draws in (3, 20, 39, 100):
        k = tail(draws)
        ranked = np.sort(rng.standard_normal((draws, 20_000)), axis=0)
        outside = np.mean((one := rng.standard_normal(20_000)) < ranked[k - 1]) + np.mean(
            one > ranked[draws - k]
        )
        assert outside == pytest.approx(2 * k / (draws + 1), abs=0.01)
    assert 2 * tail(39) / 40 == 0.05


def test_why_the_network_was_not_run_is_said_beside_a_ledger(tmp_path):
    """A store without a checkpoint: its labels are read by a probe instead, and the reason is a caveat."""
    rng, label = np.random.default_rng(0), np.arange(40) % 2
    store = write_store(
        tmp_path / "s", name="s", taps={"m": (rng.standard_normal((40, 3)) + 3 * label[:, None]).astype(np.float32)},
        labels=label.tolist(),
    )  # fmt: skip
    found = sample_attribution(store.activations("m"), SampleAttributionParams(null_samples=3))
    assert any("cannot be run here" in said for said in found.caveats)
    assert found.start + found.values.sum() + found.residual == pytest.approx(found.end)
