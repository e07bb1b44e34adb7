"""Where the tokens of an image network sit: (height, width) of the patch grid, and the tokens before it.

Known from the network's own patch convolution and its config; otherwise guessed from square numbers: T = s * s
without, T = s * s + 1 with a class token. A tap's user can say otherwise ("name@leading=5").
"""

from __future__ import annotations

from math import isqrt

MOST_LEADING = 16  # class, distillation and register tokens; more is not a leading run


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
        patch = getattr(vision, "patch_size", None)
        if image_size and isinstance(patch, int) and patch > 0:
            self.seen.append((image_size[0] // patch, image_size[1] // patch))
        elif image_size and isinstance(patch, (tuple, list)) and len(patch) == 2:
            self.seen.append((image_size[0] // int(patch[0]), image_size[1] // int(patch[1])))

    def saw(self, module, size: tuple[int, int]) -> None:
        """Note a patch convolution (kernel = stride > 1) and the size of its output."""
        kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
        if kernel == stride and isinstance(kernel, tuple) and len(kernel) == 2 and max(kernel) > 1:
            self.seen.append(size)

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
