"""From a partial summary to the arrays of the index: table columns, CSR of sketch and slots, correlation sketch."""

from __future__ import annotations

import numpy as np

from analysis.store import sampling, sketch
from analysis.store.summaries import FinishedIndex, UnitSummary, in_threads

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
TABLE = np.dtype(
    [("unit", "<i8"), ("count", "<i8"), ("nonfinite", "<i8")]
    + [
        (name, "<f8")
        for name in ("mean", "sd", "minimum", "maximum", "fraction_positive", "fraction_nonzero")
    ]
    + [(name, "<f8") for name in (*QUANTILES, "skewness", "kurtosis")]
    + [("top_class", "<i4"), ("top_class_share", "<f8"), ("dead", "?")]
)


def finish(s: UnitSummary) -> FinishedIndex:
    """See UnitSummary.finish. O(units), a few hundred kB of memory per thousand units beyond the result."""
    order = np.argsort(s.sample_keys, kind="stable")
    order = order[s.sample_keys[order] != sampling.EMPTY]
    sample = s.sample_values[:, order]
    sample[~np.isfinite(sample)] = np.nan
    filled = np.isfinite(s.top_values)
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.where(s.class_count > 1, np.sqrt(s.class_m2 / (s.class_count.astype(np.float64) - 1)), np.nan)
    return FinishedIndex(
        table=_table(s, sample),
        top_values=np.where(filled, s.top_values, np.nan).astype(np.float32),
        top_rows=np.where(filled, s.top_rows.astype(np.int64), -1),
        **_sparse_buckets(s),
        **_sparse_slots(s),
        sample_rows=sampling.rows_of(s.sample_keys[order], s.seed),
        sample_values=sample,
        class_count=s.class_count,
        class_mean=np.where(s.class_count > 0, s.class_mean, np.nan),
        class_sd=sd.astype(np.float32),
        sketch=correlation_sketch(s),
    )


def _table(s: UnitSummary, sample: np.ndarray) -> np.ndarray:
    t = np.zeros(s.n_units, TABLE)
    n, mean, m2, m3, m4 = s.moments.T
    has = n > 0
    t["unit"], t["count"], t["nonfinite"] = np.arange(s.n_units), n, s.nonfinite
    constant = s.minimum == s.maximum
    with np.errstate(invalid="ignore", divide="ignore"):
        t["mean"] = np.where(has, mean, np.nan)
        t["sd"] = np.where(n > 1, np.sqrt(np.maximum(m2, 0) / (n - 1)), np.nan)
        t["sd"] = np.where(constant & (n > 1), 0.0, t["sd"])
        t["minimum"], t["maximum"] = np.where(has, s.minimum, np.nan), np.where(has, s.maximum, np.nan)
        t["fraction_positive"], t["fraction_nonzero"] = s.positive / n, s.nonzero / n
        spread = has & ~constant & (m2 > 0)
        t["skewness"] = np.where(spread, np.sqrt(n) * m3 / m2**1.5, np.nan)
        t["kurtosis"] = np.where(spread, n * m4 / m2**2 - 3, np.nan)
    low, high = s.minimum.astype(np.float64), s.maximum.astype(np.float64)

    def part(start: int, stop: int) -> None:
        at = slice(start, stop)
        q = sketch.quantiles(s.histogram[at], list(QUANTILES.values()), low[at], high[at], sample[at])
        for k, name in enumerate(QUANTILES):
            t[name][at] = q[:, k]

    in_threads(part, s.n_units, s.histogram.size)  # NumPy's loops release the GIL as well
    t["top_class"], t["top_class_share"] = top_class(s)
    t["dead"] = ~has | constant
    return t


def top_class(s: UnitSummary) -> tuple[np.ndarray, np.ndarray]:
    """Commonest class among the strongest rows (lower class on ties) and its share of them.

    Rows where a never-negative unit is silent (exactly 0) do not count, nor do rows without a class.
    """
    counted = np.isfinite(s.top_values) & (s.top_classes >= 0)
    counted &= ~((s.minimum == 0)[:, None] & (s.top_values == 0))
    counted &= (s.minimum < s.maximum)[:, None]
    best, share = np.full(s.n_units, -1), np.full(s.n_units, np.nan)
    votes = counted.sum(axis=1)
    if not votes.any():
        return best, share
    most = np.zeros(s.n_units, np.int64)

    def part(start: int, stop: int) -> None:
        at = slice(start, stop)
        classes, counts = s.top_classes[at], counted[at]
        for i in range(classes.shape[1]):  # 64 x 64 comparisons per unit instead of a table of all classes
            own = classes[:, i]
            n = ((classes == own[:, None]) & counts).sum(axis=1)
            better = counts[:, i] & ((n > most[at]) | ((n == most[at]) & (own < best[at])))
            most[at], best[at] = np.where(better, n, most[at]), np.where(better, own, best[at])

    in_threads(part, s.n_units, s.top_classes.size * s.top_classes.shape[1])
    np.divide(most, votes, out=share, where=votes > 0)
    return best, share


def _sparse_buckets(s: UnitSummary) -> dict[str, np.ndarray]:
    unit, bucket = np.nonzero(s.histogram)
    start = np.searchsorted(unit, np.arange(s.n_units + 1))
    return {
        "bucket_start": start.astype(np.int64),
        "bucket_index": bucket.astype(np.int16),
        "bucket_count": s.histogram[unit, bucket],
    }


def _sparse_slots(s: UnitSummary) -> dict[str, np.ndarray]:
    filled = s.slot_keys.reshape(s.n_units, -1) != sampling.EMPTY
    start = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int64)
    return {
        "slot_start": start,
        "slot_keys": s.slot_keys.reshape(s.n_units, -1)[filled],
        "slot_values": s.slot_values.reshape(s.n_units, -1)[filled],
    }


def correlation_sketch(s: UnitSummary) -> np.ndarray:
    """Centred over samples and scaled to int8 per unit: cosines of its rows estimate Pearson's r. A missing value
    counts neither in a unit's mean nor in what is centred."""
    out = np.zeros(s.sketch.shape, np.int8)

    def part(start: int, stop: int) -> None:
        at = slice(start, stop)
        ones, seen = s.sketch_ones, s.samples_seen
        if s.missing.size:
            ones, seen = ones - s.missing[at, :-1], seen - s.missing[at, -1]
        mean = np.divide(s.sample_sum[at], seen, out=np.zeros_like(s.sample_sum[at]), where=seen > 1e-3)
        centred = s.sketch[at] - mean[:, None] * ones
        peak = np.abs(centred).max(axis=1, keepdims=True)
        scale = np.divide(127.0, peak, out=np.zeros_like(peak), where=peak > 0)
        out[at] = np.round(centred * scale)

    in_threads(part, s.n_units, s.sketch.size)
    return out
