"""Curves over the layers of networks of different depth, and where two of them part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Network:
    """A network's layers: their places in the list of taps, and their relative depths (m,), 0 the first and 1 the last
    that was given."""

    name: str
    layers: np.ndarray
    depth: np.ndarray


def networks_of(names: Sequence[str]) -> tuple[Network, ...]:
    """Taps "store:tap" by store, in the order given; a network of one layer lies at 1."""
    stores = [name.partition(":")[0] if ":" in name else "layers" for name in names]
    found = []
    for store in dict.fromkeys(stores):
        layers = np.array([i for i, s in enumerate(stores) if s == store])
        depth = np.linspace(0.0, 1.0, len(layers)) if len(layers) > 1 else np.ones(1)
        found.append(Network(store, layers, depth))
    return tuple(found)


def common_depths(networks: Sequence[Network]) -> np.ndarray:
    """All depths (x,) at which some network has a layer, rising."""
    return np.unique(np.concatenate([network.depth for network in networks]).round(9))


def layer_names(networks: Sequence[Network], names: Sequence[str]) -> tuple[str, ...]:
    """What the depths of `common_depths` are called: the layers' names without their store, () where networks differ in
    number or names of their layers. `names` are those of all taps."""
    each = {tuple(names[i].partition(":")[2] or names[i] for i in network.layers) for network in networks}
    return each.pop() if len(each) == 1 else ()


def at_depths(x: np.ndarray, network: Network, series: np.ndarray) -> np.ndarray:
    """A network's `series` (…, layers) at the depths (x,): on the straight line between its two nearest layers, and
    that of its first or last layer beyond these."""
    flat = series.reshape(-1, series.shape[-1])
    return np.array([np.interp(x, network.depth, line) for line in flat]).reshape(*series.shape[:-1], len(x))


def parting(low: np.ndarray, high: np.ndarray, other_low: np.ndarray, other_high: np.ndarray) -> int | None:
    """The first place (of x) from which to the end the two bands (x,) never overlap; None where the last ones do."""
    apart = (low > other_high) | (other_low > high)
    if not apart[-1]:
        return None
    return int(len(apart) - np.argmin(apart[::-1])) if not apart.all() else 0
