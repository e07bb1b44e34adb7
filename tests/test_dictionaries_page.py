"""The Dictionaries page and `loupe features`: sets come in, encode taps, are browsed and go; strangers' values."""

import json
import shutil

import jobs_at_once
import numpy as np
import pytest
from app_pages import HOSTILE, button, is_whole, open_page, texts, url
from safetensors.numpy import save_file

from analysis.errors import InputError, NotFound
from analysis.features.encoding import encoding_cost
from analysis.features.feature_set import FeatureSet
from analysis.features.neighbours import decoder_neighbours, largest_cosine_by_chance, unit_directions
from analysis.jobs import handlers
from analysis.spec import Method, no_progress
from analysis.store import sparse_activations, sparse_shards
from analysis.store.encoded import active_facts
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse.sparse_column import SparseColumn
from dashboard.cli import main

N, D, K = 90, 6, 12


def directions(seed=0, k=K, d=D):
    found = np.random.default_rng(seed).standard_normal((k, d))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def made(name="set", d=D, active=3, seed=0) -> FeatureSet:
    """TopK with tied weights; feature 5 never fires."""
    decoder = directions(seed, d=d)
    bias = np.where(np.arange(K) == 5, -1e3, 0)
    return FeatureSet(name, "TopK", decoder.T, decoder, bias, np.zeros(d), np.zeros(d), active=active)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A store with taps of samples, of tokens and of another width; one set, with which the first two are encoded."""
    workspace = Workspace.create(tmp_path_factory.mktemp("dictionaries") / "ws")
    rng = np.random.default_rng(1)
    label = np.arange(N) % 3
    x = 3 * directions(7, 3)[label] + rng.standard_normal((N, D))
    tokens = [rng.standard_normal((1 + i % 4, D)) for i in range(N)]
    samples = {"id": [f"s{i}" for i in range(N)], "label": label.astype(str)}
    taps = {"pooled": x, "tokens": tokens, "wide": rng.standard_normal((N, 9))}
    write_store(workspace.path / "stores" / "net", name="net", taps=taps, samples=samples)
    workspace.features.add(made())
    workspace.encode("net:pooled", "set")
    workspace.encode("net:tokens", "set")
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture
def at_kept(kept, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(kept.path))
    return kept


@pytest.fixture
def own(kept, tmp_path, monkeypatch):
    """A copy that a test may change."""
    shutil.copytree(kept.path, tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    return Workspace.open(tmp_path / "ws")


@pytest.fixture
def at_once(monkeypatch):
    return jobs_at_once.install(monkeypatch)


# ---------------------------------------------------------------------- what pages stand on
def test_facts_of_a_set_need_no_weights(kept, monkeypatch):
    monkeypatch.setattr(FeatureSet, "open", None)
    (facts,) = kept.features.facts()
    assert (facts.rule, facts.n_features, facts.n_units, facts.active) == ("TopK", K, D, 3)
    assert facts.digest == made().digest
    assert not facts.problem


@pytest.mark.parametrize("damage", ["no weights", "short weights", "no json", "other json"])
def test_a_damaged_set_is_a_line_that_says_so(own, damage, at_once):
    folder = own.features.path / "set"
    if damage == "no weights":
        (folder / "weights.safetensors").unlink()
    elif damage == "short weights":
        whole = (folder / "weights.safetensors").read_bytes()
        (folder / "weights.safetensors").write_bytes(whole[:-40])
    else:
        (folder / "feature_set.json").write_text("{" if damage == "no json" else "[]")
    own.features.add(made("other", seed=3))
    by_name = {f.name: f for f in own.features.facts()}
    assert by_name["set"].problem
    assert not by_name["other"].problem
    if damage == "short weights":
        assert is_whole(open_page("dictionaries", view="tap", tap="net:pooled", set="set"))
        assert is_whole(open_page("features", tap="net:pooled@set", unit="1"))
        at = open_page("dictionaries", set="set")
        assert is_whole(at), texts(at)
        assert "set cannot be used" in texts(at).replace("\\", "")


def test_active_facts_are_those_of_the_rows(kept):
    rng = np.random.default_rng(0)
    per_row = rng.integers(0, 40, 1000)
    facts = active_facts(np.bincount(per_row))
    assert facts["mean"] == pytest.approx(per_row.mean(), abs=1e-12)
    assert facts["sd"] == pytest.approx(per_row.std(ddof=1), abs=1e-12)
    for name, q in (("minimum", 0), ("q05", 0.05), ("median", 0.5), ("q95", 0.95), ("maximum", 1)):
        assert facts[name] == np.quantile(per_row, q, method="inverted_cdf")
    assert active_facts(np.zeros(3, int)) == {}
    codes = made().encode(
        kept.activations("net:tokens").take(np.arange(kept.activations("net:tokens").shape[0]))
    )
    found = kept.store("net").entry("tokens@set")["active"]
    assert found["mean"] == pytest.approx((codes != 0).sum(axis=1).mean())
    assert found["rows"] == len(codes)


def test_rows_of_which_nothing_is_known_do_not_count_as_silent(tmp_path):
    workspace = Workspace.create(tmp_path / "ws")
    x = np.random.default_rng(0).standard_normal((40, D))
    x[:10] = np.nan
    write_store(workspace.path / "stores" / "net", name="net", taps={"mlp": x})
    workspace.features.add(made())
    workspace.encode("net:mlp", "set")
    found = workspace.store("net").entry("mlp@set")["active"]
    assert found["rows"] == 30
    assert found["mean"] == pytest.approx((made().encode(x[10:]) != 0).sum(axis=1).mean())


def test_neighbours_are_the_largest_cosines_and_chance_is_what_random_directions_reach():
    features = made()
    cosines = directions() @ directions().T
    np.fill_diagonal(cosines, 0)
    for j in (0, 5, 11):
        found = decoder_neighbours(unit_directions(features), j, 4)
        best = np.argsort(-np.abs(cosines[j]))[:4]
        assert [other for other, _ in found] == list(best)
        np.testing.assert_allclose([c for _, c in found], cosines[j, best], atol=1e-6)
    with pytest.raises(NotFound):
        decoder_neighbours(unit_directions(features), K)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((4000, 20, 8))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    below = (np.abs(drawn[:, :, 0]).max(axis=1) < largest_cosine_by_chance(20, 8)).mean()
    assert abs(below - 0.95) < 0.014  # four standard errors of 4,000 draws
    assert largest_cosine_by_chance(20, 1) == 1.0


def test_an_estimate_is_of_the_right_size(kept):
    found = encoding_cost(kept.activations("net:tokens"), made())
    (shard,) = kept.store("net").shards("tokens@set")
    table = sum(
        f.stat().st_size for f in (kept.store("net").folder("tokens@set") / "index").glob("table.npy")
    )
    assert found.rows == kept.activations("net:tokens").shape[0]
    assert found.active == pytest.approx(kept.store("net").entry("tokens@set")["active"]["mean"], rel=0.15)
    assert found.disk == pytest.approx(shard.n_bytes + table, rel=0.15)
    assert found.seconds > 0


def test_what_a_card_makes_of_entries_is_what_it_would_make_of_the_column(kept):
    from dashboard.browse.feature_card import histogram
    from dashboard.browse.unit import Unit

    for tap in ("pooled@set", "tokens@set"):
        unit = Unit(kept.store("net"), f"net:{tap}", 2)
        found, column = unit.histogram(), unit.column
        assert sum(c.sum() for c in found.counts.values()) == (column != 0).sum() < len(column) / 2
        known = histogram(unit.activations, 2, np.where(column == 0, np.nan, column), unit.labels, "2")
        np.testing.assert_array_equal(found.edges, known.edges)
        assert {n: list(c) for n, c in found.counts.items()} == {n: list(c) for n, c in known.counts.items()}
    rows, values = np.array([3, 4, 9]), np.array([1.0, 2.0, 3.0], np.float32)
    piece = SparseColumn(rows, values, np.array([5]))[4:10]
    np.testing.assert_array_equal(piece, [2, np.nan, 0, 0, 0, 3])


def test_opening_a_feature_reads_that_feature(kept, monkeypatch):
    from dashboard.browse.unit import Unit

    read = []
    whole = sparse_shards.read_from_each

    def counted(shards, first, stop):
        found = whole(shards, first, stop)
        read.append(sum(len(entries.rows) for entries in found))
        return found

    monkeypatch.setattr(sparse_activations, "read_from_each", counted)
    monkeypatch.setattr(sparse_activations, "read_units", None)
    unit = Unit(Workspace.open(kept.path).store("net"), "net:tokens@set", 2)
    assert unit.sentences()
    unit.tiles()
    unit.histogram()
    unit.class_means()
    assert "column" not in vars(unit)  # nothing as long as the tap was made
    own = int((unit.column != 0).sum())
    assert own < unit.activations.n_entries / 4
    assert set(read) == {own}


# ---------------------------------------------------------------------- the page
@pytest.mark.parametrize("view", ["sets", "import", "tap", "report"])
def test_each_section_opens(view, at_kept):
    at = open_page("dictionaries", view=view, tap="net:pooled")
    assert is_whole(at), texts(at)
    assert not at.error, texts(at)


def test_the_table_names_sets_and_the_taps_they_encoded(at_kept):
    at = open_page("dictionaries")
    (line,) = at.dataframe[0].value.to_dict("records")
    assert line["Set"] == "set"
    assert line["Architecture"] == "TopK, at most 3 active"
    assert (line["Features"], line["Units of its tap"], line["k"]) == (K, D, "3")
    assert "pooled" in line["Encoded"]
    assert "tokens" in line["Encoded"]


@pytest.mark.parametrize("view", ["sets", "tap"])
def test_an_empty_workspace_says_what_to_do(view, tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(Workspace.create(tmp_path / "ws").path))
    at = open_page("dictionaries", view=view)
    assert is_whole(at)
    assert "Record a network" in texts(at)


@pytest.mark.parametrize("shift", range(0, len(HOSTILE), 5))
@pytest.mark.parametrize("view", ["import", "tap"])
def test_strangers_values_do_no_harm(view, shift, at_kept):
    names = ("set", "path", "set_name", "architecture", "k", "scale", "as", "job", "ask")
    values = {name: HOSTILE[(i + shift) % len(HOSTILE)] for i, name in enumerate(names)}
    at = open_page("dictionaries", view=view, tap="net:pooled", **values)
    assert is_whole(at), texts(at)
    assert not at.error, texts(at)


def test_a_dictionary_is_imported_and_encodes_the_tap(own, tmp_path, at_once):
    weights = {
        "W_enc": np.ascontiguousarray(directions().T, np.float32),
        "W_dec": directions().astype(np.float32),
    }
    save_file(weights, tmp_path / "plain.safetensors")
    given = {"path": str(tmp_path / "plain.safetensors"), "architecture": "topk", "k": "2"}
    at = open_page("dictionaries", view="import", tap="net:pooled", **given)
    button(at, "Import").click().run()
    assert is_whole(at), texts(at)
    assert "plain** is imported" in texts(at)
    assert own.features.open("plain").active == 2
    button(at, "Encode a tap with it").click().run()
    assert url(at)["set"] == ["plain"]
    assert "on disk" in texts(at)
    button(at, "Encode").click().run()
    assert is_whole(at), texts(at)
    assert "net:pooled@plain" in [f"net:{tap}" for tap in Workspace.open(own.path).store("net").taps]
    assert "is ready" in texts(at)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": "/no/such/place"}, "There is no"),
        ({"path": "PLAIN", "set_name": "set"}, "already a feature set"),
        ({"path": "PLAIN", "set_name": "a/b"}, "cannot name"),
    ],
)
def test_what_cannot_be_imported_is_said_beside_the_field(own, tmp_path, given, said):
    save_file({"W_dec": directions().astype(np.float32)}, tmp_path / "plain.safetensors")
    given = {n: str(tmp_path / "plain.safetensors") if v == "PLAIN" else v for n, v in given.items()}
    at = open_page("dictionaries", view="import", **given)
    assert is_whole(at)
    assert said in texts(at)
    assert button(at, "Import").disabled


def test_a_refused_import_says_why(own, tmp_path, at_once):
    save_file({"weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    at = open_page("dictionaries", view="import", path=str(tmp_path / "other.safetensors"))
    button(at, "Import").click().run()
    assert is_whole(at)
    assert "encoder.weight" in texts(at).replace("\\", "")
    assert own.features.names() == ["set"]


def test_another_width_is_refused_before_anything_starts(at_kept):
    at = open_page("dictionaries", view="tap", tap="net:wide", set="set")
    assert is_whole(at)
    assert "9 units" in texts(at)
    assert "pooled" in texts(at)
    assert button(at, "Encode") is None


def test_a_store_that_is_still_recording_is_refused(own, monkeypatch):
    from analysis.store.reader import Store

    store = own.store("net")
    monkeypatch.setattr(store, "complete", False)
    monkeypatch.setattr(Workspace, "store", lambda self, name: store)
    assert isinstance(store, Store)
    at = open_page("dictionaries", view="tap", tap="net:pooled")
    assert "still being recorded" in texts(at)
    assert button(at, "Encode") is None


def test_a_name_that_is_taken_is_refused(at_kept):
    at = open_page("dictionaries", view="tap", tap="net:pooled", **{"as": "pooled@set"})
    assert "already" in texts(at)
    assert button(at, "Encode") is None
    at = open_page("dictionaries", view="tap", tap="net:pooled")
    assert next(t.value for t in at.text_input if t.label == "Name of the new tap") == "pooled@set 2"


@pytest.mark.parametrize(
    ("ask", "others", "word"),
    [
        ("matched_dictionaries", ["pooled@more"], "Dictionaries of its tap"),
        ("feature_complexity", ["pooled"], "Layers of this store"),
    ],
)
def test_a_question_of_several_taps_begins_with_the_dictionary_and_what_goes_with_it(own, ask, others, word):
    own.features.add(made("more", seed=1))
    own.encode("net:pooled", "more")
    at = open_page("dictionaries", view="report", ask=ask, tap="net:pooled@set")
    assert is_whole(at)
    chosen = next(box.value for box in at.multiselect if box.label == "Taps, in order")
    assert chosen[0] == "net:pooled@set"
    assert button(at, word) is not None
    assert set(f"net:{tap}" for tap in others) <= set(chosen[1:])
    assert all(("@" in tap) == ("@" in others[0]) for tap in chosen[1:])


def test_presence_begins_with_other_networks_and_what_can_stand_alone_begins_alone(own):
    """Stores of another checkpoint on the same samples: their encoded taps, else the tap; without any, dictionaries."""
    from analysis import registry
    from dashboard.parts import tap_list

    method = registry.method("presence_elsewhere")
    own.features.add(made("more", seed=1))
    own.encode("net:pooled", "more")
    taps = ["net:pooled", "net:wide", "net:pooled@set", "net:pooled@more"]
    assert tap_list._usual(method, "net:pooled@set", taps) == ["net:pooled@set", "net:pooled@more"]
    alone = registry.method("feature_families")
    assert tap_list._usual(alone, "net:pooled@set", taps) == ["net:pooled@set"]
    x = own.activations("net:pooled").take(np.arange(N))
    for name, network in (("again", "2"), ("seed1", "1"), ("seed2", "2")):
        checkpoint = {"name": name, "digest": network}
        write_store(
            own.path / "stores" / name, name=name, taps={"pooled": x, "wide": x}, checkpoint=checkpoint
        )
        taps += [f"{name}:pooled", f"{name}:wide"]
    own.encode("seed2:pooled", "set")
    taps.append("seed2:pooled@set")
    elsewhere = ["again:pooled", "seed1:pooled", "seed2:pooled@set"]  # of "net" no checkpoint is known
    assert tap_list._usual(method, "net:pooled@set", taps) == ["net:pooled@set", *elsewhere]
    assert tap_list._usual(method, "net:pooled", taps) == ["net:pooled", *elsewhere]
    assert tap_list._usual(method, "again:pooled", taps) == ["again:pooled", "net:pooled@set", "net:pooled@more",
                                                             "seed1:pooled"]  # fmt: skip


def test_an_encoded_tap_says_how_many_features_are_active_and_how_many_are_dead(at_kept):
    at = open_page("dictionaries", view="tap", tap="net:tokens@set")
    codes = made().encode(
        at_kept.activations("net:tokens").take(np.arange(at_kept.activations("net:tokens").shape[0]))
    )
    alive = int((codes != 0).any(axis=0).sum())
    shown = {m.label: m.value for m in at.metric}
    assert shown["Ever active"] == str(alive)
    assert shown["Dead"] == str(K - alive)
    assert alive < K
    assert shown["Active per token"] == f"{(codes != 0).sum(axis=1).mean():.3g}"
    assert f"{len(codes):,} tokens" in texts(at)


def test_a_deleted_set_leaves_its_taps(own):
    own.features.delete("set")
    at = open_page("dictionaries", tap="net:pooled@set")
    assert is_whole(at)
    assert "not here any more" in texts(at)
    at = open_page("features", tap="net:pooled@set", unit="2")
    assert is_whole(at), texts(at)
    assert "not in the workspace any more" in texts(at)
    assert "Feature 2" in texts(at)


def test_deleting_by_the_page(own):
    at = open_page("dictionaries", view="tap", tap="net:pooled@set")
    next(b for b in at.button if b.key == "delete:net:pooled@set").click().run()
    assert is_whole(at), texts(at)
    assert "pooled@set" not in Workspace.open(own.path).store("net").taps
    assert url(at)["tap"] == ["net:pooled"]
    at = open_page("dictionaries", set="set")
    next(b for b in at.button if b.key == "delete set:set").click().run()
    assert own.features.names() == []


def test_methods_of_the_family_are_asked_as_they_come(at_kept, monkeypatch):
    from analysis import registry
    from dashboard.browse import dictionary_questions

    one: Method = registry.method("unit_statistics") if "unit_statistics" in registry.methods() else next(
        m for m in registry.methods().values() if m.inputs == 1 and not m.more_inputs
    )  # fmt: skip
    monkeypatch.setattr(registry, "families", lambda: {"dictionaries": (one,)})
    assert dictionary_questions.asks() == {one.title: one.id}
    at = open_page("dictionaries", view="report", tap="net:pooled@set")
    assert is_whole(at), texts(at)
    assert one.title in texts(at).replace("\\", "")


# ---------------------------------------------------------------------- the Features page
@pytest.mark.parametrize(
    ("tap", "unit"), [("net:pooled@set", "0"), ("net:tokens@set", "0"), ("net:tokens@set", "5")]
)
def test_a_card_of_an_encoded_tap_is_whole(at_kept, tap, unit):
    at = open_page("features", tap=tap, unit=unit, bands="true")
    assert is_whole(at), texts(at)
    assert not at.error, texts(at)
    assert f"Feature {unit}" in texts(at)
    assert "Nearest directions" in texts(at)
    assert ("Dead" in texts(at)) == (unit == "5")


def test_the_table_of_an_encoded_tap_lists_features(at_kept):
    at = open_page("features", tap="net:tokens@set")
    assert is_whole(at), texts(at)
    assert "12 features of 12" in texts(at)
    at = open_page("features", tap="net:tokens@set", kind="dead")
    assert list(at.dataframe[0].value["unit"]) == [5]


def test_layers_of_a_store_are_the_recorded_ones(at_kept):
    from analysis import registry
    from dashboard.parts import tap_list

    method = next(
        m for m in registry.methods().values()
        if m.more_inputs and m.matches == "rows" and m.inputs <= 2 and not m.others
    )  # fmt: skip
    fitting = ["net:pooled", "net:wide", "net:pooled@set"]
    assert tap_list._usual(method, "net:pooled", fitting) == ["net:pooled", "net:wide"]
    if method.inputs <= 2:
        assert tap_list._usual(method, "net:pooled@set", fitting) == ["net:pooled", "net:pooled@set"]


def test_a_page_opens_with_a_recorded_tap(at_kept):
    assert url(open_page("features"))["tap"] == ["net:wide"]


# ---------------------------------------------------------------------- the command line
def test_commands_import_list_encode_and_remove(own, tmp_path, capsys):
    def run(*arguments):
        code = main(["features", *arguments, "--workspace", str(own.path), "--json"])
        out, err = capsys.readouterr()
        return code, (json.loads(out) if code == 0 else err)

    save_file({"W_dec": directions().astype(np.float32)}, tmp_path / "tied.safetensors")
    code, facts = run("import", str(tmp_path / "tied.safetensors"), "--architecture", "topk", "--k", "2")
    assert (code, facts["name"], facts["active"]) == (0, "tied", 2)
    code, listed = run("list")
    assert [f["name"] for f in listed["feature_sets"]] == ["set", "tied"]
    assert {e["tap"] for e in listed["encoded"]} == {"net:pooled@set", "net:tokens@set"}
    code, tap = run("encode", "net:pooled", "tied")
    assert (code, tap["tap"], tap["rows"]) == (0, "net:pooled@tied", N)
    assert run("encode", "net:pooled", "tied")[0] == 1
    assert run("encode", "net:wide", "tied")[0] == 1
    assert run("remove", "net:pooled@tied")[0] == 0
    assert "pooled@tied" not in Workspace.open(own.path).store("net").taps
    assert run("remove", "net:pooled")[0] == 1
    assert run("remove", "tied")[0] == 0
    assert own.features.names() == ["set"]
    assert run("remove", "tied")[0] == 1
    with pytest.raises(SystemExit) as stop:
        main(["features"])
    assert stop.value.code == 2


def test_jobs_import_and_encode(own, tmp_path):
    save_file({"W_dec": directions().astype(np.float32)}, tmp_path / "tied.safetensors")
    work = {"path": str(tmp_path / "tied.safetensors"), "name": "mine", "architecture": "topk", "k": 4}
    assert handlers.import_features(own.path, work, no_progress) == {"features": "mine"}
    seen = []
    made_tap = handlers.encode(
        own.path, {"input": "net:pooled", "features": "mine"}, lambda s, d="": seen.append(s)
    )
    assert made_tap == {"tap": "net:pooled@mine"}
    assert seen

    class Stopped(Exception):
        pass

    def stop(share, doing=""):
        raise Stopped

    with pytest.raises(Stopped):
        handlers.encode(own.path, {"input": "net:tokens", "features": "mine"}, stop)
    assert not [
        p
        for p in (own.path / "stores" / "net" / "features").iterdir()
        if "mine" in p.name and "tokens" in p.name
    ]
    with pytest.raises(InputError, match="already"):
        handlers.import_features(own.path, work, no_progress)
