"""From a choice to a mean: what a router's gates are at every temperature.

    p_e(τ) = exp(s_e / τ) / Σ_f exp(s_f / τ):    τ → 0 the top expert alone, τ → ∞ all alike

Drawn over τ, as a temperature relative to that of the recording: experts in use for a token exp(H(p)) / E, the largest
gate, the mass on the k largest gates (what a top-k router keeps), and how evenly mean gates are spread exp(H(mean p)) /
E. *Identifiability*: weights β and temperature τ and c β, c τ are the same router, so that neither is known alone; told
is the steepness, the spread of β'x / τ with its gauge fixed.

Null: each expert's logits exchanged between tokens, which keeps how large they are and breaks what they have to do with
each other. Bands: Student's t over samples.

When it lies: a router trained at one temperature was not trained at the others, and its network would have to follow;
mean gates are not choices; where gates that were cut to the top k are recorded, those that were cut are 0 at every τ.

Cost: one pass, O(n E) for each temperature, twice.

References: H. Nguyen, P. Akbarian & N. Ho (2024), "Is temperature sample efficient for softmax Gaussian mixture of
experts?"; H. Nguyen et al. (2024), "Statistical perspective of top-K sparse softmax gating mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.gates import effective, gates
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, routed

OPENING, EXCHANGED = 4.0, "each expert's logits exchanged between tokens"
IN_USE, LARGEST, SPREAD = "experts in use for a token", "largest gate", "in use over all tokens"


@dataclass(frozen=True)
class RouterTemperatureParams:
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    temperatures: int = param(25, "Places of the curve.", low=5, high=100)
    lowest: float = param(0.05, "Lowest temperature; that of the recording is 1.", low=0.0001, high=1.0)
    highest: float = param(20.0, "Highest temperature.", low=1.0, high=10_000.0)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def router_temperature(
    activations, params: RouterTemperatureParams = RouterTemperatureParams(), rng=None, progress=no_progress
) -> Curve:
    """Gates over the temperature.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Curve
        Four shares over the temperature. Estimates at the temperature of the recording, and the steepness.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    x = np.unique(np.append(np.geomspace(params.lowest, params.highest, params.temperatures), 1.0))
    of = np.unique(found.samples, return_inverse=True)[1]
    of = np.arange(len(of)) if of.max() == 0 else of
    moved = rng.permuted(found.logits, axis=0)
    own, null = [], []
    for i, t in enumerate(x):
        progress(0.5 + 0.5 * i / len(x), "cooling and heating")
        own.append(_measured(found.logits, t, k, of))
        null.append(_measured(moved, t, k, of))
    progress(1.0, "done")
    n, names = int(of.max()) + 1, (IN_USE, LARGEST, f"mass on the {k} largest", SPREAD)
    names = names if k > 1 else (IN_USE, LARGEST, SPREAD)
    mean, low, high = _bands(own, names, n)
    chance, _, _ = _bands(null, names, n)
    at = int(np.flatnonzero(x == 1.0)[0])
    estimates = _estimates(own[at], null[at], names, found, of)
    return Curve(
        title=f"Gates of {found.experts} experts over the temperature, {found.what}", estimates=estimates,
        reading=_reading(mean, x, at, estimates, found.experts), x=x, log_x=True,
        caveats=(*dict.fromkeys((*found.notes, *said)), _identifiable(estimates[-1])),
        x_name="temperature (1: as recorded)", y_name="share", series=mean, low=low, high=high, null=chance,
    )  # fmt: skip


def _measured(logits: np.ndarray, t: float, k: int, of: np.ndarray) -> dict[str, np.ndarray]:
    """By name, means over the tokens of each sample; of all tokens together one value."""
    p, counts = gates(logits, t), np.bincount(of)
    rows = {IN_USE: effective(p) / p.shape[1], LARGEST: p.max(axis=1)}
    if k > 1:
        rows[f"mass on the {k} largest"] = np.partition(p, -k, axis=1)[:, -k:].sum(axis=1)
    out = {name: np.bincount(of, weights=v) / counts for name, v in rows.items()}
    return out | {SPREAD: effective(p.mean(axis=0)[None]) / p.shape[1]}


def _bands(measured, names, n: int):
    """Means, and ends of intervals, by name."""
    mean = {m: np.array([step[m].mean() for step in measured]) for m in names}
    low, high = {}, {}
    for m in names:
        if m != SPREAD and n > 1:
            half = stdtrit(n - 1, 0.975) * np.array([s[m].std(ddof=1) for s in measured]) / np.sqrt(n)
            low[m], high[m] = np.maximum(mean[m] - half, 0.0), np.minimum(mean[m] + half, 1.0)
    return mean, low, high


def _estimates(own, null, names, found, of) -> tuple[Estimate, ...]:
    n, e, out = len(found.logits), found.experts, []
    for m in names:
        ends = mean_interval(own[m], 0.0, 1.0) or {"interval": "none: one number of all tokens"}
        times = e if m in (IN_USE, SPREAD) else 1  # as experts, not as a share
        scaled = {a: v if isinstance(v, str) else v * times for a, v in ends.items()}
        out.append(Estimate(m, float(own[m].mean()) * times, **scaled, null=float(null[m].mean()) * times,
                            null_method=EXCHANGED, n=n, d=e,
                            estimator="at the temperature of the recording"))  # fmt: skip
    square = np.bincount(of, weights=np.square(found.logits).mean(axis=1)) / np.bincount(of)
    ends = mean_interval(square, 0.0)
    root = {a: v if isinstance(v, str) else float(np.sqrt(v)) for a, v in ends.items()}
    out.append(Estimate("steepness of the router", float(np.sqrt(square.mean())), **root, null=0.0,
                        null_method="equal gates for all experts", n=n, d=e,
                        estimator="root mean square of logits / temperature, gauge fixed"))  # fmt: skip
    return tuple(out)


def _reading(mean, x, at, estimates, experts: int) -> str:
    used = mean[IN_USE] * experts
    half = (experts + 1) / 2
    crossed = np.flatnonzero(used >= half)
    where = f"from a temperature of {x[crossed[0]]:.2g} on" if len(crossed) else "at no temperature drawn"
    return (
        f"As recorded, a token's gates use {used[at]:.1f} of {experts} experts and the largest gate holds "
        f"{mean[LARGEST][at]:.0%}. Half of the way to equal gates is reached {where}; at {x[0]:.2g} it is "
        f"{used[0]:.1f} experts."
    )


def _identifiable(steepness: Estimate) -> str:
    return (
        f"Weights and temperature are known by their ratio only (steepness {steepness.value:.2g}): a router twice as "
        "steep at twice the temperature is the same one."
    )


def _cost(shapes, params: RouterTemperatureParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * e + 2 * params.temperatures * some * e * 150.0)
    return Cost(OPENING + seconds, some * e * 8.0 * 6 + 1e5, some)


def _check() -> tuple[CheckLine, ...]:
    """Cold routers choose, hot ones mean; twice the logits at twice the temperature is the same."""
    x = np.random.default_rng(0).standard_normal((200, 5))
    wide = RouterTemperatureParams(temperatures=5, lowest=1e-4, highest=1e4)
    plain = router_temperature(ArrayActivations(x, "logits"), wide)
    half = router_temperature(
        ArrayActivations(x, "logits"), RouterTemperatureParams(temperatures=5, lowest=0.5)
    )
    twice = router_temperature(
        ArrayActivations(2 * x, "twice"), RouterTemperatureParams(temperatures=5, lowest=1.0)
    )
    return (
        CheckLine("cold: largest gate", 1.0, float(plain.series[LARGEST][0]), 1e-6),
        CheckLine("cold: experts in use", 0.2, float(plain.series[IN_USE][0]), 1e-6),
        CheckLine("hot: experts in use", 1.0, float(plain.series[IN_USE][-1]), 1e-6),
        CheckLine("twice the logits at twice the temperature", float(half.series[IN_USE][0]),
                  float(twice.series[IN_USE][0]), 1e-6),
        CheckLine("twice as steep", 2.0, twice.estimates[-1].value / plain.estimates[-1].value, 1e-5),
    )  # fmt: skip


METHODS = (
    Method(
        id="router_temperature", family="tokens", network="experts", title="A router's temperature", version=3,
        function=router_temperature,
        summary="Experts in use and the largest gate over the temperature, from one expert to all.",
        params=RouterTemperatureParams, result=Curve, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token; a factor of logits and temperature alike",
        papers=(
            "Is Temperature Sample Efficient for Softmax Gaussian Mixture of Experts?",
            "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
