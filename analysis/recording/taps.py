"""The dry run: one sample through the network, to list every module with the shape a tap there would give.

The sample is given twice in one batch: so the batch axis shows itself, and a module that folds windows or heads
into it is noticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.errors import InputError
from analysis.recording.blocks import activation_names, block_names
from analysis.recording.choosing import DEFAULT, choose_taps
from analysis.recording.grids import BY_FRAME, GridFinder, below_each_other
from analysis.recording.hooks import pick_tensor
from analysis.recording.layout import Axes, AxisTrace, batch_axis
from analysis.recording.output_taps import output_infos
from analysis.recording.tap_info import MODEL, TapInfo, sized
from analysis.sources.hooked_run import model_lock

__all__ = ["DEFAULT", "TapInfo", "choose_taps", "dry_run"]

TWICE = 2
CLASS_TOKENS = ("[CLS]", "<s>", "<cls>")


def dry_run(loaded, data) -> list[TapInfo]:
    """List the taps of a network, in the order of its module tree; nothing is written.

    Parameters
    ----------
    loaded : LoadedModel
    data : DataSource
        Its first sample is used.

    Returns
    -------
    list of TapInfo
        One per module (lists of modules, which never run themselves, are left out), then those made of the
        outputs. A module that cannot be recorded is listed with its `problem`.

    Raises
    ------
    InputError
        The data is empty.
    """
    import torch

    if len(data) == 0:
        raise InputError(
            f"{data.name} is empty", "at least one sample", "Check the path and the skipped items"
        )
    item = data.items(0, 1)[0]
    inputs = loaded.prepare([item, item])
    watch = _Watch(GridFinder(getattr(loaded.module, "config", None), _image_size(inputs)))
    with model_lock(loaded.module):
        handles = []
        try:
            for name, module in loaded.module.named_modules():
                handles.append(module.register_forward_hook(watch.hook(name)))
            with torch.inference_mode():
                outputs = loaded.forward(inputs)
        finally:
            for handle in handles:
                handle.remove()
    watch.word_class_token = _word_class_token(loaded, item)
    infos = [watch.info(name, module) for name, module in _listed(loaded.module)]
    infos = _marked(loaded.module, infos, watch, outputs)
    return infos + output_infos(outputs)


def _listed(module):
    """The modules worth listing: containers without a forward of their own give nothing."""
    from torch import nn

    names = list(module.named_modules())
    if len(names) == 1:
        return [(MODEL, module)]
    lists = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    # a ModuleList may be subclassed and given a forward: then it is a module like any other
    return [(n, m) for n, m in names[1:] if not (isinstance(m, lists) and type(m) in lists)]


def _image_size(inputs) -> tuple[int, int] | None:
    """(height, width) of the floating input of pictures or clips, if there is one."""
    tensors = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    for x in tensors:
        if hasattr(x, "ndim") and x.ndim in (4, 5) and x.is_floating_point():
            return (int(x.shape[-2]), int(x.shape[-1]))
    return None


def _word_class_token(loaded, item) -> str:
    """Why the first token of a text is a class token; "" where it is not."""
    texts = loaded.tokens([item]) if not loaded.causal else None
    if texts and texts[0] and texts[0][0] in CLASS_TOKENS:
        return f"the tokenizer puts {texts[0][0]} first"
    return ""


@dataclass
class _Watch:
    """What the hooks of a dry run saw, by module name."""

    grids: GridFinder
    trace: AxisTrace = field(default_factory=AxisTrace)
    seen: dict[str, TapInfo] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # names as they finished, last calls
    given: dict[str, int] = field(default_factory=dict)  # address of each module's input
    made: dict[str, int] = field(default_factory=dict)  # address of each module's output
    word_class_token: str = ""

    def hook(self, name: str):
        def look(module, inputs, output) -> None:
            import torch

            given = next((x for x in inputs if isinstance(x, torch.Tensor)), None)
            calls = self.seen[name].calls + 1 if name in self.seen else 1
            info = self._look(name, module, given, output)
            self.seen[name] = dataclasses.replace(info, calls=calls)
            self.order = [n for n in self.order if n != name] + [name]
            if given is not None and calls == 1:
                self.given[name] = given.data_ptr()

        return look

    def _look(self, name, module, given, output) -> TapInfo:
        info = TapInfo(name or MODEL, type(module).__name__)
        x, note = pick_tensor(output)
        if x is None:
            return dataclasses.replace(info, problem=note)
        x = x.detach()
        self.made[name] = x.data_ptr()
        shape = tuple(x.shape)
        info = dataclasses.replace(info, note=note, shape=shape)
        if not x.is_floating_point():
            return dataclasses.replace(info, problem=f"its output is {x.dtype}, not floating-point")
        batch = batch_axis(x, TWICE)
        if batch is None:
            reason = "it does not depend on the sample, or windows or heads are folded into that axis"
            return dataclasses.replace(info, problem=f"no axis of {shape} is the batch of {TWICE}: {reason}")
        if len(shape) == 1:
            return sized(info, shape, Axes(0, None, ()), "")
        unit, assumed = (
            (len(shape) - 1, False) if batch == 1 and len(shape) == 3 else self._unit(module, x, given)
        )
        axes = Axes(batch, unit, tuple(i for i in range(len(shape)) if i not in (batch, unit)))
        if unit == batch:
            return dataclasses.replace(info, problem=f"batch and unit axes of {shape} cannot be told apart")
        if len(axes.tokens) in (2, 3):
            self.grids.saw(module, tuple(shape[i] for i in axes.tokens))
        return sized(info, shape, axes, "the unit axis is assumed, nothing tells it" if assumed else "")

    def _unit(self, module, x, given) -> tuple[int, bool]:
        axis, assumed = self.trace.unit_axis(module, x, given)
        self.trace.remember(x, axis, assumed)
        return axis, assumed

    def info(self, name: str, module) -> TapInfo:
        """The line of one module, now that all grids are known."""
        info = self.seen.get("" if name == MODEL else name)
        if info is None:
            problem = "it did not run in the forward pass of the first sample"
            return TapInfo(name, type(module).__name__, problem=problem)
        if info.calls > 1 and not info.problem:
            again = (
                f"called {info.calls} times in a forward pass; the last call is taken (@call=0 for the first)"
            )
            info = dataclasses.replace(info, note="; ".join(filter(None, (info.note, again))))
        return self._placed(info)

    def _placed(self, info: TapInfo) -> TapInfo:
        """With grid, leading tokens and class token."""
        if info.layout is None or info.problem or not info.layout.tokens:
            return info
        if self.grids.image_size is None:
            return dataclasses.replace(info, class_token=self.word_class_token)
        if len(info.layout.tokens) == 2:
            return dataclasses.replace(info, grid=tuple(info.shape[i - 1] for i in info.layout.tokens))
        if len(info.layout.tokens) == 3:
            return dataclasses.replace(
                info, grid=below_each_other([info.shape[i - 1] for i in info.layout.tokens])
            )
        order = self.grids.by_frame(info.n_tokens)
        if order:
            info = dataclasses.replace(info, order=order, note="; ".join(filter(None, (info.note, BY_FRAME))))
        grid, leading = self.grids.find(info.n_tokens)
        why = (
            f"{info.n_tokens} tokens are {grid[0]} x {grid[1]} patches and {leading} before"
            if leading
            else ""
        )
        return dataclasses.replace(info, grid=grid, leading=leading, class_token=why)


def _marked(module, infos: list[TapInfo], watch: _Watch, outputs) -> list[TapInfo]:
    """With `is_block` and `is_default`: the blocks, what goes into the first, and the last vector before the head.

    Networks without blocks: their non-linearities.
    """
    good = {i.name for i in infos if not i.problem}
    blocks = block_names(module, set(watch.seen)) & good
    default = set(blocks) or activation_names(module, set(watch.seen)) & good or good
    if blocks:
        first = next(n for n in watch.order if n in blocks)
        before = watch.order[: watch.order.index(first)]
        into = [
            n for n in before
            if n in good and not n.startswith(first + ".") and watch.made.get(n) == watch.given.get(first)
        ]  # fmt: skip
        last = max(watch.order.index(n) for n in blocks)
        modules = dict(module.named_modules())
        leaves = {n for n, m in modules.items() if not any(True for _ in m.children())}
        logits = outputs.logits.data_ptr() if outputs.logits is not None else None
        after = [
            n for n in watch.order[last + 1 :]
            if n in good and n in leaves and watch.made[n] != logits and not _passes_on(modules[n])
        ]  # fmt: skip
        inside = [n for n in after if not any(n.startswith(b + ".") for b in blocks)]
        default |= set(into[-1:]) | set(inside[-1:])
    return [dataclasses.replace(i, is_block=i.name in blocks, is_default=i.name in default) for i in infos]


def _passes_on(module) -> bool:
    from torch import nn
    from torch.nn.modules.dropout import _DropoutNd

    return isinstance(module, (nn.Identity, _DropoutNd))
