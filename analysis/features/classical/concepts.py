"""A concept bottleneck: one feature for each named concept, of which only a few may be active in a row.

    c = keep k of (x - mean) E,    e_j = u_j / (deviation of (x - mean) u_j),    x' = c D + mean

u_j is what reads concept j: a direction from a file, such as text vectors of concept words in the space of the images,
or the ridge readout of a value of a sample column. D is the ridge regression of x on the codes: what a concept adds.
Directions of a file are centred first where asked for: text and image vectors lie in cones of their own, and what all
concepts share tells none of them apart. k = 0 keeps every value, of either sign; else the k largest above 0.

A sparse head on top of the codes is the method *Concept bottleneck*; whether the names carry anything is judged there,
against as many random directions. Three passes, memory O(d² + k²).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.features import rules
from analysis.features.classical import supervised
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.sources.inflated import refuse_large_zip
from analysis.spec import param

RIDGE = 1e-3  # of the decoder, in units of the codes' mean square


@dataclass(frozen=True)
class ConceptParams:
    columns: str = param(
        "label", "Sample columns whose values are concepts, with commas between; may be empty with a file"
    )
    file: str = param(
        "", "Concept directions: an npz or safetensors file with 'directions' (concepts, units) and 'names'"
    )
    centred: bool = param(True, "Take the mean off the directions of the file first")
    active: int = param(0, "Most concepts active in a row; 0: all, with sign", low=0, high=4096)


def make(rows: FitRows, params: ConceptParams, rng, progress) -> Fitted:
    """Raises ParameterError with neither column nor file, NotFound, ShapeError, InputError for a file that is none."""
    names, readers, said = _concepts(rows, params, rng, progress)
    moments = rows.moments(progress, (0.4, 0.6))
    if not is_varying(moments.variance, moments.mean).any():
        raise InputError(f"no unit of {rows.name} varies", "units that differ", "Choose another tap")
    spread = np.sqrt(np.maximum(np.einsum("dk,de,ek->k", readers, moments.covariance, readers), 0))
    good = spread > 1e-9 * max(float(spread.max()), 1e-300)
    if not good.all():
        said += (f"{int((~good).sum())} concept(s) that no row differs in were left out.",)
    names, encoder = [n for n, g in zip(names, good, strict=True) if g], readers[:, good] / spread[good]
    active = min(params.active, len(names))
    size, cross = np.zeros((len(names), len(names))), np.zeros((len(names), rows.units))
    fires = np.zeros(len(names))
    for _, block in rows.blocks(progress, (0.6, 0.9), "what concepts add"):
        z = block - moments.mean
        codes = z @ encoder
        if active:
            codes = rules.keep_largest(codes.astype(np.float32), active).astype(np.float64)
        size, cross, fires = size + codes.T @ codes, cross + codes.T @ z, fires + (codes != 0).sum(axis=0)
    level = RIDGE * float(np.trace(size)) / len(names)
    decoder = np.linalg.solve(size + level * np.eye(len(names)), cross)
    return Fitted(
        decoder, moments.mean, rules.TOPK if active else rules.LINEAR, encoder=encoder, active=active or None,
        components={"concept": names, "share of rows": fires / moments.n}, caveats=said,
        facts={"concepts": names},
    )  # fmt: skip


def _concepts(rows: FitRows, params: ConceptParams, rng, progress):
    """Names, readers (d, k), and what is to be said."""
    names, readers, said = [], [], ()
    if params.columns.strip():
        told = supervised.SupervisedParams(columns=params.columns)
        found = supervised.make(rows, told, rng, lambda share, doing="": progress(0.4 * share, doing))
        names, readers = list(found.components["value"]), [found.encoder]
        said = found.caveats
    if params.file.strip():
        more, directions = read_directions(Path(params.file.strip()).expanduser(), rows.units)
        if params.centred and len(directions) > 1:
            directions = directions - directions.mean(axis=0)
        names, readers = [*names, *more], [*readers, directions.T]
    if not names:
        raise ParameterError("no concepts are named", "a sample column, or a file of directions")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f"two concepts are called {twice!r}", "names that differ", "Rename one in the file")
    return names, np.hstack(readers), said


def read_directions(path: Path, units: int) -> tuple[list[str], np.ndarray]:
    """Names and directions (k, units) float64 of a file. Nothing in it is run."""
    if not path.is_file():
        raise NotFound(f"there is no file {str(path)!r}", "the full path of an npz or safetensors file")
    try:
        names, found = _safetensors(path) if path.suffix == ".safetensors" else _npz(path)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(
            f"{path.name} cannot be read as concept directions ({error})",
            "'directions' (concepts, units) and 'names' (concepts,)", "Save it with numpy.savez, names as text",
        ) from None  # fmt: skip
    if found.ndim != 2 or found.shape[1] != units or len(found) != len(names) or not len(names):
        raise ShapeError(
            f"{path.name} has {len(names)} names and directions of shape {found.shape}",
            f"(concepts, {units}), as the tap has units, and a name for each",
            "Project the concepts into the space of this tap, or choose the tap they belong to",
        )
    if not np.isfinite(found).all():
        raise InputError(f"{path.name} holds NaN or infinity", "finite directions")
    return names, found.astype(np.float64)


def _npz(path: Path):
    refuse_large_zip(path)
    data = np.load(path, allow_pickle=False)
    if isinstance(data, np.ndarray):
        raise ValueError("it holds a single array, without names")
    with data:
        found = np.asarray(data["directions"])
        if found.dtype.kind not in "biuf":
            raise ValueError(f"its directions are of type {found.dtype}")
        return [str(n) for n in data["names"]], found


def _safetensors(path: Path):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            names = json.loads((file.metadata() or {})["names"])
            return [str(n) for n in names], np.asarray(file.get_tensor("directions"))
    except (SafetensorError, TypeError) as error:
        raise ValueError(error) from None


CLASSICAL = Classical(
    "concepts", "Concept bottleneck", "One feature for each named concept, from columns or a file of directions",
    ConceptParams, ("Sparse Concept Bottleneck Models: Gumbel Tricks in Contrastive Learning",), make,
)  # fmt: skip
