"""Which features are special cases of which? A family tree, over one dictionary or several of different size.

A larger dictionary splits what a smaller one says in one feature. Features that share more rows than independent ones
are joined by the lower end of their PMI = log (n_ij n / (n_i n_j)), so that neither very frequent features nor a few
lucky rows win, and the maximum spanning forest of these pairs is kept. An edge points from the feature that is active
more often to the rarer one. Of a true parent and child, the child is active only where the parent is: "inside" is the
share of the child's rows in which that holds, beside the parent's own rate, which chance gives.

Null: each feature's rows drawn anew: how many features then have a parent, and how much of them lies inside it.

When it lies: a tree keeps one parent, and a feature may belong under several; density orders a family, not meaning;
tokens are counted as independent; a TopK rule lets only k features be active in a row, so that of a large family only a
part shows; features of one set that stand for one concept together are joined like parent and child.

Cost: O(rows active²) for the pairs of each row, active counted over all dictionaries.

References: C. O'Neill et al. (2024), "Disentangling dense embeddings with sparse autoencoders"; O. Borůvka (1926).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.common_rows import Meetings, active_rows, meeting_cost, moved_rows
from analysis.compute.dictionaries.families import Families, families
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import against, bootstrap_mean, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, ShapeError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
HELP = {
    "feature": "The feature's name; with that of its set where there are several.",
    "tap": "Where it is from.",
    "number": "Its number there.",
    "rate": "Share of rows in which it is active.",
    "parent": "The denser feature that it hangs on; empty for the head of a family.",
    "inside": "Share of its rows in which the parent is active too; 1 for a special case of it.",
    "low": "95 % interval of that share (Wilson).",
    "high": "95 % interval of that share (Wilson).",
    "by chance": "The parent's own rate.",
    "family": "The head of its family.",
    "depth": "Steps below the head.",
    "children": "Features that hang on it.",
    "family size": "Features of its family.",
}


@dataclass(frozen=True)
class FeatureFamiliesParams:
    least: int = param(10, "Common rows from which a pair counts.", low=2, high=10_000)
    draws: int = param(3, "Times the rows of every feature are drawn anew for the null.", low=2, high=50)
    maximum_rows: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=2_000_000)


def feature_families(
    *activations, params: FeatureFamiliesParams = FeatureFamiliesParams(), rng=None, progress=no_progress
) -> Table:
    """The family tree of the features of one or several dictionaries of the same rows.

    Parameters
    ----------
    *activations : one or more Activations or arrays (rows, features)
        Codes, such as one tap encoded by sets of different size.

    Returns
    -------
    Table
        A line for each feature, see `HELP`. Estimates: the mean share inside the parent, the share with a parent.

    Raises
    ------
    ShapeError
        Taps with other rows.
    NotEnoughData, InputError
        Fewer than eight finite rows; fewer than two features that fire.
    """
    taps, rng, seen = [as_activations(a) for a in activations], rng or np.random.default_rng(0), Pass()
    if len({t.shape[0] for t in taps}) > 1:
        raise ShapeError(
            " and ".join(f"{t.shape[0]:,}" for t in taps) + " rows", "the same rows",
            "Choose sets that encoded one tap",
        )  # fmt: skip
    on = active_rows(taps, params.maximum_rows, rng, seen, progress, (0.0, 0.4))
    refuse_few(taps[0].name, on.shape[0], FEWEST)
    fires = np.bincount(on.indices, minlength=on.shape[1])
    if (fires > 0).sum() < 2:
        raise InputError(f"{int((fires > 0).sum())} feature(s) fire", "two or more", "Choose another tap")
    progress(0.4, "counting pairs")
    found = _found(on, fires, params.least)
    null, inside = [], []
    for draw in range(params.draws):
        progress(0.6 + 0.4 * draw / params.draws, "counting pairs of moved rows")
        moved = _found(moved_rows(on, rng), fires, params.least)
        null.append((moved.parent >= 0).sum() / (fires > 0).sum())
        inside.append(_inside(moved, fires))
    progress(1.0, "done")
    columns = _columns(found, fires, on.shape[0], taps)
    heads = np.unique(found.root[found.parent >= 0])
    notes = [*seen.notes, "A tree shows one parent of each feature; it may belong under others as well."]
    if any(not t.layout.is_pooled for t in taps):
        notes.append("Tokens of a sample are counted as independent: intervals are too narrow.")
    if on.shape[0] < seen.n_rows // len(taps) - seen.n_nonfinite:
        notes.append(f"A random {on.shape[0]:,} rows used.")
    return Table(
        title="Families of features by the rows that they share",
        reading=f"{int((found.parent >= 0).sum()):,} of {int((fires > 0).sum()):,} firing features hang on a denser "
        f"one, in {len(heads):,} families.", caveats=tuple(notes),
        estimates=_estimates(columns, found, fires, np.array(null), inside, on.shape[0], rng), columns=columns,
        index="feature", sort="family size", help=HELP,
    )  # fmt: skip


def _found(on, fires: np.ndarray, least: int) -> Families:
    return families(*Meetings(on).beyond(least), fires)


def _columns(found: Families, fires, n: int, taps) -> dict[str, np.ndarray]:
    sets = tap_names([t.name for t in taps])
    of = np.concatenate([np.full(t.shape[1], i) for i, t in enumerate(taps)])
    number = np.concatenate([np.arange(t.shape[1]) for t in taps])
    own = np.concatenate([np.array(t.unit_names) for t in taps])
    names = (
        own if len(taps) == 1 else np.array([f"{sets[i]} {name}" for i, name in zip(of, own, strict=True)])
    )
    has, parent = found.parent >= 0, np.maximum(found.parent, 0)
    inside = np.where(has, found.together / np.maximum(fires, 1), 0.0)
    bounds = np.array([
        wilson(t, f) if h else (0.0, 0.0) for t, f, h in zip(found.together, fires, has, strict=True)
    ])  # fmt: skip
    return {
        "feature": names, "tap": np.array([t.name for t in taps])[of], "number": number, "rate": fires / n,
        "parent": np.where(has, names[parent], ""), "inside": inside, "low": bounds[:, 0], "high": bounds[:, 1],
        "by chance": np.where(has, fires[parent] / n, 0.0), "family": names[found.root], "depth": found.depth,
        "children": np.bincount(found.parent[has], minlength=len(names)),
        "family size": np.bincount(found.root, minlength=len(names))[found.root],
    }  # fmt: skip


def _inside(found: Families, fires) -> float:
    """Mean share of a child's rows in which its parent is active; NaN where nobody has one."""
    has = found.parent >= 0
    return float((found.together[has] / fires[has]).mean()) if has.any() else np.nan


def _estimates(columns, found: Families, fires, null, inside, n: int, rng) -> tuple[Estimate, ...]:
    """`null` shares with a parent and mean shares `inside` it where rows are drawn anew: pairs are joined for sharing
    more rows than their rates give, so that these are above the parents' rates without any relation."""
    alive, has = int((fires > 0).sum()), found.parent >= 0
    low, high = wilson(has.sum(), alive)
    made = [
        Estimate("share with a parent", float(has.sum() / alive), low, high, interval="Wilson over features",
                 null_method=f"rows of each feature drawn anew, {len(null)} times: mean, 95 %", n=n, d=alive,
                 estimator="maximum spanning forest of pairs beyond chance", **against(has.sum() / alive, null)),
    ]  # fmt: skip
    if has.any():
        own = columns["inside"][has]
        ends, mean = bootstrap_mean(own, rng, draws=300), float(own.mean())
        moved = np.array([v for v in inside if np.isfinite(v)])
        chance = {"null": float(columns["by chance"][has].mean()), "null_method": "rate of the parents"}
        if len(moved):
            chance = {
                **against(mean, moved),
                "null_method": f"rows of each feature drawn anew, {len(moved)} times",
            }
        made.append(
            Estimate("mean share inside the parent", mean, min(float(ends[0]), mean), max(float(ends[1]), mean),
                     interval="bootstrap over features", n=n, d=alive, estimator="common rows over the child's rows",
                     **chance)
        )  # fmt: skip
    return tuple(made)


def _cost(shapes, params: FeatureFamiliesParams) -> Cost:
    n, k = shapes[0][0], sum(s[1] for s in shapes)
    active = sum(likely_size(s[1])[1] for s in shapes)
    seconds, held = meeting_cost(min(n, params.maximum_rows), k, active, params.draws)
    return Cost(seconds + 0.02, held + min(n, 4096) * active * 25.0 + 60.0 * k)


def _check() -> tuple[CheckLine, ...]:
    """One general feature in half of the rows, two special cases that halve it, and a stranger."""
    rng = np.random.default_rng(0)
    general = rng.random(1200) < 0.5
    half = rng.random(1200) < 0.5
    x = np.column_stack([general, general & half, general & ~half, rng.random(1200) < 0.3]).astype(float)
    c = feature_families(ArrayActivations(x)).columns
    return (
        CheckLine("special cases under the general one", 2.0, float((c["parent"][1:3] == "0").sum()), 0.0),
        CheckLine("inside their parent", 1.0, float(c["inside"][1:3].min()), 0.0),
        CheckLine("the stranger is alone", 1.0, float(c["family size"][3]), 0.0),
    )


METHODS = (
    Method(
        id="feature_families", family="dictionaries", title="Families of features", version=2,
        function=feature_families,
        summary="Which features are special cases of which, over dictionaries of different size of one tap.",
        params=FeatureFamiliesParams, result=Table, check=_check, cost=_cost, more_inputs=True, matches="rows",
        minimum_rows=FEWEST, others="nothing",
        invariance="reordering features and rows; any change of values that are not 0",
        papers=("Disentangling Dense Embeddings with Sparse Autoencoders",),
    ),
)  # fmt: skip
