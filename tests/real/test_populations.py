"""Five seeds of a 1-D CNN with their sparse autoencoders as a population of models."""

import numpy as np
import pytest
from networks import SignalNet

from analysis.activations import ArrayActivations
from analysis.methods.populations.expected_calibration import expected_calibration
from analysis.methods.populations.matched_geometry import MatchedGeometryParams, matched_geometry
from analysis.methods.populations.output_disagreement import output_disagreement
from analysis.methods.populations.shared_features import shared_features
from analysis.methods.populations.sharing import SharingParams, sharing

ACCURACY = (0.9773, 0.9848, 0.9735, 0.9886, 0.9811)  # as published beside the files
ACTIVE = (46, 43, 47, 36, 51)  # latents ever active


@pytest.fixture(scope="module")
def seeds(real):
    """Per seed: pooled activations, logits, latents, decoder directions (one row for each latent)."""
    import torch

    data = np.load(real / "rf_sae" / "rf_test_iq.npz")
    found = []
    for k in range(5):
        folder = real / "rf_sae" / f"seed_{k}"
        cnn, sae = (
            torch.load(folder / f, weights_only=True, map_location="cpu") for f in ("classifier.pt", "sae.pt")
        )
        net = SignalNet()
        net.load_state_dict(cnn["state_dict"])
        net.eval()
        w = sae["state_dict"]
        with torch.no_grad():
            pooled = net.features(torch.tensor(data["iq"])).flatten(1)
            before = (pooled - sae["mean"] - w["decoder.bias"]) @ w["encoder.weight"].T + w["encoder.bias"]
            top, at = before.topk(8, dim=1)
            latents = torch.zeros_like(before).scatter(1, at, top.clamp(min=0))
            logits = net.head(pooled)
        samples = {"label": data["labels"]}
        taps = [
            ArrayActivations(x.numpy(), name=f"seed {k}", samples=samples) for x in (pooled, logits, latents)
        ]
        found.append((*taps, ArrayActivations(w["decoder.weight"].numpy().T.copy(), name=f"decoder {k}")))
    return found


def test_disagreement_of_the_seeds_is_their_error(seeds):
    """Trained independently, 264 signals: 2.3 % disagreement, 1.9 % error, no more apart than chance."""
    found = {e.name.partition(" (")[0]: e for e in output_disagreement(*(s[1] for s in seeds)).estimates}
    error, gap = found["mean error of the models"], found["disagreement less error"]
    assert error.value == pytest.approx(1 - np.mean(ACCURACY), abs=0.0001)
    assert found["disagreement of two models"].value == pytest.approx(error.value, abs=0.01)
    assert gap.p_value > 0.05
    assert abs(gap.value) < 0.01


def test_accuracies_and_calibration(seeds):
    for (_, logits, *_), accuracy in zip(seeds, ACCURACY, strict=True):
        estimates = {e.name: e for e in expected_calibration(logits).estimates}
        assert estimates["accuracy"].value == pytest.approx(accuracy, abs=0.00005)


def test_latents_are_shared_between_seeds_and_dead_ones_left_out(seeds):
    found = sharing(*(s[2] for s in seeds), params=SharingParams(matching="once"))
    off = ~np.eye(5, dtype=bool)
    assert found.significant.all()
    assert (found.values[off] > found.null[off] + 0.3).all()
    for k, active in enumerate(ACTIVE):
        assert any(c.startswith(f"seed {k}: {128 - active} constant") for c in found.caveats)


def test_the_seeds_share_main_directions(seeds):
    e = shared_features(*(s[0] for s in seeds)).estimates
    assert e[0].value >= 10
    assert e[0].null == 0
    assert e[1].value >= 1


@pytest.mark.parametrize("matching", ["one to one", "many to one"])
def test_an_autoencoder_against_itself_and_against_another_seed(seeds, matching):
    params = MatchedGeometryParams(matching=matching)
    rng = np.random.default_rng(0)
    _, _, latents, decoder = seeds[0]
    order = rng.permutation(128)
    turn = np.linalg.qr(rng.standard_normal((256, 256)))[0]
    again = latents.values[:, order], (decoder.values[order] @ turn)
    same = matched_geometry(latents, again[0], decoder, again[1], params)
    assert [e.value for e in same.estimates[:3]] == pytest.approx([1, 1, 1], abs=1e-5)
    assert (order[same.columns["second"].astype(int)] == same.columns["first"].astype(int)).all()
    other = matched_geometry(latents, seeds[1][2], decoder, seeds[1][3], params)
    held = other.estimates[2]
    assert held.value > 0.7 > held.null_high  # they do the same, on samples that did not match them
    assert other.estimates[0].p_value > 0.05  # SVCCA of 39 pairs is what random pairs give
    assert other.estimates[0].null > 0.3  # which is far above 0
