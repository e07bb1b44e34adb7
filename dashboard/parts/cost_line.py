"""What a run will take, said before it is started."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis import pipeline
from analysis.spec import Cost, Method
from dashboard import state
from dashboard.words import about, size


def draw(method: Method, references: Sequence[str], params: dict) -> Cost:
    """One line with rows, seconds and memory, and what to reduce when it is much. Raises LoupeError where the
    method cannot take these taps at all."""
    taps = [state.workspace().activations(reference) for reference in references]
    pipeline.validate(method, taps)
    shapes = [tap.shape for tap in taps]
    cost = state.workspace().cost(method.id, references, params)
    data = ", ".join(f"{n:,} rows × {d:,} units" for n, d in shapes)
    passes = f"; about {cost.passes:,} passes through the network" if cost.passes else ""
    st.caption(f"{data}: {about(cost.seconds)} and {size(cost.bytes)} of memory on this machine{passes}")
    if not beyond_memory(cost) and cost.seconds > 120:
        st.caption("That is long: fewer rows, where the method has such a setting, make it shorter.")
    return cost


def beyond_memory(cost: Cost) -> bool:
    """Whether a run needs more memory than is free; says so, and what to reduce."""
    if cost.bytes <= free_memory():
        return False
    st.warning(
        f"This needs about {size(cost.bytes)} of memory and {size(free_memory())} are free. "
        "Use fewer rows, smaller settings, or a tap with one row per sample.",
        icon=":material/memory:",
    )
    return True


def free_memory() -> float:
    """Bytes of memory that are free now (infinite where the system does not say)."""
    try:
        with open("/proc/meminfo") as f:
            line = next(line for line in f if line.startswith("MemAvailable"))
        return float(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return float("inf")
