"""The mixing view on stored networks: a tiny Mamba that was recorded, and weights of state spaces."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.errors import InputError, NotFound
from analysis.methods.tokens.attention_atlas import AttentionAtlasParams, attention_atlas
from analysis.methods.tokens.mixing_matrix import MixingMatrixParams, gathered, mixing_matrix, spread
from analysis.methods.tokens.mixing_measures import (
    FAR,
    HALF,
    STATE,
    TOEPLITZ,
    MixingMeasuresParams,
    mixing_measures,
)
from analysis.methods.tokens.scan_folded import READERS, READS, ScanFoldedParams, scan_folded
from analysis.methods.tokens.ssm_kernel import FREQUENCY, SsmKernelParams, ssm_kernel
from analysis.methods.tokens.ssm_memory import WEIGHTS, SsmMemoryParams, ssm_memory
from analysis.methods.tokens.ssm_poles import CONTINUOUS, DRIFT, SsmPolesParams, ssm_poles
from analysis.methods.tokens.token_film import TokenFilmParams, token_film
from analysis.methods.tokens.token_ledger import TokenLedgerParams, token_ledger
from analysis.tokens.mixers import ssm, state_spaces
from analysis.tokens.mixers.linear_attention import LINEAR
from analysis.tokens.mixers.reading import network_mixers
from analysis.tokens.state import GONE

ROWS = {
    "On the Parameterization and Initialization of Diagonal State Space Models": "ssm_poles",
    "VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation": "mixing_matrix",
    "MHS-VM: multi-head scanning for Vision Mamba": "scan_folded",
    "Mamba2D: A Natively Multi-Dimensional State-Space Model for Vision Tasks": "scan_folded",
    "Softmax-free Linear Transformers": "mixing_measures",
}


@pytest.mark.parametrize("title", ROWS)
def test_each_row_has_its_method(title):
    assert title in registry.method(ROWS[title]).papers


@pytest.fixture(scope="module")
def tap(tmp_path_factory):
    """A recorded tap of a tiny Mamba on short texts."""
    torch = pytest.importorskip("torch")
    t = pytest.importorskip("transformers")
    from hugging_face_subjects import add_tokenizer

    from analysis.recording.recorder import record
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    folder = tmp_path_factory.mktemp("mamba")
    torch.manual_seed(0)
    config = t.MambaConfig(vocab_size=16, hidden_size=16, num_hidden_layers=2, state_size=4, bos_token_id=0,
                           eos_token_id=7, pad_token_id=0)  # fmt: skip
    model = t.MambaForCausalLM(config)
    for name, p in model.named_parameters():  # fresh ones mix next to nothing
        if name.endswith(("in_proj.weight", "x_proj.weight")):
            torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(folder / "net")
    add_tokenizer(folder / "net")
    words = np.random.default_rng(0).choice(list("abcd"), (6, 12))
    (folder / "t.txt").write_text("\n".join(" ".join(w) for w in words))
    checkpoint = open_checkpoint(folder / "net")
    store = record(checkpoint, open_data(folder / "t.txt"), folder / "s", name="s", taps="backbone.layers.1",
                   tokens="all", dtype="float32", loaded=checkpoint.load())  # fmt: skip
    return store.activations("backbone.layers.1")


def test_the_matrix_of_a_recorded_scan(tap):
    found = mixing_matrix(tap, MixingMatrixParams(sample=2, layer=2, head=6))
    assert "selective scans of MambaForCausalLM" in found.title
    assert not np.triu(found.values, 1).any()
    assert found.estimates[3].value <= 4  # the state
    assert found.row_names[0].split(" ")[1] in "abcd"
    assert "layers.1" in found.title
    assert found.title.endswith("channel 6")
    with pytest.raises(NotFound, match="channel"):
        mixing_matrix(tap, MixingMatrixParams(head=99))
    rows = mixing_matrix(tap, MixingMatrixParams(mixer=LINEAR))
    assert any("no queries and keys" in c for c in rows.caveats)


def test_measures_of_all_layers(tap):
    found = mixing_measures(tap, MixingMeasuresParams(maximum_heads=3))
    assert len(found.columns["mixer"]) == 6
    assert (found.columns[STATE] <= 4).all()
    assert (found.columns[HALF] > 0).all()
    assert (found.columns[FAR] < 12).all()
    assert (found.columns[TOEPLITZ] < 1).all()


def test_folded_over_words(tap):
    found = scan_folded(tap, params=ScanFoldedParams(sample=1, token=7))
    maps = dict(zip(found.names, found.values, strict=True))
    assert not maps[READS][8:].any()
    assert not maps[READERS][:7].any()
    assert maps[READS][:8].any()
    assert len(found.words[0]) == 12


def test_memory_at_run_time_and_of_the_weights(tap):
    live, static = (
        ssm_memory(tap, SsmMemoryParams(steps=s)) for s in ("captured at run time where it can be", WEIGHTS)
    )
    assert "selective scans" in live.title
    assert set(live.counts) == {"backbone.layers.0.mixer", "backbone.layers.1.mixer"}
    assert (
        sum(c.sum() for c in live.counts.values()) == 6 * 2 * 12 * 32 * 4
    )  # samples, layers, tokens, channels, modes
    assert sum(c.sum() for c in static.counts.values()) == 2 * 32 * 4
    assert static.estimates[0].value == pytest.approx(static.estimates[0].null)  # fresh: where it starts


def test_poles_and_kernels_of_the_weights(tap):
    found = ssm_poles(tap, SsmPolesParams(plane=CONTINUOUS, steps=WEIGHTS))
    np.testing.assert_allclose(np.unique(found.positions[:, 0].round(4)), [-4, -3, -2, -1])
    np.testing.assert_allclose(found.columns[DRIFT], 0, atol=1e-5)
    assert "modes lie still where the family" in found.reading
    assert found.columns["channel"].min() == 1
    kernel = ssm_kernel(tap, SsmKernelParams(layer=2, steps=WEIGHTS))
    for name, k in kernel.series.items():
        np.testing.assert_allclose(k, kernel.null[name], rtol=1e-4)
    assert len(ssm_kernel(tap, SsmKernelParams(show=FREQUENCY, steps=WEIGHTS)).x) == 33
    with pytest.raises(NotFound, match="layer 3"):
        ssm_kernel(tap, SsmKernelParams(layer=3))


def test_poles_and_answers_at_run_time_are_those_of_the_captured_scan(tap):
    """Against Δ, B and C of every sample, written out: geometric means over tokens, means along diagonals."""
    scans = network_mixers(tap, 16, np.random.default_rng(0))
    read = [scans.read(k).scans[1] for k in range(scans.n)]
    name, h = read[0].name, 5
    found = ssm_poles(tap, SsmPolesParams())
    at = (found.columns["layer"] == name) & (found.columns["channel"] == h + 1)
    step = np.mean([one.scan.step[:, h].mean() for one in read])
    np.testing.assert_allclose(
        np.sort(found.positions[at, 0]), np.sort(np.exp(step * read[0].scan.a[h])), rtol=1e-6
    )
    assert found.estimates[1].n == scans.n
    assert found.estimates[1].low < found.estimates[1].value < found.estimates[1].high
    assert "at the mean Δ of samples" in found.title
    kernel = ssm_kernel(tap, SsmKernelParams(layer=2, lags=8))
    line, values = next(iter(kernel.series.items()))
    h, known = int(line.rstrip(")").split()[-1]) - 1, np.zeros(8)
    for one in read:
        m = one.matrices(np.array([h]))[0]
        known += [np.mean([m[s + lag, s] for s in range(len(m) - lag)]) for lag in range(8)]
    np.testing.assert_allclose(values, known / len(read), rtol=1e-6)
    for other, k in kernel.series.items():  # fresh: where it starts, now with what the input makes of it
        np.testing.assert_allclose(k, kernel.null[other], rtol=1e-4)
    assert len(ssm_kernel(tap, SsmKernelParams(lags=64)).x) == 12  # as long as the samples are
    with pytest.raises(NotFound, match="layer 3"):
        ssm_kernel(tap, SsmKernelParams(layer=3))


class Weights:
    def __init__(self, given) -> None:
        self.given, self.shapes = given, {k: v.shape for k, v in given.items()}

    def tensor(self, name):
        return self.given[name]


def test_layers_are_found_by_their_keys(rng):
    lin = ssm.started(ssm.LIN, 8)
    layer = {"log_dt": np.full(3, -2.0), "log_A_real": np.log(np.full((3, 8), 0.5)),
             "A_imag": np.tile(lin.imag, (3, 1)), "C": rng.standard_normal((3, 8, 2))}  # fmt: skip
    given = {f"net.{i}.kernel.{k}": v for i in (0, 1) for k, v in layer.items()} | {"net.0.D": np.ones(3)}
    found = state_spaces.spaces_of(Weights(given))
    assert [s.name for s in found] == ["net.0.kernel", "net.1.kernel"]
    np.testing.assert_array_equal([s.skip[0] for s in found], [1, 0])
    family, begun = state_spaces.start_of(found[0])
    assert family == ssm.LIN
    np.testing.assert_allclose(ssm.kernel(found[0], 20), ssm.kernel(begun, 20), atol=1e-12)
    with pytest.raises(InputError, match="without C"):
        state_spaces.spaces_of(Weights({k: v for k, v in given.items() if not k.endswith("C")}))


def test_many_tokens_are_drawn_together(rng):
    m = np.tril(rng.dirichlet(np.ones(400), 400))
    drawn, names, runs = gathered(m, tuple(map(str, range(400))))
    assert runs == 3
    assert drawn.shape == (len(names), len(names)) == (134, 134)
    np.testing.assert_allclose(drawn.sum(axis=1)[:-1], m.sum(axis=1)[:399].reshape(133, 3).mean(axis=1))
    np.testing.assert_allclose(spread(m).sum(axis=1), m.sum(axis=1))


def test_tokens_of_a_scan_are_removed_by_rules_that_need_no_attention(tap):
    from analysis.tokens.asking import TokenDesk

    film = token_film(tap, TokenFilmParams(rule="received_influence", draws=2))
    assert (film.owner[-1] == GONE).any()
    with pytest.raises(InputError, match=r"no attention|without 'mean keys'"):
        token_film(tap, TokenFilmParams(rule="tome", draws=2))
    found = token_ledger(tap, TokenLedgerParams(rules="token_norm, fastv, even"))
    assert list(found.series) == ["Token norm", "Evenly spread"]
    assert any("FastV is left out: FastV looks at mean attention" in c for c in found.caveats)
    desk = TokenDesk(tap)
    kept = desk.dump(0)
    assert sorted(kept.dump.recorded) == ["between", "hidden", "mean influence"]
    assert not kept.note
    answer = desk.applied(0, "received_influence", 0.5)
    assert answer.counts == (12, 10, 7)
    assert answer.nats > 0
    atlas = attention_atlas(tap, AttentionAtlasParams())
    assert any("mixes its tokens by scans and has no attention" in c for c in atlas.caveats)


def test_depth_of_a_network_of_scans_is_that_of_its_own_blocks(tap):
    """Not of random blocks: states, norms and exits are the network's."""
    import torch

    from analysis.methods.tokens.early_exits import early_exits
    from analysis.methods.tokens.exit_samples import exit_samples
    from analysis.methods.tokens.layer_contribution import PARTS, WHOLE, layer_contribution
    from analysis.methods.tokens.layer_skipping import layer_skipping
    from analysis.methods.tokens.lens_words import lens_words
    from analysis.methods.tokens.logit_lens import logit_lens
    from analysis.methods.tokens.norm_audit import norm_audit
    from analysis.methods.tokens.random_projection_ablation import random_projection_ablation
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    manifest = tap.store.manifest
    loaded = open_checkpoint(manifest["checkpoint"]["path"]).load()
    data = open_data(manifest["data"]["path"])
    sizes = []
    for i in range(len(data.ids)):
        x = []
        hook = loaded.module.backbone.layers[0].register_forward_hook(
            lambda _, given, out, x=x: x.extend(h.detach()[0].double().numpy() for h in (given[0], out))
        )
        with torch.no_grad():
            loaded.module(**loaded.prepare(data.items(i, i + 1)))
        hook.remove()
        sizes.append((np.linalg.norm(x[1] - x[0], axis=1) / np.linalg.norm(x[0], axis=1)).mean())
    found = layer_contribution(tap)
    assert found.series[WHOLE][0] == pytest.approx(np.mean(sizes), rel=1e-4)
    assert not set(PARTS) & set(found.series)
    assert found.x_labels == ("backbone.layers.0", "backbone.layers.1")
    norms = norm_audit(tap)
    assert list(norms.columns["norm"]) == [f"backbone.layers.{i}, before the scan" for i in range(2)]
    assert norms.estimates[1].null == pytest.approx(np.sqrt(2))
    for ask in (
        logit_lens,
        layer_skipping,
        lens_words,
        early_exits,
        exit_samples,
        random_projection_ablation,
    ):
        said = " ".join(ask(tap).caveats)
        assert "random weights" not in said, ask.__name__
