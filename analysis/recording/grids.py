"""Where the tokens of an image network sit: (height, width) of the patch grid, and the tokens before it.

Known from the network's own patch convolution and its config; otherwise guessed from square numbers: T = s * s
without, T = s * s + 1 with a class token. A tap's user can say otherwise ("name@leading=5").
"""

from __future__ import annotations

from math import isqrt

from analysis.sources.hugging_face_videos import PATCH_FIRST

MOST_LEADING = 16  # class, distillation and register tokens; more is not a leading run
BY_FRAME = "the network has its tokens patch by patch; they are kept frame by frame"


def below_each_other(volume) -> tuple[int, int]:
    """The grid of a volume (frames, rows, columns): one frame below the other."""
    return int(volume[0] * volume[1]), int(volume[2])


class GridFinder:
    """Collects the grids that a dry run shows, then answers for a number of tokens.

    Parameters
    ----------
    config : object or None
        A transformers config: image_size, patch_size, num_register_tokens are read where present.
    image_size : (height, width) or None
        Size of the prepared input; None for anything but images, which have no grid at all.
    """

    def __init__(self, config, image_size: tuple[int, int] | None) -> None:
        self.image_size = image_size
        self.seen: list[tuple[int, int]] = []
        vision = getattr(config, "vision_config", None) or config
        self.frames = getattr(vision, "num_frames", None)
        self.patch_first = getattr(vision, "model_type", "") in PATCH_FIRST
        patch = getattr(vision, "patch_size", None)
        if image_size and isinstance(patch, int) and patch > 0:
            self.seen.append((image_size[0] // patch, image_size[1] // patch))
        elif image_size and isinstance(patch, (tuple, list)) and len(patch) == 2:
            self.seen.append((image_size[0] // int(patch[0]), image_size[1] // int(patch[1])))

        if (
            self.frames and self.seen
        ):  # each frame is cut by itself; what cuts several at once is seen as it runs
            self.seen = [below_each_other((self.frames, *self.seen[0]))]

    def saw(self, module, size: tuple[int, ...]) -> None:
        """Note a patch convolution (kernel = stride > 1) and the size of its output, of pictures or of clips."""
        kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
        if kernel == stride and isinstance(kernel, tuple) and len(kernel) == len(size) and max(kernel) > 1:
            if len(size) == 3:
                self.seen.append(below_each_other(size))
            elif not self.frames:
                self.seen.append(size)

    def by_frame(self, n_tokens: int) -> tuple[int, ...]:
        """Places of tokens that lie patch by patch, frame by frame; nothing where they lie so already."""
        (grid, leading), t = self.find(n_tokens), self.frames
        if not (self.patch_first and t and t > 1 and grid in self.seen):
            return ()
        patches = (n_tokens - leading) // t
        return (*range(leading), *(leading + p * t + f for f in range(t) for p in range(patches)))

    def find(self, n_tokens: int) -> tuple[tuple[int, int] | None, int]:
        """(grid, leading) of a tap with `n_tokens` tokens; (None, 0) where unknown or no image."""
        if self.image_size is None or n_tokens < 1:
            return None, 0
        if n_tokens == 1:  # pooled to one position
            return (1, 1), 0
        for h, w in reversed(self.seen):
            if h * w and 0 <= n_tokens - h * w <= min(MOST_LEADING, h * w):
                return (h, w), n_tokens - h * w
        for leading in (0, 1):
            side = isqrt(n_tokens - leading)
            if side > 1 and side * side == n_tokens - leading:
                return (side, side), leading
        return None, 0
