"""What does each sub-image of a page cost, and is it worth it? Information density and tokens kept, crop by crop.

    density of a crop = 1 - share of its tokens with another of cosine above the threshold
    bill of a crop    = ⌈density x tokens⌉, the tokens that the class token (in text the last one) reads most

A blank crop has density near 0 and costs one token, one of orthogonal patches costs all; at threshold 1 only exact
copies go. Drawn on the page: the tokens that are sampled (others grey), the density of their crop, and their rank by
what is read of them in their crop (1 most). A crop is what the network cuts, or a part of the grid.

Interval: Student's t over samples for their mean; of one sample counted. Null: of a bill as many tokens for each crop,
in proportion to its size; of densities crops of as many tokens from anywhere in the data, which share no neighbourhood.

When it lies: a near-duplicate by cosine may still be the one digit that matters; density depends on the threshold and
on the size of a crop (more tokens find more copies); tokens of late layers are alike whatever they show; the class
token's reading is no relevance to a question.

Cost: one pass of the network for each sample, O(tokens² d) for each crop.

Reference: R. Zhang, Y. Lyu, R. Shao, G. Chen, W. Guan & L. Nie (2024), "Token-level correlation-guided compression for
efficient multimodal document understanding".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples
from analysis.compute.machine import machine
from analysis.errors import NotFound
from analysis.results import TokenMap
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.bill_told import LISTED, bill_estimates, crop_name, from_anywhere
from analysis.tokens.sub_images import Bill, bill, crops_of
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject

OPENING = 6.0  # seconds
NAMES = ("sampled tokens", "density of the crop", "rank in the crop by what is read")
READ = ("hidden", "mean attention")


@dataclass(frozen=True)
class CropBillParams:
    sample: int = param(
        0, "The page that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    down: int = param(2, "Crops from top to bottom, where the network cuts none.", low=1, high=16)
    across: int = param(2, "Crops from left to right.", low=1, high=16)
    threshold: float = param(0.9, "Cosine above which a token has a near-duplicate.", low=0.0, high=1.0)
    layer: int | None = param(
        None, "Behind which layer, from 1; automatic: the second, as the rule.", low=1, high=999
    )
    maximum_samples: int = param(
        24, "Samples that numbers are of, the drawn one among them.", low=2, high=2000
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def crop_bill(
    activations, params: CropBillParams = CropBillParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Tokens and density of every crop.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    TokenMap
        Sampled tokens (1, NaN where dropped), density of their crop, their rank. Estimates: tokens in all, density over
        crops, and of the first nine crops of the sample the bill and the density.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample or layer; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(tap, tap.layout.n_samples, rng, params.source,
                         lambda f, doing="": progress(0.2 * f, doing))  # fmt: skip
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(
            f"sample {params.sample} of {tap.name}",
            f"one of 0 to {who.samples.max()}",
            "Choose another sample",
        )
    layer = min(1, who.layers - 1) if params.layer is None else params.layer - 1
    if layer >= who.layers:
        raise NotFound(f"layer {params.layer}", f"1 to {who.layers}", "Choose another layer, or none")
    others = np.setdiff1d(chosen_samples(who.n, params.maximum_samples, rng), at)
    bills = []
    for k, place in enumerate(np.r_[at, others[: params.maximum_samples - 1]]):
        progress(0.2 + 0.7 * k / params.maximum_samples, "crops")
        given, dump = who.one(int(place), READ)
        crop, parts = crops_of(dump.layout, params.down, params.across)
        bills.append(bill(dump, layer, crop, params.threshold))
        if k == 0:
            drawn = dump.layout, parts, picture_of(given) if who.is_network else None
    progress(0.9, "tokens from anywhere")
    chance = from_anywhere(bills, params.threshold, rng)
    progress(1.0, "done")
    words = who.opened.words(int(at[0])) if who.is_network else ()
    told = bill_estimates(bills, chance, drawn[1], tap.shape[1])
    return _map(
        params, layer, bills[0], *drawn, words, told, (*of_one(notes, params.sample), *_caveats(bills, who.n))
    )


def _map(params, layer, one: Bill, layout, parts, picture, words, told, caveats) -> TokenMap:
    dense = np.array([one.density.get(int(c), np.nan) for c in one.crop])
    values = np.stack([np.where(one.kept, 1.0, np.nan), dense, one.rank()])
    cell, there = layout.cell[0], layout.present[0]
    grid = layout.grid if (cell >= 0).any() else None
    if grid is not None:
        on = np.full((3, grid[0] * grid[1]), np.nan)
        on[:, cell[cell >= 0]] = values[:, cell >= 0]
        values = on
    else:
        values = values[:, there]
    fits = grid is None and len(words) == values.shape[1]
    return TokenMap(
        title=f"Token bill of the crops of sample {params.sample}, behind layer {layer + 1}",
        samples=np.full(3, params.sample), values=values, value_name="0 to 1", ends=(0.0, 1.0), grid=grid, names=NAMES,
        pictures=None if picture is None or grid is None else picture[None], estimates=told, caveats=caveats,
        words=(tuple(words),) * 3 if fits else (), reading=_reading(one, parts, told),
    )  # fmt: skip


def _reading(one: Bill, parts: tuple[int, int], told) -> str:
    counts = one.counts()
    most, least = (f(counts, key=lambda c: counts[c][0] / counts[c][1]) for f in (max, min))

    def said(c: int) -> str:
        return f"{counts[c][0]} of {counts[c][1]} tokens (density {one.density[c]:.2f})"

    apart = f"{crop_name(most, parts)} keeps {said(most)}, {crop_name(least, parts)} {said(least)}"
    return (
        f"{sum(k for k, _ in counts.values())} of {sum(n for _, n in counts.values())} tokens are paid for in "
        f"{len(counts)} crop(s): {apart if most != least else f'each keeps {said(most)}'}. Over samples "
        f"{told[0].value:.0%} of all tokens are kept."
    )


def _caveats(bills: list[Bill], samples: int) -> list[str]:
    some = (
        f"{len(bills):,} of {samples:,} samples, at random"
        if len(bills) < samples
        else f"{len(bills)} sample(s)"
    )
    said = [f"Means are of {some}; the bill of each crop is that of the one drawn."]
    if len(bills[0].density) > LISTED:
        said.append(f"Numbers are of the first {LISTED} of {len(bills[0].density)} crops; all are drawn.")
    return said


def _cost(shapes, params: CropBillParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = params.maximum_samples
    held = 20.0 * n * k + 300.0 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Pages of 4 x 4 in four crops: a blank one has density 0 and costs a token, one of orthogonal patches costs all,
    one of two pairs of copies one; at threshold 1 what differs at all stays."""
    page, unit = np.zeros((4, 4, 8)), np.eye(8)
    page[:2, :2] = unit[0]
    page[:2, 2:] = unit[1:5].reshape(2, 2, 8)
    page[2:, :2] = unit[[5, 5, 6, 6]].reshape(2, 2, 8)
    page[2:, 2:] = (unit[7] + 0.1 * unit[:4]).reshape(2, 2, 8)
    # five pages, of which only the first is drawn; a sum of 0 over all keeps their mean out of the way
    pages = np.concatenate([page.reshape(1, 16, 8), -page.reshape(1, 16, 8)] * 2)
    tap = ArrayActivations(
        pages.reshape(-1, 8), name="planted", layout=Layout(np.arange(5) * 16, grid=(4, 4))
    )
    found, whole = crop_bill(tap), crop_bill(tap, CropBillParams(threshold=1.0))
    by, at_one = ({e.name: e.value for e in r.estimates} for r in (found, whole))
    return (
        CheckLine("blank crop: density", 0.0, by["density, crop 1, 1"], 1e-12),
        CheckLine("blank crop: tokens", 1.0, by["tokens kept, crop 1, 1"], 0.0),
        CheckLine("orthogonal patches: density", 1.0, by["density, crop 1, 2"], 1e-12),
        CheckLine("orthogonal patches: tokens", 4.0, by["tokens kept, crop 1, 2"], 0.0),
        CheckLine("pairs of copies: density", 0.0, by["density, crop 2, 1"], 1e-12),
        CheckLine("nearly alike, at threshold 1: all stay", 4.0, at_one["tokens kept, crop 2, 2"], 0.0),
        CheckLine("and at 0.9 one", 1.0, by["tokens kept, crop 2, 2"], 0.0),
        CheckLine("tokens drawn as sampled", 7.0, float(np.isfinite(found.values[0]).sum()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="crop_bill", family="tokens", network="blocks", title="Token bill of crops", version=2, function=crop_bill,
        summary="Information density and tokens kept of each sub-image of a page, and which tokens are sampled.",
        params=CropBillParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=32,
        invariance="the order of samples",
        papers=("Token-level Correlation-guided Compression for Efficient Multimodal Document Understanding",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
