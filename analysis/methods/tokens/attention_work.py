"""Where does the work go, and is this task long? Multiply-adds block by block, beside time and ordinary attention.

    linear      products with weights: 24 D² T operations (12 D² T multiply-adds) of a usual block
    attention   products of tokens with tokens: 4 D T² operations, less where keys are fewer or near only
    ratio       of ordinary attention to the rest: T / (6 D) of a usual block, so that T > 6 D is a long sequence

Drawn as shares of the blocks' multiply-adds, with what attention would be if every token were a key, and the share of
measured time. Told: tokens over the crossover, by what the network's own blocks cost; the share that fewer keys save.

A network without softmax attention (scans, filters), and rows of a tap, are set beside a usual block as wide as the
tap. Interval: Student's t over samples, of times over repeats. Null: both parts alike (a ratio of 1), of what is saved
every token a key.

When it lies: what is counted are products, not memory, and time follows memory as often; scans are not counted; of
several towers all blocks with attention are counted; tokens may be more in training than in these samples.

Cost: three passes of one sample, and one for each repeat.

References: W. Yu & X. Wang (2025), "MambaOut: do we really need Mamba for vision?"; "S2AFormer: strip self-attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.mixers.work import Work, plain_block, work_of
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES

OPENING = 6.0  # seconds
LINEAR, ATTENTION, FULL, TIME = "linear", "attention", "attention, all keys", "time"


@dataclass(frozen=True)
class AttentionWorkParams:
    repeats: int = param(5, "Passes that are timed; 0: none.", low=0, high=1000)
    maximum_samples: int = param(
        64, "Most samples whose tokens are counted; a seeded random subset above.", low=2, high=100_000
    )
    source: str = param(
        AUTOMATIC,
        "Whose work: the network's, or of a usual block over the recorded rows.",
        choices=SOURCES,
        late=True,
    )


def attention_work(
    activations, params: AttentionWorkParams = AttentionWorkParams(), rng=None, progress=no_progress
) -> Curve:
    """Work of each block, and tokens against the crossover.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; otherwise a usual block as wide as the tap is counted.

    Returns
    -------
    Curve
        Shares over blocks. Estimates: tokens over the crossover, the crossover, what fewer keys save.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found, lengths, what, notes = _of_network(tap, params, rng, progress)
    if found is None:
        rows = row_tokens(
            tap, params.maximum_samples, rng, lambda f, doing="": progress(0.3 + 0.6 * f, doing)
        )
        lengths, what = np.array([len(x) for x in rows.x], float), f"a usual block {tap.shape[1]} wide"
        found, notes = plain_block(float(lengths.mean()), tap.shape[1]), (*notes, *rows.notes)
    progress(1.0, "done")
    whole = float(found.linear.sum() + found.attention.sum())
    series = {LINEAR: found.linear / whole, ATTENTION: found.attention / whole, FULL: found.full / whole}
    low, high = {}, {}
    if len(found.seconds):
        shares = found.seconds / found.seconds.sum(axis=1, keepdims=True)
        series[TIME] = np.median(shares, axis=0)
        low[TIME], high[TIME] = shares.min(axis=0), shares.max(axis=0)
    told = _estimates(found, lengths, tap.shape[1])
    return Curve(
        title=f"Work of {what}, block by block", x=np.arange(len(found.names)), x_name="block", x_labels=found.names,
        y_name="share over all blocks", series=series, low=low, high=high, controls=(FULL,),
        estimates=told, reading=_reading(found, told, what), caveats=(*notes, *_caveats(found, whole)),
    )  # fmt: skip


def _of_network(tap, params, rng, progress):
    """(work, tokens of samples, what, notes); no work where there is no network or no attention in it."""
    if params.source == ROWS:
        return None, None, "", ()
    from analysis.sources.rerun import rerun

    try:
        own = getattr(tap, "source", None)
        run = rerun(tap if own is None else own(), params.maximum_samples, partial=True, rng=rng)
    except (InputError, NotFound) as error:
        return None, None, "", (f"The network is not run: {str(error).split('. ')[0]}.",)
    progress(0.1, "counting")
    found = work_of(run.loaded, run.loaded.prepare(run.data.items(0, 1)), params.repeats)
    what = type(run.loaded.module).__name__
    if found is None:
        return None, None, what, (
            run.note, f"{what} has no softmax attention: it is set beside a usual block as wide as the tap.",
        )  # fmt: skip
    lengths = np.array([_tokens(run, k, found.tokens[0]) for k in range(run.n)], float)
    return (
        found,
        lengths,
        what,
        (f"Multiply-adds and time are of one sample; tokens were counted in {run.n:,}.",),
    )


def _tokens(run, k: int, usual: float) -> float:
    if run.loaded.token_texts is None:
        return usual
    mask = run.loaded.token_mask(run.loaded.prepare(run.data.items(k, k + 1)))
    return usual if mask is None else float(mask.sum())


def _estimates(found: Work, lengths: np.ndarray, d: int) -> tuple[Estimate, ...]:
    n, cross = len(lengths), found.crossover
    ratio = lengths / cross
    ends = mean_interval(ratio, 0.0) or {"interval": "none: one sample"}
    counted = {"interval": "none: counted", "d": d}
    spent = float((found.attention + found.linear).sum())
    saved = 1 - found.attention.sum() / found.full.sum()
    return (
        Estimate("tokens over the crossover", float(ratio.mean()), **ends, null=1.0, n=n, d=d,
                 null_method="ordinary attention costs what the rest does", estimator="mean over samples"),
        Estimate("crossover", cross, n=1, null=6.0 * d, unit="tokens", estimator="T linear / full",
                 null_method="6 D, a usual block as wide as the tap", **counted),
        Estimate("share of attention in the blocks", float(found.attention.sum() / spent),
                 n=1, null=float(found.full.sum() / (found.full + found.linear).sum()),
                 null_method="every token a key", estimator="multiply-adds", **counted),
        Estimate("share of ordinary attention that is saved", float(saved), n=1, null=0.0,
                 null_method="every token a key", estimator="1 - attention / full", **counted),
    )  # fmt: skip


def _reading(found: Work, told, what: str) -> str:
    ratio, cross, share, saved = told
    long = (
        "long: attention is most of the work" if ratio.value > 1 else "short: attention is the smaller part"
    )
    said = (
        f"Samples have {ratio.value * cross.value:.0f} tokens; ordinary attention in {what} costs what the rest of its "
        f"blocks does at {cross.value:,.0f} (6 D of a usual block: {cross.null:,.0f}). That is {ratio.value:.2f} of "
        f"it; by this the task is {long}, {share.value:.1%} as the blocks are"
    )
    return said + (
        f". Fewer keys save {saved.value:.1%} of ordinary attention." if saved.value > 0.005 else "."
    )


def _caveats(found: Work, whole: float) -> list[str]:
    said = ["One multiply-add is one; two operations."]
    if found.outside > 0:
        said.append(
            f"Outside these blocks {found.outside / (whole + found.outside):.1%} of all multiply-adds."
        )
    if len(set(found.tokens.tolist())) > 1:
        sizes = ", ".join(f"{t:.0f}" for t in dict.fromkeys(found.tokens.tolist()))
        said.append(f"Blocks have {sizes} tokens; the crossover is counted in tokens of the first block.")
    if len(found.seconds):
        said.append(
            f"Time is the median of {len(found.seconds)} passes on this machine with what else ran on it (band: least "
            "to most), and differs the next time."
        )
    return said


def _cost(shapes, params: AttentionWorkParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * min(n, 17 * params.maximum_samples) * k + 9.0 * 17 * n + 1e5
    return Cost(
        OPENING + m.seconds(flops64=1e6 * params.repeats, moved=8.0 * n * k), held, 3 + params.repeats
    )


def _check() -> tuple[CheckLine, ...]:
    """A usual block: T / (6 D), the published 2304 tokens at width 384, and DeiT-S of 197 tokens."""
    tap = ArrayActivations(
        np.random.default_rng(0).standard_normal((96, 4)), name="planted", layout=Layout(np.arange(0, 97, 24))
    )
    found = attention_work(tap)
    small = plain_block(197, 384)
    return (
        CheckLine("24 tokens over 6 x 4", 1.0, found.estimates[0].value, 1e-12),
        CheckLine("and half of the work is attention", 0.5, found.estimates[2].value, 1e-12),
        CheckLine("crossover at width 384", 2304.0, plain_block(196, 384).crossover, 1e-9),
        CheckLine("196 tokens of it", 196 / 2304, 196 / small.crossover, 1e-12),
        CheckLine("DeiT-S, 12 blocks, 1e9 multiply-adds", 4.5, 12e-9 * float(small.linear[0] + small.full[0]), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_work", family="tokens", title="Work of each block", version=1, function=attention_work,
        summary="Multiply-adds and time block by block, what fewer keys save, and whether sequences are long for this "
        "width.", params=AttentionWorkParams, result=Curve, check=_check, cost=_cost, minimum_rows=4,
        invariance="the values of weights and activations",
        papers=("MambaOut: Do We Really Need Mamba for Vision?",
                "S2AFormer: Strip Self-Attention for Efficient Vision Transformer"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
