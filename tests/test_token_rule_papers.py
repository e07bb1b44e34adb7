"""Every rule against a second implementation: loops over the equations of its paper, token by token."""

from __future__ import annotations

import importlib
import math
import pkgutil

import numpy as np
import pytest

from analysis.errors import ParameterError
from analysis.tokens import rules as folder
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.rule import rule
from analysis.tokens.rule_settings import rule_written
from analysis.tokens.schedule import Schedule, schedule
from analysis.tokens.view import CLASS, PATCH, TEXT, TokenLayout

SIDE, LAYERS, WIDE, HEADS, SAMPLES = 6, 5, 12, 3, 3


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module", params=["picture", "text"])
def dump(request):
    """Random numbers of a picture behind a class token, or of a text."""
    rng, causal = np.random.default_rng(4), request.param == "text"
    t = SIDE * SIDE + 1
    kinds = np.full((SAMPLES, t), TEXT if causal else PATCH)
    free = np.ones((SAMPLES, t), bool)
    free[:, 0] = False
    cell = np.full((SAMPLES, t), -1)
    if causal:
        free[:, -1] = False
    else:
        kinds[:, 0] = CLASS
        cell[:, 1:] = np.arange(t - 1)
    layout = TokenLayout(kinds, free, cell, None if causal else (SIDE, SIDE), causal=causal)
    hidden = [rng.standard_normal((SAMPLES, t, WIDE)) for _ in range(LAYERS + 1)]
    near = 0.05 * rng.standard_normal((SAMPLES, t, WIDE))  # the first twenty are nearly those behind them
    hidden = [np.where((np.arange(t) > 20)[None, :, None], x, np.roll(x, -20, axis=1) + near) for x in hidden]
    keys, queries = ([rng.standard_normal((SAMPLES, HEADS, t, 5)) for _ in range(LAYERS)] for _ in range(2))
    mask = np.where(np.tril(np.ones((t, t), bool)) | (not causal), 0, -np.inf)
    weights = [
        softmax(q @ k.swapaxes(2, 3) / math.sqrt(5) + mask) for q, k in zip(queries, keys, strict=True)
    ]
    return TokenDump(layout, {
        "hidden": hidden, "between": hidden[1:], "mean keys": [k.mean(axis=1) for k in keys], "attention": weights,
        "mean attention": [w.mean(axis=1) for w in weights], "plain keys": [1.2 * k for k in keys],
        "plain queries": queries, "mean influence": [w.mean(axis=1) for w in weights],
    })  # fmt: skip


class One:
    """One sample of a dump at one layer, as a paper speaks of it."""

    def __init__(self, dump, b: int, layer: int) -> None:
        self.dump, self.b, self.layer, self.causal = dump, b, layer, dump.layout.causal
        self.free = [int(i) for i in np.flatnonzero(dump.layout.free[b])]
        self.t = dump.layout.free.shape[1]
        self.asks = self.t - 1 if self.causal else 0

    def of(self, name: str, ahead: int = 0):
        return self.dump.recorded[name][self.layer + ahead][self.b]

    def without(self, score, many: int) -> list[int]:
        gone = sorted(self.free, key=lambda i: (score[i], -i))[:many]
        return [-1 if i in gone else i for i in range(self.t)]


def cosine(a, b) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def best_pairs(first, second, worth, many: int):
    found = [(max((worth(a, b), -b) for b in second), a) for a in first]
    return [(a, -minus) for (_, minus), a in sorted(found, key=lambda x: -x[0][0])[:many]]


class Groups:
    """Tokens that go into each other: their means weighed by size, and who is where."""

    def __init__(self, x, **sums) -> None:
        self.x, self.size = [v.copy() for v in x], [1.0] * len(x)
        self.sums = {name: list(v) for name, v in sums.items()}
        self.owner = list(range(len(x)))

    def merge(self, pairs) -> set[int]:
        inside = {}
        for a, b in pairs:
            inside.setdefault(b, [b]).append(a)
        for b, group in inside.items():
            whole = sum(self.size[i] for i in group)
            self.x[b] = sum(self.size[i] * self.x[i] for i in group) / whole
            for v in self.sums.values():
                v[b] = sum(v[i] for i in group)
            self.size[b] = whole
            self.owner = [b if o in group else o for o in self.owner]
        return {a for a, _ in pairs}


def tome(one: One, r: int):
    k, groups = one.of("mean keys"), Groups(one.of("mean keys"))
    groups.merge(best_pairs(one.free[::2], one.free[1::2], lambda a, b: cosine(k[a], k[b]), r))
    return groups.owner


def pitome(one: One, r: int):
    k, m = one.of("mean keys"), 0.9 - 0.9 * one.layer / LAYERS

    def f(x):
        return x if x >= m else math.exp(x - m) - 1

    energy = {i: sum(f(cosine(k[i], k[j])) for j in one.free if j != i) for i in one.free}
    order, groups = sorted(one.free, key=lambda i: -energy[i])[: 2 * r], Groups(k)
    groups.merge(best_pairs(order[::2], order[1::2], lambda a, b: cosine(k[a], k[b]), r))
    return groups.owner


def mctf(one: One, r: int):
    groups = Groups(one.of("hidden", 1), read=one.of("mean attention", 1).mean(axis=0))
    x, read, size = groups.x, groups.sums["read"], groups.size

    def worth(a, b):
        alike = (cosine(x[a], x[b]) + 1) / 2
        return alike * (1 / (read[a] * read[b])) ** (1 / 20) * (1 / (size[a] * size[b])) ** (1 / 40)

    first, second, half = one.free[::2], one.free[1::2], -(-r // 2)
    gone = groups.merge(best_pairs(first, second, worth, half))
    groups.merge(best_pairs(second, [a for a in first if a not in gone], worth, r - half))
    return groups.owner


def evit(one: One, r: int):
    read = one.of("mean attention")[0]
    kept = sorted(one.free, key=lambda i: -read[i])[: len(one.free) - r - 1]
    rest = [i for i in one.free if i not in kept]
    return [rest[0] if i in rest else i for i in range(one.t)]


def last_word(one: One, r: int):
    return one.without(one.of("mean attention")[one.asks], r)


def next_layer(one: One, r: int):
    return one.without(one.of("mean attention", 1)[one.asks], r)


def oracle(one: One, r: int):
    return one.without(one.dump.recorded["mean attention"][-1][one.b][one.asks], r)


def heavy(one: One, r: int):
    score = one.of("mean attention").sum(axis=0)
    if one.causal:
        keep = len(one.free) - r
        score[one.free[len(one.free) - keep // 2 :]] = np.inf
    return one.without(score, r)


def by_readers(one: One, r: int):
    score = one.of("mean attention").sum(axis=0) / [one.t - i if one.causal else one.t for i in range(one.t)]
    return one.without(score, r)


def pagerank(one: One, r: int):
    square = np.zeros(one.t)
    for a in one.of("attention"):
        walk, p = softmax(np.log(np.maximum(a, 1e-300)) / 0.1), np.full(one.t, 1 / one.t)
        for _ in range(5):
            p = p @ walk
        square += p**2
    return one.without(square, r)


def aim(one: One, r: int):
    groups, free = Groups(one.of("hidden", 1)), one.free
    while r:
        now = min(r, len(free) // 2)
        pairs = best_pairs(free[1::2], free[::2], lambda a, b: cosine(groups.x[a], groups.x[b]), now)
        gone = groups.merge(pairs)
        free, r = [i for i in free if i not in gone], r - len(gone)
    return groups.owner


def feather(one: One, r: int):
    q, k, score = one.of("plain queries"), one.of("plain keys"), np.zeros(one.t)
    for head in range(HEADS):
        score += softmax(k[head] @ q[head][one.asks] / math.sqrt(5)) / HEADS
    grid = [
        i for n, i in enumerate(one.free) if (n % 9 == 4 if one.causal else n % 3 == 1 and n // SIDE % 3 == 1)
    ]
    score[grid] += 9
    return one.without(score, r)


def correlated(one: One, r: int):
    x = one.of("hidden", 1)
    copies = [any(cosine(x[i], x[j]) > 0.9 for j in one.free if j != i) for i in one.free]
    keep = max(math.ceil((1 - np.mean(copies)) * len(one.free) - 1e-9), 1)
    return last_word(one, len(one.free) - keep)


def longest(one: One, r: int):
    return one.without(np.linalg.norm(one.of("hidden", 1), axis=1), r)


def windows(one: One, r: int):
    places, seen = {}, {}
    for n, i in enumerate(one.free):
        at = n // 4 if one.causal else (n // SIDE // 2, n % SIDE // 2)
        places[i] = seen.setdefault(at, i)
    return [places.get(i, i) for i in range(one.t)]


PAPERS = {
    "tome": tome, "pitome": pitome, "mctf": mctf, "fastv": last_word, "pyramid_drop": next_layer, "dynamicvit": oracle,
    "received_attention": heavy, "received_influence": by_readers, "g_search": by_readers, "pagerank": pagerank,
    "feather": feather, "correlation_guided": correlated, "token_norm": longest, "spatial_pooling": windows,
    "max_pooling": windows, "power_pooling": windows, "grouped_pooling": windows, "attentive_pooling": windows,
    "window_attention": windows,
}  # fmt: skip
OF_PICTURES = {"evit": evit, "class_attention": last_word}


def same(a, b) -> bool:
    """Whether two lists of owners are one partition with the same tokens gone."""
    first = [[-1 if o < 0 else list(x).index(o) for o in x] for x in (a, b)]
    return first[0] == first[1]


def run(dump, id: str, layer: int, many: int):
    return simulate(
        dump, rule_written(id), lambda n: Schedule(tuple(many * (i == layer) for i in range(LAYERS)), n)
    )


@pytest.mark.parametrize("id", [*PAPERS, *OF_PICTURES])
@pytest.mark.parametrize(("layer", "many"), [(0, 1), (2, 7), (3, 16)])
def test_a_rule_keeps_and_merges_what_its_equation_says(dump, id, layer, many):
    if id in OF_PICTURES and dump.layout.causal:
        pytest.skip("it needs a class token")
    found = run(dump, id, layer, many).states[-1].owner
    assert (found != np.arange(found.shape[1])).any()
    for b in range(SAMPLES):
        assert same((PAPERS | OF_PICTURES)[id](One(dump, b, layer), many), found[b])


@pytest.mark.parametrize("many", [1, 16, 30])
def test_aim_merges_in_rounds(dump, many):
    found = run(dump, "aim", 0, many).states[-1].owner
    assert all(same(aim(One(dump, b, 0), many), found[b]) for b in range(SAMPLES))


def test_what_cells_become_unit_by_unit(dump):
    """Against loops: the largest value, a softmax in every unit, and a power of each group of units."""
    x = dump.recorded["hidden"][3]
    free = dump.layout.free[0]
    spread = x[:, free].std(axis=1)
    low = x[:, free].min(axis=1)
    powers = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 7.0, 7.0, 7.0, 7.0]

    def made(id):
        found = run(dump, id, 2, 9)
        return found.steps[2].values, found.states[-1].owner

    most, owner = made("max_pooling")
    sets, _ = made("attentive_pooling(sharpness=2)")
    power, _ = made("grouped_pooling(powers=1 2 7)")
    for b in range(SAMPLES):
        for token in np.flatnonzero(free)[::5]:
            cell = [i for i in range(len(free)) if owner[b, i] == owner[b, token]]
            for u in range(WIDE):
                v = x[b, cell, u]
                assert most[b, token, u] == v.max()
                weight = np.exp(2 * v / spread[b, u])
                assert sets[b, token, u] == pytest.approx((weight * v).sum() / weight.sum(), abs=1e-12)
                p = powers[u]
                assert power[b, token, u] == pytest.approx(
                    np.mean((v - low[b, u]) ** p) ** (1 / p) + low[b, u], abs=1e-4
                )


def test_groups_are_a_ladder_or_what_is_given_and_other_powers_are_refused(dump):
    one = rule_written("grouped_pooling(groups=1, lowest=3, highest=3)")
    plan = Schedule((0, 9, 0, 0, 0), int(dump.layout.free[0].sum()))
    alone = simulate(dump, rule("power_pooling"), plan).steps[1].values
    np.testing.assert_allclose(simulate(dump, one, plan).steps[1].values, alone, atol=1e-12)
    for powers in ("1 x", "0", "nan", "1 2 3 4 5 6 7 8 9 10 11 12 13"):
        with pytest.raises(ParameterError):
            simulate(dump, rule_written(f"grouped_pooling(powers={powers})"), plan)


def test_scores_of_pooling_are_shares(dump):
    for id in ("max_pooling", "attentive_pooling", "grouped_pooling"):
        found = run(dump, id, 2, 9)
        score, owner = found.steps[2].score, found.states[-1].owner
        for name in np.unique(owner[0][dump.layout.free[0]]):
            assert score[0][owner[0] == name].sum() == pytest.approx(1, abs=1e-12)


def test_a_sigmoid_leaves_what_is_asked_and_falls_with_depth():
    for share in (0.02, 0.3, 0.9):
        kept = np.array(schedule("sigmoid", share, 24, 10**9).kept[1:]) / 10**9
        assert kept[-1] == pytest.approx(share, abs=1e-8)
        np.testing.assert_allclose(np.diff(np.log(kept / (1 - kept))), -1 / 3, atol=1e-3)  # w = 3 layers
    assert schedule("sigmoid", 1.0, 24, 576).remove == (0,) * 24


def test_words_alone_say_what_they_read_of_a_picture():
    """Two words behind four patches: the patch that they read most stays, whatever patches read of each other."""
    kinds = np.array([[TEXT, PATCH, PATCH, PATCH, PATCH, TEXT, TEXT]])
    a = np.tril(np.full((7, 7), 0.01))
    a[1:5, 1] = 0.9  # patches read the first
    a[5:, 3] = 0.5  # words the third
    a /= a.sum(axis=1, keepdims=True)
    x = np.zeros((1, 7, 2))
    layout = TokenLayout(kinds, kinds == PATCH, np.array([[-1, 0, 1, 2, 3, -1, -1]]), (2, 2), causal=True)
    one = TokenDump(layout, {"hidden": [x] * 3, "between": [x] * 2, "mean attention": [a[None]] * 2})
    found = simulate(one, rule("g_search"), Schedule((3, 0), 4)).states[-1]
    assert found.owner[0].tolist() == [0, -1, -1, 3, -1, 5, 6]


def test_each_rule_is_one_file_with_its_equation():
    for info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        assert len(module.RULES) == 1, info.name
        assert "\n    " in module.__doc__, f"{info.name} has no equation"
