"""Strangers' data on every method about rank, subspaces, concepts and changes of weights: a refusal that says what was
found, what was expected and what to do, or finite numbers with what must be known of them; never an exception of a
library, a warning, or a number that the data do not define."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from analysis import pipeline, registry, results
from analysis.activations import ArrayActivations
from analysis.compute.rows.copies import copies, copies_note
from analysis.errors import InputError, LoupeError, NotEnoughData, NotFound, ParameterError
from analysis.spec import params_of
from analysis.store.from_arrays import write_store
from analysis.store.reader import Store

CHANGES = ("star_forms", "subspace_alignment_of_updates", "update_energy", "weight_update", "weight_spectra",
           "weight_spectrum")  # fmt: skip
WEIGHTS = (*CHANGES, "householder_directions", "weight_subspaces")
METHODS = {
    m.id: m
    for m in registry.methods().values()
    if m.family in ("rank", "subspaces", "concepts") or m.id in CHANGES
}
N, D = 60, 6
ASKED = {"leak_test": {"domain": "site", "units": 3}, "transfer_matrix": {"domain": "site"}}
ONE_AGAINST_REST = ("rank_along_axis", "rank_label_curve", "rankability")


def columns(n: int = N) -> dict[str, np.ndarray]:
    i = np.arange(n)
    return {
        "label": np.array([f"class {k}" for k in i % 3]),
        "site": np.array([f"site {k}" for k in (i // 3) % 2]),
        "number": (i % 7) + 0.01 * i,
        "words": np.array([f"a text, the {k}th" for k in i]),
    }


def data(n: int = N, d: int = D) -> np.ndarray:
    rng = np.random.default_rng(5)
    return 2 * np.eye(3, d)[np.arange(n) % 3] + rng.standard_normal((n, d)) * np.linspace(1, 2, d) + 3


def taps(id: str, *values: np.ndarray, **samples) -> list[ArrayActivations]:
    """As many taps as the method takes, of these values in turn; of one value each tap has its own units' scales."""
    made = []
    for i in range(METHODS[id].inputs):
        x = values[i % len(values)] * (
            1.0 if i < len(values) else 1 + 0.1 * np.arange(values[0].shape[1]) * i
        )
        made.append(
            ArrayActivations(
                x, name=f"net:tap{i}", samples=columns(len(x)) | {k: v for k, v in samples.items()}
            )
        )
    return made


def refusal(id: str, given: list, **asked) -> LoupeError | None:
    """What the method says no with; None where it answers, in finite numbers and without a warning."""
    known = {p.name for p in params_of(METHODS[id].params)}
    asked = ASKED.get(id, {}) | {k: v for k, v in asked.items() if k in known}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            found = pipeline.run(id, given, asked)
        except LoupeError as refused:
            return _in_three_parts(id, refused)
    for name, array in results.to_parts(found)[1].items():  # a matrix has no null on its diagonal
        assert name == "null" or array.dtype.kind != "f" or np.isfinite(array).all(), f"{id}: {name}"
    for e in found.estimates:
        numbers = [v for v in (e.value, e.low, e.high, e.null, e.p_value) if v is not None]
        assert np.isfinite(numbers).all(), f"{id}: {e.name}"
    return None


def _in_three_parts(id: str, no: LoupeError) -> LoupeError:
    assert no.found, id
    assert no.expected, f"{id}: {no}"
    assert no.remedy or isinstance(no, ParameterError), f"{id}: {no}"
    return no


# ---------------------------------------------------------------------------- rows that say nothing
def with_rows(rows: slice, value: float) -> np.ndarray:
    x = data()
    x[rows, 1] = value
    return x


NOTHING = {
    "an empty tap": data()[:0],
    "one row": data()[:1],
    "two rows": data()[:2],
    "no finite row": with_rows(slice(None), np.nan),
    "two finite rows": with_rows(slice(2, None), np.inf),
    "one row over and over": np.tile(data()[:1], (N, 1)),
    "zeros": np.zeros((N, D)),
}


@pytest.mark.parametrize("id", METHODS)
def test_rows_that_say_nothing_are_refused(id):
    """A table of weights may have two inputs, and weights of rank one."""
    for trouble, x in NOTHING.items():
        given = taps(id, x) if len(x) else [x] * METHODS[id].inputs
        no = refusal(id, given, table=True)
        allowed = id in (*WEIGHTS, "local_rank", "class_heads") and trouble not in ("an empty tap", "one row")
        assert no is not None or allowed, f"{id}: {trouble}"


def test_copies_are_counted_and_said():
    x = data()
    assert copies(x) == 0
    assert copies(np.vstack([x, x[:7], x[:2]])) == 9
    assert copies(np.vstack([x, -0.0 * x[:2], 0.0 * x[:2]])) == 3  # one zero vector and three more of it
    assert copies(np.zeros((0, 3))) == copies(np.zeros((1, 3))) == 0
    assert copies_note(np.vstack([x, x[:6]])) == ()
    assert "7 of 67 rows are exact copies" in copies_note(np.vstack([x, x[:7]]), "rows")[0]


COPIED = ("lidar_directions", "class_heads", "edit_neighbours", "axis_cosines", "shortcut_echo", "subspace_distances",
          "uniformity", "subspace_confidence", "training_film")  # fmt: skip


@pytest.mark.parametrize("id", COPIED)
def test_copies_of_a_few_rows_are_not_taken_for_many_samples(id):
    """Eight rows, ten times each: held-out rows have copies among those of the fit."""
    found = pipeline.run(id, taps(id, np.tile(data(8), (10, 1))), ASKED.get(id, {}))
    assert any("exact copies" in note for note in found.caveats), found.caveats


# ---------------------------------------------------------------------------- columns that say nothing
def column_of(id: str) -> str | None:
    """The parameter that names the column of classes or numbers the method is about."""
    known = {p.name: p for p in params_of(METHODS[id].params)}
    named = [n for n in ("column", "columns", "targets", "semantic") if n in known and known[n].default]
    return named[0] if named and id != "axis_cosines" else None  # which compares all columns there are


COLUMNS = {
    "one class": np.full(N, "only"),
    "a class for each sample": np.array([f"class {i}" for i in range(N)]),
    "constant": np.full(N, 2.5),
    "no number": np.full(N, np.nan),
    "no label": np.full(N, ""),
}


@pytest.mark.parametrize("id", [id for id in METHODS if column_of(id)])
def test_columns_that_say_nothing_are_refused(id):
    """Also one whose only other class has no finite row."""
    for trouble, column in COLUMNS.items():
        assert refusal(id, taps(id, data(), strange=column), **{column_of(id): "strange"}), f"{id}: {trouble}"
    assert isinstance(refusal(id, taps(id, data()), **{column_of(id): "no such"}), NotFound), id
    column = np.where(np.arange(N) % 3 == 0, "other", "this")
    assert refusal(
        id, taps(id, with_rows(slice(0, None, 3), np.nan), strange=column), **{column_of(id): "strange"}
    ), id


def test_texts_where_numbers_are_wanted_are_refused():
    assert "number" in str(
        refusal("context_discriminant", taps("context_discriminant", data()), time="words")
    )
    for id in ONE_AGAINST_REST:
        assert "class" in str(refusal(id, taps(id, data()), column="words"))


def test_missing_values_are_left_out_and_counted():
    label, number = columns()["label"], columns()["number"].copy()
    label[::5], number[::5] = "", np.nan
    for id, column in (("lidar_directions", "label"), ("class_heads", "label"), ("edit_neighbours", "number"),
                       ("rank_along_axis", "number"), ("features_against_targets", "number")):  # fmt: skip
        given = taps(id, data(100), label=np.resize(label, 100), number=np.resize(number, 100))
        found = pipeline.run(id, given, {column_of(id): column})
        assert any("20 sample(s) without" in note for note in found.caveats), (id, found.caveats)


def test_a_class_with_one_sample_is_left_out_and_named():
    label = columns()["label"].astype("U20")
    label[7] = "the odd one"
    for id in ("class_heads", "neural_collapse", "lidar_directions", "within_class_spread"):
        found = pipeline.run(id, taps(id, data(), label=label, predicted=label))
        assert any("the odd one" in note for note in found.caveats), id


# ---------------------------------------------------------------------------- what was clicked
@pytest.mark.parametrize("id", ["rankability", "rank_along_axis"])
@pytest.mark.parametrize(
    ("clicked", "expected", "kind"),
    [(("3", "3"), "two different samples", ParameterError), (("3", ""), "two different samples", ParameterError),
     (("3", "4"), "two samples that differ", InputError), (("3", "no such"), "an id of this store", NotFound)],
)  # fmt: skip
def test_two_clicked_samples_that_make_no_axis(id, clicked, expected, kind):
    x = data()
    x[4] = x[3]
    no = refusal(id, taps(id, x), column="number", low=clicked[0], high=clicked[1])
    assert isinstance(no, kind)
    assert expected in no.expected


# ---------------------------------------------------------------------------- dimensions that are not there
def flat(rank: int) -> np.ndarray:
    return data()[:, :rank] @ np.random.default_rng(1).standard_normal((rank, D))


@pytest.mark.parametrize(
    "id", ["subspace_distances", "principal_angle_spectrum", "average_subspace", "class_angles", "class_subspaces",
           "class_head_overlap", "subspace_movie", "moved_units", "subspace_mixture"],
)  # fmt: skip
def test_more_dimensions_than_the_data_have_are_refused(id):
    no = refusal(id, taps(id, flat(2)), dimension=5)
    assert isinstance(no, NotEnoughData | ParameterError | InputError), id
    assert "2" in no.found


def test_classes_with_few_directions_are_named_where_larger_ones_are_asked_for():
    found = pipeline.run("class_heads", taps("class_heads", flat(2)), {"dimension": 5})
    assert any("A class has 2 direction(s) and no more" in note for note in found.caveats)


@pytest.mark.parametrize(
    "id", ["subspace_distances", "principal_angle_spectrum", "average_subspace", "subspace_movie"]
)
def test_a_cut_between_equal_eigenvalues_is_refused(id):
    """Rows on a cross: all eigenvalues are one."""
    cross = np.tile(np.vstack([np.eye(D), -np.eye(D)]), (5, 1))
    turned = [cross @ np.linalg.qr(np.random.default_rng(i).standard_normal((D, D)))[0] for i in range(3)]
    no = refusal(id, taps(id, *turned), dimension=3)
    assert "not told apart" in no.found


def test_noise_is_not_read_from_two_directions():
    no = refusal("spectrum_edges", taps("spectrum_edges", flat(2)))
    assert "varies in 2 direction(s)" in no.found


@pytest.mark.parametrize("id", ["neural_collapse", "lidar", "lidar_directions"])
def test_classes_with_equal_means_are_refused(id):
    """Each class has the same rows, so that their means differ by rounding at most."""
    x = np.repeat(data(20), 3, axis=0) * 0.1
    assert "equal means" in str(no := refusal(id, taps(id, x))) or "are the same" in no.found


@pytest.mark.parametrize(
    "id", ["rank_dossier", "flag_distances", "subspace_confidence", "shortcut_echo", "class_heads", "koopman_modes",
           "training_film", "spectrum_edges", "context_discriminant"],
)  # fmt: skip
def test_fewer_rows_than_units_give_finite_numbers(id):
    assert refusal(id, taps(id, data(24, 40))) is None


def test_numbers_too_large_for_their_squares_are_refused_in_words():
    with np.errstate(all="ignore"), pytest.raises(InputError, match="too large for a computer"):
        pipeline.run("leak_test", taps("leak_test", data() * 1e150), ASKED["leak_test"])


# ---------------------------------------------------------------------------- weights and data
@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Taps of a store that knows no checkpoint."""
    path = tmp_path_factory.mktemp("stores") / "net"
    write_store(path, name="net", taps={"a": data(), "b": data()[:, ::-1]}, samples=columns())
    store = Store.open(path)
    return [store.activations(name) for name in ("a", "b")]


@pytest.mark.parametrize("id", WEIGHTS)
def test_data_without_weights_are_refused(id, stored):
    no = refusal(id, [*stored, stored[1]][: METHODS[id].inputs])
    assert "weights" in f"{no.found} {no.expected}", no
    assert "'table'" in no.remedy


@pytest.mark.parametrize("id", ["star_forms", "update_energy", "weight_update", "weight_subspaces"])
def test_weights_that_do_not_fit_are_refused(id):
    no = refusal(id, taps(id, data(), data()[:, :4]), table=True)
    assert "4" in no.found


def test_layers_of_a_table_are_refused():
    no = refusal("weight_spectra", taps("weight_spectra", data()), table=True, layers="fc1")
    assert "fc1" in no.found


def test_more_dimensions_than_there_are_take_no_more_time():
    """What asks for them is refused at once, so that the page must not speak of an hour."""
    for id in ("subspace_distances", "principal_angle_spectrum", "average_subspace", "subspace_movie",
               "subspace_film"):  # fmt: skip
        shapes = [(450, 64)] * 3
        all_there_are, too_many = (pipeline.cost(id, shapes, {"dimension": k}).seconds for k in (64, 250))
        assert too_many == all_there_are, id


def test_numbers_are_not_spoken_of_as_hundreds_of_classes():
    for id in ("neural_collapse", "concept_erasure", "class_heads"):
        given = taps(id, data(), label=np.linspace(0, 1, N), predicted=np.linspace(0, 1, N))
        said = refusal(id, given)
        assert said is None or ("no class has" in said.found and "0.0" not in said.found), id
