"""Ranks of real networks: 39 checkpoints of one run, and five seeds with dead units."""

from __future__ import annotations

import numpy as np
import pytest
from recorded import recorded, rows

from analysis.methods.rank.rank_against_accuracy import rank_against_accuracy
from analysis.methods.rank.rank_dossier import rank_dossier
from analysis.methods.rank.rank_series import RankSeriesParams, rank_series
from analysis.sources.data import open_data

HIDDEN, POOLED = "mlp.hidden", "features.12"
DEAD = (40, 61, 59, 63, 44)  # of 256 units, by seed


def test_a_run_that_learns_one_frequency_a_neuron(real, tmp_path):
    """The hidden layer on all 529 pairs uses more directions as it learns, and far fewer than unrelated units."""
    import torch

    parts = [
        torch.load(real / "grokking" / f"{part}_data.pth", weights_only=True) for part in ("train", "test")
    ]
    values = np.concatenate([np.array(part) for part in parts])
    np.savez(tmp_path / "pairs.npz", data=values, labels=values.sum(1) % 23)
    data = open_data(tmp_path / "pairs.npz", array="data", labels="labels")
    taps = [
        recorded(f, "ModularAddition", data, tmp_path / f.stem, taps=HIDDEN).activations(HIDDEN)
        for f in sorted((real / "grokking").glob("epoch_*.pth"))[::4]
    ]
    found = rank_series(*taps, params=RankSeriesParams(notion="participation ratio"))
    line = found.series[HIDDEN]
    assert line[0] == pytest.approx(27.9, abs=0.1)
    assert line[-1] == pytest.approx(39.8, abs=0.1)
    assert (found.null[HIDDEN] > 5 * line).all()
    x = rows_of(taps[-1])
    lam = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    assert line[-1] == pytest.approx(lam.sum() ** 2 / (lam**2).sum(), rel=1e-6)
    against = rank_against_accuracy(*taps[:6])
    assert (against.columns["accuracy"] > 10 * against.columns["chance"]).all()


def rows_of(tap) -> np.ndarray:
    return np.concatenate([np.asarray(block, np.float64) for _, block in tap.chunks()])


@pytest.mark.parametrize("seed", [0, 3])
def test_dead_units_are_counted_and_change_no_number(real, tmp_path, seed):
    source = real / "rf_sae" / f"seed_{seed}" / "classifier.pt"
    signals = open_data(real / "rf_sae" / "rf_test_iq.npz")
    store = recorded(source, "SignalNet", signals, tmp_path / "cnn", taps=[POOLED], dtype="float32", batch=66)
    x = rows(store, POOLED).astype(np.float64)
    whole, alive = rank_dossier(store.activations(POOLED)), rank_dossier(x[:, (x != 0).any(axis=0)])
    assert any(f"{DEAD[seed]} constant unit(s)" in c for c in whole.caveats)
    for name, one, other in zip(
        whole.columns["notion"], whole.columns["value"], alive.columns["value"], strict=True
    ):
        if name != "coding rate":  # it counts the units of the code, dead ones too
            assert one == pytest.approx(other, rel=1e-6), name
