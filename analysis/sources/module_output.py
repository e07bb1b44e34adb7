"""What a module gives, where one tensor of it is looked at or exchanged."""

from __future__ import annotations

from analysis.errors import InputError

RECORDED = 5e-3  # relative difference that half precision and another order of sums leave


def first_tensor(output, name: str):
    """The first tensor of what module `name` gave, as it is recorded. Raises InputError where there is none."""
    import torch

    while isinstance(output, (tuple, list)) and len(output):
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise InputError(
            f"module '{name}' gives a {type(output).__name__}", "a tensor, or a tuple that begins with one",
            "Choose another tap",
        )  # fmt: skip
    return output


def put_back(output, tensor):
    """The same with its first tensor exchanged."""
    if not isinstance(output, (tuple, list)):
        return tensor
    new = (put_back(output[0], tensor), *output[1:])
    return type(output)(*new) if hasattr(output, "_fields") else type(output)(new)
