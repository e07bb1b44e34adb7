"""Pictures among words: what a LLaVA network is given for a picture is one question, the same for all of them.

    USER: <picture> What is in the picture? ASSISTANT:

with as many picture tokens as the vision tower gives patches. Texts go in as they are, without a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import InputError
from analysis.sources.hugging_face_inputs import ImageInputs, TextInputs

KINDS = ("llava",)  # networks of other names lay their picture tokens out in other ways
BEFORE, BEHIND = "USER: ", "\nWhat is in the picture? ASSISTANT:"
SAID = f"Every picture is asked about in the same words: {BEFORE}<picture> {BEHIND.strip()}"


@dataclass
class PicturedInputs:
    """Prepares pictures or texts. `picture` the id of a picture token, `patch` the side of a patch, `extra` tokens of
    the vision tower that are no patches and are kept."""

    images: ImageInputs
    words: TextInputs
    picture: int
    patch: int
    extra: int = 0

    def __call__(self, items: list) -> dict:
        import torch

        if isinstance(items[0], str):
            return self.words(items)
        pixels = self.images(items)["pixel_values"]
        if pixels.ndim != 4:
            raise InputError(
                f"pictures prepared as {tuple(pixels.shape)}", "one picture of one size for each sample"
            )
        ids = torch.tensor([self._ids(pixels)] * len(pixels))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}

    def _ids(self, pixels) -> list[int]:
        count = (pixels.shape[2] // self.patch) * (pixels.shape[3] // self.patch) + self.extra
        tokenizer = self.words.tokenizer
        before = tokenizer(BEFORE)["input_ids"]
        behind = tokenizer(BEHIND, add_special_tokens=False)["input_ids"]
        return [*before, *[self.picture] * count, *behind]

    def texts(self, items: list) -> list[list[str]]:
        """The text of each token; of a picture's "picture"."""
        if isinstance(items[0], str):
            return self.words.texts(items)
        every = self(items)["input_ids"].tolist()
        return [["picture" if i == self.picture else self.words.decode(i) for i in ids] for ids in every]


def pictured(config, images: ImageInputs, words: TextInputs) -> PicturedInputs:
    """What prepares items for a network of this configuration."""
    vision = config.vision_config
    token = getattr(config, "image_token_id", None)
    token = config.image_token_index if token is None else token
    whole = getattr(config, "vision_feature_select_strategy", "default") != "default"
    return PicturedInputs(images, words, int(token), int(vision.patch_size), int(whole))
