"""Two parts of a representation, two taps or one that is cut in two, and the columns that each should tell."""

from __future__ import annotations

import numpy as np

from analysis.activations import sample_column
from analysis.compute.rows.class_codes import ClassCodes, class_codes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.known_factors import factors_of
from analysis.compute.subspaces.attribute_data import sample_values
from analysis.errors import LoupeError, ParameterError

FEWEST, SMALLEST = 40, 10  # samples, and of a class
ANSWERS = ("predicted", "correct")  # the network's own: no domain


def two_parts(taps, params, rng, progress):
    """Two arrays (n, d_i) of the same samples, their names, ids and notes."""
    if len(taps) > 2:
        raise ParameterError(f"{len(taps)} taps", "two, or one that is cut in two")
    if len(taps) == 2:
        data = common_samples(
            taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress,
            span=(0.0, 0.2),
        )  # fmt: skip
        return list(data.values), (taps[0].name, taps[1].name), data.ids, list(data.notes)
    tap = taps[0]
    found = sample_values(
        tap, rng, pooling=params.pooling, maximum=params.maximum_samples, minimum=FEWEST, progress=progress
    )
    cut, d = params.units or tap.shape[1] // 2, tap.shape[1]
    first = np.flatnonzero(found.units) < cut
    if not 0 < cut < d or not first.any() or first.all():
        raise ParameterError(
            f"{cut} of {d} unit(s) as the first part",
            "a cut with units that vary on both sides",
            "Change 'units'",
        )
    ids = np.asarray(tap.samples["id"]).astype(str)[found.samples]
    names = (f"units 0 to {cut - 1}", f"units {cut} to {d - 1}")
    return [found.values[:, first], found.values[:, ~first]], names, ids, list(found.notes)


def part_targets(tap, ids: np.ndarray, params) -> list[tuple[str, ClassCodes]]:
    """The columns' classes, of the samples `ids`."""
    own = np.asarray(tap.samples["id"]).astype(str)
    order = np.argsort(own, kind="stable")
    at = order[np.searchsorted(own, ids, sorter=order)]
    names = [params.semantic]
    if params.domain:
        names.append(params.domain)
    else:
        try:
            others = [f.name for f in factors_of([tap], ids)[0] if not f.is_number]
            names += [name for name in others if name not in (params.semantic, *ANSWERS)][:1]
        except LoupeError:  # no other column is one of classes: one target
            pass
    if len(set(names)) < len(names):
        raise ParameterError(
            f"'{names[0]}' as class and as domain", "two different columns", "Name another one for the domain"
        )
    return [(name, class_codes(sample_column(tap, name)[at], name, SMALLEST)) for name in names]
