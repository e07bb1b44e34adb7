"""Which samples a tap holds for alike: sample x sample, by class and then by groups inside each class.

Cosine or Pearson's r of the samples' activations, or 1 - distance / root mean square distance. Samples are taken about
the mean of all (else the mean alone makes every pair alike); tokens are pooled to one vector a sample.

Null: the same values with each unit's samples exchanged on their own, so that every unit keeps its distribution and
what joins units into samples is lost; 200,000 pairs of it. A cell beyond the threshold passes Benjamini and Hochberg's
rule.

When it lies: units of large variance rule; in few dimensions random samples are alike or opposite, in many all are
nearly at right angles; a block says that its samples share a direction, not that the network uses it; near copies in
the data (frames of a clip) make blocks of their own.

Cost: O(n² d) operations for n samples, memory O(n d); cells go to disk beyond 512 samples, at most 16,384 are drawn.

References: Y. Benjamini & Y. Hochberg (1995); B. Phipson & G. Smyth (2010); N. Kriegeskorte, M. Mur & P. Bandettini
(2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.correlation.pair_tally import PairTally
from analysis.compute.correlation.sample_relations import (
    NULL_PAIRS,
    NULL_SAMPLES,
    Lines,
    lines_of,
    null_similarities,
    order_samples,
    sample_blocks,
    tail,
)
from analysis.compute.kept import folder, key_of
from analysis.compute.machine import machine
from analysis.compute.retrieval.class_gap import CLASS_SAMPLES, EXCHANGES, class_gap
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.nulls import wilson
from analysis.compute.streaming import refuse_few
from analysis.errors import NotFound
from analysis.results import Estimate, Heatmap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.store.heat_cells import MOST, HeatCells

NAMES = {
    "cosine": "cosine",
    "pearson": "Pearson r",
    "distance": "1 − distance / root mean square distance",
}


@dataclass(frozen=True)
class SampleSimilarityParams:
    measure: str = param("cosine", "How two samples are compared.", choices=tuple(NAMES))
    centred: bool = param(True, "Take samples about the mean of all of them.")
    order: str = param("class, then clusters", "The order of the samples (by class where there are classes).",
                       choices=("class, then clusters", "clusters", "as stored"))  # fmt: skip
    column: str = param("", "The sample column of the classes; none: label, where there is one.", column=True)
    pooling: str = param("mean", "How the tokens of a sample become one vector.", choices=("mean", "max"))
    maximum_samples: int = param(
        16_384, "Most samples to draw; a seeded random subset above.", low=10, high=16_384
    )
    level: float = param(0.05, "False-discovery rate of what counts as significant.", low=1e-4, high=0.5)


def sample_similarity(
    activations, params: SampleSimilarityParams = SampleSimilarityParams(), rng=None, progress=no_progress
) -> Heatmap:
    """All samples of a tap against each other.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Heatmap
        `of` "samples": `row_units` are positions in the tap's samples; `tiles` beyond 512 samples (without a workspace
        they live as long as the process). Estimates: how much more alike samples of one class are (with classes),
        mean magnitude, share of pairs beyond chance.

    Raises
    ------
    NotFound
        A column that is not there.
    NotEnoughData, TooLarge
        Fewer than four samples with finite values, or a tap without two units that vary; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    x, at, labels, notes = _read(activations, params, rng, progress)
    progress(0.3, "ordering samples")
    lines, good = lines_of(x, params.measure, params.centred)
    refuse_few(activations.name, len(lines.z), 4, "sample(s) that have a direction")
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) without a direction are left out.")
        x, at, labels = x[good], at[good], labels[good]
    by_class = params.order.startswith("class") and len(np.unique(labels)) > 1
    order = np.arange(len(at)) if params.order == "as stored" else None
    made = None if order is not None else order_samples(lines, labels if by_class else np.zeros(len(at)), rng)
    order = order if made is None else made.order
    notes += [made.note] if made is not None and made.note else []
    progress(0.4, "exchanging units")
    null = null_similarities(x, params.measure, params.centred, rng)
    key = _key(activations, params, rng) if len(at) > MOST else ""
    tally = PairTally(True)
    with HeatCells(folder(key) if key else None, (len(at),) * 2, lines.largest, symmetric=True) as cells:
        for row, column, values in sample_blocks(lines, order, progress, (0.5, 0.95)):
            cells.write(row, column, values)
            tally.add(row, column, values, np.clip(values, -1.0, 1.0))
        overview, gathered = cells.finish()
    progress(0.95, "comparing classes")
    threshold, share = tally.significant(lambda size: tail(null, size), params.level)
    estimates = _estimates(lines, labels, tally, null, share, x.shape[1], params, rng)
    half, names = float(np.quantile(null, 0.95)), np.asarray(activations.samples["id"]).astype(str)[at]
    return Heatmap(
        title=f"Similarity of samples in {activations.name}", reading=_reading(estimates, tally, half, by_class),
        caveats=tuple(notes), estimates=estimates, overview=overview, shape=(len(at),) * 2, gathered=gathered,
        tiles=key, of="samples", row_names=_named(names, labels), column_names=_named(names, labels),
        row_units=at.astype(np.int64), column_units=at.astype(np.int64), row_order=order, column_order=order,
        linkage=None if made is None else made.linkage, row_groups=None if made is None else made.groups,
        column_linkage=None if made is None else made.linkage,
        column_groups=None if made is None else made.groups, null_band=(-half, half), limits=(-1.0, 1.0),
        value_name=NAMES[params.measure], diverging=True, share_significant=share, threshold=threshold,
    )  # fmt: skip


def _read(activations, params, rng, progress):
    """Pooled values (n, units), positions and labels (n,) text of the samples, and notes."""
    n, notes = activations.layout.n_samples, []
    samples = np.arange(n)
    if n > params.maximum_samples:
        samples = np.sort(rng.choice(n, params.maximum_samples, replace=False))
        notes.append(f"A random {len(samples):,} of {n:,} samples drawn.")
    column = params.column or ("label" if "label" in activations.samples else "")
    if column and column not in activations.samples:
        raise NotFound(
            f"{activations.name} has no sample column '{column}'",
            "one of " + ", ".join(sorted(activations.samples)),
            "Choose another column, or none",
        )
    x, finite, said = pooled_samples(activations, params.pooling, samples, progress, (0.0, 0.3))
    refuse_few(activations.name, len(x), 4, "sample(s) with finite values")
    varies = is_varying(x.var(axis=0), x.mean(axis=0))
    refuse_few(activations.name, int(varies.sum()), 2, "unit(s) that vary")
    at = samples[finite]
    labels = np.asarray(activations.samples[column])[at] if column else np.full(len(at), "")
    labels = np.where(known_labels(labels), labels.astype(str), "")
    return x, at, labels, [*notes, *said]


def _named(names: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array(
        [f"{label} · {name}" if label else name for name, label in zip(names, labels, strict=True)]
    )


def _key(activations, params, rng) -> str:
    settings = {k: v for k, v in vars(params).items() if k != "level"}
    made_of = {"tap": activations.digest, "version": 1, "draw": int(rng.integers(2**31)), "params": settings}
    return key_of("sample similarity", made_of)


def _estimates(lines: Lines, labels, tally, null, share: float, d: int, params, rng) -> tuple[Estimate, ...]:
    n = len(lines.z)
    common = {"n": n, "d": d, "estimator": NAMES[params.measure]}
    low, high = wilson(share * n, n)
    how = "each unit's samples exchanged on their own"
    found = [
        Estimate("mean |similarity|", tally.mean, null=float(null.mean()), null_method=how, **common),
        Estimate(
            f"share of pairs with q < {params.level:g}", share, min(low, share), high, null=0.0,
            interval="Wilson, samples as draws", null_method="false-discovery control", **common,
        ),
    ]  # fmt: skip
    named = np.flatnonzero(labels != "")
    kinds, of = np.unique(labels[named], return_inverse=True)
    if 2 <= len(kinds) < len(named) // 2:
        found.insert(0, class_gap(lines, named, of, common, rng))
    return tuple(found)


def _reading(estimates, tally, half: float, by_class: bool) -> str:
    share = next(e for e in estimates if e.name.startswith("share"))
    text = (
        f"{share.value:.0%} of the {tally.pairs:,} pairs of samples are more alike or more opposite than samples whose "
        f"units were exchanged one by one, which stay within ±{half:.2f}."
    )
    if estimates[0].name.startswith("more"):
        e = estimates[0]
        text += f" Samples of one class are more alike by {e.value:.2f} ({e.null_high:.2f} with exchanged labels)."
    return text + (" Blocks on the diagonal are classes." if by_class else "")


def _cost(shapes, params: SampleSimilarityParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    part, some = min(n, NULL_SAMPLES), min(n, CLASS_SAMPLES)
    flops = 1.0 * n * n * d + 2.0 * some**2 * d + 20.0 * EXCHANGES * some**2
    seconds = m.seconds(flops64=flops, moved=n * d * 60.0 + n * n * 40.0 + NULL_PAIRS * d * 16.0) + 0.05
    return Cost(seconds, 5e6 + n * d * 32.0 + part * d * 16.0 + min(n, 4096) ** 2 * 12.0 + some**2 * 16.0)


def _check() -> tuple[CheckLine, ...]:
    """Two planted classes in opposite directions; copies of a sample; noise in high dimension."""
    rng = np.random.default_rng(2)
    of = np.arange(200) % 2
    x = rng.standard_normal((200, 50))
    x[:, 0] += np.where(of == 0, 10.0, -10.0)
    x[7] = x[1]
    tap = ArrayActivations(x * 5 + 1e3, samples={"label": of})
    found, stored = (
        sample_similarity(tap, SampleSimilarityParams(order=o)) for o in ("clusters", "as stored")
    )
    z = x - x.mean(axis=0)
    exact = z @ z.T / np.outer(np.linalg.norm(z, axis=1), np.linalg.norm(z, axis=1))
    far = sample_similarity(tap, SampleSimilarityParams(measure="distance", order="as stored"))
    gap = np.linalg.norm(z[3] - z[4]) / np.sqrt(2 * (z**2).sum() / 199)
    noise = sample_similarity(rng.standard_normal((150, 200)))
    return (
        CheckLine("largest difference from the formula", 0.0, float(np.abs(stored.overview - exact).max()), 1e-6),
        CheckLine("classes are contiguous (changes)", 1.0, float((np.diff(of[found.row_order]) != 0).sum()), 0.0),
        CheckLine("a sample and its copy", 1.0, float(stored.overview[1, 7]), 1e-6),
        CheckLine("1 - distance / root mean square distance", 1 - gap, float(far.overview[3, 4]), 1e-6),
        CheckLine("inside classes less between, at least", 1.0, found.estimates[0].value, 0.0, "at least"),
        CheckLine("noise: significant pairs", 0.0, noise.share_significant, 0.01),
        CheckLine("noise: mean |cosine| against √(2 / πd)", np.sqrt(2 / np.pi / 200), noise.estimates[0].value, 0.004),
    )  # fmt: skip


METHODS = (
    Method(
        id="sample_similarity",
        family="correlation",
        title="Sample similarity",
        summary="Which samples a tap holds for alike, class by class and group by group, up to 16,384 of them.",
        version=2,
        function=sample_similarity,
        params=SampleSimilarityParams,
        result=Heatmap,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="rotating or rescaling the tap as a whole changes nothing, nor does shifting it when centred "
        "(Pearson: no rotation)",
    ),
)
