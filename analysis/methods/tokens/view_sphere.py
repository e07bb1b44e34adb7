"""Where do the cameras of a set of views stand, which views read each other, and does nearness of cameras tell?

One object: each view at the direction of its camera, with its picture, coloured by what the answer loses without it,
and joined to the other view that it reads most. Over all objects, of the attention A_ab between views (as in the
method of views that read each other) and the directions c of their cameras:

    near    correlation of A_ab with c_a · c_b over pairs of different views, mean over objects
    nearest the share of what a view pays to others that goes to the camera nearest to it (several at one angle: each
            has its part), mean over views

Drawn from above: the whole sphere in a disc, equal areas equal (Lambert), the pole above in the middle, cameras below
the object near the rim. Or as a sphere that can be turned, without pictures.

Interval: Student's t over objects. Null: cameras of the views of each object exchanged; of the nearest camera 1/(V - 1)
where one is nearest.

When it lies: cameras that see the same from opposite sides count as far; where no column tells cameras they are put
evenly round, which is said and may be wrong; what a view is paid is not what it is needed for (both are drawn); an
object is one draw, so that its own numbers have no interval.

Cost: one pass of each set for attention, V + 1 for the effects.

Reference: H. Sun, Y. Wang, P. Wang, H. Deng, X. Cai & D. Li (2024), "VSFormer: mining correlations in flexible view set
for multi-view 3D shape understanding".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, Scatter
from analysis.sources.stored_pictures import stored_pictures
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.cameras import cameras, circles, directions, from_above
from analysis.tokens.sets.clips import RUN
from analysis.tokens.sets.view_reading import read_views
from analysis.tokens.sets.views import sets_are_samples
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING, DRAWS = 4.0, 400
ABOVE, TURNED = "from above, with pictures", "as a sphere to turn"
EFFECT, PAID = "what leaving it out changes", "what the others pay it"


@dataclass(frozen=True)
class ViewSphereParams:
    number: int = param(
        0, "Which of the objects that are read is drawn, from 0.", label="object", low=0, high=1999
    )
    drawn: str = param(ABOVE, "How the sphere is drawn.", choices=(ABOVE, TURNED))
    azimuth: str | None = param(
        None, "Degrees round the object; automatic: 'azimuth', if there.", column=True
    )
    elevation: str | None = param(None, "Degrees above it; automatic: 'elevation', if there.", column=True)
    layer: int | None = param(
        None, "Whose attention, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    object: str | None = param(
        None, "Samples with one value are the views of one object; automatic: 'object' or 'clip', if there.",
        label="column of objects", column=True,
    )  # fmt: skip
    view: str | None = param(None, "Orders the views; automatic: 'view' or 'frame', if there.", column=True)
    views: int | None = param(
        None, "Of samples that are sets: views of a sample; automatic: each token is one.", low=2, high=200
    )
    maximum_samples: int = param(24, "Most sets; a seeded random subset above.", low=2, high=2000, late=True)
    source: str = param(AUTOMATIC, "Whose attention and answer.", choices=SOURCES, late=True)


def view_sphere(
    activations, params: ViewSphereParams = ViewSphereParams(), rng=None, progress=no_progress
) -> Scatter:
    """Views at their cameras.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Sets of views; of a tap without columns or tokens 16 samples in a row are a set.

    Returns
    -------
    Scatter
        The views of one object. Estimates: whether attention goes by the nearness of cameras, over all objects.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData
        No such object or column; cameras that are no numbers; fewer than two sets of the same number of views.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = read_views(tap, params, rng, progress, order=False)
    a, effect = found.attention, found.effect
    n, v = effect.shape
    if params.number >= n:
        raise ParameterError(f"object {params.number} of {n} that were read", f"one of 0 to {n - 1}")
    way, said = cameras(tap, found.members, (n, v), params.azimuth, params.elevation)
    progress(0.97, "pictures")
    members = None if found.members is None else found.members[params.number]
    pictures = None if members is None or params.drawn != ABOVE else stored_pictures(tap, members)
    told = _estimates(a, way, effect[params.number], tap.shape[1], rng)
    progress(1.0, "done")
    return _scatter(tap, found, way[params.number], told, members, pictures, (*found.notes, *said), params)


def nearness(a: np.ndarray, way: np.ndarray) -> np.ndarray:
    """(n,) correlation of attention (n, V, V) with the cosines of directions (n, V, 3), off the diagonal; 0 where one
    of them does not vary."""
    off = ~np.eye(a.shape[1], dtype=bool)
    paid, near = a[:, off], np.einsum("nac,nbc->nab", way, way)[:, off]
    paid, near = (x - x.mean(axis=1, keepdims=True) for x in (paid, near))
    size = np.sqrt(np.square(paid).sum(axis=1) * np.square(near).sum(axis=1))
    varies = (np.abs(paid).max(axis=1) > 1e-12) & (np.abs(near).max(axis=1) > 1e-9)
    return np.where(varies, (paid * near).sum(axis=1) / np.where(size > 0, size, 1.0), 0.0)


def to_nearest(a: np.ndarray, way: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((n,) share of what views pay others that goes to the nearest camera, (n,) the same of even attention)."""
    v = a.shape[1]
    near = np.einsum("nac,nbc->nab", way, way)
    near[:, np.arange(v), np.arange(v)] = -np.inf
    nearest = near >= near.max(axis=2, keepdims=True) - 1e-9
    others = a * ~np.eye(v, dtype=bool)
    whole = others.sum(axis=2)
    even = nearest.sum(axis=2) / (v - 1)
    share = np.where(
        whole > 1e-12, (others * nearest).sum(axis=2) / np.where(whole > 1e-12, whole, 1.0), even
    )
    return share.mean(axis=1), even.mean(axis=1)


def _estimates(a, way, own, d: int, rng) -> tuple[Estimate, ...]:
    n, v = len(a), a.shape[1]
    near, chance = nearness(a, way), np.zeros(DRAWS)
    for k in range(DRAWS):
        order = rng.permuted(np.tile(np.arange(v), (n, 1)), axis=1)
        chance[k] = nearness(a, np.take_along_axis(way, order[:, :, None], axis=1)).mean()
    share, even = to_nearest(a, way)
    most, value = int(own.argmax()), float(near.mean())
    return (
        Estimate("views read near views", value, **mean_interval(near, -1.0, 1.0), **against(value - 1e-12, chance),
                 null_method=f"cameras of each object exchanged, {DRAWS} draws", n=n, d=d,
                 estimator="correlation of attention with the cosine of the cameras' angle, mean over objects"),
        Estimate("share of what others get that goes to the nearest camera", float(share.mean()),
                 **mean_interval(share, 0.0, 1.0), null=float(even.mean()), null_method="others read alike",
                 estimator="mean over views and objects", n=n, d=d),
        Estimate(f"effect of view {most}, the most needed of this object", float(own[most]),
                 interval="none: one object", null=float(own.mean()), null_method="the mean of its views", n=1, d=d,
                 estimator=f"distance of answers, the largest of {v} views"),
    )  # fmt: skip


def _scatter(tap, found, way, told, members, pictures, notes, params) -> Scatter:
    a, effect = found.attention[params.number], found.effect[params.number]
    v, off = len(effect), a - np.eye(len(effect)) * 2
    turned = params.drawn == TURNED
    reads = off.argmax(axis=1)
    named = "" if members is None else f" ({tap.samples['id'][members[0]]} and on)"
    near = told[0]
    clear = "Views read those near them" if near.low is not None and near.low > 0 and near.p_value < 0.05 else (
        "Whether views read those near them cannot be told")  # fmt: skip
    lost = () if pictures is not None or turned else ("The store has no pictures of these views.",)
    return Scatter(
        title=f"Cameras of object {int(found.sets[params.number])}, {tap.name}{named}",
        positions=way if turned else from_above(way), rows=np.arange(v), of="views",
        axes=tuple(f"camera ({a})" for a in ("xyz" if turned else ("from above, 0°", "from above, 90°"))),
        columns={
            EFFECT: effect, PAID: (a.sum(axis=0) - np.diag(a)) / (v - 1), "view": np.arange(v).astype(str),
            "azimuth": np.degrees(np.arctan2(way[:, 1], way[:, 0])).round(6),
            "elevation": np.degrees(np.arcsin(np.clip(way[:, 2], -1, 1))).round(6),
            "reads most": reads.astype(str),
        },
        colour=EFFECT, names="view", edges=np.stack([np.arange(v), reads], axis=1), edge_values=off.max(axis=1),
        edge_name="share that the view pays the other that it reads most", estimates=told, pictures=pictures,
        guides={} if turned else circles(),
        reading=f"{clear}: correlation {near.value:+.2f} over {near.n} objects ({near.null:+.2f} with cameras "
                f"exchanged); {told[1].value:.0%} of what others get goes to the nearest camera "
                f"({told[1].null:.0%} if read alike). Of this object view {int(effect.argmax())} is needed most.",
        caveats=(*notes, *lost, f"Attention of layer {found.layer + 1}. A line joins a view to the one that it reads "
                 "most of all others; what is read is not what is needed."),
    )  # fmt: skip


def _cost(shapes, params: ViewSphereParams) -> Cost:
    (n, d), m = shapes[0], machine()
    sets = min(max(n // RUN, 2), params.maximum_samples)
    held = 20.0 * sets * (RUN + 1) * d + 8.0 * n + 8.0 * sets * RUN * RUN * 8 + 1e5
    return Cost(
        OPENING + m.seconds(moved=held * RUN, calls=400.0 * sets * RUN) + 1e-6 * n + 1e-4 * DRAWS, held,
        sets * (RUN + 1),
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Views whose rows are their cameras read near cameras; with rows that are noise they do not; the sphere as a disc
    keeps areas; opposite cameras and equal attention in closed form."""
    rng = np.random.default_rng(0)
    way = rng.standard_normal((12, 8, 3))
    way /= np.linalg.norm(way, axis=2, keepdims=True)
    samples = {
        "object": np.repeat(np.arange(12), 8).astype(str), "view": np.tile(np.arange(8), 12),
        "azimuth": np.degrees(np.arctan2(way[..., 1], way[..., 0])).ravel(),
        "elevation": np.degrees(np.arcsin(way[..., 2])).ravel(),
    }  # fmt: skip

    def found(x):
        return view_sphere(ArrayActivations(x, samples=samples)).estimates

    near, noise = found(3 * way.reshape(96, 3)), found(rng.standard_normal((96, 30)))
    ring = directions(np.radians(np.arange(0, 360, 90)), np.zeros(4))[None]
    even = np.full((1, 4, 4), 0.25)
    return (
        CheckLine("rows that are cameras: near views are read", 0.7, near[0].value, 0.0, "at least"),
        CheckLine("noise: inside what exchanged cameras give", noise[0].null_high, noise[0].value, 0.0, "at most"),
        CheckLine("exchanged cameras: 0", 0.0, noise[0].null, 0.02),
        CheckLine("even attention on a ring: two of three are nearest", 2 / 3, to_nearest(even, ring)[0][0], 1e-12),
        CheckLine("even attention: no correlation", 0.0, nearness(even, ring)[0], 1e-12),
        CheckLine("half of the sphere is half of the disc", np.sqrt(2.0),
                  float(np.linalg.norm(from_above(ring), axis=2).max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="view_sphere", family="tokens", network="attention", asks=sets_are_samples,
        title="Views on the camera sphere", version=3, function=view_sphere,
        summary="Views with their pictures where their cameras stand, what each reads, and which the answer needs.",
        params=ViewSphereParams, result=Scatter, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of sets; a rotation of all cameras of an object, up to where they are drawn",
        papers=("VSFormer: Mining Correlations in Flexible View Set for Multi-view 3D Shape Understanding",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
