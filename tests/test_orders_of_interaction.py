"""Orders of interaction in closed form, and paths of attention against drawing them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_interventions import hugging_face
from torch import nn

from analysis.attribution.backgrounds import Background
from analysis.attribution.sample_run import SampleRun
from analysis.compute.games.orders import players_on_paths, variance_by_order, walsh
from analysis.errors import NotEnoughData, ShapeError, TooLarge
from analysis.interventions.orders_by_depth import ANSWER, parts_of, paths_of, shares_by_layer
from analysis.sources.loaded_model import LoadedModel


def signs(m: int) -> np.ndarray:
    return 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1) - 1


def test_a_product_is_of_the_order_of_its_factors_and_a_sum_of_order_one():
    s = signs(4)
    v = np.column_stack([3 * s[:, 0] - s[:, 2] + 7, s[:, 0] * s[:, 1], 2 * s[:, 1] * s[:, 2] * s[:, 3]])
    by = np.array([variance_by_order(v[:, [k]]) for k in range(3)])
    np.testing.assert_allclose(by, [[10, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 0]], atol=1e-12)
    np.testing.assert_allclose(variance_by_order(v), by.sum(axis=0), atol=1e-12)


def test_pieces_are_inner_products_and_their_squares_are_the_variance():
    rng = np.random.default_rng(0)
    v, s = rng.standard_normal((32, 2)), signs(5)
    w = walsh(v)
    for t in (0, 5, 21, 31):
        inside = [i for i in range(5) if t >> i & 1]
        np.testing.assert_allclose(w[t], (v * s[:, inside].prod(axis=1)[:, None]).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(variance_by_order(v).sum(), v.var(axis=0).sum(), atol=1e-12)


def test_paths_of_attention():
    rng = np.random.default_rng(1)
    a = rng.dirichlet(np.ones(4), size=(3, 4))
    found = players_on_paths(a, 0.5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found[0], [1, 0, 0, 0])
    one = 0.5 + 0.5 * np.mean(np.diag(a[0]))  # who stays, or looks at itself
    np.testing.assert_allclose(found[1], [one, 1 - one, 0, 0], atol=1e-12)
    draws = 40_000
    at = rng.integers(4, size=draws)
    passed = np.eye(4, dtype=bool)[at]
    for layer in a[::-1]:
        moved = (rng.random(draws)[:, None] > layer[at].cumsum(axis=1)).sum(axis=1).clip(max=3)
        at = np.where(rng.random(draws) < 0.5, at, moved)
        passed[np.arange(draws), at] = True
    counts = np.bincount(passed.sum(axis=1), minlength=5)[1:]
    error = np.sqrt(found[3] * (1 - found[3]) / draws) + 1e-9
    assert (np.abs(counts / draws - found[3]) < 4.5 * error).all()
    np.testing.assert_allclose(players_on_paths(a, 1.0)[-1], [1, 0, 0, 0], atol=1e-15)
    with pytest.raises(ShapeError):
        players_on_paths(a[0], 0.5)
    with pytest.raises(TooLarge):
        players_on_paths(np.full((1, 13, 13), 1 / 13), 0.5)


# ---------------------------------------------------------------------------- in a network
class Grows(nn.Module):
    """A layer that adds tokens, one that multiplies two of them, an answer of three."""

    def __init__(self) -> None:
        super().__init__()
        self.add, self.pair, self.aside = nn.Linear(1, 2), nn.Identity(), nn.Identity()

    def forward(self, x):
        self.add(x)
        self.aside(torch.ones(len(x), 2))
        pair = self.pair(x[:, 0] * x[:, 1])
        return torch.cat([pair * x[:, 2], torch.zeros_like(pair)], dim=1)


def test_layers_have_the_orders_that_they_were_built_with():
    run = SampleRun(LoadedModel(Grows().double(), "array", lambda items: torch.as_tensor(np.stack(items))),
                    np.array([[2.0], [-1.0], [3.0], [5.0]]))  # fmt: skip
    behind = Background(-run.clean[None], "the sample with its sign turned")
    found, passes = shares_by_layer(
        run, parts_of(run, 4), behind, ("add", "pair", "aside"), np.random.default_rng(0)
    )
    assert passes == 16
    np.testing.assert_allclose(found["add"], [1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["pair"], [0, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found[ANSWER], [0, 0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found["aside"], 0)
    with pytest.raises(NotEnoughData):
        parts_of(SampleRun(run.loaded, np.ones((4, 1))).elsewhere("pair"), 4)


def test_only_attention_behind_the_tap_is_on_its_paths():
    loaded, inputs = hugging_face("gpt2")
    one = LoadedModel(loaded.module, "text", lambda items: {k: v[:1] for k, v in inputs.items()}, causal=True)
    run = SampleRun(one, None, "transformer.h.0")
    found = [paths_of(run.elsewhere(f"transformer.h.{i}"), parts_of(run, 4), 0.5) for i in range(3)]
    assert [len(f) for f in found] == [3, 2, 1]
    np.testing.assert_allclose(found[2][0], [1, 0, 0, 0], atol=1e-12)
