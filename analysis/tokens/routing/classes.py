"""Which classes go to which experts, a sample counting once."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.rows.class_codes import ClassCodes
from analysis.tokens.routing.gates import LEAST, chosen, marked
from analysis.tokens.routing.routed import Routed


def shares_of_samples(found: Routed, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(samples (S,), (S, E) share of each sample's choices that fall on each expert, rows of sum 1)."""
    hits = marked(chosen(found.logits, k), found.experts)
    order = np.argsort(found.samples, kind="stable")
    samples, starts, counts = np.unique(found.samples[order], return_index=True, return_counts=True)
    return samples, np.add.reduceat(hits[order], starts, axis=0) / (counts * k)[:, None]


def shares_of_classes(q: np.ndarray, codes: ClassCodes) -> tuple[np.ndarray, np.ndarray]:
    """(E, C) means over the samples of each class, and half-widths of their 95 % intervals by Student's t."""
    hot, n = codes.one_hot(), codes.counts
    mean = q.T @ hot / n
    square = np.maximum(np.square(q).T @ hot / n - mean**2, 0.0)
    return mean, stdtrit(n - 1, 0.975) * np.sqrt(square / (n - 1))


def information(q: np.ndarray, hot: np.ndarray) -> float:
    """Nats that the expert tells of the class: shares q (S, E), classes `hot` (S, C) of 0 and 1."""
    joint = q.T @ hot / len(q)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    return float((joint * np.log(np.maximum(joint, LEAST) / np.maximum(apart, LEAST))).sum())
