"""Modes of state spaces along a series of checkpoints: by hand, and by second ways to the same numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.methods.tokens.ssm_drift import FAMILY, MODES, SsmDriftParams, ssm_drift
from analysis.sources.checkpoint import open_checkpoint
from analysis.tokens.mixers import mode_paths, ssm


def of_file(state: dict, path, rng, rows: int = 40):
    """A tap of a store that was recorded from a file with these tensors."""
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in state.items()}, path)
    tap = ArrayActivations(rng.standard_normal((rows, 4)), f"{path.stem}:x")
    entry = {"path": str(path), "digest": open_checkpoint(path).digest}
    object.__setattr__(tap, "store", SimpleNamespace(manifest={"checkpoint": entry}))
    return tap


def s4d(a: np.ndarray, step: float = 0.1, name: str = "layers.0") -> dict[str, np.ndarray]:
    """Tensors of a layer with these modes (H, N)."""
    return {
        f"{name}.log_dt": np.log(np.full(len(a), step)),
        f"{name}.log_A_real": np.log(-a.real),
        f"{name}.A_imag": a.imag,
        f"{name}.C": np.ones((*a.shape, 2)),
        f"{name}.D": np.zeros(len(a)),
    }


def lin(channels: int = 3, modes: int = 6) -> np.ndarray:
    return np.tile(ssm.started(ssm.LIN, modes), (channels, 1))


def test_modes_are_followed_whatever_their_order_and_side(tmp_path, rng):
    moved = [lin(), lin() - 0.2, lin() - 0.2 + 0.3j]
    plain = [of_file(s4d(a), tmp_path / f"run-{k}.safetensors", rng) for k, a in enumerate(moved, 1)]
    mixed = [np.stack([row[rng.permutation(6)] for row in a]) for a in moved]
    mixed[1] = mixed[1].conj()
    other = [of_file(s4d(a), tmp_path / f"mix-{k}.safetensors", rng) for k, a in enumerate(mixed, 1)]
    one, two = (ssm_drift(*taps) for taps in (plain, other))
    np.testing.assert_allclose(one.series["layers.0"], [0, 0.2, np.hypot(0.2, 0.3)], atol=1e-6)
    np.testing.assert_allclose(two.series["layers.0"], one.series["layers.0"], atol=1e-6)
    assert one.x.tolist() == [1, 2, 3]
    by = {e.name: e for e in one.estimates}
    assert by["straightness of the paths"].value == pytest.approx(np.hypot(0.2, 0.3) / 0.5, abs=1e-6)
    assert by["share of the drift that is of decay"].value == pytest.approx(0.04 / 0.13, abs=1e-5)
    last = by["half-life of the slowest mode at run-3"]
    assert last.value == pytest.approx(np.log(2) / 0.07, rel=1e-5)
    assert last.null == pytest.approx(np.log(2) / 0.05, rel=1e-5)


@pytest.mark.parametrize("family", ssm.FAMILIES)
def test_drift_from_the_family_is_that_of_the_poles_of_one_checkpoint(tmp_path, rng, family):
    """A second way: `nearest_start`, which ssm_poles draws, matches a checkpoint straight to the family."""
    begun = np.tile(ssm.started(family, 6), (3, 1))
    turned = 0 if family == ssm.REAL else 0.05j * rng.standard_normal(begun.shape)
    late = begun * np.exp(0.02 * rng.standard_normal(begun.shape)) + turned
    late = late.real + 1j * np.abs(late.imag)
    taps = [of_file(s4d(a), tmp_path / f"run-{k}.safetensors", rng) for k, a in ((1, begun), (9, late))]
    found = ssm_drift(*taps, params=SsmDriftParams(since=FAMILY, show=MODES))
    own, drift = ssm.nearest_start(late)
    assert own == family
    assert found.estimates[0].value == pytest.approx(drift.mean(), abs=1e-5)
    assert found.series["mode 2"][0] == pytest.approx(0, abs=1e-5)
    assert any(family in c for c in found.caveats)


def test_a_random_walk_is_as_straight_as_chance_has_it(rng):
    """Of many steps of one length it comes √(π / 4 K) of its way in the plane; along a line √(2 / π K)."""
    steps = np.exp(2j * np.pi * rng.random((64, 5, 200)))
    walk = np.concatenate([np.zeros((1, 5, 200)), np.cumsum(steps, axis=0)])
    far = mode_paths.random_walk(walk, walk[0], 5, rng)[:, -1].mean() / 64
    assert far == pytest.approx(np.sqrt(np.pi / 4 / 64), rel=0.05)
    assert np.abs(walk[-1]).mean() / 64 == pytest.approx(far, rel=0.1)
    line = np.arange(65.0)[:, None, None] * np.ones((1, 5, 200)) + 0j
    assert mode_paths.random_walk(line, line[0], 5, rng)[:, -1].mean() / 64 == pytest.approx(
        np.sqrt(2 / np.pi / 64), rel=0.05
    )


def test_a_checkpoint_against_itself_has_not_moved(tmp_path, rng):
    tap = of_file(s4d(lin()), tmp_path / "a.safetensors", rng)
    found = ssm_drift(tap, tap)
    assert found.estimates[0].value <= found.estimates[0].rounding
    assert found.reading.startswith("Modes are at ")


def test_what_is_no_series_of_one_network_is_refused(tmp_path, rng):
    a, wide, other = (of_file(s, tmp_path / f"{n}.safetensors", rng) for n, s in (
        ("a", s4d(lin())), ("wide", s4d(lin(modes=5))), ("other", s4d(lin(), name="else"))))  # fmt: skip
    plain = ArrayActivations(rng.standard_normal((60, 4)), "rows")
    with pytest.raises(ShapeError, match="5"):
        ssm_drift(a, wide)
    with pytest.raises(InputError, match="same name"):
        ssm_drift(a, other)
    with pytest.raises(InputError, match="no state space is known of rows"):
        ssm_drift(a, plain)
    with pytest.raises(ParameterError, match="rising"):
        ssm_drift(a, a, params=SsmDriftParams(steps="5, 2"))
    with pytest.raises(NotFound, match="layer 7"):
        ssm_drift(a, a, params=SsmDriftParams(show=MODES, layer=7))


def test_of_rows_the_same_samples_and_orders_are_compared(rng):
    x = rng.standard_normal((90, 5)).cumsum(axis=0)
    taps = [ArrayActivations(x, n) for n in ("run-1", "run-2")]
    found = ssm_drift(*taps)
    assert found.estimates[0].value == found.estimates[0].null == 0.0  # paired: nothing differs
    assert any("No state space is known" in c for c in found.caveats)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("matched", lambda here, there: np.arange(len(here))),
        ("folded", lambda a: a),
        ("followed", lambda series: np.stack([np.asarray(a, complex) for a in series])),
    ],
)
def test_the_check_of_drift_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import ssm_drift as file

    monkeypatch.setattr(mode_paths, name, broken)
    if hasattr(file, name):
        monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())
