"""Any `torch.nn.Module` as a LoadedModel: its own `prepare`, `tokens`, `loss` and `class_names` where it has them."""

from __future__ import annotations

from analysis.errors import InputError
from analysis.sources.digests import text_digest
from analysis.sources.loaded_model import LoadedModel
from analysis.sources.preparing import Preparer, first_layer


def wrap(module, *, notes: list[str] | None = None, input_size: tuple[int, int] | None = None) -> LoadedModel:
    """Put the module into eval mode and give it a way to prepare items.

    Optional on the module: `prepare(items) -> Tensor or dict`, `tokens(items) -> list of lists of text`,
    `loss(outputs, labels) -> (b,)`, `class_names`, `modality`, `sampling_rate`, `causal` (bool).
    """
    module.eval()  # nothing else is changed: a network passed in from Python may still be in training
    own = getattr(module, "prepare", None)
    preparer = own if callable(own) else Preparer(module, input_size)
    notes = list(notes or [])
    if not callable(own):
        notes.append(f"Inputs: {preparer.describe()}; give the module a prepare(items) method to change that")
    return LoadedModel(
        module=module,
        modality=guess_modality(module),
        preparer=preparer,
        class_names=tuple(str(c) for c in getattr(module, "class_names", ())),
        notes=notes,
        token_texts=_method(module, "tokens"),
        own_loss=_method(module, "loss"),
        sampling_rate=getattr(module, "sampling_rate", None),
        causal=bool(getattr(module, "causal", False)),
    )


def _method(module, name: str):
    found = getattr(module, name, None)
    return found if callable(found) and not hasattr(found, "forward") else None


def guess_modality(module) -> str | None:
    """The module's own word, else what its first layer takes; None where that does not tell."""
    said = getattr(module, "modality", None)
    if said is not None:
        if said not in ("image", "text", "audio", "table", "array"):
            raise InputError(f"the module's modality is {said!r}", "image, text, audio, table or array")
        return said
    layer = first_layer(module)
    return {"Conv2d": "image", "Embedding": "text"}.get(type(layer).__name__)


def module_digest(module) -> str:
    """Digest of every tensor of the state dict and of the printed structure. One pass over the weights."""
    import hashlib

    import torch

    h = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            continue
        value = value.detach().cpu().contiguous()
        h.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        if value.numel():
            h.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return text_digest(
        [h.hexdigest(), f"{type(module).__module__}.{type(module).__qualname__}", repr(module)]
    )
