"""What a CP component is like: what is lost without it, its strongest entries by name, and what labels say of it."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.samples import known_labels
from analysis.compute.tensors.cp import Components
from analysis.compute.tensors.products import column_products, unfolded

NAMED = 4


def left_of_samples(x: np.ndarray, found: Components) -> np.ndarray:
    """(n,) share of each sample's squares that is left over."""
    flat, size = unfolded(x, 0), (unfolded(x, 0) ** 2).sum(axis=1)
    left = ((flat - (found.factors[0] * found.weights) @ column_products(found.factors[1:]).T) ** 2).sum(
        axis=1
    )
    return left / np.where(size > 0, size, 1)


def lost_without(x: np.ndarray, found: Components) -> np.ndarray:
    """(k,) share of the squares left over more without each, the others fitted to the samples anew."""
    others, flat, out = column_products(found.factors[1:]), unfolded(x, 0), []
    for r in range(others.shape[1]):
        basis = (
            np.linalg.svd(np.delete(others, r, axis=1), full_matrices=False)[0]
            if others.shape[1] > 1
            else None
        )
        kept = 0.0 if basis is None else float(((flat @ basis) ** 2).sum())
        out.append(found.explained - kept / found.total)
    return np.maximum(out, 0)


def named_ends(factor: np.ndarray, names, signs: bool) -> np.ndarray:
    """(k,) text: the names of the largest entries of each column."""
    top = np.argsort(-np.abs(factor), axis=0, kind="stable")[:NAMED].T
    return np.array([
        ", ".join(("−" if signs and factor[i, r] < 0 else "") + str(names[i]) for i in best if factor[i, r] != 0)
        for r, best in enumerate(top)
    ])  # fmt: skip


def between_labels(
    tap: Activations, samples: np.ndarray, factor: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.ndarray]:
    """(k,) share of variance between labels, of the samples that have one, and (draws,) the largest over components
    with labels exchanged between samples; None without two classes."""
    if "label" not in tap.samples:
        return None, np.zeros(0)
    labels = np.asarray(tap.samples["label"])[samples]
    known = known_labels(labels)
    of = np.unique(labels[known].astype(str), return_inverse=True)[1].reshape(-1)
    if not 2 <= (classes := int(of.max(initial=-1)) + 1) < len(of):
        return None, np.zeros(0)
    own, counts = factor[known] - factor[known].mean(axis=0), np.bincount(of)
    total = (own**2).sum(axis=0)

    def share(of: np.ndarray) -> np.ndarray:
        means = (of == np.arange(classes)[:, None]) @ own / counts[:, None]
        return (counts[:, None] * means**2).sum(axis=0) / np.where(total > 0, total, 1)

    return share(of), np.array([share(rng.permutation(of)).max() for _ in range(draws)])
