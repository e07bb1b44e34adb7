"""A dump of one's own: taps of one store as tokens, keys, queries and attention of several layers."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from analysis import pipeline, registry
from analysis.errors import InputError, ShapeError
from analysis.jobs import handlers
from analysis.methods.tokens.rule_agreement import RuleAgreementParams, rule_agreement
from analysis.people import figure_things
from analysis.results import digests_of
from analysis.sharing import recipes
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.tokens.asking import TokenDesk
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.recorded_dump import digest_of, parts_of, recorded_dump
from analysis.tokens.rule import rule
from analysis.tokens.schedule import schedule
from analysis.tokens.subject import subject
from analysis.tokens.view import CLASS, PATCH, TEXT, TokenLayout
from analysis.workspace import Workspace
from dashboard.components import token_film

N, T, D, HEADS, BLOCKS = 4, 9, 6, 2, 3


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def arrays(causal=False):
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((BLOCKS, N, T, D)).astype(np.float32)
    keys, queries = rng.standard_normal((2, BLOCKS, N, HEADS, T, 3)).astype(np.float32)
    mask = np.where(np.tril(np.ones((T, T), bool)) | (not causal), 0, -np.inf)
    return hidden, keys, queries, softmax(queries @ keys.swapaxes(-1, -2) / 3**0.5 + mask).astype(np.float32)


def flat(x):
    """(N, T, heads e) of (N, heads, T, e)."""
    return x.transpose(0, 2, 1, 3).reshape(N, T, -1)


@pytest.fixture
def store(tmp_path):
    def made(causal=False, without=()):
        hidden, keys, queries, attention = arrays(causal)
        taps = {}
        for i in range(BLOCKS):
            taps |= {f"net.{i}.hidden": hidden[i], f"net.{i}.keys": flat(keys[i]), f"net.{i}.queries": flat(queries[i]),
                     f"net.{i}.attention": flat(attention[i]), "other": hidden[0]}  # fmt: skip
        taps = {name: x for name, x in taps.items() if not name.endswith(without or ("none",))}
        return write_store(tmp_path / f"s{causal}{len(without)}", name="s", taps=taps)

    return made


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("id", ["tome", "pitome", "mctf", "fastv", "feather", "pyramid_drop", "received_attention",
                                "pagerank", "aim", "g_search", "dynamicvit"])  # fmt: skip
def test_rules_see_what_was_recorded(store, id, causal):
    """The same film as of a dump that is made of the arrays by hand."""
    found = TokenDesk(store(causal).activations("net.1.hidden")).dump(2).dump
    hidden, keys, queries, attention = arrays(causal)
    kinds = np.full((1, T), TEXT if causal else PATCH)
    free = np.ones((1, T), bool)
    if causal:
        free[:, [0, -1]] = False
    by_hand = TokenDump(TokenLayout(kinds, free, np.full((1, T), -1), None, causal), {
        "hidden": [h[2:3] for h in (hidden[0], *hidden)], "between": [h[2:3] for h in hidden],
        "attention": [a[2:3] for a in attention], "mean attention": [a[2:3].mean(axis=1) for a in attention],
        "mean keys": [k[2:3].mean(axis=1) for k in keys], "plain keys": [k[2:3] for k in keys],
        "plain queries": [q[2:3] for q in queries],
    })  # fmt: skip
    one = rule(id)
    ours, theirs = (
        simulate(d, one, lambda n: schedule(one.schedule, 0.5, BLOCKS, n)) for d in (found, by_hand)
    )
    np.testing.assert_array_equal(ours.owners, theirs.owners)
    assert (ours.counts[-1] < T).all()


def test_class_tokens_and_grids_are_those_of_the_store(tmp_path):
    x = np.random.default_rng(0).standard_normal((N, 10, D)).astype(np.float32)
    names = [f"b.{i}.hidden" for i in (2, 10)]
    specs = {name: TapSpec(name, D, "float32", "all", grid=(3, 3), leading=1) for name in names}
    made = write_store(tmp_path / "g", name="g", taps=dict.fromkeys(names, x), specs=specs)
    parts = parts_of(made.activations("b.10.hidden"))
    assert [p.name.rpartition(":")[2] for p in parts["hidden"]] == ["b.2.hidden", "b.10.hidden"]
    dump, _, _ = recorded_dump(parts, N, np.random.default_rng(0), no_progress)
    assert dump.layout.grid == (3, 3)
    assert dump.layout.kinds[0].tolist() == [CLASS] + [PATCH] * 9
    assert dump.layout.cell[0].tolist() == [-1, *range(9)]


def test_what_is_not_recorded_is_refused_by_name_and_others_go_on(store):
    tap = store(without=("attention", "queries")).activations("net.1.keys")
    found = rule_agreement(tap, RuleAgreementParams(rules="tome,token_norm,random,fastv"))
    assert set(found.row_names) == {"ToMe", "Token norm", "Random"}
    assert any("FastV is left out" in c for c in found.caveats)
    assert any("3 blocks (hidden, keys)" in c for c in found.caveats)
    with pytest.raises(InputError):
        rule_agreement(tap, RuleAgreementParams(rules="fastv,pagerank"))


def test_its_answer_is_the_mean_of_the_last_layer_and_other_taps_are_rows_as_before(store):
    made = store()
    who, _ = subject(made.activations("net.0.keys"), N, np.random.default_rng(0))
    assert (who.layers, who.recorded) == (BLOCKS, True)
    given = next(iter(who.batches(N)))[1]
    np.testing.assert_allclose(who.answer(given).logits, arrays()[0][-1].mean(axis=1), atol=1e-5)
    rows, _ = subject(made.activations("other"), N, np.random.default_rng(0))
    assert not rows.recorded


def test_samples_of_other_lengths_and_heads_that_do_not_fit_are_refused(tmp_path, store):
    hidden, _, _, attention = arrays()
    taps = {f"n.{i}.hidden": hidden[i] for i in range(2)} | {
        f"n.{i}.attention": flat(attention[i])[:, :, : T + 1 + i] for i in range(2)
    }
    made = write_store(tmp_path / "bad", name="bad", taps=taps)
    with pytest.raises(ShapeError, match="attention of"):
        TokenDesk(made.activations("n.0.hidden"))


def test_samples_that_are_not_finite_are_left_out(tmp_path):
    x = np.random.default_rng(0).standard_normal((N, T, D)).astype(np.float32)
    x[1, 3, 2] = np.nan
    made = write_store(tmp_path / "nan", name="nan", taps={"n.0.hidden": x, "n.1.hidden": x})
    who, notes = subject(made.activations("n.0.hidden"), N, np.random.default_rng(0))
    assert who.samples.tolist() == [0, 2, 3]
    assert any("NaN or infinity are left out: 1." in note for note in notes)


ASKED = ("rule_agreement", ["s:net.1.hidden"], {"rules": "tome,received_attention"})


@pytest.mark.parametrize("other", ["net.0.keys", "net.0.attention", "net.1.queries"])
def test_another_sister_tap_is_another_question(tmp_path, other):
    """Rules read the keys, queries and attention beside the tap that was opened: nothing of before answers for them."""
    hidden, keys, queries, attention = arrays()
    taps = {f"net.{i}.{what}": x[i] if what == "hidden" else flat(x[i]) for i in range(BLOCKS) for what, x in (
        ("hidden", hidden), ("keys", keys), ("queries", queries), ("attention", attention))}  # fmt: skip
    workspace = Workspace.create(tmp_path / "w")
    write_store(tmp_path / "w/stores/s", name="s", taps=taps)
    before, reference = workspace.run(*ASKED), ASKED[1][0]
    assert workspace.cached(*ASKED) is not None
    recipe = before.origin.recipe()
    assert recipes.usable(workspace, recipe) == ASKED[1]
    film = {"input": reference, "digest": "", "sample": 0}
    file, said = handlers.token_dump(tmp_path / "w", film, no_progress)["file"], handlers.token_run(
        tmp_path / "w", {**film, "rule": "tome", "share": 0.5}, no_progress)["owners"]  # fmt: skip
    shutil.rmtree(tmp_path / "w/stores/s")
    write_store(tmp_path / "w/stores/s", name="s", taps={**taps, other: np.roll(taps[other], 1, axis=0)})
    now = Workspace.open(tmp_path / "w")
    assert (
        now.activations(reference).digest == before.origin.inputs[0]["digest"]
    )  # the opened tap is as it was
    assert now.cached(*ASKED) is None
    after = now.run(*ASKED)
    assert now.key(*ASKED) == pipeline.key_of(after.origin) != pipeline.key_of(before.origin)
    assert now.key(*ASKED) == figure_things.key_of_recipe(after.origin.recipe())
    if other != "net.1.queries":  # which neither rule looks at
        assert not np.array_equal(before.values, after.values)
    with pytest.raises(InputError, match=f"s:{other} has changed"):
        recipes.usable(now, recipe)
    assert handlers.token_dump(tmp_path / "w", film, no_progress)["file"] != file
    if other == "net.0.keys":
        later = handlers.token_run(tmp_path / "w", {**film, "rule": "tome", "share": 0.5}, no_progress)
        assert later["owners"] != said


def test_a_copy_is_the_same_question_and_other_taps_have_their_own_digest(store):
    made = store()
    tap, other = (made.activations(name) for name in ("net.1.hidden", "other"))
    told = pipeline.inputs_of(registry.method("rule_agreement"), [tap])
    assert len(told[0]["beside"]) == 4 * BLOCKS - 1
    copies = [{**b, "name": b["name"].replace("s:", "copy:")} for b in told[0]["beside"]]
    renamed = [{**told[0], "beside": copies}]
    assert digests_of(renamed) == digests_of(told) != [tap.digest]
    assert digests_of(pipeline.inputs_of(registry.method("pca"), [tap])) == [tap.digest]
    assert digests_of(pipeline.inputs_of(registry.method("rule_agreement"), [other])) == [other.digest]
    assert (digest_of(other), digest_of(tap) == tap.digest) == (other.digest, False)


def test_the_film_asks_the_network_again_when_a_sister_tap_is_another(tmp_path, monkeypatch):
    hidden, keys, *_ = arrays()
    taps, asked = (
        {f"n.{i}.hidden": hidden[i] for i in range(2)} | {f"n.{i}.keys": flat(keys[i]) for i in range(2)},
        [],
    )
    for name, more in (("a", {}), ("b", {"n.1.keys": flat(keys[2])})):
        workspace = Workspace.create(tmp_path / name)
        write_store(tmp_path / name / "stores/s", name="s", taps=taps | more)
        monkeypatch.setattr(token_film.state, "workspace", lambda found=workspace: found)
        monkeypatch.setattr(token_film.jobs, "find", lambda kind, work: asked.append(work))
        monkeypatch.setattr(token_film.allowed, "starts", lambda title: False)
        token_film._asked("token_run", {"input": "s:n.0.hidden", "sample": 0}, "", "")
    assert asked[0] != asked[1]
    assert asked[0]["input"] == asked[1]["input"]


@pytest.mark.parametrize(
    "beside", [7, [1], [{"digest": "x"}], {"name": "s:other"}, [{"name": 3, "digest": "x"}], None]
)
def test_what_a_stranger_says_was_read_beside_is_no_traceback(tmp_path, beside):
    write_store(tmp_path / "w/stores/s", name="s", taps={"other": arrays()[0][0]})
    workspace = Workspace.create(tmp_path / "w")
    tap = workspace.activations("s:other")
    given = {"name": "s:other", "digest": tap.digest, "beside": beside}
    recipe = {"method": "pca", "version": 1, "params": {}, "seed": 0, "versions": {}, "inputs": [given]}
    assert recipes.usable(workspace, recipe) == ["s:other"]
    assert len(figure_things.key_of_recipe(recipe)) == 32
