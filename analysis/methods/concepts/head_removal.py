"""Which attention heads carry the domain? The change of out-of-domain accuracy when each head's slice is taken out.

For every layer and every head, a slice of heads × width = units: the slice is set to its mean, probes (Fisher's, with
the classes' frequencies) are trained in each domain and tested in the others, and the cell is

    mean accuracy out of domain without the slice - the same as recorded

A head that carries what is particular to a domain raises it when it goes; one that carries the class lowers it. One
domain is kept for choosing: the head named as the best is that of the largest gain *there*, and its number is that of
the other domains. All cells are of the other domains, so that reading off their largest is choosing on the tested ones,
which is given beside what the largest of as many random removals would be.

Null: random subspaces of the size of a slice, 8 of each layer. Cells are marked after false-discovery control over all
of them. Intervals: normal, samples as draws, probes held fixed.

When it lies: slices are heads only where heads stand side by side (before the output projection; behind it they are
mixed); heads do the same work twice, so that one alone is not missed; domains with other frequencies of classes are
harder without any head's doing; domains are few, and nothing is said of other domains.

Cost: layers × (heads + 9) fits of O(domains folds n d min(n, d)); memory O(n d).

References: K. Kuznetsov et al. (2024), "Robust AI-generated text detection by restricted embeddings"; Y. Benjamini &
Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import against
from analysis.compute.subspaces.domain_samples import FEWEST, domain_samples
from analysis.compute.subspaces.slice_removal import (
    SliceRemovals,
    Z,
    chosen_cell,
    corrected,
    held_domain,
    largest_by_chance,
    slice_removals,
)
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, DRAWS, NAMED, LEVEL = 5, 8, 6, 0.05
INTERVAL = "normal, samples as draws, probes held fixed"


@dataclass(frozen=True)
class HeadRemovalParams:
    heads: int = param(4, "Heads of a layer: equal slices of its units, side by side.", low=1, high=256)
    column: str = param("label", "Sample column with the classes to tell.", column=True)
    domain: str = param("", "Sample column with the domains; empty: three random parts, between which nothing differs.",
                        column=True)  # fmt: skip
    validation: str = param("", "Domain on which the best head is chosen; empty: the smallest.")
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(1500, "Most samples; a seeded random subset above.", low=50, high=20_000)


def head_removal(
    *taps, params: HeadRemovalParams = HeadRemovalParams(), rng=None, progress=no_progress
) -> Matrix:
    """Layers by heads: change of the mean out-of-domain accuracy.

    Parameters
    ----------
    *taps : Activations with sample columns, one or more, a layer each.

    Returns
    -------
    Matrix
        `values` (layers, heads), with `low`, `high`, `null` (random subspaces of that size) and `significant` after
        false-discovery control. Estimates: the head chosen in the validation domain; the largest cell; each layer's
        accuracy as recorded.

    Raises
    ------
    ParameterError
        Heads that do not divide the units; no such domain.
    NotFound, NotEnoughData, InputError, TooLarge
        As `transfer_matrix`.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    seed, layers, notes = int(rng.integers(2**32)), [], []
    for i, tap in enumerate(taps):
        own = np.random.default_rng(seed)  # the same samples, parts and folds of every layer
        at = i / len(taps)
        data = domain_samples(
            tap, params.column, params.domain, own, pooling=params.pooling, maximum=params.maximum_samples,
            progress=lambda f, doing="", at=at: progress(at + 0.2 * f / len(taps), doing),
        )  # fmt: skip
        fold, held = (
            folds_of(data.of * len(data.names) + data.domain, FOLDS, own),
            held_domain(data, params.validation),
        )
        span = (at + 0.2 / len(taps), (i + 1) / len(taps))
        layers.append(slice_removals(data, params.heads, fold, held, DRAWS, own, progress, span))
        notes += [note for note in data.notes if note not in notes]
    progress(1.0, "done")
    names = tap_names([t.name for t in taps])
    values, error = (np.array([getattr(layer, key) for layer in layers]) for key in ("change", "error"))
    significant = corrected(layers) < LEVEL
    kept = None if held is None else data.names[held]
    estimates = _estimates(layers, names, kept, rng)
    top = float(np.abs(values).max()) or 1.0
    return Matrix(
        title=f"Out-of-domain accuracy without single heads, {len(taps)} layer(s)",
        reading=_reading(layers, significant, estimates, kept), caveats=(*_caveats(layers, params, kept), *notes),
        estimates=estimates, values=values, row_names=tuple(names), value_name="change of accuracy",
        column_names=tuple(f"head {h + 1}" for h in range(params.heads)), limits=(-top, top), diverging=True,
        null=np.array([np.full(params.heads, layer.chance.mean()) for layer in layers]), low=values - Z * error,
        high=values + Z * error, significant=significant,
    )  # fmt: skip


def _estimates(layers: list[SliceRemovals], names, kept, rng) -> tuple[Estimate, ...]:
    values, out, chosen = np.array([layer.change for layer in layers]), [], chosen_cell(layers)
    if chosen is not None:
        out.append(_change(layers, names, chosen, f"chosen in '{kept}'", layers[chosen[0]].chance, "changes by random "
                           f"subspaces of a slice's size, {DRAWS} draws"))  # fmt: skip
    best = tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))
    out.append(_change(
        layers, names, best, "the largest, chosen where it is tested", largest_by_chance(layers, rng),
        f"the largest of {values.size} changes by random subspaces, normal",
    ))  # fmt: skip
    for name, layer in list(zip(names, layers, strict=True))[:NAMED]:
        half = Z * layer.base_error
        out.append(Estimate(
            f"out-of-domain accuracy as recorded, {name}", layer.base, max(layer.base - half, 0.0),
            min(layer.base + half, 1.0), interval=INTERVAL, null=layer.majority,
            null_method="mean majority rate of the tested domains", n=layer.n, d=layer.d,
            estimator="Fisher's discriminant with frequencies",
        ))  # fmt: skip
    return tuple(out)


def _change(layers, names, cell, how: str, null: np.ndarray, said: str) -> Estimate:
    (i, h), count = cell, sum(len(layer.change) for layer in layers)
    value, half = float(layers[i].change[h]), Z * float(layers[i].error[h])
    return Estimate(
        f"change without head {h + 1} of {names[i]} ({how}; {count} tried)", value, value - half, value + half,
        interval=INTERVAL, **against(value, null), null_method=said, n=layers[i].n, d=layers[i].d,
        estimator="mean accuracy out of domain, without less with the slice",
    )  # fmt: skip


def _reading(layers, significant, estimates, kept) -> str:
    count, marked = significant.size, int(significant.sum())
    said = f"{count} heads were tried; {marked} change the accuracy out of domain by more than a random subspace does. "
    largest = estimates[0 if kept is None else 1]
    if kept is not None:
        chosen = estimates[0]
        said += (
            f"The one chosen in '{kept}', {chosen.name.split('without ')[1].split(' (')[0]}, changes it by "
            f"{chosen.value:+.1%} [{chosen.low:+.1%}, {chosen.high:+.1%}] in the others (random: {chosen.null:+.1%}). "
        )
    return said + (
        f"The largest cell is {largest.value:+.1%}, where the best of {count} random removals would be "
        f"{largest.null:+.1%}."
    )


def _caveats(layers, params: HeadRemovalParams, kept) -> list[str]:
    notes = [
        "Slices are heads only where heads stand side by side: before the output projection.",
        f"Cells are marked at a false-discovery rate of {LEVEL:g} over all of them; their intervals are their own.",
    ]
    if kept is None:
        notes.append("With two domains none is left to choose on: no head is named as the best.")
    if not params.domain:
        notes.append(
            "No column of domains was named: random parts show what no difference between domains looks like."
        )
    if len({layer.n for layer in layers}) > 1:
        notes.append("Layers have different numbers of usable samples.")
    return notes


def _cost(shapes, params: HeadRemovalParams) -> Cost:
    m, seconds, held, domains = machine(), 0.05, 0.0, 4
    for rows, d in shapes:
        n, fits = min(rows, params.maximum_samples), params.heads + DRAWS + 1
        small = min(n / domains, d)
        flops = fits * (FOLDS + 1) * (4.0 * n * d * small + domains * 10.0 * small**3)
        seconds += m.seconds(flops64=flops, moved=24.0 * rows * d, calls=fits * domains * 500)
        held = max(held, 8.0 * (n * d * 4.5 + 4.0 * small**2 + 2.0 * n * domains))
    return Cost(seconds, held)


def _check() -> tuple[CheckLine, ...]:
    """Heads of three units each: one holds the class, one the class turned over in another domain, two hold noise. Of a
    single head all goes with it: the majority rate."""
    rng = np.random.default_rng(5)
    n = 450
    label, domain = (rng.random(n) < 0.6).astype(int), np.arange(n) % 3
    sign = 2.0 * label - 1
    x = rng.standard_normal((n, 12))
    x[:, 0] += 1.2 * sign
    x[:, 6] += 4 * sign * np.array([1, -1, 1])[domain]  # right within a domain, wrong across
    tap = ArrayActivations(x, samples={"label": label, "domain": domain})
    asked = HeadRemovalParams(domain="domain", validation="2")
    found = head_removal(tap, params=asked)
    one = head_removal(tap, params=HeadRemovalParams(domain="domain", validation="2", heads=1))
    majority = float(np.mean([np.bincount(label[domain == j]).max() / (domain == j).sum() for j in (0, 1)]))
    named = {e.name.split(" (")[0]: e for e in found.estimates}
    return (
        CheckLine("the head of the domains raises it", 0.5, float(found.values[0, 2]), 0.0, "at least"),
        CheckLine("that of the class does not", 0.05, float(found.values[0, 0]), 0.0, "at most"),
        CheckLine("noise changes little", 0.0, float(np.abs(found.values[0, [1, 3]]).max()), 0.04),
        CheckLine("it is marked", 1.0, float(found.significant[0, 2]), 0.0),
        CheckLine("and chosen elsewhere", 1.0, float("change without head 3 of array" in named), 0.0),
        CheckLine("all units taken out: the majority", majority, one.estimates[-1].value + one.values[0, 0], 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_removal", family="concepts", title="Heads that carry the domain", version=1, function=head_removal,
        summary="How the accuracy of probes in other domains changes when each attention head is taken out, by layer.",
        params=HeadRemovalParams, result=Matrix, check=_check, cost=_cost, more_inputs=True, minimum_rows=FEWEST,
        invariance="shifting or scaling all activations, any linear map inside a head; not rotations that mix heads",
        papers=("Robust AI-generated text detection by restricted embeddings",),
    ),
)  # fmt: skip
