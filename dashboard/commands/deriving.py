"""`loupe erase`: a store made from another one."""

from __future__ import annotations

from analysis.errors import ParameterError
from dashboard.commands.information import print_store
from dashboard.commands.output import Bar, workspace_of


def erase(given) -> int:
    from analysis.recording.erased import erased_store

    store, colon, tap = given.input.partition(":")
    if not colon:
        raise ParameterError(f"{given.input!r} names no tap", "STORE:TAP, such as digits-vit:vit.layers.2")
    if given.dimensions is not None and given.dimensions < 1:
        raise ParameterError(f"--dimensions {given.dimensions}", "at least 1")
    bar = Bar(given)
    made = erased_store(
        workspace_of(given), store, tap, given.column, given.method, given.dimensions, given.name,
        first=given.first, second=given.second, seed=given.seed, progress=bar,
    )  # fmt: skip
    bar.end()
    return print_store(given, made)
