"""Rules that are hung on modules: what they give in closed form, what they refuse by name, and that nothing of any way
stays in the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.attribution import backgrounds, targets
from analysis.attribution.saliency.operations import graph_of
from analysis.attribution.saliency.way import Question, Settings
from analysis.attribution.saliency.ways import EXPLAINING, WAYS
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError
from analysis.sources.loaded_model import LoadedModel

D, CLASSES = 6, 3
RULES = ("DeepLIFT", "guided backpropagation", "LRP")


def asked(module, x, site="input", rows=2) -> Question:
    made = LoadedModel(
        module.double(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    run = SampleRun(made, x, site)
    others = [torch.as_tensor(o) for o in np.random.default_rng(5).standard_normal((rows, *run.shape))]
    behind = backgrounds.background("samples", run.clean, others)
    settings = Settings(masks=50, budget=70, window=2)
    return Question(run, targets.logit_target(run.logits, answer=1), behind, settings=settings)


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def small(act=None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(D, 8), act or nn.ReLU(), nn.Linear(8, CLASSES))


def convolutional() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, 3), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(5, CLASSES),
    )  # fmt: skip


# ---------------------------------------------------------------------------- closed forms
def test_deep_lift_of_one_hidden_layer():
    question = asked(small(), data(D))
    net, x = question.run.loaded.module, question.run.clean[0].numpy()
    a, c, v = (p.detach().numpy() for p in (net[0].weight, net[0].bias, net[2].weight))
    known = []
    for base in question.background.rows[:, 0].numpy():
        z, zb = a @ x + c, a @ base + c
        slope = (np.maximum(z, 0) - np.maximum(zb, 0)) / (z - zb)
        known.append((v[1] * slope) @ a * (x - base))
    found = WAYS["DeepLIFT"].make(question)
    assert found.values[0] == pytest.approx(np.mean(known, axis=0).sum(), abs=1e-12)  # one token: all units
    assert abs(found.residual) < 1e-12


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_slopes_of_one_hidden_layer(inplace):
    question = asked(small(nn.ReLU(inplace=inplace)), data(D))
    net, x = question.run.loaded.module, question.run.clean[0].numpy()
    a, c, v = (p.detach().numpy() for p in (net[0].weight, net[0].bias, net[2].weight))
    known = (np.maximum(v[1], 0) * (a @ x + c > 0)) @ a
    assert WAYS["guided backpropagation"].make(question).values[0] == pytest.approx(
        np.linalg.norm(known), abs=1e-12
    )


@pytest.mark.parametrize("site", ["input", "1"])
def test_lrp_of_relus_is_slope_times_input_and_deep_lift_adds_up(site):
    question = asked(convolutional().eval(), data(3, 6, 6), site)
    lrp, slopes = (WAYS[n].make(question).values for n in ("LRP", "gradient x input"))
    np.testing.assert_allclose(lrp, slopes, atol=1e-7)  # epsilon 1e-9
    assert abs(WAYS["DeepLIFT"].make(question).residual) < 1e-10
    apart = targets.logit_target(question.run.logits, targets.DIFFERENCE, answer=1)
    both = [targets.logit_target(question.run.logits, answer=c) for c in (1, apart.against)]
    each = [WAYS["LRP"].make(replace(question, target=t)).values for t in (apart, *both)]
    np.testing.assert_allclose(each[0], each[1] - each[2], atol=1e-9)  # of what is subtracted, subtracted


# ---------------------------------------------------------------------------- refusals by name
class Written(nn.Module):
    """A network with something in it that no module makes, or makes twice."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.last, self.how = nn.Linear(D, D), nn.ReLU(), nn.Linear(D, CLASSES), how
        self.between, self.norm = nn.Linear(D, D), nn.LayerNorm(D)

    def forward(self, x):
        z = self.first(x)
        if self.how == "function":
            return self.last(self.between(torch.relu(z)))
        if self.how == "twice":
            return self.last(self.act(self.between(self.act(z))))
        if self.how == "shared":
            return self.last(self.act(z) + z)
        if self.how == "product":
            return self.last(self.act(self.between(z)) * z)
        if self.how == "norm":
            return self.last(self.norm(self.act(z)))
        return self.last(self.between(self.act(z)) + x)  # "sum"


@pytest.mark.parametrize(
    ("way", "how", "said"),
    [
        ("DeepLIFT", "function", "(Written) makes 'Relu'"),
        ("DeepLIFT", "twice", "module 'act' (ReLU) runs more than once"),
        ("DeepLIFT", "shared", "module 'act' (ReLU) reads what other parts"),
        ("DeepLIFT", "product", "(Written) makes 'Mul'"),
        ("DeepLIFT", "norm", "module 'norm' (LayerNorm) makes"),
        ("guided backpropagation", "function", "(Written) makes 'Relu'"),
        ("guided backpropagation", "shared", "module 'act' (ReLU) reads what other parts"),
        ("LRP", "function", "(Written) makes 'Relu'"),
        ("LRP", "sum", "(Written) makes 'Add'"),
        ("LRP", "norm", "module 'norm' (LayerNorm) makes"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(way, how, said):
    question = asked(Written(how), data(D))
    with pytest.raises(InputError) as refusal:
        WAYS[way].make(question)
    assert said in str(refusal.value)


def test_what_has_a_rule_is_not_refused():
    question = asked(Written("sum"), data(D))  # a residual sum is linear
    for way in ("DeepLIFT", "guided backpropagation"):
        assert np.isfinite(WAYS[way].make(question).values).all()


def test_a_sum_that_misses_the_answer_is_refused_with_the_module_whose_rule_is_loose():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 3)
    )
    question = asked(net, data(3, 8, 8))
    with pytest.raises(InputError, match=r"misses the answer by .* '2' \(MaxPool2d\)"):
        WAYS["DeepLIFT"].make(question)


def test_a_log_probability_is_no_sum_of_parts_and_no_activation_is_no_relu():
    question = asked(small(), data(D))
    log = targets.logit_target(question.run.logits, targets.LOG_PROBABILITY, answer=1)
    with pytest.raises(InputError, match="the explained number makes"):
        WAYS["DeepLIFT"].make(Question(question.run, log, question.background))
    with pytest.raises(InputError, match="without a ReLU"):
        WAYS["guided backpropagation"].make(asked(small(nn.GELU()), data(D)))


def test_operations_belong_to_the_innermost_module():
    net = nn.Sequential(
        nn.Linear(D, D), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(D, D)), nn.Linear(D, CLASSES)
    )
    question = asked(net, data(D), "0")
    graph = graph_of(question.run, question.target)
    made = {(o.name, o.module) for o in graph.operations}
    assert {("Addmm", "2"), ("Addmm", "1.1"), ("Relu", "1.0")} <= made
    assert set(graph.leaves()) == {"2", "1.1", "1.0"}
    assert "0" not in graph.runs


# ---------------------------------------------------------------------------- no slopes
class Cut(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.head, self.how = nn.Linear(D, CLASSES), how

    def forward(self, x):
        if self.how == "detached":
            return self.head(x.detach())
        if self.how == "saturated":
            return torch.clamp(self.head(x), -1e-9, 1e-9)
        return self.head(torch.sqrt(x - x))  # infinite slopes at 0


@pytest.mark.parametrize(
    ("how", "said"),
    [("detached", "no slope in input"), ("saturated", "0 everywhere"), ("rooted", "NaN or infinite")],
)
def test_slopes_that_are_not_there_are_said(how, said):
    question = asked(Cut(how), data(D))
    with pytest.raises(InputError, match=said):
        WAYS["gradient x input"].make(question)
    if how == "detached":
        with pytest.raises(InputError, match="no slope in input"):
            WAYS["DeepLIFT"].make(question)


# ---------------------------------------------------------------------------- nothing is left behind
def look(module) -> list:
    """Everything that a way could change: attributes, hooks, mode, numbers."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        (name, sorted(m.__dict__), m.training, [len(getattr(m, h)) for h in hooks])
        for name, m in module.named_modules()
    ] + [(k, v.double().sum().item(), v.grad is None) for k, v in module.state_dict(keep_vars=True).items()]


@pytest.mark.parametrize("breaks", [False, True])
def test_no_way_leaves_anything_in_the_network(breaks):
    """Of a network in training mode, also where the target fails in the middle."""

    class Failing:
        catch, words = (), ""

        def of(self, logits, caught):
            raise RuntimeError("broken")

    net = convolutional().double().train()
    question = asked(net, data(3, 6, 6), "1")
    before = look(net)
    assert net.training
    failing = Question(question.run, Failing(), question.background, settings=question.settings)
    for name in EXPLAINING:
        if breaks:
            with pytest.raises((RuntimeError, InputError)):
                WAYS[name].make(failing)
        else:
            WAYS[name].make(question)
        assert look(net) == before, name
