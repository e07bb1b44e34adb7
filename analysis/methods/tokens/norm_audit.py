"""What do the norms see? Mean and scale of tokens before every norm, tokens that explode, gains, what a norm ignores.

    LN(x) = γ (x - mean x) / sd x + β        RMS(x) = γ x / √(mean x²)

LN ignores a x + b with a > 0, RMS only a; RMS commutes with every rotation (its gain apart), LN only with those that
leave the vector of ones alone; behind either, without gain, a token has length √d, and its largest unit is at most
√(d - 1) behind LN. The table measures all of this at each norm on the tokens that reach it. A token explodes where its
root mean square is more than ten times the median.

Null: of exploding tokens the same units exchanged between tokens, each on its own, so that no token is large as a
whole; of the growth of scale √(L + ½), what equal orthogonal updates give between attention and MLP of the last of L
layers. Interval: over samples.

When it lies: a huge token is not a fault (class tokens and first words often carry one that attention leans on); norms
have a small ε, so that tokens near 0 are not scaled; the last norm, before the head, is not among these; of gains a
large one counts only for units that are not small.

Cost: one pass of every sample and one rotation of d x d; 2,000 tokens are looked at closely.

Reference: J. Ba, J. Kiros & G. Hinton (2016), "Layer normalization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.networks.norms import EXPLODES, audited, ignored, shuffled_share
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.stream import BLOCKS, RandomStream, divided, stream
from analysis.tokens.stream_cost import AT_ONCE, SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

CLOSE = 2000  # tokens
HELP = {
    "norm": "Where it stands.",
    "mean": "Of the units of a token before the norm, mean over tokens.",
    "scale": "Root mean square of a token before the norm, median over tokens.",
    "largest scale": "That of the largest token over the median.",
    "largest at": "Place in the sample of the largest token, 0 the first.",
    "exploding": "Share of tokens of more than ten times the median.",
    "largest unit": "Of a token, over its length, mean over tokens: 1 where one unit is all of it.",
    "gain": "Mean |gain| of the norm; 1 where it has none.",
    "largest gain": "Over the median |gain|.",
    "changed by scale": "Relative change of what the norm gives when tokens are made three times as large: 0 for both.",
    "changed by shift": "When all units are raised by one standard deviation: 0 for LN, not for RMS.",
    "changed by rotation": "Norm, then rotation, against rotation, then norm (gains undone): 0 for RMS.",
    "by a rotation that keeps the mean": "The same with a rotation that leaves the vector of ones alone: 0 for both.",
}  # fmt: skip


@dataclass(frozen=True)
class NormAuditParams:
    maximum_samples: int = param(64, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def norm_audit(
    activations, params: NormAuditParams = NormAuditParams(), rng=None, progress=no_progress
) -> Table:
    """What every norm of the blocks is given and does.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    Table
        A row for each norm.

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    norms = who.norms()
    seen, rows, length = _collected(who, norms, rng, lambda f: progress(0.2 + 0.5 * f, "running the network"))
    columns: dict[str, list] = {name: [] for name in HELP}
    for i, norm in enumerate(norms):
        progress(0.7 + 0.3 * i / len(norms), "asking the norms")
        facts = (
            {"norm": norm.name}
            | audited([s[i] for s in seen])
            | _gains(norm)
            | ignored(norm.apply, norm.gain, norm.bias, rows[i], rng)
        )
        for name in HELP:
            columns[name].append(facts[name])
    progress(1.0, "done")
    told = _estimates(seen, rows, length, len(who.names) + 0.5 * norms[-1].place[1], rng)
    return Table(
        title=f"The norms of {who.what}", columns={k: np.array(v) for k, v in columns.items()}, index="norm", help=HELP,
        estimates=told, reading=_reading(columns, told),
        caveats=(*notes, f"{who.n:,} samples; the norm before the head is not among these.",
                 "A token with a huge state is not a fault: attention may lean on it."),
    )  # fmt: skip


def _collected(who, norms, rng, progress):
    """Of each batch, for each norm ((b, T) means, scales, largest unit; present); for each norm some tokens; (n, 2)
    mean scale of a sample before the first and the last norm."""
    seen, rows, length = [], [[] for _ in norms], []
    most = max(CLOSE * AT_ONCE // max(who.n, 1), 1)
    for part, given in who.batches(AT_ONCE):
        progress(part.start / who.n)
        p, batch = who.passed(given), []
        at = np.flatnonzero(p.present.ravel())
        at = np.sort(rng.permutation(at)[:most])
        for i, norm in enumerate(norms):
            x = (p.between if norm.place[1] else p.states)[norm.place[0]]
            scale = np.sqrt(np.square(x).mean(axis=2))
            peak = np.abs(x).max(axis=2) / np.maximum(scale * np.sqrt(x.shape[2]), 1e-300)
            batch.append((x.mean(axis=2), scale, peak, p.present))
            rows[i].append(x.reshape(-1, x.shape[2])[at])
        seen.append(batch)
        ends = [np.where(p.present, batch[i][1], 0).sum(axis=1) / p.present.sum(axis=1) for i in (0, -1)]
        length.append(np.stack(ends, axis=1))
    return seen, [np.concatenate(r) for r in rows], np.concatenate(length)


def _gains(norm) -> dict:
    if norm.gain is None:
        return {"gain": 1.0, "largest gain": 1.0}
    size = np.abs(norm.gain)
    return {
        "gain": float(size.mean()),
        "largest gain": float(size.max() / max(float(np.median(size)), 1e-300)),
    }


def _estimates(seen, rows, length, updates: float, rng) -> tuple[Estimate, ...]:
    n, d = len(length), rows[-1].shape[1]
    shares = []
    for batch in seen:
        _, scale, _, present = batch[-1]
        middle = np.median(np.concatenate([b[-1][1][b[-1][3]] for b in seen]))
        shares.append(((scale > EXPLODES * middle) & present).sum(axis=1) / present.sum(axis=1))
    share, growth = np.concatenate(shares), length[:, 1] / np.maximum(length[:, 0], 1e-300)
    return (
        Estimate("share of exploding tokens at the last norm", float(share.mean()), **share_interval(share),
                 null=shuffled_share(rows[-1], rng), null_method="each unit exchanged between tokens", n=n, d=d,
                 estimator=f"root mean square above {EXPLODES:.0f} medians"),
        Estimate("scale before the last norm over the first", float(growth.mean()), **mean_interval(growth, 0.0),
                 null=float(np.sqrt(updates)), n=n, d=d,
                 null_method="equal orthogonal updates, of which those before the norm", 
                 estimator="mean scale of tokens, mean over samples"),
    )  # fmt: skip


def _reading(columns, told) -> str:
    worst = int(np.argmax(columns["largest scale"]))
    shift = np.array(columns["changed by shift"])
    kind = "ignore the mean of a token" if (shift < 0.01).all() else "see the mean of a token"
    return (
        f"The norms {kind}. Tokens are {told[1].value:.2g} times as large before the last norm as before the "
        f"first; the largest of all stands before {columns['norm'][worst]}, "
        f"{columns['largest scale'][worst]:.3g} times the median."
    )


def _check() -> tuple[CheckLine, ...]:
    """LN ignores a x + b, RMS a x alone; RMS commutes with all rotations, LN with those that keep the vector of ones;
    the largest entry behind LN is √(d - 1); one token in 50 that is 100 times as large is found."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 16)) + 1

    def ln(x):
        return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)

    of_ln, of_rms = (ignored(f, None, None, x, np.random.default_rng(1)) for f in (ln, divided))
    x[7] *= 100
    scale = np.sqrt(np.square(x).mean(axis=1))[None]
    facts = audited([(x.mean(axis=1)[None], scale, scale, np.ones((1, 50), bool))])
    who = RandomStream(np.tile(ln(np.eye(16)), (2, 1, 1)), np.ones((2, 16), bool), rng, 2)
    spiked = audited([s[0] for s in _collected(who, who.norms(), rng, lambda f: None)[0]])
    return (
        CheckLine("LN: changed by scale", 0.0, of_ln["changed by scale"], 1e-9),
        CheckLine("LN: changed by shift", 0.0, of_ln["changed by shift"], 1e-9),
        CheckLine("RMS: changed by scale", 0.0, of_rms["changed by scale"], 1e-9),
        CheckLine("RMS: changed by shift", 0.1, of_rms["changed by shift"], 0.0, "at least"),
        CheckLine("RMS: changed by rotation", 0.0, of_rms["changed by rotation"], 1e-9),
        CheckLine("LN: changed by rotation", 0.1, of_ln["changed by rotation"], 0.0, "at least"),
        CheckLine("LN: by a rotation that keeps the mean", 0.0, of_ln["by a rotation that keeps the mean"], 1e-9),
        CheckLine("a spike behind LN: largest unit over the length", np.sqrt(15 / 16), spiked["largest unit"], 1e-9),
        CheckLine("exploding tokens, planted 1 of 50", 0.02, facts["exploding"], 1e-12),
        CheckLine("where", 7, facts["largest at"], 0.0),
    )  # fmt: skip


def _cost(shapes, params: NormAuditParams):
    n, d = shapes[0]
    return passes_cost(shapes, params, 1, 8.0 * (2 * BLOCKS * min(n, CLOSE) + 4 * d) * d)


METHODS = (
    Method(
        id="norm_audit", family="tokens", network="blocks",
        title="Norms and exploding tokens", version=3, function=norm_audit,
        summary="Mean and scale of tokens before every norm, gains, tokens that explode, and what each norm ignores.",
        params=NormAuditParams, result=Table, check=_check, minimum_rows=2,
        cost=_cost,
        invariance="the order of samples", papers=("Layer Normalization",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
