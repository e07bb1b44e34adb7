"""Which dimensions of an embedding table carry what its fields differ by, and how many could be left out?

    importance of dimension j in field f:   Var_f(e_j) r_j,      r_j = Σ_u W_uj² of the layer W that reads it, or 1

e are the entries of a field (a table of a checkpoint, or the rows of one value of a column), weighed by how often they
occur where that is known. A dimension whose r is 0, as behind a gate that is shut, can be left out without any change.
The curve is the share of the importance that is kept when the least important dimensions go first, field by field.

Effective rank is exp of the entropy of the shares of variance of a field's principal directions, each dimension times
√r: at most the dimensions, and at most the entries less one.

Null: as many Gaussian entries with equal variance in all dimensions, behind the same r; of the rank by their
eigenvalues, which are uneven by chance alone. With frequencies n is their effective number (Σf)² / Σf².
Intervals: entries left out in ten groups.

When it lies: importance is variance that the next layer multiplies, not what the output depends on; a normalisation
between table and layer rescales dimensions entry by entry; one dimension in a rotated table is no unit of meaning, the
effective rank does not depend on such rotations and the curve does; entries that occur seldom are hardly trained and
look like their start.

Cost: O(n d²) for each field and O(d³) for each of eleven spectra and ten draws.

References: W. Cheng, Y. Shen & L. Huang (2020), "Differentiable neural input search for recommender systems"; O. Roy &
M. Vetterli (2007), "The effective rank".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.embedding_fields import Field, field_rank, kept
from analysis.compute.linear.spectra import entropy_rank
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.sources.embedding_tables import embedding_tables
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, MOST_FIELDS, TOLD = (
    4,
    10,
    40,
    8,
)  # entries of a field; draws; fields of which estimates are listed


@dataclass(frozen=True)
class EmbeddingDimensionsParams:
    reader: str = param(
        "", "Layer of the checkpoint that reads the table; empty: all dimensions count alike.",
        label="layer that reads it", layer=True, empty="none",
    )  # fmt: skip
    field: str | None = param(
        None, "Of a table: column that says which field a row belongs to; automatic: one.", column=True
    )
    frequency: str | None = param(
        None, "Of a table: column of how often an entry occurs; automatic: all alike.", column=True
    )
    kept: float = param(
        0.9,
        "Share of the importance for which dimensions are counted.",
        label="importance kept",
        low=0.1,
        high=0.999,
    )
    table: bool = param(
        False, "The tap holds the table: a column per dimension, a row per entry.",
        label="tap is an embedding table", late=True,
    )  # fmt: skip


def embedding_dimensions(
    tap, params: EmbeddingDimensionsParams = EmbeddingDimensionsParams(), rng=None, progress=no_progress
) -> Curve:
    """Share of the importance kept over the dimensions kept, for each field.

    Parameters
    ----------
    tap : Activations or array
        A tap of a checkpoint with embedding tables, each a field. An array is a table: one row per entry, one column
        per dimension.

    Returns
    -------
    Curve
        Estimates: effective rank and the dimensions for the share asked for, of the largest fields.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no embedding table in it; a reader of another width; no such column; no field with
        four entries that differ.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading the table")
    tables, reads, notes = embedding_tables(
        tap, reader=params.reader, field=params.field, frequency=params.frequency, table=params.table
    )
    fields, few = _sound([Field.of(*t) for t in tables], tap.name)
    notes += few
    d = fields[0].entries.shape[1]
    series, null, estimates, importances = {}, {}, [], []
    for i, f in enumerate(fields):
        progress(0.1 + 0.85 * i / len(fields), f"measuring {f.name}")
        variance = f.covariance()
        importances.append(np.diag(variance) * reads)
        chance = reads * rng.chisquare(max(f.effective - 1, 1), (DRAWS, d))
        series[f.name], null[f.name] = kept(importances[-1]), np.mean([kept(c) for c in chance], axis=0)
        if i < TOLD:
            estimates += _told(f, variance, chance, reads, params, rng)
    progress(1.0, "done")
    return Curve(
        title=f"Dimensions that {tap.name.partition(':')[0]} needs, by field",
        reading=_reading(fields, estimates, importances[0]), caveats=(*notes, *_caveats(params, fields)),
        estimates=tuple(estimates), x=np.arange(1.0, d + 1), x_name="dimensions kept, most important first",
        y_name="importance kept, share", series=series, null=null,
    )  # fmt: skip


def _sound(fields: list[Field], name: str) -> tuple[list[Field], list[str]]:
    """Fields with enough entries that differ, the one with most first, and notes."""
    good = [
        f for f in fields
        if len(f.entries) >= FEWEST and np.trace(f.covariance()) > 1e-24 * (f.entries**2).sum() and f.effective > 2
    ]  # fmt: skip
    if not good:
        raise NotEnoughData(
            f"no field of {name} has {FEWEST} entries that differ",
            f"a field with {FEWEST}",
            "Choose another table",
        )
    good.sort(key=lambda f: -len(f.entries))
    notes = [f"{len(fields) - len(good)} field(s) with fewer than {FEWEST} entries that differ left out."]
    notes = notes if len(good) < len(fields) else []
    if len(good) > MOST_FIELDS:
        notes.append(f"The {MOST_FIELDS} largest of {len(good)} fields are shown.")
    return good[:MOST_FIELDS], notes


def _told(f: Field, variance, chance, reads, params, rng) -> tuple[Estimate, Estimate]:
    """Effective rank, and how many dimensions hold the share asked for."""

    def needed(importance: np.ndarray) -> float:
        return float(np.searchsorted(kept(importance), params.kept - 1e-12) + 1)

    groups = groups_of(len(f.entries), rng)
    without = [f.covariance(groups != g) for g in range(groups.max() + 1)]
    spectra = gaussian_eigenvalues(reads, max(round(f.effective), 3), rng, DRAWS)
    values = {
        "effective rank": (lambda c: field_rank(c, reads), [entropy_rank(v) for v in spectra], "entropy of shares"),
        f"dimensions for {params.kept:.0%}": (
            lambda c: needed(np.diag(c) * reads), [needed(c) for c in chance], "most important first",
        ),
    }  # fmt: skip
    out = []
    for what, (measured, null, how) in values.items():
        value, half = measured(variance), jackknife_half(np.array([measured(c) for c in without]))
        half = 0.0 if half is None else float(half)
        out.append(
            Estimate(f"{what} of {f.name}, {len(f.entries):,} entries", value, max(value - half, 0.0),
                     min(value + half, float(len(reads))),
                     interval="jackknife, groups of entries", null=float(np.mean(null)), null_low=min(null),
                     null_high=max(null), null_method=f"Gaussian entries, {DRAWS} draws", n=len(f.entries),
                     d=len(reads), estimator=how)
        )  # fmt: skip
    return tuple(out)


def _reading(fields: list[Field], estimates, importance: np.ndarray) -> str:
    rank, needed = estimates[:2]
    top, d = np.argsort(-importance, kind="stable")[:3], len(importance)
    shares = ", ".join(f"{j} ({importance[j] / importance.sum():.1%})" for j in top)
    said = (
        f"{fields[0].name} has effective rank {rank.value:.1f} of {d} ({rank.null:.1f} without structure); "
        f"{needed.value:.0f} of its dimensions hold {needed.name.split()[2]} of the importance ({needed.null:.0f}). "
        f"Most important are {shares}."
    )
    others = [e for e in estimates[2:] if e.name.startswith("effective")]
    if others:
        ranks = [f"{e.value:.1f} for {e.n:,} entries" for e in (rank, *others)]
        said += f" Effective rank by field: {', '.join(ranks)}."
    return said


def _caveats(params, fields: list[Field]) -> tuple[str, ...]:
    said = ["Weights are known exactly: intervals take the entries of a field as drawn."]
    if not params.reader:
        said.append(
            "No layer that reads the table was named: a dimension's importance is its variance alone."
        )
    if len(fields) > TOLD:
        said.append(f"Numbers of the {TOLD} largest of {len(fields)} fields are listed as estimates.")
    return tuple(said)


def _cost(shapes, params: EmbeddingDimensionsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    return Cost(m.seconds(flops64=24.0 * n * d * d + 200.0 * d**3, moved=8.0 * n * d * 60) + 0.02,
                8.0 * (4.0 * n * d + 17.0 * d * d) + 2e5)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Three of eight dimensions in use: rank 3, and nothing is lost without the others. Entries of equal variance lie
    on their null. Entries that occur never do not count."""
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((60, 3))
    flat = np.linalg.qr(flat - flat.mean(axis=0))[0] @ np.eye(3, 8)
    used = embedding_dimensions(flat)
    even = embedding_dimensions(rng.standard_normal((500, 8))).estimates
    often = np.repeat([1.0, 0.0], 60)
    tap = ArrayActivations(np.vstack([flat, rng.standard_normal((60, 8))]), samples={"count": often})
    seldom = embedding_dimensions(tap, params=EmbeddingDimensionsParams(frequency="count")).estimates
    return (
        CheckLine("three dimensions: effective rank", 3.0, used.estimates[0].value, 1e-6),
        CheckLine("kept by three", 1.0, float(next(iter(used.series.values()))[2]), 1e-9),
        CheckLine("equal variance: rank beyond null", 0.0, even[0].value - even[0].null, 0.1),
        CheckLine("entries that never occur", 3.0, seldom[0].value, 1e-6),
    )


METHODS = (
    Method(
        id="embedding_dimensions", family="weights", title="Embedding dimensions", version=1,
        function=embedding_dimensions,
        summary="Importance of each dimension of an embedding table, effective rank of each field, and what can go.",
        params=EmbeddingDimensionsParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="scaling and shifting the table; reordering entries and dimensions",
        papers=("Differentiable Neural Input Search for Recommender Systems",),
    ),
)  # fmt: skip
