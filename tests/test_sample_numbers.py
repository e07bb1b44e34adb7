"""What is explained of encoders without classes, and who may be owed something: closed forms and a tiny network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution import backgrounds
from analysis.attribution.one_sample.site_players import GROUPS, PATCHES, hierarchy, site_players
from analysis.attribution.one_sample.tap_vector import (
    CosineTarget,
    DistanceTarget,
    FeatureTarget,
    MovementTarget,
    TapVector,
)
from analysis.attribution.players import each_token, each_unit
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.split_game import split_game
from analysis.compute.games.exact import exact_values
from analysis.compute.games.owen import leaves
from analysis.errors import InputError, NotFound
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.sources.loaded_model import LoadedModel

D = 5


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, D), torch.nn.Linear(D, 4)).double().eval()
    return LoadedModel(module, "array", lambda items: torch.stack([torch.as_tensor(i) for i in items]))


@pytest.fixture
def tap():
    """Four tokens a sample, of three classes."""
    label = np.arange(24) % 3
    x = data(24 * 4, D) + 2 * data(3, D, seed=9)[np.repeat(label, 4)]
    return ArrayActivations(x, samples={"label": label}, layout=Layout(np.arange(25, dtype=np.int64) * 4))


def explained(tap, **asked):
    return sample_attribution(tap, SampleAttributionParams(sample=4, null_samples=5, **asked))


def test_numbers_of_a_vector_are_those_of_numpy(encoder):
    x = data(6, 3)  # six tokens of an input of three units
    run = SampleRun(encoder, x)
    with torch.no_grad():
        given = encoder.module[0](torch.as_tensor(x)).numpy()
    v, other, origin = given[1:].mean(axis=0), data(D, seed=1), data(D, seed=2)
    base = np.linalg.qr(data(D, 2, seed=3))[0]
    vector = TapVector("0", skip=1)
    for target, known in (
        (CosineTarget(vector, other, origin), (v - origin) @ (other - origin)
         / np.linalg.norm(v - origin) / np.linalg.norm(other - origin)),
        (DistanceTarget(vector, other), np.linalg.norm(v - other)),
        (MovementTarget(vector, base[:, 0], origin), (v - origin) @ base[:, 0]),
        (MovementTarget(vector, base, origin), np.linalg.norm((v - origin) @ base)),
        (MovementTarget(TapVector("0", -1), base[:, 0], origin), (given[-1] - origin) @ base[:, 0]),
    ):  # fmt: skip
        assert run.values(run.clean[None], target).item() == pytest.approx(known, abs=1e-12)
    with pytest.raises(InputError, match="directions of 4 units"):
        run.values(run.clean[None], MovementTarget(vector, np.ones(4), origin))


def test_a_number_read_at_the_site_is_of_what_was_put_there(encoder):
    run = SampleRun(encoder, data(6, 3), "0")
    put = torch.as_tensor(data(2, 6, D, seed=4))
    target = MovementTarget(TapVector("0"), np.eye(D)[2], np.zeros(D))
    np.testing.assert_allclose(run.values(put, target), put.mean(dim=1)[:, 2], atol=1e-14)
    behind = backgrounds.background("zero", run.clean)
    found = exact_values(split_game(run, each_token(6), behind, target)).values[:, 0]
    np.testing.assert_allclose(found, run.clean[:, 2] / 6, atol=1e-12)


def test_the_slope_of_a_feature_is_that_of_its_rule(encoder):
    weight, bias = data(D, seed=5), 0.1
    target = FeatureTarget(TapVector("0"), lambda rows: np.maximum(rows @ weight + bias, 0), weight)
    x = torch.as_tensor(data(3, 6, 3, seed=6)).requires_grad_(True)
    run = SampleRun(encoder, data(6, 3))
    value = run.values(x, target, gradients=True)
    (found,) = torch.autograd.grad(value.sum(), x)
    again = x.detach().clone().requires_grad_(True)
    plain = torch.relu(encoder.module[0](again) @ torch.as_tensor(weight) + bias).mean(dim=1)
    (known,) = torch.autograd.grad(plain.sum(), again)
    np.testing.assert_allclose(value.detach(), plain.detach(), atol=1e-12)
    np.testing.assert_allclose(found, known, atol=1e-12)


def test_tokens_and_units_of_a_plain_tap_in_closed_form(tap):
    x, label = tap.values.reshape(24, 4, D), np.arange(24) % 3
    means = x.mean(axis=1)
    others = np.arange(24) != 4  # a class mean holds no part of the sample that is held against it
    middle = means[others].mean(axis=0)
    along = means[(label == 1) & others].mean(axis=0) - middle
    along /= np.linalg.norm(along)
    asked = {"number": "movement towards a class", "answer": 1, "background": "zero"}
    each = [
        explained(tap, players="tokens", way=way, **asked)
        for way in ("Shapley values", "slopes along the way")
    ]
    for found in each:
        np.testing.assert_allclose(found.values, x[4] @ along / 4, atol=1e-9)
        assert found.end == pytest.approx((means[4] - middle) @ along, abs=1e-12)
    assert "movement towards 1" in each[0].title
    columns = explained(tap, players="columns", **asked)
    np.testing.assert_allclose(columns.values, means[4] * along, atol=1e-9)
    similar = explained(tap, number="similarity to another sample", other=9, players="tokens")
    known = means[4] @ means[9] / np.linalg.norm(means[4]) / np.linalg.norm(means[9])
    assert similar.end == pytest.approx(known, abs=1e-12)
    assert similar.start + similar.values.sum() + similar.residual == pytest.approx(similar.end, abs=1e-12)


def test_movement_in_the_main_subspace_is_owed_to_its_directions_only(tap):
    asked = {"number": "movement in the main subspace", "directions": 2, "way": "Shapley values"}
    found = explained(tap, players="principal directions", **asked)
    assert [abs(v) > 1e-6 for v in found.values] == [True, True, False, False, False, False]
    assert found.residual == pytest.approx(0, abs=1e-9)


def test_one_unit_as_the_number_is_owed_to_itself(tap):
    found = explained(tap, number="one feature of the tap", answer=3)
    assert found.values[3] == pytest.approx(found.end - found.start, abs=1e-9)
    np.testing.assert_allclose(np.delete(found.values, 3), 0, atol=1e-12)
    with pytest.raises(NotFound, match="feature 5"):
        explained(tap, number="one feature of the tap", answer=5)
    with pytest.raises(NotFound, match="class 3"):
        explained(tap, number="distance to a class mean", answer=3)


def test_hierarchies_hold_every_player_once_and_neighbours_together():
    for grid, leading, size, count in (((4, 4), 1, 1, 17), ((5, 3), 0, 2, 6), ((1, 7), 0, 1, 7)):
        tokens = leading + grid[0] * grid[1]
        who = site_players(PATCHES, (tokens, 2), grid, leading, size)
        tree = hierarchy(who, grid, leading, np.zeros((0, 2)))
        assert sorted(leaves(tree)) == list(range(count)) == list(range(len(who.names)))
    quarter = hierarchy(site_players(PATCHES, (16, 1), (4, 4), 0, 1), (4, 4), 0, np.zeros((0, 1)))
    assert sorted(leaves(quarter[0])) == [0, 1, 4, 5]
    row = site_players(GROUPS, (9, 2), None, 0, 2, [f"w{i}" for i in range(9)])
    assert row.names == ("w0 … w1", "w2 … w3", "w4 … w5", "w6 … w7", "w8")
    a, b = data(40), data(40, seed=1)
    columns = np.column_stack([a, b, -a + 0.01 * data(40, seed=2), b + 0.01 * data(40, seed=3)])
    tree = hierarchy(each_unit(4), None, 0, columns)
    assert sorted(sorted(leaves(part)) for part in tree) == [[0, 2], [1, 3]]


def test_groups_are_owed_owen_values(tap):
    """By loops over the orders that tear no group, of a number that is not linear."""
    asked = {"number": "distance to a class mean", "answer": 0, "background": "zero"}
    found = explained(tap, players="groups", size=1, **asked)
    x = tap.values.reshape(24, 4, D)
    centre = x.mean(axis=1)[np.arange(24) % 3 == 0].mean(axis=0)

    def value(there):
        return np.linalg.norm((x[4] * np.asarray(there)[:, None]).sum(axis=0) / 4 - centre)

    known = np.zeros(4)
    orders = [[a, b, c, d] for one, two in (((0, 1), (2, 3)), ((2, 3), (0, 1)))
              for a, b in (one, one[::-1]) for c, d in (two, two[::-1])]  # fmt: skip
    for order in orders:
        there = np.zeros(4)
        for player in order:
            before = value(there)
            there[player] = 1
            known[player] += (value(there) - before) / len(orders)
    np.testing.assert_allclose(found.values, known, atol=1e-9)
    assert any("Owen" in said for said in found.caveats)
