"""At which spatial frequencies a tap's energy lies: share of the energy against cycles per map.

The orthonormal cosine transform (DCT-II) of every map, its squares summed over units and samples and gathered by
distance from DC, sqrt(u² + v²) rounded to whole half cycles; the first point is DC, the mean over space. Energy as
recorded, or about the mean map, which takes off what all samples share. Bands add up to 1 (Parseval).

Null: the positions of every sample exchanged. Then DC stays, and each of the P - 1 other coefficients gets the same:
share of AC x coefficients of the band / (P - 1), exactly. The mean frequency of AC has the mean over coefficients as
null. Intervals leave groups of samples out (jackknife).

When it lies: bands near the corner of the grid hold few coefficients (see the null); tapering at the borders is not
done, so that a ramp over the map shows in all bands; taps of different grids reach different highest frequencies, the
rest is 0 for the coarser one; a class token is no position and is left out.

Cost: two passes over each tap, O(n P d ln P); memory O(P d) and some chunks.

References: N. Ahmed, T. Natarajan & K. Rao (1974), "Discrete cosine transform"; J. Fan et al. (2024), "ScaleKD: strong
vision transformers could be excellent teachers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.common_maps import common_maps
from analysis.compute.grids.map_frequencies import MapEnergies, bands, frequencies, map_energies
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.hsic import FEWEST
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

CENTRED, RECORDED = "about the mean map", "as recorded"


@dataclass(frozen=True)
class BandParams:
    energy: str = param(
        CENTRED, "What differs between samples, or all there is.", choices=(CENTRED, RECORDED)
    )
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=50, high=50_000)


def frequency_bands(*taps, params: BandParams = BandParams(), rng=None, progress=no_progress) -> Curve:
    """Energy by spatial frequency of two or more taps with tokens.

    Parameters
    ----------
    *taps : Activations with tokens on a grid, of the same samples (matched by id), each on its own grid.

    Returns
    -------
    Curve
        x = cycles per map, one series of shares that add up to 1 for each tap, with 95 % bands and the null. Estimates:
        each tap's share of DC and mean frequency of AC.

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        Fewer than two taps; samples with different numbers of tokens; fewer than four common samples.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    # matched on a grid of one position: the whole maps are never held
    found = common_maps(taps, rng, side=1, maximum=params.maximum_samples, progress=progress)
    names, group = tap_names([t.name for t in taps]), groups_of(len(found.ids), rng)
    lines: dict[str, MapEnergies] = {}
    for i, (name, tap) in enumerate(zip(names, taps, strict=True)):
        ends = tuple(0.3 + 0.7 * (i + j) / len(taps) for j in (0, 1))
        lines[name] = map_energies(tap, found.ids, group, progress, ends)
    centred = params.energy == CENTRED
    length = max(e.radial(centred).shape[1] for e in lines.values())
    series, low, high, null = {}, {}, {}, {}
    for name, e in lines.items():
        shares = e.radial(centred)
        half = np.nan_to_num(jackknife_half(shares))
        ends = np.clip([shares[0] - half, shares[0] + half], 0.0, 1.0)
        for out, values in ((series, shares[0]), (low, ends[0]), (high, ends[1]), (null, _null(e, centred))):
            out[name] = np.pad(values, (0, length - len(values)))
    estimates = _estimates(
        lines, centred, len(found.ids), {n: t.shape[1] for n, t in zip(names, taps, strict=True)}
    )
    return Curve(
        title=f"Spatial frequencies of {', '.join(names[:3])}{', …' if len(names) > 3 else ''}",
        reading=_reading(lines, centred), caveats=(*_caveats(lines), *_matched(found.notes)), estimates=estimates,
        x=np.arange(length) / 2, x_name="cycles per map (0: the mean over space)",
        y_name=f"share of the energy {params.energy}", series=series, low=low, high=high, null=null,
    )  # fmt: skip


def _null(e: MapEnergies, centred: bool) -> np.ndarray:
    """(bands,) DC as it is, the rest by the number of coefficients."""
    count = np.bincount(bands(*e.centred.shape[1:]).ravel()).astype(float)
    dc = float(e.dc_share(centred)[0])
    out = (1 - dc) * count / max(e.positions - 1, 1)
    out[0] = dc
    return out


def _matched(notes) -> list[str]:
    """The notes without the one on the single position that served to match samples."""
    return [
        n for n in notes if not n.startswith(("Maps are averaged", "There is one position", "A random 1 of"))
    ]


def _estimates(
    lines: dict[str, MapEnergies], centred: bool, n: int, width: dict[str, int]
) -> tuple[Estimate, ...]:
    out = []
    for name, e in lines.items():
        made = {"n": n, "d": width[name], "interval": "jackknife over groups of samples, t"}
        share = e.dc_share(centred)
        value, half = float(share[0]), float(jackknife_half(share))
        null = {
            "null": 1 / e.positions,
            "null_method": "values exchanged between samples at each position, exact",
        }
        out.append(Estimate(
            f"DC share of {name}", value, max(value - half, 0.0), min(value + half, 1.0),
            estimator=f"energy {CENTRED if centred else RECORDED}", **(null if centred else {}), **made,
        ))  # fmt: skip
        if e.positions == 1:
            continue
        mean = e.mean_frequency(centred)
        cycles = frequencies(*e.centred.shape[1:]).ravel()
        value, half = float(mean[0]), float(jackknife_half(mean))
        out.append(Estimate(
            f"mean frequency of AC in {name}", value, max(value - half, 0.0), value + half,
            null=float(cycles[1:].mean()), null_method="positions of each sample exchanged, exact",
            unit="cycles per map", estimator="weighted by energy", **made,
        ))  # fmt: skip
    return tuple(out)


def _reading(lines: dict[str, MapEnergies], centred: bool) -> str:
    parts = []
    for name, e in list(lines.items())[:4]:
        text = f"{name} has {e.dc_share(centred)[0]:.0%} of its energy in the mean over space"
        if e.positions > 1:
            expected = frequencies(*e.centred.shape[1:]).ravel()[1:].mean()
            mean = e.mean_frequency(centred)[0]
            text += f" and the rest at {mean:.2f} cycles per map on average (without order {expected:.2f})"
        parts.append(text)
    return "; ".join(parts) + "."


def _caveats(lines: dict[str, MapEnergies]) -> list[str]:
    grids = {"{} x {}".format(*e.centred.shape[1:]) for e in lines.values()}
    if len(grids) == 1:
        return []
    return [f"Grids differ ({', '.join(sorted(grids))}): beyond a tap's highest frequency its share is 0."]


def _cost(shapes, params: BandParams) -> Cost:
    m = machine()
    read = sum(8.0 * rows * units for rows, units in shapes)
    chunk = max(8.0 * min(rows, 4096) * units for rows, units in shapes)
    held = sum(8.0 * min(rows, params.maximum_samples) * units for rows, units in shapes)
    return Cost(m.seconds(moved=60.0 * read) + 0.03, held + min(chunk, 8 << 20) * 4)


def _check() -> tuple[CheckLine, ...]:
    """Constant maps: all in DC. White noise: DC 1 / P and each band by its coefficients. A cosine over the width: all
    in its own band. Shares add up to 1."""
    rng = np.random.default_rng(2)
    n, h, w, d = 200, 6, 8, 4
    noise = rng.standard_normal((n, h, w, d))
    wave = (
        np.cos(np.pi * (np.arange(w) + 0.5) * 4 / w)[:, None] * rng.standard_normal((n, 1, 1, d)) + 0 * noise
    )
    flat = rng.standard_normal((n, 1, 1, d)) + 0 * noise
    layout = Layout(np.arange(n + 1) * h * w, grid=(h, w))
    names = ("noise", "wave", "flat")
    maps = zip((noise, wave, flat), names, strict=True)
    found = frequency_bands(*(ArrayActivations(m.reshape(-1, d), name=k, layout=layout) for m, k in maps))
    return (
        CheckLine("constant maps: share at 0", 1.0, float(found.series["flat"][0]), 1e-12),
        CheckLine("two cycles over the width: share there", 1.0, float(found.series["wave"][4]), 1e-12),
        CheckLine("noise: share at 0 is 1 / 48", 1 / 48, float(found.series["noise"][0]), 0.004),
        CheckLine("noise: largest distance from its null", 0.0,
                  float(np.abs(found.series["noise"] - found.null["noise"]).max()), 0.01),
        CheckLine("shares add up to", 1.0, float(found.series["noise"].sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="frequency_bands", family="similarity", title="Spatial frequencies of maps", version=1,
        function=frequency_bands,
        summary="At which spatial frequencies the energy of a layer's maps lies, before and after, or across networks.",
        params=BandParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating or scaling the units of a tap; mirroring its maps",
        papers=("ScaleKD: Strong Vision Transformers Could Be Excellent Teachers",),
    ),
)  # fmt: skip
