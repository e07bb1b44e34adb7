"""Are layers of one shape mixtures of fewer templates?

    W_l ≈ Σ_k α_lk T_k        by the singular value decomposition of the stack: row l holds the entries of W_l

K layers that are mixtures of K templates make a stack of rank K, and nothing is left beyond. α is shown in units of the
layer's norm, so that the squares of a row add up to its share that the templates hold (1 with as many as layers);
templates have length 1 and fall in the squares they hold. Their sign is free: the largest coefficient is positive.

Null: the entries of each layer in another order of their own. Layers then have nothing in common but the mean of their
entries; K templates hold what the K loudest layers have. Templates count beyond noise while their singular value lies
above the largest of all draws at their place.
Intervals: jackknife over blocks of entries left out in turn.

When it lies: neurons of a layer can be reordered without changing what it does, so that two layers that compute the
same may have no template in common; a mean that all entries share is a template too; layers trained from one start are
alike for that reason; a large layer norm rules the stack unless layers are brought to one norm, which is the default.

Cost: O(layers² entries), and the same for each of ten draws; memory of the stack twice.

References: C. Pham et al. (2023), "MixtureGrowth: growing neural networks by recombining learned parameters".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations, load_matrix
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.results import Estimate, Matrix
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS, BLOCKS, MOST_BYTES = 10, 10, 2 << 30
NOTHING = 1e-12  # share of the squares below which a singular value is 0


@dataclass(frozen=True)
class LayerTemplatesParams:
    layers: str = param(
        "",
        "Layers, as the checkpoint names them, with commas and * allowed; empty: all of the shape that most have.",
    )
    templates: int = param(8, "Most templates shown; the numbers beside count as many.", low=1, high=64)
    equal: bool = param(True, "Bring every layer to one norm first.", label="layers at one norm")
    table: bool = param(
        False, "The tap holds the stack itself: a column per layer, a row per entry of its weights.",
        label="tap is a table of layers", late=True,
    )  # fmt: skip


def layer_templates(
    tap, params: LayerTemplatesParams = LayerTemplatesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Coefficients of layers of one shape on the templates of their stack.

    Parameters
    ----------
    tap : Activations or array
        A tap of the checkpoint. An array is the stack: one column per layer, one row per entry of its weights.

    Returns
    -------
    Matrix
        Layers by templates. Estimates: the share that the templates hold, those beyond noise, and the rank.

    Raises
    ------
    InputError, NotFound, NotEnoughData, TooLarge
        No or another checkpoint; fewer than two layers of one shape; weights of 0 only; over 2 GiB.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    names, stack, notes = _table(tap) if is_table(tap, params.table) else _layers(tap, params.layers)
    norms = np.linalg.norm(stack, axis=1)
    if not norms.all():
        notes.append(f"{int((norms == 0).sum())} layer(s) of zeros left out.")
        names, stack, norms = (
            [n for n, z in zip(names, norms, strict=True) if z],
            stack[norms > 0],
            norms[norms > 0],
        )
    if len(stack) < 2:
        raise NotEnoughData(
            f"{len(stack)} layer(s) of one shape in {tap.name}", "at least 2", "Name other layers"
        )
    if params.equal:
        stack = stack / norms[:, None]
        norms = np.ones(len(stack))
    progress(0.2, "finding templates")
    u, sigma = _decomposed(stack)
    k = min(params.templates, len(sigma))
    null = []
    for i in range(DRAWS):
        progress(0.3 + 0.5 * i / DRAWS, "moving entries")
        null.append(_decomposed(rng.permuted(stack, axis=1))[1])
    progress(0.85, "leaving entries out")
    estimates = _estimates(stack, sigma, np.array(null), k)
    values = u[:, :k] * sigma[:k] / norms[:, None]
    values *= np.where(values[np.abs(values).argmax(axis=0), np.arange(k)] < 0, -1, 1)
    progress(1.0, "done")
    return Matrix(
        title=f"Templates of {len(names)} layers of {tap.name.partition(':')[0]}",
        reading=_reading(values, sigma, estimates, names), estimates=estimates, values=values, diverging=True,
        caveats=(*notes, "Weights are known exactly: intervals leave blocks of entries out.",
                 "Layers whose neurons stand in another order may be alike and share no template."),
        row_names=tuple(names), column_names=tuple(f"T{j + 1}" for j in range(k)),
        value_name="coefficient, in norms of the layer", limits=(-1.0, 1.0),
    )  # fmt: skip


def _table(tap) -> tuple[list[str], np.ndarray, list[str]]:
    loaded = load_matrix(tap, minimum_rows=2)
    stack = np.asarray(loaded.values, np.float64).T
    if not stack.any():
        raise InputError(f"every value of {tap.name} is 0", "weights that are not", "Choose another table")
    return [str(n) for n in tap.unit_names], stack, [f"{loaded.note}."] if loaded.note else []


def _layers(tap, named: str) -> tuple[list[str], np.ndarray, list[str]]:
    """Layers of the shape that most of those named have, in their order, flattened."""
    read = layer_matrices([tap], named)
    by_shape: dict[tuple[int, int], list[str]] = {}
    for name in read.names:
        by_shape.setdefault(read.read(name)[0].shape, []).append(name)
    shape, names = max(by_shape.items(), key=lambda item: len(item[1]))
    notes = [
        *layer_matrices([tap], ",".join(names)).notes,
        f"Layers of {shape[0]:,} units of {shape[1]:,} inputs.",
    ]
    if len(names) < len(read.names):
        notes.append(f"{len(read.names) - len(names)} layer(s) of other shapes left out.")
    if len(names) < 2:
        raise NotEnoughData(
            "no two layers of one shape among " + ", ".join(read.names[:6]), "at least 2", "Name other layers"
        )
    size = 8 * len(names) * shape[0] * shape[1]
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(names)} layers take {size / 2**30:.1f} GiB", "at most 2 GiB", "Name fewer layers"
        )
    return names, np.array([read.read(name)[0].ravel() for name in names]), notes


def _decomposed(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors (layers, r) and singular values (r,), falling. O(layers² entries)."""
    u, sigma, _ = np.linalg.svd(stack, full_matrices=False)
    return u, np.where(sigma**2 > NOTHING * (sigma**2).sum(), sigma, 0.0)


def _estimates(stack, sigma, null, k: int) -> tuple[Estimate, ...]:
    def held(s: np.ndarray, many: int) -> float:
        return float((s[:many] ** 2).sum() / (s**2).sum())

    blocks = np.arange(stack.shape[1]) % min(BLOCKS, stack.shape[1])
    without = [np.linalg.svd(stack[:, blocks != b], compute_uv=False) for b in range(blocks.max() + 1)]
    common, out = {"n": stack.shape[1], "d": len(stack)}, []
    for many in dict.fromkeys((1, k)):
        value, chance = held(sigma, many), [held(s, many) for s in null]
        half = jackknife_half(np.array([held(s, many) for s in without if s.any()]))
        half = 0.0 if half is None else float(half)
        out.append(
            Estimate(f"squares held by {many} template(s)", value, max(value - half, 0.0), min(value + half, 1.0),
                     interval="jackknife, blocks of entries", null=float(np.mean(chance)), null_low=min(chance),
                     null_high=max(chance), null_method=f"entries of each layer moved, {len(null)} draws",
                     estimator="Σσ² of the first over all", **common)
        )  # fmt: skip
    beyond = sigma > null.max(axis=0)[: len(sigma)]
    count = len(beyond) if beyond.all() else int(np.argmin(beyond))
    moved = [np.argmin(np.append(s > np.delete(null, i, 0).max(axis=0), False)) for i, s in enumerate(null)]
    return (
        *out,
        Estimate("templates beyond noise", float(count), null=float(np.mean(moved)),
                 null_method="each draw against the others", estimator="leading σ above all draws", **common),
        Estimate("rank of the stack", float((sigma > 0).sum()), null=float((null > 0).sum(axis=1).mean()),
                 null_method="entries moved", estimator="σ above rounding", **common),
    )  # fmt: skip


def _reading(values, sigma, estimates, names) -> str:
    first, *_, beyond, rank = estimates
    nearest = int(np.abs(values[:, 0]).argmax())
    return (
        f"{len(names)} layers make a stack of rank {rank.value:.0f}. One template holds {first.value:.1%} of their "
        f"squares, {first.null:.1%} where entries are moved; beyond noise: {beyond.value:.0f}. The first is most "
        f"like {names[nearest]} (coefficient {values[nearest, 0]:.2f})."
    )


def _cost(shapes, params: LayerTemplatesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    flops = (1 + DRAWS + BLOCKS) * 6.0 * n * d * min(n, d)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * 60) + 0.02, 8.0 * 5.0 * n * d + 2e5)


def _check() -> tuple[CheckLine, ...]:
    """Nine mixtures of three templates: rank 3, all held, three beyond noise. Orthogonal layers: each template one."""
    rng = np.random.default_rng(0)
    templates, alpha = rng.standard_normal((3, 400)), rng.standard_normal((9, 3))
    mixed = layer_templates((alpha @ templates).T, params=LayerTemplatesParams(templates=3))
    names = {e.name: e.value for e in mixed.estimates}
    own = np.linalg.qr(rng.standard_normal((400, 4)))[0] * [4.0, 3.0, 2.0, 1.0]
    apart = layer_templates(own, params=LayerTemplatesParams(equal=False))
    return (
        CheckLine("rank", 3.0, names["rank of the stack"], 0.0),
        CheckLine("held by three", 1.0, names["squares held by 3 template(s)"], 1e-12),
        CheckLine("beyond noise", 3.0, names["templates beyond noise"], 0.0),
        CheckLine(
            "orthogonal layers: coefficients", 0.0, float(np.abs(apart.values - np.eye(4)).max()), 1e-9
        ),
        CheckLine("first of 4, 3, 2, 1", 16 / 30, apart.estimates[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="layer_templates", family="weights", title="Templates of layers", version=1, function=layer_templates,
        summary="Layers of one shape as mixtures of templates: coefficients, how many it takes, and the rank.",
        params=LayerTemplatesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2,
        invariance="reordering or rotating the entries of all layers alike; scaling each layer, where they are brought "
        "to one norm",
        papers=("MixtureGrowth: Growing Neural Networks by Recombining Learned Parameters",),
    ),
)  # fmt: skip
