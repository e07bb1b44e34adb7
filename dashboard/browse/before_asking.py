"""What can be refused before anything is computed, by what a store says of its network; no network is opened."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.activations import Activations
from analysis.attribution.network_cost import can_be_run, network_of
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.sources.network_facts import ATTENTION, is_of

OF_HEADS = ("head_cuts",)  # questions about heads that have no other answer where a network has none


def refuse(method: str, tap: Activations, params: Mapping[str, object]) -> None:
    """Raise InputError where a question about heads is asked of a network that has none, unless a probe is asked, whose
    units stand for them."""
    if method not in OF_HEADS or params.get("reader") == PROBE or not can_be_run(tap):
        return
    if not is_of(ATTENTION, network_of(tap)):
        raise InputError(
            f"the network of {tap.name}, which has no attention", "a network with heads",
            f"Choose a tap of a network with attention on the left, or '{PROBE}' under Settings, Reader: "
            "then units of the tap stand for heads",
        )  # fmt: skip
