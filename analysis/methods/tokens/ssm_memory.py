"""How long does a state space remember? Half-lives of its modes in steps, layer by layer.

    half-life = ln 2 / (-Δ Re A) steps,    in seconds: / tokens per second.

Doubling Δ halves it. Of a selective scan (Mamba) Δ depends on the input: its half-lives are then captured at run time,
of every token, channel and mode, where the network can be run. Without a state space they are those of the poles of the
best linear recurrence from token to token.

Interval: none of weights, which are no sample (at run time: Student's t over samples; of a fit: jackknife over groups
of samples). Null: modes
as they start, with the same Δ; of a fit tokens in random order.

When it lies: a mode that B or C leave out counts as any other; oscillation hides behind a half-life; what is remembered
through later layers is longer; at run time only some tokens and channels are counted.

Cost: reading the weights; at run time one pass of each sample; a fit O(rows d²).

References: A. Gu, A. Gupta, K. Goel & C. Ré (2022), "On the parameterization and initialization of diagonal state space
models"; A. Gu & T. Dao (2023), "Mamba".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.reading import Mixers, network_mixers
from analysis.tokens.mixers.state_spaces import NEVER, Spaces, slowest, start_of, state_spaces

BINS, SHORTEST, SOME = 40, 1e-2, 64  # of the histogram; steps; channels at run time
AUTOMATIC, WEIGHTS = "captured at run time where it can be", "of the weights"


@dataclass(frozen=True)
class SsmMemoryParams:
    steps: str = param(AUTOMATIC, "Which Δ, where it depends on the input.", choices=(AUTOMATIC, WEIGHTS))
    rate: float = param(0.0, "Tokens per second, 0 where unknown; half-lives are then told in seconds too.", low=0.0,
                        high=1e9)  # fmt: skip
    maximum_samples: int = param(
        16, "Most samples at run time; a seeded random subset above.", low=2, high=1000
    )
    draws: int = param(
        20, "Random orders of the tokens, where a recurrence is fitted.", low=5, high=500, late=True
    )


def ssm_memory(
    activations, params: SsmMemoryParams = SsmMemoryParams(), rng=None, progress=no_progress
) -> Distribution:
    """Histogram of half-lives.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network with state spaces; of others a recurrence is fitted to its rows.

    Returns
    -------
    Distribution
        Counts of modes over the logarithm of steps for each layer. Estimates: half-lives of the slowest modes.

    Raises
    ------
    InputError, NotEnoughData
        Keys of a state space that do not fit each other; rows that never change; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    if params.steps == AUTOMATIC:
        try:
            found = network_mixers(tap, params.maximum_samples, rng)
        except (InputError, NotFound):
            found = None
        if found is not None and found.head == "channel" and found.of_scans:
            return at_run_time(found, params, progress)
    spaces = state_spaces(tap, params.draws, rng, progress)
    progress(1.0, "done")
    return _of_spaces(spaces, params)


def _of_spaces(found: Spaces, params) -> Distribution:
    groups = {s.name: _logs(ssm.half_lives(s)) for s in found.spaces}
    begun = found.fitted.chance if found.fitted else [start_of(s)[1] for s in found.spaces]
    null = np.concatenate([_logs(ssm.half_lives(s)) for s in begun])
    told = [found.estimate("half-life of the slowest mode", slowest, unit="steps"),
            found.estimate("half-life, median of the modes", _middle, unit="steps")]  # fmt: skip
    every = sum(len(v) for v in groups.values())
    return _drawn(
        groups, null, every / max(len(null), 1), told, params, f"Half-lives {found.what}", found.notes
    )


def _middle(space: ssm.StateSpace) -> np.ndarray:
    return np.median(np.minimum(ssm.half_lives(space), NEVER), axis=1)


def _logs(values: np.ndarray) -> np.ndarray:
    return np.log10(np.clip(values, SHORTEST, NEVER)).ravel()


def at_run_time(found: Mixers, params: SsmMemoryParams, progress=no_progress) -> Distribution:
    """Half-lives ln 2 / (Δ_t |A|) of every token, of at most 64 channels a layer."""
    groups: dict[str, list] = {name: [] for name in found.layers}
    each, null, most = [], [], 0
    for place in range(found.n):
        progress(place / found.n, "scans")
        middle, begun = [], []
        for layer in found.read(place).scans:
            most = max(most, layer.scan.channels)
            some = np.unique(np.linspace(0, layer.scan.channels - 1, SOME).round().astype(int))
            step, a = layer.scan.step[:, some, None], layer.scan.a[some]
            start = np.arange(1, a.shape[1] + 1.0) if a.shape[1] > 1 else some[:, None] + 1.0
            lives = np.log(2) / np.maximum(step * -a, 1e-12)
            groups[layer.name].append(_logs(lives))
            begun.append(np.log(2) / np.maximum(step * start, 1e-12))
            middle.append(np.median(lives))
        each.append(np.mean(middle))
        null.append([np.median(x) for x in begun])
    progress(1.0, "done")
    each = np.array(each)
    told = [Estimate("half-life, median of tokens and modes", float(each.mean()),
                     **(mean_interval(each) or {"interval": "none: one sample"}), null=float(np.mean(null)),
                     null_method="rates 1, 2, … as modes (of Mamba2: heads) start, with the same Δ", n=len(each),
                     d=found.units, estimator="Δ captured at run time", unit="steps")]  # fmt: skip
    logs = {k: np.concatenate(v) for k, v in groups.items()}
    notes = (*found.notes, f"{SOME} of {most:,} channels of a layer are counted, evenly spread.") if most > SOME \
        else found.notes  # fmt: skip
    return _drawn(logs, None, 1.0, told, params, f"Half-lives of {found.what}", notes)


def _drawn(groups, null, scale: float, told, params, title: str, notes) -> Distribution:
    low, high = (
        f(np.concatenate([*groups.values(), *([] if null is None else [null])])) for f in (np.min, np.max)
    )
    edges = np.linspace(low - 0.05, high + 0.05, BINS + 1)
    counts = {k: np.histogram(v, edges)[0] for k, v in groups.items()}
    if params.rate > 0:
        told = [*told, *(_seconds(e, params.rate) for e in told)]
    return Distribution(
        title=title, edges=edges, counts=counts, value_name="half-life (log10 of steps)",
        markers={"median": float(np.median(np.concatenate(list(groups.values()))))},
        null=None if null is None else np.histogram(null, edges)[0] * scale, estimates=tuple(told),
        reading=_reading(told), caveats=(*notes, *_caveats(groups)),
    )  # fmt: skip


def _seconds(e: Estimate, rate: float) -> Estimate:
    from dataclasses import replace

    scaled = {k: None if getattr(e, k) is None else getattr(e, k) / rate
              for k in ("value", "low", "high", "null", "null_low", "null_high")}  # fmt: skip
    return replace(e, name=f"{e.name}, in seconds", unit="seconds", **scaled)


def _reading(told) -> str:
    e = told[0]
    return f"{e.name.capitalize()}: {e.value:.3g} steps ({e.null_method}: {e.null:.3g})."


def _caveats(groups) -> list[str]:
    values = np.concatenate(list(groups.values()))
    never = int((values >= np.log10(NEVER)).sum())
    said = (
        [f"{never:,} of {len(values):,} modes never fade or take over {NEVER:,.0f} steps."] if never else []
    )
    return [*said, "A half-life of a mode says nothing of how much goes through it."]


def _cost(shapes, params: SsmMemoryParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, 4096)
    held = 26.0 * rows * k + 9.0 * 17 * rows + 17.0 * k * k + 6e4
    passes = min(n, params.maximum_samples) if params.steps == AUTOMATIC else 0
    return Cost(0.05 + m.seconds(flops64=2.0 * rows * k * k + 9.0 * k**3, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Tokens that shrink by known factors; a state space with twice the Δ."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((40, 2))
    first[20:] = -first[:20]
    x = first[:, None] * np.array([0.9, 0.6]) ** np.arange(12)[:, None]
    tap = ArrayActivations(x.reshape(480, 2), name="planted", layout=Layout(np.arange(0, 481, 12)))
    found = ssm_memory(tap, SsmMemoryParams(draws=5, rate=10.0))
    rates = np.array([[1.0, 2.0]]) + 0j
    one = ssm.StateSpace("s", -rates, rates, rates, np.array([0.1]), np.zeros(1))
    two = ssm.StateSpace("s", -rates, rates, rates, np.array([0.2]), np.zeros(1))
    longest = np.log(2) / -np.log(0.9)
    return (
        CheckLine("half-life of the planted slow mode", longest, found.estimates[0].value, 1e-3),
        CheckLine(
            "median of two modes", (longest + np.log(2) / -np.log(0.6)) / 2, found.estimates[1].value, 1e-2
        ),
        CheckLine("in seconds at ten tokens a second", longest / 10, found.estimates[2].value, 1e-3),
        CheckLine(
            "twice the step: half-lives",
            0.5,
            float((ssm.half_lives(two) / ssm.half_lives(one)).mean()),
            1e-12,
        ),
        CheckLine("modes counted", 2.0, float(sum(c.sum() for c in found.counts.values())), 0.0),
    )


METHODS = (
    Method(
        id="ssm_memory",
        family="tokens",
        network="scans",
        title="Memory of state spaces",
        summary="Half-lives of state-space modes in steps and seconds; of selective scans with the Δ of real inputs.",
        version=3,
        function=ssm_memory,
        params=SsmMemoryParams,
        result=Distribution,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="the order of modes, conjugation of a pair; of a fit rotations and the scale of the units",
        papers=("On the Parameterization and Initialization of Diagonal State Space Models",
                "Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
                "Learning"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
