"""Selective scans with the Δ, B and C that samples give them, captured at run time.

    pole of a mode         Ā = exp(mean Δ A): what it keeps at a token, on geometric average over tokens
    answer to an impulse   K[l] = mean over places s of M[s + l, s] = C_{s+l} · (Π_{k=s+1..s+l} Ā_k) B̄_s

Of a layer with many channels some are read, evenly spread. Null: the same Δ, B and C with the rates 1, 2, … that modes
(of Mamba2: heads) start with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.results import Estimate
from analysis.spec import Progress, no_progress
from analysis.tokens.mixers.hidden_attention import Selective, hidden_attention
from analysis.tokens.mixers.reading import Mixers, network_mixers
from analysis.tokens.mixers.ssm import StateSpace

CAPTURED, WEIGHTS = "captured at run time where it can be", "of the weights"
STEPS_HELP = "Whose Δ, B and C, where these depend on the input."
SAMPLES_HELP = "Most samples at run time; a seeded random subset above."
SOME = 64  # channels of a layer
Layers = list[list[StateSpace]]  # of each sample the space of each layer
STARTED = "rates 1, 2, … as modes (of Mamba2: heads) start, with the same Δ, B and C"


def scans_at_run_time(tap, params, rng: np.random.Generator) -> Mixers | None:
    """The scans of a tap's network, unless `params.steps` asks for the weights; None where there are none to run."""
    if params.steps != CAPTURED:
        return None
    try:
        found = network_mixers(tap, params.maximum_samples, rng)
    except (InputError, NotFound):
        return None
    return found if found.head == "channel" and found.of_scans else None


def some_channels(scan: Selective) -> np.ndarray:
    return np.unique(np.linspace(0, scan.channels - 1, SOME).round().astype(int))


def started(scan: Selective, channels: np.ndarray) -> np.ndarray:
    """(len(channels), N) rates below 0 that the channels start with."""
    modes = scan.a.shape[1]
    return -np.arange(1, modes + 1.0) + 0 * scan.a[channels] if modes > 1 else -(channels[:, None] + 1.0)


def mean_steps(found: Mixers, progress: Progress = no_progress) -> tuple[Layers, Layers]:
    """(of each sample the space of each layer at its mean Δ, the same with the rates they start with)."""
    own, begun = [], []
    for place in range(found.n):
        progress(place / found.n, "scans")
        pairs = [_at_mean_step(layer.name, layer.scan) for layer in found.read(place).scans]
        own.append([a for a, _ in pairs])
        begun.append([b for _, b in pairs])
    return own, begun


def _at_mean_step(name: str, scan: Selective) -> tuple[StateSpace, StateSpace]:
    some = some_channels(scan)
    a, one = scan.a[some] + 0j, np.ones(scan.a[some].shape, complex)
    space = StateSpace(name, a, one, one, scan.step[:, some].mean(axis=0), scan.skip[some], halved=False)
    return space, replace(space, a=started(scan, some) + 0j)


def averaged(spaces: list[list[StateSpace]]) -> list[StateSpace]:
    """Of each layer the space at the mean Δ of all samples."""
    return [replace(of[0], step=np.mean([s.step for s in of], axis=0)) for of in zip(*spaces, strict=True)]


@dataclass(frozen=True)
class Answers:
    """`own`, `null` (n, H, lags) mean answers to an impulse of each sample, NaN at lags beyond its tokens; `channels`
    (H,); `name` of the layer."""

    own: np.ndarray
    null: np.ndarray
    channels: np.ndarray
    name: str


def answers_at_run_time(found: Mixers, layer: int, lags: int, progress: Progress = no_progress) -> Answers:
    """Raises NotFound (no such layer)."""
    own, null, channels, name = [], [], None, ""
    for place in range(found.n):
        progress(place / found.n, "scans")
        scans = found.read(place).scans
        if layer >= len(scans):
            raise NotFound(f"layer {layer + 1}", f"1 to {len(scans)}")
        scan, name = scans[layer].scan, scans[layer].name
        channels = some_channels(scan)
        rates = np.array(scan.a)
        rates[channels] = started(scan, channels)
        own.append(_by_lag(hidden_attention(scan, channels), lags))
        null.append(_by_lag(hidden_attention(replace(scan, a=rates), channels), lags))
    return Answers(np.stack(own), np.stack(null), channels, name)


def _by_lag(matrices: np.ndarray, lags: int) -> np.ndarray:
    """(H, lags) means along the diagonals of (H, T, T), from the main one down."""
    out = np.full((len(matrices), lags), np.nan)
    for lag in range(min(lags, matrices.shape[1])):
        out[:, lag] = np.diagonal(matrices, -lag, 1, 2).mean(axis=1)
    return out


def over_samples(
    name: str, own: np.ndarray, null: np.ndarray, d: int, unit: str = "", least=None
) -> Estimate:
    """The mean of a number over samples, own and null (n,)."""
    ends = mean_interval(own, least) if least is not None else mean_interval(own)
    return Estimate(name, float(own.mean()), **(ends or {"interval": "none: one sample"}), null=float(null.mean()),
                    null_method=STARTED, n=len(own), d=d, unit=unit,
                    estimator="Δ, B and C captured at run time, mean over channels and samples")  # fmt: skip


def run_time_notes(found: Mixers, channels: int, what: str) -> tuple[str, ...]:
    most = max(layer.scan.channels for layer in found.read(0).scans)
    some = (
        ()
        if most <= channels
        else (f"{channels} of {most:,} channels of a layer are {what}, evenly spread.",)
    )
    return (*found.notes, *some)
