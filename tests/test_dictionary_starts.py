"""Where directions start, and how the seldom used and the thresholds find their place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.errors import Cancelled, NotEnoughData
from analysis.features.adam import Adam
from analysis.features.architectures.batch_topk import BatchTopK
from analysis.features.architectures.choices import MutualChoice, MutualChoiceParams, expected_shares
from analysis.features.architectures.jump_relu import JumpRelu, JumpReluParams
from analysis.features.starting import active_axes
from analysis.features.training import train

SHORT = {"tokens": 1200, "batch": 60, "learning_rate": 6e-3, "every": 4, "checkpoint_every": 6}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Rows:
    """Taps in memory."""

    name = "s"

    def __init__(self, **taps):
        self.taps = taps

    def activations(self, tap):
        return ArrayActivations(self.taps[tap].astype(np.float32), f"s:{tap}")


def low_rank(n=1200, d=64, r=4, seed=0):
    """(basis (d, r), rows): nearly all variance in 4 of 64 axes."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((d, r)))[0]
    return basis, rng.standard_normal((n, r)) @ basis.T + 0.01 * rng.standard_normal((n, d)) + 3


# ---------------------------------------------------------------------- the active subspace
def test_the_axes_are_the_fewest_that_hold_their_share():
    basis, x = low_rank()
    axes = active_axes(np.cov(x.T))
    assert axes.shape == (64, 4)
    assert np.linalg.norm(axes.T @ basis) == pytest.approx(2, abs=1e-2)  # the same four
    sizes = np.diag([50.0, 40.0, 9.0, 0.6, 0.4])
    assert [active_axes(sizes, share).shape[1] for share in (0.5, 0.9, 0.99, 0.995, 1.0)] == [1, 2, 3, 4, 5]


def test_directions_start_inside_and_fewer_die():
    """Without the auxiliary loss, which wakes the dead: 128 latents, 4 active axes of 64."""
    basis, x = low_rank()
    store, dead, inside = Rows(x=x), {}, {}
    for directions in ("random", "active subspace"):
        training = {
            "tokens": 9000, "batch": 100, "learning_rate": 2e-3, "auxiliary": 0, "dead_after": 3000,
            "directions": directions,
        }  # fmt: skip
        made = train(store, "x", "topk", {"latents": 128, "k": 2}, training)
        dead[directions] = made.about["dead"]["share"]
        inside[directions] = ((made.decoder @ basis) ** 2).sum(axis=1)
    assert made.about["active_subspace"] == {"axes": 4, "units": 64, "share": 0.99, "rows": 1080}
    assert inside["active subspace"].min() > 0.9
    assert np.median(inside["random"]) < 0.3  # by chance 4 / 64
    assert dead["random"] > dead["active subspace"] + 0.15


def test_what_starts_inside_stays_when_resumed_and_needs_rows(tmp_path):
    _, x = low_rank(400, 16)
    y = x[:, :8] @ np.random.default_rng(1).standard_normal((8, 5))
    store, training = Rows(x=x, y=y), {**SHORT, "directions": "active subspace"}
    params, said = {"latents": 24, "k": 2, "target": "y"}, []
    whole = train(store, "x", "transcoder", params, training, name="f")
    assert whole.about["active_subspace"]["units"] == 5  # of what is told

    def stop(share, doing=""):
        said.append("rows:" in doing or doing.endswith("rows"))
        if sum(said) == 9:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(store, "x", "transcoder", params, training, directory=tmp_path, progress=stop)
    again = train(store, "x", "transcoder", params, training, name="f", directory=tmp_path, resume=True)
    assert again.digest == whole.digest
    assert again.about == whole.about
    for name in ("pursuit", "jump_relu"):
        train(store, "x", name, {"latents": 24}, training)  # one has no encoder of its own
    with pytest.raises(NotEnoughData, match="rows of 64 units"):
        train(Rows(x=low_rank(130)[1]), "x", "topk", params={"latents": 24, "k": 2}, training=training)


# ---------------------------------------------------------------------- Zipf's law for Mutual Choice
def test_features_below_their_rank_are_underused():
    np.testing.assert_allclose(expected_shares(4, 1, 1.0), np.array([12, 6, 4, 3]) / 25)
    np.testing.assert_allclose(expected_shares(3, 2, 3.0)[0], 1)  # never more than every row
    assert expected_shares(5, 2, 0.0) == pytest.approx(0.4)
    dictionary = MutualChoice(MutualChoiceParams(4, 1, zipf=1.0), 6, np.random.default_rng(0))
    assert not dictionary.underused().any()
    codes = torch.zeros(100, 4)
    for j, rows in enumerate((10, 60, 0, 20)):  # ranks: 60, 20, 10, 0 beside 48, 24, 16, 12
        codes[:rows, j] = 1
    dictionary.after_step(codes)
    assert dictionary.underused().tolist() == [True, False, True, True]
    dictionary.after_step(torch.ones(100, 4))
    share = (0.99 * np.array([0.1, 0.6, 0, 0.2]) + 1) / 1.99
    np.testing.assert_allclose(dictionary.kept["share"] / dictionary.kept["batches"], share)


def test_the_zipf_loss_wakes_the_underused_and_without_it_nothing_changes():
    """24 of 32 latents are silent from the start, and not yet called dead."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 8)) @ np.diag([3, 3, 1, 1, 1, 1, 1, 1])
    store, params = Rows(x=x), {"latents": 32, "k": 2}
    plain = train(store, "x", "batch_topk", params, SHORT)
    assert train(store, "x", "mutual_choice", params, SHORT).digest == plain.digest
    z = torch.from_numpy((x / np.linalg.norm(x, axis=1).mean()).astype(np.float32))
    shares, no_one = {}, torch.zeros(32, dtype=torch.bool)
    for zipf in (None, 1.0):
        dictionary = MutualChoice(MutualChoiceParams(32, 2, zipf), 8, np.random.default_rng(0))
        with torch.no_grad():
            dictionary.weights["bias"][8:] = -2
        adam = Adam(dictionary.weights)
        for step in range(100):
            found = dictionary.loss(z, no_one, 1 / 32, step)
            adam.zero()
            found.total.backward()
            dictionary.before_step()
            adam.step(3e-2, step + 1)
            dictionary.after_step(found.codes)
        shares[zipf] = (found.codes != 0).any(dim=0)
        if zipf:  # the loss of the dead, were the underused the dead
            at, own = torch.from_numpy(dictionary.underused()), BatchTopK.loss
            assert dictionary.loss(z, no_one, 0.1).total == own(dictionary, z, at, 0.1).total
            assert dictionary.loss(z).total < dictionary.loss(z, no_one, 0.1).total
    assert shares[None].sum() <= 8
    assert shares[1.0].sum() >= 16


# ---------------------------------------------------------------------- a target for JumpReLU
def test_thresholds_follow_the_target_first_and_then_learn():
    rng = np.random.default_rng(0)
    dictionary = JumpRelu(JumpReluParams(64, target=3.0), 10, rng)
    z = torch.from_numpy((rng.standard_normal((400, 10)) / np.sqrt(10)).astype(np.float32))
    dictionary.begin(lambda: z)
    assert (dictionary.loss(z).codes != 0).sum().item() == 3 * 400
    at = dictionary.array("threshold")
    assert np.ptp(at) == 0
    for share, moved in ((0.1, True), (0.3, False)):
        dictionary.weights["threshold"].data.fill_(0.02)
        dictionary.after_step(dictionary.loss(z, share=share).codes)
        assert (dictionary.array("threshold") == at).all() == moved
    with torch.no_grad():
        dictionary.loss(z, share=0.1)  # a look at held-out rows moves nothing
    dictionary.after_step(torch.zeros(1, 64))
    np.testing.assert_allclose(dictionary.array("threshold"), 0.02)
    plain = JumpRelu(JumpReluParams(64), 10, np.random.default_rng(0))
    plain.begin(lambda: z)
    np.testing.assert_allclose(plain.array("threshold"), 0.01)


def test_a_target_is_met_in_a_short_training_and_it_is_said_where_it_is_not():
    """Eight times as many latents as units, 300 steps; and 20 steps, which are too few."""
    rng = np.random.default_rng(1)
    atoms = rng.standard_normal((32, 16))
    sizes = np.zeros((2000, 32))
    np.put_along_axis(
        sizes, rng.random((2000, 32)).argsort(axis=1)[:, :3], 0.5 + rng.random((2000, 3)), axis=1
    )
    store, params = Rows(x=sizes @ atoms), {"latents": 128, "target": 4}
    made = train(store, "x", "jump_relu", params, {"tokens": 24_000, "batch": 80, "learning_rate": 5e-3})
    assert made.about["held_out"]["l0"] == pytest.approx(4, rel=0.1)
    assert not any("asked for" in line for line in made.about["caveats"])
    short = train(store, "x", "jump_relu", params, {"tokens": 2000, "batch": 100, "learning_rate": 1e-4})
    missed = abs(short.about["held_out"]["l0"] - 4) > 0.4
    assert any("4 were asked for" in line for line in short.about["caveats"]) == missed
