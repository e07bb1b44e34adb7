"""The search box: what it reads, what it finds, what it refuses and where; and more like this."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.search import more_like, parse, search, search_store
from analysis.search.query import Both, Compare, Either, Not, Text

N = 8
SAMPLES = {
    "id": np.array([f"s{i}" for i in range(N)]),
    "label": np.array([0, 1, 2, 0, 1, 2, -1, 0]),
    "caption": np.array(
        ["A red Cat", "New York", "york, new", "<b>STRASSE</b>", "straße", "", "and or", 'say "hi"']
    ),
    "loss": np.array([0.1, 0.5, np.nan, 2.0, 3.5, np.inf, 0.0, -1.0]),
    "correct": np.array([True, False] * 4),
    "two words": np.arange(N) + 2**53,
}
CLASSES = ("cat", "dog", "ox")
X = np.arange(N * 3, dtype=np.float32).reshape(N, 3) / 10
X[5, 1] = np.nan
POOLED = ArrayActivations(X, samples=SAMPLES, unit_names=("0", "1", "edges"))


def rows(query: str, activations=POOLED, **more) -> list[int]:
    return search(activations, query, **{"classes": CLASSES, **more}).rows.tolist()


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("a b", Both((Text("a"), Text("b")))),
        ("a or b and c", Either((Text("a"), Both((Text("b"), Text("c")))))),
        ("(a or b) c", Both((Either((Text("a"), Text("b"))), Text("c")))),
        ("not not a", Text("a")),
        ("NOT a", Not(Text("a"))),
        ('"and" "a ""b\\" c"', Both((Text("and"), Text('a "b" c')))),
        ("loss<=.5", Compare("loss", "<=", ".5")),
        ("loss == 5", Compare("loss", "=", "5")),
        ('"my column":"x y"', Compare("my column", ":", "x y")),
        ("unit 412 > -3e2", Compare("412", ">", "-3e2", unit=True)),
        ("unit", Text("unit")),
        ("unit = 3", Compare("unit", "=", "3")),
        ("unit cat", Both((Text("unit"), Text("cat")))),
        ("well-known a.b", Both((Text("well-known"), Text("a.b")))),
    ],
)
def test_it_reads(query, tree):
    assert parse(query) == tree


@pytest.mark.parametrize(
    ("query", "position", "expected"),
    [
        ("", None, "words, conditions"),
        ("   ", None, "words, conditions"),
        ("(a", "position 1", "a \\) for the \\( here"),
        ("a)", "position 2", "a \\( before"),
        ("()", "position 2", "a word, a phrase"),
        ("a or", "position 5", "a word, a phrase"),
        ("and a", "position 1", "a word, a phrase"),
        ("label = ", "position 9", "a value"),
        ("label = = 3", "position 9", "a value"),
        ("= 3", "position 1", "a word, a phrase"),
        ('say "hi', "position 5", 'a closing "'),
        ("unit 3 > x", "position 10", "a number"),
        ("unit 3 > 1_0", "position 10", "a number"),
        ("unit 3 : 4", "position 8", "one of = != <"),
        ('""', "position 1", "something between"),
        ("(" * 41 + "a" + ")" * 41, "position 41", "at most 40 parentheses"),
        ("a " * 101, "position", "at most 100 conditions"),
        ("a" * 2001, None, "at most 2,000"),
    ],
)
def test_it_refuses_with_the_place(query, position, expected):
    with pytest.raises(ParameterError, match=expected) as refusal:
        parse(query)
    assert position is None or position in str(refusal.value)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        search(POOLED, text, classes=CLASSES)
    except (ParameterError, NotFound):
        return


PIECES = st.sampled_from(
    ["(", ")", "and", "or", "not", "unit", "unit 1", "0", "edges", "label", "loss", "caption", "token", '"', '""', ":",
     "=", "==", "!=", "<", "<=", ">", ">=", "cat", "-1", "1e400", "nan", "inf", "0x1", "1_0", "²", "\u0000", "\ud800",
     "'", "\\", "%s", "{}", "<script>", "ß", "İ", "\u200b", "*", "a" * 300, "9" * 400]
)  # fmt: skip


@given(st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "\n"])), max_size=14))
@settings(max_examples=600, deadline=None)
def test_pieces_of_the_language_in_any_order_are_read_or_refused(pieces):
    try:
        found = search(POOLED, "".join(word + gap for word, gap in pieces), classes=CLASSES)
    except LoupeError:  # and nothing but a refusal in words
        return
    assert found.mask.shape == (N,)
    assert found.matches


NUMBERS = st.floats(-3, 4, width=16)


@given(NUMBERS, NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "=", "!="]))
@settings(max_examples=100, deadline=None)
def test_conditions_are_what_numpy_says_and_combine_as_sets(a, b, operator):
    holds = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal,
             "!=": np.not_equal}[operator]  # fmt: skip
    unit, loss = X[:, 1].astype(np.float64), SAMPLES["loss"]
    one = holds(unit, a) & ~np.isnan(unit)
    other = holds(loss, b) & ~np.isnan(loss)
    first, second = f"unit 1 {operator} {a!r}", f"loss {operator} {b!r}"
    assert rows(first) == np.flatnonzero(one).tolist()
    assert rows(f"{first} and {second}") == np.flatnonzero(one & other).tolist()
    assert rows(f"{first} or {second}") == np.flatnonzero(one | other).tolist()
    assert rows(f"{first} and not ({second})") == np.flatnonzero(one & ~other).tolist()


def test_long_chains_do_not_overflow():
    parse("not " * 400 + "a")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("CAT", [0, 3, 7]),  # in a caption, and the class 0
        ('"new york"', [1]),
        ("new york", [1, 2]),
        ("strasse", [3, 4]),
        ('"<b>"', [3]),
        ('"and or"', [6]),
        ('"say ""hi"', [7]),
        ("label = cat", [0, 3, 7]),
        ("label = 0", [0, 3, 7]),
        ("label != CAT", [1, 2, 4, 5]),  # a missing label is not another label
        ("not label = cat", [1, 2, 4, 5, 6]),
        ("loss > 2", [4, 5]),
        ("loss <= .5", [0, 1, 6, 7]),
        ("loss != 2", [0, 1, 4, 5, 6, 7]),
        ("loss = inf", [5]),
        ("correct = yes", [0, 2, 4, 6]),
        ("Caption:york", [1, 2]),
        ('caption = "new york"', [1]),
        ("caption != straße", [0, 1, 2, 3, 6, 7]),
        ('"two words" = 9007199254740993', [1]),
        ("unit 1 > 1", [4, 6, 7]),
        ("unit edges < .5", [0]),
        ("unit 0 = 0.3", [1]),
        ("id:s and (unit 1 > 1 or loss < 0) and not label = ox", [4, 6, 7]),
        ("id = S3", [3]),
        ("nowhere", []),
    ],
)
def test_it_finds(query, found):
    if query == "unit 0 = 0.3":  # float32(0.3) is not 0.3, and the stored value counts
        assert rows(query) == []
        query = f"unit 0 = {float(np.float32(0.3))!r}"
    assert rows(query) == found


def test_what_matched():
    found = search(POOLED, "cat or unit 1 > 1", classes=CLASSES)
    assert [(m.condition, m.where, m.rows) for m in found.matches] == [
        ("cat", ("label", "caption"), 3),
        ("unit 1 > 1", ("unit 1",), 3),
    ]


@pytest.mark.parametrize(
    ("query", "kind", "text"),
    [
        ("nope = 3", NotFound, "no column 'nope'.*caption, correct, id"),
        ("unit 99 > 1", NotFound, "no unit '99'.*0 … 2"),
        ("unit -1 > 1", NotFound, "no unit"),
        ("unit ² > 1", NotFound, "no unit"),
        ("loss > big", ParameterError, "holds numbers, not 'big'"),
        ("caption > 3", ParameterError, "holds text"),
        ("label = horse", ParameterError, "cat, dog, ox"),
        ("correct = maybe", ParameterError, "true or false"),
        ("token:a", NotFound, "no column 'token'"),
    ],
)
def test_what_is_not_there(query, kind, text):
    with pytest.raises(kind, match=text):
        search(POOLED, query, classes=CLASSES)


def test_tokens_find_their_own_row():
    layout = Layout(np.array([0, 3, 5]))
    act = ArrayActivations(np.zeros((5, 2)), samples={"caption": np.array(["x", "y"])}, layout=layout)
    words = [["the", "cat", "s"], ["cats", "run"]]
    assert rows("cat", act, tokens=words.__getitem__) == [1, 3]
    assert rows("token:run and caption:y", act, tokens=words.__getitem__) == [4]
    assert rows("caption = x", act, tokens=words.__getitem__) == [0, 1, 2]
    leading = ArrayActivations(np.zeros((7, 2)), layout=Layout(np.array([0, 4, 7]), leading=1))
    assert rows("cat", leading, tokens=words.__getitem__) == [2, 5]
    pooled = ArrayActivations(np.zeros((2, 2)))
    assert rows("thecat", pooled, tokens=words.__getitem__) == [0]
    assert rows("run", pooled, tokens=lambda i: None) == []


def test_a_unit_costs_one_read():
    class Counting(ArrayActivations):
        read: list = []  # noqa: RUF012

        def unit(self, j):
            self.read.append(j)
            return super().unit(j)

        def chunks(self, rows=4096):
            raise AssertionError("a search must not stream the tap")

    act = Counting(X, samples=SAMPLES)
    rows("unit 1 > 1 and loss > 0", act)
    assert act.read == [1]


def test_a_unit_in_a_store_is_read_without_another_units_bytes(tmp_path, monkeypatch):
    from analysis.store import shards
    from analysis.store.from_arrays import write_store

    x = np.random.default_rng(0).standard_normal((3000, 50)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"t": x}, samples={"loss": np.arange(3000.0)})
    read, plain = [], shards.read_at

    def counted(fd, size, offset):
        read.append((size, offset))
        return plain(fd, size, offset)

    monkeypatch.setattr(shards, "read_at", counted)
    found = search_store(store, "t", "unit 41 > 0.5 and loss < 1000")
    assert found.rows.tolist() == [i for i in range(1000) if x[i, 41] > 0.5]
    assert sum(size for size, _ in read) == 4 * 3000
    row_bytes = read[0][0]
    assert all(offset == 41 * row_bytes for _, offset in read[:1])


def test_a_million_samples_are_made_ready_once(monkeypatch):
    n = 1_000_000
    rng = np.random.default_rng(0)
    captions = rng.choice(np.array(["a red cat on the beach", "new york", "dog"]), n)
    act = ArrayActivations(
        np.zeros((n, 1), np.float32), digest="big", samples={"caption": captions, "loss": rng.random(n)}
    )
    search(act, "made ready")

    def again(*_):
        raise AssertionError("the texts were joined a second time")

    monkeypatch.setattr("analysis.search.texts.Joined.of", again)
    for query, expected in (
        ("cat and loss > .5", (captions == "a red cat on the beach") & (act.samples["loss"] > 0.5)),
        ("not beach", captions != "a red cat on the beach"),
        ("caption = dog", captions == "dog"),
    ):
        np.testing.assert_array_equal(search(act, query).mask, expected)


# ---------------------------------------------------------------------------- likeness
def brute(x, row, k, metric):
    x = np.asarray(x, np.float64)
    if metric == "cosine":
        away = 1 - (x @ x[row]) / (np.linalg.norm(x, axis=1) * np.linalg.norm(x[row]))
    else:
        away = np.linalg.norm(x - x[row], axis=1)
    away[row] = np.inf
    order = np.lexsort((np.arange(len(x)), away))[:k]
    return order, away[order]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_more_like_is_brute_force(metric):
    x = np.random.default_rng(0).standard_normal((5000, 7)).astype(np.float32) + 100 * (metric == "euclidean")
    found = more_like(ArrayActivations(x), 4321, 15, metric)
    expected, distances = brute(x, 4321, 15, metric)
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)
    assert (found.typical_low <= found.typical).all()
    assert found.n_probes == 48


def test_ties_go_to_the_lower_row_across_chunks():
    x = np.zeros((9000, 2))
    x[0] = 1
    assert more_like(ArrayActivations(x), 8000, 3).rows.tolist() == [1, 2, 3]
    assert more_like(ArrayActivations(x), 2, 3).rows.tolist() == [1, 3, 4]


def test_typical_distance_is_that_of_random_rows():
    x = np.random.default_rng(0).standard_normal((400, 3))
    x[7] = 50
    found = more_like(ArrayActivations(x), 7, 2)
    assert found.distances[0] > 10 * found.typical_high[0]
    assert "for a random row" in found.sentence


def test_bad_rows_and_small_taps():
    x = np.random.default_rng(0).standard_normal((30, 3))
    x[4], x[9, 1] = np.nan, np.inf
    act = ArrayActivations(x)
    found = more_like(act, 0, 100)
    assert len(found.rows) == 27
    assert found.n_nonfinite == 2
    with pytest.raises(InputError, match="row 4"):
        more_like(act, 4)
    with pytest.raises(NotFound, match="0 … 29"):
        more_like(act, 30)
    with pytest.raises(ParameterError, match="at least 1"):
        more_like(act, 0, 0)
    with pytest.raises(ParameterError, match="euclidean, cosine"):
        more_like(act, 0, 2, "hamming")
    assert more_like(ArrayActivations(np.ones((1, 2))), 0).sentence.startswith("There is no other row")
    two = more_like(ArrayActivations(np.array([[0.0, 0], [3, 4]])), 0)
    assert two.distances.tolist() == [5.0]
    zero = more_like(ArrayActivations(np.array([[0.0, 0], [3, 4], [0, 0]])), 0, metric="cosine")
    assert zero.rows.tolist() == [2, 1]
    assert zero.distances.tolist() == [0, 1]
    huge = more_like(ArrayActivations(np.array([[0.0, 1], [1e300, 4], [0, 2]])), 0)
    assert huge.rows.tolist() == [2, 1]
