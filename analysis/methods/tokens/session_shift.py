"""What did each session of new classes do to the old ones? Shift of features, and the classifier beside a simplex.

    shift      |x_s - x_0| / |x_0| of the features of a sample at session s, mean over samples; 0 at session 0
    distance   sqrt(mean over pairs of classes of (cos(w_a, w_b) + 1 / (K - 1))²) of the classifier's rows w

A session is a checkpoint: the first of the taps was trained on the base classes, each later one on more. Base and novel
classes are told apart. K is the number of rows of the classifier: in a simplex, to which it may be fixed, all cosines
are -1 / (K - 1) and the distance is 0. A classifier whose weights are not known is replaced by the means of the classes
seen so far, less the mean of them.

Interval: of shifts Student's t over samples; of distances the jackknife over classes. Null: of shifts another sample of
the group at session 0; of distances as many rows that point anywhere (drawn; without centring the mean square is 1 / d
+ 1 / (K - 1)², exactly).

When it lies: features are compared unit by unit, so that a network trained anew is far away without having learned
another thing; a shift that the classifier follows harms nothing; biases and lengths of rows are not looked at; a
softmax does not see what all rows share, the cosine does (see the choice); three means that are centred say little.

Cost: O(S n d + S draws C² d) for S sessions.

References: X. Li et al. (2024), "Mamba-FSCIL: dynamic adaptation with selective state space model for few-shot
class-incremental learning"; V. Papyan, X. Han & D. Donoho (2020), "Prevalence of neural collapse".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import checkpoint_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.session_simplex import ALL, BASE, KINDS, NOVEL, simplex_distances
from analysis.errors import NotEnoughData
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.class_sessions import class_sessions, classifiers
from analysis.tokens.session_report import DRAWS, reading, shift_estimates, simplex_estimates

SHIFT, SIMPLEX = "shift of features", "distance of the classifier from a simplex"
AS_IT_IS, CENTRED = "as it is", "less the mean of its rows"
FEWEST = 4


@dataclass(frozen=True)
class SessionShiftParams:
    show: str = param(SHIFT, "What is drawn; numbers are given of both.", choices=(SHIFT, SIMPLEX))
    sessions: str = param(
        "", "Classes of each session, with commas, sessions with semicolons, the base first: 0, 1, 2; 3; 4. Empty: the "
        "earlier half is the base, the others come evenly.",
    )  # fmt: skip
    column: str = param("label", "Sample column of classes.", column=True)
    head: str = param(
        "", "The classifier in the checkpoints; empty: found by its shape; none: class means stand for it."
    )
    rows: str = param(AS_IT_IS, "Where cosines of a classifier's rows start.", choices=(AS_IT_IS, CENTRED))
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=4, high=1_000_000, late=True
    )


def session_shift(
    *taps, params: SessionShiftParams = SessionShiftParams(), rng=None, progress=no_progress
) -> Curve:
    """Shift of features and distance from a simplex, session by session.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units), with the class column
        One layer at each session, of the same samples and units, session 0 first.

    Returns
    -------
    Curve
        Over sessions, base and novel classes apart. Estimates: shifts at every session, distances and cosines at the
        last.

    Raises
    ------
    NotFound, ParameterError, ShapeError, InputError, NotEnoughData
        No such column, class or named head; taps of other samples; fewer than four samples of the base.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    labels = sample_column(taps[0], params.column)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=(0.0, 0.6)
    )
    place = {id: i for i, id in enumerate(np.asarray(taps[0].samples["id"]).astype(str))}
    labels = labels[[place[i] for i in data.ids]]
    found = class_sessions(labels, params.column, params.sessions, len(taps))
    values = [np.asarray(v, np.float64)[found.stay] for v in data.values]
    groups = {BASE: found.session[found.codes] == 0, NOVEL: found.session[found.codes] > 0}
    moved = {name: shifts(values, mine, rng) for name, mine in groups.items() if mine.sum() >= FEWEST}
    if BASE not in moved:
        raise NotEnoughData(f"{int(groups[BASE].sum())} sample(s) of base classes", f"at least {FEWEST}")
    progress(0.7, "comparing with simplexes")
    made, weights, said = classifiers(taps, values, found, params.head)
    centre = not weights or params.rows == CENTRED
    far = []
    for s, one in enumerate(made):
        progress(0.7 + 0.3 * s / len(made), "comparing with simplexes")
        novel = found.session[found.session <= s] > 0
        far.append(
            simplex_distances(one.rows, novel, one.k, one.middle if centre else None, DRAWS, rng)
            if one.k > 2
            else {}
        )
    progress(1.0, "done")
    names = checkpoint_names([t.name for t in taps])
    told = (*shift_estimates(moved, names, taps), *simplex_estimates(far, names, made, centre))
    notes = (*data.notes, *found.notes, *said, *_caveats(found, weights, params))
    return _curve(params, names, moved, far, told, notes, weights)


def shifts(values, mine: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """((S, m) shift of samples `mine` (n,) of values S x (n, d), (m,) distance of another of them at session 0), both
    over the length at session 0; samples of length 0 are left out."""
    first = values[0][mine]
    size = np.linalg.norm(first, axis=1)
    good = size > 1e-12 * max(float(size.max(initial=0.0)), 1e-300)
    if good.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) of features that are not zero", f"at least {FEWEST}"
        )
    first, size = first[good], size[good]
    order = rng.permutation(len(first))
    other = first[np.roll(order, 1)[np.argsort(order)]]
    apart = np.array([np.linalg.norm(x[mine][good] - first, axis=1) / size for x in values])
    return apart, np.linalg.norm(other - first, axis=1) / size


def _curve(params, names, moved, far, told, notes, weights) -> Curve:
    series, low, high, null = {}, {}, {}, {}
    if params.show == SHIFT:
        for name, (apart, chance) in moved.items():
            series[name], null[name] = apart.mean(axis=1), np.full(len(apart), chance.mean())
            ends = [mean_interval(own, 0.0) for own in apart]
            low[name], high[name] = (np.array([e[side] for e in ends]) for side in ("low", "high"))
    else:
        for kind in KINDS:
            if any(kind in one for one in far):
                rows = [_line(one.get(kind)) for one in far]
                series[kind], low[kind], high[kind], null[kind] = np.array(rows).T
        if not series:
            none = np.full(len(names), np.nan)
            series, low, high, null = {ALL: none}, {}, {}, {}
    what = "classifier" if weights else "class means"
    return Curve(
        title=f"{'Shift of features' if params.show == SHIFT else f'Distance of the {what} from a simplex'} over "
        f"{len(names)} sessions", x=np.arange(float(len(names))), x_name="session", x_labels=tuple(names),
        y_name="share of the features' length" if params.show == SHIFT else "root mean square of cos + 1 / (K - 1)",
        series=series, low=low, high=high, null=null, estimates=tuple(told), reading=reading(told, names, what),
        caveats=notes,
    )  # fmt: skip


def _line(one) -> tuple[float, float, float, float]:
    if one is None:
        return (np.nan,) * 4
    half = np.nan if one.halves is None else float(one.halves[0])
    return one.distance, max(one.distance - half, 0.0), one.distance + half, float(one.null[0, 0])


def _caveats(found, weights: bool, params) -> list[str]:
    parts = [
        ", ".join(np.array(found.names)[found.session == s][:20]) for s in range(found.session.max() + 1)
    ]
    said = [f"Classes by session: {'; '.join(p or 'none' for p in parts)}."]
    if not weights:
        said.append("Class means hold sampling noise and are compared less the mean of those seen so far.")
    elif params.rows == AS_IT_IS:
        said.append("Cosines are of rows as they are; a softmax does not see what all rows share.")
    return said


def _cost(shapes, params: SessionShiftParams) -> Cost:
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), max(d for _, d in shapes)
    m, read = machine(), sum(8.0 * r * w for r, w in shapes)
    return Cost(
        0.1 + m.seconds(moved=12 * read, calls=40.0 * DRAWS * len(shapes)),
        8.0 * n * d * (len(shapes) * 2.0 + 3.0),
    )


def _check() -> tuple[CheckLine, ...]:
    """The same features have not moved, ones a tenth as large again have by 0.1, base classes alone where only they
    are; class means at a simplex are at no distance of it, orthogonal rows 1 / (K - 1) off."""
    rng, of = np.random.default_rng(0), np.arange(120) % 6
    corners = np.eye(6) - 1 / 6
    x = corners[of] + np.where(np.arange(120) < 60, 0.05, -0.05)[:, None]  # their mean is left as it is

    def tap(x, name):
        return ArrayActivations(x, name, {"label": of})

    def found(y, **more):
        told = session_shift(tap(x, "a"), tap(y, "b"), params=SessionShiftParams(**more)).estimates
        return {e.name: e.value for e in told}

    grown = x * np.where(of < 3, 1.1, 1.0)[:, None]
    same, base = found(x), found(grown)
    square = simplex_distances(np.eye(6), np.arange(6) > 2, 6, None, 400, rng)
    free = simplex_distances(rng.standard_normal((6, 50)), np.arange(6) > 2, 6, None, 2000, rng)[ALL].null
    return (
        CheckLine("session 0", 0.0, same[f"shift of {BASE} at a"], 0.0),
        CheckLine("nothing has moved", 0.0, same[f"shift of {BASE} at b"], 0.0),
        CheckLine("base a tenth larger", 0.1, base[f"shift of {BASE} at b"], 1e-12),
        CheckLine("novel ones as they were", 0.0, base[f"shift of {NOVEL} at b"], 0.0),
        CheckLine("means at a simplex", 0.0, same[f"distance from a simplex, {ALL} at b"], 1e-7),
        CheckLine("their cosine, -1 / (K - 1)", -1 / 5, same[f"mean cosine, {ALL} at b"], 1e-12),
        CheckLine("orthogonal rows", 1 / 5, square[ALL].distance, 1e-12),
        CheckLine(
            "rows anywhere: root mean square", float(np.sqrt(1 / 50 + 1 / 25)), float(free[0, 0]), 0.006
        ),
        CheckLine("rows anywhere: mean cosine", 0.0, float(free[0, 1]), 0.004),
    )


METHODS = (
    Method(
        id="session_shift", family="tokens", title="Sessions of new classes: shift and simplex", version=1,
        function=session_shift,
        summary="How far features of base and novel classes move by session, and the classifier from a simplex.",
        params=SessionShiftParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        same_units=True, checkpoints=True, most_inputs=64, minimum_rows=FEWEST,
        invariance="the order of samples; one rotation and scale of all sessions",
        papers=("Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
                "Learning",),
    ),
)  # fmt: skip
