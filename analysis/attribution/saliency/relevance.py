"""Layer-wise relevance propagation, through captum: the answer is handed back, layer by layer, to what stands at the
site.

    LRP            R_i = Σ_j a_i w_ij / (z_j + ε) R_j                      ε = 1e-9, z_j = Σ_i a_i w_ij + b_j
    LRP, gamma     R_i = Σ_j a_i (w_ij + γ w_ij⁺) / (z_j + γ Σ_i a_i w_ij⁺) R_j                     γ = 1 / 4
    LRP, z-plus    R_i = Σ_j a_i w_ij⁺ / Σ_i a_i w_ij⁺ R_j                 (α = 1, β = 0), biases left out

It begins as R_c = z_c ∂y/∂z_c, so that of a difference of two logits each brings its own. The last two rules are for
layers that read what a ReLU gives: the layer that makes the answer, and one that reads values below 0 (an image with
its mean taken off), where the denominators could vanish, keep ε; which ones do is told. A batch norm behind a
convolution is first folded into it. The rules hang on a copy of the modules (module_rules.py), so nothing stays in the
network; what has no rule is refused by name, and where ε does not keep the sum up to what biases hold, all of them are
refused.

ε of a network of ReLUs is slope times input, and tells nothing that this does not. z-plus hands back only what speaks
for a unit: its maps are smooth, and often much the same for every answer, as what is below the last layer hardly knows
which one was asked for (*Do maps differ between answers?* shows it). gamma lies between the two.

Rules with α = 2, β = 1, flat ones and those for boxes of pixels are not there: captum has none, and the library that
keeps them needs torchvision, which this one does without.

Cost: ε six passes, the others twelve.

References: S. Bach et al. (2015), "On pixel-wise explanations for non-linear classifier decisions by layer-wise
relevance propagation"; G. Montavon et al. (2019), "Layer-wise relevance propagation: an overview" (gamma, and which
rule where); L. Sixt, M. Granz & T. Landgraf (2020), "When explanations lie" (z-plus and the answer).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.attribution.path_gradients import slopes_at
from analysis.attribution.saliency.module_rules import copied, refuse_missed
from analysis.attribution.saliency.operations import SHAPES, TARGET, Graph, graph_of, refuse_without_rule
from analysis.attribution.saliency.slopes import gradient_times_input
from analysis.attribution.saliency.way import Question, SaliencyMap, Way
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.installed import need

EPSILON, GAMMA, PLUS = "LRP", "LRP, gamma", "LRP, z-plus"
OVER = 0.25  # γ


class Started:
    """The explained number as captum reads it: 1, with the slope R_c in each output c that the number is made of."""

    def __init__(self, target: Target) -> None:
        self._target, self.catch, self.words = target, target.catch, target.words

    def of(self, logits, caught):
        import torch

        live = [t for t in (logits, *(caught[name] for name in self.catch)) if t is not None]
        held = [t.detach().requires_grad_(True) for t in live]
        z = None if logits is None else held[0]
        names = dict(zip(self.catch, held[len(held) - len(self.catch) :], strict=True))
        with torch.enable_grad():
            value = self._target.of(z, names)
            slopes = torch.autograd.grad(value.sum(), held, allow_unused=True)
        parts = [
            (g * own.detach() * t).flatten(1).sum(dim=1)
            for g, own, t in zip(slopes, held, live, strict=True)
            if g is not None
        ]
        total = sum(parts)
        return total - total.detach() + 1.0


def epsilon(question: Question) -> SaliencyMap:
    """Raises InputError."""
    run, target = question.run, question.target
    graph = _ruled(run, target)
    if graph is None:
        note = "Everything on the way is linear, so that LRP is slope times input."
        return replace(gradient_times_input(question), notes=(note,))
    values = _checked(run, target, graph)
    return SaliencyMap(values, 6, notes=(_sum_of(EPSILON, values, run, target),))


def gamma(question: Question) -> SaliencyMap:
    return _positive(question, GAMMA)


def z_plus(question: Question) -> SaliencyMap:
    return _positive(question, PLUS)


def _positive(question: Question, way: str) -> SaliencyMap:
    run, target = question.run, question.target
    graph = _ruled(run, target)
    if graph is None:
        note = f"Everything on the way is linear: no layer reads what a ReLU gives, so that {way} is slope times input."
        return replace(gradient_times_input(question), notes=(note,))
    _checked(run, target, graph)
    values, kept = _relevance(run, target, graph, way)
    said = (
        (f"{way} keeps ε at {', '.join(kept)}: it makes the answer, or reads values below 0.",)
        if kept
        else ()
    )
    return SaliencyMap(values, 12, notes=(_sum_of(way, values, run, target), *said))


def _ruled(run: SampleRun, target: Target) -> Graph | None:
    """Operations on the way, without what is linear in the explained number itself; None where all are linear. Raises
    InputError."""
    import torch
    from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES

    need("captum", "LRP")
    graph = graph_of(run, target)
    if all(o.linear for o in graph.operations):
        return None
    graph = replace(
        graph, operations=tuple(o for o in graph.operations if o.module != TARGET or not o.linear)
    )
    refuse_without_rule(graph, frozenset({*SUPPORTED_LAYERS_WITH_RULES, torch.nn.ReLU}), "LRP", SHAPES)
    return graph


def _checked(run: SampleRun, target: Target, graph: Graph) -> np.ndarray:
    """(tokens,) by ε, whose sum is that of slope times input. Raises InputError where it is not."""
    values, _ = _relevance(run, target, graph, EPSILON)
    left = float((slopes_at(run, run.clean[None], target)[0].double() * run.clean.double()).sum())
    refuse_missed(values, float(values.sum()) - left, "LRP", graph)
    return values


def _sum_of(way: str, values: np.ndarray, run: SampleRun, target: Target) -> str:
    whole = float(run.values(run.clean[None], target).double()[0])
    return f"{way}: relevances sum to {values.sum():.4g} of the answer {whole:.4g}; the rest stays at biases."


def _relevance(run: SampleRun, target: Target, graph: Graph, way: str) -> tuple[np.ndarray, list[str]]:
    """(tokens,) relevances; of the last two ways the layers that keep ε."""
    import torch
    from captum.attr import LRP
    from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    known, names = {*SUPPORTED_LAYERS_WITH_RULES, torch.nn.ReLU}, list(graph.leaves())
    with copied(run, Started(target), graph) as answer:
        kept = []
        if way != EPSILON:
            x = run.clean[None].clone()
            order, low, pairs = _looked_at(answer, x)
            for conv, norm in pairs:
                _fold(conv, norm)
            for module in order:
                module.weight = torch.nn.Parameter(module.weight.detach().clone())  # the rule writes into it
                if module is order[-1] or low[module]:
                    kept.append(names[list(answer.parts).index(module)])
                else:
                    module.rule = (
                        GammaRule(OVER) if way == GAMMA else Alpha1_Beta0_Rule(set_bias_to_zero=True)
                    )
                    module.bias = (
                        None if module.bias is None else torch.nn.Parameter(module.bias.detach().clone())
                    )
        for module in answer.parts:
            if type(module) not in known:
                module.rule = EpsilonRule()  # it only reshapes
        found = LRP(answer).attribute(run.clean[None].clone())
    return found[0].detach().double().sum(dim=1).numpy(), kept


def _looked_at(answer, x):
    """Linear layers and convolutions in the order in which they run, whether each reads values below 0, and pairs of a
    convolution and the batch norm that alone reads it."""
    import torch

    order, low, made, pairs = [], {}, {}, []

    def note(module, given, output):
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            pairs.extend((conv, module) for conv, own in made.items() if own is given[0])
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            order.append(module)
            low[module], made[module] = bool((given[0] < 0).any()), output

    handles = [module.register_forward_hook(note) for module in answer.parts]
    try:
        with torch.no_grad():
            answer(x)
    finally:
        for handle in handles:
            handle.remove()
    return order, low, pairs


def _fold(conv, norm) -> None:
    """The batch norm's scale and shift into the convolution before it; the norm then passes on what it reads."""
    import torch

    with torch.no_grad():
        gain = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
        scale = gain / torch.sqrt(norm.running_var + norm.eps)
        bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
        shift = (bias - norm.running_mean) * scale + (0.0 if norm.bias is None else norm.bias)
        conv.weight = torch.nn.Parameter(conv.weight * scale[:, None, None, None])
        conv.bias = torch.nn.Parameter(shift)
        norm.running_mean = torch.zeros_like(norm.running_mean)
        norm.running_var = torch.ones_like(norm.running_var) - norm.eps
        norm.weight = norm.bias = None


WAYS = (
    Way(EPSILON, "Relevance handed back layer by layer.", epsilon, lambda *_: 6, signed=True),
    Way(GAMMA, "Relevance handed back, more of it to what speaks for a unit.", gamma, lambda *_: 12, signed=True),
    Way(PLUS, "Relevance handed back only to what speaks for a unit.", z_plus, lambda *_: 12, signed=True),
)  # fmt: skip
