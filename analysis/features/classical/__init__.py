"""Classical dictionaries that can be fitted to a tap, by name: one file each, its equation on top."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.features.classical import (
    concepts,
    contrastive,
    control,
    convex,
    cp,
    cumulants,
    ica,
    kmeans,
    nmf,
    pca,
    random_dictionary,
    residual_codebook,
    semi_nmf,
    sparse_coding,
    supervised,
    tucker,
)
from analysis.features.classical.classical import Classical

CLASSICAL: tuple[Classical, ...] = tuple(
    module.CLASSICAL
    for module in (
        pca, ica, nmf, semi_nmf, convex, kmeans, residual_codebook, sparse_coding, cumulants, cp, tucker, supervised,
        concepts, contrastive, control,
        random_dictionary,
    )
)  # fmt: skip


def classical(name: str) -> Classical:
    """Raises NotFound listing what there is."""
    for kind in CLASSICAL:
        if kind.name == name:
            return kind
    raise NotFound(f"no kind of dictionary {name!r}", "one of " + ", ".join(k.name for k in CLASSICAL))
