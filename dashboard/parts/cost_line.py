"""What a run will take, said before it is started."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis import pipeline
from analysis.spec import Cost, Method
from dashboard import state
from dashboard.words import about, size

LONG = 120.0  # seconds


def draw(method: Method, references: Sequence[str], params: dict) -> Cost:
    """One line with rows, seconds and memory, and what to reduce when it is much. Raises LoupeError where the
    method cannot take these taps at all."""
    taps = [state.workspace().activations(reference) for reference in references]
    pipeline.validate(method, taps)
    shapes = [tap.shape for tap in taps]
    cost = state.workspace().cost(method.id, references, params)
    data = ", ".join(f"{n:,} rows × {d:,} units" for n, d in shapes)
    passes = f"; {passes_words(cost.passes).lower()}" if cost.passes else ""
    st.caption(f"{data}: {about(cost.seconds)} and {size(cost.bytes)} of memory on this machine{passes}")
    too_much(cost)
    return cost


def passes_words(passes: int) -> str:
    """How often a network is run."""
    few = float(f"{passes:.2g}")
    return f"About {few:,.0f} passes through the network" if few > 1 else "One pass through the network"


def too_much(cost: Cost) -> None:
    """Says where a run needs more memory than is free, or long, and what to reduce."""
    if cost.bytes > free_memory():
        st.warning(
            f"This needs about {size(cost.bytes)} of memory and {size(free_memory())} are free. "
            "Use fewer rows, smaller settings, or a tap with one row per sample.",
            icon=":material/memory:",
        )
    elif cost.seconds > LONG:
        st.caption("That is long: fewer rows, or smaller settings, make it shorter.")


def free_memory() -> float:
    """Bytes of memory that are free now (infinite where the system does not say)."""
    try:
        with open("/proc/meminfo") as f:
            line = next(line for line in f if line.startswith("MemAvailable"))
        return float(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return float("inf")
