"""What is said of a rank number beside the accuracy of a probe: their correlation over taps, and what choosing by it
costs."""

from __future__ import annotations

import numpy as np

from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.linear.tap_probe import Probed
from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.compute.statistics.rank_agreement import Agreement
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.rank_notions import Ranked
from analysis.compute.subspaces.rank_report import estimate
from analysis.results import Estimate


def accuracy_estimates(
    names,
    found: list[Ranked],
    probed: list[Probed],
    spectra: list[TapSpectrum],
    agreement: Agreement | None,
    notion: str,
    matched: bool,
) -> tuple[Estimate, ...]:
    """The correlation over taps, what choosing by rank costs, and both numbers of up to twelve taps; `matched` where
    all probes are of the same samples."""
    k, made = len(found), []
    if agreement is not None:
        low, high = fisher_interval(np.array(agreement.value), k, ranks=True)
        ends = np.percentile(agreement.null, [2.5, 97.5])
        how = f"{'all' if agreement.exact else 'random'} orders of the taps ({len(agreement.null):,})"
        made.append(
            Estimate("Spearman's correlation of rank and accuracy", agreement.value, float(low), float(high),
                     interval="over taps, Fisher with Bonett and Wright's variance", null=0.0, null_low=float(ends[0]),
                     null_high=float(ends[1]), null_method=how, p_value=agreement.p, n=k, estimator="Spearman")
        )  # fmt: skip
    value, accuracy = np.array([one.value for one in found]), np.array([p.accuracy for p in probed])
    best = int(accuracy.argmax())
    for word, chosen in (("highest", int(value.argmax())), ("lowest", int(value.argmin()))):
        before, after = (probed[i].right.astype(float) for i in (chosen, best))
        apart = {} if not matched else paired_ends(before, after)
        if matched and chosen == best:
            apart = mean_interval(after - before)  # of itself it differs in nothing
        made.append(
            Estimate(f"regret of choosing the {word} rank", float(accuracy[best] - accuracy[chosen]),
                     **apart, null=float(accuracy[best] - accuracy.mean()), null_low=0.0,
                     null_high=float(accuracy[best] - accuracy.min()), null_method="a tap chosen at random",
                     n=len(probed[best].right), estimator="best accuracy less that of the chosen tap")
        )  # fmt: skip
    for name, one, p, spectrum in list(zip(names, found, probed, spectra, strict=True))[:12]:
        made.append(estimate(one, spectrum, f"{notion} of {name}"))
        low, high = wilson(p.right.sum(), len(p.right))
        made.append(
            Estimate(f"probe accuracy of {name}", p.accuracy, low, high, interval="Wilson", null=p.chance,
                     null_method="shuffled labels, exact mean", n=len(p.right), d=spectrum.d, estimator="five folds")
        )  # fmt: skip
    return tuple(made)
