"""Could two networks be averaged here? What is left of a layer half-way between two, with and without alignment.

    kept(t) = var((1 - t) A + t B') / ((1 - t) var A + t var B),    B' = B carried onto A's units

summed over units, for activations A (n, p), B (n, q) of the same samples and B' by optimal transport between units
(`compute.matching.unit_fusion`). Averaging the weights of two linear layers that read the same averages their
activations, so this is what the fused layer has to work with: 1 all along where units agree; units that do not agree
cancel, half the variance at t = 1/2, and everything after the layer sees a signal that fades ("variance collapse").

The plan is made from one half of the samples and measured on the other, and the other way round. Null: samples of B
exchanged, transport anew. Without alignment units are joined as they are numbered; or to a random partner, in closed
form, which unequal widths leave as the only choice.

With `networks`, the weights themselves are averaged and run on the data of the first: as numbered, and with B's units
reordered (`compute.networks.network_alignment`), which leaves what B computes as it was.

When it lies: the layer alone says nothing of networks: deeper weights are averaged with whatever their inputs have
become, so a good curve is needed and not enough; permutations are few, so that networks which an average destroys may
still be one up to rotation; a mean over units hides a few that agree; samples that differ little make all units agree;
common growth with the input (norm, brightness) counts as agreement.

Cost: 2 plans for the layers and for each of 3 to 20 draws, O(n p q) each; memory O(n (p + q) + p q).

References: S. P. Singh & M. Jaggi (2020), "Model fusion via optimal transport"; M. Imfeld et al. (2024), "Transformer
fusion with optimal transport"; K. Jordan et al. (2023), "REPAIR: renormalizing permuted activations for interpolation
repair"; S. Ainsworth et al. (2023), "Git re-basin".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.transport_profiles import activation_profiles
from analysis.compute.matching.unit_fusion import (
    COSINE,
    SQUARED,
    cost_of,
    crossed_moments,
    joined_moments,
    kept_variance,
    plan_of,
    random_moments,
)
from analysis.compute.networks.fusion_reading import (
    BOOTSTRAPS,
    fusion_reading,
    kept_estimates,
    network_estimates,
)
from analysis.compute.networks.network_alignment import aligned_network, average, shuffled_network
from analysis.errors import InputError, TooLarge
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

STEPS = np.linspace(0.0, 1.0, 11)
SHUFFLES = 5
FEWEST = 8  # samples: two halves of four
MOST_CELLS = 1 << 22


@dataclass(frozen=True)
class FusionReadinessParams:
    entropy: float = param(0.0, "0 hard; 0.05 soft: units become averages of several.", low=0.0, high=100.0)
    cost: str = param(COSINE, "Blind to a unit's size, or not.", choices=(COSINE, SQUARED))
    maximum_samples: int = param(5000, "Most samples; a random part above.", low=50, high=100_000)
    networks: bool = param(
        False,
        "Also average the two networks, weight by weight, and run them (ViT or GPT-2 whose files are there; taps "
        "of the residual stream).",
    )


def fusion_readiness(
    one, other, params: FusionReadinessParams = FusionReadinessParams(), rng=None, progress=no_progress
) -> Curve:
    """Variance kept on the way from one layer to another.

    Parameters
    ----------
    one, other : Activations or arrays (rows, units)
        The same layer of two networks, of the same samples (matched by id; tokens pooled), of any widths.

    Returns
    -------
    Curve
        `aligned` with its null (samples exchanged), `as numbered` for equal widths, `random partners`. Estimates: what
        is kept half-way, of each. With `networks` also the accuracy of averaged networks, and their loss barrier.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight common samples or two units that vary; equal samples; too many units for an exact plan.
    """
    taps, rng = [as_activations(t) for t in (one, other)], rng or np.random.default_rng(0)
    sides = activation_profiles(taps, rng, params.maximum_samples, progress, minimum=FEWEST)
    a, b = (side.values.T for side in sides[:2])
    (n, p), q = a.shape, b.shape[1]
    if p * q > MOST_CELLS:
        raise TooLarge(f"{p:,} x {q:,} units", "at most 4 million pairs", "Choose a narrower layer")
    fold = rng.permutation(np.arange(n) % 2)
    progress(0.35, "aligning units")
    sums = {"aligned": crossed_moments(a, b, fold, params.cost, params.entropy)}
    if p == q:
        sums["as numbered"] = joined_moments(a, b, np.eye(p) / p)
    sums["random partners"] = random_moments(a, b)
    draws, chance = _draws(p, q, n), []
    for i in range(draws):
        progress(0.4 + 0.4 * i / draws, "aligning exchanged samples")
        moved = crossed_moments(a, b[rng.permutation(n)], fold, params.cost, params.entropy)
        chance.append(kept_variance(moved.sum(axis=0), STEPS))
    estimates = kept_estimates(sums, np.array(chance)[:, len(STEPS) // 2], p, rng)
    series = {k: kept_variance(v.sum(axis=0), STEPS) for k, v in sums.items()}
    notes = [*sides[2], f"Chance is taken from {draws} draws."]
    if params.networks:
        runs, by_chance, said = _averaged(taps, a, b, params, rng, progress)
        series |= {f"accuracy, {name}": correct.mean(axis=1) for name, (_, correct) in runs.items()}
        estimates += network_estimates(runs, by_chance)
        notes += [said, "Networks are aligned by permutations only: residual stream, hidden units, heads."]
    else:
        notes.append("One layer is joined here, not the networks.")
    progress(1.0, "done")
    return Curve(
        title=f"Fusion readiness of {sides[0].name} and {sides[1].name}", reading=fusion_reading(estimates),
        caveats=tuple(notes), estimates=estimates, x=STEPS, x_name="share of the second layer", y_name="share",
        series=series, null={"aligned": np.mean(chance, axis=0)},
    )  # fmt: skip


def _averaged(taps, a, b, params, rng, progress):
    """Loss and right answers (steps, n) of averages of the two networks on the data of the first, aligned and as their
    units are numbered; (draws, n) half-way to the second with its units reordered at random; and a sentence on the
    samples."""
    from analysis.sources.rerun import rerun

    runs = [rerun(tap, params.maximum_samples, rng=rng) for tap in taps]
    one, other = (r.weights() for r in runs)
    heads = runs[0].heads
    if not a.shape[1] == b.shape[1] == taps[0].shape[1] == taps[1].shape[1]:
        raise InputError(
            f"{a.shape[1]} and {b.shape[1]} units that vary", "all units of two taps of one width"
        )
    stream = plan_of(cost_of(a.T, b.T, params.cost), 0.0).argmax(axis=1)
    ends = {"aligned": aligned_network(one, other, stream, heads), "as numbered": other}
    asked = [(end, t) for end in ends.values() for t in STEPS]
    asked += [(shuffled_network(other, heads, rng), 0.5) for _ in range(SHUFFLES)]
    found = []
    for i, (end, t) in enumerate(asked):
        progress(0.8 + 0.2 * i / len(asked), "running averages of the networks")
        found.append(runs[0].measure(average(one, end, t)))
    loss, correct = (np.array([getattr(m, k) for m in found]) for k in ("loss", "correct"))
    parts = [slice(i * len(STEPS), (i + 1) * len(STEPS)) for i in range(2)]
    last = slice(2 * len(STEPS), None)
    ways = {k: (loss[p], correct[p]) for k, p in zip(ends, parts, strict=True)}
    return ways, (loss[last], correct[last]), runs[0].note


def _draws(p: int, q: int, n: int) -> int:
    return int(np.clip(2e9 / (p * q * (2.0 * n + 8.0 * max(p, q))), 3, 20))


def _cost(shapes, params: FusionReadinessParams) -> Cost:
    (n, p), (_, q), m = *shapes, machine()
    n = min(n, params.maximum_samples)
    runs = 1 + _draws(p, q, n)
    moved = runs * 8.0 * (n * (p + q) * 12 + p * q * 30 + 4.0 * max(p, q) ** 2.3)
    if params.entropy:
        moved += runs * p * q * 8.0 * 2000
    again = params.networks * (10.0 + (2 * len(STEPS) + SHUFFLES) * 0.001 * n)
    memory = 8.0 * (7.0 * n * (p + q) + 5.0 * p * q + BOOTSTRAPS * n * 1.2)
    return Cost(
        m.seconds(flops64=runs * 4.0 * n * p * q, moved=moved, calls=runs * 200) + 0.05 + again, memory
    )


def _check() -> tuple[CheckLine, ...]:
    """A reordered copy keeps all when aligned; unrelated layers keep half; units with r = 0.6 keep (1 + r) / 2."""
    rng = np.random.default_rng(10)
    x, y, order = rng.standard_normal((600, 30)), rng.standard_normal((600, 30)), rng.permutation(30)

    def kept(a, b, **more) -> dict[str, float]:
        found = fusion_readiness(a, b, params=FusionReadinessParams(**more)).estimates
        return {e.name.partition(", ")[2]: e.value for e in found}

    near = 0.6 * x + 0.8 * y
    return (
        CheckLine("reordered copy, aligned", 1.0, kept(x, x[:, order])["aligned"], 1e-12),
        CheckLine("reordered copy, random partners", 0.5, kept(x, x[:, order])["random partners"], 0.05),
        CheckLine("doubled units, aligned", 1.0, kept(x, np.repeat(x, 2, axis=1))["aligned"], 1e-12),
        CheckLine("unrelated, aligned", 0.5, kept(x, y)["aligned"], 0.02),
        CheckLine("r = 0.6, reordered, aligned", 0.8, kept(x, near[:, order])["aligned"], 0.02),
        CheckLine("much entropy: units become one mean", 0.25, kept(x, x, entropy=100.0)["aligned"], 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="fusion_readiness", family="weights", title="Fusion readiness", version=2, function=fusion_readiness,
        summary="What is left of a layer half-way between two networks, with and without aligning their units.",
        params=FusionReadinessParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        worker=True,
        invariance="reordering the units of either side, shifting them, and scaling both sides alike",
        papers=("Transformer Fusion with Optimal Transport",),
    ),
)  # fmt: skip
