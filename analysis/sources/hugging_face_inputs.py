"""Items to tensors with the checkpoint's own tokenizer, image processor or feature extractor."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.sources.preparing import eight_bit, image_pixels, is_image

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
                   "sentencepiece.bpe.model", "vocab.model", "tekken.json")  # fmt: skip
UNMASKED = "Clips of different lengths are padded with silence, and this network gets no mask for it"
DEFAULT_LIMIT = 1024  # tokens, where neither the tokenizer nor the network names a limit


def load_part(auto, folder: Path, **options):
    """`from_pretrained` of an Auto class: this folder only, no code of its own. Raises InputError."""
    try:
        return auto.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:
        raise InputError(
            f"{auto.__name__} cannot read {folder} ({first_line(error)})",
            "files that the installed transformers knows",
            "Save them again with save_pretrained, or install what the message names",
        ) from error


def first_line(error: Exception) -> str:
    """The first line of a message, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"


@dataclass
class ImageInputs:
    """(b, c, h, w) as the image processor makes it; `channels` of the network: 1 asks for grey images."""

    folder: Path
    channels: int
    processor: object = None

    def __post_init__(self) -> None:
        from transformers import AutoImageProcessor

        if (
            not (self.folder / "preprocessor_config.json").exists()
            and not (self.folder / "processor_config.json").exists()
        ):
            raise NotFound(
                f"{self.folder} has no preprocessor_config.json",
                "the image processor's settings (size, mean, standard deviation)",
                "Save them beside the model with image_processor.save_pretrained(folder)",
            )
        self.processor = load_part(AutoImageProcessor, self.folder, backend="pil")

    def __call__(self, items: list) -> dict:
        images = [as_image(item) for item in items]
        if (
            self.channels == 1
        ):  # an explicit channel axis: the processor takes a bare (h, w) for a list of rows
            images = [image_pixels(i, "L")[..., None] for i in images]
            return dict(self.processor(images=images, input_data_format="channels_last", return_tensors="pt"))
        images = [eight_bit(i).convert("RGB") for i in images]
        return dict(self.processor(images=images, return_tensors="pt"))


def as_image(item):
    """A Pillow image from one, or from a uint8/float array (h, w) or (h, w, c) or (c, h, w)."""
    from PIL import Image

    if is_image(item):
        return item
    array = np.asarray(item)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiub":
        raise InputError(f"an item of shape {array.shape} and type {array.dtype}", "an image")
    if array.dtype != np.uint8:
        scale = 255.0 if array.max(initial=0) <= 1 else 1.0
        array = (array * scale).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(array)


@dataclass
class TextInputs:
    """Token ids and attention mask, padded on the right; texts longer than `limit` tokens are cut.

    left_out : tokens beyond the limit, of each text of the last batch.
    """

    folder: Path
    config: object
    notes: list[str]
    tokenizer: object = None
    limit: int = DEFAULT_LIMIT
    left_out: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        from transformers import AutoTokenizer

        if not any((self.folder / name).exists() for name in TOKENIZER_FILES):
            raise NotFound(
                f"{self.folder} has no tokenizer files",
                "tokenizer.json (or the vocabulary) beside config.json",
                "Save them with tokenizer.save_pretrained(folder)",
            )
        self.tokenizer = load_part(AutoTokenizer, self.folder)
        self.tokenizer.padding_side = "right"  # padding before the text would shift what the network sees
        if self.tokenizer.pad_token_id is None and self.tokenizer.eos_token_id is not None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
            self.notes.append(
                "The tokenizer has no padding token; its end-of-text token pads (and is masked)"
            )
        limits = [getattr(self.config, k, None) for k in ("max_position_embeddings", "n_positions")]
        limits = [
            n for n in [*limits, self.tokenizer.model_max_length] if isinstance(n, int) and 0 < n < 10**7
        ]
        if self.config.model_type in ("roberta", "xlm-roberta", "camembert") and limits:
            limits.append(limits[0] - 2)  # its positions start after the padding index
        self.limit = min(limits, default=DEFAULT_LIMIT)

    def encode(self, items: list) -> list[list[int]]:
        """Token ids of each text, cut at `limit`."""
        texts = [self._text(item) for item in items]
        whole = self.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        ids = self.tokenizer(texts, truncation=True, max_length=self.limit)["input_ids"]
        if not all(ids):
            raise InputError(
                "a text without any token (empty?)", "at least one token", "Leave empty texts out"
            )
        self.left_out = [len(long) - len(short) for long, short in zip(whole, ids, strict=True)]
        return [list(i) for i in ids]

    def __call__(self, items: list) -> dict:
        import torch

        ids = self.encode(items)
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        pad = 0 if pad is None else pad  # any id serves: the mask hides it
        padded = torch.tensor([i + [pad] * (longest - len(i)) for i in ids])
        mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in ids])
        return {"input_ids": padded, "attention_mask": mask}

    def texts(self, items: list) -> list[list[str]]:
        """Each token decoded on its own, so that a reader sees it; its vocabulary entry where that is empty."""
        return [[self.decode(i) for i in ids] for ids in self.encode(items)]

    def decode(self, token: int) -> str:
        """The text of one token id."""
        text = self.tokenizer.decode([int(token)])
        return text or str(self.tokenizer.convert_ids_to_tokens(int(token)) or f"token {int(token)}")

    @staticmethod
    def _text(item) -> str:
        if not isinstance(item, str):
            raise InputError(f"the network takes text, but an item is a {type(item).__name__}", "text items")
        return item


@dataclass
class AudioInputs:
    """What the feature extractor makes of mono clips; clips of another sampling rate are resampled first."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    extractor: object = None
    sampling_rate: int = 16000

    def __post_init__(self) -> None:
        from transformers import AutoFeatureExtractor

        self.extractor = load_part(AutoFeatureExtractor, self.folder)
        self.sampling_rate = int(getattr(self.extractor, "sampling_rate", 16000))

    def __call__(self, items: list) -> dict:
        from analysis.sources.clips import resampled

        clips = []
        for item in items:
            clip = resampled(np.asanyarray(item), self.sampling_rate)
            if clip.ndim != 1 or clip.dtype.kind != "f":
                raise InputError(
                    f"an item of shape {clip.shape} ({clip.dtype})", "a mono clip, (samples,) floats"
                )
            clips.append(np.asarray(clip, dtype=np.float32))
        options = {"sampling_rate": self.sampling_rate, "return_tensors": "pt"}
        if len({len(c) for c in clips}) > 1 and not self.pads_itself():
            options["padding"] = True
        inputs = dict(self.extractor(clips, **options))
        if "padding" in options and "attention_mask" not in inputs and UNMASKED not in self.notes:
            self.notes.append(UNMASKED)
        return inputs

    def pads_itself(self) -> bool:
        """Extractors of a fixed window (Whisper's 30 s) pad to it unless told otherwise."""
        padding = signature(self.extractor.__call__).parameters.get("padding")
        return padding is None or padding.default not in (False, None)
