"""Which axis of a module's output is the batch, which is the unit, and which are positions.

A dry run sees every module in execution order, children before the modules that hold them. The unit axis of an
output is decided by the first of these that answers:

1. the module itself: convolutions, batch norms and pools are channels-first; linear maps, embeddings and layer
   norms name the size of their unit axis;
2. memory: an output that shares its memory with one already decided (a container returning its child's tensor,
   a transposed or flattened view) has the unit axis at the same stride;
3. the input, where it has the same number of axes (residual blocks, activations);
4. the latest output of the same shape, then of the same number of axes;
5. the custom of the field: (batch, token, unit) for three axes, (batch, unit, height, width) for four.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT_BYTES = 512 << 20  # outputs held alive in a dry run, so that an address means one tensor only


@dataclass(frozen=True)
class Axes:
    """Axes of a raw output: `unit` is None for (batch,), `tokens` are the others in order."""

    batch: int
    unit: int | None
    tokens: tuple[int, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Name of each axis in order, e.g. ("batch", "unit", "height", "width")."""
        names = {0: (), 1: ("token",), 2: ("height", "width")}.get(
            len(self.tokens), tuple(f"position {i}" for i in range(len(self.tokens)))
        )
        named = {self.batch: "batch", self.unit: "unit", **dict(zip(self.tokens, names, strict=True))}
        named.pop(None, None)
        return tuple(named[i] for i in sorted(named))


def to_tokens(x, axes: Axes):
    """View of `x` as (batch, tokens, units); outputs without positions get one token. No copy for views."""
    if axes.unit is None:
        return x.reshape(-1, 1, 1)
    x = x.permute(axes.batch, *axes.tokens, axes.unit)
    return x.reshape(x.shape[0], -1, x.shape[-1]) if axes.tokens else x.unsqueeze(1)


def batch_axis(x, batch: int) -> int | None:
    """The batch axis of the output `x` for one sample given `batch` times; None where no axis is it.

    The first; or the second of three, as sequence-first networks have it, where the copies are indeed equal there.
    """
    import torch

    if x.ndim and x.shape[0] == batch:
        return 0
    if x.ndim == 3 and x.shape[1] == batch and x.numel():
        one, other = x[:, 0], x[:, 1]
        if torch.allclose(
            one, other, rtol=1e-3, atol=1e-5 * float(one.abs().nan_to_num().max()), equal_nan=True
        ):
            return 1
    return None


def own_unit_axis(module, shape: tuple[int, ...]) -> int | None:
    """The unit axis that the module's own type and parameters tell, or None. See rule 1."""
    from torch import nn
    from torch.nn.modules import batchnorm, conv, dropout, instancenorm, pooling

    channels_first = (
        conv._ConvNd, batchnorm._BatchNorm, instancenorm._InstanceNorm, nn.GroupNorm, pooling._MaxPoolNd,
        pooling._AvgPoolNd, pooling._AdaptiveMaxPoolNd, pooling._AdaptiveAvgPoolNd, pooling._LPPoolNd,
        dropout.Dropout1d, dropout.Dropout2d, dropout.Dropout3d, nn.Upsample, nn.PixelShuffle,
    )  # fmt: skip
    if isinstance(module, channels_first):
        return 1
    if (
        isinstance(module, (nn.Linear, nn.Embedding, nn.MultiheadAttention))
        or type(module).__name__ == "Conv1D"
    ):
        return len(shape) - 1  # transformers' Conv1D is a linear map
    size = _normalised_size(module)
    if size is None:
        return None
    first, last = shape[1] == size, shape[-1] == size
    if first and last:  # a square: the module's own word, else the usual one
        said_first = getattr(module, "data_format", "") == "channels_first" or type(module).__name__.endswith(
            "2d"
        )
        return 1 if said_first else len(shape) - 1
    return 1 if first else (len(shape) - 1 if last else None)


def _normalised_size(module) -> int | None:
    """The number of units of a layer or RMS norm."""
    if "norm" not in type(module).__name__.lower():
        return None
    shape = getattr(module, "normalized_shape", None)
    if shape is None and getattr(module, "weight", None) is not None and module.weight.ndim == 1:
        shape = tuple(module.weight.shape)
    return int(shape[0]) if shape is not None and len(shape) == 1 else None


class AxisTrace:
    """Remembers decided outputs of one dry run so that later modules can inherit from them."""

    def __init__(self) -> None:
        self._alive: deque = deque()
        self._bytes = 0
        self._by_address: dict[int, tuple] = {}  # address -> (shape, strides, unit axis)
        self._by_shape: dict[tuple[int, ...], int] = {}
        self._by_rank: dict[int, int] = {}

    def unit_axis(self, module, x, given) -> tuple[int, bool]:
        """Unit axis of the output `x` of `module` for input `given`, and whether it is only an assumption."""
        shape = tuple(x.shape)
        if len(shape) == 2:
            return 1, False
        axis = own_unit_axis(module, shape)
        if axis is None:
            axis = self._from_memory(x)
        if axis is None and given is not None and given.ndim == x.ndim:
            axis = self._from_memory(given)
        if axis is None:
            axis = self._by_shape.get(shape, self._by_rank.get(len(shape)))
        if axis is not None:
            return axis, False
        return (2 if len(shape) == 3 else 1), True

    def remember(self, x, axis: int, assumed: bool) -> None:
        """Keep an output alive, and its axis unless that was only assumed; the oldest go beyond `KEPT_BYTES`."""
        address = x.data_ptr()
        if not assumed:
            self._by_address[address] = (tuple(x.shape), x.stride(), axis)
            self._by_shape[tuple(x.shape)] = self._by_rank[x.ndim] = axis
        self._alive.append((address, x))
        self._bytes += x.nbytes
        while self._bytes > KEPT_BYTES and len(self._alive) > 1:
            old, tensor = self._alive.popleft()
            self._bytes -= tensor.nbytes
            self._by_address.pop(old, None)

    def _from_memory(self, x) -> int | None:
        known = self._by_address.get(x.data_ptr())
        if known is None:
            return None
        shape, strides, axis = known
        if shape == tuple(x.shape) and strides == x.stride():
            return axis
        same = [i for i in range(1, x.ndim) if x.stride(i) == strides[axis] and x.shape[i] == shape[axis]]
        return same[0] if len(same) == 1 else None
