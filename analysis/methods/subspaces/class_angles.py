"""All principal angles between the subspaces of two classes of one tap, beside those of random subspaces.

The subspace of a class is the span of the first k principal axes of its samples about their own mean: how samples of
the class differ. θ_1 <= … <= θ_k are the angles between two of them (Björck & Golub 1973): angles near 0 are ways to
vary that both classes have.

Null: uniformly random subspaces of k dimensions among the units that vary. Intervals: samples of each class left out in
groups, axes found anew.

When it lies: where eigenvalues k and k + 1 of a class are not told apart its subspace is partly arbitrary, which is
said; few samples turn axes and widen all angles, two halves of one class included; a unit of large deviation is an axis
of every class; what all classes have in common counts as shared.

Cost: O(n_c d min(n_c, d)), that for each of ten groups left out, O(k³) for each of 20 to 1,000 random pairs.

References: Å. Björck & G. Golub (1973); T. W. Anderson (1963); H. Wang, Z. Li & W. Zhang (2023), on classes as
subspaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.compute.subspaces.angle_curve import ANGLES, angle_curve
from analysis.compute.subspaces.random_subspaces import draws_for
from analysis.compute.subspaces.subspace import Cuts, Subspace, cuts_of
from analysis.compute.subspaces.tap_subspaces import FEWEST, TapSubspace, TapSubspaces, axes_without
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class ClassAnglesParams:
    column: str = param("label", "Sample column that holds the class.", column=True)
    first: str = param("", "The first class; empty: the one with most samples.", label="first class")
    second: str = param("", "The other class; empty: the largest other one.", label="second class")
    dimension: int = param(3, "Principal axes of each class.", low=1, high=512)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(20_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def class_angles(
    activations, params: ClassAnglesParams = ClassAnglesParams(), rng=None, progress=no_progress
) -> Curve:
    """Principal angles between two classes.

    Parameters
    ----------
    activations : Activations or array (rows, units), with the class of each sample in a column; tokens are pooled.

    Returns
    -------
    Curve
        Angles in degrees over their number, with an interval, and those of random subspaces with the middle 95 %.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such column or class; one class twice; fewer than eight samples of a class, or no more than the dimension.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.3),
    )  # fmt: skip
    chosen = _two_classes(data, params)
    parts = [data.values[data.of == c] for c in chosen]
    members, notes = [], list(data.notes)
    for i, (c, x) in enumerate(zip(chosen, parts, strict=True)):
        progress(0.3 + 0.3 * i, "finding the axes of classes")
        cuts = cuts_of(ArrayActivations(x, name=f"class {data.names[c]}", digest="held"))
        cut, said = _asked(cuts, params.dimension)
        groups = sample_groups(len(x), rng)
        few = cut.k > len(x) - max(map(len, groups)) - 2
        members.append(
            TapSubspace(cut.name, cut, (cut.basis, *([] if few else axes_without(x, cut.k, groups))))
        )
        notes += said
    varies = np.any([is_varying(x.var(axis=0), x.mean(axis=0)) for x in parts], axis=0)
    if not varies.all():
        notes.append(f"{int((~varies).sum())} unit(s) that are constant in both classes left out of chance.")
    progress(0.9, "drawing random subspaces")
    found = TapSubspaces(tuple(members), int(varies.sum()), sum(map(len, parts)), tuple(notes))
    return angle_curve(found, rng, ("Each class about its own mean.",))


def _asked(cuts: Cuts, k: int) -> tuple[Subspace, list[str]]:
    """The first k axes, and a note where no gap defines them."""
    if (cuts.held == k).any():
        return cuts.at(k), []
    if k >= len(cuts.values):
        raise NotEnoughData(
            f"{cuts.name} has {len(cuts.values)} direction(s) of {cuts.axes.n} samples", f"more than {k}",
            "Lower the dimension, or choose a larger class",
        )  # fmt: skip
    values = cuts.values
    cut = Subspace(
        cuts.name, cuts.axes.directions[:k].T, values[:k], float(values[k]), cuts.axes.total, float(cuts.p[k - 1]),
        cuts.axes.n, cuts.samples,
    )  # fmt: skip
    said = f"Eigenvalues {k} and {k + 1} of {cuts.name} are not told apart (p = {cut.p:.2g}): "
    return cut, [said + "its subspace is partly arbitrary."]


def _two_classes(data: LabelledMatrix, params: ClassAnglesParams) -> list[int]:
    order, chosen = np.argsort(-data.counts, kind="stable").tolist(), []
    for name in (params.first, params.second):
        if name and name not in data.names:
            raise NotFound(
                f"no class {name!r} with {FEWEST} samples or more in '{params.column}'",
                "one of " + ", ".join(data.names[:12]),
                "Name another class, or record more samples of it",
            )
        chosen.append(data.names.index(name) if name else None)
    if chosen[0] is not None and chosen[0] == chosen[1]:
        raise ParameterError(f"the class {params.first!r} twice", "two classes", "Name another one")
    for i in (0, 1):
        if chosen[i] is None:
            chosen[i] = next(c for c in order if c not in chosen)
    return chosen


def _cost(shapes, params: ClassAnglesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n, k = min(n, params.maximum_samples), params.dimension
    side = min(max(n // 3, 1), d)
    flops = 20.0 * n * d * side + 28.0 * 9 * side**3 + 10.0 * draws_for(k, k) * 2 * k**3
    held = 8.0 * (n * d * 2.2 + 14 * side**2 + 8 * side * d)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * 20) + 0.03, held)


def _check() -> tuple[CheckLine, ...]:
    """Planted angles of 0, 20 and 70 degrees between two classes that lie apart; a class has no angle with a copy."""
    rng = np.random.default_rng(9)
    turns, size = np.radians([0, 20, 70]), np.array([9.0, 7.0, 5.0])
    one = np.eye(3, 20)
    other = np.cos(turns)[:, None] * one + np.sin(turns)[:, None] * np.eye(20)[3:6]
    q = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    x, y = (
        ((rng.standard_normal((800, 3)) * size) @ basis + 0.01 * rng.standard_normal((800, 20))) @ q
        for basis in (one, other)
    )
    labels = np.repeat(["a", "b", "c"], 800)
    tap = ArrayActivations(np.vstack([x + 5, y, x[::-1] - 40]), samples={"label": labels})
    pair = class_angles(tap)
    copy = class_angles(tap, params=ClassAnglesParams(first="a", second="c"))
    return (
        *(
            CheckLine(f"planted angle of {v:g} degrees", v, float(got), 0.1)
            for v, got in zip(np.degrees(turns), pair.series[ANGLES], strict=True)
        ),
        CheckLine("a moved copy of a class: largest angle", 0.0, copy.estimates[1].value, 1e-6),
        CheckLine("overlap of random ones: 3 of 20", 0.15, pair.estimates[2].null, 1e-12),
    )


METHODS = (
    Method(
        id="class_angles", family="subspaces", title="Principal angles of two classes", version=1,
        function=class_angles,
        summary="Every principal angle between the subspaces of two classes, beside those of random subspaces.",
        params=ClassAnglesParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * FEWEST,
        invariance="rotating, shifting or scaling the activations, and moving a class as a whole",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
