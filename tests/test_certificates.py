"""Certificates of encoded taps: made, kept, read, out of date; the badge, the list's filter, what cards add."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from app_pages import HOSTILE, is_whole, open_page, texts
from dictionary_subjects import K, atoms, planted_codes, set_of
from safetensors.numpy import save_file

from analysis import certificates, pipeline
from analysis.certificates import questions
from analysis.errors import InputError, NotFound
from analysis.features.logit_weights import _shown, unembedding_of
from analysis.features.pursuit_trace import own_trace, pursuit_trace
from analysis.features.tap_dictionary import tap_dictionary
from analysis.jobs import handlers
from analysis.spec import no_progress
from analysis.store.cache import ResultCache
from analysis.store.encoded import remove_encoded
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import certificates as shown
from dashboard.browse import feature_facts
from dashboard.browse.unit import Unit
from dashboard.cli import main

METHODS = {
    "seed_consistency",
    "direction_stability",
    "uniqueness",
    "spike_detectability",
    "presence_elsewhere",
}
TAP, AGAIN, ELSEWHERE = "net:mlp@a", "net:mlp@b", "other:mlp@a"
N = 400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two networks on the same samples; two dictionaries of the first, the second of them with half of the features of
    the first. The first is certified."""
    workspace = Workspace.create(tmp_path_factory.mktemp("certificates") / "ws")
    codes, rng = planted_codes(N), np.random.default_rng(7)
    x = codes @ atoms() + 0.05 * rng.standard_normal((N, 16))
    turned = x @ np.linalg.qr(rng.standard_normal((16, 16)))[0]
    for name, values in (("net", x), ("other", turned)):
        write_store(workspace.path / "stores" / name, name=name, taps={"mlp": values})
    half = np.concatenate([atoms()[: K // 2], atoms(K // 2, seed=9)])
    for features in (set_of("a", atoms(), silent=2), set_of("b", half)):
        workspace.features.add(features)
        workspace.encode("net:mlp", features.name)
    workspace.encode("other:mlp", "a")
    certificates.certify(workspace, TAP, [AGAIN], [ELSEWHERE])
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture
def at_made(made, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(made.path))
    return made


@pytest.fixture
def own(made, tmp_path, monkeypatch):
    shutil.copytree(made.path, tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    return Workspace.open(tmp_path / "ws")


def kept(workspace):
    return certificates.certificate_of(workspace.store("net"), "mlp@a")


# ---------------------------------------------------------------------------- made and kept
def test_each_feature_has_its_tests_and_dead_ones_none(made):
    found = kept(made)
    c = found.columns
    assert set(questions.COLUMNS) <= set(c)
    assert c["dead"].tolist() == [False] * (K - 2) + [True] * 2
    assert (c["asked"][K - 2 :] == 0).all()
    alive = slice(0, K - 2)
    assert (c["again"][: K // 2] == "yes").all()
    assert (c["again"][K // 2 : K - 2] == "yes").mean() < 0.3
    assert (c["stable"][alive] == "yes").all()
    assert (c["shows"][alive] == "yes").all()
    for k in range(K):
        said = [str(c[test][k]) for test in certificates.TESTS]
        assert [said.count("yes"), said.count("no"), 5 - said.count("")] == [
            c[name][k] for name in ("passed", "failed", "asked")
        ]
    assert {one["as"]: one["name"] for one in found.origin.inputs} == {
        "tap": TAP,
        "seed": AGAIN,
        "network": ELSEWHERE,
    }
    assert set(found.origin.params["made"]) == {"feature_table", *METHODS}
    assert all(one["digest"] == made.activations(one["name"]).digest for one in found.origin.inputs)


def test_columns_are_those_of_the_methods(made):
    c = kept(made).columns
    by_seed = made.cached("seed_consistency", [TAP, AGAIN])
    assert np.array_equal(c["again value"], by_seed.columns["matched"])
    assert c["again chance"] == pytest.approx(by_seed.columns["matched"] - by_seed.columns["above chance"])
    elsewhere = made.cached("presence_elsewhere", [TAP, ELSEWHERE]).columns
    assert np.array_equal(c["elsewhere value"], elsewhere["held-out r"], equal_nan=True)


def test_nothing_is_computed_twice(own, monkeypatch):
    monkeypatch.setattr(ResultCache, "put", lambda *_: pytest.fail("computed again"))
    before = kept(own).columns
    handlers.certify(own.path, {"input": TAP, "seeds": [AGAIN], "networks": [ELSEWHERE]}, no_progress)
    after = kept(own).columns
    assert all(np.array_equal(before[k], after[k], equal_nan=before[k].dtype.kind == "f") for k in before)


def test_without_others_two_tests_are_not_asked_and_it_is_said(own):
    found = certificates.certify(own, TAP)
    assert (found.columns["asked"][: K - 2] == 3).all()
    assert (found.columns["again"] == "").all()
    assert any("no other seed" in line for line in found.caveats)
    assert any("no other network" in line for line in found.caveats)


def test_what_cannot_be_certified_is_refused(made):
    with pytest.raises(InputError, match="was recorded"):
        certificates.certify(made, "net:mlp")
    with pytest.raises(InputError, match="the tap itself"):
        certificates.certify(made, TAP, [TAP])
    with pytest.raises(NotFound):
        certificates.certify(made, TAP, ["net:nothing"])
    assert certificates.certificate_of(made.store("net"), "mlp") is None
    assert certificates.likely_others(made, TAP) == ([AGAIN], [])


def test_a_test_that_refuses_leaves_the_others(own):
    write_store(own.path / "stores" / "strange", name="strange", taps={"t": np.random.default_rng(0).random((9, 4))},
                samples={"id": [f"x{i}" for i in range(9)]})  # fmt: skip
    found = certificates.certify(own, TAP, [AGAIN], ["strange:t"])
    assert any(line.startswith("Not answered: elsewhere") for line in found.caveats)
    assert (found.columns["asked"][: K - 2] == 4).all()


# ---------------------------------------------------------------------------- out of date
def test_it_is_out_of_date_when_something_it_was_made_with_has_changed(own):
    found = kept(own)
    assert certificates.stale(own, TAP, found) == ""
    own.features.delete("a")
    own.features.add(set_of("a", atoms(seed=3)))
    assert "set a has changed" in certificates.stale(own, TAP, found)
    own.features.delete("a")
    remove_encoded(own.store("net"), "mlp@b")
    assert "net:mlp@b" in certificates.stale(own, TAP, found)
    assert "not here" in certificates.stale(own, TAP, found)
    own.encode("net:mlp", "b", "mlp@b")
    assert certificates.stale(own, TAP, found) == ""


def test_another_version_of_a_method_is_noticed(own, monkeypatch):
    import dataclasses

    from analysis import registry

    method = registry.method("direction_stability")
    newer = dataclasses.replace(method, version=method.version + 1)
    own_method = registry.method
    monkeypatch.setattr(registry, "method", lambda id: newer if id == method.id else own_method(id))
    assert "direction_stability" in certificates.stale(own, TAP, kept(own))


def test_it_goes_with_its_tap_and_a_damaged_one_is_none(own):
    path = own.store("net").folder("mlp@a") / certificates.FILE
    path.write_bytes(b"PK damaged")
    assert kept(own) is None
    assert "again" not in texts(open_page("features", tap=TAP)).casefold()
    remove_encoded(own.store("net"), "mlp@a")
    assert not path.exists()


# ---------------------------------------------------------------------------- command line and pages
def test_the_command_line(own, capsys):
    assert (
        main(["features", "certify", TAP, "--networks", ELSEWHERE, "--workspace", str(own.path), "--json"])
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert (said["seeds"], said["networks"]) == ([AGAIN], [ELSEWHERE])
    assert said["tests"]["stable"]["yes"] == K - 2
    assert main(["features", "certify", TAP, "--seeds", "--workspace", str(own.path)]) == 0
    assert "no other seed" in capsys.readouterr().out
    assert main(["features", "certify", "net:mlp", "--workspace", str(own.path)]) == 1


def test_badges_say_the_numbers_and_their_chance(made):
    found = kept(made)
    badge = shown.badge(found, 0)
    assert badge.word == f"passed {found.columns['passed'][0]} of 5 tests"
    assert "matched cosine" in badge.hover
    assert "random dictionaries" in badge.hover
    assert shown.badge(found, K - 1).word == "dead, no certificate"
    assert shown.badge(None, 0).word == "not certified"
    old = shown.badge(found, 0, "The set a has changed.")
    assert old.word.endswith("out of date")
    assert old.hover.startswith("Out of date. The set a has changed.")


def test_the_list_is_filtered_and_ordered_by_it(at_made):
    at = open_page("features", tap=TAP, test="again", order="again")
    assert is_whole(at), texts(at)
    table, found = at.dataframe[0].value, kept(at_made).columns
    assert set(table["unit"]) == set(np.flatnonzero(found["again"] == "yes"))
    by = table["again"].to_numpy()
    assert (np.diff(by) <= 0).all()
    assert "pass a test and fail none" in texts(at)
    for value in HOSTILE[:2]:
        assert is_whole(open_page("features", tap=TAP, test=value)), value[:40]
    plain = open_page("features", tap="net:mlp", test="again", order="certificate")
    assert is_whole(plain)
    assert len(plain.dataframe[0].value) == 16
    assert "certified yet" in texts(open_page("features", tap=AGAIN))


def test_the_card_and_the_form(at_made):
    at = open_page("features", tap=TAP, unit="0", pursuit="true")
    assert is_whole(at), texts(at)
    said = texts(at)
    for words in (
        "passed",
        "Density",
        "Fires together",
        "Logit weights",
        "Not known here",
        "Energy in the active",
    ):
        assert words in said, words
    assert is_whole(open_page("features", tap=TAP, unit=str(K - 1)))
    form = open_page("dictionaries", view="certify", tap=TAP)
    assert is_whole(form), texts(form)
    assert "What its certificate says" in texts(form)
    assert "recorded" in texts(open_page("dictionaries", view="certify", tap="net:mlp"))


# ---------------------------------------------------------------------------- what the card says
def test_suspects_are_found_by_their_rows():
    """Features 0 and 1 are one direction twice; 3 is silent where its near and rarer neighbour 2 fires."""
    codes = np.zeros((400, 5))
    codes[:200, 0] = codes[:200, 1] = 1
    codes[200:300, 2], codes[:190, 3], codes[300:, 3] = 1, 1, 1
    near = [(1, 1.0), (3, 0.95), (4, 0.0)]

    class Rows:
        shape, gaps = (400, 5), np.zeros(0, np.int64)

        @staticmethod
        def entries_of(j):
            rows = np.flatnonzero(codes[:, j])
            return rows, codes[rows, j]

    class One:
        activations = Rows

        def __init__(self, j):
            self.entries = Rows.entries_of(j)

    assert [(s.feature, s.verdict) for s in feature_facts.suspects(One(0), near[:1], 0.5)] == [(1, "double")]
    (found,) = feature_facts.suspects(One(2), near[1:], 0.5)
    assert (found.feature, found.verdict, found.together) == (3, "may absorb", 0)
    assert found.expected == pytest.approx(100 * 290 / 400)
    assert feature_facts.suspects(One(2), near[1:], 0.99) == []


def test_a_pursuit_leaves_less_at_each_step_and_what_it_leaves_is_orthogonal(made):
    made_with = tap_dictionary(made.activations(TAP))
    features, x = made_with.features, made_with.source.take([5])[0]
    trace = pursuit_trace(features, x, 10)
    wanted = features.to_explain(x[None])[0]
    total, left = wanted @ wanted, wanted.copy()
    shares = [1.0]
    for j, part, share in zip(trace.features, trace.part, trace.left, strict=True):
        atom = features.directions[j].astype(float) / np.linalg.norm(features.directions[j].astype(float))
        assert part == pytest.approx(left @ atom, abs=1e-9)
        left = left - part * atom
        assert left @ atom == pytest.approx(0, abs=1e-9)
        assert share == pytest.approx(shares[-1] - part**2 / total, abs=1e-9)
        shares.append(share)
    own = own_trace(features, x, 10)
    assert set(own.features) == set(np.flatnonzero(features.encode(x[None])[0]))
    rebuilt = features.encode(x[None])[0] @ features.directions
    assert own.left[-1] == pytest.approx(((wanted - rebuilt) ** 2).sum() / total, abs=1e-6)


def test_logit_weights_are_products_with_the_gain_and_the_centred_unembedding(tmp_path):
    from types import SimpleNamespace

    from analysis.sources.digests import files_digest
    from analysis.sources.hugging_face_files import digest_files

    rng, d, v = np.random.default_rng(0), 6, 9
    folder = tmp_path / "net"
    folder.mkdir()
    table, gain = rng.standard_normal((v, d)).astype("f4"), rng.random(d).astype("f4")
    save_file({"transformer.wte.weight": table, "transformer.ln_f.weight": gain, "transformer.ln_f.bias": gain,
               "transformer.h.0.ln_1.weight": gain + 1}, folder / "model.safetensors")  # fmt: skip
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {chr(256 + i): i for i in range(8)} | {"Ġx": 8}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": vocabulary}, "decoder": {"type": "ByteLevel"}})
    )
    entry = {"path": str(folder), "digest": files_digest(digest_files(folder)), "kind": "hugging_face"}
    tap = SimpleNamespace(name="s:t", shape=(5, d), store=SimpleNamespace(manifest={"checkpoint": entry}))
    found = unembedding_of(tap)
    direction = rng.standard_normal(d)
    logits = table.astype(float) @ (gain * (direction - direction.mean()))
    assert found.of(direction) == pytest.approx(logits - logits.mean(), abs=1e-6)
    assert found.names[8] == "␣x"
    assert found.names[0] == "\\x00"
    assert found.largest > 0
    with pytest.raises(NotFound, match="no output layer"):
        unembedding_of(SimpleNamespace(name="s:t", shape=(5, d + 1), store=tap.store))
    assert _shown("Ċ", True) == "⏎"


def test_density_counts_samples(made):
    unit = Unit(made.store("net"), TAP, 0)
    rows, _ = unit.entries
    said = feature_facts.density(unit)
    assert f"{len(rows):,} of {N:,} samples" in said


def test_energy_is_that_of_the_directions_that_encoded_the_tap(made):
    found = made.run("atom_energy", ["net:mlp", TAP])
    x = made.activations("net:mlp").take(np.arange(N)).astype(float)
    value, error, (low, high), of = feature_facts.energy(found, 3)
    renamed = replace(found, guides=dict(zip("abc", found.guides.values(), strict=True)))
    assert feature_facts.energy(renamed, 3) == (value, error, (low, high), of)  # labels are for the eye
    assert {low, high} <= {float(line[0, 1]) for line in found.guides.values()}
    r = int(of.partition(" ")[0])
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:r]
    direction = tap_dictionary(made.activations(TAP)).features.directions[3]
    assert value == pytest.approx(((axes @ direction) ** 2).sum() / (direction**2).sum(), abs=1e-6)
    assert of == f"{r} of 16"
    assert low < r / 16 < high
    assert error >= 0
    rates = made.store("net").index("mlp@a").table()["fraction_positive"]
    assert found.columns["firing rate"] == pytest.approx(rates[found.rows])


def test_the_estimate_counts_all_that_is_run(made):
    """What only the cards show takes time, too: naming features most of all."""
    from dashboard.parts import certify_form

    shapes = [made.activations(TAP).shape]
    own = [q.method for q, taps, why in questions.asked(made.store("net"), "mlp@a", TAP, [], []) if not why]
    assert {"feature_names", "co_activation", "atom_energy", "uniqueness"} <= set(own)
    least = sum(pipeline.cost(m, shapes).seconds for m in own if m != "atom_energy")
    assert certify_form.seconds(made, TAP, [], []) > least
