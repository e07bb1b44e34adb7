"""Detectability: which directions of variance can be told from noise, how strong they are, how sure their axes.

With n samples of d units and noise of one variance v, c = d / n, eigenvalues of pure noise end at v (1 + √c)². A
direction of additional variance l v shows only if l > √c, then at λ = v (1 + l)(1 + c / l), and its axis overlaps with
the truth by (1 - c / l²) / (1 + c / l) in squared cosine. Read backwards: from each λ above the edge the strength l and
the overlap, which says how far the axis can be trusted at this n; a weaker direction is there for more samples only.
How far the span of all of them is from the true one, Σ sin² θ, is that of large samples with any spectrum.

The noise variance is the median eigenvalue over that of the Marchenko-Pastur law. Edge: what the largest eigenvalue of
that noise exceeds in 5 % of cases (Tracy & Widom; 5 to 10 %, since its variance is estimated), or, by permutation, that
of the units' samples moved each on its own.

When it lies: noise is not equally strong in all directions, as units of unlike variance show at once: standardise them,
or take the permutation edge; when most directions are signal the median is no noise; heavy tails bring single samples
above the edge; tokens of one sample are not independent, so that they are averaged.

Cost: two passes, O(n d min(n, d)); 20 times the same for the permutation edge. Memory O(d²), O(n d) with permutations
or standardised units.

References: J. Baik, G. Ben Arous & S. Péché (2005); D. Paul (2007); I. Johnstone (2001); M. Gavish & D. Donoho (2014);
T. W. Anderson (1963); D. Rabenoro & X. Pennec (2022), "A geometric framework for asymptotic inference of principal
subspaces in PCA"; H. Lebeau, M. Seddik & J. de Morais Goulart (2024), "Performance gaps in multi-view clustering
under the nested matrix-tensor model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, as_activations, load_matrix
from analysis.compute.linear.axis_error import positive_interval
from analysis.compute.linear.noise_edges import Edges, edges_of, moved_edges
from analysis.compute.linear.spiked import axis_overlap, quantiles, shown_at, strength
from analysis.compute.linear.tap_spectrum import TapSpectrum, tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import EVERY, MEAN, some_samples
from analysis.compute.statistics.moments import is_varying
from analysis.compute.streaming import refuse_few
from analysis.compute.subspaces.edge_report import DRAWS, edge_estimates
from analysis.errors import NotEnoughData
from analysis.results import Spectrum
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, LEAST = 10, 3
LAW, MOVED = "Marchenko-Pastur", "permutation"


@dataclass(frozen=True)
class SpectrumEdgesParams:
    scaling: str = param(
        "as recorded", "Units as they are, or each with deviation 1, so that their noise is more alike.",
        choices=("as recorded", "standardised"),
    )  # fmt: skip
    edge: str = param(
        LAW, "The edge of noise of one variance, or of the units' own values moved over the samples.",
        choices=(LAW, MOVED),
    )  # fmt: skip


def spectrum_edges(
    activations, params: SpectrumEdgesParams = SpectrumEdgesParams(), rng=None, progress=no_progress
) -> Spectrum:
    """The spectrum against its noise, and what is above.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens are averaged.

    Returns
    -------
    Spectrum
        Eigenvalues over the noise variance, with interval; `null` those of noise. Estimates: noise variance, edge,
        directions above it, and strength and overlap of the first ten.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than ten samples or three directions; nothing varies; samples and units both above 8,192.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    refuse_few(tap.name, tap.layout.n_samples, FEWEST, "sample(s)")
    rows, notes, used = _rows(tap, params, progress)
    spectrum = tap_spectrum(rows, None, used, progress, (0.2, 0.6 if params.edge == MOVED else 0.95))
    refuse_few(tap.name, spectrum.n, FEWEST)
    if len(spectrum.values) < LEAST:
        raise NotEnoughData(
            f"{tap.name} varies in {len(spectrum.values)} direction(s)",
            f"at least {LEAST}, the middle one of which is taken for noise",
            "Choose a tap with more units that differ",
        )
    found = edges_of(spectrum)
    if params.edge == MOVED:
        found = moved_edges(spectrum, rows, DRAWS, rng, progress, (0.6, 1.0))
    values = spectrum.values / found.variance
    low, high = positive_interval(values, spectrum.half_width(spectrum.without() / found.variance) / 1.959964)
    r = len(values)
    null = quantiles(found.c, 1 - (np.arange(r) + 0.5) / r)
    return Spectrum(
        title=f"Detectable directions of {tap.name}", reading=_reading(values, found),
        caveats=tuple(dict.fromkeys((*notes, *_caveats(spectrum, found, params), *spectrum.notes))),
        estimates=tuple(edge_estimates(values, low, high, found, spectrum, params.edge == MOVED)), values=values,
        value_name="eigenvalue over the noise variance", low=np.minimum(low, values), high=np.maximum(high, values),
        null=null,
    )  # fmt: skip


def _rows(tap: Activations, params: SpectrumEdgesParams, progress) -> tuple[Activations, list[str], str]:
    """What is analysed, and whether tokens are still to be averaged."""
    if params.edge == LAW and params.scaling == "as recorded":
        return tap, [], EVERY if tap.layout.is_pooled else MEAN
    rows, more = some_samples(tap, None, MEAN, progress, (0.0, 0.1))
    loaded = load_matrix(rows, minimum_rows=FEWEST)
    x, notes = np.asarray(loaded.values, dtype=np.float64), list(more)
    if loaded.n_nonfinite:
        notes.append(f"{loaded.n_nonfinite} of {loaded.n_total} rows hold NaN or infinity and were left out.")
    if params.scaling == "standardised":
        mean, spread = x.mean(axis=0), x.std(axis=0)
        varies = is_varying(spread**2, mean)
        x = np.where(varies, (x - mean) / np.where(varies, spread, 1.0), 0.0)
        notes.append("Units were standardised: strengths are those of standardised units.")
    return ArrayActivations(x, tap.name), notes, EVERY


def _reading(values: np.ndarray, found: Edges) -> str:
    count = int(found.signal.sum())
    if not count:
        return (
            f"No direction stands out of noise: the largest eigenvalue is {values[0]:.3g} noise variances, the edge "
            f"{found.edge:.3g}. A direction weaker than {np.sqrt(found.c):.3g} noise variances would not show."
        )
    overlap = axis_overlap(strength(values[:count], found.c), found.c)
    return (
        f"{count} of {len(values)} eigenvalues stand out of noise (edge {found.edge:.3g} noise variances). The weakest "
        f"has a strength of {strength(values[count - 1 : count], found.c)[0]:.3g}, so that its axis has a squared "
        f"cosine of {overlap[-1]:.2f} with the true direction; the strongest {overlap[0]:.2f}. What is weaker than "
        f"{np.sqrt(found.c):.3g} noise variances cannot show with so many samples."
    )


def _caveats(spectrum: TapSpectrum, found: Edges, params) -> list[str]:
    notes = [
        "Σ sin² θ is that of Gaussian rows, many for each unit; with heavy tails or fewer samples it is more.",
        "The law is that of noise of one variance in all directions, few directions of signal, many samples and units.",
    ]
    if found.signal.mean() > 0.3:
        notes.append(
            f"{found.signal.mean():.0%} of the eigenvalues are above the edge: the median is then hardly noise, or the "
            "noise is not alike in all directions; strengths are those above the median direction."
        )
    if spectrum.constant:
        notes.append(f"{spectrum.constant} constant unit(s) are left out of the count of units.")
    spread = spectrum.variances[spectrum.variances > 0]
    if params.scaling == "as recorded" and spread.max() > 4 * np.median(spread):
        notes.append(
            f"The largest variance of a unit is {spread.max() / np.median(spread):.3g} times the median: a unit may "
            "stand out by its scale alone; standardise, or take the permutation edge."
        )
    return notes


def _cost(shapes, params: SpectrumEdgesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    side, chunk = min(n, d), min(n, 4096)
    loaded = params.edge == MOVED or params.scaling == "standardised"
    flops = 6.0 * n * d * side + 15.0 * side**3
    flops += DRAWS * (2.0 * n * d * side + 5.0 * side**3) * (params.edge == MOVED)
    held = n * d * 8 * 2.5 if n < d else chunk * (d * 8 * 5 + 800)
    held += n * d * 8 * 3.0 * loaded + 6.0 * side**2 * 8 + 3200.0 * side
    return Cost(m.seconds(flops64=flops, moved=n * d * 100.0) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """A direction of strength 3 (n = 2,000, d = 1,000 in the law; half of it here), one of 0.4, and none."""
    rng = np.random.default_rng(4)

    def planted(l: float, n: int = 1000, d: int = 500) -> tuple[Spectrum, np.ndarray]:  # noqa: E741
        truth = np.zeros(d)
        truth[0] = 1.0
        x = rng.standard_normal((n, d)) * np.sqrt(1 + l * truth)
        return spectrum_edges(7 * x + 2), x

    strong, x = planted(3.0)
    weak, _ = planted(0.4)
    axis = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
    by = {e.name: e for e in strong.estimates}
    counts = [planted(3.0, 300, 150)[0].estimates[0].value for _ in range(20)]
    two = spectrum_edges(rng.standard_normal((2000, 6)) * [3, 5**0.5, 1, 1, 1, 1])
    clear = next(e.value for e in two.estimates if "sin² θ" in e.name)
    return (
        CheckLine("λ of strength 3 at c = 1/2, by the law", 14 / 3, float(shown_at(np.array(3.0), 0.5)), 1e-12),
        CheckLine("overlap by the law", 0.8095, float(axis_overlap(np.array(3.0), 0.5)), 1e-4),
        CheckLine("λ of strength 3, found", 14 / 3, float(strong.values[0]), 0.5),
        CheckLine("directions above noise, mean of 20 (noise adds one in 5-10 %)", 1.0, float(np.mean(counts)), 0.25),
        CheckLine("its strength", 3.0, by["strength of direction 1"].value, 0.5),
        CheckLine("overlap said and true", float(axis[0] ** 2),
                  by["squared overlap of axis 1 with the truth"].value, 0.05),
        CheckLine("Σ sin² θ of two clear directions, over its expectation", 1.0, clear / 0.00090625, 0.3),
        CheckLine("noise variance", 49.0, by["noise variance"].value, 1.5),
        CheckLine("strength 0.4: directions above noise", 0.0, weak.estimates[0].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="spectrum_edges", family="rank", title="Detectable directions", version=1, function=spectrum_edges,
        summary="Which eigenvalues stand out of noise, how strong their directions are, and how sure their axes.",
        params=SpectrumEdgesParams, result=Spectrum, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations; not rescaling single units, unless standardised",
        papers=(
            "Performance Gaps in Multi-view Clustering under the Nested Matrix-Tensor Model",
            "A geometric framework for asymptotic inference of principal subspaces in PCA",
        ),
    ),
)  # fmt: skip
