"""Which operations stand between a site and the explained number, and whose they are.

Rules that are hung on modules (DeepLIFT, guided backpropagation, LRP) say nothing of an operation that no module of its
own makes: a ReLU written as a function, a product of two branches, a residual sum. They then give numbers all the same.
The network is run once and the graph of derivatives is read: each of its nodes belongs to the innermost module that was
running when it was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.errors import InputError

TARGET = "the explained number"
SHAPES = frozenset((
    "View", "UnsafeView", "Reshape", "ReshapeAlias", "Transpose", "T", "Permute", "Expand", "Squeeze",
    "Unsqueeze", "Slice", "Select", "Clone", "AsStrided", "Alias", "Split", "SplitWithSizes", "Unbind",
    "ToCopy", "Unfold", "Index", "IndexSelect", "Copy", "CopySlices", "AsStridedView", "Narrow",
))  # fmt: skip
LINEAR = SHAPES | frozenset((
    "Add", "Sub", "Rsub", "Neg", "Mul", "Div", "Mean", "Sum", "Cat", "Stack", "Addmm", "Mm", "Bmm", "Baddbmm",
    "Mv", "Dot", "Linear", "Convolution", "MkldnnConvolution", "ConvolutionOverrideable", "NativeBatchNorm",
    "CudnnBatchNorm", "MiopenBatchNorm", "AvgPool1D", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D",
    "MkldnnAdaptiveAvgPool2D", "ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D", "UpsampleNearest2D",
    "UpsampleBilinear2D", "Repeat",
))  # fmt: skip
PRODUCTS = frozenset((
    "Mul", "Bmm", "Mm", "Baddbmm", "Addmm", "Mv", "Dot", "Div", "Linear", "Convolution",
))  # fmt: skip
RELUS = frozenset(["Relu", "Threshold"])


@dataclass(frozen=True)
class Operation:
    """`name` without its ending; `module` whose it is, of type `kind`; `joined`: how many of what it reads depends on
    the site; `shared`: what it reads is read by others as well."""

    name: str
    module: str
    kind: type | None
    joined: int
    shared: bool

    @property
    def linear(self) -> bool:
        """In the site, with everything else as it is."""
        return self.name in LINEAR and not (self.name in PRODUCTS and self.joined > 1)

    @property
    def words(self) -> str:
        where = f"module '{self.module}' ({self.kind.__name__})" if self.kind else self.module
        return f"{where} makes {self.name!r}"


@dataclass(frozen=True)
class Graph:
    """`operations` on the way; `runs` of each module on it, by name; `modules` by name."""

    operations: tuple[Operation, ...]
    runs: dict[str, int]
    modules: Mapping[str, object]

    def leaves(self) -> dict[str, object]:
        """Modules without parts of their own that make an operation on the way."""
        made = {o.module for o in self.operations}
        return {n: m for n, m in self.modules.items() if n in made and not any(m.children())}


def graph_of(run: SampleRun, target: Target) -> Graph:
    """Of the sample as it is: one pass. Raises InputError where nothing leads from the site to the target."""
    import torch

    modules = dict(run.loaded.module.named_modules())
    spans: list[tuple[str, list, list]] = []
    handles = [h for name, module in modules.items() for h in _watched(name, module, spans)]
    try:
        x = run.clean[None].clone().requires_grad_(True)
        with torch.enable_grad():
            value = run.values(x, target, gradients=True)
    finally:
        for handle in handles:
            handle.remove()
    on_way = _leading_to(value.grad_fn, x) if value.grad_fn is not None else {}
    if not on_way:
        raise InputError(
            f"{target.words or 'what is explained'} has no slope in {run.site}", "a network that can be derived",
            "Choose a later site, or a method without slopes",
        )  # fmt: skip
    owner, runs = {}, dict.fromkeys(modules, 0)
    for name, before, after in sorted(spans, key=lambda span: span[0].count(".") + bool(span[0])):
        inside = _between(after, before) & on_way.keys()
        runs[name] += bool(inside)
        owner.update(dict.fromkeys(inside, name))
    return Graph(tuple(_operations(on_way, owner, modules)), {n: r for n, r in runs.items() if r}, modules)


def _watched(name: str, module, spans: list):
    """Hooks that note what a run of the module reads and gives, as nodes of the graph; outer ones before inner ones."""
    open_runs: list[list] = []

    def before(_module, inputs, named):
        open_runs.append([t.grad_fn for t in _tensors((inputs, named)) if t.grad_fn is not None])

    def after(_module, _inputs, output):
        found = [t.grad_fn for t in _tensors(output) if t.grad_fn is not None]
        spans.append((name, open_runs.pop(), found))

    return module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(after)


def _tensors(found) -> list:
    import torch

    if isinstance(found, torch.Tensor):
        return [found]
    parts = (
        found.values() if isinstance(found, Mapping) else found if isinstance(found, (tuple, list)) else ()
    )
    return [t for part in parts for t in _tensors(part)]


def _leading_to(end, x) -> dict:
    """Nodes from `end` back that depend on the leaf x, each with those it reads that do."""
    reads, readers, stack, start = {}, {}, [end], None
    while stack:
        node = stack.pop()
        if node in reads:
            continue
        reads[node] = [n for n, _ in node.next_functions if n is not None]
        start = node if getattr(node, "variable", None) is x else start
        for n in reads[node]:
            readers.setdefault(n, []).append(node)
        stack += reads[node]
    kept, stack = set(), [] if start is None else [start]
    while stack:
        node = stack.pop()
        if node not in kept:
            kept.add(node)
            stack += readers.get(node, [])
    return {n: [m for m in reads[n] if m in kept] for n in reads if n in kept and n is not start}


def _between(after: list, before: list) -> set:
    """Nodes from what a module gave back to what it read."""
    seen, stack = set(before), list(after)
    found = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        found.add(node)
        stack += [n for n, _ in node.next_functions if n is not None]
    return found


def _operations(on_way: dict, owner: dict, modules):
    readers: dict = {}
    for reads in on_way.values():
        for node in reads:
            readers[node] = readers.get(node, 0) + 1
    for node, reads in on_way.items():
        name = re.sub(r"Backward\d*$", "", type(node).__name__)
        whose = owner.get(node, TARGET)
        kind = type(modules[whose]) if whose in modules else None
        yield Operation(name, whose, kind, len(reads), any(readers[n] > 1 for n in reads))


def refuse_without_rule(
    graph: Graph, rules: frozenset[type], way: str, free: frozenset[str] = LINEAR
) -> None:
    """Raises InputError, naming the module: an operation that is neither free (linear) nor of a module with a rule, or
    of one that runs twice or reads what others read as well."""
    for operation in graph.operations:
        if operation.kind in rules:
            twice, shared = graph.runs[operation.module] > 1, operation.shared and not operation.linear
            if not (twice or shared):
                continue
            found = "runs more than once" if twice else "reads what other parts of the network read as well"
            raise InputError(
                f"module '{operation.module}' ({operation.kind.__name__}) {found}, for which {way} has no rule",
                "modules that run once and by themselves", "Take integrated gradients instead",
            )  # fmt: skip
        if operation.name in free and operation.linear:
            continue
        raise InputError(
            f"{operation.words}, for which {way} has no rule", "modules with a rule: "
            + ", ".join(sorted(r.__name__ for r in rules)), "Take integrated gradients instead",
        )  # fmt: skip
