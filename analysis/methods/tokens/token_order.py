"""In which order are tokens read, and what hangs on the order? The tokens of a sample as a path through it.

    change      |f(x in another order) - f(x)| / |f(x)|          0: the order does not matter
    influence   |f(x without token i) - f(x)| / |f(x)|           token i put to the mean of the tokens
    backwards   the share of the change by token i that falls on answers before i: 0 for a causal scan

f is what follows the tap: the rest of the network with the tap's output replaced (logits less their mean), the answer
that of the last token or of the sample. Places come with the tokens: an order that was put into them before (positions)
travels along, so that plain attention behind the tap changes by 0, and a scan does not. The path is drawn on the grid,
or through coordinates (a second tap of two or three units, such as the centres of the patches of a point cloud), or
through the tap itself where it has two or three units, else along the two largest principal axes of the sample. Its
length is compared with that of a random order, T - 1 mean distances exactly.

Intervals: Student's t over samples. Nulls: 0 where the order cannot matter or nothing leaks; for the first quarter of
the tokens its share of the tokens.

When it lies: shuffled tokens are no input that the network has seen, and the change says nothing of its answers to
those it will see; with an earlier tap the order matters in more layers; a token put to the mean of the others is not an
absent token; a long path is not a bad one.

Cost: T + shuffles + 1 passes of the rest of the network for each sample.

Reference: X. Han, Y. Tang, Z. Wang & X. Li (2024), "Mamba3D: enhancing local features for 3D point cloud analysis via
state space model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.token_sets import RUN
from analysis.tokens.reordered import order_of, path_length, random_length, reordered
from analysis.tokens.subject import AUTOMATIC, SOURCES

EARLY, OPENING, ORDERS = 0.25, 4.0, 200
UPWARDS = "row, from the bottom"  # so that the picture stands as the sample does
ROUNDING = 1e-6  # of an answer in single precision
INFLUENCE, ORDER = "influence on the answer", "place in the order"


@dataclass(frozen=True)
class TokenOrderParams:
    sample: int = param(
        0, "The sample that is drawn: its place among those of the store.", low=0, high=1_000_000_000
    )
    shuffles: int = param(5, "Other orders tried for each sample.", low=1, high=100)
    maximum_samples: int = param(24, "Most samples; a seeded random subset above.", low=2, high=5000)
    source: str = param(
        AUTOMATIC, "What follows the tap: its network, or a scan of the rows.", choices=SOURCES, late=True
    )


def token_order(
    *taps, params: TokenOrderParams = TokenOrderParams(), rng=None, progress=no_progress
) -> Scatter:
    """The order of tokens, and what hangs on it.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units)
        A tap of tokens whose network can be run again, otherwise a scan of its rows; and coordinates of the tokens.

    Returns
    -------
    Scatter
        The tokens of one sample with their order and influence, joined in their order. Estimates over samples.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData
        No such sample, or one without two finite tokens; coordinates of other tokens; fewer than two samples of
        two tokens.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    tap = taps[0]
    who, notes = reordered(
        tap,
        params.maximum_samples,
        rng,
        params.source,
        params.sample,
        lambda f, doing="": progress(0.1 * f, doing),
    )
    found = []
    for i in range(who.n):
        progress(0.1 + 0.85 * i / who.n, "reading tokens in another order")
        found.append(order_of(who, i, params.shuffles, rng))
    drawn = np.flatnonzero(who.samples == who.drawn)
    if not len(drawn):
        raise NotFound(f"sample {params.sample} of {tap.name} with two finite tokens", "another sample")
    at = int(drawn[0])
    places, axes, said = _places(who, at, taps)
    progress(1.0, "done")
    return _scatter(tap, who, at, found, (places, axes), (*notes, *said), params, rng)


def _places(who, at: int, taps):
    """((T, 2 or 3) where the tokens of a sample lie, names of axes, notes)."""
    x = who.rows(at)[who.leading :]
    if len(taps) > 1:
        return _coordinates(who, at, taps, len(x))
    if who.grid is not None and len(x) <= who.grid[0] * who.grid[1]:
        row, column = np.divmod(who.cells(at), who.grid[1])
        return np.stack([column + 1, who.grid[0] - row], axis=1).astype(float), ("column", UPWARDS), ()
    if x.shape[1] in (2, 3):
        return x, tuple(f"unit {u}" for u in taps[0].unit_names), ()
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(x), 2))
    flat[:, : min(2, len(s))] = (u * s)[:, :2]
    return (
        flat,
        ("first principal axis", "second"),
        ("Tokens have no places: their two largest axes are drawn.",),
    )


def _coordinates(who, at: int, taps, count: int):
    tap, other = taps
    positions, _ = shared_positions(taps, 1)
    mine = np.flatnonzero(positions[0] == who.samples[at])
    if other.layout.is_pooled or not len(mine):
        raise NotFound(
            f"sample {who.samples[at]} of {other.name}", f"tokens of the same samples as {tap.name}"
        )
    k = int(positions[1][mine[0]])
    rows = np.arange(other.layout.offsets[k], other.layout.offsets[k + 1])[other.layout.leading :]
    places = np.asarray(other.take(rows), np.float64)[:, :3]
    if len(places) != count or places.shape[1] < 2 or not np.isfinite(places).all():
        raise InputError(f"{len(places)} coordinates of {other.shape[1]} unit(s) for {count} tokens",
                         "two or three finite numbers for each token")  # fmt: skip
    return places, tuple(f"unit {u}" for u in other.unit_names[:3]), ()


def _scatter(tap, who, at, found, drawn, notes, params, rng) -> Scatter:
    places, axes = drawn
    one, t = found[at], len(places)
    estimates = _estimates(tap, who, found, places, params, rng)
    change = estimates[0]
    order = "Their order does not matter" if change.value < 1e-4 else (
        f"In another order the answer moves by {change.value:.1%} of its size")  # fmt: skip
    length = estimates[2]
    return Scatter(
        title=f"The order in which {tap.name} has its tokens: sample {int(who.samples[at])}",
        positions=places, rows=np.arange(t), of="tokens", axes=axes,
        columns={INFLUENCE: one.influence, ORDER: np.arange(t)}, colour=INFLUENCE if t else "",
        edges=np.stack([np.arange(t - 1), np.arange(1, t)], axis=1), edge_values=np.arange(1, t, dtype=float),
        edge_name="next token", estimates=estimates,
        reading=(
            f"{order}, and {estimates[1].value:.0%} of answers stay. The path is {length.value:.2f} times as long as "
            f"one in a random order; the first quarter of the tokens has {estimates[3].value:.0%} of the influence."
        ),
        caveats=(*notes, "Tokens in another order are no input that a network was trained on.",
                 *(() if who.is_network else ("The change is that of the scan, not of a network.",))),
    )  # fmt: skip


def _estimates(tap, who, found, places, params, rng) -> tuple[Estimate, ...]:
    n, d = len(found), tap.shape[1]
    changed, same = (np.array([getattr(f, k).mean() for f in found]) for k in ("changed", "same"))
    changed = np.where(changed < ROUNDING, 0.0, changed)
    early, share = np.array([_early(f.influence) for f in found]).T
    expected = random_length(places)
    ratio = path_length(places) / expected if expected > 0 else 1.0
    others = [path_length(places[rng.permutation(len(places))]) / (expected or 1.0) for _ in range(ORDERS)]
    low, high = (float(v) for v in np.quantile(others, [0.025, 0.975]))
    facts = {"n": n, "d": d}
    out = [
        Estimate("change of the answer in another order", float(changed.mean()), **mean_interval(changed, 0.0),
                 null=0.0,
                 null_method="an answer that no order matters to",
                 estimator=f"mean over samples and {params.shuffles} orders; below 1e-6 is rounding", **facts),
        Estimate("same answer in another order", float(same.mean()), **share_interval(same), null=1.0,
                 null_method="an answer that no order matters to", estimator="share", **facts),
        Estimate("length of the path of this sample", ratio, interval="none: one sample", null=1.0,
                 null_low=min(low, 1.0), null_high=max(high, 1.0), n=1, d=places.shape[1],
                 null_method=f"a random order (exact mean; middle 95 % of {ORDERS})",
                 estimator="over a random order's"),
        Estimate("influence of the first quarter of the tokens", float(early.mean()), **mean_interval(early, 0.0, 1.0),
                 null=float(share.mean()), null_method="all tokens alike",
                 estimator="share, mean over samples", **facts),
    ]  # fmt: skip
    if who.per_token:
        back = np.array([np.nanmean(f.back) for f in found])
        out.append(Estimate("change that goes backwards", float(back.mean()), **mean_interval(back, 0.0, 1.0), null=0.0,
                            null_method="a causal order", estimator="share, mean over tokens", **facts))  # fmt: skip
    return tuple(out)


def _early(influence: np.ndarray) -> tuple[float, float]:
    """(share of influence of the first quarter of the tokens, their share of the tokens)."""
    first = max(1, round(EARLY * len(influence)))
    whole = influence.sum()
    return (
        float(influence[:first].sum() / whole) if whole > 0 else first / len(influence),
        first / len(influence),
    )


def _cost(shapes, params: TokenOrderParams, tokens: float = RUN) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n / tokens, 1), params.maximum_samples)
    copies = tokens + params.shuffles + 1
    each = 8.0 * copies * tokens * d
    passes = int(min(n, params.maximum_samples) * copies)
    held = 8.0 * samples * tokens * d + 4.0 * each
    return Cost(OPENING + m.seconds(moved=8.0 * n * d + 10 * each * samples) + 1e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A scan is causal, early tokens fade as it forgets, equal tokens have no order; a straight line and its length."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(11) * 12)
    x = rng.standard_normal((120, 4))
    found = token_order(
        ArrayActivations(x, "planted", layout=layout), params=TokenOrderParams(maximum_samples=10)
    )
    alike = token_order(ArrayActivations(np.repeat(x[::12], 12, axis=0), "alike", layout=layout))
    values = {e.name: e.value for e in found.estimates}
    line = np.stack([np.arange(5.0), np.zeros(5)], axis=1)
    return (
        CheckLine("a scan: change that goes backwards", 0.0, values["change that goes backwards"], 1e-12),
        CheckLine("a scan in another order", 0.05, values["change of the answer in another order"], 0.0, "at least"),
        CheckLine("equal tokens in another order", 0.0, alike.estimates[0].value, 1e-12),
        CheckLine("first quarter of a scan that forgets", 0.25,
                  values["influence of the first quarter of the tokens"], 0.0, "at most"),
        CheckLine("five in a line", 4.0, path_length(line), 1e-12),
        CheckLine("five in a line, random order", 8.0, random_length(line), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="token_order", family="tokens", by_tokens=True, title="The order of tokens", version=3, function=token_order,
        summary="Tokens as a path through the sample, what their order changes, and which of them the answer hangs on.",
        params=TokenOrderParams, result=Scatter, check=_check, cost=_cost, minimum_rows=2 * RUN, more_inputs=True,
        most_inputs=2, invariance="the order of samples",
        papers=("Mamba3D: Enhancing Local Features for 3D Point Cloud Analysis via State Space Model",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
