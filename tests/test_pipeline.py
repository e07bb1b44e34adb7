"""run(): the key holds everything that can change a number, and nothing is computed twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import pipeline, registry
from analysis.activations import ArrayActivations
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.spec import CheckLine, make_params
from analysis.store.cache import ResultCache


@pytest.fixture
def tap(rng):
    return ArrayActivations(rng.normal(size=(60, 5)), name="planted", samples={"label": np.arange(60) % 3})


def test_the_second_run_comes_from_the_cache(tap, tmp_path, monkeypatch):
    cache = ResultCache(tmp_path)
    first = pipeline.run("pca", [tap], cache=cache)
    calls = []
    monkeypatch.setattr(pipeline, "_origin", lambda *a: calls.append(a))
    second = pipeline.run("pca", [tap], cache=cache)
    assert not calls
    np.testing.assert_array_equal(first.positions, second.positions)
    assert second.origin == first.origin


def test_the_key_changes_with_each_of_its_parts(tap, monkeypatch):
    method = registry.method("pca")
    params = make_params(method.params, {})
    base = pipeline.key(method, [tap.digest], params, 0)
    assert base == pipeline.key(method, [tap.digest], make_params(method.params, {}), 0)
    others = [
        pipeline.key(method, [tap.digest], params, 1),
        pipeline.key(method, ["other"], params, 0),
        pipeline.key(method, [tap.digest], make_params(method.params, {"components": 3}), 0),
        pipeline.key(registry.method("unit_statistics"), [tap.digest], params, 0),
    ]
    newer = dataclasses.replace(method, version=method.version + 1)
    others.append(pipeline.key(newer, [tap.digest], params, 0))
    others.append(pipeline.key(method, [tap.digest, tap.digest], params, 0))
    monkeypatch.setattr(pipeline, "versions", lambda libraries=(): {"numpy": "0.1"})
    others.append(pipeline.key(method, [tap.digest], params, 0))
    assert len({base, *others}) == 1 + len(others)


def test_one_changed_number_changes_the_digest(tap):
    x = tap.values.copy()
    x[30, 2] += 1e-9
    assert ArrayActivations(x, samples=tap.samples).digest != tap.digest


def test_the_origin_says_what_made_it(tap):
    origin = pipeline.run("pca", [tap], {"components": "3"}, seed=7).origin
    assert origin.params["components"] == 3
    assert origin.seed == 7
    assert origin.inputs[0]["digest"] == tap.digest
    assert "numpy" in origin.versions


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nothing", 1, {}), NotFound),
        (("pca", 2, {}), ParameterError),
        (("pca", 0, {}), ParameterError),
        (("pca", 1, {"components": 0}), ParameterError),
        (("pca", 1, {"colour": 1}), ParameterError),
    ],
)
def test_refused_before_anything_is_computed(tap, arguments, error):
    method, n, params = arguments
    with pytest.raises(error):
        pipeline.run(method, [tap] * n, params)


def test_too_few_rows_and_missing_labels():
    with pytest.raises(NotEnoughData, match="at least"):
        pipeline.run("pca", [np.zeros((1, 4))])
    with pytest.raises(NotFound, match="label"):
        pipeline.run("class_selectivity", [np.random.default_rng(0).normal(size=(50, 3))])


def test_a_check_reports_each_line():
    report = pipeline.check("pca")
    assert report["method"] == "pca"
    assert report["passed"], report
    assert report["error"] == ""
    assert all(line["passed"] for line in report["lines"])
    assert {"name", "expected", "got", "tolerance", "relation", "passed"} == set(report["lines"][0])


@pytest.mark.parametrize(
    ("lines", "error"), [((CheckLine("one", 1.0, 1.1, 0.05),), ""), ((), "the check has no line")]
)
def test_a_check_that_misses_or_says_nothing_does_not_pass(monkeypatch, lines, error):
    broken = dataclasses.replace(registry.method("pca"), check=lambda: lines)
    monkeypatch.setattr(registry, "method", lambda _: broken)
    report = pipeline.check("pca")
    assert not report["passed"]
    assert report["error"] == error
