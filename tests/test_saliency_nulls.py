"""How often chance gives as much: tokens beyond other samples' maps, agreement of maps that stay smooth, answers and
slopes that say nothing, and what ways keep in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from analysis.attribution import backgrounds
from analysis.attribution.saliency import occlusion, random_masks, windows
from analysis.attribution.saliency.agreement import agreement_over_samples
from analysis.attribution.saliency.beyond_others import beyond_estimate, beyond_others
from analysis.attribution.saliency.random_masks import block_rows, rise
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way, checked_map
from analysis.attribution.saliency.ways import WAYS
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import logit_target
from analysis.errors import InputError
from analysis.sources.loaded_model import LoadedModel

OF_SLOPES = (
    "gradient", "gradient x input", "linear approximation", "Grad-CAM", "NormGrad", "NormGrad, scaling",
    "NormGrad, 3 x 3", "NormGrad after a step",
)  # fmt: skip


def smooth(rng, *shape, width=8):
    """Independent maps whose neighbouring tokens are alike."""
    total = np.cumsum(rng.standard_normal((*shape[:-1], shape[-1] + width)), axis=-1)
    return total[..., width:] - total[..., :-width]


def asked(module, x, window=1, masks=40) -> Question:
    loaded = LoadedModel(
        module.double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    run = SampleRun(loaded, x)
    behind = backgrounds.background("zero", run.clean, [])
    return Question(
        run, logit_target(run.logits, answer=0), behind, settings=Settings(4, window, 1, masks, 64)
    )


# ---------------------------------------------------------------------------- beyond others
def test_chance_of_a_token_counts_ties_and_who_reaches_it():
    found = beyond_others([np.array([1.0, 0.0])], [np.zeros(2), np.zeros(2)])
    assert found.found.tolist() == [True, False]
    assert found.null == pytest.approx((1 / 3 + 0) / 2)  # without ties it were 2 / 3
    text = beyond_others([np.arange(4.0)], [np.array([5.0, 1.0, 3.0]), np.array([-1.0])])
    assert text.left_out == 1  # the last token, that no other reaches
    assert text.found.tolist() == [False, False, True]  # of two that are equal none is beyond
    assert text.null == pytest.approx((2 / 3 + 0 + 2 / 2) / 3)


def test_chance_is_what_one_more_of_the_others_gives_also_with_many_zeros():
    rng, apart, plain = np.random.default_rng(0), [], []
    for _ in range(60):
        maps = np.maximum(np.round(rng.standard_normal((10, 200)), 1) - 0.8, 0)
        found = beyond_others(maps[:1], maps[1:])
        apart.append(found.share - found.null)
        plain.append(found.share - 2 / 10)
    error = np.std(apart) / np.sqrt(len(apart))
    assert abs(np.mean(apart)) < 3 * error < 3 * 0.01
    assert np.mean(plain) < -0.05


def test_smooth_maps_of_nothing_are_seldom_called_beyond():
    """Two-sided at 5 %: the interval that counts tokens as independent is off in two of three."""
    rng, off, small = np.random.default_rng(1), 0, 0
    for _ in range(100):
        maps = smooth(rng, 20, 196, width=30)
        found = beyond_others(maps[:1], maps[1:])
        told = beyond_estimate(found, 1)
        off += not told.low <= told.null <= told.high
        small += told.p_value <= 0.05
        assert found.independent < 196 / 4
    assert off <= 12
    assert small <= 12


# ---------------------------------------------------------------------------- agreement
def test_maps_that_are_smooth_and_know_nothing_of_each_other_do_not_agree():
    rng, found = np.random.default_rng(2), []
    for _ in range(60):
        place = 2 * smooth(rng, 1, 60)  # what every map likes anyway
        maps = [np.exp(smooth(rng, 3, 60) + place) for _ in range(6)]
        found.append(agreement_over_samples(maps, "agreement", rng, 1, draws=59))
    assert sum(e.p_value <= 0.05 for e in found) <= 8
    assert np.mean([e.value for e in found]) == pytest.approx(np.mean([e.null for e in found]), abs=0.02)
    assert np.mean([e.null for e in found]) > 0.3  # tokens in another order would give 0


def test_agreement_of_one_map_by_several_names_and_its_interval_over_samples():
    rng = np.random.default_rng(0)
    maps = [np.outer([1.0, -2.0, 3.0], smooth(rng, 50)) for _ in range(6)]
    alike = agreement_over_samples(maps, "agreement", rng, 1)
    assert (alike.value, alike.low, alike.high) == pytest.approx((1, 1, 1))
    assert alike.n == 6
    assert alike.null_high < 0.7
    assert alike.p_value <= 0.01
    held = []
    for _ in range(150):  # samples differ in how far their maps agree
        shares = rng.random(8)
        both = [
            (rng.random((1, 300)) < s) * rng.standard_normal((1, 300)) + 1e-3 * rng.standard_normal((2, 300))
            for s in shares
        ]
        held.append(agreement_over_samples(both, "agreement", rng, 1, draws=2))
    middle = np.mean([e.value for e in held])
    inside = sum(e.low <= middle <= e.high for e in held)
    assert 0.88 <= inside / 150 <= 0.99
    texts = agreement_over_samples(
        [m[:, :k] for m, k in zip(maps, range(20, 50, 5), strict=True)], "a", rng, 1
    )
    assert texts.value == pytest.approx(1)


# ---------------------------------------------------------------------------- nothing to say
class Broken(nn.Module):
    """The answer is NaN where a token is above its like."""

    def forward(self, x):
        return torch.stack([torch.sqrt(x[:, 0].sum(dim=(1, 2)) - 1e3), x[:, 0].sum(dim=(1, 2))], dim=1)


class Deaf(nn.Module):
    """The answer does not hang on the input by any slope."""

    def __init__(self):
        super().__init__()
        self.map, self.act, self.head = nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Linear(2, 2)
        self.pool, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        with torch.no_grad():
            self.map.bias.fill_(-1e3)

    def forward(self, x):
        return self.head(self.flat(self.pool(self.act(self.map(x)))))


class Missing(nn.Module):
    """Finite for the sample, NaN as soon as something is taken away."""

    def forward(self, x):
        z = x[:, 0].flatten(1).sum(dim=1)
        return torch.stack([torch.sqrt(z - 15.5), z], dim=1)


@pytest.mark.parametrize("name", [n for n, way in WAYS.items() if not way.control])
def test_every_way_says_that_an_answer_is_not_finite_or_hangs_on_nothing(name):
    x = np.ones((1, 4, 4))
    with pytest.raises(InputError, match=r"(?i)nan"):
        checked_map(WAYS[name], asked(Broken(), x))
    if name in OF_SLOPES:
        with pytest.raises(InputError, match="slopes at input that are 0 everywhere"):
            checked_map(WAYS[name], asked(Deaf(), x))
    else:
        found = checked_map(WAYS[name], asked(Deaf(), x))
        assert f"{name} gives 0 everywhere: it says nothing" in " ".join(found.notes)


@pytest.mark.parametrize("name", ["occlusion", "RISE", "Shapley values", "integrated gradients"])
def test_a_background_on_which_the_answer_is_not_finite_is_refused(name):
    with pytest.raises(InputError, match="NaN"):
        checked_map(WAYS[name], asked(Missing(), np.ones((1, 4, 4))))


def test_single_tokens_may_be_without_a_value_of_random_masks_only():
    holes = np.r_[np.nan, np.arange(15.0)]
    random = Way("random masks", "", lambda q: SaliencyMap(holes, 1, errors=holes), lambda *_: 1, signed=True)
    other = Way("other", "", lambda q: SaliencyMap(holes, 1), lambda *_: 1, signed=True)
    question = asked(Deaf(), np.ones((1, 4, 4)))
    assert checked_map(random, question).values is holes
    with pytest.raises(InputError, match="a map by other at input with NaN"):
        checked_map(other, question)


# ---------------------------------------------------------------------------- memory
class Sum(nn.Module):
    def forward(self, x):
        return (x * x.cumsum(dim=-1)).sum(dim=(1, 2, 3))[:, None].repeat(1, 2)


def test_masks_and_windows_in_blocks_are_those_in_one(monkeypatch):
    question = lambda: asked(Sum(), np.random.default_rng(0).standard_normal((1, 8, 8)), 3, 150)  # noqa: E731
    one = rise(question())
    known, masks = {}, random_masks.smooth_masks
    monkeypatch.setattr(random_masks, "MOST", 64 * 40)

    def kept(*given):
        made = masks(*given)
        known.setdefault("m", []).append(made)
        return made

    monkeypatch.setattr(random_masks, "smooth_masks", kept)
    several = rise(question())
    assert [len(m) for m in known["m"]] == [40, 40, 40, 30] * 2
    m = np.concatenate(known["m"][:4])
    np.testing.assert_array_equal(m, np.concatenate(known["m"][4:]))
    run = question().run
    y = run.values(torch.as_tensor(m)[:, :, None] * run.clean, question().target).numpy()
    m, y = m - m.mean(axis=0), y - y.mean()
    slope = y @ m / (m**2).sum(axis=0)
    np.testing.assert_allclose(several.values, slope, rtol=1e-10)
    errors = np.sqrt(((m * (y[:, None] - slope * m)) ** 2).sum(axis=0) * 150 / 148) / (m**2).sum(axis=0)
    np.testing.assert_allclose(several.errors, errors, rtol=1e-10)
    assert one.values.shape == slope.shape
    whole = WAYS["occlusion"].make(question()).values
    run, many = question().run, windows.windows(question().run, 3, 1)
    monkeypatch.setattr(occlusion, "window_blocks", lambda *a: windows.window_blocks(*a, most=64 * 13))
    assert [len(b) for b in windows.window_blocks(run, 3, 1, 64 * 13)] == [12, 12, 12]  # whole lines of six
    np.testing.assert_array_equal(np.concatenate(list(windows.window_blocks(run, 3, 1, 64 * 13))), many)
    np.testing.assert_allclose(WAYS["occlusion"].make(question()).values, whole, rtol=1e-12)


def test_wide_masks_and_many_of_them_keep_within_what_is_told(monkeypatch):
    """Before, masks of 64 x 64 places, 20 wide, took 65 MB for each thousand; a tenth is granted here."""
    monkeypatch.setattr(random_masks, "MOST", 1 << 17)
    question = asked(Sum(), np.ones((1, 64, 64)), 20, 600)
    monkeypatch.setattr(random_masks, "fitting_rows", lambda _run: 8)
    told = WAYS["RISE"].held(64 * 64, question.settings)
    rise(question)
    tracemalloc.start()
    rise(question)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told / 4 <= peak <= told
    assert told < 8e6 < 600 * 64 * 64 * 8
    assert block_rows(64 * 64) == 32
