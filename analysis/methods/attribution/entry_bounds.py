"""Could these heads be computed fast? The largest entries of queries and keys, beside the bounds that theory has.

With scores s <q, k> written as <q', k'> / width (q' = q √(s width), k' alike), attention over n tokens with about log n
units a head can be approximated in nearly linear time where all entries stay below B = o(√log n), and not in truly
subquadratic time once they reach it (unless the strong exponential time hypothesis fails); of attention over triples
the bound is (log n)^(1/3). Per head and sample:

    entries        max_j √(max_i |q'_ij| max_i |k'_ij|)    the scale of each unit being free: <q, k> does not see it
    least possible  √(max_i range of <q'_i, k'_j> over j / 2 width)

No basis of the head and no shift of all its keys, neither of which a softmax sees, has smaller entries than that, since
scores are at most B² in size. A head whose least possible entries are above √log n cannot be brought below it; one
whose entries are below it is in the fast case as it is. Null: Gaussian queries and keys with the same mean square in
each unit: above it, a few entries are far larger than the rest. Interval: Student's t over samples.

When it lies: the theorems are about growing n and hold no constants, so that beside √log n of one n stands a direction
and no verdict; they ask for width of about log n and an error of 1 / n to some power, which no network needs; fast in
theory is not fast on a machine; a few large entries (attention sinks) can be split off. All pairs of tokens are
counted, of causal networks too. Without a network queries and keys are the tokens of the tap themselves.

Cost: one pass a sample, and O(tokens² width) for each head.

References: J. Alman & Z. Song (2023), "Fast attention requires bounded entries"; J. Alman & Z. Song (2023), "How to
capture higher-order correlations? Generalizing matrix softmax attention to Kronecker computation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.explained_samples import NetworkSamples
from analysis.compute.machine import machine
from analysis.compute.rows.token_sets import token_sets
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.features.tap_dictionary import recorded_tap
from analysis.interventions.queries_keys import QueriesKeys, queries_keys
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, TOGETHER = 8, 5.0, 32  # samples; seconds; samples of one token that make a sequence
ENTRIES, LEAST, PAIRS, TRIPLES = "entries", "least possible", "√log n (pairs)", "(log n)^(1/3) (triples)"


@dataclass(frozen=True)
class EntryBoundsParams:
    maximum_samples: int = param(24, "Most samples; a seeded random subset above.", low=8, high=10_000)
    draws: int = param(8, "Gaussian queries and keys for each sample and head.", low=2, high=200)


def entry_bounds(
    activations, params: EntryBoundsParams = EntryBoundsParams(), rng=None, progress=no_progress
) -> Curve:
    """Largest entries of queries and keys, head by head.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network with attention that can be run again; of others the tap's own tokens are taken.

    Returns
    -------
    Curve
        Entries, least possible entries and both bounds over the heads. Estimates: heads below √log n, heads that no
        basis can bring below it, the largest entries in bounds.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight samples; rows that are all equal, or all 0.
    """
    rng = rng or np.random.default_rng(0)
    names, sequences, what, notes = _sequences(
        recorded_tap(as_activations(activations)), params, rng, progress
    )
    found, chance, n = [], [], []
    for i, layers in enumerate(sequences):
        progress(0.2 + 0.8 * i / len(sequences), "reading queries and keys")
        found.append([e for layer in layers for e in largest(layer)])
        chance.append(np.mean([[e for layer in layers for e in largest(_gaussian(layer, rng))]
                               for _ in range(params.draws)], axis=0))  # fmt: skip
        n.append(layers[0].keys.shape[1])
    progress(1.0, "done")
    return _curve(names, np.array(found), np.array(chance), np.array(n), what, notes)


def largest(layer: QueriesKeys) -> list[tuple[float, float]]:
    """Of each head its entries and the least that they could be."""
    width = layer.queries.shape[-1]
    top = [np.abs(x).max(axis=1) for x in (layer.queries, layer.keys)]
    entries = np.sqrt(top[0] * top[1]).max(axis=1) * np.sqrt(layer.scale * width)
    ranges = np.ptp(layer.queries @ layer.keys.transpose(0, 2, 1), axis=2).max(axis=1) * layer.scale
    return list(zip(entries.tolist(), np.sqrt(ranges / 2).tolist(), strict=True))


def _gaussian(layer: QueriesKeys, rng) -> QueriesKeys:
    both = [
        np.sqrt((x**2).mean(axis=1, keepdims=True)) * rng.standard_normal(x.shape)
        for x in (layer.queries, layer.keys)
    ]
    return QueriesKeys(*both, layer.scale)


def _sequences(tap, params: EntryBoundsParams, rng, progress):
    """Names of heads, layers of each sample, what was read, notes."""
    sets = token_sets(tap, rng, maximum=max(params.maximum_samples, FEWEST), minimum=FEWEST, progress=progress,
                      span=(0.0, 0.15))  # fmt: skip
    why = []
    if getattr(tap, "store", None) is not None:
        progress(0.15, "opening the network")
        try:
            samples = NetworkSamples(tap, params.maximum_samples, rng, live=True)
            read = [_layers_of(samples, i) for i in range(len(samples.samples))]
            names = [f"{a + 1}.{h + 1}" for a, layer in enumerate(read[0]) for h in range(len(layer.keys))]
            return names, read, samples.what, [*sets.notes, *samples.notes]
        except (InputError, NotFound) as refused:
            why.append(f"No network with attention was run: {refused.found}.")
    x = [sets.of(i) for i in range(sets.n)]
    if max(map(len, x)) == 1:
        x = np.array_split(np.concatenate(x), max(2, sets.n // TOGETHER))
        why.append("Samples have one token here: neighbouring samples are taken for a sequence.")
    why.append(
        "Queries and keys are the tokens of the tap themselves, as a head with identity weights has them."
    )
    if not max(np.abs(rows).max() for rows in x) > 0:
        raise InputError(f"rows of {tap.name} that are all 0", "rows that differ", "Choose another tap")
    read = [[QueriesKeys(rows[None], rows[None], rows.shape[1] ** -0.5)] for rows in x]
    return ["identity"], read, "the tap itself", [*sets.notes, *why]


def _layers_of(samples: NetworkSamples, i: int) -> list[QueriesKeys]:
    loaded = samples.loaded(i)
    return queries_keys(loaded, loaded.prepare([samples.item(i)]))


def _curve(names, found, chance, n, what: str, notes) -> Curve:
    """Of (samples, heads, 2) each and (samples,) tokens."""
    values, null = found.mean(axis=0), chance.mean(axis=0)
    ends = [[mean_interval(found[:, h, k], 0.0) for h in range(len(names))] for k in (0, 1)]
    log_n = float(np.log(np.maximum(n, 2)).mean())
    bounds = {PAIRS: log_n ** (1 / 2), TRIPLES: log_n ** (1 / 3)}
    band = {
        end: {
            name: np.array([e.get(end, np.nan) for e in of])
            for name, of in zip((ENTRIES, LEAST), ends, strict=True)
        }
        for end in ("low", "high")
    }
    estimates = _estimates(names, found, chance, n)
    return Curve(
        title=f"Largest entries of queries and keys in {what}",
        reading=_reading(names, values, null, bounds, n, estimates),
        caveats=(*notes, "The bounds are about growing n and hold no constants: they are a direction, no verdict.",
                 f"{len(n)} samples of {_span(n)} tokens were read."),
        estimates=estimates, x=np.arange(len(names), dtype=np.float64), x_name="layer.head, from 1",
        y_name="largest entry (scores: q · k / width)",
        series={ENTRIES: values[:, 0], LEAST: values[:, 1],
                **{name: np.full(len(names), bound) for name, bound in bounds.items()}},
        low=band["low"] if len(n) > 1 else {}, high=band["high"] if len(n) > 1 else {},
        null={ENTRIES: null[:, 0], LEAST: null[:, 1]}, x_labels=tuple(names),
    )  # fmt: skip


def _estimates(names, found, chance, n) -> tuple[Estimate, ...]:
    heads, over = len(names), np.sqrt(np.log(np.maximum(n, 2)))[:, None, None]
    ratio, null = found / over, chance / over
    below, out = ratio[..., 0].mean(axis=0) < 1, ratio[..., 1].mean(axis=0) >= 1
    low = [float((null[..., 0].mean(axis=0) < 1).mean()), float((null[..., 1].mean(axis=0) >= 1).mean())]
    best = int(ratio[..., 0].mean(axis=0).argmax())
    method = "Gaussian queries and keys with the same mean square in each unit"
    shares = [
        Estimate(name, float(which.mean()), *wilson(int(which.sum()), heads), interval="Wilson over heads",
                 null=by_chance, null_method=method, n=heads, d=len(n), estimator=how)
        for name, which, by_chance, how in (
            ("heads below √log n", below, low[0], "share of heads whose entries are below it"),
            ("heads that cannot be brought below it", out, low[1], "share of heads whose least possible are above"))
    ]  # fmt: skip
    each = ratio[:, best, 0]
    top = Estimate(f"entries of head {names[best]} over √log n", float(each.mean()), **mean_interval(each, 0.0),
                   null=float(null[:, best, 0].mean()), null_method=method, n=len(each), d=heads,
                   estimator="mean over samples, of the head where it is largest")  # fmt: skip
    return (*shares, top)


def _span(n: np.ndarray) -> str:
    return f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"


def _reading(names, values, null, bounds, n, estimates) -> str:
    heads, of = len(names), "head" if len(names) == 1 else "heads"
    return (
        f"At {n.mean():.0f} tokens √log n is {bounds[PAIRS]:.2f} and (log n)^(1/3) {bounds[TRIPLES]:.2f}: "
        f"{round(estimates[0].value * heads)} of {heads} {of} stay below the first with their entries as they are, and "
        f"{round(estimates[1].value * heads)} could not in any basis or with any shift. The largest are "
        f"{values[:, 0].max():.3g} ({null[values[:, 0].argmax(), 0]:.3g} of Gaussian entries of the same size)."
    )


def _cost(shapes, params: EntryBoundsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    held = 8.0 * samples * d * 4 + 1e5 + 8.0 * TOGETHER * d * 12
    work = 2.0e6 * samples * (1 + params.draws)
    return Cost(OPENING + m.seconds(flops64=work, moved=8.0 * n * d), held, samples)


def _check() -> tuple[CheckLine, ...]:
    """One planted entry in queries of width 4 and scale 1 / 2: entries √(3 · 3 · 2); a unit's scale does not count."""
    x = np.zeros((10, 3, 4))
    x[:, :, 0] = 1.0
    x[:, 1, 2] = 3.0
    tap = ArrayActivations(x.reshape(-1, 4), name="planted", layout=Layout(np.arange(11, dtype=np.int64) * 3))
    found = entry_bounds(tap, EntryBoundsParams(draws=2))
    q, k, free = x[0][None], x[1][None], np.array([4.0, 0.5, 0.1, 1.0])
    one, other, shifted = (
        largest(QueriesKeys(a, b, 0.5))[0] for a, b in ((q, k), (q * free, k / free), (q, k + free))
    )
    return (
        CheckLine("entries: 3 √(scale x width)", 3 * 2**0.5, float(found.series[ENTRIES][0]), 1e-12),
        CheckLine("least possible: √(half the range of scores)", 1.5, float(found.series[LEAST][0]), 1e-12),
        CheckLine("√log 3", np.log(3) ** 0.5, float(found.series[PAIRS][0]), 1e-12),
        CheckLine("the scale of a unit does not count", one[0], other[0], 1e-12),
        CheckLine("nor a shift of all keys", one[1], shifted[1], 1e-12),
    )


METHODS = (
    Method(
        id="entry_bounds", family="attribution", title="Could attention be computed fast?", version=3,
        function=entry_bounds,
        summary="The largest entries of each head's queries and keys beside the bounds that fast attention asks for.",
        params=EntryBoundsParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a factor on a unit of the queries that is taken off the same unit of the keys; the order of tokens",
        papers=(
            "How to Capture Higher-order Correlations? Generalizing Matrix Softmax Attention to Kronecker Computation",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
