"""A Hugging Face model directory to a LoadedModel, by classes of the installed transformers only.

`local_files_only=True`, `trust_remote_code=False`, safetensors weights, float32 on the CPU. Weights that the file
lacks would be random numbers, so a network with such weights is refused (a pooler aside, which is named).
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError
from analysis.sources.hugging_face_files import modality_of, read_config, weight_files
from analysis.sources.hugging_face_inputs import (
    TOKENIZER_FILES,
    AudioInputs,
    ImageInputs,
    TextInputs,
    first_line,
)
from analysis.sources.hugging_face_pictured import KINDS, SAID, pictured
from analysis.sources.hugging_face_videos import VideoInputs, frames_of
from analysis.sources.loaded_model import LoadedModel

SHOWN = 4


@contextmanager
def offline():
    """No request leaves this machine meanwhile, whatever the libraries would like to look up."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def load(folder: Path, *, attention: str | None = None) -> LoadedModel:
    """Read weights and preprocessing. `attention`: "eager" where attention weights are wanted, else the default.

    Raises UnsafeFile, NotFound or InputError; nothing of the checkpoint's own code is ever run.
    """
    raw = read_config(folder)
    weight_files(folder)
    modality = modality_of(folder, raw)
    notes: list[str] = []
    with offline(), quiet():
        config = known_config(folder, raw)
        model = read_model(folder, config, notes, attention)
        return assembled(folder, model, config, modality, notes)


@contextmanager
def quiet():
    """Silence transformers' loading report: what matters of it becomes a note or a refusal."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def known_config(folder: Path, raw: dict):
    """The configuration object. Raises InputError for a model type that transformers does not know."""
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = raw.get("model_type")
    if kind not in CONFIG_MAPPING:
        from difflib import get_close_matches

        near = get_close_matches(str(kind), list(CONFIG_MAPPING.keys()), 3)
        raise InputError(
            f"{folder / 'config.json'} has model_type {kind!r}",
            f"a type that transformers {transformers.__version__} knows"
            + (f" (near: {', '.join(near)})" if near else ""),
            "Install a newer transformers, or pass the nn.Module itself from Python",
        )
    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise InputError(f"{folder / 'config.json'} is not valid for {kind} ({first_line(error)})") from error


def model_class(config, notes: list[str]):
    """The class that config.architectures names, where it is one of transformers' own for this configuration;
    the bare network (AutoModel) otherwise."""
    import transformers
    from transformers import AutoModel, PreTrainedModel

    name = next(iter(config.architectures or []), None)
    named = getattr(transformers, name, None) if name else None
    if isinstance(named, type) and issubclass(named, PreTrainedModel) and named.config_class is type(config):
        return named
    why = f"does not know the architecture {name!r}" if name else "is not told an architecture"
    notes.append(f"transformers {why}: the bare {config.model_type} network is opened, without a head")
    return AutoModel


def read_model(folder: Path, config, notes: list[str], attention: str | None):
    """The network in eval mode, every weight from the file."""
    import torch

    chosen = model_class(config, notes)
    options = {
        "local_files_only": True,
        "use_safetensors": True,
        "dtype": torch.float32,
        "output_loading_info": True,
    }
    if attention:
        options["attn_implementation"] = attention
    if chosen.__name__ == "AutoModel":
        options["trust_remote_code"] = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a missing pooler is at least the same each time
        try:
            model, info = chosen.from_pretrained(str(folder), config=config, **options)
        except Exception as error:
            raise InputError(
                f"the weights in {folder} cannot be read into {chosen.__name__} ({first_line(error)})",
                "weights and config.json of one and the same network",
                "Save both again with save_pretrained",
            ) from error
    explain_loading(folder, type(model).__name__, info, notes)
    return model.eval().requires_grad_(False)


def explain_loading(folder: Path, name: str, info: dict, notes: list[str]) -> None:
    """Refuse other shapes and missing weights, note unused ones."""
    missing, unused = sorted(info.get("missing_keys") or []), sorted(info.get("unexpected_keys") or [])
    other = sorted(
        str(k[0] if isinstance(k, (tuple, list)) else k) for k in info.get("mismatched_keys") or []
    )
    pooler = [k for k in missing if "pooler" in k]
    absent = [k for k in missing if "pooler" not in k]
    if other or absent:
        parts = [f"{len(k)} {what} ({', '.join(k[:SHOWN])}{', …' if len(k) > SHOWN else ''})"
                 for k, what in ((absent, "missing"), (other, "of another shape")) if k]  # fmt: skip
        raise InputError(
            f"the weights in {folder} do not fit {name}: {'; '.join(parts)}; they would be random numbers",
            "every weight of the network in the file",
            "Check 'architectures' and the sizes in config.json",
        )
    if pooler:
        notes.append(
            f"The pooler is not in the file and is random: do not read tap '{pooler[0].rpartition('.')[0]}'"
        )
    if unused:
        notes.append(
            f"{len(unused)} tensors of the file are not used by {name} ({', '.join(unused[:SHOWN])})"
        )


def assembled(folder: Path, model, config, modality: str | None, notes: list[str]) -> LoadedModel:
    """The network with what prepares its items."""
    architecture = type(model).__name__
    names = getattr(config, "id2label", None) or {}
    has_classes = "Classification" in architecture
    text = TextInputs(folder, config, notes) if modality == "text" else None
    loaded = LoadedModel(
        module=model,
        modality=modality,
        preparer=text,
        class_names=tuple(str(names[i]) for i in sorted(names)) if has_classes else (),
        notes=notes,
        causal="CausalLM" in architecture or "LMHeadModel" in architecture,
        masked="ForMaskedLM" in architecture or "ForPreTraining" in architecture or "ForCTC" in architecture,
    )
    if text is not None:
        loaded.token_texts, loaded.decode, loaded.text_inputs = text.texts, text.decode, text
    elif modality == "audio":
        loaded.preparer = AudioInputs(folder, notes)
        loaded.sampling_rate = loaded.preparer.sampling_rate
    elif modality == "image":
        loaded.preparer = image_or_text(folder, config, notes, loaded)
    else:
        raise InputError(
            f"{folder} does not tell whether it takes images, text or audio", "its preprocessing files"
        )
    if getattr(config, "is_encoder_decoder", False) and not has_classes:
        loaded.call = run_encoder_decoder  # with classes, the network feeds its own decoder
    return loaded


def image_or_text(folder: Path, config, notes: list[str], loaded: LoadedModel):
    """The image side's preparer; for networks of two modalities also the text side, chosen by the items."""
    vision = getattr(config, "vision_config", None) or config
    images = ImageInputs(folder, int(getattr(vision, "num_channels", 3) or 3))
    if frames := frames_of(config):
        return VideoInputs(images, frames, notes)
    if not hasattr(loaded.module, "get_image_features"):
        return images
    asked = config.model_type in KINDS and any((folder / name).exists() for name in TOKENIZER_FILES)
    if asked:
        words = TextInputs(folder, config.text_config, notes)
        both = pictured(config, images, words)
        loaded.token_texts, loaded.decode, loaded.causal = both.texts, words.decode, True
        notes.append(SAID)
        return both
    loaded.call = run_one_side
    notes.append("A network of images and texts: each runs through its own side, by what the items are")

    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        return images
    loaded.text_inputs = texts = TextInputs(folder, getattr(config, "text_config", config), notes)
    loaded.token_texts = lambda items: texts.texts(items) if isinstance(items[0], str) else None
    return lambda items: texts(items) if isinstance(items[0], str) else images(items)


def run_one_side(module, inputs):
    """Image or text features of a dual encoder."""
    if "pixel_values" in inputs:
        return {"features": module.get_image_features(**inputs)}
    return {"features": module.get_text_features(**inputs)}


def run_encoder_decoder(module, inputs):
    """Encoder states and a decoder that sees its start token only: what the encoder makes of the item is the point."""
    import torch

    first = next(iter(inputs.values()))
    start = module.config.decoder_start_token_id
    start = start if start is not None else (module.config.bos_token_id or module.config.pad_token_id or 0)
    decoder = torch.full((len(first), 1), int(start), dtype=torch.long)
    raw = module(**inputs, decoder_input_ids=decoder)
    return {"states": raw[0]}
