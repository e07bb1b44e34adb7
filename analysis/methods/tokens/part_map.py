"""Do tokens of one part of a shape lie together, whichever shape they are of? Embeddings by part.

Tokens of all samples, drawn along the two largest principal axes of all of them and coloured by part. Of each token the
nearest one of another sample, in all units:

    found = share of tokens whose nearest token elsewhere is of the same part, mean over samples; and part by part

Parts are what a second tap says: one unit is the number of the part, of several the largest is the part (as of a
segmentation's scores, or one-hot labels). Without it parts are regions of the shape, below and above its middle along
each axis of the places. Places are those of a third tap, else the grid or the order. Beside it the same by places alone
(each shape put to its middle and size): what a token need not have learned to have its part found.

Interval: Wilson, samples as draws. Null: the share of the part among the tokens of the other samples, exactly.

When it lies: two axes hold part of the variance, and what overlaps there may be apart in all units (the shares are of
all units); a large part is found by chance; shapes that are copies of each other are found by place; regions are no
parts that anybody named.

Cost: O(N² d) for the N tokens that are read.

Reference: X. Han, Y. Tang, Z. Wang & X. Li (2024), "Mamba3D: enhancing local features for 3D point cloud analysis via
state space model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import InputError
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.token_sets import RUN
from analysis.tokens.sets.parts import BLOCK, middled, nearest_elsewhere, parts_of
from analysis.tokens.sets.shapes import LINE, Shapes, read_shapes

TOLD = 8  # parts with a number of their own
PART, SAMPLE, FOUND = "part", "sample", "nearest elsewhere"


@dataclass(frozen=True)
class PartMapParams:
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=3, high=2000)
    maximum_tokens: int = param(
        4000, "Most tokens, as many of each sample; a random subset above.", low=50, high=40_000
    )


def part_map(*taps, params: PartMapParams = PartMapParams(), rng=None, progress=no_progress) -> Scatter:
    """Tokens of many samples by part.

    Parameters
    ----------
    *taps : one to three Activations or arrays (rows, units)
        Tokens; parts of the same tokens; coordinates of the same tokens.

    Returns
    -------
    Scatter
        Tokens on two principal axes. Estimates: shares found in all units, by places alone, and of each part.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Taps of other tokens; one part only; parts that are no numbers; fewer than three samples of two tokens.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    tap = taps[0]
    shapes = read_shapes(tap, taps[2] if len(taps) > 2 else None, params.maximum_samples, rng, progress)
    part, names = parts_of(taps, shapes)
    keep = _kept(shapes, params.maximum_tokens, rng)
    sample = np.concatenate([np.full(len(k), i) for i, k in enumerate(keep)])
    x, places, rows = (np.concatenate([v[k] for v, k in zip(of, keep, strict=True)]) for of in (
        [shapes.tokens(i) for i in range(shapes.n)], middled(shapes.places), shapes.rows))  # fmt: skip
    part = np.concatenate([p[k] for p, k in zip(part, keep, strict=True)])
    if len(np.unique(part)) < 2 or shapes.n < 3:
        raise InputError(
            f"{len(np.unique(part))} part(s) in {shapes.n} samples", "two parts in three samples or more"
        )
    progress(0.4, "nearest tokens elsewhere")
    found = nearest_elsewhere(x, sample, lambda f: progress(0.4 + 0.3 * f, "nearest tokens elsewhere"))
    by_place = nearest_elsewhere(places, sample, lambda f: progress(0.7 + 0.25 * f, "by places"))
    progress(1.0, "done")
    same = [part[f] == part for f in (found, by_place)]
    chance = _chance(part, sample)
    told = _estimates(same, chance, part, names, sample, len(taps) > 1, tap.shape[1])
    few = [] if len(sample) == sum(map(len, shapes.rows)) else [
        f"{len(sample):,} of {sum(map(len, shapes.rows)):,} tokens were taken, at random."]  # fmt: skip
    columns = {PART: names[part], SAMPLE: shapes.sets.samples[sample].astype(str),
               FOUND: np.where(same[0], "of the same part", "of another")}  # fmt: skip
    return _scatter(taps, shapes, x, rows, columns, told, few)


def _kept(shapes: Shapes, maximum: int, rng) -> list[np.ndarray]:
    each = max(2, maximum // shapes.n)
    return [np.sort(rng.permutation(len(r))[:each]) for r in shapes.rows]


def _chance(part: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """(N,) the share of a token's part among the tokens of the other samples."""
    table = np.zeros((sample.max() + 1, part.max() + 1))
    np.add.at(table, (sample, part), 1)
    others = table.sum(axis=0) - table
    return others[sample, part] / others.sum(axis=1)[sample]


def _by_sample(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Mean of the values of each sample that has one."""
    count = np.bincount(sample)
    return np.bincount(sample, values)[count > 0] / count[count > 0]


def _estimates(same, chance, part, names, sample, named: bool, d: int) -> tuple[Estimate, ...]:
    facts = {"d": d, "null_method": "tokens of the other samples at random, exact"}

    def one(name, values, null, of):
        each = _by_sample(values.astype(float), of)
        return Estimate(name, float(each.mean()), **share_interval(each), null=float(_by_sample(null, of).mean()),
                        n=len(each), estimator="share, mean over samples", **facts)  # fmt: skip

    told = [one("nearest token elsewhere is of the same part", same[0], chance, sample)]
    if named:  # regions are places themselves
        told.append(one("the same by places alone", same[1], chance, sample))
    sizes = np.bincount(part, minlength=len(names))
    for p in np.argsort(-sizes, kind="stable")[:TOLD]:
        if sizes[p]:
            mine = part == p
            told.append(one(f"of {names[p]}", same[0][mine], chance[mine], sample[mine]))
    return tuple(told)


def _scatter(taps, shapes: Shapes, x, rows, columns, told, few) -> Scatter:
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(x), 2))
    flat[:, : min(2, len(s))] = (u * s)[:, :2]
    share = np.append(np.square(s), [0, 0])[:2] / max(float(np.square(s).sum()), 1e-300)
    named = len(taps) > 1
    beyond = f", by places alone {told[1].value:.0%}" if named else ""
    worst = min(told[2 if named else 1 :], key=lambda e: e.value - e.null)
    said = [] if named else ["No tap says which part a token belongs to: parts are regions of the shape by "
                             f"{shapes.placed if shapes.placed != LINE else 'the order of tokens'}."]  # fmt: skip
    return Scatter(
        title=f"Tokens of {taps[0].name} by part", positions=flat, rows=rows, of="rows",
        axes=tuple(f"principal axis {i + 1} ({v:.1%})" for i, v in enumerate(share)), columns=columns, colour=PART,
        estimates=told,
        reading=f"The nearest token of another sample is of the same part for {told[0].value:.0%} of tokens "
                f"({told[0].null:.0%} at random{beyond}); least beyond chance for {worst.name[3:]}, {worst.value:.0%} "
                f"({worst.null:.0%}). The two axes hold {share.sum():.0%} of the variance.",
        caveats=(*shapes.sets.notes, *said, *few, f"{len(x):,} tokens of {shapes.n} samples. Shares are of all units, "
                 "the picture of two axes."),
    )  # fmt: skip


def _cost(shapes, params: PartMapParams) -> Cost:
    (n, d), m = shapes[0], machine()
    read = min(max(n // RUN, 1), params.maximum_samples) * RUN
    tokens = min(read, params.maximum_tokens)
    held = 8.0 * read * d * 1.5 + 8.0 * tokens * d * 3 + 20.0 * BLOCK * tokens + 1e5
    work = 2.0 * tokens * tokens * (d + 3) + 6.0 * tokens * d * min(tokens, d)
    return Cost(0.03 + m.seconds(flops64=work, moved=8.0 * n * d + 24.0 * tokens * tokens), held)


def _check() -> tuple[CheckLine, ...]:
    """Planted directions of parts are found in all tokens, noise as often as chance; a part in one shape only never is;
    parts that are places are found by places."""
    rng = np.random.default_rng(0)
    n, t = 20, 24
    part = np.tile(np.arange(t) % 3, (n, 1))
    layout = Layout(np.arange(n + 1) * t)
    ways = 6 * np.eye(3, 12)

    def found(x, of):
        taps = (ArrayActivations(v.reshape(n * t, -1), name, layout=layout) for v, name in
                ((x, "tokens"), (of[..., None].astype(float), "parts"), (place, "places")))  # fmt: skip
        return part_map(*taps).estimates

    place = rng.standard_normal((n, t, 3))
    noise = rng.standard_normal((n, t, 12))
    planted, chance = found(ways[part] + 0.1 * noise, part), found(noise, part)
    lone = part.copy()
    lone[0, 0] = 7
    return (
        CheckLine("parts that are directions: all found", 1.0, planted[0].value, 0.0),
        CheckLine("three parts alike: chance", 1 / 3, planted[0].null, 1e-12),
        CheckLine("noise: found less chance", 0.0, chance[0].value - chance[0].null, 0.08),
        CheckLine("places that tell nothing: found less chance", 0.0, planted[1].value - 1 / 3, 0.08),
        CheckLine("a part of one shape alone is never found", 0.0, found(noise, lone)[-1].value, 0.0),
    )


METHODS = (
    Method(
        id="part_map", family="tokens", title="Tokens by part", version=2, function=part_map,
        summary="Tokens of many shapes by part (a second tap), and whether a part is found in other shapes.",
        params=PartMapParams, result=Scatter, check=_check, cost=_cost, minimum_rows=3 * RUN, more_inputs=True,
        most_inputs=3,
        invariance="rotations, one factor and a shift of all tokens; the order of samples and of parts",
        papers=("Mamba3D: Enhancing Local Features for 3D Point Cloud Analysis via State Space Model",),
    ),
)  # fmt: skip
