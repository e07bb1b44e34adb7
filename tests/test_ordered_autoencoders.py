"""Least volume and the distributional principal autoencoder: Gaussian data as the closed form, the decoder's bound, the
finished set, and the test whether later latents still tell anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.compute.subspaces.angles import principal_angles
from analysis.errors import InputError, NotEnoughData
from analysis.features.architectures.autoencoder import straight_lines
from analysis.features.architectures.distributional import Distributional, DistributionalParams
from analysis.features.architectures.least_volume import LeastVolume, LeastVolumeParams
from analysis.features.feature_set import FeatureSet
from analysis.features.training import train
from analysis.methods.rank.ordered_latents import (
    DEVIATION,
    OrderedLatentsParams,
    energy_scores,
    ordered_latents,
)
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse.feature_sets import architecture, of_its_kind

D = 5
SIZES = np.array([3.0, 1.5, 0.7, 0.02, 0.02])
QUICK = {"batch": 128, "learning_rate": 1e-2, "patience": 0}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory):
    """(store, principal axes as rows): Gaussian rows of three dimensions and a little more."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0].T
    x = (rng.standard_normal((2000, D)) * SIZES) @ axes + 2
    return write_store(tmp_path_factory.mktemp("g") / "s", name="s", taps={"x": x.astype(np.float32)}), axes


def lines(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


# ---------------------------------------------------------------------- least volume
def test_of_rotated_latents_the_principal_ones_have_the_least_volume():
    """Hadamard: the product of deviations is least where they are uncorrelated; rebuilding is the same for all."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((500, 3)) * SIZES[:3]
    codes = np.linalg.qr(codes - codes.mean(axis=0))[0] * SIZES[:3]
    made = LeastVolume(LeastVolumeParams(3, 0, eta=1e-6), D, rng)
    own = made.volume(torch.from_numpy(codes)).item()
    assert own == pytest.approx(np.exp(np.log(codes.std(axis=0) + 1e-6).mean()), rel=1e-5)
    for _ in range(5):
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        assert made.volume(torch.from_numpy(codes @ turn)).item() > 1.01 * own


def test_linear_least_volume_of_gaussian_rows_is_pca(gaussian):
    store, axes = gaussian
    made = train(store, "x", "least_volume", {"latents": 4, "hidden": 0}, {**QUICK, "tokens": 60_000})
    assert made.n_features == 3  # the fourth dimension is not worth its volume
    angles = principal_angles(np.linalg.qr(made.decoder.T.astype(float))[0], axes[:3].T)
    assert np.degrees(angles.max()) < 5
    assert np.diag(np.abs(lines(made.decoder) @ axes[:3].T)).min() > 0.95  # one by one, in their order
    found = made.about["latents"]
    assert found["lipschitz_bound"] == pytest.approx(1, abs=1e-5)
    assert found["deviations"] == sorted(found["deviations"], reverse=True)
    assert found["explained_by_first"][-1] > 0.95
    expected = np.cumsum(SIZES**2) / (SIZES**2).sum()
    np.testing.assert_allclose(found["explained_by_first"][1:3], expected[:2], atol=0.06)
    assert any("1 latent(s) carry nothing" in line for line in made.about["caveats"])


def test_the_decoder_cannot_stretch_and_what_is_pruned_changes_nothing():
    rng = np.random.default_rng(0)
    made = LeastVolume(LeastVolumeParams(3, 8), D, rng)
    with torch.no_grad():
        for name in ("unfold", "decoder"):
            made.weights[name] *= 9
    made.after_step(None)
    assert (
        max(float(torch.linalg.matrix_norm(made.weights[n].detach(), 2)) for n in ("unfold", "decoder"))
        < 1 + 1e-5
    )
    a, b = (torch.randn(50, 3, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    stretched = (made.decoded(a) - made.decoded(b)).detach().norm(dim=1) / (a - b).norm(dim=1)
    assert float(stretched.max()) <= 1 + 1e-5
    with torch.no_grad():
        made.weights["encoder"][:, 1] = 0
    z = torch.randn(80, D, generator=torch.Generator().manual_seed(2))
    found = made.facts([z[:40], z[40:]])["latents"]
    assert found["deviations"][-1] == 0
    assert found["explained_by_first"][-1] == pytest.approx(found["explained_by_first"][-2], abs=1e-6)


# ---------------------------------------------------------------------- the finished set
@pytest.mark.parametrize("kind", ["least_volume", "distributional"])
def test_the_finished_set_codes_as_the_autoencoder_and_comes_back_from_disk(tmp_path, kind):
    made = (LeastVolume(LeastVolumeParams(3, 6), D, np.random.default_rng(0)) if kind == "least_volume"
            else Distributional(DistributionalParams(3, 6), D, np.random.default_rng(0)))  # fmt: skip
    z = torch.randn(200, D, generator=torch.Generator().manual_seed(0))
    made.settle(lambda: z)
    mean, scale = np.linspace(-5, 5, D), 0.3
    features = made.finish("set", mean, scale, {})
    x = (z.numpy() / scale + mean).astype(np.float32)
    with torch.no_grad():
        codes = made.products(z).numpy()[:, made.kept_latents]
    np.testing.assert_allclose(features.encode(x), codes, atol=1e-4)
    fit = np.linalg.lstsq(np.c_[codes, np.ones(200)], z.numpy(), rcond=None)[0]
    np.testing.assert_allclose(
        scale * (features.reconstruct(x) - mean), np.c_[codes, np.ones(200)] @ fit, atol=1e-3
    )
    assert features.n_units == D
    features.save(tmp_path / "f")
    assert FeatureSet.open(tmp_path / "f").digest == features.digest
    with pytest.raises(InputError, match="both or none"):
        FeatureSet("f", features.rule, features.encoder, features.decoder, features.bias, features.centre,
                   features.shift, hidden=features.hidden)  # fmt: skip


def test_lines_of_latents_that_say_the_same_are_the_shortest():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(300)
    z = np.outer(a, [1.0, 2.0]) + 5
    fit, offset = straight_lines(np.stack([a, a + 1e-6 * rng.standard_normal(300)], axis=1), z)
    np.testing.assert_allclose(fit, [[0.5, 1], [0.5, 1]], atol=1e-3)
    np.testing.assert_allclose(offset, 5, atol=1e-3)


def test_more_latents_than_units_are_refused(gaussian):
    with pytest.raises(NotEnoughData, match="6 latents of 5 units"):
        train(gaussian[0], "x", "least_volume", {"latents": 6}, QUICK)


# ---------------------------------------------------------------------- distributional
def test_latents_of_gaussian_rows_are_principal_directions_and_nothing_told_scores_half_the_mean_distance(
    gaussian,
):
    store, axes = gaussian
    made = train(store, "x", "distributional", {"latents": 3, "hidden": 24}, {**QUICK, "tokens": 100_000})
    assert np.diag(np.abs(lines(made.decoder[:2]) @ axes[:2].T)).min() > 0.95
    found, z = made.about["latents"], np.random.default_rng(1).standard_normal((2000, D)) * SIZES @ axes
    nothing = np.linalg.norm(z - z[::-1], axis=1).mean() / 2 * made.scale  # half the mean distance
    assert found["energy_scores"][0] == pytest.approx(nothing, rel=0.08)
    assert found["energy_scores"][3] < 0.1 * found["energy_scores"][0]
    assert found["telling"] == 3


def test_what_is_not_told_does_not_reach_the_decoder():
    made = Distributional(DistributionalParams(3, 6), D, np.random.default_rng(0))
    codes = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    other = codes.clone()
    other[:, 2] += 5
    two = torch.full((4,), 2)
    torch.testing.assert_close(made.drawn(codes, noise, two), made.drawn(other, noise, two))
    assert not torch.allclose(made.drawn(codes, noise, two + 1), made.drawn(other, noise, two + 1), atol=1e-3)


# ---------------------------------------------------------------------- do later latents tell anything
def test_energy_scores_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((12, 3))
    apart = np.linalg.norm(y[:, None] - y[None], axis=2)
    near = np.array([rng.permutation(np.delete(np.arange(12), i))[:4] for i in range(12)])
    expected = []
    for i in range(12):
        pairs = [apart[a, b] for a in near[i] for b in near[i] if a != b]
        expected.append(np.mean([apart[i, j] for j in near[i]]) - np.mean(pairs) / 2)
    np.testing.assert_allclose(energy_scores(apart, near), expected, atol=1e-12)


def test_the_planted_number_of_dimensions_is_found_whatever_comes_after():
    few = OrderedLatentsParams(latents=5, permutations=19)
    counts = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((200, 5))
        bent = np.stack([z[:, 0], z[:, 1], z[:, 2], z[:, 0] * z[:, 1], np.cos(z[:, 2])], axis=1)
        counts.append(ordered_latents(z, bent, few, rng).estimates[0].value)
    assert counts.count(3) >= 3  # 5 % each
    found = ordered_latents(
        z[:, ::-1] * [1, 1, 3, 4, 5], bent, OrderedLatentsParams(order=DEVIATION, permutations=19)
    )
    assert found.estimates[0].value == 3
    alone = ordered_latents(z[:, 3:], bent, few, rng)
    assert alone.estimates[0].value == 0
    assert "The first 0" in alone.reading


def test_the_page_of_a_trained_set(gaussian, tmp_path):
    """Latents as a tap beside the tap they are of: the volume page and the test read them."""
    workspace = Workspace.create(tmp_path / "w")
    x = gaussian[0].activations("x").take(np.arange(300))
    store = write_store(workspace.path / "stores" / "net", name="net", taps={"x": x})
    made = train(
        store, "x", "least_volume", {"latents": 3, "hidden": 4}, {**QUICK, "tokens": 5000}, name="lv"
    )
    workspace.features.add(made)
    facts = workspace.features.facts()[0]
    assert (facts.n_units, facts.n_features) == (D, made.n_features)
    assert "ordered latents" in architecture(facts)
    assert of_its_kind(facts)["First k latents"].startswith("explain ")
    workspace.encode("net:x", "lv")
    found = workspace.run("latent_volume", ["net:x@lv", "net:x"], {"lipschitz": 1.0})
    assert found.estimates[1].value <= 3
    told = workspace.run("ordered_latents", ["net:x@lv", "net:x"], {"permutations": 19})
    assert told.estimates[0].value >= 1
