"""One way in for every checkpoint: a Hugging Face directory, a described network, an adapter over one of these, a state
dict with a factory, or an nn.Module."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from analysis.errors import InputError, LoupeError, NotFound, UnsafeFile
from analysis.installed import need
from analysis.sources import hugging_face_files as hf
from analysis.sources.adapters.description import adapter_at, read_adapter
from analysis.sources.adapters.over_base import base_of
from analysis.sources.adapters.over_base import load as load_adapted
from analysis.sources.declared.description import NAME, description_at, read_description
from analysis.sources.declared.network import files_of, shapes_of, tree_of
from analysis.sources.declared.network import load as load_declared
from analysis.sources.digests import file_digest, files_digest, text_digest
from analysis.sources.file_magic import existing, magic, refuse_empty, refuse_pickle
from analysis.sources.loaded_model import LoadedModel
from analysis.sources.module_tree import (
    ModuleLine,
    count_parameters,
    in_natural_order,
    tree_of_module,
    tree_of_shapes,
)
from analysis.sources.state_files import read_state

CODELESS = ("hugging_face", "declared", "adapted")  # kinds that are run again from their files alone
CODELESS_WORDS = "a Hugging Face model directory, or weights with a description (`loupe describe`)"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass
class Checkpoint:
    """Opened but not loaded: everything here comes from file headers (or from the module in memory).

    kind : "hugging_face", "declared", "adapted" (an adapter over a base), "state_dict" or "module".
    path : the directory or file (of a described network or an adapter its description), None for a module in memory.
    architecture : class name, the factory, or "" where a bare state dict does not tell.
    modality : "image", "text", "audio", "table", "array" or None when nothing tells yet.
    facts : what loupe_manifest.json beside the weights records (accuracy, step, …), else empty.
    notes : what was decided while opening, in words.
    """

    kind: str
    name: str
    path: Path | None = None
    architecture: str = ""
    modality: str | None = None
    facts: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    model: str | None = None
    module: object = field(default=None, repr=False)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    options: dict = field(default_factory=dict, repr=False)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits over the weights (and, in a model directory, its settings). About 1 s per GB."""
        if self.kind == "module":
            from analysis.sources.torch_model import module_digest

            return module_digest(self.module)
        if self.kind == "declared":
            return files_digest(files_of(read_description(self.path)))
        if self.kind == "adapted":
            told = read_adapter(self.path)
            return text_digest((base_of(told).digest, files_digest((told.path, told.weights))))
        return (
            files_digest(hf.digest_files(self.path))
            if self.kind == "hugging_face"
            else file_digest(self.path)
        )

    @property
    def n_parameters(self) -> int:
        """Trainable numbers stored; shared ones once, buffers not."""
        if self.kind == "module":
            return sum(p.numel() for p in self.module.parameters())
        return count_parameters(self.shapes)

    def tree(self) -> list[ModuleLine]:
        """Modules with their parameter shapes, without running the checkpoint's code.

        Names are those of the file; transformers may rename some when it loads them (the dry run lists what
        can be recorded)."""
        if self.kind == "declared":
            return tree_of(read_description(self.path), self.shapes)
        if self.kind == "adapted":
            return base_of(read_adapter(self.path)).tree()
        return tree_of_module(self.module) if self.kind == "module" else tree_of_shapes(self.shapes)

    def as_dict(self) -> dict:
        """JSON-ready facts for a store's manifest."""
        return {
            "kind": self.kind,
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "model": self.model,
            "architecture": self.architecture,
            "digest": self.digest,
            "n_parameters": self.n_parameters,
            "modality": self.modality,
            "facts": self.facts,
        }

    def load(self) -> LoadedModel:
        """Read the weights and return the network ready to run.

        Raises
        ------
        InputError
            A state dict without a factory, keys that do not fit, a network that transformers cannot build.
        UnsafeFile
            Code in the files.
        NotInstalled
            No torch, or no transformers for a model directory.
        """
        need("torch", f"Running the network {self.name}")
        if self.kind == "hugging_face":
            need("transformers", f"Running the network {self.name}")
            from analysis.sources.hugging_face import load

            return load(self.path, attention=self.options.get("attention"))
        if self.kind == "declared":
            return load_declared(self.path)
        if self.kind == "adapted":
            return load_adapted(self.path, self.options.get("attention"))
        from analysis.sources.torch_model import wrap

        if self.kind == "module":
            return wrap(self.module, notes=self.notes, input_size=self.options.get("input_size"))
        return self._load_state_dict(wrap)

    def _load_state_dict(self, wrap) -> LoadedModel:
        if self.model is None:
            raise InputError(
                f"{self.path} holds weights only, not the network they belong to",
                "the factory that builds it, or a description of its layers",
                _described_beside(self.path)
                or _of_an_adapter(self.path, self.shapes)
                or "Add --model package.module:factory (model= in Python); the factory returns the nn.Module",
            )
        from analysis.sources.factory import build
        from analysis.sources.state_dict import load_into

        module = build(self.model)
        state, notes = read_state(self.path, self.options.get("state_key"))
        notes = notes + load_into(module, state, str(self.path), self.options.get("strip"))
        return wrap(module, notes=notes, input_size=self.options.get("input_size"))


def open_checkpoint(
    path_or_module,
    *,
    model: str | None = None,
    state_key: str | None = None,
    strip: str | None = None,
    input_size: tuple[int, int] | None = None,
    attention: str | None = None,
    name: str | None = None,
    allow_code: bool = True,
) -> Checkpoint:
    """Open a checkpoint; weights are read by `load()` only (a .pt's are read once to list its keys).

    Parameters
    ----------
    path_or_module : path or torch.nn.Module
        A Hugging Face model directory, a network.json beside weights (or the folder of both), an adapter.json or
        PEFT's adapter_config.json beside an adapter's weights (or the folder, or the weights), a
        .safetensors/.pt/.pth file, or a network in memory.
    model : str, optional
        "package.module:factory", the user's own code that builds the network of a state dict.
    state_key : str, optional
        Where the state dict is inside the file when there are several ("generator", "state_dict.0").
    strip : str, optional
        Prefix to strip from the state dict's keys.
    input_size : (height, width), optional
        Images are resized to it by the default preparation of plain modules.
    attention : str, optional
        "eager" makes Hugging Face networks return attention weights.
    name : str, optional
        What to call it; the file's or folder's name otherwise.
    allow_code : bool
        False where the request does not come from the user's own command line or notebook: `model` is refused.

    Raises
    ------
    NotFound, InputError, UnsafeFile
        See the messages; no code of the checkpoint is run in any case.
    """
    if model is not None and not allow_code:
        raise UnsafeFile(
            f"the factory {model!r} is Python code, and this request may not run code",
            "a checkpoint that needs no code of its own",
            "Open it from your own command line (--model) or notebook",
        )
    options = {"state_key": state_key, "strip": strip, "input_size": input_size, "attention": attention}
    if hasattr(path_or_module, "state_dict") and hasattr(path_or_module, "named_modules"):
        return _of_module(path_or_module, name, options)
    path = existing(path_or_module, "checkpoint").resolve()
    adapter = adapter_at(path) if model is None else None
    if adapter is not None:
        return _of_adapter(adapter, name, options)
    described = description_at(path)
    if described is not None:
        return _of_description(described, model, name, options)
    found = _of_folder(path, options) if path.is_dir() else _of_file(path, model, options)
    if name:
        found.name = name
    return found


def _of_module(module, name: str | None, options: dict) -> Checkpoint:
    from analysis.sources.torch_model import guess_modality

    kind = type(module).__name__
    return Checkpoint(
        "module",
        name or kind,
        architecture=kind,
        modality=guess_modality(module),
        module=module,
        options=options,
    )


def _of_description(path: Path, model: str | None, name: str | None, options: dict) -> Checkpoint:
    given = [k for k, v in {"model": model, **options}.items() if v is not None]
    if given:
        raise InputError(
            f"{path} describes a network, and {given[0]} was given",
            "the description alone",
            "Open the weights themselves with --model, or leave it out",
        )
    read = read_description(path)
    own = path.parent.name if path.name == NAME else path.stem
    found = Checkpoint(
        "declared",
        name or own,
        path.resolve(),
        architecture=f"{own} ({sum(not layer.layers for _, layer in read.leaves())} described layers)",
        modality=read.inputs.modality,
        shapes=shapes_of(read),
    )
    manifest = path.parent / "loupe_manifest.json"
    found.facts = hf.read_json(manifest) if manifest.exists() else {}
    return found


def _of_an_adapter(path: Path, shapes) -> str:
    """What to do where a file holds an adapter alone; "" where it does not look like one."""
    from analysis.sources.adapters.parts import looks_like_adapter

    return f"It holds an adapter: say on top of what, `loupe adapt {path} --base FOLDER`" if looks_like_adapter(
        shapes) else ""  # fmt: skip


def _of_adapter(path: Path, name: str | None, options: dict) -> Checkpoint:
    told = read_adapter(path)
    base = base_of(told)
    found = Checkpoint(
        "adapted",
        name or f"{path.parent.name} over {base.name}",
        path.resolve(),
        architecture=f"{base.architecture} with an adapter",
        modality=base.modality,
        notes=[f"Adapter {told.weights.name} over the network at {told.base}"],
        shapes=base.shapes,
        options=options,
    )
    manifest = path.parent / "loupe_manifest.json"
    found.facts = hf.read_json(manifest) if manifest.exists() else {}
    found.facts |= {"adapter": {"base": base.name, "numbers": count_parameters(shapes_in(told.weights)[0]),
                                "of": base.n_parameters}}  # fmt: skip
    return found


def _described_beside(path: Path) -> str:
    """What to do where a description beside a file of weights names it; "" where none does."""
    for beside in sorted(path.parent.glob("*.json"))[:100]:
        try:
            if description_at(beside) and read_description(beside).weights == path:
                return f"Give the description instead: {beside}"
        except LoupeError:
            continue
    return ""


def _of_folder(path: Path, options: dict) -> Checkpoint:
    if not (path / "config.json").exists():
        weights = sorted(p.name for p in path.iterdir() if p.suffix in WEIGHT_SUFFIXES)
        if weights:
            raise NotFound(
                f"{path} has no config.json but {len(weights)} weight file(s): {', '.join(weights[:4])}",
                "a Hugging Face model directory, a folder with a network.json, or one weight file",
                f"Give the file itself, e.g. {path / weights[0]}, with --model package.module:factory",
            )
    config, shapes = hf.read_config(path), hf.weight_shapes(path)
    hf.refuse_endless(path / "config.json", config, len(shapes))
    found = Checkpoint(
        "hugging_face",
        path.name,
        path,
        architecture=next(iter(config.get("architectures") or []), "")
        or f"{config.get('model_type', '')} (no head)",
        modality=hf.modality_of(path, config),
        shapes=shapes,
        options=options,
    )
    manifest = path / "loupe_manifest.json"
    found.facts = hf.read_json(manifest) if manifest.exists() else {}
    return found


def shapes_in(path: Path, state_key: str | None = None) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """(shapes of the tensors of a file of weights, notes); of safetensors from its header."""
    if path.suffix == ".safetensors" or magic(path) == "safetensors":
        from analysis.sources.safetensors_file import headers

        return in_natural_order({k: h.shape for k, h in headers(path).items()}), []
    state, notes = read_state(path, state_key)
    return {k: tuple(v.shape) for k, v in state.items() if hasattr(v, "shape")}, notes


def _of_file(path: Path, model: str | None, options: dict) -> Checkpoint:
    refuse_empty(path)
    if path.suffix == ".safetensors":
        refuse_pickle(path, "a safetensors file")
    shapes, notes = shapes_in(path, options["state_key"])
    found = Checkpoint(
        "state_dict",
        path.stem,
        path,
        architecture=model or "",
        notes=notes,
        model=model,
        shapes=shapes,
        options=options,
    )
    manifest = path.parent / "loupe_manifest.json"
    found.facts = hf.read_json(manifest) if manifest.exists() else {}
    return found
