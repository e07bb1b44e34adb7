"""Rank along layers or checkpoints: one number of the rank dossier for many taps at equal n, a band for each network.

With several layers of a network: over relative depth, 0 the first given and 1 the last, a curve for each network
(checkpoints of one network are stores of their own, so that layers x checkpoints are a bundle of curves). With one tap
of each store: over the stores in the order given. All taps have the same number of samples, the same ones where ids
agree: rank numbers grow with n.

Null: independent Gaussian units of each tap's own variances, which shows what n, d and unequal scales alone would give.
Interval: jackknife over groups of samples.

When it lies: taps of different width have different ceilings (see the null); intervals are those of single taps, not
simultaneous along the curve; networks of different depth are compared on straight lines between their layers; RankMe
and the stable rank of rows that are not centred follow the mean.

Cost: of each tap, the first time, two passes, O(n d min(n, d)), and a null, O(d³) a draw; both are kept in a workspace,
so that another notion, or the next checkpoint, costs next to nothing. Memory O(d²), one tap at a time.

References: Q. Garrido et al. (2023), "RankMe"; X. Zhang et al. (2024), "Residual connections harm generative
representation learning", for the opposite sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.tap_spectrum import TapSpectrum, tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import MEAN, TOKENS, equal_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.depth_curves import (
    Network,
    at_depths,
    common_depths,
    layer_names,
    networks_of,
)
from analysis.compute.statistics.nulls import null_draws
from analysis.compute.subspaces.rank_notions import (
    BY_NAME,
    NAMES,
    RANKME,
    Notion,
    Ranked,
    null_spectra,
    ranked,
)
from analysis.compute.subspaces.rank_report import GROWS, NEITHER, estimate, notion_note, shared_caveats
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
NAMED = 24  # taps with an estimate each; of more, the first and last of each network


@dataclass(frozen=True)
class RankSeriesParams:
    notion: str = param(RANKME, "Which number, as the rank dossier defines them.", choices=NAMES)
    tokens: str = param(MEAN, "What a row is, where the taps have tokens.", choices=TOKENS)
    maximum_samples: int = param(
        10_000, "Most samples; a seeded random subset above.", low=16, high=10_000_000
    )
    draws: int | None = param(None, "Null spectra of each tap; automatic: 3 to 20.", low=3, high=500)


def rank_series(
    *taps, params: RankSeriesParams = RankSeriesParams(), rng=None, progress=no_progress
) -> Curve:
    """A rank number along taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), two or more, in the order of the series.

    Returns
    -------
    Curve
        A series for each network over relative depth, or one over the taps where each store gave one; `low`, `high` and
        `null` of each.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        A tap with fewer than eight samples; nothing varies; rows and units both above 8,192.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    seed = int(rng.integers(2**32))
    equal = equal_samples(taps, params.maximum_samples, FEWEST, rng)
    spectra, found = [], []
    for i, (tap, at) in enumerate(zip(taps, equal.positions, strict=True)):
        whole, ends = len(at) == tap.layout.n_samples, (i / len(taps), (i + 1) / len(taps))
        spectra.append(tap_spectrum(tap, None if whole else at, params.tokens, progress, ends))
        null = null_spectra(spectra[-1], seed, params.draws or min(null_draws(spectra[-1].d), 20))
        found += ranked(spectra[-1], null, (params.notion,))
    names = [t.name for t in taps]
    networks, x, x_name, x_labels = _axis(names)
    notion = BY_NAME[params.notion]
    lines = {network.name: _line(x, network, found) for network in networks}
    banded = all(one.low is not None for one in found)
    return Curve(
        title=f"{notion.name} along {len(taps)} taps", reading=_reading(networks, found, tap_names(names), notion),
        caveats=(
            *equal.notes, notion_note(notion), GROWS, NEITHER,
            *_unequal(spectra), *shared_caveats(*spectra),
        ),
        estimates=tuple(_estimates(networks, found, spectra, tap_names(names))), x=x, x_name=x_name, x_labels=x_labels,
        y_name=f"{notion.name} ({notion.unit})", series={name: line[0] for name, line in lines.items()},
        low={name: line[1] for name, line in lines.items()} if banded else {},
        high={name: line[2] for name, line in lines.items()} if banded else {},
        null={name: line[3] for name, line in lines.items()},
    )  # fmt: skip


def _axis(names: list[str]) -> tuple[tuple[Network, ...], np.ndarray, str, tuple[str, ...]]:
    """Networks, the depths at which they are drawn, what these are, and their names."""
    networks = networks_of(names)
    if all(len(network.layers) == 1 for network in networks):
        place = np.arange(len(names), dtype=np.float64)
        taps = {name.partition(":")[2] for name in names}
        one = taps.pop() if len(taps) == 1 else "all taps"
        return (
            (Network(one, np.arange(len(names)), place),),
            place,
            "tap, in the order given",
            tap_names(names),
        )
    labels = layer_names(networks, names)
    return networks, common_depths(networks), "layer" if labels else "relative depth", labels


def _line(x: np.ndarray, network: Network, found: list[Ranked]) -> np.ndarray:
    """(4, x) value, low, high and null of a network; the value itself where there is no interval."""
    mine = [found[i] for i in network.layers]
    lines = [
        [one.value for one in mine], [one.value if one.low is None else one.low for one in mine],
        [one.value if one.high is None else one.high for one in mine], [one.null_mean for one in mine],
    ]  # fmt: skip
    return at_depths(x, network, np.array(lines))


def _unequal(spectra: list[TapSpectrum]) -> list[str]:
    """Rows that could not be used make n unequal after all; so do tokens."""
    rows = [s.n for s in spectra]
    if min(rows) == max(rows):
        return []
    return [f"The taps have {min(rows):,} to {max(rows):,} usable rows, so that n is not quite equal."]


def _estimates(networks, found, spectra, names) -> list[Estimate]:
    shown = range(len(found))
    if len(found) > NAMED:
        shown = sorted({int(i) for network in networks for i in network.layers[[0, -1]]})
    return [estimate(found[i], spectra[i], f"{found[i].notion.name} of {names[i]}") for i in shown]


def _reading(networks, found: list[Ranked], names, notion: Notion) -> str:
    said = []
    for network in networks:
        mine = [found[i] for i in network.layers]
        values = np.array([one.value for one in mine])
        first, last, top = mine[0], mine[-1], network.layers[int(values.argmax())]
        apart = first.low is not None and (first.high < last.low or last.high < first.low)
        move = "rises" if last.value > first.value else "falls"
        word = f"{move} from {first.value:.3g} to {last.value:.3g}"
        if not apart:
            word = f"is {first.value:.3g} at the first and {last.value:.3g} at the last, whose intervals do not part"
        said.append(
            f"{network.name}: {notion.name} {word}; highest at {names[top]} ({values.max():.3g}; unrelated units of "
            f"the same variances {found[top].null_mean:.3g})."
        )
    return " ".join(said) if len(said) <= 6 else " ".join([*said[:6], f"And {len(said) - 6} more networks."])


def _cost(shapes, params: RankSeriesParams) -> Cost:
    m, seconds, held = machine(), 0.05, 0.0
    for rows, d in shapes:
        n = min(rows, params.maximum_samples)
        side, draws = min(n, d), params.draws or min(null_draws(d), 20)
        seconds += m.seconds(
            flops64=6.0 * n * d * side + 15.0 * side**3 + 12.0 * draws * d**3, moved=n * d * 100.0
        )
        more = n * d * 8 * 2.5 if n < d else min(n, 4096) * (d * 8 * 5 + 800)
        held = max(held, more + 6.0 * side**2 * 8 + 3200.0 * side)
    return Cost(seconds, held)


def _check() -> tuple[CheckLine, ...]:
    """Layers of 4, 8 and 16 equal directions, of taps with unequal numbers of samples; the same of two networks."""
    rng = np.random.default_rng(7)
    widths = (4, 8, 16)

    def layer(k: int, n: int, name: str) -> ArrayActivations:
        basis = rng.standard_normal((n, k))
        basis = np.linalg.qr(basis - basis.mean(axis=0))[0] * np.sqrt(n)
        return ArrayActivations(basis @ np.linalg.qr(rng.standard_normal((20, k)))[0].T, name)

    one = [layer(k, 400, f"one:{k}") for k in widths]
    found = rank_series(*one, params=RankSeriesParams(notion="participation ratio"))
    noise = [rng.standard_normal((n, 100)) for n in (100, 800)]
    equal = rank_series(*(ArrayActivations(x, f"n{len(x)}:x") for x in noise)).series["x"]
    return (
        *(CheckLine(f"layer of {k} equal directions", k, float(v), 1e-6)
          for k, v in zip(widths, found.series["one"], strict=True)),
        CheckLine("noise at 100 of 100 and at 100 of 800 samples", 1.0, float(equal[1] / equal[0]), 0.05),
        CheckLine("which is that of its null", 1.0, float(rank_series(*noise).estimates[0].null / equal[0]), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="rank_series", family="rank", title="Rank along layers and checkpoints", version=2, function=rank_series,
        summary="One rank number of many taps at equal n, along layers, checkpoints or both, with null and interval.",
        params=RankSeriesParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling all activations of a tap changes nothing; shifting only numbers that do not "
        "centre",
        papers=(
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
            "Residual Connections Harm Generative Representation Learning",
        ),
    ),
)  # fmt: skip
