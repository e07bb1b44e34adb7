"""A Hugging Face model directory read from its files alone: config.json, headers, and what must be refused."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.errors import InputError, NotFound, UnsafeFile
from analysis.sources.file_magic import refuse_empty
from analysis.sources.module_tree import in_natural_order
from analysis.sources.safetensors_file import headers

SIDE_FILES = (
    "config.json", "preprocessor_config.json", "processor_config.json", "feature_extractor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model",
)  # fmt: skip
MOST_LAYERS = 1000
REMEDY_WEIGHTS = "Save it with save_pretrained(folder), which writes model.safetensors"


def read_json(path: Path) -> dict:
    """A JSON object. Raises InputError with the line where it breaks."""
    refuse_empty(path)
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", "a JSON file") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error.msg} in line {error.lineno}", "a JSON object") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply", "a JSON object") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}", "a JSON object")
    return value


def read_config(folder: Path) -> dict:
    """config.json of a model directory, refused where anything beside it asks for code of its own.

    Raises
    ------
    NotFound
        There is no config.json.
    UnsafeFile
        "auto_map" in a configuration file, or an attention implementation fetched from a hub.
    """
    path = folder / "config.json"
    if not path.exists():
        raise NotFound(
            f"{folder} has no config.json",
            "a Hugging Face model directory (config.json beside model.safetensors)",
            "Give the folder that save_pretrained wrote, or a weight file with --model package.module:factory",
        )
    for name in SIDE_FILES:
        if name.endswith("config.json") and (folder / name).exists():
            refuse_remote_code(folder / name)
    config = read_json(path)
    names = config.get("architectures")
    if names is not None and not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        raise InputError(f"{path} has architectures = {names!r}"[:300], "a list of class names")
    return config


def refuse_endless(path: Path, config: dict, n_tensors: int) -> None:
    """Raise InputError where config.json asks for more layers than the weights can fill: building would not end."""
    for key in ("num_hidden_layers", "num_layers", "n_layer", "n_layers"):
        layers = config.get(key)
        if isinstance(layers, int) and layers > max(MOST_LAYERS, n_tensors):
            raise InputError(
                f"{path} asks for {key} = {layers:,}, but there are {n_tensors:,} weight tensors",
                "weights and config.json of one and the same network",
                "Save both again with save_pretrained",
            )


def refuse_remote_code(path: Path) -> None:
    """Raise UnsafeFile where a configuration file asks for Python that is not part of transformers."""
    stack = [read_json(path)]
    while stack:
        value = stack.pop()
        for key, entry in value.items():
            if key == "auto_map" and entry:
                raise UnsafeFile(
                    f"{path} asks for code that comes with the checkpoint (auto_map: {_first(entry)}); it was not run",
                    "a model type that transformers itself knows",
                    "Open such a model in Python yourself and pass the nn.Module to open_checkpoint",
                )
            if key.endswith("_implementation") and isinstance(entry, str) and "/" in entry:
                raise UnsafeFile(
                    f"{path} asks for a kernel from a hub ({key}: {entry})", "an implementation of transformers",
                    f"Remove '{key}' from the file",
                )  # fmt: skip
            if isinstance(entry, dict):
                stack.append(entry)


def _first(auto_map) -> str:
    values = list(auto_map.values()) if isinstance(auto_map, dict) else [auto_map]
    return str(values[0])[:80]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model directory, all shards present.

    Raises NotFound naming the missing shards, or what is there instead.
    """
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise InputError(f"{index} has no weight_map", "the index that save_pretrained writes")
        shards = sorted({str(n) for n in names.values()})
        outside = [n for n in shards if Path(n).name != n]
        if outside:
            raise UnsafeFile(
                f"{index} points outside its folder ({outside[0]})", "file names of shards beside it"
            )
        missing = [n for n in shards if not (folder / n).exists()]
        if missing:
            raise NotFound(
                f"{folder} lacks {len(missing)} of {len(shards)} weight files ({', '.join(missing[:3])})",
                "every shard that model.safetensors.index.json names",
                "Copy or download the missing files",
            )
        return [folder / n for n in shards]
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    others = sorted(
        p.name
        for p in folder.iterdir()
        if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".h5", ".safetensors")
    )
    found = f"only {', '.join(others[:4])}" if others else "no weight file"
    raise NotFound(f"{folder} has {found}", "model.safetensors", REMEDY_WEIGHTS)


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by name, from the headers of all shards."""
    found = {name: h.shape for path in weight_files(folder) for name, h in headers(path).items()}
    return in_natural_order(found)


def digest_files(folder: Path) -> list[Path]:
    """Everything that decides what the network computes from an item: weights, config, preprocessing, vocabulary."""
    return weight_files(folder) + [folder / name for name in SIDE_FILES if (folder / name).exists()]


def modality_of(folder: Path, config: dict) -> str | None:
    """image, text or audio, from the side files and the configuration; None where nothing tells.

    Networks of two modalities (CLIP and kin) count as image; their text side takes texts all the same.
    """
    preprocessor = folder / "preprocessor_config.json"
    given = read_json(preprocessor) if preprocessor.exists() else {}
    if "image_processor_type" in given or "image_mean" in given:
        return "image"
    if "sampling_rate" in given:  # before the name: speech networks too are called ForSequenceClassification
        return "audio"
    architecture = next(iter(config.get("architectures") or [""]), "")
    for words, modality in (
        (("ForImage", "Vision"), "image"),
        (("ForAudio", "ForCTC", "ForSpeech"), "audio"),
        (("ForCausalLM", "ForMaskedLM", "LMHead", "ForSequence", "ForToken"), "text"),
    ):
        if any(w in architecture for w in words):
            return modality
    for keys, modality in ((("num_channels", "image_size", "vision_config"), "image"),
                           (("num_mel_bins", "conv_stride", "feat_extract_norm", "sampling_rate"), "audio"),
                           (("vocab_size", "text_config"), "text")):  # fmt: skip
        if any(k in config for k in keys):
            return modality
    return None
