"""Does a probe trained in one domain work in another, and does it help to take a subspace out?

Cell (i, j): accuracy in domain j of a linear probe (Fisher's, with the classes' frequencies) trained in domain i; held
out on the diagonal. First as recorded; then without a subspace: principal components, the directions in which the
domains' means differ beyond chance (domains exchanged), or a slice of the units (a head). What is taken out changes
the mean *in-domain* accuracy (diagonal) and the mean *out-of-domain* accuracy (the rest).

Where several subspaces are tried, the best is chosen by the accuracy in one *validation domain*, and the numbers
beside are those of all other domains: chosen on the tested one, the best of many would gain from nothing. How many
were tried is said.

Null: of a cell the majority rate of the tested domain; of the change, random subspaces of the same dimension taken out
(10). Intervals: Wilson's for cells, normal for means, with samples as draws and probes held fixed.

When it lies: domains with other frequencies of classes are harder without any shift of features, and their means then
differ along the classes, so that taking these out hurts; few samples in the trained domain look like a shift;
in-domain probes are trained on four fifths of a domain and the others on all of it; domain means and components are
those of all samples, the tested ones too, though never their classes; domains are few, and intervals say nothing of
other domains.

Cost: (tried + 11) fits of O(domains folds n d min(n, d)); memory O(n d).

References: K. Kuznetsov et al. (2024), "Robust AI-generated text detection by restricted embeddings"; R. Fisher
(1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.subspaces.domain_report import DRAWS, transfer_bounds, transfer_estimates
from analysis.compute.subspaces.domain_samples import FEWEST, DomainSamples, domain_samples
from analysis.compute.subspaces.domain_transfer import (
    COMPONENTS,
    MEANS,
    NOTHING,
    REMOVALS,
    candidates,
    choose,
    random_basis,
    transfer,
)
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS = 5


@dataclass(frozen=True)
class TransferMatrixParams:
    column: str = param("label", "Sample column with the classes to tell.", column=True)
    domain: str = param("", "Sample column with the domains; empty: three random parts, between which nothing differs.",
                        column=True)  # fmt: skip
    remove: str = param(MEANS, "What is taken out.", choices=REMOVALS)
    size: int = param(
        8, "Most principal components, or the number of slices of the units (heads).", low=1, high=512
    )
    validation: str = param("", "Domain on which one of several subspaces is chosen; empty: the smallest.")
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(3000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def transfer_matrix(
    activations, params: TransferMatrixParams = TransferMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """Domains by domains, before and after taking a subspace out.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (D, D) or (D, 2 D) accuracy; `null` the majority rates, `low`, `high`. Estimates: mean in-domain and
        out-of-domain accuracy, the gap, and the change by what was taken out.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such column or domain; fewer than two domains that share two classes of five samples; over 30 domains.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = domain_samples(
        tap, params.column, params.domain, rng, pooling=params.pooling, maximum=params.maximum_samples,
        progress=progress,
    )  # fmt: skip
    fold = folds_of(data.of * len(data.names) + data.domain, FOLDS, rng)
    none = np.zeros((data.x.shape[1], 0))
    progress(0.2, "training in each domain")
    before = transfer(data.x, data.of, data.domain, fold, none)
    tried = candidates(data, params.remove, params.size, rng)
    chosen, after, tested, notes = choose(data, before, tried, fold, params.validation, progress, (0.3, 0.7))
    chance = []
    for i in range(DRAWS if after is not None else 0):
        progress(0.7 + 0.3 * i / DRAWS, "taking out random subspaces")
        basis = random_basis(data.x.shape[1], chosen.basis.shape[1], rng)
        chance.append(transfer(data.x, data.of, data.domain, fold, basis))
    progress(1.0, "done")
    estimates = transfer_estimates(data, before, after, chance, chosen, tested, len(tried))
    grids = [before.matrix] if after is None else [before.matrix, after.matrix]
    tested_in = tuple(f"tested in {n}" for n in data.names)
    if after is not None:
        tested_in += tuple(f"{n}, taken out" for n in data.names)
        notes = [f"Columns “…, taken out” are tested in the same domains, after {chosen.name} went.", *notes]
    low, high, null = transfer_bounds(data, grids)
    return Matrix(
        title=f"Transfer between domains in {tap.name}", reading=_reading(data, estimates, chosen, len(tried)),
        caveats=(*notes, *_caveats(data, params), *data.notes), estimates=estimates, values=np.hstack(grids),
        row_names=tuple(f"trained in {n}" for n in data.names), column_names=tested_in, value_name="accuracy",
        limits=(0.0, 1.0), null=null, low=low, high=high,
    )  # fmt: skip


def _reading(data: DomainSamples, estimates, chosen, count: int) -> str:
    inside, across, gap = (e.value for e in estimates[:3])
    text = (
        f"A probe trained in one of {len(data.names)} domains is right in {inside:.0%} of its own held-out samples "
        f"and in {across:.0%} of other domains' (gap {gap:+.1%}, majority {estimates[0].null:.0%})."
    )
    if len(estimates) == 3:
        return text
    change = estimates[-1]
    within = change.null_low <= change.value <= change.null_high
    verdict = f"{'as' if within else 'while'} a random subspace of that size does"
    return text + (
        f" Without {chosen.name} ({count} tried) the out-of-domain accuracy changes by {change.value:+.1%} "
        f"[{change.low:+.1%}, {change.high:+.1%}], {verdict} ({change.null:+.1%})."
    )


def _caveats(data: DomainSamples, params: TransferMatrixParams) -> list[str]:
    sizes = np.bincount(data.domain)
    notes = [f"Samples by domain: {', '.join(f'{n}: {s}' for n, s in zip(data.names, sizes, strict=True))}."]
    if not params.domain:
        notes.append(
            "No column of domains was named: random parts show what no difference between domains looks like."
        )
    if params.remove in (COMPONENTS, MEANS):
        notes.append(
            "What is taken out comes from the values of all samples, the tested ones too, never from their classes."
        )
    return notes


def _cost(shapes, params: TransferMatrixParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, domains = min(rows, params.maximum_samples), 4
    tried = {COMPONENTS: np.log2(params.size) + 2, MEANS: 1, NOTHING: 0}.get(params.remove, params.size)
    small = min(n / domains, d)
    flops = (tried + DRAWS + 1) * (FOLDS + 1) * (4.0 * n * d * small + domains * 10.0 * small**3)
    held = 8.0 * (n * d * 4.5 + 4.0 * small**2 + n * domains * (tried + DRAWS + 2))
    return Cost(
        m.seconds(flops64=flops, moved=24.0 * rows * d, calls=(tried + DRAWS) * domains * 500) + 0.05, held
    )


def _check() -> tuple[CheckLine, ...]:
    """A class along one unit and a domain that moves another, which the probe of one domain mistakes: taking out the
    domain means mends it, random directions do not. Everything taken out: the majority rate. Random parts: no gap."""
    rng = np.random.default_rng(5)
    n, d = 900, 6
    label, domain = (rng.random(n) < 0.6).astype(int), np.arange(n) % 3
    x = rng.standard_normal((n, d))
    x[:, 0] += 3 * (2 * label - 1)
    x[:, 1] += 12 * domain
    x[:, 0] += 6 * domain  # the class lies along a direction that the domains are moved along as well
    x[:, 2] += 3 * (2 * label - 1)
    samples = {"label": label, "domain": domain}
    tap = ArrayActivations(x, samples=samples)
    found = transfer_matrix(tap, TransferMatrixParams(domain="domain"))
    one = {e.name.split(" without")[0]: e for e in found.estimates}
    parts = transfer_matrix(tap, TransferMatrixParams(remove=NOTHING))
    of, fold = label, np.arange(n) % FOLDS
    every = transfer(x - x.mean(axis=0), of, domain, fold, np.eye(d))
    counts = np.array([np.bincount(of[domain == j], minlength=2) for j in range(3)])
    same = [(counts[j] / counts[j].sum())[counts[i].argmax()] for i in range(3) for j in range(3) if i != j]
    apart = ~np.eye(3, dtype=bool)
    return (
        CheckLine("in-domain accuracy", 1.0, one["mean in-domain accuracy, as recorded"].value, 0.02),
        CheckLine("out of domain", 0.7, one["mean out-of-domain accuracy, as recorded"].value, 0.0, "at most"),
        CheckLine("out of domain, domain means taken out", 1.0, one["mean out-of-domain accuracy, taken out"].value,
            0.03),
        CheckLine("change by random directions", 0.2, one["change out of domain"].null, 0.0, "at most"),
        CheckLine("random parts: gap", 0.0, parts.estimates[2].value, 0.02),
        CheckLine("everything taken out: the majority of the trained domain", float(np.mean(same)),
                  float(every.matrix[apart].mean()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="transfer_matrix", family="concepts", title="Transfer between domains", version=1, function=transfer_matrix,
        summary="Probes trained in one domain and tested in another, as recorded and with a subspace taken out.",
        params=TransferMatrixParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations changes nothing but slices of units",
        papers=("Robust AI-generated text detection by restricted embeddings",),
    ),
)  # fmt: skip
