"""Two samples of a tap, pooled and centred, and the others that say how alike samples are anyway."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.number_lists import numbers_in
from analysis.compute.rows.token_sets import TokenSets, token_sets
from analysis.compute.similarity.pair_evidence import cosines, usable
from analysis.errors import InputError
from analysis.sources.weights import weights_of
from analysis.spec import Progress, param

FEWEST = 8
MEAN, ONE = "mean over tokens", "one token"


@dataclass(frozen=True)
class PairParams:
    first: int = param(0, "One sample, by its place in the store.", low=0, high=100_000_000)
    second: int = param(1, "The other sample, by its place in the store.", low=0, high=100_000_000)
    pooling: str = param(MEAN, "What stands for a sample.", choices=(MEAN, ONE))
    token: int = param(0, "Which one, for one token; negative: from the end.", low=-100_000, high=100_000)
    centred: bool = param(True, "Take the mean sample off first: what all samples share says nothing of two.")
    units: str = param(
        "", "Only these units of the tap, such as 0-31: one block of an embedding; empty: all."
    )
    null_samples: int = param(199, "Other samples that each is held against for the null.", low=19, high=5000)
    maximum_samples: int = param(1000, "Most samples; a seeded random part above.", low=20, high=50_000)


@dataclass(frozen=True)
class AskedPair:
    """`sets` of all samples read; of the i-th and j-th the tokens `x` (P, d), `y` (Q, d), centred as `pooled` (n, d)
    is by `centre` (d,); `partners` (m,) places of other samples, and the `score`; `units` (d,) of the tap that all this
    is of; `notes`. Where they go `through` a layer (outputs, d) first, x, y and what is pooled are its outputs."""

    sets: TokenSets
    i: int
    j: int
    x: np.ndarray
    y: np.ndarray
    pooled: np.ndarray
    centre: np.ndarray
    partners: np.ndarray
    score: float
    units: np.ndarray
    notes: tuple[str, ...]
    through: np.ndarray | None = None

    @property
    def f(self) -> np.ndarray:
        return self.pooled[self.i]

    @property
    def g(self) -> np.ndarray:
        return self.pooled[self.j]

    @property
    def others(self) -> np.ndarray:
        """(m, d) the partners, pooled."""
        return self.pooled[self.partners]


def asked_pair(
    tap: Activations,
    params: PairParams,
    rng: np.random.Generator,
    progress: Progress,
    span,
    through: str = "",
) -> AskedPair:
    """Both samples and their partners; `through` a layer of the tap's checkpoint, where one is named. Raises as
    `token_sets`, and InputError where a sample has no direction, fewer than eight have one, or the layer reads another
    width; NotFound for a layer that there is not."""
    sets = token_sets(tap, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=span,
                      wanted=(params.first, params.second))  # fmt: skip
    units = (
        numbers_in(params.units, 0, tap.shape[1] - 1, "units") if params.units else np.arange(tap.shape[1])
    )
    i, j = sets.place(params.first), sets.place(params.second)
    x, y = sets.of(i)[:, units], sets.of(j)[:, units]
    if params.pooling == MEAN:
        pooled = sets.means()[:, units]
    else:
        pooled = sets.token(params.token)[:, units]
        x, y = pooled[[i]], pooled[[j]]
    centre = pooled.mean(axis=0) if params.centred else np.zeros(pooled.shape[1])
    pooled, x, y = pooled - centre, x - centre, y - centre
    weight = _weight(tap, through, len(units)) if through else None
    if weight is not None:
        pooled, x, y = pooled @ weight.T, x @ weight.T, y @ weight.T
    good = usable(pooled)
    for sample, at in ((params.first, i), (params.second, j)):
        if not good[at]:
            raise InputError(
                f"sample {sample}, whose pooled activation is {'the mean of all' if params.centred else 'zero'}",
                "one with a direction",
                "Choose another sample or another centring",
            )
    others = np.setdiff1d(np.flatnonzero(good), (i, j))
    if len(others) < FEWEST - 2:
        raise InputError(f"{len(others)} other samples of {tap.name} with a direction", f"at least {FEWEST - 2}",
                         "Choose another tap")  # fmt: skip
    notes = list(sets.notes)
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) without a direction are no partners.")
    partners = rng.permutation(others)[: params.null_samples]
    return AskedPair(sets, i, j, x, y, pooled, centre, partners, float(cosines(pooled[i], pooled[[j]])[0]), units,
                     tuple(notes), weight)  # fmt: skip


def _weight(tap: Activations, layer: str, width: int) -> np.ndarray:
    """(outputs, width) of a layer of the tap's checkpoint. Raises NotFound, InputError where it reads another width."""
    network = weights_of(tap)
    weight = np.asarray(network.layer(layer).weight, np.float64)
    if weight.shape[1] != width:
        raise InputError(
            f"layer {layer}, which reads {weight.shape[1]:,} numbers",
            f"one that reads the {width:,} units of {tap.name}", "Choose another layer or other units",
        )  # fmt: skip
    return weight


def pair_caveats(params: PairParams, pair: AskedPair) -> tuple[str, ...]:
    """What has been compared, in a sentence."""
    centred = (
        "less the mean of all samples" if params.centred else "as it is, with what all samples have in common"
    )
    what = "the mean over the tokens" if params.pooling == MEAN else f"token {params.token}"
    what = what if int(pair.sets.counts.max()) > 1 else "the one row"
    block = f", units {params.units} only" if params.units else ""
    return (f"Compared is {what} of each sample, {centred}{block}.",)
