"""Rules that are hung on modules: what they give in closed form, what they refuse by name, and that nothing of any way
stays in the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.attribution import backgrounds, targets
from analysis.attribution.saliency.one_step import after_a_step
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


def with_target(question, number, answer=1) -> Question:
    target = targets.logit_target(question.run.logits, number, answer)
    return Question(question.run, target, question.background, settings=question.settings)


@pytest.mark.parametrize("number", [targets.LOGIT, targets.DIFFERENCE])
@pytest.mark.parametrize(
    ("way", "low"), [("LRP, gamma", False), ("LRP, z-plus", False), ("LRP, z-plus", True)]
)
def test_rules_of_relevance_in_closed_form(way, low, number):
    """Layer by layer in numpy; what reads values below 0, and what makes the answer, keeps epsilon."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, CLASSES))
    x = data(D) if low else np.abs(data(D))
    question = with_target(asked(net, x), number)
    maps = [(net[i].weight.detach().numpy(), net[i].bias.detach().numpy()) for i in (0, 2, 4)]
    reads, z = [x], None
    for w, b in maps:
        z = reads[-1] @ w.T + b
        reads.append(np.maximum(z, 0))
    r = np.zeros(CLASSES)
    r[1] = z[1]
    if number == targets.DIFFERENCE:
        r[question.target.against] = -z[question.target.against]
    for layer, a in ((2, reads[2]), (1, reads[1]), (0, reads[0])):
        w, b = maps[layer]
        plus = layer != 2 and not (layer == 0 and low)
        own = (
            np.maximum(w, 0) if plus and way == "LRP, z-plus" else w + 0.25 * np.maximum(w, 0) if plus else w
        )
        under = own @ a + (0.0 if plus and way == "LRP, z-plus" else b)
        r = a * ((r / np.where(under == 0, 1, under)) @ own)
    found = WAYS[way].make(question)
    assert found.values[0] == pytest.approx(r.sum(), abs=1e-7)  # epsilon 1e-9
    assert ("0, 4" in found.notes[1]) == low


def test_relevance_folds_a_batch_norm_into_the_convolution_before_it():
    net = convolutional().double().eval()
    with torch.no_grad():
        net[1].running_mean.copy_(torch.as_tensor(data(5)))
        net[1].running_var.copy_(torch.as_tensor(data(5, seed=1) ** 2 + 0.5))
    x = np.abs(data(3, 6, 6))
    folded = torch.nn.utils.fusion.fuse_conv_bn_eval(net[0], net[1])
    plain = nn.Sequential(folded, *[net[i] for i in range(2, 9)])
    for way in ("LRP, gamma", "LRP, z-plus"):
        one, other = (WAYS[way].make(asked(n, x)).values for n in (net, plain))
        np.testing.assert_allclose(one, other, atol=1e-9)
        assert np.abs(one).max() > 1e-4


def test_without_biases_z_plus_hands_back_the_whole_answer():
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Linear(D, 8, bias=False),
        nn.ReLU(),
        nn.Linear(8, 7, bias=False),
        nn.ReLU(),
        nn.Linear(7, CLASSES, bias=False),
    )
    question = with_target(asked(net, np.abs(data(D))), targets.DIFFERENCE)
    answer = float(question.run.values(question.run.clean[None], question.target)[0])
    assert WAYS["LRP, z-plus"].make(question).values.sum() == pytest.approx(answer, abs=1e-7)


# ---------------------------------------------------------------------------- one step of learning
def test_one_step_of_a_linear_softmax_in_closed_form():
    """θ' = θ - ε (p - e) xᵀ: slopes and NormGrad of the stepped network, of which nothing stays in the network."""
    net = nn.Sequential(nn.Linear(D, CLASSES))
    question = asked(net, data(D))
    before, x = net[0].weight.detach().numpy().copy(), question.run.clean[0].numpy()
    z = before @ x + net[0].bias.detach().numpy()
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    stepped = before - 0.3 * np.outer(p - np.eye(CLASSES)[1], x)
    taught, first, after = after_a_step(question, 0.3)
    assert first == pytest.approx(-np.log(p[1]), abs=1e-12)
    assert after < first
    known = np.linalg.norm(stepped[1]) * np.linalg.norm(x)
    assert WAYS["NormGrad"].make(taught).values[0] == pytest.approx(known, abs=1e-12)
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), before)
    none, *_ = after_a_step(question, 0.0)
    assert WAYS["NormGrad"].make(none).values[0] == WAYS["NormGrad"].make(question).values[0]


def test_a_step_needs_layers_that_can_learn_behind_the_site():
    question = asked(nn.Sequential(nn.Linear(D, CLASSES), nn.Softplus()), data(D), "0")
    with pytest.raises(InputError, match="layers that can learn behind the site"):
        WAYS["NormGrad after a step"].make(question)


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
