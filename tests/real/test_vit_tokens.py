"""Tokens really taken away from a vision transformer that others trained: the published shares of right answers."""

import numpy as np
import pytest
from test_vit import digits  # noqa: F401

from analysis.sources.checkpoint import open_checkpoint
from analysis.tokens.networks.token_network import TokenNetwork
from analysis.tokens.rule import rule
from analysis.tokens.schedule import at_layer

BATCH = 300
KNOWN = {
    49: 87.15,
    24: 84.31,
    12: 80.63,
    6: 72.34,
}  # per cent, by patches kept behind the second of six layers


@pytest.fixture(scope="module")
def network(real, digits):  # noqa: F811
    loaded = open_checkpoint(real / "vit" / "vit_mnist_gpu.pt", model="networks:MnistViT").load()
    return TokenNetwork(loaded, digits.items(0, 2))


def right(network, digits, name, kept):  # noqa: F811
    """Per cent of right answers with so many patches kept by a rule behind the second layer."""
    found, labels = 0, np.asarray(digits.labels).astype(int)
    plan = at_layer(1, kept, network.layers, 49)
    for start in range(0, len(labels), BATCH):
        stop = min(start + BATCH, len(labels))
        run = network.run(network.loaded.prepare(digits.items(start, stop)), rule(name), plan)
        assert set(run.states[-1].counts) == {kept + 1}
        assert run.states[1].counts.max() == 50
        found += int((run.logits.numpy().argmax(axis=1) == labels[start:stop]).sum())
    return 100 * found / len(labels)


@pytest.mark.parametrize(("kept", "known"), KNOWN.items())
def test_published_shares_of_right_answers(network, digits, kept, known):  # noqa: F811
    assert round(right(network, digits, "class_attention", kept), 2) == known
