"""Files that hold only an adapter, opened over their base: to the bit, by every name, and refused in words."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from hugging_face_subjects import image_model, text_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from analysis.errors import InputError, NotFound  # noqa: E402
from analysis.methods.tokens.adapted_features import MOVED, adapted_features  # noqa: E402
from analysis.recording.recorder import record  # noqa: E402
from analysis.sources.adapters.description import read_adapter, write_adapter  # noqa: E402
from analysis.sources.adapters.over_base import merged_tensor  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.sources.data import open_data  # noqa: E402
from analysis.sources.weights import weights_of  # noqa: E402
from dashboard.cli import main  # noqa: E402

RANK, ALPHA = 2, 6


@pytest.fixture
def base(tmp_path):
    image_model(tmp_path / "vit")
    return tmp_path / "vit"


def modules(model, word):
    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and word in n]


def blocks(model):
    return [n for n, m in model.named_modules() if type(m).__name__.endswith("Layer") and n[-1].isdigit()]


def pairs(model, names, zero=False):
    torch.manual_seed(3)
    state = {}
    for name in names:
        weight = model.get_submodule(name).weight
        state[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, weight.shape[1])
        b = torch.zeros if zero else torch.randn
        state[f"base_model.model.{name}.lora_B.weight"] = b(weight.shape[0], RANK)
    return state


def peft_folder(folder, state, base, **changes):
    folder.mkdir()
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": ALPHA,
    } | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(state, str(folder / "adapter_model.safetensors"))
    return folder


def tensors(loaded):
    return {k: v.clone() for k, v in loaded.module.state_dict().items()}


def test_low_rank_pairs_of_peft_are_in_the_weights_and_no_others_are_touched(base, tmp_path):
    own = open_checkpoint(base).load()
    names = modules(own.module, "layers") or modules(own.module, "layer")
    state = pairs(own.module, names[:3])
    state["base_model.model.classifier.modules_to_save.default.bias"] = torch.tensor([1.0, 2.0, 3.0])
    found = open_checkpoint(peft_folder(tmp_path / "a", state, base))
    assert found.kind == "adapted"
    assert found.modality == "image"
    before, after = tensors(own), tensors(found.load())
    for name in before:
        module = name.removesuffix(".weight")
        expected = before[name]
        if name.endswith(".weight") and module in names[:3]:
            a, b = (state[f"base_model.model.{module}.lora_{s}.weight"] for s in "AB")
            expected = expected + ALPHA / RANK * b @ a
        elif name == "classifier.bias":
            expected = torch.tensor([1.0, 2.0, 3.0])
        torch.testing.assert_close(after[name], expected, rtol=1e-6, atol=1e-6)
    note = found.load().notes[-1]
    assert "3 low-rank pair(s), 1 whole tensor(s)" in note
    count = sum(v.numel() for v in state.values())
    assert f"{count / sum(p.numel() for p in own.module.parameters()):.2%}" in note


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({"use_rslora": True}, ALPHA / np.sqrt(RANK)),
        ({"lora_alpha": 10}, 5.0),
        ({"alpha_pattern": {"value": 4}}, None),
    ],
)
def test_the_scale_of_a_pair(base, tmp_path, changes, scale):
    own = open_checkpoint(base).load()
    name = next(n for n in modules(own.module, "layers") if n.endswith(("value", "v_proj")))
    scale = 2.0 if scale is None else scale
    if "alpha_pattern" in changes:
        changes = {"alpha_pattern": {name.rpartition(".")[2]: 4}}
    state = pairs(own.module, [name])
    after = tensors(open_checkpoint(peft_folder(tmp_path / "a", state, base, **changes)).load())
    a, b = (state[f"base_model.model.{name}.lora_{s}.weight"] for s in "AB")
    torch.testing.assert_close(
        after[f"{name}.weight"] - tensors(own)[f"{name}.weight"], scale * b @ a, rtol=1e-4, atol=1e-5
    )


def test_magnitudes_and_conv1d_weights(tmp_path):
    text_model(tmp_path / "gpt")
    own = open_checkpoint(tmp_path / "gpt").load()
    name, weight = "transformer.h.0.mlp.c_fc", own.module.transformer.h[0].mlp.c_fc.weight  # (in, out)
    torch.manual_seed(1)
    a, b, m = (
        torch.randn(RANK, weight.shape[0]),
        torch.randn(weight.shape[1], RANK),
        torch.rand(weight.shape[1]),
    )
    state = {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b,
             f"base_model.model.{name}.lora_magnitude_vector": m}  # fmt: skip
    after = open_checkpoint(peft_folder(tmp_path / "a", state, tmp_path / "gpt")).load()
    got = after.module.transformer.h[0].mlp.c_fc.weight.T
    made = weight.T + ALPHA / RANK * b @ a
    torch.testing.assert_close(got, m[:, None] * made / made.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(merged_tensor(tmp_path / "a" / "adapter_config.json", f"{name}.weight"),
                               got.T.double().numpy(), atol=1e-6)  # fmt: skip


def test_a_zero_adapter_displaces_nothing_and_a_trained_one_something(base, tmp_path):
    """The whole way: recorded from its files, compared with the base layer by layer."""
    own = open_checkpoint(base).load()
    layers = [
        n
        for n, _ in own.module.named_modules()
        if n.endswith((".0", ".1")) and "layer" in n and n.count(".") < 4
    ]
    images = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    data = open_data(tmp_path / "x.npz")
    linear = modules(own.module, layers[0])
    zero = peft_folder(tmp_path / "zero", pairs(own.module, linear, zero=True), base)
    some = peft_folder(tmp_path / "some", pairs(own.module, linear), base)
    taps = []
    for name, path in (("base", base), ("zero", zero), ("some", some)):
        store = record(
            open_checkpoint(path), data, tmp_path / f"store {name}", name=name, taps=layers, dtype="float32"
        )
        taps.append([store.activations(layer) for layer in layers])
    found = [adapted_features(*taps[0], *other) for other in taps[1:]]
    still, moved = (f.series[MOVED] for f in found)
    share = sum(v.numel() for v in pairs(own.module, linear).values()) / open_checkpoint(base).n_parameters
    assert any(f"{share:.2%} of the base's" in said for said in found[1].caveats)
    assert (still == 0).all()
    assert (moved > 0.01).all()
    network = weights_of(taps[2][0])
    assert network.kind == "adapted"
    state = open_checkpoint(some).load().module.state_dict()
    held = {v.double().numpy().tobytes() for v in state.values()}
    inside = [
        k for k in network.shapes if network.tensor(k).astype(np.float32).astype(np.float64).tobytes() in held
    ]
    assert len(inside) == len(network.shapes)  # every weight that is read is one that runs


def test_names_that_transformers_changed_are_found_by_the_values_of_the_file(base, tmp_path):
    shapes = open_checkpoint(base).shapes
    own = open_checkpoint(base).load()
    inside = set(own.module.state_dict())
    renamed = next((k for k in shapes if k not in inside and k.endswith("query.weight")), None)
    if renamed is None:
        pytest.skip("this transformers names modules as the file does")
    module = renamed.removesuffix(".weight")
    state = {
        f"{module}.lora_A": torch.randn(RANK, shapes[renamed][1]),
        f"{module}.lora_B": torch.randn(shapes[renamed][0], RANK),
    }
    folder = tmp_path / "a"
    folder.mkdir()
    save_file(state, str(folder / "adapter.safetensors"))
    write_adapter(folder / "adapter.safetensors", base)
    before, after = tensors(own), tensors(open_checkpoint(folder).load())
    other = [k for k in before if not torch.equal(before[k], after[k])]
    assert len(other) == 1
    delta = state[f"{module}.lora_B"] @ state[f"{module}.lora_A"]
    torch.testing.assert_close(after[other[0]] - before[other[0]], delta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        merged_tensor(folder / "adapter.json", renamed), after[other[0]].numpy(), atol=1e-6
    )


def test_bottlenecks_stand_behind_their_modules_shared_or_not(base, tmp_path):
    own = open_checkpoint(base).load()
    layers = [
        n for n, m in own.module.named_modules() if type(m).__name__.endswith("Layer") and n[-1].isdigit()
    ]
    torch.manual_seed(0)
    neck = {"adapter.down.weight": torch.randn(3, 16), "adapter.down.bias": torch.randn(3),
            "adapter.up.weight": torch.randn(16, 3)}  # fmt: skip
    for kind in ("own", "shared"):
        folder = tmp_path / kind
        folder.mkdir()
        prefix = f"{layers[0]}." if kind == "own" else ""
        save_file({prefix + k: v.clone() for k, v in neck.items()}, str(folder / "adapter.safetensors"))
        at = () if kind == "own" else tuple(layers)
        write_adapter(folder / "adapter.safetensors", base, at=list(at), scale=0.5, activation="gelu")
        loaded = open_checkpoint(folder).load()
        seen = {}
        for name in layers:
            loaded.module.get_submodule(name).register_forward_hook(partial(kept, seen, name))
        with torch.no_grad():
            loaded.module(pixel_values=torch.randn(2, 3, 16, 16))
            for name in layers:
                given, got = seen[name]
                plain = first(own.module.get_submodule(name)(given))
                inner = torch.nn.functional.gelu(
                    plain @ neck["adapter.down.weight"].T + neck["adapter.down.bias"]
                )
                added = (
                    0.5 * inner @ neck["adapter.up.weight"].T if kind == "shared" or name == layers[0] else 0
                )
                torch.testing.assert_close(got, plain + added, rtol=1e-5, atol=1e-5)


def first(out):
    return out[0] if isinstance(out, tuple) else out


def kept(seen, name, _module, given, out):
    seen[name] = (first(given), first(out))


def test_the_digest_follows_adapter_base_and_settings(base, tmp_path):
    own = open_checkpoint(base).load()
    folder = peft_folder(tmp_path / "a", pairs(own.module, modules(own.module, "layers")[:1]), base)
    first = open_checkpoint(folder).digest
    assert open_checkpoint(folder / "adapter_config.json").digest == first
    assert open_checkpoint(folder / "adapter_model.safetensors").digest == first
    config = json.loads((folder / "adapter_config.json").read_text()) | {"lora_alpha": 7}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    second = open_checkpoint(folder).digest
    assert second != first
    image_model(base, channels=3)
    changed = base / "config.json"
    changed.write_text(changed.read_text().replace("eel", "fox"))
    assert open_checkpoint(folder).digest not in (first, second)


def test_what_has_no_place_is_refused_in_words(base, tmp_path):
    own = open_checkpoint(base).load()
    name = modules(own.module, "layers")[0]
    good = pairs(own.module, [name])
    lone = dict(list(good.items())[:1])
    wrong = {k: torch.randn(RANK, 5) if "lora_A" in k else v for k, v in good.items()}
    for i, (state, changes, said) in enumerate((
        (good | {"prompt_embeddings": torch.randn(4, 16)}, {}, "no place in"),
        (lone, {}, "half of a low-rank pair"), (wrong, {}, "low-rank pair of"),
        ({"adapter.down.weight": torch.randn(2, 16), "adapter.up.weight": torch.randn(16, 2)}, {}, "names no module"),
        (good, {"peft_type": "PREFIX_TUNING"}, "of type PREFIX_TUNING"),
    )):  # fmt: skip
        with pytest.raises(InputError, match=said):
            open_checkpoint(peft_folder(tmp_path / f"bad {i}", state, base, **changes)).load()
    away = peft_folder(tmp_path / "away", good, "someone/vit-large")
    with pytest.raises(NotFound, match="nothing is fetched"):
        open_checkpoint(away)
    alone = tmp_path / "alone.safetensors"
    save_file(good, str(alone))
    with pytest.raises(InputError, match="loupe adapt"):
        open_checkpoint(alone).load()


def test_the_command_names_the_base_and_keeps_nothing_that_does_not_fit(base, tmp_path, capsys):
    own = open_checkpoint(base).load()
    name = modules(own.module, "layers")[0]
    folder = peft_folder(tmp_path / "a", pairs(own.module, [name]), "someone/vit-large")
    assert main(["adapt", str(folder), "--base", str(base)]) == 0
    assert "written" in capsys.readouterr().out
    told = read_adapter(folder / "adapter_config.json")
    assert told.base == base.resolve()
    assert told.alpha == ALPHA  # PEFT's own settings stay
    assert open_checkpoint(folder).kind == "adapted"
    text_model(tmp_path / "gpt")
    other = tmp_path / "b"
    other.mkdir()
    save_file(pairs(own.module, [name]), str(other / "adapter.safetensors"))
    assert main(["adapt", str(other), "--base", str(tmp_path / "gpt")]) == 1
    assert not (other / "adapter.json").exists()
    assert main(["adapt", str(other), "--base", str(base), "--alpha", "6"]) == 0
    (other / "adapter.json").write_text((other / "adapter.json").read_text().replace("6", "7"))
    assert main(["adapt", str(other), "--base", str(base), "--alpha", "6"]) == 1
    assert "says something else" in capsys.readouterr().err
