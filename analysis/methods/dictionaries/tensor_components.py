"""Each component of samples × positions × units in one line: where it sits, which units it is, which samples have it.

CP components X ≈ Σ_r w_r a_r ∘ b_r ∘ c_r, one line each: weight w_r; the share of the squares that is lost without it
(the others fitted to the samples anew); the positions (and layers) where |b_r| is largest and how many it uses,
1 / Σ b⁴; the units with the largest |c_r|, with their sign; the samples with the largest |a_r|; the share of a_r's
variance that lies between labels, where there are labels; and the mean cosine of its units' profile with the matched
one of refits to resampled samples.

Null of the cosine: as many random directions, matched; of the lowest one the lowest of these. Of the largest label
share: the largest with labels exchanged between samples.

When it lies: a component that moves with the content has no profile and comes back as several. Signs of two of its
profiles can be turned together: positions are shown with a positive sum. Units that always come together share a
component whatever each of them does.

Cost: (1 + copies) fits of O(size × k) a sweep.

References: R. Harshman (1970), "Foundations of the PARAFAC procedure"; "Functional Bayesian Tucker decomposition for
continuous-indexed tensor data"; "Strivec: sparse tri-vector radiance fields".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.dictionaries.component_silhouettes import aligned
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.tensors.asking import Asked, ComponentParams, asked_block
from analysis.compute.tensors.component_facts import between_labels, left_of_samples, lost_without, named_ends
from analysis.compute.tensors.cp import Components, consistency_in_words, core_consistency, cp
from analysis.compute.tensors.products import mixed_along_samples, summed
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SWEEPS, REFIT, SETTLED, DRAWS, EXCHANGES = 200, 60, 1e-6, 30, 99
FEWEST = 20
HELP = {
    "weight": "w, the length of the component in the data",
    "lost without it": "share of the squares that are left over more when it is taken out",
    "comes back": "mean cosine of its units' profile with the matched one of resampled refits",
    "between labels": "share of its variance over samples that lies between labels",
    "positions used": "1 over the sum of fourth powers: 1 is a single position",
    "units": "largest in its profile, with the sign",
    "samples": "where it is strongest, either sign",
}


@dataclass(frozen=True)
class TensorComponentsParams(ComponentParams):
    components: int = param(4, "How many components.", low=1, high=64)
    copies: int = param(4, "Resampled copies that are fitted anew.", low=2, high=50)


def tensor_components(
    *activations, params: TensorComponentsParams = TensorComponentsParams(), rng=None, progress=no_progress
) -> Table:
    """A line for each CP component: weight, share, positions, units, samples, labels, stability.

    Parameters
    ----------
    activations : Activations or arrays (rows, units)
        One tap with tokens, or several layers of equal width with the same samples.

    Raises
    ------
    InputError, NotEnoughData, ShapeError, TooLarge
        Nothing varies; fewer than eight samples; layers of different width; over 1 GiB.
    """
    rng = rng or np.random.default_rng(0)
    progress(0.0, "reading")
    asked = asked_block(activations, params, rng, lambda share, doing="": progress(0.05 * share, doing))
    x = asked.x
    k, own = (
        min(params.components, x[0].size, len(x) // 2),
        {"nonnegative": asked.nonnegative, "settles": SETTLED},
    )
    found = cp(x, k, rng, starts=2, sweeps=SWEEPS, tick=lambda s: progress(0.05 + 0.35 * s, "fitting"), **own)
    mixed = cp(mixed_along_samples(x, rng), k, rng, starts=1, sweeps=REFIT, **own)
    again = []
    for copy in range(params.copies):
        progress(0.5 + 0.5 * copy / params.copies, "samples drawn again")
        again.append(
            cp(x[rng.integers(len(x), size=len(x))], k, rng, starts=1, sweeps=REFIT, **own).factors[-1].T
        )
    progress(1.0, "done")
    back, chance = _back(found.factors[-1].T, again, asked.x.ndim - 1 in asked.nonnegative, rng)
    return _table(as_activations(activations[0]), asked, found, mixed, back, chance, params, rng)


def _back(atoms: np.ndarray, again: list[np.ndarray], signed: bool, rng) -> tuple[np.ndarray, np.ndarray]:
    """(k,) mean cosine of each atom with the matched ones, and (draws, k) what random directions give."""

    def of(others: list[np.ndarray]) -> np.ndarray:
        sets = np.zeros((1 + len(others), *atoms.shape))
        sets[0] = atoms
        for one, other in zip(sets[1:], others, strict=True):
            one[: len(other)] = other
        together = aligned(sets, signed)
        cosine = np.einsum("fkd,kd->kf", together[1:], atoms)
        # `aligned` may have put the first set in another order
        if not np.array_equal(together[0], atoms):
            order = np.abs(atoms @ together[0].T).argmax(axis=1)
            cosine = np.einsum("fkd,kd->kf", together[1:][:, order], atoms)
        return (cosine if signed else np.abs(cosine)).mean(axis=1)

    noise = []
    for _ in range(DRAWS):
        drawn = rng.standard_normal((len(again), *atoms.shape))
        drawn = np.abs(drawn) if signed else drawn
        noise.append(of(list(drawn / np.linalg.norm(drawn, axis=2, keepdims=True))))
    return of(again), np.array(noise)


def _table(tap, asked: Asked, found: Components, mixed: Components, back, chance, params, rng) -> Table:
    x, block = asked.x, asked.block
    share, exchanged = between_labels(tap, block.samples, found.factors[0], EXCHANGES, rng)
    energy = {mode: found.factors[1 + i] ** 2 for i, mode in enumerate(asked.between)}
    columns = {
        "component": np.arange(1, len(found.weights) + 1), "lost without it": lost_without(x, found),
        "comes back": back, **({"between labels": share} if share is not None else {}),
        "units": named_ends(found.factors[-1], tap.unit_names, True),
        "samples": named_ends(found.factors[0], np.asarray(tap.samples["id"]).astype(str)[block.samples], False),
        **{f"strongest {mode}": f.argmax(axis=0) for mode, f in energy.items()},
        **{f"{mode}s used": 1 / (f**2).sum(axis=0) for mode, f in energy.items()}, "weight": found.weights,
    }  # fmt: skip
    about = {"n": len(x), "d": x.shape[-1]}
    estimates = _estimates(x, found, mixed, back, chance, (share, exchanged), about, params, rng)
    core = estimates[1].value
    said = list(asked.notes)
    if core < 50:
        said.append(
            f"Core consistency is {consistency_in_words(core)}: look at single components with care, or at fewer."
        )
    return Table(
        title=f"Components of {asked.name}",
        reading=(
            f"{len(found.weights)} component(s) explain {found.explained:.1%} of the squares (samples mixed unit by "
            f"unit: {mixed.explained:.1%}). With a cosine above 0.9 when samples are drawn again come back: "
            f"{int((back > 0.9).sum())} of {len(back)} (random directions: {chance.mean():.2f})."
        ),
        caveats=tuple(said), estimates=estimates, columns=columns, index="component", sort="weight",
        help={name: text for name, text in HELP.items() if name in columns},
    )  # fmt: skip


def _estimates(x, found, mixed, back, chance, labels, about, params, rng) -> tuple[Estimate, ...]:
    how = "samples of every unit in an order of its own, once, fitted again"
    each = 1 - left_of_samples(x, found)
    (share, exchanged), lowest = labels, chance.min(axis=1)
    picked = rng.integers(len(x), size=(200, len(x)))
    size = (x.reshape(len(x), -1) ** 2).sum(axis=1)
    draws = (each * size)[picked].sum(axis=1) / size[picked].sum(axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    out = [
        Estimate("explained", found.explained, min(low, found.explained), max(high, found.explained),
                 interval="bootstrap over samples, components held", null=mixed.explained, null_method=how, **about),
        Estimate("core consistency", core_consistency(x, found), estimator="of 100", **about),
        Estimate("lowest cosine when samples are drawn again", float(back.min()),
                 **against(float(back.min()), lowest), null_method="as many random directions, matched: the lowest",
                 estimator=f"over {params.copies} copies", **about),
    ]  # fmt: skip
    if share is not None:
        out.append(
            Estimate("largest share between labels", float(share.max()), **against(float(share.max()), exchanged),
                     null_method=f"labels exchanged {len(exchanged)} times: the largest of them", **about)
        )  # fmt: skip
    return tuple(out)


def _cost(shapes, params: TensorComponentsParams) -> Cost:
    m, layers = machine(), len(shapes)
    n, d = min(s[0] for s in shapes), shapes[0][1]
    size = min(n, 40 * params.maximum_samples) * d * layers
    sweeps = 2 * SWEEPS + (1 + params.copies) * REFIT
    held = min(n, params.maximum_samples) * d * layers * 8.0
    work = m.seconds(
        flops64=sweeps * 8.0 * size * params.components, moved=sweeps * 24.0 * size, calls=sweeps * 90
    )
    return Cost(work + 0.02, 8 * held)


def _check() -> tuple[CheckLine, ...]:
    """Two planted components, one of them a label: what is lost without each, and where they sit."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    own = [
        np.stack([label - 0.5, rng.standard_normal(40)], axis=1),
        np.eye(5)[:, [1, 3]],
        np.eye(6)[:, [2, 4]],
    ]
    own[0][:, 1] -= own[0][:, 1].mean() + 2 * (own[0][:, 1] @ (label - 0.5)) / 20 * (label - 0.5)
    own[0] = 2 * own[0] / np.linalg.norm(own[0], axis=0) * [2, 1]
    x = summed(own)
    tap = ArrayActivations(
        x.reshape(-1, 6), samples={"label": label}, layout=Layout(np.arange(41, dtype=np.int64) * 5)
    )
    found = tensor_components(tap, params=TensorComponentsParams(components=2), rng=rng)
    c = found.columns
    return (
        CheckLine("weight of the first", 4.0, float(c["weight"][0]), 1e-3),
        CheckLine("lost without the second", 0.2, float(c["lost without it"][1]), 1e-3),
        CheckLine("its position", 3.0, float(c["strongest position"][1]), 0.0),
        CheckLine("the first between labels", 1.0, float(c["between labels"][0]), 1e-3),
        CheckLine("the second between labels", 0.0, float(c["between labels"][1]), 1e-3),
        CheckLine("both come back", 1.0, float(c["comes back"].min()), 1e-3),
    )


METHODS = (
    Method(
        id="tensor_components", family="dictionaries", title="Components: positions, units and samples", version=2,
        function=tensor_components,
        summary="Every CP component of samples × positions × units in one line, with its stability.",
        params=TensorComponentsParams, result=Table, check=_check, cost=_cost, more_inputs=True, same_units=True,
        others="nothing",
        minimum_rows=FEWEST, invariance="reordering units or samples up to the seed; one scale for all units",
        papers=("Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",
                "Strivec: Sparse Tri-Vector Radiance Fields"),
    ),
)  # fmt: skip
