"""Networks in memory, and how raw items become inputs where the network does not say."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from analysis.errors import InputError, ShapeError
from analysis.sources.checkpoint import open_checkpoint


def test_digest_follows_weights_and_structure():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    first = open_checkpoint(net).digest
    assert open_checkpoint(net).digest == first
    with torch.no_grad():
        net[0].weight[0, 0] += 1e-6
    changed = open_checkpoint(net).digest
    net[1] = nn.Tanh()
    assert len({first, changed, open_checkpoint(net).digest}) == 3


def test_tree_is_the_true_one():
    lines = open_checkpoint(nn.Sequential(nn.Linear(3, 2), nn.ReLU())).tree()
    assert [(line.name, line.type, line.inferred) for line in lines] == [
        ("0", "Linear", False),
        ("1", "ReLU", False),
    ]


def test_grey_and_colour_images():
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    grey = open_checkpoint(nn.Sequential(nn.Conv2d(1, 2, 3))).load().prepare([image.convert("RGB")] * 2)
    assert grey.shape == (2, 1, 8, 8)
    assert grey.dtype == torch.float32
    assert grey.max().item() == pytest.approx(252 / 255)
    colour = open_checkpoint(nn.Sequential(nn.Conv2d(3, 2, 3))).load().prepare([image])
    assert colour.shape == (1, 3, 8, 8)
    flat = open_checkpoint(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))).load().prepare([image])
    assert flat.shape == (1, 64)


def test_sixteen_bits_are_not_clipped():
    image = Image.fromarray((np.arange(64).reshape(8, 8) * 1000).astype(np.uint16))
    values = open_checkpoint(nn.Sequential(nn.Conv2d(1, 2, 3))).load().prepare([image])
    assert values.max().item() == pytest.approx(63000 / 65535, abs=0.01)


def test_mixed_sizes_are_refused_or_resized():
    images = [Image.new("L", (8, 8)), Image.new("L", (9, 8))]
    net = nn.Sequential(nn.Conv2d(1, 2, 3))
    with pytest.raises(ShapeError, match="2 sizes"):
        open_checkpoint(net).load().prepare(images)
    assert open_checkpoint(net, input_size=(4, 6)).load().prepare(images).shape == (2, 1, 4, 6)


def test_arrays():
    eight = np.full((5, 6), 255, dtype=np.uint8)
    conv = open_checkpoint(nn.Sequential(nn.Conv2d(1, 2, 3))).load().prepare([eight] * 3)
    assert conv.shape == (3, 1, 5, 6)
    assert conv.max() == 1
    linear = open_checkpoint(nn.Sequential(nn.Linear(30, 2))).load().prepare([eight] * 3)
    assert linear.shape == (3, 30)
    last = open_checkpoint(nn.Sequential(nn.Conv2d(3, 2, 3))).load().prepare([np.zeros((5, 6, 3))])
    assert last.shape == (1, 3, 5, 6)


def test_clips_are_padded_at_the_end():
    values = open_checkpoint(nn.Sequential(nn.Conv1d(1, 2, 3))).load().prepare([np.ones(5), np.ones(3)])
    assert values.shape == (2, 1, 5)
    assert values[1, 0].tolist() == [1, 1, 1, 0, 0]


def test_text_needs_a_prepare_method():
    with pytest.raises(InputError, match="prepare"):
        open_checkpoint(nn.Sequential(nn.Embedding(3, 2))).load().prepare(["a"])


def test_an_empty_batch():
    with pytest.raises(InputError, match="no item"):
        open_checkpoint(nn.Sequential(nn.Linear(3, 2))).load().prepare([])


def test_the_network_s_own_failure_is_told():
    loaded = open_checkpoint(nn.Sequential(nn.Linear(3, 2))).load()
    with pytest.raises(InputError, match=r"Sequential failed on inputs of shape \(1, 7\)"):
        loaded.forward(loaded.prepare([np.zeros(7)]))


def test_classes_against_the_formula():
    torch.manual_seed(0)
    loaded = open_checkpoint(nn.Sequential(nn.Linear(3, 4))).load()
    x = torch.randn(6, 3)
    labels = torch.tensor([0, 1, 2, 3, -1, 9])
    outputs = loaded.forward(x, labels)
    softmax = torch.softmax(loaded.module(x).double(), dim=1)
    assert torch.allclose(outputs.loss[:4], -torch.log(softmax[torch.arange(4), labels[:4]]))
    assert outputs.loss[4:].isnan().all()  # unknown labels have no loss
    assert torch.allclose(outputs.confidence, softmax.max(1).values)
    assert torch.equal(outputs.predicted, softmax.argmax(1))
    assert loaded.forward(x).loss is None


def test_one_output_is_no_class():
    outputs = open_checkpoint(nn.Sequential(nn.Linear(3, 1))).load().forward(torch.ones(2, 3), [0, 1])
    assert outputs.logits.shape == (2, 1)
    assert outputs.predicted is None
    assert outputs.loss is None


def test_tuples_and_mappings():
    class Pair(nn.Module):
        def forward(self, x):
            return x @ torch.ones(3, 2), {"other": x}

    class Named(nn.Module):
        def forward(self, x):
            return {"hidden": x}

    assert open_checkpoint(Pair()).load().forward(torch.ones(4, 3)).logits.shape == (4, 2)
    assert open_checkpoint(Named()).load().forward(torch.ones(4, 3)).logits is None


def test_a_network_in_training_keeps_its_gradients():
    net = nn.Sequential(nn.Linear(3, 2))
    loaded = open_checkpoint(net).load()
    assert not loaded.forward(torch.ones(1, 3)).logits.requires_grad
    assert all(p.requires_grad for p in net.parameters())
