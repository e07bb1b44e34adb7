"""How many parts of a sample act together, layer by layer? What each layer makes of all combinations of the parts.

The sample is cut into a few parts at the tap (squares of a map, neighbouring tokens, columns). All 2^M combinations of
parts that are there, the others being as in the background, go through the network, and what each later layer gives is
a sum of uncorrelated pieces, one for each set of parts:

    y(S) = Σ_T w_T Π_{i in T} ±1 ,     share of order k = Σ_{|T| = k} |w_T|² / Σ_{T ≠ ∅} |w_T|²

1 for order one where a layer adds up its parts; a product of two parts of mean 0 is of order two alone. At the tap
itself it is 1. Beside it, behind a block of a network with attention over these tokens, how many different parts a path
passes that at each layer stays (one half) or goes where its token looks: what attention could bring together, not what
it does.

Null: a network that adds up its parts: nothing beyond order one but rounding; of paths, attention that looks at all
parts alike. Interval: Student's t over samples.

When it lies: orders are those of these very parts and this background: parts that are cut through make interactions of
their own, and what one part holds inside itself is of order one; a normalisation bends everything a little and makes
orders of its own; a share is of variance, so that a layer that passes on its input beside what it computes stays near
order one; half of all combinations lack half of the parts, which no sample does.

Cost: 2^M passes for each sample.

References: W. Song et al. (2019), "AutoInt: automatic feature interaction learning via self-attentive neural networks"
(orders by depth); B. Efron & C. Stein (1981) and R. O'Donnell (2014) for the pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution import backgrounds
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import recorded_tap
from analysis.interventions.orders_by_depth import ANSWER, parts_of, paths_of, shares_by_layer
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, STAY = 8, 5.0, 0.5  # samples; seconds; chance of a path to stay
SHARES, NUMBERS = "shares of orders", "mean order"
ORDERS = ("one part alone", "two together", "three together", "four or more")
MEASURED, PATHS = "parts that act together", "parts on a path of attention"


@dataclass(frozen=True)
class InteractionByDepthParams:
    shown: str = param(SHARES, "What the curve shows.", choices=(SHARES, NUMBERS))
    players: int = param(
        9, "Most parts that a sample is cut into; passes double with each.", label="parts", low=2, high=12
    )
    samples_asked: int = param(12, "Samples that are asked, drawn at random.", low=8, high=500)
    background: str = param(
        backgrounds.MEAN, "What stands where a part is absent.", choices=(backgrounds.MEAN, backgrounds.ZERO)
    )
    background_samples: int = param(20, "Samples that the mean is made of.", low=1, high=1000)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def interaction_by_depth(
    activations, params: InteractionByDepthParams = InteractionByDepthParams(), rng=None, progress=no_progress
) -> Curve:
    """Orders of interaction at every recorded layer behind the tap, and in the answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap whose parts are put in and taken out; of a plain array the answer is a probe's.

    Returns
    -------
    Curve
        Over the layers. Estimates: what is beyond one part alone in the answer and in the first layer behind the tap,
        the mean order of the answer, parts on paths of attention.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples or two parts; nothing that moves.
    """
    tap, rng, seen = recorded_tap(as_activations(activations)), rng or np.random.default_rng(0), Pass()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(tap, params.reader, params.column, tap.layout.n_samples, rng, progress,
                                       (0.05, 0.1), live=True)  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    layers = _layers(samples, tap)
    n = len(samples.samples)
    some = np.sort(rng.choice(n, size=min(params.samples_asked, n), replace=False))
    drawn = np.sort(rng.choice(n, size=min(params.background_samples, n), replace=False))
    others = [samples.run(int(i)).clean for i in drawn] if params.background != backgrounds.ZERO else []
    shares, paths, passes, parts = [], [], 0, []
    for k, i in enumerate(some):
        progress(0.1 + 0.9 * k / len(some), f"sample {k + 1:,} of {len(some):,}")
        run = samples.run(int(i))
        who = parts_of(run, params.players)
        behind = backgrounds.background(params.background, run.clean, others)
        found, spent = shares_by_layer(run, who, behind, layers, rng)
        shares.append({name: _folded(by) for name, by in found.items()})
        passes, parts = passes + spent, [*parts, len(who.names)]
        if samples.is_network:
            paths.append(paths_of(run, who, STAY))
    progress(1.0, "done")
    said = (*seen.notes, *notes, f"{passes:,} passes through {samples.what}; absent parts: {behind.words}.",
            f"{len(some)} samples in {min(parts)} to {max(parts)} parts each.")  # fmt: skip
    return _curve(tap, params, shares, [p for p in paths if p is not None], said)


def _folded(by: np.ndarray) -> np.ndarray:
    """(5,) shares of orders one, two, three, four or more, and the mean order."""
    padded = np.r_[by, np.zeros(4)]
    return np.r_[padded[:3], padded[3:].sum(), by @ np.arange(1, len(by) + 1)]


def _layers(samples, tap) -> tuple[str, ...]:
    """Recorded modules of the tap's store."""
    store = getattr(tap, "store", None)
    if not samples.is_network or store is None:
        return ()
    return tuple(name for name in store.recorded if name in samples.modules)


def _curve(tap, params, shares, paths, notes) -> Curve:
    moved = [name for name in shares[0] if any(s[name].any() for s in shares)]
    still = [name for name in shares[0] if name not in moved]
    if not moved:
        raise InputError(
            f"nothing behind {tap.name} changes with its parts",
            "a tap that the answer hangs on",
            "Choose another tap",
        )
    values = np.array([[s[name] for name in moved] for s in shares])  # (n, layers, 5)
    if still:
        notes = (*notes, f"Not behind the tap, and left out: {', '.join(still)}.")
    if not paths:
        notes = (*notes, "No attention over these tokens was read, so that there are no paths of it.")
    estimates = _estimates(values, moved, paths, tap.shape[1])
    series, null, limits = _series(params, values, len(moved))
    ends = {name: [mean_interval(v, *limits) for v in own.T] for name, own in series.items()}
    band = {
        end: {name: np.array([e.get(end, np.nan) for e in of]) for name, of in ends.items()}
        for end in ("low", "high")
    }
    return Curve(
        title=f"Parts of a sample at {tap.name} that act together", reading=_reading(values, moved, estimates),
        caveats=notes, estimates=estimates, x=np.arange(len(moved), dtype=np.float64), x_name="layer",
        y_name="share of the variance over combinations" if params.shown == SHARES else "number of parts",
        series={name: np.nanmean(own, axis=0) for name, own in series.items()}, low=band["low"], high=band["high"],
        null=null, x_labels=tuple(moved),
    )  # fmt: skip


def _series(params, values, layers: int):
    """By name (samples, layers), with the nulls and the ends of what they can be."""
    if params.shown == SHARES:
        found = {name: values[..., k] for k, name in enumerate(ORDERS)}
        return found, {name: np.full(layers, float(k == 0)) for k, name in enumerate(ORDERS)}, (0.0, 1.0)
    return {MEASURED: values[..., 4]}, {MEASURED: np.ones(layers)}, (1.0, np.inf)


def _estimates(values, moved, paths, d: int) -> tuple[Estimate, ...]:
    n, at = len(values), moved.index(ANSWER) if ANSWER in moved else len(moved) - 1
    method = "a network that adds up its parts"
    made = []
    for name, k in dict.fromkeys(((moved[at], at), (moved[min(1, at)], min(1, at)))):
        beyond = np.clip(1 - values[:, k, 0], 0.0, 1.0)
        made.append(Estimate(f"beyond one part alone, {name}", float(beyond.mean()), **mean_interval(beyond, 0.0, 1.0),
                             null=0.0, null_method=method, n=n, d=d,
                             estimator="1 - share of order one, mean over samples"))  # fmt: skip
    order = np.maximum(values[:, at, 4], 1.0)
    made.append(Estimate(f"parts that act together, {moved[at]}", float(order.mean()), **mean_interval(order, 1.0),
                         null=1.0, null_method=method, n=n, d=d,
                         estimator="mean of orders, weighed by their variance"))  # fmt: skip
    if paths:
        sizes = [p[-1] @ np.arange(1, p.shape[1] + 1) for p in paths]
        even = np.mean([_even(p.shape[1], len(p) - 1) for p in paths])
        made.append(Estimate(PATHS, float(np.mean(sizes)), **mean_interval(np.array(sizes), 1.0), null=float(even),
                             null_method="attention that looks at all parts alike", n=len(sizes), d=d,
                             estimator="different parts on a path through all layers, mean"))  # fmt: skip
    return tuple(made)


def _even(players: int, layers: int) -> float:
    """Mean number of different players on a path of even attention: each step misses a given other player with chance
    1 - (1 - stay) / players."""
    return 1 + (players - 1) * (1 - (1 - (1 - STAY) / players) ** layers)


def _reading(values, moved, estimates) -> str:
    at = moved.index(ANSWER) if ANSWER in moved else len(moved) - 1
    one, two, three, more = values[:, at, :4].mean(axis=0)
    said = (
        f"Of what {moved[at]} makes of the parts {one:.0%} is of one part alone, {two:.0%} of two together, "
        f"{three:.0%} of three and {more:.0%} of more"
    )
    if len(estimates) > 3:
        said += (
            f"; a path of attention passes {estimates[-1].value:.1f} parts ({estimates[-1].null:.1f} were it even), "
            f"the answer's mean order is {estimates[-2].value:.2f}"
        )
    return said + "."


def _cost(shapes, params: InteractionByDepthParams) -> Cost:
    (n, d), m = shapes[0], machine()
    passes = min(n, params.samples_asked) * 2**params.players
    held = 30.0 * n * d + 2**params.players * (60.0 * d + 8.0 * 64)
    return Cost(
        OPENING + m.seconds(flops64=2e5 * passes, moved=24.0 * n * d) + 1e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe adds up its parts; even attention passes as many parts as chance."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(24) % 2, 4)
    x = rng.standard_normal((96, 5)) + label[:, None]
    tap = ArrayActivations(
        x, name="planted", samples={"label": label[::4]}, layout=Layout(np.arange(25, dtype=np.int64) * 4)
    )
    told = interaction_by_depth(tap, InteractionByDepthParams(reader=PROBE, samples_asked=8))
    return (
        CheckLine("beyond one part alone", 0.0, told.estimates[0].value, 1e-12),
        CheckLine("mean order", 1.0, told.estimates[1].value, 1e-12),
        CheckLine("parts on two even steps among 2", 1 + (1 - 0.75**2), _even(2, 2), 1e-12),
    )


METHODS = (
    Method(
        id="interaction_by_depth", family="attribution", title="Interaction by depth", version=1,
        function=interaction_by_depth,
        summary="How much of each layer's output needs one, two, three or more parts of a sample together.",
        params=InteractionByDepthParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling all units of a layer; the order of parts, where the network ignores it",
        papers=(
            "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
            "AutoInt: self-attentive feature interaction",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
