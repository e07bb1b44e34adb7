"""A question that needs a part of a network of one's own: what its refusal says to do is done, and it is answered."""

from __future__ import annotations

import re
import shlex
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from analysis import pipeline  # noqa: E402
from analysis.errors import LoupeError, NotFound  # noqa: E402
from analysis.workspace import Workspace  # noqa: E402
from dashboard.cli import main  # noqa: E402

OWN = '''
import torch
from torch import nn


class Crowd(nn.Module):
    """Two scales of density and a gate for each pixel."""

    modality = "array"

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.gate, self.near, self.far = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 1, 1), nn.Conv2d(4, 1, 5, padding=2)
        self.gates, self.densities = nn.Identity(), nn.Identity()

    def prepare(self, items):
        return torch.as_tensor([[i] for i in map(lambda x: x.tolist(), items)], dtype=torch.float32)

    def forward(self, x):
        h = self.stem(x).relu()
        g = self.gates(self.gate(h).softmax(dim=1))
        d = self.densities(torch.cat([self.near(h), self.far(h)], dim=1))
        return (g * d).sum(dim=(1, 2, 3))[:, None]


class Prompted(nn.Module):
    """Soft prompts, a router over them, and the words they are made of."""

    modality = "array"

    def __init__(self):
        super().__init__()
        self.ctx = nn.Parameter(torch.randn(3, 4, 8))
        self.token_embedding = nn.Embedding(50, 8)
        self.image, self.router = nn.Linear(64, 8), nn.Linear(8, 3)

    def prepare(self, items):
        return torch.as_tensor([x.ravel().tolist() for x in items], dtype=torch.float32)

    def forward(self, x):
        h = self.image(x)
        p = self.router(h).softmax(dim=1)
        text = torch.einsum("be,eld->bd", p, self.ctx)
        return (h * text).sum(dim=1, keepdim=True)


class Perceiving(nn.Module):
    """Latent codes that read the patches of a feature branch, twice."""

    modality = "array"

    def __init__(self):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(3, 6))
        self.stage1, self.stage2 = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.latents, self.patches, self.head = nn.Identity(), nn.Identity(), nn.Linear(6, 2)

    def prepare(self, items):
        return torch.as_tensor([[x.tolist()] for x in items], dtype=torch.float32)

    def forward(self, x):
        h = self.stage2(self.stage1(x).relu())
        patches = self.patches(h.flatten(2).transpose(1, 2))
        latents = self.latents(self.codes.expand(len(x), -1, -1))
        a = (latents @ patches.transpose(1, 2) / 6**0.5).softmax(dim=-1)
        return self.head((a @ patches).mean(dim=1))


def make():
    return Crowd()


def prompted():
    return Prompted()


def perceiving():
    return Perceiving()
'''


@pytest.fixture
def place(tmp_path, monkeypatch, rng):
    """A folder with my_nets.py, a data set of 40 arrays, and an empty workspace; it is where we stand."""
    (tmp_path / "my_nets.py").write_text(OWN)
    np.savez(tmp_path / "data.npz", images=rng.standard_normal((40, 8, 8)).astype(np.float32),
             labels=np.arange(40) % 2)  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_nets", None)
    yield tmp_path
    sys.modules.pop("my_nets", None)


def weights(place, factory: str):
    import my_nets

    torch.manual_seed(3)
    network = getattr(my_nets, factory)().eval()
    torch.save(network.state_dict(), place / "net.pth")
    return network, np.load(place / "data.npz")["images"]


def recorded(remedy: str, factory: str = "make", name: str = "mine", taps: tuple = ()) -> Workspace:
    """What a refusal says, with its capitals replaced, is run as it stands."""
    said = re.search(r"loupe (record net\.pth DATA .*--name NAME)", remedy)
    assert said, remedy
    words = shlex.split(said[1].replace("DATA", "data.npz --array images --labels labels").replace("DIR", "work")
                        .replace("NAME", name).replace("my_nets:make", f"my_nets:{factory}"))  # fmt: skip
    if taps:
        words[words.index("--taps") + 1 : words.index("--tokens")] = taps
    assert main(words) == 0
    return Workspace.open("work")


def refusal(method: str, *taps, **params) -> str:
    with pytest.raises(LoupeError) as error:
        pipeline.run(method, list(taps), params)
    return str(error.value)


def test_gates_and_densities_of_a_crowd_counter_are_recorded_and_counted(place, rng, capsys):
    network, images = weights(place, "make")
    said = refusal("scale_counts", rng.random((40, 2)), rng.random((40, 3)))
    work = recorded(said)
    taps = [work.activations(f"mine:{name}") for name in ("gates", "densities")]
    found = pipeline.run("scale_counts", taps)
    with torch.no_grad():
        h = network.stem(torch.from_numpy(images)[:, None]).relu()
        g, d = network.gate(h).softmax(dim=1), torch.cat([network.near(h), network.far(h)], dim=1)
        parts = (g * d).sum(dim=(2, 3)).numpy()
        answer = network(torch.from_numpy(images)[:, None])[:, 0].numpy()
    by = dict(zip(found.columns["scale"], found.columns["count"], strict=True))
    np.testing.assert_allclose([by["0"], by["1"]], parts.mean(axis=0), rtol=1e-4)
    assert sum(by.values()) == pytest.approx(answer.mean(), rel=1e-4)  # the integral is the count


def test_a_router_over_soft_prompts_is_recorded_and_asked(place, rng, capsys):
    network, images = weights(place, "prompted")
    work = recorded(refusal_of_router(place), "prompted")
    tap = work.activations("mine:router")
    found = pipeline.run("router_choices", [tap], {"experts_per_token": 1})
    with torch.no_grad():
        p = network.router(network.image(torch.from_numpy(images).flatten(1))).softmax(dim=1).numpy()
    assert found.series["mass of the gates"][0] == pytest.approx(p.max(axis=1).mean(), rel=1e-4)
    assert found.series["mass of the gates"][-1] == pytest.approx(1.0)
    groups = pipeline.run("expert_samples", [tap], {"maximum_samples": 24})
    assert groups.title


def refusal_of_router(place) -> str:
    """Of a stored tap that is neither named as gates nor between 0 and 1."""
    weights(place, "perceiving")
    other = recorded('loupe record net.pth DATA --model my_nets:make --taps "stage1" --tokens all --workspace DIR '
                     "--name NAME", "perceiving", "other")  # fmt: skip
    said = refusal("router_choices", other.activations("other:stage1"))
    assert "*router*" in refusal("route_weights", other.activations("other:stage1")).replace(
        "*route*", "*router*"
    )
    weights(place, "prompted")
    return said


def test_soft_prompts_are_read_from_the_weights(place, capsys):
    network, _ = weights(place, "prompted")
    with torch.no_grad():  # the second prompt's third vector is word 17, the others lie far from all
        network.ctx[1, 2] = network.token_embedding.weight[17]
    torch.save(network.state_dict(), place / "net.pth")
    work = recorded('loupe record net.pth DATA --model my_nets:make --taps "router" --tokens all --workspace DIR '
                    "--name NAME", "prompted")  # fmt: skip
    tap = work.activations("mine:router")
    found = pipeline.run("prompt_words", [tap, tap], {"vectors": "ctx"})
    by = dict(zip(found.columns["vector"], found.columns["nearest"], strict=True))
    assert len(by) == 12
    assert by["1, 2"].endswith("17")
    at = list(found.columns["vector"]).index("1, 2")
    assert found.columns["cosine"][at] == pytest.approx(1.0)
    with pytest.raises(NotFound, match="one of ctx"):
        pipeline.run("prompt_words", [tap, tap], {"vectors": "prompts"})


def test_latents_and_the_feature_branch_are_recorded_and_asked(place, rng, capsys):
    network, images = weights(place, "perceiving")
    asked = {"source": "the network's own cross-attention"}
    plain = [rng.standard_normal((64, 3)), rng.standard_normal((64, 3))]
    said = " ".join(pipeline.run("prompt_attention", plain, asked).caveats)
    work = recorded(said, "perceiving", taps=("*latents*", "*patches*", "stage*", "outputs.logits"))
    taps = [work.activations(f"mine:{name}") for name in ("latents", "patches")]
    found = pipeline.run("prompt_attention", taps, {"sample": 5})
    with torch.no_grad():
        x = torch.from_numpy(images)[5:6, None]
        patches = network.stage2(network.stage1(x).relu()).flatten(2).transpose(1, 2)
        a = (network.codes @ patches[0].T / 6**0.5).softmax(dim=-1).numpy()
    np.testing.assert_allclose(found.values, 64 * a, rtol=2e-3)
    branch = [work.activations(f"mine:{name}") for name in ("stage1", "stage2", "outputs.logits")]
    told = pipeline.run("exit_divergence", branch)
    assert told.estimates


def test_latents_of_a_network_of_a_known_kind_are_watched_while_it_runs(tmp_path, monkeypatch):
    """A Perceiver in a Hugging Face directory: weights by hand from its own projections."""
    t = pytest.importorskip("transformers")
    from types import SimpleNamespace

    from analysis.activations import ArrayActivations, Layout
    from analysis.sources import rerun as rerunning
    from analysis.sources.checkpoint import open_checkpoint

    torch.manual_seed(0)
    config = t.PerceiverConfig(
        num_latents=6, d_latents=16, d_model=16, num_blocks=1, num_self_attends_per_block=1, qk_channels=16,
        num_self_attention_heads=2, num_cross_attention_heads=2, image_size=8, num_labels=4, v_channels=16,
    )  # fmt: skip
    t.PerceiverForImageClassificationLearned(config).save_pretrained(tmp_path / "net")
    t.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(tmp_path / "net")
    loaded = open_checkpoint(tmp_path / "net").load()
    loaded.module.eval()
    pictures = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    run = SimpleNamespace(loaded=loaded, data=SimpleNamespace(items=lambda i, j: list(pictures[i:j])),
                          samples=np.arange(5), n=5, note="Run.")  # fmt: skip
    monkeypatch.setattr(rerunning, "rerun", lambda *_a, **_k: run)
    tap = ArrayActivations(np.random.default_rng(1).standard_normal((40, 4)), layout=Layout(np.arange(6) * 8))
    found = pipeline.run("prompt_attention", [tap, tap],
                         {"source": "the network's own cross-attention", "sample": 3, "head": 2})  # fmt: skip
    caught = {}
    attention = loaded.module.perceiver.encoder.cross_attention.attention.self
    hooks = [attention.query.register_forward_hook(lambda _m, _i, o: caught.update(q=o)),
             attention.key.register_forward_hook(lambda _m, _i, o: caught.update(k=o))]  # fmt: skip
    with torch.no_grad():
        loaded.run(loaded.prepare([pictures[3]]))
    for hook in hooks:
        hook.remove()
    q, k = caught["q"][0, :, 8:], caught["k"][0, :, 8:]  # the second of two heads
    a = (q @ k.T / 8**0.5).softmax(dim=-1).numpy()
    np.testing.assert_allclose(found.values, a * 64, rtol=1e-4)
    assert found.grid == (8, 8)
    assert found.pictures is not None
    with pytest.raises(NotFound, match="head 3"):
        pipeline.run("prompt_attention", [tap, tap],
                     {"source": "the network's own cross-attention", "head": 3})  # fmt: skip
