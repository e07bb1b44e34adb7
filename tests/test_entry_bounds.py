"""Queries and keys of heads are those whose scores a network's own attention is made of; their entries are measured as
the theorems write them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from test_interventions import hugging_face
from torch import nn

from analysis.attribution.attention_maps import attention_of
from analysis.errors import InputError
from analysis.interventions.queries_keys import queries_keys
from analysis.methods.attribution.entry_bounds import largest
from analysis.sources.loaded_model import LoadedModel


class Own(nn.Module):
    """One layer of torch's attention over a tensor, tokens first or samples first."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.attend, self.head = nn.MultiheadAttention(12, 3, batch_first=batch_first), nn.Linear(12, 2)
        self.batch_first = batch_first

    def forward(self, x):
        x = x if self.batch_first else x.transpose(0, 1)
        z = self.attend(x, x, x)[0]
        return self.head(z.mean(dim=1 if self.batch_first else 0))


def heads(kind: str):
    """Scores (heads, tokens, tokens) of each layer, and the network's own attention."""
    if kind == "gpt2":
        loaded, inputs = hugging_face("gpt2")
    else:
        module = Own(kind == "batch first").eval()
        loaded, inputs = LoadedModel(module, "array", None), torch.randn(1, 5, 12)
    found = queries_keys(loaded, inputs)
    own = attention_of(SimpleNamespace(loaded=loaded, inputs=inputs))
    return [x.scale * x.queries @ x.keys.transpose(0, 2, 1) for x in found], own


@pytest.mark.parametrize("kind", ["gpt2", "batch first", "tokens first"])
def test_scores_are_those_of_the_networks_own_attention(kind):
    found, own = heads(kind)
    assert len(found) == len(own)
    for scores, attention in zip(found, own, strict=True):
        if kind == "gpt2":  # causal
            scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf)
        np.testing.assert_allclose(softmax(scores, axis=-1), attention, atol=1e-6)


def test_a_network_without_attention_is_refused():
    with pytest.raises(InputError, match="no attention in Linear"):
        queries_keys(LoadedModel(nn.Linear(3, 2), "array", None), torch.randn(1, 3))


def test_entries_bound_scores_and_no_basis_goes_below_the_least():
    """|<q, k>| / width <= B² for any basis of the head and any shift of its keys, of which none has entries below the
    least possible ones."""
    rng = np.random.default_rng(0)
    layer = SimpleNamespace(
        queries=rng.standard_normal((2, 7, 4)), keys=rng.standard_normal((2, 7, 4)), scale=0.3
    )
    first = np.array(largest(layer))
    for _ in range(20):
        basis = rng.standard_normal((4, 4))
        keys = layer.keys + rng.standard_normal(4)
        other = SimpleNamespace(queries=layer.queries @ basis, keys=keys @ np.linalg.inv(basis).T, scale=0.3)
        found = np.array(largest(other))
        np.testing.assert_allclose(found[:, 1], first[:, 1], rtol=1e-9)
        assert (found[:, 0] >= found[:, 1]).all()
        scores = 0.3 * other.queries @ other.keys.transpose(0, 2, 1)
        assert (np.abs(scores).max(axis=(1, 2)) <= found[:, 0] ** 2 + 1e-12).all()
