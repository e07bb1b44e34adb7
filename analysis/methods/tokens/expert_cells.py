"""Which part of its input space does each expert have? Tokens on a plane, coloured by the expert that takes them.

A linear router cuts the space into cells, like a Voronoi map: token x goes to the expert with the largest w_e' x + b_e.
Drawn are the first two principal axes of what the router is given; where only its logits are known, of these. The
*margin* is the logit of the last expert chosen less that of the first left out: 0 on a border.

    agreement = share of tokens whose nearest token of another sample goes to the same expert

on the plane, and in the whole space: where the first is far below the second, the plane hides the cells.

Null: two tokens of different samples, whichever, exact mean over all such pairs; its band is of samples that exchange
their experts, tokens of a sample staying together. Intervals: Wilson's, with as many draws as a jackknife over samples
says.

When it lies: a plane shows two axes of many, and cells that overlap on it may lie apart (told by the two agreements);
the same word in two samples is one point before a first layer, and agrees with itself.

Cost: one pass, O(n² d) for n tokens drawn.

References: H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024), "Statistical perspective of top-K sparse softmax gating
mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.clustered_means import clustered_share_interval
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.cells import agreement_by_chance, margins, nearest_elsewhere, plane_of
from analysis.tokens.routing.gates import chosen, effective, gates
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed

OPENING = 4.0


@dataclass(frozen=True)
class ExpertCellsParams:
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    points: int = param(2000, "Most tokens drawn; a seeded random part above.", low=16, high=20_000)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def expert_cells(
    activations, params: ExpertCellsParams = ExpertCellsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Tokens by expert on a plane.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Scatter
        Tokens, with their expert, margin and experts in use. Estimates: share of the variance that the plane shows,
        agreement on the plane and in the whole space.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    some, notes = random_part(len(found.logits), params.points, rng, "tokens")
    x = (found.logits if found.live is None else found.live.given)[some]
    logits, samples = found.logits[some], found.samples[some]
    own = np.arange(len(some)) if len(np.unique(samples)) == 1 else samples
    progress(0.5, "drawing the plane")
    places, share = plane_of(x)
    winner = chosen(logits, 1)[:, 0]
    progress(0.6, "looking for neighbours")
    nearest = [nearest_elsewhere(y, own) for y in (places, x)]
    progress(1.0, "done")
    estimates = _estimates(share, nearest, winner, own, rng, x.shape[1])
    rows, of = _rows(tap, found, some)
    names = np.array(found.names, str)
    what = "what the router is given" if found.live is not None else "logits"
    return Scatter(
        title=f"Cells of {found.experts} experts, {found.what}", reading=_reading(estimates, winner, found, what),
        caveats=(*dict.fromkeys((*found.notes, *said, *notes)), *_hidden(estimates)),
        estimates=estimates,
        positions=places, rows=rows, of=of, axes=("first principal axis", "second principal axis"), colour="expert",
        columns={"expert": names[winner], "margin": margins(logits, k), "experts in use": effective(gates(logits))},
    )  # fmt: skip


def _rows(tap, found: Routed, some: np.ndarray) -> tuple[np.ndarray, str]:
    """Rows of the tap where these are the tokens of the router, else numbers of their own."""
    samples, tokens = found.samples[some], found.tokens[some]
    if (tokens < np.diff(tap.layout.offsets)[samples]).all():
        return np.asarray(tap.layout.offsets)[samples] + tokens, "rows"
    return np.arange(len(some)), "tokens"


def _estimates(share: float, nearest, winner, own, rng, d: int) -> tuple[Estimate, ...]:
    n = len(winner)
    _, of = np.unique(own, return_inverse=True)
    out = [
        Estimate("share of the variance on the plane", share, interval="none: of these very tokens",
                 null=min(2 / d, 1.0), null_method="as much along every axis", n=n, d=d,
                 estimator="two largest eigenvalues over all")
    ]  # fmt: skip
    for name, beside in zip(("on the plane", "in the whole space"), nearest, strict=True):
        agree = (winner == winner[beside]).astype(float)
        ends = clustered_share_interval(agree, of, "samples") or {
            "interval": "none: fewer than three samples"
        }
        chance, draws = agreement_by_chance(winner, own, beside, rng)
        low, high = np.percentile(draws, [2.5, 97.5])
        out.append(Estimate(f"neighbours that agree {name}", float(agree.mean()), **ends, null=chance,
                            null_low=min(float(low), chance), null_high=max(float(high), chance), n=n, d=d,
                            null_method="tokens of different samples, whichever; band: samples exchange experts",
                            estimator="nearest token of another sample"))  # fmt: skip
    return tuple(out)


def _reading(estimates, winner, found: Routed, what: str) -> str:
    share, plane, whole = estimates
    return (
        f"{len(np.unique(winner))} of {found.experts} experts take a token first. The plane shows {share.value:.0%} of "
        f"the variance of {what}; on it the nearest token of another sample goes to the same expert for "
        f"{plane.value:.0%} of the tokens, in the whole space for {whole.value:.0%}, by chance for {whole.null:.0%}."
    )


def _hidden(estimates) -> list[str]:
    _, plane, whole = estimates
    if whole.low is not None and plane.value < whole.low:
        return ["The plane hides cells that lie apart in the whole space."]
    return []


def _cost(shapes, params: ExpertCellsParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples, params.points)
    seconds = m.seconds(flops64=4.0 * some * some * e, moved=8.0 * n * e + 60.0 * some * some)
    held = some * e * 8.0 * 5 + some * 256 * 8.0 * 2 + e * e * 24.0
    return Cost(OPENING + seconds, held, min(n, params.maximum_samples))


def _check() -> tuple[CheckLine, ...]:
    """Three clouds, one for each expert, agree wholly on the plane; tokens at random agree by chance."""
    rng, of = np.random.default_rng(0), np.arange(300) % 3
    clouds = expert_cells(
        ArrayActivations(9.0 * np.eye(3)[of] + 0.1 * rng.standard_normal((300, 3)), "clouds")
    )
    noise = ArrayActivations(rng.standard_normal((600, 12)), "random")
    flat = expert_cells(noise)
    return (
        CheckLine("three clouds: the plane shows all", 1.0, clouds.estimates[0].value, 1e-9),
        CheckLine("three clouds: neighbours that agree", 1.0, clouds.estimates[1].value, 0.0),
        CheckLine("three clouds: by chance", 99 / 299, clouds.estimates[1].null, 1e-12),
        CheckLine("margins are of their gap", 9.0, float(np.median(clouds.columns["margin"])), 0.2),
        CheckLine("twelve axes: the plane shows few", 2 / 11, flat.estimates[0].value, 0.07),
    )


METHODS = (
    Method(
        id="expert_cells", family="tokens", network="experts",
        title="Cells of experts", version=3, function=expert_cells,
        summary="Tokens on a plane of the router's input, coloured by the expert that takes them.",
        params=ExpertCellsParams, result=Scatter, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token, the order of tokens and of experts, turning the space",
        papers=("Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
