"""Pooling: which tokens are in which mean, and that what is kept is a copy."""

import numpy as np
import pytest

from analysis.errors import ParameterError

torch = pytest.importorskip("torch")

from analysis.recording.padding import Padding  # noqa: E402
from analysis.recording.pooling import check_choice, pool  # noqa: E402


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32))


RIGHT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
LEFT = RIGHT.flip(1)


def test_all_without_padding_keeps_token_order(x):
    rows, counts = pool(x, "all")
    assert counts is None
    assert torch.equal(rows, x.reshape(15, 2))


@pytest.mark.parametrize("mask", [RIGHT, LEFT])
def test_all_leaves_padding_out(x, mask):
    rows, counts = pool(x, "all", mask=mask)
    assert counts.tolist() == [5, 3, 1]
    assert torch.equal(rows, torch.cat([x[i][mask[i]] for i in range(3)]))


@pytest.mark.parametrize("mask", [RIGHT, LEFT])
def test_mean_ignores_padding_even_where_it_is_nan(x, mask):
    x[~mask] = torch.nan
    rows, _ = pool(x, "mean", mask=mask)
    assert torch.allclose(rows, torch.stack([x[i][mask[i]].mean(0) for i in range(3)]))


def test_mean_leaves_leading_tokens_out(x):
    rows, _ = pool(x, "mean", leading=2)
    assert torch.allclose(rows, x[:, 2:].mean(1))


def test_cls_is_the_first_and_last_the_last_token_that_is_not_padding(x):
    assert torch.equal(pool(x, "cls")[0], x[:, 0])
    assert torch.equal(pool(x, "last")[0], x[:, 4])
    at = torch.arange(3)
    assert torch.equal(pool(x, "cls", mask=LEFT)[0], x[at, torch.tensor([0, 2, 4])])
    assert torch.equal(pool(x, "last", mask=RIGHT)[0], x[at, torch.tensor([4, 2, 0])])
    assert torch.equal(pool(x, "last", mask=LEFT)[0], x[:, 4])


@pytest.mark.parametrize("tokens", ["all", "mean", "cls", "last", "spatial-mean"])
@pytest.mark.parametrize("mask", [None, RIGHT, torch.ones(3, 5).bool()])
def test_what_is_kept_survives_changes_in_place(x, tokens, mask):
    rows, _ = pool(x, tokens, mask=mask)
    before = rows.clone()
    x.zero_()
    assert torch.equal(rows, before)


def test_half_precision_is_averaged_in_single():
    x = torch.full((1, 4096, 1), 100.0, dtype=torch.float16)  # the sum overflows float16
    assert pool(x, "mean")[0].item() == 100


def test_unknown_choice_is_refused():
    with pytest.raises(ParameterError, match="one of all, mean"):
        check_choice("median")


def test_padding_scales_with_a_network_that_shortens_its_input():
    given = torch.tensor([[1] * 100, [1] * 50 + [0] * 50]).bool()
    mask = Padding(given, shrinks=True).mask(2, 10)
    assert mask.sum(1).tolist() == [10, 5]
    assert Padding(given).mask(2, 10) is None
    assert Padding(given).mask(3, 100) is None
    assert torch.equal(Padding(given).mask(2, 100), given)


def test_all_tokens_become_float16_only_where_every_value_fits():
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    rows, _ = pool(x, "all", half=True)
    assert rows.dtype == torch.float16
    np.testing.assert_array_equal(rows.numpy(), x.reshape(15, 4).numpy().astype(np.float16))
    kept = rows.clone()
    x.zero_()  # what the network does in place afterwards does not reach the rows
    assert torch.equal(rows, kept)


@pytest.mark.parametrize("value", [1e6, -1e6, float("nan"), float("inf")])
def test_what_does_not_fit_float16_reaches_the_store_to_be_counted(value):
    x = torch.ones(3, 5, 4)
    x[1, 2, 3] = value
    rows, _ = pool(x, "all", half=True)
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(rows.numpy(), x.reshape(15, 4).numpy())
    x.zero_()
    assert float(rows[0, 0]) == 1.0
