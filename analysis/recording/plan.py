"""What will be recorded: the chosen taps with everything decided, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.errors import ParameterError
from analysis.recording.choosing import choose_taps
from analysis.recording.hooks import Want
from analysis.recording.labels import ClassMap, class_map
from analysis.recording.pooling import check_choice
from analysis.recording.tap_info import OUTPUTS, TapInfo
from analysis.recording.taps import dry_run
from analysis.store.manifest import TapSpec


@dataclass(frozen=True)
class Plan:
    """Taps to record. `hooked` are modules, `made` come from the network's outputs."""

    infos: tuple[TapInfo, ...]
    hooked: tuple[Want, ...]
    made: tuple[Want, ...]
    specs: tuple[TapSpec, ...]
    classes: ClassMap
    settings: dict


def make_plan(
    loaded,
    data,
    taps: str | Iterable[str],
    *,
    tokens: str,
    batch: int,
    dtype: str,
    limit: int | None,
    seed: int,
) -> Plan:
    """Dry run, choice of taps, and the settings that a resumed recording must share.

    Logits (one per sample, up to 2,048 classes) and the token losses of a language model are always among the
    taps; name "outputs.logits" to have the logits of a language model at every token as well.

    Raises
    ------
    InputError, NotFound, ParameterError
        Empty data, no such tap, a choice of tokens that a tap does not have, a batch size below one.
    """
    check_choice(tokens)
    if batch < 1 or (limit is not None and limit < 1):
        raise ParameterError(f"batch = {batch}, limit = {limit}", "at least one sample")
    if dtype not in ("float16", "float32"):
        raise ParameterError(f"dtype = {dtype!r}", "float16 or float32")
    if not 0 <= seed < 2**32:
        raise ParameterError(f"seed = {seed}", "a whole number from 0 to 2³² - 1")
    globs = (taps,) if isinstance(taps, str) else tuple(taps)
    infos = dry_run(loaded, data)
    chosen = choose_taps(infos, globs)
    chosen += [i for i in infos if i.name.startswith(OUTPUTS) and i.is_default and i not in chosen]
    order = {i.name: k for k, i in enumerate(infos)}
    chosen = sorted({i.name: i for i in reversed(chosen)}.values(), key=lambda i: order[i.name])
    classes, copies = class_map(loaded, data), _input_copy(loaded)
    half = dtype == "float16"
    wants = [replace(i.want("all" if i.name.startswith(OUTPUTS) else tokens), half=half) for i in chosen]
    return Plan(
        tuple(chosen),
        tuple(w for w in wants if not w.name.startswith(OUTPUTS)),
        tuple(w for w in wants if w.name.startswith(OUTPUTS)),
        tuple(_spec(i, w, dtype, classes, copies) for i, w in zip(chosen, wants, strict=True)),
        classes,
        {
            "taps": list(globs), "tokens": tokens, "batch": batch, "dtype": dtype, "limit": limit, "seed": seed,
            "mean": "without leading tokens of images, with every token of texts that is not padding",
            "notes": [f"{i.name}: {i.note}" for i in chosen if i.note], **_circumstances(loaded.module),
        },
    )  # fmt: skip


def _input_copy(loaded) -> tuple[str, tuple[str, ...]]:
    """A first module that passes the columns of a table on as they are, and their names."""
    names = (
        [n for n, m in loaded.module.named_modules() if not list(m.children())] if loaded.input_names else []
    )
    module = loaded.module.get_submodule(names[0]) if names else None
    return (names[0], loaded.input_names) if type(module).__name__ == "Identity" else ("", ())


def _spec(info: TapInfo, want: Want, dtype: str, classes: ClassMap, copies: tuple) -> TapSpec:
    everything = want.tokens == "all"
    names: tuple[str, ...] = ()
    if info.name == "outputs.token_loss":
        names = ("loss of the next token",)
    elif info.name == "outputs.logits" and len(classes.outputs) == info.n_units:
        names = tuple(classes.outputs)
    elif info.name == copies[0] and len(copies[1]) == info.n_units:
        names = copies[1]
    return TapSpec(
        name=info.name, n_units=info.n_units, dtype=dtype, tokens=want.tokens, module=info.type,
        grid=info.grid if everything else None, leading=info.leading if everything else 0, unit_names=names,
        types=info.types,
    )  # fmt: skip


def _circumstances(module) -> dict:
    """What else the numbers may depend on."""
    import torch

    parameter = next(iter(module.parameters()), None)
    settings = {
        "eval": not module.training,
        "device": str(parameter.device) if parameter is not None else "cpu",
        "parameter_dtype": str(parameter.dtype).removeprefix("torch.") if parameter is not None else "",
        "attention": getattr(getattr(module, "config", None), "_attn_implementation", None),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if settings["attention"] is not None:
        import transformers

        settings["transformers"] = transformers.__version__
    return settings
