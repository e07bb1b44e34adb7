"""Thinned attention: how many keys stay, that all of them change nothing, and what is left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import InputError
from analysis.interventions.thinned_attention import _now, _thinned_attention, kept_keys, thinned
from analysis.methods.attribution.attention_thinning import ALL, AVERAGE, SHARES, SINGLE, losses
from analysis.sources.loaded_model import LoadedModel


def test_every_query_keeps_its_share_of_the_keys_it_may_look_at():
    allowed = torch.ones(2, 3, 7, 7, dtype=torch.bool).tril()
    many = allowed.sum(dim=-1).numpy()
    draws = [kept_keys(allowed, 0.5, torch.Generator().manual_seed(s)) for s in range(200)]
    for keep in draws[:5]:
        assert not (keep & ~allowed).any()
        np.testing.assert_array_equal(keep.sum(dim=-1), np.ceil(many / 2))
    often = torch.stack(draws)[:, 0, 0, 6].double().mean(dim=0).numpy()
    np.testing.assert_allclose(often, 4 / 7, atol=5 * np.sqrt(0.25 / 200))
    np.testing.assert_array_equal(kept_keys(allowed, 1.0, torch.Generator()), allowed)


def test_attention_over_the_keys_that_stay_is_softmax_over_them_alone():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 5, 4, dtype=torch.float64) for _ in range(3))
    mask = torch.zeros(1, 1, 5, 5, dtype=torch.float64).masked_fill(~torch.ones(5, 5).tril().bool(), -1e300)
    mask = mask.clamp(min=torch.finfo(torch.float64).min)
    mask[mask < 0] = torch.finfo(torch.float64).min
    for share in (1.0, 0.4):
        _now.state = type(
            "State",
            (),
            {"share": share, "generator": torch.Generator().manual_seed(3), "layers": 0, "watch": None},
        )()
        try:
            out, weights = _thinned_attention(None, q, k, v, mask)
        finally:
            _now.state = None
        keep = kept_keys((mask == 0).expand(1, 2, 5, 5), share, torch.Generator().manual_seed(3))
        scores = torch.where(keep, (q @ k.transpose(-1, -2) / 2).exp(), 0.0)
        known = scores / scores.sum(dim=-1, keepdim=True)
        np.testing.assert_allclose(
            weights, known, atol=1e-6
        )  # softmax in single precision, as networks have it
        np.testing.assert_allclose(out, (known @ v).transpose(1, 2), atol=1e-5)
    with pytest.raises(InputError, match="outside"):
        _thinned_attention(None, q, k, v, None)


def test_a_network_without_such_attention_is_refused():
    loaded = LoadedModel(torch.nn.Linear(2, 2), "array", torch.as_tensor)
    with pytest.raises(InputError, match="can be thinned"), thinned(loaded, 0.5, 0):
        loaded.module(torch.zeros(1, 2))


def test_losses_are_those_of_single_answers_and_of_their_mean(rng):
    clean, drawn = rng.standard_normal((6, 4)), rng.standard_normal((len(SHARES), 5, 6, 4))
    found, answer = losses(clean, drawn), clean.argmax(axis=1)
    p = np.exp(drawn) / np.exp(drawn).sum(axis=-1, keepdims=True)
    own = p[:, :, np.arange(6), answer]
    np.testing.assert_allclose(found[SINGLE], -np.log(own).mean(axis=1))
    np.testing.assert_allclose(found[AVERAGE], -np.log(own.mean(axis=1)))
    assert (found[SINGLE] - found[AVERAGE]).min() > 0  # Jensen, strictly as draws differ
    assert found[ALL].shape == found[SINGLE].shape
