"""Where the cameras of views stand: directions on a sphere around the object, from columns of the samples."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.errors import InputError, ParameterError

ANGLES, PLACES = ("azimuth", "elevation"), ("camera_x", "camera_y", "camera_z")
LEVELS = (60, 30, 0, -30, -60)  # degrees of the circles that are drawn


def cameras(
    tap: Activations,
    members: np.ndarray | None,
    shape: tuple[int, int],
    azimuth: str | None,
    elevation: str | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """((n, V, 3) unit directions of the cameras of `shape` = (n, V) views, notes).

    From columns of degrees (automatic: 'azimuth' and 'elevation'), else from 'camera_x', 'camera_y', 'camera_z' around
    the object, which is at 0; else evenly round it, which is said. Raises NotFound, InputError, ParameterError.
    """
    n, v = shape
    if members is None:
        if azimuth or elevation:
            raise ParameterError(
                f"the views of {tap.name} are no samples, and a column of cameras was named", "views that are samples",
                "Leave the columns empty, or name the column of objects",
            )  # fmt: skip
        return _even(n, v)
    named = azimuth or next((c for c in tap.samples if c == ANGLES[0]), None)
    up = elevation or next((c for c in tap.samples if c == ANGLES[1]), None)
    if named is None and up is None and all(c in tap.samples for c in PLACES):
        found = np.stack([_numbers(tap, c)[members] for c in PLACES], axis=2)
        size = np.linalg.norm(found, axis=2, keepdims=True)
        if (size == 0).any():
            raise InputError(
                f"{int((size == 0).sum())} camera(s) of {tap.name} at 0, 0, 0", "places around the object"
            )
        return found / size, (
            "Cameras are where 'camera_x', 'camera_y' and 'camera_z' say, the object at 0.",
        )
    if named is None and up is None:
        return _even(n, v)
    around = np.radians(_numbers(tap, named)[members]) if named else np.zeros(shape)
    above = np.radians(_numbers(tap, up)[members]) if up else np.zeros(shape)
    if (np.abs(above) > np.pi / 2 + 1e-9).any():
        raise InputError(f"column '{up}' of {tap.name} holds {np.degrees(np.abs(above)).max():.4g}",
                         "degrees from -90 to 90")  # fmt: skip
    lost = [f"No column tells the {what} of cameras: all are put to 0°." for what, c in zip(ANGLES, (named, up),
            strict=True) if c is None]  # fmt: skip
    return directions(around, above), tuple(lost)


def directions(around: np.ndarray, above: np.ndarray) -> np.ndarray:
    """(…, 3) unit vectors of azimuth and elevation in radians."""
    flat = np.cos(above)
    return np.stack([flat * np.cos(around), flat * np.sin(around), np.sin(above)], axis=-1)


def from_above(way: np.ndarray) -> np.ndarray:
    """(…, 2) of unit vectors (…, 3): the whole sphere in a disc of radius 2, equal areas equal (Lambert); the pole
    above in the middle, the one below all around."""
    flat = np.linalg.norm(way[..., :2], axis=-1, keepdims=True)
    away = np.sqrt(np.maximum(2 - 2 * way[..., 2:], 0.0))
    return (
        np.where(flat > 1e-12, way[..., :2] / np.where(flat > 1e-12, flat, 1.0), np.array([1.0, 0.0])) * away
    )


def circles() -> dict[str, np.ndarray]:
    """Circles of equal elevation, by name, (m, 2) from above."""
    around = np.linspace(0, 2 * np.pi, 121) + np.pi / 4
    return {f"{e}°": from_above(directions(around, np.full(121, np.radians(e)))) for e in LEVELS}


def _numbers(tap: Activations, column: str) -> np.ndarray:
    values = sample_column(tap, column)
    try:
        found = np.asarray(values, np.float64)
    except ValueError:
        found = np.full(1, np.nan)
    if not np.isfinite(found).all():
        raise InputError(
            f"column '{column}' of {tap.name} holds other than numbers", "a number for each sample"
        )
    return found


def _even(n: int, v: int) -> tuple[np.ndarray, tuple[str, ...]]:
    around = 2 * np.pi * np.arange(v) / v
    way = np.broadcast_to(directions(around, np.zeros(v)), (n, v, 3))
    return way, (
        "No column tells where cameras stand: views are drawn evenly round the object, in their order.",
    )
