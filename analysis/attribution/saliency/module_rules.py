"""Ways that exchange the derivative of each module by a rule of its own, through captum.

    DeepLIFT                 (x - b)_u · multipliers: at a module y = f(z) the slope is (f(z) - f(z_b)) / (z - z_b)
    guided backpropagation   ‖g_u‖ with slopes below 0 cut off at every ReLU on the way back
    guided Grad-CAM          the same times Grad-CAM: at the site, or at an image's pixels with Grad-CAM of the last map

The library hangs its rules on modules and says nothing where an operation has none: a ReLU written as a function, a
residual sum, a module that runs twice, one whose input others read as well. So the graph of the network is read first
(operations.py), and what has no rule is refused by name. DeepLIFT's sum is checked with the difference of the answers;
beyond `MISSED` of the size of the parts it is refused, and below it told. The library works on a copy of the modules
that shares their numbers, so nothing of it stays in the network.

Guided backpropagation looks at the answer so little that maps of other classes are nearly the same. Relevance (LRP) is
in relevance.py.

Cost: DeepLIFT two passes for each background row; the others two passes.

References: A. Shrikumar, P. Greenside & A. Kundaje (2017); J. Springenberg et al. (2015); R. Selvaraju et al. (2017);
captum: N. Kokhlikyan et al. (2020).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np

from analysis.attribution.path_gradients import slopes_at
from analysis.attribution.saliency.operations import (
    LINEAR,
    RELUS,
    Graph,
    graph_of,
    refuse_without_rule,
)
from analysis.attribution.saliency.slopes import grad_cam
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import Target
from analysis.compute.rows.grid_resampling import bilinear
from analysis.errors import InputError
from analysis.installed import need

MISSED = 1e-3  # of the sum of the sizes of all parts
LOOSE = ("MaxPool1d", "MaxPool2d", "MaxPool3d", "Softmax")
ROWS = 32


def deep_lift(question: Question) -> SaliencyMap:
    need("captum", "DeepLIFT")
    from captum.attr import DeepLift
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    run, target, rows = question.run, question.target, question.background.rows
    graph = graph_of(run, target)
    refuse_without_rule(graph, frozenset(SUPPORTED_NON_LINEAR), "DeepLIFT", LINEAR)
    found = []
    with copied(run, target, graph) as answer:
        rule = DeepLift(answer)
        for base in rows.split(ROWS):
            x = run.clean.expand(len(base), *run.shape).clone()
            found.append(rule.attribute(x, base.clone()).detach().double().sum(dim=2).numpy())
    values = np.concatenate(found).mean(axis=0)
    ends = [float(run.values(part, target).double().mean()) for part in (run.clean[None], rows)]
    residual = float(values.sum() - (ends[0] - ends[1]))
    refuse_missed(values, residual, "DeepLIFT", graph)
    return SaliencyMap(values, 2 * len(rows) + 2 + len(rows), residual)


def guided_backpropagation(question: Question) -> SaliencyMap:
    return SaliencyMap(np.linalg.norm(_guided(question.run, question.target), axis=1), 3)


def guided_grad_cam(question: Question) -> SaliencyMap:
    run = question.run
    length = np.linalg.norm(_guided(run, question.target), axis=1)
    if run.site != INPUT or run.grid is None:
        return SaliencyMap(length * grad_cam(question).values, 5)
    there = run.elsewhere(question.settings.layer or last_map(run))
    if there.grid is None:
        raise InputError(
            f"module '{there.site}' gives no map", "a module that gives (channels, height, width)"
        )
    cam = bilinear(there.grid, run.grid) @ grad_cam(replace(question, run=there)).values
    return SaliencyMap(length * cam, 7, notes=(f"Guided Grad-CAM takes Grad-CAM at {there.site}.",))


def last_map(run: SampleRun) -> str:
    """The last module of the network that gives a map of more than one place. Raises InputError."""
    from analysis.sources.hooked_run import hooked_run

    loaded, order = run.loaded, []

    def note(name):
        def hook(_module, _inputs, output):
            if getattr(output, "ndim", 0) == 4 and output.shape[-1] * output.shape[-2] > 1:
                order.append(name)

        return hook

    modules = dict(loaded.module.named_modules())
    handles = [m.register_forward_hook(note(n)) for n, m in modules.items() if n]
    try:
        with hooked_run(loaded.module):
            loaded.call(loaded.module, run.inputs) if loaded.call else loaded.run(run.inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not order:
        raise InputError(
            "no module of the network gives a map (channels, height, width)", "a convolutional network",
            "Choose a layer as the site instead of the input",
        )  # fmt: skip
    return order[-1]


def _guided(run: SampleRun, target: Target) -> np.ndarray:
    """(tokens, units) slopes. Raises InputError, also where there is no ReLU to guide."""
    need("captum", "Guided backpropagation")
    import torch
    from captum.attr import GuidedBackprop

    graph = graph_of(run, target)
    if not any(o.name in RELUS for o in graph.operations):
        bent = next((o for o in graph.operations if not o.linear), None)
        if bent is None:  # nothing to guide
            return slopes_at(run, run.clean[None], target)[0].double().numpy()
        raise InputError(
            f"a network without a ReLU on the way: {bent.words}", "ReLUs, whose slopes are guided",
            "Take the gradient instead",
        )  # fmt: skip
    _refuse_free_relus(graph)
    with copied(run, target, graph) as answer:
        found = GuidedBackprop(answer).attribute(run.clean[None].clone())
    found = found[0].detach().double()
    if not torch.isfinite(found).all():
        raise InputError(f"slopes in {run.site} that are NaN or infinite", "finite slopes")
    return found.numpy()


def _refuse_free_relus(graph: Graph) -> None:
    import torch

    for o in graph.operations:
        if o.name not in RELUS:
            continue
        if o.kind is None or not issubclass(o.kind, torch.nn.ReLU):
            raise InputError(
                f"{o.words}, which guided backpropagation does not see", "ReLUs that are modules (torch.nn.ReLU)",
                "Take the gradient instead",
            )  # fmt: skip
        if o.shared:
            raise InputError(
                f"module '{o.module}' (ReLU) reads what other parts of the network read as well, for which guided "
                "backpropagation has no rule",
                "ReLUs that are the only reader", "Take the gradient instead",
            )  # fmt: skip


def refuse_missed(values: np.ndarray, residual: float, way: str, graph: Graph) -> None:
    """Pooling by maxima and softmax have rules that do not keep the sum, as measured: the first behind a ReLU, where
    the place of the maximum may be the same number on the background."""
    size = max(float(np.abs(values).sum()), 1e-300)
    if not np.isfinite(residual) or abs(residual) > MISSED * size:
        loose = {o.module: o.kind.__name__ for o in graph.operations if o.kind and o.kind.__name__ in LOOSE}
        named = ", ".join(f"'{name}' ({kind})" for name, kind in loose.items())
        raise InputError(
            f"{way} parts whose sum misses the answer by {residual:.3g}, where their sizes sum to {size:.3g}"
            + (f"; the rule of {named} does not always keep the sum" if loose else ""),
            f"at most {MISSED:.1%} of it", "Take integrated gradients instead",
        )  # fmt: skip


@contextmanager
def copied(run: SampleRun, target: Target, graph: Graph) -> Iterator:
    """A torch module that answers (m,) to (m, tokens, units) at the site, and whose parts are a copy of the modules on
    the way; their numbers are shared with the network, their hooks and attributes are not."""
    import torch

    network = run.loaded.module
    shared = {id(t): t for t in chain(network.parameters(), network.buffers())}
    own = copy.deepcopy(network, shared)
    inside = run.in_network(own)
    modules = dict(own.named_modules())

    class Answer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(modules[name] for name in graph.leaves())

        def forward(self, x):
            return inside.values(x, target, gradients=True)

    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        try:
            yield Answer().eval()
        except (RuntimeError, AssertionError, TypeError) as why:
            said = (str(why).strip().splitlines() or [""])[0][:160]
            raise InputError(
                f"a rule that captum cannot hang on this network ({said})", "a network with rules"
            ) from why


def _deep_lift_passes(tokens: int, rows: int, settings: Settings) -> int:
    return 3 * rows + 2


WAYS = (
    Way("DeepLIFT", "Slopes between the background and the sample, module by module.", deep_lift, _deep_lift_passes,
        signed=True, complete=True),
    Way("guided backpropagation", "Slopes with those below 0 cut off at ReLUs.", guided_backpropagation,
        lambda *_: 3, signed=False),
    Way("guided Grad-CAM", "Guided slopes times Grad-CAM.", guided_grad_cam, lambda *_: 7, signed=False),
)  # fmt: skip
