"""Kernels of a state space as they are drawn: channels by how long they remember, over lags or over frequencies."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError
from analysis.tokens.mixers.measures import half_of

IMPULSE, FREQUENCY = "impulse response", "frequency response"
RANKED = ("least memory", "middle memory", "most memory")


def named_in_layer(chosen: dict[str, int], channels: np.ndarray) -> dict[str, int]:
    """The same lines, named by the channels of the layer."""
    return {f"{label.partition(' (')[0]} (channel {channels[h] + 1})": h for label, h in chosen.items()}


def finite_kernel(kernel: np.ndarray) -> np.ndarray:
    """Raises InputError."""
    if not np.isfinite(kernel).all():
        raise InputError("a kernel that grows beyond all numbers", "stable modes, or fewer lags")
    return kernel


def by_memory(kernels: np.ndarray) -> dict[str, int]:
    """Channels of kernels (H, lags) with least, middle and most memory, by what they are called."""
    if len(kernels) == 1:
        return {"impulse": 0}
    order = np.argsort(memory(kernels), kind="stable")
    found = {name: int(order[at]) for name, at in zip(RANKED, (0, len(order) // 2, -1), strict=True)}
    return {f"{name} (channel {h + 1})": h for name, h in found.items()}


def memory(kernels: np.ndarray) -> np.ndarray:
    """(H,) lag within which half of Σ |K| lies; 0 of a kernel of zeros."""
    return np.array([half_of(np.abs(k)) if np.abs(k).any() else 0.0 for k in kernels])


def response_axis(params) -> tuple[np.ndarray, str]:
    """(places, their name) of a kernel of `params.lags`, as `params.show` asks."""
    if params.show == IMPULSE:
        return np.arange(params.lags, dtype=float), "lag (tokens)"
    return np.fft.rfftfreq(params.lags), "frequency (cycles per token)"


def response(kernel: np.ndarray, show: str) -> np.ndarray:
    """(lags,) a kernel as it is, or (lags // 2 + 1,) the size of its answers to waves."""
    return kernel if show == IMPULSE else np.abs(np.fft.rfft(kernel))
