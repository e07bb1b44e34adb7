"""Networks of known answer, put on trial as if a tap had been recorded of them."""

from __future__ import annotations

import numpy as np
import torch

from analysis.activations import ArrayActivations
from analysis.attribution.saliency import module_rules
from analysis.attribution.saliency import ways as registry
from analysis.attribution.saliency_court import on_trial
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.sources.loaded_model import LoadedModel

SLOPES = "gradient, gradient x input, NormGrad, integrated gradients"


def loaded(module) -> LoadedModel:
    return LoadedModel(
        module.double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def state(module) -> dict:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


class Samples:
    """Of a network of code of its own, as the trial takes them."""

    is_network, notes, classes, what = True, (), (), "the network (Tiny)"

    def __init__(self, model, items, site=INPUT):
        self.model, self.items, self.site, self.samples = model, items, site, np.arange(len(items))

    def run(self, i, site=""):
        return SampleRun(self.model, self.items[i], site or self.site)

    def word(self, answer):
        return str(answer)


def trial_of(monkeypatch):
    """Puts a network on trial; gives a tap that stands for what was recorded of it. Without the ways whose library
    takes seconds to import; the contract test runs them all."""
    for way in module_rules.WAYS:
        monkeypatch.delitem(registry.WAYS, way.name)

    def put(module, items, site=INPUT):
        samples = Samples(loaded(module), items, site)
        monkeypatch.setattr(on_trial, "_samples", lambda *_: (samples, ()))
        return ArrayActivations(np.zeros((len(items), 1)), name="m")

    return put


class Additive(torch.nn.Module):
    """The answer is a sum over tokens, of other parts for each of two outputs."""

    def forward(self, x):
        return torch.stack([x[:, :, 0].sum(dim=1), x[:, :, 1].sum(dim=1)], dim=1)


class Square(torch.nn.Module):
    """A red square in the upper left corner decides; the rest of the picture hardly counts."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.mix.weight[:, :, 0, 0] = torch.tensor([[1.0, -0.5, -0.5], [0.01, 0.01, 0.01]])
            self.mix.bias.zero_()

    def forward(self, x):
        h = self.mix(x)
        z = torch.tanh(h[:, 0, :2, :2].mean(dim=(1, 2))) + 0.01 * h[:, 1].mean(dim=(1, 2))
        return torch.stack([z, -z], dim=1)


class Picture(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.map = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.hidden = torch.nn.Linear(3 * 36, 12)
        self.head = torch.nn.Linear(12, 3)

    def forward(self, x):
        return self.head(torch.nn.functional.gelu(self.hidden(self.map(x).flatten(1))))
