"""What tells one projection from another: the key under which things made from it are kept."""

from __future__ import annotations

from analysis.results import Result, digests_of


def identity(result: Result) -> tuple:
    """Points, method, version, parameters, inputs, seed. Two parts of one map with equally many points are equal here:
    whoever keeps something made from a part adds what the part is of."""
    o = result.origin
    if o is None:
        return (id(result),)
    inputs = tuple(digests_of(o.inputs))
    size = len(getattr(result, "rows", ()))
    return (size, o.method, o.version, repr(sorted(o.params.items())), inputs, o.seed)
