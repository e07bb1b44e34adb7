"""Who is responsible in a vision transformer that others trained: a module of the reader's own code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from own_code import code_allowed
from recorded import recorded
from test_vit import digits  # noqa: F401

from analysis.attribution import backgrounds, targets
from analysis.attribution.attention_maps import attention_of, fused_weights
from analysis.attribution.saliency.way import Question, Settings
from analysis.attribution.saliency.ways import EXPLAINING, WAYS
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError
from analysis.methods.attribution.direct_logit_attribution import DirectLogitParams, direct_logit_attribution
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.hooked_run import hooked_run

EXCHANGING = (
    "integrated gradients",
    "occlusion",
    "RISE",
    "Shapley values",
)  # what stands at a place is taken away
NO_RULE = ("DeepLIFT", "LRP", "LRP, gamma", "LRP, z-plus")
PATCHES, SIDE = "to_patch_embedding", 4


@pytest.fixture(scope="module")
def loaded(real):
    return open_checkpoint(real / "vit" / "vit_mnist_gpu.pt", model="networks:MnistViT").load()


@pytest.fixture(scope="module")
def store(real, digits, tmp_path_factory):  # noqa: F811
    with code_allowed("MnistViT"):
        return recorded(real / "vit" / "vit_mnist_gpu.pt", "MnistViT", digits, tmp_path_factory.mktemp("vit") / "s",
                        taps=["*blocks*"], tokens="all", dtype="float32", limit=60)  # fmt: skip


def test_attention_is_what_queries_and_keys_make_of_it(loaded, digits):  # noqa: F811
    run = SampleRun(loaded, digits.items(3, 4)[0], PATCHES)
    found = attention_of(run)
    assert found.shape == (6, 4, 50, 50)
    names = [f"transformer.layers.{i}.0.fn.to_qkv" for i in range(6)]
    with hooked_run(loaded.module, names) as caught:
        loaded.forward(run.inputs)
    for layer, name in enumerate(names):
        q, k, _ = caught[name].double().numpy().reshape(50, 3, 4, 64).transpose(1, 2, 0, 3)
        scores = np.exp(q @ k.transpose(0, 2, 1) / 8)
        np.testing.assert_allclose(found[layer], scores / scores.sum(axis=-1, keepdims=True), atol=1e-5)


def test_patches_that_the_class_token_looks_at_in_the_second_layer_are_enough(loaded, digits):  # noqa: F811
    """Published shares of right answers with so many of 49 patches kept behind it; the least looked at do worse."""
    net, right = loaded.module, dict.fromkeys(((12, True), (6, True), (12, False)), 0)
    answers = torch.as_tensor(np.asarray(digits.labels).astype(int))
    for start in range(0, 1797, 300):
        stop, weights = min(start + 300, 1797), []
        inputs = loaded.prepare(digits.items(start, stop))
        second = "transformer.layers.1"
        with hooked_run(net, [second]) as caught, fused_weights(weights):
            net(inputs)
        seen = weights[1][:, :, 0, 1:].mean(dim=1)
        for kept, most in right:
            at = seen.argsort(dim=1, descending=most)[:, :kept] + 1
            at = torch.cat([torch.zeros(len(at), 1, dtype=torch.long), at], dim=1)
            x = torch.gather(caught[second], 1, at[..., None].expand(-1, -1, 64))
            with torch.no_grad():
                for block in list(net.transformer.layers)[2:]:
                    x = block(x)
                right[kept, most] += int((net.mlp_head(x[:, 0]).argmax(dim=1) == answers[start:stop]).sum())
    shares = {k: 100 * v / 1797 for k, v in right.items()}
    for kept, known in ((12, 80.63), (6, 72.34)):
        assert shares[kept, True] == pytest.approx(known, abs=0.12)  # two samples
    assert shares[12, False] < 72


def test_what_parts_write_straight_to_the_answer_adds_up(store):
    with code_allowed("MnistViT"):
        tap = store.activations("transformer.layers.3")
        found = direct_logit_attribution(tap, DirectLogitParams(maximum_samples=16))
    assert len(found.names) == 1 + 12 + 1  # embedding, attention and MLP of six blocks, biases
    assert abs(found.residual) < 1e-4 * np.abs(found.values).sum()


def test_behind_the_last_block_the_answer_is_owed_to_the_class_token_alone(store):
    with code_allowed("MnistViT"):
        tap = store.activations("transformer.layers.5")
        found = sample_attribution(tap, SampleAttributionParams(players="tokens", null_samples=2))
    assert np.abs(found.values[1:]).max() == 0
    assert found.values[0] != 0
    assert abs(found.residual) < 0.01 * abs(found.end - found.start)


def test_code_of_a_checkpoint_is_not_run_without_leave(store):
    found = sample_attribution(
        store.activations("transformer.layers.5"), SampleAttributionParams(null_samples=2)
    )
    assert any("needs Python code of its own" in c for c in found.caveats)
    assert any("linear probe" in c for c in found.caveats)


# ---------------------------------------------------------------------------- a shortcut
class Pooled(torch.nn.Module):
    """The trained network up to its last block; what decides is the mean of its tokens, along one direction."""

    def __init__(self, net) -> None:
        super().__init__()
        self.net, self.head = net, torch.nn.Linear(64, 2)
        self.to_patch_embedding = net.to_patch_embedding

    def tokens(self, x):
        x = torch.cat([self.net.cls_token.expand(len(x), -1, -1), self.to_patch_embedding(x)], dim=1)
        return self.net.transformer(x + self.net.pos_embedding).mean(dim=1)

    def forward(self, x):
        return self.head(self.tokens(x))


def squared(pictures):
    pictures = pictures.copy()
    pictures[:, :SIDE, :SIDE] = 255
    return pictures


@pytest.fixture(scope="module")
def shortcut(loaded, digits):  # noqa: F811
    """Class 1 where there is a white square in the corner: the linear discriminant, which is fitted in closed form."""
    pictures = np.stack([np.asarray(p) for p in digits.items(0, 200)])
    net = Pooled(loaded.module).eval()
    with torch.no_grad():
        without, there = (
            net.tokens(loaded.prepare(list(p))).double().numpy() for p in (pictures, squared(pictures))
        )
    within = np.cov(np.r_[without - without.mean(axis=0), there - there.mean(axis=0)], rowvar=False)
    apart = there.mean(axis=0) - without.mean(axis=0)
    way = np.linalg.solve(within + 1e-3 * np.trace(within) / 64 * np.eye(64), apart)
    way /= apart @ way
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.zero_()
        net.head.weight[1] = torch.as_tensor(way)
    return replace(loaded, module=net), pictures, np.asarray(digits.labels[:200]).astype(int)


@pytest.fixture(scope="module")
def question(shortcut):
    network, pictures, labels = shortcut
    run = SampleRun(network, squared(pictures[labels == 7][:1])[0], PATCHES)
    run.grid = (7, 7)
    others = [SampleRun(network, p, PATCHES).clean for p in pictures[:20]]
    settings = Settings(steps=16, window=1, masks=300, budget=300)
    return Question(run, targets.logit_target(run.logits, answer=1), backgrounds.background("mean", run.clean, others),
                    settings=settings)  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINING)
def test_a_planted_square_is_found_by_every_way_that_takes_it_away(question, name):
    """Slopes alone tell of small changes where the sample stands and need not find it: those only give a map."""
    if name in NO_RULE:
        library = name.partition(",")[0]
        with pytest.raises(InputError, match=f"for which {library} has no rule"):
            WAYS[name].make(question)
        return
    found = WAYS[name].make(replace(question, rng=np.random.default_rng(0)))
    assert np.isfinite(found.values).all()
    assert found.values.any()
    if name in EXCHANGING or name == "Grad-CAM":
        assert found.values.argmax() == 0
    if name in EXCHANGING:
        assert found.values[0] > 0.08 * np.abs(found.values).sum()  # an even share is 0.02
    if WAYS[name].complete:
        run, behind = question.run, question.background
        ends = [float(run.values(x, question.target).double().mean()) for x in (run.clean[None], behind.rows)]
        missed = abs(found.values.sum() - (ends[0] - ends[1]))
        assert missed == pytest.approx(abs(found.residual), abs=1e-4)
        assert missed < 0.05 * np.abs(found.values).sum()


def test_a_random_map_knows_nothing_of_the_square_that_decides(question):
    found = WAYS["random"].make(replace(question, rng=np.random.default_rng(0)))
    assert found.values.argmax() != 0  # edges are no such control here: a white square has the strongest ones
