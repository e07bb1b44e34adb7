"""A residual codebook: a row is a sum of one entry for each stage.

    r₀ = x - mean,   j_m = argmin_j |r_(m-1) - e_mj|²,   r_m = r_(m-1) - e_(m j_m);   x' = mean + Σ_m e_(m j_m)

Juang & Gray 1982 (multistage vector quantisation). Every stage is k-means on what the stages before it leave over, so
that M stages of K entries tell K^M rows apart with M K directions and M log₂ K bits a row; its codes are one 1 for each
stage. Early stages are coarse, later ones refine: an entry of a later stage means nothing without those before it, and
its stages are fitted one after the other, not together. One stage is k-means. On the rows of the fit the error never
rises from stage to stage; on others it may. Time O(n K d) for each pass of each stage; the rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.codebooks import fitted_books, nearest_entry
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param


@dataclass(frozen=True)
class ResidualCodebookParams:
    stages: int = param(4, "How many entries make up a row", low=1, high=64)
    entries: int = param(64, "Entries of each stage", low=2, high=4096)
    starts: int = param(2, "Seeded starts of each stage, the best of which counts", low=1, high=50)
    maximum_rows: int = param(
        20_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 21
    )


def make(rows: FitRows, params: ResidualCodebookParams, rng, progress) -> Fitted:
    """Raises NotEnoughData for more entries of a stage than rows, InputError for rows that do not vary."""
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.1))
    refuse_more_than(params.entries, len(x), "rows", rows.name)
    mean = x.mean(axis=0)
    x -= mean
    if not x.any():
        raise InputError(f"the rows of {rows.name} do not vary", "rows that differ")

    def tick(stage: int) -> None:
        progress(0.1 + 0.85 * stage / params.stages, f"stage {stage + 1} of {params.stages}")

    books = fitted_books(x, [params.entries] * params.stages, rng, params.starts, tick)
    if len(books) < params.stages:
        said += (f"Nothing is left over after {len(books)} stage(s): there are no more.",)
    if any(len(book) < params.entries for book in books):
        said += ("Some stages have fewer entries, as fewer different rows were left.",)
    components, explained = _components(x, books)
    return Fitted(
        np.vstack(books), mean, rules.BY_STAGE, levels=tuple(np.cumsum([len(b) for b in books]).tolist()),
        components=components, facts={"explained_by_stage": explained}, caveats=said,
    )  # fmt: skip


def _components(x: np.ndarray, books: list[np.ndarray]) -> tuple[dict[str, np.ndarray], list[float]]:
    """Stage and share of the rows of each entry, and what is explained of the rows of the fit after each stage."""
    total, left, share, explained = float((x**2).sum()), x, [], []
    for book in books:
        own = nearest_entry(left, book)
        left = left - book[own]
        share.append(np.bincount(own, minlength=len(book)) / len(x))
        explained.append(1 - float((left**2).sum()) / total)
    stage = np.repeat(np.arange(1, len(books) + 1), [len(b) for b in books])
    return {"stage": stage, "share of rows": np.concatenate(share)}, explained


CLASSICAL = Classical(
    "residual_codebook", "Residual codebook", "A row is a sum of one entry for each of several stages",
    ResidualCodebookParams,
    ("Conditional Latent Coding with Learnable Synthesized Reference for Deep Image Compression",), make,
)  # fmt: skip
