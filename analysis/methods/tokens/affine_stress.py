"""Is a sample still recognised when it is turned, scaled or shifted? Embeddings of moved copies, over the severity.

    cosine: cos(e(x), e(moved x)), mean over samples
    TAR at FAR: the share of copies nearer to their original than all but a share FAR of strangers is to another's

where e is what the tap's module gives, tokens pooled as they were recorded, of pictures moved about their
middle (bilinear, edges repeated) and run through the network again, and
a stranger is the original of one sample with the moved copy of
another; of two labels where a column of identities is named. Severity 0 moves nothing. A network whose attention knows
where landmarks are (a bias that moves along with them) should fall more slowly than one that knows places only. Without
a network the tokens themselves are moved on their grid, and all of them in order are the embedding.

Intervals: Student's t over samples, or identities, of the cosine, Wilson of the share. Null: of the cosine that of
strangers at the same severity, of TAR the FAR itself.

When it lies: repeated edges are content that no camera saw; cosines of uncentred embeddings are high for strangers,
too: read the distance between line and null, or TAR; a copy is an easier pair than two photographs of one face; TAR at
a FAR of less than one in the pairs of strangers is that of the most alike pair.

Cost: six passes of the network for each sample, and O(n² d) of strangers at each severity.

Reference: M. Kim, Y. Su, F. Liu, A. Jain & X. Liu (2024), "KeyPoint relative position encoding for face recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.paired_sets import CELLS
from analysis.tokens.pooling.token_sets import RUN, token_sets
from analysis.tokens.reembedding import (
    ALL,
    BUT_FIRST,
    ROTATE,
    SCALE,
    SHIFT,
    WAYS,
    embedded,
    moved_inputs,
    pooled_as,
    warped,
)
from analysis.tokens.sets.verification import verified
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES

STEPS, BATCH, FEWEST, OPENING = 6, 32, 4, 4.0
LARGEST = {ROTATE: 45.0, SCALE: 0.5, SHIFT: 0.25}
UNIT = {ROTATE: "degrees", SCALE: "larger by", SHIFT: "widths to the right"}
COSINE, TAR = "cosine to the original", "recognised (TAR)"


@dataclass(frozen=True)
class AffineStressParams:
    way: str = param(ROTATE, "How samples are moved.", choices=WAYS)
    most: float | None = param(
        None, "The largest severity: degrees, share of size, widths; automatic: 45, 0.5, 0.25.", low=1e-3, high=180.0
    )  # fmt: skip
    false_accepts: float = param(
        0.01, "FAR, the share of strangers that would be accepted.", low=1e-6, high=0.5
    )
    identity: str = param(
        "", "Sample column that says who is who; empty: every sample is its own.", column=True
    )
    maximum_samples: int = param(128, "Most samples; a seeded random subset above.", low=4, high=20_000)
    source: str = param(
        AUTOMATIC, "What is moved: pictures, through the network, or the recorded tokens.", choices=SOURCES, late=True
    )  # fmt: skip


def affine_stress(
    activations, params: AffineStressParams = AffineStressParams(), rng=None, progress=no_progress
) -> Curve:
    """Cosine to the original and verification over the severity of a move.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap of a network of pictures that can be run again; of other taps the tokens are moved on their grid.

    Returns
    -------
    Curve
        The cosine and TAR with intervals and nulls. Estimates: both at the largest severity, and where TAR halves.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than four samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    largest = LARGEST[params.way] if params.most is None else params.most
    amounts = np.linspace(0.0, largest, STEPS)
    made, samples, notes = _embeddings(tap, params, amounts, rng, progress)
    who = np.arange(len(made[0]))
    if params.identity:
        column = sample_column(tap, params.identity)
        if samples is None:
            notes = (*notes, "Runs of rows have no identity: each is its own.")
        else:
            who = np.unique(column[samples], return_inverse=True)[1]
    progress(0.9, "comparing strangers")
    found = [verified(made[0], e, who, params.false_accepts) for e in made]
    progress(1.0, "done")
    return _curve(tap, params, amounts, found, who, notes)


def _embeddings(tap, params, amounts, rng, progress):
    """(a list of (n, d) for each amount, (n,) samples or None for runs of rows, notes)."""
    why = ()
    if params.source != ROWS:
        try:
            return _of_network(tap, params, amounts, rng, progress)
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    sets = token_sets(tap, params.maximum_samples, rng, progress, minimum=FEWEST, span=(0.0, 0.5))
    t = sets.x.shape[1]
    grid = sets.grid or (CELLS if sets.gathered and t == RUN else (1, t))
    x, made = sets.x.reshape(sets.n, *grid, -1), []
    for k, amount in enumerate(amounts):
        progress(0.5 + 0.4 * k / STEPS, "moving tokens")
        made.append(warped(x, params.way, float(amount)).reshape(sets.n, -1))
    where = f"on a grid of {grid[0]} x {grid[1]}" if grid[0] > 1 else "in a line"
    note = f"No network was run: tokens are moved {where}, and all of them in order are the embedding."
    return made, None if sets.gathered else sets.samples, (*why, *sets.notes, note)


def _of_network(tap, params, amounts, rng, progress):
    from analysis.sources.rerun import rerun

    source = getattr(tap, "source", None)
    run = rerun(tap if source is None else source(), params.maximum_samples, partial=True, rng=rng)
    if run.n < FEWEST:
        raise NotEnoughData(f"{run.n} sample(s)", f"at least {FEWEST}")
    name, made, pooled = tap.name.partition(":")[2] or tap.name, [[] for _ in amounts], ALL
    if not tap.layout.is_pooled and tap.layout.leading == 1:
        pooled = BUT_FIRST
    for start in range(0, run.n, BATCH):
        inputs = run.loaded.prepare(run.data.items(start, min(start + BATCH, run.n)))
        if not start and tap.layout.is_pooled:
            stored = np.asarray(tap.take(run.samples[:BATCH]), np.float64)
            pooled = pooled_as(run.loaded, name, inputs, stored)
        for k, amount in enumerate(amounts):
            progress(0.1 + 0.8 * (start + BATCH * k / STEPS) / (run.n + BATCH), "running the network")
            moved = moved_inputs(inputs, params.way, float(amount))
            if moved is None:
                raise InputError("inputs without a picture", "pictures of one or three channels, to be moved")
            made[k].append(embedded(run.loaded, name, moved, pooled))
    return (
        [np.concatenate(m) for m in made],
        run.samples,
        (run.note, *run.loaded.notes, f"Embedding: {pooled}."),
    )


def _curve(tap, params, amounts, found, who, notes) -> Curve:
    of, d = np.bincount(who), tap.shape[1]
    # pictures of one person are no independent samples
    cosines, right = (np.array([np.bincount(who, f[k]) / of for f in found]) for k in (0, 1))
    n, over = len(of), "mean over samples" if of.max() == 1 else "mean over identities"
    ends = [mean_interval(c, -1.0, 1.0) for c in cosines], [share_interval(r) for r in right]
    names = (COSINE, TAR)
    low, high = (
        {m: np.array([x[side] for x in e]) for m, e in zip(names, ends, strict=True)} for side in ("low", "high")
    )  # fmt: skip
    strangers, reached = (np.array([f[k] for f in found]) for k in (2, 3))
    unit = UNIT[params.way]
    last = f"at {amounts[-1]:g} {unit}"
    facts = {"n": n, "d": d}
    estimates = (
        Estimate(f"{COSINE} {last}", float(cosines[-1].mean()), **ends[0][-1], null=float(strangers[-1]),
                 null_method="strangers at this severity", estimator=over, **facts),
        Estimate(f"{TAR} {last}", float(right[-1].mean()), **ends[1][-1], null=float(reached[-1]),
                 null_method="strangers are let in at this rate (FAR)", estimator=over, **facts),
        Estimate(f"{COSINE} of copies that are not moved", float(cosines[0].mean()), **ends[0][0], null=1.0,
                 null_method="a copy that is not moved is the original", estimator=over, **facts),
    )  # fmt: skip
    half = amounts[right.mean(axis=1) < 0.5]
    lost = "half or more are recognised throughout"
    if len(half):
        lost = f"fewer than half are recognised at {half[0]:g} {unit}, the least of those tried"
    reading = (
        f"{last[0].upper()}{last[1:]} a copy has a cosine of {cosines[-1].mean():.2f} to its original (strangers "
        f"{strangers[-1]:.2f}); {lost}, at {params.false_accepts:.2%} false accepts."
    )
    said = ["A copy is an easier pair than two pictures of one person or thing."]
    if params.false_accepts * found[0][4] < 1:
        said.append(
            "There are fewer pairs of strangers than one false accept takes: the bar is the most alike pair."
        )
    return Curve(
        title=f"What moves do to {tap.name}: {params.way}", x=amounts, x_name=f"severity ({unit})",
        y_name="cosine, share", series={COSINE: cosines.mean(axis=1), TAR: right.mean(axis=1)}, low=low, high=high,
        null={COSINE: strangers, TAR: reached}, estimates=estimates, reading=reading, caveats=(*notes, *said),
    )  # fmt: skip


def _cost(shapes, params: AffineStressParams) -> Cost:
    (n, d), m = shapes[0], machine()
    sets = min(n / RUN, params.maximum_samples)
    held = 8.0 * sets * RUN * d * (STEPS + 5.0) + 24.0 * sets**2
    passes = STEPS * min(n, params.maximum_samples)
    work = m.seconds(flops64=2.0 * STEPS * sets**2 * RUN * d, moved=8.0 * n * d + 6 * held)
    return Cost(OPENING + work + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A copy that is not moved has a cosine of 1; a shift by a whole token and by a quarter turn are known; strangers
    of chance are let in at FAR."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 4, 2))
    tap = ArrayActivations(
        rng.standard_normal((60 * 16, 8)), "planted", layout=Layout(np.arange(61) * 16, (4, 4))
    )
    found = affine_stress(tap, AffineStressParams(way=SHIFT))
    alike, _, _, far, _ = verified(
        rng.standard_normal((80, 3)), rng.standard_normal((80, 3)), np.arange(80), 0.1
    )
    chance = verified(*rng.standard_normal((2, 400, 40)), np.arange(400), 0.1)[1].mean()
    return (
        CheckLine("a copy that is not moved", 1.0, float(found.series[COSINE][0]), 1e-12),
        CheckLine("recognised when it is not moved", 1.0, float(found.series[TAR][0]), 0.0),
        CheckLine("a shift by one of four tokens", 0.0,
                  float(np.abs(warped(x, SHIFT, 0.25)[:, :, 1:] - x[:, :, :-1]).max()), 1e-12),
        CheckLine("a quarter turn", 0.0,
                  float(np.abs(warped(x, ROTATE, 90.0) - np.rot90(x, -1, axes=(1, 2))).max()), 1e-12),
        CheckLine("strangers let in", 0.1, far, 1 / len(alike)),
        CheckLine("copies that are strangers: TAR is FAR", 0.1, float(chance), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="affine_stress", family="tokens", title="Embeddings of moved samples", version=2, function=affine_stress,
        summary="Cosine to the original and verification when samples are turned, scaled or shifted, over severity.",
        params=AffineStressParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST * RUN,
        invariance="the order of samples; one positive scale and rotations of the units",
        papers=("KeyPoint Relative Position Encoding (KP-RPE)",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
