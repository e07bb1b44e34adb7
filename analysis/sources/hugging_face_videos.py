"""Clips to tensors with a video network's own processor: (b, frames, c, h, w), as many frames as the network has."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.sources.hugging_face_inputs import ImageInputs, as_image
from analysis.sources.preparing import eight_bit

CHANNELS = (1, 3)
PATCH_FIRST = ("timesformer",)  # kinds whose tokens go through the frames of a patch, then to the next


def frames_of(config) -> int | None:
    """How many frames a network of clips takes; None of one that takes no clips."""
    found = getattr(config, "num_frames", None)
    cuts = hasattr(config, "patch_size") or hasattr(config, "tubelet_size")
    return found if isinstance(found, int) and found > 0 and cuts else None


@dataclass
class VideoInputs:
    """Of clips (frames, h, w[, c]) or (frames, c, h, w); of more or fewer frames than `frames` as many as these, as far
    apart as each other."""

    images: ImageInputs
    frames: int
    notes: list[str] = field(default_factory=list)

    def __call__(self, items: list) -> dict:
        clips = [self._clip(item) for item in items]
        made = self.images.processor(
            [[eight_bit(i).convert("RGB") for i in c] for c in clips], return_tensors="pt"
        )
        return dict(made)

    def _clip(self, item) -> list:
        clip = np.asarray(item)
        is_clip = clip.ndim == 3 or (
            clip.ndim == 4 and (clip.shape[1] in CHANNELS or clip.shape[3] in CHANNELS)
        )
        if not is_clip or not len(clip):
            raise InputError(f"an item of shape {clip.shape}", "a clip (frames, height, width[, channels])")
        if len(clip) != self.frames:
            note = f"Clips of other lengths than {self.frames} frames are read at {self.frames} even places"
            self.notes += [note] * (note not in self.notes)
            clip = clip[np.round(np.linspace(0, len(clip) - 1, self.frames)).astype(int)]
        return [as_image(frame) for frame in clip]
