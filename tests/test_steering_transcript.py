"""Texts that a steered language model writes: without a push its own, with one those of a network that has it in."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from test_interventions import hooks, hugging_face
from torch import nn

from analysis.errors import InputError
from analysis.interventions.components import Site
from analysis.interventions.transcripts import transcripts
from analysis.sources.loaded_model import LoadedModel

SITE = Site("transformer.h.1.mlp.c_proj")


def greedy(module, ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    own, logs = torch.as_tensor(ids), []
    for _ in range(length):
        with torch.no_grad():
            z = torch.log_softmax(module(input_ids=own).logits[:, -1].double(), dim=-1)
        own = torch.cat([own, z.argmax(dim=-1, keepdim=True)], dim=1)
        logs.append(z.max(dim=-1).values)
    return own[:, ids.shape[1] :].numpy(), torch.stack(logs).mean(dim=0).numpy()


def test_a_push_is_a_bias_that_the_network_was_given():
    loaded, inputs = hugging_face("gpt2")
    ids, push = inputs["input_ids"][:3, :4].numpy(), 3 * np.random.default_rng(0).standard_normal(12)
    found = transcripts(loaded, ids, SITE, np.stack([0 * push, push]), 6)
    own, log_p = greedy(loaded.module, ids, 6)
    np.testing.assert_array_equal(found.tokens[0], own)
    np.testing.assert_allclose(found.log_p[0], log_p, atol=1e-5)
    built = copy.deepcopy(loaded.module)
    with torch.no_grad():
        built.transformer.h[1].mlp.c_proj.bias += torch.as_tensor(push, dtype=torch.float32)
    other, _ = greedy(built, ids, 6)
    np.testing.assert_array_equal(found.tokens[1], other)
    assert (other != own).any()
    assert (found.log_p[1] <= found.log_p[0] + 1e-6).sum() >= 2  # written against its own way
    assert found.passes == 2 * 3 * 7
    assert hooks(loaded.module) == 0


def test_a_network_without_logits_for_every_token_is_refused():
    class Classes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

        def forward(self, input_ids, attention_mask):
            return self.head(self.embed(input_ids).mean(dim=1))

    with pytest.raises(InputError, match="logits for every token"):
        transcripts(
            LoadedModel(Classes(), "text", None), np.ones((2, 3), int), Site("embed"), np.zeros((1, 4)), 2
        )
