"""Edge layers of a checkpoint, known by the names and shapes of their tensors, or fitted to a tap.

    spline_weight (O, I, K) and grid (I, m)          B-splines of order m - 1 - K; times spline_scaler (O, I)
    coef (I, O, K) and grid (I, m)                   the same; times scale_sp (I, O) and mask (I, O)
    base_weight (O, I), scale_base (I, O)            SiLU
    cheby_coeffs (I, O, K)                           Chebyshev of tanh x
    fouriercoeffs (2, O, I, K)                       cosines and sines

Tensors of one module, or of modules beside each other under one that selects, are families of the same edges. A tensor
(…, S) named after a selection holds their weights: as they are where they add up to 1, else a softmax of them. Of a
kernel, (O, I, h, w, K) or inputs that are a whole multiple of the tap's units, every position has its own edges.

Without such a layer, B-splines of each unit are fitted by ridge to the classes of a column: what one layer of edges
would learn there. It is not a part of the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.between_groups import between_share
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotFound
from analysis.tokens.kan import bases
from analysis.tokens.kan.layer import EdgeLayer, Family, quantile_points

SELECTS = re.compile(r"(^|[._])(select\w*|choice\w*|alpha\w*|pi|mix\w*|family_weights?)$")
ORDER, INTERVALS, MOST_UNITS, OF_A_CLASS, LEAST = 3, 5, 24, 5, 10
COEFFICIENTS = ("spline_weight", "coef", "cheby_coeffs", "fouriercoeffs")


@dataclass(frozen=True)
class Edges:
    """A `layer`, `points` (I, P) of its observed inputs, names of `inputs` (I,) and `nodes` (O,); the `sample` (n,) and
    values `x` (n, d) of the rows; whether it was `fitted`; `notes`."""

    layer: EdgeLayer
    points: np.ndarray
    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    x: np.ndarray
    sample: np.ndarray
    fitted: bool
    notes: tuple[str, ...]


def edges_of(tap: Activations, layer: str, column: str, maximum: int, rng: np.random.Generator) -> Edges:
    """Of the layer called `layer` ("" the first whose inputs are the tap's units). Raises NotFound, InputError,
    NotEnoughData."""
    x, sample, said = _rows(tap, maximum, rng)
    names = [str(u) for u in tap.unit_names] or [f"unit {j}" for j in range(x.shape[1])]
    own, why = _of_checkpoint(tap, layer, x.shape[1])
    if own is not None:
        k = own.positions
        inputs = [f"{names[i // k]}, position {i % k}" if k > 1 else names[i] for i in range(own.inputs)]
        nodes = tuple(f"node {o + 1}" for o in range(own.outputs))
        return Edges(own, quantile_points(x, k), tuple(inputs), nodes, x, sample, False, tuple(said))
    found, kept, classes, more = _fitted(tap, x, sample, column)
    note = f"No layer of edges is known of {tap.name}: B-splines of its units are fitted to the classes of '{column}'."
    return Edges(found, quantile_points(x[:, kept]), tuple(names[j] for j in kept), classes, x[:, kept], sample, True,
                 (note, *why, *said, *more))  # fmt: skip


def _rows(tap: Activations, maximum: int, rng):
    """(x (n, d), sample (n,), notes)."""
    chosen, said = random_part(tap.shape[0], maximum, rng, "rows")
    x = np.asarray(tap.take(chosen), np.float64)
    good = np.isfinite(x).all(axis=1)
    if not good.all():
        said.append(f"{int((~good).sum())} row(s) with NaN or infinity left out.")
    refuse_few(tap.name, int(good.sum()), LEAST, "finite row(s)")
    x, sample = x[good], tap.layout.sample_of(chosen[good])
    if not (x.std(axis=0) > 1e-12 * (1 + np.abs(x).max(axis=0))).any():
        raise InputError(f"the rows of {tap.name} do not vary", "inputs that differ")
    return x, sample, said


def _of_checkpoint(tap, layer: str, units: int):
    """(EdgeLayer or None, why not)."""
    from analysis.sources.weights import weights_of

    source = getattr(tap, "source", None)
    try:
        weights = weights_of(tap if source is None else source())
    except (InputError, NotFound) as error:
        return None, (f"{str(error).split('. ')[0]}.",)
    found = layers_of(weights, units)
    fits = {name: one for name, one in found.items() if one.inputs == one.positions * units}
    if layer:
        if layer not in fits:
            raise NotFound(
                f"a layer of edges '{layer}' that reads {units} units",
                ", ".join(fits) or "a checkpoint with such layers",
            )
        return fits[layer], ()
    if found and not fits:
        some = ", ".join(f"{n} ({o.inputs // o.positions} inputs)" for n, o in list(found.items())[:6])
        raise InputError(
            f"{tap.name} has {units} units", f"what one of these reads: {some}", "Choose the tap before it"
        )
    return next(iter(fits.values()), None), ()


def layers_of(weights, units: int) -> dict[str, EdgeLayer]:
    """By module name, of a checkpoint with `shapes` and `tensor(name)`."""
    by_module: dict[str, list[Family]] = {}
    positions: dict[str, int] = {}
    for key, shape in weights.shapes.items():
        module, _, last = key.rpartition(".")
        if last in COEFFICIENTS and len(shape) >= 3:
            families, k = _families(weights, module, last)
            if families:
                by_module.setdefault(module, []).extend(families)
                positions[module] = k
    out, taken = {}, set()
    for key in weights.shapes:
        if not SELECTS.search(key) or key.rpartition(".")[2] in COEFFICIENTS:
            continue
        own = key.rpartition(".")[0]
        under = [m for m in by_module if m == own or m.rpartition(".")[0] == own]
        families = tuple(f for m in under for f in by_module[m])
        chosen = _selection(weights.tensor(key), families)
        if chosen is not None:
            out[own or "layer"] = EdgeLayer(own or "layer", families, chosen, positions[under[0]])
            taken |= set(under)
    for module, families in by_module.items():
        if module not in taken:
            out[module or "layer"] = EdgeLayer(module or "layer", tuple(families), None, positions[module])
    return {name: _placed(one, units) for name, one in out.items()}


def _placed(one: EdgeLayer, units: int) -> EdgeLayer:
    """Inputs that are channels times kernel positions."""
    if one.positions == 1 and one.inputs != units and one.inputs % units == 0:
        return EdgeLayer(one.name, one.families, one.selection, one.inputs // units)
    return one


def _selection(values: np.ndarray, families: tuple[Family, ...]) -> np.ndarray | None:
    """(O, I, S) from (S,), (O, S) or (O, I, S)."""
    if len(families) < 2 or values.shape[-1] != len(families):
        return None
    o, i, _ = families[0].coefficients.shape
    if not (np.allclose(values.sum(axis=-1), 1, atol=1e-4) and (values >= 0).all()):
        values = np.exp(values - values.max(axis=-1, keepdims=True))
        values = values / values.sum(axis=-1, keepdims=True)
    if values.ndim == 2 and len(values) == o:
        values = values[:, None]
    elif values.ndim > 3:
        values = values.reshape(o, -1, len(families))
    try:
        return np.broadcast_to(values, (o, i, len(families))).copy()
    except ValueError:
        return None


def _families(weights, module: str, last: str) -> tuple[list[Family], int]:
    """(families of these coefficients, positions of a kernel)."""
    at = f"{module}." if module else ""

    def beside(name: str):
        return weights.tensor(at + name) if at + name in weights.shapes else None

    c, positions = weights.tensor(at + last), 1
    if last == "fouriercoeffs":
        c = np.concatenate([c[0], c[1]], axis=2)
        return [Family(bases.FOURIER, c, lambda x, i, k=c.shape[2]: bases.fourier(x, k))], 1
    if last == "cheby_coeffs":
        c = c.transpose(1, 0, 2)
        return [Family(bases.CHEBYSHEV, c, lambda x, i, k=c.shape[2]: bases.chebyshev(x, k))], 1
    if c.ndim == 5:
        positions = c.shape[2] * c.shape[3]
        c = c.reshape(c.shape[0], -1, c.shape[4])
    grid = beside("grid")
    if grid is None or c.ndim != 3:
        return [], 1
    if last == "coef":
        c = c.transpose(1, 0, 2)
        scale, base, mask = (
            None if v is None else v.T for v in map(beside, ("scale_sp", "scale_base", "mask"))
        )
        scale = mask if scale is None else scale if mask is None else scale * mask
        base = base if base is None or mask is None else base * mask
    else:
        scale, base = beside("spline_scaler"), beside("base_weight")
    o, i, k = c.shape
    grid = np.broadcast_to(grid.reshape(-1, grid.shape[-1]), (i, grid.shape[-1]))
    order = grid.shape[1] - 1 - k
    if order < 0:
        return [], 1
    c = c if scale is None else c * scale.reshape(o, i, 1)
    inside = grid[:, [order, grid.shape[1] - 1 - order]]
    out = [Family(bases.SPLINE, c, lambda x, j: bases.b_splines(x, grid[j], order), inside)]
    if base is not None and base.size == o * i:
        out.append(Family(bases.SILU, base.reshape(o, i, 1), lambda x, j: bases.silu(x)))
    return out, positions


def _fitted(tap, x: np.ndarray, sample: np.ndarray, column: str):
    """(layer, units kept (I,), class names, notes)."""
    labels = np.asarray(sample_column(tap, column))[sample]
    codes = class_codes(labels, column, OF_A_CLASS)
    x, said = x[codes.stay], list(codes.notes)
    spread = x.std(axis=0)
    kept = np.flatnonzero(spread > 1e-12 * (1 + np.abs(x).max(axis=0)))
    if not len(kept):
        raise InputError(f"the rows of {tap.name} do not vary", "inputs that differ")
    if len(kept) > MOST_UNITS:
        share = np.array([between_share(x[:, [j]], codes.codes) for j in kept])
        kept = np.sort(kept[np.argsort(-share, kind="stable")[:MOST_UNITS]])
        said.append(f"The {MOST_UNITS} units that differ most between classes are the inputs.")
    ends = np.quantile(x[:, kept], [0.01, 0.99], axis=0).T
    ends[:, 1] = np.maximum(ends[:, 1], ends[:, 0] + 1e-9 * (1 + np.abs(ends[:, 0])))
    grid = np.array([bases.even_knots(*e, INTERVALS, ORDER) for e in ends])
    k = INTERVALS + ORDER
    wide = np.concatenate([bases.b_splines(x[:, j], grid[i], ORDER) for i, j in enumerate(kept)], axis=1)
    fitted = ridge_weights(wide, codes.one_hot())
    c = fitted.T.reshape(len(codes.names), len(kept), k)
    family = Family(bases.SPLINE, c, lambda v, i: bases.b_splines(v, grid[i], ORDER), ends)
    return EdgeLayer(f"fitted to '{column}'", (family,), None), kept, codes.names, said
