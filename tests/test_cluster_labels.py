"""Names of clusters at their place on a map."""

from __future__ import annotations

import numpy as np
from test_figures_planted import partition

from analysis.results import Scatter
from dashboard.browse.cluster_labels import cluster_labels, codes_of_points, names_of_points


def cloud(rows) -> Scatter:
    rows = np.asarray(rows)
    xy = np.column_stack([rows // 40 * 10.0, rows % 40]).astype(np.float32)
    return Scatter(title="map", positions=xy, rows=rows)


def test_points_find_their_clusters_whatever_the_rows():
    found = partition()
    rows = np.array([245, 0, 239, 9999, 41])
    assert codes_of_points(found, cloud(rows)).tolist() == [-1, 0, 5, -1, 1]
    assert codes_of_points(found, cloud(rows), 0).tolist() == [-1, 0, 2, -1, 0]
    assert names_of_points(found, cloud(rows)).tolist() == ["", "cluster 0", "cluster 5", "", "cluster 1"]


def test_labels_stand_in_their_group_at_each_level():
    labels = cluster_labels(partition(), cloud(np.arange(265)))
    assert [label["level"] for label in labels] == [0] * 3 + [1] * 6
    fine = [label for label in labels if label["level"] == 1]
    assert [label["x"] for label in fine] == [0, 10, 20, 30, 40, 50]
    assert all(label["size"] == 40 and 18 <= label["y"] <= 21 for label in fine)


def test_a_group_that_does_not_split_is_named_once():
    levels = np.array([[0, 0, 1], [0, 1, 2]], np.int32)
    names = np.array([["both", "both", "lone"], ["a", "b", "lone"]])
    labels = cluster_labels(partition(3, levels=levels, level_names=names), cloud(np.arange(120)))
    assert [label["text"] for label in labels] == ["both", "lone", "a", "b"]


def test_no_cluster_no_label():
    assert cluster_labels(partition(0), cloud(np.arange(5))) == ()
    assert (codes_of_points(partition(0), cloud(np.arange(5))) == -1).all()
