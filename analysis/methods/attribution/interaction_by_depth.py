"""At which depth do parts of a sample begin to act together? The share of a change that is no sum, layer by layer.

Two random groups A, B of a sample's tokens (of samples of one token, of its units) are left out: their mean over the
samples stands in their place, where the blocks begin. What a layer passes on, h, then changes by

    Δ_l = h_l - h_l(without A) - h_l(without B) + h_l(without both)
    share_l = Σ |Δ_l|² / Σ |h_l - h_l(without both)|²        over samples and draws

0 where what is passed on is a sum of what A and B do alone; linear maps keep it as it is. The same is told of the
number of the answer.

Null: a network that adds up has 0. Interval: bootstrap over samples; how far rounding reaches is told by the start,
where the share is 0.

When it lies: tokens at their mean are no tokens, so that some of what is seen is surprise; sizes of what is passed on
grow with depth and a late layer of small size hides an early one that is large; groups drawn at random say nothing of
which parts interact (`interaction_matrix`, `triple_interactions`); a norm divides by the whole and makes everything
interact a little; where both groups undo each other the share is over 1; of a linear probe all is 0.

Cost: samples x (1 + 3 draws) forward passes; memory of what the layers pass on in one batch, four times.

References: J. Friedman & B. Popescu (2008), "Predictive learning via rule ensembles" (H², of which this is the
counterpart inside a network).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench
from analysis.interventions.components import INPUT, LAYERS, RESIDUALS, Site
from analysis.interventions.interventions import Intervention
from analysis.interventions.many_samples import means_of
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DEPTH = 6  # of a small network, for the estimate
LINE = "what is passed on"


@dataclass(frozen=True)
class InteractionByDepthParams(BenchParams):
    share: float = param(0.3, "Share of the tokens that is in each of both groups.", low=0.01, high=0.5)
    draws: int = param(4, "Pairs of groups of each sample.", label="pairs of groups", low=1, high=200)


def interaction_by_depth(
    activations, params: InteractionByDepthParams = InteractionByDepthParams(), rng=None, progress=no_progress
) -> Curve:
    """Share of a change that is no sum of two, over depth.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its input is all there is.

    Returns
    -------
    Curve
        Depth 0 is where the groups are left out. Estimates: the share behind the last layer, that of the number of the
        answer, and what the layer that adds most adds.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    start, depths = _places(bench)
    mean = means_of(bench.runs, [start])[start].numpy()
    both = np.concatenate([
        _shares(run, target, start, depths, mean, params, rng,
                lambda f, doing="", k=k: progress(0.1 + 0.9 * (k + f) / len(bench.runs), doing))
        for k, (run, target) in enumerate(zip(bench.runs, bench.targets, strict=True))
    ], axis=2)  # fmt: skip
    progress(1.0, "done")
    shares = [_share(b, rng) for b in both[:-1]]
    value, low, high = (np.array(v) for v in zip(*shares, strict=True))
    estimates = _estimates(bench, both, value, rng)
    names = [s.module for s in depths]
    return Curve(
        title=f"How far parts of a sample act together in {bench.what}", reading=_reading(estimates, names, params),
        caveats=(*bench.notes, *_caveats(bench, params, names)), estimates=estimates,
        x=np.arange(len(value), dtype=np.float64), x_name="depth", y_name="share of the change that is no sum",
        series={LINE: value}, low={LINE: low}, high={LINE: high}, null={LINE: np.zeros(len(value))},
    )  # fmt: skip


def _places(bench: Bench) -> tuple[Site, list[Site]]:
    """Where groups are left out, and what is read behind it, in order."""
    parts = bench.parts
    if parts is None or not parts.depth:
        return (bench.site, []) if bench.parts is None else (Site(INPUT), [bench.site])
    kind = RESIDUALS if parts.blocks else LAYERS
    depths = [c.places[0].site for c in parts.components(kind)]
    start = Site(parts.blocks[0], INPUT) if parts.blocks else Site(parts.embedding or INPUT)
    return start, depths


def _shares(run, target, start: Site, depths, mean, params, rng, progress) -> np.ndarray:
    """(1 + depths + 1, 2, n): squared mixed difference, and squared change, of the start, each depth, the number."""
    found = run.caught([start, *depths])
    x = found[start].double().numpy()
    clean = [x, *(found[s].double().numpy() for s in depths)]
    y, sums = target.of(run.logits).numpy(), np.zeros((len(depths) + 2, 2, run.n))
    for k in range(params.draws):
        progress(k / params.draws, "leaving groups out")
        a, b = _groups(run.real(x.shape[1]), x.shape, params.share, rng)
        out, cells = [], []
        for mask in (a, b, a | b):
            new = np.where(mask, mean, x)
            cells.append((Intervention(start, new),))
            caught = run.caught(depths, cells[-1]) if depths else {}
            out.append([new, *(caught[s].double().numpy() for s in depths)])
        for i, h in enumerate(clean):
            real = run.real(h.shape[1])[..., None]
            one, two, all_ = (o[i] for o in out)
            sums[i] += [((v**2) * real).sum(axis=(1, 2)) for v in (h - one - two + all_, h - all_)]
        z = run.answers(cells, target.of)
        sums[-1] += [(y - z[0] - z[1] + z[2]) ** 2, (y - z[2]) ** 2]
    return sums


def _groups(real: np.ndarray, shape, share: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint masks that fit (n, tokens, units): of tokens that are no padding, or of units where there is one."""
    by_token = shape[1] > 1
    free = real if by_token else np.ones((shape[0], shape[2]), dtype=bool)
    order = np.where(free, rng.random(free.shape), 2.0).argsort(axis=1).argsort(axis=1)
    many = np.maximum((share * free.sum(axis=1)).astype(int), 1)[:, None]
    a, b = order < many, (order >= many) & (order < np.minimum(2 * many, free.sum(axis=1)[:, None]))
    return (a[..., None], b[..., None]) if by_token else (a[:, None], b[:, None])


def _share(both: np.ndarray, rng) -> tuple[float, float, float]:
    """Of (2, n): ratio of sums with its interval; 0 where nothing changes."""
    if not both[1].sum() > 0:
        return 0.0, 0.0, 0.0
    return (float(both[0].sum() / both[1].sum()), *ratio_interval(both[0], both[1], rng, draws=400))


def _estimates(bench: Bench, both, value, rng) -> tuple[Estimate, ...]:
    n, d, made = bench.n, bench.made.source.shape[1], []
    for name, own in (("share behind the last layer", both[-2]), ("share of the number", both[-1])):
        made.append(Estimate(name, *_share(own, rng), interval="bootstrap over samples", null=0.0,
                             null_method="a network that adds up", n=n, d=d,
                             estimator="squared mixed difference / squared change"))  # fmt: skip
    rises = np.diff(value)
    if len(rises):
        k = int(rises.argmax())
        drawn = rng.integers(n, size=(400, n))
        many = [[float(b[0][i].sum() / max(b[1][i].sum(), 1e-300)) for b in both[k : k + 2]] for i in drawn]
        low, high = np.percentile(np.diff(many, axis=1)[:, 0], [2.5, 97.5])
        made.append(Estimate(f"added at depth {k + 1}", float(rises[k]), min(float(low), float(rises[k])),
                             max(float(high), float(rises[k])), interval="bootstrap over samples", null=0.0,
                             null_method="a layer that adds up", n=n, d=d,
                             estimator="share after less share before, the largest of all depths"))  # fmt: skip
    return tuple(made)


def _reading(estimates, names, params) -> str:
    last, number = estimates[:2]
    if not names:
        return f"There is no depth: of the change of the {params.number} {number.value:.0%} is no sum of two changes."
    most = estimates[2]
    return (
        f"Behind the last layer {last.value:.0%} of what leaving two groups out changes is no sum of what each changes "
        f"alone, of the {params.number} {number.value:.0%}; {most.value:.0%} is {most.name} "
        f"({names[int(most.name.split()[-1]) - 1]}), the most of any."
    )


def _caveats(bench: Bench, params, names) -> list[str]:
    said = [
        f"Groups hold {params.share:.0%} of a sample's tokens each, drawn {params.draws} times; means stand for them."
    ]
    if names:
        said.append(f"Depth 0 is where they are left out; the others are {names[0]} to {names[-1]}.")
    if bench.parts is None:
        said.append(
            "A linear probe adds up: nothing acts together in it, but in a logarithm or a probability."
        )
    return [*said, f"{bench.passes:,} rows went through {bench.what}."]


def _cost(shapes, params: InteractionByDepthParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = samples * (1 + 6.0 * params.draws)
    held = 10.0 * n * k + 100.0 * min(samples, 32) * k * DEPTH
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe adds up; its probability does not."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack(
        [label * 3.0 + rng.standard_normal(40), rng.standard_normal((40, 5)) + label[:, None]]
    )
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    logit, other = (interaction_by_depth(tap, InteractionByDepthParams(reader=PROBE, number=number)).estimates[1]
                    for number in ("logit difference", "log probability"))  # fmt: skip
    return (
        CheckLine("a logit difference is a sum", 0.0, logit.value, 1e-12),
        CheckLine("a log-probability is not", 0.0, other.value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="interaction_by_depth", family="attribution", title="Interaction by depth", version=1,
        function=interaction_by_depth, params=InteractionByDepthParams, result=Curve, check=_check, cost=_cost,
        summary="Share of a change that is no sum of what two groups of tokens change alone, layer by layer.",
        minimum_rows=FEWEST, invariance="order of tokens of a network without positions; a constant added to logits",
        libraries=("torch",),
    ),
)  # fmt: skip
